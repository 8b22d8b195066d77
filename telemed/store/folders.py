"""Where the embedded database lives: its data, its socket, its lock, and who may reach them.

Everything is under the home folder, except what an unprivileged account could not reach there: as root with a
closed home the data goes below a state folder and a pointer file in the home says so. Folders that were there
before are never opened up: only a folder made here gets a mode from here.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from telemed.errors import TelemedError

STATE_ROOT = Path("/var/lib/telemed")  # FHS 5.8: state of programs that run as root
DATA_NAME = "postgres"
POINTER_NAME = "postgres.location"  # in the home: one line, the data folder elsewhere
LOCK_NAME = "postgres.lock"  # in the home: flocked by the owner, holds its process number
SHELTER_NAME = "postgres.run"
SOCKET_NAME = "s"  # short: a socket's path has little room
SOCKET_FILE = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path has 108 bytes, the last one is zero (unix(7))
PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/-]*\Z")  # what needs no quoting in a URL or in PostgreSQL's socket list
HASH_DIGITS = 12
ACCOUNTS = ("postgres", "nobody")  # who runs PostgreSQL when we are root: it refuses to run as root
PID_BYTES = 32  # more than any process number needs


class HomeInUse(TelemedError):
    """The data folder is in use by another process, whose number is ``process``."""

    code = "home_in_use"
    status = 503


class HomeUnwritable(TelemedError):
    """The data folder cannot be written."""

    code = "home_unwritable"
    status = 500


class HomeWrongOwner(TelemedError):
    """The data folder belongs to another account, which ``owner`` names."""

    code = "home_wrong_owner"
    status = 500


class AccountUnknown(TelemedError):
    """The account that would run PostgreSQL, number ``uid``, has no entry in /etc/passwd."""

    code = "account_unknown"
    status = 500


class DiskFull(TelemedError):
    """The disk has no room for the database."""

    code = "disk_full"
    status = 507


class DatabaseFolderMissing(TelemedError):
    """The home points to a database that is not there."""

    code = "database_folder_missing"
    status = 500


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's account that runs PostgreSQL."""

    uid: int
    gid: int

    def may(self, path: Path, bits: int) -> bool:
        """Whether the mode bits grant ``bits`` (4 read, 1 enter or run) on ``path`` to this account."""
        state = path.stat()
        if state.st_uid == self.uid:
            return (state.st_mode >> 6) & bits == bits
        if state.st_gid == self.gid:
            return (state.st_mode >> 3) & bits == bits
        return state.st_mode & bits == bits

    def reaches(self, path: Path) -> bool:
        """Whether every folder above ``path`` lets this account through."""
        return all(self.may(folder, 0o1) for folder in path.resolve().parents)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one home's database is. ``socket`` is the folder of the socket, ``shelter`` the folder around it."""

    data: Path
    shelter: Path
    account: Account

    @property
    def socket(self) -> Path:
        """The socket's folder: the account's own, closed to all others (root passes)."""
        return self.shelter / SOCKET_NAME


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Failures of the file system in the body become :class:`DiskFull` or :class:`HomeUnwritable`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path=str(path)) from error
        raise HomeUnwritable(path=str(path), reason=error.strerror or str(error)) from error


def make_folder(path: Path, mode: int) -> bool:
    """Make the folder (and those above it) with exactly this mode; True when it was not there before."""
    if path.is_dir():
        return False
    if not path.parent.is_dir():
        make_folder(path.parent, 0o755)
    path.mkdir(exist_ok=True)
    path.chmod(mode)
    return True


def make_home(home: Path) -> None:
    """Make the home when absent: closed to others, but as root passable for the account that runs PostgreSQL."""
    with plain_errors(home):
        make_folder(home, 0o711 if os.geteuid() == 0 else 0o700)
        if not os.access(home, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))


