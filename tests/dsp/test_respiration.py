"""Breaths: the same for any chunking, right on synthetic waves, sane on recordings, silent on what is no breathing."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.modulation import PulseBreathing
from telemed_signal.pleth import Pleth, Pulse
from telemed_signal.respiration import Breathing, RespirationRate, fused

Array = npt.NDArray[np.float64]


def wave(per_min: float, rate_hz: float, seconds: float, seed: int = 0, *, ripple: float = 0.1) -> Array:
    """Breathing with a heart's ripple (72 a minute), noise and an offset."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    noise = 0.02 * np.random.default_rng(seed).normal(size=t.size)
    return np.asarray(500 + np.sin(2 * np.pi * per_min / 60 * t) + ripple * np.sin(2 * np.pi * 1.2 * t) + noise)


@pytest.mark.parametrize("rate_hz", [10.0, 11.9, 25.0, 62.5, 125.0, 250.0, 1000.0])
@pytest.mark.parametrize("per_min", [5, 8, 12, 15, 24, 40, 60, 85])
def test_steady_breathing(per_min: int, rate_hz: float) -> None:
    breathing = RespirationRate(rate_hz)
    breathing.push(wave(per_min, rate_hz, 90))
    now = breathing.at_end()
    assert now.per_min is not None
    assert abs(now.per_min - per_min) <= 0.3
    assert now.window_s == 60
    assert now.source == "impedance"
    assert now.quality >= 0.7


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([25.0, 130.0]), st.lists(st.integers(0, 4000), max_size=40))
def test_any_chunking_gives_the_same_rates(seed: int, rate_hz: float, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    x = (wave(20, rate_hz, 4000 / rate_hz, seed) + np.cumsum(rng.normal(scale=0.05, size=4000)))[:4000]
    whole, pieces = RespirationRate(rate_hz), RespirationRate(rate_hz)
    whole.push(x)
    for start, stop in pairwise([0, *sorted(cuts), 4000]):
        pieces.push(x[start:stop])
        if stop % 3 == 0:  # asking changes nothing, and a moved channel goes on the same
            pieces.at_end()
            moved = RespirationRate(rate_hz)
            moved.restore(pieces.export())
            pieces = moved
    assert pieces.at_end() == whole.at_end()
    assert np.array_equal(pieces.export().real, whole.export().real)


def test_one_sample_at_a_time() -> None:
    x = wave(15, 25.0, 40)
    whole, single = RespirationRate(25.0), RespirationRate(25.0)
    whole.push(x)
    for value in x:
        single.push([value])
    assert single.at_end() == whole.at_end()


def test_withheld_with_a_reason() -> None:
    breathing = RespirationRate(25.0)
    assert breathing.at_end().reason == "few_breaths"
    breathing.push(np.zeros(0))
    breathing.push(wave(15, 25.0, 9))
    now = breathing.at_end()
    assert (now.per_min, now.reason, now.window_s) == (None, "few_breaths", 9)
    breathing.push(wave(15, 25.0, 60))
    assert breathing.at_end().per_min is not None
    breathing.reset()
    assert breathing.at_end().reason == "few_breaths"


def test_a_pause_is_said_in_seconds() -> None:
    breathing = RespirationRate(25.0)
    breathing.push(wave(15, 25.0, 70))
    breathing.push(np.full(25 * 45, 500.0))
    now = breathing.at_end()
    assert (now.per_min, now.reason) == (None, "no_breath")
    assert now.no_breath_s is not None
    assert 43 <= now.no_breath_s <= 49


def test_the_hearts_ripple_is_no_breathing_after_a_pause_began() -> None:
    breathing = RespirationRate(25.0)
    breathing.push(wave(15, 25.0, 180))
    t = np.arange(25 * 75) / 25
    breathing.push(500 + 0.1 * np.sin(2 * np.pi * 1.2 * t))
    now = breathing.at_end()
    assert now.per_min is None
    assert now.reason == "no_breath"
    assert now.no_breath_s is not None
    assert now.no_breath_s >= 59


def test_flat_line() -> None:
    breathing = RespirationRate(62.5)
    breathing.push(np.full(62 * 70, 3.0))
    now = breathing.at_end()
    assert (now.per_min, now.reason) == (None, "flat")


@pytest.mark.parametrize(("kind", "most"), [("white", 0), ("pink", 3), ("walk", 6)])
def test_noise_has_a_low_quality(kind: str, most: int) -> None:
    """A baseline that wanders at random is the hardest: its slow swings look like a few deep breaths."""
    shown, qualities = 0, []
    for seed in range(40):
        white = np.random.default_rng(seed).normal(size=125 * 60)
        x = {
            "white": white,
            "pink": np.fft.irfft(np.fft.rfft(white) / np.sqrt(1 + np.arange(white.size // 2 + 1)), white.size),
            "walk": np.cumsum(white),
        }[kind]
        breathing = RespirationRate(125.0)
        breathing.push(x)
        now = breathing.at_end()
        shown += now.per_min is not None
        qualities.append(now.quality)
    assert shown <= most
    assert float(np.median(qualities)) < 0.2


def test_the_hearts_rate_is_flagged() -> None:
    breathing = RespirationRate(62.5)
    breathing.push(wave(60, 62.5, 70, ripple=0))
    alone, near, far = breathing.at_end(), breathing.at_end(62.5), breathing.at_end(66.0)
    assert (alone.cardiac, near.cardiac, far.cardiac) == (False, True, False)
    assert near.per_min == alone.per_min
    assert near.quality < alone.quality == far.quality


def pulses(per_min: float, breaths_per_min: float, seconds: float, depths: tuple[float, float, float]) -> list[Pulse]:
    """Beats at 100 samples a second whose baseline, amplitude and interval breathe by so much."""
    told, at = [], 0.5
    while at < seconds:
        phase = np.sin(2 * np.pi * breaths_per_min / 60 * at)
        foot = float(depths[0] * phase)
        told.append(Pulse(100 * at, 0.99, foot, foot + 1 + float(depths[1] * phase)))
        at += 60 / per_min * (1 + depths[2] * phase)
    return told


@pytest.mark.parametrize("per_min", [8, 12, 18, 25])
def test_breathing_in_the_pulse(per_min: int) -> None:
    breathing = PulseBreathing(100)
    breathing.push(pulses(75, per_min, 90, (0.1, 0.1, 0.05)))
    now = breathing.at(9000)
    assert now.per_min is not None
    assert abs(now.per_min - per_min) <= 0.5
    assert (now.source, now.window_s) == ("pleth", 60)


def test_modulations_that_disagree_say_nothing() -> None:
    breathing = PulseBreathing(100)
    slow, fast = pulses(75, 10, 90, (0.3, 0.0, 0.0)), pulses(75, 22, 90, (0.0, 0.2, 0.0))
    for one, other in zip(slow, fast, strict=True):
        swing = other.top - other.foot
        breathing.push([Pulse(one.sample, 0.99, one.foot - swing / 2, one.foot + swing / 2)])
    now = breathing.at(9000)
    assert (now.per_min, now.reason) == (None, "disagreement")


def test_one_modulation_alone_says_nothing() -> None:
    breathing = PulseBreathing(100)
    breathing.push(pulses(75, 12, 90, (0.1, 0.0, 0.0)))
    assert breathing.at(9000).reason == "poor_signal"


def test_a_beat_unlike_the_others_is_left_out() -> None:
    told = pulses(75, 12, 90, (0.1, 0.1, 0.05))
    breathing = PulseBreathing(100)
    breathing.push(
        Pulse(one.sample, 0.2, one.foot + 30, one.top + 90) if k % 9 == 4 else one for k, one in enumerate(told)
    )
    shown = breathing.at(9000).per_min
    assert shown is not None
    assert abs(shown - 12) <= 0.5


def test_breathing_in_the_pulse_withheld_and_carried() -> None:
    told = pulses(75, 12, 90, (0.1, 0.1, 0.05))
    whole, first, second = PulseBreathing(100), PulseBreathing(100), PulseBreathing(100)
    assert whole.at(0).reason == "few_beats"
    whole.push(told)
    first.push(told[:25])
    assert first.at(2000).reason == "few_beats"
    second.restore(first.export())
    for pulse in told[25:]:
        second.push([pulse])
    assert second.at(9000) == whole.at(9000)
    assert whole.at(9000 + 1100).reason == "few_beats"
    assert whole.export().nbytes <= 8_192
    whole.reset()
    assert whole.at(9000).reason == "few_beats"
    with pytest.raises(RateUnsupported):
        PulseBreathing(0)
    with pytest.raises(BlockShape):
        whole.restore(np.zeros(3))
    state = whole.export()
    state[1] = np.nan
    with pytest.raises(NotFinite):
        whole.restore(state)


def test_impedance_leads_and_the_pulse_stands_in() -> None:
    chest, pulse = Breathing(15.0, quality=0.6), Breathing(16.0, quality=0.9, source="pleth")
    assert fused(None, None).reason == "few_breaths"
    assert fused(chest, None) == chest
    assert fused(None, pulse) == pulse
    both = fused(chest, pulse)
    assert (both.per_min, both.source, both.quality) == (15.0, "fused", 0.9)
    assert fused(chest, Breathing(25.0, quality=0.9, source="pleth")) == chest
    assert fused(chest, Breathing(None, "disagreement", source="pleth")) == chest
    assert fused(Breathing(None, "poor_signal"), pulse) == pulse
    hearts = Breathing(70.0, quality=0.4, cardiac=True)
    assert fused(hearts, pulse) == pulse
    assert fused(hearts, Breathing(None, "disagreement", source="pleth")) == hearts
    still = Breathing(None, "no_breath", no_breath_s=25)
    assert fused(still, pulse) == still


def test_memory_is_small() -> None:
    for rate_hz in (10.0, 11.99, 125.0, 1000.0):
        state = RespirationRate(rate_hz).export()
        assert state.whole.nbytes + state.real.nbytes <= 8_192


def test_bad_input() -> None:
    for rate in (0.0, 9.0, 1001.0):
        with pytest.raises(RateUnsupported):
            RespirationRate(rate)
    breathing = RespirationRate(25.0)
    with pytest.raises(NotFinite):
        breathing.push([0.0, float("nan")])
    with pytest.raises(BlockShape):
        breathing.push(np.zeros((2, 2)))
    state = breathing.export()
    with pytest.raises(BlockShape):
        breathing.restore(type(state)(state.whole, state.real[1:]))
    state.real[0] = np.inf
    with pytest.raises(NotFinite):
        breathing.restore(state)


def stored(recordings: Path, name: str, column: str) -> Array:
    with np.load(recordings / "signal" / "bidmc" / f"{name}.npz") as columns:
        return np.cumsum(columns[f"{column}_d"].astype(np.int64)).astype(np.float64)


def annotated(recordings: Path, name: str) -> list[Array]:
    """The breaths of both annotators, in seconds."""
    text = (recordings / "signal" / "bidmc" / f"{name}_Breaths.csv").read_text("utf-8")
    rows = list(csv.reader(text.splitlines()))[1:]
    return [np.array([float(row[one]) for row in rows if len(row) > one and row[one].strip()]) / 125 for one in (0, 1)]


@pytest.mark.parametrize("name", ["bidmc_01", "bidmc_05", "bidmc_13", "bidmc_32", "bidmc_39"])
def test_recordings_of_bidmc(name: str, recordings: Path) -> None:
    """Against the breaths of two annotators over the same last minute, in steps of ten seconds."""
    x, annotators = stored(recordings, name, "RESP"), annotated(recordings, name)
    breathing, errors, steps = RespirationRate(125.0), [], 0
    for start in range(0, len(x), 1250):
        breathing.push(x[start : start + 1250])
        now = (start + 1250) / 125
        inside = [breaths[(breaths > now - 60) & (breaths <= now)] for breaths in annotators]
        if now >= 60 and min(one.size for one in inside) >= 3:
            shown = breathing.at_end().per_min
            steps += 1
            if shown is not None:
                errors.append(abs(shown - np.mean([60 * (one.size - 1) / (one[-1] - one[0]) for one in inside])))
    assert len(errors) >= 0.95 * steps
    assert max(errors) < 3
    assert float(np.mean(errors)) < 0.42


def test_breathing_of_a_recordings_pulse(recordings: Path) -> None:
    """What is said of it is true; it is not always said."""
    x, annotators = stored(recordings, "bidmc_01", "PLETH"), annotated(recordings, "bidmc_01")
    pleth, breathing, errors = Pleth(125.0), PulseBreathing(125.0), []
    for start in range(0, len(x), 1250):
        breathing.push(pleth.push(x[start : start + 1250]))
        now = (start + 1250) / 125
        inside = annotators[0][(annotators[0] > now - 60) & (annotators[0] <= now)]
        shown = breathing.at(start + 1250).per_min
        if now >= 60 and shown is not None:
            errors.append(abs(shown - 60 * (inside.size - 1) / (inside[-1] - inside[0])))
    assert errors
    assert float(np.mean(errors)) < 2
