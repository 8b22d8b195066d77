"""Numbers over a long time: least, greatest and last of each column, and how many there were. Nothing is smoothed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from telemed.store.database import Connection
from telemed.vitals.faults import WindowTooLarge
from telemed.vitals.storage.reading_numbers import Readings, readings
from telemed.vitals.stored import Stored
from telemed.vitals.waves import COLUMNS_MAX, WINDOW_US

READINGS_MAX: Final = 2_000_000  # of one answer: a week of three numbers a second, 10 s of work
REMEMBERED: Final = 65_536  # texts of readings of which the numbers are known: a patient's are few, and come again
SERIES_MAX: Final = 256  # kinds, devices and parts of one consultation

Number = tuple[str, str | None, str, Decimal, str]  # kind, part, unit, value and its text


@dataclass(slots=True)
class Series:
    """The filled columns of one number: their places, and of each least, greatest and last as the device's text."""

    kind: str
    part: str | None
    unit: str
    source: str
    origin: str
    column: list[int] = field(default_factory=list)
    least: list[str] = field(default_factory=list)
    greatest: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    count: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Cell:
    least: tuple[Decimal, str]
    greatest: tuple[Decimal, str]
    last: tuple[int, str]
    count: int = 1

    def add(self, value: Decimal, text: str, at_us: int) -> None:
        self.least = min(self.least, (value, text))
        self.greatest = max(self.greatest, (value, text))
        self.last = max(self.last, (at_us, text))
        self.count += 1


class _Columns:
    def __init__(self, from_us: int, to_us: int, columns: int) -> None:
        self._from_us, self._to_us, self._columns = from_us, to_us, columns
        self._known: dict[bytes, list[Number]] = {}
        self._series: dict[tuple[str, str | None, str, str, str], dict[int, _Cell]] = {}

    def add(self, chunks: Sequence[Readings]) -> None:
        span = self._to_us - self._from_us
        for chunk in chunks:
            # Column k begins at from + k * span // columns, as in waves.
            at = ((chunk.at_us - self._from_us + 1) * self._columns - 1) // span
            for kind, part, unit, value, text in self._numbers(chunk.data):
                key = (kind, part, unit, chunk.stream.card.device, chunk.stream.card.origin)
                cells = self._series.get(key)
                if cells is None:
                    if len(self._series) >= SERIES_MAX:
                        continue
                    cells = self._series[key] = {}
                cell = cells.get(at)
                if cell is None:
                    cells[at] = _Cell((value, text), (value, text), (chunk.at_us, text))
                else:
                    cell.add(value, text, chunk.at_us)

    def _numbers(self, data: bytes) -> list[Number]:
        found = self._known.get(data)
        if found is None:
            found = [number for reading in json.loads(data)["readings"] for number in _numbers(reading)]
            if len(self._known) < REMEMBERED:
                self._known[data] = found
        return found

    def series(self) -> list[Series]:
        made = []
        for key in sorted(self._series, key=lambda one: tuple(part or "" for part in one)):
            one, cells = Series(*key), self._series[key]
            for at in sorted(cells):
                cell = cells[at]
                one.column.append(at)
                one.least.append(cell.least[1])
                one.greatest.append(cell.greatest[1])
                one.last.append(cell.last[1])
                one.count.append(cell.count)
            made.append(one)
        return made


async def trend(connection: Connection, stored: Stored, from_us: int, to_us: int, columns: int) -> list[Series]:
    """The devices' numbers of a window in columns. Raises ``WindowTooLarge``."""
    if not 0 <= from_us < to_us or to_us - from_us > WINDOW_US or not 1 <= columns <= COLUMNS_MAX:
        raise WindowTooLarge(hours=WINDOW_US // 3_600_000_000)
    streams = [one for one in stored.streams if one.card.rate is None]
    laid, read = _Columns(from_us, to_us, columns), 0
    async for part in readings(connection, streams, from_us, to_us):
        read += len(part)
        if read > READINGS_MAX:
            raise WindowTooLarge(hours=WINDOW_US // 3_600_000_000)
        await asyncio.to_thread(laid.add, part)
    return laid.series()


def _numbers(reading: dict[str, Any]) -> list[Number]:
    """The reading's value, and those of its extras that are numbers (a cuff's diastolic)."""
    named = [(None, reading["value"]), *reading["extra"].items()]
    found = []
    for part, text in named:
        try:
            value = Decimal(text)
        except (InvalidOperation, TypeError):
            continue
        if value.is_finite():
            found.append((reading["kind"], part, reading["unit"], value, text))
    return found
