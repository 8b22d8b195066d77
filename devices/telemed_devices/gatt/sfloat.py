"""IEEE 11073 SFLOAT (16 bit) and FLOAT (32 bit) as exact decimals, or as the word for what is not a number.

IEEE 11073-20601 Annex F: SFLOAT has a 4-bit and FLOAT an 8-bit two's complement exponent above a 12- or 24-bit
two's complement mantissa; value = mantissa x 10^exponent, and the exponent is the precision (0xF014 is 2.0,
0xE0C8 is 2.00). Five mantissas with exponent 0 are not numbers. Bluetooth sends both little-endian.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Final


class Special(Enum):
    """What a field says when it holds no number; the value is the word used in ``Reading.quality``."""

    NAN = "not_a_number"
    NRES = "not_at_this_resolution"
    POSITIVE_INFINITY = "positive_infinity"
    NEGATIVE_INFINITY = "negative_infinity"
    RESERVED = "reserved_value"


Number = Decimal | Special

_SFLOAT_SPECIAL: Final = {
    0x07FF: Special.NAN,
    0x0800: Special.NRES,
    0x07FE: Special.POSITIVE_INFINITY,
    0x0802: Special.NEGATIVE_INFINITY,
    0x0801: Special.RESERVED,
}
_FLOAT_SPECIAL: Final = {
    0x007F_FFFF: Special.NAN,
    0x0080_0000: Special.NRES,
    0x007F_FFFE: Special.POSITIVE_INFINITY,
    0x0080_0002: Special.NEGATIVE_INFINITY,
    0x0080_0001: Special.RESERVED,
}


def decode_sfloat(raw: int) -> Number:
    """The number in 16 bits; any 16 bits are one or a special value."""
    return _SFLOAT_SPECIAL.get(raw) or _decode(raw, mantissa_bits=12, exponent_bits=4)


def decode_float(raw: int) -> Number:
    """The number in 32 bits; any 32 bits are one or a special value."""
    return _FLOAT_SPECIAL.get(raw) or _decode(raw, mantissa_bits=24, exponent_bits=8)


def encode_sfloat(number: Number) -> int:
    """The 16 bits of a number with its precision kept; ``ValueError`` when they cannot hold it."""
    return _encode(number, _SFLOAT_SPECIAL, mantissa_bits=12, exponent_bits=4)


def encode_float(number: Number) -> int:
    """The 32 bits of a number with its precision kept; ``ValueError`` when they cannot hold it."""
    return _encode(number, _FLOAT_SPECIAL, mantissa_bits=24, exponent_bits=8)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _decode(raw: int, *, mantissa_bits: int, exponent_bits: int) -> Decimal:
    mantissa = _signed(raw & ((1 << mantissa_bits) - 1), mantissa_bits)
    exponent = _signed(raw >> mantissa_bits, exponent_bits)
    # A positive exponent is written out: 0x1002 is "20", and its text is what the wire carries.
    return Decimal(mantissa * 10**exponent) if exponent > 0 else Decimal(mantissa).scaleb(exponent)


def _encode(number: Number, special: dict[int, Special], *, mantissa_bits: int, exponent_bits: int) -> int:
    if isinstance(number, Special):
        return next(raw for raw, word in special.items() if word is number)
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("not a finite number")
    mantissa = int("".join(map(str, digits)) or "0") * (-1 if sign else 1)
    half, low = 1 << (mantissa_bits - 1), -(1 << (exponent_bits - 1))
    # The same number with another exponent, where the given one does not fit.
    while exponent > -low - 1:
        mantissa, exponent = mantissa * 10, exponent - 1
    while exponent < low and mantissa % 10 == 0:
        mantissa, exponent = mantissa // 10, exponent + 1
    while not -half <= mantissa < half and mantissa % 10 == 0 and exponent < -low - 1:
        mantissa, exponent = mantissa // 10, exponent + 1
    raw = (exponent & ((1 << exponent_bits) - 1)) << mantissa_bits | (mantissa & ((1 << mantissa_bits) - 1))
    if not (-half <= mantissa < half and low <= exponent < -low) or raw in special:
        raise ValueError(f"{number} does not fit in {mantissa_bits + exponent_bits} bits")
    return raw
