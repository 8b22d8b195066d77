"""A network for one station and one server: it delays, loses, doubles, re-orders, cuts, and brings things late.

A connection is two ways, each in order, as TCP gives it, and a window of messages that are not read yet. What a
``Weather`` does to single chunks and acknowledgements is worse than TCP: the promises must hold for it too. Greetings
and announcements come once and in order while the connection lasts.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import WSMessage, WSMsgType

WINDOW = 48  # messages on the way or not read: then the sender waits
TEXT, PONG_CLOSE = 0x81, 1006
CLOSED = WSMessage(WSMsgType.CLOSED, None, None)


@dataclass(slots=True)
class Weather:
    """What the network does now. Probabilities of single messages; ``delay_s`` of one way, least and most."""

    delay_s: tuple[float, float] = (0.001, 0.02)
    lose: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    late_s: float = 2.0  # how late at most what is re-ordered or doubled comes


class Way:
    """One direction of a connection."""

    def __init__(self, dice: random.Random, weather: Callable[[], Weather]) -> None:
        self._loop = asyncio.get_running_loop()
        self._dice = dice
        self._weather = weather
        self._last_s = 0.0
        self._on_way = 0
        self._inbox: deque[WSMessage] = deque()
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self.lost = False  # nothing arrives any more, and nobody is told
        self.ended = False

    async def send(self, message: WSMessage, loose: bool) -> None:
        """Put it on the way; wait while the window is full."""
        while self._on_way + len(self._inbox) >= WINDOW and not self.ended:
            self._room.clear()
            await self._room.wait()
        self.put(message, loose)

    @property
    def clear(self) -> bool:
        """Whether a message would not wait."""
        return self._on_way + len(self._inbox) < WINDOW

    def put(self, message: WSMessage, loose: bool) -> None:
        """Put it on the way; ``loose`` messages may be lost, doubled and re-ordered."""
        if self.ended:
            raise aiohttp.ClientConnectionResetError("the connection is closed")
        now, weather, dice = self._loop.time(), self._weather(), self._dice
        # Never at one moment: of two timers of one moment the loop may call the later first, and no line does.
        self._last_s = max(math.nextafter(self._last_s, math.inf), now + dice.uniform(*weather.delay_s))
        if loose and dice.random() < weather.lose:
            return
        when = self._last_s
        if loose and dice.random() < weather.reorder:
            when += dice.uniform(0, weather.late_s)
        self._go(message, when)
        if loose and dice.random() < weather.double:
            self._go(message, when + dice.uniform(0, weather.late_s))

    def _go(self, message: WSMessage, when: float) -> None:
        self._on_way += 1
        self._loop.call_at(when, self._arrive, message)

    def _arrive(self, message: WSMessage) -> None:
        self._on_way -= 1
        self._room.set()
        if not self.lost and not self.ended:
            self._inbox.append(message)
            self._some.set()

    def end(self) -> None:
        """The receiver finds the connection closed, after what it has already."""
        self.ended = True
        self._some.set()
        self._room.set()

    async def receive(self, timeout: float | None) -> WSMessage:  # noqa: ASYNC109 - as aiohttp's
        """The next message, or that the connection is closed. Raises ``TimeoutError``."""
        async with asyncio.timeout(timeout):
            while not self._inbox:
                if self.ended:
                    return CLOSED
                self._some.clear()
                await self._some.wait()
        self._room.set()
        return self._inbox.popleft()


class Line:
    """One connection."""

    def __init__(self, dice: random.Random, weather: Callable[[], Weather]) -> None:
        self._loop = asyncio.get_running_loop()
        self.up, self.down = Way(dice, weather), Way(dice, weather)

    @property
    def over(self) -> bool:
        """Whether both ends know that it is closed."""
        return self.up.ended and self.down.ended

    def cut(self, how: str, late_s: float = 0.0) -> None:
        """Break it. ``both``: at once. ``station``: the station knows now, the server ``late_s`` later, and gets what
        was on the way. ``server``: the other way round. ``silent``: nobody is told, nothing arrives."""
        match how:
            case "both":
                self.up.end()
                self.down.end()
            case "station":
                self.down.end()
                self._loop.call_later(late_s, self.up.end)
            case "server":
                self.up.end()
                self._loop.call_later(late_s, self.down.end)
            case "silent":
                self.up.lost = self.down.lost = True


class StationSocket:
    """The station's end, as aiohttp's client gives it."""

    close_code = PONG_CLOSE

    def __init__(self, line: Line) -> None:
        self._line = line

    async def __aenter__(self) -> StationSocket:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._line.cut("station", 0.05)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nobody can look into this connection."""
        return default

    async def receive(self, timeout: float | None = None) -> WSMessage:  # noqa: ASYNC109 - aiohttp's
        return await self._line.down.receive(timeout)

    async def send_str(self, data: str) -> None:
        if self._line.down.ended:
            raise aiohttp.ClientConnectionResetError("the connection is closed")
        await self._line.up.send(WSMessage(WSMsgType.TEXT, data, None), loose=False)

    async def send_json(self, data: Any) -> None:
        await self.send_str(json.dumps(data))

    async def send_bytes(self, data: bytes) -> None:
        if self._line.down.ended:
            raise aiohttp.ClientConnectionResetError("the connection is closed")
        await self._line.up.send(WSMessage(WSMsgType.BINARY, data, None), loose=True)


class ServerSocket:
    """The server's end, as aiohttp's server gives it; and its transport. ``told`` hears every text it sends."""

    def __init__(self, line: Line, told: Callable[[dict[str, Any]], None]) -> None:
        self._line = line
        self._told = told

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._line.up.ended or self._line.down.ended

    def is_closing(self) -> bool:
        """The transport's: the same."""
        return self.closed

    def get_write_buffer_size(self) -> int:
        """The transport's: nothing while the window has room."""
        return 0 if self._line.down.clear else 1

    def write(self, data: bytes) -> None:
        """The transport's: whole text messages of a server (RFC 6455 section 5.2)."""
        while data:
            assert data[0] == TEXT, "a server says text to a station"
            length, at = data[1], 2
            if length >= 126:
                size = 2 if length == 126 else 8
                length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
            self._say(data[at : at + length].decode())
            data = data[at + length :]

    async def send_str(self, data: str) -> None:
        if self.closed:
            raise aiohttp.ClientConnectionResetError("the connection is closed")
        while not self._line.down.clear and not self.closed:  # noqa: ASYNC110 - simulated time costs nothing
            await asyncio.sleep(0.01)
        self._say(data)

    def _say(self, text: str) -> None:
        if self.closed:
            return  # a transport that is closing takes bytes and drops them
        said = json.loads(text)
        self._told(said)
        self._line.down.put(WSMessage(WSMsgType.TEXT, text, None), loose=said["type"] == "ack")

    async def receive(self, timeout: float | None = None) -> WSMessage:  # noqa: ASYNC109 - aiohttp's
        return await self._line.up.receive(timeout)

    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
        self._line.cut("server", 0.05)
        return True
