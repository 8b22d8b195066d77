"""Heart rate from beats: the middle interval of the last ten seconds, or the reason why there is none.

A derived number (docs/protocol.md section 5): it is shown only while no device sends one. The mean of
the middle half of the intervals: a premature beat or an artefact does not move it, and it is finer than a
sample, which a median is not. Withheld rather than guessed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Final

from telemed_signal.beats import Beat
from telemed_signal.faults import RateUnsupported

WINDOW_S: Final = 10.0
MIN_BEATS: Final = 3
STALE_S: Final = 5.0
"""Two intervals at 30 a minute and the detector's own second: after it the number is no longer true."""
RANGE_PER_MIN: Final = (30, 300)
"""What monitors built to IEC 60601-2-27 display."""
MAX_BEATS: Final = 128
"""Of a window: 10 s at the shortest hold-off hold 56."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A whole number of beats a minute, or None and why: ``few_beats``, ``stale`` or ``implausible``."""

    per_min: int | None
    reason: str | None = None


class HeartRate:
    """Remembers the beats of the last window; any chunking of the beats gives the same rates."""

    def __init__(self, rate_hz: float) -> None:
        if rate_hz <= 0:
            raise RateUnsupported
        self._rate_hz = float(rate_hz)
        self._beats: deque[int] = deque(maxlen=MAX_BEATS)

    def push(self, beats: Iterable[Beat]) -> None:
        """Add beats, in order."""
        self._beats.extend(beat.sample_index for beat in beats)

    def reset(self) -> None:
        """Forget the beats: no interval reaches across a gap."""
        self._beats.clear()

    def at(self, sample: int) -> Rate:
        """The rate as known when the signal has reached ``sample`` (in the detector's count)."""
        while self._beats and self._beats[0] < sample - WINDOW_S * self._rate_hz:
            self._beats.popleft()
        if self._beats and sample - self._beats[-1] > STALE_S * self._rate_hz:
            return Rate(None, "stale")
        if len(self._beats) < MIN_BEATS:
            return Rate(None, "few_beats")
        interval = middle([later - earlier for earlier, later in pairwise(self._beats)])
        per_min = round(60 * self._rate_hz / interval) if interval > 0 else 0
        if not RANGE_PER_MIN[0] <= per_min <= RANGE_PER_MIN[1]:
            return Rate(None, "implausible")
        return Rate(per_min)


def middle(values: Sequence[int]) -> float:
    """Mean of the middle half of some numbers; of one to three of them the median."""
    ranked = sorted(values)
    outside = min((len(ranked) - 1) // 2, max(1, len(ranked) // 4))
    return fmean(ranked[outside : len(ranked) - outside])
