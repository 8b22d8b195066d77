"""Temperature Measurement, GATT 0x2A1C: one body temperature.

Flags u8: bit 0 unit is Fahrenheit; bit 1 time; bit 2 type (where it was taken). Then FLOAT and the fields.
"""

from __future__ import annotations

import struct
from datetime import datetime
from decimal import Decimal
from typing import Final

from telemed_devices.faults import DeviceFault
from telemed_devices.gatt.date_time import encode_date_time
from telemed_devices.gatt.fields import Fields, doubts, number_or_none, raw_text
from telemed_devices.gatt.sfloat import Special, encode_float
from telemed_devices.readings import Decoded, Reading, gated

_FAHRENHEIT, _TIME, _TYPE = 0x01, 0x02, 0x04
_KNOWN: Final = 0x07
SITES: Final = {
    1: "armpit", 2: "body", 3: "ear", 4: "finger", 5: "gastrointestinal", 6: "mouth", 7: "rectum", 8: "toe",
    9: "tympanum",
}  # fmt: skip
"""GATT Temperature Type 0x2A1D."""


def decode(payload: bytes) -> Decoded:
    """One ``temperature`` reading in Cel, or the fault; ``extra`` has ``site`` and, unless Celsius, ``given_unit``."""
    fields = Fields(payload)
    flags = payload[0] if payload else 0
    if not fields.expect(5 + (7 if flags & _TIME else 0) + (1 if flags & _TYPE else 0)):
        return Decoded((), tuple(fields.faults))
    fields.reserved(fields.u8(), _KNOWN, 0)
    number = fields.float()
    device_time = fields.date_time() if flags & _TIME else None
    extra: dict[str, Decimal | str | None] = {}
    if flags & _TYPE:
        site = fields.u8()
        if site in SITES:
            extra["site"] = SITES[site]
        else:
            fields.faults.append(DeviceFault("gatt_reserved", fields.at - 1, f"site {site} is reserved"))
    celsius = number_or_none(number)
    if flags & _FAHRENHEIT:
        extra["given_unit"] = "[degF]"
        # Beyond a thousand degrees it is only passed on to the gate, out of quantize's reach.
        if celsius is not None and abs(celsius) < 1000:
            celsius = ((celsius - 32) * 5 / 9).quantize(Decimal("0.01"))
    reading = Reading("temperature", celsius, "Cel", doubts(number), device_time, extra, raw_text(number))
    return Decoded((gated(reading),), tuple(fields.faults))


def encode(
    degrees: Decimal | None,
    *,
    fahrenheit: bool = False,
    device_time: datetime | None = None,
    site: int | None = None,
) -> bytes:
    """The value a thermometer would send; ``degrees`` None is NaN, ``site`` a key of :data:`SITES`."""
    flags = (_FAHRENHEIT if fahrenheit else 0) | (0 if device_time is None else _TIME) | (0 if site is None else _TYPE)
    value = struct.pack("<BI", flags, encode_float(Special.NAN if degrees is None else degrees))
    if device_time is not None:
        value += encode_date_time(device_time)
    if site is not None:
        value += bytes([site])
    return value
