"""The consultation socket (protocol section 5): one page's connection, its live views, and the watch over who may stay.

What a page sees of people, chat and publications is ``consultation.attendance``; here are the socket, the clock and the
vital signs, of the consultation's attachments alone and only while the policy grants ``consultation_socket.watch``. The
socket ends within two seconds when the sign-in or the seat ends or the policy no longer grants it (``standing``); while
the database is away nothing is known to have changed and it stays.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import structlog
from aiohttp import WSMsgType, web

from telemed.audit import Actor
from telemed.consultation import door
from telemed.consultation.attendance import Attendance, Json, Renew, RoomSurroundings
from telemed.consultation.door import Room, TooManyMessages
from telemed.consultation.pages import REFUSED_PER_MINUTE, WATCH_PER_MINUTE, Pace
from telemed.consultation.people import PageState
from telemed.errors import DatabaseUnavailable, NotFound, TelemedError
from telemed.identity.policy import Denial, admits, decide, record_denial, require
from telemed.store.database import DatabaseRefused
from telemed.vitals.asked import RETRY_SECONDS, Asked
from telemed.vitals.clock import ASK_SECONDS, server_us
from telemed.vitals.counters import REFUSED, WATCHERS
from telemed.vitals.faults import MessageInvalid, StreamUnknown, TooSlow
from telemed.vitals.hello import read_hello
from telemed.vitals.hub import Hub
from telemed.vitals.messages import (
    FROM_PAGE,
    ClockAnswer,
    Hello,
    Mute,
    PageSays,
    Say,
    Unwatch,
    Watch,
    forged,
    parse,
    refused,
)
from telemed.vitals.standing import Standing
from telemed.vitals.trouble import trouble
from telemed.vitals.watcher import Watcher
from telemed.vitals.wire import Wire

log = structlog.get_logger(__name__)

WRITE_SECONDS: Final = 10.0  # a message that cannot be written for so long has no reader
HEARTBEAT_SECONDS: Final = 10.0  # a ping; without its pong after half of it the page is gone
# Passed on at once, without another look.
SENT_ON: Final = frozenset({"sender_report", "chat", "mute", "picture", "slot"})
MESSAGES_WAITING: Final = 8  # in a page's mailbox; with more no further lines of chat are read for it


@dataclass(frozen=True, slots=True)
class WatchSurroundings:
    """What a consultation socket works with."""

    room: RoomSurroundings
    hub: Hub
    boot_id: UUID
    standing: Standing


def _never(actor: Actor, action: str) -> TelemedError | None:
    """The refusal of an action that nobody with the actor's role may do on anything."""
    try:
        admits(actor, action)
    except TelemedError as error:
        return error
    return None


