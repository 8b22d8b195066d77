"""Heart beats of one ECG lead as they come: causal, its memory carried, the same beats for any chunking.

1. Energy of the QRS: band-pass 6–18 Hz, difference over 20 ms, absolute value, mean of 60 ms. The absolute
   value is rounded to whole nanovolts, so that the running sum is exact and no chunking can change it.
2. Peaks: a peak closes when the energy falls to half or 120 ms after it; of peaks nearer than the hold-off
   (180–280 ms, 0.45 of the median interval) the largest stays.
3. Which peaks are beats: ``judgement``. The first 3 s are judged when the levels are known, so none is lost.

Published ancestors: Pan and Tompkins 1985, Hamilton and Tompkins 1986.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.judgement import SHORTEST_HOLD_OFF_S, Judge, Peak

RATES_HZ: Final = (100.0, 1_000.0)
"""Below it the QRS has too few samples; above it nothing is gained (tested from 125)."""
BAND_HZ: Final = (6.0, 18.0)
STEP_S: Final = 0.020
MEAN_S: Final = 0.060
CLOSE_S: Final = 0.120
LAG_S: Final = 0.047
"""From the R peak to the peak of the energy: the band-pass and the two windows; measured on MIT-BIH."""
TWINS: Final = 0.8
"""Two peaks in one hold-off, the lesser at least so much of the greater, are two beats, not a beat and its T wave."""
NANOVOLTS: Final = 1e6  # of a millivolt
CLIP_MV: Final = 100.0
"""Far beyond any skin potential (IEC 60601-2-27: +-5 mV); keeps the whole-number sums from overflowing."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Beat:
    """One heart beat: the sample at which its R peak lies, in the count that the detector was started with.

    ``energy_mv`` is its QRS energy; ``second_look`` tells that it was found late.
    """

    sample_index: int
    energy_mv: float
    second_look: bool = False


