"""Stored samples of a window: out of segments, the pyramid and hot chunks that no mark covers yet, each sample once.

All that is known of a window is read in one snapshot of the database, so that what the compactor moves meanwhile is
neither missed nor seen twice; samples are read afterwards, piece by piece: segments never change, and a hot chunk that
is gone by then is in a segment (:mod:`telemed.vitals.storage.evidence`). What is computed is computed in threads, in
pieces short enough that nobody else waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import numpy as np
from telemed_devices.faults import FrameError
from telemed_devices.native import unpack_frame

from telemed.errors import KeyDestroyed
from telemed.store.database import Connection, load_sql
from telemed.vitals.storage import evidence, pyramid
from telemed.vitals.storage.contexts import block_context
from telemed.vitals.storage.envelopes import Envelopes
from telemed.vitals.storage.reading_columns import Grid, Laid, Lot, Samples, widened
from telemed.vitals.storage.reading_rows import (
    NO_SEGMENT,
    WHOLE,
    Index,
    Int64s,
    Rows,
    Timeline,
    judged,
)
from telemed.vitals.storage.segment import Segment
from telemed.vitals.stored import OPEN_END_US, StoredStream

SQL = load_sql("reading")
Result = TypeVar("Result")
BLOCK_SAMPLES: Final = 60_000  # of one frame and one piece of work; below the frame's 65,536
CHUNKS_READ: Final = 256  # hot chunks of one query
SEGMENTS_READ: Final = 16  # segments of one query: 15 ms of work with 12 leads at 500 Hz
BLOCKS_READ: Final = 32  # blocks of the pyramid of one query: 5 ms of work
LITTLE_ROWS: Final = 20_000  # rows or buckets that are not worth a thread: a millisecond or two
LITTLE_RECORDS: Final = 2_000  # of the database: two milliseconds
LITTLE_BLOCKS: Final = 8
LITTLE_SEGMENTS: Final = 2
AROUND_US: Final = 1_000_000  # the offset at a window's ends is not that of the chunk there; the index cuts exactly


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of one stream for columns and for the review: what is given out when, and the rows of it."""

    timeline: Timeline
    compacted: Rows
    hot: Rows


