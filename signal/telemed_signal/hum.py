"""Mains hum on one lead: how strong 50 and 60 Hz are, and whether that is mains or merely a busy signal. Only told.

Goertzel's recursion (Amer. Math. Monthly 65, 1958) over Hann-weighted blocks of one second at 50 and 60 Hz and at four
neighbours of each; the QRS and muscle lie on the neighbours as well, mains does not. The mean of the last four blocks
is judged at the end of each. Nothing is taken away from the signal: a notch is somebody's choice (``design.MAINS``).

The block's main lobe is 2 Hz to each side: a network at 49.5 or 50.5 Hz (EN 50160) is read 15 % too low at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal.compiled import compiled
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported

Array = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

RATES_HZ: Final = (125.0, 1_000.0)
"""50 Hz is looked for from 125 samples a second, 60 Hz from 150: both sides of it must lie below half of them."""
BLOCK_S: Final = 1.0
BLOCKS: Final = 4
WINDOW_S: Final = BLOCKS * BLOCK_S
MAINS_HZ: Final = (50, 60)
ASIDE_HZ: Final = (-6.0, -4.0, 4.0, 6.0)
"""Beyond the main lobe of mains at its worst; even numbers, so that no heart rate has harmonics at all of them."""
ON_RATIO: Final = 10.0
"""Power against the neighbours' mean: four averaged blocks of noise pass it once in some ten thousand."""
OFF_RATIO: Final = 5.0
ON_MV: Final = 0.010
"""Amplitude: 20 uV from peak to peak, a fifth of a millimetre of paper, the least that an eye sees."""
OFF_MV: Final = 0.007
STEADY: Final = 4.0
"""The strongest block may have so many times the weakest one's power: a jolt rings everywhere once, mains stays."""

BINS: Final = len(MAINS_HZ) * (1 + len(ASIDE_HZ))

# Places in ``whole``.
COUNT: Final = 0  # samples so far
FOUND: Final = 1  # for 50, then 60: 1 while it is there
WHOLES: Final = FOUND + len(MAINS_HZ)

# Places in ``real``.
ONE: Final = 0  # of Goertzel's recursion, for each bin
TWO: Final = ONE + BINS
POWER: Final = TWO + BINS  # of the last blocks, by block and bin
LEVEL: Final = POWER + BLOCKS * BINS  # amplitude in mV of 50, then 60
RATIO: Final = LEVEL + len(MAINS_HZ)
REALS: Final = RATIO + len(MAINS_HZ)


@dataclass(frozen=True, slots=True)
class Hum:
    """``hz`` is 50, 60 or None (no hum); ``level_mv`` the amplitude (half of peak to peak) of the stronger of the two.

    ``ratio`` is its power against its neighbours'. ``reason`` is ``too_short`` while less than ``window_s`` are known.
    """

    hz: int | None
    level_mv: float
    ratio: float
    window_s: float = WINDOW_S
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class HumState:
    """All that a detector remembers."""

    whole: Wholes
    real: Array


@compiled()
def _judge(weight: float, looks: Wholes, whole: Wholes, real: Array) -> None:
    """At a block's end: level, ratio and verdict of each mains frequency over the last blocks."""
    wide = 1 + len(ASIDE_HZ)
    for k in range(len(MAINS_HZ)):
        if looks[k] == 0:
            continue
        power, aside, least, most = 0.0, 0.0, np.inf, 0.0
        for block in range(BLOCKS):
            at = POWER + block * BINS + k * wide
            power += real[at]
            least, most = min(least, real[at]), max(most, real[at])
            for side in range(1, wide):
                aside += real[at + side]
        aside = aside / len(ASIDE_HZ)
        real[LEVEL + k] = 2 / weight * np.sqrt(max(power - aside, 0.0) / BLOCKS)
        real[RATIO + k] = power / aside if aside > 0 else 0.0
        if whole[FOUND + k]:
            stays = real[RATIO + k] >= OFF_RATIO and real[LEVEL + k] >= OFF_MV
            whole[FOUND + k] = 1 if stays else 0
        elif most <= STEADY * least and real[RATIO + k] >= ON_RATIO and real[LEVEL + k] >= ON_MV:
            whole[FOUND + k] = 1


