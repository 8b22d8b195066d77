"""Missing samples: held for 200 ms, then a new beginning; the rule told again by a loop over single samples."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemed_signal.faults import BlockShape, RateUnsupported
from telemed_signal.filters import MONITOR_ECG, FilterBank, GapHold, Piece, quantise
from telemed_signal.gaps import Run, runs

MISSING = -32768
RATE_HZ = 50.0  # 10 samples are held
Ints = npt.NDArray[np.int16]


def by_hand(
    blocks: list[tuple[int, Ints]], channels: int, hold: int
) -> dict[tuple[int, int], tuple[float, bool, bool]]:
    """(sample, channel) -> (value, missing, restart), one sample at a time."""
    told: dict[tuple[int, int], tuple[float, bool, bool]] = {}
    last = [0.0] * channels
    gone = [hold + 1] * channels
    upcoming: int | None = None
    for first, samples in blocks:
        hole = 0 if upcoming is None else first - upcoming
        if hole < 0 or hole > hold:
            gone, hole = [hold + 1] * channels, 0
        for step in range(-hole, samples.shape[1]):
            for channel in range(channels):
                value = MISSING if step < 0 else int(samples[channel, step])
                if value == MISSING:
                    gone[channel] += 1
                    told[first + step, channel] = (last[channel], True, False)
                else:
                    told[first + step, channel] = (float(value), False, gone[channel] > hold)
                    last[channel], gone[channel] = float(value), 0
        upcoming = first + samples.shape[1]
    return told


def told_by(pieces: list[Piece]) -> dict[tuple[int, int], tuple[float, bool, bool]]:
    return {
        (piece.first_sample + row, channel): (
            float(piece.values[row, channel]),
            bool(piece.missing[row, channel]),
            bool(row == 0 and piece.restart[channel]),
        )
        for piece in pieces
        for row in range(piece.values.shape[0])
        for channel in range(piece.values.shape[1])
    }


@st.composite
def signals(draw: st.DrawFn) -> list[tuple[int, Ints]]:
    """Blocks of two channels with dropouts of every length about the limit, and holes between blocks."""
    blocks: list[tuple[int, Ints]] = []
    at = draw(st.integers(0, 5))
    for _ in range(draw(st.integers(1, 6))):
        rows = []
        length = draw(st.integers(0, 40))
        for _ in range(2):
            row: list[int] = []
            while len(row) < length:
                present = draw(st.booleans())
                size = draw(st.sampled_from([1, 2, 9, 10, 11, 12, 25]))
                row += [len(row) + at * 3 if present else MISSING] * size
            rows.append(row[:length])
        blocks.append((at, np.array(rows, dtype=np.int16).reshape(2, length)))
        at += length + draw(st.sampled_from([0, 0, 0, 1, 9, 10, 11, 30]))
    return blocks


@settings(max_examples=200, deadline=None)
@given(signals())
def test_the_rule_sample_by_sample(blocks: list[tuple[int, Ints]]) -> None:
    hold = GapHold(2, RATE_HZ)
    assert hold.hold == 10
    pieces = [piece for first, samples in blocks for piece in hold.push(first, samples)]
    assert told_by(pieces) == by_hand(blocks, 2, 10)
    for piece in pieces:
        assert piece.values.shape == piece.missing.shape
        assert np.isfinite(piece.values).all()


@settings(max_examples=100, deadline=None)
@given(signals(), st.data())
def test_any_chunking_tells_the_same(blocks: list[tuple[int, Ints]], data: st.DataObject) -> None:
    cut: list[tuple[int, Ints]] = []
    for first, samples in blocks:
        n = samples.shape[1]
        places = [0, *sorted(data.draw(st.lists(st.integers(0, n), max_size=4))), n]
        cut += [(first + a, samples[:, a:b]) for a, b in itertools.pairwise(places)]
    whole, pieces = GapHold(2, RATE_HZ), GapHold(2, RATE_HZ)
    assert told_by([p for first, samples in cut for p in pieces.push(first, samples)]) == told_by(
        [p for first, samples in blocks for p in whole.push(first, samples)]
    )


def test_a_short_gap_rings_on_and_a_long_one_begins_anew() -> None:
    """Through the filter as the live pipeline does it, against the same rule with plain scipy calls."""
    rng = np.random.default_rng(8)
    x = np.rint(np.cumsum(rng.normal(scale=30, size=(1, 3000)), axis=1)).astype(np.int16)
    x[:, 500:550] = MISSING  # 100 ms at 500 Hz: held
    x[:, 1500:1650] = MISSING  # 300 ms: a new beginning at 1650
    bank, hold = FilterBank(MONITOR_ECG, 500.0), GapHold(1, 500.0)
    slot = bank.open(1)
    out = []
    restarts = []
    for at in range(0, 3000, 50):
        for piece in hold.push(at, x[:, at : at + 50]):
            if piece.restart.any():
                bank.reset(slot, piece.restart)
                restarts.append(piece.first_sample)
            out.append(quantise(bank.push({slot: piece.values})[slot], piece.missing, dtype=np.int16))
    y = np.hstack(out)
    assert restarts == [0, 1650]
    np.testing.assert_array_equal(y == MISSING, x == MISSING)
    assert np.abs(y[0, 1650]) <= 1  # it begins on its baseline
    held = x[0].astype(np.float64)
    held[500:550] = held[499]
    fresh = FilterBank(MONITOR_ECG, 500.0)
    for start, stop in ((0, 1500), (1650, 3000)):
        alone = fresh.open(1)
        expect = np.rint(fresh.push({alone: held[start:stop, np.newaxis]})[alone][:, 0])
        present = x[0, start:stop] != MISSING
        np.testing.assert_array_equal(y[0, start:stop][present], expect[present])


def test_a_step_back_is_a_new_beginning() -> None:
    hold = GapHold(1, RATE_HZ)
    block = np.arange(20, dtype=np.int16).reshape(1, 20)
    assert [p.restart.tolist() for p in hold.push(100, block)] == [[True]]
    assert [p.restart.tolist() for p in hold.push(120, block)] == [[False]]
    assert [(p.first_sample, p.restart.tolist()) for p in hold.push(0, block)] == [(0, [True])]


def test_int32_has_its_own_missing_value() -> None:
    hold = GapHold(1, RATE_HZ)
    (piece,) = hold.push(0, np.array([[MISSING, 5, -(2**31)]], dtype=np.int32))
    assert piece.missing[:, 0].tolist() == [False, False, True]
    assert piece.values[:, 0].tolist() == [-32768.0, 5.0, 5.0]


@given(st.lists(st.booleans(), max_size=50))
def test_runs_cover_the_mask(mask: list[bool]) -> None:
    found = runs(np.array(mask, dtype=np.bool_))
    assert [run.missing for run in found for _ in range(run.start, run.stop)] == mask
    assert all(a.stop == b.start and a.missing != b.missing for a, b in itertools.pairwise(found))
    assert all(run.stop > run.start for run in found)


def test_wrong_shapes() -> None:
    assert runs(np.array([True])) == (Run(0, 1, True),)
    with pytest.raises(BlockShape):
        runs(np.zeros((2, 2), np.bool_))
    with pytest.raises(RateUnsupported):
        GapHold(1, 0.0)
    wrong: Any
    for wrong in (np.zeros((2, 4), np.int16), np.zeros(4, np.int16)):
        with pytest.raises(BlockShape):
            GapHold(1, RATE_HZ).push(0, wrong)
