"""A pacemaker in the live pipeline: its spikes are no beats, each QRS is one, and hearts without one see no change."""

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
from telemed_signal.analysis import EcgAnalysis, Event, Numeric
from telemed_signal.beats import Beat
from telemed_signal.fusion import FusedBeats

Array = npt.NDArray[np.float64]
FINE_HZ = 20_000
MISSING = np.iinfo(np.int32).min


def pulses(
    n: int, rate_hz: float, at_s: Array, height_mv: float, width_s: float, *, tail_s: float = 0.0,
    low_pass_hz: float = 0.0,
) -> Array:  # fmt: skip
    """Pulses as a converter sees them; with a ``tail_s`` each leaves a fortieth of itself (2 mV at most) behind."""
    fine = int(FINE_HZ / rate_hz)
    wave = np.zeros(n * fine)
    for at in at_s:
        end = round((at + width_s) * FINE_HZ)
        wave[round(at * FINE_HZ) : end] = height_mv
        if tail_s:
            rest = wave[end : end + int(5 * tail_s * FINE_HZ)]
            rest -= np.sign(height_mv) * min(abs(height_mv) / 40, 2) * np.exp(-np.arange(rest.size) / FINE_HZ / tail_s)
    if low_pass_hz:
        return np.asarray(signal.sosfilt(signal.butter(2, low_pass_hz, fs=FINE_HZ, output="sos"), wave)[::fine])
    return np.asarray(wave.reshape(-1, fine).mean(axis=1))


def counts(*leads_mv: Array) -> npt.NDArray[np.int32]:
    return np.rint(1000 * np.vstack(leads_mv)).astype(np.int32)


def analysis(rate_hz: float, leads: int = 1) -> EcgAnalysis:
    return EcgAnalysis(rate_hz, ("II", "V5")[:leads], (1e-3,) * leads)


def beats(events: list[Event]) -> list[int]:
    return [one.sample_index for one in events if isinstance(one, Beat)]


def shown(events: list[Event]) -> list[float]:
    return [one.value for one in events if isinstance(one, Numeric) and one.value is not None]


def asystole(rate_hz: float, seconds: int = 30) -> tuple[Array, Array]:
    """A heart that stands still, and when its pacemaker goes on, at all phases of a sample."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    rest = 0.1 * np.sin(2 * np.pi * 0.3 * t) + 0.005 * np.random.default_rng(1).normal(size=t.size)
    return rest, np.arange(0.5, seconds - 0.3, 60 / 70.3)


@pytest.mark.parametrize("rate_hz", [500.0, 1000.0])
@pytest.mark.parametrize("height_mv", [2.0, -2.0, 5.0, -10.0, 20.0, 50.0, -50.0])
@pytest.mark.parametrize("width_s", [0.0005, 0.002])
def test_spikes_without_a_heart_are_no_beats(rate_hz: float, height_mv: float, width_s: float) -> None:
    rest, at_s = asystole(rate_hz)
    events = analysis(rate_hz).push(0, counts(rest + pulses(rest.size, rate_hz, at_s, height_mv, width_s)))
    assert beats(events) == [] and shown(events) == []


@pytest.mark.parametrize("rate_hz", [500.0, 1000.0])
@pytest.mark.parametrize("height_mv", [2.0, 10.0, -50.0])
@pytest.mark.parametrize(
    ("tail_s", "low_pass_hz"), [(0.004, 0.0), (0.02, 0.0), (0.1, 0.0), (0.0, 150.0), (0.02, 150.0)]
)
def test_nor_has_a_heart_a_rate_that_stands_still_behind_tails_and_ringing(
    rate_hz: float, height_mv: float, tail_s: float, low_pass_hz: float
) -> None:
    rest, at_s = asystole(rate_hz)
    wave = pulses(rest.size, rate_hz, at_s, height_mv, 0.0005, tail_s=tail_s, low_pass_hz=low_pass_hz)
    events = analysis(rate_hz).push(0, counts(rest + wave))
    assert shown(events) == []
    assert len(beats(events)) < len(at_s) / 2


@pytest.mark.parametrize("rate_hz", [500.0, 1000.0])
@pytest.mark.parametrize("height_mv", [2.0, -10.0, 50.0])
@pytest.mark.parametrize(("tail_s", "low_pass_hz"), [(0.0, 0.0), (0.05, 0.0), (0.05, 150.0)])
def test_each_paced_qrs_is_one_beat(rate_hz: float, height_mv: float, tail_s: float, low_pass_hz: float) -> None:
    """Of both chambers: a spike 210 ms before the wide QRS's top, another 70 ms before."""
    n, peaks = int(30 * rate_hz), np.arange(0.7, 29.4, 60 / 70)
    t = np.arange(n) / rate_hz
    x = 0.01 * np.random.default_rng(2).normal(size=n)
    for peak in peaks:
        x += 1.2 * np.exp(-0.5 * ((t - peak) / 0.03) ** 2) - 0.35 * np.exp(-0.5 * ((t - peak - 0.3) / 0.06) ** 2)
    for before in (0.21, 0.07):
        x += pulses(n, rate_hz, peaks - before, height_mv, 0.0005, tail_s=tail_s, low_pass_hz=low_pass_hz)
    events = analysis(rate_hz).push(0, counts(x))
    found = np.array(beats(events)) / rate_hz
    assert len(found) == len(peaks)
    assert np.abs(found - peaks).max() < 0.04
    assert set(shown(events)) == {70.0}


