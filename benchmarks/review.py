"""A day of a 12-lead ECG at 500 Hz: how fast any window of it is read, at storage and over HTTP, and how large it is.

The peer of each window is the same answer made from the chunks as they came (no segments, no pyramid), in the same run;
of one hour at the most, because nobody would wait for more.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import asyncpg
import numpy as np
from _report import Row, percentile, report
from _review_store import LOGIN, RATE, World, ecg, hour, store_hour, world

HOURS = int(os.environ.get("TELEMED_HOURS", "24"))
PIXELS = 2_000
REPEATS = 40
SCANS = 3
WINDOWS = {"10 s": 10, "1 min": 60, "10 min": 600, "1 h": 3_600, "6 h": 21_600, "24 h": 86_400, "7 d": 604_800}


def spans(where: World, seconds: int, count: int) -> list[tuple[int, int]]:
    """Windows of this length, spread over the day; one longer than the day ends with it."""
    length, day = seconds * 1_000_000, HOURS * 3_600_000_000
    if length >= day:
        return [(where.begin_us + day - length, where.begin_us + day)] * count
    steps = np.linspace(0, day - length, count).astype(np.int64)
    return [(where.begin_us + int(step), where.begin_us + int(step) + length) for step in steps]


async def at_storage(database: object, sealer: object, where: World, seconds: int, count: int) -> list[float]:
    """Seconds that each answer takes, from the opened consultation to the last byte."""
    from telemed.store.database import Database
    from telemed.store.sealing import Sealer
    from telemed.vitals import waves
    from telemed.vitals.stored import open_stored

    assert isinstance(database, Database) and isinstance(sealer, Sealer)
    took = []
    async with database.connection() as connection:
        stored = await open_stored(connection, sealer, where.consultation)
        for from_us, to_us in spans(where, seconds, count):
            began = time.perf_counter()
            async for _ in waves.answer(connection, stored.waves("ecg"), waves.Window(from_us, to_us, "raw", PIXELS)):
                pass
            took.append(time.perf_counter() - began)
    return took


async def over_http(address: str, password: str, where: World, seconds: int) -> tuple[list[float], float]:
    """Seconds from asking to the last byte, and the bytes of an answer."""
    took, size = [], 0
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(address, cookie_jar=jar) as http:
        credentials = {"login": LOGIN, "password": password}
        async with http.post("/api/v1/sign-in", json=credentials, headers={"Origin": address}) as answer:
            answer.raise_for_status()
        path = f"/api/v1/consultations/{where.consultation}/waves"
        for from_us, to_us in spans(where, seconds, REPEATS):
            query = f"?kind=ecg&view=raw&from_us={from_us}&to_us={to_us}&columns={PIXELS}"
            began = time.perf_counter()
            async with http.get(path + query) as answer:
                size = len(await answer.read())
                assert answer.status == 200
            took.append(time.perf_counter() - began)
    return took, size


async def prepare(home: Path, password: str) -> tuple[World, list[Row]]:
    """Store the day, measure at storage; the database is stopped again."""
    from telemed.cli.serve import prepare_schema
    from telemed.settings import Settings
    from telemed.store.database import Database
    from telemed.store.embedded import running_database
    from telemed.store.sealing import Sealer
    from telemed.vitals.storage.compactor import compact_once

    settings = Settings(home=home)
    sealer = Sealer.load(settings.installation_key_file)
    rows: list[Row] = []
    async with running_database(settings) as urls:
        await prepare_schema(settings, urls)
        database = Database(urls.server)
        await database.open()
        where = await world(database, sealer, password, HOURS)
        tile, scans = ecg(), {}
        for number in range(HOURS):
            await store_hour(database, sealer, where, number, await asyncio.to_thread(hour, tile, number))
            if number == 0:
                for name, seconds in WINDOWS.items():
                    if seconds <= 3600:
                        scans[name] = await _scan(database, sealer, where, seconds)
            began = time.monotonic()
            packed = await compact_once(database, sealer, all_of_it=True)
            if number == HOURS - 1:
                rate = packed.samples / (time.monotonic() - began) / 1e6
                rows.append(Row("compaction, one connection", rate, "million samples/s"))
            async with database.connection() as connection:
                await connection.execute("delete from chunk")
        async with database.connection() as connection:
            await connection.execute("vacuum analyze")
            for table in ("segment", "pyramid"):
                size = await connection.fetchval(
                    "select sum(pg_total_relation_size(inhrelid)) from pg_inherits "
                    "where inhparent = $1::text::regclass", table)
                rows.append(Row(f"{table}, bytes a sample", float(size) / (HOURS * 3600 * RATE * 12), "bytes",
                                "int16", 2.0, "<= 1.2 both" if table == "segment" else None))
        # The day was stored before it is reviewed: what PostgreSQL still has to write to its files is written first.
        owner = await asyncpg.connect(urls.owner)
        await owner.execute("checkpoint")
        await owner.close()
        for name, seconds in WINDOWS.items():
            took = await at_storage(database, sealer, where, seconds, REPEATS)
            scan = scans.get(name)
            goal = {"1 h": "p95 <= 10", "24 h": "p95 <= 30"}.get(name)
            peer = (None, None) if scan is None else ("from chunks", scan * 1e3)
            rows.append(Row(f"{name} at {PIXELS} px, storage, p50", percentile(took, 0.5) * 1e3, "ms", *peer))
            rows.append(Row(f"{name} at {PIXELS} px, storage, p95", percentile(took, 0.95) * 1e3, "ms", goal=goal))
        await database.close()
    return where, rows


async def _scan(database: object, sealer: object, where: World, seconds: int) -> float:
    took = []
    for _ in range(SCANS):
        took += await at_storage(database, sealer, where, seconds, 1)
    return percentile(took, 0.5)


async def ask(address: str, password: str, where: World) -> list[Row]:
    """The same windows over HTTP."""
    rows = []
    for name, seconds in WINDOWS.items():
        took, size = await over_http(address, password, where, seconds)
        goal = {"1 h": "p95 <= 50"}.get(name)
        rows.append(Row(f"{name} at {PIXELS} px, HTTP, p50", percentile(took, 0.5) * 1e3, "ms"))
        rows.append(Row(f"{name} at {PIXELS} px, HTTP, p95", percentile(took, 0.95) * 1e3, "ms", goal=goal))
        rows.append(Row(f"{name} at {PIXELS} px, answer", size / 1024, "KiB"))
    return rows


def main() -> None:
    """Store, measure, serve, measure."""
    password = secrets.token_urlsafe(12)
    with tempfile.TemporaryDirectory(prefix="telemed-bench-") as folder:
        home = Path(folder) / "home"
        where, rows = asyncio.run(prepare(home, password))
        report("review", rows)  # over HTTP follows, and then the whole table again
        environment = {**os.environ, "TELEMED_HOME": str(home)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "telemed", "serve", "--port", str(port)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = next((line for line in process.stdout if "serves at" in line), None)
            assert said is not None, "the server did not start"
            try:
                rows += asyncio.run(ask(f"http://127.0.0.1:{port}", password, where))
            finally:
                process.terminate()
        report("review", rows)


if __name__ == "__main__":
    main()
