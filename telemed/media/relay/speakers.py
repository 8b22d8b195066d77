"""Who speaks in a room, by what publishers say of each packet of sound (RFC 6464). Pure: no I/O, no clock.

Speech is loud for a moment and quiet between words: activity is the loudness of the last half second or so, and whoever
is to be heard instead of somebody else must have been more active for a while, so that a cough moves nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

VOICES = 3  # heard at once: more is noise to whoever listens
PICTURES = 6  # seen at once: those who are heard, and who was heard or came before them
QUIET_DBOV = 65  # below full scale: a quiet room; louder than that counts, by the decibel
MEMORY_SECONDS = 0.5  # of activity
MARGIN = 1.5  # times as active as the least active of those who are heard, and
FLOOR = 6.0  # decibel above silence
CONFIRM_SECONDS = 0.4  # that this must last


@dataclass(slots=True)
class _Speaker:
    activity: float = 0.0
    noted_s: float = -math.inf
    louder_since_s: dict[int, float] = field(default_factory=dict)  # than a place, by the first one of its kind


class Speakers:
    """The publications of a room in the order in which they are to be heard and seen."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._speakers: dict[str, _Speaker] = {}

    def enter(self, name: str) -> None:
        """A publication is there; the last of all until it is heard."""
        if name not in self._speakers:
            self._order.append(name)
            self._speakers[name] = _Speaker()

    def leave(self, name: str) -> None:
        """A publication is over."""
        if self._speakers.pop(name, None) is not None:
            self._order.remove(name)

    def note(self, name: str, level_dbov: int, now_s: float) -> None:
        """A packet of sound came: ``level_dbov`` decibel below full scale, 127 for silence."""
        speaker = self._speakers.get(name)
        if speaker is not None:
            loud = float(max(0, QUIET_DBOV - level_dbov))
            kept = math.exp(-max(0.0, now_s - speaker.noted_s) / MEMORY_SECONDS)
            speaker.activity = speaker.activity * kept + loud * (1 - kept)
            speaker.noted_s = now_s

    def order(self, now_s: float) -> tuple[str, ...]:
        """All of them, those who are to be heard first. Ask some times a second: each time somebody may move up.

        The one behind those who are heard is heard by them, who do not hear themselves: it is the next most active.
        """
        activity = {name: self._activity(name, now_s) for name in self._order}
        for first, last in ((0, VOICES), (VOICES, VOICES + 1)):
            self._promote(first, last, activity, now_s)
        return tuple(self._order)

    def _promote(self, first: int, last: int, activity: dict[str, float], now_s: float) -> None:
        """Let the most active of those behind these places have the least active one's, when it is due."""
        placed, behind = self._order[first:last], self._order[last:]
        if not behind:
            return
        quietest = min(placed, key=lambda name: (activity[name], self._order.index(name)))
        for name in behind:
            since = self._speakers[name].louder_since_s
            if activity[name] <= MARGIN * activity[quietest] + FLOOR:
                since.pop(first, None)
            else:
                since.setdefault(first, now_s)
        since_s = {name: self._speakers[name].louder_since_s.get(first, now_s) for name in behind}
        due = [name for name in behind if now_s - since_s[name] >= CONFIRM_SECONDS]
        if due:
            loudest = max(due, key=activity.__getitem__)
            self._speakers[loudest].louder_since_s.clear()
            behind.remove(loudest)
            placed[placed.index(quietest)] = loudest
            self._order = [*self._order[:first], *placed, quietest, *behind]

    def _activity(self, name: str, now_s: float) -> float:
        speaker = self._speakers[name]
        return speaker.activity * math.exp(-max(0.0, now_s - speaker.noted_s) / MEMORY_SECONDS)


def seated(before: dict[int, str], order: tuple[str, ...]) -> dict[int, str]:
    """Which of these (in their order, without the watcher's own) is in which slot. Slots 0 to ``VOICES`` - 1 are heard
    and seen, those up to ``PICTURES`` - 1 seen. Whoever stays in such a group stays in the slot.
    """
    seats: dict[int, str] = {}
    for numbers, names in (
        (range(VOICES), order[:VOICES]), (range(VOICES, PICTURES), order[VOICES:PICTURES])
    ):  # fmt: skip
        stay = {number: before[number] for number in numbers if before.get(number) in names}
        fresh = [name for name in names if name not in stay.values()]
        free = [number for number in numbers if number not in stay]
        seats |= stay | dict(zip(free, fresh, strict=False))
    return seats
