"""The station's one connection to the server: WebSocket ``/ws/station``, docs/protocol.md section 4.

One task reads, one sends; the spool is the truth and the connection only carries it. When it breaks it comes
back (``backoff.py``) and everything unacknowledged is announced and sent again. Whatever concerns the rest of the
program (welcome, renew, consultation, scenario) is handed on as it came, through ``hear``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog

from telemed_station.backlog import Backlog
from telemed_station.backoff import Backoff
from telemed_station.clock import Clock
from telemed_station.congestion import Behind, prefer_bbr, waiting
from telemed_station.errors import SpoolFull
from telemed_station.lanes import LaneFull, Lanes
from telemed_station.people import People
from telemed_station.spool import KEY_DESTROYED
from telemed_station.spool_thread import SpoolThread
from telemed_station.spooled import Ack, Chunk, Refusal, SpooledStream

PROTOCOL = 1
OLDEST = 1
# The kernel asks for a connection at once, after 1 s and after 3 s. Who asks anew after 1.8 s finds a line that is back
# at most 1.8 s later, and no round trip is as long.
REACH_S = 1.8
DIAL_S = 5.0  # that and the upgrade, which may be lost on its way and is repeated after a second
WELCOME_S = 10.0  # the server allows 5 s for hello
# A server that is alive asks for the clock every 5 s, even while its database is away and it reads nothing. So no ping:
# one that is not read is not answered. And 2.5 s for a question that a poor line repeats: after a longer cut TCP itself
# would wait up to half a minute before it tries again. Who comes back so soon finds its own older connection still
# there: the same run of the program, and no second one with the same key.
SILENCE_S = 7.5
SEND_S = 60.0  # a message that is not taken; the live lane holds no longer either
STATUS_S = 2.0  # docs/protocol.md section 4
LOOK_S = 0.25  # between two looks at what waits on the line
TEXT_BYTES_MAX = 1 << 20

REFUSED_S = 15.0  # a wrong key does not become right within seconds
REPLACED_S = 30.0  # another program holds our key: do not fight over it
TOO_OLD_S = 60.0
# Refusals of a stream after which no chunk of it will ever be taken; of a chunk: ``for_good``.
STREAM_FOR_GOOD = frozenset({KEY_DESTROYED, "attachment_refused", "announce_differs"})
CLOSING = {"key_revoked": REFUSED_S, "not_signed_in": REFUSED_S, "newer_connection": REPLACED_S,
           "protocol_too_old": TOO_OLD_S}  # fmt: skip

log = structlog.get_logger("telemed.station.uplink")

Hear = Callable[[dict[str, Any]], None]


Http = aiohttp.ClientSession


def open_http() -> Http:
    """The client that uplink, camera and player share; close it after them.

    It uses no connection twice: one that has lain idle may have been cut meanwhile, and nobody was told.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True), timeout=aiohttp.ClientTimeout(sock_connect=REACH_S)
    )


@dataclass(frozen=True)
class Address:
    """Where the server is and how the station proves who it is."""

    server: str  # http:// or https://, without a path
    key: str
    program: str