@pytest.mark.parametrize("rate_hz", [360.0, 500.0])
@pytest.mark.parametrize("name", ["100", "103", "208"])
def test_hearts_of_their_own_have_the_same_beats_at_the_same_samples(
    rate_hz: float, name: str, mit_record: Callable[[str], Any]
) -> None:
    leads = mit_record(name).leads_mv[:, : 360 * 120]
    x = counts(leads if rate_hz == 360 else signal.resample_poly(leads, 25, 18, axis=1))
    live = analysis(rate_hz, 2)
    found = [one for one in live.push(0, x) if isinstance(one, Beat)]
    alone = FusedBeats(rate_hz, 2).push(1e-3 * x[:, : x.shape[1] - live.late])
    assert found == alone


def test_the_looking_costs_fifteen_milliseconds_and_nothing_where_it_cannot_be_sure() -> None:
    assert {rate: analysis(rate).late for rate in (250.0, 360.0, 499.0, 500.0, 1000.0)} == {
        250.0: 0, 360.0: 0, 499.0: 0, 500.0: 7, 1000.0: 15}  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.data())
def test_any_chunking_gives_the_same_events_with_spikes_and_leads_off(
    train: Callable[..., Any], seed: int, data: st.DataObject
) -> None:
    rate_hz, n = 500.0, 10_000
    x, peaks = train(72, rate_hz, 20, seed=seed)
    spikes = pulses(n, rate_hz, peaks - 0.15 + seed / 1e4, 10.0, 0.0005, tail_s=0.02)
    wave = counts(x + spikes, 0.7 * train(72, rate_hz, 20, seed=seed + 1)[0] - 0.3 * spikes)
    for lead in (0, 1):
        for start, length in data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(1, n // 8)), max_size=3)):
            wave[lead, start : start + length] = MISSING
    begin = data.draw(st.integers(0, 1000))
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, n), max_size=40))), n]
    whole = analysis(rate_hz, 2).push(begin, wave)
    cut = analysis(rate_hz, 2)
    assert [event for a, b in pairwise(cuts) for event in cut.push(begin + a, wave[:, a:b])] == whole


@pytest.mark.parametrize("rate_hz", [360.0, 500.0])
@pytest.mark.parametrize("later_s", [0.0, 0.1, 3.0])
def test_beats_lie_where_they_were_after_a_hole_though_a_lead_comes_later(
    rate_hz: float, later_s: float, train: Callable[..., Any]
) -> None:
    x, peaks = train(72, rate_hz, 15)
    wave = counts(x, 0.7 * x)
    live = analysis(rate_hz, 2)
    live.push(0, wave)
    wave[0, : int(later_s * rate_hz)] = MISSING
    hole = int(100 * rate_hz)
    events = live.push(hole, wave)
    found = (np.array(beats(events)) - hole) / rate_hz
    assert len(found) == len(peaks) and np.abs(found - peaks).max() < 0.04
    assert shown(events)[-1] == 72.0
