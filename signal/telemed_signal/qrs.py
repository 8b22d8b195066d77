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
    INTERVAL_AT,
    INTERVAL_COUNT,
    LAST,
    LEARNS,
    LEVEL,
    NONE,
    TWINS,
    Reals,
    Wholes,
    judge,
    learnt,
    overdue,
)

NANOVOLTS: Final = 1e6  # of a millivolt
CLIP_MV: Final = 100.0
"""Far beyond any skin potential (IEC 60601-2-27: +-5 mV); keeps the whole-number sums from overflowing."""
MAX_RATE_HZ: Final = 1_000
STEPS: Final = MAX_RATE_HZ // 50
"""Samples of the longest difference: 20 ms."""
MEANS: Final = MAX_RATE_HZ * 6 // 100
"""Samples of the longest mean: 60 ms."""
QUIETEST: Final = 0.01
"""Mean energy, of its beats' own, below which a lead has fallen silent (30 narrow beats a minute: 0.03): after 5 s
without any it counts for nothing beside one that still shows something."""
SILENT: Final = 1e-4  # of the weight it would have
LOUDEST: Final = 1.5
"""Of a lead's level: what is above it counts as that in the sum of the leads."""
SUREST: Final = 0.02
"""Least doubt of a lead: no lead is right more often than 49 times in 50."""
REMEMBERED: Final = 64
"""Beats over which a lead's doubt is averaged: 16 forget a lead's last burst of noise before the next (record 200).
With 16 and 64, errors on half A of MIT-BIH 37 and 39, on half B 80 and 53."""
BEYOND: Final = 2**62
"""Above any energy, after any sample. Before the first sample nothing can be a top."""
NEXT: Final = np.uint64(1)
"""Where an index is unsigned, the compiler need not look for one that counts from the end."""
POISON: Final = -1
"""Returned instead of a count: there was a NaN or an infinity, and nothing was taken."""

# Places in ``whole``, after the judgement's: first the lengths of one rate, in samples, then the memory.
STEP: Final = judgement.WHOLES  # of the difference
MEAN: Final = STEP + 1
CLOSE: Final = STEP + 2  # after its top a peak closes
SHORTEST: Final = STEP + 3  # hold-off
BRIDGE: Final = STEP + 4  # longest spike
HOP: Final = STEP + 5  # between two weighings of a lead
NEAR: Final = STEP + 6  # two leads' beats so near are one
COUNT: Final = STEP + 7  # samples so far
SUM: Final = COUNT + 1  # of the newest steps
BEFORE: Final = COUNT + 2  # the energy of the sample before, and of the one before that
BEFORE_THAT: Final = COUNT + 3
OPEN_AT: Final = COUNT + 4  # the peak that is still growing; NONE
OPEN_HEIGHT: Final = COUNT + 5
PENDING_AT: Final = COUNT + 6  # the peak that waits for a larger one within its hold-off; NONE
PENDING_HEIGHT: Final = COUNT + 7
BRIDGED: Final = COUNT + 8  # samples of a spike so far
HOP_SUM: Final = COUNT + 9  # of the energy since the last weighing
SEEN: Final = COUNT + 10  # the sum's beat at the last weighing
ON: Final = COUNT + 11  # 0: a lead of a station that is off
PART_UNTIL: Final = COUNT + 12  # an open peak with its top before this belongs to the one judged last
LEAST: Final = COUNT + 13  # what to wait for: a top above it, an energy down to HALF, or the sample DUE
HALF: Final = COUNT + 14
DUE: Final = COUNT + 15
RISES: Final = COUNT + 16  # the newest steps, a ring
WHOLES: Final = RISES + MEANS

# Places in ``real``, after the judgement's: first the numbers of one rate, then the memory.
SECTION: Final = judgement.REALS  # band-pass of one pair of poles: b0, b2, a1, a2; b1 is 0
STEADY: Final = SECTION + 4  # its state for a constant 1
SLEW: Final = SECTION + 6  # millivolts a sample, above which a step is no heart's
FORGET: Final = SECTION + 7  # share of a hop in the mean energy of a lead
STATE: Final = SECTION + 8  # of the band-pass section
KEPT: Final = STATE + 2  # the newest sample that was no spike
FILL: Final = STATE + 3  # mean energy of the last seconds, of the level: how little a lead shows beside its beats
WEIGHT: Final = STATE + 4  # of the lead in its station's sum, and the level that it is measured by; 0 while it learns
MEASURE: Final = STATE + 5
DOUBT: Final = STATE + 6  # share of the station's beats that the lead does not tell alike
SMOOTHS: Final = STATE + 7  # what the section gave, a ring
REALS: Final = SMOOTHS + STEPS


