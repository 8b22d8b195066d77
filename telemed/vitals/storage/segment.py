"""A segment: up to ten seconds of native chunks as one block of samples, each chunk recoverable to the last bit. Pure.

What is packed is compared with what was given before it is handed out: a chunk that would not come back as it was is
refused here, and stays as it is. Chunks that are not native are packed by :mod:`telemed.vitals.storage.envelopes`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard
from telemed_devices.native import Frame, pack_frame, unpack_frame

from telemed.vitals.storage.codec import LEVEL, packed, unpacked

CODEC: Final = 1
SECONDS: Final = 10  # of samples in one segment (measured: longer ones are hardly smaller and slower to open)
CHUNKS_MAX: Final = 1_024  # of one segment, whatever their length
# version, bytes a sample, channels, 0, stream, chunks, first seq, first sample, samples a channel, bytes of the table
_HEAD: Final = struct.Struct("<BBBBIIQQII")
_VERSION: Final = 1

Samples = npt.NDArray[np.signedinteger[Any]]
_ROW: Final = np.dtype([("t0_us", "<i8"), ("n", "<u4"), ("flags", "<u4")])


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Chunks ``first_seq``, ``first_seq + 1``, … of one stream, whose samples follow each other without a hole.

    ``samples`` is (channels, n) of int16 or int32, ``first_sample`` the index of its first; ``rows`` says of each
    chunk its stamp ``t0_us``, its ``n`` samples a channel and its ``flags``.
    """

    number: int  # the station's number of the stream
    first_seq: int
    first_sample: int
    rows: npt.NDArray[np.void]
    samples: Samples

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where in ``samples`` each chunk begins, and the end of the last: one more than there are chunks."""
        return np.concatenate([[0], np.cumsum(self.rows["n"], dtype=np.int64)])

    def chunk(self, at: int) -> bytes:
        """The bytes of the chunk at this place, as the station sent them."""
        return next(self.chunks(at, at + 1))

    def chunks(self, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of the chunks at these places, in order."""
        starts, rows = self.starts.tolist(), self.rows.tolist()
        for at in range(begin, len(rows) if end is None else end):
            first, past = starts[at], starts[at + 1]
            t0_us, _, flags = rows[at]
            yield pack_frame(Frame(
                self.number, self.first_seq + at, self.first_sample + first, t0_us, self.samples[:, first:past], flags
            ))


def follows(before: Frame, after: Frame) -> bool:
    """Whether a segment that ends with ``before`` may go on with ``after``."""
    return (
        after.seq == before.seq + 1
        and after.first_sample == before.first_sample + before.n
        and after.channels == before.channels
        and after.samples.dtype == before.samples.dtype
    )


@dataclass(frozen=True, slots=True, eq=False)
class PackedSegment:
    """A segment's bytes, and the samples and rows that are in them."""

    data: bytes
    rows: npt.NDArray[np.void]
    samples: Samples


def pack_segment(chunks: Sequence[bytes]) -> bytes | None:
    """The bytes of a segment of these chunks, each following the one before; None if one would not come back as it is.

    Raises ``FrameError`` for what is no native frame and ``ValueError`` where one does not follow.
    """
    packed_segment = pack_frames([unpack_frame(chunk, uplink=True) for chunk in chunks], chunks)
    return None if packed_segment is None else packed_segment.data


def pack_frames(frames: Sequence[Frame], chunks: Sequence[bytes]) -> PackedSegment | None:
    """As :func:`pack_segment`; ``frames`` are what the chunks hold."""
    if not 1 <= len(frames) <= CHUNKS_MAX or not all(starmap(follows, pairwise(frames))):
        raise ValueError("chunks of a segment follow each other")
    rows = np.array([(one.t0_us, one.n, one.flags) for one in frames], _ROW)
    samples = np.concatenate([one.samples for one in frames], axis=1)
    first = frames[0]
    table = zstandard.ZstdCompressor(LEVEL).compress(rows.tobytes())
    data = _HEAD.pack(
        _VERSION, samples.dtype.itemsize, first.channels, 0, first.stream, len(frames), first.seq, first.first_sample,
        samples.shape[1], len(table),
    ) + table + packed(samples)
    again = unpack_segment(data)
    if list(again.chunks()) != list(chunks):
        return None
    return PackedSegment(data, rows, samples)


def unpack_segment(data: bytes) -> Segment:
    """The segment in these bytes. Raises ``ValueError``."""
    if len(data) < _HEAD.size:
        raise ValueError("not a segment")
    version, itemsize, channels, _, number, count, seq, sample, n, length = _HEAD.unpack_from(data)
    if version != _VERSION or itemsize not in (2, 4) or not 1 <= count <= CHUNKS_MAX:
        raise ValueError("not a segment")
    split = _HEAD.size + length
    try:
        table = zstandard.ZstdDecompressor().decompress(data[_HEAD.size : split], max_output_size=count * _ROW.itemsize)
    except zstandard.ZstdError as error:
        raise ValueError("not a segment") from error
    rows = np.frombuffer(table, _ROW)
    if len(rows) != count or int(rows["n"].sum()) != n:
        raise ValueError("not a segment")
    return Segment(number, seq, sample, rows, unpacked(data[split:], channels, n, itemsize))
