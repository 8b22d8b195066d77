"""Cuff pressures become a phase and a pressure, and nothing more."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemed_signal.faults import BlockShape, NotFinite
from telemed_signal.nibp import EMPTY_MMHG, SILENT_S, TURN_MMHG, CuffProgress, Phase, Progress


def measurement(goal: float = 180.0) -> list[float]:
    """A cuff pumped up at 20 mmHg/s and let down at 4, the heart's pulses of 2 mmHg on it; a value a second."""
    up = list(np.arange(0.0, goal, 20.0))
    down = np.arange(goal, 0.0, -4.0)
    return [*up, *(down + 2 * np.sin(np.arange(down.size) * 2.1)).clip(0)]


def phases(values: list[float]) -> list[Phase | None]:
    """The phases passed, each once."""
    cuff, seen = CuffProgress(), list[Phase | None]()
    for second, value in enumerate(values):
        phase = cuff.push(second, value).phase
        if not seen or seen[-1] != phase:
            seen.append(phase)
    return seen


def test_a_measurement_goes_up_and_down_once() -> None:
    assert phases(measurement()) == [Phase.INFLATING, Phase.DEFLATING, Phase.DONE]


def test_a_cuff_that_pumps_up_again_inflates_again() -> None:
    first = measurement(120)
    values = [*first[:15], *measurement(200)[5:]]
    assert phases(values) == [Phase.INFLATING, Phase.DEFLATING, Phase.INFLATING, Phase.DEFLATING, Phase.DONE]


def test_the_next_measurement_begins_on_the_same_cuff() -> None:
    assert phases([*measurement(), *measurement()]) == [Phase.INFLATING, Phase.DEFLATING, Phase.DONE] * 2


def test_the_pressure_is_the_devices_last_value() -> None:
    cuff = CuffProgress()
    for second, value in enumerate(measurement()):
        assert cuff.push(second, value).pressure_mmhg == value


def test_pulses_in_the_cuff_do_not_turn_it() -> None:
    cuff = CuffProgress()
    cuff.push(0, 150)
    assert cuff.push(1, 150 - TURN_MMHG + 0.1).phase is Phase.INFLATING
    assert cuff.push(2, 150 - TURN_MMHG).phase is Phase.DEFLATING
    assert cuff.push(3, EMPTY_MMHG).phase is Phase.DEFLATING
    assert cuff.push(4, EMPTY_MMHG - 0.1).phase is Phase.DONE


def test_withheld_with_a_reason() -> None:
    cuff = CuffProgress()
    assert cuff.at(0) == Progress(None, None, "no_value")
    cuff.finish()
    assert cuff.at(0) == Progress(None, None, "no_value")
    cuff.push(1, 100)
    assert cuff.at(1 + SILENT_S) == Progress(Phase.INFLATING, 100)
    assert cuff.at(2 + SILENT_S) == Progress(None, None, "silent")
    assert cuff.push(40, 331) == Progress(None, None, "implausible")
    assert cuff.push(41, -1) == Progress(None, None, "implausible")
    assert cuff.push(42, 60) == Progress(Phase.INFLATING, 60)


def test_the_devices_result_ends_it() -> None:
    cuff = CuffProgress()
    for second, value in enumerate(measurement()[:20]):
        cuff.push(second, value)
    cuff.finish()
    assert cuff.at(1e6).phase is Phase.DONE
    cuff.reset()
    assert cuff.at(1e6).reason == "no_value"


def test_nothing_but_progress_is_said() -> None:
    assert {field.name for field in fields(Progress)} == {"phase", "pressure_mmhg", "reason"}


@given(st.lists(st.floats(-50, 400), max_size=60), st.integers(0, 60))
def test_a_restored_state_goes_on_the_same(values: list[float], cut: int) -> None:
    whole, first, second = CuffProgress(), CuffProgress(), CuffProgress()
    told = [whole.push(at, value) for at, value in enumerate(values)]
    before = [first.push(at, value) for at, value in enumerate(values[:cut])]
    second.restore(first.export())
    assert [*before, *(second.push(cut + at, value) for at, value in enumerate(values[cut:]))] == told


def test_bad_input() -> None:
    cuff = CuffProgress()
    for at, value in ((0.0, math.nan), (math.inf, 1.0)):
        with pytest.raises(NotFinite):
            cuff.push(at, value)
    for state in (np.zeros(3), np.full(5, 7.0)):
        with pytest.raises(BlockShape):
            cuff.restore(state)