@compiled("void(float64[::1], float64[::1], float64[::1], int64[::1], int64[::1], float64[::1])")
def run(x_mv: Array, turns: Array, hann: Array, looks: Wholes, whole: Wholes, real: Array) -> None:
    """Take the next samples; ``turns`` is 2 cos of each bin's angle a sample, ``hann`` a block's weights."""
    size = hann.size
    count = whole[COUNT]
    at = count % size
    weight = hann.sum()
    for value in x_mv:
        weighted = value * hann[at]
        for k in range(BINS):
            new = weighted + turns[k] * real[ONE + k] - real[TWO + k]
            real[TWO + k] = real[ONE + k]
            real[ONE + k] = new
        count += 1
        at += 1
        if at == size:
            at = 0
            block = POWER + (count // size - 1) % BLOCKS * BINS
            for k in range(BINS):
                one, two = real[ONE + k], real[TWO + k]
                real[block + k] = one * one + two * two - turns[k] * one * two
                real[ONE + k] = real[TWO + k] = 0.0
            if count >= BLOCKS * size:
                _judge(weight, looks, whole, real)
    whole[COUNT] = count


class MainsDetector:
    """Watches one lead at ``rate_hz``; feed it every sample in order, in blocks of any length."""

    def __init__(self, rate_hz: float) -> None:
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise RateUnsupported(f"mains needs {RATES_HZ[0]:.0f} to {RATES_HZ[1]:.0f} Hz, not {rate_hz}")
        self.rate_hz = float(rate_hz)
        size = round(BLOCK_S * rate_hz)
        self._hann = np.asarray(0.5 - 0.5 * np.cos(2 * math.pi * np.arange(size) / size))
        bins = [mains + aside for mains in MAINS_HZ for aside in (0.0, *ASIDE_HZ)]
        self._turns = np.array([2 * math.cos(2 * math.pi * hz / rate_hz) for hz in bins])
        self._looks = np.array([int(rate_hz >= 2.5 * hz) for hz in MAINS_HZ], dtype=np.int64)
        self._whole = np.zeros(WHOLES, dtype=np.int64)
        self._real = np.zeros(REALS)

    def reset(self) -> None:
        """Forget everything, as after a gap that was not bridged."""
        self._whole[:] = 0
        self._real[:] = 0.0

    def push(self, x_mv: npt.ArrayLike) -> Hum:
        """Take the next samples (one-dimensional, millivolts, finite); the verdict at the last full block."""
        x = np.ascontiguousarray(x_mv, dtype=np.float64)
        if x.ndim != 1:
            raise BlockShape("a lead is one-dimensional")
        if not np.isfinite(x).all():
            raise NotFinite
        self.take(x)
        return self.now()

    def take(self, x_mv: Array) -> None:
        """:meth:`push` for a caller that has checked the samples and asks later."""
        run(x_mv, self._turns, self._hann, self._looks, self._whole, self._real)

    def now(self) -> Hum:
        """The verdict at the last full block."""
        if self._whole[COUNT] < BLOCKS * self._hann.size:
            return Hum(None, 0.0, 0.0, reason="too_short")
        levels, ratios = self._real[LEVEL:RATIO].tolist(), self._real[RATIO:REALS].tolist()
        found = self._whole[FOUND:WHOLES].tolist()
        best = max(range(len(MAINS_HZ)), key=lambda one: (found[one], levels[one]))  # what was found goes first
        return Hum(MAINS_HZ[best] if found[best] else None, levels[best], ratios[best])

    def export(self) -> HumState:
        """A copy of what the detector remembers, to be restored here or elsewhere."""
        return HumState(self._whole.copy(), self._real.copy())

    def restore(self, state: HumState) -> None:
        """Continue exactly where :meth:`export`, at the same rate, left it."""
        if state.whole.shape != self._whole.shape or state.real.shape != self._real.shape:
            raise BlockShape("the state belongs to another detector")
        if not np.isfinite(state.real).all():
            raise NotFinite
        self._whole[:], self._real[:] = state.whole, state.real
