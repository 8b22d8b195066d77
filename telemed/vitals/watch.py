"""The consultation socket (protocol section 5): snapshot, events, live views, and the watch over who may watch.

A clinician sees streams of the consultation's attachments alone, and only while the policy grants
``consultation_socket.watch``. The socket ends within ``CHECK_SECONDS`` and a query when the sign-in ends or
the policy no longer grants it; while the database is away nothing is known to have changed and it stays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from aiohttp import WSMsgType, web

from telemed.audit import Actor
from telemed.consultation.presence import StationPresence
from telemed.consultation.rooms import Rooms
from telemed.errors import DatabaseUnavailable, NotFound, NotSignedIn, TelemedError
from telemed.identity.policy import Target, decide, record_denial, require
from telemed.store.database import Connection, Database, DatabaseRefused, load_sql
from telemed.vitals.asked import Asked
from telemed.vitals.clock import ASK_SECONDS, server_us
from telemed.vitals.counters import REFUSED, WATCHERS
from telemed.vitals.faults import HelloExpected, MessageInvalid, StreamUnknown, TooSlow
from telemed.vitals.hub import Hub
from telemed.vitals.messages import FROM_PAGE, ClockAnswer, Hello, Unwatch, Watch, agree, parse, refused
from telemed.vitals.trouble import trouble
from telemed.vitals.watcher import Watcher

SQL = load_sql("vitals")
log = structlog.get_logger(__name__)

HELLO_SECONDS: Final = 5.0  # as on the uplink
CHECK_SECONDS: Final = 1.0  # between two looks at sign-in and policy; sockets end within two seconds
WRITE_SECONDS: Final = 10.0  # a message that cannot be written for so long has no reader
HEARTBEAT_SECONDS: Final = 10.0  # a ping; without its pong after half of it the page is gone
FORWARDED: Final = frozenset({"consultation", "publications", "sender_report"})  # what a room's events may be here

Alive = Callable[[Connection], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class WatchSurroundings:
    """What a consultation socket works with. ``snapshot`` gives the consultation as the API shows it."""

    database: Database
    rooms: Rooms
    presence: StationPresence
    hub: Hub
    boot_id: UUID
    publications: Callable[[UUID], list[dict[str, Any]]]
    snapshot: Callable[[Connection, UUID], Awaitable[dict[str, Any]]]


def target_of(row: Any) -> Target:
    """The consultation of a ``watched`` row as the policy sees it."""
    return Target(
        "consultation", str(row["id"]), row["organisation_id"], row["patient_id"], row["station_id"],
        row["clinician_id"],
    )


async def find(connection: Connection, consultation_id: UUID) -> Any:
    """The consultation's row with its attachments. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["watched"], consultation_id)
    if row is None:
        raise NotFound()
    return row


