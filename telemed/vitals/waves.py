"""Stored samples of a window as the review's answer (protocol section 7): raw, or filtered without delay.

The answer is made piece by piece, off the event loop, and given on as native frames, so that an hour never lies in
memory. Columns of a long raw window come from the pyramid, as soon as a bucket of it is well below a column; every
other view is the zero-phase filter, computed over each run of samples with a margin on both sides, and says so. A hole
is a hole: runs end there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from telemed_devices.native import Codec, Frame, pack_frame
from telemed_signal.filters import FilterSpec, quantise, zero_phase
from telemed_signal.gaps import runs
from telemed_signal.minmax import columns as least_and_greatest
from telemed_signal.minmax import combine

from telemed.store.database import Connection
from telemed.vitals.faults import ViewUnknown, WindowTooLarge
from telemed.vitals.live import describe
from telemed.vitals.storage.pyramid import level_for
from telemed.vitals.storage.reading import BLOCK_SAMPLES, LITTLE_ROWS, Picture, Reader, soon
from telemed.vitals.storage.reading_columns import MISSING, Laid, Samples
from telemed.vitals.storage.reading_rows import Index, Int64s, Piece, Rows
from telemed.vitals.storage.reading_views import RAW, filter_of
from telemed.vitals.stored import StoredStream

WINDOW_US: Final = 7 * 24 * 3_600_000_000  # of one question
COLUMNS_MAX: Final = 8_192  # protocol section 7
RAW_VALUES: Final = 24_000_000  # samples x channels without columns: half an hour of 12 leads at 1 kHz
FILTERED_VALUES: Final = 43_200_000  # samples x channels of a filtered view: an hour of 12 leads at 1 kHz, 3 s of work
EXACT_VALUES: Final = 500_000  # samples x channels of columns made of samples: 80 s of 12 leads, 10 ms
MARGIN_PERIODS: Final = 2.0  # of the band's lower edge: where the filter still feels its own ends
MISSING_16: Final = -(2**15)


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for, in consultation time, ``to_us`` exclusive. ``columns`` None: every sample."""

    from_us: int
    to_us: int
    view: str
    columns: int | None

    def check(self) -> None:
        """Raise ``WindowTooLarge`` when it is empty or beyond the bounds."""
        if not 0 <= self.from_us < self.to_us or self.to_us - self.from_us > WINDOW_US:
            raise WindowTooLarge(hours=WINDOW_US // 3_600_000_000)

    @property
    def marks(self) -> Int64s:
        """Where the columns begin and the last ends: one more than there are."""
        count = self.columns or 1
        return self.from_us + np.arange(count + 1, dtype=np.int64) * (self.to_us - self.from_us) // count

    def level(self, stream: StoredStream) -> int | None:
        """The pyramid's level for this stream's columns; None when its samples are read."""
        samples = stream.card.rate_hz * (self.to_us - self.from_us) / 1_000_000
        if self.columns is None or self.view != RAW or samples * len(stream.card.channels) <= EXACT_VALUES:
            return None
        return level_for(samples / self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Fine:
    """A stream of which the samples are read; ``wide`` has the filter's margin besides."""

    stream: StoredStream
    index: Index
    wide: Index
    bucket: int = 1

    @property
    def first_sample(self) -> int:
        return int(self.index.begin[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Coarse:
    """A stream of which buckets of the pyramid are read."""

    stream: StoredStream
    picture: Picture
    bucket: int
    first_sample: int
    laid: Laid
    torn: Int64s


async def answer(connection: Connection, streams: list[StoredStream], window: Window) -> AsyncIterator[bytes]:
    """The parts of the answer. Raises ``WindowTooLarge`` or ``ViewUnknown`` before the first."""
    window.check()
    specs = {}
    for stream in streams:
        try:
            specs[stream.card.id] = filter_of(stream.card, window.view)
        except KeyError:
            raise ViewUnknown(view=window.view) from None
    reader = Reader(connection)
    found = await _found(reader, streams, window, specs)
    describes = []
    for view, one in enumerate(found, 1):
        spec = specs[one.stream.card.id]
        filter_ = None if spec is None else spec.describe(one.stream.card.rate_hz, phase="zero")
        described = describe(one.stream.card, view, window.view, one.first_sample, filter_)
        described.pop("type")
        describes.append({**described, "bucket": one.bucket})
    yield head({"describes": describes, "from_us": window.from_us, "to_us": window.to_us,
                "columns": window.columns})
    for view, one in enumerate(found, 1):
        id_ = one.stream.card.id
        if isinstance(one, _Coarse):
            await reader.edges(one.stream, one.picture, one.bucket, window.marks, one.laid, one.torn)
            yield _packed(one, window, view, one.laid.mins, one.laid.maxs)
        elif window.columns is None or one.index.samples <= window.columns:
            async for piece, samples in _samples(reader, one, specs[id_]):
                yield padded(pack_frame(Frame(id_, 0, piece.first, piece.t0_us, narrowed(samples), view=view)))
        else:
            yield _packed(one, window, view, *await _columns(reader, one, specs[id_], window))


def head(text: dict[str, Any]) -> bytes:
    """The JSON part of the answer with its length before it."""
    body = json.dumps(text, ensure_ascii=False).encode()
    body += b" " * (-len(body) % 8)
    return len(body).to_bytes(4, "little") + bytes(4) + body


def padded(frame: bytes) -> bytes:
    """The frame with zero bytes to a multiple of 8."""
    return frame + bytes(-len(frame) % 8)


def narrowed(samples: Samples) -> Samples:
    """int32 samples as int16 when all fit; "missing" stays missing."""
    there = samples != MISSING
    if there.any() and (samples[there].min() <= MISSING_16 or samples[there].max() > -MISSING_16 - 1):
        return samples
    return np.where(there, samples, MISSING_16).astype(np.int16)


async def _found(
    reader: Reader, streams: Sequence[StoredStream], window: Window, specs: dict[int, FilterSpec | None]
) -> list[_Fine | _Coarse]:
    """The streams that have something in the window, in their order, and what is known of them."""
    levels = {one.card.id: window.level(one) for one in streams}
    margin = max((_margin_us(spec) for spec in specs.values()), default=0)
    found: dict[int, _Fine | _Coarse] = {}
    async with reader.snapshot():
        coarse = await _coarse(reader, streams, window, levels)
        found.update({id_: one for id_, one in coarse.items() if one is not None})
        fine = [one for one in streams if one.card.id not in coarse]
        rows = await reader.rows(fine, max(0, window.from_us - margin), window.to_us + margin) if fine else {}
    there = [one for one in fine if len(rows[one.card.id])]
    little = sum(len(rows[one.card.id]) for one in there) <= LITTLE_ROWS
    found.update(await soon(little, lambda: {
        one.card.id: _fine(one, rows[one.card.id], window, margin) for one in there}))
    listed = [found[one.card.id] for one in streams if one.card.id in found]
    used = [one for one in listed if isinstance(one, _Coarse) or one.index.samples]
    _bounded([one for one in used if isinstance(one, _Fine)], window)
    return used


def _fine(stream: StoredStream, rows: Rows, window: Window, margin: int) -> _Fine:
    index = Index(stream, rows, window.from_us, window.to_us)
    wide = index if not margin else Index(stream, rows, window.from_us - margin, window.to_us + margin)
    return _Fine(stream, index, wide)


async def _coarse(
    reader: Reader, streams: Sequence[StoredStream], window: Window, levels: dict[int, int | None]
) -> dict[int, _Coarse | None]:
    """The streams whose columns come from the pyramid; None for those that have nothing in the window."""
    asked = [one for one in streams if levels[one.card.id] is not None]
    if not asked or window.columns is None:
        return {}
    slack = max(one.card.sample_us(levels[one.card.id] or 1) for one in asked)
    pictures = await reader.pictures(asked, max(0, window.from_us - slack), window.to_us + slack)
    found: dict[int, _Coarse | None] = {}
    laying = []
    for stream in asked:
        picture, level = pictures.get(stream.card.id), levels[stream.card.id] or 1
        count, first = (0, 0) if picture is None else picture.timeline.within(stream, window.from_us, window.to_us)
        if picture is None or not count:
            found[stream.card.id] = None
        elif count > window.columns:
            laying.append((stream, picture, level, first))
    laid = await reader.columns([(one, picture, level) for one, picture, level, _ in laying], window.marks)
    for (stream, picture, level, first), (part, torn) in zip(laying, laid, strict=True):
        found[stream.card.id] = _Coarse(stream, picture, level, first, part, torn)
    return found


def _bounded(found: Sequence[_Fine], window: Window) -> None:
    """Raise ``WindowTooLarge`` when more is to be sent or filtered than one answer may cost."""
    values = {one.stream.card.id: one.index.samples * len(one.stream.card.channels) for one in found}
    sent = sum(values[one.stream.card.id] for one in found
               if window.columns is None or one.index.samples <= window.columns)
    if sent > RAW_VALUES or (window.view != RAW and sum(values.values()) > FILTERED_VALUES):
        raise WindowTooLarge(hours=WINDOW_US // 3_600_000_000)


def _margin_us(spec: FilterSpec | None) -> int:
    if spec is None:
        return 0
    return int(MARGIN_PERIODS / spec.lowest_hz * 1_000_000)


async def _samples(
    reader: Reader, one: _Fine, spec: FilterSpec | None
) -> AsyncIterator[tuple[Piece, Samples]]:
    """Each piece of the window with its samples, int32 (channels, n), in order."""
    rate_hz = one.stream.card.rate_hz
    margin = ceil(_margin_us(spec) * rate_hz / 1_000_000)
    runs_ = await asyncio.to_thread(one.wide.pieces, 2**62) if spec is not None else []
    for piece in await asyncio.to_thread(one.index.pieces, BLOCK_SAMPLES):
        if spec is None:
            yield piece, await reader.samples(one.stream, one.index, piece.first, piece.past)
            continue
        run = next(run for run in runs_ if run.first <= piece.first and piece.past <= run.past)
        begin, end = max(run.first, piece.first - margin), min(run.past, piece.past + margin)
        raw = await reader.samples(one.stream, one.wide, begin, end)
        yield piece, await asyncio.to_thread(
            _filtered, spec, rate_hz, raw, piece.first - begin, piece.past - begin)


def _filtered(spec: FilterSpec, rate_hz: float, raw: Samples, begin: int, end: int) -> Samples:
    missing = raw == MISSING
    if not missing.any():
        y = zero_phase(spec, rate_hz, raw.T)
    else:
        # Each channel between its own holes: a lead that is off leaves the others as they are.
        y = np.zeros(raw.T.shape)
        for channel in range(raw.shape[0]):
            for run in runs(missing[channel]):
                if not run.missing:
                    part = raw[channel, run.start : run.stop, np.newaxis]
                    y[run.start : run.stop, channel] = zero_phase(spec, rate_hz, part)[:, 0]
    return quantise(y[begin:end], missing.T[begin:end], dtype=np.int32)


async def _columns(
    reader: Reader, one: _Fine, spec: FilterSpec | None, window: Window
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Minima and maxima of the columns from every sample, cut at the sample: int32 (channels, columns)."""
    marks = window.marks
    num, den = one.stream.card.rate or (1, 1)
    shape = (len(one.stream.card.channels), len(marks) - 1)
    extent: tuple[Samples, Samples] = (np.full(shape, MISSING, np.int32), np.full(shape, MISSING, np.int32))
    async for piece, samples in _samples(reader, one, spec):
        # The first sample at or after each mark.
        edges = piece.first - ((piece.t0_us - marks) * num) // (den * 1_000_000)
        extent = await asyncio.to_thread(_laid_over, extent, samples, piece.first, edges)
    return extent


def _laid_over(
    extent: tuple[Samples, Samples], samples: Samples, first: int, edges: Samples
) -> tuple[Samples, Samples]:
    return combine(extent, least_and_greatest(samples, first, edges))


def _packed(one: _Fine | _Coarse, window: Window, view: int, mins: Samples, maxs: Samples) -> bytes:
    """One frame of minima and maxima over the columns that the stream touches."""
    used = np.flatnonzero((maxs != MISSING).any(axis=0))
    begin, end = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    both = np.stack([mins[:, begin:end], maxs[:, begin:end]], axis=1)
    return padded(pack_frame(Frame(
        one.stream.card.id, 0, one.first_sample, int(window.marks[begin]), narrowed(both), view=view,
        codec=Codec.MINMAX,
    )))
