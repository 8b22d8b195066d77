"""A recording read from a file: its channels as the file has them, and what was wrong with it.

Decoders (``wfdb``, ``edf``) take bytes and return a :class:`Recording`: what can be read, and a
:class:`RecordingFault` for each thing that cannot. They raise a :class:`RecordingError` only where nothing can be
read at all, and never anything else, whatever the bytes are. Times are counts of a channel's own samples since the
recording began; a hole between two stretches is a gap and costs no memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

MAX_SAMPLES: Final = 1 << 29
"""Decoded samples of all channels together: a week of three leads at 250 Hz fits, in a gigabyte."""
MAX_CHANNELS: Final = 256
"""Several times the widest recording met (a polysomnography has 64); EDF's header would allow 9,999."""
MAX_RATE_HZ: Final = 1_000_000.0
MAX_SPAN_S: Final = 40 * 86_400.0
"""From the first sample to the last, gaps included: the longest patch recorders run a month."""
MAX_FAULTS: Final = 1_000
"""Kept of one recording; that there were more is the last of them."""
TEXT_MAX: Final = 80
"""Characters of a channel's name: EDF has 16, WFDB no bound."""
GAIN_RANGE: Final = (1e-12, 1e12)
"""Of a unit a count, either sign: beyond it the header is wrong, and arithmetic would leave the float's range."""

Samples = npt.NDArray[np.signedinteger[Any]]

MICROS: Final = {"µV": "uV", "μV": "uV", "UV": "uV", "mv": "mV", "MV": "mV", "v": "V"}
"""As recorders write them (U+00B5, U+03BC, capitals); megavolts are in nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Contiguous samples, int16 or int32 (n,), whose dtype's minimum means missing.

    physical = ``gain`` x count + ``offset``, in the unit of the channel: the file's own integers, nothing rounded.
    """

    first_sample: int
    samples: Samples
    gain: float
    offset: float

    @property
    def end_sample(self) -> int:
        """The first sample that is not in it."""
        return self.first_sample + int(self.samples.size)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedChannel:
    """One signal: its stretches in order, none overlapping. ``length`` is what the file tells of, gaps included."""

    name: str
    unit: str
    rate_hz: float
    length: int
    stretches: tuple[Stretch, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordingFault:
    """One thing in a file that its format does not allow, or that cannot be read here.

    ``code`` is stable, its words are ``quality.<code>`` of the catalogues. ``channel`` is the place in the recording's
    channels, None for all of it; ``first_sample`` to ``end_sample`` (exclusive) are that channel's samples, None where
    it is not about samples. ``reason`` is a short English phrase for the log.
    """

    code: str
    channel: int | None = None
    first_sample: int | None = None
    end_sample: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What a file holds. ``format`` is ``wfdb``, ``edf`` or ``bdf``."""

    format: str
    channels: tuple[RecordedChannel, ...]
    faults: tuple[RecordingFault, ...] = ()


@dataclass(slots=True)
class Faults:
    """Collects faults, at most ``MAX_FAULTS``."""

    found: list[RecordingFault] = field(default_factory=list)

    def add(
        self, code: str, channel: int | None = None, first: int | None = None, end: int | None = None, reason: str = ""
    ) -> None:
        """Take one more."""
        if len(self.found) < MAX_FAULTS:
            self.found.append(RecordingFault(code, channel, first, end, reason))
        elif len(self.found) == MAX_FAULTS:
            self.found.append(RecordingFault("more_faults", reason=f"more than {MAX_FAULTS}"))


class RecordingError(Exception):
    """The file is not a recording that can be read."""

    code: ClassVar[str] = "recording_unknown"

    def __init__(self, **params: str | int) -> None:
        super().__init__(self.__doc__ or self.code)
        self.params: dict[str, str | int] = dict(params)


class RecordingHeader(RecordingError):
    """The header cannot be read; ``where`` says at which line or field."""

    code = "recording_header"


class RecordingFormat(RecordingError):
    """No channel is stored in a way that is read here; ``format`` names the first."""

    code = "recording_format"


class RecordingFileMissing(RecordingError):
    """The header names ``file``, which is not beside it, and nothing else can be read."""

    code = "recording_file_missing"


class RecordingTooLarge(RecordingError):
    """The recording holds more than is read at once."""

    code = "recording_too_large"


def clean(text: str, most: int = TEXT_MAX) -> str:
    """The text in one line of printable characters: a name in a file is as hostile as the rest of it."""
    return "".join(one if one.isprintable() else "?" for one in text.strip()[:most]).strip()


def unit_of(text: str) -> str:
    """The unit as the file writes it, but one spelling for each of V, mV and uV."""
    unit = clean(text, 20)
    return MICROS.get(unit, unit)


def fit_scale(gain: float, offset: float) -> bool:
    """Whether a scale can be computed with."""
    return (
        math.isfinite(gain) and math.isfinite(offset)
        and GAIN_RANGE[0] <= abs(gain) <= GAIN_RANGE[1] and abs(offset) <= GAIN_RANGE[1] * 2**31
    )  # fmt: skip
