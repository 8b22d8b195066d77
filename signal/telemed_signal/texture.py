"""The loop of ``quality``: what each second of a lead is made of, and what the last six say of it.

One sample after the other; a verdict at the end of each block of one second, so that no chunking can change anything.
The memory of a lead is two plain arrays, ``whole`` (int64) and ``real`` (float64), whose places are named here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal.compiled import compiled

Array = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

BLOCKS: Final = 6
"""Of one second, in the window: a jolt is forgotten so soon, and a heart of 30 a minute has three beats in it."""
LEAST_BLOCKS: Final = 3
TICKS: Final = 50
"""Energies kept of a block, one in 20 ms: its mean of 60 ms hardly changes faster."""
MAX_RATE_HZ: Final = 1_000
STEPS: Final = MAX_RATE_HZ // 50  # samples of the longest difference: 20 ms, as in ``beats``
MEANS: Final = MAX_RATE_HZ * 6 // 100  # of the longest mean: 60 ms
NANOVOLTS: Final = 1e6  # of a millivolt
CLIP_MV: Final = 100.0
FLAT_MV: Final = 0.005
"""One step of a usual converter: what stays within it for long is nobody's heart."""

# Decibels at which a part is 0 and at which it is 1; half way the gate closes. Set between the clean seconds of MIT-BIH
# and the noise of 118e00, which lie apart: from (8, 20) to (13, 25) and from (-2, 6) to (0, 6) both halves of the
# records stay above 98.8 % shown and 118e00 above 98 % withheld; chosen near the strict end, for 118e06 and 118e12.
NOISE_DB: Final = (13.0, 23.0)
"""QRS peaks over the median energy of the same band: what lies between the beats."""
MOTION_DB: Final = (-1.0, 6.0)
"""QRS peaks over all of 0.5-3 Hz, where electrodes that move put most of their power and a T wave less than a QRS."""
MUSCLE_DB: Final = (4.0, 14.0)
"""QRS peaks over all above 40 Hz, mains apart."""
STEADY: Final = (0.75, 0.95)
"""Likeness of the energy to itself one interval later: a tachycardia without a baseline to rest on is known by it."""
SHORTEST_S: Final = 0.19  # intervals tried for it: 315 to 30 a minute
LONGEST_S: Final = 2.0
CAPPED: Final = 0.7
"""The most that a lead with mains on it or its tops cut off is worth: it is worse, and its beats can be counted."""
CUT_SHARE: Final = 0.005  # of the window at a rail: the tops are cut off
LOST_SHARE: Final = 0.1  # and here the beats are lost as well

# Bits of a verdict's reasons, in the order in which they are told.
LEAD_OFF: Final = 1
SATURATED: Final = 2
FLAT: Final = 4
MOTION: Final = 8
NOISE: Final = 16
MAINS: Final = 32

# Places in ``sizes``: lengths in samples.
STEP: Final = 0
MEAN: Final = 1
BLOCK: Final = 2
FLAT_LONG: Final = 3
RAIL_LONG: Final = 4
SIZES: Final = 5

# Places in ``rails``, in millivolts: infinite when the range is not known.
RAIL_LOW: Final = 0  # at or beyond it the converter is at its end
RAIL_HIGH: Final = 1
BASE_LOW: Final = 2  # a baseline beyond it has no room for a beat
BASE_HIGH: Final = 3

# Sections of the filters, in the order of ``sections``.
QRS: Final = 0
LOW: Final = 1
HIGH: Final = 2
SECTIONS: Final = 3

# Places in ``whole``.
COUNT: Final = 0  # samples so far
FULL: Final = 1  # blocks so far
SUM: Final = 2  # of the newest steps
TICK: Final = 3  # energies of this block so far
FLAT_RUN: Final = 4  # samples within FLAT_MV, up to now
RAIL_RUN: Final = 5
FLAT_MOST: Final = 6  # the longest runs of this block
RAIL_MOST: Final = 7
BITS: Final = 8  # reasons of the last verdict
RAILED: Final = 9  # by block: samples at a rail
PEAK: Final = RAILED + BLOCKS  # by block: the greatest energy, nanovolts
STEP_RING: Final = PEAK + BLOCKS
ENERGY: Final = STEP_RING + MEANS  # by block and tick
WHOLES: Final = ENERGY + BLOCKS * TICKS

# Places in ``real``.
STATE: Final = 0
SMOOTH_RING: Final = STATE + 2 * SECTIONS
FLAT_FROM: Final = SMOOTH_RING + STEPS
FLAT_TO: Final = FLAT_FROM + 1
LOW_SUM: Final = FLAT_FROM + 2
HIGH_SUM: Final = FLAT_FROM + 3
LEVEL_SUM: Final = FLAT_FROM + 4
LEVEL_MV: Final = FLAT_FROM + 5  # the mean of the last block
INDEX: Final = FLAT_FROM + 6  # of the last verdict
LOW_MS: Final = FLAT_FROM + 7  # by block: mean square, mV2
HIGH_MS: Final = LOW_MS + BLOCKS
REALS: Final = HIGH_MS + BLOCKS


