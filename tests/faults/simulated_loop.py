"""Time that jumps: an event loop whose clock moves only when nothing is left to do, straight to the next thing due.

Nothing sleeps and nothing waits for a thread or a descriptor: what would run in a thread runs at once, and its result
comes a little later. So a schedule of a minute takes milliseconds, and the same seed gives the same run.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
DISK_S = (0.0002, 0.004)  # how long a thread's work takes: a commit of the spool


class Stalled(AssertionError):
    """Nothing is left that could happen: everything waits for something else."""


class _Jumps(selectors.BaseSelector):
    """Selects nothing; a wait moves the clock."""

    def __init__(self) -> None:
        self._map: dict[Any, selectors.SelectorKey] = {}
        self.jump: Callable[[float], None] = lambda seconds: None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._map[fileobj] = key = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled("everything waits, and nothing is due")
        if timeout > 0:
            self.jump(timeout)
        return []

    def get_map(self) -> Any:
        return self._map

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map[fileobj]


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The loop. ``dice`` draws how long the work of threads takes."""

    def __init__(self, dice: random.Random) -> None:
        self._now_s = 0.0
        jumps = _Jumps()
        super().__init__(jumps)
        jumps.jump = self._jump
        self._dice = dice

    def time(self) -> float:
        """Seconds since the run began."""
        return self._now_s

    def _jump(self, seconds: float) -> None:
        self._now_s += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """At once; the result, or what was raised, a little later."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            result, error = func(*args), None
        except BaseException as raised:  # handed on as it is
            result, error = None, raised

        def settle() -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self._dice.uniform(*DISK_S), settle)
        return future


@contextmanager
def simulated_time(now_s: Callable[[], float], wall_us: Callable[[], int]) -> Iterator[None]:
    """For the body ``time`` tells these instead of the machine's clocks."""
    kept = time.time, time.time_ns, time.monotonic
    time.time = lambda: wall_us() / 1e6
    time.time_ns = lambda: wall_us() * 1000
    time.monotonic = now_s
    try:
        yield
    finally:
        time.time, time.time_ns, time.monotonic = kept


def simulate(work: Callable[[SimulatedLoop], Coroutine[Any, Any, T]], seed: int) -> T:
    """The result of ``work`` in simulated time."""
    loop = SimulatedLoop(random.Random(f"disk {seed}"))
    try:
        return loop.run_until_complete(work(loop))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()
