"""The data records of an EDF, EDF+ or BDF file, as channels; those of a discontinuous one (EDF+D) with their gaps.

The file's own integers, 16 bits or BDF's 24; -32768 (-8388608) means missing: an amplifier at its lower end has
nothing to say, and our own export writes it so. Annotations are not read but for the times of records. Faults:
``truncated``, ``trailing_bytes``, ``scale``, and of EDF+D ``record_untimed`` and ``record_out_of_order`` (left out)
and ``record_overlaps`` (kept behind the one before it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_devices.edf.header import EdfHeader, EdfSignal, parse
from telemed_devices.edf.onsets import MAX_TAL_BYTES, onset
from telemed_devices.recording import (
    MAX_SAMPLES,
    MAX_SPAN_S,
    Faults,
    RecordedChannel,
    Recording,
    RecordingTooLarge,
    Samples,
    Stretch,
    fit_scale,
)

TOLERANCE_S: Final = Fraction(1, 1000)
"""Onsets are often written to the millisecond: a record so near to the end of the one before follows it."""
MISSING_24: Final = -(1 << 23)


@dataclass(frozen=True, slots=True)
class _Run:
    """Records [first, end) of the file, contiguous in time, the first one ``at`` seconds after the file's first."""

    first: int
    end: int
    at: Fraction


def decode(data: bytes) -> Recording:
    """Read a file. Raises ``RecordingHeader`` and ``RecordingTooLarge``."""
    header, faults = parse(data), Faults()
    body = memoryview(data)[header.header_bytes :]
    whole, rest = divmod(len(body), header.record_bytes)
    waves = [one for one in header.signals if one.is_wave]
    declared = whole + (rest > 0) if header.records is None else header.records
    there = min(whole, declared)
    left = rest if whole < declared else 0  # bytes of a record that ends early
    if sum(one.samples for one in waves) * (there + (left > 0)) > MAX_SAMPLES:
        raise RecordingTooLarge
    if header.records is not None and len(body) > declared * header.record_bytes:
        faults.add("trailing_bytes", reason="behind the last record that the header counts")
    runs, left = _runs(header, body, there, left, waves, faults)
    if any(run.at + (run.end - run.first) * header.record_s > MAX_SPAN_S for run in runs):
        raise RecordingTooLarge
    channels = [
        _channel(header, one, place, body, runs, there, left, declared, faults) for place, one in enumerate(waves)
    ]
    return Recording("bdf" if header.width == 3 else "edf", tuple(channels), tuple(faults.found))


def _channel(
    header: EdfHeader, one: EdfSignal, place: int, body: memoryview, runs: list[_Run], there: int, left: int,
    declared: int, faults: Faults,
) -> RecordedChannel:  # fmt: skip
    column = header.width * sum(before.samples for before in header.signals[: _index(header, one)])
    table = np.frombuffer(body, np.uint8, there * header.record_bytes).reshape(there, header.record_bytes)
    columns = table[:, column : column + header.width * one.samples]
    stretches = []
    end = cut = 0
    for run in runs:
        first = max(end, round(run.at * one.samples / header.record_s))
        samples = _integers(columns[run.first : min(run.end, there)], header.width)
        if run.end > there:  # the record that ends early: what there is of this channel
            tail = body[there * header.record_bytes :][column : min(left, column + header.width * one.samples)]
            cut = len(tail) // header.width
            rest = np.frombuffer(tail, np.uint8, cut * header.width)
            samples = np.concatenate([samples, _integers(rest, header.width)])
        if samples.size:
            stretches.append(Stretch(first, samples, one.gain, one.offset))
            end = first + samples.size
    missing = (declared - there) * one.samples - cut
    if missing:
        faults.add("truncated", place, end, end + missing, "the file ends early")
    if not fit_scale(one.gain, one.offset):
        faults.add("scale", place, reason="the physical or digital ends make no scale")
    return RecordedChannel(one.label, one.unit, header.rate_hz(one), end, tuple(stretches))


def _index(header: EdfHeader, one: EdfSignal) -> int:
    return next(place for place, other in enumerate(header.signals) if other is one)


def _integers(columns: npt.NDArray[np.uint8], width: int) -> Samples:
    """The bytes of some samples, little-endian, as int16 or, of 24 bits, int32."""
    raw = np.ascontiguousarray(columns).reshape(-1)
    if width == 2:
        return raw.view("<i2").astype(np.int16)
    triples = raw.reshape(-1, 3).astype(np.int32)
    values = triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16
    values = np.where(values >= 1 << 23, values - (1 << 24), values)
    found: Samples = np.where(values == MISSING_24, np.iinfo(np.int32).min, values).astype(np.int32)
    return found


def _runs(
    header: EdfHeader, body: memoryview, there: int, left: int, waves: list[EdfSignal], faults: Faults
) -> tuple[list[_Run], int]:
    """The stretches of contiguous records, and how many bytes of a last, cut record belong to the last of them."""
    everything = there + (left > 0)
    if not header.discontinuous or not waves:
        return ([_Run(0, everything, Fraction(0))] if everything else []), left
    # Without the time of a cut record nobody knows where its samples belong.
    timed = list(_onsets(header, body, there, faults))
    if not timed:
        return [], 0
    fastest = max(one.samples for one in waves) / header.record_s
    tolerance = max(TOLERANCE_S, Fraction(1, 2) / fastest)
    runs: list[_Run] = []
    begin = timed[0][1]
    for record, at in timed:
        since = at - begin
        if not runs:
            runs.append(_Run(record, record + 1, since))
            continue
        last = runs[-1]
        end = last.at + (last.end - last.first) * header.record_s
        if since < end - header.record_s:
            faults.add("record_out_of_order", reason=f"record {record}")
            continue
        if since < end - tolerance:
            faults.add("record_overlaps", reason=f"record {record}")
        if since <= end + tolerance and record == last.end:
            runs[-1] = _Run(last.first, record + 1, last.at)
        else:
            runs.append(_Run(record, record + 1, max(since, end)))
    return runs, 0


def _onsets(header: EdfHeader, body: memoryview, there: int, faults: Faults) -> Iterator[tuple[int, Fraction]]:
    """Each record's number and the second at which it began; one without it is told and left out."""
    at = 0
    for one in header.signals:
        if one.annotations:
            break
        at += header.width * one.samples
    else:
        faults.add("record_untimed", reason="no annotations to say when a record begins")
        return
    size = min(MAX_TAL_BYTES, header.width * one.samples)
    for record in range(there):
        begin = record * header.record_bytes + at
        found = onset(bytes(body[begin : begin + size]))
        if found is None:
            faults.add("record_untimed", reason=f"record {record}")
        else:
            yield record, found
