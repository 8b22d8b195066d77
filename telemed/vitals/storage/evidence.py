"""What stations sent, as they sent it: chunks by number, hot or compacted, each once and to the last byte.

A chunk is in its hot row until well after the mark that says which segment holds it was committed. Whoever looks into
the hot rows first and then into the segments therefore finds every chunk, whatever the compactor does meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

from telemed.store.database import Connection, load_sql
from telemed.store.sealing import DataKey
from telemed.vitals.durable import Range
from telemed.vitals.storage import envelopes, segment
from telemed.vitals.storage.contexts import chunk_context, frame_context, segment_context

SQL = load_sql("storage")
HOT_READ: Final = 256  # chunks of one query while all are read
SEGMENTS_READ: Final = 8  # segments of one query: as many chunks, about

Chunks = list[tuple[int, bytes]]


async def chunk_bytes(
    connection: Connection, stream_id: int, born: datetime, key: DataKey, seqs: Sequence[int]
) -> dict[int, bytes]:
    """The chunks of these numbers as the station sent them; those that are not stored are left out.

    Raises ``SealBroken`` when what is stored was altered.
    """
    rows = await connection.fetch(SQL["hot_bytes"], stream_id, born, list(seqs))
    found = dict(await asyncio.to_thread(_hot, stream_id, key, rows)) if rows else {}
    missing = [seq for seq in seqs if seq not in found]
    return found | await packed_bytes(connection, stream_id, born, key, missing) if missing else found


async def packed_bytes(
    connection: Connection, stream_id: int, born: datetime, key: DataKey, seqs: Sequence[int]
) -> dict[int, bytes]:
    """As :func:`chunk_bytes`, of chunks that a mark covers: only segments are looked into."""
    rows = await connection.fetch(SQL["segments_of"], stream_id, born, list(seqs))
    return dict(await asyncio.to_thread(_packed, stream_id, key, rows, frozenset(seqs))) if rows else {}


async def chunks(
    connection: Connection, stream_id: int, born: datetime, key: DataKey
) -> AsyncIterator[tuple[int, bytes]]:
    """Every stored chunk, ascending by number, each once. Raises ``SealBroken``.

    A chunk that is committed while this runs may be left out.
    """
    at, last = 0, -1
    while True:
        # Hot rows that the mark does not cover yet, then segments: what moves between the two statements is in both.
        hot = await connection.fetch(SQL["hot_uncovered"], stream_id, born, at, HOT_READ)
        packed = await connection.fetch(SQL["segments_from"], stream_id, born, at, SEGMENTS_READ)
        ends = []
        if len(hot) == HOT_READ:
            ends.append(hot[-1]["seq"])
        if len(packed) == SEGMENTS_READ:
            ends.append(packed[-1]["last_seq"])
        end = min(ends, default=None)  # up to here both are whole
        part = dict(await asyncio.to_thread(_hot, stream_id, key, [row for row in hot if _within(row["seq"], end)]))
        segments = [row for row in packed if _within(row["first_seq"], end)]
        part.update(await asyncio.to_thread(_packed, stream_id, key, segments, None))
        for seq in sorted(part):
            if seq > last:
                yield seq, part[seq]
                last = seq
        if end is None:
            return
        at = max(end, last) + 1


def _within(seq: int, end: int | None) -> bool:
    return end is None or seq <= end


async def durable(connection: Connection, stream_id: int, born: datetime) -> list[Range]:
    """Which chunks are stored, hot or compacted: inclusive ranges, ascending, a hole between each two."""
    rows = await connection.fetch(SQL["durable_ranges"], stream_id, born)
    return [(row["first"], row["last"]) for row in rows]


async def newest_reading(
    connection: Connection, stream_id: int, born: datetime, key: DataKey
) -> tuple[int, bytes] | None:
    """The stamp of the last chunk of numbers and the JSON of its readings; None when there is none."""
    hot = await connection.fetchrow(SQL["newest_frame"], stream_id, born)
    row = await connection.fetchrow(SQL["newest_envelopes"], stream_id, born)
    if row is not None and (hot is None or row["last_seq"] >= hot["seq"]):
        opened = await asyncio.to_thread(open_segment, stream_id, key, row)
        assert isinstance(opened, envelopes.Envelopes)  # noqa: S101 - its codec says so
        for one in reversed(opened.rows):
            if one.reading is not None:
                return one.t0_us, one.reading.data
    if hot is None:
        return None
    return hot["t0_us"], key.open(bytes(hot["nonce"]), bytes(hot["sealed"]), frame_context(stream_id, hot["seq"]))


def open_segment(stream_id: int, key: DataKey, row: Any) -> segment.Segment | envelopes.Envelopes:
    """The segment of a row with ``first_seq``, ``codec``, ``nonce`` and ``sealed``. Raises ``SealBroken``."""
    plain = key.open(bytes(row["nonce"]), bytes(row["sealed"]), segment_context(stream_id, row["first_seq"]))
    return segment.unpack_segment(plain) if row["codec"] == segment.CODEC else envelopes.unpack_envelopes(plain)


def _hot(stream_id: int, key: DataKey, rows: Sequence[Any]) -> Chunks:
    return [
        (row["seq"], key.open(bytes(row["nonce"]), bytes(row["sealed"]), chunk_context(stream_id, row["seq"])))
        for row in rows
    ]


def _packed(stream_id: int, key: DataKey, rows: Sequence[Any], wanted: frozenset[int] | None) -> Chunks:
    found: Chunks = []
    for row in rows:
        opened = open_segment(stream_id, key, row)
        for seq in range(row["first_seq"], row["last_seq"] + 1):
            if wanted is None or seq in wanted:
                found.append((seq, opened.chunk(seq - row["first_seq"])))
    return found
