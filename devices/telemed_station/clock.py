"""A station's stamps come from one steady clock, anchored once to the wall clock.

A *stamp* is integer microseconds since 1970 on this source's own clock: the steady clock plus the wall clock
read at start. A later step of the wall clock moves no stamp, so samples and picture can never tear apart; what
the stamps are worth on the server's clock is the server's business (``clock_fix``). The steady clock is
``CLOCK_BOOTTIME`` where there is one: it goes on while the machine is suspended, so the hour asleep is an hour in
the stamps too; ``CLOCK_MONOTONIC`` of Linux stands still meanwhile. A source is one run of one program, named by
a random UUID.
"""

from __future__ import annotations

import time
import uuid
from typing import Protocol


class Clock(Protocol):
    """What the rest of the program asks of a clock; tests pass their own."""

    @property
    def source(self) -> uuid.UUID:
        """The run of the program that these stamps belong to."""
        ...

    def stamp_us(self) -> int:
        """Now, µs since 1970 on this source's clock; never goes back."""
        ...


STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS's CLOCK_MONOTONIC counts sleep by itself


def steady_us() -> int:
    """The steady clock, µs since a moment of its own."""
    return time.clock_gettime_ns(STEADY) // 1000


class StationClock:
    """The steady clock plus the wall clock at the moment of construction."""

    def __init__(self) -> None:
        self.source = uuid.uuid4()
        self._anchor_us = time.time_ns() // 1000 - steady_us()

    def stamp_us(self) -> int:
        """Now, µs since 1970 on this source's clock; never goes back."""
        return self._anchor_us + steady_us()


class SteppedClock:
    """A clock that moves only when told to: for tests and for replaying a run."""

    def __init__(self, start_us: int = 1_700_000_000_000_000) -> None:
        self.source = uuid.uuid4()
        self._now_us = start_us

    def stamp_us(self) -> int:
        """The time it was last set to."""
        return self._now_us

    def advance(self, by_us: int) -> int:
        """Move forward by ``by_us`` µs and return the new stamp."""
        if by_us < 0:
            raise ValueError("a clock does not go back")
        self._now_us += by_us
        return self._now_us
