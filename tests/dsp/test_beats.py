"""Beats: the same for any chunking, right on trains of 30 to 300 a minute, sane on MIT-BIH records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemed_signal import judgement
from telemed_signal.beats import LAG_S, Beat, BeatDetector, BeatState
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.judgement import SHIPPED
from telemed_signal.rate import HeartRate, Rate, middle

Array = npt.NDArray[np.float64]
RATES_HZ = [125.0, 250.0, 360.0, 500.0, 1000.0]


def in_blocks(x: Array, rate_hz: float, cuts: list[int]) -> list[Beat]:
    detector = BeatDetector(rate_hz)
    return [beat for a, b in pairwise([0, *sorted(cuts), len(x)]) for beat in detector.push(x[a:b])]


class Judged:
    """A judge that has learnt: beats of 300 uV, no noise."""

    def __init__(self, rate_hz: float) -> None:
        self.whole, self.real = np.zeros(judgement.WHOLES, np.int64), np.zeros(judgement.REALS)
        self.found = np.zeros((8, judgement.FOUND_COLUMNS), np.int64)
        self.told: list[tuple[int, int]] = []
        self.real[judgement.CONSTANTS :] = SHIPPED.of_lead()
        judgement.begin(self.whole, self.real, rate_hz)
        self.judge(round(rate_hz), 300_000)
        self._act(judgement.learnt)

    def _act(self, act: Callable[..., None], *peak: int) -> None:
        self.whole[judgement.FOUND_COUNT] = 0
        act(self.whole, self.real, self.found, *peak)
        self.told += [(int(at), int(second)) for at, _, second in self.found[: self.whole[judgement.FOUND_COUNT]]]

    def judge(self, at: int, height: int) -> None:
        self._act(judgement.judge, at, height)

    def overdue(self) -> None:
        self._act(judgement.overdue)


def rough(seconds: float, rate_hz: float, seed: int) -> Array:
    """Noise, steps, pauses and spikes: what makes a detector change its mind."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate_hz)
    x = 0.02 * rng.normal(size=n)
    for at in np.flatnonzero(rng.random(n) < 1.5 / rate_hz):
        width = max(2, int(rng.uniform(0.01, 0.05) * rate_hz))
        x[at : at + width] += rng.choice([0.05, 0.3, 1.0, 3.0]) * np.hanning(width)[: len(x[at : at + width])]
    x[n // 2 :] += rng.choice([0.0, 5.0])
    return x


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(RATES_HZ), st.data())
def test_any_chunking_gives_the_same_beats(seed: int, rate_hz: float, data: st.DataObject) -> None:
    x = rough(14, rate_hz, seed)
    cuts = data.draw(st.lists(st.integers(0, len(x)), max_size=60))
    assert in_blocks(x, rate_hz, cuts) == BeatDetector(rate_hz).push(x)


@pytest.mark.parametrize("block", [1, 7, 36, 250])
def test_blocks_of_one_length_give_the_same_beats(block: int) -> None:
    x = rough(20, 250.0, seed=3)
    assert in_blocks(x, 250.0, list(range(0, len(x), block))) == BeatDetector(250.0).push(x)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("per_min", [30, 40, 60, 72, 90, 120, 150, 180, 200, 214, 220, 240, 270, 300])
def test_trains_of_30_to_300(per_min: int, rate_hz: float, train: Callable[..., tuple[Array, Array]]) -> None:
    x, peaks = train(per_min, rate_hz, 40)
    beats = BeatDetector(rate_hz).push(x)
    assert abs(len(beats) - len(peaks)) <= 1
    rate = HeartRate(rate_hz)
    rate.push(beats)
    shown = rate.at(len(x)).per_min
    assert shown is not None
    assert abs(shown - per_min) <= max(1, 0.01 * per_min)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_beat_lies_within_40_ms_of_its_r_peak_and_is_known_at_the_end_of_its_hold_off(
    rate_hz: float, train: Callable[..., tuple[Array, Array]]
) -> None:
    x, peaks = train(70, rate_hz, 30)
    detector = BeatDetector(rate_hz)
    for at in range(len(x)):
        for beat in detector.push(x[at : at + 1]):
            assert np.abs(peaks * rate_hz - beat.sample_index).min() <= 0.040 * rate_hz
            if at > 4 * rate_hz:  # the first three seconds are learnt from, then told at once
                assert at - beat.sample_index < (LAG_S + SHIPPED.hold_off_s + 0.012) * rate_hz


