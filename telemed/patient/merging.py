"""Merging a provisional patient into the one it turned out to be: what was measured, said and shared goes over.

No sample, line or file is copied or sealed anew: the keys that seal them are taken out of the provisional
patient's key and wrapped under the other's, in the one transaction that then destroys the provisional's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from telemed.errors import InvalidRequest, KeyDestroyed, NotFound, TelemedError
from telemed.patient import patients
from telemed.patient.holds import refuse_held
from telemed.patient.patients import PatientMerged, StillAttached
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("patient")
BATCH = 500  # keys of one round trip
AT_WORK = ("waiting", "live", "interrupted")  # a visit that somebody may be in
NO_STREAM = -1  # below every stream's id
NO_FILE = UUID(int=0)  # below every file's and recording's id


class NotProvisional(TelemedError):
    """Only a provisional patient is merged into another."""

    code = "not_provisional"
    status = 409


class VisitOpen(TelemedError):
    """The patient has a visit that waits or goes on; end or cancel it first."""

    code = "visit_open"
    status = 409


@dataclass(frozen=True, slots=True)
class Merged:
    """What went over, in numbers; ``scheduled`` are the consultations still to come."""

    attachments: int
    consultations: int
    streams: int
    files: int
    scheduled: tuple[UUID, ...]


async def merge(connection: Connection, sealer: Sealer, provisional_id: UUID, into_id: UUID) -> Merged:
    """Give everything of the provisional patient to the other and destroy the provisional's key.

    Inside a transaction. Nothing live is touched: refused while the provisional patient is connected to a station
    (``StillAttached``) or in a visit (``VisitOpen``), so no page or station works with it. Raises also ``OnHold``,
    ``NotProvisional``, ``PatientMerged``, ``KeyDestroyed``, ``NotFound``, ``InvalidRequest`` for itself.
    """
    if provisional_id == into_id:
        raise InvalidRequest(field="into")
    for one in sorted((provisional_id, into_id)):  # always in this order: two merges never wait in a circle
        await patients.lock(connection, one)
    await refuse_held(connection, provisional_id)
    old_key = await _key_of(connection, sealer, provisional_id, provisional=True)
    new_key = await _key_of(connection, sealer, into_id, provisional=False)
    # Consultations before attachments, as ending a consultation takes them.
    held = await connection.fetch(SQL["merge_hold_consultations"], provisional_id)
    attached = await connection.fetch(SQL["merge_hold_attachments"], provisional_id)
    if any(row["closed_at"] is None for row in attached):
        raise StillAttached()
    if any(row["state"] in AT_WORK for row in held):
        raise VisitOpen()

    wrapping = _Rewrapping(connection, sealer, old_key, new_key)
    rooms = [(row["id"], row["room_key_wrapped"]) for row in held if row["room_key_wrapped"] is not None]
    await wrapping.write("merge_rooms_write", rooms)
    streams = await wrapping.all("merge_streams", provisional_id, NO_STREAM)
    files = await wrapping.all("merge_files", provisional_id, NO_FILE)
    await wrapping.all("merge_recordings", provisional_id, NO_FILE)
    for name in ("merge_attachments", "merge_consultations", "merge_earlier", "merge_done"):
        await connection.execute(SQL[name], provisional_id, into_id)
    scheduled = tuple(row["id"] for row in held if row["state"] == "scheduled")
    return Merged(len(attached), len(held), streams, files, scheduled)


@dataclass(frozen=True, slots=True)
class _Rewrapping:
    """Takes keys out of one key and wraps them under another, a batch at a time, off the event loop."""

    connection: Connection
    sealer: Sealer
    old: bytes
    new: bytes

    async def all(self, name: str, patient_id: UUID, last: int | UUID) -> int:
        """Every key that the named statement finds after ``last``; returns how many."""
        count = 0
        while True:
            rows = await self.connection.fetch(SQL[name], patient_id, last, BATCH)
            await self.write(f"{name}_write", [(row["id"], row["key_wrapped"]) for row in rows])
            count += len(rows)
            if len(rows) < BATCH:
                return count
            last = rows[-1]["id"]

    async def write(self, name: str, keys: list[tuple[Any, bytes]]) -> None:
        """Write these keys, wrapped anew."""
        if keys:
            fresh = await asyncio.to_thread(self._wrapped, [bytes(wrapped) for _, wrapped in keys])
            await self.connection.execute(SQL[name], [one for one, _ in keys], fresh)

    def _wrapped(self, keys: Iterable[bytes]) -> list[bytes]:
        return [self.sealer.wrap(self.sealer.unwrap(wrapped, self.old), self.new) for wrapped in keys]


async def _key_of(connection: Connection, sealer: Sealer, patient_id: UUID, *, provisional: bool) -> bytes:
    row: Mapping[str, Any] | None = await connection.fetchrow(SQL["patient_get"], patient_id)
    if row is None:
        raise NotFound()
    if row["merged_into"] is not None:
        raise PatientMerged(into=str(row["merged_into"]))
    if row["key_wrapped"] is None:
        raise KeyDestroyed()
    if provisional and not row["provisional"]:
        raise NotProvisional()
    return sealer.unwrap(bytes(row["key_wrapped"]))
