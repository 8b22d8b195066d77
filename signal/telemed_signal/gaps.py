"""What becomes of missing samples before a filter sees them: never NaN, never invented data.

A channel without a sample holds its last value for up to 200 ms, so that the filter rings on as if nothing had
been; what leaves is still marked missing. After a longer gap the channel starts over at its first sample, in
the steady state of that sample. The rule depends on the samples alone, so anybody can repeat it from the raw.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from telemed_signal.faults import BlockShape, RateUnsupported

HOLD_S: Final = 0.2
"""Longest gap bridged by the last value: a beat lost in it is still one beat, a longer one is a gap."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A contiguous stretch to be pushed through a filter.

    ``values`` (time, channels) float64 with held values in the holes; ``missing`` the same shape, true where
    there was no sample; ``restart`` (channels,) true where the channel must be reset before this piece.
    ``first_sample`` is the index of ``values[0]`` since the epoch began.
    """

    first_sample: int
    values: npt.NDArray[np.float64]
    missing: Bools
    restart: Bools


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch ``[start, stop)`` that is wholly missing or wholly there."""

    start: int
    stop: int
    missing: bool


def runs(missing: Bools) -> tuple[Run, ...]:
    """Cut a one-dimensional mask into its alternating runs, in order, covering it all."""
    if missing.ndim != 1:
        raise BlockShape("a mask of one channel is one-dimensional")
    if missing.size == 0:
        return ()
    edges = np.flatnonzero(missing[1:] != missing[:-1]) + 1
    starts = [0, *(int(edge) for edge in edges)]
    stops = [*starts[1:], int(missing.size)]
    return tuple(Run(start, stop, bool(missing[start])) for start, stop in zip(starts, stops, strict=True))


class GapHold:
    """Carries each channel's last value over short gaps and says when a filter must start over.

    Any way of cutting the signal into blocks gives the same values, masks and restarts.
    """

    def __init__(self, channels: int, rate_hz: float) -> None:
        if rate_hz <= 0:
            raise RateUnsupported
        self.channels = channels
        self.hold = int(HOLD_S * rate_hz)
        self._next: int | None = None
        self._last = np.zeros(channels)
        # Samples since each channel's last value; a channel that never had one counts as gone.
        self._gone = np.full(channels, self.hold + 1, dtype=np.int64)
        self._whole = False  # nothing is to be held or begun when the next block has no hole
        self._tail: npt.NDArray[np.signedinteger[Any]] | None = None  # the last block, when it was whole

    def follows(self, first_sample: int) -> bool:
        """Whether a block that begins here and has no hole in it goes through a filter as it is."""
        return self._whole and first_sample == self._next

    def passed(self, samples: npt.NDArray[np.signedinteger[Any]]) -> None:
        """Such a block, as :meth:`push` takes it, went through."""
        self._next = (self._next or 0) + samples.shape[1]
        self._tail = samples

    def push(self, first_sample: int, samples: npt.NDArray[np.signedinteger[Any]]) -> tuple[Piece, ...]:
        """The next block, lead-major (channels, n) integers whose dtype's minimum means missing.

        A hole before ``first_sample`` is bridged when it is at most 200 ms: the first piece then begins in the
        hole, with every channel missing. A step back in ``first_sample`` is a new beginning.
        """
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise BlockShape(f"{self.channels} channels expected, block of shape {samples.shape}")
        if self._tail is not None:
            self._last = self._tail[:, -1].astype(np.float64)
            self._gone[:] = 0
            self._tail = None
        missing = np.ascontiguousarray((samples == np.iinfo(samples.dtype).min).T)
        values = np.ascontiguousarray(samples.T, dtype=np.float64)
        at = first_sample
        if self._next is not None and first_sample != self._next:
            hole = first_sample - self._next
            if 0 < hole <= self.hold:
                at = self._next
                missing = np.concatenate([np.ones((hole, self.channels), dtype=np.bool_), missing])
                values = np.concatenate([np.zeros((hole, self.channels)), values])
            else:
                self._gone[:] = self.hold + 1
                self._whole = False
        self._next = first_sample + samples.shape[1]
        return self._cut(at, values, missing)

    def _cut(self, at: int, values: npt.NDArray[np.float64], missing: Bools) -> tuple[Piece, ...]:
        length = values.shape[0]
        if length == 0:
            return ()
        if not missing.any() and (self._gone <= self.hold).all():  # the usual block: nothing to hold, nothing begins
            self._last = values[-1].copy()
            self._gone[:] = 0
            self._whole = True
            return (Piece(at, values, missing, np.zeros(self.channels, dtype=np.bool_)),)
        index = np.arange(length)[:, np.newaxis]
        # Index of the last sample that was there, -1-gone before the block began.
        latest = np.where(missing, np.int64(-1) << 40, index)
        latest = np.maximum.accumulate(np.maximum(latest, (-1 - self._gone)[np.newaxis, :]), axis=0)
        before = np.concatenate([(-1 - self._gone)[np.newaxis, :], latest[:-1]])
        comes_back = ~missing & (index - before - 1 > self.hold)
        held = np.take_along_axis(values, np.maximum(latest, 0), axis=0)
        values = np.where(latest >= 0, held, self._last)
        self._last = values[-1].copy()
        self._gone = np.minimum(length - 1 - latest[-1], self.hold + 1)
        self._whole = bool((self._gone <= self.hold).all())
        cuts = [0, *(int(row) for row in np.flatnonzero(comes_back.any(axis=1)) if row > 0), length]
        return tuple(
            Piece(at + start, values[start:stop], missing[start:stop], comes_back[start].copy())
            for start, stop in pairwise(cuts)
        )
