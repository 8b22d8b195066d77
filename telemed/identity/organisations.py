"""Organisations: every owned row names one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from telemed.errors import NotFound
from telemed.store.database import Connection, load_sql

SQL = load_sql("identity")
LISTED = 500  # organisations in one answer


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation; ``zone`` is the IANA time zone its pages show."""

    id: UUID
    name: str
    zone: str


async def create(connection: Connection, name: str, zone: str = "Europe/Sofia") -> UUID:
    """Make an organisation; ``zone`` is the IANA time zone its pages show."""
    organisation_id = uuid4()
    await connection.execute(SQL["organisation_create"], organisation_id, name, zone)
    return organisation_id


async def listed(connection: Connection) -> list[Organisation]:
    """The organisations, the oldest first, at most ``LISTED``."""
    rows = await connection.fetch(SQL["organisation_list"], LISTED)
    return [Organisation(row["id"], row["name"], row["zone"]) for row in rows]


async def get(connection: Connection, organisation_id: UUID) -> Organisation:
    """The organisation. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["organisation_get"], organisation_id)
    if row is None:
        raise NotFound()
    return Organisation(row["id"], row["name"], row["zone"])