def test_a_lesser_wave_in_the_hold_off_does_not_delay_a_beat() -> None:
    # An R wave, and 270 ms later a lesser one whose energy is still high when the hold-off ends.
    at = np.arange(1_000)
    beat = np.exp(-0.5 * ((at - 300) / 12) ** 2) + 0.4 * np.exp(-0.5 * ((at - 570) / 20) ** 2)
    x = np.tile(beat, 30)
    detector = BeatDetector(1000.0)
    delays = [at - beat.sample_index for at in range(0, len(x), 5) for beat in detector.push(x[at : at + 5])]
    assert len(delays) == 30
    assert max(delays[5:]) < 1000 * (LAG_S + SHIPPED.hold_off_s) + 12


def test_numbers_continue_after_a_reset(train: Callable[..., tuple[Array, Array]]) -> None:
    x, _ = train(75, 250.0, 12)
    detector = BeatDetector(250.0, first_sample=1000)
    first = detector.push(x)
    assert detector.next_sample == 1000 + len(x)
    detector.reset(50_000)
    again = detector.push(x)
    assert [beat.sample_index - 1000 for beat in first] == [beat.sample_index - 50_000 for beat in again]
    assert len(first) >= 13


@pytest.mark.parametrize("rate_hz", [250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("height_mv", [-5.0, 3.0, 80.0])
def test_a_pacemakers_spikes_alone_are_no_beats(height_mv: float, rate_hz: float) -> None:
    x = 0.003 * np.random.default_rng(2).normal(size=int(20 * rate_hz))
    for at in range(int(rate_hz), len(x) - 10, int(0.85 * rate_hz)):
        x[at : at + max(1, round(0.002 * rate_hz))] += height_mv
    assert BeatDetector(rate_hz).push(x) == []


@pytest.mark.parametrize("rate_hz", [250.0, 360.0, 500.0, 1000.0])
def test_spikes_before_the_beats_change_no_beat(rate_hz: float, train: Callable[..., tuple[Array, Array]]) -> None:
    x, peaks = train(70, rate_hz, 30)
    plain = BeatDetector(rate_hz).push(x)
    for peak in peaks:
        at = int((peak - 0.15) * rate_hz)
        x[at : at + max(1, round(0.002 * rate_hz))] += 5.0
    paced = BeatDetector(rate_hz).push(x)
    assert len(paced) == len(plain)
    assert max(abs(a.sample_index - b.sample_index) for a, b in zip(plain, paced, strict=True)) <= 0.008 * rate_hz


def test_the_pause_after_a_premature_beat_is_not_filled_with_its_t_wave() -> None:
    detector = Judged(1000.0)
    for k in range(8):
        detector.judge(3_000 + 1_000 * k, 300_000)
    detector.judge(10_500, 400_000)  # half an interval early
    detector.judge(10_800, 90_000)  # its T wave
    assert detector.told[-1] == (10_500, 0)
    wait = round(1000 * (SHIPPED.late + 0.5 * SHIPPED.after_early)) + detector.whole[judgement.HOLD_OFF]
    assert detector.whole[judgement.DEADLINE] == 10_500 + wait
    detector.overdue()
    assert detector.told[-1] == (10_500, 0)


@pytest.mark.parametrize("late_s", [1.2, 1.7])
def test_what_would_be_told_too_late_is_not_told(late_s: float) -> None:
    detector = Judged(1000.0)
    for k in range(8):
        detector.judge(3_000 + 2_000 * k, 300_000)
    deadline = int(detector.whole[judgement.DEADLINE])
    detector.judge(deadline - round(1000 * late_s), 80_000)
    detector.overdue()
    assert (detector.told[-1][1] == 1) == (late_s <= judgement.LOOK_BACK_S)


@pytest.mark.parametrize("x", [np.zeros(5000), np.full(5000, -4.0), 0.003 * np.random.default_rng(1).normal(size=5000)])
def test_silence_has_no_beat(x: Array) -> None:
    assert BeatDetector(250.0).push(x) == []


def test_a_lead_that_becomes_small_is_found_again(train: Callable[..., tuple[Array, Array]]) -> None:
    x, peaks = train(70, 250.0, 60, noise_mv=0.002)
    x[len(x) // 3 :] *= 0.2
    late = [beat.sample_index for beat in BeatDetector(250.0).push(x) if beat.sample_index > 40 * 250]
    assert abs(len(late) - int((peaks > 40).sum())) <= 1


def test_absurd_input_is_bounded_and_a_poisoned_one_refused() -> None:
    detector = BeatDetector(500.0)
    detector.push(np.tile([1e300, -1e300], 2000))
    for poison in (np.nan, np.inf):
        with pytest.raises(NotFinite):
            detector.push(np.array([0.0, poison]))
    with pytest.raises(BlockShape):
        detector.push(np.zeros((2, 2)))
    assert detector.push(np.zeros(0)) == []
    for rate in (0.0, 99.0, 1001.0, float("nan")):
        with pytest.raises(RateUnsupported):
            BeatDetector(rate)


def test_the_state_is_small_and_does_not_grow() -> None:
    detector = BeatDetector(1000.0)
    for minute in range(20):
        detector.push(rough(60, 250.0, seed=minute))
    state = detector.export()
    assert state.whole.nbytes + state.real.nbytes <= 8000


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_detector_moves_in_the_middle_of_a_beat(rate_hz: float) -> None:
    x = rough(14, rate_hz, seed=8)
    whole = BeatDetector(rate_hz, first_sample=5).push(x)
    for cut in range(0, len(x), max(1, len(x) // 17)):
        before, after = BeatDetector(rate_hz, first_sample=5), BeatDetector(rate_hz)
        first = before.push(x[:cut])
        after.restore(before.export())
        assert first + after.push(x[cut:]) == whole
    with pytest.raises(BlockShape):
        after.restore(BeatState(0, np.zeros(3, np.int64), np.zeros(3)))
    with pytest.raises(BlockShape):
        after.restore(BeatDetector(rate_hz - 20).export())
    with pytest.raises(BlockShape):
        after.restore(BeatDetector(rate_hz, constants=replace(SHIPPED, late=1.5)).export())
    poisoned = before.export()
    poisoned.real[0] = np.nan
    with pytest.raises(NotFinite):
        after.restore(poisoned)


def test_the_judge_waits_learns_and_looks_again() -> None:
    whole, real = np.zeros(judgement.WHOLES, np.int64), np.zeros(judgement.REALS)
    found = np.zeros((8, judgement.FOUND_COLUMNS), np.int64)
    real[judgement.CONSTANTS :] = SHIPPED.of_lead()

    def told(act: Callable[..., None], *peak: int) -> list[tuple[int, int]]:
        whole[judgement.FOUND_COUNT] = 0
        act(whole, real, found, *peak)
        return [(int(at), int(second)) for at, _, second in found[: whole[judgement.FOUND_COUNT]]]

    judgement.begin(whole, real, 1000.0)
    for at, height in ((400, 300_000), (800, 20_000), (1400, 310_000)):
        assert told(judgement.judge, at, height) == []
    assert whole[judgement.DEADLINE] == 3000
    assert told(judgement.learnt) == [(400, 0), (1400, 0)]
    assert whole[judgement.DEADLINE] == 1400 + round(SHIPPED.late * 1000) + whole[judgement.HOLD_OFF]
    assert told(judgement.judge, 2400, 70_000) == []  # below the bar, above 0.6 of it
    assert told(judgement.overdue) == [(2400, 1)]
    assert told(judgement.overdue) == []
    assert whole[judgement.HOLD_OFF] == round(SHIPPED.hold_off_s * 1000)
    judgement.begin(whole, real, 1000.0)
    assert told(judgement.judge, 500, judgement.FLOOR - 1) == []
    assert told(judgement.learnt) == []
    assert whole[judgement.DEADLINE] == 6000


# A few records: correctness, not a competition. AAMI EC57: 150 ms, from the sixth minute.


@pytest.mark.parametrize(
    ("name", "least_se", "least_pp"),
    [("100", 0.999, 0.999), ("103", 0.999, 0.999), ("118", 0.998, 0.998), ("200", 0.995, 0.99), ("201", 0.99, 0.99)],
)
def test_records_of_mit_bih(
    name: str, least_se: float, least_pp: float, mit_record: Callable[[str], Any], matched: Callable[..., int]
) -> None:
    record = mit_record(name)
    cuts = list(range(0, len(record.x_mv), 36))
    beats = in_blocks(record.x_mv, 360.0, cuts)
    found = [beat.sample_index for beat in beats if beat.sample_index >= 300 * 360]
    reference = [int(at) for at in record.beats if at >= 300 * 360]
    hits = matched(reference, found, 54)
    assert hits / len(reference) >= least_se
    assert hits / len(found) >= least_pp
    assert beats == BeatDetector(360.0).push(record.x_mv)


# The number shown


def at_intervals(*intervals: int, start: int = 0) -> list[Beat]:
    places = [start, *(start + sum(intervals[: i + 1]) for i in range(len(intervals)))]
    return [Beat(place, 1.0) for place in places]


def rate_of(beats: list[Beat], now: int) -> Rate:
    rate = HeartRate(100.0)
    rate.push(beats)
    return rate.at(now)


def test_a_rate_or_the_reason_why_not() -> None:
    assert rate_of([], 0) == Rate(None, "few_beats")
    assert rate_of(at_intervals(100), 200) == Rate(None, "few_beats")
    assert rate_of(at_intervals(100, 100), 200) == Rate(60)
    assert rate_of(at_intervals(100, 100), 700) == Rate(60)
    assert rate_of(at_intervals(100, 100), 701) == Rate(None, "stale")
    assert rate_of(at_intervals(19, 19, 19, 19), 80) == Rate(None, "implausible")
    assert rate_of(at_intervals(200, 200, 200, 200), 800) == Rate(30)
    assert rate_of(at_intervals(20, 20, 20), 80) == Rate(300)
    assert rate_of(at_intervals(*[100] * 40), 4000) == Rate(60)


def test_one_premature_beat_does_not_move_the_rate() -> None:
    assert rate_of(at_intervals(80, 80, 50, 110, 80, 80, 80), 560) == Rate(75)


def test_the_window_slides_and_a_gap_forgets() -> None:
    rate = HeartRate(100.0)
    rate.push(at_intervals(*[100] * 10))
    rate.push(at_intervals(*[50] * 20, start=1050))
    assert rate.at(2060) == Rate(120)
    rate.reset()
    assert rate.at(2060) == Rate(None, "few_beats")
    with pytest.raises(RateUnsupported):
        HeartRate(0)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=60))
def test_the_middle_lies_inside(values: list[int]) -> None:
    ranked = sorted(values)
    assert ranked[(len(ranked) - 1) // 4] <= middle(values) <= ranked[-1 - (len(ranked) - 1) // 4]
    if len(values) <= 3:
        assert middle(values) == np.median(values)
