"""How far the beats of one ECG lead can be trusted: an index from 0 to 1 a second, with reasons, and the rate's gate.

Of the last six seconds, in the band of the QRS and beside it (``texture``): what lies between the beats (noise, and
muscle above 40 Hz), what moves under them (0.5-3 Hz: motion), hum (``hum``), cut tops and lost electrodes. The index
is the product of the first two, each 0 to 1, or how like itself the energy is one interval later if that is more: a
fast tachycardia leaves nothing between its beats, and is still steady. Below :data:`GATE` no rate is shown.

Pacing spikes lower it: give it what ``pacing`` gives back. A lead whose samples are missing is not here at all: its gap
resets it. What it cannot tell: motion in a steady rhythm (walking, chest compressions) from a heart's. It does not look
for arrhythmias; fibrillation of the ventricles is ``noise`` to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from telemed_signal import hum, texture
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported

Array = npt.NDArray[np.float64]

RATES_HZ: Final = (100.0, float(texture.MAX_RATE_HZ))
GATE: Final = 0.5
"""From here on a rate is shown: the middle of every part."""
BLOCK_S: Final = 1.0
WINDOW_S: Final = texture.BLOCKS * BLOCK_S
FLAT_S: Final = 2.0
"""The interval of 30 a minute: a simulator's line between two beats is flat for less."""
RAIL_S: Final = 0.2
"""Longer at a rail than a gap that is held, and than a cut QRS."""
RAIL_SHARE: Final = 0.98  # of half the range: there the converter is at its end
BASE_SHARE: Final = 0.9  # a baseline beyond it is a lost electrode's
QRS_HZ: Final = (6.0, 18.0)  # as in ``beats``
LOW_HZ: Final = (0.5, 3.0)
HIGH_HZ: Final = 40.0

