"""How a database is: for the administrator who looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from telemed.store.backup import BackupNothing, open_connection
from telemed.store.database import load_sql

SQL = load_sql("backup")


@dataclass(frozen=True, slots=True)
class Behind:
    """Hot chunks that no segment holds yet, and of how many streams."""

    streams: int
    chunks: int


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What :func:`database_status` found. ``behind`` is None where the schema has no final storage yet."""

    version: str
    major: int
    size_bytes: int
    migrations: int
    partitions: Mapping[str, int]  # with the default one of each
    oldest_hour: str | None  # of hot partitions, as YYYYMMDD_HH24
    behind: Behind | None


async def database_status(owner_url: str) -> DatabaseStatus:
    """Look at the database of ``owner_url``. Raises ``BackupNothing`` without a schema, ``DatabaseUnavailable``."""
    async with open_connection(owner_url) as connection:
        if not await connection.fetchval(SQL["has_schema"]):
            raise BackupNothing(path="schema_migration")
        row = await connection.fetchrow(SQL["status"])
        behind = None
        if await connection.fetchval("select to_regclass('public.stream_mark') is not null"):
            behind = Behind(**await connection.fetchrow(SQL["behind"]))
        return DatabaseStatus(
            version=row["version"],
            major=connection.get_server_version().major,
            size_bytes=row["size_bytes"],
            migrations=len(await connection.fetch(SQL["applied"])),
            partitions={one["name"]: one["partitions"] for one in await connection.fetch(SQL["partitions"])},
            oldest_hour=None if row["oldest_hour"] is None else row["oldest_hour"].removeprefix("chunk_"),
            behind=behind,
        )
