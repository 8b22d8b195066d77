"""What a publication sends of one kind: its layers, best first, how its packets are told apart. No I/O, no clock."""

from __future__ import annotations

import secrets

from telemed.media.relay.extensions import find_extension
from telemed.media.relay.fan import Fan
from telemed.media.relay.source import Source
from telemed.media.relay.viewer import Viewer
from telemed.media.terms import Stream

NUMBERS = 16  # SSRCs of one publisher that are remembered: layers, their repairs, and those before a change
SMOOTHING = 0.25  # of a layer's rate, a measure: two seconds at two measures a second


class Layers:
    """What a publication sends of one kind: its layers, best first, and how its packets are told apart."""

    def __init__(self, stream: Stream) -> None:
        self.kind = stream.kind
        origin, family = secrets.randbits(32), object()
        self.fans = [
            Fan(Source(stream.kind, stream.clock_hz, stream.nack, origin, family)) for _ in range(stream.layers)
        ]
        self.octets = [0] * len(self.fans)  # of payload, since the last measure
        self.bits_s = [0.0] * len(self.fans)  # that each layer carries
        self._measured_s: float | None = None
        self.waiting: dict[Viewer, Fan] = {}  # who gets it with the next packet, or the next whole picture
        self.adopt(stream)

    def adopt(self, stream: Stream) -> None:
        """Be sent by another publisher, who agreed on this; with fewer layers the last ones are silent."""
        self.stream = stream
        for fan in self.fans:
            fan.source.codec = stream.codec
        self.by_ssrc: dict[int, tuple[Fan, bool]] = {}  # and whether its packets are repeated ones (RTX)

    def find(self, packet: bytes, ssrc: int) -> tuple[Fan, bool] | None:
        """Whose packet this is. None for one that nobody can tell."""
        known = self.by_ssrc.get(ssrc)
        if known is not None:
            return known
        stream, repeated = self.stream, packet[1] & 0x7F == self.stream.rtx_payload_type
        at: int | None = 0
        if stream.ssrcs:
            at = next((number for number, pair in enumerate(stream.ssrcs) if pair[repeated] == ssrc), None)
        elif stream.rids:
            name = "repaired_rid" if repeated else "rid"
            number = stream.extensions.get(name)
            rid = find_extension(packet, number) if number is not None else None
            rids = [one.encode() for one in stream.rids]
            at = rids.index(rid) if rid in rids else None
        return None if at is None else (self.fans[min(at, len(self.fans) - 1)], repeated)

    def learn(self, ssrc: int, found: tuple[Fan, bool]) -> None:
        """Remember whose packets come under this SSRC; it was believed."""
        if len(self.by_ssrc) >= NUMBERS:
            self.by_ssrc.clear()
        self.by_ssrc[ssrc] = found

    def note(self, one: Fan, octets: int) -> None:
        """A packet of this layer has come."""
        self.octets[self.fans.index(one)] += octets

    def measure(self, now_s: float) -> None:
        """Work out what each layer carries since the last time, smoothed."""
        if self._measured_s is not None and now_s > self._measured_s:
            for at, octets in enumerate(self.octets):
                now_bits_s = 8 * octets / (now_s - self._measured_s)
                self.bits_s[at] += (now_bits_s - self.bits_s[at]) * SMOOTHING
        self.octets = [0] * len(self.fans)
        self._measured_s = now_s
