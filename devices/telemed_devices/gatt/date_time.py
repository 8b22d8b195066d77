"""GATT Date Time (0x2A08), 7 bytes: a device's own local time, without a zone.

u16 year (0 unknown), u8 month (0 unknown), day (0 unknown), hour, minute, second, little-endian.
"""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Final

LENGTH: Final = 7
_LAYOUT: Final = struct.Struct("<HBBBBB")


def decode_date_time(raw: bytes) -> tuple[str | None, bool]:
    """ISO 8601 text without a zone, or None; and whether the bytes are allowed at all.

    "Unknown" (year, month or day 0) is allowed and gives no time; a day that no calendar has is not.
    """
    year, month, day, hour, minute, second = _LAYOUT.unpack(raw)
    if hour > 23 or minute > 59 or second > 59 or month > 12 or day > 31 or (year and not 1582 <= year <= 9999):
        return None, False
    if 0 in (year, month, day):
        return None, True
    try:
        return datetime(year, month, day, hour, minute, second).isoformat(), True
    except ValueError:
        return None, False


def encode_date_time(time: datetime) -> bytes:
    """The 7 bytes of a local time; its zone and its fraction of a second are not carried."""
    return _LAYOUT.pack(time.year, time.month, time.day, time.hour, time.minute, time.second)
