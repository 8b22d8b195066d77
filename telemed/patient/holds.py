"""Legal holds: while one is not lifted, nothing of the patient's is deleted, by nobody and for no reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from telemed.errors import Conflict, KeyDestroyed, NotFound, TelemedError
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import NONCE_BYTES, DataKey, Sealer

SQL = load_sql("hold")
LISTED: Final = 200  # holds of one patient in one answer, newest first


class OnHold(TelemedError):
    """The patient is on legal hold: nothing of theirs may be deleted until every hold is lifted."""

    code = "on_hold"
    status = 409


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold; ``reason`` is None once the patient's key is destroyed."""

    id: UUID
    reason: str | None
    placed_by: UUID
    placed_at: datetime
    lifted_by: UUID | None
    lifted_at: datetime | None


async def place(
    connection: Connection, sealer: Sealer, organisation_id: UUID, patient_id: UUID, reason: str, placed_by: UUID
) -> Hold:
    """Place a hold, inside a transaction. Raises ``KeyDestroyed``: there is nothing left to hold."""
    key = await _key(connection, sealer, patient_id)
    if key is None:
        raise KeyDestroyed()
    hold_id = uuid4()
    nonce, sealed = key.seal(reason.encode(), _context(hold_id))
    row = await connection.fetchrow(
        SQL["hold_place"], hold_id, organisation_id, patient_id, nonce + sealed, placed_by
    )
    return _hold_of(row, key)


async def lift(connection: Connection, patient_id: UUID, hold_id: UUID, lifted_by: UUID) -> None:
    """Lift a hold. Raises ``NotFound``, and ``Conflict`` when it was lifted before."""
    if await connection.execute(SQL["hold_lift"], hold_id, patient_id, lifted_by) != "UPDATE 1":
        if await connection.fetchrow(SQL["hold_get"], hold_id, patient_id) is None:
            raise NotFound()
        raise Conflict()


async def listed(connection: Connection, sealer: Sealer, patient_id: UUID) -> list[Hold]:
    """The patient's holds, newest first, the lifted ones among them."""
    key = await _key(connection, sealer, patient_id)
    return [_hold_of(row, key) for row in await connection.fetch(SQL["hold_list"], patient_id, LISTED)]


async def refuse_held(connection: Connection, patient_id: UUID) -> None:
    """Raise ``OnHold`` while a hold is not lifted. Whoever deletes holds the patient's row, as :func:`place` does."""
    if await connection.fetchval(SQL["held"], patient_id) is not None:
        raise OnHold()


async def _key(connection: Connection, sealer: Sealer, patient_id: UUID) -> DataKey | None:
    """The patient's key, and the patient's row until the transaction ends."""
    wrapped = await connection.fetchval(SQL["hold_key"], patient_id)
    return None if wrapped is None else DataKey(sealer.unwrap(bytes(wrapped)))


def _context(hold_id: UUID) -> bytes:
    return b"hold:" + hold_id.bytes


def _hold_of(row: Any, key: DataKey | None) -> Hold:
    reason = None
    if key is not None:
        sealed = bytes(row["reason_sealed"])
        reason = key.open(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _context(row["id"])).decode()
    return Hold(row["id"], reason, row["placed_by"], row["placed_at"], row["lifted_by"], row["lifted_at"])
