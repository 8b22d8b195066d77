"""A migration is applied whole or not at all, once, and never altered afterwards."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from telemed.errors import DatabaseUnavailable
from telemed.store.database import DatabaseRefused
from telemed.store.embedded import OWNER_ROLE, SERVER_ROLE, DatabaseUrls, EmbeddedPostgres
from telemed.store.migrate import (
    DatabaseNewer,
    Migration,
    MigrationAltered,
    MigrationFailed,
    ServerRoleMissing,
    check,
    load_migrations,
    migrate,
)

DEADLINE_SECONDS = 30.0
FIRST = Migration(1, "0001_first.sql", "create table first (n int); insert into first values (1);")
SECOND = Migration(2, "0002_second.sql", "create table second (n int); insert into first values (2);")
BROKEN = Migration(2, "0002_broken.sql", "create table second (n int); insert into first values (2); select 1/0;")


@pytest.fixture
def empty(postgres: EmbeddedPostgres, administer: Callable[[str], None]) -> Iterator[str]:
    """The owner's address of a database without any schema."""
    administer("create database telemed_empty")
    yield postgres.url(OWNER_ROLE, "telemed_empty")
    administer("drop database telemed_empty with (force)")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def tables(url: str) -> set[str]:
    async with connected(url) as connection:
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def test_files_are_applied_in_order_once(empty: str) -> None:
    assert (await check(empty, [FIRST, SECOND])).pending == (FIRST.name, SECOND.name)
    assert await tables(empty) == set()
    assert await migrate(empty, None, [FIRST]) == (FIRST.name,)
    assert await migrate(empty, None, [FIRST, SECOND]) == (SECOND.name,)
    assert await migrate(empty, None, [FIRST, SECOND]) == ()
    state = await check(empty, [FIRST, SECOND])
    assert (state.applied, state.current) == ((FIRST.name, SECOND.name), True)
    async with connected(empty) as connection:
        assert [row["n"] for row in await connection.fetch("select n from first order by n")] == [1, 2]


async def test_a_file_that_fails_in_the_middle_leaves_nothing_behind(empty: str) -> None:
    with pytest.raises(MigrationFailed) as refusal:
        await migrate(empty, None, [FIRST, BROKEN])
    assert refusal.value.params == {"name": BROKEN.name, "sqlstate": "22012"}
    assert await tables(empty) == {"schema_migration", "first"}
    assert (await check(empty, [FIRST, SECOND])).pending == (SECOND.name,)
    assert await migrate(empty, None, [FIRST, SECOND]) == (SECOND.name,)


async def test_an_altered_file_is_refused(empty: str) -> None:
    await migrate(empty, None, [FIRST])
    altered = Migration(1, FIRST.name, FIRST.sql + " ")
    assert (await check(empty, [altered])).altered == (FIRST.name,)
    with pytest.raises(MigrationAltered) as refusal:
        await migrate(empty, None, [altered, SECOND])
    assert refusal.value.params == {"name": FIRST.name}
    assert await tables(empty) == {"schema_migration", "first"}


async def test_a_database_of_a_newer_program_is_refused(empty: str) -> None:
    await migrate(empty, None, [FIRST, SECOND])
    assert (await check(empty, [FIRST])).newer == (SECOND.name,)
    with pytest.raises(DatabaseNewer) as refusal:
        await migrate(empty, None, [FIRST])
    assert refusal.value.params == {"name": SECOND.name}


async def test_two_at_once_apply_each_file_once(empty: str) -> None:
    applied = await asyncio.gather(*(migrate(empty, None, [FIRST, SECOND]) for _ in range(4)))
    assert sorted(applied, key=len) == [(), (), (), (FIRST.name, SECOND.name)]


async def test_killed_in_the_middle_of_a_file_the_old_schema_stands(empty: str, tmp_path: Path) -> None:
    slow = "create table second (n int); insert into first values (2); select pg_sleep(600);"
    program = tmp_path / "migrating.py"
    program.write_text(
        textwrap.dedent(f"""
            import asyncio, sys
            sys.path[:0] = {sys.path!r}
            from telemed.store.migrate import Migration, migrate
            first = Migration(1, {FIRST.name!r}, {FIRST.sql!r})
            asyncio.run(migrate({empty!r}, None, [first, Migration(2, {SECOND.name!r}, {slow!r})]))
        """)
    )
    migrating = subprocess.Popen([sys.executable, program], stderr=subprocess.PIPE)
    try:
        async with connected(empty) as connection, asyncio.timeout(DEADLINE_SECONDS):
            asleep = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')"
            while not await connection.fetchval(asleep):
                assert migrating.poll() is None, migrating.stderr
                await asyncio.sleep(0.02)
    finally:
        migrating.send_signal(signal.SIGKILL)
        migrating.communicate()
    assert await migrate(empty, None, [FIRST, SECOND]) == (SECOND.name,)  # the dead one's lock and work are gone
    async with connected(empty) as connection:
        assert [row["n"] for row in await connection.fetch("select n from first order by n")] == [1, 2]


async def test_the_servers_role_reads_what_was_applied(database_urls: DatabaseUrls) -> None:
    state = await check(database_urls.server)
    assert state.current
    assert state.applied == tuple(migration.name for migration in load_migrations())
    assert await migrate(database_urls.owner, SERVER_ROLE) == ()


async def test_a_server_role_that_does_not_exist_is_named(database_urls: DatabaseUrls) -> None:
    with pytest.raises(ServerRoleMissing) as refusal:
        await migrate(database_urls.owner, "nobody_knows")
    assert refusal.value.params == {"role": "nobody_knows"}


async def test_the_owner_may_be_the_servers_role(database_urls: DatabaseUrls) -> None:
    assert await migrate(database_urls.owner, OWNER_ROLE) == ()


async def test_a_database_that_is_not_there_is_named_as_such(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused) as refusal:
        await check(postgres.url(OWNER_ROLE, "no_such_database"))
    assert refusal.value.params == {"sqlstate": "3D000"}
    with pytest.raises(DatabaseUnavailable):
        await check(f"postgresql://x@/x?host={tmp_path}")


def test_the_shipped_files_leave_transactions_to_us() -> None:
    for migration in load_migrations():
        control = re.findall(r"^\s*(begin|commit|rollback|start transaction)\b.*;", migration.sql, re.I | re.M)
        assert not control, migration.name


@pytest.mark.parametrize("names", [["0001_a.sql", "0003_b.sql"], ["0001_a.sql", "0001_b.sql"], ["1_a.sql"]])
def test_files_with_a_hole_a_double_or_a_bad_name_are_a_bug(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1;")
    with pytest.raises(ValueError, match=r"named|numbered"):
        load_migrations(tmp_path)
