"""Who waits for whom: consultations that a clinician may admit, and people at the door of its visits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from telemed.audit import Actor
from telemed.patient import patients
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("chat")
LISTED: Final = 100  # waiting at a time for one person; the longest waiting come first


@dataclass(frozen=True, slots=True)
class Waiting:
    """One who waits: for a visit to begin, or at the door (``seat``) of one. ``patient`` is whom it is about."""

    consultation_id: UUID
    kind: Literal["visit", "seat"]
    patient: str | None
    role: str
    since: datetime
    station: str | None

    def as_json(self) -> dict[str, Any]:
        """As the notices socket tells it."""
        return {
            "consultation": str(self.consultation_id), "kind": self.kind, "patient": self.patient, "role": self.role,
            "since": self.since.isoformat(), "station": self.station,
        }


async def waiting_for(connection: Connection, sealer: Sealer, actor: Actor) -> list[Waiting]:
    """Who waits for this account, the longest first: an operator is told of every visit of the organisation."""
    me = UUID(actor.id)
    only = None if "operator" in actor.roles else me
    at_door = me if "clinician" in actor.roles else None
    rows = await connection.fetch(SQL["notices"], actor.organisation_id, only, at_door, LISTED)
    return [_waiting_of(row, sealer) for row in rows]


def _waiting_of(row: Any, sealer: Sealer) -> Waiting:
    person = patients.unseal(sealer, row["patient_id"], row["sealed"], row["key_wrapped"])
    return Waiting(
        row["consultation_id"], row["kind"], None if person is None else person.name, row["role"], row["since"],
        row["station_name"],
    )
