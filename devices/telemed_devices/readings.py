"""A measured number with its unit, its doubts and the number as the device gave it.

Kinds and units (UCUM) are those of docs/protocol.md section 5. "Missing" is never a number: ``value`` is None
and ``quality`` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from telemed_devices.faults import DeviceFault

Extra = Mapping[str, Decimal | str | None]
_NOTHING: Final[Extra] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reading:
    """One number that a device sent, or the reason why it sent none.

    ``quality`` holds stable words (``not_a_number``, ``implausible``, ``motion`` …), empty when nothing is
    doubted. ``device_time`` is the device's own local time without a zone (ISO 8601), ``raw`` the number as the
    device wrote it, kept when the gate withholds ``value``.
    """

    kind: str
    value: Decimal | None
    unit: str
    quality: tuple[str, ...] = ()
    device_time: str | None = None
    extra: Extra = field(default_factory=lambda: _NOTHING)  # Python 3.11 cannot hash it as a default
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a payload held: readings that could be read, and what was wrong with the rest."""

    readings: tuple[Reading, ...] = ()
    faults: tuple[DeviceFault, ...] = ()


# Our own bounds, from no standard: outside them a number is far more often a decoding or sensor fault than a
# measurement. Inclusive, in the unit of the kind.
PLAUSIBLE: Final[Mapping[str, tuple[Decimal, Decimal]]] = MappingProxyType(
    {
        "spo2": (Decimal(0), Decimal(100)),
        "heart_rate": (Decimal(20), Decimal(350)),
        "pulse_rate": (Decimal(20), Decimal(350)),
        "respiration_rate": (Decimal(2), Decimal(150)),
        "temperature": (Decimal(25), Decimal(45)),
        "systolic": (Decimal(30), Decimal(300)),
        "diastolic": (Decimal(10), Decimal(250)),
    }
)
DOUBTFUL_SPO2: Final = Decimal(50)
"""Below this an oximeter's number is flagged ``low_confidence``: calibration curves end well above it."""


def plausible(name: str, value: Decimal) -> bool:
    """Whether the number lies within the bounds of its name; a name without bounds is always plausible."""
    bounds = PLAUSIBLE.get(name)
    return bounds is None or bounds[0] <= value <= bounds[1]


def gated(reading: Reading) -> Reading:
    """The reading, its value withheld and marked ``implausible`` when no body has such a number."""
    if reading.value is None:
        return reading
    if not plausible(reading.kind, reading.value):
        return replace(reading, value=None, quality=(*reading.quality, "implausible"))
    if reading.kind == "spo2" and reading.value < DOUBTFUL_SPO2:
        return replace(reading, quality=(*reading.quality, "low_confidence"))
    return reading
