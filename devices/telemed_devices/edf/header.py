"""The header of an EDF, EDF+ or BDF file (edfplus.info, "Specification of EDF" and "EDF+", section 2.1).

``parse`` takes any bytes and raises ``RecordingHeader`` with the field that cannot be read, nothing else. Patient,
recording and dates are not looked at: they are nobody's business here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from telemed_devices.recording import MAX_CHANNELS, MAX_RATE_HZ, RecordingHeader, clean, unit_of

FIXED_BYTES: Final = 256
SIGNAL_BYTES: Final = 256
EDF_MAGIC: Final = b"0       "
BDF_MAGIC: Final = b"\xffBIOSEMI"
MAX_SIGNALS: Final = 4 * MAX_CHANNELS  # of the file; those that are no annotations are bounded by MAX_CHANNELS
MAX_RECORD_SAMPLES: Final = 1 << 26  # of all signals in one record
MAX_RECORD_S: Final = 86_400 * 40
WIDTHS: Final = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
"""Label, transducer, dimension, physical minimum and maximum, digital minimum and maximum, prefilter, samples,
reserved: each for all signals in turn."""
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")


@dataclass(frozen=True, slots=True)
class EdfSignal:
    """One signal's part of the header. ``gain`` is 0 where the header gives none that can be used."""

    label: str
    unit: str
    gain: float
    offset: float
    samples: int  # a record
    annotations: bool

    @property
    def is_wave(self) -> bool:
        """Whether there are samples of a channel in it."""
        return not self.annotations and self.samples > 0


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """``records`` is None where the recorder did not say (-1). ``record_s`` is exact; ``width`` is bytes a sample."""

    width: int
    header_bytes: int
    discontinuous: bool
    records: int | None
    record_s: Fraction
    signals: tuple[EdfSignal, ...]

    @property
    def record_bytes(self) -> int:
        """Bytes of one data record."""
        return self.width * sum(one.samples for one in self.signals)

    def rate_hz(self, signal: EdfSignal) -> float:
        """Samples a second."""
        return float(signal.samples / self.record_s)


def is_edf(data: bytes) -> bool:
    """Whether a file begins as EDF or BDF does (its first 8 bytes)."""
    return data[:8] in (EDF_MAGIC, BDF_MAGIC)


def parse(data: bytes) -> EdfHeader:
    """Read the header. Raises ``RecordingHeader``."""
    if not is_edf(data):
        raise RecordingHeader(where="version")
    if len(data) < FIXED_BYTES:
        raise RecordingHeader(where="length")
    kind = _text(data, 192, 44)
    count = _whole(_text(data, 252, 4), "signals")
    if not 0 < count <= MAX_SIGNALS:
        raise RecordingHeader(where="signals")
    size = FIXED_BYTES + SIGNAL_BYTES * count
    if _whole(_text(data, 184, 8), "header_bytes") != size or len(data) < size:
        raise RecordingHeader(where="header_bytes")
    records = _whole(_text(data, 236, 8), "records")
    record_s = _number(_text(data, 244, 8))
    if records < -1 or record_s is None or not 0 <= record_s <= MAX_RECORD_S:
        raise RecordingHeader(where="records" if records < -1 else "record_duration")
    signals = _signals(data, count)
    header = EdfHeader(
        3 if data[:8] == BDF_MAGIC else 2, size, kind[4:5] == "D" and kind[:4] in ("EDF+", "BDF+"),
        None if records < 0 else records, record_s, signals,
    )  # fmt: skip
    if not 0 < sum(one.samples for one in signals) <= MAX_RECORD_SAMPLES:
        raise RecordingHeader(where="samples")
    waves = [one for one in signals if one.is_wave]
    if len(waves) > MAX_CHANNELS:
        raise RecordingHeader(where="signals")
    if waves and (record_s == 0 or max(header.rate_hz(one) for one in waves) > MAX_RATE_HZ):
        raise RecordingHeader(where="record_duration")
    return header


def _signals(data: bytes, count: int) -> tuple[EdfSignal, ...]:
    columns, at = [], FIXED_BYTES
    for width in WIDTHS:
        columns.append([_text(data, at + place * width, width) for place in range(count)])
        at += width * count
    labels, _, units, *ends, _, samples, _ = columns
    found = []
    for place in range(count):
        label = clean(labels[place])
        number = _whole(samples[place], "samples")
        if not 0 <= number <= MAX_RECORD_SAMPLES:
            raise RecordingHeader(where="samples")
        gain, offset = _scale([_number(column[place]) for column in ends])
        annotations = label in ("EDF Annotations", "BDF Annotations")  # EDF+ section 2.2.1
        found.append(EdfSignal(
            label or f"signal {place + 1}", unit_of(units[place]), gain, offset, number, annotations))
    return tuple(found)


def _scale(ends: list[Fraction | None]) -> tuple[float, float]:
    """physical = gain x digital + offset, of the four ends; a gain of 0 where they make none."""
    low, high, digital_low, digital_high = ends
    if low is None or high is None or digital_low is None or digital_high is None or digital_low == digital_high:
        return 0.0, 0.0
    gain = (high - low) / (digital_high - digital_low)
    return float(gain), float(low - gain * digital_low)


def _text(data: bytes, at: int, width: int) -> str:
    # Not always the ASCII that the standard wants: a name in Latin-1 is no reason to refuse a recording.
    return data[at : at + width].decode("latin-1").strip(" \0")


def _number(text: str) -> Fraction | None:
    """A number as EDF writes it, some with a decimal comma; exact, so that a rate of 256 is 256."""
    text = text.replace(",", ".")
    return Fraction(text) if len(text) <= 16 and text.isascii() and NUMBER.fullmatch(text) else None


def _whole(text: str, where: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,8}", text):
        raise RecordingHeader(where=where)
    return int(text)
