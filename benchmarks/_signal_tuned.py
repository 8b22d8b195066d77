"""Our constants as a search finds them on one half of the records, so that the other half's score is of records unseen.

The search is plain, and alike every time: from what was published before us, one constant after the other is moved a
step up or down and stays where fewer beats are missed or invented, until no step helps; then with half the step, and a
quarter. A half has a dozen errors in all, too few to tell constants apart: each record is therefore heard three times,
its first lead, its second alone, and the first with the noise of moving electrodes, and what counts is the product of
the errors of the three. What breaks a promise that needs no recording, a steady heart of 30 to 300 a minute, is no
candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from typing import Final

from _signal_noise import noised
from _signal_ours import SHIPPED, Constants, fused_beats, lead_beats
from _signal_records import MIT_RATE_HZ, Array, Ecg, Places, alone, mit, train
from _signal_score import SKIPPED_S, WINDOWS_MS, counted, total, within

Values = Mapping[str, float]


@dataclass(frozen=True)
class Way:
    """Where the search of one constant begins, its first step, and how far it may go."""

    begin: float
    step: float
    least: float
    most: float


PUBLISHED: Final[Mapping[str, Way]] = {
    "share": Way(0.25, 0.0625, 0.05, 0.9),  # Pan and Tompkins 1985, as are those marked so
    "raised": Way(0.0, 0.2, 0.0, 1.0),  # ours: without
    # Pan and Tompkins doubt each peak within 360 ms of a greater one; above 300 a beat is told later than promised.
    "hold_off_s": Way(0.3, 0.04, 0.18, 0.3),
    "late": Way(1.66, 0.16, 1.1, 3.0),  # Pan and Tompkins
    "second_look": Way(0.5, 0.1, 0.1, 1.0),  # Pan and Tompkins
    "t_wave_s": Way(0.36, 0.06, 0.18, 0.6),  # Pan and Tompkins
    "after_early": Way(0.0, 0.4, 0.0, 1.2),  # ours: without
    "clip": Way(2.0, 0.5, 1.2, 8.0),  # ours: any
    "twins": Way(0.5, 0.1, 0.3, 1.0),  # Pan and Tompkins tell a T wave by half the slope
    "close_s": Way(0.1, 0.04, 0.04, 0.16),  # a QRS is 120 ms at most (IEC 60601-2-27)
}
"""What is searched for, on one lead, in this order."""
FUSED: Final[Mapping[str, Way]] = {"share_of_sum": Way(0.25, 0.0625, 0.05, 0.9)}
"""Afterwards, on two leads."""
FINER: Final = (1.0, 0.5, 0.25)
TRAINS_PER_MIN: Final = (30, 45, 60, 90, 120, 150, 180, 200, 220, 240, 260, 280, 300)
TRAIN_S: Final = 30.0
NOISE_DB: Final = 12.0
"""Of the noise stress test's own levels the one at which a beat is still told from it."""
WHOLE_S: Final = 3_600.0
"""Length of a block of the search: any gives the same beats, so a whole record is taken at once."""


def shipped() -> dict[str, float]:
    """The same constants as the library has them."""
    return asdict(SHIPPED)


def beats_found(values: Values, record: Ecg) -> Places:
    """Where these constants find beats, in the one lead of a record or in all of it fused."""
    constants = Constants(**values)
    if len(record.x_mv) == 1:
        return lead_beats(record.x_mv[0], record.rate_hz, WHOLE_S, constants).at
    return fused_beats(record.x_mv, record.rate_hz, WHOLE_S, constants).at


@cache
def _trains() -> tuple[tuple[Array, Array], ...]:
    return tuple(train(per_min, MIT_RATE_HZ, TRAIN_S) for per_min in TRAINS_PER_MIN)


def steady(values: Values) -> bool:
    """Whether each beat of a steady heart is found once, at any rate that is promised; one may be cut at either end."""
    return all(
        abs(lead_beats(x, MIT_RATE_HZ, WHOLE_S, Constants(**values)).at.size - len(peaks)) <= 1
        for x, peaks in _trains()
    )


def _goodness(values: Values, heard: Sequence[Sequence[Ecg]]) -> float:
    """Higher with fewer errors in each of these sets of records: minus the logarithm of their product."""
    if not steady(values):
        return -math.inf
    goodness = 0.0
    for records in heard:
        counts = total(
            counted(within(record, beats_found(values, record), WINDOWS_MS[0]), SKIPPED_S * record.rate_hz)
            for record in records
        )
        goodness -= math.log(1 + counts.missed + counts.extra)
    return goodness


def descended(ways: Mapping[str, Way], goodness: Callable[[Values], float], fixed: Values) -> dict[str, float]:
    """``fixed`` and the constants of ``ways``, each where ``goodness`` of all is best, by steps from where it began."""
    here = {**fixed, **{name: way.begin for name, way in ways.items()}}
    best = goodness(here)
    for share in FINER:
        better = True
        while better:
            better = False
            for name, way in ways.items():
                for step in (way.step * share, -way.step * share):
                    value = round(min(way.most, max(way.least, here[name] + step)), 6)
                    reached = goodness({**here, name: value}) if value != here[name] else best
                    if reached > best:
                        here[name], best, better = value, reached, True
                        break
    return here


def searched(names: Sequence[str]) -> dict[str, float]:
    """The constants that are best for these records and no others: one lead, then what two leads need beside."""
    both = [mit(name) for name in names]
    loud = [noised(record, NOISE_DB) for record in both]
    one = [[alone(record, 0) for record in both], [alone(record, 1) for record in both],
           [alone(record, 0) for record in loud]]  # fmt: skip
    constants = descended(PUBLISHED, lambda trial: _goodness(trial, one), {})
    return descended(FUSED, lambda trial: _goodness(trial, [both, loud]), constants)


def searched_on(halves: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """``searched`` for each of these sets of records, side by side."""
    with ProcessPoolExecutor() as pool:
        return dict(zip(halves, pool.map(searched, halves.values()), strict=True))
