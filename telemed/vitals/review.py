"""What was stored of a consultation, in words: which streams, from when to when, with which holes; and numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from telemed.store.database import Connection, load_sql
from telemed.vitals.clock import server_us
from telemed.vitals.commit import frame_context
from telemed.vitals.stored import OPEN_END_US, Stored, StoredStream, sole
from telemed.vitals.waves import index_of

SQL = load_sql("vitals")
NUMERICS_MAX: Final = 50_000  # of one answer: four hours of three numbers a second


async def summary(connection: Connection, stored: Stored) -> dict[str, Any]:
    """The review's frame: streams with their segments, the holes between these, and every number."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for stream in stored.streams:
        if stream.card.rate is None:
            continue
        card = stream.card
        names = tuple(channel.name for channel in card.channels)
        row = groups.setdefault((card.kind, card.device, card.origin, names, card.rate), {
            "stream": card.id, "kind": card.kind, "device": card.device, "origin": card.origin,
            "channels": list(names), "rate": card.rate, "from_us": 0, "to_us": 0, "segments": [],
        })
        row["segments"] += await _segments(connection, stream)
    streams = [row for row in groups.values() if row["segments"]]
    for row in streams:
        row["segments"].sort(key=lambda one: (one["from_us"], one["stream"]))
        row["from_us"] = row["segments"][0]["from_us"]
        row["to_us"] = max(one["to_us"] for one in row["segments"])
    numerics, truncated = await _numerics(connection, stored)
    starts = [row["from_us"] for row in streams] + [one["at_us"] for one in numerics[:1]]
    ends = [row["to_us"] for row in streams] + [one["at_us"] for one in numerics[-1:]]
    if not starts:
        starts = [one.opened_us for one in stored.attachments] or [server_us()]
        ends = [one.closed_us or server_us() for one in stored.attachments] or starts
    return {
        "from_us": min(starts), "to_us": max(*ends, min(starts)), "streams": streams, "gaps": _gaps(streams),
        "numerics": numerics, "numerics_truncated": truncated,
    }


async def _segments(connection: Connection, stream: StoredStream) -> list[dict[str, Any]]:
    if stream.clock.stepped:  # the islands' cuts know one line of time only
        return await _segments_one_by_one(connection, stream)
    num, den = stream.card.rate or (1, 1)
    rows = await connection.fetch(
        SQL["islands"], stream.card.id, stream.born, stream.closed_stamp, stream.opened_stamp, num, den
    )
    found = []
    for row in rows:
        begin, last = (int(us) for us in stream.clock.to_consultation(
            np.array([row["t0_first"], row["t0_last"]], np.int64)))
        in_last = int(stream.samples_before(np.array([last], np.int64), stream.closed_us)[0])
        past = min(row["past"], row["first_last"] + in_last)
        skip = int(stream.samples_before(np.array([begin], np.int64), stream.opened_us)[0])
        first = row["first"] + skip
        if past <= first:
            continue
        found.append({
            "stream": stream.card.id, "from_us": begin + stream.card.sample_us(skip),
            "to_us": last + stream.card.sample_us(past - row["first_last"]),
            "first_sample": first, "n": past - first,
        })
    return found


async def _segments_one_by_one(connection: Connection, stream: StoredStream) -> list[dict[str, Any]]:
    index = await index_of(connection, stream, 0, OPEN_END_US)
    found = []
    for piece in await asyncio.to_thread(index.pieces, 2**62):
        first, past = int(index.first[piece.begin]), int(index.first[piece.end - 1])
        skip, stop = int(index.skip[piece.begin]), int(index.stop[piece.end - 1])
        found.append({
            "stream": stream.card.id, "from_us": int(index.t0_us[piece.begin]) + stream.card.sample_us(skip),
            "to_us": int(index.t0_us[piece.end - 1]) + stream.card.sample_us(stop),
            "first_sample": first + skip, "n": past + stop - first - skip,
        })
    return found


def _gaps(streams: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Holes of each signal, epochs laid after each other."""
    gaps = []
    for row in streams:
        period_us = 1_000_000 * row["rate"][1] / row["rate"][0]
        past: int | None = None
        for segment in row["segments"]:
            if past is not None and segment["from_us"] - past > period_us:
                gaps.append({"kind": row["kind"], "from_us": past, "to_us": segment["from_us"]})
            past = max(past or 0, segment["to_us"])
    return gaps


async def _numerics(connection: Connection, stored: Stored) -> tuple[list[dict[str, Any]], bool]:
    streams = [one for one in stored.streams if one.card.rate is None]
    if not streams:
        return [], False
    rows = await connection.fetch(
        SQL["frames_of"], [one.card.id for one in streams], [one.born for one in streams],
        [one.closed_stamp for one in streams], [one.opened_stamp for one in streams], NUMERICS_MAX + 1,
    )
    found = await asyncio.to_thread(_read_numerics, sole(streams), rows[:NUMERICS_MAX])
    return found, len(rows) > NUMERICS_MAX


def _read_numerics(streams: dict[int, StoredStream], rows: Sequence[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    times = np.zeros((3, len(rows)), np.int64)  # consultation time, the earliest and the latest it may be
    of_stream = np.array([row["stream_id"] for row in rows], np.int64)
    stamps = np.array([row["t0_us"] for row in rows], np.int64)
    for stream in streams.values():
        ours = of_stream == stream.card.id
        times[:, ours] = stream.clock.to_consultation(stamps[ours]), *stream.clock.bounds(stamps[ours], stamps[ours])
    for row, (at_us, earliest, latest) in zip(rows, times.T.tolist(), strict=True):
        stream = streams[row["stream_id"]]
        if earliest < stream.opened_us or latest >= stream.closed_us:
            continue
        plain = stream.key.open(
            bytes(row["nonce"]), bytes(row["sealed"]), frame_context(row["stream_id"], row["seq"])
        )
        card = stream.card
        found += [
            {**reading, "at_us": at_us, "source": card.device, "origin": card.origin, "derived": False}
            for reading in json.loads(plain)["readings"]
        ]
    found.sort(key=lambda one: int(one["at_us"]))
    return found
