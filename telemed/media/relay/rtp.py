"""RTP and RTCP as bytes: what a peer sent becomes a value, a value becomes what we send. Pure.

RFC 3550 (RTP, SR, RR, SDES, BYE), RFC 4585 (NACK, PLI), RFC 5104 (FIR), draft-alvestrand-rmcat-remb-03.
Sequence numbers are 16 bit and timestamps and SSRCs 32 bit throughout; NTP stamps are 64 bit (32.32).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from telemed.media.relay import vp8

NTP_UNIX_SECONDS = 2_208_988_800  # 1900-01-01 to 1970-01-01, RFC 868
NACKED_A_MESSAGE = 256  # sequence numbers read from one NACK; a quarter of the ring

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206  # RFC 3550 section 12.1, RFC 4585 section 6.1
NACK_FMT = 1  # RFC 4585 section 6.2.1
PLI_FMT = 1  # RFC 4585 section 6.3.1
FIR_FMT = 4  # RFC 5104 section 4.3.1
APPLICATION_FMT = 15  # RFC 4585 section 6.4
CNAME_ITEM = 1  # RFC 3550 section 6.5.1

_HEADER = struct.Struct("!BBHLL")
_SENDER = struct.Struct("!LQLLL")
_BLOCK = struct.Struct("!LLLLLL")


class PacketMalformed(ValueError):
    """The bytes are not an RTP or RTCP packet."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet without its extensions and padding; ``payload`` is what the publisher sent."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    def rebuilt(
        self, payload_type: int, sequence: int, timestamp: int, ssrc: int, shift: vp8.Shift = vp8.NONE
    ) -> bytes:
        """The packet with another header; in the payload nothing but VP8's numbers of pictures moves, by ``shift``."""
        marker = 0x80 if self.marker else 0
        header = _HEADER.pack(0x80, marker | payload_type, sequence, timestamp, ssrc)
        return header + vp8.shifted(self.payload, shift)


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """One reception report (RFC 3550 section 6.4.1). ``fraction_lost`` in 1/256, ``jitter`` in clock units,
    ``last_sr`` the middle 32 bits of the NTP stamp, ``since_sr`` in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_sr: int = 0
    since_sr: int = 0


@dataclass(frozen=True, slots=True)
class SenderReport:
    """The (NTP, RTP) pair of a stream, and what its sender counted."""

    ssrc: int
    ntp: int
    rtp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class Nack:
    """The receiver of ``ssrc`` misses these sequence numbers."""

    ssrc: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyframeRequest:
    """The receiver of ``ssrc`` needs a whole picture (PLI or FIR)."""

    ssrc: int


Feedback = SenderReport | Nack | KeyframeRequest


def parse_rtp(data: bytes) -> RtpPacket:
    """One decrypted RTP packet. Raises :class:`PacketMalformed`."""
    if len(data) < _HEADER.size:
        raise PacketMalformed("RTP header is shorter than 12 bytes")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise PacketMalformed("RTP version is not 2")
    start = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < start + 4:
            raise PacketMalformed("RTP extension header is cut short")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data)
    if first & 0x20:
        end -= data[-1]
    if start > end or (first & 0x20 and data[-1] == 0):
        raise PacketMalformed("RTP contributing sources, extension or padding exceed the packet")
    return RtpPacket(second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[start:end])


def parse_rtcp(data: bytes) -> list[Feedback]:
    """What a decrypted compound packet asks or tells; kinds that nobody here needs are passed over.

    Raises :class:`PacketMalformed`.
    """
    found: list[Feedback] = []
    at = 0
    while at < len(data):
        if len(data) < at + 4:
            raise PacketMalformed("RTCP header is cut short")
        first, kind, words = struct.unpack_from("!BBH", data, at)
        body = data[at + 4 : at + 4 + 4 * words]
        if first >> 6 != 2 or len(body) != 4 * words:
            raise PacketMalformed("RTCP version or length is wrong")
        found += _read(kind, first & 0x1F, body)
        at += 4 + 4 * words
    return found


def _read(kind: int, count: int, body: bytes) -> list[Feedback]:
    if kind == SR:
        if len(body) < _SENDER.size:
            raise PacketMalformed("sender report is cut short")
        return [SenderReport(*_SENDER.unpack_from(body))]
    if kind not in (RTPFB, PSFB):
        return []
    if len(body) < 8:
        raise PacketMalformed("feedback is cut short")
    media_ssrc = int.from_bytes(body[4:8], "big")
    if kind == RTPFB and count == NACK_FMT:
        return [Nack(media_ssrc, _nacked(body[8:]))]
    if kind == PSFB and count == PLI_FMT:
        return [KeyframeRequest(media_ssrc)]
    if kind == PSFB and count == FIR_FMT:  # the streams are named in the entries, 8 bytes each
        return [KeyframeRequest(int.from_bytes(body[at : at + 4], "big")) for at in range(8, len(body) - 7, 8)]
    return []


def _nacked(entries: bytes) -> tuple[int, ...]:
    sequences: list[int] = []
    for base, following in struct.iter_unpack("!HH", entries):
        sequences.append(base)
        sequences += [(base + 1 + bit) & 0xFFFF for bit in range(16) if following >> bit & 1]
        if len(sequences) >= NACKED_A_MESSAGE:
            break
    return tuple(sequences[:NACKED_A_MESSAGE])


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def sender_report(report: SenderReport) -> bytes:
    """An SR without reception reports."""
    return _packet(SR, 0, _SENDER.pack(report.ssrc, report.ntp, report.rtp, report.packets, report.octets))


def receiver_report(ssrc: int, blocks: list[ReportBlock]) -> bytes:
    """An RR; without blocks it is what a compound packet must begin with (RFC 3550 section 6.1)."""
    body = b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | max(-0x800000, min(0x7FFFFF, block.lost)) & 0xFFFFFF,
            block.highest & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_sr,
            block.since_sr,
        )
        for block in blocks
    )
    return _packet(RR, len(blocks), struct.pack("!L", ssrc) + body)


def source_description(ssrc: int, cname: str) -> bytes:
    """An SDES with the canonical name alone."""
    name = cname.encode()[:255]
    item = bytes((CNAME_ITEM, len(name))) + name
    return _packet(SDES, 1, struct.pack("!L", ssrc) + item + bytes(4 - len(item) % 4))


def nack(ssrc: int, media_ssrc: int, sequences: list[int]) -> bytes:
    """A NACK for these sequence numbers, in the order given; neighbours share an entry.

    No entry spans the wrap: aiortc reads the numbers after it as 65,536 and more.
    """
    entries: list[tuple[int, int]] = []
    for sequence in sequences:
        ahead = sequence - entries[-1][0] if entries else 0
        if entries and 1 <= ahead <= 16:
            base, following = entries[-1]
            entries[-1] = (base, following | 1 << ahead - 1)
        else:
            entries.append((sequence, 0))
    body = b"".join(struct.pack("!HH", *entry) for entry in entries)
    return _packet(RTPFB, NACK_FMT, struct.pack("!LL", ssrc, media_ssrc) + body)


def picture_loss(ssrc: int, media_ssrc: int) -> bytes:
    """A PLI."""
    return _packet(PSFB, PLI_FMT, struct.pack("!LL", ssrc, media_ssrc))


def bitrate_bound(ssrc: int, bits_per_s: int, media_ssrcs: list[int]) -> bytes:
    """A REMB: these streams together may take ``bits_per_s`` (rounded down to 18 significant bits)."""
    exponent = max(0, bits_per_s.bit_length() - 18)
    mantissa = bits_per_s >> exponent
    rate = (exponent << 2 | mantissa >> 16, mantissa & 0xFFFF)
    body = struct.pack("!LL4sBBH", ssrc, 0, b"REMB", len(media_ssrcs), *rate)
    return _packet(PSFB, APPLICATION_FMT, body + b"".join(struct.pack("!L", media) for media in media_ssrcs))


def unix_ms(ntp: int) -> float:
    """Milliseconds since 1970 of a 64-bit NTP stamp, to the microsecond."""
    return round((ntp / (1 << 32) - NTP_UNIX_SECONDS) * 1000, 3)
