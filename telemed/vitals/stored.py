"""What is stored of a consultation: its attachments' streams, each with its key, its clock and where it ends.

The one door to stored samples: a stream is here because it was announced under one of the consultation's
attachments, and nothing of it from before the attachment's begin or from its end on is given out (the cuts are at
the sample).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from telemed.errors import KeyDestroyed
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.clock import STAMP_MAX, Fix, Mapping
from telemed.vitals.fixes import mappings, micros
from telemed.vitals.live import StreamCard
from telemed.vitals.streams import card_of

SQL = load_sql("vitals")
OPEN_END_US = STAMP_MAX  # of an attachment that is still open
SAMPLES_MAX = 2**20  # more than a chunk or a segment has a channel
HOSTS_APART_US = 1_000_000  # by which the database's clock, which says when a chunk came, may be off the server's


@dataclass(frozen=True, slots=True)
class StoredStream:
    """A stream under one of the consultation's attachments: what of it is given out lies from ``opened_us`` (the
    attachment's begin, less what the clock may be off there) to before ``closed_us``, in consultation time."""

    card: StreamCard
    format: str
    born: datetime
    key: DataKey
    clock: Mapping
    opened_us: int
    closed_us: int

    @property
    def signal(self) -> tuple[Any, ...]:
        """What is the same in all epochs of one device's signal."""
        card = self.card
        return card.kind, card.device, card.origin, tuple(channel.name for channel in card.channels), card.rate

    @property
    def opened_stamp(self) -> int:
        """The stamp after which a chunk must end to be given out at all."""
        return self.clock.stamps_around(self.opened_us)[0]

    @property
    def closed_stamp(self) -> int:
        """The stamp before which a chunk must begin to be given out at all."""
        return self.closed_us if self.closed_us >= OPEN_END_US else self.clock.stamps_around(self.closed_us)[1]

    def samples_before(self, t0_us: NDArray[np.int64], consultation_us: int) -> NDArray[np.int64]:
        """How many samples of a chunk that begins at each ``t0_us`` (consultation time) lie before a time."""
        num, den = self.card.rate or (1, 1)
        # Sample k is at t0 + k*den/num seconds; -(-a // b) is the ceiling. Beyond the longest segment nothing
        # changes, and the product stays within 64 bits.
        longest = SAMPLES_MAX * den * 1_000_000 // num + 1_000_000 * den
        ahead = np.clip(consultation_us - t0_us, 0, longest)
        return -(-(ahead * num) // (den * 1_000_000))


@dataclass(frozen=True, slots=True)
class Attached:
    """One attachment of the consultation: its interval in microseconds, ``closed_us`` None while open."""

    id: UUID
    opened_us: int
    closed_us: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """All that is stored of one consultation."""

    attachments: tuple[Attached, ...]
    streams: tuple[StoredStream, ...]

    def waves(self, kind: str) -> list[StoredStream]:
        """The streams with samples of a kind, oldest first."""
        return [one for one in self.streams if one.card.kind == kind and one.card.rate is not None]


async def open_stored(connection: Connection, sealer: Sealer, consultation_id: UUID) -> Stored:
    """Open what is stored. Raises ``KeyDestroyed``."""
    rows = await connection.fetch(SQL["attachments_of"], consultation_id)
    if any(row["patient_key"] is None for row in rows):
        raise KeyDestroyed()
    attached = {
        row["id"]: Attached(
            row["id"], micros(row["opened_at"]), None if row["closed_at"] is None else micros(row["closed_at"])
        )
        for row in rows
    }
    found = await connection.fetch(SQL["streams_of"], list(attached))
    wrapped = {row["patient_key"] for row in found}
    if None in wrapped:
        raise KeyDestroyed()
    patient_keys = {one: sealer.unwrap(bytes(one)) for one in wrapped}
    clocks = await _clocks(connection, found, attached)
    streams = []
    for row in found:
        interval, clock = attached[row["attachment_id"]], clocks[row["source"]]
        key = DataKey(sealer.unwrap(bytes(row["key_wrapped"]), patient_keys[row["patient_key"]]))
        streams.append(StoredStream(
            card_of(row, row["station_id"]), row["format"], row["born"], key, clock,
            interval.opened_us - clock.error_us(interval.opened_us),
            OPEN_END_US if interval.closed_us is None else interval.closed_us,
        ))
    return Stored(tuple(attached.values()), tuple(streams))


async def _clocks(
    connection: Connection, rows: Sequence[Any], attached: dict[UUID, Attached]
) -> dict[UUID, Mapping]:
    clocks = await mappings(connection, {row["source"] for row in rows}, {row["station_id"] for row in rows})
    for row in rows:
        if not clocks[row["source"]].known:
            clocks[row["source"]] = await _guessed(connection, row, attached[row["attachment_id"]].opened_us)
    return clocks


async def _guessed(connection: Connection, row: Any, opened_us: int) -> Mapping:
    """The clock of a run that never answered a clock question: the nearest fix of another run of its station.

    Each run reads the wall clock anew, so that fix counts only if it does not contradict what is known of this
    run: its stream began after the attachment that it names, and nothing arrived before it was measured. Else
    arrival stands for time, as on the live way.
    """
    arrival_us = await connection.fetchval(SQL["arrival"], row["id"], row["born"], row["rate_num"], row["rate_den"])
    near = await connection.fetchrow(SQL["near_fix"], row["station_id"], row["born"])
    if near is not None:
        fix = Fix(micros(near["at"]), near["offset_us"], near["error_us"])
        clock = Mapping([fix])
        began = row["started_us"] + fix.offset_us >= opened_us - clock.error_us(opened_us) - HOSTS_APART_US
        if began and (arrival_us is None or fix.offset_us <= arrival_us + fix.error_us + HOSTS_APART_US):
            return clock
    if arrival_us is None:
        return Mapping([])
    return Mapping([Fix(row["started_us"] + arrival_us, arrival_us, 0)])

