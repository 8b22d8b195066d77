"""The checker says what is wrong with a broken copy, and says that a whole one is good."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from telemed.audit import SYSTEM
from telemed.errors import TelemedError
from telemed.identity import stations
from telemed.store.database import Database
from telemed.store.embedded import DatabaseUrls
from telemed.store.sealing import Sealer
from telemed.vitals.commit import Committer, Pending, Shelf
from telemed.vitals.messages import AnnouncedStream
from telemed.vitals.storage.compactor import compact_once
from telemed.vitals.storage.contexts import chunk_context
from telemed.vitals.streams import OpenedStream, open_stream
from tests.faults.checker import NAMED
from tests.faults.frames import SAMPLES, described_wave, wave_chunks
from tests.faults.history import History
from tests.faults.owner import DELETE_HOT, run_checker
from tests.faults.seeding import seed_stations

CHUNKS = 60  # sent; the last is not acknowledged
LEADS = 3
STARTED_US = 1_780_000_000_000_000

wave_chunk = wave_chunks(LEADS)


class Receipts:
    """What the committer said."""

    def __init__(self) -> None:
        self.durable: set[int] = set()

    def committed(self, seqs: Sequence[int]) -> None:
        self.durable.update(seqs)

    def refused(self, seq: int, error: TelemedError) -> None:
        raise error


@dataclass
class Kept:
    """A database with one stream of ``CHUNKS`` chunks, and its history."""

    history: Path
    urls: DatabaseUrls
    key_file: Path
    stream: OpenedStream
    owner: Any

    async def report(self) -> dict[str, Any]:
        return await run_checker(self.history, self.urls.owner, self.key_file)

    async def pack(self) -> None:
        """Into segments, and the hot rows away."""
        database = Database(self.urls.server)
        await database.open()
        try:
            await compact_once(database, Sealer.load(self.key_file), all_of_it=True)
        finally:
            await database.close()
        for table in ("chunk", "frame"):
            await self.owner.execute(DELETE_HOT.format(table))
        assert await self.owner.fetchval("select count(*) from chunk") == 0

    async def found(self, what: str) -> list[str]:
        """The report is red, and this is what it names."""
        report = await self.report()
        assert report["status"] == 1 and not report["good"]
        assert 0 < len(report["named"][what]) == min(report["counts"][what], NAMED)
        names: list[str] = report["named"][what]
        return names


@pytest.fixture
async def kept(database_urls: DatabaseUrls, key_file: Path, tmp_path: Path) -> AsyncIterator[Kept]:
    made = (await seed_stations(database_urls.server, key_file, 1))[0]
    sealer, database = Sealer.load(key_file), Database(database_urls.server)
    await database.open()
    owner = await asyncpg.connect(database_urls.owner)
    history = History(tmp_path / "history.jsonl")
    try:
        async with database.connection() as connection:
            station = await stations.get(connection, made["id"])
        epoch = uuid.uuid4()
        described = described_wave(LEADS)
        described |= {"rate": tuple(described["rate"]), "channels": tuple(described["channels"])}
        announced = AnnouncedStream(
            number=1, epoch=epoch, origin="simulated", attachment=None, started_us=STARTED_US, **described)
        opened = await open_stream(database, sealer, station, uuid.uuid4(), announced)
        receipts = Receipts()
        shelf = Shelf(opened.card.id, opened.born, opened.key, SYSTEM, station.organisation_id, receipts)
        committer = Committer(database)
        history.add(run=0)
        history.add(stream=0, station=station.id, number=1, epoch=str(epoch))
        committer.start()
        for seq in range(CHUNKS):
            t0_us = STARTED_US + seq * 200_000
            data = wave_chunk(1, seq, t0_us, seq)
            history.add(sent=0, seq=seq, sha256=hashlib.sha256(data).hexdigest())
            await committer.put(Pending(shelf, seq, t0_us, seq * SAMPLES, SAMPLES, data))
        await committer.stop()
        assert receipts.durable == set(range(CHUNKS))
        history.add(acked=0, ranges=[[0, 9], [10, CHUNKS - 2]])
        history.flush()
        yield Kept(tmp_path / "history.jsonl", database_urls, key_file, opened, owner)
    finally:
        history.close()
        await owner.close()
        await database.close()


@pytest.mark.parametrize("packed", [False, True])
async def test_a_whole_copy_is_good(kept: Kept, packed: bool) -> None:
    if packed:
        await kept.pack()
    report = await kept.report()
    assert report["status"] == 0 and report["good"]
    assert (report["sent"], report["stored"], report["acknowledged"]) == (CHUNKS, CHUNKS, CHUNKS - 1)
    assert report["unacknowledged_stored"] == 1


async def test_what_was_not_acknowledged_may_be_absent(kept: Kept) -> None:
    await kept.owner.execute("delete from chunk where seq = $1", CHUNKS - 1)
    report = await kept.report()
    assert report["status"] == 0 and report["unacknowledged_stored"] == 0


async def test_a_deleted_chunk_is_missing(kept: Kept) -> None:
    await kept.owner.execute("delete from chunk where seq = 7")
    assert await kept.found("missing") == ["station 1 stream 1 chunk 7"]


async def test_a_flipped_bit_is_altered(kept: Kept) -> None:
    await kept.owner.execute("update chunk set sealed = set_bit(sealed, 99, 1 - get_bit(sealed, 99)) where seq = 7")
    assert "station 1 stream 1 chunk 7" in await kept.found("altered")


async def test_other_bytes_under_a_true_seal_are_altered(kept: Kept) -> None:
    other = wave_chunk(1, 7, STARTED_US + 7 * 200_000, 8)
    nonce, sealed = kept.stream.key.seal(other, chunk_context(kept.stream.card.id, 7))
    await kept.owner.execute("update chunk set nonce = $1, sealed = $2 where seq = 7", nonce, sealed)
    assert await kept.found("altered") == ["station 1 stream 1 chunk 7"]


async def test_a_second_row_is_doubled(kept: Kept) -> None:
    await kept.owner.execute(
        "insert into chunk select stream_id, born - interval '1 hour', seq, t0_us, first_sample, n, received_at, nonce,"
        " sealed from chunk where seq = 7")
    assert await kept.found("doubled") == ["station 1 stream 1 chunk 7"]


async def test_a_chunk_that_nobody_sent_is_found(kept: Kept) -> None:
    data = wave_chunk(1, CHUNKS, STARTED_US + CHUNKS * 200_000, 0)
    nonce, sealed = kept.stream.key.seal(data, chunk_context(kept.stream.card.id, CHUNKS))
    await kept.owner.execute(
        "insert into chunk select stream_id, born, $1, t0_us, first_sample, n, received_at, $2, $3 from chunk"
        " where seq = 7", CHUNKS, nonce, sealed)
    assert await kept.found("never_sent") == [f"station 1 stream 1 chunk {CHUNKS}"]


async def test_a_deleted_segment_is_missing_and_claimed(kept: Kept) -> None:
    await kept.pack()
    first, last = await kept.owner.fetchrow("select first_seq, last_seq from segment order by first_seq limit 1")
    await kept.owner.execute("delete from segment where first_seq = $1", first)
    report = await kept.report()
    assert report["status"] == 1
    acknowledged = min(last, CHUNKS - 2) - first + 1
    assert (report["counts"]["missing"], report["counts"]["claimed"]) == (acknowledged, last - first + 1)


async def test_an_altered_segment_is_found(kept: Kept) -> None:
    await kept.pack()
    await kept.owner.execute(
        "update segment set sealed = set_bit(sealed, 99, 1 - get_bit(sealed, 99))"
        " where first_seq = (select min(first_seq) from segment)")
    assert "station 1 stream 1 chunk 0" in await kept.found("altered")


async def test_two_segments_of_one_chunk_double_it(kept: Kept) -> None:
    await kept.pack()
    await kept.owner.execute(
        "insert into segment select stream_id, born - interval '1 hour', first_seq, last_seq, codec, t0_us, t1_us,"
        " first_sample, n, nonce, sealed from segment order by first_seq limit 1")
    assert await kept.found("doubled")
