"""One publication's packets, from its publisher to each of its viewers.

Owns no socket: a leg is whatever has :class:`Way`. All of it runs in the one task of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from telemed.media.backend import Counts
from telemed.media.relay import rtp
from telemed.media.relay.extensions import audio_level, find_extension
from telemed.media.relay.fan import Fan
from telemed.media.relay.fanout import PAYLOAD_BYTES, Fanout
from telemed.media.relay.feedback import unwrap_rtx
from telemed.media.relay.keyframes import is_keyframe
from telemed.media.relay.layers import Layers
from telemed.media.relay.rtp import RtpPacket
from telemed.media.relay.source import Received, Source
from telemed.media.relay.tap import Tap
from telemed.media.relay.upstream import Upstream, Way
from telemed.media.relay.viewer import Viewer
from telemed.media.terms import Stream


class Forwarder:
    """A publication's sources and viewers. ``tell`` takes its events; ``touch`` is told of a fan that has packets
    waiting, which somebody flushes. ``media_s`` is when a media packet last came, by the loop's clock."""

    def __init__(
        self,
        publication: str,
        counts: Counts,
        fanout: Fanout,
        tell: Callable[[dict[str, Any]], None],
        touch: Callable[[Fan], None],
        way: Way,
        streams: tuple[Stream, ...],
    ) -> None:
        self.publication = publication
        self.counts = counts
        self.fanout = fanout
        self.layers = {stream.kind: Layers(stream) for stream in streams}
        self.viewers: dict[Viewer, None] = {}
        self.tap: Tap | None = None
        self._tell = tell
        self._touch = touch
        self.on_level: Callable[[int, float], None] | None = None  # told how loud a packet of sound is, dBov below 0
        self._upstream: Upstream | None = None
        self.begin(way, streams)

    @property
    def upstream(self) -> Upstream:
        """What the publisher of now is told."""
        assert self._upstream is not None  # noqa: S101  (``begin`` has run)
        return self._upstream

    @property
    def sources(self) -> list[Source]:
        """Of all kinds and layers."""
        return [one.source for layers in self.layers.values() for one in layers.fans]

    def begin(self, way: Way, streams: tuple[Stream, ...]) -> None:
        """Be sent by this publisher from now on, of the same kinds as the one before. Who watches stays."""
        for stream in streams:
            self.layers[stream.kind].adopt(stream)
        for source in self.sources:
            source.expect_another()
        pictures = [source for source in self.sources if source.kind == "video"]
        former, self._upstream = self._upstream, Upstream(way, streams, pictures, self.counts)
        if former is not None:
            self._upstream.video_bits_s = former.video_bits_s
            former.end()
        self.media_s = asyncio.get_running_loop().time()

    def join(self, viewer: Viewer) -> None:
        """The viewer is connected: packets from now on, sender reports as known, and a whole picture."""
        if viewer in self.viewers:
            return
        self.viewers[viewer] = None
        for kind in viewer.deliveries:
            if kind in self.layers and viewer.takes(kind, self.layers[kind].stream.codec):
                self.direct(viewer, kind)
        self.upstream.ask_keyframe(anew=True)

    def direct(self, viewer: Viewer, kind: str) -> None:
        """Give the viewer the layer that it should have: at once when it has had none, else at a whole picture."""
        layers, delivery = self.layers[kind], viewer.deliveries[kind]
        wanted = viewer.wanted(layers.fans, asyncio.get_running_loop().time())
        current = next((one for one in layers.fans if delivery in one), None)
        if wanted is None or wanted is current:
            layers.waiting.pop(viewer, None)
            if wanted is None and current is not None:
                self.counts.add(current.remove(delivery, self.fanout))
        elif delivery.span is None and wanted.source.generation > 0:
            layers.waiting.pop(viewer, None)
            delivery.begin(wanted.source, wanted.source.highest + 1, 0, 0.0)
            wanted.add(delivery, viewer.way)
            self._report_to(viewer, wanted, kind)
        elif layers.waiting.get(viewer) is not wanted:
            layers.waiting[viewer] = wanted
            self.upstream.ask_keyframe()

    def leave(self, viewer: Viewer) -> None:
        """No more packets to the viewer."""
        if self.viewers.pop(viewer, viewer) is viewer:
            return
        for kind, layers in self.layers.items():
            layers.waiting.pop(viewer, None)
            delivery = viewer.deliveries.get(kind)
            for one in layers.fans:
                if delivery is not None and delivery in one:
                    self.counts.add(one.remove(delivery, self.fanout))

    def moved(self, viewer: Viewer) -> None:
        """The viewer's address changed."""
        for layers in self.layers.values():
            for one in layers.fans:
                if viewer.deliveries.get(layers.kind) in one:
                    one.moved()

    def rtp(self, data: bytes) -> None:
        """A packet from the publisher, decrypted: to every viewer; what is missing before it is asked for."""
        if len(data) < 12:
            return
        now_s = asyncio.get_running_loop().time()
        payload_type, ssrc = data[1] & 0x7F, int.from_bytes(data[8:12], "big")
        for layers in self.layers.values():
            stream = layers.stream
            if payload_type in (stream.payload_type, stream.rtx_payload_type):
                break
        else:
            return
        try:
            self.upstream.note_arrival(stream.kind, data, now_s)
            if self.on_level is not None and "audio_level" in stream.extensions:
                value = find_extension(data, stream.extensions["audio_level"])
                if value is not None and len(value) == 1:
                    self.on_level(audio_level(value)[0], now_s)
            found = layers.find(data, ssrc)
            if found is None:
                return
            one, repeated = found
            if repeated:
                original = unwrap_rtx(data, stream.payload_type, one.source.ssrc or 0)
                if original is None or one.source.ssrc is None:
                    return
                data = original
            packet = rtp.parse_rtp(data)
        except rtp.PacketMalformed:
            return
        if not packet.payload or len(packet.payload) > PAYLOAD_BYTES:
            return  # padding alone, which probes the line; or more than any path carries
        self._received(layers, one, packet, data, now_s)
        if ssrc not in layers.by_ssrc and (repeated or one.source.ssrc == ssrc):
            layers.learn(ssrc, found)

    def _received(self, layers: Layers, one: Fan, packet: RtpPacket, data: bytes, now_s: float) -> None:
        source = one.source
        generation, before = source.generation, source.highest
        received = source.receive(packet, now_s)
        if received.packet is None:
            return
        self.media_s = now_s
        if source.generation != generation and self.viewers:
            self.upstream.ask_keyframe(anew=True)  # what it began with may have come before it was theirs
        self.counts.packets_in += 1
        layers.note(one, len(packet.payload))
        if layers.kind == "video":
            skipped = received.unrolled - before - 1 if source.generation == generation else 0
            self.upstream.note_picture(source, data, received, skipped, now_s)
            awaited = source in self.upstream.awaited and not received.late
            if awaited and is_keyframe(layers.stream.codec, packet.payload):
                self.upstream.note_keyframe(source)
        if layers.waiting and not received.late:
            received = self._let_in(layers, one, received, now_s)
        if self.tap is not None:
            self.tap.packet(layers, one, received, self.upstream, now_s)
        if len(one) and received.packet is not None:
            if received.late:
                self.counts.add(one.late(received.packet, received.unrolled))
            else:
                one.push(received.packet)
                self._touch(one)
        self.upstream.ask(source, received.ask)
        if received.keyframe_needed:
            self.upstream.ask_keyframe()

    def _let_in(self, layers: Layers, one: Fan, received: Received, now_s: float) -> Received:
        """Begin with this packet what waits for it: a first packet, or the first of a whole picture."""
        packet = received.packet
        if packet is None:
            return received
        whole = layers.kind == "audio" or is_keyframe(layers.stream.codec, packet.payload)
        for viewer, wanted in list(layers.waiting.items()):
            delivery = viewer.deliveries[layers.kind]
            if wanted is not one or not (whole or delivery.span is None):
                continue
            del layers.waiting[viewer]
            former = delivery.span.source if delivery.span is not None else None
            layer = former is not None and former is not one.source and former.family is one.source.family
            if layer and former is not None and not one.source.aligned and not len(one):
                packet = one.source.align(former, packet, received.unrolled, now_s)
            current = next((other for other in layers.fans if delivery in other), None)
            if current is not None:
                self.counts.add(current.remove(delivery, self.fanout))
            self.counts.add(one.flush(self.fanout))
            pause_s = now_s - former.heard_s if former is not None else 0.0
            delivery.begin(one.source, received.unrolled, packet.timestamp, pause_s, packet.payload)
            one.add(delivery, viewer.way)
            self._report_to(viewer, one, layers.kind)
        return Received(packet, received.unrolled, received.late, received.ask, received.keyframe_needed)

    def rtcp(self, data: bytes) -> None:
        """The publisher's sender reports, to every viewer and to the room."""
        try:
            messages = rtp.parse_rtcp(data)
        except rtp.PacketMalformed:
            return
        now_s = asyncio.get_running_loop().time()
        for message in messages:
            if not isinstance(message, rtp.SenderReport):
                continue
            for layers in self.layers.values():
                for one in layers.fans:
                    if one.source.note_report(message, now_s):
                        self._report(layers, one)

    def tick(self, now_s: float, *, reports: bool) -> None:
        """Tell the publisher what it needs to know now; with ``reports`` also how it is received."""
        self.upstream.arrivals(now_s)
        if self.tap is not None:
            self.tap.tick()
        for source in self.sources:
            self.upstream.ask(source, source.due(now_s))
        if reports:
            self.upstream.reports(self.sources, now_s)
            for layers in self.layers.values():
                layers.measure(now_s)
            for viewer in list(self.viewers):
                if viewer.judge(now_s):
                    self._tell({"event": "level", "leg": viewer.leg, "level": viewer.level})
                if "video" in viewer.deliveries and "video" in self.layers:
                    self.direct(viewer, "video")

    def _report(self, layers: Layers, one: Fan) -> None:
        report = one.source.report
        if report is None:
            return
        for viewer in self.viewers:
            if viewer.deliveries.get(layers.kind) in one:
                self._report_to(viewer, one, layers.kind)
        if one is layers.fans[0] or one.source.aligned:
            self._tell(
                {
                    "event": "sender_report", "publication": self.publication, "kind": layers.kind,
                    "ntp_ms": rtp.unix_ms(report.ntp), "rtp": report.rtp,
                }
            )  # fmt: skip

    def _report_to(self, viewer: Viewer, one: Fan, kind: str) -> None:
        report = one.report(viewer.deliveries[kind])
        if report is not None:
            viewer.way.send_rtcp(report)
            viewer.reported(one.source.report, asyncio.get_running_loop().time())
