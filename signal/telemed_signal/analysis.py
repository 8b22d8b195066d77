"""The live pipeline of one stream: samples as they came in; beats, and every second of signal the numbers, out.

A consultation and ``telemed analyze`` run this and nothing else. Blocks are cut at whole seconds of the signal's own
count, so any chunking gives the same beats and the same numbers, to the last bit. Missing samples are held for 200 ms
and then forgotten with all that was learnt (``gaps``). Below its gate a number is absent and says why.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from telemed_signal.beats import RATES_HZ as ECG_RATES_HZ
from telemed_signal.beats import Beat
from telemed_signal.faults import BlockShape
from telemed_signal.fusion import FusedBeats
from telemed_signal.gaps import GapHold, Piece
from telemed_signal.modulation import PulseBreathing
from telemed_signal.pacing import SURE_HZ as PACING_HZ
from telemed_signal.pacing import SpikeFinder
from telemed_signal.pleth import RATES_HZ as PLETH_RATES_HZ
from telemed_signal.pleth import Pleth, Pulse
from telemed_signal.quality import LeadQuality, Quality
from telemed_signal.rate import WINDOW_S as RATE_WINDOW_S
from telemed_signal.rate import HeartRate
from telemed_signal.respiration import RATES_HZ as CHEST_RATES_HZ
from telemed_signal.respiration import Breathing, RespirationRate, fused

LEADS: Final = ("II", "V5", "V2", "I", "V1", "V4", "V3", "V6", "MLII")
"""In the order in which they are looked at: first those whose R wave is upright and tall in most hearts."""
LEADS_MOST: Final = 2
"""Fused: a second lead halves the errors of one, a third adds little (docs/signal.md)."""

OFF: Final = Quality(0.0, ("lead_off",), 0)

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Samples = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number of ours as known when the signal had reached ``sample``: in ``unit`` (UCUM), or None with reasons.

    ``window_s`` is what it was taken from, ``quality`` 0 to 1, ``source`` the lead or wave, ``reasons`` stable codes;
    with a value they are warnings (``cardiac``, ``low_perfusion``).
    """

    kind: str
    value: float | None
    unit: str
    sample: int
    window_s: float
    quality: float
    source: str
    reasons: tuple[str, ...] = ()


Event = Beat | Pulse | Numeric


class _Stream(ABC):
    """What all streams have in common: gaps, and the cut at whole seconds."""

    def __init__(self, rate_hz: float, channels: int) -> None:
        self.rate_hz = float(rate_hz)
        self._hold = GapHold(channels, rate_hz)

    def push(self, first_sample: int, samples: Samples) -> list[Event]:
        """The next block, (channels, n) integers whose dtype's minimum means missing; what it made certain, in order.

        Raises :class:`BlockShape`.
        """
        if samples.ndim != 2 or samples.shape[0] != self._hold.channels:
            raise BlockShape(f"{self._hold.channels} channels expected, block of shape {samples.shape}")
        events: list[Event] = []
        for start, stop, full in self._cuts(first_sample, samples.shape[1]):
            for piece in self._pieces(first_sample + start, samples[:, start:stop]):
                events += self._take(piece)
            if full:
                events += self._numbers(first_sample + stop)
        return events

    def _cuts(self, first: int, n: int) -> Iterator[tuple[int, int, bool]]:
        """The parts of a block up to each whole second in it."""
        start = 0
        while start < n:
            second = math.ceil((math.floor((first + start) / self.rate_hz) + 1) * self.rate_hz)
            if second <= first + start:  # a whole second between two samples
                second += math.ceil(self.rate_hz)
            stop = min(n, second - first)
            yield start, stop, first + stop == second
            start = stop

    def _pieces(self, first_sample: int, samples: Samples) -> Sequence[Piece]:
        if self._hold.follows(first_sample) and samples.min() != np.iinfo(samples.dtype).min:
            self._hold.passed(samples)
            shape = (samples.shape[1], samples.shape[0])
            whole = np.zeros(shape, np.bool_)
            return (Piece(first_sample, samples.T.astype(np.float64), whole, np.zeros(shape[1], np.bool_)),)
        return self._hold.push(first_sample, samples)

    @abstractmethod
    def _take(self, piece: Piece) -> Sequence[Event]:
        """Push a piece of the signal; the beats that it made certain."""

    @abstractmethod
    def _numbers(self, sample: int) -> Sequence[Numeric]:
        """What is known when the signal has reached a whole second."""


