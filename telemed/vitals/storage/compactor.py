"""Hot chunks become segments and a pyramid, without a chunk lost, doubled or altered, wherever it is stopped.

All work is found from the database: what is hot and not covered by its stream's mark. A batch is one transaction that
writes segments, pyramid, runs and marks, so that a chunk is packed and marked, or neither. The mark's row is held from
before the batch looks at it, so two compactors never pack the same chunk.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import structlog

from telemed.store.database import Connection, Database, load_sql
from telemed.store.sealing import DataKey, SealBroken, Sealer
from telemed.vitals.storage.erasing import erase_stream
from telemed.vitals.storage.lines import Run, Runs
from telemed.vitals.storage.pack import Batch, Made, Stream, merged, pack
from telemed.vitals.storage.plan import RESTS, Piece, Rate, hot, pieces, ready
from telemed.vitals.storage.pyramid import BUCKETS, places

SQL = load_sql("storage")
log = structlog.get_logger(__name__)

STREAMS_READ: Final = 256  # streams of one question for work
ROWS: Final = 4_096  # hot chunks of one stream planned at once: 14 minutes of five a second
BATCH_BYTES: Final = 8 * 2**20  # of chunks in one batch; with what is made of them a tenth of a gigabyte at the most
BATCH_CHUNKS: Final = 8_192
OVER_BYTES: Final = 64 * 2**20  # of pyramid blocks of one batch, each counted at its greatest
BLOCK_BYTES: Final = BUCKETS * 2 * 4  # of one channel


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was packed. ``samples`` counts every channel's."""

    streams: int = 0
    chunks: int = 0
    segments: int = 0
    samples: int = 0

    def __add__(self, other: Compacted) -> Compacted:
        return Compacted(self.streams + other.streams, self.chunks + other.chunks, self.segments + other.segments,
                         self.samples + other.samples)


async def compact_once(database: Database, sealer: Sealer, *, all_of_it: bool = False) -> Compacted:
    """Pack what is ready, or with ``all_of_it`` every chunk that no segment holds yet.

    Hot chunks of a patient whose key is destroyed are deleted. Raises ``DatabaseUnavailable``; what was committed by
    then stays, and the rest is found again.
    """
    work = _Work(database, all_of_it)
    done = Compacted()
    async for row in _streams(database):
        stream = _opened(sealer, row)
        if stream is not None:
            done += await work.stream(stream)
        elif row["attachment_id"] is not None and row["patient_key"] is None:
            await erase_stream(database, row["id"], row["born"])
    return done + await work.write()


async def _streams(database: Database) -> AsyncIterator[Any]:
    """Streams with hot chunks that no mark covers."""
    async with database.connection() as connection:
        hours = [row["hour"] for row in await connection.fetch(SQL["hot_hours"])]
    after = 0
    while True:
        async with database.connection() as connection:
            rows = await connection.fetch(SQL["hot_streams"], hours, after, STREAMS_READ)
        for row in rows:
            yield row
        if len(rows) < STREAMS_READ:
            return
        after = rows[-1]["id"]


def _opened(sealer: Sealer, row: Any) -> Stream | None:
    owner = row["station_key"] if row["attachment_id"] is None else row["patient_key"]
    if owner is None:
        return None
    try:
        key = DataKey(sealer.unwrap(bytes(row["key_wrapped"]), sealer.unwrap(bytes(owner))))
    except SealBroken:
        log.error("stream_key_broken", stream=row["id"])
        return None
    rated = row["format"] == "native" and row["rate_num"] is not None
    rate = Rate(row["rate_num"], row["rate_den"]) if rated else None
    return Stream(row["id"], row["born"], key, rate, row["channels"], row["redecoded"])