REASONS: Final = {
    texture.LEAD_OFF: "lead_off", texture.SATURATED: "saturated", texture.FLAT: "flat", texture.MOTION: "motion",
    texture.NOISE: "noise", texture.MAINS: "mains",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quality:
    """The verdict at the end of a second: ``index`` 0 to 1, None and ``too_short`` while less than 3 s are known.

    ``reasons`` are stable codes: ``lead_off``, ``saturated``, ``flat``, ``motion``, ``noise`` (these two when no rate
    can be shown), ``mains``. ``next_sample`` is the first sample that is not in it, ``window_s`` what it looks back on.
    """

    index: float | None
    reasons: tuple[str, ...]
    next_sample: int
    window_s: float = WINDOW_S

    @property
    def shows_rate(self) -> bool:
        """Whether a heart rate from this lead may be shown."""
        return self.index is not None and self.index >= GATE


@dataclass(frozen=True, slots=True)
class QualityState:
    """All that a lead's quality remembers; ``hum`` is None below the rates at which mains is looked for."""

    first_sample: int
    whole: npt.NDArray[np.int64]
    real: Array
    hum: hum.HumState | None


class LeadQuality:
    """Judges one lead at ``rate_hz`` every second; feed it every sample in order, in blocks of any length.

    ``range_mv`` are the ends of the converter's range, where known: only with them a lead is ``saturated``, or
    ``lead_off`` but for being flat.
    """

    def __init__(
        self, rate_hz: float, *, range_mv: tuple[float, float] | None = None, first_sample: int = 0
    ) -> None:
        if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
            raise RateUnsupported(f"quality needs {RATES_HZ[0]:.0f} to {RATES_HZ[1]:.0f} Hz, not {rate_hz}")
        if range_mv is not None and not range_mv[0] < range_mv[1]:
            raise BlockShape("a range goes from its least to its greatest value")
        self.rate_hz = float(rate_hz)
        sections = [
            signal.butter(1, QRS_HZ, btype="bandpass", fs=rate_hz, output="sos"),
            signal.butter(1, LOW_HZ, btype="bandpass", fs=rate_hz, output="sos"),
            signal.butter(2, HIGH_HZ, btype="highpass", fs=rate_hz, output="sos"),
        ]
        self._sections = np.ascontiguousarray(np.vstack(sections))
        self._steady = np.ascontiguousarray(np.vstack([signal.sosfilt_zi(sos) for sos in sections]))
        # The share of a hum's power that the high-pass leaves.
        self._passed = {
            hz: float(np.abs(signal.sosfreqz(sections[2], worN=[hz], fs=rate_hz)[1][0]) ** 2) for hz in hum.MAINS_HZ
        }
        seconds = (0.020, 0.060, BLOCK_S, FLAT_S, RAIL_S)
        self._sizes = np.array([max(1, round(one * rate_hz)) for one in seconds], dtype=np.int64)
        self._rails = np.array([-np.inf, np.inf, -np.inf, np.inf])
        if range_mv is not None:
            middle, half = (range_mv[0] + range_mv[1]) / 2, (range_mv[1] - range_mv[0]) / 2
            self._rails[:] = [middle + sign * share * half for share in (RAIL_SHARE, BASE_SHARE) for sign in (-1, 1)]
        self._hum = hum.MainsDetector(rate_hz) if rate_hz >= hum.RATES_HZ[0] else None
        self._whole = np.zeros(texture.WHOLES, dtype=np.int64)
        self._real = np.zeros(texture.REALS)
        self.reset(first_sample)

    def reset(self, first_sample: int) -> None:
        """Forget everything; the next sample is number ``first_sample`` (after a gap that was not bridged)."""
        self._begin = first_sample
        self._whole[:] = 0
        self._real[:] = 0.0
        self._real[texture.INDEX] = -1.0
        if self._hum is not None:
            self._hum.reset()

    def push(self, x_mv: npt.ArrayLike) -> list[Quality]:
        """The verdicts of the seconds that the next samples (one-dimensional, millivolts, finite) filled, in order."""
        x = np.ascontiguousarray(x_mv, dtype=np.float64)
        if x.ndim != 1:
            raise BlockShape("a lead is one-dimensional")
        if not np.isfinite(x).all():
            raise NotFinite
        at, found = 0, []
        while at < x.size:
            full = int(self._whole[texture.FULL])
            stop = texture.run(
                x, at, self._sections, self._steady, self._sizes, self._rails, self._whole, self._real)
            if self._hum is not None:
                self._hum.take(x[at:stop])
            at = stop
            if self._whole[texture.FULL] > full:
                texture.judge(self._sizes, self._rails, self._mains_ms(), self._whole, self._real)
                found.append(self.now())
        return found

    def now(self) -> Quality:
        """The verdict at the end of the last full second."""
        index, bits = float(self._real[texture.INDEX]), int(self._whole[texture.BITS])
        reasons = tuple(code for bit, code in REASONS.items() if bits & bit)
        end = self._begin + int(self._whole[texture.FULL] * self._sizes[texture.BLOCK])
        return Quality(None, ("too_short",), end) if index < 0 else Quality(index, reasons, end)

    def hum(self) -> hum.Hum | None:
        """The mains hum at the end of the last full second; None below 125 samples a second."""
        return None if self._hum is None else self._hum.now()

    def export(self) -> QualityState:
        """A copy of what is remembered, to be restored here or elsewhere."""
        state = None if self._hum is None else self._hum.export()
        return QualityState(self._begin, self._whole.copy(), self._real.copy(), state)

    def restore(self, state: QualityState) -> None:
        """Continue exactly where :meth:`export`, at the same rate, left it."""
        if (
            state.whole.shape != self._whole.shape
            or state.real.shape != self._real.shape
            or (state.hum is None) != (self._hum is None)
        ):
            raise BlockShape("the state belongs to another lead")
        if not np.isfinite(state.real).all():
            raise NotFinite
        if self._hum is not None and state.hum is not None:
            self._hum.restore(state.hum)
        self._begin = state.first_sample
        self._whole[:], self._real[:] = state.whole, state.real

    def _mains_ms(self) -> float:
        """What a hum adds to the mean square above 40 Hz; 0 without one."""
        found = None if self._hum is None else self._hum.now()
        if found is None or found.hz is None:
            return 0.0
        return self._passed[found.hz] * found.level_mv**2 / 2
