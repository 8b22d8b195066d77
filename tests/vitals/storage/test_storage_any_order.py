"""Any order, any number of times, compacted and dropped at any moment: the evidence is what was acknowledged, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telemed_devices.gatt import encode_heart_rate

CHUNKS = 24
SIZE = 400  # samples a chunk: 0.8 s, so that a stream is several segments

numbers = st.integers(0, CHUNKS - 1)
steps = st.one_of(
    st.tuples(st.just("send"), st.lists(numbers, min_size=1, max_size=CHUNKS)),
    st.tuples(st.just("forge"), numbers),
    st.tuples(st.just("compact"), st.booleans()),
    st.tuples(st.just("drop"), st.none()),
    st.tuples(st.just("rest"), st.none()),
    st.tuples(st.just("both"), st.lists(numbers, min_size=1, max_size=CHUNKS)),
)


async def drop(store: Any, stream: Any) -> None:
    """What marks cover is dropped from the hot rows, as if its hour went."""
    await store.run("delete from frame f using stream_mark m where f.stream_id = $1 and m.stream_id = $1 "
                    "and m.compacted @> f.seq", stream.id)
    await store.run("delete from chunk c using stream_mark m where c.stream_id = $1 and m.stream_id = $1 "
                    "and m.compacted @> c.seq", stream.id)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=st.lists(steps, min_size=1, max_size=12), native=st.booleans(), jump=st.integers(0, CHUNKS))
async def test_evidence_is_what_was_acknowledged(
    store: Any, ecg: Callable[..., Any], compaction: Any, schedule: list[Any], native: bool, jump: int
) -> None:
    stream = await store.stream("native" if native else "gatt:2a37")
    samples = ecg(3, CHUNKS * SIZE)
    chunks, forged = {}, {}
    for seq in range(CHUNKS):
        if native:  # from chunk ``jump`` on, the station claims samples that it has claimed before
            first = (seq if seq < jump else seq - jump // 2) * SIZE
            part = samples[:, seq * SIZE : (seq + 1) * SIZE]
            chunks[seq] = stream.wave(seq, part, first)
            forged[seq] = stream.wave(seq, part[:, ::-1], first)
        else:
            chunks[seq] = stream.envelope(seq, encode_heart_rate(60 + seq))
            forged[seq] = stream.envelope(seq, encode_heart_rate(160))
    acknowledged: set[int] = set()
    for step, what in schedule:
        if step == "send":
            acknowledged |= set((await store.send(stream, [chunks[seq] for seq in what], set(acknowledged))).durable)
            assert acknowledged >= set(what)
        elif step == "forge" and what in acknowledged:
            for known in (set(), acknowledged):
                receipt = await store.send(stream, [forged[what]], known)
                assert (receipt.durable, receipt.refusals) == ([], [(what, "chunk_differs")])
        elif step == "compact":
            await store.compact(all_of_it=what)
        elif step == "drop":
            await drop(store, stream)
        elif step == "rest":
            await store.rest(stream)
        elif step == "both":
            receipt, _ = await asyncio.gather(
                store.send(stream, [chunks[seq] for seq in what], set(acknowledged)), store.compact())
            acknowledged |= set(receipt.durable)
        expected = {seq: chunks[seq] for seq in sorted(acknowledged)}
        assert await store.evidence(stream) == expected
        ranges = await store.durable(stream)
        assert [seq for first, last in ranges for seq in range(first, last + 1)] == sorted(acknowledged)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))
    await store.compact()
    await drop(store, stream)
    if native and acknowledged:
        await compaction.all_equal(store, stream, {seq: chunks[seq] for seq in sorted(acknowledged)})
    assert await store.evidence(stream) == {seq: chunks[seq] for seq in sorted(acknowledged)}
