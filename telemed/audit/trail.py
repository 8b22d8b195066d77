"""Reading the audit: by patient, by object, newest first, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from telemed.store.database import Connection, load_sql

SQL = load_sql("audit")
PAGE = 100  # rows of a page unless asked otherwise
PAGE_MOST = 500
LAST = 2**63 - 1  # before this id: from the newest


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row."""

    id: int
    at: datetime
    actor_kind: str
    actor_id: str | None
    action: str
    outcome: str
    object_kind: str | None
    object_id: str | None
    patient_id: UUID | None
    detail: Mapping[str, Any]


async def listed(
    connection: Connection, organisation_id: UUID, *, patient_id: UUID | None, before: int, limit: int
) -> list[AuditEvent]:
    """The organisation's rows before this id; with ``patient_id`` those that concern the patient, lists included."""
    return _events(await connection.fetch(SQL["list"], organisation_id, patient_id, before, limit))


async def of_station(
    connection: Connection, organisation_id: UUID, station_id: int, *, before: int, limit: int
) -> list[AuditEvent]:
    """What the station did or what happened to it, before this id."""
    return _events(await connection.fetch(SQL["of_station"], organisation_id, str(station_id), before, limit))


def _events(rows: Iterable[Mapping[str, Any]]) -> list[AuditEvent]:
    return [
        AuditEvent(
            row["id"], row["at"], row["actor_kind"], row["actor_id"], row["action"], row["outcome"],
            row["object_kind"], row["object_id"], row["patient_id"], json.loads(row["detail"]),
        )
        for row in rows
    ]
