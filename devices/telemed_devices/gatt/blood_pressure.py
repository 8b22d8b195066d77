"""Blood Pressure Measurement, GATT 0x2A35: one cuff measurement.

Flags u8: bit 0 unit is kPa (else mmHg); bit 1 time; bit 2 pulse; bit 3 user; bit 4 status. Then SFLOAT systolic,
diastolic, mean, and the optional fields in that order. A failed measurement has NaN for the systolic.
"""

from __future__ import annotations

import struct
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final

from telemed_devices.gatt.date_time import encode_date_time
from telemed_devices.gatt.fields import Fields, doubts, number_or_none, raw_text, words
from telemed_devices.gatt.sfloat import Number, Special, encode_sfloat
from telemed_devices.readings import Decoded, Reading, gated, plausible

UNKNOWN_USER: Final = 255
MMHG_OF_KPA: Final = Decimal("7.500617")
_KPA, _TIME, _PULSE, _USER, _STATUS = 0x01, 0x02, 0x04, 0x08, 0x10
_KNOWN: Final = 0x1F
_KNOWN_STATUS: Final = 0x003F
_STATUS_WORDS: Final = {0: "motion", 1: "cuff_loose", 2: "irregular_pulse", 5: "position"}
_PULSE_RANGE: Final = {1: "pulse_above_range", 2: "pulse_below_range"}  # status bits 4..3


def decode(payload: bytes) -> Decoded:
    """One ``blood_pressure`` reading (systolic, mm[Hg]), or the fault.

    ``extra`` has ``diastolic`` and ``mean`` in mm[Hg], ``pulse`` /min when sent, ``user``, and ``given_unit``
    ``kPa`` when the device measures so (``raw`` is then in kPa). A triple that no circulation has is withheld
    whole and marked ``implausible``.
    """
    fields = Fields(payload)
    flags = payload[0] if payload else 0
    length = 7 + sum(
        size for bit, size in ((_TIME, 7), (_PULSE, 2), (_USER, 1), (_STATUS, 2)) if flags & bit
    )  # fmt: skip
    if not fields.expect(length):
        return Decoded((), tuple(fields.faults))
    fields.reserved(fields.u8(), _KNOWN, 0)
    triple = (fields.sfloat(), fields.sfloat(), fields.sfloat())
    device_time = fields.date_time() if flags & _TIME else None
    pulse = fields.sfloat() if flags & _PULSE else None
    user = fields.u8() if flags & _USER else UNKNOWN_USER
    status = fields.u16() if flags & _STATUS else 0
    fields.reserved(status, _KNOWN_STATUS, fields.at - 2)

    quality = list(doubts(triple[0]) + words(status, _STATUS_WORDS))
    if status >> 3 & 3 in _PULSE_RANGE:
        quality.append(_PULSE_RANGE[status >> 3 & 3])
    systolic, diastolic, mean = (_mmhg(number, kpa=bool(flags & _KPA)) for number in triple)
    extra: dict[str, Decimal | str | None] = {"diastolic": diastolic, "mean": mean}
    if flags & _KPA:
        extra["given_unit"] = "kPa"
    if user != UNKNOWN_USER:
        extra["user"] = str(user)
    if pulse is not None:
        rate = number_or_none(pulse)
        if rate is not None and not plausible("pulse_rate", rate):
            rate = None
            quality.append("pulse_implausible")
        extra["pulse"] = rate
    raw = "/".join(raw_text(number) for number in triple)
    if systolic is not None and not _could_be(systolic, diastolic, mean):
        quality.append("implausible")
        extra.update(diastolic=None, mean=None)
        systolic = None
    reading = Reading("blood_pressure", systolic, "mm[Hg]", tuple(quality), device_time, extra, raw)
    return Decoded((gated(reading),), tuple(fields.faults))


def _mmhg(number: Number, *, kpa: bool) -> Decimal | None:
    """mmHg as given, or kPa converted to the nearest millimetre, which is finer than any cuff."""
    value = number_or_none(number)
    if value is None or not kpa:
        return value
    if abs(value) > 1000:  # beyond any pressure; kept out of quantize's reach
        return value
    return (value * MMHG_OF_KPA).quantize(Decimal(1))


def _could_be(systolic: Decimal, diastolic: Decimal | None, mean: Decimal | None) -> bool:
    """Within bounds, and systolic > mean > diastolic for those that were sent (a mean of 0 means none)."""
    if not plausible("systolic", systolic) or (diastolic is not None and not plausible("diastolic", diastolic)):
        return False
    falling = [value for value in (systolic, mean or None, diastolic) if value is not None]
    return all(higher > lower for higher, lower in pairwise(falling))


def encode(
    systolic: Decimal | None,
    diastolic: Decimal | None,
    mean: Decimal | None,
    *,
    pulse: Decimal | None = None,
    device_time: datetime | None = None,
    user: int | None = None,
    status: int | None = None,
    kpa: bool = False,
) -> bytes:
    """The value a cuff would send; None among the first three is NaN, elsewhere the field is left out."""
    flags = (
        (_KPA if kpa else 0)
        | (0 if device_time is None else _TIME)
        | (0 if pulse is None else _PULSE)
        | (0 if user is None else _USER)
        | (0 if status is None else _STATUS)
    )
    value = bytes([flags]) + b"".join(
        struct.pack("<H", encode_sfloat(Special.NAN if number is None else number))
        for number in (systolic, diastolic, mean)
    )
    if device_time is not None:
        value += encode_date_time(device_time)
    if pulse is not None:
        value += struct.pack("<H", encode_sfloat(pulse))
    if user is not None:
        value += bytes([user])
    if status is not None:
        value += struct.pack("<H", status)
    return value
