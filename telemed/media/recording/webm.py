"""WebM as bytes: a head that is made when somebody plays, and clusters that are made while somebody records. Pure.

Our own writer instead of libavformat's: a cluster must be whole and known at the moment it is sealed, the head (with
its length and cue points) must be made anew from what is stored, and nothing here needs a codec or a thread. EBML:
RFC 8794; Matroska elements: RFC 9559 section 5.1; Opus in it: the Matroska codec specification's A_OPUS.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

VIDEO_TRACK, AUDIO_TRACK = 1, 2
_TRACK_VIDEO, _TRACK_AUDIO = 1, 2  # TrackType, RFC 9559 section 5.1.4.1.3
_KEY = 0x80  # of a SimpleBlock, RFC 9559 section 10.2
_SCALE_NS = 1_000_000  # one tick is a millisecond
_PRE_ROLL_NS = 80_000_000  # that a player decodes before a point in Opus: RFC 7845 section 4.6
_OPUS_HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 0, 48_000, 0, 0)  # RFC 7845 section 5.1: two channels
_WRITER = b"Telemed"
BLOCK_AHEAD_MS = 32_767  # of a block before its cluster's time: 16 bits, signed


@dataclass(frozen=True, slots=True)
class Block:
    """One frame of a track. ``ms`` since the recording began."""

    track: int
    ms: int
    key: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Cue:
    """Where a player may begin: the time of a cluster that begins whole, and its place behind the head."""

    ms: int
    offset: int


@dataclass(frozen=True, slots=True)
class Size:
    """Of the picture, in pixels."""

    width: int
    height: int


def cluster(blocks: Sequence[Block]) -> bytes:
    """A cluster of at least one block, in order of time, none ``BLOCK_AHEAD_MS`` after the first."""
    first = blocks[0].ms
    body = [_uint(b"\xe7", first)]
    for block in blocks:
        ahead = min(block.ms - first, BLOCK_AHEAD_MS)
        flags = _KEY if block.key else 0
        body.append(_element(b"\xa3", struct.pack("!BhB", 0x80 | block.track, ahead, flags) + block.data))
    return _element(b"\x1f\x43\xb6\x75", b"".join(body))


def file_head(length_ms: int, size: Size | None, sound: bool, cues: Sequence[Cue], clusters_bytes: int) -> bytes:
    """All that comes before the clusters, which have ``clusters_bytes`` together. ``size`` None: no picture."""
    info = _element(
        b"\x15\x49\xa9\x66",
        _uint(b"\x2a\xd7\xb1", _SCALE_NS) + _element(b"\x44\x89", struct.pack("!d", length_ms))
        + _element(b"\x4d\x80", _WRITER) + _element(b"\x57\x41", _WRITER),
    )
    entries = b""
    if size is not None:
        picture = _uint(b"\xb0", size.width) + _uint(b"\xba", size.height)
        entries += _track(VIDEO_TRACK, _TRACK_VIDEO, b"V_VP8", _element(b"\xe0", picture))
    if sound:
        settings = _element(b"\xb5", struct.pack("!d", 48_000.0)) + _uint(b"\x9f", 2)
        entries += _track(
            AUDIO_TRACK, _TRACK_AUDIO, b"A_OPUS",
            _element(b"\x63\xa2", _OPUS_HEAD) + _uint(b"\x56\xaa", 0) + _uint(b"\x56\xbb", _PRE_ROLL_NS)
            + _element(b"\xe1", settings),
        )
    tracks = _element(b"\x16\x54\xae\x6b", entries)
    track = AUDIO_TRACK if size is None else VIDEO_TRACK
    before = len(info) + len(tracks) + len(_cues(cues, track, 0))  # a cue's place is from the segment's first byte
    body = info + tracks + _cues(cues, track, before)
    ebml = (
        _uint(b"\x42\x86", 1) + _uint(b"\x42\xf7", 1) + _uint(b"\x42\xf2", 4) + _uint(b"\x42\xf3", 8)
        + _element(b"\x42\x82", b"webm") + _uint(b"\x42\x87", 4) + _uint(b"\x42\x85", 2)
    )
    segment = b"\x18\x53\x80\x67" + _size(len(body) + clusters_bytes, 8)
    return _element(b"\x1a\x45\xdf\xa3", ebml) + segment + body


def _cues(cues: Sequence[Cue], track: int, before: int) -> bytes:
    """The cue points; each of the same length wherever it points."""
    points = b"".join(
        _element(
            b"\xbb",
            _fixed(b"\xb3", cue.ms)
            + _element(b"\xb7", _uint(b"\xf7", track) + _fixed(b"\xf1", before + cue.offset)),
        )
        for cue in cues
    )
    return _element(b"\x1c\x53\xbb\x6b", points) if cues else b""


def _track(number: int, kind: int, codec: bytes, rest: bytes) -> bytes:
    head = _uint(b"\xd7", number) + _uint(b"\x73\xc5", number) + _uint(b"\x83", kind) + _uint(b"\x9c", 0)
    return _element(b"\xae", head + _element(b"\x86", codec) + rest)


def _element(name: bytes, body: bytes) -> bytes:
    return name + _size(len(body)) + body


def _uint(name: bytes, value: int) -> bytes:
    return _element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _fixed(name: bytes, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))


def _size(value: int, octets: int = 0) -> bytes:
    """A length as a variable-size integer (RFC 8794 section 4), in so many bytes or the fewest; all ones is unknown."""
    octets = octets or next(n for n in range(1, 9) if value < (1 << 7 * n) - 1)
    return (value | 1 << 7 * octets).to_bytes(octets, "big")
