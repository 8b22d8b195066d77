"""Numbers of ours from a live wave: heart rate from lead II, respiration rate from the chest's wave.

Always marked derived, at most one a second, and shown only while no device sends the kind (the hub decides).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from telemed_devices.native import Frame
from telemed_signal.beats import RATES_HZ as BEAT_RATES_HZ
from telemed_signal.beats import BeatDetector
from telemed_signal.filters import GapHold
from telemed_signal.rate import HeartRate
from telemed_signal.respiration import RATES_HZ as BREATH_RATES_HZ
from telemed_signal.respiration import RespirationRate

from telemed.vitals.live import StreamCard
from telemed.vitals.numbers import DerivedNumber

LEAD: Final = "II"  # the lead whose R wave is upright in most hearts
MILLIVOLTS: Final = {"uV": 1e-3, "mV": 1.0, "V": 1e3}  # of one unit (UCUM)


class Derived:
    """What we compute from one live stream; nothing for kinds, units and rates that we do not read."""

    def __init__(self, card: StreamCard) -> None:
        self._card = card
        self._wave: _Heart | _Chest | None = None
        names = [channel.name for channel in card.channels]
        self._channel = names.index(LEAD) if LEAD in names else 0
        self._told_at: int | None = None
        if card.kind == "ecg" and BEAT_RATES_HZ[0] <= card.rate_hz <= BEAT_RATES_HZ[1]:
            channel = card.channels[self._channel]
            if channel.unit in MILLIVOLTS:
                self._wave = _Heart(card.rate_hz, channel.gain * MILLIVOLTS[channel.unit])
        elif card.kind == "respiration" and BREATH_RATES_HZ[0] <= card.rate_hz <= BREATH_RATES_HZ[1]:
            self._wave = _Chest(card.rate_hz)
        self._hold = GapHold(1, card.rate_hz) if self._wave is not None else None

    def push(self, frame: Frame) -> Sequence[DerivedNumber]:
        """Take the next frame of the lane (consultation time); a number once a second of signal."""
        if self._wave is None or self._hold is None:
            return ()
        for piece in self._hold.push(frame.first_sample, frame.samples[self._channel : self._channel + 1]):
            if piece.restart[0]:
                self._wave.reset(piece.first_sample)
            self._wave.push(piece.values[:, 0])
        end = frame.first_sample + frame.n
        if self._told_at is not None and 0 <= end - self._told_at < self._card.rate_hz:
            return ()
        self._told_at = end
        value, reason = self._wave.rate(end)
        at_us = frame.t0_us + self._card.sample_us(frame.n)
        return (DerivedNumber(self._wave.kind, value, "/min", at_us, () if reason is None else (reason,)),)


class _Heart:
    kind = "heart_rate"

    def __init__(self, rate_hz: float, millivolts: float) -> None:
        self._millivolts = millivolts
        self._beats = BeatDetector(rate_hz)
        self._rate = HeartRate(rate_hz)

    def reset(self, first_sample: int) -> None:
        self._beats.reset(first_sample)
        self._rate.reset()

    def push(self, counts: NDArray[np.float64]) -> None:
        self._rate.push(self._beats.push(counts * self._millivolts))

    def rate(self, sample: int) -> tuple[int | None, str | None]:
        now = self._rate.at(sample)
        return now.per_min, now.reason


class _Chest:
    kind = "respiration_rate"

    def __init__(self, rate_hz: float) -> None:
        self._breaths = RespirationRate(rate_hz)

    def reset(self, first_sample: int) -> None:
        self._breaths.reset()

    def push(self, counts: NDArray[np.float64]) -> None:
        self._breaths.push(counts)

    def rate(self, sample: int) -> tuple[int | None, str | None]:
        now = self._breaths.at_end()
        return None if now.per_min is None else round(now.per_min), now.reason
