"""A station's announced stream becomes a row, once, with its data key; and is opened again from its row.

The data key is wrapped under the patient's key when the announced attachment is this station's, else, without
an attachment, under the station's own key. ``born`` is the server's hour at the first announce.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from telemed.audit import Actor, record
from telemed.errors import KeyDestroyed, NotFound
from telemed.identity.policy import Target, decide, record_denial, require
from telemed.identity.stations import Station
from telemed.store.database import Connection, Database, load_sql
from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.durable import Range
from telemed.vitals.faults import AnnounceDiffers, AttachmentRefused
from telemed.vitals.fixes import micros
from telemed.vitals.live import Channel, StreamCard
from telemed.vitals.messages import AnnouncedStream
from telemed.vitals.storage.evidence import durable, newest_reading

SQL = load_sql("vitals")


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """An announced stream: its row, its key and what of it is durable."""

    card: StreamCard
    format: str
    source: UUID
    started_us: int
    born: datetime
    key: DataKey
    ranges: tuple[Range, ...]
    newest: tuple[int, list[dict[str, Any]]] | None  # stamp and readings of the last stored numbers
    opened_us: int | None  # when its attachment began
    closed_us: int | None  # when its attachment ended


async def open_stream(
    database: Database, sealer: Sealer, station: Station, hello_source: UUID, stream: AnnouncedStream
) -> OpenedStream:
    """Make the stream's row, or find it. Raises ``AttachmentRefused``, ``AnnounceDiffers``, ``KeyDestroyed``."""
    actor, station_id = station.actor, station.id
    async with database.transaction() as connection:
        attachment = await _attachment(database, connection, actor, station_id, stream.attachment)
        owner_key = await _owner_key(connection, sealer, station_id, attachment)
        row = await _find(connection, station_id, stream)
        if row is None:
            num, den = stream.rate or (None, None)
            await connection.execute(
                SQL["insert_stream"], station.organisation_id, station_id, stream.number, stream.epoch, stream.device,
                stream.kind, stream.format, stream.origin, stream.source or hello_source, num, den,
                json.dumps([channel.model_dump() for channel in stream.channels]), stream.attachment,
                stream.started_us, sealer.wrap(sealer.new_key(), owner_key),
            )
            row = await _find(connection, station_id, stream)
        if row is None or not _same(row, stream):
            raise AnnounceDiffers(number=stream.number)
        key = DataKey(sealer.unwrap(bytes(row["key_wrapped"]), owner_key))
        ranges = await durable(connection, row["id"], row["born"])
        numbers = None
        if ranges and stream.rate is None:
            numbers = await newest_reading(connection, row["id"], row["born"], key)
    opened, closed = (None, None) if attachment is None else (attachment["opened_at"], attachment["closed_at"])
    return OpenedStream(
        card_of(row, station_id), row["format"], row["source"], row["started_us"], row["born"],
        key, tuple(ranges), None if numbers is None else (numbers[0], json.loads(numbers[1])["readings"]),
        None if opened is None else micros(opened), None if closed is None else micros(closed),
    )


def card_of(row: Any, station_id: int) -> StreamCard:
    """The card of a ``stream`` row."""
    rate = None if row["rate_num"] is None else (row["rate_num"], row["rate_den"])
    return StreamCard(
        row["id"], station_id, row["attachment_id"], row["device"], row["kind"], row["origin"], rate, channels_of(row)
    )


def channels_of(row: Any) -> tuple[Channel, ...]:
    """The channels of a ``stream`` row."""
    found: Sequence[dict[str, Any]] = (
        json.loads(row["channels"]) if isinstance(row["channels"], str) else row["channels"]
    )
    return tuple(Channel(one["name"], one["unit"], float(one["gain"]), float(one["offset"])) for one in found)


async def _attachment(
    database: Database, connection: Connection, actor: Actor, station_id: int, attachment_id: UUID | None
) -> Any:
    """The announced attachment's row; one that is not this station's is refused and the refusal recorded."""
    if attachment_id is None:
        return None
    # A statement before the one that reads the patient's key: that one sees what this one waited for.
    await connection.execute(SQL["hold_attachment"], attachment_id)
    row = await connection.fetchrow(SQL["find_attachment"], attachment_id)
    target = None if row is None else Target(
        "attachment", str(attachment_id), row["organisation_id"], row["patient_id"], row["station_id"]
    )
    if target is not None and decide(actor, "station_socket.announce", target) is None:
        return row
    async with database.connection() as other:  # outside the transaction, which this refusal rolls back
        if target is None:
            await record(other, actor, "station_socket.announce", "deny", object_kind="attachment",
                         object_id=str(attachment_id), detail={"code": AttachmentRefused.code})
        else:
            try:
                await require(other, actor, "station_socket.announce", target)
            except NotFound as error:
                await record_denial(database, error)
    raise AttachmentRefused(station=station_id)


async def _owner_key(connection: Connection, sealer: Sealer, station_id: int, attachment: Any) -> bytes:
    if attachment is None:
        return sealer.unwrap(bytes(await connection.fetchval(SQL["station_key"], station_id)))
    if attachment["patient_key"] is None:
        raise KeyDestroyed()
    return sealer.unwrap(bytes(attachment["patient_key"]))


async def _find(connection: Connection, station_id: int, stream: AnnouncedStream) -> Any:
    return await connection.fetchrow(SQL["find_stream"], station_id, stream.device, stream.kind, stream.epoch)


def _same(row: Any, stream: AnnouncedStream) -> bool:
    channels = tuple(Channel(one.name, one.unit, one.gain, one.offset) for one in stream.channels)
    rate = None if row["rate_num"] is None else (row["rate_num"], row["rate_den"])
    return bool(
        row["number"] == stream.number and row["format"] == stream.format and row["origin"] == stream.origin
        and rate == stream.rate and channels_of(row) == channels and row["attachment_id"] == stream.attachment
        and row["started_us"] == stream.started_us
    )
