"""The compactor is killed in the middle, over and over: every chunk stays readable, once."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KILLS = 10
STREAMS = 6
CHUNKS = 700
LATE_SECONDS = 0.02  # a kill comes within this after a batch was seen: in the middle of the next
DEADLINE = 60.0
APART = """
select count(*) from stream t left join stream_mark m on m.stream_id = t.id
 where coalesce(m.compacted, '{}') <> coalesce(
   (select range_agg(int8range(first_seq, last_seq, '[]')) from segment s where s.stream_id = t.id), '{}')
"""


async def grown(store: Any, past: int) -> int:
    """Wait until there are more than so many segments."""
    async with asyncio.timeout(DEADLINE):
        async with store.database.connection() as connection:
            while True:
                found: int = await connection.fetchval("select count(*) from segment")
                if found > past:
                    return found
                await asyncio.sleep(0.001)


async def test_ten_kills_lose_and_double_nothing(
    store: Any, ecg: Callable[..., Any], compaction: Any
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    sent = {}
    for one in range(STREAMS):
        stream, samples = await store.stream(), ecg(3, CHUNKS * 100, seed=one)
        chunks = {seq: stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(CHUNKS)}
        for seq in chance.sample(range(CHUNKS), 20):
            del chunks[seq]
        receipt = await store.send(stream, chunks.values())
        assert sorted(receipt.durable) == sorted(chunks)
        sent[one] = stream, chunks
    program = Path(__file__).with_name("compactor_program.py")
    segments, killed_inside = 0, 0
    for kill in range(KILLS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(program), store.urls.server, str(store.key_file))
        segments = await grown(store, segments)
        await asyncio.sleep(chance.uniform(0, LATE_SECONDS))
        process.kill()
        assert await process.wait() == -9
        killed_inside += await uncovered(store) > 0
        for stream, chunks in sent.values():
            assert await store.evidence(stream) == chunks, (seed, kill)
        assert await store.value(APART) == 0, (seed, kill, "what is marked and what is packed are one")
    assert killed_inside >= KILLS // 2, f"seed {seed}: the kills came when all was done"
    await store.compact()
    for stream, chunks in sent.values():
        await store.drop_hot(stream)
        await compaction.all_equal(store, stream, chunks)


async def uncovered(store: Any) -> int:
    found: int = await store.value(
        "select count(*) from chunk c where not coalesce((select compacted @> c.seq from stream_mark m "
        "where m.stream_id = c.stream_id), false)")
    return found


@pytest.mark.parametrize("rivals", [2, 4])
async def test_several_compactors_at_once_pack_each_chunk_once(
    store: Any, ecg: Callable[..., Any], compaction: Any, rivals: int
) -> None:
    sent = []
    for one in range(3):
        stream, samples = await store.stream(), ecg(3, 20_000, seed=one)
        chunks = {seq: stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(200)}
        await store.send(stream, chunks.values())
        sent.append((stream, chunks))
    done = await asyncio.gather(*(store.compact() for _ in range(rivals)))
    assert sum(one.chunks for one in done) == 600
    for stream, chunks in sent:
        await store.drop_hot(stream)
        await compaction.all_equal(store, stream, chunks)
