"""The compactor's own process: it does all of its chores, waits for a database that is away, and ends when told."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil

from telemed.patient import patients
from telemed.vitals.storage.__main__ import NICE

DEADLINE = 60.0


@asynccontextmanager
async def running(store: Any, tmp_path: Any, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, over the test's database; it ends in order on SIGTERM."""
    environment = {
        **os.environ, "DATABASE_URL": store.urls.server, "TELEMED_HOME": str(tmp_path),
        "TELEMED_KEY_FILE": str(store.key_file), **more,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telemed.vitals.storage", env=environment, stderr=asyncio.subprocess.PIPE)
    try:
        yield process
        process.terminate()
        _, said = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert (process.returncode, said) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(store: Any, statement: str, *values: Any) -> None:
    """Wait until the statement gives true."""
    end = asyncio.get_running_loop().time() + DEADLINE
    while not await store.value(statement, *values):
        assert asyncio.get_running_loop().time() < end, statement
        await asyncio.sleep(0.02)


async def test_it_makes_packs_erases_and_expires(store: Any, ecg: Callable[..., Any], tmp_path: Any) -> None:
    samples = ecg(3, 2_000)
    rests, erased = await store.stream(), await store.stream(attachment=(await store.attach())[1])
    old = await store.stream(hours_ago=80)
    for stream in (rests, erased, old):
        await store.send(stream, [stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(20)])
    await store.compact()
    await store.drop_hot(old)
    await store.send(rests, [rests.wave(seq, samples[:, :100]) for seq in range(20, 40)])
    await store.rest(rests)
    gone = await store.value("select a.patient_id from stream t join attachment a on a.id = t.attachment_id "
                             "where t.id = $1", erased.id)
    async with store.database.transaction() as connection:
        await patients.destroy_key(connection, gone)
    async with running(store, tmp_path, TELEMED_KEEP_DAYS="2") as process:
        await until(store, "select compacted @> 39::bigint from stream_mark where stream_id = $1", rests.id)
        await until(store, "select count(*) > 2 from pg_inherits where inhparent = 'chunk'::regclass")
        await until(store, "select count(*) = 2 from stream where expired_at is not null")
        assert psutil.Process(process.pid).nice() == os.nice(0) + NICE
    assert await store.evidence(old) == {}
    assert len(await store.evidence(rests)) == 40
    assert await store.value("select count(*) from segment where stream_id = $1", erased.id) == 0


async def test_it_waits_for_a_database_that_is_away(
    store: Any, ecg: Callable[..., Any], tmp_path: Any, administer: Callable[[str], None]
) -> None:
    stream, samples = await store.stream(), ecg(3, 2_000)
    await store.send(stream, [stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(20)])
    await store.rest(stream)
    name = await store.value("select current_database()")
    administer(f"alter database {name} with allow_connections false")
    environment = {**os.environ, "DATABASE_URL": store.urls.server, "TELEMED_HOME": str(tmp_path),
                   "TELEMED_KEY_FILE": str(store.key_file)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telemed.vitals.storage", env=environment, stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        said = await asyncio.wait_for(process.stderr.readline(), DEADLINE)
        assert b'"event": "compactor_waits"' in said or b"compactor_" in said
        administer(f"alter database {name} with allow_connections true")
        await until(store, "select count(*) > 0 from segment")
    finally:
        administer(f"alter database {name} with allow_connections true")
        process.terminate()
        await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 0
