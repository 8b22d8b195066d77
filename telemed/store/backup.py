"""A copy of everything in the database, of one moment, taken while it is at work.

``pg_dump`` and not a copy of PostgreSQL's files, because what comes out can be put into any later PostgreSQL, of
Telemed's own or of the operator's, asks for no right but the owner's, and does not carry what was deleted: in the
files, and in the log that goes with them, an erased patient's key would live on. One snapshot holds it together;
the counts in the manifest are of the same. The installation's key is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

from telemed import __version__
from telemed.errors import TelemedError
from telemed.settings import Settings
from telemed.store.backup_files import (
    BLOCK_BYTES,
    Manifest,
    PartWriter,
    Progress,
    folder_errors,
    remove_unfinished,
    write_manifest,
)
from telemed.store.backup_tools import client_environment, complaints, failure, find_client_programs
from telemed.store.database import (
    CONNECT_SECONDS,
    LOST,
    UNAVAILABLE,
    Connection,
    connect_errors,
    load_sql,
    statement_errors,
)
from telemed.store.embedded import SERVER_ROLE
from telemed.store.folders import find_place
from telemed.store.installation import KeyMismatch
from telemed.store.sealing import KEY_FILE_MODE, KeyFileUnusable, SealBroken, Sealer, sync_folder

SQL = load_sql("backup")
BACKUP_LOCK = int.from_bytes(b"TELEBAK")  # held while a copy is taken: migration 0005's functions look for it
LOCK_SECONDS = 60  # for another backup, for a migration, for tables that are being made or dropped
END_SECONDS = 10.0  # for a program whose work is over or given up
KEY_NAME = "installation.key"


class BackupPlaceTaken(TelemedError):
    """Something is in the folder already."""

    code = "backup_place_taken"
    status = 500


class BackupKeyBeside(TelemedError):
    """The key would lie with the copy that it opens."""

    code = "backup_key_beside"
    status = 500


class BackupNothing(TelemedError):
    """There is no database of Telemed's to copy."""

    code = "backup_nothing"
    status = 500


class BackupBusy(TelemedError):
    """Another backup of this database, or a change to its tables, has been running for longer than the bound."""

    code = "backup_busy"
    status = 503


class KeyFileMissing(TelemedError):
    """The installation's key is not where it should be; another one would open nothing."""

    code = "key_file_missing"
    status = 500


class KeyFileOther(TelemedError):
    """A file of that name is there, and it is another key."""

    code = "key_file_other"
    status = 500


def load_key(path: Path) -> Sealer:
    """The installation's key, of a file that is there; never makes one. Raises :class:`KeyFileMissing`."""
    if not path.exists():
        raise KeyFileMissing(path=str(path))
    return Sealer.load(path)


def must_be_there(settings: Settings) -> None:
    """Refuse a data folder in which no database was ever made, instead of making one. Raises :class:`BackupNothing`."""
    home = settings.home.absolute()
    if settings.database_url is None and not (home.is_dir() and find_place(home).data.is_dir()):
        raise BackupNothing(path=str(settings.home))


def role_of(settings: Settings) -> str | None:
    """The role that the server signs in with; None when its address does not say."""
    if settings.database_url is None:
        return SERVER_ROLE
    return unquote(urlsplit(settings.database_url).username or "") or None


async def make_backup(
    owner_url: str, folder: Path, sealer: Sealer, key_file: Path, progress: Progress, *, embedded: bool
) -> Manifest:
    """Copy the database of ``owner_url`` into ``folder``, which is made; durable when this returns.

    ``key_file`` is where ``sealer`` came from. Raises :class:`BackupPlaceTaken`, :class:`BackupNothing`,
    :class:`BackupBusy`, ``KeyMismatch`` when the key is not this database's, ``DatabaseProgramFailed``,
    ``BackupToolsMissing``, ``DatabaseUnavailable``, ``DiskFull``, ``BackupFolderUnusable``. After any of them nothing
    is left.
    """
    async with open_connection(owner_url) as connection:
        if not await connection.fetchval(SQL["has_schema"]):
            raise BackupNothing(path=urlsplit(owner_url).path.lstrip("/"))
        await must_open(connection, sealer, key_file)
        major = connection.get_server_version().major
        programs = await asyncio.to_thread(find_client_programs, major)
        await _exclude(connection)
        made = _take_folder(folder)
        parts = PartWriter(folder)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                snapshot = await connection.fetchval("select pg_export_snapshot()")
                moment = datetime.now(UTC).isoformat(timespec="seconds")
                size = await connection.fetchval(SQL["stored_bytes"])
                migrations = tuple((row["name"], row["sha256"]) for row in await connection.fetch(SQL["applied"]))
                async with asyncio.TaskGroup() as together:
                    counting = together.create_task(count_rows(connection))
                    environment = client_environment(owner_url, embedded=embedded)
                    together.create_task(_dump(programs.pg_dump, environment, snapshot, parts, size, progress))
            written = await asyncio.to_thread(parts.finish)
            manifest = Manifest(moment, __version__, major, migrations, counting.result(), written)
            await asyncio.to_thread(write_manifest, folder, manifest, sealer)
        except BaseException as error:
            parts.abandon()
            with contextlib.suppress(OSError):
                remove_unfinished(folder, made)
            cause = _first(error) if isinstance(error, BaseExceptionGroup) else error
            if isinstance(cause, asyncpg.LockNotAvailableError):
                raise BackupBusy() from error
            raise cause from (None if cause is error else error)
        return manifest


