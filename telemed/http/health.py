"""Is the server well, what did it count, and what does it speak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal
from uuid import UUID

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from telemed.errors import DatabaseUnavailable
from telemed.http import keys, openapi
from telemed.http.route import Body, Route, answer
from telemed.media.client import RelayState
from telemed.media.turn_probe import TurnProbe, TurnState
from telemed.metrics import REGISTRY

DATABASE_SECONDS = 3.0  # how long health waits for the database


class Health(Body):
    """``server`` is new with every start of the process.

    ``turn`` is the worst of the TURN servers' states, at most ``turn_probe.PERIOD_SECONDS`` old. It leaves ``status``
    alone: without TURN everybody whose network lets UDP through is served as before, and a supervisor that restarted
    this server for it would end their calls and mend nothing. ``media`` is the relay's; it is started again by itself.
    """

    status: Literal["ok", "database_unavailable"]
    server: UUID
    turn: TurnState
    media: RelayState


async def health(request: web.Request) -> web.Response:
    """200 while the database answers, else 503 with the same shape."""
    boot_id = request.app[keys.BOOT_ID]
    turn, media = await request.app[keys.TURN].state(), request.app[keys.RELAY].state
    try:
        async with asyncio.timeout(DATABASE_SECONDS), request.app[keys.DATABASE].connection() as connection:
            await connection.fetchval("select 1")
    except (DatabaseUnavailable, TimeoutError):
        return answer(Health(status="database_unavailable", server=boot_id, turn=turn, media=media), 503)
    return answer(Health(status="ok", server=boot_id, turn=turn, media=media))


async def metrics(request: web.Request) -> web.Response:
    """Counters in Prometheus' text format."""
    return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def document(request: web.Request) -> web.Response:
    """The OpenAPI document of exactly the routes that this server has."""
    return web.json_response(openapi.document(request.app[keys.ROUTES].rows.values()))


async def _turn(app: web.Application) -> AsyncIterator[None]:
    probe = app[keys.TURN] = TurnProbe(app[keys.ICE_SERVERS])
    looking = asyncio.create_task(probe.run(), name="turn-probe")
    yield
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


CONTEXTS = (_turn,)

ROUTES = (
    Route("GET", "/healthz", "health.read", health, "Whether the server, its database and its TURN server are well",
          response=Health),
    Route("GET", "/metrics", "metrics.read", metrics, "Counters in Prometheus' text format"),
    Route("GET", "/openapi.json", "openapi.read", document, "This document"),
)