class _Work:
    """Batches of streams: filled until they are large enough, then written."""

    def __init__(self, database: Database, all_of_it: bool) -> None:
        self._database = database
        self._all = all_of_it
        self._batch = Batch()
        self._taken_bytes = 0
        self._taken_chunks = 0
        self._over_bytes = 0

    async def stream(self, stream: Stream) -> Compacted:
        """Take what is ready of a stream; write whenever the batch is large enough."""
        done, at = Compacted(streams=1), 0
        while True:
            async with self._database.connection() as connection:
                found = await connection.fetch(SQL["hot_index"], stream.id, stream.born, at, ROWS, RESTS)
            more = len(found) == ROWS
            cut = pieces((hot(row) for row in found), stream.rate)
            wanted = ready(cut, stream.rate, all_of_it=self._all, more=more)
            while wanted:
                taken = self._room_for(stream, wanted)
                wanted = wanted[len(taken) :]
                if taken:
                    await self._take(stream, taken)
                if wanted:
                    done += await self.write()
            if not more:
                return done
            # The last piece may go on beyond what was read: it is looked at again from its beginning.
            at = cut[-1].rows[0].seq

    def _room_for(self, stream: Stream, wanted: list[Piece]) -> list[Piece]:
        """The first of these pieces, as many as the batch has room for; one at least in an empty batch."""
        over: set[tuple[int, int]] = set()
        block = stream.channels * BLOCK_BYTES
        taken: list[Piece] = []
        for piece in wanted:
            size, chunks = self._taken_bytes + piece.size, self._taken_chunks + len(piece.rows)
            first = piece.rows[0].first_sample
            touched = over if first is None else over | set(places(first, piece.samples))
            full = size > BATCH_BYTES or chunks > BATCH_CHUNKS or self._over_bytes + len(touched) * block > OVER_BYTES
            if full and (taken or self._taken_chunks):
                break
            self._taken_bytes, self._taken_chunks, over = size, chunks, touched
            taken.append(piece)
        self._over_bytes += len(over) * block
        return taken

    async def _take(self, stream: Stream, taken: list[Piece]) -> None:
        seqs = [row.seq for piece in taken for row in piece.rows]
        async with self._database.connection() as connection:
            found = await connection.fetch(SQL["hot_rows"], stream.id, stream.born, seqs)
        rows = {row["seq"]: row for row in found}
        await asyncio.to_thread(pack, self._batch, stream, taken, rows)

    async def write(self) -> Compacted:
        """Write the batch in one transaction; nothing of it when somebody else packed some of it meanwhile."""
        batch, self._batch = self._batch, Batch()
        self._taken_bytes = self._taken_chunks = self._over_bytes = 0
        if not batch.made:
            return Compacted()
        async with self._database.transaction() as connection:
            written = await _write(connection, batch)
        if not written:
            log.info("batch_packed_by_another", chunks=batch.chunks)
            return Compacted()
        return Compacted(0, batch.chunks, len(batch.made), batch.samples)


async def _write(connection: Connection, batch: Batch) -> bool:
    made = batch.made
    ids = sorted({one.stream.id for one in made})
    packed = (
        [one.stream.id for one in made], [one.first_seq for one in made], [one.last_seq for one in made],
    )
    await connection.execute(SQL["mark_make"], ids)
    await connection.execute(SQL["mark_hold"], ids)
    if await connection.fetchval(SQL["mark_overlaps"], *packed, [one.stream.redecoded for one in made]):
        return False
    await connection.execute(
        SQL["put_segments"], packed[0], [one.stream.born for one in made], packed[1], packed[2],
        [one.codec for one in made], [one.t0_us for one in made], [one.t1_us for one in made],
        [one.first_sample for one in made], [one.n for one in made], [one.nonce for one in made],
        [one.sealed for one in made],
    )
    for stream, over in batch.over.values():
        levels, blocks = [place[0] for place in over], [place[1] for place in over]
        there = await connection.fetch(
            SQL["blocks_there"], [stream.id] * len(over), [stream.born] * len(over), levels, blocks)
        rows = await asyncio.to_thread(lambda: list(merged(stream, over, there)))  # noqa: B023 - awaited at once
        await connection.execute(SQL["put_blocks"], *map(list, zip(*rows, strict=True)))
    await _put_runs(connection, made)
    await connection.execute(SQL["mark_widen"], *packed)
    await connection.execute(SQL["stream_kept_again"], ids)
    return True


async def _put_runs(connection: Connection, made: list[Made]) -> None:
    """Lengthen the runs of the batch's streams by its segments, or begin new ones."""
    of_stream: dict[int, list[Made]] = defaultdict(list)
    for one in made:
        if one.first_sample is not None and one.stream.rate is not None:
            of_stream[one.stream.id].append(one)
    if not of_stream:
        return
    firsts = [min(one.first_sample or 0 for one in group) for group in of_stream.values()]
    pasts = [max((one.first_sample or 0) + (one.n or 0) for one in group) for group in of_stream.values()]
    there: dict[int, list[Run]] = defaultdict(list)
    for row in await connection.fetch(SQL["runs_around"], list(of_stream), firsts, pasts):
        there[row["stream_id"]].append(Run(row["first_sample"], row["past_sample"], row["t0_us"]))
    rows = []
    for stream_id, group in of_stream.items():
        rate = group[0].stream.rate
        assert rate is not None  # noqa: S101 - only such are in the groups
        runs = Runs(rate.num, rate.den, there[stream_id])
        for one in group:
            assert one.first_sample is not None and one.rows is not None  # noqa: S101
            runs.add(one.first_sample, one.rows)
        rows += [
            (stream_id, run.first, run.past, run.t0_us, runs.stamp(run, run.past)) for run in runs.changed.values()
        ]
    if rows:
        await connection.execute(SQL["put_runs"], *map(list, zip(*rows, strict=True)))


