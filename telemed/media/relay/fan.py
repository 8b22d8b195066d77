"""Everybody who receives one source: what waits to be sent to all of them, and what was sent."""

from __future__ import annotations

from typing import Protocol

from telemed.media.backend import Sent
from telemed.media.relay.adapter import Keys
from telemed.media.relay.delivery import Delivery
from telemed.media.relay.fanout import Fanout, Group, Row, grouped
from telemed.media.relay.rtp import RtpPacket
from telemed.media.relay.source import Source

FEW = 6  # viewers, whom a packet reaches sooner one by one: arrays cost some 30 µs before the first (measured)


class Way(Protocol):
    """The way to a viewer. None for ``place`` while there is none."""

    def place(self) -> tuple[Keys, int, bytes] | None:
        """Keys, socket and the address as the kernel takes it."""

    def send_rtp(self, packet: bytes) -> bool:
        """Encrypt and send one packet; False when it was not sent."""


class Fan:
    """The deliveries of one source. ``packets`` and ``octets`` went to each of them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.packets = self.octets = 0
        self._waiting: list[RtpPacket] = []
        self._rows: dict[Delivery, tuple[Way, int, int]] = {}  # and what the fan had sent when it came
        self._groups: list[Group] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, delivery: object) -> bool:
        return delivery in self._rows

    @property
    def deliveries(self) -> list[Delivery]:
        """Who receives this source."""
        return list(self._rows)

    def add(self, delivery: Delivery, way: Way) -> None:
        """From the next packet on. The delivery has begun its span."""
        self._rows[delivery] = (way, self.packets, self.octets)
        self._groups = None

    def remove(self, delivery: Delivery, fanout: Fanout) -> Sent:
        """No more to this one, who gets what still waits first."""
        sent = self.flush(fanout)
        if delivery in self._rows:
            _, packets, octets = self._rows.pop(delivery)
            delivery.end(self.packets - packets, self.octets - octets)
            self._groups = None
        return sent

    def moved(self) -> None:
        """Somebody's address or keys changed."""
        self._groups = None

    def push(self, packet: RtpPacket) -> None:
        """Have the packet sent by the next :meth:`flush`."""
        self._waiting.append(packet)

    def flush(self, fanout: Fanout) -> Sent:
        """Send what waits to everybody."""
        sent = Sent()
        if not self._waiting:
            return sent
        packets, self._waiting = self._waiting, []
        self.packets += len(packets)
        self.octets += sum(len(packet.payload) for packet in packets)
        if len(self._rows) <= FEW:
            for packet in packets:
                self._to_each(packet, sent)
            return sent
        if self._groups is None:
            self._groups = grouped([row for row in map(self._row, self._rows) if row is not None])
        for group in self._groups:
            part = fanout.send(group, packets)
            sent.sent += part.sent
            sent.unsent += part.unsent
            sent.bytes += part.bytes
        return sent

    def late(self, packet: RtpPacket, unrolled: int) -> Sent:
        """A packet that came after later ones: to those alone whose span had begun before it."""
        sent = Sent()
        self._to_each(packet, sent, unrolled)
        self.packets += 1
        self.octets += len(packet.payload)
        return sent

    def _to_each(self, packet: RtpPacket, sent: Sent, unrolled: int | None = None) -> None:
        """Send the packet to one after the other; with its number only to those whose span had begun before it."""
        for delivery, (way, _, _) in self._rows.items():
            span = delivery.span
            if span is None or (unrolled is not None and unrolled < span.first):
                continue
            if way.send_rtp(delivery.rebuilt(span, packet)):
                sent.sent += 1
                sent.bytes += len(packet.payload)
            else:
                sent.unsent += 1

    def report(self, delivery: Delivery) -> bytes | None:
        """The delivery's sender report."""
        _, packets, octets = self._rows[delivery]
        return delivery.report(self.packets - packets, self.octets - octets)

    def _row(self, delivery: Delivery) -> Row | None:
        place, span = self._rows[delivery][0].place(), delivery.span
        if place is None or span is None:
            return None
        keys, descriptor, address = place
        return Row(
            delivery.payload_type, delivery.ssrc, span.offset, span.time_offset, keys, descriptor, address, span.shift
        )
