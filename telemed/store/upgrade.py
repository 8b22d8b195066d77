"""Brings the embedded database to a newer PostgreSQL; the old data stays beside it, untouched, for its owner to remove.

``pg_upgrade`` copies into a data folder made for it, and only when it is done do the two change places, in one step.
It runs as the account that owns the data, in a folder that this account can write (as root it would write its own
scripts where only root can), and both servers that it starts let this account in over the socket, and nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from telemed.errors import TelemedError
from telemed.settings import Settings
from telemed.store import folders
from telemed.store.backup import BackupNothing, count_rows, open_connection
from telemed.store.backup_files import Progress
from telemed.store.binaries import Programs, find_programs, readable_programs
from telemed.store.embedded import FREE_BYTES_FIRST, OWNER_ROLE, PORT, EmbeddedPostgres
from telemed.store.initial import ENVIRONMENT, make_data, sync_disk
from telemed.store.sealing import sync_folder

DRAFT_NAME = "postgres.upgraded"  # becomes the data; for an instant, while the two change places, it is the old
WORK_NAME = "postgres.upgrading"  # pg_upgrade's own working folder
LOG_NAME = "upgrade.log"
STEPS = 4  # recovered and counted, made, copied, compared
UPGRADE_SECONDS = 86_400.0  # it copies every file once: a terabyte on a slow disk takes hours
LEFTOVER_SECONDS = 30.0  # for a server that pg_upgrade started and left
POLL_SECONDS = 0.05
LOG_TAIL_BYTES = 65_536  # of each file that pg_upgrade leaves to say why
RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100  # fcntl.h


class UpgradeElsewhere(TelemedError):
    """The database is the operator's own; its own tools upgrade it."""

    code = "upgrade_elsewhere"
    status = 500


class UpgradeOldKept(TelemedError):
    """The old data of an earlier upgrade is still there."""

    code = "upgrade_old_kept"
    status = 500


class UpgradeFailed(TelemedError):
    """The data could not be brought to the newer version and is as it was; ``log`` is the file that says why."""

    code = "upgrade_failed"
    status = 500


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What was done: major versions, rows of all tables, and where the old data is."""

    before: int
    after: int
    rows: int
    kept: Path


async def upgrade_home(
    settings: Settings, progress: Progress, *, state_root: Path = folders.STATE_ROOT
) -> Upgraded | None:
    """Upgrade the home's database to the newest PostgreSQL that is here; None when it has that already.

    Raises ``HomeInUse`` while a server runs, :class:`UpgradeElsewhere`, :class:`UpgradeOldKept`,
    :class:`UpgradeFailed`, ``BackupNothing``, ``DatabaseNeedsUpgrade`` when the old programs are not here,
    ``DiskFull`` and what starting raises. After each of them the old data is in its place.
    """
    if settings.database_url is not None:
        raise UpgradeElsewhere()
    home = settings.home.absolute()
    place = folders.find_place(home, state_root) if home.is_dir() else None
    if place is None or not place.data.is_dir():
        raise BackupNothing(path=str(home))
    before, newest = _version(place.data), await asyncio.to_thread(find_programs, None)
    _keep_leftover(place.data)
    if before >= newest.major:
        return None
    kept = kept_name(place.data, before)
    if kept.exists():
        raise UpgradeOldKept(path=str(kept))
    with folders.plain_errors(place.data):
        _must_have_room(place.data)
        programs = [readable_programs(one, place.account, state_root) for one in (find_programs(before), newest)]
    counts = await _rows(home, state_root)  # and whatever a kill left half done is recovered by now
    progress("upgrade", 1, STEPS)
    lock = folders.HomeLock(home)
    lock.take()
    try:
        await _to_newer(home, place, programs[0], programs[1], progress)
        exchange(place.data, place.data.with_name(DRAFT_NAME))
        _keep_leftover(place.data)
        sync_disk(place.data)
    finally:
        lock.leave()
    if await _rows(home, state_root, analyze=True) != counts:
        lock.take()
        exchange(place.data, kept)
        shutil.rmtree(kept)
        lock.leave()
        raise UpgradeFailed(log=str(home / LOG_NAME))
    progress("upgrade", STEPS, STEPS)
    return Upgraded(before, newest.major, sum(counts.values()), kept)


def kept_name(data: Path, major: int) -> Path:
    """Where the old data of an upgrade is kept."""
    return data.with_name(f"{data.name}.old-{major}")


def exchange(first: Path, second: Path) -> None:
    """Have two folders change places: in one step, where the system can, so that no kill leaves none."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux alone
    if renameat2 is not None:
        if renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
            return
        if ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL):  # a kernel or a file system without it
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(first))
    between = first.with_name(f"{first.name}.between")
    first.rename(between)
    second.rename(first)
    between.rename(second)


def _version(data: Path) -> int:
    return int((data / "PG_VERSION").read_text(encoding="ascii"))


