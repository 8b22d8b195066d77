"""The streams that a recording's channels make, each with its live analysis, to be pushed block by block.

ECG leads of one rate are one stream, of which the live pipeline's choice of two is fused; every other wave is a stream
of its own. A lead's own quality is what the same analysis says of that lead alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from telemed_devices.native import missing_value
from telemed_devices.recording import Recording, Samples
from telemed_signal.analysis import ChestAnalysis, EcgAnalysis, Event, PlethAnalysis, chosen, supports

from telemed.vitals.derived import MILLIVOLTS
from telemed.vitals.recorded.kinds import is_lead, kind_of, lead_of
from telemed.vitals.recorded.waves import Wave, covered

MOST_MV: Final = 1e9
"""Full scale of an ECG lead in millivolts: its energy is counted in whole nanovolts (``telemed_signal.beats``)."""

NEVER: Final = 1 << 62  # a second that no recording reaches

Analysis = EcgAnalysis | PlethAnalysis | ChestAnalysis


def boundary(milliseconds: int, rate_hz: float) -> int:
    """The first sample at or after a time; of whole seconds the one at which the analysis tells its numbers."""
    seconds, rest = divmod(milliseconds, 1000)
    return math.ceil(seconds * rate_hz) if rest == 0 else math.ceil(milliseconds * rate_hz / 1000)


class Track:
    """One analysis. ``places`` are the channels (in the recording) that it looks at, ``tells`` those that it is of.

    ``alone``: it looks at one lead of several, for that lead's quality.
    """

    def __init__(
        self, analysis: Analysis, places: Sequence[int], tells: Sequence[int], waves: Sequence[Wave], *,
        alone: bool = False,
    ) -> None:  # fmt: skip
        self.analysis, self.alone = analysis, alone
        self.rate_hz = analysis.rate_hz
        self.places, self.tells = tuple(places), tuple(tells)
        self._waves = tuple(waves)
        self._dtype = max((wave.dtype for wave in waves), key=lambda one: one.itemsize)
        self._spans = covered(waves)
        self._span = 0  # the first one that is not behind us
        self._at = 0
        self.end = max(wave.channel.length for wave in waves)

    def push_to(self, milliseconds: int) -> list[Event]:
        """Push every sample before a time that was not pushed yet; a hole in the file is never pushed."""
        end = min(boundary(milliseconds, self.rate_hz), self.end)
        events: list[Event] = []
        while self._span < len(self._spans):
            first, stop = self._spans[self._span]
            low, high = max(first, self._at), min(stop, end)
            if low < high:
                events += self.analysis.push(low, self._block(low, high))
            if stop > end:
                break
            self._span += 1
        self._at = max(self._at, end)
        return events

    def idle_until(self, milliseconds: int) -> bool:
        """Whether nothing is to be pushed before a time."""
        if self._span >= len(self._spans):
            return True
        return max(self._spans[self._span][0], self._at) >= min(boundary(milliseconds, self.rate_hz), self.end)

    def next_second(self) -> int:
        """The number of the second (from 1) that the next sample lies in; ``NEVER`` when none is left."""
        if self._span >= len(self._spans):
            return NEVER
        return math.floor(max(self._spans[self._span][0], self._at) / self.rate_hz) + 1

    def _block(self, first: int, end: int) -> Samples:
        rows = []
        for wave in self._waves:
            row = wave.take(first, end)
            if row.dtype != self._dtype:
                row = np.where(row == missing_value(row.dtype), missing_value(self._dtype), row.astype(self._dtype))
            rows.append(row)
        return np.vstack(rows)


class Tracks:
    """All streams of a recording, of the channels at ``places``; ``refused`` says why a channel is in none."""

    def __init__(self, recording: Recording, places: Sequence[int]) -> None:
        self.kinds: dict[int, str | None] = {}
        self.refused: dict[int, str] = {}
        self.streams: list[Track] = []
        self.alone: list[Track] = []  # of one lead each, for its quality
        self._channels = recording.channels
        leads: dict[float, list[int]] = {}
        waves: list[tuple[int, str]] = []
        for place in places:
            channel = self._channels[place]
            kind = self.kinds[place] = kind_of(channel.name, channel.unit)
            reason = self._unfit(place, kind)
            if reason is not None:
                self.refused[place] = reason
            elif kind == "ecg":
                leads.setdefault(channel.rate_hz, []).append(place)
            elif kind is not None:
                waves.append((place, kind))
        for rate_hz, group in leads.items():
            self._ecg(rate_hz, group)
        for place, kind in sorted(waves, key=lambda one: one[1]):  # a pleth before the chest, which hears of the heart
            wave = Wave(self._channels[place], signed=False)
            analysis = (PlethAnalysis if kind == "pleth" else ChestAnalysis)(wave.channel.rate_hz)
            self.streams.append(Track(analysis, [place], [place], [wave]))

    def _unfit(self, place: int, kind: str | None) -> str | None:
        channel = self._channels[place]
        if kind is None:
            return "unit_unknown" if is_lead(channel.name) else "kind_unknown"
        if not channel.stretches:
            return "no_samples"
        wave = Wave(channel, signed=kind == "ecg")
        if not wave.fit:
            return "scale"
        if not supports(kind, channel.rate_hz):
            return "rate_unsupported"
        if kind == "ecg" and abs(wave.gain) * MILLIVOLTS[channel.unit] * -missing_value(wave.dtype) > MOST_MV:
            return "scale"
        return None

    def _ecg(self, rate_hz: float, group: list[int]) -> None:
        names = [lead_of(self._channels[place].name) for place in group]
        looked_at = [group[at] for at in chosen(names)]
        self.streams.append(self._leads(rate_hz, looked_at, group))
        if len(group) > 1:
            self.alone += [self._leads(rate_hz, [place], [place], alone=True) for place in group]

    def _leads(self, rate_hz: float, places: list[int], tells: list[int], *, alone: bool = False) -> Track:
        waves = [Wave(self._channels[place], signed=True) for place in places]
        mv = [wave.gain * MILLIVOLTS[wave.channel.unit] for wave in waves]
        names = [wave.channel.name for wave in waves]
        return Track(EcgAnalysis(rate_hz, names, mv), places, tells, waves, alone=alone)
