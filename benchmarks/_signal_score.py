"""Scores of beats after AAMI EC57: one found beat to one of the reference, the nearest, within a window.

Matched on the whole record and counted afterwards, so that no boundary makes an error. No list is shifted: the median
offset is told beside the score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from _signal_records import Array, Ecg, Places

WINDOWS_MS: Final = (150, 50)
SKIPPED_S: Final = 300.0
"""EC57 lets a detector learn for five minutes."""


@dataclass(frozen=True)
class Pairs:
    """What belongs to what in one record: places of the reference, of the found, and their offsets in samples."""

    hits: Places  # (n, 2): reference, found
    missed: Places
    extra: Places


@dataclass(frozen=True)
class Count:
    """True, missed and extra beats, of one record or of many."""

    true: int = 0
    missed: int = 0
    extra: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.true + other.true, self.missed + other.missed, self.extra + other.extra)

    @property
    def sensitivity_pct(self) -> float:
        """Se: of the beats that are there, those found."""
        return 100 * self.true / max(1, self.true + self.missed)

    @property
    def predictivity_pct(self) -> float:
        """+P: of the beats found, those that are there."""
        return 100 * self.true / max(1, self.true + self.extra)

    @property
    def f1_pct(self) -> float:
        """The harmonic mean of both."""
        return 200 * self.true / max(1, 2 * self.true + self.missed + self.extra)


def paired(reference: Places, found: Places, window: int) -> Pairs:
    """Match one to one, the nearest first; each within ``window`` samples."""
    found = np.unique(np.asarray(found, dtype=np.int64))
    low = np.searchsorted(found, reference - window, side="left")
    high = np.searchsorted(found, reference + window, side="right")
    candidates = [
        (abs(int(found[j]) - int(at)), i, j)
        for i, (at, begin, end) in enumerate(zip(reference, low, high, strict=True)) for j in range(begin, end)
    ]  # fmt: skip
    candidates.sort()
    of_reference: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in candidates:
        if i not in of_reference and j not in taken:
            of_reference[i] = j
            taken.add(j)
    hits = np.array([(reference[i], found[j]) for i, j in sorted(of_reference.items())], np.int64).reshape(-1, 2)
    missed = np.array([at for i, at in enumerate(reference) if i not in of_reference], np.int64)
    extra = np.array([at for j, at in enumerate(found) if j not in taken], np.int64)
    return Pairs(hits, missed, extra)


def within(record: Ecg, found: Places, window_ms: int) -> Pairs:
    """Match a record's beats; what lies in flutter is left out on both sides."""
    pairs = paired(record.beats, found, round(window_ms / 1000 * record.rate_hz))
    return Pairs(pairs.hits[_counts(record, pairs.hits[:, 0])], pairs.missed[_counts(record, pairs.missed)],
                 pairs.extra[_counts(record, pairs.extra)])


def _counts(record: Ecg, places: Places) -> np.ndarray:
    inside = np.zeros(places.shape, dtype=np.bool_)
    for begin, end in record.flutter:
        inside |= (places >= begin) & (places <= end)
    return ~inside


def counted(pairs: Pairs, from_sample: float = 0.0) -> Count:
    """Count from a sample on: hits and misses by the reference, extras by themselves."""
    return Count(
        int((pairs.hits[:, 0] >= from_sample).sum()), int((pairs.missed >= from_sample).sum()),
        int((pairs.extra >= from_sample).sum()),
    )  # fmt: skip


def offsets_ms(pairs: Pairs, rate_hz: float) -> Array:
    """How much later than the reference each beat was placed, in milliseconds."""
    return (pairs.hits[:, 1] - pairs.hits[:, 0]) / rate_hz * 1000


def interval_error_ms(pairs: Pairs, rate_hz: float) -> float:
    """Root mean square of the error of the intervals between neighbouring hits: the jitter of the places."""
    if len(pairs.hits) < 3:
        return float("nan")
    return float(np.sqrt(np.mean(np.diff(offsets_ms(pairs, rate_hz)) ** 2)))


def total(counts: Iterable[Count]) -> Count:
    """The gross count."""
    return sum(counts, Count())


@dataclass(frozen=True)
class Shown:
    """A number's errors against its reference where both are there, and how often it was there when it should be."""

    errors: Array
    asked: int

    def within_pct(self, bound: float) -> float:
        """Of all windows with a reference, those in which the number is there and within ``bound``."""
        return 100 * float((self.errors <= bound).sum()) / max(1, self.asked)

    def within_of_shown_pct(self, bound: float) -> float:
        """Of the windows in which the number is there."""
        return 100 * float((self.errors <= bound).mean()) if self.errors.size else float("nan")

    @property
    def mean(self) -> float:
        """Mean absolute error where it is there."""
        return float(self.errors.mean()) if self.errors.size else float("nan")

    @property
    def coverage_pct(self) -> float:
        """Windows in which it is there."""
        return 100 * self.errors.size / max(1, self.asked)


def compared(shown: Sequence[float | None], reference: Sequence[float | None]) -> Shown:
    """Errors of the numbers shown, window by window; windows without a reference are not asked for."""
    both = [(a, b) for a, b in zip(shown, reference, strict=True) if b is not None and np.isfinite(b)]
    return Shown(np.array([abs(a - b) for a, b in both if a is not None and np.isfinite(a)]), len(both))


def joined(parts: Iterable[Shown]) -> Shown:
    """Many records as one."""
    kept = list(parts)
    return Shown(np.concatenate([np.zeros(0), *(one.errors for one in kept)]), sum(one.asked for one in kept))
