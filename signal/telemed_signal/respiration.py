"""Respiration rate from the chest's impedance, and one rate from it and the pleth: causal, or why there is none.

The wave is averaged down to about 8 points a second, of which the last minute is kept; ``breaths`` looks at that
minute whenever somebody asks. Any chunking gives the same rates. Silence is stated (``no_breath_s``), never alarmed:
this is no apnoea monitor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from telemed_signal import breaths
from telemed_signal.compiled import compiled
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported

RATES_HZ: Final = (10.0, 1_000.0)
KEPT_HZ: Final = 8.0
WINDOW_S: Final = 60.0
MOST_KEPT_HZ: Final = 12.0
"""Of the kept points, at the least favourable rate (just below 12 Hz nothing is averaged)."""
POINTS: Final = int(WINDOW_S * MOST_KEPT_HZ)
MIN_BREATHS: Final = 4
STALE_S: Final = 20.0
"""The usual apnoea time of monitors: a rate without a breath for so long is no longer true."""
RANGE_PER_MIN: Final = (3.0, 90.0)
GATE: Final = 0.3
"""Of the quality: patients have 0.7 and in one minute of a hundred less than 0.3; noise has 0.1, white noise never 0.3,
pink noise in one minute of fifty, a baseline that wanders at random in one of twelve."""
CARDIAC: Final = 0.05
"""A rate so near to the heart's (of it) is suspected to be the heart's own volume change."""
CARDIAC_QUALITY: Final = 0.5
AGREE_PER_MIN: Final = 4.0
"""Of rates from different modulations or sources (Karlen 2013)."""
PIECE_S: Final = 5.0
PIECES: Final = 36
"""Three minutes of ranges: what a breath usually moved before a pause."""
USUAL_SHARE: Final = 0.15
"""Of the usual range below which no swing is a breath: in a pause the heart's ripple is all that is left."""

Array = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

# Places in ``whole``.
COUNT: Final = 0
KEPT: Final = 1  # points so far
PIECES_COUNT: Final = 2
WHOLES: Final = 3
# Places in ``real``.
SUM: Final = 0  # of the point that is being averaged
LEAST: Final = 1  # of the piece
MOST: Final = 2
RANGES: Final = 3
RING: Final = RANGES + PIECES
REALS: Final = RING + POINTS


@dataclass(frozen=True, slots=True)
class Breathing:
    """Breaths a minute to a tenth, or None and why.

    Reasons: ``few_breaths``, ``no_breath`` and ``flat`` (for ``no_breath_s`` seconds), ``poor_signal``,
    ``implausible``, of the pleth also ``few_beats`` and ``disagreement``. ``window_s`` is what was looked at;
    ``source`` is ``impedance``, ``pleth`` or ``fused``; ``cardiac`` says that the rate is the heart's within 5 %;
    ``quality`` 0-1.
    """

    per_min: float | None
    reason: str | None = None
    window_s: float = WINDOW_S
    quality: float = 0.0
    source: str = "impedance"
    no_breath_s: int | None = None
    cardiac: bool = False


@dataclass(frozen=True, slots=True)
class BreathState:
    """All that a channel remembers: plain arrays."""

    whole: Wholes
    real: Array


@compiled("void(float64[::1], int64, int64, int64, int64[::1], float64[::1])")
def _gather(x: Array, factor: int, points: int, piece: int, whole: Wholes, real: Array) -> None:
    """Average the next samples into the ring and note the ranges of its pieces."""
    count, kept, total = whole[COUNT], whole[KEPT], real[SUM]
    least, most = real[LEAST], real[MOST]
    for value in x:
        total += value
        count += 1
        if count % factor:
            continue
        point = total / factor
        total = 0.0
        real[RING + kept % points] = point
        least, most = (point, point) if kept % piece == 0 else (min(least, point), max(most, point))
        kept += 1
        if kept % piece == 0:
            real[RANGES + whole[PIECES_COUNT] % PIECES] = most - least
            whole[PIECES_COUNT] += 1
    whole[COUNT], whole[KEPT], real[SUM] = count, kept, total
    real[LEAST], real[MOST] = least, most


