"""What the beats of the last window say: rate, amplitude, quality, or the reason why nothing is said.

Computed from a channel's memory (``systole``) when somebody asks, without changing it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal.compiled import compiled
from telemed_signal.history import median
from telemed_signal.systole import (
    BEAT_AT,
    BEAT_COUNT,
    BEAT_FOOT,
    BEAT_LIKENESS,
    BEAT_TOP,
    COUNT,
    FLAT_RING,
    FLAT_SLOTS,
    RATE,
)

Wholes = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

WINDOW_S: Final = 15.0
MIN_BEATS: Final = 4
STALE_S: Final = 5.0
"""Two intervals at 30 a minute and the detector's own second: after it the number is no longer true."""
RANGE_PER_MIN: Final = (25.0, 260.0)
NEAR: Final = (0.6, 1.5)
"""Of the median interval: beyond them lies a beat that was missed, or one too many."""
GATE: Final = 0.7
"""Of the quality: recordings have 0.98 and one window of two hundred less than 0.7; noise stays below it."""
PINNED: Final = 0.5
"""Share of the window without any change from sample to sample at which there is no wave to speak of."""

REASONS: Final = (None, "few_beats", "stale", "poor_signal", "flat", "saturated", "implausible")
FEW_BEATS, STALE, POOR, FLAT, SATURATED, IMPLAUSIBLE = range(1, 7)

# Places in ``told``.
PER_MIN: Final = 0
QUALITY: Final = 1
SWING: Final = 2
CONSTANT: Final = 3
TOLD: Final = 4


@compiled("int64(int64[::1], float64[::1], float64[::1])")
def measure(whole: Wholes, real: Reals, told: Reals) -> int:
    """Write what is known into ``told``; returns the place of the reason in ``REASONS``, 0 when there is a rate."""
    told[:] = 0.0
    rate_hz, now, count = real[RATE], whole[COUNT], whole[BEAT_COUNT]
    pinned = 0
    for k in range(FLAT_SLOTS):
        pinned += whole[FLAT_RING + k]
    share = min(1.0, pinned / (WINDOW_S * rate_hz))
    first = 0
    while first < count and real[BEAT_AT + first] < now - WINDOW_S * rate_hz:
        first += 1
    beats = count - first
    if beats == 0 or now - real[BEAT_AT + count - 1] > STALE_S * rate_hz:
        if share > PINNED:
            return FLAT
        return STALE if count else FEW_BEATS
    if beats < MIN_BEATS:
        return FLAT if share > PINNED else FEW_BEATS
    swings, constants = np.empty(beats), np.empty(beats)
    for k in range(beats):
        foot, top = real[BEAT_FOOT + first + k], real[BEAT_TOP + first + k]
        swings[k] = top - foot
        constants[k] = (top + foot) / 2
    told[SWING], told[CONSTANT] = median(swings), median(constants)
    intervals = np.diff(real[BEAT_AT + first : BEAT_AT + count])
    usual = median(intervals)
    near = 0
    for interval in intervals:
        if NEAR[0] * usual <= interval <= NEAR[1] * usual:
            near += 1
    likeness = median(real[BEAT_LIKENESS + first : BEAT_LIKENESS + count])
    told[QUALITY] = likeness * (1 - share) * (near / intervals.size) ** 0.5
    told[PER_MIN] = 60 * rate_hz / usual
    if share > PINNED:
        return SATURATED
    if told[QUALITY] < GATE:
        return POOR
    if not RANGE_PER_MIN[0] <= told[PER_MIN] <= RANGE_PER_MIN[1]:
        return IMPLAUSIBLE
    return 0
