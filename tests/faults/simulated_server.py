"""The server's own uplink, lanes and committer over the simulated store; a hub that only writes down what is shown.

``start`` begins a process, ``kill`` ends it as kill -9 does: what is committed stays, a COMMIT on its way may or may
not be done, every connection is cut.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp

from telemed.consultation.presence import StationPresence
from telemed.consultation.rooms import Rooms
from telemed.identity.stations import Station
from telemed.store.sealing import Sealer
from telemed.vitals.around import Surroundings
from telemed.vitals.commit import Committer
from telemed.vitals.ingest import Ingest
from telemed.vitals.uplink import Uplink
from tests.faults import simulated_statements  # noqa: F401 - fills what the store knows
from tests.faults.simulated_net import Line, ServerSocket, Weather
from tests.faults.simulated_store import Store

STATION = Station(1, UUID(int=1), "Simulated", "", datetime(2026, 1, 1, tzinfo=UTC), None)


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame or reading that went to the live view: when, by the loop, and the server's time of its first sample."""

    lane: int
    number: int
    seq: int
    first_sample: int
    n: int
    stamp_us: int
    at_us: int
    error_us: int
    now_s: float


class WatchedHub:
    """Every stream is watched, and nothing is computed."""

    def __init__(self, shown: list[Shown], now_s: Callable[[], float], lanes: Iterator[int]) -> None:
        self._shown = shown
        self._now_s = now_s
        self._lanes = lanes

    def open_stream(self, card: Any, **_: Any) -> int:
        return next(self._lanes)

    def samples(self, shown: Any, frame: Any, at_us: int, error_us: int) -> None:
        self._shown.append(Shown(
            shown, frame.stream, frame.seq, frame.first_sample, frame.n, frame.t0_us, at_us, error_us, self._now_s()))

    def reading(self, shown: Any, reading: Any, at_us: int, error_us: int) -> None: ...

    def remember(self, *_: Any) -> None: ...

    def cut(self, *_: Any) -> None: ...

    def forget(self, *_: Any) -> None: ...

    def station_left(self, *_: Any) -> None: ...


class Server:
    """One server through all its processes."""

    def __init__(
        self, store: Store, sealer: Sealer, dice: random.Random, weather: Callable[[], Weather],
        told: Callable[[dict[str, Any]], None],
        committer: Callable[[Any], Committer] = Committer,
    ) -> None:  # fmt: skip
        self._store = store
        self._sealer = sealer
        self._dice = dice
        self._weather = weather
        self._told = told
        self._new_committer = committer
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lines: list[Line] = []
        self._ingest: Ingest | None = None
        self.shown: list[Shown] = []
        self._lanes = itertools.count()
        self.reachable = True
        self.starts = 0

    def start(self) -> None:
        """A new process."""
        self.starts += 1
        loop = asyncio.get_running_loop()
        around = Surroundings(
            self._store, self._sealer, Rooms(), StationPresence(), self._new_committer(self._store),  # type: ignore[arg-type]
            WatchedHub(self.shown, loop.time, self._lanes), UUID(int=self.starts), lambda _: [], _nobody,  # type: ignore[arg-type]
        )  # fmt: skip
        around.committer.start()
        self._ingest = Ingest(around)

    async def kill(self) -> None:
        """As kill -9."""
        ingest, self._ingest = self._ingest, None
        assert ingest is not None
        for line in self._lines:
            line.cut("both")
        self._lines.clear()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, ingest.around.committer.kill(), return_exceptions=True)

    async def stop(self) -> None:
        """In order, as at SIGTERM: sockets close, what is queued is committed."""
        ingest, self._ingest = self._ingest, None
        assert ingest is not None
        ingest.close_sockets()
        await asyncio.wait(self._tasks, timeout=5.0) if self._tasks else None
        await ingest.around.committer.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lines.clear()

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._ingest is not None

    @property
    def line(self) -> Line | None:
        """The newest connection, while it lives."""
        return self._lines[-1] if self._lines and not self._lines[-1].over else None

    def cut(self, how: str, late_s: float) -> None:
        """Break the newest connection."""
        if (line := self.line) is not None:
            line.cut(how, late_s)

    async def dial(self) -> Line:
        """What the station's attempt to connect comes to."""
        await asyncio.sleep(self._dice.uniform(*self._weather().delay_s) * 2)
        if not self.reachable:
            await asyncio.Event().wait()  # its own patience ends it
        ingest = self._ingest
        if ingest is None:
            raise aiohttp.ClientConnectionError("refused")
        line = Line(self._dice, self._weather)
        self._lines = [one for one in self._lines if not one.over] + [line]
        socket: Any = ServerSocket(line, self._told)
        # Half of the connections have a transport to write to at once, as most have; the other half never.
        transport = socket if self._dice.random() < 0.5 else None
        task = asyncio.create_task(ingest.serve(Uplink(socket, transport, STATION, b"key", ingest.around)))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return line

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "a connection failed", "exception": error})


def _nobody(_: UUID) -> Coroutine[Any, Any, None]:
    async def nothing() -> None: ...

    return nothing()
