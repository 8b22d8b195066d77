"""The station's uplink (protocol section 4): one connection, one owner.

One task reads and acts on each message; while the commit queue is full it waits, and the socket is not read. What
goes back is the ``outbox``'s. Chores speak to the database without holding up the live way. A peer that is silent for
``SILENT_SECONDS`` while it is read is dead.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, Final
from uuid import UUID

import structlog
from aiohttp import WSMsgType, web
from telemed_devices.faults import FrameError

from telemed.audit import Actor
from telemed.consultation import consultations
from telemed.consultation.rooms import Caller, Event
from telemed.errors import DatabaseUnavailable, TelemedError
from telemed.identity import stations
from telemed.patient import attachments
from telemed.store.database import DatabaseRefused, load_sql
from telemed.vitals import messages, provisional
from telemed.vitals.around import Surroundings
from telemed.vitals.asked import RETRY_SECONDS, Asked
from telemed.vitals.clock import ASK_SECONDS, server_us
from telemed.vitals.counters import REFUSED
from telemed.vitals.durable import Durable
from telemed.vitals.faults import MessageInvalid, ProvisionalFull
from telemed.vitals.fixes import last_fix, micros
from telemed.vitals.hello import read_hello
from telemed.vitals.lanes import Lane, Lanes, where
from telemed.vitals.messages import FROM_STATION, Announce, ClockAnswer, Hello, Provisional, Status
from telemed.vitals.outbox import WRITE_SECONDS, Outbox
from telemed.vitals.paused import Paused
from telemed.vitals.station_state import STATIONS
from telemed.vitals.streams import open_stream
from telemed.vitals.trouble import trouble

SQL = load_sql("vitals")
log = structlog.get_logger(__name__)

SILENT_SECONDS: Final = 12.0  # the station answers a clock question every 5 s; dead within 15 s
DOUBT_SECONDS: Final = 1.0  # until a silence is believed: what is there to read is read in it
ENTERED: Final = 8  # people not yet kept; a station tells of one at a time
CONSULTATION_NEWS: Final = frozenset({"consultation", "publications"})
SEEN_SECONDS: Final = 60.0  # station.seen_at is written once a minute, and news looked for that nobody told


class Uplink:
    """One station's connection. ``key_hash`` is the SHA-256 of the key it came with."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, station: stations.Station,
        key_hash: bytes, around: Surroundings,
    ) -> None:
        self.station = station
        self.key_hash = key_hash
        self.source = UUID(int=0)  # until hello
        self._socket = socket
        self._around = around
        self._actor: Actor = station.actor
        self._lanes = Lanes(around.hub)
        self._heard: float | None = None  # since when the next message is waited for, by the loop's clock
        self._doubted = False
        self._seen_at = 0.0  # when the row was last written, by the loop's clock
        self._ticking: asyncio.TimerHandle | None = None
        self._hearkening: asyncio.TimerHandle | None = None
        self._clock = Asked()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False
        self._runner: asyncio.Task[None] | None = None
        self._out = Outbox(socket, transport, self._question, self._start, self._finish)
        self._busy = False  # with the chores
        self._refresh = True
        self._entered: list[Provisional] = []  # not a deque, here and beside: an empty one has 760 bytes
        self._told: tuple[UUID | None, str] = (None, "")
        self._hears_station = Caller(self._hear_station)
        self._hears_consultation = Caller(self._hear_consultation)
        self._topic_id: UUID | None = None
        self._paused = Paused(around.rooms, station.id)

    # The life of a connection.

    async def hello(self) -> None:
        """Read ``hello`` and answer ``welcome``. Raises the refusal that ends the connection."""
        first, version = await read_hello(self._socket, FROM_STATION)
        self.source = first.source
        async with self._around.database.connection() as connection:
            attachment = await attachments.current(connection, self.station.id)
            await stations.seen(connection, self.station.id)
        attached = None if attachment is None else attachment.id
        self._told = (attached, "")
        self._out.say({
            "type": "welcome", "protocol": version, "server": str(self._around.boot_id),
            "station": {"id": self.station.id, "name": self.station.name}, "attachment": _text(attached),
        })

    async def run(self) -> None:
        """Serve until either side ends it."""
        around = self._around
        around.rooms.attach(f"station:{self.station.id}", self._hears_station)
        self._say_present(None)
        self._seen_at = asyncio.get_running_loop().time()
        self._out.ask_clock()
        self._runner = asyncio.current_task()
        self._do_chores()
        later = asyncio.get_running_loop().call_later
        self._ticking = later(ASK_SECONDS, self._tick)
        self._hearkening = later(SILENT_SECONDS, self._hearken)
        try:
            await self._read()
        except asyncio.CancelledError:
            if not self._over or self._runner is None:
                raise
            self._runner.uncancel()
        except Exception as error:
            self._failed(error)
        finally:
            self._over = True
            self._ticking.cancel()
            self._hearkening.cancel()
            around.rooms.detach(f"station:{self.station.id}", self._hears_station)
            self._leave_consultation()
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._socket.closed:
                await self._socket.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failed(failure)
            self._finish()

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, ConnectionError):
            log.error("uplink_failed", station=self.station.id, **trouble(error))

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            if self._runner is not None:
                self._runner.cancel()

    def end(self, error: TelemedError) -> None:
        """Tell the station why and close. Returns at once."""
        self._out.end(error)

    def going_away(self) -> None:
        """The server stops: close without blame; the station comes back."""
        self._out.going_away()

    async def refuse_and_close(self, error: TelemedError) -> None:
        """Send one refusal and close: for a connection that never ran."""
        REFUSED.labels("station", error.code).inc()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._socket.send_str(messages.refused(error.code, error.params))
                await self._socket.close(code=4000, message=error.code.encode())
        except (TimeoutError, ConnectionError):
            log.info("uplink_gone", station=self.station.id)

    # The reader.

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        while not self._over:
            self._heard = now()
            message = await self._socket.receive()
            self._heard = None
            if message.type is WSMsgType.BINARY:
                await self._chunk(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._say(message.data, server_us())
            else:
                if message.type is WSMsgType.ERROR:
                    REFUSED.labels("station", "message_too_large").inc()
                return

    async def _chunk(self, data: bytes) -> None:
        try:
            pending = self._lanes.take(data, self._clock.best)
        except (FrameError, TelemedError) as error:
            self._refuse(error.code, dict(error.params), *where(data))
        else:
            await self._around.committer.put(pending)

    async def _say(self, text: str, at_us: int) -> None:
        try:
            await self._text(text, at_us)
        except TelemedError as error:
            self._refuse(error.code, error.params, messages.number_of(text), None, messages.attachment_of(text))

    async def _text(self, text: str, at_us: int) -> None:
        match messages.parse(FROM_STATION, text):
            case Announce() as announce:
                await self._announce(announce)
            case ClockAnswer() as answer:
                if self._clock.answer(answer.echo, answer.stamp_us, at_us):
                    self._do_chores()
            case Provisional() as entered:
                if len(self._entered) >= ENTERED:
                    raise ProvisionalFull()
                self._entered.append(entered)
                self._do_chores()
            case Status() as status:
                self._say_present(STATIONS.told(self.station.id, status, self._clock))
                self._paused.say(self._topic_id, status.paused)
            case Hello():
                raise MessageInvalid(field="type")

    async def _announce(self, announce: Announce) -> None:
        stream = announce.stream
        messages.check_stream(stream)
        around = self._around
        while True:
            try:
                opened = await open_stream(around.database, around.sealer, self.station, self.source, stream)
                stored_fix = await last_fix(around.database, opened.source, self.station.id)
                break
            except (DatabaseUnavailable, DatabaseRefused):
                # The chunks behind this message wait with it: order holds, and nothing is refused for it.
                await asyncio.sleep(RETRY_SECONDS)
        # A stream of an earlier run of the program is backlog, whatever it says: it never takes the place of
        # this run's stream of the same device on the pages.
        foreign = opened.source != self.source
        shown = None if foreign else around.hub.open_stream(
            opened.card, source=opened.source, started_us=opened.started_us, opened_us=opened.opened_us,
            closed_us=opened.closed_us,
        )
        if opened.closed_us is not None and opened.card.attachment_id is not None:
            around.hub.cut(opened.card.attachment_id, opened.closed_us)
        lane = Lane(
            stream.number, opened, announce.live_from, Durable(opened.ranges), shown, stored_fix, foreign,
            self._out.acknowledge, self._refuse_chunk,
        )
        known = lane.offset(self._clock.best)
        if shown is not None and opened.newest is not None and known is not None:
            around.hub.remember(shown, opened.newest[1], opened.newest[0] + known.offset_us, known.error_us)
        lane.place(self._actor, self.station.organisation_id)
        self._lanes.add(lane)
        self._look()  # the attachment may have ended since it was read
        for at, (through, ranges) in enumerate(lane.durable.acknowledgements()):
            kind = "ack" if at else "announced"
            self._out.post(messages.acknowledgement(kind, lane.number, through, ranges))

    # What the committer calls.

    def _refuse_chunk(self, error: TelemedError, stream: int, seq: int) -> None:
        self._refuse(error.code, error.params, stream, seq)

    def _refuse(
        self, code: str, params: dict[str, Any], stream: int | None, seq: int | None, attachment: UUID | None = None
    ) -> None:
        REFUSED.labels("station", code).inc()
        self._out.post(messages.refused(code, params, stream, seq, attachment=attachment))

    # The clock.

    def _question(self) -> str:
        return json.dumps({"type": "clock_ask", "server_us": self._clock.ask(server_us())})

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._ticking = loop.call_later(ASK_SECONDS, self._tick)
        self._out.ask_clock()
        if loop.time() - self._seen_at > SEEN_SECONDS:
            self._do_chores()

    def _hearken(self) -> None:
        """End a connection whose peer is silent while it is read."""
        loop = asyncio.get_running_loop()
        silent = 0.0 if self._heard is None else loop.time() - self._heard
        if silent < SILENT_SECONDS:
            self._hearkening = loop.call_later(SILENT_SECONDS - silent, self._hearken)
            self._doubted = False
        elif not self._doubted:  # this process may have stood still, with the station's answers unread
            self._doubted = True
            self._hearkening = loop.call_later(DOUBT_SECONDS, self._hearken)
        else:
            log.info("uplink_silent", station=self.station.id)
            self.going_away()

    # The chores: everything that needs the database and nobody waits for.

    def _hear_station(self, event: Event) -> None:
        if event.get("type") != "station":  # that one is our own
            self._look()

    def _hear_consultation(self, event: Event) -> None:
        if event.get("type") in CONSULTATION_NEWS:
            self._look()

    def _look(self) -> None:
        self._refresh = True
        self._do_chores()

    def _do_chores(self) -> None:
        if not self._busy:
            self._busy = True
            self._start(self._chores())

    async def _chores(self) -> None:
        now = asyncio.get_running_loop().time
        while self._refresh or self._entered or self._clock.waits or now() - self._seen_at > SEEN_SECONDS:
            try:
                if self._refresh:
                    self._refresh = False
                    await self._tell_station()
                while self._entered:
                    await self._keep_entered(self._entered[0])
                    del self._entered[0]
                await self._clock.write(self._around.database, self.source, self.station.id)
                if now() - self._seen_at > SEEN_SECONDS:
                    self._seen_at = now()
                    self._refresh = True
                    async with self._around.database.connection() as connection:
                        await stations.seen(connection, self.station.id)
            except (DatabaseUnavailable, DatabaseRefused):
                self._refresh = True
                await asyncio.sleep(RETRY_SECONDS)
        self._busy = False

    async def _keep_entered(self, said: Provisional) -> None:
        """Keep somebody who was entered at the station, and tell it; then, if that is so, that it is another's now."""
        around = self._around
        try:
            kept = await provisional.keep(around, self.station, self.source, self._clock.best, said)
        except (DatabaseUnavailable, DatabaseRefused):
            raise
        except TelemedError as error:
            self._refuse(error.code, error.params, None, None, said.attachment)
            return
        await provisional.tell(around, kept)
        ended = kept.attachment.closed_at is not None
        self._out.say({"type": "provisional_kept", "attachment": str(said.attachment), "ended": ended})
        self._told = (said.attachment, self._told[1])
        await self._tell_station()

    async def _tell_station(self) -> None:
        """Tell the station what it must know of attachment and consultation, where that changed."""
        around = self._around
        async with around.database.connection() as connection:
            attachment = await attachments.current(connection, self.station.id)
            consultation = await consultations.current_at_station(connection, self.station.id)
            attached = {lane.opened.card.attachment_id for lane in self._lanes} - {None}
            closed = await connection.fetch(SQL["closed_attachments"], list(attached))
        for row in closed:
            around.hub.cut(row["id"], micros(row["closed_at"]))
        current = None if attachment is None else attachment.id
        if current != self._told[0]:
            self._out.say({"type": "renew", "attachment": _text(current)})
        news = json.dumps({
            "type": "consultation",
            "consultation": None if consultation is None
            else {"id": str(consultation.id), "state": consultation.state.value},
            "publications": [] if consultation is None else around.publications(consultation.id),
        })
        if news != self._told[1]:
            self._out.post(news)
        self._told = (current, news)
        self._follow(None if consultation is None else consultation.id)

    def _follow(self, consultation_id: UUID | None) -> None:
        if consultation_id == self._topic_id:
            return
        self._leave_consultation()
        if consultation_id is not None:
            self._topic_id = consultation_id
            self._around.rooms.attach(f"consultation:{consultation_id}", self._hears_consultation)
            self._look()  # what happened before we listened

    def _leave_consultation(self) -> None:
        if self._topic_id is not None:
            self._around.rooms.detach(f"consultation:{self._topic_id}", self._hears_consultation)
            self._topic_id = None

    def _say_present(self, status: dict[str, Any] | None) -> None:
        around = self._around
        around.presence.heard(self.station.id, status)
        presence = around.presence.of(self.station.id)
        around.rooms.publish(f"station:{self.station.id}", {
            "type": "station", "online": True, "status": None if presence is None else presence.status,
        })


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
