"""Reading a characteristic value field by field: lengths before bytes, faults in place of exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from telemed_devices.faults import DeviceFault
from telemed_devices.gatt.date_time import LENGTH, decode_date_time
from telemed_devices.gatt.sfloat import Number, Special, decode_float, decode_sfloat

MAX_VALUE_BYTES: Final = 512
"""Longest attribute value of Bluetooth Core, Vol 3 Part F, 3.2.9."""


class Fields:
    """A cursor over one value whose length has been checked; collects faults on its way."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.at = 0
        self.faults: list[DeviceFault] = []

    def expect(self, length: int) -> bool:
        """Whether the value has exactly the length its flags promise; else the fault is noted."""
        if len(self.payload) == length:
            return True
        if len(self.payload) < length:
            self.faults.append(DeviceFault("gatt_short", len(self.payload), f"{length} bytes promised by the flags"))
        else:
            extra = len(self.payload) - length
            self.faults.append(DeviceFault("gatt_trailing", length, f"{extra} bytes more than the flags promise"))
        return False

    def reserved(self, value: int, allowed: int, offset: int) -> None:
        """Note reserved bits that are set; they are otherwise ignored."""
        if value & ~allowed:
            self.faults.append(DeviceFault("gatt_reserved", offset, f"reserved bits {value & ~allowed:#x} are set"))

    def u8(self) -> int:
        """One byte."""
        return self._take(1)

    def u16(self) -> int:
        """Two bytes, little-endian."""
        return self._take(2)

    def u24(self) -> int:
        """Three bytes, little-endian."""
        return self._take(3)

    def sfloat(self) -> Number:
        """A 16-bit IEEE 11073 number."""
        return decode_sfloat(self._take(2))

    def float(self) -> Number:
        """A 32-bit IEEE 11073 number."""
        return decode_float(self._take(4))

    def date_time(self) -> str | None:
        """The device's local time, or None when it has none or one that no calendar has (a fault)."""
        text, allowed = decode_date_time(self.payload[self.at : self.at + LENGTH])
        if not allowed:
            self.faults.append(DeviceFault("gatt_date_time", self.at, "not a date of any calendar"))
        self.at += LENGTH
        return text

    def _take(self, size: int) -> int:
        value = int.from_bytes(self.payload[self.at : self.at + size], "little")
        self.at += size
        return value


def number_or_none(number: Number) -> Decimal | None:
    """The number, or None for a special value."""
    return None if isinstance(number, Special) else number


def raw_text(number: Number) -> str:
    """The number as the device wrote it, or the word of the special value."""
    return number.value if isinstance(number, Special) else format(number, "f")


def doubts(number: Number) -> tuple[str, ...]:
    """Why there is no number, or nothing."""
    return (number.value,) if isinstance(number, Special) else ()


def words(bits: int, names: Mapping[int, str]) -> tuple[str, ...]:
    """The words of the bits that are set, lowest first."""
    return tuple(word for bit, word in names.items() if bits >> bit & 1)
