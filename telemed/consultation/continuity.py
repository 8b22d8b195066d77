"""A live consultation whose one side is gone is interrupted, and live again once both sides are back.

The clinician's side is the assigned clinician's page; the patient's side is the station, a page of an admitted
patient or relative, or the telephone. The watch works from memory: what is under way is told on ``TOPIC`` after
every commit, and read from the database at the start, when an event was missed and every ``READ_SECONDS``. What it
decides is looked at again under the consultation's lock before it is done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import structlog

from telemed.consultation import consultations
from telemed.consultation.consultations import SQL, UNDER_WAY, AtStation, Consultation
from telemed.consultation.people import People, Present
from telemed.consultation.rooms import Listener, Rooms
from telemed.consultation.states import Event, State
from telemed.errors import DatabaseUnavailable, NotFound
from telemed.store.database import Database, DatabaseRefused
from telemed.store.sealing import Sealer

INTERRUPT_SECONDS: Final = 10.0  # longer than a reload of the page or a change of network (5 s), shorter than doubt
LOOK_SECONDS: Final = 0.5  # between two looks at memory; "at once" for whoever waits for the picture
READ_SECONDS: Final = 30.0  # between two looks at the database, should another process have changed something
WATCHED = 10_000  # consultations under way that one process watches
TOPIC: Final = "line"

log = structlog.get_logger(__name__)


class Stations(Protocol):
    """What the watch must know of stations."""

    def online(self, station_id: int) -> bool:
        """Whether the station is connected."""


@dataclass(frozen=True, slots=True)
class Line:
    """A consultation as the watch over its line sees it."""

    id: UUID
    state: State
    clinician_id: UUID | None
    station_id: int | None
    on_phone: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the watch works with; ``told`` is called after every commit with what rooms must be told."""

    database: Database
    sealer: Sealer
    rooms: Rooms
    people: People
    stations: Stations
    told: Callable[[Consultation, AtStation | None], None]


def line_of(consultation: Consultation) -> Line:
    """The consultation as the watch sees it."""
    return Line(
        consultation.id, consultation.state, consultation.clinician_id, consultation.station_id,
        consultation.phone_since is not None,
    )


def whole(line: Line, present: Iterable[Present], station_online: bool) -> bool:
    """Whether both sides are there."""
    clinician = patient = False
    for one in present:
        clinician = clinician or (one.kind == "account" and one.id == str(line.clinician_id))
        patient = patient or (one.kind == "guest" and one.admitted and one.role in ("patient", "relative"))
    return clinician and (patient or station_online or line.on_phone)


def due(state: State, is_whole: bool, missing_s: float, limit_s: float) -> Event | None:
    """What happens now: ``missing_s`` is for how long a side has been missing without a break."""
    if state is State.LIVE and not is_whole and missing_s >= limit_s:
        return Event.LINE_LOST
    if state is State.INTERRUPTED and is_whole:
        return Event.LINE_BACK
    return None


class Continuity:
    """The watch of one process. ``seconds`` is what a side may be missing; ``clock`` counts seconds steadily."""

    def __init__(
        self, around: Surroundings, seconds: float = INTERRUPT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._around = around
        self._seconds = seconds
        self._clock = clock
        self._lines: dict[UUID, Line] = {}
        self._missing: dict[UUID, float] = {}  # since when; a start of the server counts from its first look
        self._read_at: float | None = None

    async def run(self) -> None:
        """Watch until cancelled; while the database is away nothing is decided."""
        while True:
            with self._around.rooms.listen(TOPIC) as listener:
                self._read_at = None  # what was told while nobody listened is read
                while not listener.closed.is_set():
                    self._hear(listener)
                    try:
                        await self.look()
                    except (DatabaseUnavailable, DatabaseRefused) as error:
                        log.info("continuity_waits", code=error.code)
                    except Exception as error:  # a fault of ours must not end the watch for everybody
                        log.error("continuity_failed", exception=type(error).__name__)
                    await asyncio.sleep(LOOK_SECONDS)

    def hear(self, line: Line) -> None:
        """What a commit made of a consultation."""
        if line.state in UNDER_WAY:
            self._lines[line.id] = line
        else:
            self._lines.pop(line.id, None)
            self._missing.pop(line.id, None)

    async def look(self) -> list[tuple[UUID, Event]]:
        """Look once and do what is due; returns what was done.

        Raises ``DatabaseUnavailable``; then what is left is due at the next look as well.
        """
        now = self._clock()
        if self._read_at is None or now - self._read_at >= READ_SECONDS:
            await self._read()
            self._read_at = now
        done = []
        for line in tuple(self._lines.values()):
            event = self._due(line, now)
            try:
                if event is not None and await self._do(line.id, event):
                    done.append((line.id, event))
            except (DatabaseUnavailable, DatabaseRefused):
                raise
            except Exception as error:  # one that cannot be read must not keep the others from being watched
                log.error("continuity_failed", consultation=str(line.id), exception=type(error).__name__)
                self._forget(line.id)  # until it is read again
        return done

    def _due(self, line: Line, now: float) -> Event | None:
        is_whole = self._whole(line)
        if is_whole:
            self._missing.pop(line.id, None)
        since = now if is_whole else self._missing.setdefault(line.id, now)
        return due(line.state, is_whole, now - since, self._seconds)

    def _whole(self, line: Line) -> bool:
        around = self._around
        online = line.station_id is not None and around.stations.online(line.station_id)
        return whole(line, around.people.present(line.id), online)

    async def _do(self, consultation_id: UUID, event: Event) -> bool:
        around = self._around
        async with around.database.transaction() as connection:
            try:
                held = await consultations.hold(connection, around.sealer, consultation_id)
            except NotFound:
                self._forget(consultation_id)
                return False
            line = line_of(held)
            self.hear(line)
            if self._due(line, self._clock()) is not event:  # somebody came back, or it ended, meanwhile
                return False
            advanced = await consultations.advance_by_itself(connection, around.sealer, held, event)
            at_station = await consultations.current_at_station(connection, held.station_id)
        self.hear(line_of(advanced))
        around.told(advanced, at_station)
        return True

    async def _read(self) -> None:
        async with self._around.database.connection() as connection:
            rows = await connection.fetch(SQL["under_way"], WATCHED)
        self._lines = {
            row["id"]: Line(
                row["id"], State(row["state"]), row["clinician_id"], row["station_id"], row["phone_since"] is not None
            )
            for row in rows
        }
        self._missing = {one: since for one, since in self._missing.items() if one in self._lines}

    def _hear(self, listener: Listener) -> None:
        while not listener.queue.empty():
            self.hear(listener.queue.get_nowait()["line"])

    def _forget(self, consultation_id: UUID) -> None:
        self._lines.pop(consultation_id, None)
        self._missing.pop(consultation_id, None)
