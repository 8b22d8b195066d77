"""The files of a backup: one compressed stream in parts, and the manifest that says what they must be.

The manifest is written last and sealed under a key that the installation's key wraps: without it there is no backup,
and who does not have the installation's key can neither read a patient nor make or change a backup that is taken.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from telemed.errors import TelemedError
from telemed.store.folders import DiskFull
from telemed.store.installation import KeyMismatch
from telemed.store.sealing import SealBroken, Sealer, sync_folder

MANIFEST = "manifest.json"  # its presence is what makes a folder a backup
FORMAT = 1
PART_NAME = "database.{:04d}.zst"
PART_PATTERN = re.compile(r"database\.\d{4,}\.zst")
PART_BYTES = 2**30  # fits every file system, and a damaged one is told by name
BLOCK_BYTES = 2**20
MANIFEST_BYTES = 16 * 2**20  # 100,000 parts are 12 MB
LEVEL = 1  # sealed bytes do not shrink; what shrinks is pg_dump's hexadecimal of them, at any level by half
MODE = 0o600

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


class BackupUnfinished(TelemedError):
    """The folder has no manifest: no backup, or one that was not finished."""

    code = "backup_unfinished"
    status = 500


class BackupAltered(TelemedError):
    """A file of the backup is missing or is not what was written; ``name`` says which."""

    code = "backup_altered"
    status = 500


class BackupNewer(TelemedError):
    """A newer program made the backup, in a form unknown here."""

    code = "backup_newer"
    status = 500


class BackupFolderUnusable(TelemedError):
    """The folder, or a file in it, cannot be made, written or read."""

    code = "backup_folder_unusable"
    status = 500


@contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Failures of the file system in the body become ``DiskFull`` or :class:`BackupFolderUnusable`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path=str(folder)) from error
        raise BackupFolderUnusable(path=str(folder), reason=error.strerror or str(error)) from error


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a backup."""

    name: str
    size_bytes: int
    sha256: str  # hexadecimal


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. ``tables`` counts the rows of each table at the moment that the backup shows."""

    made_at: str  # ISO 8601, UTC: the moment of the snapshot
    telemed: str
    postgresql: int  # the major version it was taken from
    migrations: tuple[tuple[str, str], ...]  # name and SHA-256, in order
    tables: Mapping[str, int]
    parts: tuple[Part, ...]

    @property
    def size_bytes(self) -> int:
        """Of all parts together."""
        return sum(part.size_bytes for part in self.parts)


class PartWriter:
    """Compresses what is written into files of at most ``PART_BYTES`` in ``folder``; each is durable when closed."""

    def __init__(self, folder: Path, part_bytes: int = PART_BYTES) -> None:
        self._folder = folder
        self._part_bytes = part_bytes
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._room = 0
        self._parts: list[Part] = []
        self.written_bytes = 0

    def write(self, plain: bytes) -> None:
        """Take more of the stream. Raises ``DiskFull``, :class:`BackupFolderUnusable`."""
        with folder_errors(self._folder):
            self._store(self._compressor.compress(plain))

    def finish(self) -> tuple[Part, ...]:
        """End the stream; the parts in order. Raises as :meth:`write`."""
        with folder_errors(self._folder):
            self._store(self._compressor.flush())
            self._end_part()
        return tuple(self._parts)

    def abandon(self) -> None:
        """Close what is open, without a promise."""
        if self._file is not None:
            self._file.close()

    def _store(self, packed: bytes) -> None:
        view = memoryview(packed)
        while view:
            if self._file is None:
                path = self._folder / PART_NAME.format(len(self._parts) + 1)
                self._file = _new_file(path)
                self._hash, self._room = hashlib.sha256(), self._part_bytes
            piece = view[: self._room]
            self._file.write(piece)
            self._hash.update(piece)
            self._room -= len(piece)
            self.written_bytes += len(piece)
            view = view[len(piece) :]
            if self._room == 0:
                self._end_part()

    def _end_part(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
        file.close()
        self._parts.append(Part(PART_NAME.format(len(self._parts) + 1), size, self._hash.hexdigest()))


def write_manifest(folder: Path, manifest: Manifest, sealer: Sealer) -> None:
    """Make ``folder`` a backup: durable when this returns, and never half. Raises as ``PartWriter.write``."""
    key = sealer.new_key()
    said: dict[str, Any] = {
        "format": FORMAT,
        "made_at": manifest.made_at,
        "telemed": manifest.telemed,
        "postgresql": manifest.postgresql,
        "migrations": [list(one) for one in manifest.migrations],
        "tables": dict(manifest.tables),
        "files": [{"name": one.name, "bytes": one.size_bytes, "sha256": one.sha256} for one in manifest.parts],
        "key": base64.b64encode(sealer.wrap(key)).decode(),
    }
    said["seal"] = _seal(said, key)
    draft = folder / f"{MANIFEST}.new"
    with folder_errors(folder):
        with _new_file(draft) as file:
            file.write(json.dumps(said, indent=1, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(folder / MANIFEST)
        for place in (folder, folder.parent):
            sync_folder(place)


def read_manifest(folder: Path, sealer: Sealer, key_file: Path) -> Manifest:
    """What the backup in ``folder`` says of itself, once it is known that this installation's key sealed it.

    Raises :class:`BackupUnfinished`, :class:`BackupAltered`, :class:`BackupNewer`; ``KeyMismatch`` when the key is
    another installation's.
    """
    if not (folder / MANIFEST).exists():
        raise BackupUnfinished(path=str(folder))
    with folder_errors(folder), (folder / MANIFEST).open("rb") as file:
        text = file.read(MANIFEST_BYTES)
    altered = BackupAltered(name=str(folder / MANIFEST))
    try:
        said = json.loads(text)
        form, wrapped, seal = said["format"], base64.b64decode(said["key"], validate=True), said.pop("seal")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise altered from None
    try:
        key = sealer.unwrap(wrapped)
    except SealBroken:
        raise KeyMismatch(path=str(key_file)) from None
    if not isinstance(seal, str) or not hmac.compare_digest(seal.encode(), _seal(said, key).encode()):
        raise altered
    if form != FORMAT:
        raise BackupNewer(path=str(folder))
    # Sealed by us: what follows has the shape that write_manifest gave it.
    parts = tuple(Part(one["name"], one["bytes"], one["sha256"]) for one in said["files"])
    return Manifest(
        said["made_at"], said["telemed"], said["postgresql"],
        tuple((name, sha256) for name, sha256 in said["migrations"]), said["tables"], parts,
    )


def check_parts(folder: Path, manifest: Manifest, progress: Progress) -> None:
    """Read every file and compare it with the manifest.

    Raises :class:`BackupAltered` at the first that differs, :class:`BackupFolderUnusable`.
    """
    done, total = 0, manifest.size_bytes
    for part in manifest.parts:
        path, found = folder / part.name, hashlib.sha256()
        if not path.exists() or path.stat().st_size != part.size_bytes:
            raise BackupAltered(name=str(path))
        for block in _blocks(path):
            found.update(block)
            done += len(block)
            progress("check", done, total)
        if not hmac.compare_digest(found.hexdigest(), part.sha256):
            raise BackupAltered(name=str(path))


def plain_blocks(folder: Path, manifest: Manifest, progress: Progress) -> Iterator[bytes]:
    """The stream that was written, in blocks. Raises :class:`BackupAltered`, :class:`BackupFolderUnusable`."""
    unpacking = zstandard.ZstdDecompressor().decompressobj()
    done, total = 0, manifest.size_bytes
    for part in manifest.parts:
        for block in _blocks(folder / part.name):
            done += len(block)
            try:
                plain = unpacking.decompress(block)
            except zstandard.ZstdError:
                raise BackupAltered(name=str(folder / part.name)) from None
            if plain:
                yield plain
            progress("restore", done, total)
    if not unpacking.eof:
        raise BackupAltered(name=str(folder / MANIFEST))


def remove_unfinished(folder: Path, made: bool) -> None:
    """Take away the files of an attempt that failed; the folder too when it was made for it."""
    for path in list(folder.iterdir()):
        if path.name == f"{MANIFEST}.new" or PART_PATTERN.fullmatch(path.name):
            path.unlink(missing_ok=True)
    if made:
        folder.rmdir()


def _seal(said: Mapping[str, Any], key: bytes) -> str:
    plain = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    return hmac.digest(key, plain, "sha256").hex()


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE), "wb")


def _blocks(path: Path) -> Iterator[bytes]:
    with folder_errors(path), path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
