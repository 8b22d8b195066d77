"""A backup is the database of one moment, and is put back whole or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from telemed.errors import TelemedError
from telemed.store import backup_files
from telemed.store.backup import (
    BACKUP_LOCK,
    BackupNothing,
    BackupPlaceTaken,
    KeyFileMissing,
    load_key,
    make_backup,
)
from telemed.store.backup_files import (
    MANIFEST,
    BackupAltered,
    BackupFolderUnusable,
    BackupNewer,
    BackupUnfinished,
    Manifest,
    PartWriter,
    plain_blocks,
    read_manifest,
    write_manifest,
)
from telemed.store.backup_tools import DatabaseProgramFailed
from telemed.store.embedded import SERVER_ROLE, DatabaseUrls
from telemed.store.folders import DiskFull
from telemed.store.installation import KeyMismatch
from telemed.store.migrate import DatabaseNewer, MigrationAltered, ServerRoleMissing, check
from telemed.store.restore import RestoreNotEmpty, RestoreTooOld, must_fit, restore
from telemed.store.sealing import Sealer
from telemed.store.status import database_status

_numbers = count(1)


def unseen(step: str, done: int, total: int) -> None:
    """Nobody looks, but what is told must be possible."""
    assert 0 <= done <= max(total, 1), step


@dataclass(frozen=True)
class Made:
    """A backup of a filled database, and what was in it."""

    folder: Path
    key_file: Path
    sealer: Sealer
    urls: DatabaseUrls

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.folder, self.sealer, self.key_file)


@pytest.fixture
async def made(database_urls: DatabaseUrls, key_file: Path, tmp_path: Path, content: Any) -> Made:
    """A backup of a database that has something in every kind of table."""
    sealer = load_key(key_file)
    await content.fill(database_urls, sealer, str(key_file))
    folder = tmp_path / "backup"
    await make_backup(database_urls.owner, folder, sealer, key_file, unseen, embedded=True)
    return Made(folder, key_file, sealer, database_urls)


async def put_back(
    made: Made, into: DatabaseUrls, key_file: Path | None = None, role: str = SERVER_ROLE
) -> tuple[str, ...]:
    """What ``telemed restore`` does."""
    file = key_file or made.key_file
    sealer = load_key(file)
    manifest = read_manifest(made.folder, sealer, file)
    await must_fit(made.folder, manifest, unseen)
    return await restore(into.owner, role, made.folder, manifest, sealer, file, unseen, embedded=True)


async def nothing_in(urls: DatabaseUrls) -> bool:
    connection = await asyncpg.connect(urls.owner)
    try:
        return not await connection.fetchval(
            "select count(*) from pg_class where relnamespace = 'public'::regnamespace")
    finally:
        await connection.close()


def sealed_again(made: Made, **changed: Any) -> None:
    """Write the manifest anew as one who has the key."""
    manifest = replace(made.manifest, **changed)
    (made.folder / MANIFEST).unlink()
    write_manifest(made.folder, manifest, made.sealer)


def part(made: Made) -> Path:
    return made.folder / made.manifest.parts[-1].name


async def test_what_comes_back_is_what_was_there(made: Made, empty: DatabaseUrls, content: Any) -> None:
    assert await put_back(made, empty) == ()
    for what in (content.rows, content.shape, content.rights):
        assert await what(empty) == await what(made.urls)
    rows = await content.rows(empty)
    assert rows["chunk"][0] == 400 and rows["chunk_default"][0] == 200 and rows["frame"][0] == 40
    assert (await check(empty.server)).current
    async with asyncio.timeout(30):
        status = await database_status(empty.owner)
    assert status.major >= 18 and status.partitions["chunk"] >= 2 and status.migrations == len(made.manifest.migrations)


async def test_the_restored_database_goes_on(made: Made, empty: DatabaseUrls) -> None:
    """The server's role makes partitions and writes into them, counts on where it stopped, and may do no more."""
    await put_back(made, empty)
    connection = await asyncpg.connect(empty.server)
    try:
        later = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=30)
        assert await connection.fetchval("select storage_make($1, $2)", later, later + timedelta(hours=1)) > 0
        stream = await connection.fetchval("select id from stream limit 1")
        await connection.execute(
            "insert into chunk (stream_id, born, seq, t0_us, nonce, sealed) values ($1, $2, 0, 0, 'n', 's')",
            stream, later)
        assert await connection.fetchval("select count(*) from chunk where born = $1", later) == 1
        assert await connection.fetchval("select tableoid::regclass::text from chunk where born = $1", later) == (
            f"chunk_{later:%Y%m%d_%H}")
        last = await connection.fetchval("select max(id) from audit_event")
        insert = "insert into audit_event (actor_kind, action, outcome) values ('system', 'x', 'event') returning id"
        assert await connection.fetchval(insert) > last
        for forbidden in ("update audit_event set action = 'y'", "delete from consent_event", "drop table chunk"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)
    finally:
        await connection.close()


