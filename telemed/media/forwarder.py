"""One publication's packets, from its publisher to each of its viewers; feedback the other way.

Owns no socket: a leg is whatever has :class:`Way`. All of it runs in the one task of the event loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from telemed.media import rtp
from telemed.media.delivery import Delivery
from telemed.media.offer import MediaSection
from telemed.media.source import Source

KEYFRAME_EVERY_SECONDS = 1.0  # requests to one publisher; a keyframe of 720p is 30 packets
KEYFRAMES_TOGETHER = 3  # in as many seconds, but at once, for people who come together: nobody waits for another's
VIDEO_BITS_A_SECOND = 1_500_000  # what a publisher is told it may send: 720p at 30 a second


class Way(Protocol):
    """The way to a peer: plain packets in, False when one was not sent."""

    def send_rtp(self, packet: bytes) -> bool:
        """Send one RTP packet."""

    def send_rtcp(self, packet: bytes) -> bool:
        """Send one compound RTCP packet."""


@dataclass(slots=True)
class Counts:
    """What all forwarders of a backend counted since start."""

    packets_in: int = 0
    packets_out: int = 0
    packets_unsent: int = 0
    bytes_out: int = 0
    nacks_received: int = 0
    packets_resent: int = 0
    nacks_sent: int = 0
    keyframes_asked: int = 0
    datagrams_refused: int = 0

    def refused(self) -> None:
        """Count a datagram that a leg's gate turned away."""
        self.datagrams_refused += 1


class Viewer:
    """One WHEP session: a delivery for each kind it takes."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self.way: Way | None = None
        self.deliveries: dict[str, Delivery] = {}

    def begin(self, way: Way, sections: tuple[MediaSection, ...]) -> None:
        """Take the kinds of these sections, which are the answer's that send."""
        self.way = way
        for section in sections:
            if section.ssrc is not None:
                source = self._forwarder.sources[section.kind]
                payload_type = section.codecs[0].payload_type
                self.deliveries[section.kind] = Delivery(source, payload_type, section.ssrc, section.cname)

    def rtcp(self, data: bytes) -> None:
        """Serve a viewer's feedback: resend what it misses, pass on that it needs a whole picture."""
        try:
            messages = rtp.parse_rtcp(data)
        except rtp.PacketMalformed:
            return
        deliveries = {delivery.ssrc: delivery for delivery in self.deliveries.values()}
        for message in messages:
            delivery = deliveries.get(message.ssrc)
            if delivery is None:
                continue
            if isinstance(message, rtp.KeyframeRequest):
                self._forwarder.ask_keyframe()
            elif isinstance(message, rtp.Nack):
                self._resend(delivery, message.sequences)

    def _resend(self, delivery: Delivery, sequences: tuple[int, ...]) -> None:
        counts = self._forwarder.counts
        now_s = asyncio.get_running_loop().time()
        for sequence in sequences:
            counts.nacks_received += 1
            packet = delivery.resent(sequence, now_s)
            if packet is not None and self.way is not None and self.way.send_rtp(packet):
                counts.packets_resent += 1


