"""A route is one row: method, path, the policy's action, the handler and what crosses the wire.

Every area exports ``ROUTES``; :func:`mount` puts them into the application and refuses, before the server
starts, a route or socket message that the policy table does not name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from telemed.errors import InvalidRequest, NotFound, TelemedError
from telemed.identity.policy import POLICY

BODY_BYTES = 65_536  # largest JSON or SDP body; the longest legitimate SDP measured is 9 KiB
BODY_SECONDS = 15.0  # a body that takes longer is refused, so that slow senders hold nothing
STATION_ID_MAX = 2**31 - 1  # station.id is a PostgreSQL integer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", bound=BaseModel)

# Text a person typed: trimmed, one line, nothing that a terminal, a log or PostgreSQL would trip over, and nothing
# that turns the direction of what stands around it (Unicode Standard Annex 9, explicit formatting characters).
PLAIN = r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
Line = Annotated[str, StringConstraints(strip_whitespace=True, pattern=f"^{PLAIN}+$")]


EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # of a time on the wire


def _sane(moment: datetime) -> datetime:
    if not EARLIEST <= moment < LATEST:
        raise ValueError("time out of bounds")
    return moment.astimezone(UTC)


# A moment with its offset from UTC, in a range that every database and page can show.
Moment = Annotated[AwareDatetime, AfterValidator(_sane)]


class Body(BaseModel):
    """What a request or an answer carries; a field that is not documented is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicyIncomplete(RuntimeError):
    """A route or socket message has no row in the policy table; the server does not start."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the HTTP face. ``errors`` are refusals beside those every route has."""

    method: str
    path: str
    action: str
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    response: type[BaseModel] | None = None
    status: int = 200
    errors: tuple[type[TelemedError], ...] = ()
    query: type[BaseModel] | None = None


@dataclass(slots=True)
class RouteTable:
    """Rows by aiohttp route, and the names of the socket messages."""

    rows: dict[web.AbstractRoute, Route] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def of(self, request: web.Request) -> Route | None:
        """The row of a matched request; None when no path or no method matched."""
        return self.rows.get(request.match_info.route)


def mount(
    app: web.Application, rows: Iterable[Route], messages: Iterable[str], policy: Mapping[str, object] = POLICY
) -> RouteTable:
    """Put the rows into the router. Raises ``PolicyIncomplete`` when the policy lacks one of their actions."""
    table = RouteTable(messages=tuple(messages))
    for row in rows:
        table.rows[app.router.add_route(row.method, row.path, row.handler)] = row
    actions = {row.action for row in table.rows.values()} | set(table.messages)
    missing = sorted(actions - policy.keys())
    unrowed = [str(route) for route in app.router.routes() if route not in table.rows]
    if missing or unrowed:
        raise PolicyIncomplete(f"no policy row for {missing}, no route row for {unrowed}")
    return table


async def raw_body(request: web.Request, content_type: str, most: int = BODY_BYTES) -> bytes:
    """The request's body, of this content type and at most ``most`` bytes, in ``BODY_SECONDS``."""
    if request.content_type != content_type:
        raise InvalidRequest(field="content-type")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await (request if most == BODY_BYTES else request.clone(client_max_size=most)).read()
    except TimeoutError as error:
        raise InvalidRequest(field="body") from error


async def body(request: web.Request, model: type[Model], most: int = BODY_BYTES) -> Model:
    """The JSON body as the model. Raises ``InvalidRequest`` naming the first wrong field, never its value."""
    data = await raw_body(request, "application/json", most)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise InvalidRequest(field=_first_field(error)) from None


def query(request: web.Request, model: type[Model]) -> Model:
    """The query string as the model, without a guest's ``as``. A repeated name is refused."""
    pairs = [(name, value) for name, value in request.query.items() if name != "as"]
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidRequest(field="query")
    try:
        return model.model_validate(dict(pairs))
    except ValidationError as error:
        raise InvalidRequest(field=_first_field(error)) from None


def uuid_of(request: web.Request, name: str = "id") -> UUID:
    """A UUID in the path; another text is ``NotFound``, as an unknown UUID is."""
    try:
        return UUID(request.match_info[name])
    except ValueError:
        raise NotFound() from None


def station_of(request: web.Request, name: str = "id") -> int:
    """A station's number in the path; what cannot be one is ``NotFound``."""
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= STATION_ID_MAX):
        raise NotFound()
    return int(text)


def answer(model: BaseModel, status: int = 200) -> web.Response:
    """The model as JSON."""
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type="application/json")


def _first_field(error: ValidationError) -> str:
    place = error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"]
    # A name that the client invented is not echoed: only identifiers, and short.
    parts = [str(part) for part in place if isinstance(part, int) or (part.isidentifier() and len(part) <= 40)]
    return ".".join(parts) or "body"
