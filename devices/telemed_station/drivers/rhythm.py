"""When the heart beats: a seeded rhythm, or the beats of a recording turned round and round.

Times here are µs since the driver began. A beat's interval is drawn from a generator keyed by (seed, number of
the beat), and the scenario that shapes it is the one in force at the beat before, so the same seed and the same
switches give the same beats however the samples are asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np

from telemed_station.drivers.driver import Loop
from telemed_station.errors import ScenarioUnknown

SCENARIOS = ("sinus", "tachycardia", "atrial_fibrillation", "pvc", "desaturation", "lead_off", "motion")

# A switch takes effect this much later than it is asked for: longer than any sample's look ahead (a P wave
# starts 0.25 s before its R), so no sample already given out depended on what changes.
SWITCH_AHEAD_US = 500_000
KEPT_US = 20_000_000  # beats older than this are forgotten: longer than any wave or average looks back
FIRST_BEAT_US = 400_000
SWITCHES_KEPT = 64  # of the scenario; only the last second of them is ever looked at again

Shape = Literal["normal", "fibrillating", "ventricular"]


@dataclass(frozen=True)
class Beat:
    """One R peak. ``interval_us`` is the time since the beat before; ``strength`` scales its pulse wave."""

    r_us: int
    interval_us: int
    shape: Shape = "normal"
    strength: float = 1.0


class Scenes:
    """Which scenario is in force when."""

    def __init__(self, first: str) -> None:
        self._names = [self._known(first)]
        self._from = [0]

    @property
    def last(self) -> str:
        """The scenario asked for last."""
        return self._names[-1]

    def switch(self, name: str, at_us: int) -> None:
        """Play ``name`` from ``at_us`` + ``SWITCH_AHEAD_US``; switches are asked for in order of time."""
        start = at_us + SWITCH_AHEAD_US
        if start < self._from[-1]:
            raise ValueError("switches are asked for in order of time")
        if self._known(name) != self._names[-1]:
            self._names.append(name)
            self._from.append(start)
            del self._names[:-SWITCHES_KEPT], self._from[:-SWITCHES_KEPT]

    def at(self, t_us: float) -> str:
        """The scenario in force at ``t_us``."""
        for name, start in zip(reversed(self._names), reversed(self._from), strict=True):
            if t_us >= start:
                return name
        return self._names[0]

    def switched_between(self, from_us: float, to_us: float) -> bool:
        """Whether a switch takes effect in ``from_us`` < t ≤ ``to_us``."""
        return any(from_us < start <= to_us for start in self._from)

    @staticmethod
    def _known(name: str) -> str:
        if name not in SCENARIOS:
            raise ScenarioUnknown(scenario=name)
        return name


class Rhythm(Protocol):
    """Beats in order of time."""

    def beats(self, from_us: int, to_us: int) -> list[Beat]:
        """Every beat with ``from_us`` ≤ R < ``to_us``; at most ``KEPT_US`` back from the furthest asked for."""
        ...


class SeededRhythm:
    """Beats as the scenario has them, drawn from a seed."""

    def __init__(self, seed: int, scenes: Scenes) -> None:
        self._seed = seed
        self._scenes = scenes
        self._count = 0
        self._beats: deque[Beat] = deque([Beat(FIRST_BEAT_US, 833_000)])

    def beats(self, from_us: int, to_us: int) -> list[Beat]:
        """Every beat with ``from_us`` ≤ R < ``to_us``."""
        while self._beats[-1].r_us < to_us:
            self._beats.append(self._next(self._beats[-1]))
        while self._beats[0].r_us < self._beats[-1].r_us - KEPT_US:
            self._beats.popleft()
        return [beat for beat in self._beats if from_us <= beat.r_us < to_us]

    def _next(self, last: Beat) -> Beat:
        self._count += 1
        draw = np.random.default_rng([self._seed, 1, self._count])
        scenario = self._scenes.at(last.r_us)
        shape: Shape = "normal"
        strength = 1.0
        # Sinus arrhythmia: some 3 % faster while breathing in (15 breaths a minute).
        breath = 1.0 + 0.03 * np.sin(2 * np.pi * last.r_us / 4e6)
        if scenario == "atrial_fibrillation":
            seconds = float(np.clip(draw.lognormal(np.log(0.62), 0.24), 0.36, 1.3))
            shape = "fibrillating"
            strength = float(np.clip(seconds / 0.62, 0.5, 1.2))
        elif scenario == "tachycardia":
            seconds = 60 / 140 * (1 + 0.01 * draw.standard_normal())
        else:
            normal = 60 / 72 * breath * (1 + 0.01 * draw.standard_normal())
            seconds = normal
            if last.shape == "ventricular":
                seconds = 1.42 * normal  # the pause that makes up for the early beat
                strength = 1.2
            elif scenario == "pvc" and draw.random() < 0.2:
                seconds, shape, strength = 0.58 * normal, "ventricular", 0.35
        interval = round(seconds * 1e6)
        return Beat(last.r_us + interval, interval, shape, strength)


class LoopedRhythm:
    """The R peaks of a recording, repeated as its loop is."""

    def __init__(self, peaks: Sequence[int], loop: Loop, sample_us: float) -> None:
        inside = [peak - loop.first for peak in peaks if loop.first <= peak < loop.end]
        if not inside:
            raise ValueError("a loop holds at least one beat")
        self._sample_us = sample_us
        self._turn = loop.samples + loop.gap
        self._inside = inside
        around = [inside[-1] - self._turn, *inside]
        self._intervals = [after - before for before, after in pairwise(around)]

    def beats(self, from_us: int, to_us: int) -> list[Beat]:
        """Every beat with ``from_us`` ≤ R < ``to_us``."""
        found: list[Beat] = []
        number = max(0, int(from_us / self._sample_us) // self._turn * len(self._inside))
        number += bisect_left(self._inside, int(from_us / self._sample_us) % self._turn if from_us > 0 else 0)
        number = max(0, number - 1)
        while True:
            turn, place = divmod(number, len(self._inside))
            r_us = round((turn * self._turn + self._inside[place]) * self._sample_us)
            if r_us >= to_us:
                return found
            if r_us >= from_us:
                found.append(Beat(r_us, round(self._intervals[place] * self._sample_us)))
            number += 1
