"""What sealed bytes of a stream are bound to: bytes put in another place do not open there."""

from __future__ import annotations


def chunk_context(stream_id: int, seq: int) -> bytes:
    """What a sealed chunk is bound to."""
    return b"chunk:%d:%d" % (stream_id, seq)


def frame_context(stream_id: int, seq: int) -> bytes:
    """What a sealed frame is bound to."""
    return b"frame:%d:%d" % (stream_id, seq)


def segment_context(stream_id: int, first_seq: int) -> bytes:
    """What a sealed segment is bound to."""
    return b"segment:%d:%d" % (stream_id, first_seq)


def block_context(stream_id: int, level: int, block: int) -> bytes:
    """What a sealed block of the pyramid is bound to."""
    return b"pyramid:%d:%d:%d" % (stream_id, level, block)
