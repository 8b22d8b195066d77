"""What the refusals of disk and SQLite mean for the spool: no room, not allowed, or damaged."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from telemed_station.errors import SpoolDamaged, SpoolFull, SpoolUnwritable, StationError

PRIMARY = 0xFF  # sqlite.org/rescode.html: the low byte of an extended result code
ROOM_BYTES = 1 << 20  # the file beside the spool that SQLite needs to open it takes 32 KiB, a first commit some more
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
# Reading found something else than what was written there.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR})
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})


@contextmanager
def at_work() -> Iterator[None]:
    """Raise ``SpoolFull`` for whatever keeps the running program from its file: it may pass, and is tried again."""
    try:
        yield
    except sqlite3.OperationalError as error:  # the disk is full, or cannot be written
        raise SpoolFull(reason=str(error)) from error


@contextmanager
def at_start(path: Path) -> Iterator[None]:
    """Raise what is the matter with the file that is being opened, each with its own sentence."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise named(error, path) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in NO_ROOM:
            raise SpoolFull(reason=reason) from error
        raise SpoolUnwritable(file=str(path), reason=reason) from error


def named(error: sqlite3.DatabaseError, path: Path) -> StationError:
    """What an error at opening means."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _UNREADABLE or code & PRIMARY in _DAMAGED:
        return SpoolDamaged(file=str(path))
    # A disk without room also shows itself as a file beside it that cannot be made, or not grown (…IOERR_SHMSIZE).
    if code & PRIMARY == sqlite3.SQLITE_FULL or _no_room(path):
        return SpoolFull(reason=str(error))
    return SpoolUnwritable(file=str(path), reason=str(error))


def _no_room(path: Path) -> bool:
    try:
        room = os.statvfs(path.parent)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < ROOM_BYTES or (room.f_files > 0 and room.f_favail == 0)
