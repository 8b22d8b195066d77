"""One schedule: the real station against the real server logic in simulated time, and what must hold.

Always: an acknowledgement covers only what is committed (R1). In the end: what the station kept on its disk is stored,
once, to the last byte, and nothing else is; the spool is empty; other bytes under a stored number were refused and
audited (R6). What is shown live is in order (R6, R7), by a time that is right within its own error whatever the
station's clock says (R7), and not late while the backlog drains (R5).
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import structlog
from aiohttp import WSMessage, WSMsgType
from telemed_devices.native import pack_frame, unpack_frame

from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.commit import Committer
from telemed.vitals.durable import Durable
from telemed.vitals.storage import envelopes
from telemed.vitals.storage.contexts import chunk_context, frame_context, segment_context
from tests.faults.simulated_loop import SimulatedLoop, simulate, simulated_time
from tests.faults.simulated_net import Weather
from tests.faults.simulated_schedule import STEP_US, SWIFT, Event, Scenario, draw
from tests.faults.simulated_server import Server
from tests.faults.simulated_station import SimulatedClock, Station, seed_backoff
from tests.faults.simulated_store import Store

COMES_THROUGH_S = 300.0  # simulated, after the last trouble: all is acknowledged within this
LOOK_S = 0.5
REFUSED_S = 30.0  # simulated: the station is back, and the server has answered
LATE_S = 2.0  # live is at most this late while the backlog drains (R5)
DRIFTS_US = 25_000  # what 2 × 200 ppm make of a fix that is a minute old
QUIET_WEATHER = Weather()
MEMORY = Path("/dev/shm")  # noqa: S108 - where the spool's file costs no disk; elsewhere the usual temporary folder


class Violation(AssertionError):
    """What must hold does not. The text begins with the seed."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of; a broken copy of one of them must be found."""

    committer: Callable[[Any], Committer] = Committer
    durable: type[Durable] = Durable
    store: Callable[..., Store] = Store


@dataclass
class Figures:
    """What a run came to. ``trace`` is the same for the same seed."""

    seed: int
    chunks: int = 0
    connections: int = 0
    differs: int = 0
    simulated_s: float = 0.0
    trace: int = 0
    kinds: frozenset[str] = field(default_factory=frozenset)


