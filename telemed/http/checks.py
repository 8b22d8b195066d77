"""The call check before a visit: anybody may publish to himself through our own relay, bounded, for some seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from aiohttp import web
from pydantic import Field

from telemed.http import keys
from telemed.http.limits import TooManyAttempts
from telemed.http.middleware import address_of
from telemed.http.route import Body, Route, answer
from telemed.http.whip import SDP, answered, refused, sdp
from telemed.media.backend import (
    MediaError,
    MediaTypeUnsupported,
    PublicationNotFound,
    PublicationNotReady,
    Resource,
    SdpInvalid,
    SdpUnsupported,
    TooManySessions,
)
from telemed.media.checks import CHECK_SECONDS, CheckNotFound, Checks, ChecksFull

CHECKS_PER_ADDRESS = 20  # checks a minute from one address: a hospital's patients behind one router


class CheckShown(Body):
    """A check that has begun: its id, and after how many seconds it ends by itself."""

    check: Annotated[str, Field(max_length=64)]
    seconds: float


async def begin(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/checks: begin a check."""
    request.app[keys.LIMITS].count("check", address_of(request), CHECKS_PER_ADDRESS)
    try:
        name = request.app[keys.CHECKS].begin(address_of(request))
    except MediaError as error:
        return refused(error)
    return answer(CheckShown(check=name, seconds=CHECK_SECONDS), status=201)


async def publish(request: web.Request) -> web.StreamResponse:
    """POST /whip/checks/{check}: publish to oneself."""
    offer = await sdp(request, SDP)
    try:
        made = await request.app[keys.CHECKS].publish(request.match_info["check"], offer)
    except MediaError as error:
        return refused(error)
    return _created(request, made)


async def play(request: web.Request) -> web.StreamResponse:
    """POST /whep/checks/{check}: play what one publishes."""
    offer = await sdp(request, SDP)
    try:
        made = await request.app[keys.CHECKS].play(request.match_info["check"], offer)
    except MediaError as error:
        return refused(error)
    return _created(request, made)


async def end(request: web.Request) -> web.StreamResponse:
    """DELETE /api/v1/checks/{check}: end the check and its media."""
    await request.app[keys.CHECKS].end(request.match_info["check"])
    return web.Response(status=204)


def _created(request: web.Request, made: Resource) -> web.Response:
    return answered(made, f"/api/v1/checks/{request.match_info['check']}", {})


async def _checks(app: web.Application) -> AsyncIterator[None]:
    app[keys.CHECKS] = Checks(app[keys.MEDIA], app[keys.ROOMS])
    yield
    await app[keys.CHECKS].close()


CONTEXTS = (_checks,)

_OFFER = (MediaTypeUnsupported, SdpInvalid, SdpUnsupported, TooManySessions, CheckNotFound)

ROUTES = (
    Route("POST", "/api/v1/checks", "check.create", begin, "Begin a call check",
          response=CheckShown, status=201, errors=(ChecksFull, TooManyAttempts)),
    Route("DELETE", "/api/v1/checks/{check}", "check.end", end, "End a call check",
          status=204, errors=(CheckNotFound,)),
    Route("POST", "/whip/checks/{check}", "check.publish", publish, "Publish pictures and sound to oneself",
          status=201, errors=_OFFER),
    Route("POST", "/whep/checks/{check}", "check.play", play, "Play what one publishes to oneself",
          status=201, errors=(*_OFFER, PublicationNotFound, PublicationNotReady)),
)
