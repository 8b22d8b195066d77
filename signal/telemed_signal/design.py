"""What a filter is: named, described on the wire, and the same numbers for everyone who rebuilds it.

The live trace passes second-order sections causally (see ``bank``); review may pass them forward and back
(:func:`zero_phase`). Both say so. Source of the bands: monitor ECG 0.5–40 Hz as monitors built to
IEC 60601-2-27 list it; European mains 50 Hz; the pulse's first harmonics below 10 Hz; breathing 3–120 a minute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.rounding import ROUNDING

Array = npt.NDArray[np.float64]

INITIAL_STATE: Final = "steady state of the first sample"
MAX_RATE_HZ: Final = 8_000.0
"""Above it no vital sign here is sampled; the 0.05 Hz section is still exact in float64."""


@dataclass(frozen=True, slots=True)
class Butterworth:
    """A Butterworth band-pass; ``order`` is what ``scipy.signal.butter`` is given (the band-pass has twice)."""

    order: int
    band_hz: tuple[float, float]

    def sos(self, rate_hz: float) -> Array:
        """Second-order sections, shape (sections, 6), float64."""
        return np.asarray(signal.butter(self.order, self.band_hz, btype="bandpass", fs=rate_hz, output="sos"))

    def describe(self) -> dict[str, Any]:
        """The stage as the wire names it."""
        return {"design": "butter", "type": "band", "order": self.order, "band_hz": list(self.band_hz)}


@dataclass(frozen=True, slots=True)
class Notch:
    """A second-order notch at ``hz`` whose -3 dB width is ``hz / q``."""

    hz: float
    q: float

    def sos(self, rate_hz: float) -> Array:
        """Second-order sections, shape (1, 6), float64."""
        b, a = signal.iirnotch(self.hz, self.q, fs=rate_hz)
        return np.asarray(signal.tf2sos(b, a))

    def describe(self) -> dict[str, Any]:
        """The stage as the wire names it."""
        return {"design": "iirnotch", "hz": self.hz, "q": self.q}


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """A chain of stages with its name; the same at every rate of ``rates_hz`` (inclusive).

    ``delay_at_hz`` is the frequency at which the chain's delay is stated, in the middle of what the eye reads:
    10 Hz for the QRS.
    """

    kind: str
    stages: tuple[Butterworth | Notch, ...]
    label: str
    delay_at_hz: float
    rates_hz: tuple[float, float]

    def supports(self, rate_hz: float) -> bool:
        """Whether the chain can be made at this sampling rate."""
        return self.rates_hz[0] <= rate_hz <= self.rates_hz[1]

    def sos(self, rate_hz: float) -> tuple[Array, ...]:
        """One array of second-order sections (sections, 6) a stage, in the order in which they run."""
        return tuple(sos.copy() for sos in _sections(self, self._checked(rate_hz)))

    def delay_ms(self, rate_hz: float) -> int:
        """Group delay of the causal chain at ``delay_at_hz``, to the nearest millisecond."""
        return _delay_ms(self, self._checked(rate_hz))

    def describe(self, rate_hz: float, *, phase: str = "causal") -> dict[str, Any]:
        """The FILTER object of docs/protocol.md section 5; ``phase`` is ``causal`` or ``zero``."""
        causal = phase == "causal"
        return {
            "kind": self.kind,
            "stages": [stage.describe() for stage in self.stages],
            "phase": phase,
            "delay_ms": self.delay_ms(rate_hz) if causal else 0,
            "initial_state": INITIAL_STATE if causal else "odd extension at both ends",
            "rounding": ROUNDING,
            "dtype": "float64",
            "label": self.label,
        }

    def _checked(self, rate_hz: float) -> float:
        if not self.supports(rate_hz):
            raise RateUnsupported(f"{self.label} cannot be made at {rate_hz} Hz")
        return float(rate_hz)


MONITOR_ECG: Final = FilterSpec(
    kind="butterworth band-pass + notch",
    stages=(Butterworth(order=2, band_hz=(0.5, 40.0)), Notch(hz=50.0, q=30.0)),
    label="0.5–40 Hz · 50 Hz",
    delay_at_hz=10.0,
    rates_hz=(125.0, MAX_RATE_HZ),
)
PLETH: Final = FilterSpec(
    kind="butterworth band-pass",
    stages=(Butterworth(order=2, band_hz=(0.5, 10.0)),),
    label="0.5–10 Hz",
    delay_at_hz=2.0,
    rates_hz=(25.0, MAX_RATE_HZ),
)
RESPIRATION: Final = FilterSpec(
    kind="butterworth band-pass",
    stages=(Butterworth(order=2, band_hz=(0.05, 2.0)),),
    label="0.05–2 Hz",
    delay_at_hz=0.3,
    rates_hz=(10.0, MAX_RATE_HZ),
)
MONITOR: Final[dict[str, FilterSpec]] = {"ecg": MONITOR_ECG, "pleth": PLETH, "respiration": RESPIRATION}
"""The filter of the ``monitor`` view, by the kind of the stream."""


@lru_cache(maxsize=64)  # kinds × rates met in one server; a miss costs a design, nothing else
def _sections(spec: FilterSpec, rate_hz: float) -> tuple[Array, ...]:
    return tuple(stage.sos(rate_hz) for stage in spec.stages)


@lru_cache(maxsize=64)
def _delay_ms(spec: FilterSpec, rate_hz: float) -> int:
    """-dφ/dω by a central difference of the phase, 1 % of the frequency to either side."""
    at = spec.delay_at_hz
    hertz = np.array([at * 0.99, at * 1.01])
    response = np.ones(2, dtype=np.complex128)
    for sos in spec.sos(rate_hz):
        response *= signal.sosfreqz(sos, worN=hertz, fs=rate_hz)[1]
    turn = float(np.angle(response[1] / response[0]))
    return round(-turn / (2 * math.pi * float(hertz[1] - hertz[0])) * 1000)


def zero_phase(spec: FilterSpec, rate_hz: float, x: npt.ArrayLike) -> Array:
    """The chain forward and back over stored samples: no delay, twice the order. Never for a live trace.

    ``x`` is (time, channels) without missing samples (cut at the gaps first); so is the result, float64.
    Ends are extended oddly (``scipy.signal.sosfiltfilt``), by less when the piece is short.
    """
    y = np.asarray(x, dtype=np.float64)
    if y.ndim != 2:
        raise BlockShape("samples are (time, channels)")
    if not np.isfinite(y).all():
        raise NotFinite
    if y.shape[0] < 2:
        return np.zeros_like(y)
    for sos in spec.sos(rate_hz):
        usual = 3 * (2 * len(sos) + 1)
        y = np.asarray(signal.sosfiltfilt(sos, y, axis=0, padlen=min(usual, y.shape[0] - 1)))
    return y
