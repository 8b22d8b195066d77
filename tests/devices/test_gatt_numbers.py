"""IEEE 11073 SFLOAT and FLOAT, and the GATT date: vectors, every 16-bit word, round trips."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemed_devices.gatt.date_time import decode_date_time, encode_date_time
from telemed_devices.gatt.sfloat import Special, decode_float, decode_sfloat, encode_float, encode_sfloat

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "sfloat.json").read_text("utf-8"))
BY_HL7 = {
    "NaN": Special.NAN, "NRes": Special.NRES, "+INF": Special.POSITIVE_INFINITY, "-INF": Special.NEGATIVE_INFINITY,
    "RFU": Special.RESERVED,
}  # fmt: skip


@pytest.mark.parametrize("case", VECTORS["sfloat"] + VECTORS["float"], ids=str)
def test_a_vector(case: dict[str, str]) -> None:
    if "u16" in case:
        raw, decode, encode = int(case["u16"], 16), decode_sfloat, encode_sfloat
    else:
        raw, decode, encode = int(case["u32"], 16), decode_float, encode_float
    number = decode(raw)
    if "special" in case:
        assert number is Special(case["special"])
        assert encode(number) == raw
    else:
        assert isinstance(number, Decimal)
        assert format(number, "f") == case["text"]
        assert decode(encode(number)) == number


def test_the_public_vectors_of_the_phd_guide(recordings: Path) -> None:
    cases = json.loads((recordings / "devices" / "ble" / "vectors.json").read_text("utf-8"))
    for name, key, decode in (("sfloat_le", "u16", decode_sfloat), ("float_le", "u32", decode_float)):
        for case in cases[name]["cases"]:
            number = decode(int(case[key], 16))
            assert number is BY_HL7[case["special"]] if "special" in case else str(number) == case["text"], case
    for case in cases["float_extra"]["cases"]:
        number = decode_float(int.from_bytes(bytes.fromhex(case["le_bytes"]), "little"))
        assert number == Decimal(str(case["value"]))


def test_every_16_bit_word_is_a_number_or_a_special_and_comes_back() -> None:
    specials = 0
    for raw in range(65_536):
        number = decode_sfloat(raw)
        if isinstance(number, Special):
            specials += 1
            assert encode_sfloat(number) == raw
            continue
        mantissa, exponent = raw & 0xFFF, raw >> 12
        by_hand = (mantissa - (mantissa >> 11 << 12)) * Decimal(10) ** (exponent - (exponent >> 3 << 4))
        assert number == by_hand
        if by_hand and raw not in (0x07FF, 0x07FE):
            assert decode_sfloat(encode_sfloat(number)) == number
    assert specials == 5


@given(st.integers(0, 2**32 - 1))
def test_every_32_bit_word(raw: int) -> None:
    number = decode_float(raw)
    if isinstance(number, Special):
        assert encode_float(number) == raw
    else:
        assert decode_float(encode_float(number)) == number


@pytest.mark.parametrize("number", ["2049.5", "123456", "NaN", "Infinity", "1E-20", "1E+20", "2047", "-2048"])
def test_what_sfloat_cannot_hold_is_refused(number: str) -> None:
    """2047 is NaN's mantissa and -2048 that of "not at this resolution"; with exponent 0 both are taken."""
    if number in ("2047", "-2048"):
        encoded = None
        try:
            encoded = encode_sfloat(Decimal(number))
        except ValueError:
            return
        assert decode_sfloat(encoded) == Decimal(number)
        return
    with pytest.raises(ValueError, match=r"."):
        encode_sfloat(Decimal(number))


@given(st.datetimes(min_value=datetime(1582, 10, 15), max_value=datetime(9999, 12, 31, 23, 59, 59)))
def test_date_round_trip(time: datetime) -> None:
    assert decode_date_time(encode_date_time(time)) == (time.replace(microsecond=0).isoformat(), True)


@pytest.mark.parametrize(
    ("raw", "expect"),
    [
        ("E807060F11111B", ("2024-06-15T17:17:27", True)),
        ("0000060F11111B", (None, True)),  # year unknown
        ("E807000F11111B", (None, True)),  # month unknown
        ("E807060011111B", (None, True)),  # day unknown
        ("E707021D000000", (None, False)),  # 29 February 2023
        ("E8070D01000000", (None, False)),
        ("E8070120000000", (None, False)),
        ("E8070101180000", (None, False)),
        ("E80701010A3C00", (None, False)),
        ("E80701010A003C", (None, False)),
        ("FFFFFFFFFFFFFF", (None, False)),
        ("0100010100 0000".replace(" ", ""), (None, False)),  # year 1: before 1582 is reserved
    ],
)
def test_dates(raw: str, expect: tuple[str | None, bool]) -> None:
    assert decode_date_time(bytes.fromhex(raw)) == expect


@given(st.binary(min_size=7, max_size=7))
def test_any_seven_bytes_are_a_date_or_not(raw: bytes) -> None:
    text, allowed = decode_date_time(raw)
    assert text is None or (allowed and encode_date_time(datetime.fromisoformat(text)) == raw)
