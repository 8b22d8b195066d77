"""Who is connected to a station, from when to when. Two intervals never overlap on a station.

Opening and closing happen inside a transaction that holds the station (``identity.stations.lock``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from telemed.errors import Conflict, KeyDestroyed, NotFound
from telemed.identity.policy import Target
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("patient")
LISTED = 200  # intervals in one answer, newest first

class NoRoom(Conflict):
    """Nothing of the interval is left between those that the station has already."""


Reason = Literal["operator", "next_patient", "sensors_off", "consultation_ended"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """One patient at one station for one interval; open while ``closed_at`` is None."""

    id: UUID
    organisation_id: UUID
    station_id: int
    patient_id: UUID
    consultation_id: UUID | None
    opened_at: datetime
    closed_at: datetime | None
    closed_reason: str | None

    @property
    def target(self) -> Target:
        """The attachment as the policy sees it."""
        return Target(
            "attachment", str(self.id), self.organisation_id, patient_id=self.patient_id, station_id=self.station_id
        )


async def current(connection: Connection, station_id: int) -> Attachment | None:
    """The station's open attachment."""
    row = await connection.fetchrow(SQL["attachment_current"], station_id)
    return None if row is None else _attachment_of(row)


async def get(connection: Connection, attachment_id: UUID) -> Attachment:
    """The attachment. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["attachment_get"], attachment_id)
    if row is None:
        raise NotFound()
    return _attachment_of(row)


async def listed(connection: Connection, station_id: int) -> list[Attachment]:
    """The station's attachments, newest first, at most ``LISTED``."""
    return [_attachment_of(row) for row in await connection.fetch(SQL["attachment_list"], station_id, LISTED)]


async def open_next(
    connection: Connection,
    organisation_id: UUID,
    station_id: int,
    patient_id: UUID,
    consultation_id: UUID | None,
    opened_by: UUID,
) -> tuple[Attachment, Attachment | None]:
    """Open an attachment; the station's open one is closed at the same instant. Returns (opened, closed)."""
    before = await current(connection, station_id)
    moment = await _moment(connection, station_id)
    closed = None
    if before is not None:
        closed = await _close_at(connection, before.id, moment, opened_by, "next_patient")
    row = await connection.fetchrow(
        SQL["attachment_open"], uuid4(), organisation_id, station_id, patient_id, consultation_id, moment, opened_by
    )
    return _attachment_of(row), closed


async def close(
    connection: Connection, attachment: Attachment, closed_by: UUID | None, reason: Reason
) -> Attachment:
    """Close an open attachment. Raises ``Conflict`` when it is closed already."""
    moment = await _moment(connection, attachment.station_id)
    return await _close_at(connection, attachment.id, moment, closed_by, reason)


async def place(
    connection: Connection,
    attachment_id: UUID,
    organisation_id: UUID,
    station_id: int,
    patient_id: UUID,
    opened_at: datetime,
    closed_at: datetime | None,
) -> tuple[Attachment, Attachment | None]:
    """Lay an interval that was over or begun when nobody here knew of it between those that are known.

    One that was open when it begins ends there; one that is closed stays as it is, and the interval begins where that
    ends; where the next one begins it ends. Returns (placed, the one that ended for it). Raises ``NoRoom`` when
    nothing of the interval is left.
    """
    rows = await connection.fetch(SQL["attachment_around"], station_id, opened_at)
    before = next((_attachment_of(row) for row in rows if row["opened_at"] < opened_at), None)
    after = next((_attachment_of(row) for row in rows if row["opened_at"] >= opened_at), None)
    begin, end = opened_at, closed_at
    if before is not None and before.closed_at is not None:
        begin = max(begin, before.closed_at)
    if after is not None:
        end = after.opened_at if end is None else min(end, after.opened_at)
    if end is not None and end <= begin:
        raise NoRoom()
    ended = None
    if before is not None and before.closed_at is None:
        ended = await _close_at(connection, before.id, begin, None, "next_patient")
    reason: Reason | None = None
    if end is not None:
        reason = "operator" if end == closed_at else "next_patient"
    row = await connection.fetchrow(
        SQL["attachment_place"], attachment_id, organisation_id, station_id, patient_id, begin, end, reason
    )
    return _attachment_of(row), ended


async def end(connection: Connection, attachment: Attachment, moment: datetime) -> Attachment:
    """Close an open attachment by its station's word at a time that may be past. Raises ``Conflict``."""
    return await _close_at(connection, attachment.id, moment, None, "operator")


async def join(connection: Connection, station_id: int, patient_id: UUID, consultation_id: UUID) -> None:
    """Give the patient's open attachment at this station, if none has it yet, to the consultation."""
    await connection.execute(SQL["attachment_join"], station_id, patient_id, consultation_id)


async def of_consultation(connection: Connection, consultation_id: UUID) -> Attachment | None:
    """The consultation's open attachment."""
    row = await connection.fetchrow(SQL["attachment_of_consultation"], consultation_id)
    return None if row is None else _attachment_of(row)


async def patient_key(connection: Connection, sealer: Sealer, attachment_id: UUID) -> bytes:
    """The key (32 bytes) of the attached patient. Raises ``KeyDestroyed`` or ``NotFound``."""
    row = await connection.fetchrow(SQL["attachment_key"], attachment_id)
    if row is None:
        raise NotFound()
    if row["key_wrapped"] is None:
        raise KeyDestroyed()
    return sealer.unwrap(row["key_wrapped"])


async def _moment(connection: Connection, station_id: int) -> datetime:
    """Now by this server's clock, the one that samples are timed by: the database's host may have another."""
    found: datetime = await connection.fetchval(SQL["attachment_moment"], station_id, datetime.now(UTC))
    return found


async def _close_at(
    connection: Connection, attachment_id: UUID, moment: datetime, closed_by: UUID | None, reason: Reason
) -> Attachment:
    row = await connection.fetchrow(SQL["attachment_close"], attachment_id, moment, closed_by, reason)
    if row is None:
        raise Conflict()
    return _attachment_of(row)


def _attachment_of(row: Mapping[str, Any]) -> Attachment:
    return Attachment(
        row["id"], row["organisation_id"], row["station_id"], row["patient_id"], row["consultation_id"],
        row["opened_at"], row["closed_at"], row["closed_reason"],
    )