class EcgAnalysis(_Stream):
    """Beats of all the given leads together, and the heart rate while one of them is fit for it.

    ``names`` and ``mv`` are those of the leads, ``mv`` millivolts a count. From 500 samples a second the spikes of a
    pacemaker are taken out first (``pacing``), for which the signal is looked at :attr:`late` samples late; a beat's
    sample is where it was.
    """

    def __init__(self, rate_hz: float, names: Sequence[str], mv: Sequence[float]) -> None:
        super().__init__(rate_hz, len(names))
        self._names = tuple(names)
        self._mv = np.asarray(mv, dtype=np.float64)[:, np.newaxis]
        self._beats = FusedBeats(rate_hz, len(names))
        self._quality = [LeadQuality(rate_hz) for _ in names]
        self._rate = HeartRate(rate_hz)
        # Samples since each lead's last one; beyond the hold it is off.
        self._gone = np.full(len(names), self._hold.hold + 1, dtype=np.int64)
        self._next: int | None = None
        self._spikes = [SpikeFinder(rate_hz) for _ in names] if rate_hz >= PACING_HZ else []
        self.late = self._spikes[0].delay if self._spikes else 0
        # How many samples of each lead its finder still keeps before it gives the first one back; that one; whether
        # any lead that is on waits so.
        self._awaited = np.zeros(len(names), dtype=np.int64)
        self._first_mv = np.zeros(len(names))
        self._begins = False

    def _take(self, piece: Piece) -> list[Beat]:
        jumped = piece.first_sample != self._next
        self._next = piece.first_sample + len(piece.values)
        if jumped:  # nobody has seen the leads go
            self._gone[:] = self._hold.hold + 1
        if jumped or piece.restart.all():
            self._beats.reset(piece.first_sample - self.late)
            self._rate.reset()
        x = np.ascontiguousarray(piece.values.T) * self._mv
        for lead in np.flatnonzero(piece.restart):
            self._quality[lead].reset(piece.first_sample - self.late)
            if self._spikes:
                self._spikes[lead].reset(piece.first_sample)
                self._awaited[lead], self._first_mv[lead], self._begins = self.late, x[lead, 0], True
        found: list[Beat] = []
        for start, stop, on in self._switches(piece.missing):
            for part, there in self._unpaced(np.ascontiguousarray(x[:, start:stop]), on):
                found += self._beats.push(part, there.tolist())
                for lead in np.flatnonzero(on):
                    self._quality[lead].push(part[lead])
        self._rate.push(found)
        return found

    def _unpaced(self, x_mv: Array, on: Bools) -> Iterator[tuple[Array, Bools]]:
        """What is looked at instead of these samples: those ``late`` before, without spikes; and which leads have any.

        A lead that has just begun stands at its first sample until then: its quality counts seconds from there.
        """
        if not self._begins:
            for lead in np.flatnonzero(on) if self._spikes else ():
                self._spikes[lead].clear(x_mv[lead])
            yield x_mv, on
            return
        length = x_mv.shape[1]
        edges = {0, length, *(one for one in self._awaited[on].tolist() if one < length)}
        for start, stop in pairwise(sorted(edges)):
            there = on & (self._awaited == 0)
            part = np.ascontiguousarray(x_mv[:, start:stop])
            for lead in np.flatnonzero(on):
                self._spikes[lead].clear(part[lead])
                if not there[lead]:
                    part[lead] = self._first_mv[lead]
            self._awaited[on] = np.maximum(0, self._awaited[on] - (stop - start))
            yield part, there
        self._begins = bool(self._awaited[on].any())

    def _switches(self, missing: Bools) -> Iterator[tuple[int, int, Bools]]:
        """The parts of a piece in which the same leads are on."""
        length = len(missing)
        if not missing.any():
            self._gone[:] = 0
            yield 0, length, np.ones(len(self._names), np.bool_)
            return
        rows = np.arange(length)[:, np.newaxis]
        there = np.maximum.accumulate(np.where(missing, -1 - self._gone, rows), axis=0)
        gone = rows - there
        self._gone = np.minimum(gone[-1], self._hold.hold + 1)
        on = gone <= self._hold.hold
        edges = [0, *(np.flatnonzero((on[1:] != on[:-1]).any(axis=1)) + 1).tolist(), length]
        for start, stop in pairwise(edges):
            yield start, stop, on[start]

    def _numbers(self, sample: int) -> list[Numeric]:
        on = self._gone <= self._hold.hold
        verdicts = [quality.now() if here else OFF for quality, here in zip(self._quality, on, strict=True)]
        best = max(range(len(verdicts)), key=lambda lead: _index(verdicts[lead]))
        verdict, rate = verdicts[best], self._rate.at(sample)
        shown = verdict.shows_rate
        reasons = () if shown else verdict.reasons or ("noise",)
        if rate.reason is not None:
            reasons = (rate.reason, *reasons)
        value = float(rate.per_min) if shown and rate.per_min is not None else None
        quality, source = round(_index(verdict), 2), self._names[best]
        return [Numeric("heart_rate", value, "/min", sample, RATE_WINDOW_S, quality, source, reasons)]


