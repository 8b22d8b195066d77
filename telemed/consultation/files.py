"""Files shared in a visit: sealed in parts under a key of their own, which the patient's key wraps.

While a file comes in, its sealed parts lie in an unnamed temporary file; the database holds nothing of it before it is
whole and known to be what it says. Plain bytes are on no disk.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from telemed.consultation import file_types
from telemed.consultation.door import Room
from telemed.consultation.file_types import EXTENSIONS, OTHER, SAYS_NOTHING, Inspection
from telemed.errors import BodyTooLarge, KeyDestroyed, NotFound, TelemedError
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import NONCE_BYTES, TAG_BYTES, DataKey, Sealer

SQL = load_sql("chat")
FILE_BYTES: Final = 25 * 2**20  # of one file: a photo of a telephone has 3 to 12 MiB, a scanned report less
PART_BYTES: Final = 2**20  # sealed and stored at a time
FILES_A_VISIT: Final = 50
VISIT_BYTES: Final = 200 * 2**20  # of all files of a visit


class FileEmpty(TelemedError):
    """The file has no bytes."""

    code = "file_empty"
    status = 400


class FileTooLarge(BodyTooLarge):
    """The file is larger than ``bytes``."""

    code = "file_too_large"
    status = 413


class FileTypeRefused(TelemedError):
    """Files of this type (``found``) are not taken."""

    code = "file_type_refused"
    status = 415


class FileTypeDiffers(TelemedError):
    """The content is not what the declared type says; it looks like ``found``."""

    code = "file_type_differs"
    status = 422


class FilesFull(TelemedError):
    """The visit holds as many files (``files``) or bytes (``bytes``) as it may."""

    code = "files_full"
    status = 409


@dataclass(frozen=True, slots=True)
class FileBrief:
    """A stored file; ``sha256`` is of the plain bytes, in hexadecimal."""

    id: UUID
    name: str
    media_type: str
    bytes: int
    sha256: str


class Incoming:
    """A file on its way in: fed as it comes, then finished, then stored or forgotten (``close``)."""

    def __init__(self, sealer: Sealer, content_type: str) -> None:
        self.id = uuid4()
        self.bytes = 0
        self._declared = file_types.declared(content_type)
        if self._declared not in SAYS_NOTHING and self._declared not in EXTENSIONS:
            raise FileTypeRefused(found=_wire(self._declared))
        self._key = sealer.new_key()
        self._seals = DataKey(self._key)
        self._hash = hashlib.sha256()
        self._inspection = Inspection()
        self._part = bytearray()
        self._lengths: list[int] = []
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises ``FileTooLarge`` as soon as there are too many."""
        self.bytes += len(data)
        if self.bytes > FILE_BYTES:
            raise FileTooLarge(bytes=FILE_BYTES)
        self._hash.update(data)
        self._inspection.feed(data)
        self._part += data
        while len(self._part) >= PART_BYTES:
            self._seal(bytes(self._part[:PART_BYTES]))
            del self._part[:PART_BYTES]

    def finish(self, name: str) -> FileBrief:
        """What came. Raises ``FileEmpty``, ``FileTypeRefused``, ``FileTypeDiffers``."""
        if self.bytes == 0:
            raise FileEmpty()
        if self._part:
            self._seal(bytes(self._part))
            self._part.clear()
        found = self._inspection.found()
        if self._declared in SAYS_NOTHING and found not in EXTENSIONS:
            raise FileTypeRefused(found=found)
        if self._declared not in SAYS_NOTHING and found != self._declared:
            raise FileTypeDiffers(found=found, declared=self._declared)
        return FileBrief(self.id, file_types.label(name, found), found, self.bytes, self._hash.hexdigest())

    async def store(
        self, connection: Connection, sealer: Sealer, room: Room, patient_key: bytes, brief: FileBrief,
        author_kind: str, author_id: str,
    ) -> None:
        """Put the finished file into the room, which the caller holds. Raises ``FilesFull``."""
        await check_room(connection, room, self.bytes)
        named = json.dumps({"name": brief.name, "sha256": brief.sha256})
        nonce, meta = self._seals.seal(named.encode(), _meta(self.id))
        await connection.execute(
            SQL["file_insert"], self.id, room.organisation_id, room.id, author_kind, UUID(author_id),
            brief.media_type, self.bytes, sealer.wrap(self._key, patient_key), nonce + meta,
        )
        for n, (nonce, sealed) in enumerate(self._sealed()):
            await connection.execute(SQL["file_part_insert"], self.id, n, nonce, sealed)

    def close(self) -> None:
        """Forget the bytes; idempotent."""
        self._spool.close()

    def _seal(self, part: bytes) -> None:
        nonce, sealed = self._seals.seal(part, _place(self.id, len(self._lengths)))
        self._spool.write(nonce + sealed)
        self._lengths.append(len(sealed))

    def _sealed(self) -> Iterator[tuple[bytes, bytes]]:
        self._spool.seek(0)
        for length in self._lengths:
            yield self._spool.read(NONCE_BYTES), self._spool.read(length)


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored file with the key that opens its parts."""

    brief: FileBrief
    key: DataKey

    @property
    def parts(self) -> int:
        """How many parts it has."""
        return -(-self.brief.bytes // PART_BYTES)


async def check_room(connection: Connection, room: Room, size: int) -> None:
    """Pass when a file of ``size`` bytes has room in the visit. Raises ``FilesFull``."""
    held = await connection.fetchrow(SQL["files_held"], room.id)
    if held["files"] >= FILES_A_VISIT or held["bytes"] + size > VISIT_BYTES:
        raise FilesFull(files=FILES_A_VISIT, bytes=VISIT_BYTES)


async def find(connection: Connection, sealer: Sealer, room: Room, file_id: UUID) -> Stored:
    """The room's file. Raises ``NotFound``, ``KeyDestroyed``."""
    row = await connection.fetchrow(SQL["file_find"], room.id, file_id)
    if row is None:
        raise NotFound()
    if row["patient_key"] is None:
        raise KeyDestroyed()
    patient_key = sealer.unwrap(bytes(row["patient_key"]))
    return Stored(_brief(row, row["id"], sealer, patient_key), _key(row, sealer, patient_key))


