"""As root PostgreSQL runs as an account of its own, and no folder that was there is opened for it."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from telemed.store import folders
from telemed.store.binaries import WHEEL, Programs, find_programs, readable_programs
from telemed.store.embedded import EmbeddedPostgres
from telemed.store.folders import (
    ACCOUNTS,
    DatabaseFolderMissing,
    DiskFull,
    HomeWrongOwner,
    Place,
    find_place,
    living_in,
)
from telemed.store.initial import make_data

Start = Callable[..., Awaitable[EmbeddedPostgres]]


@pytest.fixture
def state_root(open_folder: Path) -> Iterator[Path]:
    path = open_folder / "state"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def modes(path: Path) -> list[int]:
    return [folder.stat().st_mode for folder in path.parents]


async def count_kept(server: EmbeddedPostgres) -> object:
    connection = await asyncpg.connect(server.urls.owner)
    try:
        await connection.execute("create table if not exists kept ()")
        await connection.execute("insert into kept default values")
        return await connection.fetchval("select count(*) from kept")
    finally:
        await connection.close()


async def test_it_runs_as_an_unprivileged_account(made_home: Path, start: Start) -> None:
    server = await start(made_home)
    status = Path(f"/proc/{server.pid}/status").read_text()
    names = {name for name in ACCOUNTS if f"Uid:\t{uid_of(name)}\t" in status}
    assert names and server.place.account.uid in {uid_of(name) for name in names}
    assert "Groups:\t \n" in status
    assert stat.S_IMODE(made_home.stat().st_mode) == 0o711


def only_what_runs(folder: str, names: list[str]) -> set[str]:
    """Of the wheel's programs, all but the two that a data folder needs; all of its other folders but the headers."""
    if folder.endswith("bin"):
        return set(names) - {"postgres", "initdb"}
    return set()


def uid_of(name: str) -> int | None:
    with suppress(KeyError):
        return pwd.getpwnam(name).pw_uid
    return None


async def test_a_closed_home_stays_closed_and_its_data_is_found_again(
    tmp_path: Path, state_root: Path, start: Start
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = closed / "home"
    before = modes(home)
    server = await start(home, state_root=state_root)
    assert modes(home) == before
    assert (home / "postgres.location").read_text().strip() == str(server.place.data)
    assert server.place.data.parent.parent == state_root
    assert stat.S_IMODE(server.place.data.stat().st_mode) == 0o700
    assert await count_kept(server) == 1
    await server.stop()
    assert await count_kept(await start(home, state_root=state_root)) == 2


async def test_an_emptied_home_begins_anew_and_the_old_data_is_kept_aside(
    tmp_path: Path, state_root: Path, start: Start
) -> None:
    home = tmp_path / "home"
    server = await start(home, state_root=state_root)
    await count_kept(server)
    await server.stop()
    shutil.rmtree(home)
    server = await start(home, state_root=state_root)
    assert await count_kept(server) == 1
    assert (server.place.data.with_name("postgres.left-1") / "PG_VERSION").exists()


async def test_a_home_whose_data_is_gone_is_refused_and_not_begun_anew(
    tmp_path: Path, state_root: Path, start: Start
) -> None:
    home = tmp_path / "home"
    server = await start(home, state_root=state_root)
    await server.stop()
    shutil.rmtree(server.place.data)
    with pytest.raises(DatabaseFolderMissing) as refusal:
        await EmbeddedPostgres(home, state_root=state_root).start()
    assert refusal.value.params["path"] == str(server.place.data)


async def test_data_made_by_another_account_is_served_as_that_account(home: Path, start: Start) -> None:
    """``postgres`` came to this machine after the first start as ``nobody``."""
    folders.make_home(home)
    nobody = pwd.getpwnam("nobody")
    place = Place(home / "postgres", home / "postgres.run", folders.Account(nobody.pw_uid, nobody.pw_gid))
    with (home / "postgres.log").open("ab") as out:
        assert make_data(place, find_programs(None), "telemed_owner", out)
    server = await start(home)
    assert server.pid is not None
    assert Path(f"/proc/{server.pid}").stat().st_uid == nobody.pw_uid


async def test_root_owned_data_is_refused(home: Path) -> None:
    (home / "postgres").mkdir(parents=True)
    with pytest.raises(HomeWrongOwner) as refusal:
        await EmbeddedPostgres(home).start()
    assert refusal.value.params == {"path": str(home / "postgres"), "owner": "root"}


async def test_an_account_that_is_not_the_datas_is_told_the_owner(made_home: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(made_home)], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    owner = folders.owner_name(find_place(made_home).account.uid)
    assert answer.stdout.split() == ["home_wrong_owner", owner]


AS_NOBODY = """
import os, pwd, sys
from pathlib import Path
from telemed.store.folders import HomeWrongOwner, find_place
os.setgroups([])
os.setuid(pwd.getpwnam("nobody").pw_uid)
try:
    find_place(Path(sys.argv[1]))
except HomeWrongOwner as error:
    print(error.code, error.params["owner"])
"""


async def test_a_full_disk_is_named(open_folder: Path) -> None:
    """A file system with room for the first look and not for the database."""
    disk = open_folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=711", "telemed", disk], check=True)
    try:
        server = EmbeddedPostgres(disk / "home", first_free_bytes=0)
        with pytest.raises(DiskFull):
            await server.start()
        assert living_in(disk / "home" / "postgres") == []
        assert not (disk / "home" / "postgres").exists()
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


def test_programs_that_the_account_cannot_read_are_copied_once(tmp_path: Path, state_root: Path, home: Path) -> None:
    wheel = find_programs(None)
    site = wheel.folder.parents[2]
    closed = tmp_path / "site-packages"
    install = closed / WHEEL / wheel.folder.parent.name
    shutil.copytree(wheel.folder.parent, install, ignore=only_what_runs)
    shutil.copytree(site / f"{WHEEL}.libs", closed / f"{WHEEL}.libs")
    before = modes(install)
    folders.make_home(home)
    place = find_place(home)
    programs = readable_programs(Programs(install / "bin", wheel.major), place.account, state_root)
    assert programs.folder.is_relative_to(state_root)
    assert not (programs.folder.parent / "include").exists()
    assert modes(install) == before
    assert readable_programs(Programs(install / "bin", wheel.major), place.account, state_root) == programs
    assert len(list((state_root / "programs").iterdir())) == 1
    with (home / "postgres.log").open("ab") as out:
        assert make_data(place, programs, "telemed_owner", out)
