"""Heart beats of a station from all its ECG leads at once: each beat named once, the cleaner leads counting more.

Every lead is judged for itself (``qrs``, ``judgement``), which tells the height of its beats. The energies, each in
units of its lead's beats, are summed, and the sum is judged exactly like one lead: a beat shows in all leads, noise
in one. The weight of a lead is 1/fill^2, fill being its mean energy of the last 2 s in the same units: little for
a lead that is flat between its beats, near 1 for one of noise. No delay beside a lead's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal import judgement, qrs
from telemed_signal.beats import Beat, BeatState, Setting
from telemed_signal.faults import BlockShape, NotFinite

MAX_LEADS: Final = 12
SHARE: Final = 0.35
"""Of the way from noise to beats, the bar of the sum: higher than a lead's, since noise is seldom in all leads.

With 0.3125, 0.35 and 0.4, errors on half A of MIT-BIH 39, 39 and 43, on half B 67, 53 and 49."""

Array = npt.NDArray[np.float64]


class FusedBeats:
    """Finds the beats of simultaneous ``leads``; feed every sample of all in order, in blocks of any length.

    With one lead it tells what ``BeatDetector`` tells of that lead.
    """

    def __init__(self, rate_hz: float, leads: int, *, first_sample: int = 0) -> None:
        if not 1 <= leads <= MAX_LEADS:
            raise BlockShape(f"1 to {MAX_LEADS} leads, not {leads}")
        self._setting = Setting.at(rate_hz)
        self.rate_hz, self.leads = self._setting.rate_hz, leads
        self._shortest = int(self._setting.sizes[qrs.SHORTEST])
        self._whole = np.zeros((leads + 1, qrs.WHOLES), dtype=np.int64)
        self._real = np.zeros((leads + 1, qrs.REALS))
        self._found = np.zeros((0, judgement.FOUND_COLUMNS), dtype=np.int64)
        self._on = np.ones(leads, dtype=np.bool_)
        self._told = 0 if leads == 1 else leads  # the row whose beats are told
        self.reset(first_sample)

    def reset(self, first_sample: int) -> None:
        """Forget everything of all leads; the next sample is number ``first_sample``."""
        self._begin = first_sample
        for row in range(self.leads + 1):
            self._forget(row)

    def _forget(self, row: int) -> None:
        share = SHARE if row == self.leads else judgement.SHARE
        qrs.begin(self._whole[row], self._real[row], self.rate_hz, share)

    @property
    def next_sample(self) -> int:
        """The number that the next sample will have."""
        return self._begin + int(self._whole[self._told, qrs.COUNT])

    @property
    def weights(self) -> Array:
        """The share of each lead in the sum, float64 (leads,), of 1 in all; 0 for a lead that is off or learns."""
        weights = np.where(self._on, self._real[:-1, qrs.WEIGHT], 0.0)
        total = float(weights.sum())
        return weights / total if total > 0 else weights

    def push(self, x_mv: npt.ArrayLike, on: Sequence[bool] | None = None) -> list[Beat]:
        """The beats that the next samples, (leads, samples) in millivolts, made certain, in order.

        ``on`` says which leads are on (None: all); the samples of one that is off are not looked at, and it learns
        anew when it returns. When all are off, everything is forgotten. Leads that are on are finite.
        """
        x = np.ascontiguousarray(x_mv, dtype=np.float64)
        if x.ndim != 2 or x.shape[0] != self.leads:
            raise BlockShape(f"(leads, samples) with {self.leads} leads")
        self._switch(np.ones(self.leads, np.bool_) if on is None else np.asarray(on, dtype=np.bool_))
        if len(self._found) < (room := qrs.room(x.shape[1], self._shortest)):
            self._found = np.zeros((room, judgement.FOUND_COLUMNS), dtype=np.int64)
        if not self._on.any():
            self._begin += x.shape[1]
            return []
        count = self._run(x)
        if count == qrs.POISON:
            raise NotFinite
        return self._setting.beats(self._begin, self._found[:count]) if count else []

    def _run(self, x: Array) -> int:
        setting, sizes = self._setting.real, self._setting.sizes
        if self.leads == 1:
            return qrs.run(x[0], setting, sizes, self._whole[0], self._real[0], self._found)
        return qrs.run_many(x, self._on, setting, sizes, self._whole, self._real, self._found)

    def _switch(self, on: npt.NDArray[np.bool_]) -> None:
        if on.shape != self._on.shape:
            raise BlockShape(f"a flag for each of {self.leads} leads")
        if not on.any() and self._on.any():
            self.reset(self.next_sample)
        for lead in np.flatnonzero(self._on & ~on):
            self._forget(int(lead))
        self._on[:] = on

    def export(self) -> BeatState:
        """A copy of what is remembered: (leads + 1, places), the last row of the sum."""
        return BeatState(self._begin, self._whole.copy(), self._real.copy())

    def restore(self, state: BeatState) -> None:
        """Continue exactly where :meth:`export`, at the same rate and with as many leads, left it."""
        if state.whole.shape != self._whole.shape or state.real.shape != self._real.shape:
            raise BlockShape("the state belongs to other leads")
        if not np.isfinite(state.real).all():
            raise NotFinite
        self._begin = state.first_sample
        self._whole[:], self._real[:] = state.whole, state.real
