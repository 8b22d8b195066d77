"""Heart Rate Measurement, GATT 0x2A37: a rate and the intervals between beats.

Flags u8: bit 0 rate is u16; bits 2..1 skin contact (10 lost, 11 there); bit 3 energy u16 kJ; bit 4 intervals,
u16 each of 1/1024 s, oldest first, as many as follow. Reserved bits are noted and ignored.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from telemed_devices.faults import DeviceFault
from telemed_devices.gatt.fields import MAX_VALUE_BYTES, Fields
from telemed_devices.readings import Decoded, Reading, gated

_WIDE, _DETECTED, _CONTACT, _ENERGY, _INTERVALS = 0x01, 0x02, 0x04, 0x08, 0x10
_KNOWN: Final = 0x1F


def decode(payload: bytes) -> Decoded:
    """One ``heart_rate`` reading, or the fault; ``extra`` has ``rr_1024`` (space-separated) and ``energy_kj``."""
    fields = Fields(payload)
    if not payload:
        fields.expect(2)
        return Decoded((), tuple(fields.faults))
    flags = fields.u8()
    fixed = 2 + (1 if flags & _WIDE else 0) + (2 if flags & _ENERGY else 0)
    length = fixed
    if flags & _INTERVALS and len(payload) > fixed:
        rest = len(payload) - fixed
        if rest % 2:
            fields.faults.append(DeviceFault("gatt_trailing", len(payload) - 1, "half an interval"))
            return Decoded((), tuple(fields.faults))
        length += rest
    if not fields.expect(length):
        return Decoded((), tuple(fields.faults))
    fields.reserved(flags, _KNOWN, 0)
    rate = Decimal(fields.u16() if flags & _WIDE else fields.u8())
    extra: dict[str, Decimal | str | None] = {}
    if flags & _ENERGY:
        extra["energy_kj"] = Decimal(fields.u16())
    if flags & _INTERVALS:
        extra["rr_1024"] = " ".join(str(fields.u16()) for _ in range((length - fixed) // 2))
    no_contact = bool(flags & _CONTACT and not flags & _DETECTED)
    reading = Reading("heart_rate", rate, "/min", ("no_contact",) if no_contact else (), None, extra, str(rate))
    return Decoded((gated(reading),), tuple(fields.faults))


def encode(
    rate: int, *, contact: bool | None = None, energy_kj: int | None = None, rr_1024: Sequence[int] = ()
) -> bytes:
    """The value a strap would send; ``contact`` None means that it cannot tell."""
    flags = (_WIDE if rate > 0xFF else 0) | (_INTERVALS if rr_1024 else 0) | (0 if energy_kj is None else _ENERGY)
    if contact is not None:
        flags |= _CONTACT | (_DETECTED if contact else 0)
    value = struct.pack("<BH" if rate > 0xFF else "<BB", flags, rate)
    if energy_kj is not None:
        value += struct.pack("<H", energy_kj)
    value += struct.pack(f"<{len(rr_1024)}H", *rr_1024)
    if len(value) > MAX_VALUE_BYTES:
        raise ValueError("more intervals than one value can hold")
    return value