async def test_the_key_is_not_in_it_and_the_folder_is_closed(made: Made) -> None:
    key = made.key_file.read_bytes()
    manifest = made.manifest
    plain = b"".join(plain_blocks(made.folder, manifest, unseen))
    assert key not in plain and key.hex().encode() not in plain
    for path in made.folder.iterdir():
        assert key not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert {path.name for path in made.folder.iterdir()} == {MANIFEST, *(one.name for one in manifest.parts)}


async def test_rows_written_meanwhile_are_all_in_it_or_not_at_all(
    made: Made, empty: DatabaseUrls, tmp_path: Path
) -> None:
    """Two tables that are written in one transaction have the same rows in the copy, whatever goes on."""
    ended = asyncio.Event()

    async def write() -> None:
        connection = await asyncpg.connect(made.urls.owner)
        try:
            await connection.execute("create table one (n serial); create table other (n serial)")
            while not ended.is_set():
                async with connection.transaction():
                    await connection.execute("insert into one default values")
                    await connection.execute("insert into other default values")
        finally:
            await connection.close()

    writing = asyncio.create_task(write())
    try:
        folder = tmp_path / "during"
        for n in range(3):
            taken = await make_backup(
                made.urls.owner, folder / str(n), made.sealer, made.key_file, unseen, embedded=True)
            assert taken.tables.get("one") == taken.tables.get("other")
    finally:
        ended.set()
        await writing
    await put_back(replace(made, folder=folder / "2"), empty)
    connection = await asyncpg.connect(empty.owner)
    try:
        assert await connection.fetchval("select count(*) from one") == taken.tables["one"] > 0
        assert await connection.fetchval("select count(*) from other") == taken.tables["one"]
    finally:
        await connection.close()


def flip(made: Made) -> None:
    path = part(made)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shorten(made: Made) -> None:
    path = part(made)
    path.write_bytes(path.read_bytes()[:-1])


def lose(made: Made) -> None:
    part(made).unlink()


def forge(made: Made) -> None:
    """Another count, by somebody without the key."""
    said = json.loads((made.folder / MANIFEST).read_text())
    said["tables"]["station"] += 1
    (made.folder / MANIFEST).write_text(json.dumps(said))


def garble(made: Made) -> None:
    (made.folder / MANIFEST).write_bytes((made.folder / MANIFEST).read_bytes()[:-40])


def count_wrong(made: Made) -> None:
    """Seen only when everything is in: the last statement before the commit finds it."""
    sealed_again(made, tables={**made.manifest.tables, "station": 2})


