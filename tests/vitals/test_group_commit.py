"""The commit queue is bounded, keeps what the database does not take, and finds the row that it will not have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from telemed.audit import SYSTEM
from telemed.errors import TelemedError
from telemed.store.database import Database
from telemed.store.sealing import DataKey
from telemed.vitals.commit import QUEUE_BYTES, QUEUE_CHUNKS, Committer, Pending, Shelf


class Notes:
    """A receipt that remembers."""

    def __init__(self) -> None:
        self.durable: list[int] = []
        self.refusals: list[tuple[int, str]] = []

    def committed(self, seqs: Sequence[int]) -> None:
        self.durable.extend(seqs)

    def refused(self, seq: int, error: TelemedError) -> None:
        self.refusals.append((seq, error.code))


def pending(notes: Notes, seq: int, size: int = 100, stream_id: int = 1) -> Pending:
    shelf = Shelf(stream_id, datetime.now(UTC), DataKey(bytes(32)), SYSTEM, uuid4(), notes)
    return Pending(shelf, seq, 0, 0, 1, bytes(size))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_full_queue_makes_the_reader_wait_by_bytes_and_by_chunks() -> None:
    for size, count in ((QUEUE_BYTES // 4, 4), (1, QUEUE_CHUNKS)):
        committer, notes = Committer(Database("postgresql://nowhere/none")), Notes()
        for seq in range(count):
            await committer.put(pending(notes, seq, size))
        more = asyncio.create_task(committer.put(pending(notes, count, size)))
        await settle()
        assert not more.done() and committer.held == (count, count * size)
        committer.start()
        await settle()
        assert not more.done() and committer.away and committer.held[0] == count, "an away database frees nothing"
        assert notes.durable == [] and notes.refusals == []
        more.cancel()
        await committer.kill()


async def test_a_row_that_the_database_will_not_have_holds_up_no_other(clinic: Any, support: Any) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    good, orphan = support.ecg(1, support.now_us()), support.ecg(2, support.now_us())
    orphan.device = "Demo second device"
    for wave in (good, orphan):
        await clinic.announced(station, wave, attachment)
    async with clinic.server.database.connection() as connection:
        await connection.execute("delete from stream where number = 2")
    for seq in range(5):
        for wave in (good, orphan):
            await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, 4)
    for seq in range(5):
        await station.said("error", lambda one, seq=seq: (one["stream"], one["seq"]) == (2, seq))
    codes = {one["error"]["code"] for one in station.messages if one["type"] == "error"}
    assert codes == {"not_stored"}, "not for ever: the station may send it again"
