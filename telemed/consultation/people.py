"""Who is connected to a consultation now, and what each one's page says of itself. In memory, per process.

A participant is one person in one consultation: an account, a guest's seat or the station. A person has one
page at a time: a newer page takes the place of the older one, so nobody is there twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

Network = Literal["good", "fair", "poor", "unknown"]


@dataclass(frozen=True, slots=True)
class PageState:
    """What a page says of itself: what it sends, and how it finds the line."""

    camera: bool = False
    microphone: bool = False
    screen: bool = False
    network: Network = "unknown"


@dataclass(frozen=True, slots=True)
class Present:
    """One connected person. ``id`` is the account's or the seat's; ``page`` is the page that counts."""

    id: str
    kind: Literal["account", "guest"]
    role: str  # clinician, second_clinician, operator, patient, relative, interpreter
    admitted: bool
    page: UUID
    state: PageState = field(default_factory=PageState)


Told = Callable[[UUID], None]


class People:
    """Consultation to its connected people. ``told`` is called with the consultation after every change."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._rooms: defaultdict[UUID, dict[str, Present]] = defaultdict(dict)

    def enter(self, consultation: UUID, present: Present) -> UUID | None:
        """The person is here on this page; returns the page whose place it takes, if another was here."""
        room = self._rooms[consultation]
        before = room.get(present.id)
        room[present.id] = present
        self._told(consultation)
        return None if before is None or before.page == present.page else before.page

    def say(self, consultation: UUID, person: str, page: UUID, state: PageState) -> None:
        """What the person's page says of itself; a page that was replaced is not heard."""
        self._change(consultation, person, page, state=state)

    def let_in(self, consultation: UUID, person: str, admitted: bool) -> None:
        """The clinician let the guest in, or no longer."""
        present = self._rooms[consultation].get(person) if consultation in self._rooms else None
        if present is not None:
            self._change(consultation, person, present.page, admitted=admitted)

    def leave(self, consultation: UUID, person: str, page: UUID) -> None:
        """The page's socket ended; nothing happens when another page has its place."""
        room = self._rooms.get(consultation, {})
        present = room.get(person)
        if present is None or present.page != page:
            return
        del room[person]
        if not room:
            del self._rooms[consultation]
        self._told(consultation)

    def present(self, consultation: UUID) -> tuple[Present, ...]:
        """Who is connected, in order of coming."""
        return tuple(self._rooms.get(consultation, {}).values())

    def rooms(self) -> tuple[UUID, ...]:
        """Consultations with anybody connected."""
        return tuple(self._rooms)

    def _change(self, consultation: UUID, person: str, page: UUID, **change: object) -> None:
        room = self._rooms.get(consultation, {})
        present = room.get(person)
        if present is None or present.page != page:
            return
        changed = replace(present, **change)  # type: ignore[arg-type]
        if changed != present:
            room[person] = changed
            self._told(consultation)
