"""What is stored of a consultation: its attachments' streams, each with its key, its clock and where it ends.

The one door to stored samples: a stream is here because it was announced under one of the consultation's
attachments, and nothing of it from the attachment's end on is given out (the cut is at the sample).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from telemed_devices.native import MAX_SAMPLES

from telemed.errors import KeyDestroyed
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.clock import STAMP_MAX, Fix, Mapping
from telemed.vitals.fixes import mappings, micros
from telemed.vitals.live import StreamCard
from telemed.vitals.streams import card_of

SQL = load_sql("vitals")
OPEN_END_US = STAMP_MAX  # of an attachment that is still open


@dataclass(frozen=True, slots=True)
class StoredStream:
    """A stream under one of the consultation's attachments. ``closed_us`` is consultation time, exclusive."""

    card: StreamCard
    format: str
    born: datetime
    key: DataKey
    clock: Mapping
    closed_us: int

    @property
    def closed_stamp(self) -> int:
        """The stamp before which a chunk must begin to be given out at all."""
        return self.closed_us if self.closed_us >= OPEN_END_US else self.clock.to_stamp(self.closed_us)

    def samples_before(self, t0_us: NDArray[np.int64], consultation_us: int) -> NDArray[np.int64]:
        """How many samples of a chunk that begins at each ``t0_us`` (consultation time) lie before a time."""
        num, den = self.card.rate or (1, 1)
        # Sample k is at t0 + k*den/num seconds; -(-a // b) is the ceiling. Beyond the longest chunk nothing
        # changes, and the product stays within 64 bits.
        longest = MAX_SAMPLES * den * 1_000_000 // num + 1_000_000 * den
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
    patient_keys = {row["id"]: sealer.unwrap(bytes(row["patient_key"])) for row in rows}
    attached = {
        row["id"]: Attached(
            row["id"], micros(row["opened_at"]), None if row["closed_at"] is None else micros(row["closed_at"])
        )
        for row in rows
    }
    found = await connection.fetch(SQL["streams_of"], list(attached))
    clocks = await _clocks(connection, found)
    streams = []
    for row in found:
        closed_us = attached[row["attachment_id"]].closed_us
        key = DataKey(sealer.unwrap(bytes(row["key_wrapped"]), patient_keys[row["attachment_id"]]))
        streams.append(StoredStream(
            card_of(row, row["station_id"]), row["format"], row["born"], key, clocks[row["source"]],
            OPEN_END_US if closed_us is None else closed_us,
        ))
    return Stored(tuple(attached.values()), tuple(streams))


async def _clocks(connection: Connection, rows: Sequence[Any]) -> dict[UUID, Mapping]:
    clocks = await mappings(connection, {row["source"] for row in rows}, {row["station_id"] for row in rows})
    for row in rows:
        if not clocks[row["source"]].known:
            # A run that never answered a clock question: the nearest fix of another run of that station.
            near = await connection.fetchrow(SQL["near_fix"], row["station_id"], row["born"])
            if near is not None:
                clocks[row["source"]] = Mapping([Fix(micros(near["at"]), near["offset_us"], near["error_us"])])
    return clocks


def sole(keys: Iterable[StoredStream]) -> dict[int, StoredStream]:
    """The streams by their id."""
    return {one.card.id: one for one in keys}
