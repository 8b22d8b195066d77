"""A server process that is killed while it records: what was recorded plays to within a second of the cut."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from aiohttp.test_utils import unused_port

from telemed.app import build_app
from telemed.consultation import consultations
from telemed.http import keys
from telemed.identity import stations
from telemed.patient import consents, patients
from telemed.settings import Settings
from tests.media.calls import SDP
from tests.media.recorded import decoded, demuxed, follows, frames_of
from tests.server.conftest import Client, make_seed

START_SECONDS = 60.0
VIDEO_HZ = 90_000


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """``telemed serve`` on the test's database, until it is killed."""
    environment = {
        **os.environ, "TELEMED_HOME": str(settings.home), "TELEMED_KEY_FILE": str(settings.key_file),
        "DATABASE_URL": str(settings.database_url),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telemed", "serve", "--port", str(settings.port), env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.port}") as http, asyncio.timeout(START_SECONDS):
            while True:
                try:
                    async with http.get("/healthz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_server_costs_less_than_a_second_of_what_it_recorded(
    database_urls: Any, key_file: Path, tmp_path: Path, wait: Any, peer: Any, picture: Any, tone: Any
) -> None:
    settings = Settings(
        home=tmp_path, host="127.0.0.1", port=unused_port(), key_file=key_file, database_url=database_urls.server
    )
    app = build_app(settings)  # never served: its database and keys alone
    database = app[keys.DATABASE]
    await database.open()
    try:
        room, key = await live(app)
        async with serving(settings) as process, Client(f"http://127.0.0.1:{settings.port}") as clinician:
            await clinician.sign_in("demo-clinician")
            station = await publishing(clinician, room, key, peer, picture(), tone())
            status, answer = await clinician.post(f"/api/v1/consultations/{room}/recording", {"on": True})
            assert status == 200, answer
            await recorded(database, 3_000)
            process.send_signal(signal.SIGKILL)
            at_cut = len(station.sent)
            await process.wait()
        async with serving(settings), Client(f"http://127.0.0.1:{settings.port}") as clinician:
            await clinician.sign_in("demo-clinician")
            status, shown = await clinician.get(f"/api/v1/consultations/{room}")
            assert shown["recording_since"] is not None, "it goes on, and says so"
            status, answer = await clinician.get(f"/api/v1/consultations/{room}/recordings")
            (cut,) = answer["recordings"]
            assert cut["ended_why"] == "cut"
            async with clinician.http.get(f"/api/v1/recordings/{cut['id']}") as file:
                data = await file.read()
            found = demuxed(data)
            sent = frames_of(station)
            assert follows(found["video"], sent)
            assert decoded(data)[0] == len(found["video"])
            last = sent.index(found["video"][-1])
            video = station.payload_type("video")
            stamps = sorted({one.timestamp for one in station.sent[:at_cut] if one.payload_type == video})
            assert stamps[-1] - stamps[last] <= VIDEO_HZ, "of its own time at most a second is missing"

            again = await publishing(clinician, room, key, peer, picture())
            await recorded(database, 1_000, recordings=2)
            await again.close()
        await station.close()
    finally:
        await database.close()


async def live(app: Any) -> tuple[UUID, str]:
    """A live consultation whose patient consents to recording, and its station's key."""
    seed, sealer = await make_seed(app), app[keys.SEALER]
    async with app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, sealer, seed.patients[0])
        station = await stations.get(connection, seed.station_id)
        made = await consultations.create(connection, sealer, patient, station, seed.accounts["clinician"])
        held = await consultations.hold(connection, sealer, made.id)
        await consultations.admit(connection, sealer, held, seed.accounts["clinician"])
        await consents.record(
            connection, seed.organisation_id, patient.id, consultation_id=made.id, purpose="recording", given=True,
            version="1", language="bg", given_by="patient", witness_id=seed.accounts["clinician"],
        )
    return made.id, seed.station_key


async def publishing(client: Client, room: UUID, key: str, peer: Any, *tracks: Any) -> Any:
    """A connected station."""
    station = peer()
    for track in tracks:
        station.pc.addTransceiver(track, direction="sendonly")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": SDP}
    async with (
        aiohttp.ClientSession(client.url) as http,
        http.post(f"/whip/{room}", data=await station.offer(), headers=headers) as answer,
    ):
        assert answer.status == 201
        await station.accept(await answer.text())
    return station


async def recorded(database: Any, least_ms: int, recordings: int = 1) -> None:
    """The newest of so many recordings is kept up to there."""
    newest = "select max(until_ms) from recording_part group by recording_id"
    async with asyncio.timeout(START_SECONDS):
        while True:
            async with database.connection() as connection:
                lengths = [row["max"] for row in await connection.fetch(newest)]
            if len(lengths) == recordings and min(lengths) >= least_ms:
                return
            await asyncio.sleep(0.02)
