"""A lost server is ``DatabaseUnavailable``; the same object works again when the server is back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from telemed.errors import DatabaseUnavailable, NotFound
from telemed.store.database import Database, DatabaseRefused
from telemed.store.embedded import EmbeddedPostgres

Start = Callable[..., Awaitable[EmbeddedPostgres]]
DEADLINE_SECONDS = 60.0


async def answer(database: Database) -> object:
    async with database.connection() as connection:
        return await connection.fetchval("select 1")


async def until_it_answers(database: Database) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                assert await answer(database) == 1
                return
            except DatabaseUnavailable:
                await asyncio.sleep(0.02)


async def test_a_killed_server_is_unavailable_and_then_works_again(made_home: Path, start: Start) -> None:
    server = await start(made_home)
    watching = asyncio.create_task(server.watch())
    database = Database(server.urls.owner)
    await database.open()
    statement = asyncio.create_task(slow_statement(database))
    async with database.connection(), database.connection():
        pass  # these two die idle in the pool
    await until_asleep(database)
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with pytest.raises(DatabaseUnavailable):
        await statement
    await until_it_answers(database)
    assert server.pid not in (None, first)
    watching.cancel()
    await database.close()


async def slow_statement(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("select pg_sleep(600)")


async def until_asleep(database: Database) -> None:
    asleep = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')"
    async with asyncio.timeout(DEADLINE_SECONDS), database.connection() as connection:
        while not await connection.fetchval(asleep):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)


async def test_a_server_that_goes_away_for_a_while(made_home: Path, start: Start) -> None:
    server = await start(made_home)
    database = Database(server.urls.owner)
    await database.open()
    assert await answer(database) == 1
    await server.stop()
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            await answer(database)
    other = Database(server.urls.owner)
    with pytest.raises(DatabaseUnavailable):
        await other.open()
    with pytest.raises(DatabaseUnavailable):
        await answer(other)
    await server.start()
    assert await answer(database) == 1
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await answer(database)
    await database.close()


async def test_a_connection_ended_by_the_administrator_is_replaced(
    database: Database, administer: Callable[[str], None]
) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with database.connection() as connection:
            number = await connection.fetchval("select pg_backend_pid()")
            await asyncio.to_thread(administer, f"select pg_terminate_backend({number})")
            await connection.fetchval("select 1")
    assert await answer(database) == 1


@pytest.mark.parametrize("failure", [NotFound(), OSError("a file"), ValueError("ours"), asyncpg.InterfaceError("ours")])
async def test_errors_of_the_body_stay_what_they_are(database: Database, failure: Exception) -> None:
    with pytest.raises(type(failure)) as raised:
        async with database.connection():
            raise failure
    assert raised.value is failure


async def test_a_wrong_statement_is_a_bug_and_not_a_lost_server(database: Database) -> None:
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        async with database.connection() as connection:
            await connection.fetch("select $1::int")
    with pytest.raises(asyncpg.DataError):
        async with database.connection() as connection:
            await connection.fetch("select $1::int", "one")
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.connection() as connection:
            await connection.fetch("select * from nothing_of_ours")
    assert await answer(database) == 1


async def test_a_transaction_is_whole_or_nothing(database: Database) -> None:
    insert = "insert into audit_event (actor_kind, action, outcome) values ('system', $1, 'event')"
    with pytest.raises(NotFound):
        async with database.transaction() as connection:
            await connection.execute(insert, "lost")
            raise NotFound()
    async with database.transaction() as connection:
        await connection.execute(insert, "kept")
    async with database.connection() as connection:
        assert await connection.fetchval("select string_agg(action, ',') from audit_event") == "kept"


async def test_a_refused_name_is_not_a_lost_server(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(DatabaseRefused):
        await Database(postgres.url("telemed_owner", "no_such_database")).open()


async def test_closing_does_not_wait_for_a_held_connection(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemed.store.database.CLOSE_SECONDS", 0.05)
    held = asyncio.create_task(slow_statement(database))
    await until_asleep(database)
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await held
