"""One clock, the server's: how far each source's stamps are from it, and the mapping of a stamp. Pure.

A source (one run of a station program or of a page) is asked every ``ASK_SECONDS``. With T1 sent, T3
received and the source's stamp, offset = (T1 + T3)/2 - stamp and error = (T3 - T1)/2 (protocol section 6),
all in integer microseconds. The fix with the least error of the last minute counts. Two fixes that no drift and
no error explain say that one of the two clocks was set or stood still in between: the newer one counts alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ASK_SECONDS = 5.0  # protocol section 6
WINDOW_US = 60_000_000  # the last minute
ASKS_OPEN = 8  # unanswered questions remembered: 40 s, longer than a peer may be silent
AROUND_KEPT = 256  # times of which the stamps are remembered: ends of windows and of attachments
DRIFT_PPM = 250  # the worst quartz clocks of computers drift by 200 in an hour
DRIFT_KEPT = 60  # fixes, one a minute, of which the drift is told
DRIFT_ERROR_PPM = 20.0  # a drift that may be further off is not told
ROUNDING_US = 2  # an offset and an error are each rounded to the microsecond
STAMP_MAX = 2**62  # a stamp plus an offset stays within 64 bits


def server_us() -> int:
    """The server's clock: microseconds since 1970 UTC."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Fix:
    """server clock = stamp + ``offset_us``, within ``error_us``, found at ``at_us`` (server's clock)."""

    at_us: int
    offset_us: int
    error_us: int

    @property
    def stamp_us(self) -> int:
        """The source's stamp at the fix. It is steady, whatever becomes of the server's clock."""
        return self.at_us - self.offset_us


def contradict(one: Fix, other: Fix) -> bool:
    """Whether errors and drift cannot explain both: one of the clocks was set, or stood still, in between."""
    drift = abs(one.stamp_us - other.stamp_us) * DRIFT_PPM // 1_000_000
    return abs(one.offset_us - other.offset_us) > one.error_us + other.error_us + drift + ROUNDING_US


