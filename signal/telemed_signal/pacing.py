"""Pacemaker spikes on one lead: found, named by their sample, and taken out of what the beat detector sees.

A pacing pulse is 0.1 to 2 ms wide and up to hundreds of millivolts high (IEC 60601-2-27), no wave of the heart is so
narrow. Here a spike is a few samples (one to three; seven of 1,000 a second behind a slow amplifier) that rise from
what is before them and return to what is after them, at least :data:`LEAST_MV` high on both sides and at least four
times as high as any step of the signal around. It is not a beat: :class:`SpikeFinder` gives the signal back with a
straight line in its place, a few milliseconds late. Where the signal does not go on as it came, the amplifier rings or
the electrodes stay charged: the line is then twice as long, and a tail that decays behind it is taken away.

What is not known. From 500 samples a second a pulse leaves a mark, as far as the device's own low-pass lets it through
(behind 150 Hz one of 0.5 ms and 2 mV is found, one of 0.1 ms from 10 mV on; behind 40 Hz none: it looks like a beat).
Below that, pulses may fall between the samples: finding none says nothing (``sure`` is false). At no rate does it say
that a pulse captured the heart, nor is a pulse found on a steep QRS, or within 8 ms of another.
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
REACH_S: Final = 0.004
"""From its top to its foot, rounded up to samples: 2 ms of a pulse and what a device's low-pass adds."""
LEAST_MV: Final = 0.2
"""What 150 Hz leaves of 0.5 ms of 2 mV is 0.4; in noise of 0.09 mV (white, 500 a second) 0.2 finds 8 in 300 s."""
STEEPER: Final = 4.0
"""Against the greatest step around it: a triangular QRS peak has 2, at most 3 with its rounding."""
AROUND_S: Final = 0.008
"""On both sides: longer than a pulse's ringing, shorter than the way to the QRS that it causes."""

APART_MV: Final = 0.02
APART: Final = 0.5
"""Of the way that the signal goes at its own slope within a spike: further from it, and the spike left something."""
TAIL_S: Final = 0.1
"""Longest time constant of what a pulse leaves on the electrodes (IEC 60601-2-27: 4 to 100 ms, 2 mV at most)."""
TAIL_MV: Final = 0.01
TAIL_RATIO: Final = (0.25, 1.2)
"""Of its height 4 ms later to that before: 3 ms is the shortest; what grows more than noise does is a QRS."""

RING: Final = 32
"""Samples kept: 4 before a spike, 2 x 4 of its own and 2 x 8 after it at 1,000 a second, and a power of two."""

# Places in ``whole``.
COUNT: Final = 0  # samples so far
GIVEN: Final = 1  # of them given back
END: Final = 2  # last sample of the newest pulse and its ringing
SETTLES: Final = 3  # sample at which what it left behind is measured
WHOLES: Final = 4

# Places in ``real``.
RAW: Final = 0
CLEAN: Final = RING
TAIL: Final = 2 * RING  # what is left of the newest pulse's tail, millivolts
DECAY: Final = TAIL + 1  # of it, a sample
BASE: Final = TAIL + 2  # what was before it
REALS: Final = TAIL + 3


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


@compiled()
def _mean(wave: Array, start: int, length: int) -> float:
    total = 0.0
    for at in range(start, start + length):
        total += wave[at % RING]
    return total / length


@compiled()
def _leaves(tidy: Array, left: int, right: int, around: int) -> bool:
    """Whether the signal after a spike stands apart from where it was going: it rings, or has a tail."""
    half = around // 2
    before = (tidy[left % RING] - tidy[(left - half) % RING]) / half
    after = (tidy[(right + around) % RING] - tidy[(right + half) % RING]) / (around - half)
    wide = right - left
    apart = abs(tidy[right % RING] - tidy[left % RING] - wide * (before + after) / 2)
    return bool(apart > max(APART_MV, APART * wide * max(abs(before), abs(after))))


