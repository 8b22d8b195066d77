"""The search of `make bench-signal PARTS=tuned`: alike every time, within its bounds, of the library as it is."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemed_signal.judgement import SHIPPED

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", name="search")
def search_fixture() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("_signal_tuned")


@settings(max_examples=30)
@given(best=st.tuples(st.floats(0, 1), st.floats(-2, 2)))
def test_it_ends_a_quarter_step_from_the_best(best: tuple[float, float], search: Any) -> None:
    ways = {"m.ONE": search.Way(0.5, 0.2, 0.0, 1.0), "m.TWO": search.Way(0.0, 0.4, -2.0, 2.0)}
    trials: list[Mapping[str, float]] = []

    def goodness(trial: Mapping[str, float]) -> float:
        trials.append(trial)
        assert trial["m.KEPT"] == 7
        return -abs(trial["m.ONE"] - best[0]) - abs(trial["m.TWO"] - best[1])

    found = search.descended(ways, goodness, {"m.KEPT": 7.0})
    assert abs(found["m.ONE"] - best[0]) <= 0.05 + 1e-6
    assert abs(found["m.TWO"] - best[1]) <= 0.1 + 1e-6
    assert all(way.least <= trial[name] <= way.most for trial in trials for name, way in ways.items())
    assert len(trials) < 60


def test_what_gains_nothing_is_not_moved(search: Any) -> None:
    ways = {"m.ONE": search.Way(0.5, 0.2, 0.0, 1.0)}
    assert search.descended(ways, lambda trial: 1.0, {}) == {"m.ONE": 0.5}


def test_every_constant_is_one_of_the_library(search: Any) -> None:
    assert search.shipped() == asdict(SHIPPED)
    assert set(search.shipped()) == {*search.PUBLISHED, *search.FUSED}


def test_what_loses_beats_of_a_fast_heart_is_no_candidate(search: Any) -> None:
    assert search.steady(search.shipped())
    assert not search.steady({**search.shipped(), "twins": 1.0})
