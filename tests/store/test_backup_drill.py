"""The restore drill: a copy taken while a station sends, the server and its folder lost, all put back elsewhere.

``TELEMED_RESTORES`` says how often, each time at other moments (1 here, 10 in ``make faults``).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp.test_utils import unused_port
from telemed_devices.native import pack_frame

from telemed.app import build_app
from telemed.http import keys
from telemed.settings import Settings
from telemed.store.database import Database
from telemed.store.embedded import EmbeddedPostgres
from telemed.store.folders import living_in
from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.storage import evidence
from telemed.vitals.storage.compactor import compact_once

_PATH = Path(__file__).parents[1] / "vitals" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("telemed_tests_vitals_for_drill", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = support
_SPEC.loader.exec_module(support)

RESTORES = int(os.environ.get("TELEMED_RESTORES", "1"))
WINDOW = 64  # chunks on their way: the station sends as fast as they are acknowledged
HOUR_US = 3_600_000_000


def environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items()
        if not name.startswith(("LC_", "LANG", "DATABASE_", "TELEMED_"))
    }  # fmt: skip


async def command(*arguments: object) -> str:
    """Run one of telemed's commands to its end; what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telemed", *map(str, arguments), env=environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@asynccontextmanager
async def serving(home: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server of this home, killed without a word at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telemed", "serve", "--port", str(port), "--home", str(home), env=environment(),
        stdout=asyncio.subprocess.DEVNULL,  # what it complains of is shown with the failure
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass
class Sender:
    """A station with two endless streams. It forgets what is acknowledged, as a real one does."""

    key: str
    port: int
    waves: list[Any]
    acked: dict[int, set[int]] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)  # how many, by stream number
    told: dict[int, set[int]] = field(default_factory=dict)  # of the last announcement

    def __post_init__(self) -> None:
        for wave in self.waves:
            self.acked[wave.number], self.sent[wave.number] = set(), 0

    @staticmethod
    def envelope(wave: Any, seq: int) -> bytes:
        """Chunk ``seq``: the wave again and again, its numbers and stamps going on."""
        frame = wave.frame(seq % wave.chunks)
        first = seq * wave.n
        return bytes(pack_frame(replace(
            frame, seq=seq, first_sample=first, t0_us=wave.started_us + first * 1_000_000 // wave.rate)))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """A connection on which both streams are announced."""
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as session:
            end = asyncio.get_running_loop().time() + 60
            while True:
                try:
                    socket = await session.ws_connect(
                        "/ws/station", headers={"Authorization": f"Bearer {self.key}"})
                    break
                except (aiohttp.ClientError, OSError):
                    assert asyncio.get_running_loop().time() < end, "no server"
                    await asyncio.sleep(0.05)
            peer = support.Peer(socket)
            peer.start()
            await peer.hello()
            for wave in self.waves:
                await peer.send(wave.announce(None))
                answer = await peer.said("announced", lambda one, number=wave.number: one["number"] == number)
                self.told[wave.number] = told(answer)
            try:
                yield peer
            finally:
                await peer.close()

    async def send(self, peer: Any, until: Any) -> None:
        """First what was not acknowledged, then ever more, until ``until()``; then wait for what is on its way."""
        read = len(peer.messages)
        for wave in self.waves:
            for seq in sorted(set(range(self.sent[wave.number])) - self.acked[wave.number]):
                await peer.socket.send_bytes(self.envelope(wave, seq))
        while not peer.closed.is_set():
            read = self._read(peer, read)
            behind = sum(self.sent[one.number] - len(self.acked[one.number]) for one in self.waves)
            if until():
                if behind == 0:
                    return
            elif behind < WINDOW:
                for wave in self.waves:
                    await peer.socket.send_bytes(self.envelope(wave, self.sent[wave.number]))
                    self.sent[wave.number] += 1
            await asyncio.sleep(0.002)
        raise AssertionError("the line is cut")

    def _read(self, peer: Any, read: int) -> int:
        for message in peer.messages[read:]:
            if message["type"] == "ack":
                self.acked[message["number"]] |= told(message)
        return len(peer.messages)

    def count(self) -> int:
        return sum(map(len, self.acked.values()))


def told(message: dict[str, Any]) -> set[int]:
    through = -1 if message["through"] is None else message["through"]
    return set(range(through + 1)).union(*(range(first, last + 1) for first, last in message["ranges"]))


async def stored(home: Path, wave: Any) -> dict[int, bytes]:
    """What the database of this home has of the stream, by number; each number once."""
    connection = await asyncpg.connect(EmbeddedPostgres(home).urls.server)
    try:
        row = await connection.fetchrow(
            "select s.id, s.born, s.key_wrapped, t.key_wrapped as own "
            "from stream s join station t on t.id = s.station_id where s.number = $1", wave.number)
        sealer = Sealer.load(home / "installation.key")
        key = DataKey(sealer.unwrap(row["key_wrapped"], sealer.unwrap(row["own"])))
        found: dict[int, bytes] = {}
        async for seq, envelope in evidence.chunks(connection, row["id"], row["born"], key):
            assert seq not in found
            found[seq] = envelope
        return found
    finally:
        await connection.close()


async def compacting(home: Path) -> None:
    """Pack what is hot, again and again: the copy is taken in the middle of it."""
    database = Database(EmbeddedPostgres(home).urls.server)
    await database.open()
    try:
        while True:
            await compact_once(database, Sealer.load(home / "installation.key"), all_of_it=True)
            await asyncio.sleep(0.1)
    finally:
        await database.close()


async def segments(home: Path) -> int:
    """How many there are."""
    connection = await asyncpg.connect(EmbeddedPostgres(home).urls.server)
    try:
        return int(await connection.fetchval("select count(*) from segment"))
    finally:
        await connection.close()


async def seeded(home: Path) -> str:
    """The key of a station in the served home."""
    urls = EmbeddedPostgres(home).urls
    app = build_app(Settings(home=home, key_file=home / "installation.key", database_url=urls.server))
    await app[keys.DATABASE].open()
    try:
        return str((await support.server_tests.make_seed(app)).station_key)
    finally:
        await app[keys.DATABASE].close()


async def lose(home: Path) -> None:
    """Remove a home of which no server is left."""
    await support.until(lambda: not living_in(home / "postgres"), "PostgreSQL has followed its server", 60)
    shutil.rmtree(home, ignore_errors=True)


async def healthy(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        end = asyncio.get_running_loop().time() + 60
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    if answer.status == 200:
                        return
            assert asyncio.get_running_loop().time() < end, "it does not serve"
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("round_", range(RESTORES))
async def test_a_restored_server_has_what_was_acknowledged_before_the_backup(
    round_: int, open_folder: Path, tmp_path: Path
) -> None:
    dice = random.Random(round_)
    first, second = open_folder / f"drill-{round_}", open_folder / f"drill-{round_}-again"
    port = unused_port()
    now = support.now_us()
    waves = [support.ecg(number, now - HOUR_US, 20.0, seed=number) for number in (5, 6)]
    try:
        async with serving(first, port) as process:
            await healthy(port)
            sender = Sender(await seeded(first), port, waves)
            enough = dice.randrange(50, 500)
            async with sender.connected() as peer:
                sending = asyncio.create_task(sender.send(peer, lambda: False))
                packing = asyncio.create_task(compacting(first))
                await support.until(lambda: sender.count() >= enough, "some are acknowledged", 60)
                async with asyncio.timeout(60):
                    while await segments(first) == 0:
                        assert not packing.done(), packing
                before = {number: set(seqs) for number, seqs in sender.acked.items()}
                said = await command("backup", tmp_path / "b", "--keys", tmp_path / "k", "--home", first)
                assert "NOT in it" in said
                after = sender.count()
                assert after > enough, "ingest went on meanwhile"
                more = dice.randrange(0, 200)
                await support.until(lambda: sender.count() >= after + more, "the station goes on", 60)
                process.kill()
                await process.wait()
                for task in (sending, packing):
                    task.cancel()
                await asyncio.gather(sending, packing, return_exceptions=True)
        await lose(first)
        await command("restore", tmp_path / "b", "--keys", tmp_path / "k", "--home", second)
        async with serving(second, port):
            await healthy(port)
            assert await segments(second) > 0
            for wave in waves:
                found = await stored(second, wave)
                assert before[wave.number] <= set(found), "what was acknowledged before the backup is there"
                for seq, envelope in found.items():
                    assert envelope == sender.envelope(wave, seq)
            async with sender.connected() as peer:
                for wave in waves:
                    assert sender.told[wave.number] == set(await stored(second, wave))
                goal = {wave.number: sender.sent[wave.number] + 100 for wave in waves}
                await sender.send(peer, lambda: all(sender.sent[number] >= end for number, end in goal.items()))
            for wave in waves:
                found = await stored(second, wave)
                kept = sender.told[wave.number]
                lost = sender.acked[wave.number] - set(found)
                assert set(range(sender.sent[wave.number])) == set(found) | lost
                assert not lost & before[wave.number] and not lost & kept
                for seq, envelope in found.items():
                    assert envelope == sender.envelope(wave, seq)
    finally:
        for home in (first, second):
            await lose(home)
