"""Whose the samples are: the server's word, unless somebody was entered here that the server does not know yet.

The server is told of them one after the other in the order of entry (``message``). Until it has all of them, begin
and end, its word about who is connected is of a time before they came, and is not obeyed: nobody's samples are
recorded for whoever was there before. What it refuses for good is nobody's until it says something new.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from telemed_station.errors import NameUnfit, NobodyEntered, SpoolFull, YearUnfit
from telemed_station.people_file import PeopleFile, Person
from telemed_station.spool_thread import SpoolThread

NAME_MAX = 200  # characters, as the server takes them
YEARS = (1890, 2200)
# Characters of one readable line: no controls, no line ends, nothing that turns the direction of what stands around it.
_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
# Refusals that will be the same at every other try.
FOR_GOOD = frozenset({"attachment_refused", "message_invalid", "key_destroyed", "frame_time"})

log = structlog.get_logger("telemed.station.people")


def fit_name(text: object) -> str:
    """The name without blanks around it. Raises ``NameUnfit``."""
    name = text.strip() if isinstance(text, str) else ""
    if not name or len(name) > NAME_MAX or _PLAIN.fullmatch(name) is None:
        raise NameUnfit(most=NAME_MAX)
    return name


def fit_year(year: object) -> int | None:
    """The year of birth, None when nobody knows it. Raises ``YearUnfit``."""
    if year is None:
        return None
    if not isinstance(year, int) or isinstance(year, bool) or not YEARS[0] <= year <= YEARS[1]:
        raise YearUnfit(first=YEARS[0], last=YEARS[1])
    return year


class People:
    """Everybody entered here whom the server does not know from begin to end. Call :meth:`load` before the rest."""

    def __init__(self, spool: SpoolThread) -> None:
        self._spool = spool
        self._all: list[Person] = []
        self._word: str | None = None

    async def load(self) -> None:
        """Read what an earlier run left."""
        self._all = await self._spool.about_people(PeopleFile.all)

    @property
    def here(self) -> Person | None:
        """Who is there now, if somebody entered here is."""
        return next((one for one in self._all if one.to_us is None and not one.refused), None)

    @property
    def word(self) -> str | None:
        """Who is connected by the server's last word."""
        return self._word

    @property
    def untold(self) -> bool:
        """Whether the server does not know of somebody's begin or end."""
        return self.message() is not None

    def waits(self, attachment: object) -> bool:
        """Whether streams of this attachment wait until the server has it or refused it."""
        return any(one.attachment == attachment and not one.kept and not one.refused for one in self._all)

    def message(self) -> dict[str, Any] | None:
        """What the server is to be told next; None when it knows all."""
        for one in self._all:
            if not one.refused and (not one.kept or one.to_us is not None):
                return {
                    "type": "provisional", "patient": one.patient, "attachment": one.attachment,
                    "source": one.source, "name": one.name, "birth_year": one.birth_year,
                    "from_us": one.from_us, "to_us": one.to_us, "to_source": one.to_source,
                }  # fmt: skip
        return None

    async def whose(self, word: str | None, *, new: bool = False) -> str | None:
        """Whose samples are to be recorded, by the server's word; ``new``: somebody there decided just now."""
        self._word = word
        if self.untold:
            return None if self.here is None else self.here.attachment
        if not new and any(one.refused and one.refused_under == word for one in self._all):
            return None
        for one in self._all:  # what was refused is over, and whoever is there is not by the server's word
            if one.attachment != word:
                await self._forget(one)
        return word

    async def enter(self, name: str, birth_year: int | None, source: uuid.UUID, from_us: int) -> Person:
        """Keep a new person on disk; whoever was there ends. Raises ``PeopleFull`` or ``SpoolFull``."""
        person = Person(str(uuid.uuid4()), str(uuid.uuid4()), str(source), name, birth_year, from_us)
        await self._spool.about_people(lambda file: file.enter(person))
        self._all = [*self._ended(from_us, person.source), person]
        return person

    async def gone(self, to_us: int, source: uuid.UUID) -> Person | None:
        """Whoever is there is not any more. Raises ``NobodyEntered`` or ``SpoolFull``."""
        if self.here is None:
            raise NobodyEntered()
        await self._spool.about_people(lambda file: file.end(to_us, str(source)))
        self._all = self._ended(to_us, str(source))
        return None

    def _ended(self, to_us: int, source: str) -> list[Person]:
        return [replace(one, to_us=to_us, to_source=source) if one.to_us is None else one for one in self._all]

    async def answered(self, message: dict[str, Any]) -> None:
        """The server kept one, or refused it (an ``error`` that names the attachment)."""
        one = next((one for one in self._all if one.attachment == message.get("attachment")), None)
        if one is None:
            return
        if message.get("type") == "provisional_kept":
            if message.get("ended") is True:
                await self._forget(one)
                self._word = None  # whatever it was, it was of before; a new one follows
            else:
                await self._note(one, replace(one, kept=True), lambda file: file.keep(one.attachment))
                self._word = one.attachment
            return
        error = message.get("error")
        code = str(error.get("code")) if isinstance(error, dict) else "unknown"
        log.warning("person_refused", code=code, attachment=one.attachment)
        if code in FOR_GOOD:
            under = self._word
            await self._note(
                one, replace(one, refused=True, refused_under=under), lambda file: file.refuse(one.attachment, under)
            )

    async def _forget(self, one: Person) -> None:
        await self._note(one, None, lambda file: file.forget(one.attachment))

    async def _note(self, one: Person, then: Person | None, write: Callable[[PeopleFile], None]) -> None:
        # What a full disk does not take is found again by the next run, told again and answered the same.
        with suppress(SpoolFull):
            await self._spool.about_people(write)
        there = [then if other is one else other for other in self._all]
        self._all = [other for other in there if other is not None]
