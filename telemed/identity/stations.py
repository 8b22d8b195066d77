"""Stations and their keys. A key is shown once; its SHA-256 is kept."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from telemed.audit import Actor
from telemed.errors import NotFound
from telemed.identity.policy import Target
from telemed.identity.sign_ins import TOKEN_BYTES, TOKEN_LENGTH, token_hash
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("identity")
LISTED = 500  # stations in one answer
KEYS_LISTED = 100


@dataclass(frozen=True, slots=True)
class Station:
    """A telemedicine station."""

    id: int
    organisation_id: UUID
    name: str
    place: str
    created_at: datetime
    seen_at: datetime | None

    @property
    def target(self) -> Target:
        """The station as the policy sees it."""
        return Target("station", str(self.id), self.organisation_id, station_id=self.id)

    @property
    def actor(self) -> Actor:
        """The station as the one who asks."""
        return Actor("station", str(self.id), self.organisation_id)


@dataclass(frozen=True, slots=True)
class StationKey:
    """A station's key without the key itself."""

    id: UUID
    station_id: int
    created_at: datetime
    revoked_at: datetime | None


async def create(connection: Connection, sealer: Sealer, organisation_id: UUID, name: str, place: str = "") -> Station:
    """Make a station with its own data key for streams that no attachment owns."""
    row = await connection.fetchrow(
        SQL["station_create"], organisation_id, name, place, sealer.wrap(sealer.new_key())
    )
    return _station_of(row)


async def listed(connection: Connection, organisation_id: UUID) -> list[Station]:
    """The organisation's stations by name, at most ``LISTED``."""
    return [_station_of(row) for row in await connection.fetch(SQL["station_list"], organisation_id, LISTED)]


async def get(connection: Connection, station_id: int) -> Station:
    """The station. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["station_get"], station_id)
    if row is None:
        raise NotFound()
    return _station_of(row)


async def lock(connection: Connection, station_id: int) -> None:
    """Hold the station until the transaction ends: attachments and admissions there happen one by one."""
    await connection.fetchrow(SQL["station_lock"], station_id)


async def seen(connection: Connection, station_id: int) -> None:
    """Note that the station was in contact now."""
    await connection.execute(SQL["station_seen"], station_id)


async def add_key(connection: Connection, station_id: int) -> tuple[StationKey, str]:
    """Make a key; the text is returned this once."""
    key = secrets.token_urlsafe(TOKEN_BYTES)
    row = await connection.fetchrow(SQL["station_key_create"], uuid4(), station_id, token_hash(key))
    return _key_of(row), key


async def keys(connection: Connection, station_id: int) -> list[StationKey]:
    """The station's keys, newest first, revoked ones included."""
    return [_key_of(row) for row in await connection.fetch(SQL["station_key_list"], station_id, KEYS_LISTED)]


async def revoke_key(connection: Connection, station_id: int, key_id: UUID) -> StationKey:
    """Revoke a key of this station; revoking again keeps the first time. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["station_key_revoke"], key_id, station_id)
    if row is None:
        raise NotFound()
    return _key_of(row)


async def find(connection: Connection, key: str) -> Station | None:
    """The station whose unrevoked key this is."""
    if len(key) != TOKEN_LENGTH or not key.isascii():
        return None
    row = await connection.fetchrow(SQL["station_by_key"], token_hash(key))
    return None if row is None else _station_of(row)


def _station_of(row: Mapping[str, Any]) -> Station:
    return Station(
        row["id"], row["organisation_id"], row["name"], row["place"], row["created_at"], row["seen_at"]
    )


def _key_of(row: Mapping[str, Any]) -> StationKey:
    return StationKey(row["id"], row["station_id"], row["created_at"], row["revoked_at"])
