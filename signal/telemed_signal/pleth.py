"""Pulse beats, pulse rate, perfusion index and their quality from one pleth wave: causal, its memory carried.

1. Wave: low-pass 8 Hz (order 2), then high-pass 0.5 Hz (order 1). Its rise over 100 ms is greatest where systole
   is steepest: the one fiducial, 60 ms after it happened (``LAG_S``), which is taken off again.
2. Beats: of rises nearer than the hold-off (200-300 ms, half the median interval) the greatest stays; it is a beat
   when it reaches 0.4 of the usual one; a second look when one is late (``systole``). The first 3 s are judged at
   their end, so that none is lost.
3. Likeness: correlation of a beat's 550 ms with the five before, median. Noise has steep rises too, but not one shape.
4. Rate: median interval of the last 15 s.

Published ancestors: slope sum (Zong 2003), template likeness (Orphanidou 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from telemed_signal import pulse_rate, pulses, systole
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported

RATES_HZ: Final = (25.0, float(systole.MAX_RATE_HZ))
LOW_HZ: Final = 8.0
HIGH_HZ: Final = 0.5
LAG_S: Final = 0.013
"""From the steepest rise to the greatest rise over 100 ms, beside half of that: the filters', measured on synthetic
pulses; known to 3 ms from 62.5 Hz and to 10 ms at 25 Hz."""
LOW_PERCENT: Final = 0.3
"""Below it oximeters commonly call the perfusion low; there is no standard for it."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse beat: the sample (with its fraction) of its steepest rise, in the count that the channel began with.

    ``likeness`` 0-1 to the beats before it (0 for the first); ``foot`` and ``top`` in the wave's unit.
    """

    sample: float
    likeness: float
    foot: float
    top: float
    second_look: bool = False


@dataclass(frozen=True, slots=True)
class PulseRate:
    """Beats a minute to a tenth, or None and why.

    Reasons: ``few_beats``, ``stale``, ``poor_signal``, ``flat``, ``saturated`` and ``implausible``. ``window_s`` is
    what the rate is the median of, ``quality`` 0-1.
    """

    per_min: float | None
    reason: str | None
    window_s: float
    quality: float
    source: str = "pleth"


@dataclass(frozen=True, slots=True)
class Perfusion:
    """100 x AC/DC in per cent, or None and why: ``no_dc``, or what withholds the rate; ``low`` below 0.3 %."""

    percent: float | None
    reason: str | None
    window_s: float
    quality: float
    source: str = "pleth"
    low: bool = False


@dataclass(frozen=True, slots=True)
class PlethState:
    """All that a channel remembers: plain arrays (int64 and float64), and the number of its first sample."""

    first_sample: int
    whole: npt.NDArray[np.int64]
    real: Array


class Pleth:
    """Follows one pleth wave of any unit at ``rate_hz``; feed it every sample in order, in blocks of any length.

    ``has_dc`` says that the wave is light as measured, its constant part included; many devices send only the part
    that moves, whose perfusion index nobody can tell.
    """

    def __init__(self, rate_hz: float, *, has_dc: bool = False, first_sample: int = 0) -> None:
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise RateUnsupported(f"a pleth needs {RATES_HZ[0]:.0f} to {RATES_HZ[1]:.0f} Hz, not {rate_hz}")
        self.rate_hz, self.has_dc = float(rate_hz), has_dc
        self._sections = np.vstack(
            [
                signal.butter(2, LOW_HZ, fs=rate_hz, output="sos"),
                signal.butter(1, HIGH_HZ, btype="highpass", fs=rate_hz, output="sos"),
            ]
        )
        self._steady = np.ascontiguousarray(signal.sosfilt_zi(self._sections))
        self._sizes = pulses.sizes(rate_hz)
        self._lag = LAG_S * rate_hz + self._sizes[systole.RISE] / 2
        self._whole = np.zeros(systole.WHOLES, dtype=np.int64)
        self._real = np.zeros(systole.REALS)
        self._found = np.zeros((0, systole.FOUND_COLUMNS))
        self._told = np.zeros(pulse_rate.TOLD)
        self.reset(first_sample)

    def reset(self, first_sample: int = 0) -> None:
        """Forget everything; the next sample is number ``first_sample`` (after a gap that was not bridged)."""
        self._begin = first_sample
        pulses.begin(self._whole, self._real, self.rate_hz)

    @property
    def next_sample(self) -> int:
        """The number that the next sample will have."""
        return self._begin + int(self._whole[systole.COUNT])

    def push(self, wave: npt.ArrayLike) -> list[Pulse]:
        """The beats that the next samples (one-dimensional, finite) made certain, in order.

        A beat is known half a second after its steepest rise; one found at the second look, 1.5 intervals and a
        hold-off after the beat before it; those of the first 3 s at their end.
        """
        x = np.ascontiguousarray(wave, dtype=np.float64)
        if x.ndim != 1:
            raise BlockShape("a wave is one-dimensional")
        if not np.isfinite(x).all():
            raise NotFinite
        if len(self._found) < (room := pulses.room(x.size, self.rate_hz)):
            self._found = np.zeros((room, systole.FOUND_COLUMNS))
        count = pulses.run(x, self._sections, self._steady, self._sizes, self._whole, self._real, self._found)
        return [
            Pulse(self._begin + max(0.0, at - self._lag), likeness, foot, top, bool(second))
            for at, likeness, foot, top, second in self._found[:count].tolist()
        ]

    def rate(self) -> PulseRate:
        """The rate as known at the last sample pushed."""
        reason = self._measure()
        value = None if reason else round(float(self._told[pulse_rate.PER_MIN]), 1)
        return PulseRate(value, reason, self._window_s(), self._quality())

    def perfusion(self) -> Perfusion:
        """The perfusion index as known at the last sample pushed: the median beat's."""
        reason = self._measure() if self.has_dc else "no_dc"
        swing, constant = float(self._told[pulse_rate.SWING]), float(self._told[pulse_rate.CONSTANT])
        if reason is None and constant <= swing:
            reason = "no_dc"  # light is positive and its pulse the smaller part: this wave has no true constant
        if reason is not None:
            return Perfusion(None, reason, self._window_s(), 0.0 if reason == "no_dc" else self._quality())
        percent = round(100 * swing / constant, 2)
        return Perfusion(percent, None, self._window_s(), self._quality(), low=percent < LOW_PERCENT)

    def export(self) -> PlethState:
        """A copy of what the channel remembers, to be restored here or elsewhere."""
        return PlethState(self._begin, self._whole.copy(), self._real.copy())

    def restore(self, state: PlethState) -> None:
        """Continue exactly where :meth:`export`, at the same rate, left it."""
        if state.whole.shape != self._whole.shape or state.real.shape != self._real.shape:
            raise BlockShape("the state belongs to another detector")
        if not np.isfinite(state.real).all():
            raise NotFinite
        self._begin = state.first_sample
        self._whole[:], self._real[:] = state.whole, state.real

    def _measure(self) -> str | None:
        reason = pulse_rate.measure(self._whole, self._real, self._told)
        return pulse_rate.REASONS[reason]

    def _quality(self) -> float:
        return round(float(self._told[pulse_rate.QUALITY]), 2)

    def _window_s(self) -> float:
        return min(pulse_rate.WINDOW_S, round(float(self._whole[systole.COUNT]) / self.rate_hz, 1))
