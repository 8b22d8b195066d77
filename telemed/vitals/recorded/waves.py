"""A recorded channel as the live pipeline takes it: counts of one gain, any part of them, and where there are any.

The file's own integers wherever it has one scale. Segments of different scales are brought to one grid, a sixteenth of
the finest count: the error is at most a thirty-second of a count. A pleth or chest wave whose gain is negative is
turned over. Missing is the dtype's minimum, as in native frames.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from telemed_devices.native import missing_value
from telemed_devices.recording import RecordedChannel, Samples, Stretch, fit_scale
from telemed_signal.gaps import runs

FINER: Final = 16
LARGEST: Final = 2**31 - 1
GAP_BLOCK: Final = 1 << 22  # samples looked at in one go for missing ones

Span = tuple[int, int]
"""[first, end) in samples of a channel."""


class Wave:
    """One channel: ``gain`` is its unit a count."""

    def __init__(self, channel: RecordedChannel, *, signed: bool) -> None:
        """``signed``: whether the analysis minds the sign of the gain itself (an ECG's does)."""
        self.channel = channel
        self._stretches = channel.stretches
        self._starts = [one.first_sample for one in self._stretches]
        scales = {(one.gain, one.offset) for one in self._stretches}
        self.fit = bool(scales) and all(fit_scale(*one) for one in scales)
        self._same = len(scales) == 1 and (signed or min(scales)[0] > 0)
        if self._same or not self.fit:
            self.gain = min(scales)[0] if scales else 1.0
        else:
            self.gain = min(abs(gain) for gain, _ in scales) / (FINER if len(scales) > 1 else 1)
        # About the first stretch's zero: a baseline of a few thousand counts must not use up the range.
        self._zero = self._stretches[0].offset if self._stretches else 0.0
        narrow = self._same and all(one.samples.dtype.itemsize == 2 for one in self._stretches)
        self.dtype = np.dtype(np.int16 if narrow else np.int32)

    @property
    def spans(self) -> list[Span]:
        """Where the file has samples, be they missing ones: in order."""
        return [(one.first_sample, one.end_sample) for one in self._stretches]

    def take(self, first: int, end: int) -> Samples:
        """The counts of [first, end), missing where there are none, of ``dtype``."""
        taken: Samples = np.full(end - first, missing_value(self.dtype), self.dtype)
        at = max(0, bisect_right(self._starts, first) - 1)
        while at < len(self._starts) and self._starts[at] < end:
            one = self._stretches[at]
            low, high = max(first, one.first_sample), min(end, one.end_sample)
            if low < high:
                taken[low - first : high - first] = self._counts(one, low - one.first_sample, high - one.first_sample)
            at += 1
        return taken

    def _counts(self, one: Stretch, low: int, high: int) -> Samples:
        samples = one.samples[low:high]
        if self._same and samples.dtype == self.dtype:
            return samples
        gone = samples == missing_value(samples.dtype)
        if self._same:
            return np.where(gone, missing_value(self.dtype), samples.astype(self.dtype))
        value = samples * one.gain + (one.offset - self._zero)
        counts = np.clip(np.rint(value / self.gain), -LARGEST, LARGEST).astype(np.int32)
        return np.where(gone, missing_value(np.int32), counts)

    def gaps(self) -> Iterator[Span]:
        """Where there is no sample, from the first that the file tells of to the last; in order, none adjoining."""
        begin: int | None = None
        end = 0
        for first, stop in self._missing():
            if begin is not None and first > end:
                yield begin, end
                begin = None
            begin, end = first if begin is None else begin, stop
        if begin is not None:
            yield begin, end

    def _missing(self) -> Iterator[Span]:
        past = 0
        for one in self._stretches:
            if one.first_sample > past:
                yield past, one.first_sample
            past = one.end_sample
            lowest = missing_value(one.samples.dtype)
            for at in range(0, one.samples.size, GAP_BLOCK):
                gone = one.samples[at : at + GAP_BLOCK] == lowest
                if gone.any():
                    begin = one.first_sample + at
                    yield from ((begin + run.start, begin + run.stop) for run in runs(gone) if run.missing)
        if self.channel.length > past:
            yield past, self.channel.length


def covered(waves: Sequence[Wave]) -> list[Span]:
    """Where at least one of some channels of one rate has samples: in order, none adjoining."""
    joined: list[Span] = []
    for first, end in sorted(span for wave in waves for span in wave.spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((first, end))
    return joined
