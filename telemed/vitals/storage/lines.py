"""Runs of compacted samples: stretches without a hole of which one straight line tells the stamps. Pure.

The line goes up by the stream's nominal rate. Where a chunk's own stamp is further from it than ``OFF_US``, or a sample
is missing, the next run begins. No sample is in two runs: of two chunks that claim one, the first that came counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

OFF_US: Final = 20_000  # a stamp may be off its line: less than a picture's frame, more than a clock's unrest
MICRO: Final = 1_000_000


@dataclass(slots=True)
class Run:
    """Samples ``first`` … ``past - 1``; sample ``first`` is stamped ``t0_us``."""

    first: int
    past: int
    t0_us: int


class Runs:
    """The runs of one stream around what is added, ascending; ``num``/``den`` samples a second."""

    def __init__(self, num: int, den: int, there: Iterable[Run]) -> None:
        self._num, self._den = num, den
        self._runs = list(there)
        self._firsts = [one.first for one in self._runs]
        self.changed: dict[int, Run] = {}

    def stamp(self, run: Run, sample: int) -> int:
        """Where the line is at a sample, in microseconds."""
        return run.t0_us + (sample - run.first) * self._den * MICRO // self._num

    def add(self, first: int, rows: npt.NDArray[Any]) -> None:
        """Add the chunks of a segment that begins at sample ``first``: arrays ``t0_us`` and ``n`` of ``rows``."""
        ends = first + np.cumsum(rows["n"], dtype=np.int64)
        begins = ends - rows["n"]
        stamps = rows["t0_us"].astype(np.int64)
        past = int(ends[-1])
        last = self._ending_at(first)
        if last is not None and self._free(first, past):
            line = last.t0_us + (begins - last.first) * (self._den * MICRO) // self._num
            if int(np.abs(stamps - line).max()) <= OFF_US:
                self._grow(last, past)
                return
        for begin, end, stamp in zip(begins.tolist(), ends.tolist(), stamps.tolist(), strict=True):
            self._chunk(begin, end, stamp)

    def _chunk(self, begin: int, end: int, stamp: int) -> None:
        at = begin
        while at < end:
            place = bisect_right(self._firsts, at) - 1
            if place >= 0 and self._runs[place].past > at:  # claimed already
                at = self._runs[place].past
                continue
            upto = min(end, self._firsts[place + 1]) if place + 1 < len(self._runs) else end
            here = stamp + (at - begin) * self._den * MICRO // self._num
            last = self._ending_at(at)
            if last is not None and abs(here - self.stamp(last, at)) <= OFF_US:
                self._grow(last, upto)
            else:
                run = Run(at, upto, here)
                self._runs.insert(place + 1, run)
                self._firsts.insert(place + 1, at)
                self.changed[at] = run
            at = upto

    def _ending_at(self, sample: int) -> Run | None:
        place = bisect_right(self._firsts, sample - 1) - 1
        return self._runs[place] if place >= 0 and self._runs[place].past == sample else None

    def _free(self, first: int, past: int) -> bool:
        place = bisect_right(self._firsts, first - 1)
        return place == len(self._firsts) or self._firsts[place] >= past

    def _grow(self, run: Run, past: int) -> None:
        run.past = past
        self.changed[run.first] = run
