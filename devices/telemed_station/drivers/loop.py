"""Where a recording can be turned round without anyone seeing it.

The loop plays samples ``first`` … ``end - 1`` and then ``first`` again. Both ends lie between a T wave and the
next P wave (a TP segment), so it holds a whole number of beats; the step from sample ``end - 1`` to sample
``first`` is at most ``STEP_MAX_UV`` in every lead; and the interval between the last R before the seam and the
first after it lies within the shortest and longest of the recording. Of all such pairs: most beats, then the
smallest step. When there is none, the whole recording is played and a marked gap follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from telemed_station.drivers.driver import Loop
from telemed_station.drivers.recording import Recording

STEP_MAX_UV = 20.0
GAP_S = 1  # length of the marked gap where no seam can be had
# The TP segment, from R: a T wave ends at about 0.45 √RR seconds (Bazett's QT plus the T's tail); a P
# wave may start 0.24 s before the next R.
T_END = 0.45
P_START_S = 0.24
REFRACTORY_S = 0.25


@dataclass(frozen=True)
class Seam:
    """What joins the end of a loop to its start: the largest step of any lead, and the R to R interval over it."""

    step_uv: tuple[float, ...]
    interval: int
    shortest: int
    longest: int


def r_peaks(recording: Recording) -> list[int]:
    """Sample indices of the R peaks: offline, over all leads at once.

    Band-pass 5–25 Hz forwards and backwards, slope squared and summed over the leads, 80 ms mean, peaks above 0.3 of
    its 98th percentile; then the largest deflection of the lead with the largest one, within 60 ms.
    """
    rate = recording.rate[0] / recording.rate[1]
    physical = recording.samples * np.array([[channel.gain] for channel in recording.channels])
    sos = signal.butter(2, [5.0, 25.0], "bandpass", fs=rate, output="sos")
    if physical.shape[1] < 2 * rate:
        return []
    band = signal.sosfiltfilt(sos, physical, axis=1)
    slope = (np.gradient(band, axis=1) ** 2).sum(axis=0)
    width = max(1, round(0.08 * rate))
    energy = np.convolve(slope, np.ones(width) / width, "same")
    found, _ = signal.find_peaks(
        energy, height=0.3 * float(np.percentile(energy, 98)), distance=round(REFRACTORY_S * rate)
    )
    lead = np.abs(band[int(np.argmax(np.ptp(band, axis=1)))])
    reach = round(0.06 * rate)
    return [max(0, int(at) - reach) + int(np.argmax(lead[max(0, int(at) - reach) : int(at) + reach])) for at in found]


def find_loop(recording: Recording, peaks: Sequence[int]) -> tuple[Loop, Seam | None]:
    """The best loop and its seam, or the whole recording with a gap after it and no seam."""
    rate = recording.rate[0] / recording.rate[1]
    channels, length = recording.samples.shape
    whole = Loop(0, length, round(GAP_S * rate), channels)
    if len(peaks) < 3:
        return whole, None
    intervals = np.diff(peaks)
    shortest, longest = int(intervals.min()), int(intervals.max())
    segments = [_tp_segment(before, after, rate) for before, after in pairwise(peaks)]
    physical = recording.samples * np.array([[channel.gain] for channel in recording.channels])
    for beats in range(len(segments) - 1, 0, -1):
        best: tuple[float, int, int] | None = None
        for number in range(len(segments) - beats):
            starts, ends = segments[number], segments[number + beats]
            # The seam's interval: from the last R before the end, then from the start to the next R.
            last, first = peaks[number + beats], peaks[number + 1]
            best = _better(best, _best_pair(physical, starts, ends, (last, first), (shortest, longest)))
        if best is not None:
            _, start, end = best
            steps = np.abs(physical[:, start] - physical[:, end - 1])
            last = max(peak for peak in peaks if peak < end)
            first = min(peak for peak in peaks if peak >= start)
            seam = Seam(tuple(float(value) for value in steps), end - last + first - start, shortest, longest)
            return Loop(start, end, 0, channels), seam
    return whole, None


def _tp_segment(before: int, after: int, rate: float) -> range:
    interval = (after - before) / rate
    return range(before + round(T_END * np.sqrt(interval) * rate), after - round(P_START_S * rate))


def _better(one: tuple[float, int, int] | None, other: tuple[float, int, int] | None) -> tuple[float, int, int] | None:
    if one is None or other is None:
        return one or other
    return min(one, other)


def _best_pair(
    physical: NDArray[np.float64], starts: range, ends: range, seam: tuple[int, int], bounds: tuple[int, int]
) -> tuple[float, int, int] | None:
    """The pair (start, end) with the smallest step of the worst lead, as (step, start, end)."""
    if not starts or not ends:
        return None
    at_start = physical[:, starts.start : starts.stop]
    before_end = physical[:, ends.start - 1 : ends.stop - 1]
    step = np.zeros((len(starts), len(ends)))
    for lead_start, lead_end in zip(at_start, before_end, strict=True):
        np.maximum(step, np.abs(lead_start[:, None] - lead_end[None, :]), out=step)
    last, first = seam
    interval = (np.array(ends)[None, :] - last) + (first - np.array(starts)[:, None])
    step[(interval < bounds[0]) | (interval > bounds[1]) | (step > STEP_MAX_UV)] = np.inf
    at = int(np.argmin(step))
    row, column = divmod(at, len(ends))
    if not np.isfinite(step[row, column]):
        return None
    return float(step[row, column]), starts[row], ends[column]
