"""The text of a ``.hea`` file (header(5)): one segment's signals, or the segments of a longer record.

``parse`` takes any bytes; it raises ``RecordingHeader`` with the line that cannot be read, and nothing else.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from telemed_devices.recording import MAX_CHANNELS, MAX_RATE_HZ, RecordingHeader, clean, unit_of

MAX_HEADER_BYTES: Final = 1 << 20
"""Ten thousand segments at a hundred characters."""
MAX_SEGMENTS: Final = 10_000
MAX_FRAME: Final = 1_000
"""Samples of one signal in a frame; 16 is the most met."""
DEFAULT_RATE_HZ: Final = 250.0  # header(5), "sampling frequency"
DEFAULT_GAIN: Final = 200.0  # header(5), "ADC gain": also where it is 0
MAX_COUNT: Final = 1 << 40  # a sample count or offset beyond it is no number of this world

RECORD: Final = re.compile(
    r"(?P<name>[^\s/]+)(?:/(?P<segments>\d{1,9}))?\s+(?P<signals>\d{1,9})"
    r"(?:\s+(?P<rate>[\d.eE+-]{1,40})(?:/[^\s]*)?(?:\s+(?P<samples>\d{1,15}))?)?(?:\s.*)?"
)
FORMAT: Final = re.compile(
    r"(?P<format>\d{1,6})(?:x(?P<frame>\d{1,9}))?(?::(?P<skew>\d{1,9}))?(?:\+(?P<offset>\d{1,15}))?")
GAIN: Final = re.compile(r"(?P<gain>[\d.eE+-]{1,40})(?:\((?P<baseline>[+-]?\d{1,12})\))?(?:/(?P<unit>\S+))?")
SEGMENT: Final = re.compile(r"(?P<name>\S+)\s+(?P<samples>\d{1,15})")
FILE: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*")
"""A bare name: nothing that leads to another folder (header(5) itself asks for letters, digits, _ and -)."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal line. ``file`` None: absent (``~``) or not a bare name. physical = (count - baseline) / gain."""

    file: str | None
    format: int
    frame: int  # samples a frame
    skew: int  # frames by which it is late
    offset: int  # bytes before the first sample in its file
    gain: float
    calibrated: bool
    baseline: int
    unit: str
    initial: int
    checksum: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One line of a master header: the name of a record, None where nothing was recorded, and its frames."""

    name: str | None
    samples: int


@dataclass(frozen=True, slots=True)
class Header:
    """One ``.hea`` file. ``samples`` (frames) is None where it is not said; ``segments`` None for a plain record."""

    name: str
    rate_hz: float
    samples: int | None
    signals: tuple[Signal, ...] = ()
    segments: tuple[Segment, ...] | None = None


def parse(data: bytes) -> Header:
    """Read a header. Raises ``RecordingHeader``."""
    if len(data) > MAX_HEADER_BYTES:
        raise RecordingHeader(where="length")
    text = data.decode("utf-8", errors="replace")
    lines = [(number, line.strip()) for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise RecordingHeader(where="line 1")
    number, first = lines[0]
    record = RECORD.fullmatch(first)
    if record is None:
        raise RecordingHeader(where=f"line {number}")
    count = int(record["signals"])
    rate_hz = _real(record["rate"] or str(DEFAULT_RATE_HZ))
    if count > MAX_CHANNELS or rate_hz is None or not 0 < rate_hz <= MAX_RATE_HZ:
        raise RecordingHeader(where=f"line {number}")
    samples = int(record["samples"] or 0) or None
    if samples is not None and samples > MAX_COUNT:
        raise RecordingHeader(where=f"line {number}")
    if record["segments"] is not None:
        segments = _segments(int(record["segments"]), lines[1:], number)
        return Header(record["name"], rate_hz, samples, segments=segments)
    if len(lines) - 1 < count:
        raise RecordingHeader(where=f"line {lines[-1][0] + 1}")
    signals = tuple(_signal(number, line, place) for place, (number, line) in enumerate(lines[1 : count + 1]))
    return Header(record["name"], rate_hz, samples, signals)


def _segments(count: int, lines: list[tuple[int, str]], above: int) -> tuple[Segment, ...]:
    if not 0 < count <= MAX_SEGMENTS or len(lines) < count:
        raise RecordingHeader(where=f"line {above}")
    found = []
    for number, line in lines[:count]:
        segment = SEGMENT.match(line)
        if segment is None or int(segment["samples"]) > MAX_COUNT:
            raise RecordingHeader(where=f"line {number}")
        name = segment["name"]
        if name != "~" and not FILE.fullmatch(name):
            raise RecordingHeader(where=f"line {number}")
        found.append(Segment(None if name == "~" else name, int(segment["samples"])))
    return tuple(found)


def _signal(number: int, line: str, place: int) -> Signal:
    words = line.split(maxsplit=8)
    kind = FORMAT.fullmatch(words[1]) if len(words) > 1 else None
    scale = GAIN.fullmatch(words[2]) if len(words) > 2 else None
    if kind is None or (len(words) > 2 and scale is None):
        raise RecordingHeader(where=f"line {number}")
    frame, skew, offset = int(kind["frame"] or 1), int(kind["skew"] or 0), int(kind["offset"] or 0)
    if not 0 < frame <= MAX_FRAME or offset > MAX_COUNT:
        raise RecordingHeader(where=f"line {number}")
    zero = _whole(words, 4, number) or 0
    baseline = int(scale["baseline"]) if scale is not None and scale["baseline"] else zero
    gain = _real(scale["gain"]) if scale is not None else 0.0
    if gain is None:
        raise RecordingHeader(where=f"line {number}")
    initial = _whole(words, 5, number)
    name = clean(words[8]) if len(words) > 8 else ""
    return Signal(
        words[0] if FILE.fullmatch(words[0]) and words[0] != "~" else None, int(kind["format"]), frame, skew, offset,
        gain or DEFAULT_GAIN, gain != 0.0, baseline, unit_of(scale["unit"] or "mV") if scale is not None else "mV",
        zero if initial is None else initial, _whole(words, 6, number), name or f"signal {place + 1}",
    )  # fmt: skip


def _whole(words: list[str], at: int, number: int) -> int | None:
    if len(words) <= at:
        return None
    if not re.fullmatch(r"[+-]?\d{1,12}", words[at]):
        raise RecordingHeader(where=f"line {number}")
    return int(words[at])


def _real(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
