"""Which peaks of a lead's QRS energy are beats: running levels, a moving bar, and a second look when one is late.

Positions are samples since the detector began, heights whole nanovolts. Its decisions depend on the order of the peaks
alone. The memory of a lead is two plain arrays, ``whole`` (int64) and ``real`` (float64), whose places are named here;
everything is compiled into the detector's loop (``qrs``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal.compiled import compiled
from telemed_signal.history import append, median

Wholes = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

RAISED_UNTIL: Final = 0.8  # of the median interval
LATE_MOST_S: Final = 0.4  # beyond the interval: slow hearts are not waited for in proportion
EARLY: Final = 0.8  # of the median interval
LOOK_BACK_S: Final = 1.54  # with the lag less than 1.6 s: a beat found later is no longer told
FADE: Final = 0.9  # of the level, each time a second look finds nothing after FADE_AFTER_S
FADE_AFTER_S: Final = 4.0
"""Longer than any pause between two beats of 30 a minute: then the lead's amplitude has fallen."""
SHORTEST_HOLD_OFF_S: Final = 0.180
HOLD_OFF_SHARE: Final = 0.45  # of the median interval: 300 a minute must pass
LEARN_S: Final = 3.0
LEARN_SHARE: Final = 0.4  # of the greatest peak of the learning: higher ones are taken for beats
USUAL_INTERVAL_S: Final = 1.0
FLOOR: Final = 6_000
"""Nanovolts: the energy of a QRS of about 0.1 mV; below it nothing is called a beat."""

BEATS: Final = 5  # levels remembered; medians of few, so that one beat moves nothing
NOISES: Final = 6
INTERVALS: Final = 8
REJECTED: Final = 64
"""Peaks kept for the second look; a 1.6 s wait has fewer than ten."""
LEARNING: Final = 64
"""Peaks of the first 3 s; the hold-off lets 17 through."""

# Places in ``whole``.
LAST: Final = 0  # the newest beat, NONE before the first
DEADLINE: Final = 1  # position at which something is to be done, unless a beat comes first
HOLD_OFF: Final = 2
LEARNS: Final = 3  # 1 while learning
BEAT_COUNT: Final = 4
NOISE_COUNT: Final = 5
INTERVAL_COUNT: Final = 6
REJECTED_COUNT: Final = 7
LEARNING_COUNT: Final = 8
FOUND_COUNT: Final = 9  # of this call
INTERVAL_AT: Final = 10
REJECTED_AT: Final = INTERVAL_AT + INTERVALS
REJECTED_HEIGHT: Final = REJECTED_AT + REJECTED
LEARNING_AT: Final = REJECTED_HEIGHT + REJECTED
LEARNING_HEIGHT: Final = LEARNING_AT + LEARNING
WHOLES: Final = LEARNING_HEIGHT + LEARNING

# Places in ``real``.
RATE: Final = 0
INTERVAL: Final = 1  # the median one
BEAT_AT: Final = 2
NOISE_AT: Final = BEAT_AT + BEATS
LEVEL: Final = NOISE_AT + NOISES  # the median beat; 0 while learning
CONSTANTS: Final = LEVEL + 1  # from here on: ``Constants``, in its order
SHARE: Final = CONSTANTS
RAISED: Final = CONSTANTS + 1
HOLD_OFF_S: Final = CONSTANTS + 2
LATE: Final = CONSTANTS + 3
SECOND_LOOK: Final = CONSTANTS + 4
T_WAVE_S: Final = CONSTANTS + 5
AFTER_EARLY: Final = CONSTANTS + 6
CLIP: Final = CONSTANTS + 7
TWINS: Final = CONSTANTS + 8
REALS: Final = CONSTANTS + 9

NONE: Final = -1
FOUND_COLUMNS: Final = 3  # position, height, 1 when of the second look