class Reader:
    """The reads of one answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._opened: dict[tuple[int, int], Segment | Envelopes] = {}  # of the last piece: the next begins in one

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """One state of the database for the body; short, because a partition is not dropped meanwhile."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            yield

    async def rows(self, streams: Sequence[StoredStream], from_us: int, to_us: int) -> dict[int, Rows]:
        """The rows with samples of a window: segments, the chunks of those that are cut, and hot chunks."""
        hot = await self._hot(streams, from_us, to_us)
        spans = await self._spans(streams, from_us, to_us)
        return {one.card.id: Rows.joined((hot[one.card.id], spans[one.card.id])) for one in streams}

    async def pictures(self, streams: Sequence[StoredStream], from_us: int, to_us: int) -> dict[int, Picture]:
        """What is known of each stream that has something near the window, its hot chunks of the window alone."""
        hot = await self._hot(streams, from_us, to_us)
        found: dict[int, list[tuple[int, ...]]] = {one.card.id: [] for one in streams}
        for row in await self._connection.fetch(SQL["runs"], list(found)):
            first, past = row["first_sample"], row["past_sample"]
            found[row["stream_id"]].append((0, first, past - first, row["t0_us"], row["t1_us"], NO_SEGMENT, WHOLE))
        compacted = {id_: Rows.of(rows) for id_, rows in found.items()}
        # Of a stream that is elsewhere nothing more is asked: its rows are left out.
        for one in streams:
            if not _near(one, compacted[one.card.id], from_us, to_us) and not len(hot[one.card.id]):
                compacted[one.card.id] = Rows.of([])
        there = [one for one in streams if len(compacted[one.card.id]) or len(hot[one.card.id])]
        torn = [one for one in there if not judged(one, compacted[one.card.id], lines=True)[0].all()]
        if torn:
            compacted.update(await self._spans(torn, from_us, to_us))
        made = {}
        for one in there:
            ours = compacted[one.card.id], hot[one.card.id]
            timeline = await soon(len(ours[0]) + len(ours[1]) <= LITTLE_ROWS, Timeline.of, one, *ours)
            made[one.card.id] = Picture(timeline, *ours)
        return made

    async def samples(self, stream: StoredStream, index: Index, first: int, past: int) -> Samples:
        """The samples ``first`` … ``past`` - 1, which the index has without a hole: int32 (channels, n)."""
        rows = index.rows_of(first, past)
        segments = index.rows.segment[rows.start : rows.stop]
        opened = await self._open(stream, np.unique(segments[segments != NO_SEGMENT]).tolist())
        seqs = index.rows.seq[rows.start : rows.stop][segments == NO_SEGMENT].tolist()
        chunks: dict[int, bytes] = {}
        for at in range(0, len(seqs), CHUNKS_READ):
            chunks.update(await evidence.chunk_bytes(
                self._connection, stream.card.id, stream.born, stream.key, seqs[at : at + CHUNKS_READ]
            ))
        if len(chunks) < len(seqs):
            raise KeyDestroyed()  # erased, or past its time, since the index was read
        return await asyncio.to_thread(_joined, index, rows, first, past, opened, chunks)

    async def columns(
        self, found: Sequence[tuple[StoredStream, Picture, int]], marks: Int64s
    ) -> list[tuple[Laid, Int64s]]:
        """The columns between ``marks`` of each stream by buckets of its level, as far as the pyramid has them, and the
        buckets that were laid. In the snapshot; :meth:`edges` adds the rest."""
        buckets = sum(int(marks[-1] - marks[0]) * one.card.rate_hz / 1_000_000 / level for one, _, level in found)
        plans = await soon(buckets <= LITTLE_ROWS, lambda: [
            Grid(picture.timeline, one.clock, marks, level).plan() for one, picture, level in found])
        laid = [Laid(len(one.card.channels), len(marks) - 1) for one, _, _ in found]
        lots = {(one.card.id, lot.level): (one, lot, target)
                for (one, _, _), plan, target in zip(found, plans, laid, strict=True) for lot in plan.lots}
        wanted = [(one, lot.level, block) for one, lot, _ in lots.values() for block in lot.blocks()]
        for at in range(0, len(wanted), BLOCKS_READ):
            part = wanted[at : at + BLOCKS_READ]
            rows = await self._connection.fetch(
                SQL["blocks"], [one.card.id for one, _, _ in part], [one.born for one, _, _ in part],
                [level for _, level, _ in part], [block for _, _, block in part],
                *born_between([one for one, _, _ in part]),
            )
            await soon(len(rows) <= LITTLE_BLOCKS, _lay, lots, rows)
        return [(one, plan.samples) for one, plan in zip(laid, plans, strict=True)]

    async def edges(
        self, stream: StoredStream, picture: Picture, level: int, marks: Int64s, laid: Laid, torn: Int64s
    ) -> None:
        """Lay over the columns what the pyramid does not have: hot samples, and ``torn`` buckets of the lowest level,
        of which a part is not given out."""
        if not len(torn) and not len(picture.hot):
            return
        grid = Grid(picture.timeline, stream.clock, marks, level)
        if len(torn):
            index = await asyncio.to_thread(Index, stream, picture.compacted, 0, OPEN_END_US)
            for bucket in torn.tolist():
                lowest = pyramid.LEVELS[0]
                for row in index.rows_of(bucket * lowest, (bucket + 1) * lowest):
                    first = max(int(index.begin[row]), bucket * lowest)
                    past = min(int(index.end[row]), (bucket + 1) * lowest)
                    _lay_samples(grid, laid, await self.samples(stream, index, first, past), first)
        if len(picture.hot):
            slack = AROUND_US + stream.card.sample_us(2 * level)
            index = await asyncio.to_thread(
                Index, stream, picture.hot, max(0, int(marks[0]) - slack), int(marks[-1]) + slack)
            for piece in await asyncio.to_thread(index.pieces, BLOCK_SAMPLES):
                samples = await self.samples(stream, index, piece.first, piece.past)
                await asyncio.to_thread(_lay_samples, grid, laid, samples, piece.first)

    async def _hot(self, streams: Sequence[StoredStream], from_us: int, to_us: int) -> dict[int, Rows]:
        if not streams:
            return {}
        stamps = [stamps_of(one, from_us, to_us) for one in streams]
        rates = [one.card.rate or (1, 1) for one in streams]
        rows = await self._connection.fetch(
            SQL["hot"], [one.card.id for one in streams], [one.born for one in streams], [since for since, _ in stamps],
            [before for _, before in stamps], [num for num, _ in rates], [den for _, den in rates],
            *born_between(streams),
        )
        return await soon(len(rows) <= LITTLE_RECORDS, _hot_rows, streams, rows)

    async def _spans(self, streams: Sequence[StoredStream], from_us: int, to_us: int) -> dict[int, Rows]:
        """Segments of a window as rows, those that are cut as their chunks."""
        if not streams:
            return {}
        stamps = [around(one, from_us, to_us) for one in streams]
        rows = await self._connection.fetch(
            SQL["spans"], [one.card.id for one in streams], [one.born for one in streams],
            [since for since, _ in stamps], [before for _, before in stamps], *born_between(streams),
        )
        found = await soon(len(rows) <= LITTLE_RECORDS, _span_rows, streams, rows)
        made = {}
        for stream in streams:
            spans = made[stream.card.id] = found[stream.card.id]
            if not len(spans):
                continue
            inside, outside = judged(stream, spans, lines=False)
            parts = [spans.where(inside | outside)]
            open_ = spans.seq[~(inside | outside)].tolist()
            for at in range(0, len(open_), SEGMENTS_READ):
                opened = await self._open(stream, open_[at : at + SEGMENTS_READ])
                parts.append(await asyncio.to_thread(_chunk_rows, stream, opened))
            made[stream.card.id] = Rows.joined(parts)
        return made

    async def _open(self, stream: StoredStream, numbers: Iterable[int]) -> dict[int, Segment | Envelopes]:
        """The segments that begin with these chunks; they stay open until others are asked for."""
        opened = {number: self._opened.get((stream.card.id, number)) for number in numbers}
        missing = [number for number, one in opened.items() if one is None]
        ready = {number: one for number, one in opened.items() if one is not None}
        for at in range(0, len(missing), SEGMENTS_READ):
            part = missing[at : at + SEGMENTS_READ]
            rows = await self._connection.fetch(SQL["segments"], stream.card.id, stream.born, part)
            if len(rows) < len(part):
                raise KeyDestroyed()  # erased, or past its time, since the index was read

            ready.update(await soon(len(rows) <= LITTLE_SEGMENTS, _unpacked, stream, rows))
        self._opened = {(stream.card.id, number): one for number, one in ready.items()}
        return ready


