"""Pacing spikes: found at their sample whatever their phase, no wave of a heart taken for one, beats without them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from telemed_signal.beats import BeatDetector
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.pacing import Spike, SpikeFinder, SpikeState

Array = npt.NDArray[np.float64]
Train = Callable[..., tuple[Array, Array]]
FINE_HZ = 20_000


def paced(x: Array, rate_hz: float, at_s: Array, height_mv: float, width_s: float) -> Array:
    """``x`` and pulses as a converter sees them: the mean over each sample's time."""
    fine = int(FINE_HZ / rate_hz)
    pulses = np.zeros(len(x) * fine)
    for at in at_s:
        begin = round(at * FINE_HZ)
        pulses[begin : begin + max(1, round(width_s * FINE_HZ))] = height_mv
    return np.asarray(x + pulses.reshape(-1, fine).mean(axis=1))


def found_in(x: Array, rate_hz: float) -> list[Spike]:
    return SpikeFinder(rate_hz).push(x)[0]


@pytest.mark.parametrize("rate_hz", [500.0, 1000.0])
@pytest.mark.parametrize("width_s", [0.0005, 0.001, 0.002])
@pytest.mark.parametrize("height_mv", [6.0, -8.0, 50.0])
def test_every_pulse_of_every_phase_is_found_at_its_sample(
    rate_hz: float, width_s: float, height_mv: float, train: Train
) -> None:
    x, peaks = train(70, rate_hz, 40)
    at_s = peaks - 0.040 + np.linspace(0, 2 / rate_hz, len(peaks))
    spikes = found_in(paced(x, rate_hz, at_s, height_mv, width_s), rate_hz)
    assert len(spikes) == len(peaks)
    for spike, at in zip(spikes, at_s, strict=True):
        assert abs(spike.sample_index - (at + width_s / 2) * rate_hz) <= 1.5
        assert np.sign(spike.height_mv) == np.sign(height_mv)
        assert spike.samples <= (3 if rate_hz == 500 else 5)


@pytest.mark.parametrize("rate_hz", [250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("per_min", [40, 75, 150, 300])
def test_no_heart_beat_is_a_spike(rate_hz: float, per_min: float, train: Train) -> None:
    x, _ = train(per_min, rate_hz, 30, noise_mv=0.0)
    noise = 0.03 * np.random.default_rng(0).normal(size=x.size)
    for scale in (1.0, 3.0):
        assert found_in(scale * x + noise, rate_hz) == []


@pytest.mark.parametrize("rate_hz", [500.0, 1000.0])
def test_spikes_are_not_beats(rate_hz: float, train: Train) -> None:
    """Pulses without capture between the beats: the detector sees the beats alone."""
    x, peaks = train(60, rate_hz, 40)
    dirty = paced(x, rate_hz, peaks[:-1] + 0.55, 40.0, 0.002)
    finder, detector = SpikeFinder(rate_hz), BeatDetector(rate_hz)
    spikes, clean = finder.push(dirty)
    assert len(spikes) == len(peaks) - 1
    beats = [beat.sample_index for beat in detector.push(clean)]
    assert abs(len(beats) - len(peaks)) <= 1
    assert max(np.abs(peaks * rate_hz - at).min() for at in beats) <= 0.04 * rate_hz


@pytest.mark.parametrize("rate_hz", [250.0, 500.0, 1000.0])
def test_the_signal_comes_back_late_and_otherwise_as_it_was(rate_hz: float, train: Train) -> None:
    x, peaks = train(70, rate_hz, 20)
    finder = SpikeFinder(rate_hz, first_sample=1000)
    spikes, clean = finder.push(x)
    assert spikes == []
    assert len(clean) == len(x) - finder.delay
    assert finder.delay <= 0.025 * rate_hz
    np.testing.assert_array_equal(clean, x[: len(clean)])
    dirty = paced(x, rate_hz, peaks[:1] - 0.2, 20.0, 0.001)
    finder.reset(1000)
    (spike,), clean = finder.push(dirty)
    assert spike.sample_index == pytest.approx(1000 + (peaks[0] - 0.2) * rate_hz, abs=1.5)
    assert np.abs(clean - x[: len(clean)]).max() < 0.3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([250.0, 500.0, 1000.0]), st.data())
def test_any_chunking_gives_the_same_bits(seed: int, rate_hz: float, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    x = 0.02 * rng.normal(size=int(4 * rate_hz))
    x[rng.integers(0, len(x), 20)] += rng.choice([-3.0, 0.6, 1.0, 8.0], 20)
    spikes, clean = SpikeFinder(rate_hz).push(x)
    cuts = data.draw(st.lists(st.integers(0, len(x)), max_size=40))
    finder, pieces, got = SpikeFinder(rate_hz), [], []
    for a, b in pairwise([0, *sorted(cuts), len(x)]):
        found, part = finder.push(x[a:b])
        got += found
        pieces.append(part)
        if data.draw(st.booleans()):
            moved = SpikeFinder(rate_hz)
            moved.restore(finder.export())
            finder = moved
    assert got == spikes
    np.testing.assert_array_equal(np.concatenate(pieces), clean)


def test_below_500_it_says_that_it_is_not_sure() -> None:
    assert [SpikeFinder(rate).sure for rate in (250.0, 360.0, 499.0, 500.0, 1000.0)] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("rate_hz", [500.0, 1000.0])
@pytest.mark.parametrize("height_mv", [0.5, 2.0, 5.0, 100.0])
def test_what_a_slow_amplifier_leaves_of_a_pulse(rate_hz: float, height_mv: float) -> None:
    """One that lets 150 Hz through hides half a millisecond of 0.5 mV, and nothing from 2 mV on."""
    pulses = np.zeros(20 * FINE_HZ)
    for at in range(1, 19):
        pulses[at * FINE_HZ + 7 * at : at * FINE_HZ + 7 * at + 10] = height_mv
    smooth = signal.sosfilt(signal.butter(2, 150.0, fs=FINE_HZ, output="sos"), pulses)
    assert len(found_in(smooth[:: int(FINE_HZ / rate_hz)], rate_hz)) == (0 if height_mv == 0.5 else 18)


def test_a_step_and_a_lost_electrode_are_not_spikes() -> None:
    x = np.zeros(2000)
    x[1000:] = 5.0
    x[1500:] = -5.0
    assert found_in(x, 500.0) == []


def test_records_of_360_hz_have_no_spikes(mit_record: Callable[[str], Any]) -> None:
    """104 is paced, but 360 samples a second from a tape of 100 Hz hold no mark of it."""
    for name in ("100", "104", "200"):
        assert found_in(mit_record(name).x_mv, 360.0) == [], name


def test_bad_input() -> None:
    for rate in (0.0, 199.0, 1001.0, float("nan")):
        with pytest.raises(RateUnsupported):
            SpikeFinder(rate)
    finder = SpikeFinder(500.0)
    assert finder.push(np.zeros(0))[0] == []
    with pytest.raises(NotFinite):
        finder.push([float("inf")])
    with pytest.raises(BlockShape):
        finder.push(np.zeros((2, 2)))
    state = finder.export()
    assert state.whole.nbytes + state.real.nbytes < 1000
    with pytest.raises(BlockShape):
        finder.restore(SpikeState(0, state.whole, np.zeros(3)))
    with pytest.raises(NotFinite):
        finder.restore(SpikeState(0, state.whole, state.real + np.inf))
