"""People cared for. What names them is sealed under each one's own key; the store never sees it plain."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from telemed.errors import KeyDestroyed, NotFound, TelemedError
from telemed.identity.policy import Target
from telemed.patient import identifiers
from telemed.patient.holds import refuse_held
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import NONCE_BYTES, DataKey, Sealer

SQL = load_sql("patient")
LISTED = 200  # patients in one answer, newest first
FOUND = 50  # patients that a search answers, newest first: more is a reason to type more
SEARCH_BATCH = 500  # names opened in one go, off the event loop
SEARCHED = 50_000  # names opened for one search; a hospital with more needs an index of its own


class StillAttached(TelemedError):
    """The patient is connected to a station; close the attachment first."""

    code = "still_attached"
    status = 409


class PatientMerged(TelemedError):
    """This provisional patient was merged into another, whose id is ``into``."""

    code = "patient_merged"
    status = 410


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number that some register gave the person; ``system`` names the register (``identifiers.check``)."""

    system: str
    value: str

    @property
    def well_formed(self) -> bool | None:
        """Whether it is written as the register writes; None when that is not checked. Never says that it is theirs."""
        return identifiers.check(self.system, self.value)


@dataclass(frozen=True, slots=True)
class Person:
    """What names a patient. Only ever in memory and in sealed bytes. A year of birth nobody knows is None."""

    name: str
    birth_year: int | None
    identifiers: tuple[Identifier, ...] = ()


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient; ``person`` is None once the key is destroyed."""

    id: UUID
    organisation_id: UUID
    person: Person | None
    provisional: bool
    created_at: datetime
    merged_into: UUID | None = None

    @property
    def target(self) -> Target:
        """The patient as the policy sees it."""
        return Target("patient", str(self.id), self.organisation_id, patient_id=self.id)


async def create(
    connection: Connection, sealer: Sealer, organisation_id: UUID, person: Person, *, provisional: bool = False,
    patient_id: UUID | None = None,
) -> Patient:
    """Seal a person under a new key and keep both; ``patient_id`` is one that nobody has, else a new one."""
    patient_id, key = patient_id or uuid4(), sealer.new_key()
    row = await connection.fetchrow(
        SQL["patient_create"], patient_id, organisation_id, _seal(key, patient_id, person),
        sealer.wrap(key), provisional,
    )
    return _patient_of(row, sealer)


async def listed(connection: Connection, sealer: Sealer, organisation_id: UUID) -> list[Patient]:
    """The organisation's patients, newest first, at most ``LISTED``; those merged into others are left out."""
    return [_patient_of(row, sealer) for row in await connection.fetch(SQL["patient_list"], organisation_id, LISTED)]


async def search(connection: Connection, sealer: Sealer, organisation_id: UUID, words: str) -> list[Patient]:
    """Patients of whom every word is part of the name, the year of birth or how an identifier begins.

    Newest first, at most ``FOUND``, among the newest ``SEARCHED``. Case and the form of accents do not matter.
    """
    wanted = _folded(words).split()
    found: list[Patient] = []
    at: datetime | None = None
    last: UUID | None = None
    for _ in range(SEARCHED // SEARCH_BATCH):
        rows = await connection.fetch(SQL["patient_search"], organisation_id, at, last, SEARCH_BATCH)
        found += await asyncio.to_thread(_matching, rows, sealer, wanted)
        if len(rows) < SEARCH_BATCH or len(found) >= FOUND:
            break
        at, last = rows[-1]["created_at"], rows[-1]["id"]
    return found[:FOUND]


async def is_known(connection: Connection, patient_id: UUID) -> bool:
    """Whether somebody, of whatever organisation, has or had this id."""
    return await connection.fetchrow(SQL["patient_get"], patient_id) is not None


async def is_or_became(connection: Connection, patient_id: UUID, other_id: UUID) -> bool:
    """Whether they are the same, or the first was merged into the other."""
    row = await connection.fetchrow(SQL["patient_get"], patient_id)
    return patient_id == other_id or (row is not None and row["merged_into"] == other_id)


async def get(connection: Connection, sealer: Sealer, patient_id: UUID) -> Patient:
    """The patient. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["patient_get"], patient_id)
    if row is None:
        raise NotFound()
    return _patient_of(row, sealer)


async def lock(connection: Connection, patient_id: UUID) -> None:
    """Hold the patient until the transaction ends: opening an attachment and destroying the key exclude each other."""
    await connection.fetchrow(SQL["patient_lock"], patient_id)


async def destroy_key(connection: Connection, patient_id: UUID) -> None:
    """Destroy the patient's key, inside a transaction: what it sealed is lost for everyone, for good.

    Raises ``OnHold``, ``StillAttached`` while the patient is connected to a station, ``KeyDestroyed`` when it is gone
    already.
    """
    await lock(connection, patient_id)
    await refuse_held(connection, patient_id)
    if await connection.fetchval(SQL["patient_attached"], patient_id) is not None:
        raise StillAttached()
    if await connection.execute(SQL["patient_destroy_key"], patient_id) != "UPDATE 1":
        raise KeyDestroyed()


def unseal(sealer: Sealer, patient_id: UUID, sealed: bytes | None, key_wrapped: bytes | None) -> Person | None:
    """The person in a patient row; None when the key is destroyed."""
    if sealed is None or key_wrapped is None:
        return None
    key = DataKey(sealer.unwrap(key_wrapped))
    plain = json.loads(key.open(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _context(patient_id)))
    identifiers: Sequence[Mapping[str, str]] = plain["identifiers"]
    return Person(
        plain["name"], plain["birth_year"], tuple(Identifier(one["system"], one["value"]) for one in identifiers)
    )


def _matching(rows: Sequence[Mapping[str, Any]], sealer: Sealer, wanted: Sequence[str]) -> list[Patient]:
    read = (_patient_of(row, sealer) for row in rows)
    return [one for one in read if one.person is not None and _matches(one.person, wanted)]


def _matches(person: Person, wanted: Sequence[str]) -> bool:
    name = _folded(person.name)
    numbers = [_folded(identifiers.normal(one.system, one.value)) for one in person.identifiers]
    return all(
        word in name or word == str(person.birth_year) or any(number.startswith(word) for number in numbers)
        for word in wanted
    )


def _folded(text: str) -> str:
    # Canonical caseless matching (Unicode 3.13, D145), so that й typed as и with a breve is й.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _seal(key: bytes, patient_id: UUID, person: Person) -> bytes:
    plain = json.dumps({
        "name": person.name,
        "birth_year": person.birth_year,
        "identifiers": [{"system": one.system, "value": one.value} for one in person.identifiers],
    })
    nonce, sealed = DataKey(key).seal(plain.encode(), _context(patient_id))
    return nonce + sealed


def _context(patient_id: UUID) -> bytes:
    return b"patient" + patient_id.bytes


def _patient_of(row: Mapping[str, Any], sealer: Sealer) -> Patient:
    person = unseal(sealer, row["id"], row["sealed"], row["key_wrapped"])
    return Patient(
        row["id"], row["organisation_id"], person, row["provisional"], row["created_at"], row["merged_into"]
    )
