"""The database goes away, the server is killed: nothing acknowledged is lost, nothing is stored twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from telemed.app import build_app
from telemed.http import keys
from telemed.settings import Settings
from telemed.store.embedded import OWNER_ROLE, SERVER_ROLE, DatabaseUrls, EmbeddedPostgres
from telemed.store.migrate import migrate
from telemed.vitals.commit import Committer

KILLS = 2


@pytest.fixture
async def own_postgres(open_folder: Path, tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A database server of this test's own, to be killed."""
    postgres = EmbeddedPostgres(open_folder / f"away-{tmp_path.name[-12:]}")
    await postgres.start()
    try:
        await migrate(postgres.url(OWNER_ROLE), SERVER_ROLE)
        yield postgres
    finally:
        await postgres.stop()


async def test_a_database_that_is_killed_loses_nothing_that_was_acknowledged(
    own_postgres: EmbeddedPostgres, key_file: Path, tmp_path: Path, support: Any
) -> None:
    urls = DatabaseUrls(server=own_postgres.url(SERVER_ROLE), owner=own_postgres.url(OWNER_ROLE))
    serve = support.server_tests.server.__wrapped__  # the fixture as a plain generator: over this database
    async with contextlib.aclosing(serve(urls, key_file, tmp_path, {})) as running:
        server = await anext(running)
        clinic = support.Clinic(server)
        clinic.operator, clinic.clinician = await server.client("operator"), await server.client("clinician")
        visit = await clinic.visit()
        station, page = await clinic.station(), await clinic.page(visit)
        wave = support.ecg(5, support.now_us(), 20.0)
        await clinic.announced(station, wave, visit.attachment)
        row = (await page.said("streams", lambda one: one["streams"]))["streams"][0]
        await page.send({"type": "watch", "stream": row["stream"], "view": "raw"})
        await support.until(lambda: server.app[keys.HUB]._views, "the view is watched")
        for seq in range(20):
            await station.socket.send_bytes(wave.packed(seq))
        await clinic.acked(station, 5, 19)
        committer: Committer = server.app[keys.INGEST].around.committer
        pid = own_postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await support.until(lambda: own_postgres.pid is None, "the database is dead")
        for seq in range(20, 60):
            await station.socket.send_bytes(wave.packed(seq))
        await support.until(lambda: committer.away, "the committer knows")
        await support.until(lambda: len(page.frames) == 60, "the live view goes on")
        assert all(frame.flags & 2 for frame in page.frames), "and says that it is provisional"
        acked = [one["through"] or 0 for one in station.messages if one["type"] == "ack"]
        assert max(acked) == 19, "nothing is acknowledged while nothing can be stored"
        assert committer.held[0] >= 39
        watching = asyncio.create_task(own_postgres.watch())
        try:
            await clinic.acked(station, 5, 59)
            assert not committer.away and committer.held == (0, 0)
            pid = own_postgres.pid
            assert pid is not None
            for seq in range(60, wave.chunks):
                await station.socket.send_bytes(wave.packed(seq))
                if seq == 80:  # in the middle of commits: an outcome may be unknown
                    os.kill(pid, signal.SIGKILL)
            await clinic.acked(station, 5, wave.chunks - 1)
            assert not station.closed.is_set() and not page.closed.is_set()
            async with server.database.connection() as connection:
                rows = await connection.fetch("select seq from chunk order by seq")
            assert [one["seq"] for one in rows] == list(range(wave.chunks))
        finally:
            watching.cancel()
            for peer in clinic.peers:
                await peer.close()


async def connected(url: str, key: str, support: Any) -> Any:
    """Connect as the station as soon as the server is there; the session ends with the peer."""
    end = asyncio.get_running_loop().time() + 30
    while True:
        session = aiohttp.ClientSession(url)
        try:
            socket = await session.ws_connect("/ws/station", headers={"Authorization": f"Bearer {key}"})
        except (aiohttp.ClientError, OSError):
            await session.close()
            if asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(0.05)
            continue
        peer = support.Peer(socket)
        peer.start()
        await peer.hello()
        return session, peer


async def test_a_server_that_is_killed_has_everything_it_acknowledged(
    database_urls: Any, key_file: Path, tmp_path: Path, support: Any
) -> None:
    port, dice = unused_port(), random.Random(11)
    settings = Settings(home=tmp_path, port=port, key_file=key_file, database_url=database_urls.server)
    app: web.Application = build_app(settings)
    await app[keys.DATABASE].open()
    seed = await support.server_tests.make_seed(app)
    server = support.Killable(port, database_urls.server, key_file, tmp_path)
    wave = support.ecg(5, support.now_us(), 40.0)
    durable: set[int] = set()
    await server.start()
    try:
        for life in range(KILLS + 1):
            session, station = await connected(server.url, seed.station_key, support)
            await station.send(wave.announce(None))
            announced = await station.said("announced")
            told = _told(announced)
            assert durable <= told, "what was acknowledged before the kill is there"
            durable |= told
            last = life == KILLS
            quarter = wave.chunks * (life + 1) // (KILLS + 1)
            fresh = [seq for seq in range(quarter) if seq not in durable]
            dice.shuffle(fresh)
            for seq in fresh:
                await station.socket.send_bytes(wave.packed(seq))
            enough = len(durable) + (len(fresh) if last else dice.randrange(1, len(fresh)))

            def acknowledged(peer: Any = station) -> set[int]:
                acks = [_told(one) for one in peer.messages if one["type"] in ("ack", "announced")]
                return set().union(*acks)

            await support.until(lambda enough=enough: len(acknowledged()) >= enough, "some are acknowledged")
            if not last:
                await server.kill()
            durable |= acknowledged()
            await station.close()
            await session.close()
            if not last:
                await server.start()
        async with app[keys.DATABASE].connection() as connection:
            rows = await connection.fetch("select seq from chunk order by seq")
        assert [row["seq"] for row in rows] == list(range(wave.chunks))
        assert durable == set(range(wave.chunks))
    finally:
        await server.kill()
        await app[keys.DATABASE].close()


def _told(message: dict[str, Any]) -> set[int]:
    through = -1 if message["through"] is None else message["through"]
    return set(range(through + 1)).union(*(range(first, last + 1) for first, last in message["ranges"]))
