"""The key of one consultation's room: what is said, shared or noted there is sealed under it.

One key a consultation, wrapped by the patient's key, so that destroying that one destroys this one as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from telemed.errors import KeyDestroyed, NotFound
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import NONCE_BYTES, DataKey, Sealer

SQL = load_sql("visit")


async def room_key(connection: Connection, sealer: Sealer, consultation_id: UUID) -> DataKey:
    """The room's key, made when it is absent; inside a transaction, which then holds the consultation.

    Raises ``KeyDestroyed`` when the patient's key is gone, ``NotFound`` for an unknown consultation.
    """
    row = await _found(connection, consultation_id)
    if row["room_key_wrapped"] is None:
        # Held, so that neither a second key is made nor the patient merged into another meanwhile.
        await connection.execute(SQL["consultation_hold"], consultation_id)
        row = await _found(connection, consultation_id)
    under = sealer.unwrap(row["key_wrapped"])
    wrapped = row["room_key_wrapped"]
    if wrapped is None:
        wrapped = sealer.wrap(sealer.new_key(), under)
        await connection.execute(SQL["room_key_keep"], consultation_id, wrapped)
    return DataKey(sealer.unwrap(wrapped, under))


async def existing_key(connection: Connection, sealer: Sealer, consultation_id: UUID) -> DataKey | None:
    """The room's key for reading; None when nothing was ever sealed under it or the patient's key is gone."""
    row = await connection.fetchrow(SQL["room_key"], consultation_id)
    if row is None or row["key_wrapped"] is None or row["room_key_wrapped"] is None:
        return None
    return DataKey(sealer.unwrap(row["room_key_wrapped"], sealer.unwrap(row["key_wrapped"])))


async def _found(connection: Connection, consultation_id: UUID) -> Mapping[str, Any]:
    row: Mapping[str, Any] | None = await connection.fetchrow(SQL["room_key"], consultation_id)
    if row is None:
        raise NotFound()
    if row["key_wrapped"] is None:
        raise KeyDestroyed()
    return row


def seal_text(key: DataKey, consultation_id: UUID, place: str, text: str) -> bytes:
    """``text`` sealed for one place of the room (``"place"``, ``"ticket <uuid>"``): nonce, then ciphertext."""
    nonce, sealed = key.seal(text.encode(), _context(consultation_id, place))
    return nonce + sealed


def open_text(key: DataKey, consultation_id: UUID, place: str, sealed: bytes) -> str:
    """The text that ``seal_text`` was given for this very place. Raises ``SealBroken``."""
    context = _context(consultation_id, place)
    return key.open(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context).decode()


def _context(consultation_id: UUID, place: str) -> bytes:
    return b"room" + consultation_id.bytes + place.encode()
