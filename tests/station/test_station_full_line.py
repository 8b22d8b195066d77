"""The station's line: how much waits on it, who sends by what, how the backlog gives way, and answers in two parts."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from telemed_station import congestion
from telemed_station.camera.body import AnswerTooLong, whole
from telemed_station.congestion import FRAMING_BYTES, STANDING_S, Behind
from telemed_station.lanes import BACKLOG_BEHIND_S, BACKLOG_FIRST, BACKLOG_IN_FLIGHT, BACKLOG_LEAST, Lanes
from telemed_station.spool import Ack, Chunk, SpooledStream

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what waits on a socket")


def test_a_queue_is_behind_and_a_lost_packet_is_not() -> None:
    behind, way_s = Behind(), 0.3
    now_s, waiting = 0.0, 0
    seen = []
    for number in range(200):  # a message each 0.1 s, acknowledged after the round trip; one takes 0.6 s longer
        now_s += 0.1
        behind.wrote(now_s, 600)
        late = 6 if 50 <= number < 56 else 0
        waiting = min(waiting + 1, 3 + late)
        seen.append(behind.look(now_s, waiting * (600 + FRAMING_BYTES), way_s))
    assert max(seen) < 0.2
    for _ in range(30):  # nothing is acknowledged any more
        now_s += 0.1
        behind.wrote(now_s, 600)
        waiting += 1
        last = behind.look(now_s, waiting * (600 + FRAMING_BYTES), way_s)
    assert 3.0 - STANDING_S - way_s <= last <= 3.2
    assert behind.look(now_s + 5, 0, way_s) == 0.0, "everything is there"


@linux
async def test_what_the_other_side_does_not_take_waits() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    ours.setblocking(False)
    known = congestion.waiting(ours)
    assert known is not None and known[0] == 0 and 0 < known[1] < 0.1
    sent = 0
    try:
        while True:
            sent += ours.send(bytes(65_536))
    except BlockingIOError:
        pass
    waiting = congestion.waiting(ours)
    assert waiting is not None
    assert 0 < waiting[0] < sent
    for one in (ours, theirs, listener):
        one.close()
    assert congestion.waiting(ours) is None


@linux
def test_bbr_where_the_kernel_has_it_and_no_harm_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    with socket.socket() as one:
        before = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
        assert congestion.prefer_bbr(one) is ("bbr" in offered)
        monkeypatch.setattr(congestion, "BBR", b"none_such")
        assert congestion.prefer_bbr(one) is False
        now = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
        assert now == (b"bbr" if "bbr" in offered else before)
    assert congestion.prefer_bbr(None) is False


def test_the_backlog_makes_room_by_being_acknowledged_and_waits_behind_what_is_live() -> None:
    lanes = Lanes(lambda: 0.0)
    lanes.announce(SpooledStream(1, 1, {}, 10_000))
    taken = 0

    def fill() -> int:
        nonlocal taken
        before = taken
        while lanes.backlog_room():
            lanes.take_backlog(Chunk(1, taken, b"x"))
            taken += 1
        return taken - before

    assert fill() == BACKLOG_FIRST
    lanes.acknowledge(Ack(1, taken - 1, ()))
    assert fill() == BACKLOG_FIRST * 3 // 2, "half as many again in a round trip"
    for _ in range(8):
        lanes.acknowledge(Ack(1, taken - 1, ()))
        fill()
    assert lanes._backlog_in_flight == BACKLOG_IN_FLIGHT
    lanes.held_up(BACKLOG_BEHIND_S - 0.1)
    assert lanes._backlog_room == BACKLOG_IN_FLIGHT
    for _ in range(8):
        lanes.held_up(BACKLOG_BEHIND_S + 0.1)
    assert fill() == 0
    lanes.acknowledge(Ack(1, taken - 3, ()))
    assert 0 < fill() <= BACKLOG_IN_FLIGHT // 2, "what is acknowledged came through"
    for _ in range(8):
        lanes.held_up(BACKLOG_BEHIND_S + 0.1)
    lanes._backlog_in_flight = 0
    assert fill() == BACKLOG_LEAST, "never none at all"


async def test_an_answer_is_read_to_its_end() -> None:
    """Its second part comes when the first has been read."""
    more = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        more.clear()
        reply = web.StreamResponse()
        await reply.prepare(request)
        await reply.write(b"a" * 100)
        await more.wait()
        await reply.write(b"b" * 100)
        return reply

    app = web.Application()
    app.add_routes([web.get("/", answer)])
    async with TestServer(app) as server, aiohttp.ClientSession() as http:

        async def read(most: int) -> bytes:
            async with http.get(server.make_url("/")) as reply:
                reading = asyncio.create_task(whole(reply, most))
                async with asyncio.timeout(20):
                    while reply.content.total_bytes < 100:  # noqa: ASYNC110 - aiohttp has nothing to wait for
                        await asyncio.sleep(0)
                more.set()
                return await reading

        assert await read(200) == b"a" * 100 + b"b" * 100
        with pytest.raises(AnswerTooLong):
            await read(199)