@dataclass(frozen=True, slots=True)
class Constants:
    """What a search on recordings may move (``make bench-signal``); all else follows from standards and arithmetic."""

    share: float = 0.3125
    """Of the way from noise to beats at which a lead's bar lies."""
    raised: float = 0.30
    """How much higher the bar is right after a beat; it sinks until ``RAISED_UNTIL``."""
    hold_off_s: float = 0.280
    """After a beat no lesser peak is one; shorter where the heart is fast (``HOLD_OFF_SHARE``)."""
    late: float = 1.4
    """Median intervals after which a second look is taken."""
    second_look: float = 0.6  # of the bar
    t_wave_s: float = 0.360
    """No second look so near a beat, nor nearer than half an interval: T waves (Pan and Tompkins 1985)."""
    after_early: float = 0.7
    """Of what a beat came too early, its pause may last longer before the next is late: a compensatory one is no gap.
    False beats on half A of MIT-BIH 20 -> 14, on half B 76 -> 53, missed ones unchanged."""
    clip: float = 2.0
    """Of the level: one artefact may not lift it further. Below 2 a level that fell to T waves cannot climb again."""
    twins: float = 0.8
    """Two peaks in one hold-off, the lesser so much of the greater or more, are two beats, no beat and T wave."""
    close_s: float = 0.120
    """After its top a peak closes; a QRS is no longer (IEC 60601-2-27)."""
    share_of_sum: float = 0.35
    """The bar of a station's leads together: higher than a lead's, since noise is seldom in all leads.
    With 0.3125, 0.35 and 0.4, errors on half A of MIT-BIH 39, 39 and 43, on half B 67, 53 and 49."""

    def of_lead(self) -> tuple[float, ...]:
        """Those that a lead's memory has at ``CONSTANTS``."""
        return (self.share, self.raised, self.hold_off_s, self.late, self.second_look, self.t_wave_s, self.after_early,
                self.clip, self.twins)  # fmt: skip


SHIPPED: Final = Constants()


def begin(whole: Wholes, real: Reals, rate_hz: float) -> None:
    """Forget everything but the constants."""
    whole[:WHOLES] = 0
    real[:CONSTANTS] = 0.0
    whole[LAST] = NONE
    whole[LEARNS] = 1
    whole[DEADLINE] = round(LEARN_S * rate_hz)
    whole[HOLD_OFF] = round(float(real[HOLD_OFF_S]) * rate_hz)
    real[RATE] = rate_hz
    real[INTERVAL] = USUAL_INTERVAL_S * rate_hz


@compiled()
def _bar(whole: Wholes, real: Reals, at: int) -> float:
    """The height that makes a beat at this position; ``NONE``: long after the last one."""
    noises = whole[NOISE_COUNT]
    noise = median(real[NOISE_AT : NOISE_AT + noises]) if noises else 0.0
    level = real[LEVEL]
    bar = noise + real[SHARE] * max(0.0, level - noise)
    if at == NONE or whole[LAST] == NONE:
        return float(bar)
    since = (at - whole[LAST]) / (RAISED_UNTIL * real[INTERVAL])
    return float(bar * (1 + real[RAISED] * max(0.0, 1 - since)))


@compiled()
def _take(whole: Wholes, real: Reals, found: Wholes, at: int, height: int, second: int) -> None:
    """It is a beat."""
    whole[BEAT_COUNT] = append(
        real[BEAT_AT : BEAT_AT + BEATS], whole[BEAT_COUNT], min(float(height), real[CLIP] * real[LEVEL]))
    real[LEVEL] = median(real[BEAT_AT : BEAT_AT + whole[BEAT_COUNT]])
    early = 0.0
    if whole[LAST] != NONE:
        whole[INTERVAL_COUNT] = append(
            whole[INTERVAL_AT : INTERVAL_AT + INTERVALS], whole[INTERVAL_COUNT], at - whole[LAST])
        real[INTERVAL] = median(whole[INTERVAL_AT : INTERVAL_AT + whole[INTERVAL_COUNT]].astype(np.float64))
        share = min(real[HOLD_OFF_S] * real[RATE], HOLD_OFF_SHARE * real[INTERVAL])
        whole[HOLD_OFF] = np.int64(np.rint(max(SHORTEST_HOLD_OFF_S * real[RATE], share)))
        if at - whole[LAST] < EARLY * real[INTERVAL]:
            early = real[INTERVAL] - (at - whole[LAST])
    whole[LAST] = at
    whole[REJECTED_COUNT] = 0
    # What lies within 1.4 intervals is judged one hold-off later at the latest.
    wait = min(real[LATE] * real[INTERVAL], real[INTERVAL] + LATE_MOST_S * real[RATE]) + real[AFTER_EARLY] * early
    whole[DEADLINE] = at + max(1, int(np.rint(wait))) + whole[HOLD_OFF]
    one = whole[FOUND_COUNT]
    found[one, 0], found[one, 1], found[one, 2] = at, height, second
    whole[FOUND_COUNT] = one + 1


