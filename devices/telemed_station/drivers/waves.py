"""What the simulated waves look like: pure functions of time, beats and a seed.

Times are µs since the driver began; ``t`` is an array of them. Noise comes in blocks of one second keyed by
(seed, signal, second), so any cut of the time axis gives the same samples.

The ECG is a heart vector (Frank's X to the left, Y to the feet, Z to the back, mV) made of Gaussians, seen
through the leads by Dower's coefficients (Dower, Machado, Osborne 1980, Clin Cardiol 3:87); so the limb
leads obey Einthoven and the chest leads have a plausible R progression.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from telemed_station.drivers.rhythm import Beat

Floats = NDArray[np.float64]

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

# Rows: I, II, V1..V6; columns X, Y, Z.
_DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
# All twelve from I, II, V1..V6: III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2.
_LIMBS = np.zeros((12, 8))
_LIMBS[0, 0] = _LIMBS[1, 1] = 1.0
_LIMBS[2, :2] = (-1.0, 1.0)
_LIMBS[3, :2] = (-0.5, -0.5)
_LIMBS[4, :2] = (1.0, -0.5)
_LIMBS[5, :2] = (-0.5, 1.0)
_LIMBS[6:, 2:] = np.eye(6)
_TWELVE = _LIMBS @ _DOWER

# (centre ms from R, width ms, X mV, Y mV, Z mV). The T wave's centre scales with the square root of the interval.
_P = (-165.0, 24.0, 0.05, 0.12, -0.02)
_QRS = (
    (-26.0, 8.0, -0.12, -0.04, -0.28),  # septum: to the right and to the front
    (0.0, 11.0, 1.00, 0.92, 0.22),
    (26.0, 11.0, -0.22, -0.18, 0.55),  # base: upwards and to the back
)
_T = ((245.0, 55.0, 0.16, 0.13, -0.11), (285.0, 34.0, 0.15, 0.13, -0.10))
_VENTRICULAR = ((-20.0, 30.0, -0.70, 0.55, 0.75), (42.0, 34.0, -0.95, -0.35, 0.80), (300.0, 70.0, 0.45, 0.05, -0.55))

LOOK_BACK_US = 1_300_000  # the end of a pulse wave, which begins 0.2 s after its R, and of any T wave
LOOK_AHEAD_US = 300_000  # the start of a P wave

PULSE_DELAY_MS = 200.0  # R peak to the foot of the pulse at a finger
# (centre ms from the foot, width ms, height): the systolic rise, the dicrotic wave, the run-off.
_PULSE = ((150.0, 52.0, 1.0), (300.0, 75.0, 0.42), (450.0, 110.0, 0.22))


@lru_cache(maxsize=64)
def _second_of_noise(key: tuple[int, int], second: int, rows: int, count: int) -> Floats:
    return np.random.default_rng([*key, second]).standard_normal((rows, count))


def noise(key: tuple[int, int], first: int, count: int, rate: float, rows: int = 1) -> Floats:
    """White noise of unit variance keyed by (seed, signal): ``count`` samples from ``first``, shape (rows, count)."""
    block = max(1, round(rate))
    parts = []
    at = first
    while at < first + count:
        second, start = divmod(at, block)
        stop = min(block, start + first + count - at)
        parts.append(_second_of_noise(key, second, rows, block)[:, start:stop])
        at += stop - start
    return np.concatenate(parts, axis=1) if parts else np.zeros((rows, 0))


def _add(out: Floats, t_ms: Floats, centre: float, width: float, vector: Sequence[float]) -> None:
    low, high = np.searchsorted(t_ms, (centre - 5 * width, centre + 5 * width))
    if low < high:
        bump = np.exp(-0.5 * ((t_ms[low:high] - centre) / width) ** 2)
        out[:, low:high] += np.outer(vector, bump)


def heart_vector(t_us: Floats, beats: Iterable[Beat]) -> Floats:
    """The electrical heart vector, mV, shape (3, n)."""
    out = np.zeros((3, t_us.size))
    t_ms = t_us / 1000.0
    for beat in beats:
        r_ms = beat.r_us / 1000.0
        stretch = float(np.sqrt(min(beat.interval_us, 1_200_000) / 833_000))
        if beat.shape == "ventricular":
            for centre, width, *vector in _VENTRICULAR:
                _add(out, t_ms, r_ms + centre, width, vector)
            continue
        if beat.shape == "normal":
            _add(out, t_ms, r_ms + _P[0] * min(1.0, stretch), _P[1], _P[2:])
        for centre, width, *vector in _QRS:
            _add(out, t_ms, r_ms + centre, width, vector)
        for centre, width, *vector in _T:
            _add(out, t_ms, r_ms + centre * stretch, width * stretch, vector)
    return out


def fibrillation(t_us: Floats) -> Floats:
    """The f waves of a fibrillating atrium, mV, shape (3, n): about 6 a second, waxing and waning."""
    t = t_us / 1e6
    wave = np.sin(2 * np.pi * 5.8 * t + 1.3 * np.sin(2 * np.pi * 0.31 * t)) * (1 + 0.4 * np.sin(2 * np.pi * 0.17 * t))
    return np.outer((-0.03, 0.035, -0.05), wave)


def twelve_leads(vector: Floats) -> Floats:
    """Twelve leads, mV, shape (12, n), from a heart vector of shape (3, n)."""
    leads: Floats = _TWELVE @ vector
    return leads


def wander(t_us: Floats, amount: float) -> Floats:
    """A baseline that moves with breath, mV, shape (3, n)."""
    return np.outer((0.6, 0.5, 0.4), amount * np.sin(2 * np.pi * t_us / 4e6))


def movement(t_us: Floats) -> Floats:
    """A patient who moves, mV, shape (3, n): slow, large, never repeating within a minute."""
    t = t_us / 1e6
    base = np.array([[0.37], [0.53], [0.71]])
    slow: Floats = 0.35 * np.sin(2 * np.pi * base * t) + 0.22 * np.sin(2 * np.pi * 2.31 * base * t + base)
    fast: Floats = 0.12 * np.sin(2 * np.pi * 5.87 * base * t)
    total: Floats = slow + fast
    return total


def pulse(t_us: Floats, beats: Iterable[Beat]) -> Floats:
    """The pulse wave at a finger, about 0 to 1, shape (n,)."""
    out = np.zeros((1, t_us.size))
    t_ms = t_us / 1000.0
    for beat in beats:
        foot = beat.r_us / 1000.0 + PULSE_DELAY_MS
        # A short interval leaves the heart less to eject and the wave less time.
        squeeze = min(1.0, beat.interval_us / 800_000)
        for centre, width, height in _PULSE:
            _add(out, t_ms, foot + centre * squeeze, width * squeeze, (height * beat.strength,))
    row: Floats = out[0]
    return row


def breathing(t_us: Floats, breaths_a_minute: float = 15.0) -> Floats:
    """Chest movement, -1 to 1, shape (n,): breathing in takes two fifths of the time."""
    phase = (t_us / 60e6 * breaths_a_minute) % 1.0
    inward = 0.4
    rise = 0.5 - 0.5 * np.cos(np.pi * np.minimum(phase / inward, 1.0))
    fall = 0.5 + 0.5 * np.cos(np.pi * np.clip((phase - inward) / (1 - inward), 0.0, 1.0))
    depth: Floats = 2 * np.where(phase < inward, rise, fall) - 1
    return depth
