"""PLX Continuous Measurement, GATT 0x2A5F: saturation and pulse, second by second.

Flags u8: bit 0 fast pair, bit 1 slow pair (two SFLOAT each), bit 2 measurement status u16, bit 3 device and
sensor status u24, bit 4 pulse amplitude index SFLOAT. First SFLOAT SpO2 and pulse rate, then those fields.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from telemed_devices.gatt.fields import Fields, doubts, number_or_none, raw_text, words
from telemed_devices.gatt.sfloat import Special, encode_sfloat
from telemed_devices.readings import Decoded, Reading, gated

_FAST, _SLOW, _STATUS, _DEVICE, _AMPLITUDE = 0x01, 0x02, 0x04, 0x08, 0x10
_KNOWN: Final = 0x1F
_KNOWN_STATUS: Final = 0xFFE0
_KNOWN_DEVICE: Final = 0x00FFFF
UNAVAILABLE: Final = 1 << 13
INVALID: Final = 1 << 15
SENSOR_DISCONNECTED: Final = 1 << 15
"""Bits of the measurement status (the first two) and of the device status (the last)."""
_STATUS_WORDS: Final = {
    6: "early_estimate", 9: "from_storage", 10: "demonstration", 11: "testing", 12: "calibration",
    13: "unavailable", 14: "questionable", 15: "invalid",
}  # fmt: skip
_DEVICE_WORDS: Final = {
    0: "extended_display_update", 1: "equipment_malfunction", 2: "processing_irregularity", 3: "inadequate_signal",
    4: "poor_signal", 5: "low_perfusion", 6: "erratic_signal", 7: "nonpulsatile_signal", 8: "questionable_pulse",
    9: "analysing", 10: "sensor_interference", 11: "sensor_unconnected", 12: "sensor_unknown",
    13: "sensor_displaced", 14: "sensor_malfunction", 15: "sensor_disconnected",
}  # fmt: skip


def decode(payload: bytes) -> Decoded:
    """A ``spo2`` and a ``pulse_rate`` reading, or the fault.

    ``extra`` has ``fast`` and ``slow`` of either when sent, and ``amplitude_index`` (%) of the pulse. A value
    that the device calls unavailable or invalid is withheld.
    """
    fields = Fields(payload)
    flags = payload[0] if payload else 0
    sizes = ((_FAST, 4), (_SLOW, 4), (_STATUS, 2), (_DEVICE, 3), (_AMPLITUDE, 2))
    if not fields.expect(5 + sum(size for bit, size in sizes if flags & bit)):
        return Decoded((), tuple(fields.faults))
    fields.reserved(fields.u8(), _KNOWN, 0)
    numbers = (fields.sfloat(), fields.sfloat())
    extras: tuple[dict[str, Decimal | str | None], ...] = ({}, {})
    for bit, name in ((_FAST, "fast"), (_SLOW, "slow")):
        if flags & bit:
            for extra in extras:
                extra[name] = number_or_none(fields.sfloat())
    status = fields.u16() if flags & _STATUS else 0
    fields.reserved(status, _KNOWN_STATUS, fields.at - 2)
    device = fields.u24() if flags & _DEVICE else 0
    fields.reserved(device, _KNOWN_DEVICE, fields.at - 3)
    if flags & _AMPLITUDE:
        extras[1]["amplitude_index"] = number_or_none(fields.sfloat())
    said = words(status, _STATUS_WORDS) + words(device, _DEVICE_WORDS)
    readings = []
    for kind, unit, number, extra in zip(("spo2", "pulse_rate"), ("%", "/min"), numbers, extras, strict=True):
        reading = gated(
            Reading(kind, number_or_none(number), unit, doubts(number) + said, None, extra, raw_text(number))
        )
        readings.append(replace(reading, value=None) if status & (UNAVAILABLE | INVALID) else reading)
    return Decoded(tuple(readings), tuple(fields.faults))


def encode(
    spo2: Decimal | None,
    pulse: Decimal | None,
    *,
    fast: Sequence[Decimal | None] | None = None,
    slow: Sequence[Decimal | None] | None = None,
    status: int | None = None,
    device: int | None = None,
    amplitude_index: Decimal | None = None,
) -> bytes:
    """The value an oximeter would send; a None number is NaN, a None field is left out.

    ``fast`` and ``slow`` are pairs (SpO2, pulse rate).
    """

    def pack(number: Decimal | None) -> bytes:
        return struct.pack("<H", encode_sfloat(Special.NAN if number is None else number))

    flags, value = 0, pack(spo2) + pack(pulse)
    for bit, pair in ((_FAST, fast), (_SLOW, slow)):
        if pair is not None:
            flags |= bit
            value += pack(pair[0]) + pack(pair[1])
    if status is not None:
        flags |= _STATUS
        value += struct.pack("<H", status)
    if device is not None:
        flags |= _DEVICE
        value += device.to_bytes(3, "little")
    if amplitude_index is not None:
        flags |= _AMPLITUDE
        value += pack(amplitude_index)
    return bytes([flags]) + value
