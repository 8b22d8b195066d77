"""What goes into the spool and comes out of it, and what the server says of it: values without a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RANGES_MAX = 1_024  # of one stream's acknowledgements that wait for the disk

Descriptor = Mapping[str, Any]


@dataclass(frozen=True)
class Chunk:
    """One chunk as it travels: its stream's number, its sequence number and its bytes."""

    number: int
    seq: int
    data: bytes


@dataclass(frozen=True)
class SpooledStream:
    """A stream with its announcement's fields. ``generation`` groups streams begun together, newest largest."""

    number: int
    generation: int
    descriptor: Descriptor
    next_seq: int


@dataclass(frozen=True)
class Ack:
    """Every seq ≤ ``through`` and those in ``ranges`` (inclusive) are committed at the server."""

    number: int
    through: int | None
    ranges: tuple[tuple[int, int], ...] = ()

    def covers(self, seq: int) -> bool:
        """Whether this chunk is committed."""
        return seq <= (-1 if self.through is None else self.through) or any(a <= seq <= b for a, b in self.ranges)

    def joined(self, other: Ack) -> Ack:
        """Both; of more than ``RANGES_MAX`` ranges the last are left out, which the next connection tells again."""
        ends = [end for end in (self.through, other.through) if end is not None]
        through = max(ends, default=None)
        ranges: list[tuple[int, int]] = []
        for low, high in sorted({*self.ranges, *other.ranges}):
            if low <= (-1 if through is None else through) + 1:
                through = max(-1 if through is None else through, high)
            elif ranges and low <= ranges[-1][1] + 1:
                ranges[-1] = (ranges[-1][0], max(ranges[-1][1], high))
            else:
                ranges.append((low, high))
        return Ack(self.number, through, tuple(ranges[:RANGES_MAX]))


@dataclass(frozen=True)
class Refusal:
    """The server will never take this chunk, or with ``seq`` None this stream."""

    number: int
    seq: int | None
    code: str


@dataclass(frozen=True)
class Waiting:
    """What is not acknowledged yet and will be sent; apart from it, what was refused and is kept."""

    chunks: int = 0
    bytes: int = 0
    refused: int = 0
    refused_bytes: int = 0

    def plus(self, chunks: int = 0, size: int = 0, refused: int = 0, refused_size: int = 0) -> Waiting:
        """Changed by these numbers."""
        return Waiting(
            self.chunks + chunks, self.bytes + size, self.refused + refused, self.refused_bytes + refused_size
        )
