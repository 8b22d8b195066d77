"""Numbers of ours from a live wave: heart rate from lead II, respiration rate from the chest's wave.

Always marked derived, at most one a second, and shown only while no device sends the kind (the hub decides).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from telemed_devices.native import Frame, Samples
from telemed_signal.beats import RATES_HZ as BEAT_RATES_HZ
from telemed_signal.beats import BeatDetector
from telemed_signal.filters import GapHold
from telemed_signal.rate import HeartRate
from telemed_signal.respiration import RATES_HZ as BREATH_RATES_HZ
from telemed_signal.respiration import RespirationRate

from telemed.vitals.live import StreamCard
from telemed.vitals.numbers import DerivedNumber

LEAD: Final = "II"  # the lead whose R wave is upright in most hearts
KEPT_SECONDS: Final = 16.0  # the 10 s of a rate, and what a detector needs to find its levels
PARTS_KEPT: Final = 512  # frames of them: at a frame a sample nobody computes a rate
MILLIVOLTS: Final = {"uV": 1e-3, "mV": 1.0, "V": 1e3}  # of one unit (UCUM)

_Part = tuple[int, Samples, int]  # a frame's first sample, the channel's samples (1, n), the time of their end


class Derived:
    """What we compute from one live stream; nothing for kinds, units and rates that we do not read.

    Work is done once a second of signal, and only while somebody watches: until then the newest ``KEPT_SECONDS`` are
    kept, from which a number is there at once for whoever comes. How the signal was cut changes no number.
    """

    def __init__(self, card: StreamCard) -> None:
        self._card = card
        names = [channel.name for channel in card.channels]
        self._channel = names.index(LEAD) if LEAD in names else 0
        self._make = _maker(card, self._channel)
        self._wave: _Heart | _Chest | None = None
        self._hold = GapHold(1, card.rate_hz) if self._make is not None else None
        self._told_at: int | None = None
        self._waiting: deque[_Part] = deque()
        self._kept = KEPT_SECONDS * card.rate_hz

    def take(self, frame: Frame) -> bool:
        """Keep the next frame of the lane (consultation time); returns whether a second is full."""
        if self._make is None:
            return False
        waiting, first, n = self._waiting, frame.first_sample, frame.n
        channel = frame.samples[self._channel : self._channel + 1].copy()  # not the whole frame
        waiting.append((first, channel, frame.t0_us + self._card.sample_us(n)))
        if first + n - waiting[0][0] > self._kept or len(waiting) > PARTS_KEPT:
            waiting.popleft()
        return self._told_at is None or not 0 <= first + n - self._told_at < self._card.rate_hz

    def number(self) -> DerivedNumber | None:
        """The number at the end of what was taken; None where nothing is new, or nothing is computed."""
        if self._make is None or self._hold is None or not self._waiting:
            return None
        wave = self._wave = self._wave or self._make()
        end, at_us = 0, self._waiting[-1][2]
        for first_sample, samples in _joined(self._waiting):
            end = first_sample + samples.shape[1]
            if self._hold.follows(first_sample) and samples.min() != np.iinfo(samples.dtype).min:
                self._hold.passed(samples)
                wave.push(samples[0].astype(np.float64))
                continue
            for piece in self._hold.push(first_sample, samples):
                if piece.restart[0]:
                    wave.reset(piece.first_sample)
                wave.push(piece.values[:, 0])
        self._waiting.clear()
        self._told_at = end
        value, reason = wave.rate(end)
        return DerivedNumber(wave.kind, value, "/min", at_us, () if reason is None else (reason,))


def _maker(card: StreamCard, channel: int) -> Callable[[], _Heart | _Chest] | None:
    """What computes the number of such a stream, made when it is wanted first."""
    if card.kind == "ecg" and BEAT_RATES_HZ[0] <= card.rate_hz <= BEAT_RATES_HZ[1]:
        lead = card.channels[channel]
        if lead.unit in MILLIVOLTS:
            return lambda: _Heart(card.rate_hz, lead.gain * MILLIVOLTS[lead.unit])
    elif card.kind == "respiration" and BREATH_RATES_HZ[0] <= card.rate_hz <= BREATH_RATES_HZ[1]:
        return lambda: _Chest(card.rate_hz)
    return None


def _joined(parts: Iterable[_Part]) -> Iterator[tuple[int, Samples]]:
    """The parts as (first sample, samples), those that follow each other in one."""
    first, past = 0, -1
    run: list[Samples] = []
    for begin, samples, _ in parts:
        if run and (begin != past or samples.dtype != run[0].dtype):
            yield first, np.concatenate(run, axis=1)
            run = []
        if not run:
            first = begin
        run.append(samples)
        past = begin + samples.shape[1]
    if run:
        yield first, np.concatenate(run, axis=1)


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
