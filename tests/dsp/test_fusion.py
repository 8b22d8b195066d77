"""Beats of several leads: each once, the same for any chunking, right where one lead alone is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemed_signal.beats import Beat, BeatDetector, BeatState
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.fusion import MAX_LEADS, FusedBeats

Array = npt.NDArray[np.float64]
Train = Callable[..., tuple[Array, Array]]


def rough(leads: int, seconds: float, rate_hz: float, seed: int) -> Array:
    """Leads of one heart with noise of their own, bursts and steps."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate_hz)
    x = 0.02 * rng.normal(size=(leads, n))
    at = 0.4
    while at < seconds - 0.3:
        width = int(0.08 * rate_hz)
        begin = int(at * rate_hz)
        for lead in range(leads):
            x[lead, begin : begin + width] += rng.choice([-0.5, 0.3, 1.0, 2.0]) * np.hanning(width)
        at += rng.uniform(0.3, 1.4)
    for lead in range(leads):
        begin = int(rng.uniform(0, n))
        x[lead, begin : begin + n // 8] += rng.normal(size=len(x[lead, begin : begin + n // 8]))
        x[lead, n // 2 :] += rng.choice([0.0, 3.0])
    return x


def in_blocks(x: Array, rate_hz: float, cuts: list[int]) -> list[Beat]:
    fused = FusedBeats(rate_hz, len(x))
    return [beat for a, b in pairwise([0, *sorted(cuts), x.shape[1]]) for beat in fused.push(x[:, a:b])]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([125.0, 360.0, 1000.0]), st.integers(1, 4), st.data())
def test_any_chunking_gives_the_same_beats(seed: int, rate_hz: float, leads: int, data: st.DataObject) -> None:
    x = rough(leads, 12, rate_hz, seed)
    cuts = data.draw(st.lists(st.integers(0, x.shape[1]), max_size=50))
    assert in_blocks(x, rate_hz, cuts) == FusedBeats(rate_hz, leads).push(x)


@pytest.mark.parametrize("block", [1, 17, 36, 250])
def test_blocks_of_one_length_give_the_same_beats(block: int) -> None:
    x = rough(3, 20, 250.0, seed=5)
    whole = FusedBeats(250.0, 3).push(x)
    assert in_blocks(x, 250.0, list(range(0, x.shape[1], block))) == whole
    assert len(whole) > 12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_a_beat_is_named_once_and_in_order(seed: int, leads: int) -> None:
    beats = FusedBeats(250.0, leads).push(rough(leads, 20, 250.0, seed))
    assert all(b.sample_index - a.sample_index >= 0.15 * 250 for a, b in pairwise(beats))


def test_one_lead_is_that_lead(train: Train) -> None:
    x = rough(1, 20, 360.0, seed=9)
    fused = FusedBeats(360.0, 1, first_sample=100)
    beats = fused.push(x)
    assert beats == BeatDetector(360.0, first_sample=100).push(x[0])
    assert fused.next_sample == 100 + x.shape[1]


@pytest.mark.parametrize("rate_hz", [125.0, 250.0, 500.0, 1000.0])
@pytest.mark.parametrize("per_min", [30, 75, 150, 220, 300])
def test_trains_of_30_to_300(per_min: int, rate_hz: float, train: Train) -> None:
    x, peaks = train(per_min, rate_hz, 30)
    beats = FusedBeats(rate_hz, 3).push(np.stack([x, -0.6 * x, 0.2 * x]))
    assert abs(len(beats) - len(peaks)) <= 1


def test_noise_in_one_lead_adds_and_hides_nothing(train: Train) -> None:
    x, peaks = train(70, 250.0, 60)
    rng = np.random.default_rng(4)
    noisy = x.copy()
    noisy[20 * 250 : 50 * 250] += rng.normal(size=30 * 250)
    alone = [beat.sample_index for beat in BeatDetector(250.0).push(noisy)]
    fused = FusedBeats(250.0, 2)
    together = np.array([beat.sample_index for beat in fused.push(np.stack([x, noisy]))])
    assert abs(len(alone) - len(peaks)) > 10
    assert len(together) == len(peaks)
    assert np.abs(together - peaks * 250).max() <= 0.05 * 250


def test_the_lead_that_is_right_counts_more(train: Train) -> None:
    x, _ = train(70, 250.0, 40)
    fused = FusedBeats(250.0, 2)
    fused.push(np.stack([x, np.random.default_rng(3).normal(size=x.size)]))
    assert fused.weights.sum() == pytest.approx(1)
    assert fused.weights[0] > 0.8


def test_a_lead_that_falls_silent_without_a_word_is_soon_left_out(train: Train) -> None:
    x, peaks = train(70, 250.0, 60)
    silent = x.copy()
    silent[20 * 250 : 40 * 250] = 0.0
    found = np.array([beat.sample_index for beat in FusedBeats(250.0, 2).push(np.stack([x, silent]))]) / 250
    missed = [peak for peak in peaks if np.abs(found - peak).min() > 0.1]
    assert all(20 <= peak < 27 for peak in missed)
    assert len(found) + len(missed) == len(peaks)


def test_leads_go_and_come_back(train: Train) -> None:
    x, peaks = train(70, 250.0, 60)
    both = np.stack([x, 0.7 * x])
    fused = FusedBeats(250.0, 2)
    found: list[Beat] = []
    for at in range(0, x.size, 250):
        block, off = both[:, at : at + 250].copy(), 15 <= at // 250 < 30
        if off:
            block[1] = np.nan
        found += fused.push(block, on=[True, not off])
        if off:
            assert fused.weights[1] == 0
    assert fused.weights[1] > 0
    assert len(found) == len(peaks)
    assert fused.next_sample == x.size


def test_it_moves_with_a_lead_off(train: Train) -> None:
    x, _ = train(70, 250.0, 40)
    both = np.stack([x, 0.7 * x])
    before, after = FusedBeats(250.0, 2), FusedBeats(250.0, 2)
    before.push(both[:, :5000])
    before.push(both[:, 5000:6000], on=[True, False])
    after.restore(before.export())
    assert after.weights.tolist() == before.weights.tolist() == [1, 0]
    assert after.push(both[:, 6000:]) == before.push(both[:, 6000:])
    assert after.weights[1] > 0


def test_when_all_are_off_everything_is_forgotten(train: Train) -> None:
    x, _ = train(70, 250.0, 20)
    both = np.stack([x, x])
    fused = FusedBeats(250.0, 2)
    first = fused.push(both)
    assert fused.push(np.full((2, 1000), np.nan), on=[False, False]) == []
    assert fused.next_sample == x.size + 1000
    again = fused.push(both)
    assert [beat.sample_index - x.size - 1000 for beat in again] == [beat.sample_index for beat in first]


@pytest.mark.parametrize("leads", [1, 3])
def test_it_moves_in_the_middle_of_a_beat(leads: int) -> None:
    x = rough(leads, 14, 360.0, seed=8)
    whole = FusedBeats(360.0, leads, first_sample=5).push(x)
    for cut in range(0, x.shape[1], 311):
        before, after = FusedBeats(360.0, leads, first_sample=5), FusedBeats(360.0, leads)
        first = before.push(x[:, :cut])
        after.restore(before.export())
        assert first + after.push(x[:, cut:]) == whole
    with pytest.raises(BlockShape):
        after.restore(FusedBeats(250.0, leads).export())
    poisoned = before.export()
    poisoned.real[0, 0] = np.nan
    with pytest.raises(NotFinite):
        after.restore(poisoned)
    with pytest.raises(BlockShape):
        after.restore(BeatState(0, np.zeros(3, np.int64), np.zeros(3)))


def test_the_state_is_small() -> None:
    state = FusedBeats(1000.0, 12).export()
    assert (state.whole.nbytes + state.real.nbytes) / 13 <= 8000


def test_what_is_not_a_block_is_refused() -> None:
    fused = FusedBeats(250.0, 2)
    for block in (np.zeros(4), np.zeros((3, 4)), np.zeros((1, 4))):
        with pytest.raises(BlockShape):
            fused.push(block)
    with pytest.raises(BlockShape):
        fused.push(np.zeros((2, 4)), on=[True])
    with pytest.raises(NotFinite):
        fused.push(np.array([[0.0, 1.0], [0.0, np.inf]]))
    assert fused.next_sample == 0
    assert fused.push(np.zeros((2, 0))) == []
    for leads in (0, MAX_LEADS + 1):
        with pytest.raises(BlockShape):
            FusedBeats(250.0, leads)
    with pytest.raises(RateUnsupported):
        FusedBeats(99.0, 2)


@pytest.mark.parametrize(
    ("name", "least_se", "least_pp"), [("104", 0.999, 0.998), ("108", 0.996, 0.98), ("200", 0.997, 0.996)]
)
def test_records_of_mit_bih(
    name: str, least_se: float, least_pp: float, mit_record: Callable[[str], Any], matched: Callable[..., int]
) -> None:
    record = mit_record(name)
    fused = FusedBeats(360.0, 2)
    found, known = [], []
    for at in range(0, record.leads_mv.shape[1], 36):
        for beat in fused.push(record.leads_mv[:, at : at + 36]):
            found.append(beat.sample_index)
            known.append(at + 36 - beat.sample_index)
    late = np.array([delay for at, delay in zip(found, known, strict=True) if at >= 300 * 360]) / 360
    assert np.quantile(late, 0.99) <= 0.40 + 0.1
    assert late.max() <= 1.6 + 0.1
    found = [at for at in found if at >= 300 * 360]
    reference = [int(at) for at in record.beats if at >= 300 * 360]
    hits = matched(reference, found, 54)
    assert hits / len(reference) >= least_se
    assert hits / len(found) >= least_pp
