"""One clock, the server's: how far each source's stamps are from it, and the mapping of a stamp. Pure.

A source (one run of a station program or of a page) is asked every ``ASK_SECONDS``. With T1 sent, T3
received and the source's stamp, offset = (T1 + T3)/2 - stamp and error = (T3 - T1)/2 (protocol section 6),
all in integer microseconds. The fix with the least error of the last minute counts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ASK_SECONDS = 5.0  # protocol section 6
WINDOW_US = 60_000_000  # the last minute
ASKS_OPEN = 8  # unanswered questions remembered: 40 s, longer than a peer may be silent
DRIFT_PPM = 100  # no quartz clock of a computer drifts more in an hour
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


class ClockSource:
    """The questions to one source and the best fix of the last minute."""

    def __init__(self) -> None:
        self._asked: deque[int] = deque(maxlen=ASKS_OPEN)
        self._window: deque[Fix] = deque()
        self.best: Fix | None = None

    def ask(self, now_us: int) -> int:
        """Remember a question sent at ``now_us``; its echo names it."""
        self._asked.append(now_us)
        return now_us

    def answer(self, echo_us: int, stamp_us: int, now_us: int) -> Fix | None:
        """Take an answer and return its fix; None when no such question is open."""
        if echo_us not in self._asked or not -STAMP_MAX < stamp_us < STAMP_MAX or now_us < echo_us:
            return None
        self._asked.remove(echo_us)
        fix = Fix(now_us, (echo_us + now_us) // 2 - stamp_us, (now_us - echo_us + 1) // 2)
        self._window.append(fix)
        while self._window[0].at_us < now_us - WINDOW_US:
            self._window.popleft()
        self.best = min(self._window, key=lambda one: one.error_us)
        return fix


class FixKeeper:
    """Which fixes become rows: one a minute, the best of it, the first at once."""

    def __init__(self) -> None:
        self._kept: Fix | None = None
        self._began_us = 0

    def take(self, fix: Fix) -> tuple[Fix, int | None] | None:
        """Return (row to write, ``at_us`` of the row it replaces or None), or None: nothing to write."""
        if self._kept is None or fix.at_us - self._began_us >= WINDOW_US:
            self._kept, self._began_us = fix, fix.at_us
            return fix, None
        if fix.error_us < self._kept.error_us:
            replaced, self._kept = self._kept, fix
            return fix, replaced.at_us
        return None


class Mapping:
    """Stamps of one source to consultation time.

    Between two fixes the offset is interpolated, outside them it is held. A fix is left out when a
    neighbour, worsened by ``DRIFT_PPM`` of the time between them, is still more exact.
    """

    def __init__(self, fixes: Iterable[Fix]) -> None:
        kept = _undominated(sorted(fixes, key=lambda one: one.at_us))
        self.known = bool(kept)
        # Interpolation is relative to the first fix: offsets of hours in microseconds would lose bits
        # in float64 products, differences of milliseconds do not.
        self._base = kept[0].offset_us if kept else 0
        self._at: NDArray[np.float64] = np.array([one.at_us - one.offset_us for one in kept], np.float64)
        self._delta: NDArray[np.float64] = np.array([one.offset_us - self._base for one in kept], np.float64)

    def offset_us(self, stamp_us: int) -> int:
        """The offset at one stamp."""
        return int(self.offsets_us(np.array([stamp_us], np.int64))[0])

    def offsets_us(self, stamps_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """The offsets at the stamps, shape as given, int64."""
        if not self.known:
            return np.zeros(stamps_us.shape, np.int64)
        moved = np.interp(stamps_us.astype(np.float64), self._at, self._delta)
        return np.rint(moved).astype(np.int64) + self._base

    def to_consultation(self, stamps_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Consultation times of the stamps, shape as given, int64."""
        return stamps_us + self.offsets_us(stamps_us)

    def to_stamp(self, consultation_us: int) -> int:
        """The stamp of a consultation time: offsets change so slowly that two steps find it to the microsecond."""
        guess = consultation_us - self.offset_us(consultation_us - self._base)
        return consultation_us - self.offset_us(guess)


def _undominated(fixes: Sequence[Fix]) -> list[Fix]:
    bound = [fix.error_us for fix in fixes]
    for order in (range(1, len(fixes)), range(len(fixes) - 2, -1, -1)):
        step = -1 if order.step > 0 else 1
        for at in order:
            apart = abs(fixes[at].at_us - fixes[at + step].at_us) * DRIFT_PPM // 1_000_000
            bound[at] = min(bound[at], bound[at + step] + apart)
    kept = [fix for fix, least in zip(fixes, bound, strict=True) if fix.error_us <= least]
    kept.sort(key=lambda one: one.at_us - one.offset_us)
    return kept