def begin(whole: Wholes, real: Reals, rate_hz: float) -> None:
    """Forget everything but the lengths, the numbers of the rate and the constants: the next sample is the first."""
    judgement.begin(whole, real, rate_hz)
    whole[COUNT:], real[STATE:] = 0, 0.0
    whole[OPEN_AT] = whole[PENDING_AT] = whole[LEAST] = whole[HALF] = NONE
    whole[DUE] = whole[DEADLINE]
    whole[BEFORE] = whole[BEFORE_THAT] = BEYOND
    whole[ON] = 1
    real[FILL] = real[DOUBT] = 0.5


def room(samples: int, shortest: int) -> int:
    """Rows of ``found`` that so many samples can fill: all that was learnt from, and a beat a hold-off."""
    return judgement.LEARNING + judgement.REJECTED + samples // shortest + 2


@compiled()
def _apart(whole: Wholes, real: Reals) -> bool:
    """Whether the waiting and the open peak are two: beyond the hold-off, or alike and not nearer than a fast heart's.

    Without the second, a heart faster than the hold-off would be counted every second or third beat.
    """
    distance, one, other = whole[OPEN_AT] - whole[PENDING_AT], whole[PENDING_HEIGHT], whole[OPEN_HEIGHT]
    if distance >= whole[HOLD_OFF]:
        return True
    return bool(distance >= whole[SHORTEST] and min(one, other) >= real[TWINS] * max(one, other))


@compiled()
def _ripe(whole: Wholes, real: Reals) -> int:
    """When the waiting peak is judged, if there is one: after its hold-off.

    A larger peak that grows within it may still take its place. A lesser one is not waited for: whatever becomes of
    it, the waiting peak is judged.
    """
    if whole[PENDING_AT] == NONE:
        return BEYOND
    ripe: int = whole[PENDING_AT] + whole[HOLD_OFF]
    if whole[OPEN_AT] == NONE or whole[OPEN_AT] >= ripe or whole[OPEN_HEIGHT] <= whole[PENDING_HEIGHT]:
        return ripe
    return ripe if _apart(whole, real) else BEYOND


@compiled()
def _judge_waiting(whole: Wholes, real: Reals, found: Wholes) -> None:
    at, height = whole[PENDING_AT], whole[PENDING_HEIGHT]
    if whole[OPEN_AT] != NONE and not _apart(whole, real):
        whole[PART_UNTIL] = at + whole[HOLD_OFF]  # unless it grows on after the hold-off
    whole[PENDING_AT] = NONE
    judge(whole, real, found, at, height)


@compiled()
def _close(whole: Wholes, real: Reals, found: Wholes) -> None:
    at, height = whole[OPEN_AT], whole[OPEN_HEIGHT]
    if at < whole[PART_UNTIL]:
        whole[OPEN_AT] = NONE
        return
    if whole[PENDING_AT] != NONE:
        if _apart(whole, real):
            judge(whole, real, found, whole[PENDING_AT], whole[PENDING_HEIGHT])
        elif height <= whole[PENDING_HEIGHT]:
            whole[OPEN_AT] = NONE
            return
    whole[OPEN_AT], whole[PENDING_AT], whole[PENDING_HEIGHT] = NONE, at, height


