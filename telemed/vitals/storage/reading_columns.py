"""Columns of a window from buckets of the pyramid: which are read, and in which column each lies. Pure.

A bucket lies, whole, in the column of its middle sample (of the nearest one that is given out, at the end of what is
given out). So column k is the least and greatest of exactly the samples e_k … e_(k+1) - 1, where e_k is the first
sample at or after the column's begin, rounded to a bucket; and no sample is left out or in two columns. A bucket that
reaches into what is not given out is not read: the finer ones in it are, and at last the samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemed.vitals.clock import Mapping
from telemed.vitals.storage.pyramid import BUCKETS, LEVELS, Extent
from telemed.vitals.storage.reading_rows import Bools, Int64s, Timeline

MISSING: Final = -(2**31)
SLACK_US: Final = 2_000_000  # a run's middle may be this far from the straight line between its ends

Samples = NDArray[Any]
Ranges = tuple[Int64s, Int64s]  # begins and ends, both ascending, no range touching the next


def merged(first: Int64s, past: Int64s) -> Ranges:
    """The union of ranges, whose begins ascend."""
    if not len(first):
        return first, past
    reach = np.maximum.accumulate(past)
    fresh = np.flatnonzero(first[1:] > reach[:-1]) + 1
    return first[np.concatenate([[0], fresh])], reach[np.concatenate([fresh - 1, [len(first) - 1]])]


def touches(ranges: Ranges, begin: Int64s, end: Int64s) -> Bools:
    """Which of the stretches ``begin`` to ``end`` have something of the ranges."""
    if not len(ranges[0]):
        return np.zeros(begin.shape, bool)
    at = np.searchsorted(ranges[0], end, "left") - 1
    return (at >= 0) & (ranges[1][at] > begin)


@dataclass(frozen=True, slots=True, eq=False)
class Lot:
    """Buckets of one level, ascending, and the column of each."""

    level: int
    buckets: Int64s
    columns: Int64s

    def blocks(self) -> list[int]:
        """The numbers of the pyramid's blocks that hold them."""
        numbers: list[int] = distinct(self.buckets // BUCKETS).tolist()
        return numbers


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is read for the columns: buckets that are given out whole, and at the edges the samples of buckets of the
    lowest level (``samples``, their numbers)."""

    lots: tuple[Lot, ...]
    samples: Int64s


def distinct(ascending: Int64s) -> Int64s:
    """The values, each once."""
    return ascending[np.concatenate([[True], ascending[1:] != ascending[:-1]])] if len(ascending) else ascending


class Grid:
    """The columns between ``marks`` (consultation time, ascending) over what is given out of one stream."""

    def __init__(self, timeline: Timeline, clock: Mapping, marks: Int64s, level: int) -> None:
        self.level = level
        self._timeline, self._clock, self._marks = timeline, clock, marks
        self._given = merged(timeline.first, timeline.past)
        order = np.argsort(timeline.hidden[:, 0], kind="stable")
        self._hidden = merged(timeline.hidden[order, 0], timeline.hidden[order, 1])

    def middles(self, buckets: Int64s) -> Int64s:
        """The sample by which each bucket is placed: its middle, or the nearest before it or else after it."""
        starts, ends = self._given
        middle = buckets * self.level + self.level // 2
        at = np.searchsorted(starts, middle, "right") - 1
        before = np.where(at >= 0, ends[np.maximum(at, 0)], -1)  # where the stretch around it, or before it, ends
        after = starts[np.minimum(at + 1, len(starts) - 1)]
        return np.where(before > buckets * self.level, np.minimum(middle, before - 1), after)

    def columns_of(self, buckets: Int64s) -> Int64s:
        """The column of each bucket; below 0 or beyond the last: outside the window."""
        if not len(self._timeline):
            return np.full(buckets.shape, -1, np.int64)
        times = self._clock.to_consultation(self._timeline.stamps_of(self.middles(buckets)))
        found = np.searchsorted(self._marks, times, "right") - 1
        return np.asarray(np.where(found >= len(self._marks) - 1, -1, found), np.int64)

    def touched(self) -> Int64s:
        """Every bucket that has samples of the window, ascending."""
        line = self._timeline
        begin_us, end_us = self._clock.to_consultation(line.t0_us), self._clock.to_consultation(line.t1_us)
        # A little more than the window: what is too much is outside every column.
        slope = (line.past - line.first) / np.maximum(end_us - begin_us, 1)
        n = line.past - line.first
        low = np.clip(np.floor((self._marks[0] - SLACK_US - begin_us) * slope) - self.level, 0, n).astype(np.int64)
        high = np.clip(np.ceil((self._marks[-1] + SLACK_US - begin_us) * slope) + self.level, 0, n).astype(np.int64)
        keep = high > low
        starts, ends = merged(line.first[keep] + low[keep], line.first[keep] + high[keep])
        begins, counts = starts // self.level, -(-ends // self.level) - starts // self.level
        offsets = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        # Two stretches may share the bucket between them.
        return distinct(np.repeat(begins, counts) + offsets)

    def plan(self) -> Plan:
        """What of the pyramid is read."""
        todo = self.touched()
        columns = self.columns_of(todo)
        todo, columns = todo[columns >= 0], columns[columns >= 0]
        lots = []
        for level in reversed(LEVELS[: LEVELS.index(self.level) + 1]):
            there = touches(self._given, todo * level, (todo + 1) * level)
            todo, columns = todo[there], columns[there]
            torn = touches(self._hidden, todo * level, (todo + 1) * level)
            if not torn.all():
                lots.append(Lot(level, todo[~torn], columns[~torn]))
            todo, columns = todo[torn], columns[torn]
            if level == LEVELS[0] or not len(todo):
                break
            finer = level // LEVELS[LEVELS.index(level) - 1]
            todo = (todo[:, np.newaxis] * finer + np.arange(finer)).ravel()
            columns = np.repeat(columns, finer)
        return Plan(tuple(lots), todo)


class Laid:
    """Least and greatest of every column so far: int32 (channels, columns), ``MISSING`` where nothing is."""

    def __init__(self, channels: int, columns: int) -> None:
        self.mins = np.full((channels, columns), MISSING, np.int32)
        self.maxs = self.mins.copy()
        self._some = False

    def add(self, columns: Int64s, extent: Extent) -> None:
        """Lay buckets, extents (channels, buckets), over their columns; those of no column are left out."""
        if (columns < 0).any() or (columns[1:] < columns[:-1]).any():  # as everywhere but at a window's or clock's end
            order = np.argsort(columns, kind="stable")
            order = order[columns[order] >= 0]
            columns, extent = columns[order], (extent[0][:, order], extent[1][:, order])
        if not len(columns):
            return
        mins, maxs = extent
        missing, greatest = np.iinfo(mins.dtype).min, np.iinfo(mins.dtype).max
        starts = np.flatnonzero(np.concatenate([[True], columns[1:] != columns[:-1]]))
        most = np.maximum.reduceat(maxs, starts, axis=1)
        if (least := np.minimum.reduceat(mins, starts, axis=1)).min() == missing:  # somewhere nothing is
            least = np.minimum.reduceat(np.where(mins == missing, greatest, mins), starts, axis=1)
            least = np.where(most == missing, missing, least).astype(mins.dtype)
        least, most = widened(least), widened(most)
        at = columns[starts]
        if not self._some:
            self._some, self.mins[:, at], self.maxs[:, at] = True, least, most
            return
        known = self.mins[:, at]
        self.mins[:, at] = np.where(
            known == MISSING, least, np.where(least == MISSING, known, np.minimum(known, least)))
        self.maxs[:, at] = np.maximum(self.maxs[:, at], most)

    def lay(self, lot: Lot, blocks: dict[int, Extent]) -> None:
        """Lay the buckets of a lot over their columns, as far as the pyramid has their blocks, by number."""
        numbers = lot.buckets // BUCKETS
        parts: list[Extent] = []
        columns = []
        for number, block in sorted(blocks.items()):
            begin, end = np.searchsorted(numbers, [number, number + 1]).tolist()
            places: slice | Int64s = lot.buckets[begin:end] - number * BUCKETS
            first = int(lot.buckets[begin]) - number * BUCKETS
            if lot.buckets[end - 1] - lot.buckets[begin] == end - begin - 1:  # none is left out: no copy
                places = slice(first, first + end - begin)
            parts.append((block[0][:, places], block[1][:, places]))
            columns.append(lot.columns[begin:end])
        if len({part[0].dtype for part in parts}) > 1:
            parts = [(widened(mins), widened(maxs)) for mins, maxs in parts]
        if parts:
            joined = [np.concatenate(side, axis=1) for side in zip(*parts, strict=True)]
            self.add(np.concatenate(columns), (joined[0], joined[1]))


def widened(samples: Samples) -> Samples:
    """int16 or int32 samples as int32; "missing" stays missing."""
    if samples.dtype.itemsize == 4:
        return samples
    wide = samples.astype(np.int32)
    wide[samples == np.iinfo(np.int16).min] = MISSING
    return wide

