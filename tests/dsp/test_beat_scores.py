"""The score that `make bench-signal` gives: one to one, the nearest, within the window, beats of flutter left out."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
places = st.lists(st.integers(0, 2_000), max_size=40, unique=True).map(sorted)


@pytest.fixture(scope="module", name="score")
def score_fixture() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("_signal_score")


@pytest.mark.parametrize(
    ("reference", "found", "hits", "missed", "extra"),
    [
        ([100], [100], [(100, 100)], [], []),
        ([100], [95, 103], [(100, 103)], [], [95]),  # never many to one
        ([100, 140], [120, 139], [(100, 120), (140, 139)], [], []),
        ([100, 140], [139], [(140, 139)], [100], []),
        ([100], [154], [(100, 154)], [], []),
        ([100], [155], [], [100], [155]),
        ([], [7], [], [], [7]),
        ([7], [], [], [7], []),
    ],
)
def test_pairs(score: Any, reference: list[int], found: list[int], hits: list[tuple[int, int]], missed: list[int],
               extra: list[int]) -> None:  # fmt: skip
    pairs = score.paired(np.array(reference, np.int64), np.array(found, np.int64), 54)
    assert [tuple(pair) for pair in pairs.hits.tolist()] == hits
    assert pairs.missed.tolist() == missed
    assert pairs.extra.tolist() == extra


@given(reference=places, found=places)
def test_every_beat_is_counted_once(score: Any, reference: list[int], found: list[int]) -> None:
    pairs = score.paired(np.array(reference, np.int64), np.array(found, np.int64), 54)
    assert sorted([*pairs.hits[:, 0].tolist(), *pairs.missed.tolist()]) == reference
    assert sorted([*pairs.hits[:, 1].tolist(), *pairs.extra.tolist()]) == found
    assert (np.abs(pairs.hits[:, 1] - pairs.hits[:, 0]) <= 54).all()
    # What is left over on both sides is apart: nobody was forgotten.
    assert all(abs(one - other) > 54 for one in pairs.missed.tolist() for other in pairs.extra.tolist())


def test_the_first_five_minutes_and_flutter_are_left_out_without_an_error_at_the_edge(score: Any) -> None:
    records = importlib.import_module("_signal_records")
    record = records.Ecg(
        "one", 100.0, ("II",), np.zeros((1, 40_000)), np.array([29_995, 30_100, 30_900], np.int64), ("N",) * 3,
        ((30_300, 30_600),),
    )  # fmt: skip
    pairs = score.within(record, np.array([30_003, 30_104, 30_400, 30_700], np.int64), 150)
    assert score.counted(pairs, score.SKIPPED_S * 100) == score.Count(true=1, missed=1, extra=1)
    assert score.counted(pairs) == score.Count(true=2, missed=1, extra=1)


def test_a_withheld_number_is_a_miss_but_no_error(score: Any) -> None:
    shown = score.compared([60.0, None, 90.0, 61.0], [61.0, 70.0, 70.0, None])
    assert (shown.asked, shown.errors.tolist()) == (3, [1.0, 20.0])
    assert round(shown.within_pct(5), 1) == 33.3
    assert shown.within_of_shown_pct(5) == 50.0
    assert round(shown.coverage_pct, 1) == 66.7


def test_no_subject_is_in_both_halves(score: Any) -> None:
    halves = importlib.import_module("_signal_halves")
    for a, b, one_person in (
        (halves.MIT_A, halves.MIT_B, [{"201", "202"}]),
        (halves.BIDMC_A, halves.BIDMC_B, [{"20", "21", "22", "23"}, {"38", "39"}]),
    ):
        assert not set(a) & set(b)
        for records in one_person:
            assert records <= set(a) or records <= set(b)