async def part(connection: Connection, stored: Stored, n: int) -> bytes:
    """Part ``n`` of the file: ``PART_BYTES``, the last one less. Raises ``NotFound``, ``SealBroken``."""
    row = await connection.fetchrow(SQL["file_part"], stored.brief.id, n)
    if row is None or len(row["sealed"]) < TAG_BYTES:
        raise NotFound()
    return stored.key.open(bytes(row["nonce"]), bytes(row["sealed"]), _place(stored.brief.id, n))


def brief_of(row: Mapping[str, Any], sealer: Sealer, patient_key: bytes) -> FileBrief:
    """The file in a chat line's row."""
    return _brief(row, row["file_id"], sealer, patient_key)


def _brief(row: Mapping[str, Any], file_id: UUID, sealer: Sealer, patient_key: bytes) -> FileBrief:
    sealed = bytes(row["meta_sealed"])
    meta = json.loads(_key(row, sealer, patient_key).open(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _meta(file_id)))
    return FileBrief(file_id, meta["name"], row["media_type"], row["bytes"], meta["sha256"])


def _key(row: Mapping[str, Any], sealer: Sealer, patient_key: bytes) -> DataKey:
    return DataKey(sealer.unwrap(bytes(row["file_key"]), patient_key))


def _place(file_id: UUID, n: int) -> bytes:
    return b"shared file" + file_id.bytes + n.to_bytes(4, "big")


def _meta(file_id: UUID) -> bytes:
    return b"shared file's name" + file_id.bytes


def _wire(declared: str) -> str:
    """A declared type as a refusal may repeat it: a short token, or nothing in particular."""
    plain = declared.replace("/", "").replace("-", "").replace("+", "").replace(".", "")
    return declared if plain.isascii() and plain.isalnum() and len(declared) <= 80 else OTHER
