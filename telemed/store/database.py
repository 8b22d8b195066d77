"""One pool of connections to PostgreSQL, and the one place that turns its failures into our codes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import asyncpg

from telemed.errors import DatabaseUnavailable

POOL_SIZE = 16  # requests, review and ingest writers of one server process
CONNECT_SECONDS = 5.0  # longer than a restart of the embedded server (0.4 s measured) needs
COMMAND_SECONDS = 30.0  # bound of any one statement

# What a vanished or restarting server looks like through asyncpg.
UNAVAILABLE = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)

Connection = Any  # asyncpg.Connection or its pool proxy: both have fetch, fetchrow, fetchval, execute


class Database:
    """Connections with a bound, opened on demand; a lost server is ``DatabaseUnavailable``, never a crash."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Make the pool. Raises ``DatabaseUnavailable`` when the server cannot be reached."""
        try:
            self._pool = await asyncpg.create_pool(
                self._url, min_size=1, max_size=POOL_SIZE, timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS
            )
        except UNAVAILABLE as error:
            raise DatabaseUnavailable() from error

    async def close(self) -> None:
        """Close every connection; idempotent."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the body. Raises ``DatabaseUnavailable``."""
        if self._pool is None:
            raise DatabaseUnavailable()
        try:
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection:
                yield connection
        except UNAVAILABLE as error:
            raise DatabaseUnavailable() from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction: committed when the body ends, rolled back when it raises.

        ``DatabaseUnavailable`` out of here leaves the outcome of the COMMIT unknown: repeat only what is
        idempotent.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection


def load_sql(name: str) -> dict[str, str]:
    """Read ``store/<name>.sql`` as named statements: a line ``-- name: x`` opens the statement ``x``."""
    text = resources.files("telemed.store").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\s*$", text, flags=re.MULTILINE)
    return {key: body.strip() for key, body in zip(parts[1::2], parts[2::2], strict=True)}
