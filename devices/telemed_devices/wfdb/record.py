"""A record from its header and signal files: one segment, or a master header's many with gaps between them.

Nothing here opens a file: ``needs`` names those that are wanted, ``decode`` takes those that there are. Faults:
``file_missing``, ``format_unsupported``, ``truncated`` (fewer samples than the header says), ``checksum``,
``uncalibrated`` (no gain; header(5) assumes 200 a millivolt), ``scale``, ``segment_differs``, ``more_faults``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from telemed_devices.recording import (
    MAX_SAMPLES,
    MAX_SPAN_S,
    Faults,
    RecordedChannel,
    Recording,
    RecordingFileMissing,
    RecordingFormat,
    RecordingHeader,
    RecordingTooLarge,
    Samples,
    Stretch,
    fit_scale,
)
from telemed_devices.wfdb import signals
from telemed_devices.wfdb.header import Header, Signal, parse

Files = Mapping[str, bytes]
SUFFIX: Final = ".hea"


def needs(name: str, files: Files) -> list[str]:
    """The files, not yet among ``files``, that the header ``name`` names: ask again when they are there.

    Raises ``RecordingHeader`` for that header; one of a segment that cannot be read names nothing.
    """
    header = parse(files[name])
    wanted: dict[str, None] = {}
    headers = [header]
    for segment in header.segments or ():
        file = f"{segment.name}{SUFFIX}"
        if segment.name is None:
            continue
        if file not in files:
            wanted[file] = None
            continue
        found = _parsed(files[file])
        headers += [] if found is None else [found]
    for one in headers:
        wanted.update(dict.fromkeys(signal.file for signal in one.signals if signal.file is not None))
    return [file for file in wanted if file not in files]


def decode(name: str, files: Files) -> Recording:
    """Read the record of the header ``name``; what is not among ``files`` is missing.

    Raises ``RecordingHeader``, ``RecordingFormat`` and ``RecordingFileMissing`` (where no channel has anything else),
    ``RecordingTooLarge``.
    """
    header, faults = parse(files[name]), Faults()
    reader = _Reader(files, faults)
    channels = _single(header, reader) if header.segments is None else _many(header, reader)
    if any(channel.length > MAX_SPAN_S * channel.rate_hz for channel in channels):
        raise RecordingTooLarge
    if channels and not any(channel.stretches for channel in channels):
        if reader.unknown_format is not None:
            raise RecordingFormat(format=reader.unknown_format)
        if reader.missing is not None:
            raise RecordingFileMissing(file=reader.missing)
    return Recording("wfdb", tuple(channels), tuple(faults.found))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one signal of one segment has: its samples, as many as were found of ``declared``."""

    samples: Samples
    declared: int


class _Reader:
    """Reads segments out of the files, within the bounds of one recording."""

    def __init__(self, files: Files, faults: Faults) -> None:
        self.faults = faults
        self.missing: str | None = None
        self.unknown_format: int | None = None
        self._files, self._left = files, MAX_SAMPLES
        self._headers: dict[str, Header | None] = {}

    def header(self, name: str) -> Header | None:
        """The header of a segment; None when it is missing or cannot be read."""
        file = f"{name}{SUFFIX}"
        if file not in self._files:
            self.missing = self.missing or file
            return None
        if name not in self._headers:
            self._headers[name] = _parsed(self._files[file])
        return self._headers[name]

    def lose(self, code: str, plan: Header, frames: int, at: int) -> None:
        """Name a segment of which nothing can be read, for all channels."""
        for place, one in enumerate(plan.signals):
            self.faults.add(code, place, at * one.frame, (at + frames) * one.frame, "segment")

    def segment(self, header: Header, frames: int | None, places: Sequence[int | None], at: int) -> list[_Part | None]:
        """Each signal's samples, None where nothing can be read, and faults with the signal's place and ``at`` frames.

        ``frames`` is how many there should be (None: all that there are). A place of None is nobody's channel.
        """
        found: list[_Part | None] = []
        first = 0
        for file, group in groupby(header.signals, key=lambda one: one.file):
            members = list(group)
            found += self._group(file, members, frames, places[first : first + len(members)], at)
            first += len(members)
        return found

    def _group(
        self, file: str | None, members: list[Signal], frames: int | None, places: Sequence[int | None], at: int
    ) -> list[_Part | None]:
        nothing: list[_Part | None] = [None] * len(members)
        format_ = members[0].format
        if file is None or file not in self._files:
            if format_ != 0:  # 0 is a signal that is not there (signal(5), "null")
                self.missing = self.missing or file or "~"
                self._tell("file_missing", members, places, frames, at)
            return nothing
        if format_ not in signals.FORMATS or any(one.format != format_ for one in members):
            self.unknown_format = self.unknown_format or format_
            self._tell("format_unsupported", members, places, frames, at)
            return nothing
        data = memoryview(self._files[file])[members[0].offset :]
        words = sum(one.frame for one in members)
        skew = max(one.skew for one in members)
        wanted = signals.most(format_, len(data)) if frames is None else (frames + skew) * words
        if min(wanted, signals.most(format_, len(data))) > self._left:
            raise RecordingTooLarge
        stored = signals.samples_of(format_, data, wanted)
        self._left -= stored.size
        count = stored.size // words
        table = stored[: count * words].reshape(count, words)
        declared = count if frames is None else frames
        parts: list[_Part | None] = []
        column = 0
        for one, place in zip(members, places, strict=True):
            samples = np.ascontiguousarray(table[:, column : column + one.frame]).reshape(-1)
            column += one.frame
            if format_ == signals.DIFFERENCES:
                samples = signals.summed(samples, one.initial)
            whole = declared * one.frame
            if place is not None:
                self._check(one, place, samples[:whole], whole, at * one.frame)
            parts.append(_Part(samples[one.skew * one.frame :][:whole], whole))
        return parts

    def _check(self, one: Signal, place: int, samples: Samples, whole: int, at: int) -> None:
        """Name what is wrong with one signal's samples, as stored."""
        if samples.size < whole:
            self.faults.add("truncated", place, at + samples.size, at + whole, "the signal file ends early")
        elif one.checksum is not None and (_sum(samples, one.format) - one.checksum) % 65_536:
            self.faults.add("checksum", place, at, at + whole, "the samples' sum is not the header's")

    def _tell(
        self, code: str, members: list[Signal], places: Sequence[int | None], frames: int | None, at: int
    ) -> None:
        for one, place in zip(members, places, strict=True):
            if place is not None:
                end = None if frames is None else (at + frames) * one.frame
                self.faults.add(code, place, None if frames is None else at * one.frame, end, f"format {one.format}")


