"""The append-only record of who saw and did what: one row, in the transaction of the decision it records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from telemed.store.database import Connection, load_sql

SQL = load_sql("audit")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. ``roles`` are the account's, or the one a guest was invited as; a station and the system have none.

    A guest is a seat in one consultation; ``admitted`` says whether the clinician let it in, ``first`` whether it is
    the first browser of its link.
    """

    kind: Literal["account", "station", "guest", "system", "anonymous"]
    id: str | None
    organisation_id: UUID | None
    roles: frozenset[str] = frozenset()
    consultation_id: UUID | None = None
    admitted: bool = False
    first: bool = False


SYSTEM = Actor("system", None, None)


async def record(
    connection: Connection,
    actor: Actor,
    action: str,
    outcome: Literal["permit", "deny", "event"],
    *,
    object_kind: str | None = None,
    object_id: str | None = None,
    patient_id: UUID | None = None,
    organisation_id: UUID | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Append one event. ``detail`` holds codes and counts only: never a name, a sample or free text."""
    await connection.execute(
        SQL["append"], organisation_id or actor.organisation_id, actor.kind, actor.id, action, outcome,
        object_kind, object_id, patient_id, json.dumps(detail or {}),
    )
