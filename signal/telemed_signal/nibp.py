"""Progress of a blood pressure measurement from the cuff pressures that the device sends: a phase and a pressure.

Nothing is computed from them: the device's own systolic, diastolic and mean are what is charted. An oscillometric
estimate with fixed ratios does not reach the accuracy that ISO 81060-2 asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal.faults import BlockShape, NotFinite

RANGE_MMHG: Final = (0.0, 330.0)
"""Of an adult's cuff, above what IEC 80601-2-30 lets it reach after a single fault; a value outside is a fault."""
TURN_MMHG: Final = 10.0
"""So far from the highest (or lowest) value the cuff has turned; pulses in the cuff move it by less than 5."""
EMPTY_MMHG: Final = 15.0
"""A cuff that deflates below it is released: IEC 80601-2-30 asks for less than that between adult measurements."""
SILENT_S: Final = 15.0
"""Without a value for so long nothing is known any more; devices send one or more a second."""


class Phase(StrEnum):
    """What the cuff does."""

    INFLATING = "inflating"
    DEFLATING = "deflating"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """Phase and cuff pressure in mmHg, or None and why: ``no_value`` (not begun), ``silent``, ``implausible``.

    ``pressure_mmhg`` is the last value sent, never an average; it is None together with the phase.
    """

    phase: Phase | None
    pressure_mmhg: float | None
    reason: str | None = None


# Places in the state.
_PHASE: Final = 0  # place in _PHASES; -1 before the first value
_TURN: Final = 1  # highest pressure while inflating, lowest while deflating
_LAST: Final = 2
_AT: Final = 3  # second of the last plausible value
_FAULT: Final = 4  # 1 when the last value was implausible
_PLACES: Final = 5
_PHASES: Final = (Phase.INFLATING, Phase.DEFLATING, Phase.DONE)


class CuffProgress:
    """Follows one measurement after the other on one cuff; values one by one, in the order of their times."""

    def __init__(self) -> None:
        self._state = np.zeros(_PLACES)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._state[:] = 0.0
        self._state[_PHASE] = -1

    def push(self, at_s: float, pressure_mmhg: float) -> Progress:
        """The device's next cuff pressure, sent at ``at_s`` seconds; returns the progress with it."""
        if not np.isfinite(at_s) or not np.isfinite(pressure_mmhg):
            raise NotFinite
        state = self._state
        state[_FAULT] = 0.0 if RANGE_MMHG[0] <= pressure_mmhg <= RANGE_MMHG[1] else 1.0
        if state[_FAULT]:
            return self.at(at_s)
        silent = at_s - state[_AT] > SILENT_S
        state[_AT] = at_s
        if state[_PHASE] < 0 or silent:
            self._enter(Phase.INFLATING, pressure_mmhg)
        elif state[_PHASE] == _PHASES.index(Phase.INFLATING):
            state[_TURN] = max(state[_TURN], pressure_mmhg)
            if state[_TURN] - pressure_mmhg >= TURN_MMHG:
                self._enter(Phase.DEFLATING, pressure_mmhg)
        else:
            state[_TURN] = min(state[_TURN], pressure_mmhg)
            if pressure_mmhg - state[_TURN] >= TURN_MMHG:  # also a cuff that pumps up again, its first goal too low
                self._enter(Phase.INFLATING, pressure_mmhg)
        if state[_PHASE] == _PHASES.index(Phase.DEFLATING) and pressure_mmhg < EMPTY_MMHG:
            self._enter(Phase.DONE, pressure_mmhg)
        state[_LAST] = pressure_mmhg
        return self.at(at_s)

    def finish(self) -> None:
        """The device sent its result (or its error): the measurement is over, whatever the cuff still holds."""
        if self._state[_PHASE] >= 0:
            self._enter(Phase.DONE, self._state[_LAST])

    def at(self, now_s: float) -> Progress:
        """The progress as known at a second."""
        state = self._state
        if state[_FAULT]:
            return Progress(None, None, "implausible")
        if state[_PHASE] < 0:
            return Progress(None, None, "no_value")
        phase = _PHASES[int(state[_PHASE])]
        if phase is not Phase.DONE and now_s - state[_AT] > SILENT_S:
            return Progress(None, None, "silent")
        return Progress(phase, float(state[_LAST]))

    def export(self) -> npt.NDArray[np.float64]:
        """A copy of what is remembered."""
        return self._state.copy()

    def restore(self, state: npt.NDArray[np.float64]) -> None:
        """Continue exactly where :meth:`export` left it."""
        if state.shape != self._state.shape or not -1 <= state[_PHASE] < len(_PHASES):
            raise BlockShape("the state belongs to something else")
        self._state[:] = state

    def _enter(self, phase: Phase, pressure_mmhg: float) -> None:
        self._state[_PHASE], self._state[_TURN] = _PHASES.index(phase), pressure_mmhg
