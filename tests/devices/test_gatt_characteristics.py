"""The four characteristics: vectors, every flag, every truncation, round trips through the simulators' encoders."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemed_devices import gatt
from telemed_devices.gatt import (
    encode_blood_pressure,
    encode_heart_rate,
    encode_pulse_oximetry,
    encode_temperature,
)
from telemed_devices.readings import Decoded, Reading

D = Decimal
HEART, CUFF, FEVER, OXIMETER = "gatt:2a37", "gatt:2a35", "gatt:2a1c", "gatt:2a5f"
WHEN = datetime(2026, 3, 29, 3, 30, 0)


def codes(decoded: Decoded) -> list[str]:
    return [fault.code for fault in decoded.faults]


def only(decoded: Decoded) -> Reading:
    assert len(decoded.readings) == 1, decoded
    return decoded.readings[0]


# Heart rate, 0x2A37


@pytest.mark.parametrize(
    ("raw", "value", "quality", "extra"),
    [
        ("0048", D(72), (), {}),
        ("014800", D(72), (), {}),
        ("012C01", D(300), (), {}),
        ("0448", D(72), ("no_contact",), {}),
        ("0648", D(72), (), {}),
        ("0248", D(72), (), {}),
        ("08483412", D(72), (), {"energy_kj": D(0x1234)}),
        ("1048", D(72), (), {"rr_1024": ""}),
        ("104800040104", D(72), (), {"rr_1024": "1024 1025"}),
        ("1F4800 0100 0004".replace(" ", ""), D(72), (), {"energy_kj": D(1), "rr_1024": "1024"}),
        ("0013", None, ("implausible",), {}),
        ("01FFFF", None, ("implausible",), {}),
    ],
)
def test_heart_rate(raw: str, value: Decimal | None, quality: tuple[str, ...], extra: dict[str, object]) -> None:
    decoded = gatt.decode(HEART, bytes.fromhex(raw))
    reading = only(decoded)
    assert (reading.kind, reading.value, reading.unit, reading.quality) == ("heart_rate", value, "/min", quality)
    assert dict(reading.extra) == extra
    assert decoded.faults == ()
    assert reading.raw.isdigit()


@pytest.mark.parametrize("raw", ["", "00", "01", "0148", "08484F", "10480004FF", "004800", "1F480001"])
def test_heart_rate_of_a_wrong_length_gives_no_reading(raw: str) -> None:
    decoded = gatt.decode(HEART, bytes.fromhex(raw))
    assert decoded.readings == ()
    assert codes(decoded)[0] in ("gatt_short", "gatt_trailing")


def test_reserved_flags_are_noted_and_ignored() -> None:
    decoded = gatt.decode(HEART, bytes.fromhex("E048"))
    assert only(decoded).value == 72
    assert codes(decoded) == ["gatt_reserved"]


@given(
    st.integers(20, 350),
    st.none() | st.booleans(),
    st.none() | st.integers(0, 65_535),
    st.lists(st.integers(0, 65_535), max_size=9),
)
def test_heart_rate_round_trip(rate: int, contact: bool | None, energy: int | None, rr: list[int]) -> None:
    value = encode_heart_rate(rate, contact=contact, energy_kj=energy, rr_1024=rr)
    decoded = gatt.decode(HEART, value)
    reading = only(decoded)
    assert reading.value == rate
    assert decoded.faults == ()
    assert ("no_contact" in reading.quality) == (contact is False)
    assert reading.extra.get("energy_kj") == energy
    assert reading.extra.get("rr_1024", "") == " ".join(map(str, rr))


# Blood pressure, 0x2A35


def test_blood_pressure_of_a_conforming_cuff() -> None:
    decoded = gatt.decode(CUFF, bytes.fromhex("167C0056006100E807060F11111B33000000"))
    assert decoded.faults == ()
    assert only(decoded) == Reading(
        "blood_pressure", D(124), "mm[Hg]", (), "2024-06-15T17:17:27",
        {"diastolic": D(86), "mean": D(97), "pulse": D(51)}, "124/86/97",
    )  # fmt: skip


def test_a_cuff_that_lies_about_its_flags_is_refused() -> None:
    """Big-endian tail and a user byte that the flags do not promise: one byte too many, nothing is reported."""
    decoded = gatt.decode(CUFF, bytes.fromhex("566A0047000000EA07080B121F00003F000000"))
    assert decoded.readings == ()
    assert codes(decoded) == ["gatt_trailing"]


def test_the_public_vectors_of_cuffs(recordings: Path) -> None:
    cases = json.loads((recordings / "devices" / "ble" / "vectors.json").read_text("utf-8"))["characteristics"]
    seen = 0
    for case in (case for case in cases if case["uuid"] == "2A35"):
        decoded = gatt.decode(CUFF, bytes.fromhex(case["hex"]))
        seen += 1
        if "quirk" in case:
            assert decoded.readings == () and decoded.faults
            continue
        expect, reading = case["expect"], only(decoded)
        assert (reading.value, reading.device_time) == (expect["systolic"], expect["timestamp"])
        assert (reading.extra["diastolic"], reading.extra["mean"]) == (expect["diastolic"], expect["map"])
        assert reading.extra["pulse"] == expect["pulse"]
        assert "user" not in reading.extra
    assert seen == 2


def test_a_failed_measurement_has_no_number() -> None:
    reading = only(gatt.decode(CUFF, encode_blood_pressure(None, None, None, status=0x0001)))
    assert (reading.value, reading.quality) == (None, ("not_a_number", "motion"))
    assert dict(reading.extra) == {"diastolic": None, "mean": None}
    assert reading.raw == "not_a_number/not_a_number/not_a_number"


def test_kilopascals_become_millimetres() -> None:
    reading = only(gatt.decode(CUFF, encode_blood_pressure(D("16.0"), D("10.7"), D("12.5"), kpa=True)))
    assert (reading.value, reading.extra["diastolic"], reading.extra["mean"]) == (120, 80, 94)
    assert (reading.raw, reading.extra["given_unit"]) == ("16.0/10.7/12.5", "kPa")


@pytest.mark.parametrize(
    "triple",
    [("400", "80", "90"), ("29", "20", "25"), ("120", "121", "120"), ("120", "80", "130"), ("120", "80", "70")],
)
def test_a_triple_that_no_circulation_has_is_withheld_whole(triple: tuple[str, str, str]) -> None:
    reading = only(gatt.decode(CUFF, encode_blood_pressure(D(triple[0]), D(triple[1]), D(triple[2]))))
    assert (reading.value, reading.extra["diastolic"], reading.extra["mean"]) == (None, None, None)
    assert reading.quality == ("implausible",)
    assert reading.raw == "/".join(triple)


def test_a_cuff_without_a_mean_is_believed() -> None:
    for mean in (None, D(0)):
        reading = only(gatt.decode(CUFF, encode_blood_pressure(D(120), D(80), mean)))
        assert (reading.value, reading.extra["mean"], reading.quality) == (120, mean, ())


def test_the_cuffs_doubts_are_passed_on() -> None:
    reading = only(gatt.decode(CUFF, encode_blood_pressure(D(120), D(80), D(93), status=0b101111, pulse=D(-256000))))
    assert reading.quality == (
        "motion", "cuff_loose", "irregular_pulse", "position", "pulse_above_range", "pulse_implausible",
    )  # fmt: skip
    assert reading.extra["pulse"] is None
    decoded = gatt.decode(CUFF, encode_blood_pressure(D(120), D(80), D(93), status=0xFFC0))
    assert codes(decoded) == ["gatt_reserved"]
    assert only(decoded).value == 120


@given(
    st.tuples(st.integers(30, 300), st.integers(11, 299), st.integers(10, 250)).filter(lambda t: t[0] > t[1] > t[2]),
    st.none() | st.integers(20, 350),
    st.none() | st.just(WHEN),
    st.none() | st.integers(0, 254),
    st.none() | st.sampled_from([0, 1, 2, 4]),
)
def test_blood_pressure_round_trip(
    triple: tuple[int, int, int], pulse: int | None, when: datetime | None, user: int | None, status: int | None
) -> None:
    value = encode_blood_pressure(
        D(triple[0]), D(triple[2]), D(triple[1]),
        pulse=None if pulse is None else D(pulse), device_time=when, user=user, status=status,
    )  # fmt: skip
    decoded = gatt.decode(CUFF, value)
    reading = only(decoded)
    assert decoded.faults == ()
    assert (reading.value, reading.extra["mean"], reading.extra["diastolic"]) == triple
    assert reading.extra.get("pulse") == pulse
    assert reading.device_time == (None if when is None else when.isoformat())
    assert reading.extra.get("user") == (None if user is None else str(user))
    assert bool(reading.quality) == bool(status)


# Temperature, 0x2A1C


@pytest.mark.parametrize(
    ("raw", "value", "given_as"),
    [("006C0100FF", D("36.4"), "36.4"), ("01D90300FF", D("36.94"), "98.5"), ("00EC0E00FE", D("38.20"), "38.20")],
)
def test_temperature(raw: str, value: Decimal, given_as: str) -> None:
    decoded = gatt.decode(FEVER, bytes.fromhex(raw))
    reading = only(decoded)
    assert (reading.kind, reading.value, reading.unit, reading.quality) == ("temperature", value, "Cel", ())
    assert reading.raw == given_as
    assert decoded.faults == ()


def test_temperature_site_time_and_special_values() -> None:
    reading = only(gatt.decode(FEVER, encode_temperature(D("36.6"), device_time=WHEN, site=3)))
    assert (reading.device_time, reading.extra["site"]) == ("2026-03-29T03:30:00", "ear")
    reading = only(gatt.decode(FEVER, encode_temperature(None)))
    assert (reading.value, reading.quality) == (None, ("not_a_number",))
    decoded = gatt.decode(FEVER, encode_temperature(D("36.6"), site=10))
    assert (only(decoded).value, codes(decoded)) == (D("36.6"), ["gatt_reserved"])
    for degrees in (D("12.0"), D("98.6"), D("-300")):
        assert only(gatt.decode(FEVER, encode_temperature(degrees))).quality == ("implausible",)
    decoded = gatt.decode(FEVER, bytes.fromhex("026C0100FFE8070D01000000"))
    assert (only(decoded).value, only(decoded).device_time, codes(decoded)) == (D("36.4"), None, ["gatt_date_time"])


def test_extreme_numbers_stay_numbers() -> None:
    for word in ("FFFF7F7F", "0100807F", "FFFF7F80", "01000080"):
        for flags in ("00", "01"):
            reading = only(gatt.decode(FEVER, bytes.fromhex(flags + word)))
            assert (reading.value, reading.quality) == (None, ("implausible",))
            assert len(reading.raw) < 160


# Pulse oximetry, 0x2A5F


def test_pulse_oximetry() -> None:
    decoded = gatt.decode(OXIMETER, bytes.fromhex("0061004800"))
    spo2, pulse = decoded.readings
    assert (spo2.kind, spo2.value, spo2.unit) == ("spo2", D(97), "%")
    assert (pulse.kind, pulse.value, pulse.unit) == ("pulse_rate", D(72), "/min")
    assert decoded.faults == ()


def test_pulse_oximetry_with_every_field() -> None:
    value = encode_pulse_oximetry(
        D("97.5"), D(72), fast=(D(96), D(73)), slow=(D(98), None), status=1 << 6, device=1 << 5,
        amplitude_index=D("1.25"),
    )  # fmt: skip
    spo2, pulse = gatt.decode(OXIMETER, value).readings
    assert dict(spo2.extra) == {"fast": D(96), "slow": D(98)}
    assert dict(pulse.extra) == {"fast": D(73), "slow": None, "amplitude_index": D("1.25")}
    assert spo2.quality == pulse.quality == ("early_estimate", "low_perfusion")
    assert (spo2.value, pulse.value) == (D("97.5"), D(72))


@pytest.mark.parametrize(("status", "word"), [(1 << 13, "unavailable"), (1 << 15, "invalid")])
def test_a_value_that_the_oximeter_disowns_is_withheld(status: int, word: str) -> None:
    for reading in gatt.decode(OXIMETER, encode_pulse_oximetry(D(97), D(72), status=status)).readings:
        assert (reading.value, reading.quality) == (None, (word,))
        assert reading.raw in ("97", "72")


@pytest.mark.parametrize(
    ("bit", "word"), [(10, "demonstration"), (11, "testing"), (12, "calibration"), (14, "questionable")]
)
def test_a_value_that_the_oximeter_doubts_is_marked(bit: int, word: str) -> None:
    for reading in gatt.decode(OXIMETER, encode_pulse_oximetry(D(97), D(72), status=1 << bit)).readings:
        assert reading.value is not None
        assert reading.quality == (word,)


def test_the_gate_of_saturation() -> None:
    def value(spo2: str) -> tuple[Decimal | None, tuple[str, ...]]:
        reading = gatt.decode(OXIMETER, encode_pulse_oximetry(D(spo2), None)).readings[0]
        return reading.value, reading.quality

    assert value("100") == (D(100), ())
    assert value("101") == (None, ("implausible",))
    assert value("49") == (D(49), ("low_confidence",))
    pulse = gatt.decode(OXIMETER, encode_pulse_oximetry(D(97), None)).readings[1]
    assert (pulse.value, pulse.quality) == (None, ("not_a_number",))


# All of them


def every_length() -> list[tuple[str, bytes]]:
    cuffs = [
        encode_blood_pressure(D(120), D(80), D(93), pulse=pulse, device_time=when, user=user, status=status)
        for pulse, when, user, status in itertools.product((None, D(60)), (None, WHEN), (None, 1), (None, 0))
    ]
    oximeters = [
        encode_pulse_oximetry(D(97), D(72), fast=fast, slow=slow, status=status, device=device, amplitude_index=index)
        for fast, slow, status, device, index in itertools.product(
            (None, (D(97), D(72))), (None, (D(97), D(72))), (None, 0), (None, 0), (None, D(1))
        )
    ]
    fevers = [
        encode_temperature(D("36.6"), device_time=when, site=site)
        for when, site in itertools.product((None, WHEN), (None, 1))
    ]
    hearts = [encode_heart_rate(72, energy_kj=energy) for energy in (None, 5)]
    return [(form, value) for form, values in ((CUFF, cuffs), (OXIMETER, oximeters), (FEVER, fevers), (HEART, hearts))
            for value in values]  # fmt: skip


def test_every_truncation_and_every_extra_byte_is_a_fault_without_a_reading() -> None:
    cases = every_length()
    assert len(cases) == 16 + 32 + 4 + 2
    for form, value in cases:
        assert gatt.decode(form, value).faults == ()
        for length in range(len(value)):
            decoded = gatt.decode(form, value[:length])
            assert (decoded.readings, codes(decoded)) == ((), ["gatt_short"]), (form, value.hex(), length)
        decoded = gatt.decode(form, value + b"\0")
        assert (decoded.readings, codes(decoded)) == ((), ["gatt_trailing"])


@given(st.sampled_from(sorted(gatt.FORMATS)), st.binary(max_size=600))
def test_hostile_bytes_never_raise(form: str, payload: bytes) -> None:
    decoded = gatt.decode(form, payload)
    assert decoded.readings or decoded.faults
    for reading in decoded.readings:
        assert (reading.value is not None) or reading.quality
        assert reading.value is None or reading.value.is_finite()
        assert all(not isinstance(value, Decimal) or value.is_finite() for value in reading.extra.values())
    for fault in decoded.faults:
        assert 0 <= fault.offset <= len(payload)


def test_an_unknown_format_and_a_value_beyond_bluetooth_are_faults() -> None:
    assert codes(gatt.decode("gatt:2a18", b"\0")) == ["format_unknown"]
    assert codes(gatt.decode("native", b"")) == ["format_unknown"]
    assert codes(gatt.decode(HEART, bytes([0x10]) + bytes(600))) == ["gatt_trailing"]
    with pytest.raises(ValueError, match="intervals"):
        encode_heart_rate(72, rr_1024=[800] * 300)
