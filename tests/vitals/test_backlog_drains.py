"""A long time without a line: the newest comes first, what is live goes before it, and nothing is lost or doubled
although the server is killed three times while the backlog drains.

``TELEMED_BACKLOG_HOURS`` (24 in ``make faults``) hours of one-second chunks; one hour in ``make test``. The
bounds in time hold for the long one alone, where the figures are asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import unused_port
from telemed_devices.native import Frame, pack_frame, unpack_frame
from telemed_station import console
from telemed_station.backlog import READ_AHEAD
from telemed_station.errors import StationError
from telemed_station.lanes import BACKLOG_IN_FLIGHT
from telemed_station.program import StationSettings, run
from telemed_station.spool import Chunk, Spool
from yarl import URL

from telemed.app import build_app
from telemed.http import keys
from telemed.identity import sign_ins
from telemed.settings import Settings
from telemed.store.sealing import DataKey
from telemed.vitals.storage import evidence

LONG = "TELEMED_BACKLOG_HOURS" in os.environ
HOURS = float(os.environ.get("TELEMED_BACKLOG_HOURS", "1"))
CHUNKS = round(HOURS * 3600)
KILLS = 3
RATE, LEADS = 250, 12
LAG_MOST_S = 2.0
DRAIN_LEAST = 100.0  # chunks a second on a good line
SLOW_S = 60.0  # for a condition; the drain itself has as long as its least rate needs
WRITTEN = 500  # chunks in one transaction

_SAMPLES = np.cumsum(np.random.default_rng(5).integers(-40, 41, (LEADS, 60 * RATE)), axis=1).astype(np.int16)


@dataclass
class Generation:
    """One epoch of before: its number at the station and where its samples begin."""

    number: int
    epoch: str
    started_us: int
    chunks: int

    def packed(self, seq: int) -> bytes:
        at = seq % 60 * RATE
        return pack_frame(Frame(
            self.number, seq, seq * RATE, self.started_us + seq * 1_000_000, _SAMPLES[:, at : at + RATE], 0
        ))  # fmt: skip


def fill(path: Path, attachment: str) -> list[Generation]:
    """A spool with the backlog, oldest generation first."""
    spool, began_us = Spool(path), time.time_ns() // 1000 - CHUNKS * 1_000_000
    each = CHUNKS // max(KILLS + 1, round(HOURS))
    made = []
    for first in range(0, CHUNKS, each):
        one = Generation(0, str(uuid4()), began_us + first * 1_000_000, min(each, CHUNKS - first))
        (stream,) = spool.begin([{
            "device": "Demo device of before", "kind": "ecg", "epoch": one.epoch, "format": "native",
            "origin": "simulated", "rate": [RATE, 1], "attachment": attachment, "started_us": one.started_us,
            "channels": [{"name": f"L{at}", "unit": "uV", "gain": 2.0, "offset": 0.0} for at in range(LEADS)],
            "source": str(uuid4()),
        }])  # fmt: skip
        one.number = stream.number
        for seq in range(0, one.chunks, WRITTEN):
            spool.write([Chunk(one.number, at, one.packed(at)) for at in range(seq, min(seq + WRITTEN, one.chunks))])
        made.append(one)
    spool.close()
    return made


@dataclass
class Page:
    """A clinician's page that watches whatever ECG is live and comes back after each kill."""

    client: Any
    consultation: str
    url: str
    lags_s: list[float] = field(default_factory=list)
    station: dict[str, Any] = field(default_factory=dict)

    async def run(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._connected()
            await asyncio.sleep(0.05)

    async def _connected(self) -> None:
        path = f"/ws/consultations/{self.consultation}"
        async with self.client.http.ws_connect(path, headers={"Origin": self.url}) as socket:
            await socket.send_json({"type": "hello", "protocol": 1, "oldest": 1, "program": "test",
                                    "source": str(uuid4())})  # fmt: skip
            async for message in socket:
                now_us = time.time_ns() // 1000
                if message.type is aiohttp.WSMsgType.BINARY:
                    frame = unpack_frame(message.data)
                    rate = self._rates[frame.view]
                    self.lags_s.append((now_us - frame.t0_us) / 1e6 - frame.n / rate)
                    continue
                said = message.json()
                if said["type"] in ("welcome", "streams"):
                    for one in said["streams"]:
                        if one["kind"] == "ecg" and one["live"]:
                            await socket.send_json({"type": "watch", "stream": one["stream"], "view": "raw"})
                elif said["type"] == "describe":
                    self._rates[said["view"]] = said["rate"][0] / said["rate"][1]
                elif said["type"] == "clock_ask":
                    await socket.send_json({"type": "clock", "echo": said["server_us"], "stamp_us": now_us})
                if "station" in said or said["type"] == "station":
                    self.station = said.get("station") or said

    _rates: dict[int, float] = field(default_factory=dict)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a path that a socket fits in."""
    with tempfile.TemporaryDirectory(prefix="tm-") as folder:
        yield Path(folder)


async def until(condition: Callable[[], Any], what: str, seconds: float = SLOW_S) -> Any:
    end = time.monotonic() + seconds
    while not (value := await condition()):
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.1)
    return value


async def asked(home: Path) -> dict[str, Any]:
    """What the station's console answers; before it runs, that everything waits."""
    try:
        return await asyncio.to_thread(console.ask, home, {"do": "show"})
    except StationError:
        return {"connected": False, "queue": {"chunks": CHUNKS}}


@contextlib.asynccontextmanager
async def running(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.create_task(work)
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_backlog_drains_behind_what_is_live_while_the_server_is_killed(
    database_urls: Any, key_file: Path, tmp_path: Path, support: Any, home: Path
) -> None:
    port = unused_port()
    app = build_app(Settings(home=tmp_path, port=port, key_file=key_file, database_url=database_urls.server))
    await app[keys.DATABASE].open()
    server = support.Killable(port, database_urls.server, key_file, tmp_path)
    try:
        seed = await support.server_tests.make_seed(app)
        await server.start()
        async with signed_in(app, seed, support, server.url, "operator") as operator, \
                signed_in(app, seed, support, server.url, "clinician") as clinician:  # fmt: skip
            await until(lambda: reached(operator), "the server is there")
            attachment, consultation = await visit(operator, clinician, seed)
            generations = await asyncio.to_thread(fill, home / "spool.sqlite3", attachment)
            page = Page(clinician, consultation, server.url)
            settings = StationSettings(
                server=server.url, key=seed.station_key, home=home, camera="none", microphone="none")  # fmt: skip
            async with running(page.run()), running(run(settings)):
                rates = [await drained_to(home, server, CHUNKS * (KILLS - life) // (KILLS + 1), app, generations, page)
                         for life in range(KILLS)]  # fmt: skip
                rates.append(await drained_to(home, None, 0, app, generations, page))
                await until(lambda: whole(app, generations), "the rest is there")
                queue = page.station["status"]["queue"]
                assert queue["state"] == "ok" and queue["room_bytes"] > 0, "the page is told of the spool"
        print(f"\nbacklog of {CHUNKS} chunks: {', '.join(f'{rate:.0f}' for rate in rates)} chunks/s between kills;"
              f" live lag max {max(page.lags_s):.2f} s of {len(page.lags_s)} frames")
        if LONG:
            assert max(page.lags_s) <= LAG_MOST_S and min(rates) >= DRAIN_LEAST
        await compare(app, generations)
    finally:
        await server.kill()
        await app[keys.DATABASE].close()


@contextlib.asynccontextmanager
async def signed_in(app: Any, seed: Any, support: Any, url: str, role: str) -> AsyncIterator[Any]:
    async with support.server_tests.Client(url) as client:
        async with app[keys.DATABASE].connection() as connection:
            token = await sign_ins.begin(connection, seed.accounts[role])
        client.http.cookie_jar.update_cookies({"telemed": token}, URL(url))
        yield client


async def reached(client: Any) -> bool:
    try:
        status, _ = await client.get("/healthz")
        return bool(status == 200)
    except (aiohttp.ClientError, OSError):
        return False


async def visit(operator: Any, clinician: Any, seed: Any) -> tuple[str, str]:
    who = {"station_id": seed.station_id, "patient_id": str(seed.patients[0])}
    status, made = await operator.post("/api/v1/consultations", who)
    assert status == 201, made
    status, attached = await operator.post("/api/v1/attachments", {**who, "consultation_id": made["id"]})
    assert status == 201, attached
    status, answer = await clinician.post(f"/api/v1/consultations/{made['id']}/admit")
    assert status == 200, answer
    return attached["id"], made["id"]


async def drained_to(
    home: Path, server: Any, left: int, app: Any, generations: list[Generation], page: Page
) -> float:
    """Let it drain until so many wait and the page saw what is live, then kill the server and start it again; returns
    chunks a second of its line."""
    some = READ_AHEAD + BACKLOG_IN_FLIGHT if left == 0 else 0  # what is live waits a moment, too
    seen, waits = len(page.lags_s), list[tuple[float, int]]()

    async def enough() -> bool:
        answer = await asked(home)
        left_now = int(answer["queue"]["chunks"])
        if answer["connected"]:
            waits.append((time.monotonic(), left_now))
        return left_now <= left + some

    await until(enough, f"{left} wait", SLOW_S + CHUNKS / DRAIN_LEAST)
    rate = math.nan  # one that drained between two looks has none
    if len(waits) > 1:
        (began, before), (ended, after) = waits[0], waits[-1]
        rate = (before - after) / (ended - began)

    async def live() -> bool:
        return len(page.lags_s) > seen

    await until(live, "what is live is seen while the backlog drains")
    if server is not None:
        await server.kill()
        await newest_first(app, generations)
        await server.start()
    return rate


async def newest_first(app: Any, generations: list[Generation]) -> None:
    """Of a generation that is not all there, no older one is begun beyond what was under way."""
    have = [0 if found is None else sum(last - first + 1 for first, last in found)
            for found in [await durable(app, one) for one in generations]]  # fmt: skip
    begun = next((at for at, count in enumerate(have) if count), len(have))
    missing = sum(one.chunks - count for one, count in zip(generations[begun + 1 :], have[begun + 1 :], strict=True))
    assert missing <= READ_AHEAD + BACKLOG_IN_FLIGHT, have


async def durable(app: Any, one: Generation) -> list[tuple[int, int]] | None:
    async with app[keys.DATABASE].connection() as connection:
        row = await connection.fetchrow("select id, born from stream where number = $1", one.number)
        return None if row is None else await evidence.durable(connection, row["id"], row["born"])


async def whole(app: Any, generations: list[Generation]) -> bool:
    return all([await durable(app, one) == [(0, one.chunks - 1)] for one in generations])


async def compare(app: Any, generations: list[Generation]) -> None:
    """Every chunk is there once, to the byte."""
    sealer = app[keys.SEALER]
    async with app[keys.DATABASE].connection() as connection:
        for one in generations:
            row = await connection.fetchrow(
                "select stream.id, born, stream.key_wrapped, patient.key_wrapped as patient_key from stream"
                " join attachment on attachment.id = attachment_id join patient on patient.id = patient_id"
                " where stream.number = $1", one.number)  # fmt: skip
            key = DataKey(sealer.unwrap(bytes(row["key_wrapped"]), sealer.unwrap(bytes(row["patient_key"]))))
            expected = 0
            async for seq, data in evidence.chunks(connection, row["id"], row["born"], key):
                assert seq == expected and data == one.packed(seq)
                expected += 1
            assert expected == one.chunks
