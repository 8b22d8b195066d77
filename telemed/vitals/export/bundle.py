"""A window as one zip: a file or more for each stretch of each signal, the numbers, and a manifest that says all else.

It is written into a nameless file in the data folder: nobody else can open it, and nothing of it is left whatever
happens to the program. Only what was measured is in it (design D14: recordings that are played back and simulations are
no patient's own signals); what else lay in the window the manifest names. Times are UTC.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol

import numpy as np

import telemed
from telemed.store.database import Connection
from telemed.store.folders import make_folder, plain_errors
from telemed.vitals.export.edf import EdfWriter, scale_of
from telemed.vitals.export.faults import ExportEmpty, ExportNotMeasured, ExportTooLong, ExportTooWide
from telemed.vitals.export.parts import Part, parts_of
from telemed.vitals.export.tables import CsvWriter, numbers_csv
from telemed.vitals.export.wfdb import WfdbWriter
from telemed.vitals.fixes import moment
from telemed.vitals.review import numerics_of
from telemed.vitals.storage.reading import BLOCK_SAMPLES, Reader
from telemed.vitals.storage.reading_columns import MISSING, Samples
from telemed.vitals.storage.reading_numbers import readings
from telemed.vitals.storage.reading_rows import Index
from telemed.vitals.stored import Stored, StoredStream

Format = Literal["edf", "wfdb", "csv"]
EXPORT_US: Final = 24 * 3_600_000_000  # of one window
CSV_VALUES: Final = 50_000_000  # of one window as text: two hours of 12 leads at 500 Hz, half a minute of work
NUMBERS_MAX: Final = 1_000_000  # of one window: a day of eleven numbers a second
FOLDER: Final = "tmp"
COMPRESSION: Final = 1  # of the zip: samples shrink little more at higher ones


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: consultation time, ``to_us`` exclusive; ``patient`` may stand in the files (None: nobody)."""

    format: Format
    from_us: int
    to_us: int
    consultation: str
    patient: dict[str, Any] | None


class Writer(Protocol):
    """Takes the samples of one part in order, missing ones among them."""

    def feed(self, samples: Samples) -> None:
        """Take int32 samples (channels, n)."""

    def end(self) -> None:
        """There are no more."""