class ConsultationSocket:
    """One page. ``renew`` says who its person is now, or raises why it may not stay; ``proof`` is the hash of what the
    person came with."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, actor: Actor, proof: bytes,
        room: Room, renew: Renew, around: WatchSurroundings,
    ) -> None:
        self.proof = proof
        self.consultation_id = room.id
        self._socket = socket
        self._wire = Wire(socket, transport)
        self._id = room.id
        self._station_id = room.station_id
        self._renew = renew
        self._around = around
        self._database = around.room.database
        self._watcher = Watcher()
        self._attendance = Attendance(actor, room.id, renew, self, around.room, self._watcher.event)
        self._clock = Asked()
        self._source = uuid4()  # until hello says it
        self._ask = True
        self._ending: TelemedError | None = None
        self._farewell: Json | None = None
        self._closing = False
        self._station_online: object = None
        self._check = asyncio.Event()
        self._due = False  # a look, not only a row of the clock
        self._refusals = around.room.pages.pace(room.id, str(actor.id), "refused", REFUSED_PER_MINUTE)
        self._watches = Pace(WATCH_PER_MINUTE)

    @property
    def source(self) -> UUID:
        """The page's own name, the same after a reconnect."""
        return self._source

    async def run(self) -> None:
        """Serve until either side ends it."""
        WATCHERS.inc()
        tasks: list[asyncio.Task[None]] = []
        topics = [self._attendance.topic, *self._attendance.topics]
        if self._station_id is not None:
            topics.append(f"station:{self._station_id}")
        try:
            # Listen before the snapshot is taken, or a change between the two is missed.
            tasks = [asyncio.create_task(self._listen(topic)) for topic in topics]
            await asyncio.sleep(0)
            await self._hello()
            self._around.standing.enter(self)
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
            self._around.standing.leave(self)
            self._attendance.leave()
            self._around.hub.leave(self._watcher)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._socket.closed:
                await self._socket.close()

    def elsewhere(self) -> None:
        """Another page of the same person took its place."""
        self._watcher.event({"type": "elsewhere"})

    def end(self, error: TelemedError) -> None:
        """Close the socket with the error."""
        self._ending = self._ending or error
        self._watcher.hush()

    def going_away(self) -> None:
        """The server stops: close without blame; the page comes back."""
        self._closing = True
        self._watcher.hush()

    def look(self) -> None:
        """Something changed, or may have: read people and visit anew, and whether the page may stay."""
        self._attendance.stir()
        self._soon()

    def _soon(self) -> None:
        self._due = True
        self._check.set()

    async def _hello(self) -> None:
        first, version = await read_hello(self._socket, FROM_PAGE)
        self._source = first.source
        around, attendance = self._around, self._attendance
        async with self._database.connection() as connection:
            actor = await self._renew(connection)
            room = await door.find(connection, self._id)
            if (refusal := decide(actor, "consultation_socket.open", room.target)) is not None:
                raise refusal()  # the page took its time to say hello, and its person lost the visit meanwhile
            shown = await attendance.enter(connection, room, actor, first.chat_after, page=first.page)
            self._join(actor, room, tell=False)
            if not attendance.guest:
                shown["station"] = self._station()
            self._watcher.event({
                "type": "welcome", "protocol": version, "server": str(around.boot_id), **shown,
                "streams": around.hub.listing(self._watcher),
            })
            await attendance.after_welcome(connection, room)
        self._soon()

    def _station(self) -> Json:
        presence = None if self._station_id is None else self._around.room.presence.of(self._station_id)
        return {"online": presence is not None, "status": None if presence is None else presence.status}

    def _join(self, actor: Actor, room: Room, *, tell: bool = True) -> None:
        granted = decide(actor, "consultation_socket.watch", room.target) is None
        self._around.hub.join(self._watcher, room.attachments if granted else (), tell=tell)

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
        line: UUID | None = None
        if self._ending is not None:
            return
        try:
            match parse(FROM_PAGE, text):
                case Watch() as watch:
                    self._watches.take()
                    await self._watch(watch)
                case Unwatch() as unwatch:
                    self._around.hub.unwatch(self._watcher, unwatch.view)
                case ClockAnswer() as answer:
                    if self._clock.answer(answer.echo, answer.stamp_us, at_us):
                        self._check.set()
                case Say() as said:
                    line = said.line
                    await self._attendance.say(said.line, said.text)
                case PageSays() as says:
                    self._attendance.state(PageState(says.camera, says.microphone, says.screen, says.network))
                case Mute() as mute:
                    await self._attendance.mute(mute.participant)
                case Hello():
                    raise MessageInvalid(field="type")
        except MessageInvalid as error:
            await self._invalid(text, error)
        except TelemedError as error:
            self._refuse(error, line)

    async def _invalid(self, text: str, error: MessageInvalid) -> None:
        """Refuse what is no message; what only looks like a clinician's decision is audited as an attempt at it."""
        action, actor = forged(text), self._attendance.actor
        if action is None or (attempt := _never(actor, action)) is None:
            self._refuse(error)
            return
        with suppress(DatabaseUnavailable, DatabaseRefused, NotFound):  # it is refused all the same
            async with self._database.connection() as connection:
                attempt.denial = Denial(actor, action, (await door.find(connection, self._id)).target)
            await record_denial(self._database, attempt)
        self._refuse(attempt)

    async def _watch(self, watch: Watch) -> None:
        async with self._database.connection() as connection:
            actor = await self._renew(connection)
            room = await door.find(connection, self._id)
            await require(connection, actor, "consultation_socket.watch", room.target)
        self._join(actor, room)
        if all(entry["stream"] != watch.stream for entry in self._around.hub.listing(self._watcher)):
            raise StreamUnknown(stream=watch.stream)
        self._around.hub.watch(self._watcher, watch.stream, watch.view)

    def _refuse(self, error: TelemedError, line: UUID | None = None) -> None:
        """Tell the page of a refused message; too many of them end the socket."""
        REFUSED.labels("consultation", error.code).inc()
        self._watcher.event_text(refused(error.code, error.params, line=line))
        try:
            self._refusals.take()
        except TooManyMessages as flood:
            self.end(flood)

    async def _refuse_and_close(self, error: TelemedError) -> None:
        REFUSED.labels("consultation", error.code).inc()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                if self._farewell is not None:
                    await self._socket.send_str(json.dumps(self._farewell))
                await self._socket.send_str(refused(error.code, error.params))
                await self._socket.close(code=4000, message=error.code.encode())
        except (TimeoutError, ConnectionError):
            log.info("watch_gone")

    # The writer.

    async def _write(self) -> None:
        self._watcher.through(self._wire)
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
        station = topic.startswith("station:")
        with self._around.room.rooms.listen(topic) as listener:
            while not listener.closed.is_set():
                event = await listener.queue.get()
                if station:
                    self._hear_station(event)
                else:
                    self._attendance.event(event)
                if event.get("type") not in SENT_ON or self._attendance.behind:
                    self._soon()

    def _hear_station(self, event: Json) -> None:
        if event.get("type") == "station" and self._attendance.welcomed:
            if not self._attendance.guest:
                self._watcher.event(event)
            if event.get("online") != self._station_online:
                self._station_online = event.get("online")
                self._attendance.stir()

    async def _checks(self) -> None:
        while True:
            await self._check.wait()
            self._check.clear()
            due, self._due = self._due, False
            try:
                if due:
                    await self._look()
                await self._clock.write(self._database, self._source, None)
            except (DatabaseUnavailable, DatabaseRefused):
                await asyncio.sleep(RETRY_SECONDS)
                self._due = self._due or due
                self._check.set()

    async def _look(self) -> None:
        async with self._database.connection() as connection:
            try:
                actor = await self._renew(connection)
                room = await door.find(connection, self._id)
                refusal = decide(actor, "consultation_socket.open", room.target)
                if refusal is not None:
                    raise refusal()
                self._join(actor, room)
                await self._attendance.look(connection, room, actor)
            except (DatabaseUnavailable, DatabaseRefused):
                raise
            except TelemedError as error:
                if not isinstance(error, NotFound):
                    self._farewell = await self._attendance.farewell(connection)
                self.end(error)
                return
        if self._attendance.behind and self._watcher.waiting[0] < MESSAGES_WAITING:
            self._soon()
