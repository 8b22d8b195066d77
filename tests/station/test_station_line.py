"""The line and the clock: what waits before what, who is taken for dead and when, and what a suspend does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiortc.mediastreams import MediaStreamError
from structlog.testing import capture_logs
from telemed_station import uplink
from telemed_station.backoff import LONGEST_S, QUICK_FOR_S, QUICK_S, Backoff
from telemed_station.camera.sources import Tone
from telemed_station.clock import StationClock, SteppedClock
from telemed_station.lanes import LIVE_WAITING, LaneFull, Lanes
from telemed_station.spool import Chunk, SpooledStream
from telemed_station.spool_thread import SpoolThread
from telemed_station.uplink import Address, Uplink

from telemed.vitals.clock import ASK_SECONDS
from telemed.vitals.uplink import SILENT_SECONDS


def sent_by(lanes: Lanes) -> list[Any]:
    """What the sender would send now: numbers of announcements and (number, seq) of chunks."""
    out: list[Any] = []
    while True:
        if (message := lanes.next_message()) is not None:
            out.append(message["stream"]["number"])
        elif (chunk := lanes.next_live()) is not None:
            out.append((chunk.number, chunk.seq))
        else:
            return out


def test_a_generation_is_announced_after_the_last_live_chunk_of_the_one_before() -> None:
    lanes = Lanes(lambda: 0.0)
    lanes.announce(SpooledStream(1, 1, {}, 0))
    lanes.announce(SpooledStream(2, 1, {}, 0))
    assert sent_by(lanes) == [1, 2]
    lanes.offer([Chunk(1, 0, b"a"), Chunk(2, 0, b"b")])
    for number in (3, 4):
        lanes.announce(SpooledStream(number, 3, {}, 0))
    lanes.offer([Chunk(3, 0, b"c")])
    lanes.announce(SpooledStream(5, 5, {}, 0))
    assert sent_by(lanes) == [(1, 0), (2, 0), 3, 4, (3, 0), 5]


def test_an_older_generation_that_is_announced_late_does_not_lock_the_line() -> None:
    lanes = Lanes(lambda: 0.0)
    lanes.offer([Chunk(1, 7, b"a")])
    lanes.announce(SpooledStream(3, 3, {}, 0))
    assert sent_by(lanes) == []
    lanes.announce(SpooledStream(1, 1, {}, 8))  # the spool was looked through
    assert sent_by(lanes) == [1, (1, 7), 3]


def test_chunks_of_a_refused_stream_hold_nobody_up() -> None:
    lanes = Lanes(lambda: 0.0)
    lanes.refuse(1)  # known from the spool
    lanes.offer([Chunk(1, 7, b"a")])
    lanes.announce(SpooledStream(3, 3, {}, 0))
    lanes.offer([Chunk(3, 0, b"c")])
    assert sent_by(lanes) == [3, (3, 0)]


async def test_a_server_that_does_not_read_is_not_dead(
    until: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It answers no ping and is left for its silence alone."""
    monkeypatch.setattr(uplink, "SILENCE_S", 1.5)
    monkeypatch.setattr(uplink, "HEARTBEAT_S", 0.1, raising=False)

    async def deaf(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await socket.receive()
        await socket.send_json({"type": "welcome", "attachment": None})
        await asyncio.get_running_loop().create_future()
        return socket

    app = web.Application()
    app.add_routes([web.get("/ws/station", deaf)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    spool = SpoolThread(tmp_path / "spool")
    async with aiohttp.ClientSession() as http:
        address = Address(f"http://127.0.0.1:{runner.addresses[0][1]}", "station-key", "test")
        one = Uplink(address, SteppedClock(), spool, http, hear=lambda _: None, status=dict)
        with capture_logs() as logs:
            task = asyncio.create_task(one.run())
            try:
                await until(lambda: any(line["event"] == "disconnected" for line in logs), "it is given up")
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
    await spool.close()
    await runner.cleanup()
    assert next(line["reason"] for line in logs if line["event"] == "disconnected") == "silence"


def test_a_question_that_a_poor_line_repeats_is_no_silence() -> None:
    assert uplink.SILENCE_S > ASK_SECONDS + 2
    assert uplink.SEND_S > 2 * SILENT_SECONDS


def test_the_stamps_go_on_through_a_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("this platform has no clock that counts sleep apart")
    asleep = 3_600_000_000_000
    clock = StationClock()
    before, real = clock.stamp_us(), time.clock_gettime_ns

    def woken(which: int) -> int:
        return real(which) + (asleep if which == time.CLOCK_BOOTTIME else 0)

    monkeypatch.setattr(time, "clock_gettime_ns", woken)  # CLOCK_MONOTONIC stood still
    assert clock.stamp_us() - before >= asleep // 1000


async def test_a_tone_starts_afresh_after_a_suspend() -> None:
    """Its samples are counted, and must not say a time that is long past."""
    clock = SteppedClock()
    tone = Tone(clock)
    await tone.recv()
    clock.advance(3_600_000_000)
    with pytest.raises(MediaStreamError):
        await tone.recv()
    assert tone.readyState == "ended"


def test_backoff_is_quick_at_first_and_bounded() -> None:
    backoff, waited = Backoff(), 0.0
    while waited < QUICK_FOR_S:
        delay = backoff.next_s()
        assert 0 < delay <= QUICK_S
        waited += delay
    assert max(backoff.next_s() for _ in range(50)) <= LONGEST_S
    backoff.reset()
    assert backoff.next_s() <= 0.25


def test_a_slow_line_is_given_up_before_memory_is() -> None:
    held = Lanes(lambda: 0.0)
    with pytest.raises(LaneFull):
        for seq in range(LIVE_WAITING + 1):
            held.offer([Chunk(1, seq, b"x")])