class ClockSource:
    """The questions to one source and the best fix of the last minute."""

    __slots__ = ("_asked", "_window", "best")

    def __init__(self) -> None:
        self._asked: list[int] = []
        self._window: list[Fix] = []
        self.best: Fix | None = None

    def ask(self, now_us: int) -> int:
        """Remember a question sent at ``now_us``; its echo names it."""
        self._asked.append(now_us)
        del self._asked[:-ASKS_OPEN]
        return now_us

    def answer(self, echo_us: int, stamp_us: int, now_us: int) -> Fix | None:
        """Take an answer and return its fix; None when no such question is open."""
        if echo_us not in self._asked or not -STAMP_MAX < stamp_us < STAMP_MAX or now_us < echo_us:
            return None
        self._asked.remove(echo_us)
        fix = Fix(now_us, (echo_us + now_us) // 2 - stamp_us, (now_us - echo_us + 1) // 2)
        if self._window and contradict(self._window[-1], fix):
            self._window.clear()
        self._window.append(fix)
        while self._window[0].stamp_us < fix.stamp_us - WINDOW_US:
            del self._window[0]
        self.best = min(self._window, key=lambda one: one.error_us)
        return fix


class FixKeeper:
    """Which fixes become rows: one a minute, the best of it; the first, and one that contradicts it, at once."""

    __slots__ = ("_began_us", "_kept")

    def __init__(self) -> None:
        self._kept: Fix | None = None
        self._began_us = 0

    def take(self, fix: Fix) -> tuple[Fix, int | None] | None:
        """Return (row to write, ``at_us`` of the row it replaces or None), or None: nothing to write."""
        kept = self._kept
        if kept is None or fix.stamp_us - self._began_us >= WINDOW_US or contradict(kept, fix):
            self._kept, self._began_us = fix, fix.stamp_us
            return fix, None
        if fix.error_us < kept.error_us:
            self._kept = fix
            return fix, kept.at_us
        return None


class Drift:
    """How much faster a source's clock goes than the server's, by the rows of its fixes of the last hour."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[Fix] = []

    def take(self, fix: Fix, replaces: int | None) -> None:
        """Take what :class:`FixKeeper` gave; a clock that was set begins anew."""
        if replaces is not None and self._kept and self._kept[-1].at_us == replaces:
            self._kept.pop()
        if self._kept and contradict(self._kept[-1], fix):
            self._kept.clear()
        self._kept.append(fix)
        del self._kept[:-DRIFT_KEPT]

    @property
    def ppm(self) -> float | None:
        """Millionths, positive when the source is fast; None while it is not known to ``DRIFT_ERROR_PPM``."""
        third = len(self._kept) // 3
        if third == 0:
            return None
        fixes = self._kept
        one, other = (min(part, key=lambda fix: fix.error_us) for part in (fixes[:third], fixes[-third:]))
        apart_us = other.stamp_us - one.stamp_us
        if apart_us <= 0 or (one.error_us + other.error_us) / apart_us * 1e6 > DRIFT_ERROR_PPM:
            return None
        return round((one.offset_us - other.offset_us) / apart_us * 1e6, 1)


class Mapping:
    """Stamps of one source to consultation time.

    Between two fixes the offset is interpolated, outside them it is held. A fix is left out when a
    neighbour, worsened by ``DRIFT_PPM`` of the time between them, is still more exact. Where two neighbours
    contradict each other nobody knows when the clock moved: the earlier offset holds until the later fix, and
    :meth:`bounds` gives both.
    """

    def __init__(self, fixes: Iterable[Fix]) -> None:
        kept = _undominated(sorted(fixes, key=lambda one: (one.stamp_us, one.at_us)))
        self.known = bool(kept)
        self._kept = kept
        steps = [(before, after) for before, after in pairwise(kept) if contradict(before, after)]
        self.stepped = bool(steps)
        # Interpolation is relative to the first fix: offsets of hours in microseconds would lose bits
        # in float64 products, differences of milliseconds do not.
        self._base = kept[0].offset_us if kept else 0
        points = [(one.stamp_us, one.offset_us) for one in kept]
        late = [(max(before.stamp_us, after.stamp_us - 1), before.offset_us) for before, after in steps]
        soon = [(min(before.stamp_us + 1, after.stamp_us), after.offset_us) for before, after in steps]
        self._line = self._points(points, late)
        self._other = self._points(points, soon)
        self._around: dict[int, tuple[int, int]] = {}  # a review asks for its window's ends once a stream

    @property
    def fixes(self) -> Sequence[Fix]:
        """Those that count, by stamp."""
        return tuple(self._kept)

    def _points(
        self, points: list[tuple[int, int]], steps: list[tuple[int, int]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        line = sorted([*points, *steps], key=lambda one: one[0])
        return (np.array([stamp for stamp, _ in line], np.float64),
                np.array([offset - self._base for _, offset in line], np.float64))

    def _moved(
        self, stamps_us: NDArray[np.int64], line: tuple[NDArray[np.float64], NDArray[np.float64]]
    ) -> NDArray[np.int64]:
        if not self.known:
            return np.zeros(stamps_us.shape, np.int64)
        return np.rint(np.interp(stamps_us.astype(np.float64), *line)).astype(np.int64) + self._base

    def offset_us(self, stamp_us: int) -> int:
        """The offset at one stamp."""
        return int(self.offsets_us(np.array([stamp_us], np.int64))[0])

    def offsets_us(self, stamps_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """The offsets at the stamps, shape as given, int64."""
        return self._moved(stamps_us, self._line)

    def to_consultation(self, stamps_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Consultation times of the stamps, shape as given, int64."""
        return stamps_us + self.offsets_us(stamps_us)

    def bounds(
        self, stamps_us: NDArray[np.int64], ends_us: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The earliest and the latest consultation times that what begins at these stamps may have.

        ``ends_us`` are the stamps at which it ends. The two differ at a step alone.
        """
        line = self.offsets_us(stamps_us)
        if not self.stepped:
            return stamps_us + line, stamps_us + line
        offsets = np.stack([
            line, self._moved(stamps_us, self._other), self.offsets_us(ends_us), self._moved(ends_us, self._other)
        ])
        return stamps_us + offsets.min(axis=0), stamps_us + offsets.max(axis=0)

    def error_us(self, consultation_us: int) -> int:
        """How far a time may be from the true one: the best fix's error, and the drift since; 0 when none is known."""
        return min((one.error_us + abs(one.at_us - consultation_us) * DRIFT_PPM // 1_000_000 for one in self._kept),
                   default=0)

    def to_stamp(self, consultation_us: int) -> int:
        """The stamp of a consultation time: offsets change so slowly that two steps find it to the microsecond.

        Where the offset steps there may be none or two: ask :meth:`stamps_around`.
        """
        guess = consultation_us - self.offset_us(consultation_us - self._base)
        return consultation_us - self.offset_us(guess)

    def stamps_around(self, consultation_us: int) -> tuple[int, int]:
        """The first and the last stamp that may have this consultation time."""
        known = self._around.get(consultation_us)
        if known is None:
            if len(self._around) >= AROUND_KEPT:
                self._around.clear()
            known = self._around[consultation_us] = self._found_around(consultation_us)
        return known

    def _found_around(self, consultation_us: int) -> tuple[int, int]:
        if not self.stepped:
            return (self.to_stamp(consultation_us),) * 2
        offsets = [one.offset_us for one in self._kept]
        return consultation_us - max(offsets), consultation_us - min(offsets)


def _undominated(fixes: Sequence[Fix]) -> list[Fix]:
    """The fixes (ascending stamps) that no neighbour of the same run of agreeing fixes betters."""
    bound = [fix.error_us for fix in fixes]
    for order in (range(1, len(fixes)), range(len(fixes) - 2, -1, -1)):
        step = -1 if order.step > 0 else 1
        for at in order:
            if contradict(fixes[at], fixes[at + step]):
                continue
            apart = abs(fixes[at].stamp_us - fixes[at + step].stamp_us) * DRIFT_PPM // 1_000_000
            bound[at] = min(bound[at], bound[at + step] + apart)
    return [fix for fix, least in zip(fixes, bound, strict=True) if fix.error_us <= least]
