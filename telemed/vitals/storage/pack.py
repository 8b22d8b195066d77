"""Hot rows of a stream, opened, packed into segments and laid over its pyramid: all but reading and writing them.

Runs in a thread; the rows are all of one batch, which is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from telemed_devices.faults import FrameError
from telemed_devices.native import Frame, unpack_frame

from telemed.store.sealing import DataKey, SealBroken
from telemed.vitals.storage import envelopes, segment
from telemed.vitals.storage.contexts import block_context, chunk_context, frame_context, segment_context
from telemed.vitals.storage.envelopes import Envelope, Reading, pack_envelopes
from telemed.vitals.storage.plan import Piece, Rate
from telemed.vitals.storage.pyramid import (
    BUCKETS,
    LEVELS,
    Extent,
    buckets,
    coarser,
    empty,
    pack_block,
    unpack_block,
    wide,
    widened,
)
from telemed.vitals.storage.segment import Samples, pack_frames

log = structlog.get_logger(__name__)

Place = tuple[int, int]  # level and block


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that is compacted: ``channels`` are those of its announcement, ``rate`` None for numbers; ``redecoded``
    changes when the readings of its hot chunks do."""

    id: int
    born: datetime
    key: DataKey
    rate: Rate | None
    channels: int
    redecoded: int


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """One segment, sealed. Of samples: ``first_sample``, ``n``, and stamp and length of each chunk in ``rows``."""

    stream: Stream
    first_seq: int
    last_seq: int
    codec: int
    t0_us: int
    t1_us: int
    nonce: bytes
    sealed: bytes
    first_sample: int | None = None
    n: int | None = None
    rows: npt.NDArray[Any] | None = None


@dataclass(slots=True)
class Batch:
    """What one transaction writes: segments, and for each stream what comes over its pyramid."""

    made: list[Made] = field(default_factory=list)
    over: dict[int, tuple[Stream, dict[Place, Extent]]] = field(default_factory=dict)
    size: int = 0
    samples: int = 0

    @property
    def chunks(self) -> int:
        """How many chunks its segments hold."""
        return sum(one.last_seq - one.first_seq + 1 for one in self.made)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    seq: int
    t0_us: int
    data: bytes
    frame: Frame | None
    reading: Reading | None


def pack(batch: Batch, stream: Stream, pieces: Sequence[Piece], rows: Mapping[int, Any]) -> None:
    """Add segments of these pieces to the batch; ``rows`` are their rows of ``hot_rows`` by number.

    A chunk that cannot be opened stays hot, and is told of in the log.
    """
    stretches: list[tuple[int, Samples]] = []  # first sample and samples, joined where they meet
    for piece in pieces:
        for group in _groups(stream, piece, rows):
            made = None
            frames = [one.frame for one in group if one.frame is not None]
            if len(frames) == len(group):
                made = _of_samples(stream, frames, [one.data for one in group], stretches)
            for one in [made] if made is not None else _of_envelopes(stream, group):
                batch.made.append(one)
                batch.size += len(one.sealed)
    if stretches:
        _, over = batch.over.setdefault(stream.id, (stream, {}))
        for first, samples in _joined(stretches):
            batch.samples += samples.size
            lay_over(over, first, samples)


def _groups(stream: Stream, piece: Piece, rows: Mapping[int, Any]) -> Iterator[list[_Opened]]:
    """The piece's chunks, opened; a group ends where one is missing or its samples are of another shape."""
    group: list[_Opened] = []
    for hot in piece.rows:
        opened = _open(stream, rows.get(hot.seq), native=piece.native)
        if group and (opened is None or not _together(group[-1], opened)):
            yield group
            group = []
        if opened is not None:
            group.append(opened)
    if group:
        yield group


def _together(before: _Opened, after: _Opened) -> bool:
    if before.frame is None or after.frame is None:
        return before.frame is after.frame
    return segment.follows(before.frame, after.frame)


def _open(stream: Stream, row: Any, *, native: bool) -> _Opened | None:
    if row is None:
        return None
    seq = row["seq"]
    try:
        data = stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]), chunk_context(stream.id, seq))
        reading = None
        if row["frame_sealed"] is not None:
            frame = (bytes(row["frame_nonce"]), bytes(row["frame_sealed"]))
            reading = Reading(row["decoder"], stream.key.open(*frame, frame_context(stream.id, seq)))
    except SealBroken:
        log.error("hot_chunk_broken", stream=stream.id, seq=seq)
        return None
    return _Opened(seq, row["t0_us"], data, _frame(stream, seq, data) if native else None, reading)


