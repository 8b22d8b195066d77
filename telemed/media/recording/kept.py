"""Recordings in the store: switched on with consent alone, each cluster sealed and committed by itself, found again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from telemed.errors import KeyDestroyed, NotFound, TelemedError
from telemed.media.backend import Publisher
from telemed.media.recording.film import Film, Part
from telemed.store.database import Connection, Database, load_sql
from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.clock import Fix
from telemed.vitals.clock import Mapping as Clock
from telemed.vitals.fixes import micros, moment

SQL = load_sql("recording")
RECORDING_MS: Final = 3 * 3_600_000  # of one recording
RECORDING_BYTES: Final = 3 * 2**30  # of one recording: three hours of 2.2 Mbit/s
PARTS: Final = 65_536  # of one recording: three hours of clusters with a key frame every second between them
RECORDINGS: Final = 64  # of one consultation: whoever reconnects begins another
CONSULTATION_BYTES: Final = 12 * 2**30  # of all recordings of a consultation
FREE_BYTES: Final = 2 * 2**30  # that must be left on the disk of the data folder
ALIGNED_US: Final = 100_000  # a larger error is "not aligned" (D8)
CAME_LATE_US: Final = 2_000_000  # by which a first packet may come after its picture was taken; else the clock is wrong


class ConsentMissing(TelemedError):
    """Nothing is recorded without the patient's consent to recording on record."""

    code = "consent_missing"
    status = 409


class RecordingsFull(TelemedError):
    """The consultation, or this server, records as much as it may."""

    code = "recordings_full"
    status = 409


class DiskLow(TelemedError):
    """There is too little room on the disk to record."""

    code = "disk_low"
    status = 507


class RecordingRunning(TelemedError):
    """It is still being recorded; it can be played when it has ended."""

    code = "recording_running"
    status = 409


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording with the key that opens its parts. ``began_us`` is consultation time; ``error_us`` how far that may
    be off, None when nobody knows: then it is when the first packet came. ``ended_at`` None: it goes on."""

    id: UUID
    consultation_id: UUID
    publisher: Publisher
    key: DataKey
    came_at: datetime
    began_us: int
    error_us: int | None
    width: int | None
    height: int | None
    sound: bool
    unshown: bool
    ended_at: datetime | None
    ended_why: str | None
    length_ms: int = 0
    bytes: int = 0

    @property
    def aligned(self) -> bool:
        """Whether it may be shown in step with the waves."""
        return self.error_us is not None and self.error_us <= ALIGNED_US


async def switch_on(connection: Connection, consultation_id: UUID) -> None:
    """From now on it is recorded; the caller holds the consultation. Raises ``ConsentMissing``, ``RecordingsFull``."""
    if not await consent_given(connection, consultation_id):
        raise ConsentMissing()
    held = await connection.fetchrow(SQL["held"], consultation_id)
    if held["recordings"] >= RECORDINGS or held["bytes"] >= CONSULTATION_BYTES:
        raise RecordingsFull()
    await connection.execute(SQL["switch"], consultation_id, True)


async def switch_off(connection: Connection, consultation_id: UUID) -> None:
    """It is recorded no longer."""
    await connection.execute(SQL["switch"], consultation_id, False)


async def withdraw(connection: Connection, patient_id: UUID) -> list[UUID]:
    """The patient withdrew the consent: switch off what is recorded of them, and say which consultations."""
    return [row["id"] for row in await connection.fetch(SQL["switch_off_of_patient"], patient_id)]


async def consent_given(connection: Connection, consultation_id: UUID) -> bool:
    """Whether the last word on record of the consultation's patient allows recording."""
    return bool(await connection.fetchval(SQL["consent"], consultation_id))


async def resume(connection: Connection) -> list[UUID]:
    """After a start: close what a killed server left open; the consultations that are to be recorded on."""
    await connection.execute(SQL["end_cut"])
    found = [row["id"] for row in await connection.fetch(SQL["switched_on"])]
    return [one for one in found if await consent_given(connection, one)]


def check_disk(folder: Path) -> None:
    """Raise ``DiskLow`` when a recording could fill the folder's disk."""
    if shutil.disk_usage(folder).free < FREE_BYTES:
        raise DiskLow()