@compiled(
    "int64(float64[::1], int64, float64[:, ::1], float64[:, ::1], int64[::1], float64[::1], int64[::1], float64[::1])"
)
def run(
    x_mv: Array, start: int, sections: Array, steady: Array, sizes: Wholes, rails: Array, whole: Wholes, real: Array
) -> int:
    """Take samples (millivolts, finite) from ``start`` on until a block is full or they end; returns where it stopped.

    ``sections`` (3, 6) are the filters, ``steady`` (3, 2) their states for a constant 1.
    """
    step, mean, block = sizes[STEP], sizes[MEAN], sizes[BLOCK]
    now = whole[COUNT]
    into = now % block
    ring = whole[FULL] % BLOCKS
    if now == 0 and x_mv.size > start:
        first = min(max(x_mv[start], -CLIP_MV), CLIP_MV)
        for k in range(SECTIONS):
            real[STATE + 2 * k], real[STATE + 2 * k + 1] = steady[k, 0] * first, steady[k, 1] * first
        real[FLAT_FROM] = real[FLAT_TO] = first
    if into == 0:
        whole[TICK] = whole[FLAT_MOST] = whole[RAIL_MOST] = whole[RAILED + ring] = whole[PEAK + ring] = 0
        real[LOW_SUM] = real[HIGH_SUM] = real[LEVEL_SUM] = 0.0
    # All that changes with a sample is in locals: numbers in an array cost several times the time.
    q0, q1, q2, q3, q4 = sections[QRS, 0], sections[QRS, 1], sections[QRS, 2], sections[QRS, 4], sections[QRS, 5]
    l0, l1, l2, l3, l4 = sections[LOW, 0], sections[LOW, 1], sections[LOW, 2], sections[LOW, 4], sections[LOW, 5]
    h0, h1, h2, h3, h4 = sections[HIGH, 0], sections[HIGH, 1], sections[HIGH, 2], sections[HIGH, 4], sections[HIGH, 5]
    q_one, q_two = real[STATE + 2 * QRS], real[STATE + 2 * QRS + 1]
    l_one, l_two = real[STATE + 2 * LOW], real[STATE + 2 * LOW + 1]
    h_one, h_two = real[STATE + 2 * HIGH], real[STATE + 2 * HIGH + 1]
    low_sum, high_sum, level_sum = real[LOW_SUM], real[HIGH_SUM], real[LEVEL_SUM]
    flat_from, flat_to = real[FLAT_FROM], real[FLAT_TO]
    flat_run, flat_most, rail_run, rail_most = whole[FLAT_RUN], whole[FLAT_MOST], whole[RAIL_RUN], whole[RAIL_MOST]
    total, tick, peak, railed = whole[SUM], whole[TICK], whole[PEAK + ring], whole[RAILED + ring]
    rail_low, rail_high = rails[RAIL_LOW], rails[RAIL_HIGH]
    step_at, mean_at = SMOOTH_RING + now % step, STEP_RING + now % mean
    energies = ENERGY + ring * TICKS
    stop = min(x_mv.size, start + block - into)
    for at in range(start, stop):
        x = min(max(x_mv[at], -CLIP_MV), CLIP_MV)
        smooth = q0 * x + q_one
        q_one = q1 * x - q3 * smooth + q_two
        q_two = q2 * x - q4 * smooth
        low = l0 * x + l_one
        l_one = l1 * x - l3 * low + l_two
        l_two = l2 * x - l4 * low
        high = h0 * x + h_one
        h_one = h1 * x - h3 * high + h_two
        h_two = h2 * x - h4 * high
        low_sum += low * low
        high_sum += high * high
        level_sum += x
        # Whole nanovolts: the running sum is exact, for ever.
        rise = np.int64(np.rint(abs(smooth - real[step_at]) * NANOVOLTS))
        real[step_at] = smooth
        step_at = SMOOTH_RING if step_at == SMOOTH_RING + step - 1 else step_at + 1
        total += rise - whole[mean_at]
        whole[mean_at] = rise
        mean_at = STEP_RING if mean_at == STEP_RING + mean - 1 else mean_at + 1
        flat_from, flat_to = min(flat_from, x), max(flat_to, x)
        flat_run += 1
        if flat_to - flat_from > FLAT_MV:
            flat_from = flat_to = x
            flat_run = 1
        flat_most = max(flat_most, flat_run)
        if x <= rail_low or x >= rail_high:
            rail_run += 1
            railed += 1
            rail_most = max(rail_most, rail_run)
        else:
            rail_run = 0
        into += 1
        if into * TICKS >= (tick + 1) * block:
            energy = total // mean
            whole[energies + tick] = energy
            peak = max(peak, energy)
            tick += 1
    real[STATE + 2 * QRS], real[STATE + 2 * QRS + 1] = q_one, q_two
    real[STATE + 2 * LOW], real[STATE + 2 * LOW + 1] = l_one, l_two
    real[STATE + 2 * HIGH], real[STATE + 2 * HIGH + 1] = h_one, h_two
    real[LOW_SUM], real[HIGH_SUM], real[LEVEL_SUM] = low_sum, high_sum, level_sum
    real[FLAT_FROM], real[FLAT_TO] = flat_from, flat_to
    whole[FLAT_RUN], whole[FLAT_MOST], whole[RAIL_RUN], whole[RAIL_MOST] = flat_run, flat_most, rail_run, rail_most
    whole[SUM], whole[TICK], whole[PEAK + ring], whole[RAILED + ring] = total, tick, peak, railed
    whole[COUNT] = now + stop - start
    if into == block and stop > start:
        real[LOW_MS + ring] = real[LOW_SUM] / block
        real[HIGH_MS + ring] = real[HIGH_SUM] / block
        real[LEVEL_MV] = real[LEVEL_SUM] / block
        whole[FULL] += 1
    return int(stop)


