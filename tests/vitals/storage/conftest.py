"""Streams of a station in a real database, filled through the real committer, and looked at as an operator would."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from telemed_devices.envelope import Chunk, pack_chunk
from telemed_devices.gatt import decode
from telemed_devices.native import Frame, pack_frame, unpack_frame

from telemed.audit import SYSTEM
from telemed.errors import TelemedError
from telemed.identity import accounts, organisations, stations
from telemed.identity.passwords import hash_password
from telemed.patient import patients
from telemed.patient.patients import Person
from telemed.store.database import Database
from telemed.store.embedded import DatabaseUrls
from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.commit import Committer, Pending, Shelf
from telemed.vitals.lanes import DECODER
from telemed.vitals.numbers import stored_readings
from telemed.vitals.storage import evidence
from telemed.vitals.storage.compactor import Compacted, compact_once
from telemed.vitals.storage.contexts import block_context
from telemed.vitals.storage.pyramid import BUCKETS, LEVELS, unpack_block

T0_US = 1_790_000_000_000_000
RATE = 500
CHUNK = 100  # samples of a chunk: 0.2 s


@dataclass
class Receipt:
    """Who remembers what became of chunks."""

    durable: list[int] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)

    def committed(self, seqs: Sequence[int]) -> None:
        self.durable.extend(seqs)

    def refused(self, seq: int, error: TelemedError) -> None:
        self.refusals.append((seq, error.code))


@dataclass
class Made:
    """A stream that was announced."""

    id: int
    born: datetime
    key: DataKey
    number: int
    format: str
    channels: int

    def wave(self, seq: int, samples: Any, first: int | None = None, **more: Any) -> bytes:
        """A native chunk of samples (channels, n); without ``first`` it follows chunks of ``CHUNK`` samples."""
        first = seq * CHUNK if first is None else first
        fields: dict[str, Any] = {"t0_us": T0_US + first * 1_000_000 // RATE, **more}
        return pack_frame(Frame(self.number, seq, first, samples=np.ascontiguousarray(samples), **fields))

    def envelope(self, seq: int, payload: bytes, t0_us: int | None = None) -> bytes:
        return pack_chunk(Chunk(self.number, seq, T0_US + seq * 1_000_000 if t0_us is None else t0_us, payload))


class Store:
    """An organisation's station with a patient attached, and what is stored of it."""

    def __init__(self, database: Database, urls: DatabaseUrls, sealer: Sealer, key_file: Path) -> None:
        self.database, self.urls, self.sealer, self.key_file = database, urls, sealer, key_file
        self.organisation: UUID
        self.account: UUID
        self.station: Any
        self.patient: UUID
        self.attachment: UUID
        self._numbers = iter(range(1, 100_000))

    async def begin(self) -> None:
        async with self.database.transaction() as connection:
            self.organisation = await organisations.create(connection, "Demo organisation")
            account = await accounts.create(
                connection, self.organisation, "demo-operator", "Demo operator", hash_password("demo password 1"),
                ["operator"])
            self.account = account.id
            self.station = await stations.create(
                connection, self.sealer, self.organisation, "Demo station", "Demo village")
        self.patient, self.attachment = await self.attach()

    async def attach(self, closed: bool = True) -> tuple[UUID, UUID]:
        """Another patient, who was connected to the station once."""
        async with self.database.transaction() as connection:
            made = await patients.create(connection, self.sealer, self.organisation, Person("Demo patient", 1950))
            attachment = uuid4()
            await connection.execute(
                "insert into attachment (id, organisation_id, station_id, patient_id, opened_at, closed_at, opened_by) "
                "select $1, $2, $3, $4, at, case when $6 then at + interval '1 second' end, $5 from "
                "(select coalesce(max(closed_at), now() - interval '1 day') + interval '1 second' as at "
                " from attachment where station_id = $3) a",
                attachment, self.organisation, self.station.id, made.id, self.account, closed)
        return made.id, attachment

    async def stream(
        self, format_: str = "native", channels: int = 3, rate: tuple[int, int] | None = (RATE, 1),
        attachment: UUID | None = None, hours_ago: float = 0.0, attached: bool = True,
    ) -> Made:
        """Announce a stream; ``hours_ago``: born in an earlier hour."""
        key, number = self.sealer.new_key(), next(self._numbers)
        native = format_ == "native"
        named = json.dumps([{"name": f"C{one}", "unit": "uV", "gain": 1.0, "offset": 0.0}
                            for one in range(channels if native else 0)])
        async with self.database.transaction() as connection:
            where = (attachment or self.attachment) if attached else None
            wrapped = await connection.fetchval(
                "select case when $1::uuid is null then (select key_wrapped from station where id = $2) else (select "
                "p.key_wrapped from attachment a join patient p on p.id = a.patient_id where a.id = $1) end",
                where, self.station.id)
            row = await connection.fetchrow(
                "insert into stream (organisation_id, station_id, number, epoch, device, kind, format, origin, source, "
                "rate_num, rate_den, channels, attachment_id, born, started_us, key_wrapped) values "
                "($1, $2, $3, $4, 'Demo device', $5, $6, 'measured', $7, $8, $9, $10::jsonb, $11, "
                "date_trunc('hour', now() - make_interval(secs => $12), 'UTC'), $13, $14) returning id, born",
                self.organisation, self.station.id, number, uuid4(), "ecg" if native else "numbers", format_, uuid4(),
                rate[0] if rate and native else None, rate[1] if rate and native else None, named, where,
                hours_ago * 3600, T0_US, self.sealer.wrap(key, self.sealer.unwrap(bytes(wrapped))))
        return Made(row["id"], row["born"], DataKey(key), number, format_, channels)

    async def send(self, stream: Made, chunks: Iterable[bytes], durable: Container[int] = ()) -> Receipt:
        """Have the committer take these chunks; returns what became of them. ``durable``: numbers known to be so."""
        receipt = Receipt()
        shelf = Shelf(stream.id, stream.born, stream.key, SYSTEM, self.organisation, receipt)
        committer = Committer(self.database)
        committer.start()
        for data in chunks:
            pending = self.pending(shelf, stream, data)
            await committer.put(replace(pending, again=pending.seq in durable))
        await committer._idle.wait()  # however long: a busy machine is no error
        await committer.stop()
        return receipt

    @staticmethod
    def pending(shelf: Shelf, stream: Made, data: bytes) -> Pending:
        """The chunk as the uplink hands it on."""
        seq, t0_us = int.from_bytes(data[16:24], "little"), int.from_bytes(data[24:32], "little")
        if data[:4] == b"TMC1":
            readings = stored_readings(decode(stream.format, data[40:]))
            return Pending(shelf, seq, t0_us, None, None, data, readings, DECODER)
        first, t0_us = int.from_bytes(data[24:32], "little"), int.from_bytes(data[32:40], "little")
        return Pending(shelf, seq, t0_us, first, int.from_bytes(data[12:16], "little"), data)

    async def compact(self, *, all_of_it: bool = True) -> Compacted:
        return await compact_once(self.database, self.sealer, all_of_it=all_of_it)

    async def rest(self, stream: Made, seconds: float = 3_600.0) -> None:
        """Let what is hot have come so long ago."""
        await self.run("update chunk set received_at = now() - make_interval(secs => $2) where stream_id = $1",
                       stream.id, seconds)

    async def evidence(self, stream: Made) -> dict[int, bytes]:
        """Every stored chunk; fails when one comes twice or out of order."""
        found: dict[int, bytes] = {}
        async with self.database.connection() as connection:
            async for seq, data in evidence.chunks(connection, stream.id, stream.born, stream.key):
                assert seq > max(found, default=-1)
                found[seq] = data
        return found

    async def durable(self, stream: Made) -> list[tuple[int, int]]:
        async with self.database.connection() as connection:
            return await evidence.durable(connection, stream.id, stream.born)

    async def drop_hot(self, stream: Made) -> None:
        """Delete the stream's hot rows, as dropping its hour would; fails when a mark does not cover one of them."""
        async with self.database.transaction() as connection:
            left = await connection.fetchval(
                "select count(*) from chunk c where stream_id = $1 and not exists (select from stream_mark m "
                "where m.stream_id = c.stream_id and m.compacted @> c.seq)", stream.id)
            assert left == 0
            await connection.execute("delete from frame where stream_id = $1", stream.id)
            await connection.execute("delete from chunk where stream_id = $1", stream.id)

    async def run(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetch(statement, *values)

    async def value(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchval(statement, *values)


@pytest.fixture
async def store(database: Database, database_urls: DatabaseUrls, key_file: Path) -> AsyncIterator[Store]:
    """A station with a patient, over a fresh database."""
    made = Store(database, database_urls, Sealer.load(key_file), key_file)
    await made.begin()
    yield made


def signal(channels: int, n: int, seed: int = 1) -> Any:
    """Samples like a heart's: small steps, now and then a large one, and some missing."""
    generator = np.random.default_rng(seed)
    steps = generator.normal(0, 9, (channels, n)) + 400 * (generator.random((channels, n)) < 0.004)
    samples = np.clip(np.cumsum(steps - steps.mean(), axis=1), -32_000, 32_000).astype(np.int16)
    samples[generator.random((channels, n)) < 0.002] = np.iinfo(np.int16).min
    return samples


@pytest.fixture
def ecg() -> Callable[..., Any]:
    """The builder of samples (channels, n)."""
    return signal


async def pyramid(store: Any, stream: Any, level: int) -> dict[int, tuple[Any, Any]]:
    """Bucket → (least, greatest) of every channel, of those buckets that hold something."""
    found = {}
    rows = await store.run(
        "select block, nonce, sealed from pyramid where stream_id = $1 and level = $2", stream.id, level)
    for row in rows:
        opened = stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]),
                                 block_context(stream.id, level, row["block"]))
        mins, maxs = unpack_block(opened)
        nothing = np.iinfo(mins.dtype).min
        for at in np.flatnonzero((maxs != nothing).any(axis=0)).tolist():
            found[row["block"] * BUCKETS + at] = (mins[:, at].tolist(), maxs[:, at].tolist())
    return found


