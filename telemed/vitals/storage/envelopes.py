"""Envelopes and their readings packed into one segment (codec 2): chunks that are not native, byte for byte. Pure.

What is packed is unpacked and compared before it is handed out, as in :mod:`telemed.vitals.storage.segment`. The
envelopes are evidence and never change; readings and decoder may be replaced when a better decoder has read the same
envelopes again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard

from telemed.vitals.storage.codec import LEVEL

CODEC: Final = 2
ENVELOPES_MAX: Final = 256  # of one segment: four minutes of numbers once a second
ENVELOPES_BYTES: Final = 2 * 2**20  # of envelopes and readings, where there is more than one
PLAIN_BYTES_MAX: Final = 64 * 2**20  # what a segment may claim to hold: an envelope has 1 MiB at most
_HEAD: Final = struct.Struct("<BBHIQ")  # version, 0, envelopes, bytes once unpacked, first seq
_NAMES: Final = struct.Struct("<I")  # bytes of the decoders' names
_VERSION: Final = 1
_NONE: Final = 0xFFFF_FFFF  # length of readings that are not there
_ROW: Final = np.dtype([("t0_us", "<i8"), ("size", "<u4"), ("reading", "<u4"), ("decoder", "<u2")])


@dataclass(frozen=True, slots=True)
class Reading:
    """What a decoder read in an envelope: its name and version, and the JSON of the readings as a frame has it."""

    decoder: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """One chunk as the station sent it, its stamp, and its readings where it has some."""

    t0_us: int
    data: bytes
    reading: Reading | None = None

    @property
    def size(self) -> int:
        """Bytes of envelope and readings."""
        return len(self.data) + (0 if self.reading is None else len(self.reading.data))


@dataclass(frozen=True, slots=True)
class Envelopes:
    """Chunks ``first_seq``, ``first_seq + 1``, … of one stream."""

    first_seq: int
    rows: tuple[Envelope, ...]

    def chunk(self, at: int) -> bytes:
        """The bytes of the chunk at this place, as the station sent them."""
        return self.rows[at].data


def pack_envelopes(first_seq: int, rows: Sequence[Envelope]) -> bytes:
    """The bytes of a segment of these envelopes. Raises ``ValueError`` when they are none or too many."""
    if not 1 <= len(rows) <= ENVELOPES_MAX:
        raise ValueError(f"1 to {ENVELOPES_MAX} envelopes, not {len(rows)}")
    names = sorted({row.reading.decoder for row in rows if row.reading is not None})
    table = np.array([
        (row.t0_us, len(row.data), *((_NONE, 0) if row.reading is None else
                                     (len(row.reading.data), names.index(row.reading.decoder))))
        for row in rows
    ], _ROW)
    named = json.dumps(names).encode()
    plain = b"".join((
        table.tobytes(), _NAMES.pack(len(named)), named, *(row.data for row in rows),
        *(row.reading.data for row in rows if row.reading is not None),
    ))
    if len(plain) > PLAIN_BYTES_MAX:
        raise ValueError(f"{len(plain)} bytes of envelopes")
    data = _HEAD.pack(_VERSION, 0, len(rows), len(plain), first_seq) + zstandard.ZstdCompressor(LEVEL).compress(plain)
    if unpack_envelopes(data) != Envelopes(first_seq, tuple(rows)):
        raise ValueError("envelopes that do not come back as they are")
    return data


def unpack_envelopes(data: bytes) -> Envelopes:
    """The envelopes in these bytes. Raises ``ValueError``."""
    if len(data) < _HEAD.size:
        raise ValueError("not a segment of envelopes")
    version, _, count, size, first_seq = _HEAD.unpack_from(data)
    if version != _VERSION or not 1 <= count <= ENVELOPES_MAX or size > PLAIN_BYTES_MAX:
        raise ValueError("not a segment of envelopes")
    try:
        plain = zstandard.ZstdDecompressor().decompress(data[_HEAD.size :], max_output_size=size)
    except zstandard.ZstdError as error:
        raise ValueError("not a segment of envelopes") from error
    at = count * _ROW.itemsize
    if len(plain) != size or size < at + _NAMES.size:
        raise ValueError("not a segment of envelopes")
    table = np.frombuffer(plain, _ROW, count).tolist()
    (length,) = _NAMES.unpack_from(plain, at)
    at += _NAMES.size
    names = json.loads(plain[at : at + length])
    at += length
    reading_at = at + sum(row[1] for row in table)
    rows = []
    for t0_us, taken, read, decoder in table:
        reading = None
        if read != _NONE:
            reading = Reading(names[decoder], plain[reading_at : reading_at + read])
            reading_at += read
        rows.append(Envelope(t0_us, plain[at : at + taken], reading))
        at += taken
    if reading_at != size:
        raise ValueError("not a segment of envelopes")
    return Envelopes(first_seq, tuple(rows))
