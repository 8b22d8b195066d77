"""The pieces of a backup: its files, its key's place, and how PostgreSQL's programs are told where the database is."""

from __future__ import annotations

import stat
from pathlib import Path

import asyncpg
import pytest

from telemed.settings import Settings
from telemed.store.backup import (
    BackupKeyBeside,
    BackupNothing,
    KeyFileOther,
    copy_key,
    keep_apart,
    load_key,
    make_backup,
    must_be_there,
)
from telemed.store.backup_files import Manifest, PartWriter, check_parts, plain_blocks
from telemed.store.backup_tools import BackupToolsMissing, client_environment, find_client_programs
from telemed.store.embedded import DatabaseUrls
from telemed.store.installation import KeyMismatch, check_key
from telemed.store.sealing import Sealer


def unseen(step: str, done: int, total: int) -> None:
    """Nobody looks."""


def test_the_key_goes_elsewhere_or_nowhere(tmp_path: Path, key_file: Path) -> None:
    folder = tmp_path / "backup"
    (tmp_path / "link").symlink_to(folder)
    for near in (folder, folder / "keys", tmp_path, tmp_path / "link"):
        with pytest.raises(BackupKeyBeside):
            keep_apart(folder, near)
    keep_apart(folder, tmp_path / "keys")
    copy = copy_key(key_file, tmp_path / "keys")
    assert copy.read_bytes() == key_file.read_bytes() and stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert copy_key(key_file, tmp_path / "keys") == copy
    Sealer.load(tmp_path / "second.key")
    with pytest.raises(KeyFileOther):
        copy_key(tmp_path / "second.key", tmp_path / "keys")
    assert copy.read_bytes() == key_file.read_bytes()


def test_a_home_without_a_database_has_nothing_to_copy(tmp_path: Path) -> None:
    with pytest.raises(BackupNothing):
        must_be_there(Settings(home=tmp_path / "none", database_url=None))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 100_000])
def test_parts_give_back_what_was_written(size: int, tmp_path: Path) -> None:
    plain = bytes(n * n % 251 for n in range(size))
    writer = PartWriter(tmp_path, part_bytes=1000)
    for at in range(0, size, 777):
        writer.write(plain[at : at + 777])
    manifest = Manifest("", "", 18, (), {}, writer.finish())
    assert all(0 < one.size_bytes <= 1000 for one in manifest.parts)
    check_parts(tmp_path, manifest, unseen)
    assert b"".join(plain_blocks(tmp_path, manifest, unseen)) == plain


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://o@/telemed?host=/run/x%20y&port=5432",
         {"PGUSER": "o", "PGDATABASE": "telemed", "PGHOST": "/run/x y", "PGPORT": "5432"}),
        ("postgresql://o:p%40ss@db.example.org:5433/t?sslmode=verify-full&sslrootcert=/ca.pem",
         {"PGUSER": "o", "PGPASSWORD": "p@ss", "PGHOST": "db.example.org", "PGPORT": "5433", "PGDATABASE": "t",
          "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/ca.pem"}),
        ("postgres://o@[2001:db8::1]:5432/t",
         {"PGUSER": "o", "PGHOST": "2001:db8::1", "PGPORT": "5432", "PGDATABASE": "t"}),
        ("postgres://o@[2001:db8::1]/t", {"PGUSER": "o", "PGHOST": "2001:db8::1", "PGDATABASE": "t"}),
        ("postgres://o@one,two:5433/t", {"PGUSER": "o", "PGHOST": "one,two", "PGPORT": ",5433", "PGDATABASE": "t"}),
        ("postgres:///t", {"PGDATABASE": "t"}),
    ],
)  # fmt: skip
def test_an_address_reaches_postgresqls_programs(
    url: str, said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGAPPNAME", "kept for one's own server alone")
    own = client_environment(url, embedded=False)
    assert own.pop("PGAPPNAME")
    embedded = client_environment(url, embedded=True)
    assert "PGAPPNAME" not in embedded
    for environment in (own, embedded):
        assert {name: value for name, value in environment.items() if name.startswith("PG")} == said


def test_the_oldest_programs_that_suffice_are_taken() -> None:
    assert [find_client_programs(major).major for major in (16, 17, 18)] == [16, 18, 18]
    with pytest.raises(BackupToolsMissing):
        find_client_programs(99)


async def test_a_key_that_a_server_has_used_is_remembered(
    database_urls: DatabaseUrls, key_file: Path, tmp_path: Path
) -> None:
    """A database that no server has worked on yet can be copied and comes back; then its key counts."""
    empty_yet = await make_backup(
        database_urls.owner, tmp_path / "young", load_key(key_file), key_file, unseen, embedded=True)
    assert empty_yet.tables["installation"] == 0
    connection = await asyncpg.connect(database_urls.server)
    try:
        await check_key(connection, load_key(key_file), str(key_file))
    finally:
        await connection.close()
    other = tmp_path / "other.key"
    with pytest.raises(KeyMismatch):
        await make_backup(database_urls.owner, tmp_path / "old", Sealer.load(other), other, unseen, embedded=True)