async def soon(little: bool, work: Callable[..., Result], *given: Any) -> Result:
    """The result of some work: at once when it is little, else of a thread, so that nobody else waits for it."""
    return work(*given) if little else await asyncio.to_thread(work, *given)


def around(stream: StoredStream, from_us: int, to_us: int) -> tuple[int, int]:
    """As :func:`stamps_of`, with what lies beside what is given out: it must be known to be left out."""
    clock = stream.clock
    return clock.stamps_around(from_us)[0] - AROUND_US, clock.stamps_around(to_us)[1] + AROUND_US


def born_between(streams: Sequence[StoredStream]) -> tuple[datetime, datetime]:
    """The least and the greatest ``born``: the partitions that a statement needs to look into."""
    return min(one.born for one in streams), max(one.born for one in streams)


def _near(stream: StoredStream, rows: Rows, from_us: int, to_us: int) -> bool:
    """Whether a row may touch the window."""
    if not len(rows):
        return False
    earliest, latest = stream.clock.bounds(rows.t0_us, rows.t1_us)
    return bool(((earliest - AROUND_US < to_us) & (latest + (rows.t1_us - rows.t0_us) + AROUND_US > from_us)).any())


def _unpacked(stream: StoredStream, rows: Sequence[Any]) -> dict[int, Segment | Envelopes]:
    return {row["first_seq"]: evidence.open_segment(stream.card.id, stream.key, row) for row in rows}


def stamps_of(stream: StoredStream, from_us: int, to_us: int) -> tuple[int, int]:
    """Stamps between which everything of the window lies that is given out."""
    clock = stream.clock
    return (max(clock.stamps_around(from_us)[0], stream.opened_stamp) - AROUND_US,
            min(clock.stamps_around(to_us)[1], stream.closed_stamp) + AROUND_US)


