"""A recording played through the live pipeline, block by block, exactly as a consultation would have run it.

Blocks of any length give the same: a block ends at whole seconds too, which is where live work is done, and within a
second the heart is looked at before the chest, which is told its rate. What is missing in the file is missing here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from telemed_devices.recording import Faults, Recording
from telemed_signal.analysis import ChestAnalysis, Numeric

from telemed.vitals.derived import Breaths
from telemed.vitals.recorded.summary import Rate, Told, median
from telemed.vitals.recorded.tracks import NEVER, Track, Tracks
from telemed.vitals.recorded.waves import Wave

BLOCK_MS: Final = 1_000
"""As the live pipeline works: once a second of signal."""
UNREAD: Final = ("scale", "file_missing", "format_unsupported")  # by the decoder, which says why a channel is not read
WHAT: Final = {
    "heart_rate": "heart_rate_bpm", "pulse_rate": "heart_rate_bpm", "respiration_rate": "respiration_per_min",
}  # fmt: skip

Row = list[float | None]
Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the trend: ``what`` of the channel at ``place`` (None: of the patient)."""

    place: int | None
    what: str


class Playback:
    """One run over the channels at ``places`` of a recording."""

    def __init__(self, recording: Recording, places: Sequence[int], block_ms: int = BLOCK_MS) -> None:
        self.recording, self.places = recording, tuple(places)
        self.block_ms = block_ms
        self.tracks = Tracks(recording, places)
        self.told = {place: Told(recording.channels[place].rate_hz) for place in places}
        self.breathing = Rate()
        self._breaths = Breaths()
        self._breathing: Numeric | None = None  # of this second, of all waves together
        self._heart_per_min: float | None = None
        self._last: dict[tuple[int | None, str], float | None] = {}
        channels = [recording.channels[place] for place in places]
        self.seconds = max((one.length / one.rate_hz for one in channels), default=0.0)

    def columns(self) -> list[Column]:
        """What a row of the trend holds beside the second."""
        found = []
        for place in self.places:
            kind = None if place in self.tracks.refused else self.tracks.kinds[place]
            whats = {"ecg": ("heart_rate_bpm", "quality"), "respiration": ("respiration_per_min", "quality"),
                     "pleth": ("heart_rate_bpm", "respiration_per_min", "quality")}  # fmt: skip
            found += [Column(place, what) for what in whats.get(kind or "", ())]
        return [*found, Column(None, "respiration_per_min")]

    def run(self, row: Callable[[int, Row], None] | None = None, tell: Tell | None = None) -> None:
        """Play it all. ``row`` gets each whole second and the numbers known at its end; ``tell`` how far it is."""
        end_ms = math.ceil(self.seconds * 1000) + 1
        whole = math.floor(self.seconds + 1e-9)
        columns = self.columns()
        second, last = 1, end_ms // 1000 + 1
        while second <= last:
            self._last.clear()
            self._second(second, min(second * 1000, end_ms))
            if self._breathing is not None:
                self.breathing.take(self._breathing)
                self._last[None, "respiration_per_min"] = self._breathing.value
                self._breathing = None
            if row is not None and second <= whole:
                row(second, [self._last.get((one.place, one.what)) for one in columns])
            if tell is not None:
                tell(min(second, whole), whole)
            # A gap of a month is one step, unless somebody wants its rows.
            second = second + 1 if row is not None else max(second + 1, self._next_second())

    def _next_second(self) -> int:
        every = [*self.tracks.streams, *self.tracks.alone]
        return min((track.next_second() for track in every), default=NEVER)

    def _second(self, second: int, end_ms: int) -> None:
        at = (second - 1) * 1000
        every = [*self.tracks.streams, *self.tracks.alone]
        if all(track.idle_until(end_ms) for track in every):
            at = end_ms - 1  # nothing there: no need to walk through a gap in steps of a millisecond
        while at < end_ms:
            at = min(at - at % self.block_ms + self.block_ms, end_ms)
            for track in every:
                self._push(track, at, second)

    def _push(self, track: Track, at_ms: int, second: int) -> None:
        if isinstance(track.analysis, ChestAnalysis):
            track.analysis.heart_per_min = self._heart_per_min
        events = track.push_to(at_ms)
        if not events:
            return
        numbers = [one for one in events if isinstance(one, Numeric)]
        for place in track.tells:
            told = self.told[place]
            if not track.alone:
                told.take(events)
                for number in numbers:
                    if number.kind in WHAT:
                        self._last[place, WHAT[number.kind]] = number.value
            if len(track.tells) == 1:
                for number in numbers[:1]:  # of a pleth the pulse; the breathing in it has a gate of its own
                    told.judge(number)
                    self._last[place, "quality"] = number.quality
        if not track.alone:
            self._patient(numbers, second)

    def _patient(self, numbers: Sequence[Numeric], second: int) -> None:
        """What is one number of the patient, of whatever wave: the heart for the chest, and the breathing."""
        for number in numbers:
            if number.kind == "heart_rate":
                self._heart_per_min = number.value
            elif number.kind == "respiration_rate":
                self._breathing = self._breaths.told(number, float(second))

    def faults(self) -> list[dict[str, Any]]:
        """Everything that was wrong, the file's own faults first: a code, a channel, its samples."""
        faults = Faults()
        told = {fault.channel for fault in self.recording.faults if fault.code in UNREAD}
        for fault in self.recording.faults:
            if fault.channel is None or fault.channel in self.told:
                faults.add(fault.code, fault.channel, fault.first_sample, fault.end_sample, fault.reason)
        for place in self.places:
            channel = self.recording.channels[place]
            reason = self.tracks.refused.get(place)
            if reason is not None and reason != "kind_unknown" and place not in told:
                faults.add(reason, place, 0, channel.length, "not analysed")
            for first, end in Wave(channel, signed=True).gaps():
                faults.add("gap", place, first, end)
            for code, first, end in self.told[place].runs():
                faults.add(code, place, first, end)
        return [
            {
                "code": one.code,
                "channel": None if one.channel is None else self.recording.channels[one.channel].name,
                "channel_index": one.channel, "first_sample": one.first_sample, "end_sample": one.end_sample,
                "reason": one.reason,
            }
            for one in faults.found
        ]  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """What was found, as ``telemed analyze --json`` prints it (docs/signal.md, "A recording")."""
        return {
            "format": self.recording.format,
            "seconds": round(self.seconds, 3),
            "channels": [self._channel(place) for place in self.places],
            "respiration_per_min": self.breathing.typical(),
            "faults": self.faults(),
        }

    def _channel(self, place: int) -> dict[str, Any]:
        channel, told = self.recording.channels[place], self.told[place]
        stream = next((track for track in self.tracks.streams if place in track.tells), None)
        looked_at = () if stream is None else stream.places
        return {
            "name": channel.name, "unit": channel.unit, "kind": self.tracks.kinds[place],
            "rate_hz": channel.rate_hz, "samples": channel.length,
            "beats": told.beats, "heart_rate_bpm": told.heart.typical(), "heart_rate_seconds": told.heart.seconds,
            "respiration_per_min": told.breathing.typical(), "respiration_seconds": told.breathing.seconds,
            "quality": median(told.quality), "analyzed_from": [self.recording.channels[one].name for one in looked_at],
            "not_analyzed": self.tracks.refused.get(place),
        }  # fmt: skip

