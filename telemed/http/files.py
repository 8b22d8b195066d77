"""Files of a visit: taken in as they come, in bounded memory, and given back so that no browser runs them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from telemed.consultation import chat, door, files
from telemed.consultation.chat import ChatFull, Line
from telemed.consultation.file_types import SHOWN_INLINE, TEXT, disposition
from telemed.consultation.files import (
    FILE_BYTES,
    FileEmpty,
    FilesFull,
    FileTooLarge,
    FileTypeDiffers,
    FileTypeRefused,
    Incoming,
    Stored,
)
from telemed.errors import InvalidRequest, KeyDestroyed, NotFound, StateRefused, TelemedError
from telemed.http import keys
from telemed.http.chat import LineShown, line_json
from telemed.http.route import Body, Route, answer, query, uuid_of
from telemed.http.sending import send_parts
from telemed.http.sockets import renewal
from telemed.identity import policy
from telemed.store.database import Connection

READ_BYTES: Final = 65_536  # at a time, from the socket
IDLE_SECONDS: Final = 15.0  # without a byte; a sender that stands still holds nothing
UPLOAD_SECONDS: Final = 900.0  # of a whole upload: 25 MiB at 240 kbit/s
AT_ONCE: Final = 16  # uploads of this process: 400 MiB of sealed bytes on the disk at most
AT_ONCE_A_PERSON: Final = 2
FILE_POLICY: Final = "default-src 'none'; sandbox"  # what a file's own content may do when it is opened: nothing
UPLOADS: Final[web.AppKey[Counter[str]]] = web.AppKey("UPLOADS", Counter)


class TooManyUploads(TelemedError):
    """Other files are still being sent; wait until one of them is through."""

    code = "too_many_uploads"
    status = 429


class FileNew(Body):
    """What the file is called, and the sender's own name for its line of chat."""

    name: Annotated[str, Field(max_length=1000)] = ""
    line: UUID


class FileQuery(Body):
    """``inline`` shows JPEG, PNG and WebP pictures in the page; everything else is saved."""

    inline: Literal["0", "1"] = "0"


async def send_file(request: web.Request) -> web.Response:
    """Share a file: it becomes a line of chat. The same ``line`` again gives the line that it gave before."""
    app, actor, wanted = request.app, request[keys.ACTOR], query(request, FileNew)
    if request.content_length is not None and request.content_length > FILE_BYTES:
        raise FileTooLarge(bytes=FILE_BYTES)
    async with app[keys.DATABASE].connection() as connection:
        room = await door.find(connection, uuid_of(request))
        if policy.decide(actor, "file.create", room.target) is not None:
            await policy.require(connection, actor, "file.create", room.target)
        if room.key_destroyed:
            raise KeyDestroyed()
        room.must_be_open()
        if await chat.known(connection, app[keys.SEALER], room, str(actor.id), wanted.line) is None:
            await files.check_room(connection, room, max(request.content_length or 0, 1))
    async with _incoming(request) as incoming:
        await _receive(request, incoming)
        brief = await asyncio.to_thread(incoming.finish, wanted.name)
        async with app[keys.DATABASE].transaction() as connection:
            line, fresh = await _keep(connection, request, incoming, brief, wanted.line)
    if fresh:
        app[keys.ROOMS].publish(f"consultation:{room.id}", {"type": "chat", "lines": [line]})
    return answer(line_json(line, actor), 201)


@asynccontextmanager
async def _incoming(request: web.Request) -> AsyncIterator[Incoming]:
    """A file on its way in, counted. Raises ``TooManyUploads``, ``FileTypeRefused``."""
    running, me = request.app[UPLOADS], str(request[keys.ACTOR].id)
    if running.total() >= AT_ONCE or running[me] >= AT_ONCE_A_PERSON:
        raise TooManyUploads()
    incoming = Incoming(request.app[keys.SEALER], request.headers.get("Content-Type", ""))
    running[me] += 1
    try:
        yield incoming
    finally:
        running[me] -= 1
        if running[me] <= 0:
            del running[me]
        incoming.close()


async def _receive(request: web.Request, incoming: Incoming) -> None:
    """Feed the body as it comes. Raises ``FileTooLarge`` at the first byte too many, ``InvalidRequest`` when slow."""
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            while True:
                async with asyncio.timeout(IDLE_SECONDS):
                    data = await request.content.read(READ_BYTES)
                if not data:
                    return
                incoming.feed(data)
    except TimeoutError:
        raise InvalidRequest(field="body") from None


async def _keep(
    connection: Connection, request: web.Request, incoming: Incoming, brief: files.FileBrief, line: UUID
) -> tuple[Line, bool]:
    app, sealer = request.app, request.app[keys.SEALER]
    room = await door.hold(connection, uuid_of(request))
    actor = await renewal(request)(connection)  # uploading takes time: whoever was removed meanwhile sends nothing
    known = await chat.known(connection, sealer, room, str(actor.id), line)
    await policy.require(connection, actor, "file.create", room.target, {"file": str(brief.id)})
    if known is not None:
        return known, False
    room.must_be_open()
    author = await chat.author_of(connection, app[keys.SEALER], actor, room)
    key = await door.patient_key(connection, sealer, room.id)
    await incoming.store(connection, sealer, room, key, brief, author.kind, author.id)
    return await chat.append(connection, sealer, room, author, line, "", brief), True


async def read_file(request: web.Request) -> web.StreamResponse:
    """The file's bytes, to save; pictures also to show."""
    app, wanted = request.app, query(request, FileQuery)
    async with app[keys.DATABASE].transaction() as connection:
        room = await door.find(connection, uuid_of(request))
        file_id = uuid_of(request, "file")
        await policy.require(connection, request[keys.ACTOR], "file.read", room.target, {"file": str(file_id)})
        stored = await files.find(connection, app[keys.SEALER], room, file_id)
        first = await files.part(connection, stored, 0)
    brief = stored.brief
    response = web.StreamResponse(headers={
        "Content-Type": f"{TEXT}; charset=utf-8" if brief.media_type == TEXT else brief.media_type,
        "Content-Disposition": disposition(
            brief.name, inline=wanted.inline == "1" and brief.media_type in SHOWN_INLINE
        ),
        "Content-Security-Policy": FILE_POLICY,
    })
    response.content_length = brief.bytes
    return await send_parts(request, response, _parts(request, stored, first), "file.read")


async def _parts(request: web.Request, stored: Stored, first: bytes) -> AsyncIterator[bytes]:
    """Part after part; no connection to the database is held while a slow reader takes one."""
    yield first
    for n in range(1, stored.parts):
        async with request.app[keys.DATABASE].connection() as connection:
            part = await files.part(connection, stored, n)
        yield part


def prepare(app: web.Application) -> None:
    """Count the uploads that run."""
    app[UPLOADS] = Counter()


PREPARE = (prepare,)
ROUTES = (
    Route("POST", "/api/v1/consultations/{id}/files", "file.create", send_file, "Share a file in a visit",
          response=LineShown, status=201, query=FileNew,
          errors=(FileTooLarge, FileEmpty, FileTypeRefused, FileTypeDiffers, FilesFull, ChatFull, TooManyUploads,
                  StateRefused, KeyDestroyed)),
    Route("GET", "/api/v1/consultations/{id}/files/{file}", "file.read", read_file, "A shared file",
          query=FileQuery, errors=(NotFound, KeyDestroyed)),
)
