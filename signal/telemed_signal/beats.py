"""Heart beats of one ECG lead as they come: causal, its memory carried, the same beats for any chunking.

0. A step steeper than 320 mV/s holds the last value for up to 5 ms: a pacemaker's spike is gone before any filter.
1. Energy of the QRS: band-pass 6–18 Hz, difference over 20 ms, absolute value, mean of 60 ms. The absolute
   value is rounded to whole nanovolts, so that the running sum is exact and no chunking can change it.
2. Peaks: a peak closes when the energy falls to half or 120 ms after it; of peaks nearer than the hold-off
   (180–280 ms, 0.45 of the median interval) the largest stays (``qrs``).
3. Which peaks are beats: ``judgement``. The first 3 s are judged when the levels are known, so none is lost.

Published ancestors: Pan and Tompkins 1985, Hamilton and Tompkins 1986.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from telemed_signal import judgement, qrs
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.judgement import SHIPPED, Constants

RATES_HZ: Final = (100.0, float(qrs.MAX_RATE_HZ))
"""Below it the QRS has too few samples; above it nothing is gained (tested from 125)."""
BAND_HZ: Final = (6.0, 18.0)
STEP_S: Final = 0.020
MEAN_S: Final = 0.060
LAG_S: Final = 0.047
"""From the R peak to the peak of the energy: the band-pass and the two windows; measured on MIT-BIH."""
SLEW_MV_S: Final = 320.0
"""Steepest signal that a monitor must show (IEC 60601-2-27: +-5 mV at 320 mV/s); a steeper step begins a spike."""
SPIKE_S: Final = 0.005
"""A pacemaker's pulse is 2 ms at most (IEC 60601-2-27); the rest is what the station's own filter makes of it."""
HOP_S: Final = 0.050  # between two weighings of the leads of a station
FILL_S: Final = 2.0  # over which a lead's mean energy is taken
NEAR_S: Final = 0.150
"""Beats of two leads so near are one: the window of AAMI EC57."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Beat:
    """One heart beat: the sample at which its R peak lies, in the count that the detector was started with.

    ``energy_mv`` is its QRS energy; ``second_look`` tells that it was found late.
    """

    sample_index: int
    energy_mv: float
    second_look: bool = False


@dataclass(frozen=True, slots=True)
class BeatState:
    """All that a detector remembers: plain arrays (int64 and float64), and the number of its first sample."""

    first_sample: int
    whole: npt.NDArray[np.int64]
    real: Array


