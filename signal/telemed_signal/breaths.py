"""Breaths in the last minute of a slow wave: where its tops and bottoms are, how fast they come, how sure that is.

The whole window is looked at again each time, forwards and backwards, so nothing depends on when somebody asked before.

1. Spectrum (Hann) between 0.06 and 1.5 Hz: the frequency with most power is the coarse rate.
2. Band-pass of zero phase around it, 0.2 to 1.7 of it: the heart's ripple and the baseline go.
3. Turning points; a swing counts from 0.2 of the median one of the window, and of what was usual before.
4. Rate: breaths over the time that they took, tops and bottoms alike.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal.compiled import compiled
from telemed_signal.history import median

Reals = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

LOWEST_HZ: Final = 0.06
HIGHEST_HZ: Final = 1.5
PAD_S: Final = 10.0
LEAST_POINTS: Final = 32
"""A window of 4 s or more: below it there is nothing to look at."""

MOST_UNSTEADY: Final = 0.5
UNSTEADY: Final = 3.0
"""Intervals that are a third of the median apart from it are no breathing."""

RIPPLE: Final = 0.3  # of the deviation, below which a swing is not asked for its size
ROUNDING: Final = 1e-9
"""A wave that moves less, of its own size, does not move."""

# Tuned on each half of BIDMC's subjects, reported on the other: both halves chose these (the last 0.4 and 0.5).
BELOW: Final = 0.2  # of the coarse rate, the band's lower edge
ABOVE: Final = 1.7  # of the coarse rate, its upper edge
SHARE: Final = 0.2  # of the median swing that a breath's must reach: the band has left nothing else
LEAST_BELOW_HZ: Final = 0.05  # the lower edge is no lower: three breaths a minute
LEAST_ABOVE_HZ: Final = 0.4  # the upper edge is no lower: one quick breath among slow ones is a breath

# Places in ``told``.
PER_MIN: Final = 0
COARSE: Final = 1  # per minute
BREATHS: Final = 2
LAST: Final = 3  # point of the newest breath's top
SPREAD: Final = 4  # of the intervals: mean deviation from the median one, of it
PURITY: Final = 5  # share of the power that is near the rate or its double
SWING: Final = 6  # the median one
QUALITY: Final = 7  # 0 to 1
TOLD: Final = 8


@compiled("void(float64[::1], float64[::1])")
def _taper(wave: Reals, tapered: Reals) -> None:
    """A wave without its offset and slope, under a Hann window."""
    n = wave.size
    mean = 0.0
    for k in range(n):
        mean += wave[k]
    mean /= n
    middle, turned, spread = (n - 1) / 2, 0.0, 0.0
    for k in range(n):
        turned += (k - middle) * (wave[k] - mean)
        spread += (k - middle) ** 2
    slope = turned / spread
    for k in range(n):
        tapered[k] = (wave[k] - mean - slope * (k - middle)) * (0.5 - 0.5 * np.cos(2 * np.pi * (k + 0.5) / n))


@compiled()
def _section(hz: float, rate_hz: float, high: bool, wave: Reals) -> None:
    """Order-2 Butterworth in place, from a state at rest: the wave begins near nothing."""
    warped = np.tan(np.pi * hz / rate_hz)
    norm = 1 / (1 + np.sqrt(2.0) * warped + warped * warped)
    b0 = norm if high else warped * warped * norm
    b1 = -2 * b0 if high else 2 * b0
    a1 = 2 * (warped * warped - 1) * norm
    a2 = (1 - np.sqrt(2.0) * warped + warped * warped) * norm
    one = two = 0.0
    for k in range(wave.size):
        x = wave[k]
        y = b0 * x + one
        one = b1 * x - a1 * y + two
        two = b0 * x - a2 * y
        wave[k] = y


@compiled()
def band(wave: Reals, rate_hz: float, low_hz: float, high_hz: float) -> Reals:
    """Zero-phase band-pass of a window, its ends continued by their mirror image turned upside down."""
    n = wave.size
    pad = min(n - 1, int(PAD_S * rate_hz))
    longer = np.empty(n + 2 * pad)
    for k in range(pad):
        longer[k] = 2 * wave[0] - wave[pad - k]
        longer[n + pad + k] = 2 * wave[n - 1] - wave[n - 2 - k]
    for k in range(n):
        longer[pad + k] = wave[k]
    mean = np.mean(longer)
    for k in range(longer.size):
        longer[k] -= mean
    for _ in range(2):
        _section(low_hz, rate_hz, True, longer)
        _section(min(high_hz, 0.45 * rate_hz), rate_hz, False, longer)
        longer = longer[::-1].copy()
    return longer[pad : pad + n].copy()


@compiled()
def turns(wave: Reals, needed: float, at: Wholes) -> int:
    """Places of the turning points between which the wave moves by more than ``needed``; bottoms as ``-1 - place``."""
    count, top, bottom, going = 0, 0, 0, 0
    for k in range(1, wave.size):
        if wave[k] > wave[top]:
            top = k
        if wave[k] < wave[bottom]:
            bottom = k
        if going >= 0 and wave[top] - wave[k] > needed:
            if going > 0 or top > 0:
                at[count] = top
                count += 1
            going, bottom = -1, k
        elif going <= 0 and wave[k] - wave[bottom] > needed:
            if going < 0 or bottom > 0:
                at[count] = -1 - bottom
                count += 1
            going, top = 1, k
    return count


@compiled()
def _swings(wave: Reals, at: Wholes, count: int) -> Reals:
    sizes = np.empty(max(0, count - 1))
    for k in range(count - 1):
        one = at[k] if at[k] >= 0 else -1 - at[k]
        other = at[k + 1] if at[k + 1] >= 0 else -1 - at[k + 1]
        sizes[k] = abs(wave[one] - wave[other])
    return sizes


@compiled()
def _exact(wave: Reals, at: int) -> float:
    """A turning point between the samples."""
    if at <= 0 or at >= wave.size - 1:
        return float(at)
    bend = wave[at - 1] - 2 * wave[at] + wave[at + 1]
    return at + 0.5 * (wave[at - 1] - wave[at + 1]) / bend if bend != 0 else float(at)


@compiled()
def _unsteady(places: Reals) -> float:
    """How far intervals lie from the median one, of it; each counts for half an interval at most."""
    intervals = np.diff(places)
    usual = median(intervals)
    return float(np.mean(np.minimum(MOST_UNSTEADY, np.abs(intervals - usual) / usual)))


def look(wave: Reals, rate_hz: float, usual: float, told: Reals) -> int:
    """Find the breaths of a window; how many, with what is known of them in ``told``.

    ``usual`` is the least swing that may count, whatever the window holds (0 when nothing is known).
    """
    tapered = np.empty(wave.size)
    _taper(wave, tapered)
    # Bins of half a Hann window's resolution or less: 0.008 Hz in a minute.
    length = 2 << wave.size.bit_length() - (wave.size & wave.size - 1 == 0)
    spectrum = np.fft.rfft(tapered, length)
    return int(_find(wave, np.square(spectrum.real) + np.square(spectrum.imag), rate_hz / length, rate_hz, usual, told))


@compiled("int64(float64[::1], float64[::1], float64, float64, float64, float64[::1])")
def _find(wave: Reals, power: Reals, step_hz: float, rate_hz: float, usual: float, told: Reals) -> int:
    told[:] = 0.0
    n = wave.size
    first = int(np.ceil(LOWEST_HZ / step_hz))
    past = min(power.size, int(HIGHEST_HZ / step_hz) + 1)
    best, highest, total = 0, 0.0, 0.0
    for k in range(first, past):
        total += power[k]
        if power[k] > highest:
            best, highest = k, power[k]
    if highest <= 0.0:
        return 0
    coarse = best * step_hz
    told[COARSE] = 60 * coarse
    low_hz, high_hz = max(LEAST_BELOW_HZ, BELOW * coarse), max(LEAST_ABOVE_HZ, ABOVE * coarse)
    smooth = band(wave, rate_hz, low_hz, high_hz)
    at = np.empty(n, dtype=np.int64)
    deviation = 0.0
    for k in range(n):
        deviation += smooth[k] * smooth[k]
    deviation = np.sqrt(deviation / n)
    if deviation <= ROUNDING * np.abs(wave).max():
        return 0
    count = turns(smooth, RIPPLE * deviation, at)
    if count < 3:
        return 0
    count = turns(smooth, max(usual, SHARE * median(_swings(smooth, at, count))), at)
    tops, bottoms = np.empty(count), np.empty(count)
    high = low = 0
    for k in range(count):
        if at[k] >= 0:
            tops[high] = _exact(smooth, at[k])
            high += 1
        else:
            bottoms[low] = _exact(smooth, -1 - at[k])
            low += 1
    told[BREATHS] = high
    if high:
        told[LAST] = tops[high - 1]
    if high < 2 or low < 2:
        return high
    span = tops[high - 1] - tops[0] + bottoms[low - 1] - bottoms[0]
    told[PER_MIN] = 60 * rate_hz * (high + low - 2) / span
    told[SWING] = median(_swings(smooth, at, count))
    told[SPREAD] = (_unsteady(tops[:high]) + _unsteady(bottoms[:low])) / 2
    near = 0.0
    centre = told[PER_MIN] / 60
    for k in range(first, past):
        hz = k * step_hz
        if abs(hz - centre) <= 0.05 or abs(hz - 2 * centre) <= 0.05:
            near += power[k]
    told[PURITY] = near / total
    told[QUALITY] = np.sqrt(told[PURITY]) * max(0.0, 1 - UNSTEADY * told[SPREAD])
    return high
