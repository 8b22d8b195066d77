"""Hot hours are made ahead, dropped when every chunk of them is packed, and never before; days go when they are old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from telemed.vitals.storage import partitions

HOT = "select count(*) from pg_inherits where inhparent = 'chunk'::regclass"


def cut(stream: Any, samples: Any) -> list[bytes]:
    return [stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(samples.shape[1] // 100)]


async def past(store: Any, *hours: int) -> None:
    """Make the partitions of hours in the past, as a server that ran then did."""
    for hour in hours:
        await store.value(
            "select storage_make(now() - $1::interval, now() - $1::interval + interval '1 second')",
            timedelta(hours=hour))


async def test_the_next_hours_are_made_once_and_take_what_is_born_in_them(
    store: Any, ecg: Callable[..., Any]
) -> None:
    made = await partitions.make_ahead(store.database)
    assert made >= 2 * 7 + 2 and await partitions.make_ahead(store.database) == 0
    stream = await store.stream()
    await store.send(stream, cut(stream, ecg(3, 1_000)))
    where = await store.run("select distinct tableoid::regclass::text as name from chunk")
    assert [row["name"] for row in where] == [f"chunk_{stream.born.astimezone(UTC):%Y%m%d_%H}"]
    await store.compact()
    where = await store.run("select distinct tableoid::regclass::text as name from segment")
    assert [row["name"] for row in where] == [f"segment_{stream.born.astimezone(UTC):%Y%m%d}"]


async def test_an_hour_with_rows_in_the_default_partition_stays_there(store: Any, ecg: Callable[..., Any]) -> None:
    stream = await store.stream()
    await store.send(stream, cut(stream, ecg(3, 1_000)))
    await partitions.make_ahead(store.database)
    assert await store.value("select count(*) from chunk_default") == 10
    assert len(await store.evidence(stream)) == 10


async def test_an_hour_is_dropped_when_it_is_old_and_every_chunk_of_it_is_packed(
    store: Any, ecg: Callable[..., Any]
) -> None:
    await past(store, 3, 0)
    stream, empty, young = await store.stream(hours_ago=3), await store.stream(hours_ago=3), await store.stream()
    chunks = cut(stream, ecg(3, 2_000))
    await store.send(stream, chunks[:-1])
    await store.send(young, cut(young, ecg(3, 1_000)))
    await store.send(empty, [])
    before = await store.value(HOT)
    await store.compact()
    await store.send(stream, chunks[-1:])
    dropped = await partitions.drop_done(store.database)
    assert await store.value(HOT) == before - dropped
    assert len(await store.run("select from chunk where stream_id = $1", stream.id)) == 20, "one chunk is not packed"
    await store.compact()
    assert await partitions.drop_done(store.database) == 1
    assert await store.run("select from chunk where stream_id = $1", stream.id) == []
    assert len(await store.run("select from chunk where stream_id = $1", young.id)) == 10, "its hour is young"
    assert await store.evidence(stream) == dict(enumerate(chunks))
    receipt = await store.send(stream, chunks)
    assert len(receipt.durable) == 20 and await store.value("select count(*) from chunk_default") == 0


async def test_a_reader_holds_a_drop_up_and_not_the_other_way_round(store: Any, ecg: Callable[..., Any]) -> None:
    await past(store, 3)
    stream = await store.stream(hours_ago=3)
    chunks = cut(stream, ecg(3, 2_000))
    await store.send(stream, chunks)
    await store.compact()
    hours = await store.value(HOT)
    async with store.database.transaction() as reading:
        await reading.fetch("select seq from chunk where stream_id = $1", stream.id)
        assert await partitions.drop_done(store.database) == 0
        assert await store.value(HOT) == hours
    assert await partitions.drop_done(store.database) >= 1


async def test_rows_of_the_default_partition_go_once_their_mark_has_rested(
    store: Any, ecg: Callable[..., Any]
) -> None:
    stream, numbers = await store.stream(), await store.stream("gatt:2a37")
    chunks = cut(stream, ecg(3, 2_000))
    said = [numbers.envelope(seq, b"\x00\x48") for seq in range(5)]
    await store.send(stream, chunks[:-1])
    await store.send(numbers, said)
    await store.compact()
    await store.send(stream, chunks[-1:])
    await partitions.drop_done(store.database)
    assert await store.value("select count(*) from chunk_default") == 25
    await store.run("update stream_mark set updated_at = now() - interval '61 seconds'")
    await partitions.drop_done(store.database)
    assert [row["seq"] for row in await store.run("select seq from chunk_default")] == [19]
    assert await store.value("select count(*) from frame_default") == 0
    assert await store.evidence(stream) == dict(enumerate(chunks))
    assert await store.evidence(numbers) == dict(enumerate(said))


async def test_old_streams_lose_their_samples_and_those_on_hold_keep_them(store: Any, ecg: Callable[..., Any]) -> None:
    await past(store, 29 * 24, 26 * 24, 25 * 24)
    held_patient, held_attachment = await store.attach()
    old = await store.stream(hours_ago=29 * 24)
    beside = await store.stream(hours_ago=29 * 24, attachment=held_attachment)
    alone = await store.stream(hours_ago=26 * 24, attached=False)
    hot = await store.stream(hours_ago=25 * 24)
    recent = await store.stream(hours_ago=2)
    chunks = {}
    for stream in (old, beside, alone, recent, hot):
        chunks[stream.id] = dict(enumerate(cut(stream, ecg(3, 1_000))))
        await store.send(stream, chunks[stream.id].values())
        if stream is not hot:
            await store.compact()
    await partitions.drop_done(store.database)
    await store.run(
        "insert into legal_hold (id, organisation_id, patient_id, reason_sealed, placed_by) "
        "values ($1, $2, $3, '', $4)",
        uuid4(), store.organisation, held_patient, store.account)
    before = datetime.now(UTC) - timedelta(days=20)
    assert await partitions.expire(store.database, before) == 2
    assert await store.evidence(old) == {} and await store.evidence(alone) == {}
    for stream in (beside, recent, hot):
        assert await store.evidence(stream) == chunks[stream.id]
    tables = {row["relname"] for row in await store.run("select relname from pg_class where relkind = 'r'")}
    assert f"segment_{old.born.astimezone(UTC):%Y%m%d}" in tables, "the other's samples are in it"
    assert f"segment_{alone.born.astimezone(UTC):%Y%m%d}" not in tables, "nobody's are in it"
    assert await partitions.expire(store.database, before) == 0
    await store.run("update legal_hold set lifted_at = now(), lifted_by = $1", store.account)
    await store.compact()
    await partitions.drop_done(store.database)
    assert await partitions.expire(store.database, before) == 2
    assert await store.evidence(beside) == {} and await store.evidence(hot) == {}


@pytest.mark.parametrize(
    "statement",
    ["select storage_expire(now())", "select storage_make(now(), now() + interval '40 days')",
     "select storage_expire(now() + interval '1 day')"],
)
async def test_nobody_makes_or_deletes_too_much_at_once(store: Any, statement: str) -> None:
    with pytest.raises(asyncpg.RaiseError):
        await store.value(statement)


async def test_the_server_drops_no_partition_but_so(store: Any) -> None:
    await past(store, 3)
    name = await store.value(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'chunk'::regclass order by 1 limit 1")
    for statement in (f"drop table {name}", f"alter table chunk detach partition {name}", f"truncate {name}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await store.run(statement)