@dataclass(frozen=True, slots=True)
class Setting:
    """The constants of one sampling rate, as the compiled loop wants them in front of what it remembers."""

    rate_hz: float
    real: Array
    sizes: npt.NDArray[np.int64]
    lag: int
    share_of_sum: float

    @classmethod
    def at(cls, rate_hz: float, constants: Constants) -> Setting:
        """Those of ``rate_hz``; :class:`RateUnsupported` outside ``RATES_HZ``."""
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise RateUnsupported(f"beats need {RATES_HZ[0]:.0f} to {RATES_HZ[1]:.0f} Hz, not {rate_hz}")
        sos = np.asarray(signal.butter(1, BAND_HZ, btype="bandpass", fs=rate_hz, output="sos"))
        steady, slew = np.asarray(signal.sosfilt_zi(sos))[0], SLEW_MV_S / rate_hz
        real = np.array([*constants.of_lead(), *sos[0, [0, 2, 4, 5]], *steady, slew, HOP_S / FILL_S])
        seconds = (STEP_S, MEAN_S, constants.close_s, judgement.SHORTEST_HOLD_OFF_S, SPIKE_S, HOP_S, NEAR_S)
        sizes = np.array([max(1, round(one * rate_hz)) for one in seconds], dtype=np.int64)
        return cls(float(rate_hz), real, sizes, round(LAG_S * rate_hz), constants.share_of_sum)

    def memory(self, rows: tuple[int, ...] = ()) -> tuple[npt.NDArray[np.int64], Array]:
        """Empty memories of one lead, or of so many rows, the last for the sum of the others; ``begin`` comes next."""
        whole, real = np.zeros((*rows, qrs.WHOLES), dtype=np.int64), np.zeros((*rows, qrs.REALS))
        whole[..., qrs.STEP : qrs.COUNT], real[..., judgement.CONSTANTS : qrs.STATE] = self.sizes, self.real
        if rows:
            real[-1, judgement.SHARE] = self.share_of_sum
        return whole, real

    def restore(self, state: BeatState, whole: npt.NDArray[np.int64], real: Array) -> None:
        """Fill these memories with a state. Raises :class:`BlockShape` for one of other leads, of another rate or of
        other constants, :class:`NotFinite`."""
        if state.whole.shape != whole.shape or state.real.shape != real.shape:
            raise BlockShape("the state belongs to other leads")
        if not np.isfinite(state.real).all():
            raise NotFinite
        lengths, constants = slice(qrs.STEP, qrs.COUNT), slice(judgement.CONSTANTS, qrs.STATE)
        fresh_whole, fresh_real = self.memory(whole.shape[:-1])
        same = np.array_equal(state.whole[..., lengths], fresh_whole[..., lengths])
        if not (same and np.array_equal(state.real[..., constants], fresh_real[..., constants])):
            raise BlockShape("the state belongs to another rate, or to other constants")
        whole[:], real[:] = state.whole, state.real

    def room(self, samples: int) -> npt.NDArray[np.int64]:
        """Rows for the beats that a block of so many samples can make certain."""
        shortest = int(self.sizes[qrs.SHORTEST - qrs.STEP])
        return np.zeros((qrs.room(samples, shortest), judgement.FOUND_COLUMNS), dtype=np.int64)

    def beats(self, first_sample: int, found: npt.NDArray[np.int64]) -> list[Beat]:
        """What the loop found, in the count of whoever started the detector."""
        return [
            Beat(first_sample + max(0, at - self.lag), height / qrs.NANOVOLTS, bool(second))
            for at, height, second in found.tolist()
        ]


class BeatDetector:
    """Finds the beats of one lead at ``rate_hz``; feed it every sample in order, in blocks of any length."""

    def __init__(self, rate_hz: float, *, first_sample: int = 0, constants: Constants = SHIPPED) -> None:
        self._setting = Setting.at(rate_hz, constants)
        self.rate_hz = self._setting.rate_hz
        self._whole, self._real = self._setting.memory()
        self._longest = -1  # block that the found beats have room for
        self._found = np.zeros((0, judgement.FOUND_COLUMNS), dtype=np.int64)
        self.reset(first_sample)

    def reset(self, first_sample: int) -> None:
        """Forget everything; the next sample is number ``first_sample``: after a gap, or when the lead was off."""
        self._begin = first_sample
        qrs.begin(self._whole, self._real, self.rate_hz)

    @property
    def next_sample(self) -> int:
        """The number that the next sample will have."""
        return self._begin + int(self._whole[qrs.COUNT])

    def push(self, x_mv: npt.ArrayLike) -> list[Beat]:
        """The beats that the next samples (one-dimensional, millivolts, finite) made certain, in order.

        A beat is known about a third of a second after its R peak; one found at the second look, 1.4 intervals
        and a hold-off after the beat before it; those of the first 3 s at their end.
        """
        x = np.ascontiguousarray(x_mv, np.float64)
        if x.ndim != 1:
            raise BlockShape("a lead is one-dimensional")
        if x.size > self._longest:
            self._found, self._longest = self._setting.room(x.size), x.size
        count = qrs.run(x, self._whole, self._real, self._found)
        if not count:
            return []
        if count == qrs.POISON:
            raise NotFinite
        return self._setting.beats(self._begin, self._found[:count])

    def export(self) -> BeatState:
        """A copy of what the detector remembers, to be restored here or elsewhere."""
        return BeatState(self._begin, self._whole.copy(), self._real.copy())

    def restore(self, state: BeatState) -> None:
        """Continue exactly where :meth:`export`, at the same rate, left it."""
        self._setting.restore(state, self._whole, self._real)
        self._begin = state.first_sample
