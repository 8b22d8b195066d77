"""A kind as one viewer receives it: another header, the same picture and sound. No I/O, no clock.

What a viewer receives may come from one source after another (layers of a picture, speakers of a slot): a *span* each.
Its sequence numbers go on by one, its timestamps with the time that passed, and the numbers that VP8 gives its pictures
inside the payload as if one encoder had made them all. Of the first span no payload is touched.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from telemed.media.relay import rtp, vp8
from telemed.media.relay.feedback import wrap_rtx
from telemed.media.relay.source import Source

# A receiver guesses the SRTP roll-over counter from the first packet it sees: start well below 2^15, or a
# packet sent before it may look like one from the round before (libwebrtc does the same). The lower bound
# leaves room for packets that arrive out of order.
FIRST_SEQUENCE = (1024, 30_000)
RESENDS_A_SECOND = 500  # for one viewer; three times what 720p sends
SPANS = 3  # kept for resending: the one now and those just before a change
MEDIA = 2**48  # above any unrolled number
HALF = 2**31  # of the timestamps: more than so many ahead is behind (RFC 3550 section 5.1)


@dataclass(slots=True)
class Span:
    """Packets ``first`` and later (the source's own unrolled numbers) of a source, sent with these added."""

    source: Source
    first: int
    offset: int
    time_offset: int
    shift: vp8.Shift = vp8.NONE


@dataclass(frozen=True, slots=True)
class Rtx:
    """Where repeated packets go when the viewer agreed to RFC 4588."""

    payload_type: int
    ssrc: int


class Delivery:
    """Header rewriting for one viewer of one kind, and what was sent."""

    def __init__(self, kind: str, payload_type: int, ssrc: int, cname: str, rtx: Rtx | None = None) -> None:
        self.kind = kind
        self.payload_type = payload_type
        self.ssrc = ssrc
        self.cname = cname
        self.rtx = rtx
        self.packets = 0  # sent in spans that are over; the fan counts those of the one now
        self.octets = 0
        self.spans: list[Span] = []
        self.last = (0, 0)  # unrolled sequence number and timestamp last sent in spans that are over
        self._last_payload = b""  # and the payload, as it was sent
        self._line = 0  # what is added to the time line of what is sent now
        self._resend_second = 0
        self._resent = 0
        self._rtx_sequence = secrets.randbelow(FIRST_SEQUENCE[1])

    @property
    def span(self) -> Span | None:
        """What is sent now."""
        return self.spans[-1] if self.spans else None

    def begin(self, source: Source, first: int, timestamp: int, pause_s: float, payload: bytes = b"") -> None:
        """From the source's packet ``first`` (unrolled, with this timestamp) on, ``pause_s`` after the last one.

        ``payload`` is that packet's, where it is known: VP8's numbers of pictures go on with it.
        """
        shift = vp8.following(self._last_payload, payload, 1) if source.codec == "VP8" else vp8.NONE
        if not self.spans:
            low, high = FIRST_SEQUENCE
            offset, time_offset = low + secrets.randbelow(high - low) - first, 0
        else:
            sequence, last_time = self.last
            offset = sequence + 1 - first
            same = self.spans[-1].source.kind == source.kind and self._one_line(source)
            if not same:
                self._line = (last_time + round(pause_s * source.clock_hz) - timestamp) & 0xFFFFFFFF
            # Layers of one picture have one time line already: nothing is added then, and reports stay true. But a
            # whole picture of the frame that was sent last must not be as old as that one, or older by a rounding:
            # decoders pass it over. It is one tick younger, as long as this span lasts.
            time_offset = self._line
            if (timestamp + time_offset - last_time - 1) & 0xFFFFFFFF >= HALF:
                time_offset = (last_time + 1 - timestamp) & 0xFFFFFFFF
        self.spans = [*self.spans[-SPANS + 1 :], Span(source, first, offset, time_offset, shift)]

    def end(self, packets: int, octets: int) -> None:
        """The span now is over; this much went out in it."""
        self.packets += packets
        self.octets += octets
        span = self.span
        if span is None or span.source.highest < span.first:
            return
        source, last = span.source, span.source.last
        self.last = (source.highest + span.offset, (source.last_time + span.time_offset) & 0xFFFFFFFF)
        if last is not None and source.codec == "VP8":
            self._last_payload = vp8.shifted(last.payload, span.shift)

    def resent(self, sequence: int, now_s: float) -> bytes | None:
        """The packet sent to this viewer under ``sequence``, for sending again, or None.

        Identical in every byte, or inside RTX when that was agreed. None when the ring has lost it, it was never
        sent to this viewer, or the viewer asks for too much.
        """
        if int(now_s) != self._resend_second:
            self._resend_second, self._resent = int(now_s), 0
        if self._resent >= RESENDS_A_SECOND:
            return None
        for span in reversed(self.spans):
            packet = span.source.find((sequence - span.offset) & 0xFFFF)
            if packet is None or not self._was_sent(span, packet):
                continue
            self._resent += 1
            again = self.rebuilt(span, packet)
            if self.rtx is None:
                return again
            self._rtx_sequence = (self._rtx_sequence + 1) & 0xFFFF
            return wrap_rtx(again, self.rtx.payload_type, self.rtx.ssrc, self._rtx_sequence)
        return None

    def report(self, packets: int, octets: int) -> bytes | None:
        """The source's sender report for this viewer, as SR + SDES, or None before there is one.

        The NTP stamp is the publisher's own; the RTP stamp is shifted as the packets are. ``packets`` and ``octets``
        are those of the span now.
        """
        span = self.span
        if span is None or span.source.report is None:
            return None
        shifted = replace(
            span.source.report,
            ssrc=self.ssrc,
            rtp=(span.source.report.rtp + span.time_offset) & 0xFFFFFFFF,
            packets=(self.packets + packets) & 0xFFFFFFFF,
            octets=(self.octets + octets) & 0xFFFFFFFF,
        )
        return rtp.sender_report(shifted) + rtp.source_description(self.ssrc, self.cname)

    def rebuilt(self, span: Span, packet: rtp.RtpPacket) -> bytes:
        """The source's packet under this viewer's header."""
        sequence = (packet.sequence + span.offset) & 0xFFFF
        timestamp = (packet.timestamp + span.time_offset) & 0xFFFFFFFF
        return packet.rebuilt(self.payload_type, sequence, timestamp, self.ssrc, span.shift)

    def _was_sent(self, span: Span, packet: rtp.RtpPacket) -> bool:
        """Whether this span has sent it: not before its first, not after the next span began."""
        source = span.source
        behind = (source.highest - packet.sequence) & 0xFFFF
        unrolled = source.highest - behind
        at = self.spans.index(span)
        end = self.spans[at + 1].first + self.spans[at + 1].offset if at + 1 < len(self.spans) else MEDIA
        return unrolled >= span.first and unrolled + span.offset < end

    def _one_line(self, source: Source) -> bool:
        return source.family is self.spans[-1].source.family
