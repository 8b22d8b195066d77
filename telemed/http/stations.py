"""Stations, their keys and what happened at them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from aiohttp import web
from pydantic import Field, StringConstraints

from telemed.audit import trail
from telemed.errors import DatabaseUnavailable
from telemed.http import keys
from telemed.http.audit import events_of
from telemed.http.route import Body, Line, Route, answer, body, query, station_of, uuid_of
from telemed.http.shapes import AuditEvents
from telemed.identity import policy, stations


class StationShown(Body):
    """A station; ``status`` is what it said last while it is online."""

    id: int
    name: str
    place: str
    created_at: datetime
    online: bool
    seen_at: datetime | None
    status: dict[str, Any] | None


class Stations(Body):
    """The organisation's stations."""

    stations: list[StationShown]


class StationNew(Body):
    """A new station."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=200)]
    place: Annotated[Line, StringConstraints(max_length=200)] | None = None


class StationKeyShown(Body):
    """A key without its text."""

    id: UUID
    created_at: datetime
    revoked_at: datetime | None


class StationKeys(Body):
    """A station's keys, newest first."""

    keys: list[StationKeyShown]


class StationKeyNew(StationKeyShown):
    """A new key; ``key`` is shown this once."""

    key: str


class EventsPage(Body):
    """Which rows: before an id, so many."""

    before: Annotated[int, Field(ge=1, le=trail.LAST)] = trail.LAST
    limit: Annotated[int, Field(ge=1, le=trail.PAGE_MOST)] = trail.PAGE


def shown(app: web.Application, station: stations.Station) -> StationShown:
    """The station as JSON, with its presence."""
    presence = app[keys.STATIONS].of(station.id)
    return StationShown(
        id=station.id, name=station.name, place=station.place, created_at=station.created_at,
        online=presence is not None,
        seen_at=station.seen_at if presence is None else presence.heard_at,
        status=None if presence is None else presence.status,
    )


async def list_stations(request: web.Request) -> web.Response:
    """The organisation's stations and whether they are online."""
    actor = request[keys.ACTOR]
    async with request.app[keys.DATABASE].connection() as connection:
        await policy.require(connection, actor, "station.list")
        found = await stations.listed(connection, request[keys.ACCOUNT].organisation_id)
    return answer(Stations(stations=[shown(request.app, station) for station in found]))


async def create_station(request: web.Request) -> web.Response:
    """Make a station."""
    wanted, actor = await body(request, StationNew), request[keys.ACTOR]
    async with request.app[keys.DATABASE].transaction() as connection:
        station = await stations.create(
            connection, request.app[keys.SEALER], request[keys.ACCOUNT].organisation_id, wanted.name, wanted.place or ""
        )
        await policy.require(connection, actor, "station.create", station.target)
    return answer(shown(request.app, station), 201)


async def list_keys(request: web.Request) -> web.Response:
    """The station's keys, without their text."""
    async with request.app[keys.DATABASE].connection() as connection:
        station = await stations.get(connection, station_of(request))
        await policy.require(connection, request[keys.ACTOR], "station.keys", station.target)
        found = await stations.keys(connection, station.id)
    return answer(StationKeys(keys=[_key(key) for key in found]))


async def create_key(request: web.Request) -> web.Response:
    """Make a key and show it this once."""
    async with request.app[keys.DATABASE].transaction() as connection:
        station = await stations.get(connection, station_of(request))
        await policy.require(connection, request[keys.ACTOR], "station.key_create", station.target)
        key, text = await stations.add_key(connection, station.id)
    return answer(StationKeyNew(id=key.id, created_at=key.created_at, revoked_at=None, key=text), 201)


async def revoke_key(request: web.Request) -> web.Response:
    """Revoke a key; a socket opened with it is told and closed."""
    key_id = uuid_of(request, "key_id")
    async with request.app[keys.DATABASE].transaction() as connection:
        station = await stations.get(connection, station_of(request))
        await policy.require(
            connection, request[keys.ACTOR], "station.key_revoke", station.target, {"key": str(key_id)}
        )
        key = await stations.revoke_key(connection, station.id, key_id)
    request.app[keys.ROOMS].publish(f"station:{station.id}", {"type": "key_revoked", "key": str(key.id)})
    with suppress(DatabaseUnavailable):  # revoked all the same; the uplinks' own watch finds out
        await request.app[keys.INGEST].check_keys()
    return answer(_key(key))


async def list_events(request: web.Request) -> web.Response:
    """What happened at the station: refused chunks, keys used twice, keys revoked."""
    page, actor = query(request, EventsPage), request[keys.ACTOR]
    async with request.app[keys.DATABASE].connection() as connection:
        station = await stations.get(connection, station_of(request))
        await policy.require(connection, actor, "station.events", station.target)
        found = await trail.of_station(
            connection, request[keys.ACCOUNT].organisation_id, station.id, before=page.before, limit=page.limit
        )
    return answer(events_of(found, page.limit))


def _key(key: stations.StationKey) -> StationKeyShown:
    return StationKeyShown(id=key.id, created_at=key.created_at, revoked_at=key.revoked_at)


ROUTES = (
    Route("GET", "/api/v1/stations", "station.list", list_stations, "The organisation's stations", response=Stations),
    Route("POST", "/api/v1/stations", "station.create", create_station, "Make a station", StationNew, StationShown,
          201),
    Route("GET", "/api/v1/stations/{id}/keys", "station.keys", list_keys, "A station's keys", response=StationKeys),
    Route("POST", "/api/v1/stations/{id}/keys", "station.key_create", create_key, "Make a key, shown once",
          response=StationKeyNew, status=201),
    Route("DELETE", "/api/v1/stations/{id}/keys/{key_id}", "station.key_revoke", revoke_key, "Revoke a key",
          response=StationKeyShown),
    Route("GET", "/api/v1/stations/{id}/events", "station.events", list_events, "What happened at a station",
          response=AuditEvents, query=EventsPage),
)
