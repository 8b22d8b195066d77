"""Heart beats of a station from all its ECG leads at once: each beat named once, the cleaner leads counting more.

Every lead is judged for itself (``qrs``, ``judgement``), which tells the height of its beats. The energies, each in
units of its lead's beats, are summed by their roots, and the sum is judged exactly like one lead: a beat shows in all
leads, noise in one. The weight of a lead is 1 / (sqrt(fill) * (doubt + 0.02)): fill is its mean energy of the last 2 s
in the same units, little for a lead that is flat between its beats, near 1 for one of noise; doubt is the share of the
station's last beats that it does not tell alike. No delay beside a lead's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal import judgement, qrs
from telemed_signal.beats import Beat, BeatState, Setting
from telemed_signal.faults import BlockShape, NotFinite
from telemed_signal.judgement import SHIPPED, Constants

MAX_LEADS: Final = 12

Array = npt.NDArray[np.float64]


class FusedBeats:
    """Finds the beats of simultaneous ``leads``; feed every sample of all in order, in blocks of any length.

    With one lead it tells what ``BeatDetector`` tells of that lead.
    """

    def __init__(self, rate_hz: float, leads: int, *, first_sample: int = 0, constants: Constants = SHIPPED) -> None:
        if not 1 <= leads <= MAX_LEADS:
            raise BlockShape(f"1 to {MAX_LEADS} leads, not {leads}")
        self._setting = Setting.at(rate_hz, constants)
        self.rate_hz, self.leads = self._setting.rate_hz, leads
        self._whole, self._real = self._setting.memory((leads + 1,))
        self._longest = -1  # block that the found beats have room for
        self._found = np.zeros((0, judgement.FOUND_COLUMNS), dtype=np.int64)
        self._all = [True] * leads
        self._on = self._all
        # The row whose beats are told, and the same alone for the loop of one lead.
        self._told = 0 if leads == 1 else leads
        self._alone = (self._whole[0], self._real[0]) if leads == 1 else None
        self.reset(first_sample)

    def reset(self, first_sample: int) -> None:
        """Forget everything of all leads; the next sample is number ``first_sample``."""
        self._begin = first_sample
        for whole, real in zip(self._whole, self._real, strict=True):
            qrs.begin(whole, real, self.rate_hz)

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
        x = np.ascontiguousarray(x_mv, np.float64)
        if x.ndim != 2 or len(x) != self.leads:
            raise BlockShape(f"(leads, samples) with {self.leads} leads")
        wanted = self._all if on is None else list(on)
        if wanted != self._on:
            self._switch(wanted)
        samples = x.shape[1]
        if samples > self._longest:
            self._found, self._longest = self._setting.room(samples), samples
        if True not in self._on:
            self._begin += samples
            return []
        if self._alone is None:
            count = qrs.run_many(x, self._whole, self._real, self._found)
        else:
            count = qrs.run(x[0], *self._alone, self._found)
        if not count:
            return []
        if count == qrs.POISON:
            raise NotFinite
        return self._setting.beats(self._begin, self._found[:count])

    def _switch(self, on: list[bool]) -> None:
        if len(on) != self.leads:
            raise BlockShape(f"a flag for each of {self.leads} leads")
        if True not in on:
            self.reset(self.next_sample)
        for lead, (before, now) in enumerate(zip(self._on, on, strict=True)):
            if before and not now:
                qrs.begin(self._whole[lead], self._real[lead], self.rate_hz)
            self._whole[lead, qrs.ON] = now
        self._on = [bool(one) for one in on]

    def export(self) -> BeatState:
        """A copy of what is remembered: (leads + 1, places), the last row of the sum."""
        return BeatState(self._begin, self._whole.copy(), self._real.copy())

    def restore(self, state: BeatState) -> None:
        """Continue exactly where :meth:`export`, at the same rate and with as many leads, left it."""
        self._setting.restore(state, self._whole, self._real)
        self._begin = state.first_sample
        self._on = [bool(one) for one in self._whole[:-1, qrs.ON]]
