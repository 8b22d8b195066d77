"""Our own detectors as the server runs them: fed block by block, asked at fixed times. The one place that names them.

A function of a module that is not there yet gives None, and its rows are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from _signal_records import Array, Places, blocks
from telemed_signal.beats import Beat, BeatDetector
from telemed_signal.fusion import FusedBeats
from telemed_signal.judgement import SHIPPED, Constants
from telemed_signal.rate import HeartRate
from telemed_signal.respiration import RespirationRate

Answers = list[float | None]
"""A number at each moment asked, None where it is withheld."""


def there(module: str) -> bool:
    """Whether the signal library has this module."""
    return find_spec(f"telemed_signal.{module}") is not None


@dataclass(frozen=True)
class Found:
    """Beats of one run: their samples, the sample count at which each became known, whether at the second look."""

    at: Places
    known_at: Places
    second_look: np.ndarray


def _collected(push: Callable[[Array], list[Any]], x: Array, length: int) -> Found:
    rows: list[tuple[int, int, bool]] = []
    now = 0
    for block in blocks(x, length):
        now += block.shape[-1]
        rows.extend((beat.sample_index, now, getattr(beat, "second_look", False)) for beat in push(block))
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Found(table[:, 0], table[:, 1], table[:, 2].astype(np.bool_))


def lead_beats(x_mv: Array, rate_hz: float, block_s: float, constants: Constants = SHIPPED) -> Found:
    """Beats of one lead."""
    detector = BeatDetector(rate_hz, constants=constants)
    return _collected(detector.push, x_mv, max(1, round(block_s * rate_hz)))


def fused_beats(x_mv: Array, rate_hz: float, block_s: float, constants: Constants = SHIPPED) -> Found:
    """Beats of several leads (leads, samples) together."""
    detector = FusedBeats(rate_hz, len(x_mv), constants=constants)
    return _collected(detector.push, x_mv, max(1, round(block_s * rate_hz)))


def heart_rates(x_mv: Array, rate_hz: float, every_s: float) -> Answers:
    """The heart rate shown after each ``every_s``."""
    detector, rate = BeatDetector(rate_hz), HeartRate(rate_hz)
    shown: Answers = []
    for block in blocks(x_mv, round(every_s * rate_hz)):
        rate.push(detector.push(block))
        shown.append(rate.at(detector.next_sample).per_min)
    return shown


def rates_of_beats(beats: Places, rate_hz: float, seconds: int) -> Answers:
    """The heart rate that beats of a reference would show after each second."""
    rate, told = HeartRate(rate_hz), 0
    shown: Answers = []
    for second in range(1, seconds + 1):
        now = int(second * rate_hz)
        past = int(np.searchsorted(beats, now, side="right"))
        rate.push(Beat(int(at), 0.0) for at in beats[told:past])
        told = past
        shown.append(rate.at(now).per_min)
    return shown


def qualities(x_mv: Array, rate_hz: float, range_mv: tuple[float, float] | None) -> list[float] | None:
    """The lead's quality (0 to 1) after each second; ``range_mv`` are the converter's ends where known."""
    if not there("quality"):
        return None
    from telemed_signal.quality import LeadQuality

    judge = LeadQuality(rate_hz, range_mv=range_mv)
    told = []
    for block in blocks(x_mv, round(rate_hz)):
        judge.push(block)
        told.append(judge.now().index or 0.0)
    return told


def gated_rates(x_mv: Array, rate_hz: float, range_mv: tuple[float, float] | None) -> Answers | None:
    """The heart rate as it is shown after each second: withheld below the quality gate."""
    if not there("quality"):
        return None
    from telemed_signal.quality import LeadQuality

    judge = LeadQuality(rate_hz, range_mv=range_mv)
    shown: Answers = []
    for block, rate in zip(blocks(x_mv, round(rate_hz)), heart_rates(x_mv, rate_hz, 1.0), strict=True):
        judge.push(block)
        shown.append(rate if judge.now().shows_rate else None)
    return shown


def pulses(pleth: Array, rate_hz: float, every_s: float) -> Answers | None:
    """The pulse rate after each ``every_s``."""
    if not there("pleth"):
        return None
    from telemed_signal.pleth import Pleth

    channel = Pleth(rate_hz)
    shown: Answers = []
    for block in blocks(pleth, round(every_s * rate_hz)):
        channel.push(block)
        shown.append(channel.rate().per_min)
    return shown


def breathing(wave: Array, rate_hz: float, every_s: float) -> Answers:
    """The respiration rate of the chest's wave after each ``every_s``."""
    breaths = RespirationRate(rate_hz)
    shown: Answers = []
    for block in blocks(wave, round(every_s * rate_hz)):
        breaths.push(block)
        shown.append(breaths.at_end().per_min)
    return shown


def breathing_of_pleth(pleth: Array, rate_hz: float, every_s: float) -> Answers | None:
    """The respiration rate out of the pulse wave after each ``every_s``."""
    if not there("modulation"):
        return None
    from telemed_signal.modulation import PulseBreathing
    from telemed_signal.pleth import Pleth

    channel, breaths = Pleth(rate_hz), PulseBreathing(rate_hz)
    shown: Answers = []
    for block in blocks(pleth, round(every_s * rate_hz)):
        breaths.push(channel.push(block))
        shown.append(breaths.at(channel.next_sample).per_min)
    return shown


def state_bytes(rate_hz: float) -> int:
    """What one lead's beats remember."""
    state = BeatDetector(rate_hz).export()
    return state.whole.nbytes + state.real.nbytes


def detector(leads: int, rate_hz: float) -> Callable[[Array], list[Beat]]:
    """What takes the blocks of one lead, (samples,), or of a station's, (leads, samples): each beat once."""
    if leads == 1:
        return BeatDetector(rate_hz).push
    return FusedBeats(rate_hz, leads).push
