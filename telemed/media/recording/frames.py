"""RTP payloads to what a file holds: packets in order again, pictures put together. Pure; times are given.

VP8: RFC 7741 (payload descriptor) and RFC 6386 (frame header). Opus needs nothing: a payload is a packet (RFC 7587
section 4.2), and its length in time stands in its first byte (RFC 6716 section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from telemed.media.recording.tapped import Packet
from telemed.media.recording.webm import Size

REORDER_US = 300_000  # that a missing packet is waited for: two requests to the publisher and their answers
HELD = 512  # packets behind a missing one: a second of a large picture
FRAME_BYTES = 1_048_576  # of one picture; a key frame of 1080p has a tenth
_KEY_HEAD = 10  # bytes before a key frame's data, RFC 6386 section 9.1
_START_CODE = b"\x9d\x01\x2a"
_SIZE_MASK = 0x3FFF  # the two bits above it scale the picture
_OPUS_MS = ((10, 20, 40, 60), (10, 20), (2.5, 5, 10, 20))  # of a frame: SILK, hybrid, CELT; RFC 6716 table 2


class Ordered:
    """Packets of one line in order of their numbers; one that is missing is waited for ``REORDER_US`` and no longer."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._held: dict[int, Packet] = {}

    def take(self, packet: Packet) -> Sequence[tuple[int, Packet]]:
        """Each packet whose turn it is, and how many are missing before it."""
        number = packet.number
        if not self._held and self._next in (number, None):
            self._next = number + 1
            return ((0, packet),)
        if self._next is not None and number >= self._next:
            self._held[number] = packet
        return self.due(packet.at_us)

    def due(self, now_us: int) -> Sequence[tuple[int, Packet]]:
        """The same without a packet: some may have been waited for long enough."""
        found: list[tuple[int, Packet]] = []
        while self._held and self._next is not None:
            lost = 0
            if self._next not in self._held:
                oldest_us = min(packet.at_us for packet in self._held.values())
                if now_us - oldest_us < REORDER_US and len(self._held) < HELD:
                    break
                lost = min(self._held) - self._next
                self._next += lost
            found.append((lost, self._held.pop(self._next)))
            self._next += 1
        return found


@dataclass(frozen=True, slots=True)
class Picture:
    """One VP8 frame; ``size`` of a key frame, else None; ``at_us`` when its first packet came."""

    timestamp: int
    data: bytes
    size: Size | None
    at_us: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A payload without its descriptor. ``begins`` a frame; ``number`` is the picture id, None when there is none."""

    begins: bool
    number: int | None
    bits: int
    data: bytes


class Pictures:
    """Puts VP8 frames together. After a loss, and at first, nothing is a picture before the next key frame."""

    def __init__(self) -> None:
        self.waits = True
        self._parts: list[bytes] = []
        self._bytes = 0
        self._timestamp = self._at_us = 0
        self._broken = True  # what is missing of this frame cannot be had
        self._number: int | None = None  # the last picture id

    def take(self, lost: int, packet: Packet) -> Sequence[Picture]:
        """The pictures that this packet makes whole: one at most, or the one before it when its end was not marked."""
        part = _part(packet.payload)
        if lost:
            # Padding takes numbers as well: where whole pictures follow each other by their ids nothing was lost.
            whole = not self._parts and part is not None and part.begins and _follows(self._number, part)
            if not whole:
                self.break_off()
        if part is None:
            self.break_off()
            return ()
        found: Sequence[Picture] = ()
        if part.begins and (not self._parts or packet.timestamp != self._timestamp):
            found = self._finish()
            self._broken = False
            self._timestamp, self._at_us = packet.timestamp, packet.at_us
        if not self._broken:
            self._parts.append(part.data)
            self._bytes += len(part.data)
            if self._bytes > FRAME_BYTES:
                self.break_off()
        self._number = part.number
        return (*found, *self._finish()) if packet.marker else found

    def break_off(self) -> None:
        """Something is missing: begin again with a key frame."""
        self._parts, self._bytes = [], 0
        self._broken = self.waits = True

    def _finish(self) -> Sequence[Picture]:
        data = b"".join(self._parts)
        self._parts, self._bytes = [], 0
        if not data or self._broken:
            return ()
        key = not data[0] & 1
        size = _size(data) if key else None
        if key and size is None:
            self.break_off()
        elif key or not self.waits:
            self.waits = False
            return (Picture(self._timestamp, data, size, self._at_us),)
        return ()


def opus_ms(payload: bytes) -> float:
    """How long an Opus packet sounds; 0 for one that makes no sense."""
    if not payload:
        return 0.0
    config, count = payload[0] >> 3, (1, 2, 2)[payload[0] & 3] if payload[0] & 3 < 3 else 0
    if not count:
        if len(payload) < 2:
            return 0.0
        count = payload[1] & 0x3F
    mode = 0 if config < 12 else 1 if config < 16 else 2
    lengths = _OPUS_MS[mode]
    return count * lengths[(config - (0, 12, 16)[mode]) % len(lengths)]


def _part(payload: bytes) -> _Part | None:
    """RFC 7741 section 4.2; None for bytes that are no VP8 payload."""
    if not payload:
        return None
    first, at, number, bits = payload[0], 1, None, 0
    if first & 0x80:
        if len(payload) < 2:
            return None
        has, at = payload[1], 2
        if has & 0x80:
            long = at < len(payload) and payload[at] & 0x80
            end = at + (2 if long else 1)
            bits = 15 if long else 7
            number = int.from_bytes(payload[at:end], "big") & ((1 << bits) - 1)
            at = end
        at += (has & 0x40) // 0x40 + (1 if has & 0x30 else 0)
    if at >= len(payload):
        return None
    return _Part(first & 0x17 == 0x10, number, bits, payload[at:])


def _follows(before: int | None, part: _Part) -> bool:
    return before is not None and part.number is not None and part.number == (before + 1) & ((1 << part.bits) - 1)


def _size(key: bytes) -> Size | None:
    if len(key) < _KEY_HEAD or key[3:6] != _START_CODE:
        return None
    width, height = (int.from_bytes(key[at : at + 2], "little") & _SIZE_MASK for at in (6, 8))
    return Size(width, height) if width and height else None
