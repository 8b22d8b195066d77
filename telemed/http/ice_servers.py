"""The TURN servers and a credential for them, to whoever may send or receive pictures; and to a call check.

A call check has no session. It gets a credential all the same: whoever is behind a closed network and tries the line
must not be told that no call is possible, when with a session it is. The credential is good for as long as the check
lasts, checks are few (``media.checks``), the TURN server's quota is by the address they come from, and it passes
nothing on but to our own relay.
"""

from __future__ import annotations

import time
from typing import Annotated

from aiohttp import web
from pydantic import Field

from telemed.consultation import consultations
from telemed.http import keys
from telemed.http.route import Body, Route, answer
from telemed.identity import policy
from telemed.media.checks import CHECK_SECONDS, CheckNotFound
from telemed.media.turn import CREDENTIAL_SECONDS, IceServers


class IceServer(Body):
    """An ``RTCIceServer`` of the W3C's WebRTC."""

    urls: list[str]
    username: str
    credential: str


class IceServersShown(Body):
    """``ice_servers`` is empty where there is no TURN server. The credential begins nothing after ``seconds``."""

    ice_servers: list[IceServer]
    seconds: Annotated[int, Field(gt=0)]


async def read(request: web.Request) -> web.Response:
    """GET /api/v1/ice-servers: for the actor."""
    actor = request[keys.ACTOR]
    if actor.kind == "guest" and actor.consultation_id is not None:
        async with request.app[keys.DATABASE].connection() as connection:
            consultation = await consultations.get(connection, request.app[keys.SEALER], actor.consultation_id)
            await policy.require(connection, actor, "ice_servers.read", consultation.target)
    return _shown(request, whose(request), CREDENTIAL_SECONDS)


async def of_check(request: web.Request) -> web.Response:
    """GET /api/v1/checks/{check}/ice-servers: for a call check that has begun."""
    address = request.app[keys.CHECKS].address_of(request.match_info["check"])
    return _shown(request, f"check:{address}", int(CHECK_SECONDS))


def whose(request: web.Request) -> str:
    """Whom the TURN server counts together: a sign-in, a seat, a station. Never shown (``IceServers.credential``)."""
    actor = request[keys.ACTOR]
    if actor.kind == "account":
        return f"account:{request[keys.SIGN_IN].hex()}"
    if actor.kind == "guest":
        return f"guest:{request[keys.SEAT].proof.hex()}"
    return f"{actor.kind}:{actor.id}"


def _shown(request: web.Request, who: str, seconds: int) -> web.Response:
    servers = request.app[keys.ICE_SERVERS]
    if not servers:
        return answer(IceServersShown(ice_servers=[], seconds=seconds))
    credential = servers.credential(time.time(), who, seconds)
    urls = [url.text for url in servers.urls]
    server = IceServer(urls=urls, username=credential.username, credential=credential.password)
    return answer(IceServersShown(ice_servers=[server], seconds=seconds))


def _prepare(app: web.Application) -> None:
    app[keys.ICE_SERVERS] = IceServers(app[keys.SETTINGS])


PREPARE = (_prepare,)

ROUTES = (
    Route("GET", "/api/v1/ice-servers", "ice_servers.read", read, "TURN servers and a credential for them",
          response=IceServersShown),
    Route("GET", "/api/v1/checks/{check}/ice-servers", "check.ice_servers", of_check,
          "TURN servers and a credential for a call check", response=IceServersShown, errors=(CheckNotFound,)),
)
