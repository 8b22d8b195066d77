"""The station program's own recorder, spool, lanes and uplink, with a device and a clock of the simulation's.

``Station.start`` begins a run of the program, ``kill`` ends it as kill -9 does; the spool's file stays. Its clock
starts wherever the schedule says, drifts, and is a new source at every start.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from telemed_station.backoff import Backoff
from telemed_station.drivers.driver import Channel, Loop, Signal, Value, Wave
from telemed_station.people import People
from telemed_station.recorder import Recorder
from telemed_station.spool_thread import SpoolThread
from telemed_station.spooled import Chunk
from telemed_station.uplink import Address, Uplink

from tests.faults.simulated_net import Line, StationSocket

RATE = 50  # samples a second of the wave: what is proved does not depend on how many they are
NUMBER_US = 1_000_000  # between two heart rates
WAVE = Signal("ecg", "Leads", "native", "simulated", (RATE, 1), (Channel("I", "uV", 1.0), Channel("II", "uV", 1.0)))
NUMBER = Signal("heart_rate", "Belt", "gatt:2a37", "simulated")


class SimulatedClock:
    """A steady clock: ``start_us`` at the loop's time 0, fast by ``drift_ppm``."""

    def __init__(self, source: UUID, start_us: int, drift_ppm: float) -> None:
        self.source = source
        self._start_us = start_us
        self._rate = 1 + drift_ppm / 1e6
        self._loop = asyncio.get_running_loop()

    def stamp_us(self) -> int:
        return self._start_us + round(self._loop.time() * 1e6 * self._rate)


class Device:
    """A wave and a number, whose values follow from their index. ``skip`` makes a hole in the wave."""

    name = "simulated"
    scenario = ""
    loop: Loop | None = None
    signals: Sequence[Signal] = (WAVE, NUMBER)

    def __init__(self, start_us: int) -> None:
        self._start_us = start_us
        self._next = 0
        self._number_us = start_us

    def stamp_of(self, kind: str, index: int) -> int:
        return self._start_us + index * 1_000_000 // RATE

    def sample_index(self, kind: str) -> int:
        return self._next

    def skip(self, samples: int) -> None:
        """These are never measured."""
        self._next += samples

    def pull(self, until_us: int) -> list[Wave | Value]:
        made: list[Wave | Value] = []
        first, past = self._next, (until_us - self._start_us) * RATE // 1_000_000
        if past > first:
            index = np.arange(first, past)
            samples = np.stack([index % 251 - 125, index * 7 % 1009 - 500]).astype(np.int16)
            made.append(Wave("ecg", first, self.stamp_of("ecg", first), samples))
            self._next = past
        while self._number_us + NUMBER_US <= until_us:
            self._number_us += NUMBER_US
            made.append(Value("heart_rate", self._number_us, bytes([0, 60 + self._number_us // NUMBER_US % 60])))
        return made

    def since_beat_us(self, stamp_us: int) -> int | None:
        return None

    def switch(self, scenario: str, at_us: int) -> None: ...


class Truth:
    """What the station ever meant to keep, and what it kept on its disk: by (stream number, seq), with when."""

    def __init__(self) -> None:
        self.meant: dict[tuple[int, int], bytes] = {}
        self.kept: dict[tuple[int, int], float] = {}
        self.connected_s = 0.0

    def mean(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            key = (chunk.number, chunk.seq)
            assert self.meant.setdefault(key, chunk.data) == chunk.data, f"{key} was recorded twice"


class WatchedSpool(SpoolThread):
    """The spool; ``truth`` is told what goes in."""

    truth: Truth

    async def write(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        self.truth.mean(chunks)
        work = super().write(chunks)
        written = await work
        now = asyncio.get_running_loop().time()
        for chunk in chunks:
            self.truth.kept[chunk.number, chunk.seq] = now
        return written


class Http:
    """aiohttp's client session, as far as the uplink uses it."""

    def __init__(self, dial: Callable[[], Any]) -> None:
        self._dial = dial

    async def ws_connect(self, url: str, **_: Any) -> StationSocket:
        line: Line = await self._dial()
        return StationSocket(line)


class Station:
    """One station through all its runs."""

    def __init__(self, folder: Path, dice: random.Random, dial: Callable[[], Any], clock: Callable[[], SimulatedClock]):
        self._path = folder / "spool.sqlite3"
        self._dice = dice
        self._http = Http(dial)
        self._new_clock = clock
        self.truth = Truth()
        self.tasks: list[asyncio.Task[None]] = []
        self.spool: WatchedSpool
        self.recorder: Recorder
        self.device: Device
        self.uplink: Uplink
        self.clock: SimulatedClock

    async def start(self) -> None:
        """A new run of the program."""
        self.clock = self._new_clock()
        self.device = Device(self.clock.stamp_us())
        self.spool = WatchedSpool(self._path)
        self.spool.truth = self.truth
        people = People(self.spool)
        await people.load()
        self.uplink = Uplink(
            Address("http://simulated", "key", "simulated"), self.clock, self.spool, self._http,  # type: ignore[arg-type]
            hear=self._hear, status=self._status, people=people,
        )  # fmt: skip
        self.recorder = Recorder(
            self.device, self.clock, self.spool, begun=self.uplink.begun, written=self.uplink.offer)
        self.tasks = [asyncio.create_task(self.uplink.run()), asyncio.create_task(self.recorder.run())]

    async def kill(self) -> None:
        """As kill -9: what is not on the disk is gone."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.spool._spool.close()
        self.spool._thread.shutdown(wait=True)

    async def renew(self) -> None:
        """New epochs, as the server may ask for at any time."""
        await self.recorder.renew(None)

    def failed(self) -> BaseException | None:
        """Why a part of the program ended, if one did."""
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                return task.exception()
        return None

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "welcome":
            self.truth.connected_s = asyncio.get_running_loop().time()

    def _status(self) -> dict[str, Any]:
        waiting = self.spool.waiting
        return {"queue": {"chunks": waiting.chunks, "bytes": waiting.bytes}, "call": {"state": "idle"}}


def seed_backoff(dice: random.Random) -> Callable[[], Backoff]:
    """What stands for ``telemed_station.uplink.Backoff`` in a run: the same draws for the same seed."""
    return lambda: Backoff(dice)


