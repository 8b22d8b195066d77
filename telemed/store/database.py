"""One pool of connections to PostgreSQL, and the one place that turns its failures into our codes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import resources
from typing import Any

import asyncpg

from telemed.errors import DatabaseUnavailable, TelemedError

POOL_SIZE = 16  # requests and review of one server process; the writers of chunks have their own
CONNECT_SECONDS = 5.0  # longer than a restart of the embedded server (0.4 s measured) needs
COMMAND_SECONDS = 30.0  # bound of any one statement
CLOSE_SECONDS = 5.0  # what open statements get to end before their connections are cut

# What a vanished or restarting server says. A lost connection is told apart by ``statement_errors``.
UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is not (yet) the primary
    TimeoutError,
)
# What asyncpg says when it stumbles over a connection that is ending, and (the first two) over much else.
LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

Connection = Any  # asyncpg.Connection or its pool proxy: both have fetch, fetchrow, fetchval, execute


class DatabaseRefused(TelemedError):
    """The database refuses the login or the name in the address; ``sqlstate`` is its reason."""

    code = "database_refused"
    status = 500


class DatabaseFull(DatabaseUnavailable):
    """The database has no room: nothing was lost, and writing goes on when there is room again."""

    code = "database_full"
    status = 507


class Database:
    """Connections with a bound, opened on demand; a lost server is ``DatabaseUnavailable``, never a crash.

    When the server is back, the next call connects anew: nothing has to be opened again.
    """

    def __init__(self, url: str, size: int = POOL_SIZE) -> None:
        self._url = url
        self._size = size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Make the pool. Raises ``DatabaseUnavailable`` when the server cannot be reached, ``DatabaseRefused``."""
        with connect_errors():
            # No least size: the pool would log the failures of its own attempts while the server is away.
            pool = await asyncpg.create_pool(
                self._url, min_size=0, max_size=self._size, timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS,
                reset=_leave,
            )
        self._pool = pool
        try:
            async with self.connection():
                pass
        except TelemedError:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection within a bound; idempotent."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the body. Raises ``DatabaseUnavailable``, also when the body loses the server.

        Other errors of the body pass as they are.
        """
        pool = self._pool
        if pool is None:
            raise DatabaseUnavailable()
        with connect_errors():
            connection = await pool.acquire(timeout=CONNECT_SECONDS)
        try:
            with statement_errors(connection):
                yield connection
        finally:
            # What the body did is decided by now; a connection that cannot be reset is thrown away by the pool.
            with contextlib.suppress(*UNAVAILABLE, *LOST):
                await pool.release(connection, timeout=CONNECT_SECONDS)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction: committed when the body ends, rolled back when it raises.

        ``DatabaseUnavailable`` out of here leaves the outcome of the COMMIT unknown: repeat only what is
        idempotent.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection


async def _leave(connection: Connection) -> None:
    """A session keeps nothing of its user, so that giving it back costs no question to the server.

    asyncpg has rolled back what was open. No statement of ours sets a variable for the session, listens, or leaves a
    lock or a cursor behind in a connection of the pool.
    """


@contextmanager
def connect_errors() -> Iterator[None]:
    """Failures to get a connection in the body become ``DatabaseUnavailable`` or ``DatabaseRefused``."""
    try:
        yield
    except REFUSED as error:
        raise DatabaseRefused(sqlstate=str(error.sqlstate)) from error
    except (*UNAVAILABLE, *LOST) as error:
        raise DatabaseUnavailable() from error


@contextmanager
def statement_errors(connection: Connection) -> Iterator[None]:
    """A server lost in the body becomes ``DatabaseUnavailable``; a wrong statement stays what it is.

    asyncpg says ``InterfaceError`` both for a closed connection and for a wrong argument, and a lost socket is an
    ``OSError`` like any other: what tells them apart is whether the connection is gone, or its end came first.
    """
    try:
        yield
    except asyncpg.DiskFullError as error:
        raise DatabaseFull() from error
    except (*UNAVAILABLE, asyncpg.InternalClientError) as error:
        raise DatabaseUnavailable() from error
    except LOST as error:
        if _gone(connection) or isinstance(error.__context__, (*UNAVAILABLE, asyncpg.InternalClientError)):
            raise DatabaseUnavailable() from error
        raise


def _gone(connection: Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # it closed, and the pool has taken it back already
        return True


def load_sql(name: str) -> dict[str, str]:
    """Read ``store/<name>.sql`` as named statements: a line ``-- name: x`` opens the statement ``x``."""
    text = resources.files("telemed.store").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\s*$", text, flags=re.MULTILINE)
    return {key: body.strip() for key, body in zip(parts[1::2], parts[2::2], strict=True)}
