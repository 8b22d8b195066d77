"""From one PostgreSQL to the next: every row and every byte, and the old data kept; or nothing has changed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from telemed.settings import Settings
from telemed.store import folders
from telemed.store.binaries import find_programs
from telemed.store.embedded import OWNER_ROLE, SERVER_ROLE, EmbeddedPostgres
from telemed.store.folders import DiskFull, HomeInUse, living_in
from telemed.store.initial import make_data
from telemed.store.migrate import check, migrate
from telemed.store.sealing import Sealer
from telemed.store.upgrade import (
    DRAFT_NAME,
    UpgradeElsewhere,
    UpgradeFailed,
    UpgradeOldKept,
    exchange,
    kept_name,
    upgrade_home,
)

OLD, NEW = 16, 18
Start = Callable[..., Awaitable[EmbeddedPostgres]]


def unseen(step: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def settings(home: Path) -> Settings:
    return Settings(home=home, database_url=None)


@pytest.fixture
async def old_home(home: Path, tmp_path: Path, content: Any) -> Path:
    """A home that the older PostgreSQL made, migrated and filled."""
    folders.make_home(home)
    with (home / "postgres.log").open("ab") as out:
        assert make_data(folders.find_place(home), find_programs(OLD), OWNER_ROLE, out)
    server = EmbeddedPostgres(home)
    await server.start()
    try:
        await migrate(server.urls.owner, SERVER_ROLE)
        await content.fill(server.urls, Sealer.load(tmp_path / "key"), "key")
    finally:
        await server.stop()
    return home


async def seen(home: Path, start: Start, content: Any) -> tuple[int, Any, Any]:
    """Version, rows and rights."""
    server = await start(home)
    connection = await asyncpg.connect(server.urls.owner)
    try:
        major = connection.get_server_version().major
    finally:
        await connection.close()
    found = (major, await content.rows(server.urls), await content.rights(server.urls))
    await server.stop()
    return found


async def test_every_row_and_right_is_there_afterwards(old_home: Path, start: Start, content: Any) -> None:
    """Also those that were not yet in their files when the old server was killed."""
    server = await start(old_home)
    connection = await asyncpg.connect(server.urls.owner)
    await connection.execute("create table late as select generate_series(1, 1000) as n")
    before = await content.rows(server.urls), await content.rights(server.urls)
    assert server.pid is not None
    os.kill(server.pid, 9)
    connection.terminate()
    await server.stop()
    done = await upgrade_home(settings(old_home), unseen)
    assert done is not None and (done.before, done.after) == (OLD, NEW)
    assert done.kept == old_home / f"postgres.old-{OLD}"
    version, rows, rights = await seen(old_home, start, content)
    assert version == NEW and rows == before[0] and rows["late"][0] == 1000
    # The newer PostgreSQL names one right more of an owner's; nobody else's have changed.
    new_right = f"{OWNER_ROLE}', 'MAINTAIN"
    tables = [[one for one in found["tables"] if new_right not in one] for found in (before[1], rights)]
    assert tables[0] == tables[1] and rights["functions"] == before[1]["functions"]
    assert stat.S_IMODE((old_home / "postgres").stat().st_mode) == 0o700
    done.kept.rename(old_home / DRAFT_NAME)  # as a kill between the last two steps leaves it
    assert await upgrade_home(settings(old_home), unseen) is None
    assert sorted(path.name for path in old_home.iterdir() if path.is_dir()) == [
        "postgres", f"postgres.old-{OLD}", "postgres.run"]  # fmt: skip


async def test_the_upgraded_database_goes_on_and_the_old_one_can_be_put_back(
    old_home: Path, start: Start, content: Any
) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "DATABASE_"))}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "telemed", "db", *arguments, "--home", str(old_home)], env=plain, text=True,
            capture_output=True, check=True, timeout=120,
        ).stdout  # fmt: skip

    kept = kept_name(old_home / "postgres", OLD)
    assert f"({NEW} is here: telemed db upgrade)" in run("status")
    said = run("upgrade")
    assert f"from PostgreSQL {OLD} to {NEW}" in said and str(kept) in said
    assert "Nothing to do" in run("upgrade")
    status = run("status")
    assert f"PostgreSQL     {NEW}" in status and "is here" not in status and "chunk" in status
    server = await start(old_home)
    assert (await check(server.urls.server)).current
    connection = await asyncpg.connect(server.urls.server)
    try:
        assert await connection.fetchval("select storage_make(now() + interval '1 day', now() + interval '25 hours')")
        assert await connection.fetchval(
            "insert into audit_event (actor_kind, action, outcome) values ('system', 'x', 'event') returning id") == 501
        assert await connection.fetchval("select count(*) from pg_stats where tablename = 'audit_event'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("delete from audit_event")
    finally:
        await connection.close()
        await server.stop()
    (old_home / "postgres").rename(old_home / "put-away")
    kept.rename(old_home / "postgres")
    assert (await seen(old_home, start, content))[0] == OLD


async def test_it_waits_for_nobody(old_home: Path, start: Start) -> None:
    server = await start(old_home)
    with pytest.raises(HomeInUse):
        await upgrade_home(settings(old_home), unseen)
    assert server.pid is not None
    with pytest.raises(UpgradeElsewhere):
        await upgrade_home(Settings(home=old_home, database_url="postgresql:///x"), unseen)


async def test_a_failure_leaves_the_old_data_in_its_place(old_home: Path, start: Start, content: Any) -> None:
    """A type that PostgreSQL will not carry over, as its manual says (pg_upgrade, Notes)."""
    server = await start(old_home)
    connection = await asyncpg.connect(server.urls.owner)
    await connection.execute("create table stuck (kind regproc)")
    await connection.close()
    await server.stop()
    before = await seen(old_home, start, content)
    with pytest.raises(UpgradeFailed) as refusal:
        await upgrade_home(settings(old_home), unseen)
    log = Path(str(refusal.value.params["log"]))
    assert b"stuck" in log.read_bytes() and stat.S_IMODE(log.stat().st_mode) == 0o600
    assert await seen(old_home, start, content) == before
    assert [path.name for path in old_home.glob("postgres*") if path.is_dir()].count(DRAFT_NAME) == 0
    assert not kept_name(old_home / "postgres", OLD).exists()
    assert living_in(old_home / "postgres") == []


async def test_old_data_of_an_earlier_upgrade_is_never_written_over(old_home: Path) -> None:
    kept_name(old_home / "postgres", OLD).mkdir()
    with pytest.raises(UpgradeOldKept):
        await upgrade_home(settings(old_home), unseen)


async def test_a_disk_without_room_is_refused_first(old_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from telemed.store import upgrade

    monkeypatch.setattr(upgrade, "FREE_BYTES_FIRST", 2**62)
    with pytest.raises(DiskFull):
        await upgrade_home(settings(old_home), unseen)


def test_two_folders_change_places(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    exchange(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one" / "two").exists() and (tmp_path / "two" / "one").exists()
    shutil.rmtree(tmp_path / "two")
    with pytest.raises(OSError, match="No such file"):
        exchange(tmp_path / "one", tmp_path / "two")
