"""Numbers of ours from a live wave: heart rate from an ECG, pulse and breathing from a pleth, breathing from a chest.

Always marked derived, at most one of a kind a second, and shown only while no device sends the kind (the hub decides).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from telemed_devices.native import Frame, Samples, missing_value
from telemed_signal.analysis import ChestAnalysis, EcgAnalysis, Numeric, PlethAnalysis, breathing, chosen, supports

from telemed.vitals.live import LEAD_OFF, StreamCard
from telemed.vitals.numbers import DerivedNumber

KEPT_SECONDS: Final = {"ecg": 16.0, "pleth": 20.0, "respiration": 64.0}  # a rate's window, and what finds the levels
PARTS_KEPT: Final = 1024  # frames of them: at a frame a sample nobody computes a rate
MILLIVOLTS: Final = {"uV": 1e-3, "mV": 1.0, "V": 1e3}  # of one unit (UCUM)
STALE_SECONDS: Final = 3.0  # what one wave said of the breathing is beside what another says
DECIMALS: Final = {"perfusion_index": 2}  # of a number as it is shown; others are whole

_Part = tuple[int, Samples, int]  # a frame's first sample, the channels' samples, the time of their end


class Derived:
    """What we compute from one live stream; nothing for kinds, units and rates that we do not read.

    Work is done once a second of signal, and only while somebody watches: until then the newest ``KEPT_SECONDS`` are
    kept, from which a number is there at once for whoever comes. How the signal was cut changes no number.
    """

    def __init__(self, card: StreamCard) -> None:
        self._card = card
        self._rows = _rows(card)
        self._make = _maker(card, self._rows)
        self._analysis: EcgAnalysis | PlethAnalysis | ChestAnalysis | None = None
        self._told_second: int | None = None
        self._waiting: deque[_Part] = deque()
        self._kept = KEPT_SECONDS.get(card.kind, 0.0) * card.rate_hz

    def take(self, frame: Frame) -> bool:
        """Keep the next frame of the lane (consultation time); returns whether a second is full."""
        if self._make is None:
            return False
        waiting, end = self._waiting, frame.first_sample + frame.n
        samples = frame.samples[self._rows]  # a copy of these channels, not the whole frame
        if frame.flags & LEAD_OFF:
            for at, row in enumerate(self._rows):
                if frame.flags >> 16 + row & 1:
                    samples[at] = missing_value(samples.dtype)
        waiting.append((frame.first_sample, samples, frame.t0_us + self._card.sample_us(frame.n)))
        if end - waiting[0][0] > self._kept or len(waiting) > PARTS_KEPT:
            waiting.popleft()
        return int(end / self._card.rate_hz) != self._told_second

    def numbers(self, heart_per_min: float | None = None) -> list[tuple[Numeric, int]]:
        """The newest number of each kind at the end of what was taken, and its time; nothing where none is new."""
        if self._make is None or not self._waiting:
            return []
        analysis = self._analysis = self._analysis or self._make()
        if isinstance(analysis, ChestAnalysis):
            analysis.heart_per_min = heart_per_min
        newest: dict[str, tuple[Numeric, int]] = {}
        for first_sample, samples, end_us in _joined(self._waiting):
            end = first_sample + samples.shape[1]
            self._told_second = int(end / self._card.rate_hz)
            for event in analysis.push(first_sample, samples):
                if isinstance(event, Numeric):
                    newest[event.kind] = event, end_us - self._card.sample_us(end - event.sample)
        self._waiting.clear()
        return list(newest.values())


@dataclass(slots=True)
class Breaths:
    """What the waves of one patient say of the breathing, to be told as one number."""

    impedance: tuple[Numeric, float] | None = None
    pleth: tuple[Numeric, float] | None = None

    def told(self, number: Numeric, now: float) -> Numeric:
        """The number to show now that one of the waves said this; ``now`` in monotonic seconds."""
        if number.source == "pleth":
            self.pleth = number, now
        else:
            self.impedance = number, now
        fresh = [one[0] if one is not None and now - one[1] < STALE_SECONDS else None
                 for one in (self.impedance, self.pleth)]  # fmt: skip
        return breathing(*fresh) or number


def as_message(number: Numeric, at_us: int) -> DerivedNumber:
    """The number as it is sent: rounded as it is shown, with what it was taken from."""
    value = None if number.value is None else f"{number.value:.{DECIMALS.get(number.kind, 0)}f}"
    extra = {"from": number.source, "window_s": f"{number.window_s:g}", "index": f"{number.quality:.2f}"}
    return DerivedNumber(number.kind, value, number.unit, at_us, number.reasons, extra)


def _rows(card: StreamCard) -> list[int]:
    if card.kind != "ecg":
        return [0]
    readable = [at for at, channel in enumerate(card.channels) if channel.unit in MILLIVOLTS]
    names = [card.channels[at].name for at in readable]
    return [readable[at] for at in chosen(names)]


def _maker(card: StreamCard, rows: list[int]) -> Callable[[], EcgAnalysis | PlethAnalysis | ChestAnalysis] | None:
    """What computes the numbers of such a stream, made when they are wanted first."""
    if not rows or not supports(card.kind, card.rate_hz):
        return None
    if card.kind == "ecg":
        leads = [card.channels[at] for at in rows]
        mv = [lead.gain * MILLIVOLTS[lead.unit] for lead in leads]
        return lambda: EcgAnalysis(card.rate_hz, [lead.name for lead in leads], mv)
    return lambda: (PlethAnalysis if card.kind == "pleth" else ChestAnalysis)(card.rate_hz)


def _joined(parts: Iterable[_Part]) -> Iterator[_Part]:
    """The parts, those that follow each other in one."""
    first, past, end_us = 0, -1, 0
    run: list[Samples] = []
    for begin, samples, at_us in parts:
        if run and (begin != past or samples.dtype != run[0].dtype):
            yield first, np.concatenate(run, axis=1), end_us
            run = []
        if not run:
            first = begin
        run.append(samples)
        past, end_us = begin + samples.shape[1], at_us
    if run:
        yield first, np.concatenate(run, axis=1), end_us
