"""What goes to one station: written at once while the line takes it, else by a writer with a deadline.

The acknowledgements of one commit leave together. A station that does not read is ended: after ``OUTBOX`` messages, or
``WRITE_SECONDS`` in which one could not be written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

from aiohttp import web

from telemed.errors import TelemedError
from telemed.vitals import messages
from telemed.vitals.counters import REFUSED
from telemed.vitals.faults import TooSlow
from telemed.vitals.lanes import Lane
from telemed.vitals.wire import Wire, text_message

WRITE_SECONDS: Final = 10.0  # a message that cannot be written for so long has no reader
OUTBOX: Final = 1024  # messages unsent to one station; more means that it does not read


class Outbox:
    """One connection's way out. ``ask`` makes the question to the station's clock, at the moment of its sending;
    ``start`` runs the writer as a task of the connection, and ``over`` is called when it has closed the socket."""

    __slots__ = ("_acks", "_ask", "_asking", "_closing", "_ending", "_over", "_socket", "_start", "_waiting", "_wire",
                 "_writing")  # fmt: skip

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, ask: Callable[[], str],
        start: Callable[[Coroutine[Any, Any, None]], None], over: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._wire = Wire(socket, transport)
        self._ask = ask
        self._start = start
        self._over = over
        self._writing = False
        self._asking = False
        self._waiting: list[str] = []
        self._acks: dict[int, tuple[Lane, list[int]]] = {}  # of ``WRITE_SECONDS`` at most: then the station is ended
        self._ending: TelemedError | None = None
        self._closing = False

    def post(self, text: str) -> None:
        """Send a message, after all before it."""
        if self._clear:
            self._wire.write(text_message(text))
        elif len(self._waiting) >= OUTBOX:
            self.end(TooSlow())
        else:
            self._waiting.append(text)
            self._wake()

    def say(self, message: dict[str, Any]) -> None:
        """As :meth:`post`, of an object."""
        self.post(json.dumps(message))

    def acknowledge(self, lane: Lane, seqs: Sequence[int]) -> None:
        """Tell that these chunks are durable, together with what else the same commit made so."""
        if not self._acks:
            asyncio.get_running_loop().call_soon(self._send_acks)
        self._acks.setdefault(lane.number, (lane, []))[1].extend(seqs)

    def ask_clock(self) -> None:
        """Ask the station what its clock says."""
        if self._clear:
            self._wire.write(text_message(self._ask()))
        else:
            self._asking = True
            self._wake()

    def end(self, error: TelemedError) -> None:
        """Tell the station why and close. Returns at once."""
        self._ending = self._ending or error
        self._wake()

    def going_away(self) -> None:
        """Close without blame; the station comes back. Returns at once."""
        self._closing = True
        self._wake()

    @property
    def _clear(self) -> bool:
        return not self._waiting and self._ending is None and not self._closing and self._wire.clear

    def _send_acks(self) -> None:
        if self._clear:
            self._wire.write(b"".join(map(text_message, self._take_acks())))
        else:
            self._wake()

    def _take_acks(self) -> Iterator[str]:
        acks, self._acks = self._acks, {}
        for number, (lane, seqs) in acks.items():
            for through, ranges in lane.durable.acknowledgements(seqs):
                yield messages.acknowledgement("ack", number, through, ranges)

    # The writer.

    def _wake(self) -> None:
        if not self._writing:
            self._writing = True
            self._start(self._write())

    async def _write(self) -> None:
        """Send what waits. Raises ``ConnectionError``."""
        while self._waiting or self._acks or self._asking:
            while self._waiting:
                await self._send(self._waiting.pop(0))
            for text in self._take_acks():
                await self._send(text)
            if self._asking:
                self._asking = False
                await self._send(self._ask())
            if self._ending is not None or self._closing:
                break
        if self._ending is not None:
            REFUSED.labels("station", self._ending.code).inc()
            await self._send(messages.refused(self._ending.code, self._ending.params))
            await self._socket.close(code=4000, message=self._ending.code.encode())
            self._over()
        elif self._closing:
            await self._socket.close(code=1001)
            self._over()
        else:
            self._writing = False

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._socket.send_str(text)
        except TimeoutError:
            raise ConnectionResetError("write deadline") from None
