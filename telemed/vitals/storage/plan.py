"""Which hot chunks of a stream go into which segment, and which stay hot for now. Pure.

A piece is chunks whose numbers (and, of native ones, samples) follow each other. It is packed when it is as long as a
segment may be, or when nothing was added to it for a while. On a live stream only what lies a little behind its newest
stamp is taken, and not before some time of it is there: every packing writes the open blocks of the pyramid again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from telemed.vitals.storage.envelopes import ENVELOPES_BYTES, ENVELOPES_MAX
from telemed.vitals.storage.segment import CHUNKS_MAX, SECONDS

PIECE_BYTES: Final = 4 * 2**20  # of one segment's chunks; one that is longer is a segment alone
SETTLED_US: Final = 20_000_000  # behind the newest stamp: by then what comes out of order has come
STRIDE_US: Final = 30_000_000  # of a live stream that are packed at once
RESTS: Final = timedelta(seconds=60)  # without a chunk: what there is, is packed
STEP_US: Final = 1_000_000  # between two chunks' stamps more than their samples take: the clock was set, a piece ends


@dataclass(frozen=True, slots=True)
class Hot:
    """A hot chunk; ``first_sample`` and ``n`` None when it is not native; ``idle``: it came ``RESTS`` ago or before."""

    seq: int
    t0_us: int
    first_sample: int | None
    n: int | None
    size: int
    idle: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """Samples a second, exactly; None in a stream of numbers."""

    num: int
    den: int

    def us(self, samples: int) -> int:
        """How long they are, in microseconds."""
        return samples * self.den * 1_000_000 // self.num


@dataclass(slots=True)
class Piece:
    """Chunks of one segment. ``full``: the chunk after them had no room in it."""

    rows: list[Hot]
    native: bool
    size: int
    samples: int
    full: bool = False

    @property
    def seqs(self) -> tuple[int, int]:
        """Its first and last chunk."""
        return self.rows[0].seq, self.rows[-1].seq


def pieces(rows: Iterable[Hot], rate: Rate | None) -> list[Piece]:
    """Cut chunks, ascending by number, into what may be one segment each."""
    cut: list[Piece] = []
    most = 0 if rate is None else max(1, SECONDS * rate.num // rate.den)
    for row in rows:
        native = rate is not None and row.first_sample is not None
        last = cut[-1] if cut else None
        if last is not None and last.native == native and _follows(last.rows[-1], row, rate):
            if _fits(last, row, most):
                last.rows.append(row)
                last.size += row.size
                last.samples += row.n or 0
                continue
            last.full = True
        cut.append(Piece([row], native, row.size, row.n or 0))
    return cut


def ready(cut: Sequence[Piece], rate: Rate | None, *, all_of_it: bool, more: bool) -> list[Piece]:
    """The pieces to pack now. ``more``: the chunks were cut off, and the last piece may go on."""
    if more and len(cut) > 1:
        cut = cut[:-1]
    if all_of_it:
        return list(cut)
    newest = max((piece.rows[-1].t0_us for piece in cut), default=0)
    rested = [piece for piece in cut if piece.rows[-1].idle]
    full = [piece for piece in cut if piece.full and _end_us(piece, rate) <= newest - SETTLED_US]
    if not more and not rested and _length_us(full, rate) < STRIDE_US:
        return []
    wanted = {id(piece) for piece in (*rested, *full)}
    return [piece for piece in cut if id(piece) in wanted]


def hot(row: Any) -> Hot:
    """A row of ``hot_index``."""
    return Hot(row["seq"], row["t0_us"], row["first_sample"], row["n"], row["size"], row["idle"])


def _follows(before: Hot, after: Hot, rate: Rate | None) -> bool:
    if after.seq != before.seq + 1:
        return False
    if rate is None or before.first_sample is None or before.n is None:
        return True
    stepped = abs(after.t0_us - before.t0_us - rate.us(before.n)) > STEP_US
    return after.first_sample == before.first_sample + before.n and not stepped


def _fits(piece: Piece, row: Hot, most: int) -> bool:
    if piece.native:
        return (
            piece.samples + (row.n or 0) <= most and len(piece.rows) < CHUNKS_MAX
            and piece.size + row.size <= PIECE_BYTES
        )
    return len(piece.rows) < ENVELOPES_MAX and piece.size + row.size <= ENVELOPES_BYTES


def _end_us(piece: Piece, rate: Rate | None) -> int:
    last = piece.rows[-1]
    return last.t0_us + (0 if rate is None else rate.us(last.n or 0))


def _length_us(full: Sequence[Piece], rate: Rate | None) -> int:
    if rate is None:
        return STRIDE_US if full else 0
    return sum(rate.us(piece.samples) for piece in full)
