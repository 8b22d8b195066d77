"""The chunk envelope: bytes of a device that does not speak native frames, under 40 bytes of header.

Byte for byte docs/protocol.md section 3. ``unpack_chunk(pack_chunk(c)) == c``; every other byte string is
refused with the :class:`~telemed_devices.faults.ChunkError` that names the first thing wrong with it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from telemed_devices.faults import (
    ChunkChecksum,
    ChunkLength,
    ChunkMagic,
    ChunkNumber,
    ChunkReserved,
    ChunkTime,
    ChunkTooShort,
    ChunkVersion,
)
from telemed_devices.native import EARLIEST_US, LATEST_US

MAGIC: Final = b"TMC1"
VERSION: Final = 1
HEADER_BYTES: Final = 40
MAX_PAYLOAD_BYTES: Final = 1_048_576
"""One WebSocket message of the uplink (docs/protocol.md section 4)."""

_HEADER: Final = struct.Struct("<4sBBHIIQqII")  # the table of section 3, in its order
_CRC_OFFSET: Final = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """A device's bytes, unchanged; ``t0_us`` is the stamp of arrival of the first of them."""

    stream: int
    seq: int
    t0_us: int
    payload: bytes


def pack_chunk(chunk: Chunk) -> bytes:
    """The bytes of an envelope; refuses what :func:`unpack_chunk` would refuse."""
    if not (0 <= chunk.stream <= 0xFFFF_FFFF and 0 <= chunk.seq <= 0xFFFF_FFFF_FFFF_FFFF):
        raise ChunkNumber
    _check_length(len(chunk.payload))
    _check_time(chunk.t0_us)

    def header(crc: int) -> bytes:
        return _HEADER.pack(
            MAGIC, VERSION, 0, 0, chunk.stream, len(chunk.payload), chunk.seq, chunk.t0_us, crc, 0
        )  # fmt: skip

    return header(zlib.crc32(chunk.payload, zlib.crc32(header(0)))) + chunk.payload


def unpack_chunk(data: bytes | memoryview) -> Chunk:
    """The chunk in ``data``, whole and nothing beside it. Raises a subclass of ``ChunkError``; nothing else."""
    view = memoryview(data)
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    if len(view) < HEADER_BYTES:
        raise ChunkTooShort(length=len(view))
    magic, version, reserved8, reserved16, stream, payload_len, seq, t0_us, crc, flags = _HEADER.unpack_from(view)
    if magic != MAGIC:
        raise ChunkMagic
    if version != VERSION:
        raise ChunkVersion(version=version)
    if reserved8 or reserved16 or flags:
        raise ChunkReserved(flags=flags)
    _check_length(payload_len)
    if len(view) != HEADER_BYTES + payload_len:
        raise ChunkLength(length=len(view), expected=HEADER_BYTES + payload_len)
    computed = zlib.crc32(view[_CRC_OFFSET + 4 :], zlib.crc32(b"\0\0\0\0", zlib.crc32(view[:_CRC_OFFSET])))
    if computed != crc:
        raise ChunkChecksum
    _check_time(t0_us)
    return Chunk(stream, seq, t0_us, bytes(view[HEADER_BYTES:]))


def _check_length(payload_len: int) -> None:
    if not 1 <= payload_len <= MAX_PAYLOAD_BYTES:
        raise ChunkLength(length=payload_len, expected=MAX_PAYLOAD_BYTES)


def _check_time(t0_us: int) -> None:
    if not EARLIEST_US <= t0_us < LATEST_US:
        raise ChunkTime(t0_us=t0_us)
