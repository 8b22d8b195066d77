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
from telemed.vitals.stored import Stored, StoredStream, sole

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
    rows = await connection.fetch(SQL["islands"], stream.card.id, stream.born, stream.closed_stamp)
    found = []
    for row in rows:
        begin, last = (int(us) for us in stream.clock.to_consultation(
            np.array([row["t0_first"], row["t0_last"]], np.int64)))
        in_last = int(stream.samples_before(np.array([last], np.int64), stream.closed_us)[0])
        past = min(row["past"], row["first_last"] + in_last)
        if past <= row["first"]:
            continue
        found.append({
            "stream": stream.card.id, "from_us": begin,
            "to_us": last + stream.card.sample_us(past - row["first_last"]),
            "first_sample": row["first"], "n": past - row["first"],
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
        [one.closed_stamp for one in streams], NUMERICS_MAX + 1,
    )
    found = await asyncio.to_thread(_read_numerics, sole(streams), rows[:NUMERICS_MAX])
    return found, len(rows) > NUMERICS_MAX


def _read_numerics(streams: dict[int, StoredStream], rows: Sequence[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for row in rows:
        stream = streams[row["stream_id"]]
        at_us = row["t0_us"] + stream.clock.offset_us(row["t0_us"])
        if at_us >= stream.closed_us:
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
