"""The chat of a visit, read by HTTP: what a page that was away, or a report, needs of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from telemed.audit import Actor
from telemed.consultation import chat, door, rendering
from telemed.consultation.chat import PAGE_LINES, Line
from telemed.consultation.rendering import Viewer
from telemed.errors import KeyDestroyed
from telemed.http import keys
from telemed.http.route import Body, Route, answer, query, uuid_of
from telemed.identity import policy


class Speaker(Body):
    """Who said it. A guest is told the names of clinicians and its own, and everybody's role."""

    id: str
    role: Literal["clinician", "second_clinician", "operator", "patient", "relative", "interpreter"]
    name: str | None


class SharedFile(Body):
    """A shared file; ``sha256`` is of its bytes, in hexadecimal."""

    id: UUID
    name: str
    media_type: str
    bytes: int
    sha256: str


class LineShown(Body):
    """A line of chat. ``n`` counts from 1 without a hole; ``line`` is the author's own name for it."""

    n: int
    line: UUID
    at: datetime
    by: Speaker
    text: str
    file: SharedFile | None


class Lines(Body):
    """Lines in order."""

    lines: list[LineShown]


class ChatQuery(Body):
    """The lines after this number."""

    after: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, Field(ge=1, le=PAGE_LINES)] = PAGE_LINES


async def read_chat(request: web.Request) -> web.Response:
    """The lines after a number; fewer than asked for are not always the last: ask again until none comes."""
    app, actor, wanted = request.app, request[keys.ACTOR], query(request, ChatQuery)
    async with app[keys.DATABASE].transaction() as connection:
        room = await door.find(connection, uuid_of(request))
        await policy.require(connection, actor, "chat.read", room.target)
        if room.key_destroyed:
            raise KeyDestroyed()
        lines = await chat.after(connection, app[keys.SEALER], room.id, wanted.after, wanted.limit)
    return answer(Lines(lines=[line_json(one, actor) for one in lines]))


def line_json(line: Line, actor: Actor) -> LineShown:
    """The line as the actor sees it."""
    viewer = Viewer(str(actor.id), actor.kind != "guest", actor.kind != "guest" or actor.admitted)
    return LineShown.model_validate(rendering.line(line, viewer))


ROUTES = (
    Route("GET", "/api/v1/consultations/{id}/chat", "chat.read", read_chat, "The chat of a visit",
          response=Lines, query=ChatQuery, errors=(KeyDestroyed,)),
)
