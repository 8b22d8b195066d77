"""The live pipeline of a stream: any chunking gives the same events, gaps forget, and no number comes from noise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemed_signal.analysis import ChestAnalysis, EcgAnalysis, Event, Numeric, PlethAnalysis, chosen, supports
from telemed_signal.beats import Beat
from telemed_signal.faults import BlockShape

Array = npt.NDArray[np.float64]
MISSING = np.iinfo(np.int16).min


def counts(x: Array, scale: float) -> npt.NDArray[np.int16]:
    return np.rint(x * scale).astype(np.int16)


def numbers(events: list[Event], kind: str) -> list[Numeric]:
    return [one for one in events if isinstance(one, Numeric) and one.kind == kind]


def two_leads(train: Callable[..., Any], rate_hz: float, seconds: float, seed: int = 0) -> npt.NDArray[np.int16]:
    x, _ = train(72, rate_hz, seconds, seed=seed)
    y, _ = train(72, rate_hz, seconds, seed=seed + 1)
    return np.vstack([counts(x, 400), counts(0.7 * y, 400)])


MAKES = {
    "ecg": lambda rate: EcgAnalysis(rate, ("II", "V5"), (1 / 400, 1 / 400)),
    "pleth": PlethAnalysis,
    "respiration": ChestAnalysis,
}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([*MAKES]), st.sampled_from([125.0, 360.0, 62.5]), st.integers(0, 99), st.data())
def test_any_chunking_gives_the_same_events(
    train: Callable[..., Any], kind: str, rate_hz: float, seed: int, data: st.DataObject
) -> None:
    if not supports(kind, rate_hz):
        return
    n = int(20 * rate_hz)
    t = np.arange(n) / rate_hz
    wave = two_leads(train, rate_hz, 20, seed)[:, :n] if kind == "ecg" else counts(
        np.maximum(0, np.sin(2 * np.pi * (1.2 if kind == "pleth" else 0.3) * t))[np.newaxis], 500)  # fmt: skip
    for start, length in data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(1, n // 8)), max_size=3)):
        wave[:, start : start + length] = MISSING
    begin = data.draw(st.integers(0, 1000))
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, n), max_size=40))), n]
    whole = MAKES[kind](rate_hz).push(begin, wave)
    cut = MAKES[kind](rate_hz)
    parts = [event for a, b in pairwise(cuts) for event in cut.push(begin + a, wave[:, a:b])]
    assert parts == whole
    assert [one for one in whole if isinstance(one, Numeric)]


def test_a_heart_rate_every_second_and_none_from_noise(train: Callable[..., Any]) -> None:
    rng = np.random.default_rng(3)
    clean = two_leads(train, 250.0, 30)
    noise = rng.integers(-300, 300, (2, 20 * 250)).astype(np.int16)
    events = EcgAnalysis(250.0, ("II", "V5"), (1 / 400, 1 / 400)).push(0, np.hstack([clean, noise]))
    rates = numbers(events, "heart_rate")
    assert [one.sample for one in rates] == [250 * second for second in range(1, 51)]
    assert {one.value for one in rates[6:30]} == {72.0} and rates[20].source in ("II", "V5")
    assert all(one.value is None and one.reasons for one in rates[38:])
    assert sum(isinstance(one, Beat) for one in events if not isinstance(one, Numeric)) >= 34


def test_one_lead_off_leaves_the_other_and_a_gap_forgets(train: Callable[..., Any]) -> None:
    wave = two_leads(train, 250.0, 40)
    wave[0, 10 * 250 : 20 * 250] = MISSING
    analysis = EcgAnalysis(250.0, ("II", "V5"), (1 / 400, 1 / 400))
    rates = numbers(analysis.push(0, wave), "heart_rate")
    assert {one.value for one in rates[14:]} == {72.0} and {one.source for one in rates[14:20]} == {"V5"}
    after = numbers(analysis.push(100 * 250, two_leads(train, 250.0, 10)), "heart_rate")
    assert after[0].value is None and after[-1].value == 72.0


def test_a_pleth_has_pulse_breathing_and_no_perfusion_without_its_constant() -> None:
    t = np.arange(40 * 125) / 125
    wave = counts((np.exp(3 * np.cos(2 * np.pi * 1.5 * t)) / 20)[np.newaxis], 8000)
    events = PlethAnalysis(125.0).push(0, wave)
    assert numbers(events, "pulse_rate")[-1].value == 90.0
    assert not numbers(events, "perfusion_index")
    assert numbers(events, "respiration_rate")[-1].value is None
    lit = PlethAnalysis(125.0, has_dc=True).push(0, wave + np.int16(20_000))
    index = numbers(lit, "perfusion_index")[-1]
    assert index.value == pytest.approx(100 * float(np.ptp(wave)) / (20_000 + wave.mean()), rel=0.2)


def test_a_chest_breathes_and_says_when_that_is_the_heart() -> None:
    t = np.arange(90 * 25) / 25
    chest = ChestAnalysis(25.0)
    wave = counts(np.sin(2 * np.pi * 0.3 * t)[np.newaxis], 500)
    said = numbers(chest.push(0, wave), "respiration_rate")[-1]
    assert said.value == pytest.approx(18, abs=0.5) and said.reasons == () and said.source == "impedance"
    chest.heart_per_min = 18.0
    said = numbers(chest.push(wave.shape[1], wave), "respiration_rate")[-1]
    assert said.reasons == ("cardiac",)


def test_which_leads_and_which_streams() -> None:
    assert chosen(["I", "II", "III", "V1", "V5"]) == [1, 4]
    assert chosen(["MLII", "V1"]) == [1, 0] and chosen(["ECG"]) == [0] and chosen(["a", "b", "c"]) == [0, 1]
    assert supports("ecg", 250.0) and not supports("ecg", 62.5) and not supports("spo2", 125.0)
    with pytest.raises(BlockShape):
        ChestAnalysis(25.0).push(0, np.zeros((2, 5), np.int16))
