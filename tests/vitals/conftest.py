"""A station and a page, as real WebSocket clients of a real server over a real database."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import numpy as np
import pytest
from telemed_devices.envelope import Chunk, pack_chunk
from telemed_devices.native import Frame, pack_frame, unpack_frame

from telemed.consultation import consultations, tickets
from telemed.http import keys

_PATH = Path(__file__).parents[1] / "server" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("telemed_tests_server", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
server_tests = importlib.util.module_from_spec(_SPEC)
sys.modules["telemed_tests_server"] = server_tests
_SPEC.loader.exec_module(server_tests)
server = server_tests.server
more_settings = server_tests.more_settings
stranger = server_tests.stranger

ROOT = Path(__file__).parents[2]
SERVE = (
    "from aiohttp import web; from telemed.app import build_app; from telemed.settings import Settings; "
    "settings = Settings(); web.run_app(build_app(settings), host='127.0.0.1', port=settings.port, print=None)"
)
DEADLINE = 15.0  # no condition here takes a second on an idle machine


async def until(condition: Callable[[], Any], what: str = "condition", deadline: float = DEADLINE) -> Any:
    """Wait for a condition of this process with a deadline."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true")
        await asyncio.sleep(0.01)
    return value


def now_us() -> int:
    return time.time_ns() // 1000


@dataclass
class Peer:
    """A socket with everything it said, in order."""

    socket: aiohttp.ClientWebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    log: list[Any] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    source: UUID = field(default_factory=uuid4)
    skew_us: int = 0
    answers_clock: bool = True
    reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                said = json.loads(message.data)
                self.messages.append(said)
                self.log.append(said)
                if said["type"] == "clock_ask" and self.answers_clock:
                    await self.send({"type": "clock", "echo": said["server_us"], "stamp_us": self.stamp()})
            elif message.type is aiohttp.WSMsgType.BINARY:
                frame = unpack_frame(message.data)
                self.frames.append(frame)
                self.log.append(frame)
        self.closed.set()

    def stamp(self) -> int:
        """This source's clock."""
        return now_us() + self.skew_us

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send_str(json.dumps(message))

    async def hello(self, **fields: Any) -> dict[str, Any]:
        await self.send({"type": "hello", "protocol": 1, "oldest": 1, "program": "test", "source": str(self.source),
                         **fields})
        return await self.said("welcome")

    async def said(self, kind: str, where: Callable[[dict[str, Any]], Any] = lambda _: True, nth: int = 0) -> Any:
        """The nth message of this type that fulfils the condition."""
        def found() -> list[dict[str, Any]]:
            return [one for one in self.messages if one["type"] == kind and where(one)][nth : nth + 1]

        try:
            return (await until(found, f"{kind}"))[0]
        except AssertionError:
            raise AssertionError(f"no {kind} among {self.messages[-8:]}") from None

    async def refused(self, code: str) -> dict[str, Any]:
        return await self.said("error", lambda one: one["error"]["code"] == code)

    async def close(self) -> None:
        await self.socket.close()
        if self.reading is not None:
            await self.reading


@dataclass
class Wave:
    """A native stream of a test station: seeded samples at ``rate``, ``n`` a chunk."""

    number: int
    kind: str
    names: tuple[str, ...]
    rate: int
    n: int
    samples: np.ndarray[Any, np.dtype[np.int16]]
    started_us: int
    epoch: UUID = field(default_factory=uuid4)
    device: str = "Demo device"
    unit: str = "uV"
    gain: float = 1.25

    def announce(self, attachment: str | None, live_from: int = 0, **fields: Any) -> dict[str, Any]:
        return {
            "type": "announce", "live_from": live_from,
            "stream": {
                "number": self.number, "device": self.device, "kind": self.kind, "epoch": str(self.epoch),
                "format": "native", "origin": "recording", "rate": [self.rate, 1], "attachment": attachment,
                "channels": [{"name": name, "unit": self.unit, "gain": self.gain, "offset": 0.0}
                             for name in self.names],
                "started_us": self.started_us, **fields,
            },
        }

    @property
    def chunks(self) -> int:
        return self.samples.shape[1] // self.n

    def frame(self, seq: int, **fields: Any) -> Frame:
        first = seq * self.n
        values: dict[str, Any] = {
            "stream": self.number, "seq": seq, "first_sample": first,
            "t0_us": self.started_us + first * 1_000_000 // self.rate,
            "samples": self.samples[:, first : first + self.n], **fields,
        }
        return Frame(**values)

    def packed(self, seq: int, **fields: Any) -> bytes:
        return pack_frame(self.frame(seq, **fields))


