"""What recording one 720p30 publication of 1.5 Mbit/s with sound costs: the same call without and with it, in turns.

A real server with its relay process and PostgreSQL, one publisher, nobody who watches. CPU is of one core, per process,
and a figure is the median of the differences of the pairs; the worst is printed beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import av
import psutil
from _media_lines import Child
from _report import Row, report

from telemed.app import build_app
from telemed.consultation import consultations
from telemed.http import keys
from telemed.identity import accounts, organisations, sign_ins, stations
from telemed.patient import consents, patients
from telemed.patient.patients import Person
from telemed.settings import Settings
from telemed.store.embedded import OWNER_ROLE, SERVER_ROLE, EmbeddedPostgres
from telemed.store.migrate import migrate

PAIRS = int(os.environ.get("TELEMED_PAIRS", "5"))
SECONDS = float(os.environ.get("TELEMED_SECONDS", "20"))
SETTLE_SECONDS = 3.0
START_SECONDS = 60.0
GOAL_PERCENT = 1.0
PORT = int(os.environ.get("TELEMED_PORT", "8197"))
URL = f"http://127.0.0.1:{PORT}"


async def seeded(settings: Settings) -> tuple[UUID, str, str]:
    """A live consultation with consent to recording; its station's key and its clinician's sign-in."""
    app = build_app(settings)
    sealer, database = app[keys.SEALER], app[keys.DATABASE]
    await database.open()
    async with database.transaction() as connection:
        organisation = await organisations.create(connection, "Benchmark")
        clinician = await accounts.create(connection, organisation, "bench", "Benchmark", "", ["clinician"])
        station = await stations.create(connection, sealer, organisation, "Benchmark", "")
        _, key = await stations.add_key(connection, station.id)
        patient = await patients.create(connection, sealer, organisation, Person("Benchmark", 1950, ()))
        made = await consultations.create(connection, sealer, patient, station, clinician.id)
        await consultations.admit(
            connection, sealer, await consultations.hold(connection, sealer, made.id), clinician.id
        )
        await consents.record(
            connection, organisation, patient.id, consultation_id=made.id, purpose="recording", given=True,
            version="1", language="en", given_by="patient", witness_id=clinician.id,
        )
        token = await sign_ins.begin(connection, clinician.id)
    await database.close()
    return made.id, key, token


def cpu(process: psutil.Process, since: dict[int, float]) -> dict[str, float]:
    """Seconds of the server, its relay and PostgreSQL since ``since`` (by process, which is brought up to now)."""
    spent = {"server": 0.0, "relay": 0.0, "postgres": 0.0}
    everybody = [process, *process.children(recursive=True)]
    for one in everybody:
        with contextlib.suppress(psutil.NoSuchProcess):
            times, line = one.cpu_times(), " ".join(one.cmdline())
            kind = "server" if one.pid == process.pid else "relay" if "telemed.media.relay" in line else "postgres"
            spent[kind] += times.user + times.system - since.get(one.pid, 0.0)
            since[one.pid] = times.user + times.system
    return spent


async def measured(process: psutil.Process, postgres: psutil.Process) -> dict[str, float]:
    """Per cent of a core of each for ``SECONDS``."""
    before: dict[int, float] = {}
    base: dict[int, float] = {}
    cpu(process, before)
    cpu(postgres, base)
    began = time.monotonic()
    await asyncio.sleep(SECONDS)
    took = time.monotonic() - began
    ours, theirs = cpu(process, before), cpu(postgres, base)
    return {
        "server": 100 * ours["server"] / took, "relay": 100 * ours["relay"] / took,
        "postgres": 100 * sum(theirs.values()) / took,
    }


async def switched(http: aiohttp.ClientSession, room: UUID, on: bool) -> None:
    """Record, or no longer."""
    path = f"/api/v1/consultations/{room}/recording"
    async with http.post(path, json={"on": on}, headers={"Origin": URL}) as answer:
        assert answer.status == 200, await answer.text()


async def run(folder: Path) -> list[Row]:
    """The figures."""
    postgres = EmbeddedPostgres(folder / "database")
    await postgres.start()
    try:
        await migrate(postgres.url(OWNER_ROLE, "postgres"), SERVER_ROLE)
        settings = Settings(
            home=folder / "home", port=PORT, key_file=folder / "key",
            database_url=postgres.url(SERVER_ROLE, "postgres"),
        )
        settings.home.mkdir(mode=0o700)
        room, key, token = await seeded(settings)
        environment = {
            **os.environ, "TELEMED_HOME": str(settings.home), "TELEMED_KEY_FILE": str(settings.key_file),
            "DATABASE_URL": str(settings.database_url),
        }
        serving = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "telemed", "serve", "--port", str(PORT), env=environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession(URL, cookies={"telemed": token}) as http:
                return await called(http, room, key, folder, psutil.Process(serving.pid))
        finally:
            serving.terminate()
            await serving.wait()
    finally:
        await postgres.stop()


async def called(
    http: aiohttp.ClientSession, room: UUID, key: str, folder: Path, process: psutil.Process
) -> list[Row]:
    """Publish, and measure in turns."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with http.get("/healthz") as healthy:
                    if healthy.status == 200:
                        break
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)
    command = [sys.executable, str(Path(__file__).parent / "_media_publisher.py"), "gcm", "paced"]
    publisher = await Child.start(command, folder / "publisher.log")
    try:
        offer = (await publisher.ask("offer"))["sdp"]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/sdp"}
        async with aiohttp.ClientSession(URL) as station, station.post(
            f"/whip/{room}", data=offer, headers=headers
        ) as answer:
            assert answer.status == 201, await answer.text()
            await publisher.ask("accept", sdp=await answer.text())
        await publisher.ask("connect")
        database = next(
            one for one in psutil.process_iter() if one.name() == "postgres" and str(folder) in " ".join(one.cmdline())
        )
        without, with_ = [], []
        for _ in range(PAIRS):
            for on, figures in ((False, without), (True, with_)):
                await switched(http, room, on)
                await asyncio.sleep(SETTLE_SECONDS)
                figures.append(await measured(process, database))
        await switched(http, room, False)
        return [*costs(without, with_), *await played(http, room)]
    finally:
        await publisher.stop()


