"""The announced streams of one uplink connection: every check of a chunk, and its two lanes.

Chunks with ``seq`` from ``live_from`` on are live: each is shown once and in order. Lower ones are backlog and
only stored. Nothing here waits; what fails is a refusal with a stable code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from telemed_devices import envelope, native
from telemed_devices.envelope import Chunk, unpack_chunk
from telemed_devices.gatt import decode
from telemed_devices.native import Frame, unpack_frame

from telemed.audit import Actor
from telemed.errors import TelemedError
from telemed.vitals.clock import STAMP_MAX, Fix, server_us
from telemed.vitals.commit import Pending, Shelf
from telemed.vitals.counters import CHUNKS, DEVICE_FAULTS
from telemed.vitals.durable import Durable
from telemed.vitals.faults import (
    FrameDisagrees,
    FrameFormat,
    FrameSequence,
    FrameTime,
    StreamUnknown,
    TooManyHoles,
)
from telemed.vitals.hub import Hub
from telemed.vitals.live import LiveStream
from telemed.vitals.messages import SAMPLE_MAX, SEQ_MAX
from telemed.vitals.numbers import stored_readings
from telemed.vitals.streams import OpenedStream

MESSAGE_BYTES: Final = native.MAX_UPLINK_BYTES  # of one binary message; a chunk envelope's header is shorter
LANES_MAX: Final = 1024  # streams of one connection: a week of hourly epochs of six; the longest unused goes
FUTURE_US: Final = 60_000_000  # a clock fix is off by its round trip at most, which is far less
BEFORE_US: Final = 60_000_000  # a first sample may precede the stream's start by a device's own buffer
DECODER: Final = "telemed_devices.gatt 1"

NATIVE: Final = CHUNKS.labels("native")

Acknowledge = Callable[["Lane", Sequence[int]], None]
Refuse = Callable[[TelemedError, int, int], None]


@dataclass(slots=True)
class Lane:
    """One announced stream of a connection. It is also the receipt of its chunks."""

    number: int
    opened: OpenedStream
    live_from: int
    durable: Durable
    shown: LiveStream | None
    fix: Fix | None  # the stored one, until the connection's own source has answered
    foreign: bool  # stamped by another run than this connection's: its own fix alone counts
    acknowledge: Acknowledge
    refuse: Refuse
    shelf: Shelf = field(init=False)
    last_seq: int = -1  # of the live lane
    next_sample: int = 0  # of the live lane

    def offset(self, fix: Fix | None) -> Fix | None:
        """The fix that holds for this lane; ``fix`` is the connection's newest."""
        return self.fix if self.foreign or fix is None else fix

    def place(self, actor: Actor, organisation_id: UUID) -> None:
        """Make the shelf on which the chunks are put."""
        self.shelf = Shelf(self.opened.card.id, self.opened.born, self.opened.key, actor, organisation_id, self)

    def committed(self, seqs: Sequence[int]) -> None:
        """Some chunks are durable."""
        self.durable.update(seqs)
        self.acknowledge(self, seqs)

    def refused(self, seq: int, error: TelemedError) -> None:
        """A chunk was refused by what is stored already."""
        self.refuse(error, self.number, seq)


class Lanes:
    """The announced streams by the station's number, the longest unused forgotten beyond ``LANES_MAX``."""

    __slots__ = ("_hub", "_lanes")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lanes: dict[int, Lane] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(tuple(self._lanes.values()))

    def add(self, lane: Lane) -> None:
        """Take an announced stream; an earlier announce of the number is replaced."""
        self._lanes.pop(lane.number, None)
        self._lanes[lane.number] = lane
        while len(self._lanes) > LANES_MAX:
            gone = self._lanes.pop(next(iter(self._lanes)))
            if gone.shown is not None:
                self._hub.forget(gone.shown)

    def take(self, data: bytes, fix: Fix | None) -> Pending:
        """Check one binary message and show what is live. ``fix`` is the connection's own source's.

        Raises ``FrameError`` (not a frame), ``StreamUnknown``, ``FrameFormat``, ``FrameDisagrees``,
        ``FrameSequence``, ``FrameTime``, ``TooManyHoles``.
        """
        if data[:4] == envelope.MAGIC:
            return self._chunk(unpack_chunk(data), data, fix)
        return self._frame(unpack_frame(data, uplink=True), data, fix)

    def _frame(self, frame: Frame, data: bytes, fix: Fix | None) -> Pending:
        lane = self._lane(frame.stream, "native")
        if frame.channels != len(lane.opened.card.channels):
            raise FrameDisagrees(channels=frame.channels)
        if frame.first_sample + frame.n > SAMPLE_MAX:
            raise FrameSequence()
        known = self._check(lane, frame.seq, frame.t0_us, frame.n, fix)
        if frame.seq >= lane.live_from and frame.seq > lane.last_seq:
            if frame.first_sample < lane.next_sample:
                raise FrameSequence()
            lane.last_seq, lane.next_sample = frame.seq, frame.first_sample + frame.n
            if lane.shown is not None:
                self._hub.samples(lane.shown, frame, frame.t0_us + known.offset_us, known.error_us)
        NATIVE.inc()
        return Pending(lane.shelf, frame.seq, frame.t0_us, frame.first_sample, frame.n, data,
                       again=frame.seq in lane.durable)

    def _chunk(self, chunk: Chunk, data: bytes, fix: Fix | None) -> Pending:
        lane = self._lane(chunk.stream, "")
        known = self._check(lane, chunk.seq, chunk.t0_us, 0, fix)
        decoded = decode(lane.opened.format, chunk.payload)
        for fault in decoded.faults:
            DEVICE_FAULTS.labels(fault.code).inc()
        if chunk.seq >= lane.live_from and chunk.seq > lane.last_seq:
            lane.last_seq = chunk.seq
            if lane.shown is not None:
                for reading in decoded.readings:
                    self._hub.reading(lane.shown, reading, chunk.t0_us + known.offset_us, known.error_us)
        CHUNKS.labels(lane.opened.format).inc()
        return Pending(lane.shelf, chunk.seq, chunk.t0_us, None, None, data, stored_readings(decoded), DECODER,
                       again=chunk.seq in lane.durable)

    def _lane(self, number: int, format_: str) -> Lane:
        lane = self._lanes.pop(number, None)
        if lane is None:
            raise StreamUnknown(stream=number)
        self._lanes[number] = lane
        if (lane.opened.format == "native") != (format_ == "native"):
            raise FrameFormat(format=lane.opened.format)
        return lane

    def _check(self, lane: Lane, seq: int, t0_us: int, n: int, fix: Fix | None) -> Fix:
        """Check number and time; return what leads from stamp to consultation time."""
        if seq > SEQ_MAX:
            raise FrameSequence()
        if not lane.durable.may_take(seq):
            raise TooManyHoles()
        known = lane.offset(fix)
        if not lane.opened.started_us - BEFORE_US <= t0_us < STAMP_MAX:
            raise FrameTime()
        now_us = server_us()
        if known is not None and t0_us + known.offset_us > now_us + FUTURE_US + known.error_us:
            raise FrameTime()
        # Before the first answer, arrival stands for the time of the last sample.
        return known or Fix(now_us, now_us - t0_us - lane.opened.card.sample_us(n), 0)


def where(data: bytes) -> tuple[int | None, int | None]:
    """Stream and seq as a refused message names them, when it is long enough to (both layouts agree)."""
    if len(data) < 24 or data[:4] not in (native.MAGIC, envelope.MAGIC):
        return None, None
    return int.from_bytes(data[8:12], "little"), int.from_bytes(data[16:24], "little")
