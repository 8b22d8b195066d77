"""Where the patient is and a telephone number: for 112, and for when the line drops. Sealed under the room's key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from uuid import UUID

from telemed.consultation import room_keys
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import DataKey, Sealer

SQL = load_sql("visit")


@dataclass(frozen=True, slots=True)
class Place:
    """An address that an ambulance finds, and a telephone number; either may be empty."""

    address: str
    phone: str


async def read(connection: Connection, sealer: Sealer, consultation_id: UUID) -> Place | None:
    """The place; None when nobody said it. Raises ``KeyDestroyed``, and ``NotFound`` for no such consultation."""
    key = await room_keys.room_key(connection, sealer, consultation_id)
    return opened(key, consultation_id, await connection.fetchval(SQL["place_read"], consultation_id))


async def write(connection: Connection, sealer: Sealer, consultation_id: UUID, place: Place) -> None:
    """Keep the place instead of the one before. Raises ``KeyDestroyed`` or ``NotFound``."""
    key = await room_keys.room_key(connection, sealer, consultation_id)
    plain = json.dumps({"address": place.address, "phone": place.phone})
    sealed = room_keys.seal_text(key, consultation_id, "place", plain)
    await connection.execute(SQL["place_write"], consultation_id, sealed)


def opened(key: DataKey | None, consultation_id: UUID, sealed: bytes | None) -> Place | None:
    """The place in a consultation's row; None without one or without the room's key."""
    if key is None or sealed is None:
        return None
    plain = json.loads(room_keys.open_text(key, consultation_id, "place", sealed))
    return Place(plain["address"], plain["phone"])
