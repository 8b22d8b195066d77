"""What receivers tell senders, beyond NACK and PLI: transport-wide feedback, REMB, reception reports; and RTX. Pure.

draft-holmer-rmcat-transport-wide-cc-extensions-01 ("TWCC" below), draft-alvestrand-rmcat-remb-03, RFC 3550 section 6.4,
RFC 4588. Readers raise :class:`PacketMalformed` and nothing else; what they do is bounded by the bytes they are given.
``now_s`` is any steady clock in seconds; sequence numbers are 16 bit outside and unrolled inside.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from telemed.media.relay.extensions import payload_start
from telemed.media.relay.rtp import RR, RTPFB, SR, PacketMalformed, ReportBlock

TWCC_FMT = 15  # TWCC section 3.1
TICKS_A_SECOND = 4000  # a receive delta is a multiple of 250 us, TWCC section 3.1.5

KEPT = 2048  # arrivals: 2 s of the fastest publisher, a report is due every 0.1 s
BACK_SECONDS = 0.5  # a reported arrival is kept this long, to be told again when one before it comes late
STATUSES_A_MESSAGE = 1000  # sequence numbers; a longer hole is not described, the next message starts behind it
DELTA_BYTES_A_MESSAGE = 800  # with 2 x 1000 / 7 bytes of chunks and the headers it stays below 1,200
MESSAGES_A_REPORT = 8  # the rest is told by the next report

_SMALL, _LARGE = 1, 2  # packet status symbols, TWCC section 3.1.1; 0: not received
_RUN_MOST = 0x1FFF  # 13 bits, TWCC section 3.1.3
_ONE_BIT_SYMBOLS, _TWO_BIT_SYMBOLS = 14, 7  # of a status vector chunk, TWCC section 3.1.4
_TICKS_A_REFERENCE = 256  # 64 ms

_SENDER_BYTES = 24  # an SR's words before its blocks, RFC 3550 section 6.4.1; an RR has the SSRC alone
_BLOCK = struct.Struct("!LLLLLL")


class Arrivals:
    """When the packets of one publisher came, told to it in transport-wide feedback.

    A packet that comes late is told by going back to it, so that everything behind it is told again (libwebrtc does
    the same); a report says nothing of numbers above the highest received.
    """

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}  # unrolled sequence -> arrival, in the order of arrival
        self._highest: int | None = None
        self._untold = 0  # the first sequence number of the next message
        self._number = 0

    def note(self, sequence: int, now_s: float) -> None:
        """A packet with this transport-wide sequence number has come. Of two with one number the first counts."""
        highest = self._highest
        if highest is None:
            self._highest = self._untold = unrolled = sequence
        else:
            ahead = (sequence - highest) & 0xFFFF
            if ahead < 0x8000:
                self._highest = unrolled = highest + ahead
            else:
                unrolled = highest + ahead - 0x10000
                if unrolled in self._ticks:
                    return
                self._untold = min(self._untold, unrolled)
        ticks = self._ticks
        if unrolled in ticks:  # the highest once more
            return
        if len(ticks) >= KEPT:
            del ticks[next(iter(ticks))]
        ticks[unrolled] = round(now_s * TICKS_A_SECOND)

    def report(self, ssrc: int, media_ssrc: int, now_s: float) -> list[bytes]:
        """RTCP messages of all that came since the last report, none when nothing did; each below 1,200 bytes."""
        self._forget(round((now_s - BACK_SECONDS) * TICKS_A_SECOND))
        pending = sorted(unrolled for unrolled in self._ticks if unrolled >= self._untold)
        messages: list[bytes] = []
        told = 0
        while told < len(pending) and len(messages) < MESSAGES_A_REPORT:
            base = self._untold if pending[told] - self._untold < STATUSES_A_MESSAGE else pending[told]
            content, taken = self._content(base, pending[told:])
            told += taken
            self._untold = pending[told - 1] + 1
            body = struct.pack("!LL", ssrc, media_ssrc) + content
            # Zeroes without the P bit, as the draft draws it: RFC 3550 has that bit in a compound's last packet only.
            body += bytes(-len(body) % 4)
            messages.append(struct.pack("!BBH", 0x80 | TWCC_FMT, RTPFB, len(body) // 4) + body)
            self._number = (self._number + 1) & 0xFF
        return messages

    def _forget(self, before: int) -> None:
        """Drop arrivals that were told and are older than ``before``, in ticks."""
        old: list[int] = []
        for unrolled, ticks in self._ticks.items():
            if ticks >= before:
                break
            if unrolled < self._untold:
                old.append(unrolled)
        for unrolled in old:
            del self._ticks[unrolled]

    def _content(self, base: int, pending: list[int]) -> tuple[bytes, int]:
        """One message behind its SSRCs, and how many of ``pending`` it tells: at least the first."""
        reference = self._ticks[pending[0]] // _TICKS_A_REFERENCE
        before = reference * _TICKS_A_REFERENCE
        symbols = bytearray()
        deltas = bytearray()
        taken = 0
        for unrolled in pending:
            delta = self._ticks[unrolled] - before
            if unrolled - base >= STATUSES_A_MESSAGE or len(deltas) > DELTA_BYTES_A_MESSAGE - 2:
                break
            if not -0x8000 <= delta <= 0x7FFF:  # 8 s: what follows needs a reference time of its own
                break
            symbols += bytes(unrolled - base - len(symbols))
            if 0 <= delta <= 0xFF:
                symbols.append(_SMALL)
                deltas.append(delta)
            else:
                symbols.append(_LARGE)
                deltas += struct.pack("!h", delta)
            before += delta
            taken += 1
        head = struct.pack("!HHL", base & 0xFFFF, len(symbols), (reference & 0xFFFFFF) << 8 | self._number)
        return head + _chunks(symbols) + deltas, taken


def _chunks(symbols: bytearray) -> bytes:
    """Packet chunks for these statuses; each but the last tells 7 or more."""
    chunks: list[int] = []
    at = 0
    while at < len(symbols):
        symbol = symbols[at]
        run = len(symbols) - at - len(symbols[at:].lstrip(bytes((symbol,))))
        left = len(symbols) - at
        window = symbols[at : at + _ONE_BIT_SYMBOLS]
        if run >= min(left, _ONE_BIT_SYMBOLS) or (_LARGE in window and run >= _TWO_BIT_SYMBOLS):
            run = min(run, _RUN_MOST)
            chunks.append(symbol << 13 | run)
            at += run
        elif _LARGE not in window:
            bits = sum(one << 13 - place for place, one in enumerate(window))
            chunks.append(0x8000 | bits)
            at += _ONE_BIT_SYMBOLS
        else:
            bits = sum(two << 12 - 2 * place for place, two in enumerate(window[:_TWO_BIT_SYMBOLS]))
            chunks.append(0xC000 | bits)
            at += _TWO_BIT_SYMBOLS
    return struct.pack(f"!{len(chunks)}H", *chunks)


def compound(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Packet type, count (or feedback type) and body without padding of each packet of a decrypted compound."""
    at = 0
    while at < len(data):
        if len(data) < at + 4:
            raise PacketMalformed("RTCP header is cut short")
        first, kind, words = struct.unpack_from("!BBH", data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise PacketMalformed("RTCP version or length is wrong")
        body = data[at + 4 : end]
        if first & 0x20:  # RFC 3550 section 6.4.1: the last byte counts the padding, itself included
            if not body or not 0 < body[-1] <= len(body):
                raise PacketMalformed("RTCP padding exceeds the packet")
            body = body[: -body[-1]]
        yield kind, first & 0x1F, body
        at = end


def parse_report_blocks(kind: int, count: int, body: bytes) -> tuple[ReportBlock, ...]:
    """The reception reports of an SR or RR, as :func:`compound` gives it; none of another kind of packet."""
    if kind not in (SR, RR):
        return ()
    start = _SENDER_BYTES if kind == SR else 4
    if len(body) < start + count * _BLOCK.size:
        raise PacketMalformed("reception reports are cut short")
    blocks: list[ReportBlock] = []
    for number in range(count):
        ssrc, losses, highest, jitter, last_sr, since_sr = _BLOCK.unpack_from(body, start + number * _BLOCK.size)
        lost = losses & 0xFFFFFF
        lost -= (lost & 0x800000) << 1  # 24 bits with a sign: duplicates make it negative
        blocks.append(ReportBlock(ssrc, losses >> 24, lost, highest, jitter, last_sr, since_sr))
    return tuple(blocks)


def parse_remb(body: bytes) -> tuple[int, tuple[int, ...]] | None:
    """Bits a second that the named streams may take together; None when this PSFB body is not a whole REMB."""
    if len(body) < 16 or body[8:12] != b"REMB":
        return None
    count = body[12]
    if len(body) < 16 + 4 * count:
        return None
    mantissa = (body[13] & 0x03) << 16 | body[14] << 8 | body[15]
    return mantissa << (body[13] >> 2), struct.unpack_from(f"!{count}L", body, 16)


def wrap_rtx(packet: bytes, payload_type: int, ssrc: int, sequence: int) -> bytes:
    """A sent packet as its retransmission: the same but for these three, the old number before the payload.

    RFC 4588 section 4. Marker, timestamp, extensions and padding stay.
    """
    start = payload_start(packet)
    return (
        struct.pack("!BBH", packet[0], packet[1] & 0x80 | payload_type, sequence)
        + packet[4:8]
        + struct.pack("!L", ssrc)
        + packet[12:start]
        + packet[2:4]
        + packet[start:]
    )


def unwrap_rtx(packet: bytes, payload_type: int, ssrc: int) -> bytes | None:
    """The packet that a retransmission carries, of the stream with this payload type and SSRC.

    None when it carries none: browsers probe the line with RTX packets that are all padding.
    """
    start = payload_start(packet)
    end = len(packet)
    if packet[0] & 0x20:
        end -= packet[-1]
        if packet[-1] == 0 or end < start:
            raise PacketMalformed("RTP padding exceeds the packet")
    if end - start < 2:
        return None
    return (
        struct.pack("!BB", packet[0], packet[1] & 0x80 | payload_type)
        + packet[start : start + 2]
        + packet[4:8]
        + struct.pack("!L", ssrc)
        + packet[12:start]
        + packet[start + 2 :]
    )
