"""Brings a database's schema forward: numbered SQL files, each in one transaction, each exactly once.

``schema_migration`` holds what was applied with the SHA-256 of the file. A file that was altered afterwards, or a
database that a newer program has migrated, is refused. There is no way back: restore a backup.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import asyncpg

from telemed.errors import TelemedError
from telemed.store.database import CONNECT_SECONDS, UNAVAILABLE, connect_errors, statement_errors

LOCK_KEY = 0x54454C45_4D4544  # "TELEMED": the advisory lock that one migration at a time holds
LOCK_SECONDS = 60  # how long to wait for another process that migrates
FILE_SECONDS = 3600.0  # bound of one file; rewriting a large table takes minutes
FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
APP_ROLE = "telemed_app"  # made by the first file; carries the server's rights

MAKE_TABLE = """create table if not exists schema_migration (
  number integer primary key,
  name text not null,
  sha256 text not null,
  applied_at timestamptz not null default now()
)"""


class MigrationAltered(TelemedError):
    """A file that was already applied has other content now; ``name`` says which."""

    code = "migration_altered"
    status = 500


class DatabaseNewer(TelemedError):
    """A newer program has migrated this database: its file ``name`` is unknown here."""

    code = "database_newer"
    status = 500


class MigrationBusy(TelemedError):
    """Another process has been migrating this database for longer than the bound."""

    code = "migration_busy"
    status = 503


class MigrationFailed(TelemedError):
    """A file was refused by PostgreSQL and left nothing behind; ``name`` and ``sqlstate`` say which and why."""

    code = "migration_failed"
    status = 500


class ServerRoleMissing(TelemedError):
    """PostgreSQL knows no role of the name that the server's address has; ``role`` is that name."""

    code = "server_role_missing"
    status = 500


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What a database has of the files: names in order."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    altered: tuple[str, ...]
    newer: tuple[str, ...]  # applied, but unknown to this program

    @property
    def current(self) -> bool:
        """Whether nothing has to be done."""
        return not (self.pending or self.altered or self.newer)


def load_migrations(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """The files in order; the numbers run from 1 without a hole, else ``ValueError`` (a bug of the build)."""
    folder = folder or resources.files("telemed_migrations").joinpath("sql")
    found = []
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            match = FILE_NAME.fullmatch(file.name)
            if match is None:
                raise ValueError(f"{file.name} is not named NNNN_words.sql")
            found.append(Migration(int(match[1]), file.name, file.read_bytes().decode()))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3, … once each")
    return tuple(found)


async def check(url: str, migrations: Sequence[Migration] | None = None) -> SchemaState:
    """What is applied and what is pending. Changes nothing. Raises ``DatabaseUnavailable``."""
    async with _connection(url) as connection:
        return await _state(connection, load_migrations() if migrations is None else migrations)


async def migrate(
    owner_url: str, server_role: str | None, migrations: Sequence[Migration] | None = None
) -> tuple[str, ...]:
    """Apply what is pending and give ``server_role`` the server's rights; the names of what was applied now.

    Several processes may call it at once: one works, the others wait and find nothing to do. Killed at any
    moment it leaves a file applied whole or not at all. Raises :class:`MigrationAltered`,
    :class:`DatabaseNewer`, :class:`MigrationBusy`, :class:`MigrationFailed`, ``DatabaseUnavailable``.
    """
    known = load_migrations() if migrations is None else migrations
    async with _connection(owner_url) as connection:
        await _lock(connection)
        state = await _state(connection, known)
        if state.newer:
            raise DatabaseNewer(name=state.newer[0])
        if state.altered:
            raise MigrationAltered(name=state.altered[0])
        await connection.execute(MAKE_TABLE)
        for migration in known:
            if migration.name in state.pending:
                await _apply(connection, migration)
        await _grant(connection, server_role)
        return state.pending


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    with connect_errors():
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, command_timeout=FILE_SECONDS)
    try:
        with statement_errors(connection):
            yield connection
    finally:
        with contextlib.suppress(*UNAVAILABLE, OSError, asyncpg.InterfaceError):
            await connection.close(timeout=CONNECT_SECONDS)


async def _lock(connection: asyncpg.Connection) -> None:
    """Hold the lock until the connection ends, however it ends."""
    with contextlib.suppress(asyncpg.InvalidParameterValueError):  # not on every system
        # A killed migration lets go at once, not at the end of its statement.
        await connection.execute("set client_connection_check_interval = '1s'")
    try:
        await connection.execute(f"set lock_timeout = '{LOCK_SECONDS}s'")
        await connection.execute(f"select pg_advisory_lock({LOCK_KEY})")
    except asyncpg.LockNotAvailableError as error:
        raise MigrationBusy() from error


async def _state(connection: asyncpg.Connection, known: Sequence[Migration]) -> SchemaState:
    rows = []
    if await connection.fetchval("select to_regclass('schema_migration') is not null"):
        rows = await connection.fetch("select number, name, sha256 from schema_migration order by number")
    applied = {row["number"]: row["sha256"] for row in rows}
    numbers = {migration.number for migration in known}
    return SchemaState(
        applied=tuple(row["name"] for row in rows),
        pending=tuple(migration.name for migration in known if migration.number not in applied),
        altered=tuple(
            migration.name for migration in known if applied.get(migration.number, migration.sha256) != migration.sha256
        ),
        newer=tuple(row["name"] for row in rows if row["number"] not in numbers),
    )


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into schema_migration (number, name, sha256) values ($1, $2, $3)",
                migration.number, migration.name, migration.sha256,
            )  # fmt: skip
    except (*UNAVAILABLE, asyncpg.DiskFullError):
        raise
    except asyncpg.PostgresError as error:
        raise MigrationFailed(name=migration.name, sqlstate=str(error.sqlstate)) from error


async def _grant(connection: asyncpg.Connection, server_role: str | None) -> None:
    """Every time, so that a server role made later gets its rights by migrating once more."""
    if not await connection.fetchval("select exists (select from pg_roles where rolname = $1)", APP_ROLE):
        return
    await connection.execute(f"grant select on schema_migration to {APP_ROLE}")
    if server_role is None or server_role == await connection.fetchval("select current_user"):
        return
    if not await connection.fetchval("select exists (select from pg_roles where rolname = $1)", server_role):
        raise ServerRoleMissing(role=server_role)
    if not await connection.fetchval("select pg_has_role($1::name, $2::name, 'member')", server_role, APP_ROLE):
        quoted = await connection.fetchval("select quote_ident($1)", server_role)
        await connection.execute(f"grant {APP_ROLE} to {quoted}")
