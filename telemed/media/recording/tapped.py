"""What the relay hands over of a tapped publication: packets and sender reports, many in one message. Pure.

A message: ``MARK``, the tap's number (u32), then records, each with its length (u16) before it; big-endian like RTP.
A record: its type, the codec, the layer, then for a packet its marker, its own unrolled number (i64), its own
timestamp (u32), when it came (i64, microseconds since 1970 by this machine's clock) and its payload; for a report the
NTP stamp (u64) and the timestamp (u32) of the same moment (RFC 3550 section 6.4.1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MARK = 0x01  # the first byte; a JSON object begins with 0x7B
CODECS = ("opus", "VP8", "H264")  # a record names one by its place here
PACKET, REPORT = 1, 2

_HEAD = struct.Struct("!BI")
_LENGTH = struct.Struct("!H")
_PACKET = struct.Struct("!BBBBqIq")
_REPORT = struct.Struct("!BBBQI")


@dataclass(frozen=True, slots=True)
class Packet:
    """One media packet; ``number`` does not wrap, ``timestamp`` is 32 bits of the codec's clock."""

    codec: str
    layer: int
    marker: bool
    number: int
    timestamp: int
    at_us: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """The publisher's clock (64-bit NTP) at a timestamp of one codec's layer."""

    codec: str
    layer: int
    ntp: int
    timestamp: int


def head(tap: int) -> bytes:
    """The beginning of a message."""
    return _HEAD.pack(MARK, tap)


def packet_record(codec: int, layer: int, marker: bool, number: int, timestamp: int, at_us: int) -> bytes:
    """A packet's record without its payload, which follows, and without the length of both."""
    return _PACKET.pack(PACKET, codec, layer, marker, number, timestamp, at_us)


def report_record(codec: int, layer: int, ntp: int, timestamp: int) -> bytes:
    """A report's record without its length."""
    return _REPORT.pack(REPORT, codec, layer, ntp, timestamp)


def length(size: int) -> bytes:
    """What goes before a record of ``size`` bytes."""
    return _LENGTH.pack(size)


def tap_of(message: bytes) -> int:
    """Whose message it is. Raises ``ValueError`` for one that is cut short."""
    if len(message) < _HEAD.size or message[0] != MARK:
        raise ValueError("not a tap's message")
    number: int = _HEAD.unpack_from(message)[1]
    return number


def records(message: bytes) -> Iterator[Packet | Report]:
    """The records, in order. Raises ``ValueError`` at one that is cut short or unknown."""
    at = _HEAD.size
    try:
        while at < len(message):
            (size,) = _LENGTH.unpack_from(message, at)
            at += _LENGTH.size
            if at + size > len(message):
                raise ValueError("a record is cut short")
            if message[at] == PACKET:
                _, codec, layer, marker, number, timestamp, at_us = _PACKET.unpack_from(message, at)
                payload = message[at + _PACKET.size : at + size]
                yield Packet(CODECS[codec], layer, bool(marker), number, timestamp, at_us, payload)
            elif message[at] == REPORT:
                _, codec, layer, ntp, timestamp = _REPORT.unpack_from(message, at)
                yield Report(CODECS[codec], layer, ntp, timestamp)
            else:
                raise ValueError("a record of unknown type")
            at += size
    except (struct.error, IndexError) as error:
        raise ValueError("a record makes no sense") from error
