"""The station's uplink (protocol section 4): one connection, one owner.

A reader puts messages into a bounded mailbox, the owner alone acts on them, a writer sends with a deadline,
and chores speak to the database without holding up the live way. When the mailbox or the commit queue is full
the socket is not read. A peer that is silent for ``SILENT_SECONDS`` while it is read is dead.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import structlog
from aiohttp import WSMsgType, web
from telemed_devices.faults import FrameError

from telemed.audit import Actor
from telemed.consultation import consultations
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
from telemed.vitals.faults import MessageInvalid, ProvisionalFull, TooSlow
from telemed.vitals.fixes import last_fix, micros
from telemed.vitals.hello import read_hello
from telemed.vitals.lanes import Lane, Lanes, where
from telemed.vitals.messages import FROM_STATION, Announce, ClockAnswer, Hello, Provisional, Status
from telemed.vitals.paused import Paused
from telemed.vitals.streams import open_stream
from telemed.vitals.trouble import trouble

SQL = load_sql("vitals")
log = structlog.get_logger(__name__)

SILENT_SECONDS: Final = 12.0  # the station answers a clock question every 5 s; dead within 15 s
WRITE_SECONDS: Final = 10.0  # a message that cannot be written for so long has no reader
MAILBOX: Final = 32  # messages read ahead of the owner: six seconds of one stream
ENTERED: Final = 8  # people not yet kept; a station tells of one at a time
OUTBOX: Final = 1024  # messages unsent to one station; more means that it does not read
CONSULTATION_NEWS: Final = frozenset({"consultation", "publications"})
SEEN_SECONDS: Final = 60.0  # station.seen_at is written once a minute, and news looked for that nobody told


class Uplink:
    """One station's connection. ``key_hash`` is the SHA-256 of the key it came with."""

    def __init__(
        self, socket: web.WebSocketResponse, station: stations.Station, key_hash: bytes, around: Surroundings
    ) -> None:
        self.station = station
        self.key_hash = key_hash
        self.source = UUID(int=0)  # until hello
        self._socket = socket
        self._around = around
        self._actor: Actor = station.actor
        self._lanes = Lanes(around.hub)
        self._mailbox: asyncio.Queue[tuple[str | bytes, int]] = asyncio.Queue(MAILBOX)
        self._outbox: deque[str] = deque()
        self._acks: dict[int, tuple[Lane, list[int]]] = {}
        self._wake = asyncio.Event()
        self._ask = True
        self._ending: TelemedError | None = None
        self._closing = False
        self._clock = Asked()
        self._chore = asyncio.Event()
        self._refresh = True
        self._entered: deque[Provisional] = deque()
        self._told: tuple[UUID | None, str] = (None, "")
        self._topic: asyncio.Task[None] | None = None
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
        self._told = (attached, self._told[1])
        self._post({
            "type": "welcome", "protocol": version, "server": str(self._around.boot_id),
            "station": {"id": self.station.id, "name": self.station.name}, "attachment": _text(attached),
        })

    async def run(self) -> None:
        """Serve until either side ends it."""
        self._say_present(None)
        names = (self._read, self._own, self._write, self._chores, self._tick, self._listen, self._keep_fixes)
        tasks = [asyncio.create_task(work(), name=f"uplink{work.__name__}") for work in names]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                failure = task.exception()
                if failure is not None and not isinstance(failure, ConnectionError):
                    log.error("uplink_failed", station=self.station.id, **trouble(failure))
        finally:
            if self._topic is not None:
                tasks.append(self._topic)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._socket.closed:
                await self._socket.close()

    def end(self, error: TelemedError) -> None:
        """Tell the station why and close. Returns at once."""
        self._ending = self._ending or error
        self._wake.set()

    def going_away(self) -> None:
        """The server stops: close without blame; the station comes back."""
        self._closing = True
        self._wake.set()

    async def refuse_and_close(self, error: TelemedError) -> None:
        """Send one refusal and close: for a connection that never ran."""
        REFUSED.labels("station", error.code).inc()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._socket.send_str(messages.refused(error.code, error.params))
                await self._socket.close(code=4000, message=error.code.encode())
        except (TimeoutError, ConnectionError):
            log.info("uplink_gone", station=self.station.id)

    # The reader and the owner.

    async def _read(self) -> None:
        while True:
            try:
                message = await self._socket.receive(timeout=SILENT_SECONDS)
            except TimeoutError:
                log.info("uplink_silent", station=self.station.id)
                return
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                await self._mailbox.put((message.data, server_us()))
            elif message.type is WSMsgType.ERROR:
                REFUSED.labels("station", "message_too_large").inc()
                return
            else:
                return

    async def _own(self) -> None:
        while True:
            data, at_us = await self._mailbox.get()
            try:
                if isinstance(data, str):
                    await self._text(data, at_us)
                else:
                    await self._around.committer.put(self._lanes.take(data, self._clock.best))
            except FrameError as error:
                self._refuse(error.code, dict(error.params), *where(data if isinstance(data, bytes) else b""))
            except TelemedError as error:
                if isinstance(data, bytes):
                    self._refuse(error.code, error.params, *where(data))
                else:
                    named = messages.number_of(data), None, messages.attachment_of(data)
                    self._refuse(error.code, error.params, *named)

    async def _text(self, text: str, at_us: int) -> None:
        match messages.parse(FROM_STATION, text):
            case Announce() as announce:
                await self._announce(announce)
            case ClockAnswer() as answer:
                self._clock.answer(answer.echo, answer.stamp_us, at_us)
            case Provisional() as entered:
                if len(self._entered) >= ENTERED:
                    raise ProvisionalFull()
                self._entered.append(entered)
                self._chore.set()
            case Status() as status:
                self._say_present(status.model_dump(exclude={"type"}))
                self._paused.say(self._topic_id, status.paused)
            case Hello():
                raise MessageInvalid(field="type")

    async def _announce(self, announce: Announce) -> None:
        stream = announce.stream
        messages.check_stream(stream)
        around = self._around
        while True:
            try:
                opened = await open_stream(
                    around.database, around.sealer, self.station, self.source, stream
                )
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
            self._acknowledge, self._refuse_chunk,
        )
        known = lane.offset(self._clock.best)
        if shown is not None and opened.newest is not None and known is not None:
            around.hub.remember(shown, opened.newest[1], opened.newest[0] + known.offset_us, known.error_us)
        lane.place(self._actor, self.station.organisation_id)
        self._lanes.add(lane)
        self._refresh = True  # the attachment may have ended since it was read
        self._chore.set()
        for at, (through, ranges) in enumerate(lane.durable.acknowledgements()):
            self._post({"type": "ack" if at else "announced", "number": lane.number, "through": through,
                        "ranges": ranges})

    # What the committer calls.

    def _acknowledge(self, lane: Lane, seqs: Sequence[int]) -> None:
        self._acks.setdefault(lane.number, (lane, []))[1].extend(seqs)
        self._wake.set()

    def _refuse_chunk(self, error: TelemedError, stream: int, seq: int) -> None:
        self._refuse(error.code, error.params, stream, seq)

    def _refuse(
        self, code: str, params: dict[str, Any], stream: int | None, seq: int | None, attachment: UUID | None = None
    ) -> None:
        REFUSED.labels("station", code).inc()
        self._post_text(messages.refused(code, params, stream, seq, attachment=attachment))

    # The writer.

    def _post(self, message: dict[str, Any]) -> None:
        self._post_text(json.dumps(message))

    def _post_text(self, text: str) -> None:
        if len(self._outbox) >= OUTBOX:
            self.end(TooSlow())
        else:
            self._outbox.append(text)
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                await self._send(self._outbox.popleft())
            acks, self._acks = self._acks, {}
            for number, (lane, seqs) in acks.items():
                for through, ranges in lane.durable.acknowledgements(seqs):
                    await self._send(
                        json.dumps({"type": "ack", "number": number, "through": through, "ranges": ranges})
                    )
            if self._ask:
                self._ask = False
                now = self._clock.ask(server_us())
                await self._send(json.dumps({"type": "clock_ask", "server_us": now}))
            if self._ending is not None:
                REFUSED.labels("station", self._ending.code).inc()
                await self._send(messages.refused(self._ending.code, self._ending.params))
                await self._socket.close(code=4000, message=self._ending.code.encode())
                return
            if self._closing:
                await self._socket.close(code=1001)
                return

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._socket.send_str(text)
        except TimeoutError:
            raise ConnectionResetError("write deadline") from None

    # The chores: everything that needs the database and nobody waits for.

    async def _keep_fixes(self) -> None:
        await self._clock.keep(self._around.database, self.source, self.station.id)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(ASK_SECONDS)
            self._ask = True
            self._wake.set()
            self._chore.set()

    async def _listen(self) -> None:
        with self._around.rooms.listen(f"station:{self.station.id}") as listener:
            while not listener.closed.is_set():
                event = await listener.queue.get()
                if event.get("type") != "station":  # that one is our own
                    self._refresh = True
                    self._chore.set()

    async def _listen_consultation(self, consultation_id: UUID) -> None:
        with self._around.rooms.listen(f"consultation:{consultation_id}") as listener:
            while not listener.closed.is_set():
                if (await listener.queue.get()).get("type") in CONSULTATION_NEWS:
                    self._refresh = True
                    self._chore.set()
        self.going_away()  # something was missed: the station comes back and is told anew

    async def _chores(self) -> None:
        seen_at = asyncio.get_running_loop().time()
        while True:
            try:
                if self._refresh:
                    self._refresh = False
                    await self._tell_station()
                while self._entered:
                    await self._keep_entered(self._entered[0])
                    self._entered.popleft()
                if asyncio.get_running_loop().time() - seen_at > SEEN_SECONDS:
                    seen_at = asyncio.get_running_loop().time()
                    self._refresh = True
                    async with self._around.database.connection() as connection:
                        await stations.seen(connection, self.station.id)
                if not self._refresh:
                    await self._chore.wait()
                    self._chore.clear()
            except (DatabaseUnavailable, DatabaseRefused):
                self._refresh = True
                await asyncio.sleep(RETRY_SECONDS)

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
        self._post({"type": "provisional_kept", "attachment": str(said.attachment), "ended": ended})
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
            self._post({"type": "renew", "attachment": _text(current)})
        news = json.dumps({
            "type": "consultation",
            "consultation": None if consultation is None
            else {"id": str(consultation.id), "state": consultation.state.value},
            "publications": [] if consultation is None else around.publications(consultation.id),
        })
        if news != self._told[1]:
            self._post_text(news)
        self._told = (current, news)
        self._follow(None if consultation is None else consultation.id)

    def _follow(self, consultation_id: UUID | None) -> None:
        if consultation_id == self._topic_id:
            return
        if self._topic is not None:
            self._topic.cancel()
        self._topic_id = consultation_id
        self._topic = None
        if consultation_id is not None:
            self._topic = asyncio.create_task(self._listen_consultation(consultation_id))
            self._refresh = True  # what happened before we listened
            self._chore.set()

    def _say_present(self, status: dict[str, Any] | None) -> None:
        around = self._around
        around.presence.heard(self.station.id, status)
        presence = around.presence.of(self.station.id)
        around.rooms.publish(f"station:{self.station.id}", {
            "type": "station", "online": True, "status": None if presence is None else presence.status,
        })


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
