"""Somebody who watches: a delivery for each kind taken, and the feedback that comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from telemed.media.backend import Counts
from telemed.media.relay import rtp
from telemed.media.relay.congestion import Downlink, Level
from telemed.media.relay.delivery import Delivery, Rtx
from telemed.media.relay.feedback import compound, parse_remb, parse_report_blocks
from telemed.media.terms import Ground, Stream

if TYPE_CHECKING:
    from telemed.media.relay.fan import Fan
    from telemed.media.relay.forwarder import Forwarder
    from telemed.media.relay.upstream import Way


HIGH_BITS_S = 1_500_000  # of a first layer before it was measured
LATEST = 8  # sender reports remembered, to tell the round trip by the one that is answered


class Viewer:
    """One leg that receives. ``forwarder`` is what it plays now, None for nothing; ``level`` what of the picture its
    line carries, of which it gets ``most`` at most."""

    def __init__(
        self, leg: str, forwarder: Forwarder | None, way: Way, streams: tuple[Stream, ...], ground: Ground,
        most: Level = "high",
    ) -> None:
        self.leg = leg
        self.forwarder = forwarder
        self.way = way
        self.deliveries: dict[str, Delivery] = {}
        self.most = most
        self.level: Level = "high"
        self._downlink = Downlink(HIGH_BITS_S, None)
        self._reported: dict[int, float] = {}  # middle of a report's NTP time -> when it was sent
        self._codecs = {stream.kind: stream.codec for stream in streams}
        for stream in streams:
            ssrc, rtx_ssrc = ground.ssrcs[stream.kind]
            rtx = None
            if rtx_ssrc is not None and stream.rtx_payload_type is not None:
                rtx = Rtx(stream.rtx_payload_type, rtx_ssrc)
            self.deliveries[stream.kind] = Delivery(stream.kind, stream.payload_type, ssrc, ground.cname, rtx)

    def wanted(self, fans: list[Fan], now_s: float) -> Fan | None:
        """Which of a kind's layers, best first, it should have now; None for none."""
        if fans[0].source.kind == "video" and self.level == "paused":
            return None
        there = [one for one in fans if one.source.steady(now_s)]
        there = there or [one for one in fans if one.source.generation > 0] or fans[:1]
        return there[-1] if "low" in (self.level, self.most) else there[0]

    def takes(self, kind: str, codec: str) -> bool:
        """Whether it can play this kind when it is of this codec."""
        return self._codecs.get(kind) == codec

    def reported(self, report: rtp.SenderReport | None, now_s: float) -> None:
        """A sender report went out."""
        if report is not None:
            self._reported[report.ntp >> 16 & 0xFFFFFFFF] = now_s
            while len(self._reported) > LATEST:
                del self._reported[next(iter(self._reported))]

    def judge(self, now_s: float) -> bool:
        """Look what the line carries; True when ``level`` has changed."""
        layers = self.forwarder.layers.get("video") if self.forwarder is not None else None
        if layers is None or "video" not in self.deliveries:
            return False
        rates = [round(bits_s) for bits_s in layers.bits_s if bits_s > 0]
        self._downlink.high_bits_s = rates[0] if rates else HIGH_BITS_S
        self._downlink.low_bits_s = rates[-1] if len(rates) > 1 else None
        before, self.level = self.level, self._downlink.level(now_s)
        return before != self.level

    def rtcp(self, data: bytes) -> None:
        """Serve a viewer's feedback: resend what it misses, pass on that it needs a whole picture."""
        try:
            messages = rtp.parse_rtcp(data)
            self._note_line(data)
        except rtp.PacketMalformed:
            return
        if self.forwarder is None:
            return
        deliveries = {delivery.ssrc: delivery for delivery in self.deliveries.values()}
        for message in messages:
            delivery = deliveries.get(message.ssrc)
            if delivery is None:
                continue
            if isinstance(message, rtp.KeyframeRequest):
                self.forwarder.upstream.ask_keyframe()
            elif isinstance(message, rtp.Nack):
                self._resend(delivery, message.sequences, self.forwarder.counts)

    def _resend(self, delivery: Delivery, sequences: tuple[int, ...], counts: Counts) -> None:
        now_s = asyncio.get_running_loop().time()
        for sequence in sequences:
            counts.nacks_received += 1
            packet = delivery.resent(sequence, now_s)
            if packet is not None and self.way.send_rtp(packet):
                counts.packets_resent += 1

    def _note_line(self, data: bytes) -> None:
        """What the viewer says of its line: the share lost, the round trip, what it believes there is room for."""
        now_s = asyncio.get_running_loop().time()
        weighed = self.deliveries.get("video" if self.level != "paused" else "audio")
        for kind, count, body in compound(data):
            if kind in (rtp.SR, rtp.RR):
                for block in parse_report_blocks(kind, count, body):
                    if weighed is not None and block.ssrc == weighed.ssrc:
                        self._downlink.note_report(now_s, block.fraction_lost, self._round_trip_s(block, now_s))
            elif kind == rtp.PSFB and count == rtp.APPLICATION_FMT:
                bound = parse_remb(body)
                if bound is not None:
                    self._downlink.note_bound(now_s, bound[0])

    def _round_trip_s(self, block: rtp.ReportBlock, now_s: float) -> float | None:
        """RFC 3550 section 6.4.1, with our own memory of when the report went out: its NTP time is the publisher's."""
        sent_s = self._reported.get(block.last_sr)
        return None if sent_s is None else max(0.0, now_s - sent_s - block.since_sr / 65_536)
