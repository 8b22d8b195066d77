"""The filtered views of one process: what comes within ``TICK_SECONDS`` goes through each bank of filters in one call.

A call costs as much for one station as for twenty, and which frames share it changes no bit (telemed_signal.bank).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from telemed_devices.native import Frame
from telemed_signal.filters import FilterBank, Piece, Slot

if TYPE_CHECKING:
    from telemed.vitals.live import View

TICK_SECONDS: Final = 0.01  # what a view may wait for company; a watched thousand has fifty frames in it
DUE: Final = 4096  # frames that may wait for a tick; more are filtered at once

Later = Callable[[float, Callable[[], None]], object]


class Tick:
    """Frames that wait to be filtered. ``later`` calls after so many seconds; without it nothing waits."""

    def __init__(self, later: Later | None = None) -> None:
        self._later = later
        self._due: list[tuple[View, Frame]] = []

    def add(self, view: View, frame: Frame) -> None:
        """Filter the view's next frame within ``TICK_SECONDS``."""
        self._due.append((view, frame))
        if self._later is None or len(self._due) >= DUE:
            self.run()
        elif len(self._due) == 1:
            self._later(TICK_SECONDS, self.run)

    def run(self) -> None:
        """Filter what waits, each view's frames in their order."""
        due, self._due = self._due, []
        while due:
            due = self._round(due)

    def _round(self, due: list[tuple[View, Frame]]) -> list[tuple[View, Frame]]:
        """Take one frame of every view; return the others."""
        others: list[tuple[View, Frame]] = []
        taken: set[View] = set()
        together: dict[FilterBank, list[tuple[View, Frame, Slot, Piece]]] = {}
        for view, frame in due:
            if view in taken:
                others.append((view, frame))
                continue
            taken.add(view)
            if view.lane is None:  # ended meanwhile
                continue
            bank, slot, hold = view.lane
            pieces = hold.push(frame.first_sample, frame.samples)
            if len(pieces) == 1 and not pieces[0].restart.any():
                together.setdefault(bank, []).append((view, frame, slot, pieces[0]))
            else:
                view.filter(frame, pieces)
        for bank, some in together.items():
            done = bank.push({slot: piece.values for _, _, slot, piece in some})
            for view, frame, slot, piece in some:
                view.show(frame, piece, done[slot])
        return others
