"""Homes for embedded databases; what only root can try is collected only as root."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from telemed.store.embedded import OWNER_ROLE, SERVER_ROLE, DatabaseUrls, EmbeddedPostgres
from telemed.store.installation import check_key
from telemed.store.sealing import Sealer

collect_ignore = [] if os.geteuid() == 0 else ["test_embedded_as_root.py"]

Started = Callable[..., Awaitable[EmbeddedPostgres]]
_numbers = count(1)


@pytest.fixture
def home(open_folder: Path) -> Iterator[Path]:
    """A place for a home that an unprivileged account can reach; not made yet."""
    path = open_folder / "home"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def made_home(open_folder: Path) -> Iterator[Path]:
    """A home whose database was made and stopped; every test leaves it able to start."""
    path = open_folder / "made"

    async def once() -> None:
        server = EmbeddedPostgres(path)
        await server.start()
        await server.stop()

    with ThreadPoolExecutor(1) as thread:  # away from whatever loop runs here
        thread.submit(asyncio.run, once()).result()
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def start() -> AsyncIterator[Started]:
    """Starts an embedded PostgreSQL and stops it after the test."""
    async with AsyncExitStack() as stack:

        async def started(home: Path, **options: object) -> EmbeddedPostgres:
            server = EmbeddedPostgres(home, **options)  # type: ignore[arg-type]
            stack.push_async_callback(server.stop)
            await server.start()
            return server

        yield started


SEEN = {
    "columns": """select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attstorage::text, a.attnotnull
                    from pg_attribute a join pg_class c on c.oid = a.attrelid
                   where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped""",
    "partitions": """select c.relname, i.inhparent::regclass::text, pg_get_expr(c.relpartbound, c.oid)
                       from pg_inherits i join pg_class c on c.oid = i.inhrelid""",
    "indexes": "select indexdef from pg_indexes where schemaname = 'public'",
    "constraints": """select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint
                       where connamespace = 'public'::regnamespace""",
    "functions": "select pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace",
    "counters": "select sequencename, last_value from pg_sequences where schemaname = 'public'",
}
RIGHTS = {
    "tables": """select relname, relowner::regrole::text, (x).grantee::regrole::text, (x).privilege_type
                   from (select relname, relowner, aclexplode(relacl) as x from pg_class
                          where relnamespace = 'public'::regnamespace) t""",
    "functions": """select proname, prosecdef, proowner::regrole::text, (x).grantee::regrole::text, (x).privilege_type
                      from (select proname, prosecdef, proowner, aclexplode(proacl) as x from pg_proc
                             where pronamespace = 'public'::regnamespace) t""",
    "schema": """select (x).grantee::regrole::text, (x).privilege_type
                   from (select aclexplode(nspacl) as x from pg_namespace where nspname = 'public') t""",
}


DIGEST = """select count(*), encode(sha256(convert_to(coalesce(string_agg(t::text, chr(10) order by t::text), ''),
                                                     'utf8')), 'hex') from "{}" t"""


class Content:
    """What a database holds, to be compared with another's."""

    @staticmethod
    async def fill(urls: DatabaseUrls, sealer: Sealer, key_file: str) -> None:
        """Something in every kind of table: referred to, counted, partitioned by name and by default, large."""
        connection = await asyncpg.connect(urls.owner)
        try:
            await connection.execute(FILL, timeout=60)
            await check_key(connection, sealer, key_file)
        finally:
            await connection.close()

    @staticmethod
    async def rows(urls: DatabaseUrls) -> dict[str, Any]:
        """How many rows each table has, and the SHA-256 of all of them in order."""
        connection = await asyncpg.connect(urls.owner)
        try:
            names = await connection.fetch(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')")
            return {
                row["relname"]: tuple(await connection.fetchrow(DIGEST.format(row["relname"]))) for row in names
            }
        finally:
            await connection.close()

    @staticmethod
    async def shape(urls: DatabaseUrls, statements: dict[str, str] = SEEN) -> dict[str, list[str]]:
        """Columns, partitions, indexes, constraints, functions and counters."""
        connection = await asyncpg.connect(urls.owner)
        try:
            return {
                name: sorted(str(tuple(row)) for row in await connection.fetch(statement))
                for name, statement in statements.items()
            }
        finally:
            await connection.close()

    @classmethod
    async def rights(cls, urls: DatabaseUrls) -> dict[str, list[str]]:
        """Who owns what, and who may do what."""
        return await cls.shape(urls, RIGHTS)


FILL = """
insert into organisation (id, name) values ('00000000-0000-0000-0000-000000000001', 'Болница');
insert into account (id, organisation_id, login, name, password_hash, roles)
values ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'Лекар', 'Лекар', 'x',
        '{clinician}');
insert into station (organisation_id, name, key_wrapped)
values ('00000000-0000-0000-0000-000000000001', 'Station', '\\x00ff');
insert into patient (id, organisation_id, sealed, key_wrapped)
values ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000001', '\\x01', '\\x02');
insert into attachment (id, organisation_id, station_id, patient_id, opened_at)
select '00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000001', id,
       '00000000-0000-0000-0000-000000000003', now() from station;
insert into consent_event (organisation_id, patient_id, purpose, given, version, language, given_by)
values ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000003', 'care', true, '1', 'bg',
        'patient');
insert into audit_event (actor_kind, action, outcome, detail)
select 'system', 'one', 'event', jsonb_build_object('n', n) from generate_series(1, 500) n;
select storage_make(date_trunc('hour', now()), date_trunc('hour', now()) + interval '2 hours');
insert into stream (organisation_id, station_id, number, epoch, device, kind, format, origin, source, channels,
                    attachment_id, born, started_us, key_wrapped)
select '00000000-0000-0000-0000-000000000001', station.id, n, gen_random_uuid(), 'd', 'ecg', 'native', 'measured',
       gen_random_uuid(), '[]', '00000000-0000-0000-0000-000000000004',
       date_trunc('hour', now()) - n * interval '1 hour', 0, '\\x03' from station, generate_series(0, 1) n;
insert into chunk (stream_id, born, seq, t0_us, nonce, sealed)
select stream.id, born, seq, seq, sha256(seq::text::bytea),
       decode((select string_agg(md5(seq::text || ':' || k), '') from generate_series(1, 300) k), 'hex')
  from stream, generate_series(0, 199) seq;
insert into frame (stream_id, born, seq, t0_us, decoder, nonce, sealed)
select stream_id, born, seq, t0_us, 'd 1', nonce, sealed from chunk where seq < 20;
"""


@pytest.fixture
def empty(postgres: EmbeddedPostgres, administer: Callable[[str], None]) -> Iterator[DatabaseUrls]:
    """An empty database."""
    name = f"telemed_empty_{next(_numbers)}"
    administer(f"create database {name}")
    yield DatabaseUrls(server=postgres.url(SERVER_ROLE, name), owner=postgres.url(OWNER_ROLE, name))
    administer(f"drop database {name} with (force)")


@pytest.fixture
def content() -> type[Content]:
    """What a database holds, to be compared."""
    return Content