class Forwarder:
    """A publication's sources and viewers. ``tell`` takes the events for the room."""

    def __init__(self, publication_id: str, counts: Counts, tell: Callable[[dict[str, Any]], None]) -> None:
        self.publication_id = publication_id
        self.counts = counts
        self.sources: dict[str, Source] = {}
        self.viewers: list[Viewer] = []
        self.media_s = 0.0  # when a media packet last came, by the loop's clock
        self._tell = tell
        self._way: Way | None = None
        self._by_payload_type: dict[int, Source] = {}
        self._ssrc = secrets.randbits(32) | 1  # under which we report to the publisher; never 0
        self._keyframes_s = deque([float("-inf")] * KEYFRAMES_TOGETHER, KEYFRAMES_TOGETHER)
        self._keyframe_later: asyncio.TimerHandle | None = None

    def begin(self, way: Way, sections: tuple[MediaSection, ...]) -> None:
        """Take the kinds of these sections, which are the answer's that receive."""
        self._way = way
        self.media_s = asyncio.get_running_loop().time()
        for section in sections:
            codec = section.codecs[0]
            source = Source(section.kind, codec.clock_hz, repaired=section.kind == "video")
            self.sources[section.kind] = self._by_payload_type[codec.payload_type] = source

    def take_over(self, former: Forwarder) -> bool:
        """Give the publisher of this one to ``former``, whose viewers and sources stay; this one has none afterwards.

        False when the two do not have the same kinds.
        """
        if self.sources.keys() != former.sources.keys():
            return False
        former._way, self._way = self._way, None
        former._by_payload_type = {
            number: former.sources[source.kind] for number, source in self._by_payload_type.items()
        }
        for source in former.sources.values():
            source.expect_another()
        self._by_payload_type = {}
        former.media_s = asyncio.get_running_loop().time()
        return True

    def end(self) -> None:
        """Send nothing more upstream."""
        self._way = None
        if self._keyframe_later is not None:
            self._keyframe_later.cancel()

    def join(self, viewer: Viewer) -> None:
        """The viewer is connected: packets from now on, sender reports as known, and a whole picture."""
        if viewer not in self.viewers:
            self.viewers.append(viewer)
            for kind in viewer.deliveries:
                self._report_to(viewer, kind)
            self.ask_keyframe(anew=True)

    def leave(self, viewer: Viewer) -> None:
        """No more packets to the viewer."""
        if viewer in self.viewers:
            self.viewers.remove(viewer)

    def rtp(self, data: bytes) -> None:
        """A packet from the publisher, decrypted: to every viewer; what is missing before it is asked for."""
        try:
            packet = rtp.parse_rtp(data)
        except rtp.PacketMalformed:
            return
        source = self._by_payload_type.get(packet.payload_type)
        if source is None:
            return
        self.media_s = now_s = asyncio.get_running_loop().time()
        generation = source.generation
        received = source.receive(packet, now_s)
        if not received.fresh:
            return
        if source.generation != generation and self.viewers:
            self.ask_keyframe(anew=True)  # what it began with may have come before it was theirs
        self.counts.packets_in += 1
        for viewer in self.viewers:
            delivery = viewer.deliveries.get(source.kind)
            if delivery is not None and viewer.way is not None:
                if viewer.way.send_rtp(delivery.packet(packet)):
                    self.counts.packets_out += 1
                    self.counts.bytes_out += len(packet.payload)
                else:
                    self.counts.packets_unsent += 1
        if received.ask:
            self.counts.nacks_sent += len(received.ask)
            self._upstream(rtp.nack(self._ssrc, packet.ssrc, list(received.ask)))
        if received.keyframe_needed:
            self.ask_keyframe()

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
            for source in self.sources.values():
                if source.note_report(message, now_s):
                    for viewer in self.viewers:
                        self._report_to(viewer, source.kind)

    def feedback(self, now_s: float) -> None:
        """Reception reports, and how much the publisher may send, which a browser needs to reach its rate."""
        blocks = [block for source in self.sources.values() if (block := source.block(now_s)) is not None]
        if not blocks or self._way is None:
            return
        compound = rtp.receiver_report(self._ssrc, blocks)
        video = self.sources.get("video")
        if video is not None and video.ssrc is not None:
            compound += rtp.bitrate_bound(self._ssrc, VIDEO_BITS_A_SECOND, [video.ssrc])
        self._way.send_rtcp(compound)

    def ask_keyframe(self, *, anew: bool = False) -> None:
        """Ask for a whole picture: now, or when ``KEYFRAME_EVERY_SECONDS`` have passed since the last time.

        Somebody who sees this source ``anew`` waits only when ``KEYFRAMES_TOGETHER`` have been asked for lately.
        """
        video = self.sources.get("video")
        if video is None or video.ssrc is None or self._way is None:
            return
        loop = asyncio.get_running_loop()
        wait = self._keyframes_s[-1] + KEYFRAME_EVERY_SECONDS - loop.time()
        if anew:
            wait = min(wait, self._keyframes_s[0] + KEYFRAMES_TOGETHER * KEYFRAME_EVERY_SECONDS - loop.time())
        if wait <= 0:
            self._send_keyframe_request()
        elif self._keyframe_later is None:
            self._keyframe_later = loop.call_later(wait, self._send_keyframe_request)

    def _send_keyframe_request(self) -> None:
        if self._keyframe_later is not None:
            self._keyframe_later.cancel()
            self._keyframe_later = None
        self._keyframes_s.append(asyncio.get_running_loop().time())
        video = self.sources["video"]
        if video.ssrc is not None:
            self.counts.keyframes_asked += 1
            self._upstream(rtp.picture_loss(self._ssrc, video.ssrc))

    def _upstream(self, message: bytes) -> None:
        if self._way is not None:
            self._way.send_rtcp(rtp.receiver_report(self._ssrc, []) + message)

    def _report_to(self, viewer: Viewer, kind: str) -> None:
        delivery = viewer.deliveries.get(kind)
        report = delivery.report() if delivery is not None else None
        if report is None or viewer.way is None:
            return
        packet, shifted = report
        viewer.way.send_rtcp(packet)
        self._tell(
            {
                "type": "sender_report",
                "publication": self.publication_id,
                "kind": kind,
                "ssrc": shifted.ssrc,
                "ntp_ms": rtp.unix_ms(shifted.ntp),
                "rtp": shifted.rtp,
            }
        )
