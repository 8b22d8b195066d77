"""PostgreSQL's own programs that take and put back a copy, and how they are told where the database is.

An address goes to them in their environment, never on a command line, which others on the machine can read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

from telemed.errors import TelemedError
from telemed.store.binaries import program_major, wheel_programs
from telemed.store.initial import ENVIRONMENT

NAMES = ("pg_dump", "pg_restore", "psql")
TAIL_BYTES = 16_384  # of what a program says, to find its first complaint in
REASON_LENGTH = 300  # of a complaint in a sentence

# libpq's variables for what an address may say behind its question mark; the rest is asyncpg's own.
OPTIONS = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE",
    "database": "PGDATABASE", "passfile": "PGPASSFILE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL", "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}  # fmt: skip


class BackupToolsMissing(TelemedError):
    """There is no ``pg_dump`` for a server of version ``server``; ``newest`` is the newest that is here."""

    code = "backup_tools_missing"
    status = 500


class DatabaseProgramFailed(TelemedError):
    """A program of PostgreSQL, ``program``, refused; ``reason`` is its first complaint."""

    code = "database_program_failed"
    status = 500


@dataclass(frozen=True, slots=True)
class ClientPrograms:
    """A folder with ``pg_dump``, ``pg_restore`` and ``psql`` of one major version."""

    folder: Path
    major: int

    @property
    def pg_dump(self) -> Path:
        """The program that takes a copy."""
        return self.folder / "pg_dump"

    @property
    def pg_restore(self) -> Path:
        """The program that makes statements of a copy."""
        return self.folder / "pg_restore"

    @property
    def psql(self) -> Path:
        """The program that runs statements."""
        return self.folder / "psql"


def find_client_programs(least_major: int) -> ClientPrograms:
    """The oldest programs that are at least of ``least_major``: newer ones may write what an older server refuses.

    Of equal ones those on the PATH, which can encrypt their connection; the wheel's cannot.
    Raises :class:`BackupToolsMissing`.
    """
    found = [*_on_path(), *(ClientPrograms(one.folder, one.major) for one in wheel_programs())]
    fitting = [programs for programs in found if programs.major >= least_major]
    if not fitting:
        newest = max((programs.major for programs in found), default=0)
        raise BackupToolsMissing(server=least_major, newest=newest or "-")
    return min(fitting, key=lambda programs: programs.major)  # the first of equal ones


def client_environment(url: str, *, embedded: bool) -> dict[str, str]:
    """What the programs need to know to reach the database of ``url`` (as asyncpg takes it).

    For a database of the operator's own, libpq's variables of this process stay, as they do for asyncpg.
    """
    kept = {} if embedded else {name: value for name, value in os.environ.items() if _libpq_reads(name)}
    return {**ENVIRONMENT, **kept, **_address(url)}


@contextmanager
def complaints(program: Path) -> Iterator[BinaryIO]:
    """A file for what ``program`` says; :func:`failure` reads it."""
    with TemporaryFile(prefix=f"{program.name}-") as file:
        yield file


def failure(program: Path, said: BinaryIO) -> DatabaseProgramFailed:
    """Why ``program`` refused: the first line that it called an error, else its last."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - TAIL_BYTES))
    lines = [line.strip() for line in said.read().decode("utf-8", "replace").splitlines() if line.strip()]
    wrong = [line for line in lines if "error:" in line.lower()] or lines[-1:] or ["?"]
    return DatabaseProgramFailed(program=program.name, reason=wrong[0][:REASON_LENGTH])


def _libpq_reads(name: str) -> bool:
    return name.startswith("PG") or name in ("HOME", "PATH")


def _address(url: str) -> Mapping[str, str]:
    parts = urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    hosts, ports = [], []
    for one in filter(None, place.split(",")):
        host, colon, port = one.rpartition(":")
        if not colon or one.endswith("]"):
            host, port = one, ""
        hosts.append(unquote(host.strip("[]")))
        ports.append(port)
    said = {
        "PGUSER": unquote(user), "PGPASSWORD": unquote(password), "PGHOST": ",".join(hosts),
        "PGPORT": ",".join(ports) if any(ports) else "", "PGDATABASE": unquote(parts.path.lstrip("/")),
    }  # fmt: skip
    for name, values in parse_qs(parts.query).items():
        if name in OPTIONS:
            said[OPTIONS[name]] = values[-1]
    return {name: value for name, value in said.items() if value}


def _on_path() -> list[ClientPrograms]:
    program = shutil.which("pg_dump")
    if program is None:
        return []
    folder = Path(program).parent  # as it is: Debian's programs are links to one that chooses the version
    if not all(os.access(folder / name, os.X_OK) for name in NAMES):
        return []
    return [ClientPrograms(folder, program_major(folder / "pg_dump"))]
