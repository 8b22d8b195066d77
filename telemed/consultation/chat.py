"""The chat of a visit: lines numbered from 1 without a hole, sealed under the room's key, one line a (author, line).

Appending happens in a transaction that holds the consultation (``door.hold``): a number is given out only with the
line that bears it, and a line is told to the room only after its commit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from telemed.audit import Actor
from telemed.consultation import files
from telemed.consultation.door import Room, name_of
from telemed.consultation.files import FileBrief
from telemed.consultation.room_keys import existing_key, open_text, room_key, seal_text
from telemed.errors import KeyDestroyed, TelemedError
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import DataKey, Sealer

SQL = load_sql("chat")
TEXT_LENGTH: Final = 4_000  # characters of a line
LINES_A_VISIT: Final = 10_000  # a line every second for nearly three hours
BATCH_LINES: Final = 200  # of one ``chat`` message
BATCH_CHARACTERS: Final = 131_072  # of text in one ``chat`` message: under 1 MB however it is escaped
PAGE_LINES: Final = 500  # of one HTTP answer


class ChatFull(TelemedError):
    """The visit's chat holds as many lines as it may (``lines``)."""

    code = "chat_full"
    status = 409


@dataclass(frozen=True, slots=True)
class Author:
    """Who said it: account or guest's seat, the role at that time and the name, where one is known."""

    id: str
    kind: Literal["account", "guest"]
    role: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line; a shared file's line has ``file`` and no text."""

    n: int
    line: UUID
    at: datetime
    author: Author
    text: str
    file: FileBrief | None


async def author_of(connection: Connection, sealer: Sealer, actor: Actor, room: Room) -> Author:
    """The actor as an author in this room."""
    kind: Literal["account", "guest"] = "guest" if actor.kind == "guest" else "account"
    return Author(str(actor.id), kind, room.role_of(actor), await name_of(connection, sealer, actor, room))


async def known(connection: Connection, sealer: Sealer, room: Room, author_id: str, line: UUID) -> Line | None:
    """The author's line of this name, when it was said before. Raises ``KeyDestroyed``."""
    row = await connection.fetchrow(SQL["line_known"], room.id, UUID(author_id), line)
    return None if row is None else (await _opened(connection, sealer, room.id, [row]))[0]


async def append(
    connection: Connection, sealer: Sealer, room: Room, author: Author, line: UUID, text: str,
    file: FileBrief | None = None,
) -> Line:
    """The next line. The caller holds the room and asked :func:`known`. Raises ``ChatFull``, ``KeyDestroyed``."""
    if room.chat_lines >= LINES_A_VISIT:
        raise ChatFull(lines=LINES_A_VISIT)
    key = await room_key(connection, sealer, room.id)
    n: int = await connection.fetchval(SQL["line_number"], room.id)
    sealed = seal_text(key, room.id, _place(n), json.dumps({"name": author.name, "text": text}))
    at = await connection.fetchval(
        SQL["line_append"], room.id, n, room.organisation_id, line, author.kind, UUID(author.id), author.role,
        sealed, None if file is None else file.id,
    )
    return Line(n, line, at, author, text, file)


async def after(
    connection: Connection, sealer: Sealer, consultation_id: UUID, n: int, limit: int = BATCH_LINES
) -> list[Line]:
    """The lines after number ``n``, in order: at most ``limit``, and about ``BATCH_CHARACTERS``.

    Raises ``KeyDestroyed``.
    """
    rows = await connection.fetch(SQL["lines_after"], consultation_id, n, limit)
    held = 0
    kept: list[Mapping[str, Any]] = []
    for row in rows:
        held += len(row["sealed"])
        if kept and held > BATCH_CHARACTERS:
            break
        kept.append(row)
    return await _opened(connection, sealer, consultation_id, kept)


async def _opened(
    connection: Connection, sealer: Sealer, consultation_id: UUID, rows: Sequence[Mapping[str, Any]]
) -> list[Line]:
    if not rows:
        return []
    key = await existing_key(connection, sealer, consultation_id)
    if key is None:
        raise KeyDestroyed()
    wrapped = rows[0]["patient_key"]
    if wrapped is None:
        raise KeyDestroyed()
    wraps = sealer.unwrap(bytes(wrapped))
    return [_line_of(row, sealer, consultation_id, key, wraps) for row in rows]


def _line_of(row: Mapping[str, Any], sealer: Sealer, consultation_id: UUID, key: DataKey, wraps: bytes) -> Line:
    said = json.loads(open_text(key, consultation_id, _place(row["n"]), bytes(row["sealed"])))
    author = Author(str(row["author_id"]), row["author_kind"], row["author_role"], said["name"])
    file = None if row["file_id"] is None else files.brief_of(row, sealer, wraps)
    return Line(row["n"], row["line"], row["at"], author, said["text"], file)


def _place(n: int) -> str:
    return f"chat_line:{n}"
