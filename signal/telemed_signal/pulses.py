"""The pulse's loop: from samples of a pleth wave to its rises and, through ``systole``, to beats.

One sample after the other, each event at its own time, so that no chunking can change anything.
"""

from __future__ import annotations

import numpy as np

from telemed_signal.compiled import compiled
from telemed_signal.systole import (
    BEFORE,
    BEFORE_THAT,
    COUNT,
    DEADLINE,
    FACTOR,
    FLAT_RING,
    FLAT_SLOTS,
    FOUND_COUNT,
    HIGH_STATE,
    HOLD_OFF,
    HOLD_OFF_S,
    INTERVAL,
    KEPT,
    KEPT_HZ,
    KEPT_RING,
    LAST,
    LEARN_S,
    LEARNING,
    LEARNS,
    LOW_STATE,
    NONE,
    PENDING_AT,
    PENDING_HEIGHT,
    PENDING_PART,
    PINNED,
    PINNED_S,
    RATE,
    REJECTED,
    RIPE,
    RISE,
    RISE_RING,
    RISE_S,
    SAME,
    SHORTEST,
    SHORTEST_HOLD_OFF_S,
    SLOT,
    TAKEN,
    TWINS,
    USUAL_INTERVAL_S,
    VALUE,
    Reals,
    Wholes,
    emit,
    judge,
    learnt,
    overdue,
)


def begin(whole: Wholes, real: Reals, rate_hz: float) -> None:
    """Forget everything: the next sample is the first."""
    whole[:] = 0
    real[:] = 0.0
    whole[LAST] = whole[PENDING_AT] = whole[RIPE] = NONE
    whole[LEARNS] = 1
    whole[DEADLINE] = round(LEARN_S * rate_hz)
    whole[HOLD_OFF] = round(HOLD_OFF_S * rate_hz)
    real[RATE] = rate_hz
    real[INTERVAL] = USUAL_INTERVAL_S * rate_hz


def sizes(rate_hz: float) -> Wholes:
    """The lengths of one rate."""
    rise, pinned, shortest = (round(s * rate_hz) for s in (RISE_S, PINNED_S, SHORTEST_HOLD_OFF_S))
    return np.array([rise, max(1, int(rate_hz / KEPT_HZ)), round(rate_hz), pinned, shortest], dtype=np.int64)


def room(samples: int, rate_hz: float) -> int:
    """Rows of ``found`` that so many samples can fill."""
    waiting = TAKEN + REJECTED + LEARNING + 2
    return waiting + int(samples / (SHORTEST_HOLD_OFF_S * rate_hz - 1))


@compiled()
def _peak(
    whole: Wholes, real: Reals, sizes: Wholes, found: Reals, at: int, before: float, height: float, after: float
) -> None:
    """A rise steeper than its neighbours: it waits, unless a greater one waits nearer than the hold-off.

    Two of one strength that a fast heart could make are two: else one faster than the hold-off would be halved.
    """
    if whole[PENDING_AT] != NONE:
        waiting = real[PENDING_HEIGHT]
        if at - whole[PENDING_AT] >= sizes[SHORTEST] and min(height, waiting) >= TWINS * max(height, waiting):
            judge(whole, real, sizes, found, whole[PENDING_AT], real[PENDING_PART], waiting)
        elif height <= waiting:
            return
    bend = before - 2 * height + after
    whole[PENDING_AT], real[PENDING_HEIGHT] = at, height
    real[PENDING_PART] = 0.5 * (before - after) / bend if bend < 0 else 0.0


