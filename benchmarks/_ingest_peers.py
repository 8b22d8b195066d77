"""The same frames into the same disk by other ways: one commit a frame, SQLite, and Debian's InfluxDB.

Group commit against one commit a frame: as many frames as come, by the server's own writers and by sixteen connections
that commit each frame alone. SQLite and InfluxDB: four stations, twelve leads, a minute, in steps of one second, one
client, each step durable before the next. Both seal as the server does, but InfluxDB, which is given lines of text that
were made beforehand. InfluxDB is the release that Debian has (1.6.7, of 2018), a general database: newer ones would be
nearer.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import asyncpg
import numpy as np
from _ingest_generator import LEADS, RATE, SAMPLES, loop_of_ecg
from _report import Row, percentile
from telemed_devices.native import Frame, pack_frame

from telemed.audit import SYSTEM
from telemed.errors import TelemedError
from telemed.store.database import Database
from telemed.store.embedded import OWNER_ROLE, SERVER_ROLE, EmbeddedPostgres
from telemed.store.migrate import migrate
from telemed.store.sealing import DataKey
from telemed.vitals.commit import Committer, Pending, Shelf, _seal

FRAMES: Final = 20_000
ALONE_FRAMES: Final = 4_000
CONNECTIONS: Final = 16
STATIONS: Final = 4
MINUTE: Final = 60
STEP: Final = 5  # frames of one second
INFLUX_PORT: Final = 18_086
INFLUX_SECONDS: Final = 30.0  # until it answers


class Count:
    """A receipt that counts."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.done = asyncio.Event()

    def committed(self, seqs: Sequence[int]) -> None:
        """Some are durable."""
        self._left -= len(seqs)
        if self._left <= 0:
            self.done.set()

    def refused(self, seq: int, error: TelemedError) -> None:
        """None may be."""
        raise RuntimeError(error.code)


async def commits(folder: Path) -> list[Row]:
    """Group commit against one commit a frame, then SQLite and InfluxDB beside PostgreSQL."""
    postgres = EmbeddedPostgres(folder / "peers")
    await postgres.start()
    try:
        await migrate(postgres.urls.owner, SERVER_ROLE)
        database = Database(postgres.urls.server)
        await database.open()
        try:
            born, streams = await _streams(postgres.url(OWNER_ROLE), STATIONS + 2)
            shelves = [Shelf(one, born, DataKey(bytes(32)), SYSTEM, uuid4(), Count(0)) for one in streams]
            grouped = await _grouped(database, shelves[-1])
            alone = await _alone(database, shelves[-2])
            peer = f"one commit a frame, {CONNECTIONS} connections"
            rows = [Row("group commit: frames", grouped, "1/s", peer, alone, ">= 5 x")]
            ours = await _postgres(database, shelves[:STATIONS])
        finally:
            await database.close()
    finally:
        await postgres.stop()
    rows += _beside("SQLite (WAL, synchronous=full)", ours, _sqlite(folder))
    if shutil.which("influxd"):
        rows += _beside("InfluxDB 1.6.7", ours, _influx(folder))
    return rows


async def _streams(url: str, count: int) -> tuple[object, list[int]]:
    connection = await asyncpg.connect(url)
    try:
        organisation, station = uuid4(), 1
        await connection.execute("insert into organisation (id, name, zone) values ($1, 'B', 'UTC')", organisation)
        station = await connection.fetchval(
            "insert into station (organisation_id, name, place, key_wrapped) values ($1, 'B', 'B', $2) returning id",
            organisation, bytes(61),
        )
        rows = [
            await connection.fetchrow(
                "insert into stream (organisation_id, station_id, number, epoch, device, kind, format, origin, source, "
                "rate_num, rate_den, channels, born, started_us, key_wrapped) values ($1, $2, $3, $4, 'b', 'ecg', "
                "'native', 'simulated', $4, 500, 1, '[]', date_trunc('hour', now()), 0, $5) returning id, born",
                organisation, station, number, uuid4(), bytes(61),
            )
            for number in range(count)
        ]
        return rows[0]["born"], [row["id"] for row in rows]
    finally:
        await connection.close()


def _frame(station: int, seq: int, payload: bytes) -> bytes:
    samples = np.frombuffer(payload, "<i2").reshape(len(LEADS), SAMPLES)
    return pack_frame(Frame(station, seq, seq * SAMPLES, seq * 200_000, samples))


def _pending(shelf: Shelf, seq: int, loop: Sequence[bytes]) -> Pending:
    data = _frame(shelf.stream_id, seq, loop[seq % len(loop)])
    return Pending(shelf, seq, seq * 200_000, seq * SAMPLES, SAMPLES, data)


