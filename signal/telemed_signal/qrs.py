"""The detector's loop: from samples to the peaks of the QRS energy and, through ``judgement``, to beats.

One sample after the other, each event at its own time, so that no chunking can change anything. All that a lead
remembers is in two plain arrays beside each other's places in ``judgement``: ``whole`` (int64), ``real`` (float64).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from telemed_signal import judgement
from telemed_signal.compiled import compiled
from telemed_signal.judgement import (
    DEADLINE,
    FOUND_COUNT,
    HOLD_OFF,
    LEARNS,
    NONE,
    Reals,
    Wholes,
    judge,
    learnt,
    overdue,
)

TWINS: Final = 0.8
"""Two peaks in one hold-off, the lesser at least so much of the greater, are two beats, not a beat and its T wave."""
NANOVOLTS: Final = 1e6  # of a millivolt
CLIP_MV: Final = 100.0
"""Far beyond any skin potential (IEC 60601-2-27: +-5 mV); keeps the whole-number sums from overflowing."""
MAX_RATE_HZ: Final = 1_000
STEPS: Final = MAX_RATE_HZ // 50
"""Samples of the longest difference: 20 ms."""
MEANS: Final = MAX_RATE_HZ * 6 // 100
"""Samples of the longest mean: 60 ms."""

# Places in ``sizes``: the lengths, in samples, of one rate.
STEP: Final = 0  # of the difference
MEAN: Final = 1
CLOSE: Final = 2  # after its top a peak closes
SHORTEST: Final = 3  # hold-off
SIZES: Final = 4

# Places in ``whole``, after the judgement's.
COUNT: Final = judgement.WHOLES  # samples so far
SUM: Final = COUNT + 1  # of the newest steps
BEFORE: Final = COUNT + 2  # the energy of the sample before, and of the one before that
BEFORE_THAT: Final = COUNT + 3
OPEN_AT: Final = COUNT + 4  # the peak that is still growing; NONE
OPEN_HEIGHT: Final = COUNT + 5
PENDING_AT: Final = COUNT + 6  # the peak that waits for a larger one within its hold-off; NONE
PENDING_HEIGHT: Final = COUNT + 7
STEP_RING: Final = COUNT + 8
WHOLES: Final = STEP_RING + MEANS

# Places in ``real``, after the judgement's.
STATE: Final = judgement.REALS  # of the band-pass section
SMOOTH_RING: Final = STATE + 2
REALS: Final = SMOOTH_RING + STEPS


def begin(whole: Wholes, real: Reals, rate_hz: float) -> None:
    """Forget everything: the next sample is the first."""
    whole[:] = 0
    real[:] = 0.0
    judgement.begin(whole, real, rate_hz)
    whole[OPEN_AT] = whole[PENDING_AT] = NONE


def room(samples: int, sizes: Wholes) -> int:
    """Rows of ``found`` that so many samples can fill: all that was learnt from, and a beat a hold-off."""
    return judgement.LEARNING + judgement.REJECTED + samples // int(sizes[SHORTEST]) + 2


@compiled()
def _apart(one_at: int, one: int, later_at: int, later: int, hold_off: int, shortest: int) -> bool:
    """Whether two peaks are two: beyond the hold-off, or of one strength and not nearer than a fast heart's.

    Without the second, a heart faster than the hold-off would be counted every second or third beat.
    """
    distance = later_at - one_at
    if distance >= hold_off:
        return True
    return distance >= shortest and min(one, later) >= TWINS * max(one, later)


@compiled()
def _close(whole: Wholes, real: Reals, found: Wholes, sizes: Wholes) -> None:
    at, height = whole[OPEN_AT], whole[OPEN_HEIGHT]
    whole[OPEN_AT] = NONE
    if whole[PENDING_AT] != NONE:
        if _apart(whole[PENDING_AT], whole[PENDING_HEIGHT], at, height, whole[HOLD_OFF], sizes[SHORTEST]):
            judge(whole, real, found, whole[PENDING_AT], whole[PENDING_HEIGHT])
        elif height <= whole[PENDING_HEIGHT]:
            return
    whole[PENDING_AT], whole[PENDING_HEIGHT] = at, height


@compiled()
def _events(whole: Wholes, real: Reals, found: Wholes, sizes: Wholes, now: int, energy: int) -> None:
    """Do all that is due by sample ``now``, whose energy this is, each in its turn."""
    never = now + 1
    while True:
        closes = ripe = never
        opened = whole[OPEN_AT]
        if opened != NONE and (energy <= whole[OPEN_HEIGHT] // 2 or now - opened >= sizes[CLOSE]):
            closes = now
        if whole[PENDING_AT] != NONE:
            # A waiting peak is judged after its hold-off, unless a later peak within it is still growing.
            at = whole[PENDING_AT] + whole[HOLD_OFF]
            ripe = never if opened != NONE and opened < at else at
        due = min(closes, ripe, whole[DEADLINE])
        if due > now:
            return
        if due == closes:
            _close(whole, real, found, sizes)
        elif due == ripe:
            at, height = whole[PENDING_AT], whole[PENDING_HEIGHT]
            whole[PENDING_AT] = NONE
            judge(whole, real, found, at, height)
        elif whole[LEARNS]:
            learnt(whole, real, found)
        else:
            overdue(whole, real, found)


@compiled("int64(float64[::1], float64[::1], float64[::1], int64[::1], int64[::1], float64[::1], int64[:, ::1])")
def run(
    x_mv: Reals, section: Reals, steady: Reals, sizes: Wholes, whole: Wholes, real: Reals, found: Wholes
) -> int:
    """Take the next samples (millivolts, finite); returns how many beats are in ``found``.

    ``section`` is the band-pass (6 coefficients), ``steady`` its state for a constant 1.
    """
    whole[FOUND_COUNT] = 0
    b0, b1, b2, a1, a2 = section[0], section[1], section[2], section[4], section[5]
    step, mean = sizes[STEP], sizes[MEAN]
    if whole[COUNT] == 0 and x_mv.size:
        first = min(max(x_mv[0], -CLIP_MV), CLIP_MV)
        real[STATE], real[STATE + 1] = steady[0] * first, steady[1] * first
    one, two, total = real[STATE], real[STATE + 1], whole[SUM]
    before, before_that = whole[BEFORE], whole[BEFORE_THAT]
    now = whole[COUNT]
    step_at, mean_at = SMOOTH_RING + now % step, STEP_RING + now % mean
    for value in x_mv:
        x = min(max(value, -CLIP_MV), CLIP_MV)
        smooth = b0 * x + one
        one = b1 * x - a1 * smooth + two
        two = b2 * x - a2 * smooth
        # Whole nanovolts: the running sum is exact from here on, for ever.
        rise = np.int64(np.rint(abs(smooth - real[step_at]) * NANOVOLTS))
        real[step_at] = smooth
        step_at = SMOOTH_RING if step_at == SMOOTH_RING + step - 1 else step_at + 1
        total += rise - whole[mean_at]
        whole[mean_at] = rise
        mean_at = STEP_RING if mean_at == STEP_RING + mean - 1 else mean_at + 1
        energy = total // mean
        if now >= 2 and before > before_that and before >= energy and (
            whole[OPEN_AT] == NONE or before > whole[OPEN_HEIGHT]
        ):
            whole[OPEN_AT], whole[OPEN_HEIGHT] = now - 1, before
        if whole[OPEN_AT] != NONE or whole[PENDING_AT] != NONE or now >= whole[DEADLINE]:
            _events(whole, real, found, sizes, now, energy)
        before_that, before = before, energy
        now += 1
    real[STATE], real[STATE + 1], whole[SUM], whole[COUNT] = one, two, total, now
    whole[BEFORE], whole[BEFORE_THAT] = before, before_that
    return int(whole[FOUND_COUNT])
