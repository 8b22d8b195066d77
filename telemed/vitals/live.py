"""One live stream: its samples in order, and the views of it that somebody watches.

The live lane takes each frame once and in order; what is late is stored and never filtered here. A view is
computed and encoded once, while it has watchers. ``raw`` is the samples as they came; ``monitor`` is the
causal filter of the kind (telemed_signal). Holes are bridged or restart the filter by the rule of
``telemed_signal.gaps``; each restart has a new ``describe``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from telemed_devices.native import Frame, FrameFlags, Samples, pack_frame
from telemed_signal.filters import MONITOR, FilterBank, FilterSpec, GapHold, Piece, Slot, quantise

from telemed.vitals.counters import GAPS
from telemed.vitals.watcher import Watcher, Wave

LEAD_OFF = 0xFFFF_0000  # flag bits 16-31 (protocol section 2)
GAP = int(FrameFlags.GAP)  # plain numbers: an enum's operators cost more than all else that a frame needs here
PROVISIONAL = int(FrameFlags.PROVISIONAL)


@dataclass(frozen=True, slots=True)
class Channel:
    """physical = sample x gain + offset, in ``unit``."""

    name: str
    unit: str
    gain: float
    offset: float

    def as_json(self) -> dict[str, Any]:
        """The channel as ``describe`` names it."""
        return {"name": self.name, "unit": self.unit, "gain": self.gain, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class StreamCard:
    """What everybody may know of a stream. ``rate`` is samples a second as a fraction, None for numbers."""

    id: int
    station_id: int
    attachment_id: UUID | None
    device: str
    kind: str
    origin: str
    rate: tuple[int, int] | None
    channels: tuple[Channel, ...]

    @property
    def rate_hz(self) -> float:
        """Samples a second; 0 for numbers."""
        return self.rate[0] / self.rate[1] if self.rate else 0.0

    @property
    def views(self) -> tuple[str, ...]:
        """The views that can be watched."""
        if self.rate is None:
            return ()
        spec = MONITOR.get(self.kind)
        return ("monitor", "raw") if spec is not None and spec.supports(self.rate_hz) else ("raw",)

    def sample_us(self, samples: int) -> int:
        """The time that so many samples take, in microseconds, rounded to the nearest."""
        num, den = self.rate or (1, 1)
        return (samples * den * 2_000_000 + num) // (2 * num)


def describe(
    card: StreamCard, view: int, name: str, first_sample: int, filter_: dict[str, Any] | None,
    starts: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """The ``describe`` message of a view. A filter takes the constant away, so its view has offset 0.

    ``starts`` are the samples at which each channel's filter started, where they are not all ``first_sample``.
    """
    channels = [channel.as_json() for channel in card.channels]
    if filter_ is not None:
        for at, channel in enumerate(channels):
            channel["offset"] = 0.0
            channel["first_sample"] = int(starts[at]) if starts is not None else first_sample
    return {
        "type": "describe", "view": view, "stream": card.id, "kind": card.kind, "name": name, "origin": card.origin,
        "channels": channels, "rate": list(card.rate or ()), "filter": filter_, "first_sample": first_sample,
    }


class View:
    """A stream as filtered for watching, or as it is."""

    def __init__(self, card: StreamCard, number: int, name: str, bank: FilterBank | None) -> None:
        self.card = card
        self.number = number
        self.name = name
        self.watchers: set[Watcher] = set()
        self.lane: tuple[FilterBank, Slot, GapHold] | None = None
        self._describe = ""
        self._starts: NDArray[np.int64] = np.zeros(len(card.channels), np.int64)
        self._filter: dict[str, Any] | None = None
        if bank is not None:
            self._filter = bank.spec.describe(card.rate_hz)
            self.lane = self._begun(bank)

    def _begun(self, bank: FilterBank) -> tuple[FilterBank, Slot, GapHold]:
        channels = len(self.card.channels)
        return bank, bank.open(channels), GapHold(channels, self.card.rate_hz)

    def restart(self) -> None:
        """Begin anew with the next frame."""
        self._describe = ""
        if self.lane is not None:
            bank, slot, _ = self.lane
            bank.close(slot)
            self.lane = self._begun(bank)

    def end(self) -> None:
        """Give back what the view held."""
        if self.lane is not None:
            bank, slot, _ = self.lane
            bank.close(slot)
            self.lane = None
        for watcher in self.watchers:
            watcher.forget(self.number)
        self.watchers.clear()

    def push(self, frame: Frame) -> None:
        """Take the next frame (server's stream id, consultation time) and give it to the watchers."""
        if self.lane is None:
            if not self._describe:
                self._tell(frame.first_sample)
            self._send(frame, frame.first_sample, frame.t0_us, frame.samples, frame.flags)
            return
        bank, slot, hold = self.lane
        if hold.follows(frame.first_sample) and (whole := bank.push_frame(slot, frame.samples)) is not None:
            hold.passed(frame.samples)
            if not self._describe:
                self._tell(frame.first_sample)
            self._send(frame, frame.first_sample, frame.t0_us, whole, frame.flags)
            return
        for piece in hold.push(frame.first_sample, frame.samples):
            if piece.restart.any():
                bank.reset(slot, piece.restart)
                self._starts[piece.restart] = piece.first_sample
                self._describe = ""
            self._show(frame, piece, bank.push({slot: piece.values})[slot])

    def _show(self, frame: Frame, piece: Piece, y: NDArray[np.float64]) -> None:
        if not self._describe:
            self._tell(piece.first_sample)
        skip = max(0, frame.first_sample - piece.first_sample)  # the bridged hole itself is not sent
        if skip >= y.shape[0]:
            return
        first = piece.first_sample + skip
        later = first > frame.first_sample
        self._send(
            frame, first, frame.t0_us + self.card.sample_us(first - frame.first_sample),
            quantise(y[skip:], piece.missing[skip:]), frame.flags & ~GAP if later else frame.flags,
        )

    def _tell(self, first_sample: int) -> None:
        starts = self._starts if self.lane is not None else None
        self._describe = json.dumps(
            describe(self.card, self.number, self.name, first_sample, self._filter, starts), ensure_ascii=False
        )

    def _send(self, frame: Frame, first_sample: int, t0_us: int, samples: Samples, flags: int) -> None:
        if not self.watchers:
            return
        shown = Frame(frame.stream, frame.seq, first_sample, t0_us, samples, flags, self.number)
        wave = Wave(self.number, self._describe, pack_frame(shown))
        for watcher in self.watchers:
            watcher.wave(wave)


class LiveStream:
    """The live lane of one stream and its watched views."""

    def __init__(
        self, card: StreamCard, bank_of: Callable[[FilterSpec, float], FilterBank], opened_us: int | None = None,
        source: UUID | None = None, started_us: int = 0,
    ) -> None:
        self.card = card
        self.source = source
        self.started_us = started_us
        self.live = True
        self.views: dict[str, View] = {}
        self.opened_us = opened_us
        self.cut_us: int | None = None
        self._bank_of = bank_of
        self._next: int | None = None
        self._broken = False

    def reconnect(self) -> None:
        """The station came back: what it did not send live is a gap."""
        self.live = True
        self._next = None
        self._broken = True
        for view in self.views.values():
            view.restart()

    def open_view(self, name: str, number: int) -> View:
        """The running view of this name; a new one takes ``number``."""
        view = self.views.get(name)
        if view is None:
            bank = self._bank_of(MONITOR[self.card.kind], self.card.rate_hz) if name == "monitor" else None
            view = self.views[name] = View(self.card, number, name, bank)
        return view

    def end(self) -> None:
        """No more samples, no more watchers."""
        self.live = False
        for view in self.views.values():
            view.end()
        self.views.clear()

    def cut(self, closed_us: int) -> None:
        """The attachment ended: nothing from then on is seen."""
        self.cut_us = closed_us if self.cut_us is None else min(self.cut_us, closed_us)

    def covers(self, at_us: int, error_us: int) -> bool:
        """Whether a time, known to ``error_us``, lies within the attachment."""
        begun = self.opened_us is None or at_us >= self.opened_us - error_us
        return begun and (self.cut_us is None or at_us < self.cut_us)

    def accept(self, frame: Frame, t0_us: int, error_us: int = 0) -> Frame | None:
        """Take the next frame of the lane; ``t0_us`` is its consultation time, known to ``error_us``.

        Returns the frame as seen live (None: late, or wholly before or after the attachment).
        """
        expected = self._next
        if expected is not None and frame.first_sample < expected:
            return None
        if self.opened_us is not None and t0_us < self.opened_us - error_us:
            skip = self._before(self.opened_us - error_us, t0_us, frame.n)
            if skip >= frame.n:
                return None
            if skip:
                t0_us += self.card.sample_us(skip)
                frame = replace(frame, samples=frame.samples[:, skip:], first_sample=frame.first_sample + skip)
        if self.cut_us is not None:
            keep = self._before(self.cut_us, t0_us, frame.n)
            if keep <= 0:
                return None
            if keep < frame.n:
                frame = replace(frame, samples=frame.samples[:, :keep])
        first_sample = frame.first_sample
        hole = self._broken or frame.gap or (expected is not None and first_sample != expected)
        self._next = first_sample + frame.n
        self._broken = False
        if hole:
            GAPS.inc()
        flags = frame.flags & LEAD_OFF | PROVISIONAL | (GAP if hole else 0)
        seen = Frame(self.card.id, frame.seq, first_sample, t0_us, frame.samples, flags)
        for view in self.views.values():
            view.push(seen)
        return seen

    def _before(self, cut_us: int, t0_us: int, n: int) -> int:
        num, den = self.card.rate or (1, 1)
        # Sample k is at t0 + k*den/num s; keep k while that is before the cut.
        return min(n, max(0, -(-(cut_us - t0_us) * num // (den * 1_000_000))))
