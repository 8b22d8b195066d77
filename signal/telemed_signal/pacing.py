"""Pacemaker spikes on one lead: found, named by their sample, and taken out of what the beat detector sees.

A pacing pulse is 0.1 to 2 ms wide and up to hundreds of millivolts high (IEC 60601-2-27), no wave of the heart is so
narrow. Here a spike is a few samples (one to three; five of 1,000 a second behind a slow amplifier) that rise from what
is before them and return to what is after them, at least :data:`LEAST_MV` high on both sides and at least four times
as high as any step of the signal around. It is not a beat: :class:`SpikeFinder` gives the signal back with a straight
line in its place, a few milliseconds late.

What is not known. From 500 samples a second a pulse leaves a mark, as far as the device's own low-pass lets it through
(150 Hz leaves a fifth of a 0.5 ms pulse: one of 2 mV is not found, one of 5 mV is). Below that, pulses may fall between
the samples: finding none says nothing (``sure`` is false). At no rate does it say that a pulse captured the heart, nor
is a pulse found on a steep QRS, or within 8 ms of another.
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

RATES_HZ: Final = (200.0, 1_000.0)
"""Below it three samples are as long as the QRS of an infant's peak."""
SURE_HZ: Final = 500.0
"""AHA/ACC/HRS 2007: 500 samples a second at the least for what a diagnostic ECG must hold."""
REACH_S: Final = 0.003
"""From its top to its foot, rounded up to samples: 2 ms of a pulse and what a device's low-pass adds."""
LEAST_MV: Final = 0.5
STEEPER: Final = 4.0
"""Against the greatest step around it: a triangular QRS peak has 2, at most 3 with its rounding."""
AROUND_S: Final = 0.008
"""On both sides: longer than a pulse's ringing, shorter than the way to the QRS that it causes."""

RING: Final = 32
"""Samples kept: 2 x (8 + 3) + 2 at 1,000 a second, and a power of two."""

# Places in ``whole``.
COUNT: Final = 0  # samples so far
GIVEN: Final = 1  # of them given back
WHOLES: Final = 2

# Places in ``real``.
RAW: Final = 0
CLEAN: Final = RING
REALS: Final = 2 * RING


@dataclass(frozen=True, slots=True)
class Spike:
    """A pacing pulse: the sample of its top, its signed height above the line across its foot, its samples."""

    sample_index: int
    height_mv: float
    samples: int


@dataclass(frozen=True, slots=True)
class SpikeState:
    """All that a finder remembers."""

    first_sample: int
    whole: Wholes
    real: Array


@compiled()
def _step_around(raw: Array, left: int, right: int, around: int) -> float:
    """The greatest step between neighbours in the ``around`` samples before ``left`` and after ``right``."""
    most = 0.0
    for k in range(around):
        most = max(most, abs(raw[(left - k) % RING] - raw[(left - k - 1) % RING]))
        most = max(most, abs(raw[(right + k + 1) % RING] - raw[(right + k) % RING]))
    return most


@compiled()
def _spike(raw: Array, top: int, around: int, reach: int) -> tuple[int, int, float]:
    """Feet of the spike whose top is at ``top``, and its height: (left, right, mV); 0 mV: there is none."""
    x = raw[top % RING]
    best_left, best_right, best = top, top, 0.0
    left_rise = 0.0
    for before in range(1, reach + 1):
        one = x - raw[(top - before) % RING]
        # Away from the top it only falls (or, of a negative spike, rises).
        if abs(one) <= abs(left_rise) or one * left_rise < 0:
            break
        left_rise, right_rise = one, 0.0
        for after in range(1, reach + 1):
            two = x - raw[(top + after) % RING]
            if abs(two) < abs(right_rise) or two * one <= 0:
                break
            right_rise = two
            height = min(abs(one), abs(two))
            if height > best and height >= LEAST_MV:
                left, right = top - before, top + after
                if height >= STEEPER * _step_around(raw, left, right, around):
                    best_left, best_right, best = left, right, height
    return best_left, best_right, best


