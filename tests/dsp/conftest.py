"""Synthetic beats with known places, MIT-BIH records with their reference beats, and where recordings are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
Array = npt.NDArray[np.float64]


def train(
    per_min: float, rate_hz: float, seconds: float, *, seed: int = 0, noise_mv: float = 0.01
) -> tuple[Array, Array]:
    """An ECG-like lead in millivolts with a P, QRS and T at every beat, and the R peaks in seconds."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    x = noise_mv * np.random.default_rng(seed).normal(size=t.size)
    interval = 60 / per_min
    narrow = min(1.0, interval / 0.6)
    peaks = np.arange(0.7, seconds - 0.5, interval)
    for peak in peaks:
        for after, height, width in (
            (0.0, 1.0, 0.011), (-0.025, -0.12, 0.010), (0.028, -0.25, 0.011),
            (-0.16 * narrow, 0.12, 0.02), (0.28 * narrow**0.5, 0.3, 0.045 * narrow),
        ):  # fmt: skip
            x += height * np.exp(-0.5 * ((t - peak - after) / width) ** 2)
    return x, peaks


@dataclass(frozen=True)
class Record:
    """Two leads in millivolts at 360 Hz, the first also by itself, and the samples of the reference beats."""

    leads_mv: Array
    x_mv: Array
    beats: npt.NDArray[np.int64]


BEAT_CODES = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25, 30, 34, 35, 38, 41}
"""Annotation codes of the MIT format that name a beat."""


def mit_record(recordings: Path, name: str) -> Record:
    """A record of the MIT-BIH Arrhythmia Database."""
    folder = recordings / "signal" / "mitdb"
    with np.load(folder / f"{name}.npz") as stored:
        counts = np.cumsum(stored["d"].astype(np.int64), axis=1)
        leads = (counts - stored["zero"].astype(np.float64)[:, None]) / stored["gain"].astype(np.float64)[:, None]
    return Record(leads, leads[0], _beats((folder / f"{name}.atr").read_bytes()))


def _beats(data: bytes) -> npt.NDArray[np.int64]:
    words = np.frombuffer(data, dtype="<u2")
    beats, at, place = [], 0, 0
    while place < words.size:
        code, step = int(words[place]) >> 10, int(words[place]) & 1023
        place += 1
        if code == 0 and step == 0:
            break
        if code == 59:  # skip: a 32-bit step in PDP order
            at += (int(words[place]) << 16) | int(words[place + 1])
            place += 2
        elif code == 63:  # auxiliary text
            place += (step + 1) // 2
        elif code < 60:
            at += step
            if code in BEAT_CODES:
                beats.append(at)
    return np.array(beats, dtype=np.int64)


def matched(reference: Any, found: Any, window: int) -> int:
    """How many beats of two rising lists are within ``window`` of each other, one to one, nearest first."""
    i = j = count = 0
    while i < len(reference) and j < len(found):
        apart = found[j] - reference[i]
        if abs(apart) > window:
            i, j = (i, j + 1) if apart < 0 else (i + 1, j)
        elif j + 1 < len(found) and abs(found[j + 1] - reference[i]) < abs(apart):
            j += 1
        elif i + 1 < len(reference) and abs(found[j] - reference[i + 1]) < abs(apart):
            i += 1
        else:
            count, i, j = count + 1, i + 1, j + 1
    return count


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of real recordings (TELEMED_RECORDINGS); without it the test skips, under CI it fails."""
    folder = Path(os.environ.get("TELEMED_RECORDINGS") or REPOSITORY / ".." / "shared" / "data").resolve()
    if not folder.is_dir():
        sentence = f"no recordings at {folder}; set TELEMED_RECORDINGS to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return folder


@pytest.fixture(scope="session", name="train")
def train_fixture() -> Callable[..., tuple[Array, Array]]:
    return train


@pytest.fixture(scope="session", name="mit_record")
def mit_record_fixture(recordings: Path) -> Callable[[str], Record]:
    return lambda name: mit_record(recordings, name)


@pytest.fixture(scope="session", name="matched")
def matched_fixture() -> Callable[..., int]:
    return matched
