"""Respiration rate from the chest's wave: the median breath of the last minute, causal, or why there is none.

The wave is band-passed 0.1–1.5 Hz (impedance pneumography of adults and children), its turning points found,
and a swing counts as a breath when it is large among the last ones: cardiac ripple on the wave does not. Any
chunking gives the same breaths.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported

RATES_HZ: Final = (10.0, 1_000.0)
BAND_HZ: Final = (0.1, 1.5)
WINDOW_S: Final = 60.0
MIN_BREATHS: Final = 4
STALE_S: Final = 20.0
"""The usual apnoea time of monitors: a rate without a breath for so long is no longer true."""
RANGE_PER_MIN: Final = (3, 90)
SHARE: Final = 0.4
QUANTILE: Final = 0.8
"""A swing counts from this share of this quantile of the last swings; a median would follow the ripple down."""
SWINGS_KEPT: Final = 12
MAX_BREATHS: Final = 256

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Breathing:
    """Breaths a minute to a tenth, or None and why: ``few_breaths``, ``stale`` or ``implausible``."""

    per_min: float | None
    reason: str | None = None


class RespirationRate:
    """Follows one respiration wave of any unit at ``rate_hz``."""

    def __init__(self, rate_hz: float) -> None:
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise RateUnsupported(f"respiration needs {RATES_HZ[0]:.0f} to {RATES_HZ[1]:.0f} Hz, not {rate_hz}")
        self.rate_hz = float(rate_hz)
        self._sos = np.asarray(signal.butter(1, BAND_HZ, btype="bandpass", fs=rate_hz, output="sos"))
        self._steady = np.asarray(signal.sosfilt_zi(self._sos))
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a gap that was not bridged."""
        self._count = 0
        self._zi: Array | None = None
        self._tail = np.zeros(0)
        self._swings: deque[float] = deque(maxlen=SWINGS_KEPT)
        self._breaths: deque[int] = deque(maxlen=MAX_BREATHS)
        self._top: tuple[int, float] | None = None
        self._bottom: tuple[int, float] | None = None
        self._rising = True

    def push(self, wave: npt.ArrayLike) -> int:
        """Take the next samples (one-dimensional, finite); the number of breaths that they completed."""
        x = np.asarray(wave, dtype=np.float64)
        if x.ndim != 1:
            raise BlockShape("a wave is one-dimensional")
        if not np.isfinite(x).all():
            raise NotFinite
        if x.size == 0:
            return 0
        if self._zi is None:
            self._zi = self._steady * x[0]
        smooth, self._zi = signal.sosfilt(self._sos, x, zi=self._zi)
        joined = np.concatenate([self._tail, smooth])
        first = self._count - self._tail.size
        self._count += x.size
        self._tail = joined[-2:]
        turns = np.flatnonzero((joined[1:-1] - joined[:-2]) * (joined[2:] - joined[1:-1]) < 0) + 1
        return sum(self._turn(first + int(at), float(joined[at])) for at in turns)

    def at_end(self) -> Breathing:
        """The rate as known at the last sample pushed."""
        while self._breaths and self._breaths[0] < self._count - WINDOW_S * self.rate_hz:
            self._breaths.popleft()
        if self._breaths and self._count - self._breaths[-1] > STALE_S * self.rate_hz:
            return Breathing(None, "stale")
        if len(self._breaths) < MIN_BREATHS:
            return Breathing(None, "few_breaths")
        interval = median(later - earlier for earlier, later in pairwise(self._breaths))
        per_min = round(60 * self.rate_hz / interval, 1) if interval > 0 else 0.0
        if not RANGE_PER_MIN[0] <= per_min <= RANGE_PER_MIN[1]:
            return Breathing(None, "implausible")
        return Breathing(per_min)

    def _turn(self, at: int, value: float) -> int:
        """One turning point; 1 when it proves that a breath's top has been passed.

        A top stands once the wave has fallen by a swing below it, a bottom once it has risen by one above.
        """
        needed = SHARE * float(np.quantile(np.asarray(self._swings), QUANTILE)) if self._swings else 0.0
        if self._rising:
            if self._top is None or value > self._top[1]:
                self._top = (at, value)
            elif self._top[1] - value > needed:
                if self._bottom is not None:
                    self._swings.append(self._top[1] - self._bottom[1])
                self._breaths.append(self._top[0])
                self._rising, self._bottom = False, (at, value)
                return 1
        elif self._bottom is None or value < self._bottom[1]:
            self._bottom = (at, value)
        elif value - self._bottom[1] > needed:
            self._rising, self._top = True, (at, value)
        return 0
