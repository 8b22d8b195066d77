"""The detector's loop: from samples to the peaks of the QRS energy and, through ``judgement``, to beats.

One sample after the other, each event at its own time, so that no chunking can change anything. All that a lead
remembers is in two plain arrays beside each other's places in ``judgement``: ``whole`` (int64), ``real`` (float64).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

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
POISON: Final = -1
"""Returned instead of a count: there was a NaN or an infinity, and nothing was taken."""

# Places in ``sizes``: the lengths, in samples, of one rate.
STEP: Final = 0  # of the difference
MEAN: Final = 1
CLOSE: Final = 2  # after its top a peak closes
SHORTEST: Final = 3  # hold-off
BRIDGE: Final = 4  # longest spike
HOP: Final = 5  # between two weighings of a lead
NEAR: Final = 6  # two leads' beats so near are one
SIZES: Final = 7

# Places in ``setting``: the numbers of one rate.
SECTION: Final = 0  # band-pass: b0, b1, b2, a1, a2
STEADY: Final = 5  # its state for a constant 1
SLEW: Final = 7  # millivolts a sample, above which a step is no heart's
FORGET: Final = 8  # share of a hop in the mean energy of a lead
SETTINGS: Final = 9

# Places in ``whole``, after the judgement's.
COUNT: Final = judgement.WHOLES  # samples so far
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
RISES: Final = COUNT + 11
WHOLES: Final = RISES + MEANS

# Places in ``real``, after the judgement's.
STATE: Final = judgement.REALS  # of the band-pass section
KEPT: Final = STATE + 2  # the newest sample that was no spike
FILL: Final = STATE + 3  # mean energy of the last seconds, of the level: how little a lead shows beside its beats
WEIGHT: Final = STATE + 4  # of the lead in its station's sum, and the level that it is measured by; 0 while it learns
MEASURE: Final = STATE + 5
DOUBT: Final = STATE + 6  # share of the station's beats that the lead does not tell alike
SMOOTHS: Final = STATE + 7
REALS: Final = SMOOTHS + STEPS


def begin(whole: Wholes, real: Reals, rate_hz: float, share: float = judgement.SHARE) -> None:
    """Forget everything: the next sample is the first."""
    whole[:] = 0
    real[:] = 0.0
    judgement.begin(whole, real, rate_hz, share)
    whole[OPEN_AT] = whole[PENDING_AT] = NONE
    real[FILL] = real[DOUBT] = 0.5


def room(samples: int, shortest: int) -> int:
    """Rows of ``found`` that so many samples can fill: all that was learnt from, and a beat a hold-off."""
    return judgement.LEARNING + judgement.REJECTED + samples // shortest + 2


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


@compiled()
def _energies(x_mv: Reals, setting: Reals, sizes: Wholes, whole: Wholes, real: Reals, energies: Wholes) -> None:
    """The QRS energy of the next samples, in whole nanovolts."""
    b0, b1, b2, a1, a2 = setting[0], setting[1], setting[2], setting[3], setting[4]
    slew, bridge = setting[SLEW], sizes[BRIDGE]
    step, mean, now = sizes[STEP], sizes[MEAN], whole[COUNT]
    if now == 0 and x_mv.size:
        first = min(max(x_mv[0], -CLIP_MV), CLIP_MV)
        real[STATE], real[STATE + 1], real[KEPT] = setting[STEADY] * first, setting[STEADY + 1] * first, first
    one, two, kept, bridged = real[STATE], real[STATE + 1], real[KEPT], whole[BRIDGED]
    size = x_mv.size
    smooths, rises = np.empty(step + size), np.empty(mean + size, np.int64)
    smooths[:step], rises[:mean] = real[SMOOTHS : SMOOTHS + step], whole[RISES : RISES + mean]
    for k in range(size):
        x = min(max(x_mv[k], -CLIP_MV), CLIP_MV)
        if abs(x - kept) > slew * (bridged + 1) and bridged < bridge:
            bridged += 1  # a pacemaker's spike: the last value stays until it is over
        else:
            kept, bridged = x, 0
        smooth = b0 * kept + one
        one = b1 * kept - a1 * smooth + two
        two = b2 * kept - a2 * smooth
        smooths[step + k] = smooth
    for k in range(size):
        # Whole nanovolts: the running sum is exact from here on, for ever.
        rises[mean + k] = np.int64(np.rint(abs(smooths[step + k] - smooths[k]) * NANOVOLTS))
    total, share = whole[SUM], 1.0 / mean
    for k in range(size):
        total += rises[mean + k] - rises[k]
        energies[k] = np.int64(total * share)
    real[STATE], real[STATE + 1], whole[SUM] = one, two, total
    real[SMOOTHS : SMOOTHS + step], whole[RISES : RISES + mean] = smooths[size:], rises[size:]
    real[KEPT], whole[BRIDGED] = kept, bridged


@compiled()
def _watch(whole: Wholes, sizes: Wholes) -> tuple[int, int, int]:
    """What to wait for: a maximum above the first, an energy down to the second, or the sample of the third."""
    due = whole[DEADLINE]
    opened = whole[OPEN_AT]
    if whole[PENDING_AT] != NONE:
        ripe = whole[PENDING_AT] + whole[HOLD_OFF]
        if opened == NONE or opened >= ripe:
            due = min(due, ripe)
    if opened == NONE:
        return NONE, NONE, due
    return whole[OPEN_HEIGHT], whole[OPEN_HEIGHT] // 2, min(due, opened + sizes[CLOSE])


@compiled()
def _peaks(energies: Wholes, sizes: Wholes, whole: Wholes, real: Reals, found: Wholes, start: int, stop: int) -> None:
    """Find and judge the peaks of these energies; those of one block in any pieces."""
    before, before_that = whole[BEFORE], whole[BEFORE_THAT]
    now = whole[COUNT]
    least, half, due = _watch(whole, sizes)
    for k in range(start, stop):
        energy = energies[k]
        if before > before_that and before >= energy and before > least and now >= 2:
            whole[OPEN_AT], whole[OPEN_HEIGHT] = now - 1, before
            least, half, due = _watch(whole, sizes)
        if energy <= half or now >= due:
            _events(whole, real, found, sizes, now, energy)
            least, half, due = _watch(whole, sizes)
        before_that, before = before, energy
        now += 1
    whole[BEFORE], whole[BEFORE_THAT], whole[COUNT] = before, before_that, now


@compiled()
def poisoned(x_mv: Reals) -> bool:
    """Whether a value is not finite."""
    bad = False
    for value in x_mv:
        bad |= not abs(value) < np.inf
    return bad


@compiled("int64(float64[::1], float64[::1], int64[::1], int64[::1], float64[::1], int64[:, ::1])")
def run(x_mv: Reals, setting: Reals, sizes: Wholes, whole: Wholes, real: Reals, found: Wholes) -> int:
    """Take the next samples (millivolts); returns how many beats are in ``found``, or ``POISON``."""
    if poisoned(x_mv):
        return POISON
    whole[FOUND_COUNT] = 0
    energies = np.empty(x_mv.size, np.int64)
    _energies(x_mv, setting, sizes, whole, real, energies)
    _peaks(energies, sizes, whole, real, found, 0, energies.size)
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
def _weigh(setting: Reals, hop: int, whole: Wholes, real: Reals) -> None:
    """How much a lead counts from here on."""
    level = real[LEVEL]
    if level > 0:
        real[FILL] += setting[FORGET] * (min(LOUDEST, whole[HOP_SUM] / (hop * level)) - real[FILL])
        real[WEIGHT] = 1 / (np.sqrt(max(real[FILL], QUIETEST)) * (real[DOUBT] + SUREST))
        if real[FILL] < QUIETEST:
            real[WEIGHT] *= SILENT
        real[MEASURE] = level
    whole[HOP_SUM] = 0


@compiled()
def _add(energies: Wholes, real: Reals, mixed: Reals, start: int, stop: int) -> int:
    """Add a lead's energies to its station's: ``mixed`` has the plain sum, the weighted one of roots, the weights."""
    weight, level = real[WEIGHT], max(real[MEASURE], 1.0)
    gain, top, total = weight / np.sqrt(level), LOUDEST * level, 0
    for k in range(start, stop):
        energy = energies[k]
        total += energy
        mixed[0, k] += energy
        mixed[1, k] += gain * np.sqrt(min(float(energy), top))
        mixed[2, k] += weight
    return total


@compiled()
def _total(mixed: Reals, leads: int, measure: float, energies: Wholes, start: int, stop: int) -> None:
    """The energy of the sum: plain until it has learnt, afterwards weighted, in its scale at that time."""
    for k in range(start, stop):
        if measure > 0 and mixed[2, k] > 0:
            energies[k] = np.int64(np.rint(measure * (mixed[1, k] / mixed[2, k]) ** 2))
        else:
            energies[k] = np.int64(np.rint(mixed[0, k] / leads))


@compiled(
    "int64(float64[:, ::1], boolean[::1], float64[::1], int64[::1], int64[:, ::1], float64[:, ::1], int64[:, ::1])"
)
def run_many(
    x_mv: Reals, on: npt.NDArray[np.bool_], setting: Reals, sizes: Wholes, wholes: Wholes, reals: Reals, found: Wholes
) -> int:
    """Take the next samples of a station's leads (leads, samples); the last row of the state is their sum's.

    At least one lead is ``on``; the others are not read. Returns how many beats of the sum are in ``found``, or
    ``POISON``.
    """
    leads, samples = x_mv.shape
    whole, real = wholes[leads], reals[leads]
    count = 0
    for lead in range(leads):
        if on[lead]:
            if poisoned(x_mv[lead]):
                return POISON
            count += 1
    whole[FOUND_COUNT] = 0
    hop, near = sizes[HOP], sizes[NEAR]
    energies, total = np.empty((leads, samples), np.int64), np.empty(samples, np.int64)
    mixed, beside = np.zeros((3, samples)), np.empty_like(found)
    for lead in range(leads):
        if on[lead]:
            _energies(x_mv[lead], setting, sizes, wholes[lead], reals[lead], energies[lead])
    k = 0
    while k < samples:
        # A hop's weights are those of the end of the one before, however the samples come.
        stop = min(samples, k + hop - whole[COUNT] % hop)
        for lead in range(leads):
            if on[lead]:
                wholes[lead, FOUND_COUNT] = 0
                wholes[lead, HOP_SUM] += _add(energies[lead], reals[lead], mixed, k, stop)
                _peaks(energies[lead], sizes, wholes[lead], reals[lead], beside, k, stop)
        _total(mixed, count, real[MEASURE], total, k, stop)
        _peaks(total, sizes, whole, real, found, k, stop)
        if whole[COUNT] % hop == 0:
            if real[MEASURE] == 0:
                real[MEASURE] = real[LEVEL]
            fresh = whole[LAST] != whole[SEEN] and whole[INTERVAL_COUNT] > 0
            whole[SEEN] = whole[LAST]
            for lead in range(leads):
                if on[lead]:
                    if fresh and reals[lead, LEVEL] > 0:
                        wrong = 0.0 if _agrees(wholes[lead], whole, near) else 1.0
                        reals[lead, DOUBT] += (wrong - reals[lead, DOUBT]) / REMEMBERED
                    _weigh(setting, hop, wholes[lead], reals[lead])
        k = stop
    return int(whole[FOUND_COUNT])
