"""Noise: how the quality falls with it, and whether a rate is shown in it; and trains of known rate.

The excerpts of the noise stress test are record 118 from these samples on (their clean parts equal it to 0.9999 after
the removal of a constant), with noise of moving electrodes from minute nine on: so the beats are known, and the noise
itself is the difference, which other records can be given too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from _signal_ours import Answers, gated_rates, heart_rates, lead_beats, qualities, rates_of_beats
from _signal_records import MIT_RATE_HZ, Array, Ecg, excerpt, mit, train
from _signal_score import counted, paired

BEGINS: Final = {"118e24": 160_000, "118e12": 180_000, "118e06": 180_000, "118e00": 180_000}
NOISE_FROM: Final = 194_400
"""Sample of record 118 (nine minutes) at which the second noisy stretch begins; it outlasts every excerpt."""
FIRST_S: Final = 10  # before it there is nothing to show yet
UNKNOWN_S: Final = 1
"""A beat of the last second may not be known yet."""
ENTERED_S: Final = 5
"""Seconds of noise after which a rate of before is old."""
CLEAN: Final = ("100", "103", "115", "123", "220")
"""Records with almost no noise: there a rate must be shown."""
NOISED: Final = ("100", "103", "115")
DECIBELS: Final = (24, 18, 12, 6, 0, -6)
OFF: Final = {"flat": 0.0, "at the rail": 5.0}
RANGE_MV: Final = (-5.12, 5.12)
"""Of the database's converter: 11 bits, 200 a millivolt."""
RATES_HZ: Final = (125, 250, 360, 500, 1_000)
PER_MIN: Final = (30, 40, 50, 60, 75, 90, 105, 120, 135, 150, 165, 180, 195, 210, 225, 240, 255, 270, 285, 300)
TRAIN_S: Final = 60.0
SETTLED_S: Final = 20
NEAR_PER_MIN: Final = 5.0

Told = dict[str, float | None]


def _part(
    x_mv: Array, reference: np.ndarray, begin_s: int, end_s: int, range_mv: tuple[float, float] | None = None
) -> Told:
    """What is told of a signal's seconds ``begin_s`` to ``end_s``, everything before them having been heard."""
    x_mv = x_mv[: round(end_s * MIT_RATE_HZ)]
    reference = reference[reference < len(x_mv)]
    plain, gated = heart_rates(x_mv, MIT_RATE_HZ, 1.0), gated_rates(x_mv, MIT_RATE_HZ, range_mv)
    quality, truth = qualities(x_mv, MIT_RATE_HZ, range_mv), rates_of_beats(reference, MIT_RATE_HZ, len(plain))
    found = lead_beats(x_mv, MIT_RATE_HZ, 0.25).at
    asked = range(begin_s, min(end_s, len(plain)))
    known = len(x_mv) - UNKNOWN_S * MIT_RATE_HZ
    pairs = paired(reference[reference < known], found[found < known], round(0.15 * MIT_RATE_HZ))
    count = counted(pairs, begin_s * MIT_RATE_HZ)

    def shown(answers: Answers) -> float:
        return 100 * sum(answers[second] is not None for second in asked) / max(1, len(asked))

    def wrong(answers: Answers) -> float:
        both = [(answers[second], truth[second]) for second in asked]
        off = sum(one is not None and two is not None and abs(one - two) > NEAR_PER_MIN for one, two in both)
        return 100 * off / max(1, len(asked))

    return {
        "quality": None if quality is None else float(np.mean([quality[second] for second in asked])),
        "shown_pct": None if gated is None else shown(gated), "wrong_pct": None if gated is None else wrong(gated),
        "ungated_shown_pct": shown(plain), "ungated_wrong_pct": wrong(plain),
        "se_pct": count.sensitivity_pct if len(reference) else None,
        "pp_pct": count.predictivity_pct if len(reference) else None,
    }  # fmt: skip


def _beats(record: Ecg, begin: int, length: int) -> np.ndarray:
    inside = (record.beats >= begin) & (record.beats < begin + length)
    return record.beats[inside] - begin


