"""A server process under pressure: a page that does not read, idle stations, a database that stands still.

Memory is of the process that serves, as the system counts it; what bounds it is named beside each figure.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import numpy as np
import psutil
import pytest
from aiohttp.test_utils import unused_port

from telemed.app import build_app
from telemed.http import keys
from telemed.identity import stations
from telemed.settings import Settings
from telemed.store.embedded import DatabaseUrls
from telemed.vitals import commit

PAGES = 50
PACE = 50  # frames after which the other pages must have everything
WARM = 15  # such rounds before the memory is looked at
SMALL = 16_384  # bytes of a receive buffer that is soon full, and wide enough to be read meanwhile
FIRST = 60  # stations
IDLE = 300
IDLE_BYTES = 32 * 1024  # of a few hundred; of a thousand `make bench-ingest` measures 25 KiB
MANY = 8  # stations
PER_STATION = 32
READ_AHEAD = 512 * 1024  # of one socket: aiohttp stops reading at 256 KiB, and one read brings 256 KiB more
BATCHES = 2 * commit.WRITERS * commit.BATCH_BYTES  # a batch, sealed, and the same on its way to the database
ROOM = 24 * 2**20  # what the allocator holds on to beside
MIB = 2**20


@dataclass
class Process:
    """The serving process and the clinic that uses it."""

    clinic: Any
    url: str
    process: psutil.Process
    app: Any
    scraper: Any = None

    def rss(self) -> int:
        """Bytes in memory."""
        return int(self.process.memory_info().rss)

    async def counted(self, name: str) -> float:
        """One counter or gauge of the process."""
        if self.scraper is None:  # one connection for all looks: each costs the server memory of its own
            self.scraper = await self.clinic.server.anonymous()
        _, text = await self.scraper.get("/metrics")
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    async def station(self, support: Any, number: int) -> Any:
        """A further station, connected."""
        seed = self.clinic.server.seed
        async with self.app[keys.DATABASE].transaction() as connection:
            made = await stations.create(connection, self.app[keys.SEALER], seed.organisation_id, f"Demo {number}")
            _, key = await stations.add_key(connection, made.id)
        return await self.clinic.station(key=key)


@pytest.fixture
async def process(database_urls: DatabaseUrls, key_file: Path, tmp_path: Path, support: Any) -> AsyncIterator[Process]:
    """A server in a process of its own."""
    port = unused_port()
    app = build_app(Settings(home=tmp_path, port=port, key_file=key_file, database_url=database_urls.server))
    await app[keys.DATABASE].open()
    seed = await support.server_tests.make_seed(app)
    killable = support.Killable(port, database_urls.server, key_file, tmp_path)
    await killable.start()
    clinic = support.Clinic(support.server_tests.Server(killable.url, app, seed, []))
    try:
        await _answers(killable.url)
        clinic.operator = await clinic.server.client("operator")
        clinic.clinician = await clinic.server.client("clinician")
        assert killable.process is not None
        yield Process(clinic, killable.url, psutil.Process(killable.process.pid), app)
    finally:
        for peer in clinic.peers:
            await peer.close()
        for client in clinic.server.clients:
            await client.http.close()
        await killable.kill()
        await app[keys.DATABASE].close()


async def _answers(url: str) -> None:
    end = asyncio.get_running_loop().time() + 30
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/healthz") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectionError:
                assert asyncio.get_running_loop().time() < end, "the server did not start"
                await asyncio.sleep(0.05)


def twelve(support: Any, number: int, seconds: float, n: int = 100) -> Any:
    """A stream of twelve leads, ``n`` samples a chunk."""
    leads = tuple(f"L{lead}" for lead in range(12))
    samples = np.random.default_rng(number).integers(-999, 999, (12, int(500 * seconds))).astype(np.int16)
    return support.Wave(number, "ecg", leads, 500, n, samples, support.now_us() - int(seconds * 1e6))


async def deaf(clinic: Any, visit: Any, support: Any) -> Any:
    """A page whose receive buffer is small and that stops reading once it watches."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    plain.setblocking(False)
    port = int(clinic.server.url.rsplit(":", 1)[1])
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    cookie = "; ".join(f"{one.key}={one.value}" for one in clinic.clinician.http.cookie_jar)
    reader, writer = await asyncio.open_connection(sock=plain, limit=SMALL)
    lines = {
        "Host": f"127.0.0.1:{port}", "Origin": clinic.server.url, "Cookie": cookie, "Upgrade": "websocket",
        "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    asked = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
    writer.write(f"GET /ws/consultations/{visit.consultation} HTTP/1.1\r\n{asked}\r\n".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return reader, writer


def said(message: dict[str, Any]) -> bytes:
    """A client's text message, masked with zeros (RFC 6455 section 5.3)."""
    data = json.dumps(message).encode()
    assert len(data) < 126
    return bytes((0x81, 0x80 | len(data))) + bytes(4) + data


async def heard(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """A server's message: first byte and payload."""
    first, length = await reader.readexactly(2)
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    return first, await reader.readexactly(length)


async def test_a_page_that_does_not_read_harms_only_itself(process: Process, support: Any) -> None:
    clinic = process.clinic
    visit = await clinic.visit()
    station = await clinic.station()
    wave = twelve(support, 1, 1000.0)
    async with process.app[keys.DATABASE].connection() as connection:  # the patient was connected all that time
        await connection.execute("update attachment set opened_at = opened_at - interval '30 minutes'")
    await clinic.announced(station, wave, visit.attachment)
    pages = []
    for _ in range(PAGES - 1):
        page = await clinic.page(visit, hello=False)
        welcome = await page.hello(page=False)
        await page.send({"type": "watch", "stream": welcome["streams"][0]["stream"], "view": "raw"})
        pages.append(page)
    reader, writer = await deaf(clinic, visit, support)
    writer.write(said({"type": "hello", "protocol": 1, "oldest": 1, "page": False, "source": str(support.uuid4())}))
    stream = welcome["streams"][0]["stream"]
    writer.write(said({"type": "watch", "stream": stream, "view": "raw"}))
    sent = 0

    async def send(frames: int) -> None:
        nonlocal sent
        for seq in range(sent, sent + frames):
            await station.socket.send_bytes(wave.packed(seq))
        sent += frames
        for page in pages:
            await support.until(lambda page=page: page.frames and page.frames[-1].seq == sent - 1, "all of them")

    watches = asyncio.Event()

    async def read() -> None:
        first = 0
        while first != 0x88:  # it was closed
            first, payload = await heard(reader)
            if first == 0x82:  # a frame
                watches.set()
        raise AssertionError(payload)

    reading = asyncio.create_task(read())
    while not watches.is_set():
        assert not reading.done(), reading.exception()
        await send(5)
    for _ in range(WARM):
        await send(PACE)
    start = process.rss()
    for _ in range(WARM):
        await send(PACE)
    await process.counted("telemed_watchers")
    before = process.rss()
    of_itself = max(0, before - start)  # what the process grows by in such a time while every page reads
    reading.cancel()
    begun = [len(page.frames) for page in pages]

    async def given_up() -> bool:
        """Frames were dropped for it, or it was closed, as a page is that takes nothing for ten seconds."""
        dropped = await process.counted("telemed_view_frames_dropped_total")
        return bool(dropped) or await process.counted("telemed_watchers") < PAGES

    while not await given_up():
        assert sent + PACE < wave.chunks, "its line and its queue took everything"
        await send(PACE)
    await send(2 * PACE)
    assert process.rss() - before <= 2 * MIB + of_itself
    for page, first in zip(pages, begun, strict=True):
        late = page.frames[first:]
        assert [frame.seq for frame in late] == list(range(sent - len(late), sent)), "every frame, in order"
        assert not any(frame.gap for frame in late) and all(one["type"] != "dropped" for one in page.messages)
    writer.close()


async def test_an_idle_station_costs_next_to_nothing(process: Process, support: Any) -> None:
    for number in range(FIRST):  # what the first ones make for all, connections to the database above all
        await process.station(support, number)
    before = process.rss()
    for number in range(IDLE):
        await process.station(support, FIRST + number)
    assert await process.counted("telemed_stations_connected") == IDLE + FIRST
    assert (process.rss() - before) / IDLE <= IDLE_BYTES


async def test_a_database_that_stands_still_stops_the_sockets_and_loses_nothing(
    process: Process, support: Any, database_urls: DatabaseUrls
) -> None:
    clinic = process.clinic
    waves = [twelve(support, number, 64.0 * PER_STATION, 32_000) for number in range(MANY)]
    senders = [await process.station(support, number) for number in range(MANY)]
    for station, wave in zip(senders, waves, strict=True):
        await clinic.announced(station, wave, None)
    before = process.rss()
    done = [0] * MANY

    async def send(at: int) -> None:
        for seq in range(PER_STATION):
            await senders[at].socket.send_bytes(waves[at].packed(seq))
            done[at] = seq + 1

    owner = await asyncpg.connect(database_urls.owner)
    standing = owner.transaction()
    await standing.start()
    sending = []
    try:
        await owner.execute("lock table chunk in access exclusive mode")
        sending = [asyncio.create_task(send(at)) for at in range(MANY)]

        while await process.counted("telemed_commit_queued_bytes") < commit.QUEUE_BYTES:
            pass
        seen: list[int] = []
        while seen != done:  # until nothing more goes into any socket
            seen = list(done)
            for _ in range(10):  # the server answers all the while
                assert not (await process.counted("telemed_chunks_committed_total"))
        assert sum(done) < MANY * PER_STATION, "the stations wait"
        assert not any(one["type"] == "ack" for station in senders for one in station.messages)
        largest = waves[0].frame(0).samples.nbytes * 2
        assert process.rss() - before <= commit.QUEUE_BYTES + largest + BATCHES + MANY * (READ_AHEAD + largest) + ROOM
    finally:
        await standing.rollback()
        await owner.close()
    await asyncio.gather(*sending)
    for station, wave in zip(senders, waves, strict=True):
        await clinic.acked(station, wave.number, PER_STATION - 1)
    async with process.app[keys.DATABASE].connection() as connection:
        rows = await connection.fetch("select stream_id, count(*) as chunks from chunk group by stream_id")
    assert [row["chunks"] for row in rows] == [PER_STATION] * MANY
