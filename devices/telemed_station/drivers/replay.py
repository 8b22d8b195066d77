"""A recording played round and round as if a device measured it now, with a simulated monitor on its beats.

The ECG's integers, gains and lead names are the recording's own and its origin is "recording"; everything else is
"simulated" and says so.
"""

from __future__ import annotations

import numpy as np

from telemed_station.drivers.driver import Loop, Signal, Value, Wave
from telemed_station.drivers.loop import Seam, find_loop, r_peaks
from telemed_station.drivers.recording import Recording
from telemed_station.drivers.rhythm import LoopedRhythm, Rhythm, Scenes, SeededRhythm
from telemed_station.drivers.simulator import SECOND_US, Monitor, Sampler, since_beat


class Replay:
    """One recording as an endless stream, and the ``Monitor`` locked to its beats."""

    def __init__(
        self, recording: Recording, seed: int, scenario: str, start_us: int, *, heart_rate: bool = False
    ) -> None:
        self.name = f"replay:{recording.name}"
        self._recording = recording
        self._start_us = start_us
        self._scenes = Scenes(scenario)
        self.peaks = tuple(r_peaks(recording))
        found, self.seam = find_loop(recording, self.peaks)
        self._loop: Loop = found
        self._turn = found.samples + found.gap
        self._ecg = Sampler(recording.rate)
        sample_us = recording.rate[1] * SECOND_US / recording.rate[0]
        inside = any(found.first <= peak < found.end for peak in self.peaks)
        self._rhythm: Rhythm = (
            LoopedRhythm(self.peaks, found, sample_us) if inside else SeededRhythm(seed, self._scenes)
        )
        self._monitor = Monitor(seed, self._scenes, self._rhythm, heart_rate=heart_rate)
        self.signals: tuple[Signal, ...] = (
            Signal("ecg", f"Recorded ECG ({recording.name})"[:100], "native", "recording", recording.rate,
                   recording.channels),
            *self._monitor.signals,
        )  # fmt: skip

    seam: Seam | None

    @property
    def loop(self) -> Loop | None:
        """The repeated part of the recording."""
        return self._loop

    @property
    def scenario(self) -> str:
        """The scenario of the simulated signals."""
        return self._scenes.last

    def pull(self, until_us: int) -> list[Wave | Value]:
        """Everything measured before the stamp ``until_us`` and not returned yet."""
        until = until_us - self._start_us
        out: list[Wave | Value] = []
        first, count = self._ecg.take(until)
        while count > 0:
            place = first % self._turn
            part = min(count, self._turn - place)
            seen = min(part, self._loop.samples - place)
            if self._loop.gap == 0:
                # Without a gap a turn runs straight into the next: one wave, however many turns it spans.
                seen = part = count
                index = self._loop.first + (np.arange(first, first + count) % self._turn)
                out.append(self._wave(first, index))
            elif seen > 0:
                out.append(self._wave(first, self._loop.first + np.arange(place, place + seen)))
            first, count = first + part, count - part
        return out + self._monitor.pull(until, self._start_us)

    def sample_index(self, kind: str) -> int:
        """The index that the next sample of a native stream will have."""
        return self._sampler(kind).next

    def stamp_of(self, kind: str, index: int) -> int:
        """The stamp of a sample of a native stream, µs."""
        return self._start_us + self._sampler(kind).time_us(index)

    def since_beat_us(self, stamp_us: int) -> int | None:
        """How long before ``stamp_us`` the last R peak was, µs; None when there was none in the last 3 s."""
        return since_beat(self._rhythm, stamp_us - self._start_us)

    def switch(self, scenario: str, at_us: int) -> None:
        """Change the simulated signals; the recording stays what it is."""
        self._scenes.switch(scenario, at_us - self._start_us)

    def _sampler(self, kind: str) -> Sampler:
        return self._ecg if kind == "ecg" else self._monitor.samplers[kind]

    def _wave(self, first: int, index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Wave:
        samples = np.ascontiguousarray(self._recording.samples[:, index])
        return Wave("ecg", first, self._start_us + self._ecg.time_us(first), samples)
