"""What one channel showed while a recording ran: its beats, the number that stood longest, and where it was not fit.

A rate of a whole recording is the median of the seconds in which it was shown. It is withheld where more seconds were
withheld for their signal than shown: a number that slips through the gate in a minute of noise is not the patient's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from telemed_signal.analysis import Event, Numeric
from telemed_signal.beats import Beat
from telemed_signal.pleth import Pulse

POOR: Final = frozenset({"noise", "motion", "saturated", "poor_signal", "implausible", "disagreement"})
"""Reasons that speak of the signal; the others (an electrode that is off, nothing learnt yet) of there being none."""
NAMED: Final = ("lead_off", "flat", "saturated", "motion", "noise", "poor_signal")
"""Reasons that are faults of a stretch of the recording."""
ABSENT: Final = frozenset({"lead_off", "flat", "no_breath"})
"""Reasons that are a verdict as well; beside them and ``POOR`` a number without a value is one not learnt yet."""
RATES: Final = ("heart_rate", "pulse_rate")
MAX_RUNS: Final = 1_000  # of one channel: a lead that flickers all day is told by its quality

Run = tuple[str, int, int]
"""A code, and the samples [first, end) of whole seconds."""


@dataclass(slots=True)
class Rate:
    """The seconds of one number: how often each value was shown, and how often the signal withheld it."""

    shown: Counter[float] = field(default_factory=Counter)
    withheld: int = 0

    def take(self, number: Numeric) -> None:
        """One second's number."""
        if number.value is not None:
            self.shown[number.value] += 1
        elif POOR.intersection(number.reasons):
            self.withheld += 1

    @property
    def seconds(self) -> int:
        """In which it was shown."""
        return self.shown.total()

    def typical(self) -> float | None:
        """The (lower) median of what was shown, or None."""
        return median(self.shown) if 0 < self.seconds >= self.withheld else None


def median(counted: Counter[float]) -> float | None:
    """The lower median of counted values; None of none."""
    past, half = 0, (counted.total() + 1) // 2
    for value in sorted(counted):
        past += counted[value]
        if past >= half:
            return value
    return None


@dataclass(slots=True)
class Told:
    """What the analyses said of one channel of ``rate_hz``."""

    rate_hz: float
    beats: list[int] = field(default_factory=list)
    heart: Rate = field(default_factory=Rate)
    breathing: Rate = field(default_factory=Rate)
    quality: Counter[float] = field(default_factory=Counter)
    _runs: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def take(self, events: list[Event]) -> None:
        """What the analysis of the channel's stream found."""
        for event in events:
            match event:
                case Beat():
                    self.beats.append(event.sample_index)
                case Pulse():
                    self.beats.append(round(event.sample))
                case Numeric(kind="respiration_rate"):
                    self.breathing.take(event)
                case Numeric() if event.kind in RATES:
                    self.heart.take(event)

    def judge(self, number: Numeric) -> None:
        """One second of the channel's own quality, as its number tells it."""
        if number.value is not None or (POOR | ABSENT).intersection(number.reasons):
            self.quality[round(number.quality, 2)] += 1
        if number.value is not None:
            return
        for code in NAMED:
            if code in number.reasons:
                self._extend(code, number.sample)

    def _extend(self, code: str, end: int) -> None:
        runs = self._runs.setdefault(code, [])
        first = max(0, round(end - self.rate_hz))
        if runs and first - runs[-1][1] <= 1:  # a second between two samples may round either way
            runs[-1] = runs[-1][0], end
        elif len(runs) < MAX_RUNS:
            runs.append((first, end))

    def runs(self) -> Iterator[Run]:
        """The seconds that were not fit, by reason."""
        for code in NAMED:
            for first, end in self._runs.get(code, ()):
                yield code, first, end
