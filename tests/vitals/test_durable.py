"""What is durable depends on the set of committed numbers alone, never on their order or repetition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from telemed.vitals.durable import RANGES_KEPT, RANGES_TOLD, Durable

NUMBERS = st.lists(st.integers(0, 60), max_size=120)


def covered(durable: Durable, touched: list[int] | None = None) -> set[int]:
    told: set[int] = set()
    for through, ranges in durable.acknowledgements(touched):
        assert len(ranges) <= RANGES_TOLD
        told |= set(range(-1 if through is None else through + 1))
        for first, last in ranges:
            assert first <= last
            told |= set(range(first, last + 1))
    return told


@given(NUMBERS)
def test_any_order_and_repetition_gives_the_set(numbers: list[int]) -> None:
    durable = Durable()
    for number in numbers:
        durable.add(number)
    everything = set(numbers)
    assert {number for number in range(62) if number in durable} == everything
    run = next(number for number in range(62) if number not in everything) - 1
    assert durable.through == run
    ranges = durable.ranges
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(ranges))
    assert covered(durable) == everything


@given(st.sets(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=30))
def test_ranges_merge_as_single_numbers_do(spans: set[tuple[int, int]]) -> None:
    one, other = Durable((first, first + length) for first, length in spans), Durable()
    for first, length in spans:
        for number in range(first, first + length + 1):
            other.add(number)
    assert (one.through, one.ranges) == (other.through, other.ranges)


@given(st.lists(st.one_of(NUMBERS, st.builds(range, st.integers(0, 60), st.integers(0, 60))), max_size=9))
def test_many_at_once_are_added_as_single_numbers_are(parts: list[Sequence[int]]) -> None:
    one, other = Durable(), Durable()
    for part in parts:
        one.update(part)
        for number in part:
            other.add(number)
    assert (one.through, one.ranges) == (other.through, other.ranges)


@given(st.sets(st.integers(0, 400), min_size=1))
def test_what_was_touched_is_told_and_nothing_that_is_not_there(numbers: set[int]) -> None:
    durable = Durable((number, number) for number in numbers)
    touched = sorted(numbers)[::3]
    told = covered(durable, touched)
    assert set(touched) <= told <= numbers
    assert covered(durable) == numbers


def test_holes_are_bounded_and_filling_them_is_always_taken() -> None:
    durable = Durable((2 * number, 2 * number) for number in range(RANGES_KEPT))
    assert not durable.may_take(2 * RANGES_KEPT + 10)
    assert durable.may_take(1)
    assert durable.may_take(2 * RANGES_KEPT - 1)
    assert durable.may_take(4)
