"""Records what is published in the consultations that are switched on: taps the relay, makes clusters, keeps them.

Runs in the server's one event loop and decodes nothing. Each publication is a recording of its own; one that ends and
comes back continues as another. Nothing here ever holds up the call: a tap that is not read, a part that cannot be kept
in time is a gap, and it is known where.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from telemed.consultation.rooms import Rooms
from telemed.errors import DatabaseUnavailable, KeyDestroyed
from telemed.media.backend import Publication
from telemed.media.engine import Tapped
from telemed.media.recording import kept, tapped
from telemed.media.recording.film import Film, Part
from telemed.media.recording.kept import DiskLow, RecordingsFull, Writing
from telemed.store.database import Database, DatabaseFull, DatabaseRefused
from telemed.store.sealing import Sealer
from telemed.tasks import Tasks

logger = logging.getLogger(__name__)

AT_ONCE: Final = 32  # recordings of one server: 50 Mbit/s of 1.5 Mbit/s pictures
PARTS_WAITING: Final = 20  # to be kept, of one recording: 10 s of a database that does not answer
TICK_SECONDS: Final = 0.25
CHECK_TICKS: Final = 20  # between looks at the disk and at the consents: five seconds
RETRY_SECONDS: Final = 0.5
LAST_SECONDS: Final = 3.0  # that the parts still waiting have when a recording ends
LIVE_STATES: Final = ("live", "interrupted")

Clock = Callable[[UUID, str], UUID | None]  # consultation and participant to the clock that stamps its pictures


class Taps(Protocol):
    """What of the engine is needed here."""

    on_tapped: Tapped

    def tap(self, publication: str, number: int | None) -> None:
        """See ``Engine.tap``."""

    def keyframe(self, publication: str) -> None:
        """See ``Engine.keyframe``."""


class Taking:
    """One publication while it is recorded."""

    def __init__(self, number: int, publication: Publication, clock: UUID | None, writing: Writing) -> None:
        self.number = number
        self.publication = publication
        self.clock = clock
        self.writing = writing
        self.film = Film()
        self.parts: deque[tuple[int, Part]] = deque()
        self.bytes = 0
        self.ended: str | None = None  # and why
        self.some = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.parts_made = 0

    @property
    def full(self) -> bool:
        """Whether a bound of a recording is reached."""
        return (
            self.film.until_ms >= kept.RECORDING_MS or self.bytes >= kept.RECORDING_BYTES
            or self.parts_made >= kept.PARTS
        )

    def put(self, part: Part) -> None:
        """A part to be kept; one too many is a gap, behind which a whole picture begins."""
        n, self.parts_made = self.parts_made, self.parts_made + 1
        if len(self.parts) >= PARTS_WAITING:
            self.film.break_off()
            return
        self.bytes += len(part.data)
        self.parts.append((n, part))
        self.some.set()


class Recorder:
    """``taps`` is the engine, ``publications`` what a room has now, ``clock`` whose stamps a participant's are.

    ``home`` is the data folder, of which the disk must not run full. ``stopped`` is told, and waited for, when a
    consultation's recording ends by itself, and why.
    """

    def __init__(
        self, database: Database, sealer: Sealer, rooms: Rooms, taps: Taps,
        publications: Callable[[str], list[Publication]], clock: Clock, home: Path,
        stopped: Callable[[UUID, str], Awaitable[None]],
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._rooms = rooms
        self._taps = taps
        self._publications = publications
        self._clock = clock
        self._home = home
        self._stopped = stopped
        self._watching: dict[UUID, asyncio.Task[None]] = {}
        self._takings: dict[int, Taking] = {}
        self._of: dict[UUID, dict[str, Taking]] = {}  # by consultation and publication
        self._begun: Counter[UUID] = Counter()  # recordings, since it was switched on
        self._numbers = count(1)
        self._tasks = Tasks(logger, "a recording's task")
        taps.on_tapped = self._fed

    async def start(self) -> None:
        """Go on with what was being recorded when the server ended. Raises ``DatabaseUnavailable``."""
        async with self._database.connection() as connection:
            for consultation in await kept.resume(connection):
                self.on(consultation)
        self._tasks.start(self._tick_on())

    def check(self) -> None:
        """Pass when one more may begin. Raises ``RecordingsFull``, ``DiskLow``."""
        if len(self._takings) >= AT_ONCE:
            raise RecordingsFull()
        kept.check_disk(self._home)

    def on(self, consultation: UUID) -> None:
        """Record what is published there, now and from now on; again changes nothing."""
        if consultation not in self._watching:
            self._of[consultation], self._begun[consultation] = {}, 0
            self._watching[consultation] = self._tasks.start(self._watch(consultation))

    async def off(self, consultation: UUID, why: str) -> None:
        """Stop; returns when what came before is kept, or after ``LAST_SECONDS``. ``withdrawn`` keeps no more."""
        watching = self._watching.pop(consultation, None)
        if watching is not None and watching is not asyncio.current_task():
            watching.cancel()
        self._begun.pop(consultation, None)
        takings = list(self._of.pop(consultation, {}).values())
        for one in takings:
            self._end(one, why)
        if takings:
            await asyncio.wait([one.task for one in takings if one.task is not None], timeout=LAST_SECONDS)

    async def close(self) -> None:
        """The server ends: keep what came; it goes on at the next start."""
        for consultation in list(self._watching):
            await self.off(consultation, "cut")
        await self._tasks.cancel()

    # What is published.

    async def _watch(self, consultation: UUID) -> None:
        with self._rooms.listen(f"consultation:{consultation}") as listener:
            self._look(consultation)
            while not listener.closed.is_set():
                event = await listener.queue.get()
                state = (event.get("consultation") or {}).get("state", "live")
                if event.get("type") == "consultation" and state not in LIVE_STATES:
                    break
                if event.get("type") in ("publications", "people"):
                    self._look(consultation)
        if listener.closed.is_set():  # fallen behind: the end may be missed
            del self._watching[consultation]
            self._watching[consultation] = self._tasks.start(self._watch(consultation))
        else:
            await self.off(consultation, "left")

    def _look(self, consultation: UUID) -> None:
        """Begin what is new, end what is gone, and begin anew what another page sends now."""
        here = {one.id: one for one in self._publications(str(consultation))}
        takings = self._of[consultation]
        for name, taking in list(takings.items()):
            clock = self._clock(consultation, taking.publication.publisher.participant)
            taking.clock = taking.clock or clock
            if taking.ended is None and name in here and clock in (None, taking.clock):
                continue
            del takings[name]
            self._end(taking, "left")
        for name, publication in here.items():
            if name in takings:
                continue
            if len(self._takings) >= AT_ONCE or self._begun[consultation] >= kept.RECORDINGS:
                logger.warning("a publication is not recorded: as many are as may be")
                continue
            self._begun[consultation] += 1
            takings[name] = self._begin(consultation, publication)

    def _begin(self, consultation: UUID, publication: Publication) -> Taking:
        who = publication.publisher
        writing = Writing(self._database, self._sealer, consultation, who)
        number = next(self._numbers)
        taking = Taking(number, publication, self._clock(consultation, who.participant), writing)
        self._takings[number] = taking
        taking.task = self._tasks.start(self._keep(consultation, taking))
        self._taps.tap(publication.id, number)
        return taking

    def _end(self, taking: Taking, why: str) -> None:
        if taking.ended is None:
            taking.ended = why
            self._taps.tap(taking.publication.id, None)
            for part in taking.film.finish():
                taking.put(part)
        taking.some.set()

    # What comes of it.

    def _fed(self, message: bytes) -> None:
        try:
            taking = self._takings.get(tapped.tap_of(message))
            if taking is None or taking.ended is not None:
                return
            for record in tapped.records(message):
                for part in taking.film.feed(record):
                    taking.put(part)
        except ValueError:
            logger.exception("the relay tapped what makes no sense")

    async def _tick_on(self) -> None:
        for tick in count():
            await asyncio.sleep(TICK_SECONDS)
            now_us = time.time_ns() // 1000
            for taking in [one for one in self._takings.values() if one.ended is None]:
                for part in taking.film.tick(now_us):
                    taking.put(part)
                if taking.film.wants_keyframe(now_us):
                    self._taps.keyframe(taking.publication.id)
            full = [one for one, takings in self._of.items() if any(taking.full for taking in takings.values())]
            for consultation in full:
                self._tasks.start(self._stop(consultation, "full"))
            if tick % CHECK_TICKS == 0 and self._watching:
                await self._check()

    async def _check(self) -> None:
        """Whether there is room, and still consent: one may be withdrawn while somebody switches on."""
        try:
            kept.check_disk(self._home)
            async with self._database.connection() as connection:
                for consultation in list(self._watching):
                    if not await kept.consent_given(connection, consultation):
                        self._tasks.start(self._stop(consultation, "withdrawn"))
        except DiskLow:
            for consultation in list(self._watching):
                self._tasks.start(self._stop(consultation, "disk"))
        except (DatabaseUnavailable, DatabaseRefused):
            return  # nothing can be kept either

    async def _keep(self, consultation: UUID, taking: Taking) -> None:
        """Keep part after part, and the end."""
        try:
            while taking.ended is None or taking.parts:
                await taking.some.wait()
                taking.some.clear()
                while taking.parts:
                    await self._keep_first(consultation, taking)
            await self._persist(lambda: taking.writing.end(taking.ended or "left"))
        finally:
            del self._takings[taking.number]

    async def _keep_first(self, consultation: UUID, taking: Taking) -> None:
        """The first of those that wait; while the database is away it waits on."""
        n, part = taking.parts[0]
        late = taking.ended not in (None, "withdrawn")
        try:
            await taking.writing.write(n, part, taking.film, taking.clock, last=late)
            taking.parts.popleft()
        except (KeyDestroyed, DatabaseFull) as error:
            taking.parts.clear()
            why = "disk" if isinstance(error, DatabaseFull) else "withdrawn"
            self._tasks.start(self._stop(consultation, why))
        except (DatabaseUnavailable, DatabaseRefused):
            await asyncio.sleep(RETRY_SECONDS)

    async def _stop(self, consultation: UUID, why: str) -> None:
        """It ends by itself."""
        if consultation not in self._watching:
            return
        logger.warning("a consultation is recorded no longer: %s", why)
        await self.off(consultation, why)
        await self._persist(lambda: self._stopped(consultation, why))

    async def _persist(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do it, as soon as the database is there."""
        while True:
            try:
                return await act()
            except (DatabaseUnavailable, DatabaseRefused):
                await asyncio.sleep(RETRY_SECONDS)