def run(seed: int, parts: Parts = Parts()) -> Figures:
    """Run the schedule of a seed. Raises ``Violation``."""
    scenario = draw(seed)
    folder = Path(tempfile.mkdtemp(prefix="telemed-simulated-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        with _quiet():
            return simulate(lambda loop: _Run(scenario, parts, folder, loop).go(), seed)
    except Violation:
        raise
    except Exception as error:
        raise Violation(f"seed {seed}: {type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines: they tell of what is broken on purpose."""
    kept = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**kept)


class _Run:
    def __init__(self, scenario: Scenario, parts: Parts, folder: Path, loop: SimulatedLoop) -> None:
        self._scenario = scenario
        self._parts = parts
        self._loop = loop
        self._dice = random.Random(f"run {scenario.seed}")
        self._wall_us = scenario.wall_us
        self._stepped_us = 0
        self._weather = QUIET_WEATHER
        self._sealer = Sealer(bytes(range(32)))
        self._station_key = bytes(range(1, 33))
        self._store = parts.store(
            random.Random(f"store {scenario.seed}"), self._sealer.wrap(self._station_key), self._wall)
        self._server = Server(
            self._store, self._sealer, random.Random(f"net {scenario.seed}"), lambda: self._weather, self._told,
            parts.committer,
        )  # fmt: skip
        self._clocks: dict[UUID, tuple[int, float]] = {}
        self._station = Station(
            folder, random.Random(f"station {scenario.seed}"), self._server.dial, self._new_clock)
        self._prefix: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._keys: dict[int, DataKey] = {}
        self._announced: set[int] = set()  # streams of the connection now, by their numbers
        self._differs = 0
        self._errors = self._store.errors
        self._figures = Figures(scenario.seed, kinds=scenario.kinds)

    def _wall(self) -> int:
        return self._wall_us + round(self._loop.time() * 1e6)

    def _new_clock(self) -> SimulatedClock:
        """Of a new run of the station's program: the skew is that of the first; later ones are right, or as wrong."""
        scenario = self._scenario
        source = UUID(int=1000 + len(self._clocks))
        skew = scenario.skew_us if not self._clocks or self._dice.random() < 0.5 else 0
        start_us = 60_000_000 if skew is None else scenario.wall_us + skew
        self._clocks[source] = (start_us, scenario.drift_ppm)
        return SimulatedClock(source, start_us, scenario.drift_ppm)

    async def go(self) -> Figures:
        self._loop.set_exception_handler(lambda _, context: self._errors.append(str(context)))
        dice = random.Random(f"backoff {self._scenario.seed}")
        random.seed(self._scenario.seed)  # the committer's jitter
        with (
            simulated_time(self._loop.time, self._wall),
            patch("telemed_station.uplink.Backoff", seed_backoff(dice)),
            patch("telemed.vitals.uplink.Durable", self._parts.durable),
        ):
            self._server.start()
            await self._station.start()
            try:
                for event in self._scenario.events:
                    await asyncio.sleep(max(0.0, event.at_s - self._loop.time()))
                    await self._happen(event)
                await self._come_through()
                if "conflict" in self._scenario.kinds:
                    await self._refused_at_last()
                self._judge()
            finally:
                await self._station.kill()
                if self._server.runs:
                    await self._server.kill()
        self._figures.simulated_s = self._loop.time()
        return self._figures

    # What goes wrong.

    async def _happen(self, event: Event) -> None:
        self._note(f"{event.kind} {self._loop.time():.6f}")
        later, trouble = self._loop.call_later, self._store.trouble
        match event.kind:
            case "cut":
                self._server.cut(event.how, event.for_s)
            case "unreachable":
                self._server.reachable = False
                self._server.cut("silent", 0)
                later(event.for_s, setattr, self._server, "reachable", True)
            case "weather":
                self._weather = Weather((0.005, 0.02 + 0.6 * event.much), *(
                    self._dice.choice((0.0, 0.05, 0.3)) for _ in range(3)))
                later(event.for_s, setattr, self, "_weather", QUIET_WEATHER)
            case "server_kill" | "server_restart":
                if self._server.runs:
                    await (self._server.kill() if event.kind == "server_kill" else self._server.stop())
                    await asyncio.sleep(event.for_s / 4)
                    self._server.start()
            case "station_kill":
                await self._station.kill()
                await asyncio.sleep(event.for_s / 4)
                await self._station.start()
            case "away" | "full":
                setattr(trouble, event.kind, True)
                later(event.for_s, setattr, trouble, event.kind, False)
            case "lose_commit":
                trouble.lose_commits += 1 + round(event.much * 2)
            case "lose_answer":
                trouble.lose_answers += 1 + round(event.much * 2)
            case "compact":
                self._compact()
            case "conflict":
                self._conflict()
            case "renew":
                await self._station.renew()
            case "hole":
                self._station.device.skip(1 + round(event.much * 200))
            case "wall_step":
                step_us = round((event.much * 2 - 1) * STEP_US)
                self._wall_us += step_us
                self._stepped_us += abs(step_us)

    def _compact(self) -> None:
        """All hot chunks into segments, their rows gone: as late as the product's own, and all at once."""
        tables = self._store.tables
        for stream_id in {stream for stream, _ in tables.chunks}:
            hot = sorted(seq for stream, seq in tables.chunks if stream == stream_id)
            for first, last in _runs(hot):
                rows = [self._envelope(stream_id, seq) for seq in range(first, last + 1)]
                nonce, sealed = self._key(stream_id).seal(
                    envelopes.pack_envelopes(first, rows), segment_context(stream_id, first))
                self._store.pack(stream_id, first, last, nonce, sealed)

    def _envelope(self, stream_id: int, seq: int) -> envelopes.Envelope:
        tables, reading = self._store.tables, None
        if (frame := tables.frames.get((stream_id, seq))) is not None:
            plain = self._key(stream_id).open(frame["nonce"], frame["sealed"], frame_context(stream_id, seq))
            reading = envelopes.Reading(frame["decoder"], plain)
        return envelopes.Envelope(tables.chunks[stream_id, seq]["t0_us"], self._plain(stream_id, seq), reading)

    def _conflict(self) -> None:
        """Other bytes under a number that is stored, on the station's own line."""
        line, stored = self._server.line, self._stored_of_announced()
        if line is None or line.up.ended or not stored:
            return
        frame = unpack_frame(self._plain(*self._dice.choice(stored)))
        data = pack_frame(replace(frame, samples=frame.samples + 1))
        line.up.put(WSMessage(WSMsgType.BINARY, data, None), loose=False)

    def _stored_of_announced(self) -> list[tuple[int, int]]:
        streams = self._store.tables.streams
        native = [stream for stream, row in streams.items()
                  if row["format"] == "native" and row["number"] in self._announced]  # fmt: skip
        return sorted((stream, seq) for stream in native for seq in self._store.durable(stream))

    # What must hold.

    def _fail(self, text: str) -> None:
        raise Violation(f"seed {self._scenario.seed} at {self._loop.time():.3f} s: {text}")

    def _note(self, text: str) -> None:
        self._figures.trace = zlib.crc32(text.encode(), self._figures.trace)

    def _told(self, said: dict[str, Any]) -> None:
        """The server says this: what it acknowledges is committed by now."""
        kind = said["type"]
        if kind == "welcome":
            self._figures.connections += 1
            self._announced.clear()
        if kind == "error":
            self._differs += said["error"]["code"] == "chunk_differs"
            self._note(f"error {said['error']['code']} {said.get('seq')}")
        if kind not in ("ack", "announced"):
            return
        self._note(f"{kind} {said['through']} {said['ranges']} {self._loop.time():.6f}")
        number = said["number"]
        self._announced.add(number)
        stream_id = self._id(number)
        through = -1 if said["through"] is None else said["through"]
        first = self._prefix.get(number, 0)
        for low, high in [(first, through), *said["ranges"]]:
            for seq in range(low, high + 1):
                if not self._store.holds(stream_id, seq):
                    self._errors.append(f"{kind} of stream {number} covers {seq}, which is not committed")
                    return
        self._prefix[number] = max(first, through + 1)

    def _id(self, number: int) -> int:
        if number not in self._ids:
            for row in self._store.tables.streams.values():
                self._ids[row["number"]] = row["id"]
        return self._ids[number]

    async def _come_through(self) -> None:
        """No more trouble: all that was recorded is acknowledged."""
        await asyncio.sleep(max(0.0, self._scenario.trouble_s - self._loop.time()))
        self._server.reachable, self._weather = True, QUIET_WEATHER
        self._store.trouble = type(self._store.trouble)()
        await self._station.recorder.finish()
        # A server whose clock was set back refuses what an earlier run of the station stamped, for it has one fix of
        # that run alone, until its clock has come as far again: the chunks wait in the spool.
        end_s = self._loop.time() + COMES_THROUGH_S + self._stepped_us / 1e6
        while not self._errors:
            if (failure := self._station.failed()) is not None:
                raise failure
            await self._station.spool.flush()
            if not self._station.spool.waiting.chunks:
                return
            if self._loop.time() > end_s:
                self._fail(f"{self._station.spool.waiting.chunks} chunks were not acknowledged")
            await asyncio.sleep(LOOK_S)

    async def _refused_at_last(self) -> None:
        """With nothing in its way, other bytes under a stored number are refused.

        A run of the station's program that stored nothing of its wave has no such number on its line.
        """
        # A number that was stored before the server's clock was set back is refused for its time until then.
        end_s = self._loop.time() + REFUSED_S + self._stepped_us / 1e6
        before = self._differs
        while self._differs == before and not self._errors and self._stored_of_announced():
            if self._loop.time() > end_s:
                self._fail("other bytes under a stored number were not refused")
            self._conflict()
            await asyncio.sleep(LOOK_S)

    def _judge(self) -> None:
        if self._errors:
            self._fail(self._errors[0])
        truth, tables = self._station.truth, self._store.tables
        stored: dict[tuple[int, int], bytes] = {}
        numbers = {row["id"]: row["number"] for row in tables.streams.values()}
        for stream_id, number in numbers.items():
            for seq in self._store.durable(stream_id):
                stored[number, seq] = self._plain(stream_id, seq)
        for key in truth.kept:
            if key not in stored:
                self._fail(f"chunk {key} was recorded and is lost")
        for key, data in stored.items():
            if truth.meant.get(key) != data:
                self._fail(f"chunk {key} is stored and is not what was recorded")
        self._figures.chunks = len(stored)
        audited = sum(row["detail"].get("code") == "chunk_differs" for row in tables.audit)
        if audited < self._differs:
            self._fail(f"{self._differs} chunks were refused, {audited} of them audited")
        self._figures.differs = audited
        self._judge_live()
        self._note(f"{sorted(stored)}")

    def _judge_live(self) -> None:
        last: dict[tuple[int, int], tuple[int, int]] = {}
        swift = self._scenario.kinds <= SWIFT and not any(
            event.kind == "cut" and event.how == "silent" for event in self._scenario.events)
        sources = {row["number"]: row["source"] for row in self._store.tables.streams.values()}
        for one in self._server.shown:
            where = (one.lane, one.number)
            seq, past = last.get(where, (-1, 0))
            if one.seq <= seq or one.first_sample < past:
                self._fail(f"stream {one.number}: chunk {one.seq} is shown after {seq}")
            last[where] = (one.seq, one.first_sample + one.n)
            start_us, drift_ppm = self._clocks[sources[one.number]]
            true_s = (one.stamp_us - start_us) / (1e6 * (1 + drift_ppm / 1e6))
            if "wall_step" not in self._scenario.kinds and one.error_us:
                off_us = one.at_us - self._scenario.wall_us - round(true_s * 1e6)
                if abs(off_us) > one.error_us + DRIFTS_US:
                    self._fail(f"chunk {one.seq} is shown {off_us} µs off, said to be within {one.error_us}")
            if swift and one.now_s - true_s > LATE_S:
                self._fail(f"chunk {one.seq} of stream {one.number} is shown {one.now_s - true_s:.2f} s late")

    def _key(self, stream_id: int) -> DataKey:
        if stream_id not in self._keys:
            wrapped = self._store.tables.streams[stream_id]["key_wrapped"]
            self._keys[stream_id] = DataKey(self._sealer.unwrap(bytes(wrapped), self._station_key))
        return self._keys[stream_id]

    def _plain(self, stream_id: int, seq: int) -> bytes:
        row = self._store.tables.chunks.get((stream_id, seq))
        if row is not None:
            return self._key(stream_id).open(row["nonce"], row["sealed"], chunk_context(stream_id, seq))
        for (stream, first), one in self._store.tables.segments.items():
            if stream == stream_id and first <= seq <= one["last_seq"]:
                plain = self._key(stream_id).open(one["nonce"], one["sealed"], segment_context(stream_id, first))
                return envelopes.unpack_envelopes(plain).chunk(seq - first)
        raise Violation(f"seed {self._scenario.seed}: {stream_id}, {seq} is packed and in no segment")


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1 and number - found[-1][0] < envelopes.ENVELOPES_MAX:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
