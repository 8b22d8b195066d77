"""One source as one viewer receives it: another header, the same payload. No I/O, no clock."""

from __future__ import annotations

import secrets
from dataclasses import replace

from telemed.media import rtp
from telemed.media.source import Source

# A receiver guesses the SRTP roll-over counter from the first packet it sees: start well below 2^15, or a
# packet sent before it may look like one from the round before (libwebrtc does the same). The lower bound
# leaves room for packets that arrive out of order.
FIRST_SEQUENCE = (1024, 30_000)
RESENDS_A_SECOND = 500  # for one viewer; three times what 720p sends
STEP_SECONDS = 1 / 30  # of the timestamp at least, where a source starts anew


class Delivery:
    """Header rewriting for one viewer of one source, and what was sent."""

    def __init__(self, source: Source, payload_type: int, ssrc: int, cname: str) -> None:
        self.source = source
        self.payload_type = payload_type
        self.ssrc = ssrc
        self.cname = cname
        self.packets = 0
        self.octets = 0
        self._generation = source.generation
        self._sequence_offset: int | None = None
        self._time_offset = secrets.randbits(32)
        self._last = (0, 0)  # sequence and timestamp last sent
        self._resend_second = 0
        self._resent = 0

    def packet(self, packet: rtp.RtpPacket) -> bytes:
        """The packet for this viewer, in plain bytes ready for SRTP."""
        if self._sequence_offset is None:
            low, high = FIRST_SEQUENCE
            self._sequence_offset = low + secrets.randbelow(high - low) - packet.sequence
        elif self._generation != self.source.generation:
            sequence, timestamp = self._last
            self._sequence_offset = sequence + 1 - packet.sequence
            pause_s = max(self.source.pause_s, STEP_SECONDS)
            self._time_offset = timestamp + int(self.source.clock_hz * pause_s) - packet.timestamp
        self._generation = self.source.generation
        self.packets += 1
        self.octets += len(packet.payload)
        sequence = (packet.sequence + self._sequence_offset) & 0xFFFF
        if (sequence - self._last[0]) & 0xFFFF < 0x8000 or self.packets == 1:
            self._last = (sequence, (packet.timestamp + self._time_offset) & 0xFFFFFFFF)
        return self._rebuilt(packet, sequence)

    def resent(self, sequence: int, now_s: float) -> bytes | None:
        """The packet sent to this viewer under ``sequence``, identical in every byte, or None.

        None when the ring has lost it, it is of before this viewer, or the viewer asks for too much.
        """
        if self._sequence_offset is None or self._generation != self.source.generation:
            return None
        if int(now_s) != self._resend_second:
            self._resend_second, self._resent = int(now_s), 0
        packet = self.source.find((sequence - self._sequence_offset) & 0xFFFF)
        if packet is None or self._resent >= RESENDS_A_SECOND:
            return None
        self._resent += 1
        return self._rebuilt(packet, sequence)

    def report(self) -> tuple[bytes, rtp.SenderReport] | None:
        """The source's sender report for this viewer, as SR + SDES, or None before there is one.

        The NTP stamp is the publisher's own; the RTP stamp is shifted as the packets are.
        """
        report = self.source.report
        if report is None or (self._sequence_offset is not None and self._generation != self.source.generation):
            return None
        shifted = replace(
            report,
            ssrc=self.ssrc,
            rtp=(report.rtp + self._time_offset) & 0xFFFFFFFF,
            packets=self.packets & 0xFFFFFFFF,
            octets=self.octets & 0xFFFFFFFF,
        )
        return rtp.sender_report(shifted) + rtp.source_description(self.ssrc, self.cname), shifted

    def _rebuilt(self, packet: rtp.RtpPacket, sequence: int) -> bytes:
        timestamp = (packet.timestamp + self._time_offset) & 0xFFFFFFFF
        return packet.rebuilt(self.payload_type, sequence, timestamp, self.ssrc)
