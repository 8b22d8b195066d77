"""The mapping of a source's stamps to the server's clock, whatever the source's clock says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemed.vitals.clock import WINDOW_US, ClockSource, Fix, FixKeeper, Mapping

START = 1_700_000_000_000_000
HOUR = 3_600_000_000


@given(st.integers(-1000 * HOUR, 1000 * HOUR), st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)),
                                                        min_size=1, max_size=40))
def test_the_true_offset_lies_within_the_error(offset: int, trips: list[tuple[int, int]]) -> None:
    source, now = ClockSource(), START
    for there, back in trips:
        asked = source.ask(now)
        fix = source.answer(asked, now + there - offset, now + there + back)
        assert fix is not None and abs(fix.offset_us - offset) <= fix.error_us + 1
        now += there + back + 5_000_000
    best = source.best
    recent = [there + back for there, back in trips]
    assert best is not None and best.error_us <= max(recent) // 2 + 1
    assert abs(best.offset_us - offset) <= best.error_us + 1


def test_an_echo_that_was_never_asked_or_was_answered_is_refused() -> None:
    source = ClockSource()
    asked = source.ask(START)
    assert source.answer(asked + 1, 0, START + 10) is None
    assert source.answer(asked, 0, START + 10) is not None
    assert source.answer(asked, 0, START + 20) is None
    assert source.answer(source.ask(START), 2**70, START + 10) is None


def test_the_best_of_a_minute_is_a_row_and_the_first_at_once() -> None:
    keeper = FixKeeper()
    first, worse, better = Fix(START, 0, 500), Fix(START + 5, 0, 900), Fix(START + 9, 0, 20)
    assert keeper.take(first) == (first, None)
    assert keeper.take(worse) is None
    assert keeper.take(better) == (better, START)
    later = Fix(START + WINDOW_US, 0, 700)
    assert keeper.take(later) == (later, None)


def test_between_fixes_the_offset_runs_and_outside_it_stands() -> None:
    mapping = Mapping([Fix(START, -7 * HOUR, 10), Fix(START + 60_000_000, -7 * HOUR + 6000, 10)])
    stamps = np.array([START, START + 30_000_000, START + 60_000_000], np.int64) + 7 * HOUR
    assert mapping.to_consultation(stamps).tolist() == [START, START + 30_003_000, START + 60_006_000]
    assert mapping.offset_us(START + 8 * HOUR) == -7 * HOUR + 6000
    assert mapping.offset_us(START - HOUR) == -7 * HOUR
    for at in (START - HOUR, START + 12_345_678, START + 9 * HOUR):
        stamp = mapping.to_stamp(at)
        assert abs(int(mapping.to_consultation(np.array([stamp], np.int64))[0]) - at) <= 1


def test_an_inexact_fix_beside_an_exact_one_does_not_count() -> None:
    exact = [Fix(START, 1000, 10), Fix(START + 120_000_000, 1000, 10)]
    assert Mapping([*exact, Fix(START + 60_000_000, 90_000, 100_000)]).offset_us(START + 60_000_000) == 1000
    far = Fix(START + 100 * HOUR, 90_000, 100_000)  # nothing exact is near: it is the best there is
    assert Mapping([*exact, far]).offset_us(START + 100 * HOUR) == 90_000


def test_without_a_fix_a_stamp_stands_for_itself() -> None:
    assert not Mapping([]).known
    assert Mapping([]).offset_us(5) == 0


def asked(source: ClockSource, server_us: int, stamp_us: int, trip_us: int) -> Fix:
    fix = source.answer(source.ask(server_us), stamp_us, server_us + trip_us)
    assert fix is not None
    return fix


@pytest.mark.parametrize("step", [-600_000_000, 600_000_000, -1_000_000])
def test_after_the_server_clock_was_set_the_new_fix_counts_and_is_a_row_at_once(step: int) -> None:
    source, keeper = ClockSource(), FixKeeper()
    for n in range(12):
        keeper.take(asked(source, START + n * 5_000_000, n * 5_000_000, 4_000))
    fix = asked(source, START + step + 60_000_000, 60_000_000, 9_000)
    assert source.best == fix, "though its error is greater"
    assert keeper.take(fix) == (fix, None)
    for n in range(13, 40):
        fix = asked(source, START + step + n * 5_000_000, n * 5_000_000, 8_000)
        assert source.best is not None and abs(source.best.offset_us - (START + step)) <= source.best.error_us
        assert len(source._window) <= 14


def test_where_the_clock_was_set_between_two_fixes_nothing_is_interpolated() -> None:
    slept = 3600 * 1_000_000
    mapping = Mapping([Fix(START, START, 2000), Fix(START + 40_000_000 + slept, START + slept, 2000)])
    stamps = np.array([0, 39_000_000, 39_999_999, 40_000_000, 50_000_000], np.int64)
    assert mapping.offsets_us(stamps).tolist() == [START, START, START, START + slept, START + slept]
    earliest, latest = mapping.bounds(stamps, stamps)
    assert (earliest - stamps).tolist() == mapping.offsets_us(stamps).tolist()
    assert (latest - stamps).tolist() == [START, *[START + slept] * 4]
    first, last = mapping.stamps_around(START + slept + 45_000_000)
    assert first <= 45_000_000 <= last


def test_an_exact_fix_from_before_a_step_does_not_put_out_the_one_after() -> None:
    mapping = Mapping([Fix(START, 0, 10), Fix(START - 600_000_000 + 5_000_000, -600_000_000, 50_000)])
    assert mapping.offset_us(START + 6_000_000) == -600_000_000
    assert mapping.offset_us(START - 1) == 0
