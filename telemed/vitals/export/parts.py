"""The stretches that become a file each: samples of one stream that lie on one even time. Pure.

A hole of up to ``HOLE_US`` stays in the file, as samples that are missing; a longer one ends it, and so does a time
that is not where the samples say. A file is an hour long at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from telemed.vitals.storage.reading_rows import JUMP_US, Index, Piece
from telemed.vitals.stored import StoredStream

HOLE_US: Final = 60_000_000  # what is missing in a file is written out: a minute of 12 leads at 1 kHz is 1.4 MB
FILE_US: Final = 3_600_000_000  # of one file, as long as a stream usually is


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Samples ``first`` … ``past`` - 1 of a stream, the first at ``t0_us`` (consultation time); ``there`` are those
    that are there, (begin, end) each, with holes between them. ``name`` is its file's, without an ending."""

    name: str
    stream: StoredStream
    index: Index
    first: int
    past: int
    t0_us: int
    there: tuple[tuple[int, int], ...]

    @property
    def n(self) -> int:
        """Samples a channel, missing ones among them."""
        return self.past - self.first

    @property
    def holes(self) -> list[tuple[int, int]]:
        """(first missing sample, samples) of each hole."""
        return [(before[1], after[0] - before[1]) for before, after in pairwise(self.there)]


def parts_of(found: Sequence[tuple[StoredStream, Index]]) -> list[Part]:
    """The parts of these streams, by kind and time, each named."""
    made: list[Part] = []
    for stream, index in found:
        longest = max(1, FILE_US * (stream.card.rate or (1, 1))[0] // ((stream.card.rate or (1, 1))[1] * 1_000_000))
        group: list[Piece] = []
        for piece in index.pieces(longest):
            if group and not _continues(stream, group, piece, longest):
                made.append(_part(stream, index, group))
                group = []
            group.append(piece)
        if group:
            made.append(_part(stream, index, group))
    made.sort(key=lambda one: (one.stream.card.kind, one.t0_us, one.stream.card.id))
    numbers: dict[str, int] = {}
    named = []
    for one in made:
        kind = one.stream.card.kind
        numbers[kind] = numbers.get(kind, 0) + 1
        name = f"{kind}-{numbers[kind]:03d}"
        named.append(Part(name, one.stream, one.index, one.first, one.past, one.t0_us, one.there))
    return named


def _continues(stream: StoredStream, group: Sequence[Piece], piece: Piece, longest: int) -> bool:
    begin, last = group[0], group[-1]
    expected = begin.t0_us + stream.card.sample_us(piece.first - begin.first)
    return (
        stream.card.sample_us(piece.first - last.past) <= HOLE_US
        and abs(piece.t0_us - expected) <= JUMP_US
        and piece.past - begin.first <= longest
    )


def _part(stream: StoredStream, index: Index, group: Sequence[Piece]) -> Part:
    there = tuple((piece.first, piece.past) for piece in group)
    return Part("", stream, index, there[0][0], there[-1][1], group[0].t0_us, there)