def _keep_leftover(data: Path) -> None:
    """Give the old data its name, also when a kill came between the exchange and this; a mere draft stays."""
    draft = data.with_name(DRAFT_NAME)
    if not draft.exists() or folders.living_in(draft):
        return
    version = draft / "PG_VERSION"
    if version.exists() and _version(draft) < _version(data):
        draft.rename(kept_name(data, _version(draft)))
        sync_folder(data.parent)


def _must_have_room(data: Path) -> None:
    size = sum(path.lstat().st_size for path in data.rglob("*") if path.is_file())
    if shutil.disk_usage(data.parent).free < size + FREE_BYTES_FIRST:
        raise folders.DiskFull(path=str(data.parent))


async def _rows(home: Path, state_root: Path, *, analyze: bool = False) -> Mapping[str, int]:
    """Start the home's database, count every table, stop it in order."""
    server = EmbeddedPostgres(home, state_root=state_root)
    await server.start()
    try:
        async with open_connection(server.urls.owner) as connection:
            if analyze:  # what the planner knows does not come along with every version
                await connection.execute("analyze")
            return await count_rows(connection)
    finally:
        await server.stop()


async def _to_newer(home: Path, place: folders.Place, old: Programs, new: Programs, progress: Progress) -> None:
    """Fill the draft beside the data; raises :class:`UpgradeFailed` and leaves no draft then."""
    draft, work = place.data.with_name(DRAFT_NAME), place.data.with_name(WORK_NAME)
    log = home / LOG_NAME
    fresh = folders.Place(draft, place.shelter, place.account)
    done = False
    try:
        with folders.plain_errors(log), _open_log(log) as out:
            for leftover in (draft, work):
                shutil.rmtree(leftover, ignore_errors=True)
            folders.settle(place, home)
            if not await asyncio.to_thread(make_data, fresh, new, OWNER_ROLE, out):
                raise UpgradeFailed(log=str(log))
            progress("upgrade", 2, STEPS)
            _make_work(work, place.account)
            if await _run(place, draft, work, old, new, out) != 0:
                _add_reasons(draft, out)
                raise UpgradeFailed(log=str(log))
            progress("upgrade", 3, STEPS)
            shutil.rmtree(draft / "pg_upgrade_output.d", ignore_errors=True)
            sync_disk(draft)
            done = True
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not done:
            shutil.rmtree(draft, ignore_errors=True)


def _open_log(log: Path) -> BinaryIO:
    return open(log, "wb", opener=partial(os.open, mode=0o600))


def _make_work(work: Path, account: folders.Account) -> None:
    folders.make_folder(work, 0o700)
    if os.geteuid() == 0:
        os.chown(work, account.uid, account.gid)


def _rules(place: folders.Place) -> str:
    """Options for both servers: the account comes in as the owner, over the socket; enough locks for every table."""
    rules, names = place.shelter / "upgrade.hba.conf", place.shelter / "upgrade.ident.conf"
    account = folders.owner_name(place.account.uid)
    for path, text in (
        (rules, "local all all peer map=telemed"),
        (names, f'telemed "{account}" {OWNER_ROLE}'),
    ):
        path.write_text(f"{text}\n", encoding="utf-8")
        path.chmod(0o644)
    return f"-c hba_file={rules} -c ident_file={names} -c max_locks_per_transaction=1024"


async def _run(place: folders.Place, draft: Path, work: Path, old: Programs, new: Programs, out: BinaryIO) -> int:
    """Let pg_upgrade copy the data into the draft; its status."""
    options = _rules(place)
    command = [
        str(new.folder / "pg_upgrade"), "--copy", f"--username={OWNER_ROLE}", f"--socketdir={place.socket}",
        f"--old-bindir={old.folder}", f"--new-bindir={new.folder}", f"--old-datadir={place.data}",
        f"--new-datadir={draft}", f"--old-port={PORT}", f"--new-port={PORT}",
        f"--old-options={options}", f"--new-options={options}",
    ]  # fmt: skip
    account = place.account
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, cwd=work, env=ENVIRONMENT, umask=0o077,
        **identity,
    )
    try:
        return await asyncio.wait_for(process.wait(), UPGRADE_SECONDS)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.to_thread(_end_leftovers, (place.data, draft))


def _end_leftovers(places: tuple[Path, ...]) -> None:
    """End the servers that pg_upgrade started, should it have been stopped before it could."""
    deadline = time.monotonic() + LEFTOVER_SECONDS
    told: set[int] = set()
    while (left := {one for place in places for one in folders.living_in(place)}) and time.monotonic() < deadline:
        for process in left - told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGINT)
        told |= left
        time.sleep(POLL_SECONDS)


def _add_reasons(draft: Path, out: BinaryIO) -> None:
    """Keep the ends of what pg_upgrade wrote beside its summary: the draft goes."""
    for path in sorted((draft / "pg_upgrade_output.d").rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
                out.write(f"\n--- {path.name}\n".encode() + file.read())
