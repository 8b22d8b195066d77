"""A tap on a publication: what comes in of it, of the best layer, for whoever records it. Never waits, never blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from telemed.media.recording import tapped
from telemed.media.relay.keyframes import is_keyframe
from telemed.media.relay.source import SILENT_SECONDS, Received

if TYPE_CHECKING:
    from telemed.media.relay.fan import Fan
    from telemed.media.relay.layers import Layers
    from telemed.media.relay.upstream import Upstream

MESSAGE_BYTES = 65_536  # of a message; it goes then, or at the relay's second tick
TICKS = 2  # of 100 ms: each message wakes the server up


class Tap:
    """Gathers packets into messages, each given to ``send``. ``number`` is what the server calls it."""

    def __init__(self, number: int, send: Callable[[bytes], None]) -> None:
        self.number = number
        self._send = send
        self._head = tapped.head(number)
        self._waiting: list[bytes] = [self._head]
        self._size = self._ticks = 0
        self._taken: dict[str, Fan] = {}  # by kind: the layer that is handed over
        self._reports: dict[Fan, object] = {}  # the last report of each layer that was handed over

    def packet(self, layers: Layers, one: Fan, received: Received, upstream: Upstream, now_s: float) -> None:
        """A fresh packet came of this layer: hand it over when the layer is the one."""
        packet = received.packet
        if packet is None or not self._follows(layers, one, received, upstream, now_s):
            return
        stream, source = layers.stream, one.source
        codec, layer = tapped.CODECS.index(stream.codec), layers.fans.index(one)
        report = source.report
        if report is not None and self._reports.get(one) is not report:
            self._reports[one] = report
            self._add(tapped.report_record(codec, layer, report.ntp, report.rtp))
        record = tapped.packet_record(
            codec, layer, packet.marker, received.unrolled, packet.timestamp, time.time_ns() // 1000
        )
        self._add(record, packet.payload)

    def tick(self) -> None:
        """The relay ticked."""
        self._ticks += 1
        if self._ticks % TICKS == 0:
            self.flush()

    def flush(self) -> None:
        """Hand over what was gathered."""
        if self._size:
            message = b"".join(self._waiting)
            self._waiting, self._size = [self._head], 0
            self._send(message)

    def _follows(self, layers: Layers, one: Fan, received: Received, upstream: Upstream, now_s: float) -> bool:
        """Whether this layer is handed over. Another one is begun with a whole picture, of which it is asked."""
        taken = self._taken.get(layers.kind)
        if taken is one:
            return True
        if taken is not None:
            better = layers.fans.index(one) < layers.fans.index(taken) and one.source.steady(now_s)
            if not better and now_s - taken.source.heard_s <= SILENT_SECONDS:
                return False
        packet = received.packet
        whole = layers.kind == "audio" or (packet is not None and is_keyframe(layers.stream.codec, packet.payload))
        if not whole or received.late:
            if taken is not None or not layers.fans.index(one):
                upstream.ask_keyframe()
            return False
        self._taken[layers.kind] = one
        return True

    def _add(self, record: bytes, payload: bytes = b"") -> None:
        size = len(record) + len(payload)
        self._waiting += (tapped.length(size), record, payload)
        self._size += size
        if self._size >= MESSAGE_BYTES:
            self.flush()