def costs(without: list[dict[str, float]], with_: list[dict[str, float]]) -> list[Row]:
    """What recording added."""
    pairs = list(zip(without, with_, strict=True))

    def row(metric: str, parts: tuple[str, ...], goal: str | None = None) -> Row:
        more = sorted(sum(after[part] - before[part] for part in parts) for before, after in pairs)
        return Row(f"{metric}, median (worst {more[-1]:.2f})", statistics.median(more), "% of a core", goal=goal)

    goal = f"<= {GOAL_PERCENT:.0f}"
    return [
        row("recording one stream: server and relay", ("server", "relay"), goal),
        row("of that, the server", ("server",)), row("of that, the relay", ("relay",)),
        row("PostgreSQL", ("postgres",)),
        Row("the same call, not recorded: server and relay",
            statistics.median(one["server"] + one["relay"] for one in without), "% of a core"),
    ]


async def played(http: aiohttp.ClientSession, room: UUID) -> list[Row]:
    """Whether all that was recorded decodes."""
    async with http.get(f"/api/v1/consultations/{room}/recordings") as answer:
        shown: list[Any] = (await answer.json())["recordings"]
    frames = packets = 0
    for one in shown:
        async with http.get(f"/api/v1/recordings/{one['id']}") as answer:
            data = await answer.read()
        with av.open(io.BytesIO(data)) as container:
            packets += sum(1 for packet in container.demux(video=0) if packet.size)
        with av.open(io.BytesIO(data)) as container:
            frames += sum(1 for _ in container.decode(video=0))
    seconds = sum(one["length_ms"] for one in shown) / 1000
    return [
        Row("frames of the recordings that decode", 100 * frames / packets, "%", goal="100"),
        Row("frames recorded a second", packets / seconds, "1/s", goal="30"),
        Row("recorded", sum(one["bytes"] for one in shown) * 8 / seconds / 1e6, "Mbit/s"),
    ]


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="telemed-recording-") as folder:
        Path(folder).chmod(0o711)
        report("recording", asyncio.run(run(Path(folder))))


if __name__ == "__main__":
    main()
