"""Pulls the devices, cuts their signals into chunks, and has every chunk on disk before anyone may send it.

A *generation* is one epoch of every stream, begun together: at the first tick, when the server asks (``renew``), and
at least hourly. What was measured before the renewal was asked for goes into the old epochs, what comes after into
the new ones, so no epoch spans two patients. When the spool is full nothing is recorded: the hole shows as a
jump of ``first_sample``, and the status says ``spool_full``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from telemed_devices.envelope import Chunk as Envelope
from telemed_devices.envelope import pack_chunk
from telemed_devices.native import Frame, FrameFlags, pack_frame

from telemed_station.clock import Clock
from telemed_station.drivers.driver import Driver, Signal, Value, Wave
from telemed_station.errors import SpoolFull
from telemed_station.spool_thread import SpoolThread
from telemed_station.spooled import Chunk, SpooledStream

TICK_S = 0.2  # one chunk of every wave
EPOCH_US = 3_600_000_000  # DESIGN.md D6: a new epoch at least hourly

log = structlog.get_logger("telemed.station.recorder")


@dataclass
class _Open:
    """A stream that is being recorded. ``base`` is the driver's index of the epoch's sample 0."""

    number: int
    base: int
    next_seq: int = 0
    next_sample: int = 0


def announcement(signal: Signal, epoch: uuid.UUID, attachment: str | None, started_us: int) -> dict[str, Any]:
    """The fields of an ``announce`` message's ``stream`` (docs/protocol.md section 4), without its number."""
    return {
        "device": signal.device,
        "kind": signal.kind,
        "epoch": str(epoch),
        "format": signal.format,
        "origin": signal.origin,
        "rate": list(signal.rate) if signal.rate else None,
        "channels": [
            {"name": channel.name, "unit": channel.unit, "gain": channel.gain, "offset": channel.offset}
            for channel in signal.channels
        ],
        "attachment": attachment,
        "started_us": started_us,
    }


class Recorder:
    """One driver's signals on their way to the spool.

    ``begun`` is told of every new generation and ``written`` of every durable chunk that is to be sent, in order.
    """

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        spool: SpoolThread,
        *,
        begun: Callable[[Sequence[SpooledStream]], None],
        written: Callable[[Sequence[Chunk]], None],
    ) -> None:
        self._driver = driver
        self._clock = clock
        self._spool = spool
        self._begun = begun
        self._written = written
        self._open: dict[str, _Open] = {}
        self._epoch_us = 0
        self._attachment: str | None = None
        self._one_at_a_time = asyncio.Lock()
        self._finished = False
        self.spool_full = False
        self.lost_chunks = 0

    @property
    def attachment(self) -> str | None:
        """Whose epochs these are."""
        return self._attachment

    @property
    def recording(self) -> bool:
        """Whether epochs have begun."""
        return bool(self._open)

    def records(self, number: int) -> bool:
        """Whether this is one of the streams being recorded now."""
        return any(stream.number == number for stream in self._open.values())

    async def tick(self) -> None:
        """Record everything measured until now; begin new epochs when the old ones are an hour old."""
        async with self._one_at_a_time:
            if not self._open and not await self._begin():
                self._driver.pull(self._clock.stamp_us())  # nowhere to keep it; the hole will show
                return
            await self._record(self._clock.stamp_us())
            if self._clock.stamp_us() - self._epoch_us >= EPOCH_US:
                await self._begin()

    async def renew(
        self, attachment: str | None = None, *, decide: Callable[[int], Awaitable[str | None]] | None = None
    ) -> None:
        """Record everything measured until now into the old epochs, then begin new ones with this attachment.

        ``decide`` is given the stamp of that moment and returns the attachment: every sample in the old epochs is of
        before it, every one in the new ones is not. What it raises is raised, and the old epochs go on.
        """
        async with self._one_at_a_time:
            now_us = self._clock.stamp_us()
            if self._open:
                await self._record(now_us)
            elif decide is not None:
                self._driver.pull(now_us)  # nowhere to keep it, and not the next one's
            self._attachment = attachment if decide is None else await decide(now_us)
            if not await self._begin():
                self._open = {}  # never a second patient in an epoch: better a hole

    async def finish(self) -> None:
        """Record everything measured until now, and let ``run`` return."""
        self._finished = True
        await self.tick()

    async def run(self) -> None:
        """Tick until ``finish``."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._finished:
            await self.tick()
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _begin(self) -> bool:
        """Begin new epochs; False when the spool is full: the old ones, if any, go on."""
        epoch = uuid.uuid4()
        now = self._clock.stamp_us()
        signals = self._driver.signals
        bases = {signal.kind: self._driver.sample_index(signal.kind) if signal.rate else 0 for signal in signals}
        started = {
            signal.kind: self._driver.stamp_of(signal.kind, bases[signal.kind]) if signal.rate else now
            for signal in signals
        }
        descriptors = [
            announcement(signal, epoch, self._attachment, started[signal.kind])
            | {"source": str(self._clock.source)}
            for signal in signals
        ]  # fmt: skip
        try:
            streams = await self._spool.begin(descriptors)
        except SpoolFull as error:
            self._full(error)
            return False
        self._open = {
            signal.kind: _Open(stream.number, bases[signal.kind])
            for signal, stream in zip(signals, streams, strict=True)
        }
        self._epoch_us = now
        log.info("epoch_begun", epoch=str(epoch), first_number=streams[0].number, attachment=self._attachment)
        self._begun(streams)
        return True

    async def _record(self, until_us: int) -> None:
        items = self._driver.pull(until_us)
        if not items:
            return
        packed: list[tuple[_Open, Wave | Value, Chunk]] = []
        ahead: dict[int, tuple[int, int]] = {}  # what next_seq and next_sample will be once written
        for item in items:
            stream = self._open[item.kind]
            seq, sample = ahead.get(stream.number, (stream.next_seq, stream.next_sample))
            data = self._pack(item, stream, seq, sample)
            if isinstance(item, Wave):
                sample = item.first_sample - stream.base + item.samples.shape[1]
            ahead[stream.number] = (seq + 1, sample)
            packed.append((stream, item, Chunk(stream.number, seq, data)))
        chunks = [chunk for _, _, chunk in packed]
        try:
            to_send = await self._spool.write(chunks)
        except SpoolFull as error:
            self._full(error)
            self.lost_chunks += len(chunks)
            return
        if self.spool_full:
            log.info("spool_has_room", lost_chunks=self.lost_chunks)
        self.spool_full = False
        for stream, _, _ in packed:
            stream.next_seq, stream.next_sample = ahead[stream.number]
        self._written(to_send)

    def _full(self, error: SpoolFull) -> None:
        if not self.spool_full:
            log.error("spool_full", **error.params)
        self.spool_full = True

    @staticmethod
    def _pack(item: Wave | Value, stream: _Open, seq: int, expected: int) -> bytes:
        if isinstance(item, Value):
            return pack_chunk(Envelope(stream.number, seq, item.t0_us, item.payload))
        first = item.first_sample - stream.base
        flags = item.off << 16 | (FrameFlags.GAP if first != expected else 0)
        return pack_frame(Frame(stream.number, seq, first, item.t0_us, item.samples, int(flags)))
