"""Beats against the 32 MIT-BIH records, ours (streamed) and every library's (offline), after AAMI EC57."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from _report import percentile
from _signal_halves import MIT, MIT_A, MIT_B
from _signal_ours import Found, fused_beats, lead_beats
from _signal_peers import Libraries
from _signal_records import Ecg, Places, alone, mit, resampled
from _signal_score import (
    SKIPPED_S,
    WINDOWS_MS,
    Count,
    Pairs,
    counted,
    interval_error_ms,
    offsets_ms,
    total,
    within,
)
from _signal_tuned import Values, beats_found, searched_on

BLOCK_S: Final = 0.250
FINE_S: Final = 0.001
"""Shorter than a sample: one after the other, so that the time of an event is the detector's own, not a block's."""
LEARNING_S: Final = 3.0
OURS: Final = "Telemed, one lead"
FUSED: Final = "Telemed, two leads"
CROSS: Final = "Telemed, one lead, cross-tuned"
CROSS_FUSED: Final = "Telemed, two leads, cross-tuned"
METHODS: Final = (
    "wfdb gqrs", "wfdb gqrs, of millivolts", "wfdb xqrs", "neurokit2 neurokit", "neurokit2 pantompkins1985",
    "neurokit2 kalidas2017", "neurokit2 hamilton2002", "neurokit2 elgendi2010", "sleepecg", "biosppy hamilton",
    "heartpy",
)  # fmt: skip
HALVES: Final = {"all": MIT, "A": MIT_A, "B": MIT_B}


@dataclass
class Scores:
    """One detector's counts by record, for each window and start, and its offsets."""

    by_record: dict[tuple[str, int, str], Count] = field(default_factory=dict)
    offset_ms: list[float] = field(default_factory=list)
    jitter_ms: list[float] = field(default_factory=list)

    def add(self, record: Ecg, found: Places) -> Pairs:
        """Score one record."""
        wide = within(record, found, WINDOWS_MS[0])
        for window in WINDOWS_MS:
            pairs = wide if window == WINDOWS_MS[0] else within(record, found, window)
            for start, sample in (("5 min", SKIPPED_S * record.rate_hz), ("full", 0.0)):
                self.by_record[record.name, window, start] = counted(pairs, sample)
        if len(wide.hits):
            self.offset_ms.append(float(np.median(offsets_ms(wide, record.rate_hz))))
            self.jitter_ms.append(interval_error_ms(wide, record.rate_hz))
        return wide

    def gross(self, names: Sequence[str], window: int = 150, start: str = "5 min") -> Count:
        """The sum over records."""
        return total(self.by_record[name, window, start] for name in names)

    def told(self) -> dict[str, object]:
        """As JSON: gross by window, start and half, then each record."""
        gross = {}
        for window in WINDOWS_MS:
            for start in ("5 min", "full"):
                for half, names in HALVES.items():
                    gross[f"{window} ms, {start}, {half}"] = as_json(self.gross(names, window, start))
        return {
            "gross": gross, "median_offset_ms": _middle(self.offset_ms), "interval_rms_ms": _middle(self.jitter_ms),
            "true_missed_extra": {
                start: {name: _short(self.by_record[name, 150, start]) for name in MIT} for start in ("5 min", "full")
            },
        }  # fmt: skip


def _short(count: Count) -> str:
    return f"{count.true} {count.missed} {count.extra}"