async def _grouped(database: Database, shelf: Shelf) -> float:
    committer, loop = Committer(database), loop_of_ecg()
    shelf.receipt = count = Count(FRAMES)
    made = [_pending(shelf, seq, loop) for seq in range(FRAMES)]
    committer.start()
    began = time.monotonic()
    for one in made:
        await committer.put(one)
    await count.done.wait()
    took = time.monotonic() - began
    await committer.stop()
    return FRAMES / took


async def _alone(database: Database, shelf: Shelf) -> float:
    committer, loop = Committer(database), loop_of_ecg()
    made = iter([_pending(shelf, seq, loop) for seq in range(ALONE_FRAMES)])

    async def work() -> None:
        for one in made:
            await committer._store(_seal([one]))

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return ALONE_FRAMES / (time.monotonic() - began)


async def _postgres(database: Database, shelves: Sequence[Shelf]) -> list[float]:
    committer, loop = Committer(database), loop_of_ecg()
    steps = []
    for second, shelf in itertools.product(range(MINUTE), shelves):
        began = time.monotonic()
        frames = [_pending(shelf, second * STEP + at, loop) for at in range(STEP)]
        await committer._store(_seal(frames))
        steps.append(time.monotonic() - began)
    return steps


def _sqlite(folder: Path) -> list[float]:
    loop, key = loop_of_ecg(), DataKey(bytes(32))
    connection = sqlite3.connect(folder / "peer.sqlite", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table chunk (stream, seq, t0_us, nonce, sealed, primary key (stream, seq))")
    steps = []
    for second, station in itertools.product(range(MINUTE), range(STATIONS)):
        began = time.monotonic()
        rows = []
        for seq in range(second * STEP, (second + 1) * STEP):
            data = _frame(station, seq, loop[seq % len(loop)])
            rows.append((station, seq, seq * 200_000, *key.seal(data, b"chunk:%d:%d" % (station, seq))))
        connection.execute("begin immediate")
        connection.executemany("insert into chunk values (?, ?, ?, ?, ?) on conflict do nothing", rows)
        connection.execute("commit")
        steps.append(time.monotonic() - began)
    connection.close()
    return steps


def _influx(folder: Path) -> list[float]:
    home = folder / "influx"
    home.mkdir()
    (home / "influxd.conf").write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{INFLUX_PORT + 2}"\n'
        f'[meta]\n dir = "{home}/meta"\n[data]\n dir = "{home}/data"\n wal-dir = "{home}/wal"\n'
        f' query-log-enabled = false\n[http]\n bind-address = "127.0.0.1:{INFLUX_PORT}"\n log-enabled = false\n'
        "[monitor]\n store-enabled = false\n"
    )
    command = ["influxd", "run", "-config", str(home / "influxd.conf")]
    address = f"http://127.0.0.1:{INFLUX_PORT}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + INFLUX_SECONDS
            while time.monotonic() < end:
                with suppress(OSError):
                    urllib.request.urlopen(f"{address}/query", b"q=CREATE DATABASE peer").read()  # noqa: S310 - local
                    break
                time.sleep(0.2)
            return _lines(f"{address}/write?db=peer&precision=u")
        finally:
            process.terminate()


def _lines(address: str) -> list[float]:
    whole = np.concatenate(
        [np.frombuffer(one, "<i2").reshape(len(LEADS), SAMPLES) for one in loop_of_ecg()], axis=1
    )
    steps = []
    for second, station in itertools.product(range(MINUTE), range(STATIONS)):
        some = whole[:, second % 10 * RATE : (second % 10 + 1) * RATE]
        text = "\n".join(
            f"ecg,station={station} " + ",".join(f"{lead}={value}i" for lead, value in zip(LEADS, row, strict=True))
            + f" {1_700_000_000_000_000 + (second * RATE + at) * 2000}"
            for at, row in enumerate(some.T.tolist())
        ).encode()
        began = time.monotonic()
        with urllib.request.urlopen(address, text) as answer:  # noqa: S310 - local
            answer.read()
        steps.append(time.monotonic() - began)
    return steps


def _beside(name: str, ours: list[float], theirs: list[float]) -> list[Row]:
    """The rows of one peer; a lower rate and a higher time than ours are worse."""
    samples = RATE * len(LEADS)
    figures: list[tuple[str, str, Callable[[list[float]], float]]] = [
        ("samples stored durably", "k/s", lambda steps: len(steps) * samples / sum(steps) / 1e3),
        ("a second stored p50", "ms", lambda steps: percentile(steps, 0.5) * 1e3),
        ("a second stored p99", "ms", lambda steps: percentile(steps, 0.99) * 1e3),
    ]
    return [Row(f"one client, in turn: {what}", of(ours), unit, name, of(theirs)) for what, unit, of in figures]


def measured() -> list[Row]:
    """All of it, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="telemed-bench-") as folder:
        return asyncio.run(commits(Path(folder)))
