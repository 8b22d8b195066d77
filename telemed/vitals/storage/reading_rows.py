"""Which stored samples of a stream may be given out, and when each was measured. Pure.

A row is a piece of a stream whose samples follow each other: a chunk, a segment of up to ten seconds, or a run of many
segments that one line leads from sample to stamp within 20 ms (migration 0005). Rows that lie well within what is given
out, or well outside, are decided whole; where one is undecided, the finer rows in it are asked, and chunks are cut at
the sample. What may lie outside is outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from telemed.vitals.stored import StoredStream

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]

MARGIN_US: Final = 2_000_000  # a run's line is within 20 ms of its chunks, and these are a second long or two
UNSTEADY_US: Final = 1_000_000  # a segment whose stamps are further from its samples than this is not cut as one piece
JUMP_US: Final = 500_000  # samples that follow each other, and times that do not by this much: two stretches
NO_SEGMENT: Final = -1
WHOLE: Final = -1  # the place of a segment that is one row
_COLUMNS: Final = 7


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one stream: ``table`` int64 (rows, 7), one row of it (seq, first sample, n, stamp of the first sample,
    stamp of the end, number of the segment's first chunk or ``NO_SEGMENT``, place of the chunk in it or ``WHOLE``)."""

    table: Int64s

    @classmethod
    def of(cls, rows: Iterable[tuple[int, ...]]) -> Rows:
        """Rows of tuples in the table's order."""
        return cls(np.array(list(rows), np.int64).reshape(-1, _COLUMNS))

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        """All rows of the parts, by first sample and number."""
        table = np.concatenate([np.empty((0, _COLUMNS), np.int64), *(part.table for part in parts)])
        return cls(table[np.lexsort((table[:, 0], table[:, 1]))])

    def __len__(self) -> int:
        return len(self.table)

    def where(self, chosen: Bools) -> Rows:
        """The rows that are chosen."""
        return Rows(self.table[chosen])

    @property
    def seq(self) -> Int64s:
        """Number of the row's first chunk."""
        return self.table[:, 0]

    @property
    def first(self) -> Int64s:
        """Index of the first sample."""
        return self.table[:, 1]

    @property
    def n(self) -> Int64s:
        """Samples a channel."""
        return self.table[:, 2]

    @property
    def t0_us(self) -> Int64s:
        """Stamp of the first sample."""
        return self.table[:, 3]

    @property
    def t1_us(self) -> Int64s:
        """Stamp of the end."""
        return self.table[:, 4]

    @property
    def segment(self) -> Int64s:
        """Number of the first chunk of the segment, or ``NO_SEGMENT``."""
        return self.table[:, 5]

    @property
    def place(self) -> Int64s:
        """Which chunk of the segment, or ``WHOLE``."""
        return self.table[:, 6]