class RespirationRate:
    """Follows one respiration wave of any unit at ``rate_hz``."""

    def __init__(self, rate_hz: float) -> None:
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise RateUnsupported(f"respiration needs {RATES_HZ[0]:.0f} to {RATES_HZ[1]:.0f} Hz, not {rate_hz}")
        self.rate_hz = float(rate_hz)
        self._factor = max(1, round(rate_hz / KEPT_HZ))
        self._kept_hz = rate_hz / self._factor
        self._points = round(WINDOW_S * self._kept_hz)
        self._piece = round(PIECE_S * self._kept_hz)
        self._whole = np.zeros(WHOLES, dtype=np.int64)
        self._real = np.zeros(REALS)
        self._told = np.zeros(breaths.TOLD)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a gap that was not bridged."""
        self._whole[:] = 0
        self._real[:] = 0.0

    def push(self, wave: npt.ArrayLike) -> None:
        """Take the next samples (one-dimensional, finite)."""
        x = np.ascontiguousarray(wave, dtype=np.float64)
        if x.ndim != 1:
            raise BlockShape("a wave is one-dimensional")
        if not np.isfinite(x).all():
            raise NotFinite
        _gather(x, self._factor, self._points, self._piece, self._whole, self._real)

    def at_end(self, heart_per_min: float | None = None) -> Breathing:
        """The rate as known at the last sample pushed; ``heart_per_min`` (of the ECG or pulse) finds its artefact."""
        kept = int(self._whole[KEPT])
        held = min(kept, self._points)
        window = self._ring(kept)
        usual = USUAL_SHARE * self._usual_range()
        return said(window, self._kept_hz, usual, self._told, held / self._kept_hz, "impedance", heart_per_min)

    def export(self) -> BreathState:
        """A copy of what the channel remembers, to be restored here or elsewhere."""
        return BreathState(self._whole.copy(), self._real.copy())

    def restore(self, state: BreathState) -> None:
        """Continue exactly where :meth:`export`, at the same rate, left it."""
        if state.whole.shape != self._whole.shape or state.real.shape != self._real.shape:
            raise BlockShape("the state belongs to another channel")
        if not np.isfinite(state.real).all():
            raise NotFinite
        self._whole[:], self._real[:] = state.whole, state.real

    def _ring(self, kept: int) -> Array:
        ring = self._real[RING : RING + self._points]
        if kept < self._points:
            return ring[:kept].copy()
        return np.roll(ring, -(kept % self._points))

    def _usual_range(self) -> float:
        pieces = min(int(self._whole[PIECES_COUNT]), PIECES)
        return float(np.median(self._real[RANGES : RANGES + pieces])) if pieces else 0.0


def said(
    window: Array, kept_hz: float, usual: float, told: Array, window_s: float, source: str, heart_per_min: float | None
) -> Breathing:
    """What a window of a slow wave says of breathing."""
    window_s = round(window_s, 1)
    if window.size < breaths.LEAST_POINTS:
        return Breathing(None, "few_breaths", window_s, 0.0, source)
    count = breaths.look(window, kept_hz, usual, told)
    silent_s = window_s if count == 0 else float(window.size - 1 - told[breaths.LAST]) / kept_hz
    if silent_s > STALE_S:
        flat = float(np.ptp(window)) == 0.0
        return Breathing(None, "flat" if flat else "no_breath", window_s, 0.0, source, int(silent_s))
    if count < MIN_BREATHS:
        return Breathing(None, "few_breaths", window_s, 0.0, source)
    per_min, quality = round(float(told[breaths.PER_MIN]), 1), round(float(told[breaths.QUALITY]), 2)
    if not RANGE_PER_MIN[0] <= per_min <= RANGE_PER_MIN[1]:
        return Breathing(None, "implausible", window_s, quality, source)
    if quality < GATE:
        return Breathing(None, "poor_signal", window_s, quality, source)
    cardiac = heart_per_min is not None and abs(per_min - heart_per_min) <= CARDIAC * heart_per_min
    return Breathing(
        per_min, None, window_s, round(CARDIAC_QUALITY * quality, 2) if cardiac else quality, source, None, cardiac
    )


def fused(impedance: Breathing | None, pleth: Breathing | None) -> Breathing:
    """One rate of two: the impedance leads; the pleth stands in where it has none or only the heart's.

    ``fused`` means that both say the same within 4 a minute: the number is the impedance's, the quality the better.
    """
    if impedance is None or (impedance.cardiac and pleth is not None and pleth.per_min is not None):
        return pleth if pleth is not None else Breathing(None, "few_breaths")
    if pleth is None or pleth.per_min is None:
        return impedance
    if impedance.per_min is None:
        # A chest that is still is not contradicted by a pulse: its modulation outlasts the breathing in the window.
        return impedance if impedance.reason == "no_breath" else pleth
    if abs(impedance.per_min - pleth.per_min) > AGREE_PER_MIN:
        return impedance
    return replace(impedance, source="fused", quality=max(impedance.quality, pleth.quality))
