"""How much more the spool takes, and what it says of that before, while and after it is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from os import geteuid, statvfs, urandom
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemed_devices.envelope import Chunk as Envelope
from telemed_devices.envelope import pack_chunk
from telemed_station.errors import SpoolFull
from telemed_station.spool import Ack, Chunk, Spool
from telemed_station.spool_room import NEARLY_HOURS, RATE_LEAST_S, RATE_S, RESUME_PART, Filling
from telemed_station.spool_thread import SpoolThread

DISK = 96 << 20
RESERVE = DISK // 16


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", folder], check=False, capture_output=True
    ) if geteuid() == 0 else None  # fmt: skip
    if mounted is None or mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_the_hours_left_are_the_room_by_the_rate_of_the_last_minute() -> None:
    filling = Filling()
    assert filling.room(0.0, 10**9, full=False).hours_left is None, "nothing is recorded"
    for tick in range(1, 601):
        filling.took(tick / 5, 5_000)  # 25 kB/s for two minutes
    room = filling.room(120.0, 10**9, full=False)
    assert room.state == "ok" and room.hours_left == pytest.approx(10**9 / 25_000 / 3600, rel=0.02)
    nearly = filling.room(120.0, int(NEARLY_HOURS * 3600 * 25_000 * 0.97), full=False)
    assert nearly.state == "nearly_full" and nearly.hours_left is not None and 3.5 < nearly.hours_left < NEARLY_HOURS
    assert filling.room(120.0, 0, full=True).state == "full"
    stopped = filling.room(120.0 + RATE_S + 1, 10, full=False)
    assert (stopped.state, stopped.hours_left) == ("ok", None), "nothing is recorded any more, so nothing fills it"


@given(st.lists(st.tuples(st.floats(0.01, 30), st.integers(0, 10**7)), max_size=60), st.integers(-(10**9), 10**12))
def test_the_room_is_never_negative_and_the_rate_is_known_or_not_told(
    taken: list[tuple[float, int]], room_bytes: int
) -> None:
    filling, now_s = Filling(), 100.0
    for apart_s, size in taken:
        now_s += apart_s
        filling.took(now_s, size)
    room = filling.room(now_s, room_bytes, full=False)
    assert room.room_bytes == max(0, room_bytes)
    if room.hours_left is not None:
        assert room.hours_left >= 0 and sum(apart for apart, _ in taken[1:]) >= RATE_LEAST_S - 1e-6
        assert (room.state == "nearly_full") == (room.hours_left < NEARLY_HOURS)


def test_once_full_it_waits_for_some_room_so_that_there_is_one_hole(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", bytes_max=100 * RESUME_PART)
    (one,) = spool.begin([{}])
    spool.write([Chunk(one.number, seq, bytes(50)) for seq in range(100 * RESUME_PART // 50)])
    for _ in range(2):
        with pytest.raises(SpoolFull):
            spool.write([Chunk(one.number, 9_000, bytes(50))])
    with pytest.raises(SpoolFull):
        spool.write([Chunk(one.number, 9_000, bytes(50))], [Ack(one.number, 0)])
    spool.write((), [Ack(one.number, 1)])  # 100 bytes are free: as much as it takes, and these
    with pytest.raises(SpoolFull):
        spool.write([Chunk(one.number, 9_000, bytes(50))])
    spool.write((), [Ack(one.number, 2)])
    spool.write([Chunk(one.number, 9_000, bytes(50))])
    spool.close()


def test_a_reserve_of_the_disk_stays_free_and_what_is_there_stays(disk: Path) -> None:
    spool = Spool(disk / "spool")
    (one,) = spool.begin([{}])
    seq = 0
    with pytest.raises(SpoolFull, match="disk"):
        while True:
            spool.write([Chunk(one.number, seq + at, urandom(20_000)) for at in range(10)])
            seq += 10
    assert free(disk) <= RESERVE + 400_000, "it was filled up to the reserve"
    assert free(disk) > 0, "which its journal did not use up"
    assert len(spool.read(one.number, 0, 1 << 40, 1 << 30)) == seq, "nothing that was kept went for it"
    assert spool.room_bytes < 200_000
    spool.begin([{}])  # whose the samples are is written all the same
    spool.write((), [Ack(one.number, seq // 2)])
    spool.write([Chunk(one.number, seq, urandom(20_000))])
    assert spool.room_bytes > DISK // 4, "room inside the file counts"
    spool.close()


def free(folder: Path) -> int:
    found = statvfs(folder)
    return found.f_bavail * found.f_frsize


async def test_what_is_told_of_it(tmp_path: Path) -> None:
    spool = SpoolThread(tmp_path / "spool", 1_000_000)
    (one,) = await spool.begin([{}])
    told = spool.told(5_000_000, full=False)
    assert (told["chunks"], told["bytes"], told["oldest_s"], told["state"]) == (0, 0, None, "ok")
    packed = [pack_chunk(Envelope(one.number, seq, (10 + seq) * 1_000_000, b"x")) for seq in range(3)]
    await spool.write([Chunk(one.number, seq, data) for seq, data in enumerate(packed)])
    told = spool.told(15_000_000, full=False)
    assert (told["chunks"], told["oldest_s"], told["room_bytes"]) == (3, 5.0, 1_000_000 - sum(map(len, packed)))
    assert spool.told(9_000_000, full=False)["oldest_s"] == 0.0, "a clock that was set back makes no age below zero"
    spool.acknowledge(Ack(one.number, 0))
    await spool.flush()
    assert spool.told(15_000_000, full=False)["oldest_s"] == 4.0
    assert spool.told(15_000_000, full=True)["state"] == "full"
    await spool.close()
    again = SpoolThread(tmp_path / "spool", 1_000_000)
    assert again.told(15_000_000, full=False)["oldest_s"] == 4.0
    await again.close()
