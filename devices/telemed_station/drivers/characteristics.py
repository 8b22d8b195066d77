"""Characteristic values as simulated Bluetooth devices send them; the bytes are made by ``telemed_devices.gatt``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from telemed_devices.gatt import (
    encode_blood_pressure,
    encode_heart_rate,
    encode_pulse_oximetry,
    encode_temperature,
)

# PLX Continuous, measurement status bits (GATT 0x2A5F).
MEASUREMENT_ONGOING = 1 << 5
FULLY_QUALIFIED = 1 << 8
QUESTIONABLE = 1 << 14

ARMPIT = 1  # temperature type (GATT 0x2A1D)
RR_UNITS = 1024  # RR intervals are in 1/1024 s (GATT 0x2A37)
RR_MAX = 9  # as many as fit beside an 8-bit rate in a 20-byte notification


def oximetry(spo2_pct: int, pulse_per_min: int, *, questionable: bool = False) -> bytes:
    """PLX Continuous Measurement, GATT 0x2A5F, with the measurement status field."""
    status = MEASUREMENT_ONGOING | (QUESTIONABLE if questionable else FULLY_QUALIFIED)
    return encode_pulse_oximetry(Decimal(spo2_pct), Decimal(pulse_per_min), status=status)


def blood_pressure(systolic: int, diastolic: int, mean: int, pulse_per_min: int) -> bytes:
    """Blood Pressure Measurement, GATT 0x2A35, in mmHg with the pulse rate."""
    return encode_blood_pressure(Decimal(systolic), Decimal(diastolic), Decimal(mean), pulse=Decimal(pulse_per_min))


def temperature(tenths: int) -> bytes:
    """Temperature Measurement, GATT 0x2A1C, in tenths of a °C, taken in the armpit."""
    return encode_temperature(Decimal(tenths).scaleb(-1), site=ARMPIT)


def heart_rate(per_min: int, intervals_us: Sequence[int]) -> bytes:
    """Heart Rate Measurement, GATT 0x2A37, with contact and the RR intervals since the last one, oldest first."""
    intervals = [min(0xFFFF, round(us * RR_UNITS / 1_000_000)) for us in intervals_us]
    return encode_heart_rate(per_min, contact=True, rr_1024=intervals[-RR_MAX:])