class PlethAnalysis(_Stream):
    """Pulse beats, pulse rate, perfusion index where the wave has its constant part, and breathing from the pulse."""

    def __init__(self, rate_hz: float, *, has_dc: bool = False) -> None:
        super().__init__(rate_hz, 1)
        self._pleth = Pleth(rate_hz, has_dc=has_dc)
        self._breathing = PulseBreathing(rate_hz)

    def _take(self, piece: Piece) -> list[Pulse]:
        if piece.restart[0]:
            self._pleth.reset(piece.first_sample)
            self._breathing.reset()
        found = self._pleth.push(piece.values[:, 0])
        self._breathing.push(found)
        return found

    def _numbers(self, sample: int) -> list[Numeric]:
        rate, perfusion = self._pleth.rate(), self._pleth.perfusion()
        found = [
            Numeric("pulse_rate", rate.per_min, "/min", sample, rate.window_s, rate.quality, rate.source,
                    _reasons(rate.reason)),
            _breaths(self._breathing.at(sample), sample),
        ]  # fmt: skip
        if perfusion.reason != "no_dc":
            reasons = ("low_perfusion",) if perfusion.low else _reasons(perfusion.reason)
            found.append(Numeric("perfusion_index", perfusion.percent, "%", sample, perfusion.window_s,
                                 perfusion.quality, perfusion.source, reasons))  # fmt: skip
        return found


class ChestAnalysis(_Stream):
    """Respiration rate from the chest's impedance. ``heart_per_min`` may be told, to know its artefact."""

    heart_per_min: float | None = None

    def __init__(self, rate_hz: float) -> None:
        super().__init__(rate_hz, 1)
        self._chest = RespirationRate(rate_hz)

    def _take(self, piece: Piece) -> tuple[Event, ...]:
        if piece.restart[0]:
            self._chest.reset()
        self._chest.push(piece.values[:, 0])
        return ()

    def _numbers(self, sample: int) -> list[Numeric]:
        return [_breaths(self._chest.at_end(self.heart_per_min), sample)]


def chosen(names: Sequence[str]) -> list[int]:
    """The places of the leads that are looked at, at most ``LEADS_MOST``; unknown names come last, in their order."""
    known = [names.index(name) for name in LEADS if name in names]
    return [*known, *(at for at in range(len(names)) if at not in known)][:LEADS_MOST]


def supports(kind: str, rate_hz: float) -> bool:
    """Whether numbers are computed of such a stream."""
    rates = {"ecg": ECG_RATES_HZ, "pleth": PLETH_RATES_HZ, "respiration": CHEST_RATES_HZ}.get(kind)
    return rates is not None and rates[0] <= rate_hz <= rates[1]


def _index(verdict: Quality) -> float:
    return 0.0 if verdict.index is None else verdict.index


def _reasons(reason: str | None) -> tuple[str, ...]:
    return () if reason is None else (reason,)


def _breaths(found: Breathing, sample: int) -> Numeric:
    reasons = ("cardiac",) if found.cardiac else _reasons(found.reason)
    return Numeric(
        "respiration_rate", found.per_min, "/min", sample, found.window_s, found.quality, found.source, reasons)


def breathing(impedance: Numeric | None, pleth: Numeric | None) -> Numeric | None:
    """One respiration rate of what the chest and the pulse say, by the rule of ``respiration.fused``."""
    chest, pulse = (None if one is None else _breathing(one) for one in (impedance, pleth))
    newest = impedance or pleth
    return None if newest is None else _breaths(fused(chest, pulse), newest.sample)


def _breathing(number: Numeric) -> Breathing:
    cardiac = "cardiac" in number.reasons
    reason = None if cardiac or not number.reasons else number.reasons[0]
    return Breathing(number.value, reason, number.window_s, number.quality, number.source, None, cardiac)
