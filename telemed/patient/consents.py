"""Consent as append-only events: given or withdrawn, for a purpose, in a version and language, before a witness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from telemed.store.database import Connection, load_sql

SQL = load_sql("patient")
LISTED = 500  # events in one answer, newest first


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One event; ``given`` false withdraws what an earlier one gave."""

    id: int
    consultation_id: UUID | None
    purpose: str
    given: bool
    version: str
    language: str
    given_by: str
    witness_id: UUID | None
    at: datetime


async def record(
    connection: Connection,
    organisation_id: UUID,
    patient_id: UUID,
    *,
    consultation_id: UUID | None,
    purpose: str,
    given: bool,
    version: str,
    language: str,
    given_by: str,
    witness_id: UUID | None,
) -> ConsentEvent:
    """Append an event; ``witness_id`` is None where the person said so by a ticket, alone."""
    row = await connection.fetchrow(
        SQL["consent_record"], organisation_id, patient_id, consultation_id, purpose, given, version, language,
        given_by, witness_id,
    )
    return _event_of(row)


async def listed(connection: Connection, patient_id: UUID) -> list[ConsentEvent]:
    """The patient's events, newest first."""
    return [_event_of(row) for row in await connection.fetch(SQL["consent_list"], patient_id, LISTED)]


def _event_of(row: Mapping[str, Any]) -> ConsentEvent:
    return ConsentEvent(
        row["id"], row["consultation_id"], row["purpose"], row["given"], row["version"], row["language"],
        row["given_by"], row["witness_id"], row["at"],
    )
