"""The composition root: settings become one application; nothing else builds the server's objects.

An area module ``telemed.http.<area>`` exports ``ROUTES`` and, when it needs them, ``MESSAGES`` (socket messages
as actions of the policy), ``PREPARE`` (functions that put the area's objects and signals into the application
while it is built) and ``CONTEXTS`` (aiohttp clean-up contexts that build and close the area's objects, entered
after the database and the sealer are there).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

from aiohttp import web

from telemed.consultation.people import People
from telemed.consultation.presence import StationPresence
from telemed.consultation.rooms import Rooms
from telemed.http import (
    accounts,
    attachments,
    audit,
    chat,
    checks,
    consultations,
    export,
    files,
    health,
    ice_servers,
    intervals,
    keys,
    media,
    middleware,
    notes,
    notices,
    organisations,
    pages,
    participants,
    patients,
    places,
    recordings,
    retention,
    review,
    seats,
    sockets,
    static,
    stations,
    tickets,
    visits,
)
from telemed.http.limits import Limits
from telemed.http.route import BODY_BYTES, mount
from telemed.identity.passwords import Passwords
from telemed.settings import Settings
from telemed.store.database import Database
from telemed.store.installation import check_key
from telemed.store.sealing import Sealer
from telemed.vitals.commit import WRITERS

# static comes last: its path matches what no other does.
AREAS = (
    accounts, organisations, stations, patients, retention, consultations, participants, notes, places, tickets, seats,
    visits, attachments, intervals, audit, sockets, chat, files, notices, review, export, media, recordings, checks,
    ice_servers, health, static,
)


def build_app(settings: Settings) -> web.Application:
    """The server's application, not yet started.

    Raises ``PolicyIncomplete`` when a route or socket message has no row in the policy table, and what
    ``Sealer.load`` raises; starting it raises ``DatabaseUnavailable``.
    """
    app = web.Application(middlewares=[middleware.errors, middleware.guard], client_max_size=BODY_BYTES)
    app[keys.SETTINGS] = settings
    app[keys.DATABASE] = Database(_database_url(settings))
    app[keys.COMMITS] = Database(_database_url(settings), WRITERS)
    app[keys.SEALER] = Sealer.load(settings.installation_key_file)
    rooms = app[keys.ROOMS] = Rooms()
    app[keys.STATIONS] = StationPresence()
    app[keys.PEOPLE] = People(lambda consultation: rooms.publish(f"consultation:{consultation}", {"type": "people"}))
    app[keys.BOOT_ID] = uuid4()
    app[keys.PASSWORDS] = Passwords()
    app[keys.LIMITS] = Limits()
    app[keys.PAGES] = pages.load()

    app[keys.ROUTES] = mount(
        app,
        [row for area in AREAS for row in area.ROUTES],
        [message for area in AREAS for message in getattr(area, "MESSAGES", ())],
    )
    app.on_response_prepare.append(middleware.browser_rules)
    app.cleanup_ctx.append(_database)
    for area in AREAS:
        for prepare in getattr(area, "PREPARE", ()):
            prepare(app)
        app.cleanup_ctx.extend(getattr(area, "CONTEXTS", ()))
    return app


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise ValueError("DATABASE_URL is not set; `telemed serve` starts the embedded PostgreSQL and sets it")
    return settings.database_url


async def _database(app: web.Application) -> AsyncIterator[None]:
    await app[keys.DATABASE].open()
    async with app[keys.DATABASE].transaction() as connection:
        await check_key(connection, app[keys.SEALER], str(app[keys.SETTINGS].installation_key_file))
    await app[keys.COMMITS].open()
    yield
    await app[keys.COMMITS].close()
    await app[keys.DATABASE].close()
