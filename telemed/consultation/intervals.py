"""What was measured without a visit: intervals at a station that are over and that no clinician was there for, as when
its line was down. A clinician reads one as a visit that is over: reviewed, written down and signed like another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from telemed.consultation import consultations
from telemed.consultation.consultations import Consultation
from telemed.errors import Conflict, KeyDestroyed
from telemed.identity import stations
from telemed.patient import attachments, patients
from telemed.patient.attachments import Attachment
from telemed.patient.patients import Person
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("intervals")
LISTED: Final = 200  # in one answer, newest first


@dataclass(frozen=True, slots=True)
class Interval:
    """One patient at one station for a time that is over; ``person`` is None once the patient's key is destroyed."""

    id: UUID
    station_id: int
    station_name: str
    station_place: str
    patient_id: UUID
    person: Person | None
    opened_at: datetime
    closed_at: datetime
    closed_reason: str | None


async def unvisited(connection: Connection, sealer: Sealer, organisation_id: UUID) -> list[Interval]:
    """The organisation's intervals with something measured that belong to no visit, at most ``LISTED``."""
    return [_interval_of(row, sealer) for row in await connection.fetch(SQL["unvisited"], organisation_id, LISTED)]


async def make_visit(
    connection: Connection, sealer: Sealer, attachment: Attachment, clinician_id: UUID
) -> Consultation:
    """A visit of this interval, over from the start, that this clinician reviews.

    Raises ``Conflict`` when the interval is not over or belongs to a visit already, ``KeyDestroyed`` when its patient
    was erased.
    """
    await stations.lock(connection, attachment.station_id)
    attachment = await attachments.get(connection, attachment.id)  # whose it is now
    await patients.lock(connection, attachment.patient_id)
    if (await patients.get(connection, sealer, attachment.patient_id)).person is None:
        raise KeyDestroyed()
    visit_id = uuid4()
    await connection.execute(
        SQL["visit_of_interval"], visit_id, attachment.organisation_id, attachment.station_id, attachment.patient_id,
        clinician_id, attachment.opened_at, attachment.closed_at,
    )
    if await connection.fetchval(SQL["claim"], attachment.id, visit_id) is None:
        raise Conflict()
    return await consultations.get(connection, sealer, visit_id)


def _interval_of(row: Mapping[str, Any], sealer: Sealer) -> Interval:
    same = (
        "id", "station_id", "station_name", "station_place", "patient_id", "opened_at", "closed_at", "closed_reason",
    )
    return Interval(
        person=patients.unseal(sealer, row["patient_id"], row["sealed"], row["key_wrapped"]),
        **{name: row[name] for name in same},
    )
