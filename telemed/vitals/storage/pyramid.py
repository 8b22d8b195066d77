"""The pyramid: least and greatest of ever more samples, so that a day is read as fast as a minute. Pure.

Level L has a bucket for every L samples since the epoch began: bucket b is samples b * L … (b + 1) * L - 1. The
dtype's minimum means that nothing is there. A block is ``BUCKETS`` buckets of a level, all channels; it is written
again when more samples come. Columns of whole buckets are exact: the least and greatest of exactly those samples.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from telemed_signal.minmax import columns, combine

from telemed.vitals.storage.codec import packed, unpacked

STEP: Final = 4  # buckets of a level in one of the level above
LEVELS: Final = tuple(16 * STEP**up for up in range(7))  # 16 … 65,536
"""Samples a bucket: each level a quarter of the one below (measured: 0.24 bytes a sample of ECG for all, packed)."""
BUCKETS: Final = 1_024
"""Buckets a block: 33 s of 500 Hz on the lowest level."""
FINEST: Final = 2
"""Buckets that a column needs at least: its ends are rounded to whole buckets, by a quarter of it at the most."""

_BLOCK: Final = struct.Struct("<BBHH")  # bytes a value, channels, first bucket that is packed, how many are

Samples = npt.NDArray[np.signedinteger[Any]]
Extent = tuple[Samples, Samples]


def level_for(samples_a_column: float) -> int | None:
    """The coarsest level of which ``FINEST`` buckets fit into a column; None: read the samples themselves."""
    fitting = [level for level in LEVELS if level * FINEST <= samples_a_column]
    return fitting[-1] if fitting else None


def buckets(samples: Samples, first: int, level: int) -> tuple[int, Extent]:
    """(first bucket, (minima, maxima)) of samples (channels, n) whose first has the index ``first``."""
    begin, end = first // level, -(-(first + samples.shape[1]) // level)
    return begin, columns(samples, first, np.arange(begin, end + 1, dtype=np.int64) * level)


def places(first: int, n: int) -> Iterator[tuple[int, int]]:
    """(level, block) of every block that ``n`` samples from ``first`` on touch."""
    for level in LEVELS:
        for block in range(first // level // BUCKETS, (first + n - 1) // level // BUCKETS + 1):
            yield level, block


def empty(channels: int, dtype: npt.DTypeLike) -> Extent:
    """A block in which nothing is."""
    nothing = np.full((channels, BUCKETS), np.iinfo(np.dtype(dtype)).min, dtype)
    return nothing, nothing.copy()


def widened(block: Extent, at: int, more: Extent) -> Extent:
    """The block with these buckets, the first at place ``at`` of it, laid over what was there."""
    there = slice(at, at + more[0].shape[1])
    mins, maxs = block[0].copy(), block[1].copy()
    mins[:, there], maxs[:, there] = combine((mins[:, there], maxs[:, there]), more)
    return mins, maxs


def coarser(begin: int, extent: Extent) -> tuple[int, Extent]:
    """The buckets of the level above, from buckets of this one of which the first is ``begin``."""
    least, greatest = (buckets(one, begin, STEP) for one in extent)
    return least[0], (least[1][0], greatest[1][1])


def wide(extent: Extent) -> Extent:
    """The same buckets as int32."""
    if extent[0].dtype.itemsize == 4:
        return extent
    nothing = np.iinfo(np.int16).min
    mins, maxs = (np.where(one == nothing, np.iinfo(np.int32).min, one.astype(np.int32)) for one in extent)
    return mins, maxs


def pack_block(block: Extent) -> bytes:
    """The bytes of a block: its buckets from the first to the last that hold something, minima and maxima of a channel
    side by side, as if they were two channels."""
    both = np.stack(block, axis=1)
    used = np.flatnonzero((block[1] != np.iinfo(both.dtype).min).any(axis=0))
    begin, count = (int(used[0]), int(used[-1] - used[0]) + 1) if used.size else (0, 0)
    head = _BLOCK.pack(both.dtype.itemsize, both.shape[0], begin, count)
    return head + packed(both.reshape(-1, BUCKETS)[:, begin : begin + count]) if count else head


def unpack_block(data: bytes) -> Extent:
    """The block that :func:`pack_block` was given. Raises ``ValueError``."""
    if len(data) < _BLOCK.size:
        raise ValueError("not a block of a pyramid")
    itemsize, channels, begin, count = _BLOCK.unpack_from(data)
    if itemsize not in (2, 4) or channels < 1 or begin + count > BUCKETS:
        raise ValueError("not a block of a pyramid")
    block = empty(channels, f"<i{itemsize}")
    if count:
        both = unpacked(data[_BLOCK.size :], 2 * channels, count, itemsize).reshape(channels, 2, count)
        for half, there in zip(block, (both[:, 0], both[:, 1]), strict=True):
            half[:, begin : begin + count] = there
    return block