def noise() -> Array:
    """The noise of moving electrodes at 0 dB for record 118, eighty seconds."""
    x, begin = excerpt("118e00"), BEGINS["118e00"]
    difference = x - mit("118").x_mv[0][begin : begin + len(x)]
    start = NOISE_FROM - begin
    return np.asarray(difference[start:] - np.median(difference[:start]))


def _height(record: Ecg) -> float:
    """The usual height of a QRS from its lowest to its highest sample, in millivolts."""
    reach = round(0.08 * record.rate_hz)
    inside = [at for at in record.beats[:500] if reach <= at < record.x_mv.shape[1] - reach]
    return float(np.median([np.ptp(record.x_mv[0, at - reach : at + reach]) for at in inside]))


def noised(record: Ecg, decibel: float) -> Ecg:
    """The record with that noise in its first lead, in every other stretch of the noise's length."""
    added = noise() * _height(record) / _height(mit("118")) * 10 ** (-decibel / 20)
    x = record.x_mv.copy()
    for begin in range(len(added), x.shape[1], 2 * len(added)):
        stretch = x[0, begin : begin + len(added)]
        stretch += added[: len(stretch)]
    return replace(record, x_mv=x)


def measured() -> dict[str, Told]:
    """The excerpts before and in their noise, records given that noise, clean records, and a lead that is off."""
    told: dict[str, Told] = {}
    stress = mit("118")
    for name, begin in BEGINS.items():
        x = excerpt(name)
        reference, starts = _beats(stress, begin, len(x)), int((NOISE_FROM - begin) / MIT_RATE_HZ)
        told[f"{name}, before the noise"] = _part(x, reference, FIRST_S, starts)
        told[f"{name}, in the noise"] = _part(x, reference, starts + ENTERED_S, round(len(x) / MIT_RATE_HZ))
    added, before = noise(), round(30 * MIT_RATE_HZ)
    for name in NOISED:
        record = mit(name)
        for decibel in DECIBELS:
            x = record.x_mv[0][: before + len(added)].copy()
            x[before:] += added * _height(record) / _height(stress) * 10 ** (-decibel / 20)
            told[f"{name} with noise, {decibel} dB"] = _part(
                x, _beats(record, 0, len(x)), 30 + ENTERED_S, round(len(x) / MIT_RATE_HZ))
    for name in CLEAN:
        x = mit(name).x_mv[0][: round(600 * MIT_RATE_HZ)]
        told[f"{name}, clean"] = _part(x, _beats(mit(name), 0, len(x)), FIRST_S, 600)
    hum = 0.0005 * np.random.default_rng(0).normal(size=round(120 * MIT_RATE_HZ))
    for name, level in OFF.items():
        told[f"lead off, {name}"] = _part(level + hum, np.zeros(0, np.int64), FIRST_S, 120, RANGE_MV)
    return told


def trains() -> dict[str, dict[str, float]]:
    """By sampling rate: the largest error of the rate shown once settled, and of the number of beats."""
    told = {}
    for rate_hz in RATES_HZ:
        worst, worst_pct, at, beats, missing = 0.0, 0.0, 0, 0, 0
        for per_min in PER_MIN:
            x, peaks = train(per_min, rate_hz, TRAIN_S)
            for shown in heart_rates(x, rate_hz, 1.0)[SETTLED_S:]:
                if shown is None:
                    missing += 1
                    continue
                if abs(shown - per_min) > worst:
                    worst, at = abs(shown - per_min), per_min
                worst_pct = max(worst_pct, abs(shown - per_min) / per_min * 100)
            beats = max(beats, abs(len(lead_beats(x, rate_hz, 0.25).at) - len(peaks)))
        told[f"{rate_hz} Hz"] = {
            "largest_error_per_min": worst, "at_per_min": at, "largest_error_pct": worst_pct,
            "largest_error_beats": beats, "seconds_without": missing,
        }  # fmt: skip
    return told
