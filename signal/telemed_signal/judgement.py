"""Which peaks of a lead's QRS energy are beats: running levels, a moving bar, and a second look when one is late.

Positions are samples, heights whole nanovolts; everything here is called a few times a second, so it is plain
Python. Its decisions depend on the order of the peaks alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

BEATS_KEPT: Final = 5
NOISES_KEPT: Final = 6
INTERVALS_KEPT: Final = 8
SHARE: Final = 0.3125
"""Of the way from noise to beats at which the bar lies."""
RAISED: Final = 0.30
RAISED_UNTIL: Final = 0.8  # of the median interval
LATE: Final = 1.4  # of the median interval
SECOND_LOOK: Final = 0.6  # of the bar
CLIP: Final = 1.5  # of the level: one artefact or premature beat may not lift it further
FADE: Final = 0.8  # of the level, each time a second look finds nothing after FADE_AFTER_S
FADE_AFTER_S: Final = 4.0
"""Longer than any pause between two beats of 30 a minute: then the lead's amplitude has fallen."""
HOLD_OFF_S: Final = 0.280
SHORTEST_HOLD_OFF_S: Final = 0.180
HOLD_OFF_SHARE: Final = 0.45  # of the median interval: 300 a minute must pass
LEARN_S: Final = 3.0
USUAL_INTERVAL_S: Final = 1.0
FLOOR: Final = 6_000
"""Nanovolts: the energy of a QRS of about 0.1 mV; below it nothing is called a beat."""
MAX_REJECTED: Final = 64
"""Peaks kept for the second look; a 1.6 s wait has fewer than ten."""
MAX_LEARNING: Final = 64
"""Peaks of the first 3 s; the hold-off lets 17 through."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A peak of the energy: its position and height; ``second_look`` when it was rejected at first."""

    at: int
    height: int
    second_look: bool = False


class Judge:
    """Takes the peaks of one lead in order and names those that are beats."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._beats: deque[float] = deque(maxlen=BEATS_KEPT)
        self._noises: deque[float] = deque(maxlen=NOISES_KEPT)
        self._intervals: deque[int] = deque(maxlen=INTERVALS_KEPT)
        self._rejected: deque[Peak] = deque(maxlen=MAX_REJECTED)
        self._learning: list[Peak] | None = []
        self._last: int | None = None
        self._interval = USUAL_INTERVAL_S * rate_hz
        self.hold_off = round(HOLD_OFF_S * rate_hz)
        self.deadline = round(LEARN_S * rate_hz)
        """Position at which :meth:`overdue` must be called, unless a beat comes first."""

    def peak(self, at: int, height: int) -> list[Peak]:
        """Judge one peak: itself when it is a beat, nothing while learning or when it is not."""
        peak = Peak(at, height)
        if self._learning is not None:
            if len(self._learning) < MAX_LEARNING:
                self._learning.append(peak)
            return []
        if height >= max(self._bar(at), FLOOR):
            self._take(peak)
            return [peak]
        self._noises.append(height)
        self._rejected.append(peak)
        return []

    def overdue(self) -> list[Peak]:
        """What is to be done at the deadline: end the learning, or look again at what was rejected."""
        if self._learning is not None:
            return self._learnt()
        chosen = max(self._rejected, key=lambda peak: peak.height, default=None)
        if chosen is not None and chosen.height >= max(SECOND_LOOK * self._bar(None), FLOOR):
            later = [peak for peak in self._rejected if peak.at > chosen.at]
            found = Peak(chosen.at, chosen.height, second_look=True)
            self._take(found)
            self._rejected.extend(later)
            return [found]
        if self._last is None or self.deadline - self._last > FADE_AFTER_S * self._rate_hz:
            for index, level in enumerate(self._beats):
                self._beats[index] = max(FADE * level, float(FLOOR))
        self.deadline += max(1, round(LATE / 2 * self._interval))
        return []

    def _learnt(self) -> list[Peak]:
        peaks = [peak for peak in self._learning or () if peak.height >= FLOOR]
        if not peaks:
            self._learning = []
            self.deadline += round(LEARN_S * self._rate_hz)
            return []
        greatest = max(peak.height for peak in peaks)
        high = [peak.height for peak in peaks if peak.height >= 0.4 * greatest]
        low = [peak.height for peak in peaks if peak.height < 0.4 * greatest]
        self._beats.append(median(high))
        self._noises.append(median(low) if low else 0)
        end, self._learning, self.deadline = self.deadline, None, self.deadline + self.hold_off
        found: list[Peak] = []
        for peak in peaks:
            while self._last is not None and self.deadline <= peak.at:
                found += self.overdue()
            found += self.peak(peak.at, peak.height)
        self.deadline = max(self.deadline, end + 1)
        return found

    def _bar(self, at: int | None) -> float:
        """The height that makes a beat at this position; None: long after the last one."""
        noise = median(self._noises) if self._noises else 0.0
        bar = noise + SHARE * max(0.0, median(self._beats) - noise)
        if at is None or self._last is None:
            return bar
        since = (at - self._last) / (RAISED_UNTIL * self._interval)
        return bar * (1 + RAISED * max(0.0, 1 - since))

    def _take(self, peak: Peak) -> None:
        level = median(self._beats)
        self._beats.append(min(peak.height, CLIP * level))
        if self._last is not None:
            self._intervals.append(peak.at - self._last)
            self._interval = median(self._intervals)
            self.hold_off = round(
                max(
                    SHORTEST_HOLD_OFF_S * self._rate_hz,
                    min(HOLD_OFF_S * self._rate_hz, HOLD_OFF_SHARE * self._interval),
                )
            )
        self._last = peak.at
        self._rejected.clear()
        # What lies within 1.4 intervals is judged one hold-off later at the latest.
        self.deadline = peak.at + max(1, round(LATE * self._interval)) + self.hold_off
