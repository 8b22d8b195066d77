"""Stored samples of a window as the review's answer (protocol section 7): raw, or filtered without delay.

The answer is made piece by piece: chunks are read and opened in batches, off the event loop, and given on as
native frames, so that an hour never lies in memory. ``monitor`` is the zero-phase filter, computed over each
run of samples with a margin on both sides, and says so. A hole is a hole: runs end there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from telemed_devices.native import Codec, Frame, pack_frame, unpack_frame
from telemed_signal.filters import MONITOR, FilterSpec, quantise, zero_phase
from telemed_signal.gaps import runs
from telemed_signal.minmax import columns as least_and_greatest
from telemed_signal.minmax import combine

from telemed.store.database import Connection, load_sql
from telemed.vitals.commit import chunk_context
from telemed.vitals.faults import ViewUnknown, WindowTooLarge
from telemed.vitals.live import describe
from telemed.vitals.stored import StoredStream

SQL = load_sql("vitals")
WINDOW_US: Final = 24 * 3_600_000_000  # of one question
COLUMNS_MAX: Final = 8_192  # protocol section 7
RAW_VALUES: Final = 24_000_000  # samples x channels without columns: half an hour of 12 leads at 1 kHz
BLOCK_SAMPLES: Final = 60_000  # of one frame and one piece of work; below the frame's 65,536
CHUNKS_READ: Final = 256  # rows of one query
MARGIN_PERIODS: Final = 2.0  # of the band's lower edge: where the filter still feels its own ends
MISSING: Final = -(2**31)
MISSING_16: Final = -(2**15)

Samples = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for, in consultation time, ``to_us`` exclusive. ``columns`` None: every sample."""

    from_us: int
    to_us: int
    view: str
    columns: int | None

    def check(self) -> None:
        """Raise ``WindowTooLarge`` when it is empty or beyond the bounds."""
        if not 0 <= self.from_us < self.to_us or self.to_us - self.from_us > WINDOW_US:
            raise WindowTooLarge(hours=WINDOW_US // 3_600_000_000)


@dataclass(frozen=True, slots=True)
class Piece:
    """Chunks (positions ``begin`` to ``end`` of the index) whose samples follow each other without a hole."""

    begin: int
    end: int


class Index:
    """The chunks of a stream that touch a window, and which samples of each are wanted. Arrays of int64."""

    def __init__(self, stream: StoredStream, rows: list[Any], from_us: int, to_us: int) -> None:
        table = np.array([(row["seq"], row["t0_us"], row["first_sample"], row["n"]) for row in rows], np.int64)
        table = table.reshape(-1, 4)
        self.seq, self.first, n = table[:, 0], table[:, 2], table[:, 3]
        self.t0_us = stream.clock.to_consultation(table[:, 1])
        # Where nobody knows when the clock moved, what may lie outside the attachment is outside.
        num, den = stream.card.rate or (1, 1)
        earliest, latest = stream.clock.bounds(table[:, 1], table[:, 1] + n * (den * 1_000_000) // num)
        begin = np.maximum(
            stream.samples_before(self.t0_us, from_us), stream.samples_before(earliest, stream.opened_us))
        end = np.minimum(stream.samples_before(self.t0_us, to_us), stream.samples_before(latest, stream.closed_us))
        self.skip, self.stop = np.minimum(n, begin), np.minimum(n, end)
        if len(rows):
            # A sample is given once: what an earlier chunk of the order had is skipped.
            before = np.maximum.accumulate(self.first + self.stop)[:-1]
            self.skip[1:] = np.maximum(self.skip[1:], before - self.first[1:])
        keep = self.stop > self.skip
        for name in ("seq", "first", "t0_us", "skip", "stop"):
            setattr(self, name, getattr(self, name)[keep])

    @property
    def samples(self) -> int:
        """Wanted samples a channel."""
        return int((self.stop - self.skip).sum())

    def pieces(self, most: int) -> list[Piece]:
        """Cut into pieces without a hole, each of at most about ``most`` samples."""
        begins, ends = (self.first + self.skip).tolist(), (self.first + self.stop).tolist()
        begin, pieces = 0, []
        for at in range(1, len(begins) + 1):
            whole = at == len(begins) or begins[at] != ends[at - 1]
            if whole or ends[at] - begins[begin] > most:
                pieces.append(Piece(begin, at))
                begin = at
        return pieces


async def answer(connection: Connection, streams: list[StoredStream], window: Window) -> AsyncIterator[bytes]:
    """The parts of the answer. Raises ``WindowTooLarge`` or ``ViewUnknown`` before the first."""
    window.check()
    for stream in streams:
        if window.view not in stream.card.views:
            raise ViewUnknown(view=window.view)
    found = [(stream, await index_of(connection, stream, window.from_us, window.to_us)) for stream in streams]
    found = [(stream, index) for stream, index in found if index.samples]
    few = {stream.card.id for stream, index in found if window.columns is None or index.samples <= window.columns}
    if sum(index.samples * len(stream.card.channels) for stream, index in found
           if stream.card.id in few) > RAW_VALUES:
        raise WindowTooLarge(hours=WINDOW_US // 3_600_000_000)
    describes = []
    for view, (stream, index) in enumerate(found, 1):
        spec = _spec(stream, window)
        filter_ = None if spec is None else spec.describe(stream.card.rate_hz, phase="zero")
        described = describe(stream.card, view, window.view, int(index.first[0] + index.skip[0]), filter_)
        described.pop("type")
        describes.append(described)
    yield head({"describes": describes, "from_us": window.from_us, "to_us": window.to_us,
                "columns": window.columns})
    for view, (stream, index) in enumerate(found, 1):
        if stream.card.id in few:
            async for first, t0_us, samples in _samples(connection, stream, window, index):
                yield padded(pack_frame(Frame(stream.card.id, 0, first, t0_us, narrowed(samples), view=view)))
        else:
            yield await _columns(connection, stream, window, index, view)


def head(text: dict[str, Any]) -> bytes:
    """The JSON part of the answer with its length before it."""
    body = json.dumps(text, ensure_ascii=False).encode()
    body += b" " * (-len(body) % 8)
    return len(body).to_bytes(4, "little") + bytes(4) + body


def padded(frame: bytes) -> bytes:
    """The frame with zero bytes to a multiple of 8."""
    return frame + bytes(-len(frame) % 8)


def narrowed(samples: Samples) -> Samples:
    """int32 samples as int16 when all fit; "missing" stays missing."""
    there = samples != MISSING
    if there.any() and (samples[there].min() <= MISSING_16 or samples[there].max() > -MISSING_16 - 1):
        return samples
    return np.where(there, samples, MISSING_16).astype(np.int16)


def _spec(stream: StoredStream, window: Window) -> FilterSpec | None:
    return MONITOR[stream.card.kind] if window.view == "monitor" else None


def _margin_us(spec: FilterSpec | None) -> int:
    if spec is None:
        return 0
    lowest = min(stage.band_hz[0] for stage in spec.stages if hasattr(stage, "band_hz"))
    return int(MARGIN_PERIODS / lowest * 1_000_000)


async def index_of(connection: Connection, stream: StoredStream, from_us: int, to_us: int) -> Index:
    """The chunks of the stream that have samples in the window and in the attachment."""
    num, den = stream.card.rate or (1, 1)
    clock = stream.clock
    # A second to either side: the offset at the window's ends is not that of the chunk; the index cuts exactly.
    rows = await connection.fetch(
        SQL["chunk_index"], stream.card.id, stream.born,
        max(clock.stamps_around(from_us)[0], stream.opened_stamp) - 1_000_000,
        min(clock.stamps_around(to_us)[1], stream.closed_stamp) + 1_000_000, num, den,
    )
    return await asyncio.to_thread(Index, stream, rows, from_us, to_us)


async def _samples(
    connection: Connection, stream: StoredStream, window: Window, index: Index
) -> AsyncIterator[tuple[int, int, Samples]]:
    """(first sample, consultation time, int32 samples (channels, n)) of each piece of the window, in order."""
    spec = _spec(stream, window)
    for piece in await asyncio.to_thread(index.pieces, BLOCK_SAMPLES):
        first = int(index.first[piece.begin] + index.skip[piece.begin])
        past = int(index.first[piece.end - 1] + index.stop[piece.end - 1])
        t0_us = int(index.t0_us[piece.begin]) + stream.card.sample_us(int(index.skip[piece.begin]))
        if spec is None:
            yield first, t0_us, await _read(connection, stream, index, piece)
            continue
        margin = _margin_us(spec)
        around = await index_of(
            connection, stream, t0_us - margin, t0_us + stream.card.sample_us(past - first) + margin
        )
        for wide in await asyncio.to_thread(around.pieces, 2**62):
            begin = int(around.first[wide.begin] + around.skip[wide.begin])
            end = int(around.first[wide.end - 1] + around.stop[wide.end - 1])
            if begin <= first and past <= end:
                raw = await _read(connection, stream, around, wide)
                yield first, t0_us, await asyncio.to_thread(
                    _filtered, spec, stream.card.rate_hz, raw, first - begin, past - begin
                )
                break


async def _read(connection: Connection, stream: StoredStream, index: Index, piece: Piece) -> Samples:
    parts: list[Samples] = []
    for begin in range(piece.begin, piece.end, CHUNKS_READ):
        end = min(begin + CHUNKS_READ, piece.end)
        rows = await connection.fetch(
            SQL["chunk_bytes"], stream.card.id, stream.born, index.seq[begin:end].tolist()
        )
        parts.append(await asyncio.to_thread(_opened, stream, rows, index, begin, end))
    return np.concatenate(parts, axis=1)


def _opened(stream: StoredStream, rows: list[Any], index: Index, begin: int, end: int) -> Samples:
    by_seq = {row["seq"]: row for row in rows}
    parts = []
    for at in range(begin, end):
        seq = int(index.seq[at])
        row = by_seq[seq]
        plain = stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]), chunk_context(stream.card.id, seq))
        parts.append(_widened(unpack_frame(plain).samples[:, index.skip[at] : index.stop[at]]))
    return np.concatenate(parts, axis=1)


