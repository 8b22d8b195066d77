"""The spool's key: a file of 32 random bytes that its owner alone may read, made whole and durable when it is absent.

By default it lies beside the spool; ``TELEMED_SPOOL_KEY_FILE`` names another place, on another disk or none at all
while the machine is off.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from telemed_station.errors import SpoolKeyOpen, SpoolKeyUnusable

NAME = "spool.key"
KEY_BYTES = 32  # AES-256
KEY_FILE_MODE = 0o600


def load_key(path: Path) -> bytes | None:
    """The key; None when there is no such file.

    Raises ``SpoolKeyOpen`` when group or others have any right on it, ``SpoolKeyUnusable`` when it cannot be read or is
    no file of 32 bytes.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SpoolKeyUnusable(file=str(path), reason=error.strerror or str(error)) from error


def make_key(path: Path) -> bytes:
    """A new key, on disk before this returns; or the one that somebody else made first. Raises as ``load_key``."""
    try:
        _make(path)
        return _read(path)
    except OSError as error:
        raise SpoolKeyUnusable(file=str(path), reason=error.strerror or str(error)) from error


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, KEY_FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # never in the place of a key that is there already
    finally:
        draft.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the folder's names on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not hold us
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise SpoolKeyUnusable(file=str(path), reason="not a file")
        if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SpoolKeyOpen(file=str(path))
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise SpoolKeyUnusable(file=str(path), reason=f"not {KEY_BYTES} bytes")
    return key