@compiled(
    "int64(float64[::1], float64[:, ::1], float64[:, ::1], int64[::1], int64[::1], float64[::1], float64[:, ::1])"
)
def run(x: Reals, sections: Reals, steady: Reals, sizes: Wholes, whole: Wholes, real: Reals, found: Reals) -> int:
    """Take the next samples (any unit, finite); returns how many beats are in ``found``.

    ``sections`` are the low-pass and the high-pass (2, 6), ``steady`` their states for a constant 1 (2, 2).
    """
    whole[FOUND_COUNT] = 0
    b0, b1, b2, a1, a2 = sections[0, 0], sections[0, 1], sections[0, 2], sections[0, 4], sections[0, 5]
    c0, c1, c2, d1, d2 = sections[1, 0], sections[1, 1], sections[1, 2], sections[1, 4], sections[1, 5]
    rise, factor, slot, pinned = sizes[RISE], sizes[FACTOR], sizes[SLOT], sizes[PINNED]
    same, before_value = whole[SAME], real[VALUE]
    if whole[COUNT] == 0 and x.size:
        real[LOW_STATE], real[LOW_STATE + 1] = steady[0, 0] * x[0], steady[0, 1] * x[0]
        real[HIGH_STATE], real[HIGH_STATE + 1] = steady[1, 0] * x[0], steady[1, 1] * x[0]
    low, low_2 = real[LOW_STATE], real[LOW_STATE + 1]
    high, high_2 = real[HIGH_STATE], real[HIGH_STATE + 1]
    before, before_that = real[BEFORE], real[BEFORE_THAT]
    now = whole[COUNT]
    rise_at = RISE_RING + now % rise
    # Places of the next sample in its second and its kept point; counted on, because dividing costs more than filters.
    slot_in, slot_at = slot, (now // slot - 1) % FLAT_SLOTS
    if now % slot:
        slot_in, slot_at = now % slot, now // slot % FLAT_SLOTS
    point_in, kept_at = factor, (now // factor - 1) % KEPT
    if now % factor:
        point_in, kept_at = now % factor, now // factor % KEPT
    for value in x:
        whole[COUNT] = now
        if slot_in == slot:
            slot_in, slot_at = 0, slot_at + 1 if slot_at < FLAT_SLOTS - 1 else 0
            whole[FLAT_RING + slot_at] = 0
        slot_in += 1
        same = same + 1 if value == before_value else 0
        before_value = value
        if same >= pinned:
            whole[FLAT_RING + slot_at] += pinned if same == pinned else 1
        smooth = b0 * value + low
        low = b1 * value - a1 * smooth + low_2
        low_2 = b2 * value - a2 * smooth
        level = c0 * smooth + high
        high = c1 * smooth - d1 * level + high_2
        high_2 = c2 * smooth - d2 * level
        if point_in == factor:
            point_in, kept_at = 0, kept_at + 1 if kept_at < KEPT - 1 else 0
        if point_in == 0:
            real[KEPT_RING + kept_at] = smooth
        point_in += 1
        steep = level - real[rise_at]
        real[rise_at] = level
        rise_at = RISE_RING if rise_at == RISE_RING + rise - 1 else rise_at + 1
        if whole[PENDING_AT] != NONE and now - 1 >= whole[PENDING_AT] + whole[HOLD_OFF]:
            at, part, height = whole[PENDING_AT], real[PENDING_PART], real[PENDING_HEIGHT]
            whole[PENDING_AT] = NONE
            judge(whole, real, sizes, found, at, part, height)
        if before > before_that and before >= steep and before > 0 and now > rise:
            _peak(whole, real, sizes, found, now - 1, before_that, before, steep)
        if now >= whole[DEADLINE]:
            if whole[LEARNS]:
                learnt(whole, real, sizes, found)
            elif whole[PENDING_AT] == NONE:
                overdue(whole, real, sizes, found)
        while whole[RIPE] != NONE and now >= whole[RIPE]:
            emit(whole, real, sizes, found)
        before_that, before = before, steep
        now += 1
    real[LOW_STATE], real[LOW_STATE + 1] = low, low_2
    real[HIGH_STATE], real[HIGH_STATE + 1] = high, high_2
    real[BEFORE], real[BEFORE_THAT], whole[COUNT] = before, before_that, now
    whole[SAME], real[VALUE] = same, before_value
    return int(whole[FOUND_COUNT])
