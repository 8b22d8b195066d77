"""The recordings that signals are measured on, each with its reference, and seeded synthetic beats.

Found in ``../shared/data`` or where ``TELEMED_RECORDINGS`` says (the same folder as for the tests).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import wfdb
from scipy import signal

ROOT = Path(__file__).resolve().parents[1]
Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

MIT_RATE_HZ: Final = 360.0
BIDMC_RATE_HZ: Final = 125.0
BEAT_LABELS: Final = frozenset("NLRBAaJSVrFejnE/fQ?")
"""The labels of a beat (PhysioNet's annotation codes; AAMI EC57 counts these and nothing else)."""


def folder() -> Path | None:
    """Where the signal recordings are; None where there are none."""
    place = Path(os.environ.get("TELEMED_RECORDINGS") or ROOT / ".." / "shared" / "data").resolve() / "signal"
    return place if place.is_dir() else None


@dataclass(frozen=True)
class Ecg:
    """Leads in millivolts (leads, samples) at ``rate_hz``; its reference beats, their labels, and what is left out.

    ``flutter`` are stretches [from, to] in samples without beats to find (``[`` to ``]``, record 207).
    """

    name: str
    rate_hz: float
    leads: tuple[str, ...]
    x_mv: Array
    beats: Places
    labels: tuple[str, ...]
    flutter: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Breather:
    """Pleth and respiration of one BIDMC record; the monitor's PULSE each second (NaN: none), breaths of two people."""

    name: str
    pleth: Array
    respiration: Array
    ecg_mv: Array
    pulse_per_min: Array
    breaths_s: tuple[Array, Array]


@lru_cache(maxsize=4)  # a record is 10 MB; each part walks through them once
def mit(name: str) -> Ecg:
    """A record of the MIT-BIH Arrhythmia Database with both its leads."""
    place = folder()
    assert place is not None
    with np.load(place / "mitdb" / f"{name}.npz") as stored:
        counts = np.cumsum(stored["d"].astype(np.int64), axis=1)
        gain = np.broadcast_to(np.atleast_1d(stored["gain"]).astype(np.float64), len(counts))
        zero = np.broadcast_to(np.atleast_1d(stored["zero"]).astype(np.float64), len(counts))
        leads = tuple(str(lead) for lead in stored["leads"])
    marks = wfdb.rdann(str(place / "mitdb" / name), "atr")
    found = [(int(at), what) for at, what in zip(marks.sample, marks.symbol, strict=True) if what in BEAT_LABELS]
    opens = [int(at) for at, what in zip(marks.sample, marks.symbol, strict=True) if what == "["]
    closes = [int(at) for at, what in zip(marks.sample, marks.symbol, strict=True) if what == "]"]
    return Ecg(
        name, MIT_RATE_HZ, leads, (counts - zero[:, None]) / gain[:, None], np.array([at for at, _ in found], np.int64),
        tuple(what for _, what in found), tuple(zip(opens, closes, strict=True)),
    )  # fmt: skip


def alone(record: Ecg, lead: int) -> Ecg:
    """One lead of the record."""
    return replace(record, leads=(record.leads[lead],), x_mv=record.x_mv[lead : lead + 1])


def resampled(record: Ecg, rate_hz: int) -> Ecg:
    """The first lead at another rate (polyphase, zero phase), its beats moved with it."""
    share = rate_hz / record.rate_hz
    x = signal.resample_poly(record.x_mv[0], rate_hz, round(record.rate_hz))
    return Ecg(
        record.name, float(rate_hz), record.leads[:1], np.ascontiguousarray(x)[np.newaxis],
        np.rint(record.beats * share).astype(np.int64), record.labels,
        tuple((round(a * share), round(b * share)) for a, b in record.flutter),
    )  # fmt: skip


@lru_cache(maxsize=40)
def bidmc(name: str) -> Breather:
    """A record of the BIDMC dataset."""
    place = folder()
    assert place is not None
    waves = {}
    with np.load(place / "bidmc" / f"bidmc_{name}.npz") as stored:
        scale = float(stored["scale"]) if "scale" in stored.files else 1e-6
        for kind in ("PLETH", "RESP", "II"):
            if f"{kind}_d" in stored.files:
                waves[kind] = np.cumsum(stored[f"{kind}_d"].astype(np.int64)) * scale
    rows = list(csv.reader((place / "bidmc" / f"bidmc_{name}_Breaths.csv").read_text().splitlines()))[1:]
    breaths = tuple(
        np.array([float(row[who]) for row in rows if len(row) > who and row[who].strip()]) / BIDMC_RATE_HZ
        for who in (0, 1)
    )
    table = list(csv.reader((place / "bidmc" / f"bidmc_{name}_Numerics.csv").read_text().splitlines()))
    column = [word.strip() for word in table[0]].index("PULSE")
    pulse = np.array([_number(row[column]) for row in table[1:] if row])
    return Breather(
        name, waves["PLETH"], waves["RESP"], waves.get("II", np.zeros(0)), pulse, (breaths[0], breaths[1]))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def excerpt(name: str) -> Array:
    """One lead of the noise stress test in millivolts at 360 Hz, two minutes."""
    place = folder()
    assert place is not None
    return np.loadtxt(place / "nstdb_118_excerpts" / f"{name}.csv", dtype=np.float64)


def train(
    per_min: float, rate_hz: float, seconds: float, *, noise_mv: float = 0.01, seed: int = 0
) -> tuple[Array, Array]:
    """Synthetic beats (P, QRS, T; millivolts) at a steady rate, and their R peaks in seconds."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    x = noise_mv * np.random.default_rng(seed).normal(size=t.size)
    interval = 60 / per_min
    short = min(1.0, interval / 0.6)  # a fast heart's waves lie nearer to each other
    peaks = np.arange(0.6, seconds - 0.4, interval)
    waves = (
        (0.0, 1.1, 0.012), (-0.024, -0.1, 0.009), (0.030, -0.22, 0.012),
        (-0.15 * short, 0.11, 0.02 * short), (0.27 * short**0.5, 0.28, 0.045 * short),
    )  # fmt: skip
    for peak in peaks:
        for after, height, width in waves:
            begin = max(0, int((peak + after - 5 * width) * rate_hz))
            end = min(t.size, int((peak + after + 5 * width) * rate_hz) + 1)
            x[begin:end] += height * np.exp(-0.5 * ((t[begin:end] - peak - after) / width) ** 2)
    return x, peaks


def blocks(x: Array, length: int) -> Iterator[Array]:
    """The signal in blocks of so many samples."""
    for begin in range(0, x.shape[-1], length):
        yield x[..., begin : begin + length]
