"""GATT characteristic values to readings: any bytes give readings and faults, never an exception.

One module a characteristic, each with ``decode`` and the ``encode`` that a simulated device uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from telemed_devices.faults import DeviceFault
from telemed_devices.gatt import blood_pressure, heart_rate, pulse_oximetry, temperature
from telemed_devices.gatt.blood_pressure import encode as encode_blood_pressure
from telemed_devices.gatt.fields import MAX_VALUE_BYTES
from telemed_devices.gatt.heart_rate import encode as encode_heart_rate
from telemed_devices.gatt.pulse_oximetry import encode as encode_pulse_oximetry
from telemed_devices.gatt.temperature import encode as encode_temperature
from telemed_devices.readings import Decoded

FORMATS: Final[Mapping[str, Callable[[bytes], Decoded]]] = MappingProxyType(
    {
        "gatt:2a37": heart_rate.decode,
        "gatt:2a35": blood_pressure.decode,
        "gatt:2a1c": temperature.decode,
        "gatt:2a5f": pulse_oximetry.decode,
    }
)
"""The formats of docs/protocol.md section 3 that are decoded here."""


def decode(format: str, payload: bytes) -> Decoded:
    """What one characteristic value says, by the stream's format; an unknown format is a fault."""
    decoder = FORMATS.get(format)
    if decoder is None:
        return Decoded((), (DeviceFault("format_unknown", 0, "no decoder for this format"),))
    if len(payload) > MAX_VALUE_BYTES:
        return Decoded((), (DeviceFault("gatt_trailing", MAX_VALUE_BYTES, "longer than any attribute value"),))
    return decoder(payload)


__all__ = [
    "FORMATS",
    "decode",
    "encode_blood_pressure",
    "encode_heart_rate",
    "encode_pulse_oximetry",
    "encode_temperature",
]