@compiled()
def _ramp(value: float, least: float, most: float) -> float:
    return min(1.0, max(0.0, (value - least) / (most - least)))


@compiled()
def _decibels(height: float, under: float) -> float:
    """Of a height over what lies under it; 60 where there is nothing."""
    return 60.0 if under <= height / 1000 else 20 * np.log10(height / under)


@compiled()
def _likeness(energies: Array) -> float:
    """The greatest correlation of the energy with itself one interval later, of any interval."""
    size = energies.size
    least = int(np.ceil(SHORTEST_S * TICKS))
    most = min(int(LONGEST_S * TICKS), size // 2)
    products = np.zeros(most - least + 1)
    for k in range(size - least):  # lags in the inner loop do not depend on each other
        for one in range(min(products.size, size - least - k)):
            products[one] += energies[k] * energies[k + least + one]
    sums, squares = np.zeros(size + 1), np.zeros(size + 1)
    for k in range(size):
        sums[k + 1] = sums[k] + energies[k]
        squares[k + 1] = squares[k] + energies[k] * energies[k]
    best = 0.0
    for one in range(products.size):
        lag, n = least + one, size - least - one
        a, b = sums[n], sums[size] - sums[lag]
        spread = (squares[n] - a * a / n) * (squares[size] - squares[lag] - b * b / n)
        if spread > 0:
            best = max(best, (products[one] - a * b / n) / np.sqrt(spread))
    return best


@compiled("void(int64[::1], float64[::1], float64, int64[::1], float64[::1])")
def judge(sizes: Wholes, rails: Array, mains_ms: float, whole: Wholes, real: Array) -> None:
    """The verdict at the end of a block, into ``INDEX`` and ``BITS``: -1 while the window is too short.

    ``mains_ms`` is the mean square of the hum above 40 Hz, 0 without any.
    """
    count = min(whole[FULL], BLOCKS)
    newest = (whole[FULL] - 1) % BLOCKS
    whole[BITS] = 0
    if whole[RAIL_MOST] > sizes[RAIL_LONG] or not rails[BASE_LOW] <= real[LEVEL_MV] <= rails[BASE_HIGH]:
        whole[BITS] = LEAD_OFF
    if whole[FLAT_MOST] > sizes[FLAT_LONG]:
        whole[BITS] |= FLAT
    if whole[BITS] or count < LEAST_BLOCKS:
        real[INDEX] = 0.0 if whole[BITS] else -1.0
        return
    energies = np.empty(count * TICKS)
    pairs = np.empty(count - 1)
    low, high, railed = 0.0, 0.0, 0
    for k in range(count):  # oldest first
        block = (newest + BLOCKS - count + 1 + k) % BLOCKS
        for tick in range(TICKS):
            energies[k * TICKS + tick] = whole[ENERGY + block * TICKS + tick]
        if k:
            before = (block + BLOCKS - 1) % BLOCKS
            pairs[k - 1] = max(whole[PEAK + block], whole[PEAK + before])
        low += real[LOW_MS + block]
        high += max(0.0, real[HIGH_MS + block] - mains_ms)
        railed += whole[RAILED + block]
    ranked = np.sort(pairs)
    peak = ranked[ranked.size // 2]
    if peak <= 0:
        real[INDEX], whole[BITS] = 0.0, FLAT
        return
    quiet = _ramp(_decibels(peak, np.sort(energies)[energies.size // 2]), NOISE_DB[0], NOISE_DB[1])
    still = _ramp(_decibels(peak, NANOVOLTS * np.sqrt(low / count)), MOTION_DB[0], MOTION_DB[1])
    smooth = _ramp(_decibels(peak, NANOVOLTS * np.sqrt(high / count)), MUSCLE_DB[0], MUSCLE_DB[1])
    quiet = min(quiet, smooth)
    index = quiet * still
    if index < 1.0:
        index = max(index, _ramp(_likeness(energies), STEADY[0], STEADY[1]))
    if index < 0.5:
        whole[BITS] |= MOTION if still <= quiet else NOISE
    if railed > CUT_SHARE * count * sizes[BLOCK]:
        whole[BITS] |= SATURATED
        index = 0.0 if railed > LOST_SHARE * count * sizes[BLOCK] else min(index, CAPPED)
    if mains_ms > 0:
        whole[BITS] |= MAINS
        index = min(index, CAPPED)
    real[INDEX] = index
