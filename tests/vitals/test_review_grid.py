"""Which buckets a column is made of: every given sample is in one column, near where it belongs, and no other is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemed.store.sealing import DataKey
from telemed.vitals.clock import Fix, Mapping
from telemed.vitals.live import Channel, StreamCard
from telemed.vitals.storage import pyramid
from telemed.vitals.storage.reading_columns import MISSING, Grid, Laid, merged, touches
from telemed.vitals.storage.reading_rows import NO_SEGMENT, WHOLE, Index, Rows, Timeline, judged
from telemed.vitals.stored import OPEN_END_US, StoredStream

RATE = 500
US = 2_000  # of one sample
BEGAN = 1_700_000_000_000_000


def stream(opened_us: int = 0, closed_us: int = OPEN_END_US, fixes: tuple[Fix, ...] = ()) -> StoredStream:
    channels = (Channel("I", "uV", 1.0, 0.0), Channel("II", "uV", 1.0, 0.0))
    card = StreamCard(7, 1, None, "Demo", "ecg", "measured", (RATE, 1), channels)
    return StoredStream(card, "native", datetime(2023, 11, 14, tzinfo=UTC), DataKey(bytes(32)), Mapping(fixes),
                        opened_us, closed_us)


def chunk(seq: int, first: int, n: int, t0_us: int, segment: int = 0) -> tuple[int, ...]:
    return seq, first, n, t0_us, t0_us + n * US, segment, seq


@dataclass
class Stored:
    """Chunks with holes in samples and jumps in time, and the pyramid of them all."""

    chunks: list[tuple[int, ...]]
    samples: np.ndarray[Any, Any]

    def blocks(self) -> dict[tuple[int, int], Any]:
        found: dict[tuple[int, int], Any] = {}
        for _, first, n, *_ in self.chunks:
            for level in pyramid.LEVELS:
                begin, extent = pyramid.buckets(self.samples[:, first : first + n], first, level)
                for at in range(extent[0].shape[1]):
                    block, place = divmod(begin + at, pyramid.BUCKETS)
                    there = found.get((level, block))
                    if there is None:
                        there = found[level, block] = pyramid.empty(2, np.int16)
                    found[level, block] = pyramid.widened(there, place, (extent[0][:, at : at + 1],
                                                                         extent[1][:, at : at + 1]))
        return found


@st.composite
def stores(draw: Any) -> Stored:
    chunks: list[tuple[int, ...]] = []
    first, t0_us = draw(st.integers(0, 3000)), BEGAN
    for seq in range(draw(st.integers(1, 12))):
        n = draw(st.integers(1, 3000))
        chunks.append(chunk(seq, first, n, t0_us))
        hole = draw(st.sampled_from([0, 0, 0, 1, 17, 900, 5000]))
        first, t0_us = first + n + hole, t0_us + (n + hole) * US + draw(st.sampled_from([0, 0, 30_000_000]))
    seed = draw(st.integers(0, 99))
    samples = np.random.default_rng(seed).integers(-32_767, 32_768, (2, first + 1)).astype(np.int16)
    return Stored(chunks, samples)


def laid(one: StoredStream, stored: Stored, marks: Any, level: int) -> Laid:
    rows = Rows.of(stored.chunks)
    grid = Grid(Timeline.of(one, rows, Rows.of([])), one.clock, marks, level)
    plan, found = grid.plan(), Laid(2, len(marks) - 1)
    blocks = stored.blocks()
    for lot in plan.lots:
        found.lay(lot, {block: blocks[lot.level, block] for block in lot.blocks()})
    index = Index(one, rows, 0, OPEN_END_US)
    for bucket in plan.samples.tolist():
        lowest = pyramid.LEVELS[0]
        for row in index.rows_of(bucket * lowest, (bucket + 1) * lowest):
            low = max(int(index.begin[row]), bucket * lowest)
            high = min(int(index.end[row]), (bucket + 1) * lowest)
            begin, extent = pyramid.buckets(stored.samples[:, low:high], low, level)
            found.add(grid.columns_of(begin + np.arange(extent[0].shape[1])), extent)
    return found


@settings(max_examples=150, deadline=None)
@given(stores(), st.sampled_from([16, 64, 256, 1024]), st.integers(1, 40), st.data())
def test_columns_hold_the_given_samples_each_once(stored: Stored, level: int, count: int, data: Any) -> None:
    end = stored.chunks[-1][4]
    opened = data.draw(st.integers(BEGAN - 1_000_000, end), "opened")
    closed = data.draw(st.integers(opened, end + 1_000_000), "closed")
    one = stream(opened, closed)
    from_us = data.draw(st.integers(BEGAN - 5_000_000, end), "from")
    to_us = data.draw(st.integers(from_us + count * 64 * US, end + 40_000_000 + count * 64 * US), "to")
    marks = from_us + np.arange(count + 1, dtype=np.int64) * (to_us - from_us) // count
    got = laid(one, stored, marks, level)
    # The same from the samples themselves, one by one.
    given_, times = [], []
    for _, first, n, t0_us, *_ in stored.chunks:
        for k in range(n):
            if opened <= t0_us + k * US < closed:
                given_.append(first + k)
                times.append(t0_us + k * US)
    mins, maxs = np.full((2, count), MISSING, np.int32), np.full((2, count), MISSING, np.int32)
    if given_:
        numbers, at_us = np.array(given_), np.array(times)
        for bucket in np.unique(numbers // level).tolist():
            ours = numbers[numbers // level == bucket]
            middle = bucket * level + level // 2
            before = ours[ours <= middle]
            placed = before[-1] if len(before) else ours[0]
            column = int(np.searchsorted(marks, at_us[numbers == placed][0], "right")) - 1
            if 0 <= column < count:
                values = stored.samples[:, ours].astype(np.int32)
                known = mins[:, column] != MISSING
                mins[:, column] = np.where(known, np.minimum(mins[:, column], values.min(axis=1)), values.min(axis=1))
                maxs[:, column] = np.maximum(maxs[:, column], values.max(axis=1))
    np.testing.assert_array_equal(got.mins, mins)
    np.testing.assert_array_equal(got.maxs, maxs)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=8), st.integers(0, 60), st.integers(1, 9))
def test_ranges_touch_what_they_overlap(ranges: list[tuple[int, int]], begin: int, length: int) -> None:
    ordered = sorted((first, first + n) for first, n in ranges)
    table = np.array(ordered, np.int64).reshape(-1, 2)
    union = merged(table[:, 0], table[:, 1])
    held = {sample for first, past in ordered for sample in range(first, past)}
    assert {sample for a, b in zip(*union, strict=True) for sample in range(a, b)} == held
    assert all(a > b for a, b in zip(union[0][1:], union[1][:-1], strict=True)), "no two of them touch"
    got = touches(union, np.array([begin]), np.array([begin + length]))
    assert bool(got[0]) == bool(held & set(range(begin, begin + length)))


def test_a_row_near_the_edge_is_undecided_and_one_with_odd_stamps_too() -> None:
    one = stream(BEGAN, BEGAN + 60_000_000)
    rows = Rows.of([
        (0, 0, 5000, BEGAN + 10_000_000, BEGAN + 20_000_000, 0, WHOLE),
        (1, 5000, 5000, BEGAN - 1_000_000, BEGAN + 9_000_000, 1, WHOLE),
        (2, 10_000, 5000, BEGAN + 55_000_000, BEGAN + 65_000_000, 2, WHOLE),
        (3, 15_000, 5000, BEGAN + 70_000_000, BEGAN + 80_000_000, 3, WHOLE),
        (4, 20_000, 5000, BEGAN + 20_000_000, BEGAN + 35_000_000, 4, WHOLE),
        (5, 25_000, 0, BEGAN + 20_000_000, BEGAN + 30_000_000, 5, WHOLE),
    ])
    inside, outside = judged(one, rows, lines=False)
    assert inside.tolist() == [True, False, False, False, False, False]
    assert outside.tolist() == [False, False, False, True, False, False]
    assert judged(one, rows, lines=True)[0].tolist() == [True, False, False, False, True, True]


def test_a_clock_that_stepped_leaves_what_may_be_anothers_out() -> None:
    fixes = (Fix(BEGAN + 4_000_000, 0, 100), Fix(BEGAN + 8_000_000 + 3_600_000_000, 3_600_000_000, 100))
    one = stream(BEGAN, BEGAN + 1_800_000_000, fixes)
    rows = Rows.of([chunk(seq, seq * 100, 100, BEGAN + seq * 100 * US) for seq in range(60)])
    timeline = Timeline.of(one, rows, Rows.of([]))
    ((first, past, from_us, to_us),) = timeline.stretches(one).tolist()
    assert first == 0 and abs(past - 2000) <= 1 and from_us == BEGAN and to_us <= BEGAN + 4_000_000
    assert timeline.hidden[:, 0].min() >= 2000 - 1
    span = Rows.of([(0, 0, 6000, BEGAN, BEGAN + 6000 * US, 0, WHOLE)])
    assert not np.concatenate(judged(one, span, lines=False)).any(), "the chunks of it are asked"


@pytest.mark.parametrize("jump_us", [0, 400_000, 600_000])
def test_a_jump_in_time_ends_a_stretch(jump_us: int) -> None:
    one = stream()
    rows = Rows.of([(0, 0, 5000, BEGAN, BEGAN + 10_000_000, NO_SEGMENT, WHOLE),
                    (0, 5000, 5000, BEGAN + 10_000_000 + jump_us, BEGAN + 20_000_000 + jump_us, NO_SEGMENT, WHOLE)])
    assert len(Timeline.of(one, rows, Rows.of([])).stretches(one)) == (2 if jump_us > 500_000 else 1)


def test_a_sample_that_two_chunks_claim_is_given_once_and_the_first_ones() -> None:
    one = stream()
    rows = Rows.joined([Rows.of([chunk(0, 0, 100, BEGAN), chunk(2, 150, 100, BEGAN + 150 * US),
                                 chunk(1, 50, 120, BEGAN + 50 * US)])])
    index = Index(one, rows, 0, OPEN_END_US)
    assert list(zip(index.begin.tolist(), index.end.tolist(), strict=True)) == [(0, 100), (100, 170), (170, 250)]
    (piece,) = index.pieces(10**6)
    assert (piece.first, piece.past, piece.t0_us) == (0, 250, BEGAN)
    assert [(one.first, one.past, one.t0_us) for one in index.pieces(120)] == [
        (0, 120, BEGAN), (120, 240, BEGAN + 120 * US), (240, 250, BEGAN + 240 * US)]