def cut_and_reseal(made: Made) -> None:
    """Files that are as the manifest says, of a copy that is not whole."""
    path = part(made)
    whole = b"".join(plain_blocks(made.folder, made.manifest, unseen))
    path.unlink()
    writer = PartWriter(made.folder)
    writer.write(whole[: len(whole) * 2 // 3])
    sealed_again(made, parts=writer.finish())


def never_finish(made: Made) -> None:
    (made.folder / MANIFEST).unlink()


def of_the_future(made: Made) -> None:
    sealed_again(made, migrations=(*made.manifest.migrations, ("9999_later.sql", "00")))


def of_another_past(made: Made) -> None:
    sealed_again(made, migrations=((made.manifest.migrations[0][0], "00"), *made.manifest.migrations[1:]))


def of_a_newer_database(made: Made) -> None:
    sealed_again(made, postgresql=99)


DAMAGES: tuple[tuple[Callable[[Made], None], type[TelemedError]], ...] = (
    (flip, BackupAltered), (shorten, BackupAltered), (lose, BackupAltered), (forge, BackupAltered),
    (garble, BackupAltered), (count_wrong, BackupAltered), (cut_and_reseal, DatabaseProgramFailed),
    (never_finish, BackupUnfinished), (of_the_future, DatabaseNewer), (of_another_past, MigrationAltered),
    (of_a_newer_database, RestoreTooOld),
)  # fmt: skip


async def test_a_damaged_backup_is_refused_whole(made: Made, empty: DatabaseUrls, tmp_path: Path) -> None:
    for damage, refusal in DAMAGES:
        copy = replace(made, folder=tmp_path / damage.__name__)
        shutil.copytree(made.folder, copy.folder)
        damage(copy)
        with pytest.raises(refusal):
            await put_back(copy, empty)
        assert await nothing_in(empty), damage.__name__
    await put_back(made, empty)


async def test_a_foreign_backup_is_refused(made: Made, empty: DatabaseUrls, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    Sealer.load(other)
    with pytest.raises(KeyMismatch):
        await put_back(made, empty, other)
    with pytest.raises(KeyFileMissing):
        await put_back(made, empty, tmp_path / "none.key")
    assert not (tmp_path / "none.key").exists()
    assert await nothing_in(empty)


async def test_a_newer_form_is_refused(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_files, "FORMAT", 0)  # as if this program were older than the one that made it
    with pytest.raises(BackupNewer):
        read_manifest(made.folder, made.sealer, made.key_file)


async def test_roles_that_are_not_there_are_told_before_anything_is_restored(made: Made, empty: DatabaseUrls) -> None:
    with pytest.raises(ServerRoleMissing):
        await put_back(made, empty, role="telemed_nobody")
    assert await nothing_in(empty)


async def test_a_database_with_something_in_it_is_left_alone(made: Made, empty: DatabaseUrls, content: Any) -> None:
    before = await content.rows(made.urls)
    with pytest.raises(RestoreNotEmpty):
        await put_back(made, made.urls)
    assert await content.rows(made.urls) == before
    await put_back(made, empty)
    with pytest.raises(RestoreNotEmpty):
        await put_back(made, empty)


async def test_a_backup_that_cannot_be_made_leaves_nothing(
    made: Made, empty: DatabaseUrls, tmp_path: Path, key_file: Path
) -> None:
    with pytest.raises(BackupPlaceTaken):
        await make_backup(made.urls.owner, made.folder, made.sealer, made.key_file, unseen, embedded=True)
    assert (made.folder / MANIFEST).exists()
    other = tmp_path / "other.key"
    with pytest.raises(KeyMismatch):
        await make_backup(made.urls.owner, tmp_path / "no", Sealer.load(other), other, unseen, embedded=True)
    with pytest.raises(BackupNothing):
        await make_backup(empty.owner, tmp_path / "no", made.sealer, key_file, unseen, embedded=True)

    (tmp_path / "file").touch()
    with pytest.raises(BackupFolderUnusable):
        await make_backup(made.urls.owner, tmp_path / "file" / "no", made.sealer, made.key_file, unseen, embedded=True)

    def gives_up(step: str, done: int, total: int) -> None:
        raise ValueError("in the middle of it")

    (tmp_path / "own").mkdir()
    for folder in (tmp_path / "no", tmp_path / "own"):
        with pytest.raises(ValueError, match="in the middle"):
            await make_backup(made.urls.owner, folder, made.sealer, made.key_file, gives_up, embedded=True)
    assert not (tmp_path / "no").exists() and list((tmp_path / "own").iterdir()) == []


async def test_a_full_disk_leaves_nothing(made: Made, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        with pytest.raises(DiskFull):
            await make_backup(made.urls.owner, disk / "b", made.sealer, made.key_file, unseen, embedded=True)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


async def test_a_database_that_stops_meanwhile_leaves_nothing(made: Made, tmp_path: Path) -> None:
    """The copy's own connections are ended while it waits for a table."""
    owner, other = await asyncpg.connect(made.urls.owner), await asyncpg.connect(made.urls.owner)
    end = ("select count(pg_terminate_backend(pid)) from pg_stat_activity "
           "where datname = current_database() and application_name = 'pg_dump'")
    try:
        async with owner.transaction():
            await owner.execute("lock table only chunk")
            running = asyncio.create_task(
                make_backup(made.urls.owner, tmp_path / "no", made.sealer, made.key_file, unseen, embedded=True))
            async with asyncio.timeout(30):
                while not await other.fetchval(end):
                    pass
        with pytest.raises(DatabaseProgramFailed) as refusal:
            await running
        assert refusal.value.params["program"] == "pg_dump"
        assert not (tmp_path / "no").exists()
    finally:
        await owner.close()
        await other.close()


async def test_tables_stay_while_it_runs(made: Made, tmp_path: Path) -> None:
    """What makes and drops partitions finds the backup's lock and leaves it at that; another backup waits."""
    make = "select storage_make(now() + interval '2 days', now() + interval '51 hours')"
    take = "select pg_try_advisory_lock($1)"
    owner, server = await asyncpg.connect(made.urls.owner), await asyncpg.connect(made.urls.server)
    try:
        async with owner.transaction():
            await owner.execute("lock table station")  # holds the copy at its beginning
            held = tmp_path / "held"
            running = asyncio.create_task(
                make_backup(made.urls.owner, held, made.sealer, made.key_file, unseen, embedded=True))
            async with asyncio.timeout(30):
                while await server.fetchval(take, BACKUP_LOCK):
                    await server.execute("select pg_advisory_unlock($1)", BACKUP_LOCK)
            assert await server.fetchval(make) == 0
            assert not running.done()
        await running
        assert await server.fetchval(make) > 0
        assert await server.fetchval(take, BACKUP_LOCK)
    finally:
        await owner.close()
        await server.close()
