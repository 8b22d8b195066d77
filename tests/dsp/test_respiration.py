"""Breaths: the same for any chunking, right on synthetic waves, sane on BIDMC recordings."""

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
from telemed_signal.respiration import Breathing, RespirationRate

Array = npt.NDArray[np.float64]


def wave(per_min: float, rate_hz: float, seconds: float, seed: int = 0) -> Array:
    """Breathing with a heart's ripple of a tenth, noise and an offset."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    noise = 0.02 * np.random.default_rng(seed).normal(size=t.size)
    return np.asarray(500 + np.sin(2 * np.pi * per_min / 60 * t) + 0.1 * np.sin(2 * np.pi * 1.2 * t) + noise)


@pytest.mark.parametrize("rate_hz", [25.0, 62.5, 125.0, 250.0])
@pytest.mark.parametrize("per_min", [6, 10, 15, 24, 40, 60])
def test_steady_breathing(per_min: int, rate_hz: float) -> None:
    breathing = RespirationRate(rate_hz)
    breathing.push(wave(per_min, rate_hz, 90))
    shown = breathing.at_end().per_min
    assert shown is not None
    assert abs(shown - per_min) <= 0.5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 1500), max_size=40))
def test_any_chunking_gives_the_same_breaths(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    x = wave(20, 25.0, 60, seed) + np.cumsum(rng.normal(scale=0.05, size=1500))
    whole, pieces = RespirationRate(25.0), RespirationRate(25.0)
    breaths = whole.push(x)
    assert sum(pieces.push(x[a:b]) for a, b in pairwise([0, *sorted(cuts), 1500])) == breaths
    assert pieces.at_end() == whole.at_end()


def test_withheld_with_a_reason() -> None:
    breathing = RespirationRate(25.0)
    assert breathing.at_end() == Breathing(None, "few_breaths")
    breathing.push(np.zeros(0))
    breathing.push(wave(15, 25.0, 9))
    assert breathing.at_end() == Breathing(None, "few_breaths")
    breathing.push(wave(15, 25.0, 60))
    assert breathing.at_end().per_min is not None
    breathing.push(np.full(25 * 45, 500.0))
    assert breathing.at_end() == Breathing(None, "stale")
    breathing.reset()
    assert breathing.at_end() == Breathing(None, "few_breaths")


def test_bad_input() -> None:
    for rate in (0.0, 9.0, 1001.0):
        with pytest.raises(RateUnsupported):
            RespirationRate(rate)
    breathing = RespirationRate(25.0)
    with pytest.raises(NotFinite):
        breathing.push([0.0, float("nan")])
    with pytest.raises(BlockShape):
        breathing.push(np.zeros((2, 2)))


@pytest.mark.parametrize("name", ["bidmc_01", "bidmc_05", "bidmc_13", "bidmc_32"])
def test_recordings_of_bidmc(name: str, recordings: Path) -> None:
    """Against annotated breaths over the same last minute, in steps of ten seconds."""
    folder = recordings / "signal" / "bidmc"
    with np.load(folder / f"{name}.npz") as stored:
        x = np.cumsum(stored["RESP_d"].astype(np.int64)).astype(np.float64)
    rows = list(csv.reader((folder / f"{name}_Breaths.csv").read_text("utf-8").splitlines()))
    breaths = np.array([float(row[0]) for row in rows[1:] if row and row[0].strip()]) / 125
    breathing, errors = RespirationRate(125.0), []
    for start in range(0, len(x), 1250):
        breathing.push(x[start : start + 1250])
        now = (start + 1250) / 125
        inside = breaths[(breaths > now - 60) & (breaths <= now)]
        if now >= 60 and len(inside) >= 3:
            shown = breathing.at_end().per_min
            assert shown is not None
            errors.append(abs(shown - 60 * (len(inside) - 1) / (inside[-1] - inside[0])))
    assert float(np.mean(errors)) < 1.5