def _widened(samples: Samples) -> Samples:
    if samples.dtype.itemsize == 4:
        return samples
    wide = samples.astype(np.int32)
    wide[samples == MISSING_16] = MISSING
    return wide


def _filtered(spec: FilterSpec, rate_hz: float, raw: Samples, begin: int, end: int) -> Samples:
    missing = raw == MISSING
    if not missing.any():
        y = zero_phase(spec, rate_hz, raw.T)
    else:
        # Each channel between its own holes: a lead that is off leaves the others as they are.
        y = np.zeros(raw.T.shape)
        for channel in range(raw.shape[0]):
            for run in runs(missing[channel]):
                if not run.missing:
                    part = raw[channel, run.start : run.stop, np.newaxis]
                    y[run.start : run.stop, channel] = zero_phase(spec, rate_hz, part)[:, 0]
    return quantise(y[begin:end], missing.T[begin:end], dtype=np.int32)


async def _columns(
    connection: Connection, stream: StoredStream, window: Window, index: Index, view: int
) -> bytes:
    """One frame of minima and maxima over the columns that the stream touches."""
    count = window.columns or 1
    marks = window.from_us + np.arange(count + 1, dtype=np.int64) * (window.to_us - window.from_us) // count
    num, den = stream.card.rate or (1, 1)
    channels = len(stream.card.channels)
    total = tuple(np.full((channels, count), MISSING, np.int32) for _ in range(2))
    extent: tuple[Samples, Samples] = (total[0], total[1])
    async for first, t0_us, samples in _samples(connection, stream, window, index):
        edges = first - ((t0_us - marks) * num) // (den * 1_000_000)  # the first sample at or after each mark
        extent = await asyncio.to_thread(_laid_over, extent, samples, first, edges)
    used = np.flatnonzero((extent[1] != MISSING).any(axis=0))
    begin, end = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    both = np.stack([extent[0][:, begin:end], extent[1][:, begin:end]], axis=1)
    return padded(pack_frame(Frame(
        stream.card.id, 0, int(index.first[0] + index.skip[0]), int(marks[begin]), narrowed(both), view=view,
        codec=Codec.MINMAX,
    )))


def _laid_over(
    extent: tuple[Samples, Samples], samples: Samples, first: int, edges: Samples
) -> tuple[Samples, Samples]:
    return combine(extent, least_and_greatest(samples, first, edges))
