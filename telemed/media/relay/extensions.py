"""RTP header extensions as bytes by their identifier. Pure.

RFC 8285: the one-byte form (profile 0xBEDE, section 4.2) and the two-byte form (0x1000 to 0x100F, section 4.3). A
packet is ``bytes`` or a ``memoryview`` from its first byte. Bytes that are no RTP packet, and an element longer than
the extension that holds it, raise :class:`PacketMalformed` and nothing else does. Every loop ends with the extension.
"""

from __future__ import annotations

from collections.abc import Iterator

from telemed.media.relay.rtp import PacketMalformed

# Short name -> the URI in a=extmap (RFC 8285 section 5), for all that the relay reads.
EXTENSIONS = {
    "mid": "urn:ietf:params:rtp-hdrext:sdes:mid",  # RFC 8843 section 15.2
    "rid": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",  # RFC 8852 section 4.1
    "repaired_rid": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",  # RFC 8852 section 4.2
    "twcc": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "abs_send_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "audio_level": "urn:ietf:params:rtp-hdrext:ssrc-audio-level",  # RFC 6464 section 4
}
ABS_SEND_TIME_HZ = 1 << 18  # 24 bits, 18 of them behind the point: it wraps every 64 s
ABS_SEND_TIME_BITS = 24

_FIXED = 12  # bytes, RFC 3550 section 5.1
_ONE_BYTE = 0xBEDE  # RFC 8285 section 4.2
_TWO_BYTE = 0x1000  # RFC 8285 section 4.3; the low four bits belong to the application
_STOP = 15  # the one-byte form's reserved identifier: nothing behind it is read

Packet = bytes | bytearray | memoryview


def find_extension(packet: Packet, wanted: int) -> bytes | None:
    """The element with this identifier (1 to 255), or None. What stands behind it is not looked at."""
    for identifier, start, end in _elements(packet):
        if identifier == wanted:
            return bytes(packet[start:end])
    return None


def payload_start(packet: Packet) -> int:
    """The offset of the payload, behind the contributing sources and the extension."""
    if len(packet) < _FIXED:
        raise PacketMalformed("RTP header is shorter than 12 bytes")
    first = packet[0]
    if first >> 6 != 2:
        raise PacketMalformed("RTP version is not 2")
    start = _FIXED + 4 * (first & 0x0F)
    if first & 0x10:
        if len(packet) < start + 4:
            raise PacketMalformed("RTP extension header is cut short")
        start += 4 + 4 * (packet[start + 2] << 8 | packet[start + 3])
    if start > len(packet):
        raise PacketMalformed("RTP contributing sources or extension exceed the packet")
    return start


def audio_level(value: bytes) -> tuple[int, bool]:
    """How loud a packet of sound is, and whether it holds voice.

    Of the value of ``audio_level``: 0 (the loudest) to 127 (silence) decibels below overload, and the sender's opinion
    (RFC 6464 section 3). The two-byte form may bring bytes behind it, which say nothing.
    """
    if not value:
        raise PacketMalformed("audio level is empty")
    return value[0] & 0x7F, bool(value[0] & 0x80)


def abs_send_time(value: bytes) -> int:
    """When a packet was sent by its sender's clock, in 1/``ABS_SEND_TIME_HZ`` s; after 64 s it starts anew."""
    if len(value) != 3:
        raise PacketMalformed("absolute send time is not 3 bytes")
    return int.from_bytes(value, "big")


def _elements(packet: Packet) -> Iterator[tuple[int, int, int]]:
    """Identifier, first byte and end of each element, in the packet's order."""
    end = payload_start(packet)
    if not packet[0] & 0x10:
        return
    at = _FIXED + 4 * (packet[0] & 0x0F)
    profile = packet[at] << 8 | packet[at + 1]
    at += 4
    if profile == _ONE_BYTE:
        while at < end:
            head = packet[at]
            identifier = head >> 4
            if head == 0:
                at += 1  # padding
                continue
            if identifier in (0, _STOP):  # both end the reading, whatever length they claim
                return
            start, at = at + 1, at + 2 + (head & 0x0F)
            if at > end:
                raise PacketMalformed("RTP extension element exceeds the extension")
            yield identifier, start, at
    elif profile & 0xFFF0 == _TWO_BYTE:
        while at < end:
            identifier = packet[at]
            if identifier == 0:
                at += 1  # padding has no length byte
                continue
            if at + 2 > end:
                raise PacketMalformed("RTP extension element has no length")
            start, at = at + 2, at + 2 + packet[at + 1]
            if at > end:
                raise PacketMalformed("RTP extension element exceeds the extension")
            yield identifier, start, at
