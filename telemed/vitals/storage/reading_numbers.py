"""Stored readings of a window, hot and compacted, each once, of nothing but what is given out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from telemed.store.database import Connection, load_sql
from telemed.vitals.storage import evidence
from telemed.vitals.storage.contexts import frame_context
from telemed.vitals.storage.envelopes import Envelopes
from telemed.vitals.storage.reading import born_between, stamps_of
from telemed.vitals.stored import StoredStream

SQL = load_sql("reading")
HOT_READ: Final = 4_096  # hot readings of one query
SEGMENTS_READ: Final = 32  # of one query: 8,192 readings at most, 20 ms of work


@dataclass(frozen=True, slots=True)
class Readings:
    """What one chunk read: the JSON that a frame has (``telemed.vitals.numbers``), at a consultation time."""

    stream: StoredStream
    seq: int
    at_us: int
    data: bytes


async def readings(
    connection: Connection, streams: Sequence[StoredStream], from_us: int, to_us: int
) -> AsyncIterator[list[Readings]]:
    """The readings of a window, in parts, each part by time: hot ones first, then those of segments, oldest first.

    What the compactor moves meanwhile is given once.
    """
    by_id = {one.card.id: one for one in streams}
    if not by_id:
        return
    stamps = [stamps_of(one, from_us, to_us) for one in streams]
    since, before = [one for one, _ in stamps], [one for _, one in stamps]
    asked = (list(by_id), [one.born for one in streams], since, before, *born_between(streams))
    known: set[tuple[int, int]] = set()
    last = (-(2**63), 0, 0)
    while True:
        rows = await connection.fetch(SQL["hot_readings"], *asked, HOT_READ, *last)
        if rows:
            known.update((row["stream_id"], row["seq"]) for row in rows)
            last = (rows[-1]["t0_us"], rows[-1]["stream_id"], rows[-1]["seq"])
            yield await asyncio.to_thread(_opened, by_id, rows, from_us, to_us)
        if len(rows) < HOT_READ:
            break
    at = 0
    while True:
        rows = await connection.fetch(SQL["packed_readings"], *asked, SEGMENTS_READ, at)
        if rows:
            yield await asyncio.to_thread(_unpacked, by_id, rows, known, from_us, to_us)
        if len(rows) < SEGMENTS_READ:
            return
        at += SEGMENTS_READ


def _opened(streams: dict[int, StoredStream], rows: Sequence[Any], from_us: int, to_us: int) -> list[Readings]:
    found = []
    for stream_id, stream in streams.items():
        ours = [row for row in rows if row["stream_id"] == stream_id]
        for row, at_us in _within(stream, [(row["t0_us"], row) for row in ours], from_us, to_us):
            context = frame_context(stream_id, row["seq"])
            plain = stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]), context)
            found.append(Readings(stream, row["seq"], at_us, plain))
    return sorted(found, key=lambda one: one.at_us)


def _unpacked(
    streams: dict[int, StoredStream], rows: Sequence[Any], known: set[tuple[int, int]], from_us: int, to_us: int
) -> list[Readings]:
    found = []
    for row in rows:
        stream = streams[row["stream_id"]]
        opened = evidence.open_segment(stream.card.id, stream.key, row)
        if not isinstance(opened, Envelopes):
            continue
        listed = [
            (one.t0_us, (seq, one.reading.data)) for seq, one in enumerate(opened.rows, opened.first_seq)
            if one.reading is not None and (stream.card.id, seq) not in known
        ]
        found += [Readings(stream, seq, at_us, data)
                  for (seq, data), at_us in _within(stream, listed, from_us, to_us)]
    return sorted(found, key=lambda one: one.at_us)


def _within(
    stream: StoredStream, stamped: Sequence[tuple[int, Any]], from_us: int, to_us: int
) -> list[tuple[Any, int]]:
    """What of things with stamps is given out and lies in the window, with its consultation time."""
    stamps = np.array([stamp for stamp, _ in stamped], np.int64)
    at_us = stream.clock.to_consultation(stamps)
    earliest, latest = stream.clock.bounds(stamps, stamps)
    keep = (earliest >= stream.opened_us) & (latest < stream.closed_us) & (at_us >= from_us) & (at_us < to_us)
    return [(stamped[at][1], int(at_us[at])) for at in np.flatnonzero(keep).tolist()]
