"""Respiration rate from a pleth's pulse beats: what breathing does to their baseline, amplitude and interval.

Each of the three is a slow wave with a value a beat; drawn at 4 points a second, ``breaths`` looks at its last minute.
A rate is said only when at least two of them have breaths of some quality, and all that have agree within 4 a minute
(after Karlen 2013). Many minutes have none, and that is said as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal import breaths
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.pleth import Pulse
from telemed_signal.respiration import AGREE_PER_MIN, MIN_BREATHS, RANGE_PER_MIN, WINDOW_S, Breathing

BEATS: Final = 192
"""Of a minute at 190 a minute; at 240 the window is 48 s, and says so."""
DRAWN_HZ: Final = 4.0
LIKE: Final = 0.8
"""A beat less like the ones before is left out: a movement, not a breath, has changed it."""
LONG: Final = 1.5
"""An interval of more than so many median ones has a beat missing in it."""
LEAST_S: Final = 30.0

GATE: Final = 0.2
"""Of a modulation's quality; lower than the impedance's, because two must agree."""
AGREEING: Final = 2
"""Modulations at least: one alone may be the rhythm's or the ventilator's own."""

COUNT: Final = 0
AT: Final = 1
TOP: Final = AT + BEATS
SWING: Final = TOP + BEATS
PLACES: Final = SWING + BEATS

Array = npt.NDArray[np.float64]


class PulseBreathing:
    """Follows the beats of one pleth wave sampled at ``rate_hz``, in their order."""

    def __init__(self, rate_hz: float) -> None:
        if rate_hz <= 0:
            raise RateUnsupported
        self.rate_hz = float(rate_hz)
        self._state = np.zeros(PLACES)
        self._told = np.zeros(breaths.TOLD)

    def reset(self) -> None:
        """Forget everything, as after a gap that was not bridged."""
        self._state[:] = 0.0

    def push(self, pulses: Iterable[Pulse]) -> None:
        """Add beats, in order."""
        for pulse in pulses:
            if pulse.likeness < LIKE:
                continue
            count = int(self._state[COUNT])
            if count == BEATS:
                for begin in (AT, TOP, SWING):
                    self._state[begin : begin + BEATS - 1] = self._state[begin + 1 : begin + BEATS]
                count -= 1
            self._state[AT + count] = pulse.sample
            self._state[TOP + count], self._state[SWING + count] = pulse.top, pulse.top - pulse.foot
            self._state[COUNT] = count + 1

    def at(self, sample: float) -> Breathing:
        """The rate as known when the signal has reached ``sample`` (in the pleth's count)."""
        count = int(self._state[COUNT])
        at = (self._state[AT : AT + count] - sample) / self.rate_hz
        fresh = int(np.searchsorted(at, -WINDOW_S))
        at = at[fresh:]
        if at.size < MIN_BREATHS or at[-1] < -LEAST_S / 3 or at[-1] - at[0] < LEAST_S:
            return Breathing(None, "few_beats", 0.0 if at.size == 0 else round(float(-at[0]), 1), 0.0, "pleth")
        window_s = WINDOW_S if fresh else round(float(-at[0]), 1)  # older beats were there, or not
        intervals = np.diff(at)
        whole = intervals <= LONG * float(np.median(intervals))
        grid = np.arange(at[1], at[-1], 1 / DRAWN_HZ)
        swing = self._state[SWING + fresh : SWING + count]
        waves = (
            np.interp(grid, at, self._state[TOP + fresh : TOP + count] - swing / 2),
            np.interp(grid, at, swing),
            np.interp(grid, at[1:][whole], intervals[whole]),
        )
        rates, qualities = [], []
        for wave in waves:
            found = breaths.look(wave, DRAWN_HZ, 0.0, self._told)
            if found >= MIN_BREATHS and self._told[breaths.QUALITY] >= GATE:
                rates.append(float(self._told[breaths.PER_MIN]))
                qualities.append(float(self._told[breaths.QUALITY]))
        if len(rates) < AGREEING:
            return Breathing(None, "poor_signal", window_s, 0.0, "pleth")
        quality = round(float(np.mean(qualities)), 2)
        if max(rates) - min(rates) > AGREE_PER_MIN:
            return Breathing(None, "disagreement", window_s, quality, "pleth")
        per_min = round(float(np.average(rates, weights=np.square(qualities))), 1)
        if not RANGE_PER_MIN[0] <= per_min <= RANGE_PER_MIN[1]:
            return Breathing(None, "implausible", window_s, quality, "pleth")
        return Breathing(per_min, None, window_s, quality, "pleth")

    def export(self) -> Array:
        """A copy of what is remembered."""
        return self._state.copy()

    def restore(self, state: Array) -> None:
        """Continue exactly where :meth:`export`, at the same rate, left it."""
        if state.shape != self._state.shape:
            raise BlockShape("the state belongs to another channel")
        if not np.isfinite(state).all():
            raise NotFinite
        self._state[:] = state
