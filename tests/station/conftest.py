"""A server of the station protocol to test against: real sockets, and a seeded bad character where asked for."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from telemed_devices.envelope import unpack_chunk
from telemed_devices.native import unpack_frame

KEY = "station-key"


async def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for a condition; the deadline is only there so that a broken one fails."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - conditions of the other side's making
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"never: {what}")


class ProtocolServer:
    """Takes chunks as docs/protocol.md section 4 says. ``unkind`` > 0 loses chunks and breaks connections."""

    def __init__(self, seed: int = 0, unkind: float = 0.0) -> None:
        self.draw = random.Random(seed)
        self.unkind = unkind
        self.chunks: dict[tuple[int, int], bytes] = {}
        self.order: list[tuple[int, int]] = []
        self.arrived: list[int | tuple[int, int]] = []  # announced numbers and chunks, as they came
        self.streams: dict[int, dict[str, Any]] = {}
        self.announces: list[dict[str, Any]] = []
        self.texts: list[dict[str, Any]] = []
        self.differs: list[tuple[int, int]] = []
        self.out_of_order: list[tuple[int, int]] = []
        self.refuse: dict[tuple[int, int | None], str] = {}
        self.hold_acks = False
        self.silent = False  # nor tells on an announcement what it has
        self.hellos = 0
        self.resets = 0
        self.id = uuid.uuid4()
        self.attachment: str | None = None
        self.consultation: dict[str, Any] | None = None
        self.sockets: set[web.WebSocketResponse] = set()
        self.routes: list[web.RouteDef] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.add_routes([web.get("/ws/station", self._station), *self.routes])
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for socket in list(self.sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def say(self, message: dict[str, Any]) -> None:
        for socket in list(self.sockets):
            await socket.send_json(message)

    def state(self, number: int) -> dict[str, Any]:
        """``through`` and ``ranges`` of what is kept of a stream."""
        have = sorted(seq for one, seq in self.chunks if one == number)
        through, ranges = None, []
        for seq in have:
            if (through is None and seq == 0) or seq - 1 == through:
                through = seq
            elif ranges and ranges[-1][1] == seq - 1:
                ranges[-1][1] = seq
            else:
                ranges.append([seq, seq])
        return {"number": number, "through": through, "ranges": ranges[:32]}

    async def _station(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse(max_msg_size=1 << 21)
        await socket.prepare(request)
        hello = await socket.receive_json()
        assert hello["type"] == "hello" and hello["protocol"] == 1 and hello["oldest"] == 1
        uuid.UUID(hello["source"])
        self.hellos += 1
        await socket.send_json({"type": "welcome", "protocol": 1, "server": str(self.id),
                                "station": {"id": 1, "name": "test"}, "attachment": self.attachment})  # fmt: skip
        if self.consultation is not None:
            await socket.send_json(self.consultation)
        self.sockets.add(socket)
        announced: dict[int, int] = {}
        live_next: dict[int, int] = {}
        try:
            async for message in socket:
                if self.unkind and self.draw.random() < self.unkind / 10:
                    self.resets += 1
                    request.transport.abort()  # type: ignore[union-attr]
                    break
                if message.type == aiohttp.WSMsgType.TEXT:
                    await self._text(socket, message.json(), announced)
                elif message.type == aiohttp.WSMsgType.BINARY:
                    await self._chunk(socket, message.data, announced, live_next)
        except ConnectionError:
            pass
        finally:
            self.sockets.discard(socket)
        return socket

    async def _text(self, socket: web.WebSocketResponse, message: dict[str, Any], announced: dict[int, int]) -> None:
        self.texts.append(message)
        if message["type"] != "announce":
            return
        self.announces.append(message)
        number = message["stream"]["number"]
        self.arrived.append(number)
        if (code := self.refuse.get((number, None))) is not None:
            await socket.send_json({"type": "error", "error": {"code": code, "params": {}}, "stream": number})
            return
        kept = self.streams.setdefault(number, message["stream"])
        assert kept == message["stream"], "a stream is announced the same each time"
        announced[number] = message["live_from"]
        state = {"number": number, "through": None, "ranges": []} if self.silent else self.state(number)
        await socket.send_json({"type": "announced", **state})

    async def _chunk(
        self, socket: web.WebSocketResponse, data: bytes, announced: dict[int, int], live_next: dict[int, int]
    ) -> None:
        one = unpack_frame(data, uplink=True) if data[:4] == b"TMF1" else unpack_chunk(data)
        number, seq = one.stream, one.seq
        assert number in announced, "announced before its first chunk on this connection"
        if self.unkind and self.draw.random() < self.unkind:
            return  # lost, and nobody is told
        if (code := self.refuse.get((number, seq))) is not None:
            await socket.send_json(
                {"type": "error", "error": {"code": code, "params": {}}, "stream": number, "seq": seq}
            )
            return
        if seq >= announced[number] and not self.unkind:
            if live_next.setdefault(number, announced[number]) != seq:
                self.out_of_order.append((number, seq))
            live_next[number] = seq + 1
        if self.chunks.setdefault((number, seq), data) != data:
            self.differs.append((number, seq))
        self.order.append((number, seq))
        self.arrived.append((number, seq))
        if not self.hold_acks and (not self.unkind or self.draw.random() < 0.5):
            await socket.send_json({"type": "ack", **self.state(number)})

    async def reset(self) -> None:
        """Break every connection now."""
        self.resets += 1
        for socket in tuple(self.sockets):
            await socket.close()

    async def acknowledge_all(self) -> None:
        for number in list(self.streams):
            await self.say({"type": "ack", **self.state(number)})


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """``await until(condition, what, seconds=20)``."""
    return wait_until


@pytest.fixture
async def protocol_server() -> AsyncIterator[Callable[..., Awaitable[ProtocolServer]]]:
    """Start protocol servers; all are stopped in the end."""
    begun: list[ProtocolServer] = []

    async def start(**options: Any) -> ProtocolServer:
        server = ProtocolServer(**options)
        begun.append(server)
        await server.start()
        return server

    yield start
    for server in begun:
        await server.stop()
