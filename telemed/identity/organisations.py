"""Organisations: every owned row names one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from telemed.errors import NotFound
from telemed.identity.policy import Target
from telemed.store.database import Connection, load_sql

SQL = load_sql("identity")
LISTED = 500  # organisations in one answer


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation; ``zone`` is the IANA time zone its pages show, ``phone`` is called when the line drops."""

    id: UUID
    name: str
    zone: str
    phone: str

    @property
    def target(self) -> Target:
        """The organisation as the policy sees it."""
        return Target("organisation", str(self.id), self.id)


async def create(connection: Connection, name: str, zone: str = "Europe/Sofia") -> UUID:
    """Make an organisation; ``zone`` is the IANA time zone its pages show."""
    organisation_id = uuid4()
    await connection.execute(SQL["organisation_create"], organisation_id, name, zone)
    return organisation_id


async def listed(connection: Connection) -> list[Organisation]:
    """The organisations, the oldest first, at most ``LISTED``."""
    rows = await connection.fetch(SQL["organisation_list"], LISTED)
    return [_organisation_of(row) for row in rows]


async def get(connection: Connection, organisation_id: UUID) -> Organisation:
    """The organisation. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["organisation_get"], organisation_id)
    if row is None:
        raise NotFound()
    return _organisation_of(row)


async def set_phone(connection: Connection, organisation_id: UUID, phone: str) -> Organisation:
    """Note the number to call when a line drops; empty for none. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["organisation_phone"], organisation_id, phone)
    if row is None:
        raise NotFound()
    return _organisation_of(row)


def _organisation_of(row: Mapping[str, Any]) -> Organisation:
    return Organisation(row["id"], row["name"], row["zone"], row["phone"])
