"""One received stream: its last packets for resending, its gaps, its reception statistics. No I/O, no clock.

Sequence numbers are unrolled to integers that do not wrap; ``now_s`` is any steady clock in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from telemed.media.rtp import ReportBlock, RtpPacket, SenderReport

RING = 1024  # packets kept for resending: 6 s of 720p at 160 packets/s, and the SRTP replay window
GAP_MAX = 256  # missing packets asked for one by one; a longer hole asks for a whole picture instead
ASK_AGAIN_SECONDS = 0.1  # 1.5 round trips of a slow regional line
ASKED_AT_MOST = 3  # requests for one packet; after that the picture has moved on
TAKEOVER_SECONDS = 1.0  # another SSRC is believed once the known one has been silent this long
REPORT_EVERY_SECONDS = 0.2  # sender reports taken; faster ones are passed over (browsers send one a second)


@dataclass(frozen=True, slots=True)
class Received:
    """What a packet meant: ``fresh`` is to be forwarded, ``ask`` are sequence numbers to NACK now."""

    fresh: bool
    ask: tuple[int, ...] = ()
    keyframe_needed: bool = False


STALE = Received(False)


class Source:
    """The receiving side of one kind of one publication.

    ``generation`` grows when the publisher changes its SSRC: sequence and time then start anew, ``pause_s`` seconds
    after the last packet before.
    """

    def __init__(self, kind: str, clock_hz: int, repaired: bool) -> None:
        self.kind = kind
        self.clock_hz = clock_hz
        self.repaired = repaired  # whether lost packets are asked for again
        self.ssrc: int | None = None
        self.generation = 0
        self.pause_s = 0.0
        self.report: SenderReport | None = None
        self._heard_s = 0.0
        self._start(0)

    def _start(self, sequence: int) -> None:
        self._ring: list[RtpPacket | None] = [None] * RING
        self._first = sequence
        self._highest = sequence - 1
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._missing: dict[int, tuple[float, int]] = {}  # unrolled sequence -> (asked at, times asked)
        self._jitter = 0.0
        self._transit: float | None = None
        self._report_s = 0.0
        self.report = None

    def expect_another(self) -> None:
        """The next packet is of another publisher's connection, whatever its SSRC; what was before is not asked for."""
        self.ssrc = None
        self.report = None
        self._missing.clear()

    def receive(self, packet: RtpPacket, now_s: float) -> Received:
        """Take a packet in. A duplicate, one older than the ring or than the stream's first, is not fresh.

        Were one before the first forwarded, its sequence number could be one that the stream before a
        takeover used, and SRTP would encrypt two packets with one key stream.
        """
        if packet.ssrc != self.ssrc:
            if self.ssrc is not None and now_s - self._heard_s < TAKEOVER_SECONDS:
                return STALE
            self.ssrc = packet.ssrc
            self.pause_s = now_s - self._heard_s if self.generation > 0 else 0.0
            self.generation += 1
            self._start(packet.sequence)
        self._heard_s = now_s
        ahead = (packet.sequence - self._highest) & 0xFFFF
        unrolled = self._highest + (ahead if ahead < 0x8000 else ahead - 0x10000)
        slot = packet.sequence % RING
        kept = self._ring[slot]
        repeated = kept is not None and kept.sequence == packet.sequence
        if repeated or unrolled < self._first or unrolled <= self._highest - RING:
            return STALE
        self._ring[slot] = packet
        self._received += 1
        keyframe_needed = False
        if unrolled > self._highest:
            keyframe_needed = self._note_gap(self._highest + 1, unrolled)
            self._highest = unrolled
            self._note_transit(packet.timestamp, now_s)
        else:
            self._missing.pop(unrolled, None)
        return Received(True, self._due(now_s), keyframe_needed)

    def find(self, sequence: int) -> RtpPacket | None:
        """The packet with this 16-bit sequence number, if the ring still holds it."""
        kept = self._ring[sequence % RING]
        return kept if kept is not None and kept.sequence == sequence else None

    def note_report(self, report: SenderReport, now_s: float) -> bool:
        """Keep a sender report. False for one that says nothing (no packet sent, no clock) or comes too soon."""
        if report.ssrc != self.ssrc or report.ntp == 0 or report.packets == 0:
            return False
        if self.report is not None and now_s - self._report_s < REPORT_EVERY_SECONDS:
            return False
        self.report = report
        self._report_s = now_s
        return True

    def block(self, now_s: float) -> ReportBlock | None:
        """The reception report since the last call; None before the first packet. RFC 3550 A.3."""
        if self.ssrc is None:
            return None
        expected = self._highest - self._first + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = (lost_now << 8) // expected_now if expected_now > 0 and lost_now > 0 else 0
        last_sr, since_sr = 0, 0
        if self.report is not None:
            last_sr = self.report.ntp >> 16 & 0xFFFFFFFF
            since_sr = min(int((now_s - self._report_s) * 65536), 0xFFFFFFFF)
        lost, jitter = expected - self._received, int(self._jitter)
        return ReportBlock(self.ssrc, min(fraction, 255), lost, self._highest, jitter, last_sr, since_sr)

    def _note_gap(self, start: int, end: int) -> bool:
        """Remember ``start`` … ``end`` - 1 as missing. True when the hole is too long to repair."""
        if not self.repaired:
            return False
        if end - start + len(self._missing) > GAP_MAX:
            self._missing.clear()
            return True
        for sequence in range(start, end):
            self._missing[sequence] = (float("-inf"), 0)
        return False

    def _due(self, now_s: float) -> tuple[int, ...]:
        due = [
            (sequence, times)
            for sequence, (asked_s, times) in self._missing.items()
            if now_s - asked_s >= ASK_AGAIN_SECONDS
        ]
        for sequence, times in due:
            if times >= ASKED_AT_MOST:
                del self._missing[sequence]
            else:
                self._missing[sequence] = (now_s, times + 1)
        return tuple(sequence & 0xFFFF for sequence, times in due if times < ASKED_AT_MOST)

    def _note_transit(self, timestamp: int, now_s: float) -> None:
        """Interarrival jitter, RFC 3550 section 6.4.1."""
        transit = now_s * self.clock_hz - timestamp
        if self._transit is not None:
            step = abs(transit - self._transit)
            if step < self.clock_hz:  # a timestamp that wrapped or jumped says nothing about the network
                self._jitter += (step - self._jitter) / 16
        self._transit = transit
