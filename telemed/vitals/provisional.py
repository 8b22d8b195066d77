"""Somebody who was entered at a station whose line was down becomes a provisional patient with an interval there.

The station says it once the line is back, any number of times; it happens once. It is the station's act, in the
audit as such. A person merges the provisional patient later (``patient.merging``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from telemed.audit import record
from telemed.errors import NotFound
from telemed.identity import stations
from telemed.identity.policy import Target, decide, granted
from telemed.identity.stations import Station
from telemed.patient import attachments, patients
from telemed.patient.attachments import Attachment, NoRoom
from telemed.patient.patients import Person
from telemed.store.database import Connection, load_sql
from telemed.vitals.around import Surroundings
from telemed.vitals.clock import Fix, Mapping
from telemed.vitals.faults import AttachmentRefused, ClockUnknown, FrameTime, MessageInvalid
from telemed.vitals.fixes import mappings, micros, moment
from telemed.vitals.messages import Provisional

SQL = load_sql("vitals")
ACTION: Final = "station_socket.provisional"
LONGEST: Final = timedelta(days=366)  # ago; a stamp that says more is of a clock that was never set


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of it. ``current`` is whose the station is now; ``changed`` are the attachments that it changed."""

    attachment: Attachment
    current: UUID | None
    changed: tuple[Attachment, ...]


async def keep(around: Surroundings, station: Station, source: UUID, fix: Fix | None, said: Provisional) -> Kept:
    """Keep what the station said, in one transaction; said before, only its end is added.

    ``source`` and ``fix`` are the connection's run and the newest fix of its clock. Raises ``AttachmentRefused`` (it is
    in the audit), ``MessageInvalid``, ``FrameTime``, ``ClockUnknown``.
    """
    if said.to_us is not None and said.to_source in (None, said.source) and said.to_us < said.from_us:
        raise MessageInvalid(field="to_us")
    if fix is None:
        raise ClockUnknown()
    try:
        async with around.database.transaction() as connection:
            await stations.lock(connection, station.id)
            opened = await _time(connection, station, source, fix, said.source, said.from_us)
            ended = None
            if said.to_us is not None:
                ended = await _time(connection, station, source, fix, said.to_source or said.source, said.to_us)
            changed = await _keep(connection, around, station, said, opened, ended)
            attachment = await attachments.get(connection, said.attachment)
            current = await attachments.current(connection, station.id)
    except (AttachmentRefused, NoRoom) as error:
        async with around.database.connection() as connection:  # outside of what the refusal rolled back
            await record(
                connection, station.actor, ACTION, "deny", object_kind="attachment", object_id=str(said.attachment),
                detail={"code": AttachmentRefused.code, "station": station.id},
            )
        raise AttachmentRefused(station=station.id) from error
    return Kept(attachment, None if current is None else current.id, changed)


async def tell(around: Surroundings, kept: Kept) -> None:
    """After the commit: cut what is live, tell the station's topic, the work lists and the consultations concerned."""
    if not kept.changed:
        return
    for one in kept.changed:
        if one.closed_at is not None:
            around.hub.cut(one.id, micros(one.closed_at))
    attachment, current = kept.attachment, None if kept.current is None else str(kept.current)
    around.rooms.publish(f"station:{attachment.station_id}", {"type": "attachment", "attachment": current})
    around.rooms.publish(f"organisation:{attachment.organisation_id}", {"type": "waiting"})
    for consultation_id in {one.consultation_id for one in kept.changed} - {None}:
        if consultation_id is not None:
            await around.consultation_news(consultation_id)


async def _keep(
    connection: Connection, around: Surroundings, station: Station, said: Provisional, opened: datetime,
    ended: datetime | None,
) -> tuple[Attachment, ...]:
    actor = station.actor
    try:
        known = await attachments.get(connection, said.attachment)
    except NotFound:
        known = None
    target = Target("attachment", str(said.attachment), station.organisation_id, said.patient, station.id)
    if decide(actor, ACTION, target if known is None else known.target) is not None:
        raise AttachmentRefused(station=station.id)
    if known is not None:
        ours = await connection.fetchval(SQL["opened_by_station"], known.id)
        if not ours or not await patients.is_or_became(connection, said.patient, known.patient_id):
            raise AttachmentRefused(station=station.id)
        if ended is None or known.closed_at is not None:
            return ()
        closed = await attachments.end(connection, known, ended)
        await granted(connection, actor, ACTION, known.target, {"station": station.id, "reason": closed.closed_reason})
        return (closed,)
    if await patients.is_known(connection, said.patient):
        raise AttachmentRefused(station=station.id)
    await patients.create(
        connection, around.sealer, station.organisation_id, Person(said.name, said.birth_year), provisional=True,
        patient_id=said.patient,
    )
    placed, before = await attachments.place(
        connection, said.attachment, station.organisation_id, station.id, said.patient, opened, ended
    )
    await granted(connection, actor, ACTION, target, {"station": station.id, "reason": placed.closed_reason})
    if before is None:
        return (placed,)
    await record(
        connection, actor, "attachment.close", "event", object_kind="attachment", object_id=str(before.id),
        patient_id=before.patient_id, detail={"reason": before.closed_reason, "station": station.id},
    )
    return (before, placed)


async def _time(
    connection: Connection, station: Station, own: UUID, fix: Fix, source: UUID, stamp_us: int
) -> datetime:
    """The server's time of a stamp, as chunks are mapped, never later than now."""
    if await connection.fetchval(SQL["source_elsewhere"], source, station.id):
        raise AttachmentRefused(station=station.id)
    now = datetime.now(UTC)
    clock = (await mappings(connection, {source}, {station.id}))[source]
    if not clock.known:
        clock = Mapping([fix if source == own else await _near(connection, station.id, now) or fix])
    at_us = stamp_us + clock.offset_us(stamp_us)
    if at_us < micros(now - LONGEST):
        raise FrameTime()
    return moment(min(at_us, micros(now)))


async def _near(connection: Connection, station_id: int, now: datetime) -> Fix | None:
    """The fix that times the chunks of a run that never answered (``stored``): the nearest to their stream's hour."""
    row = await connection.fetchrow(SQL["near_fix"], station_id, now.replace(minute=0, second=0, microsecond=0))
    return None if row is None else Fix(micros(row["at"]), row["offset_us"], row["error_us"])
