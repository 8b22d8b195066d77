"""Who was entered at this station while its line was down: a table of the spool's file.

A row is there before the first sample that belongs to it, survives whatever ends the program, and goes when the server
kept it and knows its end. Who it is (name, year of birth, the patient's id) is sealed as the chunks beside it are; the
attachment's random id and the times of begin and end are not.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from telemed_station.errors import PeopleFull
from telemed_station.spool_seal import Seal, SealBroken
from telemed_station.trouble import at_work

log = structlog.get_logger("telemed.station.people")

PEOPLE_MAX = 64  # kept at a time; a village sees fewer in a week without a line

SCHEMA = """
create table if not exists person (
  id integer primary key, attachment text not null unique, who blob not null, source text not null,
  from_us integer not null, to_us integer, to_source text,
  kept integer not null default 0, refused integer not null default 0, refused_under text)
"""


@dataclass(frozen=True)
class Person:
    """Somebody provisional: from ``from_us`` to before ``to_us`` (None: still there).

    Stamps of the runs ``source`` and ``to_source``: whoever comes before a restart may go after it.
    ``kept``: the server has the begin. ``refused``: it never will; ``refused_under`` is whose the station was by the
    server's word when it said so.
    """

    patient: str
    attachment: str
    source: str
    name: str
    birth_year: int | None
    from_us: int
    to_us: int | None = None
    to_source: str | None = None
    kept: bool = False
    refused: bool = False
    refused_under: str | None = None


def sealed_who(seal: Seal, attachment: str, patient: str, name: str, birth_year: int | None) -> bytes:
    """Who it is, sealed for the place of this attachment."""
    who = json.dumps({"patient": patient, "name": name, "birth_year": birth_year})
    return seal.seal("person", UUID(attachment).int, 0, who.encode())


def read_people(file: sqlite3.Connection, seal: Seal) -> list[Person]:
    """Everybody kept, in the order of entry; a row that was altered is left out, and stays."""
    rows = file.execute(
        "select attachment, who, source, from_us, to_us, to_source, kept, refused, refused_under from person"
        " order by id"
    ).fetchall()
    found = []
    for attachment, sealed, source, from_us, to_us, to_source, kept, refused, under in rows:
        try:
            who: dict[str, Any] = json.loads(seal.open("person", UUID(attachment).int, 0, sealed))
        except SealBroken:
            log.error("person_unreadable", attachment=attachment)
            continue
        found.append(Person(
            who["patient"], attachment, source, who["name"], who["birth_year"], from_us, to_us, to_source, bool(kept),
            bool(refused), under,
        ))  # fmt: skip
    return found


class PeopleFile:
    """The table. Every method is one transaction and raises ``SpoolFull`` when the disk does not take it."""

    def __init__(
        self, file: sqlite3.Connection, seal: Seal, transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._file = file
        self._seal = seal
        self._transaction = transaction

    def all(self) -> list[Person]:
        """Everybody kept, in the order of entry."""
        with at_work():
            return read_people(self._file, self._seal)

    def enter(self, person: Person) -> None:
        """Keep the person; whoever was there ends where this one begins. Raises ``PeopleFull``."""
        with at_work(), self._transaction():
            if self._file.execute("select count(*) from person").fetchone()[0] >= PEOPLE_MAX:
                raise PeopleFull(most=PEOPLE_MAX)
            self._end(person.from_us, person.source)
            self._file.execute(
                "insert into person (attachment, who, source, from_us) values (?, ?, ?, ?)",
                (
                    person.attachment,
                    sealed_who(self._seal, person.attachment, person.patient, person.name, person.birth_year),
                    person.source,
                    person.from_us,
                ),
            )

    def end(self, to_us: int, source: str) -> None:
        """Whoever is there is not any more from this stamp of this run on."""
        with at_work(), self._transaction():
            self._end(to_us, source)

    def keep(self, attachment: str) -> None:
        """The server has the begin of this one."""
        with at_work(), self._transaction():
            self._file.execute("update person set kept = 1 where attachment = ?", (attachment,))

    def refuse(self, attachment: str, under: str | None) -> None:
        """The server will never take this one."""
        with at_work(), self._transaction():
            self._file.execute(
                "update person set refused = 1, refused_under = ? where attachment = ?", (under, attachment)
            )

    def forget(self, attachment: str) -> None:
        """Delete this one."""
        with at_work(), self._transaction():
            self._file.execute("delete from person where attachment = ?", (attachment,))

    def _end(self, to_us: int, source: str) -> None:
        self._file.execute("update person set to_us = ?, to_source = ? where to_us is null", (to_us, source))