def copy_key(key_file: Path, folder: Path, *, name: str = KEY_NAME) -> Path:
    """Put a copy of the installation's key into ``folder`` (made when absent), mode 0600, durable; where it is.

    One that is there and equal is kept. Raises :class:`KeyFileOther`, ``KeyFileUnusable``.
    """
    copy = folder / name
    try:
        key = key_file.read_bytes()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f"{name}.{secrets.token_hex(4)}.new"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, KEY_FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, copy)  # never replaces a key that is there already
        finally:
            draft.unlink()
        sync_folder(folder)
        if copy.read_bytes() != key:
            raise KeyFileOther(path=str(copy))
    except OSError as error:
        raise KeyFileUnusable(path=str(copy), reason=error.strerror or str(error)) from error
    return copy


def keep_apart(folder: Path, keys: Path) -> None:
    """Refuse a place for the key that is in, around or the same as the backup's. Raises :class:`BackupKeyBeside`."""
    backup, apart = folder.resolve(), keys.resolve()
    if backup == apart or backup in apart.parents or apart in backup.parents:
        raise BackupKeyBeside(path=str(keys))


@asynccontextmanager
async def open_connection(url: str) -> AsyncIterator[Connection]:
    """A connection whose statements may take as long as they need. Raises ``DatabaseUnavailable``."""
    with connect_errors():
        connection = await asyncpg.connect(
            url, timeout=CONNECT_SECONDS,
            server_settings={"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"},
        )  # fmt: skip
    try:
        with statement_errors(connection):
            yield connection
    finally:
        with contextlib.suppress(*UNAVAILABLE, *LOST):
            await connection.close(timeout=CONNECT_SECONDS)


async def count_rows(connection: Connection) -> Mapping[str, int]:
    """The rows of each table, as the connection's transaction sees them."""
    counts = {}
    for row in await connection.fetch(SQL["tables"]):
        quoted = '"' + row["name"].replace('"', '""') + '"'
        counts[row["name"]] = await connection.fetchval(f"select count(*) from public.{quoted}")  # noqa: S608
    return counts


async def must_open(connection: Connection, sealer: Sealer, key_file: Path) -> None:
    """Refuse a key that did not seal this database. Raises ``KeyMismatch``."""
    witness = await connection.fetchval(SQL["witness"])
    if witness is None:  # no server has worked on it yet: nothing is sealed
        return
    try:
        sealer.unwrap(witness)
    except SealBroken:
        raise KeyMismatch(path=str(key_file)) from None


async def ended(process: Process) -> int:
    """The status of a process; one that does not end is killed."""
    try:
        return await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


async def _exclude(connection: Connection) -> None:
    """One backup at a time, and no table is dropped while it runs; let go when the connection ends."""
    await connection.execute(f"set lock_timeout = '{LOCK_SECONDS}s'")
    try:
        await connection.execute(SQL["exclude"], BACKUP_LOCK)
    except asyncpg.LockNotAvailableError as error:
        raise BackupBusy() from error


def _take_folder(folder: Path) -> bool:
    """Make the folder, closed to others; True when it was not there. Raises :class:`BackupPlaceTaken`."""
    with folder_errors(folder):
        if folder.exists():
            if not folder.is_dir() or any(folder.iterdir()):
                raise BackupPlaceTaken(path=str(folder))
            return False
        folder.mkdir(mode=0o700, parents=True)
        return True


async def _dump(
    program: Path, environment: Mapping[str, str], snapshot: str, parts: PartWriter, size: int, progress: Progress
) -> None:
    """Write what ``pg_dump`` says of the snapshot."""
    command = [
        str(program), "--format=custom", "--compress=none", "--no-password", f"--snapshot={snapshot}",
        f"--lock-wait-timeout={LOCK_SECONDS}s",
    ]  # fmt: skip
    with complaints(program) as said:
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(environment), stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=said, cwd="/",
            limit=BLOCK_BYTES,
        )
        try:
            assert process.stdout is not None  # noqa: S101 - PIPE above
            while block := await process.stdout.read(BLOCK_BYTES):
                await asyncio.to_thread(parts.write, block)
                progress("copy", min(parts.written_bytes, size), size)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if await ended(process) != 0:
            raise failure(program, said)
    progress("copy", size, size)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure behind the others: those that it cancelled are not in a task group's."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