@compiled("int64(float64[::1], int64, int64, int64[::1], float64[::1], float64[::1], float64[:, ::1])")
def run(
    x_mv: Array, around: int, reach: int, whole: Wholes, real: Array, clean: Array, found: Array
) -> int:
    """Take the next samples; returns how many spikes are in ``found`` (top, height, samples).

    ``clean`` takes what is given back; ``whole[GIVEN]`` counts it.
    """
    late = around + reach
    raw, tidy = real[RAW : RAW + RING], real[CLEAN : CLEAN + RING]
    spikes = 0
    now, given = whole[COUNT], whole[GIVEN]
    out = 0
    if now == 0 and x_mv.size:
        raw[:] = x_mv[0]
        tidy[:] = x_mv[0]
    for value in x_mv:
        raw[now % RING] = value
        tidy[now % RING] = value
        top = now - late
        if top >= 0:
            # Only a jump can be one: the usual sample ends here.
            if abs(raw[top % RING] - raw[(top - reach) % RING]) >= LEAST_MV:
                left, right, height = _spike(raw, top, around, reach)
                if height > 0:
                    foot, rise = raw[left % RING], raw[right % RING] - raw[left % RING]
                    for at in range(left + 1, right):
                        tidy[at % RING] = foot + rise * (at - left) / (right - left)
                    found[spikes, 0], found[spikes, 2] = top, right - left - 1
                    found[spikes, 1] = raw[top % RING] - tidy[top % RING]
                    spikes += 1
            if top >= reach - 1:  # what no later spike can reach
                clean[out] = tidy[(top - reach + 1) % RING]
                out += 1
        now += 1
    whole[COUNT], whole[GIVEN] = now, given + out
    return spikes


class SpikeFinder:
    """Finds the pacing spikes of one lead at ``rate_hz``; feed it every sample in order, in blocks of any length."""

    def __init__(self, rate_hz: float, *, first_sample: int = 0) -> None:
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise RateUnsupported(f"pacing needs {RATES_HZ[0]:.0f} to {RATES_HZ[1]:.0f} Hz, not {rate_hz}")
        self.rate_hz = float(rate_hz)
        self.sure = rate_hz >= SURE_HZ
        self._around = max(2, round(AROUND_S * rate_hz))
        self._reach = max(1, math.ceil(REACH_S * rate_hz))
        self._whole = np.zeros(WHOLES, dtype=np.int64)
        self._real = np.zeros(REALS)
        self.reset(first_sample)

    @property
    def delay(self) -> int:
        """How many samples late the signal comes back."""
        return self._around + 2 * self._reach - 1

    def reset(self, first_sample: int) -> None:
        """Forget everything; the next sample is number ``first_sample`` (after a gap that was not bridged)."""
        self._begin = first_sample
        self._whole[:] = 0
        self._real[:] = 0.0

    def push(self, x_mv: npt.ArrayLike) -> tuple[list[Spike], Array]:
        """The spikes that the next samples (one-dimensional, millivolts, finite) made certain, and the signal without.

        The signal given back follows what was given back before: its first sample ever is ``first_sample``, and
        :attr:`delay` samples are held back.
        """
        x = np.ascontiguousarray(x_mv, dtype=np.float64)
        if x.ndim != 1:
            raise BlockShape("a lead is one-dimensional")
        if not np.isfinite(x).all():
            raise NotFinite
        clean = np.empty(x.size)
        # Two tops are at least three samples apart: the second one's foot would be the first one's top.
        found = np.empty((x.size // 2 + 2, 3))
        before = int(self._whole[GIVEN])
        count = run(x, self._around, self._reach, self._whole, self._real, clean, found)
        given = int(self._whole[GIVEN]) - before
        spikes = [Spike(self._begin + int(at), height, int(wide)) for at, height, wide in found[:count].tolist()]
        return spikes, clean[:given]

    def export(self) -> SpikeState:
        """A copy of what the finder remembers, to be restored here or elsewhere."""
        return SpikeState(self._begin, self._whole.copy(), self._real.copy())

    def restore(self, state: SpikeState) -> None:
        """Continue exactly where :meth:`export`, at the same rate, left it."""
        if state.whole.shape != self._whole.shape or state.real.shape != self._real.shape:
            raise BlockShape("the state belongs to another finder")
        if not np.isfinite(state.real).all():
            raise NotFinite
        self._begin = state.first_sample
        self._whole[:], self._real[:] = state.whole, state.real