class _Ended(Exception):
    """The connection is over; ``wait_s`` is how long to stay away, None for the usual backoff."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Uplink:
    """Carries the spool to the server for as long as it runs. ``begun`` and ``offer`` feed it."""

    def __init__(
        self,
        address: Address,
        clock: Clock,
        spool: SpoolThread,
        http: aiohttp.ClientSession,
        *,
        hear: Hear,
        status: Callable[[], dict[str, Any]],
        people: People | None = None,
    ) -> None:
        self._people = people or People(spool)
        self._address = address
        self._clock = clock
        self._spool = spool
        self._http = http
        self._hear = hear
        self._status = status
        self._link: _Link | None = None
        self.connected = asyncio.Event()  # a welcome was received and the socket is open
        self.away_s: float | None = None  # how long it stays away before the next try, while it does

    @property
    def behind_s(self) -> float | None:
        """How far what is sent waits on the line beyond its length; None while there is no connection."""
        link = self._link  # the encoders ask, in threads of their own
        return None if link is None else link.behind_s

    def begun(self, streams: Sequence[SpooledStream]) -> None:
        """New epochs: announce them now if there is a connection, else at the next."""

        def give(lanes: Lanes) -> None:
            for stream in streams:
                lanes.announce(stream)

        self._feed(give)

    def offer(self, chunks: Sequence[Chunk]) -> None:
        """Durable chunks just made."""
        self._feed(lambda lanes: lanes.offer(chunks))

    def settled(self) -> None:
        """What the server answered about a person is noted: what waited for it may go."""
        if self._link is not None:
            self._link.settled()

    async def run(self) -> None:
        """Connect, carry, come back; for ever."""
        backoff = Backoff()
        while True:
            wait_s: float | None = None
            try:
                await self._connect(backoff)
            except _Ended as end:
                wait_s = end.wait_s
                log.info("disconnected", reason=str(end), wait_s=wait_s)
            except aiohttp.WSServerHandshakeError as error:
                wait_s = REFUSED_S if error.status in (401, 403) else None
                log.warning("refused", status=error.status, wait_s=wait_s)
            except LaneFull as full:
                log.warning("disconnected", reason=f"behind: {full}")
            except SpoolFull as full:
                log.error("spool_unreadable", **full.params)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                log.info("unreachable", reason=type(error).__name__)
            finally:
                self._link = None
                self.connected.clear()
            self.away_s = backoff.next_s() if wait_s is None else wait_s
            await asyncio.sleep(self.away_s)
            self.away_s = None

    def _feed(self, give: Callable[[Lanes], None]) -> None:
        link = self._link
        if link is not None:
            try:
                give(link.lanes)
            except LaneFull as full:
                link.give_up(full)
            link.wake.set()

    async def _connect(self, backoff: Backoff) -> None:
        url = self._address.server.rstrip("/") + "/ws/station"
        headers = {"Authorization": f"Bearer {self._address.key}"}
        async with asyncio.timeout(DIAL_S):
            socket = await self._http.ws_connect(
                url, headers=headers, max_msg_size=TEXT_BYTES_MAX,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )  # fmt: skip
        async with socket:
            prefer_bbr(socket.get_extra_info("socket"))
            link = _Link(socket, self._clock, self._spool, self._hear, self._people)
            await socket.send_json(
                {"type": "hello", "protocol": PROTOCOL, "oldest": OLDEST, "program": self._address.program,
                 "source": str(self._clock.source)}
            )  # fmt: skip
            async with asyncio.timeout(WELCOME_S):
                welcome = await link.receive()
                while welcome.get("type") != "welcome":
                    link.handle(welcome)
                    welcome = await link.receive()
            log.info("connected", server=welcome.get("server"), attachment=welcome.get("attachment"))
            # From here on every durable chunk reaches the lanes; what was durable before is found in the spool.
            self._link = link
            self.connected.set()
            self._hear(welcome)
            backoff.reset()
            await link.carry(self._status)


class _Link:
    """One open connection."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, clock: Clock, spool: SpoolThread, hear: Hear, people: People
    ) -> None:
        self._socket = socket
        self._clock = clock
        self._spool = spool
        self._hear = hear
        self._people = people
        self._told: dict[str, Any] | None = None  # the person that the server was told of and has not answered
        self._person_refused = False
        self._timed = False  # the server was told our clock
        self.lanes = Lanes(asyncio.get_running_loop().time, people.waits)
        self.wake = asyncio.Event()  # something may be sent
        self._moved = asyncio.Event()  # the server answered something
        self._backlog = Backlog(self.lanes, spool, people, wake=self.wake, moved=self._moved)
        self._refused_now = asyncio.Event()  # a refusal waits to be written
        self._failure: LaneFull | None = None
        self._behind = Behind()
        self.behind_s = 0.0

    def give_up(self, failure: LaneFull) -> None:
        """End the connection at the next turn of the sender."""
        self._failure = failure

    async def receive(self) -> dict[str, Any]:
        """The next text message. Raises ``_Ended`` when the connection is over or silent."""
        try:
            message = await self._socket.receive(SILENCE_S)
        except TimeoutError as error:
            raise _Ended("silence") from error
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise _Ended(f"closed {self._socket.close_code}")
        try:
            found = json.loads(message.data)
        except ValueError as error:
            raise _Ended("not JSON") from error
        if not isinstance(found, dict):
            raise _Ended("not a message")
        return found

    async def carry(self, status: Callable[[], dict[str, Any]]) -> None:
        """Send and receive until the connection ends; raises what ended it."""
        work = [
            self._read(), self._send(), self._backlog.drain(), self._backlog.drain_waiting(), self._report(status),
            self._note_refusals(), self._watch_line(),
        ]  # fmt: skip
        tasks = [asyncio.create_task(one) for one in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def handle(self, message: dict[str, Any]) -> None:
        """What the server says."""
        kind = message.get("type")
        if kind == "clock_ask":
            # The stamp is taken now, between the server's two readings of its own clock.
            self.lanes.post({"type": "clock", "echo": message.get("server_us"), "stamp_us": self._clock.stamp_us()})
            self._timed = True
            if self._person_refused:
                self._told, self._person_refused = None, False  # again
            self._tell_person()
        elif kind == "provisional_kept":
            self._hear(message)
        elif kind in ("ack", "announced"):
            ack = read_ack(message)
            self.lanes.acknowledge(ack)
            self._spool.acknowledge(ack)
            if kind == "announced":
                self.lanes.announced(ack.number)
        elif kind == "error":
            self._refused(message)
        elif kind in ("renew", "consultation", "scenario"):
            self._hear(message)
        self._moved.set()
        self.wake.set()

    def _tell_person(self) -> None:
        """Tell the server of the next one that it does not know; of another only when it has answered."""
        message = self._people.message()
        if self._timed and self._told is None and message is not None:
            self._told = message
            self.lanes.post(message)

    def settled(self) -> None:
        """An answer about a person is noted."""
        if self._told is not None and self._told != self._people.message():
            self._told, self._person_refused = None, False
            self._tell_person()
        self._moved.set()
        self.wake.set()

    def _refused(self, message: dict[str, Any]) -> None:
        error = message.get("error")
        code = str(error.get("code")) if isinstance(error, dict) else "unknown"
        number, seq = message.get("stream"), message.get("seq")
        if isinstance(message.get("attachment"), str):
            self._person_refused = True  # told again with the next clock question, unless it was for good
            self._hear(message)
            return
        log.warning("server_refused", code=code, stream=number, seq=seq)
        if code in CLOSING:
            raise _Ended(code, CLOSING[code])
        if not isinstance(number, int):
            return
        if not isinstance(seq, int):
            self.lanes.refuse(number)
            if code == "announce_differs":
                self._hear({"type": "number_taken", "number": number})
            if code in STREAM_FOR_GOOD:
                self._set_aside(Refusal(number, None, code))
        elif for_good(code):
            self.lanes.drop(number, seq)
            self._set_aside(Refusal(number, seq, code))

    def _set_aside(self, refusal: Refusal) -> None:
        # In the order of the server's words: an acknowledgement that comes later does not delete what was refused.
        if not self._spool.refuse(refusal):
            raise _Ended("too many refusals")
        self._refused_now.set()

    async def _read(self) -> None:
        while True:
            self.handle(await self.receive())

    async def _send(self) -> None:
        while True:
            self.wake.clear()
            if self._failure is not None:
                raise self._failure
            if (message := self.lanes.next_message()) is not None:
                await self._write(json.dumps(message))
            elif (chunk := self.lanes.next_live()) is not None:
                await self._write(chunk.data)
            elif not self._backlog.ahead.empty() and self.lanes.backlog_room():
                chunk = self._backlog.ahead.get_nowait()
                self.lanes.take_backlog(chunk)
                await self._write(chunk.data)
            else:
                await self.wake.wait()

    async def _write(self, data: str | bytes) -> None:
        self._behind.wrote(asyncio.get_running_loop().time(), len(data))
        try:
            async with asyncio.timeout(SEND_S):
                await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))
        except TimeoutError as error:
            raise _Ended("line blocked") from error

    async def _report(self, status: Callable[[], dict[str, Any]]) -> None:
        while True:
            self.lanes.post({"type": "status", **status()})
            self._backlog.again += self.lanes.overdue()
            self.wake.set()
            self._moved.set()
            await asyncio.sleep(STATUS_S)

    async def _watch_line(self) -> None:
        found, now_s = self._socket.get_extra_info("socket"), asyncio.get_running_loop().time
        while (known := waiting(found)) is not None:
            self.behind_s = self._behind.look(now_s(), *known)
            self.lanes.held_up(self._behind.now_s)
            self.wake.set()
            await asyncio.sleep(LOOK_S)
        await asyncio.Event().wait()  # nobody can say

    async def _note_refusals(self) -> None:
        while True:
            await self._refused_now.wait()
            self._refused_now.clear()
            await self._spool.flush()


def for_good(code: str) -> bool:
    """Whether a refusal of a chunk will be the same at every other try."""
    return code.startswith(("chunk_", "frame_")) and code != "frame_time"  # the clock's fix may become better


def read_ack(message: dict[str, Any]) -> Ack:
    """An ``ack`` or ``announced`` message. Raises ``_Ended`` when it has another shape."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        number, through = message["number"], message["through"]
        ranges = tuple((int(low), int(high)) for low, high in message["ranges"])
        if isinstance(number, int) and (through is None or isinstance(through, int)):
            return Ack(number, through, ranges)
    raise _Ended("bad acknowledgement")