class ConsultationSocket:
    """One page. ``alive`` asks whether its sign-in still holds."""

    def __init__(
        self, socket: web.WebSocketResponse, actor: Actor, row: Any, alive: Alive, around: WatchSurroundings
    ) -> None:
        self._socket = socket
        self._actor = actor
        self._id: UUID = row["id"]
        self._station_id: int = row["station_id"]
        self._alive = alive
        self._around = around
        self._watcher = Watcher()
        self._clock = Asked()
        self._source: UUID | None = None
        self._ask = True
        self._ending: TelemedError | None = None
        self._closing = False
        self._check = asyncio.Event()

    async def run(self) -> None:
        """Serve until either side ends it."""
        WATCHERS.inc()
        tasks: list[asyncio.Task[None]] = []
        topics = (f"consultation:{self._id}", f"station:{self._station_id}", f"account:{self._actor.id}")
        try:
            # Listen before the snapshot is taken, or a change between the two is missed.
            tasks = [asyncio.create_task(self._listen(topic)) for topic in topics]
            await asyncio.sleep(0)
            await self._hello()
            works = (self._read, self._write, self._checks, self._tick)
            tasks += [asyncio.create_task(work(), name=f"watch{work.__name__}") for work in works]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                failure = task.exception()
                if failure is not None and not isinstance(failure, ConnectionError):
                    log.error("watch_failed", **trouble(failure))
        except TelemedError as error:
            await self._refuse_and_close(error)
        finally:
            WATCHERS.dec()
            self._around.hub.leave(self._watcher)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._socket.closed:
                await self._socket.close()

    def going_away(self) -> None:
        """The server stops: close without blame; the page comes back."""
        self._closing = True
        self._watcher.wake()

    async def _hello(self) -> None:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                message = await self._socket.receive()
        except TimeoutError:
            raise HelloExpected() from None
        try:
            first = parse(FROM_PAGE, message.data if message.type is WSMsgType.TEXT else "")
        except MessageInvalid:
            raise HelloExpected() from None
        if not isinstance(first, Hello):
            raise HelloExpected()
        version = agree(first)
        self._source = first.source
        around = self._around
        async with around.database.connection() as connection:
            row = await find(connection, self._id)
            snapshot = await around.snapshot(connection, self._id)
        self._join(row, tell=False)
        presence = around.presence.of(self._station_id)
        self._watcher.event({
            "type": "welcome", "protocol": version, "server": str(around.boot_id), "consultation": snapshot,
            "publications": around.publications(self._id),
            "station": {"online": presence is not None, "status": None if presence is None else presence.status},
            "streams": around.hub.listing(self._watcher),
        })

    def _join(self, row: Any, *, tell: bool = True) -> None:
        granted = decide(self._actor, "consultation_socket.watch", target_of(row)) is None
        self._around.hub.join(self._watcher, row["attachments"] if granted else (), tell=tell)

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT:
                await self._handle(message.data, server_us())
            elif message.type is WSMsgType.BINARY:
                self._refuse(MessageInvalid(field="type"))
            else:
                return

    async def _handle(self, text: str, at_us: int) -> None:
        try:
            match parse(FROM_PAGE, text):
                case Watch() as watch:
                    await self._watch(watch)
                case Unwatch() as unwatch:
                    self._around.hub.unwatch(self._watcher, unwatch.view)
                case ClockAnswer() as answer:
                    if self._clock.answer(answer.echo, answer.stamp_us, at_us):
                        self._check.set()
                case Hello():
                    raise MessageInvalid(field="type")
        except TelemedError as error:
            self._refuse(error)

    async def _watch(self, watch: Watch) -> None:
        async with self._around.database.connection() as connection:
            row = await find(connection, self._id)
            try:
                await require(connection, self._actor, "consultation_socket.watch", target_of(row))
            except TelemedError as error:
                await record_denial(self._around.database, error)
                raise
        self._join(row)
        if all(entry["stream"] != watch.stream for entry in self._around.hub.listing(self._watcher)):
            raise StreamUnknown(stream=watch.stream)
        self._around.hub.watch(self._watcher, watch.stream, watch.view)

    def _refuse(self, error: TelemedError) -> None:
        REFUSED.labels("consultation", error.code).inc()
        self._watcher.event_text(refused(error.code, error.params))

    async def _refuse_and_close(self, error: TelemedError) -> None:
        REFUSED.labels("consultation", error.code).inc()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._socket.send_str(refused(error.code, error.params))
                await self._socket.close(code=4000, message=error.code.encode())
        except (TimeoutError, ConnectionError):
            log.info("watch_gone")

    # The writer.

    async def _write(self) -> None:
        while True:
            await self._watcher.ready()
            if self._closing:
                await self._socket.close(code=1001)
                return
            if self._watcher.closed:
                self._ending = self._ending or TooSlow()
            if self._ending is not None:
                await self._refuse_and_close(self._ending)
                return
            for item in self._watcher.take():
                await self._send(item)
                if self._ending is not None or self._closing or self._watcher.closed:
                    self._watcher.wake()
                    break
            if self._ask:
                self._ask = False
                now = self._clock.ask(server_us())
                await self._send(json.dumps({"type": "clock_ask", "server_us": now}))

    async def _send(self, item: str | bytes) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                if isinstance(item, str):
                    await self._socket.send_str(item)
                else:
                    await self._socket.send_bytes(item)
        except TimeoutError:
            raise ConnectionResetError("write deadline") from None

    # What changes beside the page.

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(ASK_SECONDS)
            self._ask = True
            self._watcher.wake()

    async def _listen(self, topic: str) -> None:
        allowed = FORWARDED if topic.startswith("consultation:") else frozenset({"station"})
        with self._around.rooms.listen(topic) as listener:
            while not listener.closed.is_set():
                event = await listener.queue.get()
                if event.get("type") in allowed:
                    self._watcher.event(event)
                if event.get("type") != "sender_report":
                    self._check.set()

    async def _checks(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._check.wait()
            except TimeoutError:
                pass
            self._check.clear()
            try:
                await self._look()
            except (DatabaseUnavailable, DatabaseRefused):
                continue

    async def _look(self) -> None:
        async with self._around.database.connection() as connection:
            alive = await self._alive(connection)
            row = await connection.fetchrow(SQL["watched"], self._id)
        if not alive:
            self._end(NotSignedIn())
            return
        refusal = NotFound if row is None else decide(self._actor, "consultation_socket.open", target_of(row))
        if refusal is not None:
            self._end(refusal())
            return
        self._join(row)
        if self._source is not None:
            await self._clock.write(self._around.database, self._source, None)

    def _end(self, error: TelemedError) -> None:
        self._ending = self._ending or error
        self._watcher.wake()