def _middle(values: Sequence[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return round(float(np.median(finite)), 1) if finite else None


def as_json(count: Count) -> dict[str, float]:
    """Counts and shares."""
    return {
        "true": count.true, "missed": count.missed, "extra": count.extra, "se_pct": round(count.sensitivity_pct, 3),
        "pp_pct": round(count.predictivity_pct, 3), "f1_pct": round(count.f1_pct, 3),
    }  # fmt: skip


@dataclass
class Latency:
    """Seconds from the reference's R peak until the beat was known, and which of them came at the second look."""

    after_s: list[float] = field(default_factory=list)
    second_s: list[float] = field(default_factory=list)
    in_blocks_s: list[float] = field(default_factory=list)  # a beat of a block is known at the block's end

    def add(self, record: Ecg, found: Found, pairs: Pairs) -> None:
        """Of the beats that are there, after the learning."""
        known = {int(at): (int(now), bool(second)) for at, now, second in
                 zip(found.at, found.known_at, found.second_look, strict=True)}  # fmt: skip
        for reference, at in pairs.hits:
            if reference > (LEARNING_S + 0.5) * record.rate_hz:
                now, second = known[int(at)]
                (self.second_s if second else self.after_s).append((now - int(reference)) / record.rate_hz)
                block = BLOCK_S * record.rate_hz
                self.in_blocks_s.append((np.ceil(now / block) * block - int(reference)) / record.rate_hz)

    def told(self) -> dict[str, float]:
        """Median, p99 and the longest of all, in milliseconds; and of the second looks."""
        every = self.after_s + self.second_s
        return {
            "p50_ms": percentile(every, 0.5) * 1000, "p99_ms": percentile(every, 0.99) * 1000,
            "longest_ms": max(every) * 1000, "p99_in_250_ms_blocks_ms": percentile(self.in_blocks_s, 0.99) * 1000,
            "second_looks_pct": 100 * len(self.second_s) / len(every),
            "longest_second_look_ms": max(self.second_s, default=0.0) * 1000,
        }


@dataclass
class Accuracy:
    """All scores of one run."""

    scores: dict[str, Scores] = field(default_factory=dict)
    latency: Latency = field(default_factory=Latency)
    found: dict[str, Found] = field(default_factory=dict)  # ours, for the pictures
    chunking_equal: bool = True


def measured(libraries: Libraries | None) -> Accuracy:
    """Run everybody over every record."""
    done = Accuracy()
    for name in MIT:
        record = mit(name)
        lead = record.x_mv[0]
        for method in METHODS if libraries else ():
            assert libraries is not None
            found = libraries.found(method, f"mit-{name}", lead, record.rate_hz)
            done.scores.setdefault(method, Scores()).add(record, found)
        ours = lead_beats(lead, record.rate_hz, BLOCK_S)
        done.found[name] = ours
        done.scores.setdefault(OURS, Scores()).add(record, ours.at)
        fine = lead_beats(lead, record.rate_hz, FINE_S)
        done.chunking_equal &= bool(np.array_equal(fine.at, ours.at))
        done.latency.add(record, fine, within(record, fine.at, WINDOWS_MS[0]))
        both = fused_beats(record.x_mv, record.rate_hz, BLOCK_S)
        done.scores.setdefault(FUSED, Scores()).add(record, both.at)
    return done


def tuned() -> dict[str, dict[str, float]]:
    """The constants that the search finds on half A alone, on half B alone, and on all records."""
    return searched_on(HALVES)


def crossed(constants: Mapping[str, Values]) -> dict[str, Scores]:
    """Each half with the constants found on the other."""
    scores = {CROSS: Scores(), CROSS_FUSED: Scores()}
    for tuned_on, names in (("A", MIT_B), ("B", MIT_A)):
        for leads, title in ((1, CROSS), (2, CROSS_FUSED)):
            for record in map(mit, names):
                heard = record if leads == 2 else alone(record, 0)
                scores[title].add(record, beats_found(constants[tuned_on], heard))
    return scores


def at_other_rates(rates_hz: Sequence[int]) -> Mapping[int, Count]:
    """Ours on the first lead, resampled; after five minutes, 150 ms."""
    counts = dict.fromkeys(rates_hz, Count())
    for name in MIT:
        for rate_hz in rates_hz:
            record = resampled(mit(name), rate_hz)
            pairs = within(record, lead_beats(record.x_mv[0], record.rate_hz, BLOCK_S).at, WINDOWS_MS[0])
            counts[rate_hz] += counted(pairs, SKIPPED_S * rate_hz)
    return counts