@dataclass
class Numbers:
    """A stream of characteristic values."""

    number: int
    kind: str
    format: str
    started_us: int
    epoch: UUID = field(default_factory=uuid4)
    device: str = "Demo monitor"

    def announce(self, attachment: str | None, live_from: int = 0) -> dict[str, Any]:
        return {
            "type": "announce", "live_from": live_from,
            "stream": {
                "number": self.number, "device": self.device, "kind": self.kind, "epoch": str(self.epoch),
                "format": self.format, "origin": "simulated", "rate": None, "channels": [],
                "attachment": attachment, "started_us": self.started_us,
            },
        }

    def packed(self, seq: int, payload: bytes, at_us: int) -> bytes:
        return pack_chunk(Chunk(self.number, seq, at_us, payload))


def noise(channels: int, seconds: float, rate: int, seed: int = 7) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Seeded samples that look like no constant: a wander, a beat and noise."""
    generator = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    beat = 900 * np.exp(-(((t % 0.8) - 0.4) ** 2) / (2 * 0.012**2))
    wander = 200 * np.sin(2 * np.pi * 0.3 * t)
    rows = [beat * (0.5 + 0.1 * one) + wander + generator.normal(0, 12, t.size) for one in range(channels)]
    return np.rint(np.array(rows)).astype(np.int16)


def ecg(number: int, started_us: int, seconds: float = 6.0, seed: int = 7, rate: int = 500) -> Wave:
    return Wave(number, "ecg", ("I", "II", "V1"), rate, rate // 5, noise(3, seconds, rate, seed), started_us)


@dataclass
class Visit:
    """A consultation with an open attachment at the seed's station."""

    consultation: str
    attachment: str


@dataclass
class Guest:
    """A browser that joined with a ticket; ``shown`` is what joining answered."""

    client: Any
    visit: Visit
    token: str
    seat: str
    shown: dict[str, Any]

    def path(self, rest: str = "", **query: Any) -> str:
        """A path of the guest's consultation, asked for as this seat."""
        more = "".join(f"&{key}={value}" for key, value in query.items())
        return f"/api/v1/consultations/{self.visit.consultation}{rest}?as={self.seat}{more}"


