"""Columns of minima and maxima, against a loop; missing samples are never an extreme."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from telemed_signal.faults import BlockShape
from telemed_signal.minmax import columns, combine

Ints = npt.NDArray[Any]


def by_hand(samples: Ints, first: int, edges: list[int]) -> tuple[list[list[int]], list[list[int]]]:
    missing = np.iinfo(samples.dtype).min
    mins, maxs = [], []
    for row in samples.tolist():
        low, high = [], []
        for start, stop in itertools.pairwise(edges):
            inside = [v for at, v in enumerate(row) if start <= at + first < stop and v != missing]
            low.append(min(inside, default=missing))
            high.append(max(inside, default=missing))
        mins.append(low)
        maxs.append(high)
    return mins, maxs


@st.composite
def cases(draw: st.DrawFn) -> tuple[Ints, int, list[int]]:
    dtype = draw(st.sampled_from([np.int16, np.int32]))
    info = np.iinfo(dtype)
    element = st.one_of(st.just(info.min), st.just(info.max), st.integers(-5, 5))
    samples = draw(hnp.arrays(dtype, (draw(st.integers(1, 3)), draw(st.integers(0, 30))), elements=element))
    first = draw(st.integers(0, 50))
    edges = sorted(draw(st.lists(st.integers(0, 90), min_size=1, max_size=12)))
    return samples, first, edges


@given(cases())
def test_columns_are_those_of_a_plain_loop(case: tuple[Ints, int, list[int]]) -> None:
    samples, first, edges = case
    mins, maxs = columns(samples, first, edges)
    assert mins.dtype == maxs.dtype == samples.dtype
    assert (mins.tolist(), maxs.tolist()) == by_hand(samples, first, edges)


@given(cases(), st.integers(0, 30))
def test_two_stretches_laid_over_each_other_are_the_whole(case: tuple[Ints, int, list[int]], at: int) -> None:
    samples, first, edges = case
    at = min(at, samples.shape[1])
    halves = combine(columns(samples[:, :at], first, edges), columns(samples[:, at:], first + at, edges))
    whole = columns(samples, first, edges)
    for one, other in zip(halves, whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_numbers_beyond_32_bits_of_index() -> None:
    first = 2**40
    mins, maxs = columns(np.arange(10, dtype=np.int16).reshape(1, 10), first, [first, first + 4, first + 10])
    assert (mins.tolist(), maxs.tolist()) == ([[0, 4]], [[3, 9]])


def test_wrong_shapes() -> None:
    samples = np.zeros((1, 4), np.int16)
    for edges in ([3, 2], [[0, 1]], []):
        with pytest.raises(BlockShape):
            columns(samples, 0, edges)
    with pytest.raises(BlockShape):
        columns(samples[0], 0, [0, 4])
    with pytest.raises(BlockShape):
        combine(columns(samples, 0, [0, 4]), columns(samples, 0, [0, 2, 4]))
