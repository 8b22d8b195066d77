"""What each statement of the product does in the simulated store."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from telemed.store.database import DatabaseFull
from tests.faults.simulated_store import STATEMENTS, Key, Row, Store, Transaction

# Each sees what is committed and what its own transaction did.


def _rows(transaction: Transaction, table: str, committed: dict[Any, Row]) -> dict[Any, Row]:
    own = {key: row for (kind, key), row in transaction.rows.items() if kind == table}
    return {**committed, **own}


async def _nothing(store: Store, transaction: Transaction, *values: Any) -> list[Row]:
    return []


async def station_key(store: Store, transaction: Transaction, station: int) -> list[Row]:
    return [{"key_wrapped": store.station_key}]


async def find_stream(
    store: Store, transaction: Transaction, station: int, device: str, kind: str, epoch: UUID
) -> list[Row]:
    every = _rows(transaction, "stream", store.tables.streams).values()
    return [row for row in every if (row["device"], row["kind"], row["epoch"]) == (device, kind, epoch)]


async def insert_stream(store: Store, transaction: Transaction, *values: Any) -> list[Row]:
    (_, _, number, epoch, device, kind, format_, origin, source, num, den, channels, attachment, started_us,
     key) = values  # fmt: skip
    stream_id, store.next_id = store.next_id, store.next_id + 1  # a number that is not used is not used again

    def there() -> bool:
        return any(row["number"] == number or (row["epoch"] == epoch and row["kind"] == kind)
                   for row in store.tables.streams.values())

    if await store.hold(transaction, ("stream", number), there):
        hour = datetime.fromtimestamp(store.wall_us() // 3_600_000_000 * 3600, UTC)
        row = {
            "id": stream_id, "number": number, "epoch": epoch, "device": device, "kind": kind, "format": format_,
            "origin": origin, "source": source, "rate_num": num, "rate_den": den, "channels": channels,
            "attachment_id": attachment, "born": hour, "started_us": started_us, "key_wrapped": key,
        }  # fmt: skip
        transaction.rows["stream", stream_id] = row
        transaction.done.append(lambda tables: tables.streams.__setitem__(stream_id, row))
    return []


async def durable_ranges(store: Store, transaction: Transaction, stream_id: int, born: datetime) -> list[Row]:
    rows: list[Row] = []
    for seq in sorted(store.durable(stream_id)):
        if rows and rows[-1]["last"] == seq - 1:
            rows[-1]["last"] = seq
        else:
            rows.append({"first": seq, "last": seq})
    return rows


async def newest_frame(store: Store, transaction: Transaction, stream_id: int, born: datetime) -> list[Row]:
    found = [(seq, row) for (stream, seq), row in store.tables.frames.items() if stream == stream_id]
    return [{"seq": seq, **row} for seq, row in sorted(found, key=lambda one: one[0])[-1:]]


async def insert_chunks(store: Store, transaction: Transaction, *columns: Any) -> list[Row]:
    if store.trouble.full:
        raise DatabaseFull()
    inserted = []
    for stream_id, _, seq, t0_us, first, n, nonce, sealed in zip(*columns, strict=True):
        key = (stream_id, seq)

        def there(key: Key = key) -> bool:
            return key in store.tables.chunks or key[1] in store.tables.packed.get(key[0], ())

        if await store.hold(transaction, ("chunk", key), there):
            row = {"t0_us": t0_us, "first_sample": first, "n": n, "nonce": bytes(nonce), "sealed": bytes(sealed)}
            transaction.rows["chunk", key] = row
            transaction.done.append(lambda tables, key=key, row=row: tables.chunks.__setitem__(key, row))  # type: ignore[misc]
            inserted.append({"stream_id": stream_id, "seq": seq})
    return inserted


async def insert_frames(store: Store, transaction: Transaction, *columns: Any) -> list[Row]:
    for stream_id, _, seq, t0_us, decoder, nonce, sealed in zip(*columns, strict=True):
        key = (stream_id, seq)
        if await store.hold(transaction, ("frame", key), lambda key=key: key in store.tables.frames):  # type: ignore[misc]
            row = {"t0_us": t0_us, "decoder": decoder, "nonce": bytes(nonce), "sealed": bytes(sealed)}
            transaction.done.append(lambda tables, key=key, row=row: tables.frames.__setitem__(key, row))  # type: ignore[misc]
    return []


async def insert_framed(store: Store, transaction: Transaction, *columns: Any) -> list[Row]:
    inserted = await insert_chunks(store, transaction, *columns[:8])
    kept = {(row["stream_id"], row["seq"]) for row in inserted}
    stamps = {(stream, seq): (born, t0_us) for stream, born, seq, t0_us in zip(*columns[:4], strict=True)}
    framed = [
        (stream, stamps[stream, seq][0], seq, stamps[stream, seq][1], decoder, nonce, sealed)
        for stream, seq, decoder, nonce, sealed in zip(*columns[8:], strict=True) if (stream, seq) in kept
    ]  # fmt: skip
    await insert_frames(store, transaction, *([list(column) for column in zip(*framed, strict=True)] or [[]] * 7))
    return inserted


async def stored_nonces(store: Store, transaction: Transaction, *columns: Any) -> list[Row]:
    chunks = _rows(transaction, "chunk", store.tables.chunks)
    return [
        {"stream_id": stream, "seq": seq, "nonce": chunks[stream, seq]["nonce"]}
        for stream, _, seq in zip(*columns, strict=True) if (stream, seq) in chunks
    ]  # fmt: skip


async def stored_runs(store: Store, transaction: Transaction, *columns: Any) -> list[Row]:
    chunks = _rows(transaction, "chunk", store.tables.chunks)
    found = []
    for run, (stream, _, first, last) in enumerate(zip(*columns, strict=True), 1):
        nonces = [chunks[stream, seq]["nonce"] for seq in range(first, last + 1) if (stream, seq) in chunks]
        found.append({"run": run, "nonces": b"".join(nonces) if nonces else None})
    return found


async def hot_bytes(
    store: Store, transaction: Transaction, stream_id: int, born: datetime, seqs: list[int]
) -> list[Row]:
    chunks = store.tables.chunks
    return [
        {"seq": seq, "nonce": chunks[stream_id, seq]["nonce"], "sealed": chunks[stream_id, seq]["sealed"]}
        for seq in seqs if (stream_id, seq) in chunks
    ]  # fmt: skip


async def segments_of(
    store: Store, transaction: Transaction, stream_id: int, born: datetime, seqs: list[int]
) -> list[Row]:
    found = [
        {"first_seq": first, **row} for (stream, first), row in store.tables.segments.items()
        if stream == stream_id and any(first <= seq <= row["last_seq"] for seq in seqs)
    ]  # fmt: skip
    return sorted(found, key=lambda row: row["first_seq"])


async def newest_envelopes(store: Store, transaction: Transaction, stream_id: int, born: datetime) -> list[Row]:
    found = [{"first_seq": first, **row} for (one, first), row in store.tables.segments.items() if one == stream_id]
    return sorted(found, key=lambda row: row["first_seq"])[-1:]


async def expired(store: Store, transaction: Transaction, stream_id: int) -> list[Row]:
    return [{"expired": False}]


async def append(store: Store, transaction: Transaction, *values: Any) -> list[Row]:
    row = {"action": values[3], "outcome": values[4], "object_id": values[6], "detail": json.loads(values[8])}
    transaction.done.append(lambda tables: tables.audit.append(row))
    return []


async def put_fix(
    store: Store, transaction: Transaction, source: UUID, station: int, at: datetime, offset_us: int, error_us: int
) -> list[Row]:
    row = {"at": at, "offset_us": offset_us, "error_us": error_us}
    transaction.done.append(lambda tables: tables.fixes.__setitem__((source, at), row))
    return []


async def drop_fix(store: Store, transaction: Transaction, source: UUID, at: datetime, station: int) -> list[Row]:
    transaction.done.append(lambda tables: (tables.fixes.pop((source, at), None), None)[1])
    return []


async def last_fix(store: Store, transaction: Transaction, source: UUID, station: int) -> list[Row]:
    found = [row for (one, _), row in store.tables.fixes.items() if one == source]
    found.sort(key=lambda row: row["at"].timestamp() * 1_000_000 - row["offset_us"])
    return found[-1:]


STATEMENTS.update({
    "patient.attachment_current": _nothing,
    "identity.station_seen": _nothing,
    "consultation.current_at_station": _nothing,
    "vitals.closed_attachments": _nothing,
    "vitals.station_key": station_key,
    "vitals.find_stream": find_stream,
    "vitals.insert_stream": insert_stream,
    "storage.durable_ranges": durable_ranges,
    "storage.newest_frame": newest_frame,
    "storage.newest_envelopes": newest_envelopes,
    "vitals.expired": expired,
    "vitals.insert_chunks": insert_chunks,
    "vitals.insert_framed": insert_framed,
    "vitals.stored_nonces": stored_nonces,
    "vitals.stored_runs": stored_runs,
    "storage.hot_bytes": hot_bytes,
    "storage.segments_of": segments_of,
    "audit.append": append,
    "vitals.put_fix": put_fix,
    "vitals.drop_fix": drop_fix,
    "vitals.last_fix": last_fix,
})