class HomeLock:
    """Held by the one process that owns the home; the kernel lets go when that process dies, however it dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def take(self) -> None:
        """Own the home. Raises :class:`HomeInUse` with the owner's process number."""
        with plain_errors(self._home):
            # Not inherited by children: Python opens files close-on-exec.
            descriptor = os.open(self._home / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, PID_BYTES, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise HomeInUse(path=str(self._home), process=owner or "?") from error
        with plain_errors(self._home):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def leave(self) -> None:
        """Let go; idempotent. The file stays: removing it would let two owners hold two files of one name."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def find_place(home: Path, state_root: Path = STATE_ROOT) -> Place:
    """Where the database of ``home`` is, or will be made; decides, makes nothing.

    Raises :class:`HomeWrongOwner` when the data belongs to an account that we cannot become.
    """
    home = home.resolve()
    data, pointer = home / DATA_NAME, home / POINTER_NAME
    if pointer.is_file():
        data = Path(pointer.read_text(encoding="utf-8").strip())
        if not data.is_dir():
            raise DatabaseFolderMissing(path=str(data), pointer=str(pointer))
    account = _account_for(data)
    if os.geteuid() != 0 or account.reaches(data):
        return Place(data, _shelter(data.with_name(SHELTER_NAME), data), account)
    if data.exists():
        raise HomeUnwritable(path=str(data), reason="its folders are closed to the account that runs PostgreSQL")
    data = state_root / _digest(home) / DATA_NAME
    return Place(data, _shelter(data.with_name(SHELTER_NAME), data), account)


def settle(place: Place, home: Path) -> None:
    """Make the folders of ``place`` (not the data folder itself) and the pointer to it.

    Only for the owner of the lock, and while no server runs: the socket's folder is made anew.
    """
    root = os.geteuid() == 0
    with plain_errors(place.data):
        make_folder(place.data.parent, 0o711 if root else 0o700)
        if place.shelter.exists():
            _must_be_ours(place.shelter, place.account)
            shutil.rmtree(place.shelter)  # holds nothing but a dead server's socket, perhaps of another account
        make_folder(place.shelter, 0o711 if root else 0o700)
        _must_be_ours(place.shelter, place.account)
        make_folder(place.socket, 0o700)
        if root:
            os.chown(place.socket, place.account.uid, place.account.gid)
        pointer = home / POINTER_NAME
        if place.data.parent != home.resolve() and not pointer.exists():
            _put_aside(place.data)
            draft = pointer.with_suffix(".new")
            draft.write_text(f"{place.data}\n", encoding="utf-8")
            draft.rename(pointer)


def living_in(folder: Path) -> list[int]:
    """The processes whose working folder is ``folder`` (PostgreSQL's is its data folder); zombies are not among them.

    Linux only; elsewhere the list is empty and PostgreSQL's own lock file decides.
    """
    found = []
    folder = folder.resolve()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def owner_name(uid: int) -> str:
    """The account's name, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _account_for(data: Path) -> Account:
    """Whoever owns the data; for new data ourselves, or as root the first account of ``ACCOUNTS``."""
    own = os.geteuid()
    try:
        state = data.stat()
    except FileNotFoundError:
        if own != 0:
            return _named(Account(own, os.getegid()))
        for name in ACCOUNTS:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return Account(entry.pw_uid, entry.pw_gid)
        raise HomeWrongOwner(path=str(data), owner="root") from None
    except PermissionError:
        raise HomeWrongOwner(path=str(data), owner="?") from None
    if own == 0 and state.st_uid == 0:
        raise HomeWrongOwner(path=str(data), owner="root")
    if own not in (0, state.st_uid):
        raise HomeWrongOwner(path=str(data), owner=owner_name(state.st_uid))
    return _named(Account(state.st_uid, state.st_gid))


def _named(account: Account) -> Account:
    """PostgreSQL refuses to run as an account that has no name."""
    if owner_name(account.uid) == str(account.uid):
        raise AccountUnknown(uid=account.uid)
    return account


def _shelter(wanted: Path, data: Path) -> Path:
    """``wanted`` when a socket below it has a usable path, else a short folder of this user for this data."""
    longest = wanted / SOCKET_NAME / f"{SOCKET_FILE}.lock"
    if PLAIN_PATH.match(str(longest)) and len(os.fsencode(longest)) <= SOCKET_PATH_BYTES:
        return wanted
    if os.geteuid() == 0 and os.access("/run", os.W_OK):
        return Path("/run") / f"telemed-{_digest(data)}"
    return Path("/tmp") / f"telemed-{os.geteuid()}-{_digest(data)}"  # noqa: S108 - checked by _must_be_ours


def _must_be_ours(folder: Path, account: Account) -> None:
    """Refuse a folder that somebody else prepared (a short name in /tmp can be guessed)."""
    state = folder.lstat()
    ours = (os.geteuid(), account.uid) if os.geteuid() == 0 else (os.geteuid(),)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid not in ours or state.st_mode & 0o022:
        raise HomeWrongOwner(path=str(folder), owner=owner_name(state.st_uid))


def _put_aside(data: Path) -> None:
    """Data that no home points to any more (the home was emptied by hand) is kept beside, never deleted."""
    if data.exists():
        number = 1
        while (aside := data.with_name(f"{data.name}.left-{number}")).exists():
            number += 1
        data.rename(aside)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:HASH_DIGITS]
