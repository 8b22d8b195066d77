"""Puts a backup into an empty database: all of it, checked, in one transaction, or nothing.

``pg_restore`` makes statements of the copy and ``psql`` runs them between a ``begin`` and a ``commit`` of ours. The
``commit`` is sent when the whole copy has gone through and every table has the rows that the manifest counts, so a
restore that is killed, or finds a damaged file late, leaves the database as empty as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg

from telemed.errors import TelemedError
from telemed.store.backup import SQL, ended, must_open, open_connection
from telemed.store.backup_files import BackupAltered, Manifest, Progress, check_parts, plain_blocks
from telemed.store.backup_tools import (
    DatabaseProgramFailed,
    client_environment,
    complaints,
    failure,
    find_client_programs,
)
from telemed.store.database import Connection
from telemed.store.migrate import (
    APP_ROLE,
    DatabaseNewer,
    Migration,
    MigrationAltered,
    ServerRoleMissing,
    load_migrations,
    migrate,
)
from telemed.store.sealing import Sealer

CHECK_NAME = "telemed_counts"  # in the complaint of the check (backup.sql), so that it is told from PostgreSQL's own

class RestoreNotEmpty(TelemedError):
    """There is something in the database already; a backup is put into an empty one only."""

    code = "restore_not_empty"
    status = 500


class RestoreTooOld(TelemedError):
    """The backup comes from PostgreSQL ``made_by``; this one is ``here``, which is older."""

    code = "restore_too_old"
    status = 500


class RestoreRoleMissing(TelemedError):
    """The role ``role``, which carries the server's rights, is not there, and the owner may not make it."""

    code = "restore_role_missing"
    status = 500


async def must_fit(folder: Path, manifest: Manifest, progress: Progress) -> None:
    """Refuse a backup of a newer program, and one whose files are not what was written; touches no database.

    Raises ``DatabaseNewer``, ``MigrationAltered``, ``BackupAltered``.
    """
    known = {migration.name: migration for migration in load_migrations()}
    for name, sha256 in manifest.migrations:
        match known.get(name):
            case None:
                raise DatabaseNewer(name=name)
            case Migration() as migration if migration.sha256 != sha256:
                raise MigrationAltered(name=name)
    await asyncio.to_thread(check_parts, folder, manifest, progress)


async def must_be_empty(owner_url: str) -> None:
    """Refuse a database that holds anything. Raises :class:`RestoreNotEmpty`, ``DatabaseUnavailable``."""
    async with open_connection(owner_url) as connection:
        if not await connection.fetchval(SQL["empty"]):
            raise RestoreNotEmpty()


async def restore(
    owner_url: str,
    server_role: str | None,
    folder: Path,
    manifest: Manifest,
    sealer: Sealer,
    key_file: Path,
    progress: Progress,
    *,
    embedded: bool,
) -> tuple[str, ...]:
    """Fill the empty database of ``owner_url`` and bring its schema forward; the migrations that were applied.

    Everything in it belongs to the owner's role afterwards; ``server_role`` has the server's rights. ``manifest`` is
    one that :func:`must_fit` let pass. Raises :class:`RestoreNotEmpty`, :class:`RestoreTooOld`,
    :class:`RestoreRoleMissing`, ``ServerRoleMissing``, ``BackupAltered``, ``DatabaseProgramFailed``,
    ``BackupToolsMissing``, ``KeyMismatch``, ``DatabaseUnavailable`` and what migrating does.
    """
    async with open_connection(owner_url) as connection:
        if not await connection.fetchval(SQL["empty"]):
            raise RestoreNotEmpty()
        major = connection.get_server_version().major
        if major < manifest.postgresql:
            raise RestoreTooOld(made_by=manifest.postgresql, here=major)
        await _make_app_role(connection, server_role)
    environment = client_environment(owner_url, embedded=embedded)
    await _fill(major, environment, folder, manifest, progress)
    async with open_connection(owner_url) as connection:
        await must_open(connection, sealer, key_file)
        applied = await migrate(owner_url, server_role)
        progress("analyze", 0, 1)
        await connection.execute("analyze")
        progress("analyze", 1, 1)
    return applied


async def _make_app_role(connection: Connection, server_role: str | None) -> None:
    """The role that carries the server's rights belongs to the whole server, so it is in no copy of one database."""
    if server_role is not None and await connection.fetchval(SQL["role_missing"], server_role):
        raise ServerRoleMissing(role=server_role)
    if await connection.fetchval(SQL["role_missing"], APP_ROLE):
        try:
            await connection.execute(f"create role {APP_ROLE} nologin")
        except asyncpg.InsufficientPrivilegeError as error:
            raise RestoreRoleMissing(role=APP_ROLE) from error


async def _fill(
    major: int, environment: Mapping[str, str], folder: Path, manifest: Manifest, progress: Progress
) -> None:
    """Run the copy's statements in one transaction, and commit it when the counts are right."""
    programs = await asyncio.to_thread(find_client_programs, major)
    making = [str(programs.pg_restore), "--format=custom", "--no-owner", "--no-tablespaces", "--exit-on-error",
              "--file=-"]  # fmt: skip
    running = [str(programs.psql), "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"]
    statements, ours = os.pipe()
    processes: list[Process] = []
    with complaints(programs.pg_restore) as made_said, complaints(programs.psql) as ran_said:
        try:
            psql = await asyncio.create_subprocess_exec(
                *running, env=dict(environment), stdin=statements, stdout=DEVNULL, stderr=ran_said, cwd="/"
            )
            processes.append(psql)
            statements = _close(statements)
            await _say(ours, "begin;\n")
            pg_restore = await asyncio.create_subprocess_exec(
                *making, env=dict(environment), stdin=PIPE, stdout=ours, stderr=made_said, cwd="/"
            )
            processes.append(pg_restore)
            gone = await _feed(pg_restore, plain_blocks(folder, manifest, progress))
            if await pg_restore.wait() != 0 or gone:
                # psql first: when it refused a statement, pg_restore only lost its reader.
                ours = _close(ours)
                if await ended(psql) != 0:
                    raise failure(programs.psql, ran_said)
                raise failure(programs.pg_restore, made_said)
            counts = json.dumps(dict(manifest.tables))
            with contextlib.suppress(BrokenPipeError):  # it says why itself
                await _say(ours, SQL["check_counts"].replace("COUNTS", counts) + "\ncommit;\n")
            ours = _close(ours)
            if await psql.wait() != 0:
                raise _uncommitted(failure(programs.psql, ran_said))
        finally:
            _close(statements)
            _close(ours)  # without a commit psql's transaction ends with nothing
            for process in processes:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()


def _uncommitted(error: DatabaseProgramFailed) -> TelemedError:
    """What is behind a refusal of the last statements."""
    _, wrong_count, told = str(error.params["reason"]).partition(f"{CHECK_NAME} ")
    return BackupAltered(name=told.split()[0]) if wrong_count else error


async def _feed(process: Process, blocks: Iterator[bytes]) -> bool:
    """Give a program its input to the end; True when it stopped reading before."""
    assert process.stdin is not None  # noqa: S101 - PIPE at its start
    try:
        while block := await asyncio.to_thread(next, blocks, b""):
            process.stdin.write(block)
            await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


async def _say(pipe: int, text: str) -> None:
    """Write all of a text; a full pipe holds a thread, not the loop."""

    def write() -> None:
        left = text.encode()
        while left:
            left = left[os.write(pipe, left) :]

    await asyncio.to_thread(write)


def _close(descriptor: int) -> int:
    """Close a descriptor once; what stands for it afterwards."""
    if descriptor >= 0:
        os.close(descriptor)
    return -1