def _frame(stream: Stream, seq: int, data: bytes) -> Frame | None:
    """The chunk's samples; None when it is not what a native chunk of this stream and number is."""
    try:
        frame = unpack_frame(data, uplink=True)
    except FrameError:
        return None
    return frame if frame.seq == seq and frame.channels == stream.channels else None


def _of_samples(
    stream: Stream, frames: list[Frame], chunks: list[bytes], stretches: list[tuple[int, Samples]]
) -> Made | None:
    packed = pack_frames(frames, chunks)
    if packed is None:
        return None
    first, last = frames[0], frames[-1]
    nonce, sealed = stream.key.seal(packed.data, segment_context(stream.id, first.seq))
    stretches.append((first.first_sample, packed.samples))
    end_us = last.t0_us + (0 if stream.rate is None else stream.rate.us(last.n))
    return Made(
        stream, first.seq, last.seq, segment.CODEC, first.t0_us, end_us, nonce, sealed, first.first_sample,
        packed.samples.shape[1], packed.rows,
    )


def _of_envelopes(stream: Stream, group: Sequence[_Opened]) -> Iterator[Made]:
    for at in range(0, len(group), envelopes.ENVELOPES_MAX):
        part = group[at : at + envelopes.ENVELOPES_MAX]
        first = part[0].seq
        data = pack_envelopes(first, [Envelope(one.t0_us, one.data, one.reading) for one in part])
        nonce, sealed = stream.key.seal(data, segment_context(stream.id, first))
        stamps = [one.t0_us for one in part]
        yield Made(stream, first, part[-1].seq, envelopes.CODEC, min(stamps), max(stamps), nonce, sealed)


def _joined(stretches: Sequence[tuple[int, Samples]]) -> Iterator[tuple[int, Samples]]:
    """Stretches of samples, those that follow each other in one piece: fewer and longer steps up the pyramid."""
    parts: list[Samples] = []
    first = past = 0
    for begin, samples in stretches:
        if parts and (begin != past or samples.dtype != parts[0].dtype):
            yield first, np.concatenate(parts, axis=1)
            parts = []
        if not parts:
            first = begin
        parts.append(samples)
        past = begin + samples.shape[1]
    if parts:
        yield first, np.concatenate(parts, axis=1)


def lay_over(over: dict[Place, Extent], first: int, samples: Samples) -> None:
    """Widen the blocks in ``over`` by samples (channels, n) of which the first has the index ``first``."""
    begin, extent = buckets(samples, first, LEVELS[0])
    for level in LEVELS:
        if level != LEVELS[0]:
            begin, extent = coarser(begin, extent)
        count = extent[0].shape[1]
        for block in range(begin // BUCKETS, (begin + count - 1) // BUCKETS + 1):
            left, right = max(begin, block * BUCKETS), min(begin + count, (block + 1) * BUCKETS)
            part = (extent[0][:, left - begin : right - begin], extent[1][:, left - begin : right - begin])
            place = (level, block)
            there = over[place] if place in over else empty(samples.shape[0], samples.dtype)
            over[place] = _laid(there, part, left - block * BUCKETS)


def merged(
    stream: Stream, over: Mapping[Place, Extent], there: Iterable[Any]
) -> Iterator[tuple[int, datetime, int, int, bytes, bytes]]:
    """Rows of the pyramid: the blocks laid over those that are there (rows of ``blocks_there``), sealed again."""
    stored = {}
    for row in there:
        context = block_context(stream.id, row["level"], row["block"])
        stored[row["level"], row["block"]] = unpack_block(
            stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]), context)
        )
    for (level, block), fresh in over.items():
        extent = _laid(stored.get((level, block), fresh), fresh, 0)
        nonce, sealed = stream.key.seal(pack_block(extent), block_context(stream.id, level, block))
        yield stream.id, stream.born, level, block, nonce, sealed


def _laid(block: Extent, part: Extent, at: int) -> Extent:
    """The block with the part laid over it; int32 when either is."""
    if block[0].dtype != part[0].dtype:
        block, part = wide(block), wide(part)
    return widened(block, at, part)
