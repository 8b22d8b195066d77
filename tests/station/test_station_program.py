"""The program as it is run: one at a time, stopped in order, back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from telemed_devices.native import unpack_frame
from telemed_station.errors import HomeInUse, StationError
from telemed_station.program import StationSettings, run
from telemed_station.spool import Spool

Start = Callable[..., Awaitable[Any]]
Until = Callable[..., Awaitable[None]]
KEY = "station-key"
SCRIPT = """
import asyncio, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have been told to outlive the terminal
from pathlib import Path
from telemed_station.program import StationSettings, run
from telemed_station.errors import StationError
server, home = sys.argv[1:]
try:
    settings = StationSettings(server=server, key="station-key", home=Path(home), camera="none", microphone="none")
    asyncio.run(run(settings))
except StationError as error:
    print(error.code)
    sys.exit(1)
"""


def settings_for(server: str, home: Path, **options: Any) -> StationSettings:
    return StationSettings(server=server, key=KEY, home=home, **{"camera": "none", "microphone": "none"} | options)


@asynccontextmanager
async def running(settings: StationSettings) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(run(settings))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def process(server: str, home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    one = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, server, str(home), env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield one
    finally:
        if one.returncode is None:
            one.kill()
            await one.wait()


def stored(server: Any, kind: str) -> list[Any]:
    numbers = [number for number, stream in server.streams.items() if stream["kind"] == kind]
    return [unpack_frame(data) for (number, _), data in sorted(server.chunks.items()) if number in numbers]


async def test_a_recording_reaches_the_server(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    server.attachment = str(uuid.uuid4())
    device = f"replay:{get_testdata_file('waveform_ecg.dcm', download=False)}"
    async with running(settings_for(server.url, tmp_path, device=device, scenario="desaturation")) as task:
        await until(lambda: task.done() or len(stored(server, "ecg")) >= 5, "the ECG arrives")
        await until(lambda: any(text["type"] == "status" for text in server.texts), "a status")
        assert not task.done(), task
        status = next(text for text in server.texts if text["type"] == "status")
        assert status["loop"]["channels"] == 12 and status["loop"]["end"] - status["loop"]["first"] > 4000
        assert status["scenario"] == "desaturation" and status["state"] == "recording"
        nothing = {"state": "idle", "frames_decoded": 0, "audio_dbfs": None, "dominant_hz": None, "people": []}
        assert status["call"] == nothing
        await server.say({"type": "scenario", "name": "sinus"})
        await until(lambda: any(text.get("scenario") == "sinus" for text in server.texts), "the switch")
        await server.say({"type": "renew", "attachment": None})
        await until(lambda: len({stream["epoch"] for stream in server.streams.values()}) == 2, "new epochs")
    # The very first epoch already had the attachment of the welcome.
    assert next(stream["attachment"] for stream in server.streams.values()) == server.attachment
    origins = {stream["kind"]: stream["origin"] for stream in server.streams.values()}
    assert origins["ecg"] == "recording" and origins["pleth"] == "simulated"


async def test_a_second_program_on_the_same_home_is_refused(
    protocol_server: Start, until: Until, tmp_path: Path
) -> None:
    server = await protocol_server()
    async with running(settings_for(server.url, tmp_path)):
        await until(lambda: bool(server.sockets), "the first one runs")
        with pytest.raises(HomeInUse):
            await run(settings_for(server.url, tmp_path))
        async with process(server.url, tmp_path) as second:
            out, _ = await asyncio.wait_for(second.communicate(), 20)
            assert (second.returncode, out) == (1, b"station_home_in_use\n")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_it_stops_in_order(protocol_server: Start, until: Until, tmp_path: Path, how: signal.Signals) -> None:
    server = await protocol_server()
    async with process(server.url, tmp_path) as one:
        await until(lambda: len(stored(server, "ecg")) >= 2, "it runs")
        one.send_signal(how)
        _, log = await asyncio.wait_for(one.communicate(), 20)
        assert one.returncode == 0
        assert b"event=station_ended waiting=0" in log and KEY.encode() not in log
    spool = Spool(tmp_path / "spool.sqlite3")
    assert spool.waiting.chunks == 0 and not spool.streams()  # the last samples were acknowledged
    spool.close()


async def test_kill_9_loses_nothing_that_was_measured(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    """Killed while nothing is acknowledged; the next run sends everything, under the old identities."""
    server = await protocol_server()
    server.hold_acks = server.silent = True
    for _ in range(2):
        before = len(server.streams)
        async with process(server.url, tmp_path) as one:
            await until(lambda before=before: len(server.streams) > before + 5, "it runs")
            await until(lambda: len(stored(server, "ecg")) >= 3, "it sends")
            one.kill()
            await one.wait()
    spool = Spool(tmp_path / "spool.sqlite3")
    measured = {(chunk.number, chunk.seq): chunk.data
                for stream in spool.streams() for chunk in spool.read(stream.number, 0, 1 << 40, 1 << 20)}  # fmt: skip
    spool.close()
    assert server.chunks.items() <= measured.items()
    server.hold_acks = server.silent = False
    async with running(settings_for(server.url, tmp_path)):
        await until(lambda: measured.items() <= server.chunks.items(), "everything arrives")
    assert not server.differs


async def test_errors_are_known_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="station_device_unknown"):
        await run(settings_for("http://127.0.0.1:9", tmp_path, device="thermostat"))
    (tmp_path / "spool.sqlite3").write_bytes(b"no database at all" * 500)
    with pytest.raises(StationError, match="station_spool_damaged"):
        await run(settings_for("http://127.0.0.1:9", tmp_path))
