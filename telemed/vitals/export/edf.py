"""One part as EDF+C: the header by edfio, the data records written one after the other, so that nothing is held.

EDF+ (Kemp, Olivan 2003) sections 2.1 and 2.2. Digital values are the stored samples, exactly. What is missing is
digital -32768, which no sample is, and named by an annotation ("Gap"); so are the samples after the last, to the end of
its record ("End of signal"). The physical ends have eight characters each: where the gain does not fit, the physical
values are off by the error that the manifest gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from math import gcd
from typing import IO, Final

import numpy as np
from edfio import Edf, EdfAnnotation, EdfSignal, Patient, Recording

from telemed.vitals.export.faults import ExportTooWide
from telemed.vitals.export.parts import Part
from telemed.vitals.export.text import ascii_of
from telemed.vitals.fixes import moment
from telemed.vitals.live import Channel
from telemed.vitals.storage.reading_columns import MISSING, Samples

NOTES_BYTES: Final = 128  # of annotations in a record: its time, and three gaps
LOW: Final = -32_768
HIGH: Final = 32_767
MISSING_16: Final = -32_768
RECORD_SAMPLES: Final = 4_096  # at the most where a whole number of seconds has no whole number of samples
FINER: Final = {"V": (("V", 1), ("mV", 1_000), ("uV", 1_000_000)), "mV": (("mV", 1), ("uV", 1_000))}
_RECORDS_AT: Final = 236  # of the number of data records in the header, 8 characters
_FIXED_NOTE: Final = 10  # bytes of an annotation record beside one text, as edfio writes them


@dataclass(frozen=True, slots=True)
class Scale:
    """How a channel's physical values stand in the header; ``gain_error`` is relative."""

    unit: str
    low: float
    high: float
    gain_error: float


def scale_of(channel: Channel) -> Scale:
    """The unit in which the channel's ends lose least in eight characters. Raises ``ExportTooWide``."""
    found = []
    for unit, times in FINER.get(channel.unit, ((channel.unit, 1),)):
        gain, offset = Decimal(repr(channel.gain)) * times, Decimal(repr(channel.offset)) * times
        low, high = _eight(LOW * gain + offset), _eight(HIGH * gain + offset)
        if low is None or high is None or low == high:
            continue
        error = abs(float((high - low) / (HIGH - LOW) / gain) - 1)
        found.append(Scale(unit, float(low), float(high), error))
    if not found:
        raise ExportTooWide()
    return min(found, key=lambda one: one.gain_error)


def _eight(value: Decimal) -> Decimal | None:
    """The nearest number that eight characters hold; None when there is none."""
    for places in range(7, -1, -1):
        text = f"{value:.{places}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        if len(text) <= 8:
            return Decimal(text)
    return None


class EdfWriter:
    """Writes one part into ``target``. ``patient`` is what the header may say of the patient (None: nothing)."""

    def __init__(self, target: IO[bytes], part: Part, patient: str | None) -> None:
        self._target, self._part = target, part
        num, den = part.stream.card.rate or (1, 1)
        whole = num // gcd(num, den)
        self._seconds = Decimal(den // gcd(num, den)) if whole <= RECORD_SAMPLES else Decimal(1)
        self.samples = whole if whole <= RECORD_SAMPLES else max(1, round(num / den))  # a record
        self._begin = moment(part.t0_us)
        self._records = -(-part.n // self.samples)
        self._done = 0
        self._left = np.empty((len(part.stream.card.channels), 0), np.int16)
        self._notes = _notes(part, self.samples)
        target.write(self._header(patient))

    def feed(self, samples: Samples) -> None:
        """Take the next samples, int32 (channels, n). Raises ``ExportTooWide``."""
        there = samples != MISSING
        if (samples[there] <= LOW).any() or (samples[there] > HIGH).any():
            raise ExportTooWide()
        narrow = np.where(there, samples, MISSING_16).astype("<i2")
        held = np.concatenate([self._left, narrow], axis=1)
        count = held.shape[1] // self.samples
        self._write(held[:, : count * self.samples], count)
        self._left = held[:, count * self.samples :]

    def end(self) -> None:
        """Write the last record, of which the end is missing."""
        if self._left.shape[1]:
            rest = self.samples - self._left.shape[1]
            self._write(np.pad(self._left, ((0, 0), (0, rest)), constant_values=MISSING_16), 1)

    def _write(self, samples: Samples, count: int) -> None:
        channels = samples.shape[0]
        if not count:
            return
        by_record = np.ascontiguousarray(
            samples.reshape(channels, count, self.samples).transpose(1, 0, 2).astype("<i2", copy=False)
        ).reshape(count, -1).view(np.uint8)
        notes = np.frombuffer(b"".join(self._note(self._done + at) for at in range(count)), np.uint8)
        self._target.write(np.concatenate([by_record, notes.reshape(count, NOTES_BYTES)], axis=1).tobytes())
        self._done += count

    def _onset(self, sample: int) -> str:
        """Seconds since the file's second began, of a sample since the file's first."""
        num, den = self._part.stream.card.rate or (1, 1)
        at = Decimal(self._begin.microsecond) / 1_000_000 + Decimal(sample) * den / num
        return f"+{at:.6f}".rstrip("0").rstrip(".")

    def _note(self, record: int) -> bytes:
        text = f"{self._onset(record * self.samples)}\x14\x14\x00".encode()
        num, den = self._part.stream.card.rate or (1, 1)
        for sample, length, said in self._notes.get(record, ()):
            lasts = f"{Decimal(length) * den / num:.6f}".rstrip("0").rstrip(".")
            more = f"{self._onset(sample)}\x15{lasts}\x14{said}\x14\x00".encode()
            if len(text) + len(more) <= NOTES_BYTES:  # more gaps in one record than that are told by the samples
                text += more
        return text.ljust(NOTES_BYTES, b"\x00")

    def _header(self, patient: str | None) -> bytes:
        card = self._part.stream.card
        signals = []
        for channel in card.channels:
            scale = scale_of(channel)
            name = f"ECG {channel.name}" if card.kind == "ecg" else channel.name
            signals.append(EdfSignal.from_digital(
                np.zeros(self.samples, np.int16), self.samples / float(self._seconds), label=ascii_of(name, 16),
                physical_dimension=ascii_of(scale.unit, 8), physical_range=(scale.low, scale.high),
                digital_range=(LOW, HIGH),
            ))
        edf = Edf(
            signals, patient=Patient(name="X" if patient is None else ascii_of(patient, 60).replace(" ", "_")),
            recording=Recording(
                startdate=self._begin.date(), equipment_code=ascii_of(card.device, 40).replace(" ", "_") or "X"),
            starttime=self._begin.astimezone(UTC).time().replace(microsecond=0, tzinfo=None),
            data_record_duration=float(self._seconds),
            annotations=[EdfAnnotation(0, None, "x" * (NOTES_BYTES - _FIXED_NOTE))],
        )
        header = bytearray(edf.to_bytes()[: edf.bytes_in_header_record])
        header[_RECORDS_AT : _RECORDS_AT + 8] = str(self._records).ljust(8).encode()
        return bytes(header)


def _notes(part: Part, record: int) -> dict[int, list[tuple[int, int, str]]]:
    """(sample, samples, text) of each annotation, by the record that it stands in; samples since the part's first."""
    found: dict[int, list[tuple[int, int, str]]] = {}
    for first, n in part.holes:
        at = first - part.first
        found.setdefault(at // record, []).append((at, n, "Gap"))
    if part.n % record:
        found.setdefault(part.n // record, []).append((part.n, record - part.n % record, "End of signal"))
    return found
