"""What was stored of a consultation, in words: which streams, from when to when, with which holes; and numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from telemed.store.database import Connection
from telemed.vitals.clock import server_us
from telemed.vitals.storage.reading import Reader
from telemed.vitals.storage.reading_numbers import Readings, readings
from telemed.vitals.storage.reading_rows import Timeline
from telemed.vitals.stored import OPEN_END_US, Stored, StoredStream

NUMERICS_MAX: Final = 50_000  # of one answer: four hours of three numbers a second


async def summary(connection: Connection, stored: Stored) -> dict[str, Any]:
    """The review's frame: streams with their segments, the holes between these, and every number."""
    waves = [one for one in stored.streams if one.card.rate is not None]
    reader = Reader(connection)
    async with reader.snapshot():
        pictures = await reader.pictures(waves, 0, OPEN_END_US)
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for stream in waves:
        card = stream.card
        row = groups.setdefault(stream.signal, {
            "stream": card.id, "kind": card.kind, "device": card.device, "origin": card.origin,
            "channels": [channel.name for channel in card.channels], "rate": card.rate, "from_us": 0, "to_us": 0,
            "segments": [],
        })
        if card.id in pictures:
            row["segments"] += _segments(stream, pictures[card.id].timeline)
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


def _segments(stream: StoredStream, timeline: Timeline) -> list[dict[str, Any]]:
    return [
        {"stream": stream.card.id, "from_us": from_us, "to_us": to_us, "first_sample": first, "n": past - first}
        for first, past, from_us, to_us in timeline.stretches(stream).tolist()
    ]


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
    chunks: list[Readings] = []
    truncated = False
    async for part in readings(connection, streams, 0, OPEN_END_US):
        chunks += part
        if len(chunks) > 2 * NUMERICS_MAX:  # hot ones, and the oldest of the segments
            truncated = True
            break
    chunks.sort(key=lambda one: (one.at_us, one.stream.card.id, one.seq))
    found = [numeric for one in chunks[:NUMERICS_MAX] for numeric in numerics_of(one)]
    return found, truncated or len(chunks) > NUMERICS_MAX


def numerics_of(chunk: Readings) -> list[dict[str, Any]]:
    """The numbers of a chunk as the review names them (protocol section 7)."""
    card = chunk.stream.card
    return [
        {**reading, "at_us": chunk.at_us, "source": card.device, "origin": card.origin, "derived": False}
        for reading in json.loads(chunk.data)["readings"]
    ]
