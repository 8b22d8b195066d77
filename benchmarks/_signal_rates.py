"""Pulse and respiration on the 35 BIDMC records, every ten seconds: ours causally, the libraries' offline.

Pulse: the median interval of the last 15 s against the bedside monitor's own PULSE of that second. Respiration: the
last 60 s against the breaths that two people marked (the mean of their two rates). A library's number is made from the
places that it finds in the whole record with zero-phase filters; ours is what it would have shown at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from _signal_halves import BIDMC, BIDMC_A, BIDMC_B
from _signal_ours import Answers, breathing, breathing_of_pleth, pulses
from _signal_peers import Libraries
from _signal_records import BIDMC_RATE_HZ, Array, Breather, bidmc
from _signal_score import Shown, compared, joined
from scipy import signal

EVERY_S: Final = 10.0
PULSE_WINDOW_S: Final = 15.0
BREATH_WINDOW_S: Final = 60.0
PULSE_FROM_S: Final = 20.0
PULSE_BOUND: Final = 5.0  # beats a minute
BREATH_BOUND: Final = 3.0  # breaths a minute
PULSES: Final = ("neurokit2 elgendi", "heartpy pulse", "biosppy elgendi2013")
BREATHS: Final = ("neurokit2 biosppy", "neurokit2 khodadad2018", "neurokit2 scipy", "biosppy resp")
OF_PLETH: Final = ("baseline 0.1-0.6 Hz",)
HALVES: Final = {"all": BIDMC, "A": BIDMC_A, "B": BIDMC_B}

Kept = dict[str, dict[str, Shown]]
"""By method, then by record."""


def moments(length: int, first_s: float) -> list[float]:
    """The seconds at which a number is asked for."""
    return [float(at) for at in np.arange(EVERY_S, length / BIDMC_RATE_HZ + 0.5, EVERY_S) if at >= first_s]


def median_rate(places: Array, now: float) -> float | None:
    """The median interval of the last 15 s as a rate."""
    inside = places[(places > now - PULSE_WINDOW_S) & (places <= now)]
    return 60 / float(np.median(np.diff(inside))) if len(inside) >= 3 else None


def mean_rate(places: Array, now: float) -> float | None:
    """Breaths of the last minute over the time from the first to the last of them."""
    inside = places[(places > now - BREATH_WINDOW_S) & (places <= now)]
    if len(inside) < 3 or inside[-1] <= inside[0]:
        return None
    return 60 * (len(inside) - 1) / float(inside[-1] - inside[0])


def largest(wave: Array, now: float) -> float | None:
    """The strongest frequency of the last minute between 0.1 and 1.2 Hz, without any library."""
    end = int(now * BIDMC_RATE_HZ)
    x = signal.detrend(wave[end - int(BREATH_WINDOW_S * BIDMC_RATE_HZ) : end]) * np.hanning(
        int(BREATH_WINDOW_S * BIDMC_RATE_HZ))
    points = 1 << 16
    hertz = np.fft.rfftfreq(points, 1 / BIDMC_RATE_HZ)
    power = np.abs(np.fft.rfft(x, points))
    power[(hertz < 0.1) | (hertz > 1.2)] = 0
    return float(60 * hertz[int(np.argmax(power))])


def breaths_of_people(record: Breather, now: float) -> float | None:
    """The mean of both people's rates; None where one of them marked fewer than three breaths."""
    rates = [mean_rate(who, now) for who in record.breaths_s]
    if any(rate is None for rate in rates):
        return None
    return float(np.mean([rate for rate in rates if rate is not None]))


def _ours(answers: Answers | None, first_s: float, count: int) -> Answers | None:
    if answers is None:
        return None
    skipped = round(first_s / EVERY_S) - 1
    return answers[skipped : skipped + count]


def measured(libraries: Libraries | None) -> tuple[Kept, Kept, Kept]:
    """Pulse, respiration of the chest, respiration of the pulse wave."""
    pulse: Kept = {}
    chest: Kept = {}
    of_pleth: Kept = {}

    def note(kept: Kept, method: str, shown: Sequence[float | None] | None, reference: Answers) -> None:
        if shown is not None:
            kept.setdefault(method, {})[record.name] = compared(shown, reference)

    def of_library(method: str, kind: str, wave: Array, rate: Callable[[Array, float], float | None],
                   at: Sequence[float]) -> Answers | None:  # fmt: skip
        if libraries is None:
            return None
        places = libraries.found(method, f"bidmc-{record.name}-{kind}", wave, BIDMC_RATE_HZ) / BIDMC_RATE_HZ
        return [rate(places, now) for now in at]

    for name in BIDMC:
        record = bidmc(name)
        at = moments(len(record.pleth), PULSE_FROM_S)
        said: Answers = [float(record.pulse_per_min[min(int(now), len(record.pulse_per_min) - 1)]) for now in at]
        for method in PULSES:
            note(pulse, method, of_library(method, "pleth", record.pleth, median_rate, at), said)
        note(pulse, "Telemed", _ours(pulses(record.pleth, BIDMC_RATE_HZ, EVERY_S), PULSE_FROM_S, len(at)), said)
        at = moments(len(record.respiration), BREATH_WINDOW_S)
        marked: Answers = [breaths_of_people(record, now) for now in at]
        for method in BREATHS:
            note(chest, method, of_library(method, "resp", record.respiration, mean_rate, at), marked)
        note(chest, "strongest frequency", [largest(record.respiration, now) for now in at], marked)
        shown = breathing(record.respiration, BIDMC_RATE_HZ, EVERY_S)
        note(chest, "Telemed", _ours(shown, BREATH_WINDOW_S, len(at)), marked)
        for method in OF_PLETH:
            note(of_pleth, method, of_library(method, "pleth", record.pleth, mean_rate, at), marked)
        derived = breathing_of_pleth(record.pleth, BIDMC_RATE_HZ, EVERY_S)
        note(of_pleth, "Telemed", _ours(derived, BREATH_WINDOW_S, len(at)), marked)
    return pulse, chest, of_pleth


def halves(of_method: dict[str, Shown]) -> dict[str, Shown]:
    """All records, half A and half B."""
    return {half: joined(of_method[name] for name in names) for half, names in HALVES.items()}


def as_json(kept: Kept, bound: float) -> dict[str, object]:
    """By method: errors of all and of each half, and of each record."""
    def told(one: Shown) -> dict[str, float]:
        return {
            "mae": round(one.mean, 3), "within_pct": round(one.within_pct(bound), 2),
            "within_of_shown_pct": round(one.within_of_shown_pct(bound), 2),
            "coverage_pct": round(one.coverage_pct, 2), "windows": one.asked,
        }  # fmt: skip

    return {
        method: {
            **{half: told(one) for half, one in halves(records).items()},
            "mae_and_coverage_pct": {name: f"{one.mean:.2f} {one.coverage_pct:.0f}" for name, one in records.items()},
        }
        for method, records in kept.items()
    }  # fmt: skip