def least_and_greatest(chunks: dict[int, bytes], level: int) -> dict[int, tuple[Any, Any]]:
    """The same from the chunks themselves, sample by sample."""
    held: dict[int, list[Any]] = {}
    for data in chunks.values():
        frame = unpack_frame(data)
        index = frame.first_sample + np.arange(frame.n)
        for bucket in np.unique(index // level).tolist():
            held.setdefault(bucket, []).append(frame.samples[:, index // level == bucket].astype(np.int64))
    found = {}
    for bucket, parts in held.items():
        samples = np.concatenate(parts, axis=1)
        nothing = np.iinfo(unpack_frame(next(iter(chunks.values()))).samples.dtype).min
        least = [int(row[row != nothing].min(initial=2**40)) for row in samples]
        greatest = [int(row[row != nothing].max(initial=-(2**40))) for row in samples]
        if all(one == 2**40 for one in least):
            continue
        found[bucket] = ([nothing if one == 2**40 else one for one in least],
                         [nothing if one == -(2**40) else one for one in greatest])
    return found


async def all_equal(store: Any, stream: Any, chunks: dict[int, bytes]) -> None:
    """Evidence and pyramid are what was sent."""
    assert await store.evidence(stream) == chunks
    async with store.database.connection() as connection:
        some = sorted(chunks)[::7]
        got = await evidence.chunk_bytes(connection, stream.id, stream.born, stream.key, [*some, 10**9])
    assert got == {seq: chunks[seq] for seq in some}
    for level in LEVELS:
        assert await pyramid(store, stream, level) == least_and_greatest(chunks, level)


@pytest.fixture
def compaction() -> Any:
    """This module, for what looks at the pyramid."""
    return sys.modules[__name__]