def _hot_rows(streams: Sequence[StoredStream], rows: Sequence[Any]) -> dict[int, Rows]:
    cards = {one.card.id: one.card for one in streams}
    found: dict[int, list[tuple[int, ...]]] = {id_: [] for id_ in cards}
    for id_, seq, t0_us, first, n in rows:
        found[id_].append((seq, first, n, t0_us, t0_us + cards[id_].sample_us(n), NO_SEGMENT, WHOLE))
    return {id_: Rows.joined([Rows.of(listed)]) for id_, listed in found.items()}


def _span_rows(streams: Sequence[StoredStream], rows: Sequence[Any]) -> dict[int, Rows]:
    found: dict[int, list[tuple[int, ...]]] = {one.card.id: [] for one in streams}
    for id_, first_seq, _, t0_us, t1_us, first, n in rows:
        found[id_].append((first_seq, first, n, t0_us, t1_us, first_seq, WHOLE))
    return {id_: Rows.of(listed) for id_, listed in found.items()}


def _chunk_rows(stream: StoredStream, opened: dict[int, Segment | Envelopes]) -> Rows:
    rows: list[tuple[int, ...]] = []
    for number, one in opened.items():
        if isinstance(one, Segment):
            firsts = (one.first_sample + one.starts).tolist()
            listed = [(firsts[at], int(row["n"]), int(row["t0_us"])) for at, row in enumerate(one.rows)]
        else:
            listed = [_envelope_row(stream, row.data) for row in one.rows]
        rows += [(number + at, first, n, t0_us, t0_us + stream.card.sample_us(n), number, at)
                 for at, (first, n, t0_us) in enumerate(listed) if n]
    return Rows.of(rows)


def _envelope_row(stream: StoredStream, data: bytes) -> tuple[int, int, int]:
    """First sample, n and stamp of a chunk that could not be packed as samples; n is 0 where it has none to read."""
    try:
        frame = unpack_frame(data, uplink=True)
    except FrameError:
        return 0, 0, 0
    return (frame.first_sample, frame.n, frame.t0_us) if frame.channels == len(stream.card.channels) else (0, 0, 0)


def _joined(
    index: Index, rows: range, first: int, past: int, opened: dict[int, Segment | Envelopes], chunks: dict[int, bytes]
) -> Samples:
    parts = []
    for at in rows:
        number, place = int(index.rows.segment[at]), int(index.rows.place[at])
        if number == NO_SEGMENT:
            samples = unpack_frame(chunks[int(index.rows.seq[at])]).samples
        else:
            samples = _placed(opened[number], place)
        begin = int(index.rows.first[at])
        low, high = max(first, int(index.begin[at])), min(past, int(index.end[at]))
        parts.append(widened(samples[:, low - begin : high - begin]))
    return np.concatenate(parts, axis=1)


def _placed(opened: Segment | Envelopes, place: int) -> Samples:
    if isinstance(opened, Envelopes):
        return unpack_frame(opened.chunk(place)).samples
    if place == WHOLE:
        return opened.samples
    starts = opened.starts
    return opened.samples[:, int(starts[place]) : int(starts[place + 1])]


def _lay(lots: dict[tuple[int, int], tuple[StoredStream, Lot, Laid]], rows: Sequence[Any]) -> None:
    opened: dict[tuple[int, int], dict[int, pyramid.Extent]] = {}
    for row in rows:
        lot = (row["stream_id"], row["level"])
        plain = lots[lot][0].key.open(
            bytes(row["nonce"]), bytes(row["sealed"]), block_context(*lot, row["block"]))
        opened.setdefault(lot, {})[row["block"]] = pyramid.unpack_block(plain)
    for lot, blocks in opened.items():
        _, planned, laid = lots[lot]
        laid.lay(planned, blocks)


def _lay_samples(grid: Grid, laid: Laid, samples: Samples, first: int) -> None:
    begin, extent = pyramid.buckets(samples, first, grid.level)
    laid.add(grid.columns_of(begin + np.arange(extent[0].shape[1], dtype=np.int64)), extent)


