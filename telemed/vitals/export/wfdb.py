"""One part as a WFDB record: signal file, header and annotations (WFDB's header(5), signal(5) and annot(5)).

The signal file has the stored samples, exactly: format 16, or 32 where sixteen bits are too few. The lowest value means
"missing", in both as in our own frames. Gaps are also notes in ``.atr``.
"""

from __future__ import annotations

import re
import struct
from decimal import Decimal
from typing import IO, Final

import numpy as np

from telemed.vitals.export.faults import ExportTooWide
from telemed.vitals.export.parts import Part
from telemed.vitals.export.text import ascii_of
from telemed.vitals.fixes import moment
from telemed.vitals.live import Channel
from telemed.vitals.storage.reading_columns import MISSING, Samples

FORMATS: Final = {16: ("<i2", -(2**15)), 32: ("<i4", MISSING)}
_NOTE, _SKIP, _AUX = 22, 59, 63  # annot(5): what an annotation's six upper bits say
_TIME_MAX: Final = 1_023  # of an annotation's ten lower bits


class WfdbWriter:
    """Writes the signal file of one part into ``target``; :meth:`header` and :meth:`annotations` are the others."""

    def __init__(self, target: IO[bytes], part: Part, *, wide: bool) -> None:
        self._target, self._part = target, part
        self._format = 32 if wide else 16
        self._sums = np.zeros(len(part.stream.card.channels), np.int64)
        self._initial: list[int] | None = None

    def feed(self, samples: Samples) -> None:
        """Take the next samples, int32 (channels, n). Raises ``ExportTooWide`` when sixteen bits are too few."""
        dtype, missing = FORMATS[self._format]
        if self._format == 16:
            there = samples != MISSING
            if (samples[there] <= missing).any() or (samples[there] >= -missing).any():
                raise ExportTooWide()
            samples = np.where(there, samples, missing)
        if self._initial is None:
            self._initial = samples[:, 0].tolist()
        self._sums += samples.sum(axis=1, dtype=np.int64)
        self._target.write(samples.T.astype(dtype, order="C").tobytes())

    def end(self) -> None:
        """Nothing is left over."""

    def header(self, comments: list[str]) -> bytes:
        """The text of the ``.hea`` file, once every sample was fed."""
        part, card = self._part, self._part.stream.card
        begin = moment(part.t0_us)
        num, den = card.rate or (1, 1)
        rate = f"{Decimal(num) / den:f}"
        lines = [f"{part.name} {len(card.channels)} {rate} {part.n} {begin:%H:%M:%S.%f} {begin:%d/%m/%Y}"]
        for channel, sum_, initial in zip(card.channels, self._sums.tolist(), self._initial or [], strict=True):
            check = (sum_ + 2**15) % 2**16 - 2**15  # a signed 16-bit sum (header(5))
            lines.append(
                f"{part.name}.dat {self._format} {_gain(channel)} {self._format} 0 {initial} {check} 0 "
                f"{ascii_of(channel.name, 40)}"
            )
        lines += [f"# {ascii_of(one, 200)}" for one in comments]
        return "\n".join([*lines, ""]).encode()

    def annotations(self) -> bytes:
        """The ``.atr`` file: a note where each gap begins."""
        made, last = b"", 0
        for first, n in self._part.holes:
            at = first - self._part.first
            made += _note(at - last, f"Gap of {n} samples")
            last = at
        return made + b"\x00\x00"


def _gain(channel: Channel) -> str:
    """Units of the converter for one physical unit, and which of them is zero: physical = (digital - zero) / gain."""
    if not channel.gain:
        raise ExportTooWide()  # every sample would be the same physical value
    zero = round(-channel.offset / channel.gain)
    unit = re.sub(r"[^\w^\-?%/]", "", channel.unit) or "1"
    return f"{1 / channel.gain!r}({zero})/{ascii_of(unit, 20)}"


def _note(time: int, text: str) -> bytes:
    made = b""
    if time > _TIME_MAX:
        # A skip of 32 bits: the upper half first, each half little-endian, as on the PDP-11.
        made, time = struct.pack("<HHH", _SKIP << 10, time >> 16, time & 0xFFFF), 0
    aux = text.encode() + b"\x00"
    return made + struct.pack("<HH", _NOTE << 10 | time, _AUX << 10 | len(aux)) + aux + bytes(len(aux) % 2)