@compiled()
def _events(whole: Wholes, real: Reals, found: Wholes, now: int, energy: int) -> None:
    """Do all that is due by sample ``now``, whose energy this is, each in its turn."""
    while True:
        closes, ripe, opened = BEYOND, _ripe(whole, real), whole[OPEN_AT]
        if opened != NONE and (energy <= whole[OPEN_HEIGHT] // 2 or now - opened >= whole[CLOSE]):
            closes = now
        due = min(closes, ripe, whole[DEADLINE])
        if due > now:
            return
        if due == closes:
            _close(whole, real, found)
        elif due == ripe:
            _judge_waiting(whole, real, found)
        elif whole[LEARNS]:
            learnt(whole, real, found)
        else:
            overdue(whole, real, found)


@compiled()
def _energies(x_mv: Reals, whole: Wholes, real: Reals, energies: Wholes) -> None:
    """The QRS energy of the next samples, in whole nanovolts.

    One loop: all else is done while the processor waits for the section's recursion.
    """
    b0, b2, a1, a2 = real[SECTION], real[SECTION + 1], real[SECTION + 2], real[SECTION + 3]
    slew, bridge = real[SLEW], whole[BRIDGE]
    step, mean = whole[STEP], whole[MEAN]
    if whole[COUNT] == 0 and x_mv.size:
        first = min(max(x_mv[0], -CLIP_MV), CLIP_MV)
        real[STATE], real[STATE + 1], real[KEPT] = real[STEADY] * first, real[STEADY + 1] * first, first
    one, two, kept, bridged = real[STATE], real[STATE + 1], real[KEPT], whole[BRIDGED]
    total, share, limit = whole[SUM], 1.0 / mean, slew * (bridged + 1)
    smooth_at, rise_at = np.uint64(SMOOTHS + whole[COUNT] % step), np.uint64(RISES + whole[COUNT] % mean)
    smooths_end, rises_end = np.uint64(SMOOTHS + step), np.uint64(RISES + mean)
    for k in range(x_mv.size):
        x = min(max(x_mv[k], -CLIP_MV), CLIP_MV)
        if abs(x - kept) > limit and bridged < bridge:
            bridged += 1  # a pacemaker's spike: the last value stays until it is over
            limit = slew * (bridged + 1)
        else:
            kept = x
            if bridged:
                bridged, limit = 0, slew
        smooth = b0 * kept + one
        one = two - a1 * smooth
        two = b2 * kept - a2 * smooth
        # Whole nanovolts: the running sum is exact from here on, for ever.
        rise = np.int64(np.rint(abs(smooth - real[smooth_at]) * NANOVOLTS))
        total += rise - whole[rise_at]
        real[smooth_at], whole[rise_at] = smooth, rise
        smooth_at += NEXT
        if smooth_at == smooths_end:
            smooth_at = np.uint64(SMOOTHS)
        rise_at += NEXT
        if rise_at == rises_end:
            rise_at = np.uint64(RISES)
        energies[k] = np.int64(total * share)
    real[STATE], real[STATE + 1], whole[SUM] = one, two, total
    real[KEPT], whole[BRIDGED] = kept, bridged


@compiled()
def _watch(whole: Wholes, real: Reals) -> tuple[int, int, int]:
    """What to wait for from here on: ``LEAST``, ``HALF``, ``DUE``."""
    due, opened = min(whole[DEADLINE], _ripe(whole, real)), whole[OPEN_AT]
    if opened == NONE:
        return NONE, NONE, due
    return whole[OPEN_HEIGHT], whole[OPEN_HEIGHT] // 2, min(due, opened + whole[CLOSE])


@compiled()
def _peaks(energies: Wholes, whole: Wholes, real: Reals, found: Wholes, start: int, stop: int) -> None:
    """Find and judge the peaks of these energies; those of one block in any pieces."""
    before, before_that, now = whole[BEFORE], whole[BEFORE_THAT], whole[COUNT]
    least, half, due = whole[LEAST], whole[HALF], whole[DUE]
    for k in range(start, stop):
        energy = energies[k]
        # The rarest first: most samples of an open peak are below its top, which a processor can foresee.
        if before > least and before > before_that and before >= energy:
            whole[OPEN_AT], whole[OPEN_HEIGHT] = now - 1, before
            least, half, due = _watch(whole, real)
        if energy <= half or now >= due:
            _events(whole, real, found, now, energy)
            least, half, due = _watch(whole, real)
        before_that, before = before, energy
        now += 1
    whole[BEFORE], whole[BEFORE_THAT], whole[COUNT] = before, before_that, now
    whole[LEAST], whole[HALF], whole[DUE] = least, half, due


@compiled()
def poisoned(x_mv: Reals) -> bool:
    """Whether a value is not finite."""
    bad = False
    for value in x_mv:
        bad |= not abs(value) < np.inf
    return bad


@compiled("int64(float64[::1], int64[::1], float64[::1], int64[:, ::1])")
def run(x_mv: Reals, whole: Wholes, real: Reals, found: Wholes) -> int:
    """Take the next samples (millivolts); returns how many beats are in ``found``, or ``POISON``."""
    if poisoned(x_mv):
        return POISON
    whole[FOUND_COUNT] = 0
    energies = np.empty(x_mv.size, np.int64)
    _energies(x_mv, whole, real, energies)
    _peaks(energies, whole, real, found, 0, energies.size)
    return int(whole[FOUND_COUNT])


@compiled()
def _agrees(whole: Wholes, total: Wholes, near: int) -> bool:
    """Whether a lead has the sum's last beat but one, and no other before the last: positions counted from now."""
    last = total[LAST] - total[COUNT]
    one = last - total[INTERVAL_AT + total[INTERVAL_COUNT] - 1]
    at = whole[LAST] - whole[COUNT]
    seen = False
    for k in range(whole[INTERVAL_COUNT], -1, -1):
        if one + near < at < last - near:
            return False
        seen = seen or abs(at - one) <= near
        if k > 0:
            at -= whole[INTERVAL_AT + k - 1]
    return seen


@compiled()
def _weigh(whole: Wholes, real: Reals) -> None:
    """How much a lead counts from here on."""
    level = real[LEVEL]
    if level > 0:
        real[FILL] += real[FORGET] * (min(LOUDEST, whole[HOP_SUM] / (whole[HOP] * level)) - real[FILL])
        real[WEIGHT] = 1 / (np.sqrt(max(real[FILL], QUIETEST)) * (real[DOUBT] + SUREST))
        if real[FILL] < QUIETEST:
            real[WEIGHT] *= SILENT
        real[MEASURE] = level
    whole[HOP_SUM] = 0


@compiled()
def _weighed(wholes: Wholes, reals: Reals) -> None:
    """End a hop: how much each lead counts in the next."""
    leads = len(wholes) - 1
    whole, real = wholes[leads], reals[leads]
    if real[MEASURE] == 0:
        real[MEASURE] = real[LEVEL]
    fresh = whole[LAST] != whole[SEEN] and whole[INTERVAL_COUNT] > 0
    whole[SEEN] = whole[LAST]
    for lead in range(leads):
        if wholes[lead, ON]:
            if fresh and reals[lead, LEVEL] > 0:
                wrong = 0.0 if _agrees(wholes[lead], whole, whole[NEAR]) else 1.0
                reals[lead, DOUBT] += (wrong - reals[lead, DOUBT]) / REMEMBERED
            _weigh(wholes[lead], reals[lead])


@compiled()
def _sum(energies: Wholes, wholes: Wholes, reals: Reals, mixed: Reals, start: int) -> None:
    """The energies of the last row, the sum's: plain until it has learnt, afterwards weighted, in its scale then."""
    leads = len(wholes) - 1
    measure, weights, count = reals[leads, MEASURE], 0.0, 0
    for lead in range(leads):
        if wholes[lead, ON]:
            weights += reals[lead, WEIGHT]
            count += 1
    weighted = measure > 0 and weights > 0
    mixed[:] = 0.0
    for lead in range(leads):
        if wholes[lead, ON]:
            level = max(reals[lead, MEASURE], 1.0)
            gain, top, total = reals[lead, WEIGHT] / np.sqrt(level), LOUDEST * level, 0
            one = energies[lead, start : start + mixed.size]
            if weighted:
                for k in range(mixed.size):
                    total += one[k]
                    mixed[k] += gain * np.sqrt(min(float(one[k]), top))
            else:
                for k in range(mixed.size):
                    total += one[k]
                    mixed[k] += one[k]
            wholes[lead, HOP_SUM] += total
    out = energies[leads, start : start + mixed.size]
    if weighted:
        for k in range(mixed.size):
            out[k] = np.int64(np.rint(measure * (mixed[k] / weights) ** 2))
    else:
        for k in range(mixed.size):
            out[k] = np.int64(np.rint(mixed[k] / count))


@compiled("int64(float64[:, ::1], int64[:, ::1], float64[:, ::1], int64[:, ::1])")
def run_many(x_mv: Reals, wholes: Wholes, reals: Reals, found: Wholes) -> int:
    """Take the next samples of a station's leads (leads, samples); the last row of the state is their sum's.

    At least one lead is ``ON``; the others are not read. Returns how many beats of the sum are in ``found``, or
    ``POISON``.
    """
    leads, samples = x_mv.shape
    whole = wholes[leads]
    for lead in range(leads):
        if wholes[lead, ON] and poisoned(x_mv[lead]):
            return POISON
    whole[FOUND_COUNT] = 0
    energies, mixed, beside = np.empty((leads + 1, samples), np.int64), np.empty(samples), np.empty_like(found)
    for lead in range(leads):
        if wholes[lead, ON]:
            _energies(x_mv[lead], wholes[lead], reals[lead], energies[lead])
    hop, k = whole[HOP], 0
    while k < samples:
        # A hop's weights are those of the end of the one before, however the samples come.
        stop = min(samples, k + hop - whole[COUNT] % hop)
        _sum(energies, wholes, reals, mixed[k:stop], k)
        for lead in range(leads):
            if wholes[lead, ON]:
                wholes[lead, FOUND_COUNT] = 0
                _peaks(energies[lead], wholes[lead], reals[lead], beside, k, stop)
        _peaks(energies[leads], whole, reals[leads], found, k, stop)
        if whole[COUNT] % hop == 0:
            _weighed(wholes, reals)
        k = stop
    return int(whole[FOUND_COUNT])
