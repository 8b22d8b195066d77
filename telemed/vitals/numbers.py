"""The ``numeric`` message (protocol section 5) of a device's reading and of a number of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from telemed_devices.readings import Decoded, Reading

from telemed.vitals.live import StreamCard


@dataclass(frozen=True, slots=True)
class DerivedNumber:
    """A number of ours at a consultation time, a decimal in ``unit`` (UCUM); None with the reason in ``quality``.

    ``extra`` says what it was taken from: ``from`` (lead or wave), ``window_s``, ``index`` (its quality, 0 to 1).
    """

    kind: str
    value: str | None
    unit: str
    at_us: int
    quality: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


def reading_json(reading: Reading) -> dict[str, Any]:
    """A reading in the words of the message: decimals as text."""
    extra: dict[str, str | None] = {name: _text(value) for name, value in reading.extra.items()}
    if reading.device_time is not None:
        extra["device_time"] = reading.device_time
    if reading.raw and reading.value is None:
        extra["raw"] = reading.raw
    return {
        "kind": reading.kind, "value": _text(reading.value), "unit": reading.unit,
        "quality": list(reading.quality), "extra": extra,
    }


def reading_message(card: StreamCard, reading: Mapping[str, Any], at_us: int) -> str:
    """The message of a device's own number (a reading as :func:`reading_json` makes it)."""
    return json.dumps(
        {"type": "numeric", **reading, "at_us": at_us, "source": card.device, "origin": card.origin,
         "derived": False},
        ensure_ascii=False,
    )


def derived_message(card: StreamCard, number: DerivedNumber) -> str:
    """The message of a number of ours, computed from the stream."""
    return json.dumps(
        {"type": "numeric", "kind": number.kind, "value": number.value, "unit": number.unit, "at_us": number.at_us,
         "source": card.device, "origin": card.origin, "derived": True, "quality": list(number.quality),
         "extra": dict(number.extra)},
        ensure_ascii=False,
    )


def stored_readings(decoded: Decoded) -> bytes:
    """What is kept of a decoded chunk: readings and faults as JSON."""
    faults = [{"code": one.code, "offset": one.offset, "reason": one.reason} for one in decoded.faults]
    kept = {"readings": [reading_json(one) for one in decoded.readings], "faults": faults}
    return json.dumps(kept, ensure_ascii=False).encode()


def _text(value: Decimal | str | None) -> str | None:
    return format(value, "f") if isinstance(value, Decimal) else value
