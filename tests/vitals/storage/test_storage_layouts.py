"""What is packed comes back, what is cut or altered is refused, and the pyramid of parts is that of the whole. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from telemed_devices.native import Frame, pack_frame

from telemed.vitals.storage.codec import packed, unpacked
from telemed.vitals.storage.envelopes import (
    ENVELOPES_MAX,
    Envelope,
    Envelopes,
    Reading,
    pack_envelopes,
    unpack_envelopes,
)
from telemed.vitals.storage.lines import OFF_US, Run, Runs
from telemed.vitals.storage.pack import lay_over
from telemed.vitals.storage.plan import Hot, Rate, pieces, ready
from telemed.vitals.storage.pyramid import BUCKETS, LEVELS, empty, pack_block, places, unpack_block, widened
from telemed.vitals.storage.segment import CHUNKS_MAX, pack_segment, unpack_segment

RATE = Rate(500, 1)
samples_of = st.sampled_from(["<i2", "<i4"]).flatmap(
    lambda dtype: npst.arrays(dtype, st.tuples(st.integers(1, 4), st.integers(1, 200))))
envelope = st.builds(
    Envelope, st.integers(0, 2**62), st.binary(min_size=1, max_size=60),
    st.none() | st.builds(Reading, st.sampled_from(["a 1", "b 2", "в 3"]), st.binary(max_size=60)),
)


@given(samples_of)
def test_any_samples_come_back(samples: Any) -> None:
    channels, n = samples.shape
    again = unpacked(packed(samples), channels, n, samples.dtype.itemsize)
    assert again.dtype == samples.dtype and np.array_equal(again, samples)


def test_samples_that_are_not_those_that_are_asked_for_are_refused() -> None:
    data = packed(np.arange(40, dtype=np.int16).reshape(2, 20))
    for wrong in (data[:-1], b"", data + b"x" * 9, packed(np.zeros((2, 21), np.int16))):
        if wrong[: len(data)] != data:
            with pytest.raises(ValueError, match="samples"):
                unpacked(wrong, 2, 20, 2)


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(-5_000, 5_000), st.sampled_from([0, 1, 1 << 16])), min_size=1,
             max_size=20),
    st.sampled_from([np.int16, np.int32]), st.integers(0, 2**40), st.integers(0, 2**50),
)
def test_every_chunk_of_a_segment_comes_back_to_the_byte(
    parts: list[tuple[int, int, int]], dtype: Any, seq: int, first: int
) -> None:
    generator, chunks, at = np.random.default_rng(3), [], first
    for number, (n, off_us, flags) in enumerate(parts):
        samples = generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (3, n), dtype=dtype, endpoint=True)
        chunks.append(pack_frame(Frame(7, seq + number, at, 10**15 + at % 10**9 + off_us, samples, flags)))
        at += n
    data = pack_segment(chunks)
    assert data is not None
    opened = unpack_segment(data)
    assert list(opened.chunks()) == chunks and opened.chunk(len(chunks) - 1) == chunks[-1]
    assert (opened.first_seq, opened.first_sample, opened.samples.shape[1]) == (seq, first, at - first)


def test_a_segment_that_is_cut_or_altered_is_refused_or_reads_otherwise() -> None:
    samples = np.arange(600, dtype=np.int16).reshape(3, 200)
    chunks = [pack_frame(Frame(7, at, at * 100, 10**15 + at, samples[:, at * 100 : at * 100 + 100])) for at in (0, 1)]
    data = pack_segment(chunks)
    assert data is not None
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"segment|samples"):
            unpack_segment(data[:length])
    for version in (0, 2, 255):
        with pytest.raises(ValueError, match="segment"):
            unpack_segment(bytes([version]) + data[1:])
    with pytest.raises(ValueError, match="follow"):
        pack_segment([chunks[1], chunks[0]])
    with pytest.raises(ValueError, match="follow"):
        pack_segment([])
    assert CHUNKS_MAX == 1_024


@given(st.integers(0, 2**40), st.lists(envelope, min_size=1, max_size=40))
def test_any_envelopes_come_back_with_their_readings(first: int, rows: list[Envelope]) -> None:
    assert unpack_envelopes(pack_envelopes(first, rows)) == Envelopes(first, tuple(rows))


def test_envelopes_that_are_cut_are_refused() -> None:
    rows = [Envelope(5, b"abc", Reading("x", b"{}")), Envelope(6, b"defg")]
    data = pack_envelopes(9, rows)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="envelopes"):
            unpack_envelopes(data[:length])
    for count in (0, ENVELOPES_MAX + 1):
        with pytest.raises(ValueError, match="envelopes"):
            pack_envelopes(0, rows[:1] * count)


@settings(max_examples=40)
@given(
    st.integers(0, 2**45), st.lists(st.integers(1, 3_000), min_size=1, max_size=6), st.sampled_from(["<i2", "<i4"]),
    st.integers(0, 2**32 - 1),
)
def test_the_pyramid_of_parts_is_that_of_the_whole_and_numpys(
    first: int, sizes: list[int], dtype: str, seed: int
) -> None:
    generator, nothing = np.random.default_rng(seed), np.iinfo(dtype).min
    samples = generator.integers(-900, 900, (2, sum(sizes))).astype(dtype)
    samples[generator.random(samples.shape) < 0.2] = nothing
    whole: dict[Any, Any] = {}
    parts: dict[Any, Any] = {}
    lay_over(whole, first, samples)
    order, at = [], 0
    for size in sizes:
        order.append((first + at, samples[:, at : at + size]))
        at += size
    for begin, part in reversed(order):
        lay_over(parts, begin, part)
    assert set(whole) == set(parts) == set(places(first, samples.shape[1]))
    for place, extent in whole.items():
        again = unpack_block(pack_block(extent))
        for one, other, third in zip(extent, parts[place], again, strict=True):
            assert np.array_equal(one, other) and np.array_equal(one, third)
    index = first + np.arange(samples.shape[1])
    for level in LEVELS:
        for bucket in np.unique(index // level).tolist():
            inside = samples[:, index // level == bucket]
            mins, maxs = (half[:, bucket % BUCKETS] for half in whole[level, bucket // BUCKETS])
            for channel in range(2):
                there = inside[channel][inside[channel] != nothing]
                expected = (there.min(), there.max()) if there.size else (nothing, nothing)
                assert (mins[channel], maxs[channel]) == expected


def test_a_block_of_nothing_and_one_that_is_cut() -> None:
    block = empty(3, np.int16)
    assert all(np.array_equal(a, b) for a, b in zip(block, unpack_block(pack_block(block)), strict=True))
    some = widened(block, 7, (np.full((3, 2), 5, np.int16), np.full((3, 2), 6, np.int16)))
    data = pack_block(some)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"block|samples"):
            unpack_block(data[:length])


ROW = np.dtype([("t0_us", "<i8"), ("n", "<u4"), ("flags", "<u4")])
claims = st.lists(
    st.tuples(st.integers(0, 60), st.lists(st.integers(1, 12), min_size=1, max_size=4),
              st.sampled_from([0, 3_000, -3_000, OFF_US + 1, 10**7])),
    min_size=1, max_size=12,
)


@given(claims)
def test_runs_hold_every_sample_once_and_no_stamp_is_off_its_line(
    parts: list[tuple[int, list[int], int]]
) -> None:
    runs = Runs(500, 1, [])
    stamps: dict[int, int] = {}
    for first, sizes, off_us in parts:
        begins = first + np.cumsum([0, *sizes[:-1]])
        rows = np.array([(10**12 + int(at) * 2_000 + off_us, n, 0) for at, n in zip(begins, sizes, strict=True)], ROW)
        runs.add(first, rows)
        for at, n in zip(begins.tolist(), sizes, strict=True):
            for sample in range(at, at + n):
                stamps.setdefault(sample, 10**12 + sample * 2_000 + off_us)
    found = sorted(runs.changed.values(), key=lambda run: run.first)
    covered = [sample for run in found for sample in range(run.first, run.past)]
    assert covered == sorted(stamps), "each claimed sample, once"
    for run in found:
        for sample in range(run.first, run.past):
            assert abs(runs.stamp(run, sample) - stamps[sample]) <= OFF_US


def test_a_run_goes_on_from_what_is_stored() -> None:
    runs = Runs(500, 1, [Run(0, 100, 0), Run(300, 400, 600_000)])
    runs.add(100, np.array([(200_000 + 19_000, 100, 0), (400_000 - 19_000, 100, 0)], ROW))
    assert [(run.first, run.past) for run in runs.changed.values()] == [(0, 300)]
    runs.add(400, np.array([(800_000 + OFF_US + 1, 100, 0)], ROW))
    assert sorted(runs.changed) == [0, 400]


def hot(seq: int, first: int | None = None, n: int | None = 100, *, idle: bool = False, size: int = 700) -> Hot:
    first = seq * 100 if first is None else first
    return Hot(seq, first * 2_000, first, n, size, idle)


def test_pieces_end_where_a_number_or_a_sample_is_missing_and_after_ten_seconds() -> None:
    rows = [hot(seq) for seq in range(120) if seq != 70]
    rows[-10:] = [hot(one.seq, one.seq * 100 + 50) for one in rows[-10:]]
    cut = pieces(rows, RATE)
    assert [(piece.seqs, piece.full) for piece in cut] == [
        ((0, 49), True), ((50, 69), False), ((71, 109), False), ((110, 119), False)]
    large = pieces([hot(seq, size=2**20) for seq in range(9)], RATE)
    assert [len(piece.rows) for piece in large] == [4, 4, 1], "bounded in bytes"
    short = pieces([hot(seq, seq, 1) for seq in range(2_100)], RATE)
    assert [len(piece.rows) for piece in short] == [1_024, 1_024, 52], "and in chunks"
    numbers = pieces([Hot(seq, seq, None, None, 60, False) for seq in range(600)], None)
    assert [(len(piece.rows), piece.native) for piece in numbers] == [(256, False), (256, False), (88, False)]


def test_a_clock_that_was_set_ends_a_piece() -> None:
    rows = [hot(seq) for seq in range(10)]
    rows[5:] = [Hot(one.seq, one.t0_us + 3_600_000_000, one.first_sample, one.n, one.size, False) for one in rows[5:]]
    assert [piece.seqs for piece in pieces(rows, RATE)] == [(0, 4), (5, 9)]


def test_what_was_cut_off_is_looked_at_again_and_what_rests_goes() -> None:
    cut = pieces([hot(seq) for seq in range(120)], RATE)
    assert [piece.seqs for piece in ready(cut, RATE, all_of_it=True, more=True)] == [(0, 49), (50, 99)]
    assert ready(cut, RATE, all_of_it=False, more=False) == [], "not 20 s behind the newest"
    rested = pieces([hot(seq, idle=True) for seq in range(120)], RATE)
    assert [piece.seqs for piece in ready(rested, RATE, all_of_it=False, more=False)] == [
        (0, 49), (50, 99), (100, 119)]
