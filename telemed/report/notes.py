"""The note on a consultation: a draft while it goes on, signed once, then amended with a reason. Nothing is replaced.

Texts are sealed under the room's key, so that they go with the patient's. Changes happen inside the transaction
that holds the consultation (``consultations.hold``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from telemed.consultation import consultations, room_keys
from telemed.consultation.consultations import Clinician, Consultation
from telemed.consultation.states import Event, State
from telemed.errors import Conflict, KeyDestroyed, StateRefused
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("report")
TEXT_CHARACTERS: Final = 20_000  # about six printed pages
REASON_CHARACTERS: Final = 500
VERSIONS: Final = 100  # of one note: bounds the answer
DRAFTED: Final = frozenset({State.SCHEDULED, State.WAITING, State.LIVE, State.INTERRUPTED, State.ENDED})


@dataclass(frozen=True, slots=True)
class Note:
    """One signed version; version 1 has no reason, an amendment does."""

    version: int
    at: datetime
    by: Clinician
    text: str
    reason: str | None


async def draft(connection: Connection, sealer: Sealer, consultation: Consultation) -> str | None:
    """The draft, None when there is none. Raises ``KeyDestroyed``."""
    sealed = await connection.fetchval(SQL["draft"], consultation.id)
    if sealed is None:
        return None
    key = await room_keys.room_key(connection, sealer, consultation.id)
    return room_keys.open_text(key, consultation.id, "draft", sealed)


async def keep_draft(connection: Connection, sealer: Sealer, consultation: Consultation, text: str) -> None:
    """Keep a held consultation's draft; the last writer's is kept. Raises ``StateRefused`` once it is signed."""
    if consultation.state not in DRAFTED:
        raise StateRefused(state=consultation.state.value)
    key = await room_keys.room_key(connection, sealer, consultation.id)
    await connection.execute(
        SQL["keep_draft"], consultation.id, room_keys.seal_text(key, consultation.id, "draft", text) if text else None
    )


async def sign(
    connection: Connection, sealer: Sealer, consultation: Consultation, text: str, by: UUID
) -> Consultation:
    """A held, ended consultation is signed with this text as version 1; the draft is gone. Raises ``StateRefused``."""
    signed = await consultations.advance(connection, sealer, consultation, Event.SIGN)
    await _append(connection, sealer, consultation.id, text, None, by)
    await connection.execute(SQL["keep_draft"], consultation.id, None)
    return signed


async def amend(
    connection: Connection, sealer: Sealer, consultation: Consultation, text: str, reason: str, by: UUID
) -> Consultation:
    """A held, signed consultation's note gets its next version. Raises ``StateRefused``, ``Conflict`` when full."""
    amended = await consultations.advance(connection, sealer, consultation, Event.AMEND)
    await _append(connection, sealer, consultation.id, text, reason, by)
    return amended


async def listed(connection: Connection, sealer: Sealer, consultation: Consultation) -> list[Note]:
    """The signed versions, the first first, at most ``VERSIONS``. Raises ``KeyDestroyed``."""
    rows = await connection.fetch(SQL["list"], consultation.id, VERSIONS)
    if not rows:
        return []
    key = await room_keys.existing_key(connection, sealer, consultation.id)
    if key is None:
        raise KeyDestroyed()
    found = []
    for row in rows:
        plain = json.loads(room_keys.open_text(key, consultation.id, _place(row["version"]), row["sealed"]))
        by = Clinician(row["account_id"], row["account_name"])
        found.append(Note(row["version"], row["at"], by, plain["text"], plain["reason"]))
    return found


async def _append(
    connection: Connection, sealer: Sealer, consultation_id: UUID, text: str, reason: str | None, by: UUID
) -> None:
    version = await connection.fetchval(SQL["next_version"], consultation_id)
    if version > VERSIONS:
        raise Conflict()
    key = await room_keys.room_key(connection, sealer, consultation_id)
    plain = json.dumps({"text": text, "reason": reason})
    sealed = room_keys.seal_text(key, consultation_id, _place(version), plain)
    await connection.execute(SQL["append"], consultation_id, by, version, sealed)


def _place(version: int) -> str:
    return f"note {version}"