async def bundle(connection: Connection, stored: Stored, wish: Wish, home: Path, gone: Callable[[], bool]) -> IO[bytes]:
    """The zip, at its begin, in a file without a name; whoever is given it closes it.

    ``gone`` says that nobody waits for it any more. Raises ``ExportTooLong``, ``ExportNotMeasured``, ``ExportEmpty``,
    ``ExportTooWide``, ``DiskFull``.
    """
    if not 0 <= wish.from_us < wish.to_us or wish.to_us - wish.from_us > EXPORT_US:
        raise ExportTooLong(hours=EXPORT_US // 3_600_000_000)
    reader = Reader(connection)
    waves = [one for one in stored.streams if one.card.rate is not None]
    async with reader.snapshot():
        rows = await reader.rows(waves, wish.from_us, wish.to_us)
    indexed = [(one, await asyncio.to_thread(Index, one, rows[one.card.id], wish.from_us, wish.to_us))
               for one in waves]
    found = [(one, index) for one, index in indexed if index.samples]
    measured = [(one, index) for one, index in found if one.card.origin == "measured"]
    numbers, left_out = await _numbers(connection, stored, wish)
    left_out |= {_brief(one) for one, _ in found if one.card.origin != "measured"}
    if not measured and not numbers:
        raise ExportNotMeasured() if left_out else ExportEmpty()
    parts = await asyncio.to_thread(parts_of, measured)
    if wish.format == "csv" and sum(one.n * len(one.stream.card.channels) for one in parts) > CSV_VALUES:
        raise ExportTooLong(hours=EXPORT_US // 3_600_000_000)
    with plain_errors(home):
        make_folder(home / FOLDER, 0o700)
    for wide in (False, True):
        file = _nameless(home)
        try:
            await _write(reader, file, parts, numbers, sorted(left_out), wish, wide, gone)
        except ExportTooWide:
            file.close()
            if wide or wish.format != "wfdb":
                raise
        except BaseException:
            file.close()
            raise
        else:
            return file
    raise ExportTooWide()


def _nameless(home: Path) -> IO[bytes]:
    with plain_errors(home):
        return tempfile.TemporaryFile(dir=home / FOLDER)  # mode 0600, unlinked at once


async def _write(
    reader: Reader, file: IO[bytes], parts: Sequence[Part], numbers: list[dict[str, Any]],
    left_out: Sequence[tuple[str, ...]], wish: Wish, wide: bool, gone: Callable[[], bool],
) -> None:
    with plain_errors(Path(FOLDER)), zipfile.ZipFile(
        file, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=COMPRESSION
    ) as zipped:
        for part in parts:
            await _write_part(reader, zipped, part, wish, wide, gone)
        if numbers:
            with _entry(zipped, "numbers.csv") as target:
                for row in numbers_csv(numbers):
                    target.write(row)
        zipped.writestr("manifest.json", json.dumps(_manifest(parts, left_out, wish), ensure_ascii=False, indent=1))
    file.flush()
    file.seek(0, os.SEEK_SET)


async def _write_part(
    reader: Reader, zipped: zipfile.ZipFile, part: Part, wish: Wish, wide: bool, gone: Callable[[], bool]
) -> None:
    ending = {"edf": "edf", "wfdb": "dat", "csv": "csv"}[wish.format]
    with _entry(zipped, f"{part.name}.{ending}") as target:
        name = None if wish.patient is None else str(wish.patient["name"])
        writer: EdfWriter | WfdbWriter | CsvWriter
        if wish.format == "edf":
            writer = EdfWriter(target, part, name)
        elif wish.format == "wfdb":
            writer = WfdbWriter(target, part, wide=wide)
        else:
            writer = CsvWriter(target, part)
        async for samples in _dense(reader, part):
            await asyncio.to_thread(writer.feed, samples)
            if gone():
                raise ConnectionResetError
        await asyncio.to_thread(writer.end)
    if isinstance(writer, WfdbWriter):
        zipped.writestr(f"{part.name}.hea", writer.header(_comments(part, wish)))
        zipped.writestr(f"{part.name}.atr", writer.annotations())


async def _dense(reader: Reader, part: Part) -> AsyncIterator[Samples]:
    """Every sample from the part's first to its last, missing ones where holes are."""
    channels = len(part.stream.card.channels)
    past = part.first
    for first, end in part.there:
        for at in range(past, first, BLOCK_SAMPLES):
            yield np.full((channels, min(BLOCK_SAMPLES, first - at)), MISSING, np.int32)
        for at in range(first, end, BLOCK_SAMPLES):
            yield await reader.samples(part.stream, part.index, at, min(at + BLOCK_SAMPLES, end))
        past = end


def _entry(zipped: zipfile.ZipFile, name: str) -> AbstractContextManager[IO[bytes]]:
    return zipped.open(name, "w", force_zip64=True)


async def _numbers(
    connection: Connection, stored: Stored, wish: Wish
) -> tuple[list[dict[str, Any]], set[tuple[str, ...]]]:
    """The measured numbers of the window by time, and whose were left out."""
    streams = [one for one in stored.streams if one.card.rate is None]
    found, left_out = [], set()
    async for part in readings(connection, streams, wish.from_us, wish.to_us):
        left_out |= {_brief(one.stream) for one in part if one.stream.card.origin != "measured"}
        kept = [one for one in part if one.stream.card.origin == "measured"]
        found += [number for one in kept for number in numerics_of(one)]
        if len(found) > NUMBERS_MAX:
            raise ExportTooLong(hours=EXPORT_US // 3_600_000_000)
    found.sort(key=lambda one: int(one["at_us"]))
    return found, left_out


def _brief(stream: StoredStream) -> tuple[str, ...]:
    return stream.card.kind, stream.card.device, stream.card.origin


def _comments(part: Part, wish: Wish) -> list[str]:
    card = part.stream.card
    said = [f"kind: {card.kind}", f"device: {card.device}", f"origin: {card.origin}", "times are UTC"]
    said += [f"{one.name}: physical = digital * {one.gain!r} + {one.offset!r} {one.unit}" for one in card.channels]
    return said if wish.patient is None else [*said, f"patient: {wish.patient['name']}"]


def _manifest(parts: Sequence[Part], left_out: Sequence[tuple[str, ...]], wish: Wish) -> dict[str, Any]:
    made: dict[str, Any] = {
        "program": f"Telemed {telemed.__version__}", "consultation": wish.consultation, "format": wish.format,
        "from_utc": _utc(wish.from_us), "to_utc": _utc(wish.to_us),
        "files": [_described(part, wish) for part in parts],
        "left_out": [dict(zip(("kind", "device", "origin"), one, strict=True)) for one in left_out],
    }
    if wish.patient is not None:
        made["patient"] = wish.patient
    return made


def _described(part: Part, wish: Wish) -> dict[str, Any]:
    card = part.stream.card
    channels = [one.as_json() for one in card.channels]
    if wish.format == "edf":
        for said, one in zip(channels, card.channels, strict=True):
            scale = scale_of(one)
            said |= {"edf_unit": scale.unit, "edf_gain_error": scale.gain_error}
    return {
        "name": part.name, "kind": card.kind, "device": card.device, "origin": card.origin,
        "rate": list(card.rate or ()), "channels": channels, "stream": card.id, "first_sample": part.first,
        "samples": part.n,
        "from_utc": _utc(part.t0_us), "to_utc": _utc(part.t0_us + card.sample_us(part.n)),
        "clock_error_us": part.stream.clock.error_us(part.t0_us),
        "gaps": [{"first_sample": first, "samples": n} for first, n in part.holes],
    }


def _utc(us: int) -> str:
    return moment(us).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
