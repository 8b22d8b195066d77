"""One received stream: its last packets for resending, its gaps, its reception statistics. No I/O, no clock.

A source numbers and times its packets and pictures by itself, without a step back when its publisher begins anew under
another SSRC: *own* numbers. Sequence numbers are unrolled to integers that do not wrap; ``now_s`` is any steady clock
in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from telemed.media.relay import vp8
from telemed.media.relay.rtp import ReportBlock, RtpPacket, SenderReport

RING = 1024  # packets kept for resending: 6 s of 720p at 160 packets/s, and the SRTP replay window
GAP_MAX = 256  # missing packets asked for one by one; a longer hole asks for a whole picture instead
ASK_AGAIN_SECONDS = 0.1  # at least; else 1.5 round trips
ASK_AGAIN_TRIPS = 1.5
ROUND_TRIP_SECONDS = 1.0  # a longer one is not believed
ASKED_AT_MOST = 3  # requests for one packet; after that the picture has moved on
TAKEOVER_SECONDS = 1.0  # another SSRC is believed once the known one has been silent this long
REPORT_EVERY_SECONDS = 0.2  # sender reports taken; faster ones are passed over (browsers send one a second)
SILENT_SECONDS = 1.0  # without a packet of it: a layer is not sent any more
STEADY_SECONDS = 2.0  # of packets: it is sent again
STEP_SECONDS = 1 / 30  # of the timestamp at least, where a publisher begins anew
# Of its picture numbers: one is left out, so that nobody takes what comes before its first whole picture to go on from
# the last publisher's.
STEP_PICTURES = 2


@dataclass(frozen=True, slots=True)
class Received:
    """What a packet meant. ``packet`` is to be forwarded under the source's own numbers, None when it is nothing new;
    ``unrolled`` is its number; ``late`` when a later one came before; ``ask`` are the publisher's numbers to NACK now.
    """

    packet: RtpPacket | None
    unrolled: int = 0
    late: bool = False
    ask: tuple[int, ...] = ()
    keyframe_needed: bool = False


STALE = Received(None)


class Source:
    """The receiving side of one layer of one kind of one publication.

    ``generation`` grows when the publisher changes its SSRC. ``repaired``: lost packets are asked for again.
    ``time_origin`` is added to the timestamps of its first publisher. Layers of one picture have the same ``family``
    and, once one of them is aligned with the other, one time line.
    """

    def __init__(
        self, kind: str, clock_hz: int, repaired: bool, time_origin: int = 0, family: object | None = None
    ) -> None:
        self.kind = kind
        self.codec = ""  # as the publisher of now agreed
        self.clock_hz = clock_hz
        self.repaired = repaired
        self.family = family if family is not None else self
        self.aligned = False
        self.ssrc: int | None = None
        self.generation = 0
        self.report: SenderReport | None = None  # by the source's own timestamps
        self.highest = -1  # of the source's own numbers, unrolled
        self.last_time = 0  # own timestamp of the packet with that number
        self.heard_s = float("-inf")
        self.since_s = float("-inf")  # when it began to be heard again after a silence
        self.round_trip_s = 0.0
        self._ring: list[RtpPacket | None] = [None] * RING
        self._shift = 0  # from the publisher's unrolled numbers to ours
        self._time_shift = time_origin & 0xFFFFFFFF
        self._picture_shift = vp8.NONE
        self._first = 0
        self._received = self._expected_before = self._received_before = 0
        self._missing: dict[int, tuple[float, int]] = {}  # own unrolled number -> (asked at, times asked)
        self._jitter = 0.0
        self._transit: float | None = None
        self._report_s = 0.0

    def expect_another(self) -> None:
        """The next packet is of another publisher's connection, whatever its SSRC; what was before is not asked for."""
        self.ssrc = None
        self.report = None
        self._missing.clear()

    def steady(self, now_s: float) -> bool:
        """Whether it is there, and not only for a moment: a browser stops its large layer when its line is poor."""
        return now_s - self.heard_s <= SILENT_SECONDS and now_s - self.since_s >= STEADY_SECONDS

    def believes(self, ssrc: int, now_s: float) -> bool:
        """Whether a packet of this SSRC would be taken."""
        return ssrc == self.ssrc or self.ssrc is None or now_s - self.heard_s >= TAKEOVER_SECONDS

    def receive(self, packet: RtpPacket, now_s: float) -> Received:
        """Take a packet in. A duplicate, one older than the ring or than its publisher's first, is nothing new.

        Were one before the first forwarded, its number could be one that was used before, and SRTP would encrypt two
        packets with one key stream.
        """
        if packet.ssrc != self.ssrc:
            if not self.believes(packet.ssrc, now_s):
                return STALE
            self._begin(packet, now_s)
        if now_s - self.heard_s > SILENT_SECONDS:
            self.since_s = now_s
        self.heard_s = now_s
        ahead = (packet.sequence + self._shift - self.highest) & 0xFFFF
        unrolled = self.highest + (ahead if ahead < 0x8000 else ahead - 0x10000)
        slot = unrolled % RING
        sequence = unrolled & 0xFFFF
        kept = self._ring[slot]
        repeated = kept is not None and kept.sequence == sequence
        if repeated or unrolled < self._first or unrolled <= self.highest - RING:
            return STALE
        timestamp = (packet.timestamp + self._time_shift) & 0xFFFFFFFF
        ours = self._ring[slot] = RtpPacket(
            packet.payload_type, packet.marker, sequence, timestamp, packet.ssrc,
            vp8.shifted(packet.payload, self._picture_shift),
        )  # fmt: skip
        self._received += 1
        keyframe_needed = False
        late = unrolled < self.highest
        if late:
            self._note_answer(self._missing.pop(unrolled, None), now_s)
        else:
            keyframe_needed = self._note_gap(self.highest + 1, unrolled)
            self.highest, self.last_time = unrolled, timestamp
            self._note_transit(packet.timestamp, now_s)
        return Received(ours, unrolled, late, self._due(now_s) if self._missing else (), keyframe_needed)

    @property
    def last(self) -> RtpPacket | None:
        """The packet with the number ``highest``."""
        return self.find(self.highest & 0xFFFF)

    def find(self, sequence: int) -> RtpPacket | None:
        """The packet with these 16 bits of its own number, if the ring still holds it."""
        kept = self._ring[sequence % RING]
        return kept if kept is not None and kept.sequence == sequence else None

    def due(self, now_s: float) -> tuple[int, ...]:
        """The publisher's numbers that are to be asked for again now."""
        return self._due(now_s) if self._missing and self.ssrc is not None else ()

    def note_report(self, report: SenderReport, now_s: float) -> bool:
        """Keep a sender report. False for one that says nothing (no packet sent, no clock) or comes too soon."""
        if report.ssrc != self.ssrc or report.ntp == 0 or report.packets == 0:
            return False
        if self.report is not None and now_s - self._report_s < REPORT_EVERY_SECONDS:
            return False
        self.report = replace(report, rtp=(report.rtp + self._time_shift) & 0xFFFFFFFF)
        self._report_s = now_s
        return True

    def align(self, other: Source, packet: RtpPacket, unrolled: int, now_s: float) -> RtpPacket:
        """Take the time line of ``other``, another layer of the same picture, from this packet of ours on, which is
        returned as it is then. By the sender reports of both, which name the same clock, else by when packets came.
        """
        if self.report is not None and other.report is not None:
            ahead_s = (self.report.ntp - other.report.ntp) / 2**32
            shift = other.report.rtp + round(ahead_s * self.clock_hz) - self.report.rtp
        else:
            shift = other.last_time + round((now_s - other.heard_s) * self.clock_hz) - self.last_time
        self.aligned = True
        self._time_shift = (self._time_shift + shift) & 0xFFFFFFFF
        self.last_time = (self.last_time + shift) & 0xFFFFFFFF
        if self.report is not None:
            self.report = replace(self.report, rtp=(self.report.rtp + shift) & 0xFFFFFFFF)
        self._ring = [None] * RING
        shifted = self._ring[unrolled % RING] = replace(packet, timestamp=(packet.timestamp + shift) & 0xFFFFFFFF)
        return shifted

    def block(self, now_s: float) -> ReportBlock | None:
        """The reception report since the last call; None before the first packet. RFC 3550 A.3."""
        if self.ssrc is None:
            return None
        expected = self.highest - self._first + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = (lost_now << 8) // expected_now if expected_now > 0 and lost_now > 0 else 0
        last_sr, since_sr = 0, 0
        if self.report is not None:
            last_sr = self.report.ntp >> 16 & 0xFFFFFFFF
            since_sr = min(int((now_s - self._report_s) * 65536), 0xFFFFFFFF)
        lost, jitter = expected - self._received, int(self._jitter)
        highest = (self.highest - self._shift) & 0xFFFFFFFF
        return ReportBlock(self.ssrc, min(fraction, 255), lost, highest, jitter, last_sr, since_sr)

    def _begin(self, packet: RtpPacket, now_s: float) -> None:
        """Go on with this packet's SSRC: one number and the time that has passed after the last."""
        last, self._picture_shift = self.last, vp8.NONE
        if last is not None and self.codec == "VP8":
            self._picture_shift = vp8.following(last.payload, packet.payload, STEP_PICTURES)
        if self.generation == 0:
            self.highest, self._shift = packet.sequence - 1, 0
        else:
            self._shift = self.highest + 1 - packet.sequence
            pause_s = max(now_s - self.heard_s, STEP_SECONDS)
            self._time_shift = (self.last_time + int(self.clock_hz * pause_s) - packet.timestamp) & 0xFFFFFFFF
        self.ssrc = packet.ssrc
        self.generation += 1
        self._first = self.highest + 1
        self._received = self._expected_before = self._received_before = 0
        self._missing.clear()
        self._jitter, self._transit, self._report_s = 0.0, None, 0.0
        self.report = None

    def _note_gap(self, start: int, end: int) -> bool:
        """Remember ``start`` … ``end`` - 1 as missing. True when the hole is too long to repair."""
        if not self.repaired or start == end:
            return False
        if end - start + len(self._missing) > GAP_MAX:
            self._missing.clear()
            return True
        for number in range(start, end):
            self._missing[number] = (float("-inf"), 0)
        return False

    def _due(self, now_s: float) -> tuple[int, ...]:
        again_s = max(ASK_AGAIN_SECONDS, ASK_AGAIN_TRIPS * min(self.round_trip_s, ROUND_TRIP_SECONDS))
        due = [
            (number, times) for number, (asked_s, times) in self._missing.items() if now_s - asked_s >= again_s
        ]
        for number, times in due:
            if times >= ASKED_AT_MOST:
                del self._missing[number]
            else:
                self._missing[number] = (now_s, times + 1)
        return tuple((number - self._shift) & 0xFFFF for number, times in due if times < ASKED_AT_MOST)

    def _note_answer(self, asked: tuple[float, int] | None, now_s: float) -> None:
        """A missing packet came: when it was asked for once, that tells the round trip."""
        if asked is not None and asked[1] == 1:
            took_s = now_s - asked[0]
            self.round_trip_s += (took_s - self.round_trip_s) / 8 if self.round_trip_s else took_s

    def _note_transit(self, timestamp: int, now_s: float) -> None:
        """Interarrival jitter, RFC 3550 section 6.4.1."""
        transit = now_s * self.clock_hz - timestamp
        if self._transit is not None:
            step = abs(transit - self._transit)
            if step < self.clock_hz:  # a timestamp that wrapped or jumped says nothing about the network
                self._jitter += (step - self._jitter) / 16
        self._transit = transit