class Clinic:
    """What the tests do through the HTTP API, and the sockets that they open."""

    def __init__(self, running: Any) -> None:
        self.server = running
        self.peers: list[Peer] = []
        self.operator: Any = None
        self.clinician: Any = None

    async def visit(self, patient: int = 0, admit: bool = True) -> Visit:
        """Attach a patient, let it wait, and admit it."""
        seed = self.server.seed
        status, made = await self.operator.post(
            "/api/v1/consultations", {"station_id": seed.station_id, "patient_id": str(seed.patients[patient])})
        assert status == 201, made
        status, attached = await self.operator.post("/api/v1/attachments", {
            "station_id": seed.station_id, "patient_id": str(seed.patients[patient]), "consultation_id": made["id"]})
        assert status == 201, attached
        if admit:
            status, answer = await self.clinician.post(f"/api/v1/consultations/{made['id']}/admit")
            assert status == 200, answer
        return Visit(made["id"], attached["id"])

    async def guest(
        self, visit: Visit, role: Any = "patient", name: str | None = None, admit: bool = True
    ) -> Guest:
        """Invite somebody, join from a browser of its own, and let it in where it is not yet."""
        app, clinician = self.server.app, self.server.seed.accounts["clinician"]
        async with self.server.database.transaction() as connection:
            held = await consultations.hold(connection, app[keys.SEALER], UUID(visit.consultation))
            _, token = await tickets.create(connection, app[keys.SEALER], held, role, name, "bg", clinician)
        guest = await self.join(visit, token)
        if admit and guest.shown["seat_state"] == "waiting":
            await self.decide(guest, "admit")
        return guest

    async def join(self, visit: Visit, token: str, client: Any = None) -> Guest:
        """Join with a ticket's token."""
        client = client or await self.server.anonymous()
        status, shown = await client.post("/api/v1/visits", {"ticket": token, "name": None, "language": "bg"})
        assert status == 201, shown
        return Guest(client, visit, token, shown["seat"], shown)

    async def decide(self, guest: Guest, decision: str) -> None:
        """The clinician admits, refuses or removes."""
        status, answer = await self.clinician.post(
            f"/api/v1/consultations/{guest.visit.consultation}/seats/{guest.seat}/{decision}")
        assert status == 200, answer

    async def guest_page(
        self, guest: Guest, hello: bool = True, said: dict[str, Any] | None = None, **fields: Any
    ) -> Peer:
        """Connect as the guest's page; ``said`` goes into its hello."""
        socket = await guest.client.http.ws_connect(
            f"/ws/consultations/{guest.visit.consultation}?as={guest.seat}", headers={"Origin": self.server.url})
        peer = await self._peer(Peer(socket, **fields), False)
        if hello:
            await peer.hello(**(said or {}))
        return peer

    async def end(self, visit: Visit) -> None:
        status, answer = await self.clinician.post(f"/api/v1/consultations/{visit.consultation}/end")
        assert status == 200, answer

    async def station(self, hello: bool = True, **fields: Any) -> Peer:
        """Connect as the seed's station."""
        client = await self.server.anonymous()
        key = fields.pop("key", self.server.seed.station_key)
        socket = await client.http.ws_connect("/ws/station", headers={"Authorization": f"Bearer {key}"})
        return await self._peer(Peer(socket, **fields), hello)

    async def page(self, visit: Visit, hello: bool = True, client: Any = None, **fields: Any) -> Peer:
        """Connect as the clinician's page."""
        http = (client or self.clinician).http
        socket = await http.ws_connect(
            f"/ws/consultations/{visit.consultation}", headers={"Origin": self.server.url})
        return await self._peer(Peer(socket, **fields), hello)

    async def _peer(self, peer: Peer, hello: bool) -> Peer:
        self.peers.append(peer)
        peer.start()
        if hello:
            await peer.hello()
        return peer

    async def announced(self, station: Peer, stream: Wave | Numbers, attachment: str | None, **fields: Any) -> Any:
        await station.send(stream.announce(attachment, **fields))
        return await station.said("announced", lambda one: one["number"] == stream.number,
                                  sum(one["type"] == "announced" and one["number"] == stream.number
                                      for one in station.messages))

    async def acked(self, station: Peer, number: int, through: int) -> None:
        await station.said("ack", lambda one: one["number"] == number and (one["through"] or 0) >= through)


class Killable:
    """The server as a process of its own, over a database that lives on."""

    def __init__(self, port: int, database_url: str, key_file: Path, home: Path) -> None:
        roots = os.pathsep.join(str(ROOT / name) for name in (".", "devices", "signal", "web", "migrations"))
        self.environment = {
            **os.environ, "PYTHONPATH": roots, "DATABASE_URL": database_url, "TELEMED_HOME": str(home),
            "TELEMED_KEY_FILE": str(key_file), "TELEMED_PORT": str(port),
        }  # fmt: skip
        self.url = f"http://127.0.0.1:{port}"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVE, env=self.environment)

    async def kill(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()


@pytest.fixture
async def clinic(server: Any) -> AsyncIterator[Clinic]:
    """The server with an operator and a clinician signed in."""
    made = Clinic(server)
    made.operator, made.clinician = await server.client("operator"), await server.client("clinician")
    yield made
    for peer in made.peers:
        await peer.close()


@pytest.fixture
def support() -> Any:
    """This module, for its builders."""
    return sys.modules[__name__]
