"""The two WebSockets: a station's uplink and a consultation's page. Parse, ask the policy, hand over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from aiohttp import web

from telemed.audit import Actor
from telemed.consultation import consultations, door, seats
from telemed.consultation.attendance import Renew, RoomSurroundings
from telemed.consultation.pages import Pages
from telemed.errors import NotFound, NotSignedIn
from telemed.http import keys
from telemed.http.announce import consultation_json, load, tell_consultation
from telemed.http.congestion import prefer_bbr
from telemed.http.middleware import cookie_name
from telemed.http.route import Route, uuid_of
from telemed.http.visits import visit_json
from telemed.identity import policy, sign_ins, stations
from telemed.store.database import Connection
from telemed.vitals.around import Surroundings
from telemed.vitals.commit import Committer
from telemed.vitals.hub import Hub
from telemed.vitals.ingest import Ingest
from telemed.vitals.lanes import MESSAGE_BYTES
from telemed.vitals.standing import Standing
from telemed.vitals.uplink import Uplink
from telemed.vitals.watch import HEARTBEAT_SECONDS, ConsultationSocket, WatchSurroundings

UNSENT_BYTES: Final = 65_536  # written and not yet taken by the kernel; then the writer waits (aiohttp's is 256 KiB)
PAGE_BYTES: Final = 65_536  # of one message of a page; a page sends short JSON alone
ONE_PAGE: Final = web.AppKey("ONE_PAGE", Pages)
STANDING: Final = web.AppKey("STANDING", Standing)
PAGES: Final[web.AppKey[set[ConsultationSocket]]] = web.AppKey("CONSULTATION_SOCKETS", set)


async def station_socket(request: web.Request) -> web.StreamResponse:
    """A station's uplink."""
    app, actor = request.app, request[keys.ACTOR]
    key = request.headers.get("Authorization", "").partition(" ")[2].strip()
    async with app[keys.DATABASE].connection() as connection:
        station = await stations.find(connection, key)
        if station is None:
            raise NotSignedIn()
        await policy.require(connection, actor, "station_socket.open", station.target)
    # No heartbeat of aiohttp's: with the commit queue full the socket is not read, and pongs behind data
    # would count as lost. The uplink watches for silence itself.
    socket = web.WebSocketResponse(compress=False, max_msg_size=MESSAGE_BYTES, writer_limit=UNSENT_BYTES)
    await socket.prepare(request)
    prefer_bbr(request)
    ingest = app[keys.INGEST]
    await ingest.serve(Uplink(socket, request.transport, station, sign_ins.token_hash(key), ingest.around))
    return socket


async def consultation_socket(request: web.Request) -> web.StreamResponse:
    """A page's socket of one consultation."""
    app, actor = request.app, request[keys.ACTOR]
    consultation_id = uuid_of(request)
    async with app[keys.DATABASE].connection() as connection:
        room = await door.find(connection, consultation_id)
        await policy.require(connection, actor, "consultation_socket.open", room.target)
    socket = web.WebSocketResponse(
        compress=False, max_msg_size=PAGE_BYTES, heartbeat=HEARTBEAT_SECONDS, writer_limit=UNSENT_BYTES
    )
    await socket.prepare(request)
    prefer_bbr(request)

    guest = request.get(keys.SEAT)
    proof = request[keys.SIGN_IN] if guest is None else guest.proof
    page = ConsultationSocket(
        socket, request.transport, actor, proof, room, renewal(request), _watch_surroundings(app)
    )
    app[PAGES].add(page)
    try:
        await page.run()
    finally:
        app[PAGES].discard(page)
    return socket


def renewal(request: web.Request) -> Renew:
    """Asks who the request's person is now: an open page counts as use, so no sign-in idles out in a consultation."""
    guest = request.get(keys.SEAT)
    token = request.cookies.get(cookie_name(request), "")

    async def renew(connection: Connection) -> Actor:
        if guest is not None:
            return door.standing(await seats.by_proof(connection, guest.seat_id, guest.proof))
        found = await sign_ins.find(connection, token)
        if found is None:
            raise NotSignedIn()
        return found.account.actor

    return renew


def _publications(app: web.Application, consultation_id: UUID) -> list[dict[str, Any]]:
    media = app.get(keys.MEDIA)
    return [] if media is None else [one.as_json() for one in media.publications(str(consultation_id))]


async def _consultation_news(app: web.Application, consultation_id: UUID) -> None:
    async with app[keys.DATABASE].connection() as connection:
        consultation = await load(app, connection, consultation_id)
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)


def _watch_surroundings(app: web.Application) -> WatchSurroundings:
    async def snapshot(connection: Connection, consultation_id: UUID) -> dict[str, Any]:
        consultation = await load(app, connection, consultation_id)
        return consultation_json(app, consultation).model_dump(mode="json")

    async def visit(connection: Connection, seat_id: UUID) -> dict[str, Any]:
        return (await visit_json(app, connection, seat_id)).model_dump(mode="json")

    room = RoomSurroundings(
        app[keys.DATABASE], app[keys.SEALER], app[keys.ROOMS], app[keys.PEOPLE], app[ONE_PAGE], app[keys.STATIONS],
        lambda consultation_id: _publications(app, consultation_id), snapshot, visit,
    )
    return WatchSurroundings(room, app[keys.HUB], app[keys.BOOT_ID], app[STANDING])


async def vitals_context(app: web.Application) -> AsyncIterator[None]:
    """The hub, the commit writers and the uplinks, from start to stop."""
    app[keys.INGEST].start()
    asking = asyncio.create_task(app[STANDING].run(), name="standing")
    yield
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await app[keys.INGEST].stop()


def prepare(app: web.Application) -> None:
    """Put the objects of the vital-sign way into the application, and let its sockets go when it stops."""
    app[keys.HUB] = Hub(later=lambda work: asyncio.get_running_loop().call_soon(work))
    app[PAGES] = set()
    app[ONE_PAGE] = Pages()
    app[STANDING] = Standing(app[keys.DATABASE])
    app[keys.INGEST] = Ingest(Surroundings(
        app[keys.DATABASE], app[keys.SEALER], app[keys.ROOMS], app[keys.STATIONS], Committer(app[keys.COMMITS]),
        app[keys.HUB], app[keys.BOOT_ID], lambda consultation_id: _publications(app, consultation_id),
        lambda consultation_id: _consultation_news(app, consultation_id),
    ))
    app.on_shutdown.append(_close_sockets)


async def _close_sockets(app: web.Application) -> None:
    app[keys.INGEST].close_sockets()
    pages = app[PAGES]
    for page in tuple(pages):
        page.going_away()


CONTEXTS = (vitals_context,)
PREPARE = (prepare,)
MESSAGES = (
    "station_socket.hello", "station_socket.announce", "station_socket.frame", "station_socket.chunk",
    "station_socket.clock", "station_socket.status", "station_socket.provisional",
    "consultation_socket.hello", "consultation_socket.clock", "consultation_socket.watch",
    "consultation_socket.unwatch", "consultation_socket.state", "consultation_socket.say", "consultation_socket.mute",
)
ROUTES = (
    Route("GET", "/ws/station", "station_socket.open", station_socket, "A station's uplink (WebSocket)", status=101),
    Route("GET", "/ws/consultations/{id}", "consultation_socket.open", consultation_socket,
          "Events and live vital signs of a consultation (WebSocket)", status=101, errors=(NotFound,)),
)
