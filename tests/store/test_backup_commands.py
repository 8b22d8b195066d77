"""``telemed backup`` and ``telemed restore`` as an operator knows them, with and without a database of one's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from telemed.store.embedded import SERVER_ROLE, DatabaseUrls, EmbeddedPostgres
from telemed.store.folders import living_in
from telemed.store.migrate import migrate
from telemed.store.sealing import Sealer

PATIENCE_SECONDS = 60.0  # a deadline, never an expectation


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.002)
    return value


def environment(**more: str) -> dict[str, str]:
    plain = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("LC_", "LANG", "DATABASE_", "TELEMED_"))
    }  # fmt: skip
    return {**plain, **more}


def start(*arguments: object, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "telemed", *map(str, arguments)], env=environment(**more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(*arguments: object, **more: str) -> tuple[int, str, str]:
    process = start(*arguments, **more)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def refused(code: str, *arguments: object, **more: str) -> None:
    status, _, err = run(*arguments, **more)
    assert status == 1 and err.endswith(f"[{code}]\n") and err.count("\n") == 1, err


@pytest.fixture
async def filled(home: Path, content: Any) -> Path:
    """A stopped home with something in it."""
    server = EmbeddedPostgres(home)
    await server.start()
    try:
        await migrate(server.urls.owner, SERVER_ROLE)
        key_file = home / "installation.key"
        await content.fill(server.urls, Sealer.load(key_file), str(key_file))
    finally:
        await server.stop()
    return home


@pytest.fixture
def other(open_folder: Path) -> Path:
    """A data folder that is not there yet."""
    return open_folder / "home" / "other"  # gone with the home


async def rows(home: Path, content: Any) -> Any:
    server = EmbeddedPostgres(home)
    await server.start()
    try:
        return await content.rows(server.urls)
    finally:
        await server.stop()


async def test_a_backup_and_its_key_make_a_home_again(filled: Path, other: Path, tmp_path: Path, content: Any) -> None:
    status, said, _ = run("backup", tmp_path / "b", "--home", filled)
    assert status == 0 and f"NOT in it, and without the key nobody can read it: {filled}/installation.key" in said
    refused("backup_place_taken", "backup", tmp_path / "b", "--home", filled)
    refused("backup_key_beside", "backup", tmp_path / "c", "--keys", tmp_path / "c" / "k", "--home", filled)
    assert not (tmp_path / "c").exists()
    refused("key_file_missing", "restore", tmp_path / "b", "--home", other)
    assert not other.exists(), "nothing was made before there was a key"
    status, said, _ = run("backup", tmp_path / "d", "--keys", tmp_path / "keys", "--home", filled)
    assert status == 0 and f"its copy is {tmp_path}/keys/installation.key" in said
    refused("backup_unfinished", "restore", tmp_path / "keys", "--keys", tmp_path / "keys", "--home", other)
    status, said, err = run("restore", tmp_path / "d", "--keys", tmp_path / "keys", "--home", other)
    assert status == 0, err
    assert "telemed serve" in said
    assert (other / "installation.key").read_bytes() == (filled / "installation.key").read_bytes()
    before, after = await rows(filled, content), await rows(other, content)
    assert {name for name in before if before[name] != after[name]} == {"audit_event"}  # the two acts themselves
    refused("restore_not_empty", "restore", tmp_path / "d", "--home", other)
    assert await rows(other, content) == after
    status, said, _ = run("db", "status", "--home", other)
    assert status == 0 and said.startswith("PostgreSQL     18")


def test_what_is_not_there_is_not_made(tmp_path: Path, open_folder: Path) -> None:
    for command in (("backup", tmp_path / "b"), ("db", "status")):
        refused("backup_nothing", *command, "--home", open_folder / "nobody")
    refused("backup_nothing", "db", "upgrade", "--home", open_folder / "nobody")
    assert not (open_folder / "nobody").exists() and not (tmp_path / "b").exists()


async def test_a_restore_that_is_killed_can_be_done_again(
    filled: Path, other: Path, tmp_path: Path, content: Any
) -> None:
    assert run("backup", tmp_path / "b", "--keys", tmp_path / "k", "--home", filled)[0] == 0
    process = start("restore", tmp_path / "b", "--keys", tmp_path / "k", "--home", other)
    running = psutil.Process(process.pid)
    psql = until(lambda: [one for one in running.children() if one.name() == "psql"], "psql runs")[0]
    psql.send_signal(signal.SIGSTOP)
    family = running.children(recursive=True)
    process.kill()
    process.communicate()
    psql.send_signal(signal.SIGCONT)  # it finds the end of its input, and no commit
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family), "all ended")
    until(lambda: not living_in(other / "postgres"), "PostgreSQL has stopped")
    status, _, err = run("restore", tmp_path / "b", "--home", other)
    assert status == 0, err
    assert (await rows(other, content))["chunk"] == (await rows(filled, content))["chunk"]


async def test_a_backup_that_is_killed_is_none(filled: Path, other: Path, tmp_path: Path) -> None:
    server = EmbeddedPostgres(filled)
    await server.start()
    try:
        connection = await asyncpg.connect(server.urls.owner)
        try:
            async with connection.transaction():
                await connection.execute("lock table station")  # the copy waits for it, and is killed meanwhile
                process = start("backup", tmp_path / "b", "--keys", tmp_path / "k", "--home", filled)
                running = psutil.Process(process.pid)
                until(lambda: [one for one in running.children() if one.name() == "pg_dump"], "pg_dump runs")
                process.kill()
                process.communicate()
        finally:
            await connection.close()
    finally:
        await server.stop()
    refused("backup_unfinished", "restore", tmp_path / "b", "--keys", tmp_path / "k", "--home", other)


async def test_a_database_of_ones_own(
    database_urls: DatabaseUrls, empty: DatabaseUrls, key_file: Path, tmp_path: Path, content: Any
) -> None:
    await content.fill(database_urls, Sealer.load(key_file), str(key_file))
    here = {"TELEMED_HOME": str(tmp_path / "home"), "TELEMED_KEY_FILE": str(key_file)}
    theirs = {**here, "DATABASE_URL": database_urls.server, "DATABASE_OWNER_URL": database_urls.owner}
    mine = {**here, "DATABASE_URL": empty.server, "DATABASE_OWNER_URL": empty.owner}
    refused("backup_nothing", "backup", tmp_path / "b", **mine)
    assert run("backup", tmp_path / "b", **theirs)[0] == 0
    status, _, err = run("restore", tmp_path / "b", **mine)
    assert status == 0, err
    assert await content.rights(empty) == await content.rights(database_urls)
    assert (await content.rows(empty))["chunk"] == (await content.rows(database_urls))["chunk"]
    assert run("migrate", "--check", **mine)[1].startswith("current: ")
    refused("upgrade_elsewhere", "db", "upgrade", **mine)
    assert not (tmp_path / "home" / "postgres").exists()