class Writing:
    """The rows of one recording while it is made. They begin with its first part."""

    def __init__(self, database: Database, sealer: Sealer, consultation_id: UUID, publisher: Publisher) -> None:
        self.id = uuid4()
        self._database = database
        self._sealer = sealer
        self._consultation_id = consultation_id
        self._publisher = publisher
        self._key = sealer.new_key()
        self._seals = DataKey(self._key)
        self._facts: tuple[Any, ...] | None = None

    async def write(self, n: int, part: Part, film: Film, clock: UUID | None, *, last: bool) -> None:
        """Seal and commit a part, unless it was switched off meanwhile; ``last`` keeps what came before that.

        Raises ``KeyDestroyed``, ``DatabaseUnavailable``,
        ``DatabaseFull``; the same part may come again.
        """
        span, size = film.span, film.size
        facts = (
            clock, span.stamp_us, span.torn, None if size is None else size.width,
            None if size is None else size.height, film.sound, film.unshown > 0 and size is None,
        )
        nonce, sealed = self._seals.seal(part.data, _place(self.id, n))
        async with self._database.connection() as connection:
            if self._facts is None:
                if not await self._begin(connection, facts, span.began_us):
                    return
            elif facts != self._facts:
                await connection.execute(SQL["learn"], self.id, *facts)
            self._facts = facts
            await connection.execute(
                SQL["part"], self.id, n, part.first_ms, part.until_ms, part.key, len(part.data), nonce, sealed, last
            )

    async def end(self, why: str) -> None:
        """It is over. Raises ``DatabaseUnavailable``."""
        if self._facts is not None:
            async with self._database.connection() as connection:
                await connection.execute(SQL["end"], self.id, why)

    async def _begin(self, connection: Connection, facts: tuple[Any, ...], came_us: int) -> bool:
        wrapped = await connection.fetchval(load_sql("chat")["patient_key"], self._consultation_id)
        if wrapped is None:
            raise KeyDestroyed()
        patient_key = self._sealer.unwrap(bytes(wrapped))
        who = self._publisher
        kind, _, number = who.participant.partition(":")
        made = await connection.fetchval(
            SQL["begin"], self.id, self._consultation_id, who.participant, who.by, who.source,
            int(number) if kind == "station" else None, facts[0], moment(came_us), *facts[1:],
            self._sealer.wrap(self._key, patient_key),
        )
        return made is not None


async def listed(connection: Connection, sealer: Sealer, consultation_id: UUID) -> list[Recorded]:
    """The consultation's recordings, oldest first. Raises ``KeyDestroyed``."""
    rows = await connection.fetch(SQL["listed"], consultation_id)
    return await _recorded(connection, sealer, rows)


async def find(connection: Connection, sealer: Sealer, recording_id: UUID) -> Recorded:
    """One recording. Raises ``NotFound``, ``KeyDestroyed``."""
    row = await connection.fetchrow(SQL["one"], recording_id)
    if row is None:
        raise NotFound()
    return (await _recorded(connection, sealer, [row]))[0]


async def consultation_of(connection: Connection, recording_id: UUID) -> UUID:
    """Whose recording it is. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["one"], recording_id)
    if row is None:
        raise NotFound()
    found: UUID = row["consultation_id"]
    return found


async def part_bytes(connection: Connection, recorded: Recorded, n: int) -> bytes:
    """A part's cluster. Raises ``NotFound``, ``SealBroken``."""
    row = await connection.fetchrow(SQL["part_bytes"], recorded.id, n)
    if row is None:
        raise NotFound()
    return recorded.key.open(bytes(row["nonce"]), bytes(row["sealed"]), _place(recorded.id, n))


async def _recorded(connection: Connection, sealer: Sealer, rows: list[Mapping[str, Any]]) -> list[Recorded]:
    if any(row["patient_key"] is None for row in rows):
        raise KeyDestroyed()
    sources = {row["clock_source"] for row in rows if row["clock_source"] is not None}
    fixes = await connection.fetch(SQL["fixes"], list(sources)) if sources else []
    return [_one(row, sealer, fixes) for row in rows]


def _one(row: Mapping[str, Any], sealer: Sealer, fixes: list[Mapping[str, Any]]) -> Recorded:
    patient_key = sealer.unwrap(bytes(row["patient_key"]))
    began_us, error_us = _placed(row, fixes)
    same = ("came_at", "width", "height", "sound", "unshown", "ended_at", "ended_why")
    summed = {"length_ms": row["until_ms"] or 0, "bytes": row["bytes"]} if "parts" in row else {}
    return Recorded(
        id=row["id"], consultation_id=row["consultation_id"],
        publisher=Publisher(row["participant"], row["by_role"], row["source_name"]),
        key=DataKey(sealer.unwrap(bytes(row["key_wrapped"]), patient_key)), began_us=began_us, error_us=error_us,
        **{name: row[name] for name in same}, **summed,
    )


def _placed(row: Mapping[str, Any], fixes: list[Mapping[str, Any]]) -> tuple[int, int | None]:
    """When it began in consultation time, and the error of that: by its clock, else by when it came."""
    came_us = micros(row["came_at"])
    # A source is believed by the station, or the page, that reported it alone.
    clock = Clock([
        Fix(micros(one["at"]), one["offset_us"], one["error_us"]) for one in fixes
        if one["source"] == row["clock_source"] and one["station_id"] == row["station_id"]
    ])
    stamp_us = row["began_us"]
    if stamp_us is None or row["torn"] or not clock.known:
        return came_us, None
    began_us = stamp_us + clock.offset_us(stamp_us)
    error_us = clock.error_us(began_us)
    # Not every browser's reports follow its page's clock: what was taken came, and soon.
    if not -error_us - ALIGNED_US <= came_us - began_us <= CAME_LATE_US + error_us:
        return came_us, None
    return began_us, error_us


def _place(recording_id: UUID, n: int) -> bytes:
    return b"recording" + recording_id.bytes + n.to_bytes(4, "big")
