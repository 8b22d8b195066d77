"""Whether a packet begins a picture that needs no other before it. Pure, and never raises."""

from __future__ import annotations

from telemed.media.relay import vp8
from telemed.media.relay.vp8 import Payload

_INTER_FRAME = 0x01  # P, the lowest bit of the frame's first byte: RFC 7741 section 4.3, RFC 6386 section 9.1

_SINGLE_KEY = (5, 7)  # NAL unit types: IDR slice, sequence parameter set (H.264 table 7-1)
_STAP_A, _FU_A = 24, 28  # RFC 6184 section 5.2
_FU_START = 0x80  # RFC 6184 section 5.8


def is_keyframe(codec: str, payload: Payload) -> bool:
    """Whether this RTP payload begins a key frame. False for sound, other codecs and bytes that make no sense.

    H.264: the sequence parameter set and each IDR slice behind it say yes. Who switches between two streams does it
    at the first, which is the set wherever the encoder sends one (browsers and aiortc do): without it a decoder would
    read the new picture by the old one's size.
    """
    if codec == "VP8":
        return _vp8(payload)
    if codec == "H264":
        return _h264(payload)
    return False


def _vp8(payload: Payload) -> bool:
    if len(payload) < 2 or payload[0] & (vp8.START | vp8.PARTITION) != vp8.START:
        return False  # the start of partition 0 holds the frame's header
    found = vp8.described(payload)
    return found is not None and not payload[found.frame] & _INTER_FRAME


def _h264(payload: Payload) -> bool:
    size = len(payload)
    if size < 2:
        return False
    kind = payload[0] & 0x1F
    if kind == _STAP_A:
        at = 1
        while at + 2 < size:  # each unit: 16 bits of size, then that many bytes
            if payload[at + 2] & 0x1F in _SINGLE_KEY:
                return True
            at += 2 + (payload[at] << 8 | payload[at + 1])
        return False
    if kind == _FU_A:
        return bool(payload[1] & _FU_START) and payload[1] & 0x1F in _SINGLE_KEY
    return kind in _SINGLE_KEY
