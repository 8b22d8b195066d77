"""A disk without room is a gap and a word in the status, not the end of the program; damage is another matter."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from telemed_station import trouble
from telemed_station.errors import SpoolDamaged, SpoolFull, SpoolUnwritable, StationError
from telemed_station.program import StationSettings, run
from telemed_station.spool import Ack, Chunk, Spool, Waiting
from telemed_station.spool_thread import SpoolThread

Start = Callable[..., Awaitable[Any]]
Until = Callable[..., Awaitable[None]]


class Disk:
    """A small file system of its own that something else can fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        (self.folder / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], check=False, capture_output=True
    ) if os.geteuid() == 0 else None  # fmt: skip
    if mounted is None or mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_the_station_lives_through_a_full_disk(
    protocol_server: Start, until: Until, disk: Disk
) -> None:
    """It says ``spool_full``, holds what was acknowledged meanwhile, and goes on when there is room."""
    server = await protocol_server()
    server.hold_acks = True
    settings = StationSettings(server=server.url, key="station-key", home=disk.folder, camera="none", microphone="none")
    task = asyncio.create_task(run(settings))

    def state() -> str:
        if task.done():
            task.result()
        return str(next((text["state"] for text in reversed(server.texts) if text["type"] == "status"), ""))

    def queue() -> int:
        return int(next((text["queue"]["chunks"] for text in reversed(server.texts) if text["type"] == "status"), 0))

    try:
        await until(lambda: queue() > 20, "it records")
        disk.fill()
        await until(lambda: state() == "spool_full", "it says so")
        server.hold_acks = False
        before = server.hellos
        for socket in list(server.sockets):  # the backlog is looked for on a disk that is full
            await socket.close()
        await until(lambda: server.hellos > before and bool(server.sockets), "it is back")
        await server.acknowledge_all()
        said = len(server.texts)
        await until(lambda: any(text["type"] == "status" for text in server.texts[said + 1 :]), "it lives on")
        assert not task.done() and state() == "spool_full"
        disk.free()
        await until(lambda: state() == "recording", "it records again")
        await until(lambda: queue() < 20, "what was acknowledged is forgotten")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not server.differs


async def test_what_was_acknowledged_on_a_full_disk_is_not_sent_again_and_not_lost(disk: Disk) -> None:
    spool = SpoolThread(disk.folder / "spool")
    (one,) = await spool.begin([{}])
    await spool.write([Chunk(one.number, seq, os.urandom(4000)) for seq in range(100)])
    disk.fill()
    with pytest.raises(SpoolFull):
        await spool.write([Chunk(one.number, 100, os.urandom(900_000))])
    spool.acknowledge(Ack(one.number, 50))
    assert [stream.number for stream in await spool.streams()] == [one.number]
    assert (await spool.read(one.number, 0, 200))[0].seq == 51
    with pytest.raises(SpoolFull):
        await spool.write([Chunk(one.number, 100, os.urandom(900_000))])
    assert (await spool.read(one.number, 0, 200))[0].seq == 51
    disk.free()
    await spool.write([Chunk(one.number, 100, b"x")])
    assert spool.waiting == Waiting(50, 49 * 4000 + 1)
    await spool.close()


async def test_a_full_disk_at_start_is_not_damage(disk: Disk) -> None:
    spool = Spool(disk.folder / "spool.sqlite3")
    (one,) = spool.begin([{}])
    spool.write([Chunk(one.number, 0, b"x")])
    spool.close()
    disk.fill()
    with pytest.raises(SpoolFull):
        Spool(disk.folder / "spool.sqlite3")
    with pytest.raises(StationError, match="station_spool_full"):
        await run(StationSettings(server="http://127.0.0.1:9", key="k", home=disk.folder / "new" / "home"))
    disk.free()
    again = Spool(disk.folder / "spool.sqlite3")
    assert again.waiting == Waiting(1, 1)
    again.close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, SpoolFull),
        (sqlite3.SQLITE_CORRUPT, SpoolDamaged),
        (sqlite3.SQLITE_CORRUPT_INDEX, SpoolDamaged),
        (sqlite3.SQLITE_NOTADB, SpoolDamaged),
        (sqlite3.SQLITE_IOERR_SHORT_READ, SpoolDamaged),
        (sqlite3.SQLITE_IOERR_WRITE, SpoolUnwritable),
        (sqlite3.SQLITE_READONLY, SpoolUnwritable),
        (sqlite3.SQLITE_BUSY, SpoolUnwritable),
    ],
)
def test_each_trouble_has_its_name(tmp_path: Path, code: int, expected: type[StationError]) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    assert type(trouble.named(error, tmp_path / "spool")) is expected


def test_a_file_that_may_not_be_written_is_not_damaged(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with pytest.raises(SpoolUnwritable):
        Spool(tmp_path / "spool")
