"""Which rises of a pleth wave are pulse beats, and how alike their shapes are: a bar that follows the usual rise.

Positions are samples since the channel began. Decisions depend on the order of the rises alone. The memory of a
channel is two plain arrays, ``whole`` (int64) and ``real`` (float64), whose places are named here; everything is
compiled into the loop (``pulses``).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal.compiled import compiled
from telemed_signal.history import append, median

Wholes = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

MAX_RATE_HZ: Final = 1_000
RISE_S: Final = 0.100
RISES: Final = MAX_RATE_HZ // 10
"""Samples of the longest rise: 100 ms."""
KEPT: Final = 256
"""Points of the smooth wave that are remembered, at 40 to 80 a second: 3.2 s at least."""
KEPT_HZ: Final = 40
SHARE: Final = 0.4
"""Of the usual steepest rise that makes a beat: a dicrotic wave and respiration stay below it."""
RAISED: Final = 0.5
RAISED_UNTIL: Final = 0.8  # of the median interval
LATE: Final = 1.5  # of the median interval
LATEST_S: Final = 2.3
"""A second look comes no later, so that the wave it looks at is still kept."""
SECOND_LOOK: Final = 0.5  # of the bar
FADE: Final = 0.7  # of the level, each time a second look finds nothing
FORGET_S: Final = 8.0
"""Without a beat for so long everything is learnt anew; four intervals of 30 a minute."""
HOLD_OFF_S: Final = 0.300
SHORTEST_HOLD_OFF_S: Final = 0.200
HOLD_OFF_SHARE: Final = 0.5  # of the median interval: 240 a minute must pass
TWINS: Final = 0.8
"""Two rises in one hold-off, the lesser at least so much of the greater, are two beats, none of them dicrotic."""
LEARN_S: Final = 3.0
LEARN_SHARE: Final = 0.4  # of the second greatest rise of the learning
USUAL_INTERVAL_S: Final = 0.8

LEVELS: Final = 7
"""The usual rise is the third greatest of them: two movements move nothing, three beats of a stronger pulse do. A
median would stay down for ever once a false beat comes between every two: those keep the bar below themselves."""
INTERVALS: Final = 8
REJECTED: Final = 20
LEARNING: Final = 16
TAKEN: Final = 20
"""Beats that wait for their shape; the end of the learning gives 15 at most."""
POINTS: Final = 24
"""Of a shape: from 150 ms before the steepest rise to 400 ms after it."""
BEFORE_S: Final = 0.150
AFTER_S: Final = 0.400
SHAPES: Final = 5
BEATS: Final = 64
"""Remembered for the rate: 15 s at 240 a minute."""
FLAT_SLOTS: Final = 15
PINNED_S: Final = 0.3
"""A living wave does not stand still for so long, in its foot neither, even at 8 bits and 60 Hz."""

# Places in ``sizes``: lengths in samples of one rate.
RISE: Final = 0
FACTOR: Final = 1  # samples of a kept point
SLOT: Final = 2  # samples of a second
PINNED: Final = 3  # samples after which a value that does not move is pinned
SHORTEST: Final = 4  # hold-off
SIZES: Final = 5

# Places in ``whole``.
COUNT: Final = 0  # samples so far
LAST: Final = 1  # the newest beat; NONE
DEADLINE: Final = 2
HOLD_OFF: Final = 3
LEARNS: Final = 4
PENDING_AT: Final = 5  # the rise that waits for a greater one within its hold-off; NONE
LEVEL_COUNT: Final = 6
INTERVAL_COUNT: Final = 7
REJECTED_COUNT: Final = 8
LEARNING_COUNT: Final = 9
TAKEN_COUNT: Final = 10
SHAPE_COUNT: Final = 11
FOUND_COUNT: Final = 12  # of this call
RIPE: Final = 13  # sample at which the oldest taken beat has its shape
REJECTED_AT: Final = 14
LEARNING_AT: Final = REJECTED_AT + REJECTED
TAKEN_AT: Final = LEARNING_AT + LEARNING
TAKEN_SECOND: Final = TAKEN_AT + TAKEN
SAME: Final = TAKEN_SECOND + TAKEN  # samples for which the wave has not moved
BEAT_COUNT: Final = SAME + 1
FLAT_RING: Final = SAME + 2  # pinned samples of each of the last seconds
WHOLES: Final = FLAT_RING + FLAT_SLOTS

# Places in ``real``.
RATE: Final = 0
INTERVAL: Final = 1  # the median one
PENDING_HEIGHT: Final = 2
PENDING_PART: Final = 3  # of a sample, by which the rise was steepest after PENDING_AT
LOW_STATE: Final = 4
HIGH_STATE: Final = 6
BEFORE: Final = 8  # the rises of the last two samples
BEFORE_THAT: Final = 9
LEVEL_AT: Final = 10
INTERVAL_AT: Final = LEVEL_AT + LEVELS
REJECTED_HEIGHT: Final = INTERVAL_AT + INTERVALS
REJECTED_PART: Final = REJECTED_HEIGHT + REJECTED
LEARNING_HEIGHT: Final = REJECTED_PART + REJECTED
LEARNING_PART: Final = LEARNING_HEIGHT + LEARNING
TAKEN_PART: Final = LEARNING_PART + LEARNING
SHAPE_AT: Final = TAKEN_PART + TAKEN
RISE_RING: Final = SHAPE_AT + SHAPES * POINTS
KEPT_RING: Final = RISE_RING + RISES
VALUE: Final = KEPT_RING + KEPT  # the sample before
BEAT_AT: Final = VALUE + 1  # the newest beats, oldest first
BEAT_LIKENESS: Final = BEAT_AT + BEATS
BEAT_FOOT: Final = BEAT_LIKENESS + BEATS
BEAT_TOP: Final = BEAT_FOOT + BEATS
REALS: Final = BEAT_TOP + BEATS

NONE: Final = -1
FOUND_COLUMNS: Final = 5
"""Of a beat: sample of its steepest rise (with its fraction), likeness, foot, top, 1 when of the second look."""


@compiled()
def _shape(whole: Wholes, real: Reals, sizes: Wholes, at: float, points: Reals) -> None:
    """The smooth wave around a rise as ``POINTS`` numbers without offset and slope, of length 1 (all 0 when flat)."""
    factor = sizes[FACTOR]
    newest = (whole[COUNT]) // factor
    oldest = max(0, newest - KEPT + 1)
    first = (at - BEFORE_S * real[RATE]) / factor
    step = (BEFORE_S + AFTER_S) * real[RATE] / factor / (POINTS - 1)
    total = turned = 0.0
    for k in range(POINTS):
        place = min(max(first + k * step, float(oldest)), float(newest - 1))
        low = int(np.floor(place))
        one, other = real[KEPT_RING + low % KEPT], real[KEPT_RING + (low + 1) % KEPT]
        points[k] = one + (place - low) * (other - one)
        total += points[k]
    mean, middle = total / POINTS, (POINTS - 1) / 2
    spread = 0.0
    for k in range(POINTS):
        turned += (k - middle) * points[k]
        spread += (k - middle) ** 2
    slope, length = turned / spread, 0.0
    for k in range(POINTS):
        points[k] -= mean + slope * (k - middle)
        length += points[k] ** 2
    length = np.sqrt(length)
    for k in range(POINTS):
        points[k] = points[k] / length if length > 0 else 0.0


@compiled()
def emit(whole: Wholes, real: Reals, sizes: Wholes, found: Reals) -> None:
    """The oldest taken beat has its shape: measure it and hand it out."""
    at = whole[TAKEN_AT] + real[TAKEN_PART]
    points = np.empty(POINTS)
    _shape(whole, real, sizes, at, points)
    count = whole[SHAPE_COUNT]
    likeness = np.empty(count)
    for one in range(count):
        alike = 0.0
        for k in range(POINTS):
            alike += points[k] * real[SHAPE_AT + one * POINTS + k]
        likeness[one] = alike
    if count == SHAPES:
        for k in range((SHAPES - 1) * POINTS):
            real[SHAPE_AT + k] = real[SHAPE_AT + POINTS + k]
        count -= 1
    for k in range(POINTS):
        real[SHAPE_AT + count * POINTS + k] = points[k]
    whole[SHAPE_COUNT] = count + 1
    factor = sizes[FACTOR]
    newest = whole[COUNT] // factor
    oldest = max(0, newest - KEPT + 1)
    middle = int(np.rint(at / factor))
    foot = top = real[KEPT_RING + min(max(middle, oldest), newest) % KEPT]
    for k in range(max(oldest, middle - int(0.25 * real[RATE] / factor)), middle):
        foot = min(foot, real[KEPT_RING + k % KEPT])
    for k in range(middle, min(newest, middle + int(0.30 * real[RATE] / factor)) + 1):
        top = max(top, real[KEPT_RING + k % KEPT])
    row = whole[FOUND_COUNT]
    found[row, 0], found[row, 2], found[row, 3], found[row, 4] = at, foot, top, float(whole[TAKEN_SECOND])
    found[row, 1] = max(0.0, median(likeness)) if likeness.size else 0.0
    whole[FOUND_COUNT] = row + 1
    beats = whole[BEAT_COUNT]
    append(real[BEAT_LIKENESS : BEAT_LIKENESS + BEATS], beats, found[row, 1])
    append(real[BEAT_FOOT : BEAT_FOOT + BEATS], beats, foot)
    append(real[BEAT_TOP : BEAT_TOP + BEATS], beats, top)
    whole[BEAT_COUNT] = append(real[BEAT_AT : BEAT_AT + BEATS], beats, at)
    taken = whole[TAKEN_COUNT] - 1
    for k in range(taken):
        whole[TAKEN_AT + k], real[TAKEN_PART + k] = whole[TAKEN_AT + k + 1], real[TAKEN_PART + k + 1]
        whole[TAKEN_SECOND + k] = whole[TAKEN_SECOND + k + 1]
    whole[TAKEN_COUNT] = taken
    whole[RIPE] = NONE if taken == 0 else whole[TAKEN_AT] + int(AFTER_S * real[RATE]) + factor


@compiled()
def _bar(whole: Wholes, real: Reals, at: int) -> float:
    """The rise that makes a beat at this sample; ``NONE``: long after the last one."""
    count = whole[LEVEL_COUNT]
    bar = SHARE * float(np.sort(real[LEVEL_AT : LEVEL_AT + count])[count - 1 - min(2, count // 2)])
    if at == NONE or whole[LAST] == NONE:
        return bar
    since = (at - whole[LAST]) / (RAISED_UNTIL * real[INTERVAL])
    return float(bar * (1 + RAISED * max(0.0, 1 - since)))


@compiled()
def _take(whole: Wholes, real: Reals, sizes: Wholes, found: Reals, at: int, part: float, height: float,
          second: int) -> None:  # fmt: skip
    """It is a beat."""
    whole[LEVEL_COUNT] = append(real[LEVEL_AT : LEVEL_AT + LEVELS], whole[LEVEL_COUNT], height)
    if whole[LAST] != NONE:
        intervals = real[INTERVAL_AT : INTERVAL_AT + INTERVALS]
        whole[INTERVAL_COUNT] = append(intervals, whole[INTERVAL_COUNT], float(at - whole[LAST]))
        real[INTERVAL] = median(intervals[: whole[INTERVAL_COUNT]])
        share = min(HOLD_OFF_S * real[RATE], HOLD_OFF_SHARE * real[INTERVAL])
        whole[HOLD_OFF] = np.int64(np.rint(max(SHORTEST_HOLD_OFF_S * real[RATE], share)))
    whole[LAST] = at
    whole[REJECTED_COUNT] = 0
    whole[DEADLINE] = at + np.int64(np.rint(min(LATE * real[INTERVAL], LATEST_S * real[RATE]))) + whole[HOLD_OFF]
    if whole[TAKEN_COUNT] == TAKEN:
        emit(whole, real, sizes, found)
    one = whole[TAKEN_COUNT]
    whole[TAKEN_AT + one], real[TAKEN_PART + one], whole[TAKEN_SECOND + one] = at, part, second
    whole[TAKEN_COUNT] = one + 1
    if one == 0:
        whole[RIPE] = at + int(AFTER_S * real[RATE]) + sizes[FACTOR]


@compiled()
def judge(whole: Wholes, real: Reals, sizes: Wholes, found: Reals, at: int, part: float, height: float) -> None:
    """Judge one rise; while learning it is only remembered."""
    if whole[LEARNS]:
        count = whole[LEARNING_COUNT]
        if count < LEARNING:
            whole[LEARNING_AT + count], real[LEARNING_PART + count] = at, part
            real[LEARNING_HEIGHT + count] = height
            whole[LEARNING_COUNT] = count + 1
    elif height >= _bar(whole, real, at):
        _take(whole, real, sizes, found, at, part, height, 0)
    else:
        count = whole[REJECTED_COUNT]
        append(whole[REJECTED_AT : REJECTED_AT + REJECTED], count, at)
        append(real[REJECTED_PART : REJECTED_PART + REJECTED], count, part)
        whole[REJECTED_COUNT] = append(real[REJECTED_HEIGHT : REJECTED_HEIGHT + REJECTED], count, height)


@compiled()
def overdue(whole: Wholes, real: Reals, sizes: Wholes, found: Reals) -> None:
    """Look again, at the deadline, at what was rejected since the last beat."""
    count = whole[REJECTED_COUNT]
    if count:
        heights = real[REJECTED_HEIGHT : REJECTED_HEIGHT + count]
        best = int(np.argmax(heights))
        at, part, height = whole[REJECTED_AT + best], real[REJECTED_PART + best], heights[best]
        recent = whole[DEADLINE] - at < (LATEST_S + 2 * HOLD_OFF_S) * real[RATE]
        if recent and height >= SECOND_LOOK * _bar(whole, real, NONE):
            _take(whole, real, sizes, found, at, part, height, 1)
            later = count - best - 1
            for k in range(later):
                whole[REJECTED_AT + k] = whole[REJECTED_AT + best + 1 + k]
                real[REJECTED_PART + k] = real[REJECTED_PART + best + 1 + k]
                real[REJECTED_HEIGHT + k] = real[REJECTED_HEIGHT + best + 1 + k]
            whole[REJECTED_COUNT] = later
            return
    if whole[LAST] == NONE or whole[DEADLINE] - whole[LAST] > FORGET_S * real[RATE]:
        whole[LEARNS], whole[LAST] = 1, NONE
        whole[LEVEL_COUNT] = whole[INTERVAL_COUNT] = whole[REJECTED_COUNT] = whole[LEARNING_COUNT] = 0
        whole[HOLD_OFF] = np.int64(np.rint(HOLD_OFF_S * real[RATE]))
        real[INTERVAL] = USUAL_INTERVAL_S * real[RATE]
        whole[DEADLINE] += np.int64(np.rint(LEARN_S * real[RATE]))
        return
    for k in range(whole[LEVEL_COUNT]):
        real[LEVEL_AT + k] *= FADE
    wait = min(LATE / 2 * real[INTERVAL], LATEST_S / 2 * real[RATE])
    whole[DEADLINE] += max(1, np.int64(np.rint(wait)))


@compiled()
def learnt(whole: Wholes, real: Reals, sizes: Wholes, found: Reals) -> None:
    """End the learning: set the level, then judge what was remembered in its order, so that no beat of it is lost."""
    count = whole[LEARNING_COUNT]
    whole[LEARNING_COUNT] = 0
    if count < 2:
        whole[DEADLINE] += np.int64(np.rint(LEARN_S * real[RATE]))
        return
    heights = real[LEARNING_HEIGHT : LEARNING_HEIGHT + count]
    bound = LEARN_SHARE * np.sort(heights)[count - 2]
    high = heights[heights >= bound]
    real[LEVEL_AT] = median(high)
    whole[LEVEL_COUNT] = 1
    end = whole[DEADLINE]
    whole[LEARNS] = 0
    whole[DEADLINE] = end + whole[HOLD_OFF]
    for k in range(count):
        at = whole[LEARNING_AT + k]
        while whole[LAST] != NONE and whole[DEADLINE] <= at:
            overdue(whole, real, sizes, found)
        judge(whole, real, sizes, found, at, real[LEARNING_PART + k], real[LEARNING_HEIGHT + k])
    whole[DEADLINE] = max(whole[DEADLINE], end + 1)