@compiled()
def _begin(tidy: Array, left: int, right: int, around: int, whole: Wholes, real: Array) -> None:
    """A straight line in the place of a spike; where more than itself is left, what was before until that is over."""
    if not _leaves(tidy, left, right, around):
        foot, rise = tidy[left % RING], tidy[right % RING] - tidy[left % RING]
        for at in range(left + 1, right):
            tidy[at % RING] = foot + rise * (at - left) / (right - left)
        return
    end = right + around
    real[BASE] = _mean(tidy, left - around // 2, around // 2)
    for at in range(left + 1, end + 1):
        tidy[at % RING] = real[BASE]
    whole[END], whole[SETTLES] = end, end + around


@compiled()
def _settle(tidy: Array, given: int, now: int, around: int, longest: float, whole: Wholes, real: Array) -> None:
    """Lead a straight line, from what was given back, to the signal without the tail; and begin to take that away."""
    end, half = whole[END], around // 2
    early, late = _mean(tidy, end + 1, half) - real[BASE], _mean(tidy, end + around - half + 1, half) - real[BASE]
    tail = 0.0
    if abs(early) >= TAIL_MV and abs(late) <= TAIL_RATIO[1] * abs(early):
        real[DECAY] = min(longest, max(TAIL_RATIO[0], late / early) ** (1.0 / (around - half)))
        tail = early * real[DECAY] ** (-(half - 1) / 2)
    for at in range(end + 1, now + 1):
        tidy[at % RING] -= tail
        real[TAIL] = tail
        tail *= real[DECAY]
    foot, rise = tidy[(given - 1) % RING], tidy[(end + 1) % RING] - tidy[(given - 1) % RING]
    for at in range(given, end + 1):
        tidy[at % RING] = foot + rise * (at - given + 1) / (end - given + 2)


@compiled("int64(float64[::1], int64, int64, float64, int64[::1], float64[::1], float64[::1], float64[:, ::1])")
def run(
    x_mv: Array, around: int, reach: int, longest: float, whole: Wholes, real: Array, clean: Array, found: Array
) -> int:
    """Take the next samples; returns how many spikes are in ``found`` (top, height, samples).

    ``longest`` is the decay of the longest tail, a sample. ``clean`` takes what is given back (it may be ``x_mv``
    itself); ``whole[GIVEN]`` counts it.
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
        real[TAIL] *= real[DECAY]
        tidy[now % RING] = value - real[TAIL]
        top = now - late
        if top >= 0:
            # Only a jump can be one: the usual sample ends here.
            if abs(raw[top % RING] - raw[(top - reach) % RING]) >= LEAST_MV:
                left, right, height = _spike(raw, top, around, reach)
                if height > 0:
                    foot, rise = raw[left % RING], raw[right % RING] - raw[left % RING]
                    found[spikes, 0], found[spikes, 2] = top, right - left - 1
                    found[spikes, 1] = raw[top % RING] - foot - rise * (top - left) / (right - left)
                    _begin(tidy, left, right, around, whole, real)
                    spikes += 1
            if now == whole[SETTLES]:
                _settle(tidy, top - reach + 1, now, around, longest, whole, real)
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
        self._longest = math.exp(-1 / (TAIL_S * rate_hz))
        self._whole = np.zeros(WHOLES, dtype=np.int64)
        self._real = np.zeros(REALS)
        self._found = np.empty((0, 3))
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
        before = int(self._whole[GIVEN])
        count = self._run(x, clean)
        given = int(self._whole[GIVEN]) - before
        found = self._found[:count].tolist()
        return [Spike(self._begin + int(at), height, int(wide)) for at, height, wide in found], clean[:given]

    def clear(self, x_mv: Array) -> None:
        """The same in place, for who does not ask where the spikes were, with samples known to be finite.

        What is given back stands at the beginning of ``x_mv``: once :attr:`delay` samples were taken, all of it.
        """
        self._run(x_mv, x_mv)

    def _run(self, x_mv: Array, clean: Array) -> int:
        # Two tops are at least three samples apart: the second one's foot would be the first one's top.
        if len(self._found) < (room := x_mv.size // 2 + 2):
            self._found = np.empty((room, 3))
        return int(run(x_mv, self._around, self._reach, self._longest, self._whole, self._real, clean, self._found))

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