class BeatDetector:
    """Finds the beats of one lead at ``rate_hz``; feed it every sample in order, in blocks of any length."""

    def __init__(self, rate_hz: float, *, first_sample: int = 0) -> None:
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise RateUnsupported(f"beats need {RATES_HZ[0]:.0f} to {RATES_HZ[1]:.0f} Hz, not {rate_hz}")
        self.rate_hz = float(rate_hz)
        self._sos = np.asarray(signal.butter(1, BAND_HZ, btype="bandpass", fs=rate_hz, output="sos"))
        self._steady = np.asarray(signal.sosfilt_zi(self._sos))
        self._step = max(1, round(STEP_S * rate_hz))
        self._mean = max(1, round(MEAN_S * rate_hz))
        self._shortest = round(SHORTEST_HOLD_OFF_S * rate_hz)
        self._close = round(CLOSE_S * rate_hz)
        self._lag = round(LAG_S * rate_hz)
        self.reset(first_sample)

    def reset(self, first_sample: int) -> None:
        """Forget everything; the next sample is number ``first_sample`` (after a gap that was not bridged)."""
        self._begin = first_sample
        self._count = 0  # samples since then; every position below is counted from there too
        self._zi: Array | None = None
        self._smooth = np.zeros(self._step)
        self._steps = np.zeros(self._mean, dtype=np.int64)
        self._energy = np.zeros(0, dtype=np.int64)  # positions _origin to _count
        self._origin = 0
        self._told = 0  # last position that was looked at for a maximum
        self._open: Peak | None = None
        self._pending: Peak | None = None
        self._judge = Judge(self.rate_hz)
        self._found: deque[Beat] = deque()

    @property
    def next_sample(self) -> int:
        """The number that the next sample will have."""
        return self._begin + self._count

    def push(self, x_mv: npt.ArrayLike) -> list[Beat]:
        """The beats that the next samples (one-dimensional, millivolts, finite) made certain, in order.

        A beat is known about a third of a second after its R peak; one found at the second look, 1.4 intervals
        and a hold-off after the beat before it; those of the first 3 s at their end.
        """
        x = np.asarray(x_mv, dtype=np.float64)
        if x.ndim != 1:
            raise BlockShape("a lead is one-dimensional")
        if not np.isfinite(x).all():
            raise NotFinite
        if x.size == 0:
            return []
        self._append(np.clip(x, -CLIP_MV, CLIP_MV))
        for at in self._maxima():
            self._until(at)
            height = int(self._energy[at - self._origin])
            if self._open is None or height > self._open.height:
                self._open = Peak(at, height)
        self._until(self._told)
        self._trim()
        beats = list(self._found)
        self._found.clear()
        return beats

    def _append(self, x: Array) -> None:
        """The energy of the new samples: whole nanovolts, exact from the band-pass on."""
        if self._zi is None:
            self._zi = self._steady * x[0]
        smooth, self._zi = signal.sosfilt(self._sos, x, zi=self._zi)
        joined = np.concatenate([self._smooth, smooth])
        self._smooth = joined[-self._step :]
        steps = np.rint(np.abs(joined[self._step :] - joined[: -self._step]) * NANOVOLTS).astype(np.int64)
        window = np.concatenate([self._steps, steps])
        self._steps = window[-self._mean :]
        sums = np.cumsum(window)
        energy = (sums[self._mean :] - sums[: -self._mean]) // self._mean
        self._energy = np.concatenate([self._energy, energy])
        self._count += x.size

    def _maxima(self) -> list[int]:
        """Positions of the new local maxima; the newest sample waits for the one after it."""
        fresh = self._energy[self._told - self._origin :]
        if fresh.size < 3:
            return []
        here = np.flatnonzero((fresh[1:-1] > fresh[:-2]) & (fresh[1:-1] >= fresh[2:])) + 1 + self._told
        self._told = self._count - 2
        return [int(at) for at in here]

    def _until(self, now: int) -> None:
        """Do all that is due at or before position ``now``, each at its own time: so chunks change nothing."""
        while True:
            closes = self._closes(now)
            ripe = self._ripe()
            late = self._judge.deadline
            due = min(at for at in (closes, ripe, late, now + 1) if at is not None)
            if due > now:
                return
            if due == closes:
                self._close_open()
            elif due == ripe and self._pending is not None:
                peak, self._pending = self._pending, None
                self._emit(self._judge.peak(peak.at, peak.height))
            else:
                self._emit(self._judge.overdue())

    def _closes(self, now: int) -> int | None:
        """When the open peak closes, if that is known by ``now``."""
        if self._open is None:
            return None
        start, end = self._open.at + 1, self._open.at + self._close
        ahead = self._energy[start - self._origin : min(now, end) + 1 - self._origin]
        fallen = ahead <= self._open.height // 2
        if fallen.any():
            return start + int(fallen.argmax())
        return end if end <= now else None

    def _ripe(self) -> int | None:
        """When the waiting peak goes to the judge: after its hold-off, unless a later peak within it is open."""
        if self._pending is None:
            return None
        at = self._pending.at + self._judge.hold_off
        return None if self._open is not None and self._open.at < at else at

    def _close_open(self) -> None:
        peak, self._open = self._open, None
        if peak is None:
            return
        waiting = self._pending
        if waiting is None:
            self._pending = peak
        elif self._apart(waiting, peak):
            self._emit(self._judge.peak(waiting.at, waiting.height))
            self._pending = peak
        elif peak.height > waiting.height:
            self._pending = peak

    def _apart(self, one: Peak, later: Peak) -> bool:
        """Whether two peaks are two: beyond the hold-off, or of one strength and not nearer than a fast heart's.

        Without the second, a heart faster than the hold-off would be counted every second or third beat.
        """
        distance = later.at - one.at
        if distance >= self._judge.hold_off:
            return True
        return distance >= self._shortest and min(one.height, later.height) >= TWINS * max(one.height, later.height)

    def _emit(self, peaks: list[Peak]) -> None:
        for peak in peaks:
            at = self._begin + max(0, peak.at - self._lag)
            self._found.append(Beat(at, peak.height / NANOVOLTS, peak.second_look))

    def _trim(self) -> None:
        """Keep what the next maximum and an open peak still need: at most 0.12 s beside the last block."""
        keep = self._told if self._open is None else min(self._told, self._open.at)
        if keep > self._origin:
            self._energy = self._energy[keep - self._origin :].copy()
            self._origin = keep
