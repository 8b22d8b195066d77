"""One page a person: of several open pages of one person in one room the newest counts, and the others are told.

In memory, per process. A page that connects again replaces its own older connection, which may linger until its
heartbeat fails; that one then takes nobody with it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

from telemed.consultation.door import PageReplaced, TooManyMessages
from telemed.errors import TelemedError

PAGES_A_PERSON: Final = 8  # open at a time in one room; the oldest then ends
SAY_PER_MINUTE: Final = 120  # lines of one person: dictation does not reach it, a loop does
STATE_PER_MINUTE: Final = 240  # what a person's pages say of themselves; a badge changes a few times a minute
MUTE_PER_MINUTE: Final = 60
WATCH_PER_MINUTE: Final = 600  # views opened and closed: every one of 64 streams in both layouts, several times
REFUSED_PER_MINUTE: Final = 120  # refused messages of one person; more end the socket, so that no flood fills the audit
PACES_KEPT: Final = 10_000  # remembered: of 2,500 people; what was not asked for longest is forgotten first


class Page(Protocol):
    """One connection of a person's page."""

    @property
    def source(self) -> UUID:
        """The page's own name, the same after a reconnect."""

    def elsewhere(self) -> None:
        """Another page of the same person counts now."""

    def end(self, error: TelemedError) -> None:
        """Close this connection with the error."""


class Pages:
    """(room, person) to the person's connections, the newest last."""

    def __init__(self) -> None:
        self._open: dict[tuple[UUID, str], list[Page]] = {}
        self._paces: OrderedDict[tuple[UUID, str, str], Pace] = OrderedDict()

    def take(self, room: UUID, person: str, page: Page) -> None:
        """The page counts from now on."""
        before = self._open.setdefault((room, person), [])
        for other in [one for one in before if one.source == page.source]:
            before.remove(other)
            other.end(PageReplaced())
        if before:
            before[-1].elsewhere()
        before.append(page)
        if len(before) > PAGES_A_PERSON:
            before.pop(0).end(PageReplaced())

    def give_up(self, room: UUID, person: str, page: Page) -> bool:
        """The connection ended; returns whether it was the one that counted."""
        others = self._open.get((room, person), [])
        counted = bool(others) and others[-1] is page
        if page in others:
            others.remove(page)
        if not others:
            self._open.pop((room, person), None)
        return counted

    def counts(self, room: UUID, person: str, page: Page) -> bool:
        """Whether this connection is the one that counts."""
        others = self._open.get((room, person), [])
        return bool(others) and others[-1] is page

    def pace(self, room: UUID, person: str, what: str, per_minute: int) -> Pace:
        """The one pace of all the person's pages at something: who connects again does not begin anew."""
        key = (room, person, what)
        pace = self._paces.setdefault(key, Pace(per_minute))
        self._paces.move_to_end(key)
        while len(self._paces) > PACES_KEPT:
            self._paces.popitem(last=False)
        return pace


class Pace:
    """At most ``per_minute`` of something, in any minute no more than twice that. ``clock`` is in seconds."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._at = clock()

    def take(self) -> None:
        """Count one. Raises ``TooManyMessages``."""
        now = self._clock()
        self._left = min(self._left + (now - self._at) * self._per_minute / 60.0, float(self._per_minute))
        self._at = now
        if self._left < 1.0:
            raise TooManyMessages(per_minute=self._per_minute)
        self._left -= 1.0