def judged(stream: StoredStream, rows: Rows, *, lines: bool) -> tuple[Bools, Bools]:
    """Which rows are wholly given out, and which wholly are not; the others are undecided.

    ``lines``: the rows are runs, whose stamps are known to be a line; else a row of which the stamps disagree with its
    number of samples is undecided.
    """
    earliest, latest = stream.clock.bounds(rows.t0_us, rows.t1_us)
    length = rows.t1_us - rows.t0_us
    inside = (earliest - MARGIN_US >= stream.opened_us) & (latest + length + MARGIN_US <= stream.closed_us)
    # Of a row in which the clock moved a part may be given out: only what is outside either way is outside.
    outside = (latest + length + MARGIN_US <= stream.opened_us) | (earliest - MARGIN_US >= stream.closed_us)
    if lines:
        return inside, outside
    num, den = stream.card.rate or (1, 1)
    steady = (rows.n > 0) & (np.abs(length - rows.n * (den * 1_000_000) // num) <= UNSTEADY_US)
    return inside & steady, outside & steady


def given(stream: StoredStream, rows: Rows) -> tuple[Int64s, Int64s]:
    """Of each chunk (or row that is wholly given out) the samples ``skip`` to ``stop`` that are given out."""
    num, den = stream.card.rate or (1, 1)
    # Where nobody knows when the clock moved, what may lie outside the attachment is outside.
    earliest, latest = stream.clock.bounds(rows.t0_us, rows.t0_us + rows.n * (den * 1_000_000) // num)
    skip = np.minimum(rows.n, stream.samples_before(earliest, stream.opened_us))
    return skip, np.minimum(rows.n, stream.samples_before(latest, stream.closed_us))


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples ``first`` … ``past`` - 1 without a hole; ``t0_us`` is the consultation time of the first."""

    first: int
    past: int
    t0_us: int


class Index:
    """The rows of a stream that touch a window of consultation time, and which samples of each are wanted.

    ``begin`` … ``end`` - 1 are the wanted samples of each row; they ascend and never overlap.
    """

    def __init__(self, stream: StoredStream, rows: Rows, from_us: int, to_us: int) -> None:
        self._stream = stream
        t0_us = stream.clock.to_consultation(rows.t0_us)
        skip, stop = given(stream, rows)
        skip = np.maximum(skip, stream.samples_before(t0_us, from_us))
        stop = np.minimum(stop, stream.samples_before(t0_us, to_us))
        begin, end = rows.first + np.minimum(rows.n, skip), rows.first + stop
        if len(rows):
            # A sample is given once: what an earlier row of the order had is skipped.
            begin[1:] = np.maximum(begin[1:], np.maximum.accumulate(end)[:-1])
        keep = end > begin
        self.rows, self.t0_us, self.begin, self.end = rows.where(keep), t0_us[keep], begin[keep], end[keep]

    @property
    def samples(self) -> int:
        """Wanted samples a channel."""
        return int((self.end - self.begin).sum())

    def time_of(self, sample: int, row: int) -> int:
        """Consultation time of a sample of this row."""
        return int(self.t0_us[row]) + self._stream.card.sample_us(sample - int(self.rows.first[row]))

    def rows_of(self, first: int, past: int) -> range:
        """The rows that have wanted samples of ``first`` … ``past`` - 1."""
        return range(int(np.searchsorted(self.end, first, "right")), int(np.searchsorted(self.begin, past, "left")))

    def pieces(self, most: int) -> list[Piece]:
        """Cut into pieces without a hole, each of at most ``most`` samples."""
        if not len(self.begin):
            return []
        starts = np.flatnonzero(np.concatenate([[True], self.begin[1:] != self.end[:-1]]))
        pieces = []
        for low, high in zip(starts.tolist(), [*starts[1:].tolist(), len(self.begin)], strict=True):
            first, past = int(self.begin[low]), int(self.end[high - 1])
            for at in range(first, past, most):
                row = low if at == first else self.rows_of(at, at + 1)[0]
                pieces.append(Piece(at, min(at + most, past), self.time_of(at, row)))
        return pieces


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """What of a stream is given out: samples ``first`` … ``past`` - 1 of each row, ascending, on a line from stamp
    ``t0_us`` to ``t1_us``; ``hidden`` (rows, 2) are the stretches of compacted samples that are not given out."""

    first: Int64s
    past: Int64s
    t0_us: Int64s
    t1_us: Int64s
    hidden: Int64s

    @classmethod
    def of(cls, stream: StoredStream, compacted: Rows, hot: Rows) -> Timeline:
        """Of rows that are wholly given out or wholly not, and of chunks."""
        rows = Rows.joined((compacted, hot))
        first, past, hidden = _kept(stream, rows)
        if len(hot):
            hidden = _kept(stream, compacted)[2]
        keep = past > first
        first, past, rows = first[keep], past[keep], rows.where(keep)
        slope = (rows.t1_us - rows.t0_us) / rows.n
        return cls(
            first, past, rows.t0_us + _rounded((first - rows.first) * slope),
            rows.t0_us + _rounded((past - rows.first) * slope), hidden,
        )

    def __len__(self) -> int:
        return len(self.first)

    def stamps_of(self, samples: Int64s) -> Int64s:
        """The stamps of samples that are given out."""
        row = np.clip(np.searchsorted(self.first, samples, "right") - 1, 0, None)
        slope = (self.t1_us[row] - self.t0_us[row]) / (self.past[row] - self.first[row])
        return self.t0_us[row] + _rounded((samples - self.first[row]) * slope)

    def within(self, stream: StoredStream, from_us: int, to_us: int) -> tuple[int, int]:
        """About how many samples lie in a window of consultation time, and which is the first of them."""
        begin_us, end_us = stream.clock.to_consultation(self.t0_us), stream.clock.to_consultation(self.t1_us)
        slope = (self.past - self.first) / np.maximum(end_us - begin_us, 1)
        low = np.clip(from_us - begin_us, 0, end_us - begin_us) * slope
        counts = np.maximum(np.clip(to_us - begin_us, 0, end_us - begin_us) * slope - low, 0.0)
        used = np.flatnonzero(counts > 0)
        if not used.size:
            return 0, 0
        return max(1, round(float(counts.sum()))), int(self.first[used[0]] + np.ceil(low[used[0]]))

    def stretches(self, stream: StoredStream) -> Int64s:
        """Stretches without a hole in samples or time: int64 (stretches, 4) of first, past, and the consultation
        times of both."""
        if not len(self):
            return np.empty((0, 4), np.int64)
        begin_us, end_us = stream.clock.to_consultation(self.t0_us), stream.clock.to_consultation(self.t1_us)
        past = np.maximum.accumulate(self.past)
        fresh = (self.first[1:] > past[:-1]) | (begin_us[1:] - end_us[:-1] > JUMP_US)
        starts = np.concatenate([[0], np.flatnonzero(fresh) + 1])
        last = np.concatenate([starts[1:] - 1, [len(self) - 1]])
        return np.stack([self.first[starts], past[last], begin_us[starts], end_us[last]], axis=1)


def _kept(stream: StoredStream, rows: Rows) -> tuple[Int64s, Int64s, Int64s]:
    """(first, past) of what of each row is given out, and the stretches that are not: int64 (stretches, 2)."""
    inside, outside = judged(stream, rows, lines=True)
    if inside.all():  # as of all streams but an attachment's first and last
        return rows.first, rows.first + rows.n, np.empty((0, 2), np.int64)
    skip, stop = given(stream, rows)
    stop = np.where(inside, rows.n, np.where(outside, 0, stop))
    skip = np.minimum(np.where(inside, 0, skip), stop)
    first, past, end = rows.first + skip, rows.first + stop, rows.first + rows.n
    hidden = np.concatenate([np.stack([rows.first, first], axis=1), np.stack([past, end], axis=1)])
    return first, past, hidden[hidden[:, 1] > hidden[:, 0]]


def _rounded(us: NDArray[Any]) -> Int64s:
    whole: Int64s = np.rint(us).astype(np.int64)
    return whole
