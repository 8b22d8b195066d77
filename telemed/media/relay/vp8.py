"""The running numbers of a VP8 picture (RFC 7741 section 4.2): where they stand in a payload, and going on with them.

A receiver tells by the PictureID and by TL0PICIDX, which counts the frames that others build on, what a frame is built
on. Each encoder counts from a number of its own: where one encoder's pictures follow another's, the second's numbers
may be among those that the receiver knows, and it takes the picture for an old one and drops it, and all that follow.
Pure, and never raises.
"""

from __future__ import annotations

from typing import NamedTuple

EXTENDED, START, PARTITION = 0x80, 0x10, 0x07  # of the first byte (X, S, PID): more follow, a partition begins, which
PICTURE, BASE, TID_OR_KEY = 0x80, 0x40, 0x30  # of the second (I, L, T and K): which of the next are there
LONG = 0x80  # of the PictureID: 15 bits, not 7

Payload = bytes | bytearray | memoryview


class Descriptor(NamedTuple):
    """Where the PictureID and TL0PICIDX stand, -1 without one, and where the frame's own bytes begin."""

    picture: int
    base: int
    frame: int


class Shift(NamedTuple):
    """What is added to a payload's PictureID and TL0PICIDX. ``NONE`` changes nothing."""

    picture: int
    base: int


NONE = Shift(0, 0)


def described(payload: Payload) -> Descriptor | None:
    """Where the payload's numbers stand. None for one that ends before its frame."""
    size = len(payload)
    if size < 2:
        return None
    if not payload[0] & EXTENDED:
        return Descriptor(-1, -1, 1)
    has, at, picture, base = payload[1], 2, -1, -1
    if has & PICTURE:
        if at >= size:
            return None
        picture = at
        at += 2 if payload[at] & LONG else 1
    if has & BASE:
        base = at
        at += 1
    if has & TID_OR_KEY:
        at += 1
    return Descriptor(picture, base, at) if at < size else None


def shifted(payload: bytes, shift: Shift) -> bytes:
    """The payload with its numbers moved by ``shift``, each within its own bits; all else and the length untouched."""
    at = described(payload) if shift != NONE else None
    if at is None or at.picture == at.base:  # neither is there
        return payload
    changed = bytearray(payload)
    if at.picture >= 0:
        if changed[at.picture] & LONG:
            number = int.from_bytes(changed[at.picture : at.picture + 2], "big") + shift.picture
            changed[at.picture : at.picture + 2] = (number & 0x7FFF | LONG << 8).to_bytes(2, "big")
        else:
            changed[at.picture] = changed[at.picture] + shift.picture & 0x7F
    if at.base >= 0:
        changed[at.base] = changed[at.base] + shift.base & 0xFF
    return bytes(changed)


def following(last: Payload, first: Payload, step: int) -> Shift:
    """What moves the numbers of ``first`` to those of ``last`` and ``step`` more; 0 for a number that either lacks."""
    before, after = described(last), described(first)
    if before is None or after is None:
        return NONE
    picture = base = 0
    if before.picture >= 0 and after.picture >= 0:
        picture = _picture(last, before.picture) + step - _picture(first, after.picture)
    if before.base >= 0 and after.base >= 0:
        base = last[before.base] + step - first[after.base]
    return Shift(picture, base)


def _picture(payload: Payload, at: int) -> int:
    number = payload[at]
    return (number & 0x7F) << 8 | payload[at + 1] if number & LONG else number