def _single(header: Header, reader: _Reader) -> list[RecordedChannel]:
    parts = reader.segment(header, header.samples, range(len(header.signals)), 0)
    channels = []
    for place, (one, part) in enumerate(zip(header.signals, parts, strict=True)):
        _scale_faults(one, place, reader.faults)
        held = () if part is None or not part.samples.size else (_stretch(one, 0, part.samples),)
        # What the file does not have was named as truncated; what a skew leaves at the end is a gap.
        length = 0 if part is None else min(part.declared, part.samples.size + one.skew * one.frame)
        channels.append(RecordedChannel(one.name, one.unit, header.rate_hz * one.frame, length, held))
    return channels


def _many(master: Header, reader: _Reader) -> list[RecordedChannel]:
    segments = master.segments or ()
    layout = reader.header(segments[0].name) if segments[0].samples == 0 and segments[0].name is not None else None
    plan = layout or next((found for one in segments if one.name and (found := reader.header(one.name))), None)
    if plan is None:
        if reader.missing is not None:
            raise RecordingFileMissing(file=reader.missing)
        raise RecordingHeader(where="segment 1")
    held: list[list[Stretch]] = [[] for _ in plan.signals]
    at = 0
    for segment in segments:
        if segment.name is not None and segment.samples:
            header = reader.header(segment.name)
            fits = header is not None and header.segments is None and header.rate_hz == master.rate_hz
            if header is None or not fits:
                reader.lose("file_missing" if header is None else "segment_differs", plan, segment.samples, at)
            else:
                for place, stretch in _placed(header, plan, layout is not None, segment.samples, at, reader):
                    held[place].append(stretch)
        at += segment.samples
    channels = []
    for place, one in enumerate(plan.signals):
        stretches = tuple(stretch for stretch in held[place] if stretch.samples.size)
        channels.append(RecordedChannel(one.name, one.unit, master.rate_hz * one.frame, at * one.frame, stretches))
        if layout is None:
            _scale_faults(one, place, reader.faults)
    return channels


def _placed(
    header: Header, plan: Header, by_name: bool, frames: int, at: int, reader: _Reader
) -> list[tuple[int, Stretch]]:
    """The stretches of one segment, each with the place of its channel."""
    faults, every = reader.faults, range(len(plan.signals))
    named = {one.name: place for place, one in reversed(list(enumerate(plan.signals)))}
    places = [named.get(one.name) if by_name else where if where in every else None
              for where, one in enumerate(header.signals)]  # fmt: skip
    for where, (one, place) in enumerate(zip(header.signals, places, strict=True)):
        if place is None:
            continue
        like = plan.signals[place]
        if one.frame != like.frame or one.unit != like.unit or place in places[:where]:
            faults.add("segment_differs", place, at * like.frame, (at + frames) * like.frame, "signal")
            places[where] = None
    parts = reader.segment(header, frames, places, at)
    return [
        (place, _stretch(one, at * one.frame, part.samples))
        for one, place, part in zip(header.signals, places, parts, strict=True)
        if place is not None and part is not None
    ]


def _stretch(one: Signal, first_sample: int, samples: Samples) -> Stretch:
    gain = 1 / one.gain
    return Stretch(first_sample, samples, gain, -one.baseline * gain)


def _scale_faults(one: Signal, place: int, faults: Faults) -> None:
    if not one.calibrated:
        faults.add("uncalibrated", place, reason="no gain")
    if not fit_scale(1 / one.gain, -one.baseline / one.gain):
        faults.add("scale", place, reason="gain out of range")


def _sum(samples: Samples, format_: int) -> int:
    """Of the values as stored: what stands for "missing" in the file counts with its own value."""
    total = int(samples.sum(dtype=np.int64))
    if format_ in signals.LOWEST:
        lowest = int(np.iinfo(samples.dtype).min)
        total += int(np.count_nonzero(samples == lowest)) * (signals.LOWEST[format_] - lowest)
    return total


def _parsed(data: bytes) -> Header | None:
    try:
        return parse(data)
    except RecordingHeader:
        return None
