"""Readings made again from the evidence by the decoder of today: hot ones, and those in segments of envelopes.

The envelopes are what the stations sent and stay as they are, bit for bit; only what was read in them is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from telemed_devices.envelope import unpack_chunk
from telemed_devices.faults import ChunkError

from telemed.audit import SYSTEM, record
from telemed.errors import NotFound
from telemed.store.database import Connection, Database, load_sql
from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.storage.contexts import chunk_context, frame_context, segment_context
from telemed.vitals.storage.envelopes import Envelope, Reading, pack_envelopes, unpack_envelopes

SQL = load_sql("storage")
STREAMS_READ: Final = 256
ROWS: Final = 256  # hot chunks of one transaction
SEGMENTS: Final = 8  # of one transaction

Decode = Callable[[str, bytes], bytes]
"""Format and payload → the JSON of the readings, as a frame has it."""


@dataclass(frozen=True, slots=True)
class Redecoded:
    """How much was read again, and how many chunks read otherwise than before."""

    streams: int = 0
    chunks: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True)
class _Stream:
    id: int
    born: Any
    format: str
    key: DataKey
    decode: Decode
    decoder: str

    def read(self, data: bytes) -> Reading | None:
        """What today's decoder reads in an envelope; None for what is none."""
        try:
            return Reading(self.decoder, self.decode(self.format, unpack_chunk(data).payload))
        except ChunkError:
            return None


async def redecode(
    database: Database, sealer: Sealer, decode: Decode, decoder: str, *, stream_id: int | None = None,
    dry_run: bool = False, tell: Callable[[int, int], None] = lambda done, of: None,
) -> Redecoded:
    """Read the envelopes of one stream or of all again and keep what ``decode`` (named ``decoder``) gives.

    With ``dry_run`` nothing is written. ``tell`` hears how many streams of how many are done. Streams of patients whose
    key is destroyed and streams without samples any more are left out. Raises ``NotFound`` for a stream that is not
    there or is native; audited.
    """
    async with database.transaction() as connection:
        of = await connection.fetchval(SQL["redecoded_count"], stream_id)
        if stream_id is not None and not of:
            raise NotFound()
        if not dry_run:
            await record(connection, SYSTEM, "storage.redecode", "event", detail={"decoder": decoder, "streams": of})
    total = Redecoded()
    async for row in _streams(database, stream_id):
        key = DataKey(sealer.unwrap(bytes(row["key_wrapped"]), sealer.unwrap(bytes(row["owner_key"]))))
        stream = _Stream(row["id"], row["born"], row["format"], key, decode, decoder)
        chunks, changed = await _hot(database, stream, dry_run)
        more, otherwise = await _packed(database, stream, dry_run)
        total = Redecoded(total.streams + 1, total.chunks + chunks + more, total.changed + changed + otherwise)
        if changed + otherwise and not dry_run:
            async with database.connection() as connection:
                await record(
                    connection, SYSTEM, "storage.redecode", "event", object_kind="stream", object_id=str(stream.id),
                    organisation_id=row["organisation_id"], patient_id=row["patient_id"],
                    detail={"decoder": decoder, "chunks": chunks + more, "changed": changed + otherwise},
                )
        tell(total.streams, of)
    return total


async def _streams(database: Database, stream_id: int | None) -> AsyncIterator[Any]:
    after = 0
    while True:
        async with database.connection() as connection:
            rows = await connection.fetch(SQL["redecoded_streams"], stream_id, after, STREAMS_READ)
        for row in rows:
            yield row
        if len(rows) < STREAMS_READ:
            return
        after = rows[-1]["id"]


async def _hot(database: Database, stream: _Stream, dry_run: bool) -> tuple[int, int]:
    """Chunks that no segment holds, and how many of them read otherwise now."""
    at, chunks, changed = 0, 0, 0
    while True:
        async with database.transaction() as connection:
            if not dry_run:  # what the compactor has read of it meanwhile, it throws away
                await connection.execute(SQL["mark_make"], [stream.id])
                await connection.execute(SQL["mark_redecoded"], stream.id)
            rows = await connection.fetch(SQL["hot_readings"], stream.id, stream.born, at, ROWS)
            fresh = await asyncio.to_thread(_fresh, stream, rows)
            if fresh and not dry_run:
                await _put_frames(connection, stream, fresh)
        chunks, changed = chunks + len(rows), changed + len(fresh)
        if len(rows) < ROWS:
            return chunks, changed
        at = rows[-1]["seq"] + 1


Fresh = tuple[int, int, bytes, bytes]  # seq, t0_us, nonce and sealed readings


def _fresh(stream: _Stream, rows: Sequence[Mapping[str, Any]]) -> list[Fresh]:
    found: list[Fresh] = []
    for row in rows:
        context = chunk_context(stream.id, row["seq"])
        reading = stream.read(stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]), context))
        if reading is None:
            continue
        # The same text gives the same nonce: what is there need not be opened to be compared.
        nonce, sealed = stream.key.seal(reading.data, frame_context(stream.id, row["seq"]))
        if row["frame_nonce"] is None or bytes(row["frame_nonce"]) != nonce or row["decoder"] != stream.decoder:
            found.append((row["seq"], row["t0_us"], nonce, sealed))
    return found


async def _put_frames(connection: Connection, stream: _Stream, fresh: Sequence[Fresh]) -> None:
    seqs, stamps, nonces, sealed = map(list, zip(*fresh, strict=True))
    count = len(fresh)
    await connection.execute(
        SQL["put_frames"], [stream.id] * count, [stream.born] * count, seqs, stamps, [stream.decoder] * count, nonces,
        sealed,
    )


async def _packed(database: Database, stream: _Stream, dry_run: bool) -> tuple[int, int]:
    """Chunks in segments of envelopes, and how many of them read otherwise now."""
    at, chunks, changed = 0, 0, 0
    while True:
        async with database.transaction() as connection:
            rows = await connection.fetch(SQL["envelopes_from"], stream.id, stream.born, at, SEGMENTS)
            for row in rows:
                count, otherwise, sealed = await asyncio.to_thread(_again, stream, row)
                chunks, changed = chunks + count, changed + otherwise
                if sealed is not None and not dry_run:
                    await connection.execute(
                        SQL["replace_envelopes"], stream.id, stream.born, row["first_seq"], *sealed)
        if len(rows) < SEGMENTS:
            return chunks, changed
        at = rows[-1]["last_seq"] + 1


def _again(stream: _Stream, row: Mapping[str, Any]) -> tuple[int, int, tuple[bytes, bytes] | None]:
    context = segment_context(stream.id, row["first_seq"])
    old = unpack_envelopes(stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]), context))
    new = [_read_again(stream, one) for one in old.rows]
    changed = sum(a != b for a, b in zip(old.rows, new, strict=True))
    if not changed:
        return len(new), 0, None
    return len(new), changed, stream.key.seal(pack_envelopes(old.first_seq, new), context)


def _read_again(stream: _Stream, one: Envelope) -> Envelope:
    reading = stream.read(one.data)
    return one if reading is None else replace(one, reading=reading)
