"""The embedded PostgreSQL starts from whatever was left, refuses with one reason, and leaves nothing running."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from telemed.settings import Settings
from telemed.store import embedded, folders
from telemed.store.binaries import DatabaseNeedsUpgrade, find_programs
from telemed.store.embedded import (
    DATABASE_NAME,
    OWNER_ROLE,
    SERVER_ROLE,
    DatabaseNotStarted,
    DatabaseUrls,
    EmbeddedPostgres,
    database_urls,
    running_database,
)
from telemed.store.folders import (
    SOCKET_FILE,
    SOCKET_PATH_BYTES,
    DiskFull,
    HomeInUse,
    HomeLock,
    HomeUnwritable,
    living_in,
)
from telemed.store.initial import make_data

Start = Callable[..., Awaitable[EmbeddedPostgres]]


async def ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_it_makes_serves_stops_and_serves_the_same_rows_again(home: Path, start: Start) -> None:
    server = await start(home)
    await ask(server.urls.owner, "create table kept as select 7 as n")
    data = server.place.data
    assert server.pid in living_in(data)
    await server.stop()
    assert server.pid is None
    assert living_in(data) == []
    await server.stop()
    await server.start()
    assert await ask(server.urls.owner, "select n from kept") == 7


async def test_both_roles_connect_and_durability_is_on(postgres: EmbeddedPostgres) -> None:
    for url, role in ((postgres.urls.owner, OWNER_ROLE), (postgres.urls.server, SERVER_ROLE)):
        assert await ask(url, "select current_user || '@' || current_database()") == f"{role}@{DATABASE_NAME}"
    for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
        assert await ask(postgres.urls.owner, f"select current_setting('{name}')") == "on"
    assert await ask(postgres.urls.owner, "select lower('ЖАНА')") == "жана"
    assert await ask(postgres.urls.owner, "select current_setting('server_version_num')::int / 10000") == 18


async def test_it_listens_on_a_socket_alone_in_a_folder_closed_to_others(postgres: EmbeddedPostgres) -> None:
    assert await ask(postgres.urls.owner, "select current_setting('listen_addresses')") == ""
    socket = postgres.place.socket / SOCKET_FILE
    assert stat.S_ISSOCK(socket.stat().st_mode)
    for path in (socket.parent, socket):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert path.stat().st_uid == postgres.place.account.uid


async def test_another_role_or_account_is_not_let_in(postgres: EmbeddedPostgres) -> None:
    rule = "select string_agg(type || ' ' || auth_method, ',') from pg_hba_file_rules"
    assert await ask(postgres.urls.owner, rule) == "local peer"
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await ask(postgres.url("pg_monitor"), "select 1")


async def test_a_second_owner_is_told_who_the_first_is(made_home: Path, start: Start) -> None:
    first = await start(made_home)
    second = EmbeddedPostgres(made_home)
    with pytest.raises(HomeInUse) as refusal:
        await second.start()
    assert refusal.value.params == {"path": str(made_home), "process": str(os.getpid())}
    assert await ask(first.urls.owner, "select 1") == 1
    assert second.urls == first.urls  # a command beside the server finds it


@pytest.mark.parametrize("number", [os.getpid(), 2**22 + 1], ids=["a stranger", "nobody"])
async def test_a_stale_status_file_that_says_ready_deceives_nobody(made_home: Path, start: Start, number: int) -> None:
    """Its number is a stranger's by now, or nobody's."""
    server = await start(made_home)
    status = server.place.data / "postmaster.pid"
    stale = status.read_text().splitlines()
    await server.stop()
    status.write_text("\n".join([str(number), *stale[1:]]) + "\n")
    await server.start()
    assert int(status.read_text().splitlines()[0]) == server.pid
    assert await ask(server.urls.owner, "select 1") == 1


async def test_an_interrupted_first_start_is_made_good(home: Path, start: Start) -> None:
    folders.make_home(home)
    (home / "postgres.new" / "base").mkdir(parents=True)
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")
    server = await start(home)
    assert await ask(server.urls.owner, "select 1") == 1
    assert not (home / "postgres.new").exists()


async def test_a_home_that_is_a_file_or_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "home", Path("/proc/telemed")):
        with pytest.raises(HomeUnwritable) as refusal:
            await EmbeddedPostgres(home).start()
        assert str(home) in str(refusal.value.params["path"])


async def test_a_disk_without_room_is_refused_before_anything_is_made(home: Path) -> None:
    with pytest.raises(DiskFull):
        await EmbeddedPostgres(home, first_free_bytes=2**62).start()
    assert not (home / "postgres").exists()
    lock = HomeLock(home)
    lock.take()
    lock.leave()


async def test_data_of_a_version_that_is_not_here_is_refused(made_home: Path, start: Start) -> None:
    server = await start(made_home)
    await server.stop()
    version = server.place.data / "PG_VERSION"
    version.write_text("99\n")
    with pytest.raises(DatabaseNeedsUpgrade) as refusal:
        await server.start()
    version.write_text("18\n")
    assert refusal.value.params == {"found": "99", "newest": "18"}
    assert living_in(server.place.data) == []


async def test_older_data_gets_the_programs_that_made_it(home: Path, start: Start) -> None:
    folders.make_home(home)
    place = folders.find_place(home)
    with (home / "postgres.log").open("ab") as out:
        assert make_data(place, find_programs(16), OWNER_ROLE, out)
    server = await start(home)
    assert await ask(server.urls.owner, "select current_setting('server_version_num')::int / 10000") == 16


async def test_damaged_data_is_one_refusal_that_names_the_log(made_home: Path, start: Start) -> None:
    server = await start(made_home)
    await server.stop()
    control = server.place.data / "global" / "pg_control"
    whole = control.read_bytes()
    control.write_bytes(b"")
    with pytest.raises(DatabaseNotStarted) as refusal:
        await server.start()
    control.write_bytes(whole)
    assert refusal.value.params["log"] == str(server.log_file)
    assert b"pg_control" in server.log_file.read_bytes()
    assert living_in(server.place.data) == []


async def test_a_long_log_is_kept_once_and_begun_anew(made_home: Path, start: Start) -> None:
    (made_home / "postgres.log").write_bytes(b"x" * (embedded.LOG_BYTES + 1))
    server = await start(made_home)
    assert server.log_file.stat().st_size < embedded.LOG_BYTES
    assert (made_home / "postgres.log.1").stat().st_size > embedded.LOG_BYTES


@pytest.mark.parametrize("name", ["far" * 30, "Данни, с интервал"])
async def test_a_long_or_unusual_path_gets_a_short_plain_socket_folder(
    open_folder: Path, start: Start, name: str
) -> None:
    home = open_folder / name
    server = await start(home)
    socket = str(server.place.socket / SOCKET_FILE)
    assert str(open_folder) not in socket
    assert len(os.fsencode(socket)) <= SOCKET_PATH_BYTES
    assert await ask(server.urls.server, "select 1") == 1
    await server.stop()
    shutil.rmtree(server.place.shelter)
    shutil.rmtree(home)


async def test_a_short_socket_folder_that_is_a_link_is_refused(open_folder: Path, tmp_path: Path) -> None:
    home = open_folder / ("far" * 30)
    server = EmbeddedPostgres(home)
    folders.make_home(home)
    server.place.shelter.symlink_to(tmp_path)
    try:
        with pytest.raises(folders.HomeWrongOwner):
            await server.start()
        assert list(tmp_path.iterdir()) == []
    finally:
        server.place.shelter.unlink()
        shutil.rmtree(home)


async def test_the_operators_own_database_starts_nothing(home: Path) -> None:
    settings = Settings(home=home, database_url="postgresql://server@db/x", database_owner_url=None)
    assert database_urls(settings) == DatabaseUrls("postgresql://server@db/x", "postgresql://server@db/x")
    settings = settings.model_copy(update={"database_owner_url": "postgresql://owner@db/x"})
    async with running_database(settings) as urls:
        assert urls == DatabaseUrls("postgresql://server@db/x", "postgresql://owner@db/x")
    assert not home.exists()


async def test_without_one_the_embedded_database_runs_for_the_body(made_home: Path) -> None:
    settings = Settings(home=made_home, database_url=None, database_owner_url=None)
    assert database_urls(settings) is None
    async with running_database(settings) as urls:
        assert await ask(urls.server, "select 1") == 1
        place = folders.find_place(made_home)
    assert living_in(place.data) == []


def test_initdb_that_refuses_makes_nothing(home: Path) -> None:
    folders.make_home(home)
    place = folders.find_place(home)
    with (home / "postgres.log").open("ab") as out:
        assert not make_data(place, find_programs(None), "pg_reserved", out)
    assert b"pg_" in (home / "postgres.log").read_bytes()
    assert not place.data.exists()
