"""Mains hum: found at 50 and 60 Hz at every rate and told by its level, not seen in hearts, muscle or jolts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.hum import Hum, HumState, MainsDetector

Array = npt.NDArray[np.float64]
Train = Callable[..., tuple[Array, Array]]


def tone(hz: float, rate_hz: float, seconds: float, level_mv: float) -> Array:
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return np.asarray(level_mv * np.sin(2 * np.pi * hz * t + 0.7))


def heard(x: Array, rate_hz: float) -> Hum:
    return MainsDetector(rate_hz).push(x)


@pytest.mark.parametrize("rate_hz", [125.0, 180.0, 250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("mains", [50, 60])
@pytest.mark.parametrize("per_min", [40, 75, 180])
def test_hum_on_an_ecg_is_told_with_its_level(mains: int, rate_hz: float, per_min: float, train: Train) -> None:
    x, _ = train(per_min, rate_hz, 12)
    found = heard(x[: int(12 * rate_hz)] + tone(mains, rate_hz, 12, 0.1), rate_hz)
    if rate_hz < 2.5 * mains:
        assert found.hz is None
    else:
        assert found.hz == mains
        assert found.level_mv == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("rate_hz", [125.0, 250.0, 500.0, 1000.0])
@pytest.mark.parametrize("per_min", [30, 60, 90, 120, 150, 180, 200, 240, 250, 300])
def test_a_clean_heart_of_any_rate_does_not_hum(per_min: float, rate_hz: float, train: Train) -> None:
    detector = MainsDetector(rate_hz)
    x, _ = train(per_min, rate_hz, 40)
    step = int(rate_hz)
    assert {detector.push(x[at : at + step]).hz for at in range(0, len(x), step)} == {None}


@pytest.mark.parametrize("hz", [49.5, 49.8, 50.2, 50.5])
def test_a_network_off_its_frequency_is_still_mains(hz: float) -> None:
    found = heard(tone(hz, 500.0, 10, 0.05), 500.0)
    assert found.hz == 50
    assert 0.84 * 0.05 <= found.level_mv <= 1.01 * 0.05


@pytest.mark.parametrize("hz", [40.0, 44.0, 47.0, 53.0, 55.0, 66.0])
def test_a_tone_beside_mains_is_not_mains(hz: float) -> None:
    assert heard(tone(hz, 500.0, 10, 0.05), 500.0).hz is None


@pytest.mark.parametrize("seed", range(5))
def test_muscle_and_jolts_are_not_mains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    muscle = 0.2 * rng.normal(size=60 * 500)
    for at in rng.integers(0, len(muscle), 20):
        muscle[at : at + 40] += rng.normal(scale=5.0)
    detector = MainsDetector(500.0)
    assert {detector.push(muscle[at : at + 500]).hz for at in range(0, len(muscle), 500)} == {None}


def test_it_comes_and_goes_and_is_not_known_before_its_window() -> None:
    x = np.concatenate([np.zeros(5000), tone(50, 500.0, 10, 0.03), np.zeros(5000)])
    detector = MainsDetector(500.0)
    verdicts = [detector.push(x[at : at + 500]) for at in range(0, len(x), 500)]
    assert [verdict.reason for verdict in verdicts[:5]] == ["too_short"] * 3 + [None] * 2
    there = [verdict.hz == 50 for verdict in verdicts]
    assert not any(there[:10])
    assert all(there[13:20])
    assert not any(there[24:])
    detector.reset()
    assert detector.now() == Hum(None, 0.0, 0.0, reason="too_short")


def test_of_two_the_stronger_is_named() -> None:
    both = tone(50, 500.0, 10, 0.02) + tone(60, 500.0, 10, 0.05)
    assert heard(both, 500.0).hz == 60


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([125.0, 360.0, 500.0]), st.data())
def test_any_chunking_gives_the_same_bits(seed: int, rate_hz: float, data: st.DataObject) -> None:
    x = tone(50, rate_hz, 7, 0.02) + 0.05 * np.random.default_rng(seed).normal(size=int(7 * rate_hz))
    cuts = data.draw(st.lists(st.integers(0, len(x)), max_size=40))
    whole, pieces = MainsDetector(rate_hz), MainsDetector(rate_hz)
    whole.push(x)
    for a, b in pairwise([0, *sorted(cuts), len(x)]):
        pieces.push(x[a:b])
        if data.draw(st.booleans()):
            moved = MainsDetector(rate_hz)
            moved.restore(pieces.export())
            pieces = moved
    assert pieces.now() == whole.now()
    np.testing.assert_array_equal(pieces.export().real, whole.export().real)


def test_goertzel_is_the_fourier_transform() -> None:
    x = np.random.default_rng(1).normal(size=2000)
    found = heard(x, 500.0)
    spectrum = np.abs(np.fft.rfft(x.reshape(4, 500) * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(500) / 500)))) ** 2
    power = spectrum.sum(axis=0)
    ratios = {50: power[50] / power[[44, 46, 54, 56]].mean(), 60: power[60] / power[[54, 56, 64, 66]].mean()}
    assert min(abs(found.ratio - ratio) for ratio in ratios.values()) < 1e-9


def test_a_lead_is_small() -> None:
    state = MainsDetector(1000.0).export()
    assert state.whole.nbytes + state.real.nbytes < 1000


def test_bad_input() -> None:
    for rate in (0.0, 124.0, 1001.0, float("nan")):
        with pytest.raises(RateUnsupported):
            MainsDetector(rate)
    detector = MainsDetector(250.0)
    with pytest.raises(NotFinite):
        detector.push([float("nan")])
    with pytest.raises(BlockShape):
        detector.push(np.zeros((2, 2)))
    state = detector.export()
    with pytest.raises(BlockShape):
        detector.restore(HumState(state.whole, np.zeros(3)))
    with pytest.raises(NotFinite):
        detector.restore(HumState(state.whole, state.real + np.inf))


def test_records_of_a_60_hz_country_have_no_50_hz(mit_record: Callable[[str], Any]) -> None:
    for name in ("100", "103", "111"):
        x = mit_record(name).x_mv[: 300 * 360]
        detector = MainsDetector(360.0)
        found = [detector.push(x[at : at + 360]).hz for at in range(0, len(x), 360)]
        assert 50 not in found
        if name == "111":  # and this one has 60 Hz throughout
            assert found.count(60) >= 0.95 * len(found)
