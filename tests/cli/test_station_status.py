"""``telemed station status``: what the station says of itself, at the station itself, also without a line."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from telemed.cli.station import status_lines

SLOW_S = 60.0  # a program's start on a busy machine takes some seconds
QUEUE = {
    "chunks": 4321, "bytes": 9_000_000, "oldest_s": 7200.0, "state": "ok", "room_bytes": 1_000_000,
    "hours_left": 30.04, "refused": 0, "unreadable": 0,
}  # fmt: skip


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a path that a socket fits in."""
    with tempfile.TemporaryDirectory(prefix="tm-") as folder:
        yield Path(folder)


async def telemed(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    path = os.pathsep.join(str(Path(one).resolve()) for one in sys.path if one)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telemed", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": path, "LC_ALL": "C.UTF-8"} | environment)  # fmt: skip


async def said(*arguments: str) -> tuple[int, str]:
    process = await telemed(*arguments)
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_a_station_without_a_line_says_what_waits_and_obeys_its_settings(home: Path) -> None:
    where, key = home / "station", home / "elsewhere.key"
    station = await telemed(
        "station", "run", "--server", f"http://127.0.0.1:{unused_port()}", "--home", str(where), "--camera", "none",
        "--microphone", "none", TELEMED_STATION_KEY="x" * 43, TELEMED_SPOOL_KEY_FILE=str(key),
        TELEMED_SPOOL_BYTES="150000", TELEMED_SPOOL_RESERVE_BYTES="0",
    )  # fmt: skip
    try:
        end, out = time.monotonic() + SLOW_S, ""
        while "NOT recording" not in out:  # it is full after some seconds
            assert time.monotonic() < end and station.returncode is None, out
            _, out = await said("station", "status", "--home", str(where))
        assert "Not connected to the server." in out and "Waiting to be sent: " in out
        assert len(key.read_bytes()) == 32 and not (where / "spool.key").exists()
    finally:
        station.kill()
        await station.communicate()
    code, out = await said("station", "status", "--home", str(where))
    assert code == 1 and "[station_not_running]" in out


def told(**fields: Any) -> list[str]:
    return status_lines({"connected": True, "state": "recording", "queue": {**QUEUE, **fields}})


def test_each_fact_has_its_line() -> None:
    assert told() == [
        "Connected to the server.", "Recording.", "Waiting to be sent: 4321 chunks, 9.0 MB, the oldest for 120 min.",
        "Room for 30.0 h more at the present rate.",
    ]  # fmt: skip
    assert told(state="nearly_full", hours_left=2.5)[-1] == "NEARLY FULL: room for 2.5 h more at the present rate."
    assert told(oldest_s=None, chunks=0, bytes=0, hours_left=None)[-1] == "Waiting to be sent: 0 chunks, 0.0 MB."
    assert told(refused=3)[-1].startswith("Refused by the server") and "3 chunks" in told(refused=3)[-1]
    assert "key is lost: 1 files" in told(unreadable=1)[-1]