@compiled()
def judge(whole: Wholes, real: Reals, found: Wholes, at: int, height: int) -> None:
    """Judge one peak; while learning it is only remembered."""
    if whole[LEARNS]:
        count = whole[LEARNING_COUNT]
        if count < LEARNING:
            whole[LEARNING_AT + count], whole[LEARNING_HEIGHT + count] = at, height
            whole[LEARNING_COUNT] = count + 1
        return
    if height >= max(_bar(whole, real, at), FLOOR):
        _take(whole, real, found, at, height, 0)
        return
    whole[NOISE_COUNT] = append(real[NOISE_AT : NOISE_AT + NOISES], whole[NOISE_COUNT], float(height))
    append(whole[REJECTED_AT : REJECTED_AT + REJECTED], whole[REJECTED_COUNT], at)
    whole[REJECTED_COUNT] = append(
        whole[REJECTED_HEIGHT : REJECTED_HEIGHT + REJECTED], whole[REJECTED_COUNT], height)


@compiled()
def overdue(whole: Wholes, real: Reals, found: Wholes) -> None:
    """Look again, at the deadline, at what was rejected since the last beat."""
    best, height = NONE, 0
    oldest = whole[DEADLINE] - LOOK_BACK_S * real[RATE]
    if whole[LAST] != NONE:
        oldest = max(oldest, whole[LAST] + min(real[T_WAVE_S] * real[RATE], 0.5 * real[INTERVAL]))
    for k in range(whole[REJECTED_COUNT]):
        if whole[REJECTED_AT + k] >= oldest and whole[REJECTED_HEIGHT + k] > height:
            best, height = k, whole[REJECTED_HEIGHT + k]
    if best != NONE and height >= max(real[SECOND_LOOK] * _bar(whole, real, NONE), FLOOR):
        later = whole[REJECTED_COUNT] - best - 1  # what came after it may still be the next beat
        _take(whole, real, found, whole[REJECTED_AT + best], height, 1)
        for k in range(later):
            whole[REJECTED_AT + k] = whole[REJECTED_AT + best + 1 + k]
            whole[REJECTED_HEIGHT + k] = whole[REJECTED_HEIGHT + best + 1 + k]
        whole[REJECTED_COUNT] = later
        return
    if whole[LAST] == NONE or whole[DEADLINE] - whole[LAST] > FADE_AFTER_S * real[RATE]:
        for k in range(whole[BEAT_COUNT]):
            real[BEAT_AT + k] = max(FADE * real[BEAT_AT + k], float(FLOOR))
        real[LEVEL] = median(real[BEAT_AT : BEAT_AT + whole[BEAT_COUNT]])
    whole[DEADLINE] += max(1, int(np.rint(real[LATE] / 2 * real[INTERVAL])))


@compiled()
def learnt(whole: Wholes, real: Reals, found: Wholes) -> None:
    """End the learning: set the levels, then judge what was remembered in its order, so that no beat of it is lost."""
    count = 0
    for k in range(whole[LEARNING_COUNT]):
        if whole[LEARNING_HEIGHT + k] >= FLOOR:
            whole[LEARNING_AT + count] = whole[LEARNING_AT + k]
            whole[LEARNING_HEIGHT + count] = whole[LEARNING_HEIGHT + k]
            count += 1
    whole[LEARNING_COUNT] = 0
    if count == 0:
        whole[DEADLINE] += np.int64(np.rint(LEARN_S * real[RATE]))
        return
    heights = whole[LEARNING_HEIGHT : LEARNING_HEIGHT + count].astype(np.float64)
    bound = LEARN_SHARE * heights.max()
    low = heights[heights < bound]
    real[BEAT_AT] = median(heights[heights >= bound])
    whole[BEAT_COUNT] = 1
    real[LEVEL] = real[BEAT_AT]
    real[NOISE_AT] = median(low) if low.size else 0.0
    whole[NOISE_COUNT] = 1
    end = whole[DEADLINE]
    whole[LEARNS] = 0
    whole[DEADLINE] = end + whole[HOLD_OFF]
    for k in range(count):
        at = whole[LEARNING_AT + k]
        while whole[LAST] != NONE and whole[DEADLINE] <= at:
            overdue(whole, real, found)
        judge(whole, real, found, at, whole[LEARNING_HEIGHT + k])
    whole[DEADLINE] = max(whole[DEADLINE], end + 1)
