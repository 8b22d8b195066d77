"""What a filter is: named, described on the wire, and the same numbers for everyone who rebuilds it.

The live trace passes second-order sections causally (see ``bank``); review may pass them forward and back
(:func:`zero_phase`), or a linear-phase FIR over what is stored (:func:`linear_phase`). Each says so.
The specifications themselves are at the end, each with the source of its band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import signal

from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported
from telemed_signal.rounding import ROUNDING

Array = npt.NDArray[np.float64]

FIR_WINDOW: Final = "hamming"
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

    @property
    def lowest_hz(self) -> float | None:
        """The band's lower edge."""
        return self.band_hz[0]


@dataclass(frozen=True, slots=True)
class Edge:
    """A Butterworth high-pass (``high``) or low-pass (``low``): one edge of a band, with an order of its own."""

    order: int
    passes: Literal["high", "low"]
    hz: float

    def sos(self, rate_hz: float) -> Array:
        """Second-order sections, shape (sections, 6), float64."""
        return np.asarray(signal.butter(self.order, self.hz, btype=self.passes, fs=rate_hz, output="sos"))

    def describe(self) -> dict[str, Any]:
        """The stage as the wire names it."""
        return {"design": "butter", "type": self.passes, "order": self.order, "hz": self.hz}

    @property
    def lowest_hz(self) -> float | None:
        """The edge of a high-pass, None of a low-pass."""
        return self.hz if self.passes == "high" else None


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

    @property
    def lowest_hz(self) -> float | None:
        """The lowest frequency that it feels: how long it rings."""
        return self.hz / self.q


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """A chain of stages with its name; the same at every rate of ``rates_hz`` (inclusive).

    ``delay_at_hz`` is the frequency at which the chain's delay is stated, in the middle of what the eye reads:
    10 Hz for the QRS.
    """

    kind: str
    stages: tuple[Butterworth | Edge | Notch, ...]
    label: str
    delay_at_hz: float
    rates_hz: tuple[float, float]

    @property
    def lowest_hz(self) -> float:
        """The lowest edge in the chain: its periods are how long the chain remembers."""
        edges = (stage.lowest_hz for stage in self.stages)
        return min((edge for edge in edges if edge is not None), default=self.delay_at_hz)

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


@dataclass(frozen=True, slots=True)
class LinearPhase:
    """A low-pass FIR whose delay is ``delay_s`` at every frequency, so that a wave keeps its shape. For review.

    ``scipy.signal.firwin`` with a Hamming window: half the amplitude at ``hz``, 50 dB down from 0.825 / ``delay_s`` Hz
    above it (8 Hz at 100 ms). It leaves the baseline as it is.
    """

    kind: str
    hz: float
    delay_s: float
    label: str
    rates_hz: tuple[float, float]

    def supports(self, rate_hz: float) -> bool:
        """Whether the filter can be made at this sampling rate."""
        return self.rates_hz[0] <= rate_hz <= self.rates_hz[1]

    def delay_samples(self, rate_hz: float) -> int:
        """The delay, a whole number of samples: shift by it and every wave is where it was."""
        if not self.supports(rate_hz):
            raise RateUnsupported(f"{self.label} cannot be made at {rate_hz} Hz")
        return round(self.delay_s * rate_hz)

    def taps(self, rate_hz: float) -> Array:
        """The impulse response, symmetrical, twice the delay and one sample long; its sum is 1."""
        length = 2 * self.delay_samples(rate_hz) + 1
        return np.asarray(signal.firwin(length, self.hz, window=FIR_WINDOW, fs=rate_hz))

    def describe(self, rate_hz: float) -> dict[str, Any]:
        """The FILTER object of docs/protocol.md section 5."""
        length = 2 * self.delay_samples(rate_hz) + 1
        return {
            "kind": self.kind,
            "stages": [{"design": "firwin", "type": "low", "hz": self.hz, "taps": length, "window": FIR_WINDOW}],
            "phase": "linear",
            "delay_ms": round(self.delay_samples(rate_hz) / rate_hz * 1000),
            "initial_state": INITIAL_STATE,
            "rounding": ROUNDING,
            "dtype": "float64",
            "label": self.label,
        }


def with_notch(spec: FilterSpec, mains_hz: Literal[50, 60]) -> FilterSpec:
    """The chain with a mains notch after it, named so; itself when that notch is in it. Somebody chooses it, not we."""
    mains = MAINS[mains_hz]
    if any(isinstance(stage, Notch) and stage.hz == mains_hz for stage in spec.stages):
        return spec
    return replace(
        spec, kind=f"{spec.kind} + notch", stages=(*spec.stages, *mains.stages), label=f"{spec.label} · {mains_hz} Hz",
        rates_hz=(max(spec.rates_hz[0], mains.rates_hz[0]), spec.rates_hz[1]),
    )  # fmt: skip


def linear_phase(spec: LinearPhase, rate_hz: float, x: npt.ArrayLike) -> Array:
    """The FIR over stored samples, ``spec.delay_samples(rate_hz)`` late, begun in the steady state of the first.

    ``x`` is (time, channels) without missing samples (cut at the gaps first); so is the result, float64.
    """
    y = _without_holes(x)
    if y.shape[0] == 0:
        return y
    taps = spec.taps(rate_hz)
    before = np.repeat(y[:1], taps.size - 1, axis=0)
    return np.asarray(signal.lfilter(taps, 1.0, np.vstack([before, y]), axis=0))[taps.size - 1 :]


def zero_phase(spec: FilterSpec, rate_hz: float, x: npt.ArrayLike) -> Array:
    """The chain forward and back over stored samples: no delay, twice the order. Never for a live trace.

    ``x`` is (time, channels) without missing samples (cut at the gaps first); so is the result, float64.
    Ends are extended oddly (``scipy.signal.sosfiltfilt``), by less when the piece is short.
    """
    y = _without_holes(x)
    if y.shape[0] < 2:
        return np.zeros_like(y)
    for sos in spec.sos(rate_hz):
        # scipy's own default, which does not count what an odd order leaves empty.
        usual = 3 * (2 * len(sos) + 1 - min(int((sos[:, 2] == 0).sum()), int((sos[:, 5] == 0).sum())))
        y = np.asarray(signal.sosfiltfilt(sos, y, axis=0, padlen=min(usual, y.shape[0] - 1)))
    return y


def _without_holes(x: npt.ArrayLike) -> Array:
    y = np.asarray(x, dtype=np.float64)
    if y.ndim != 2:
        raise BlockShape("samples are (time, channels)")
    if not np.isfinite(y).all():
        raise NotFinite
    return y


# The specifications. Every live one is causal, and none takes mains away but by somebody's choice.

MAINS: Final[dict[int, FilterSpec]] = {
    hz: FilterSpec(
        kind="notch",
        stages=(Notch(hz=float(hz), q=30.0),),  # 25 to 35: narrower rings longer after each QRS, wider eats into it
        label=f"{hz} Hz",
        delay_at_hz=10.0,
        rates_hz=(2.5 * hz, MAX_RATE_HZ),
    )
    for hz in (50, 60)
}
"""The mains notch alone, by its frequency: an option of its own beside any band (:func:`with_notch`)."""
MONITOR_BAND: Final = FilterSpec(
    kind="butterworth band-pass",
    stages=(Butterworth(order=2, band_hz=(0.5, 40.0)),),  # as monitors built to IEC 60601-2-27 list it
    label="0.5–40 Hz",
    delay_at_hz=10.0,
    rates_hz=(125.0, MAX_RATE_HZ),
)
"""Bends the ST segment, as every causal high-pass of 0.5 Hz does: not for ST."""
MONITOR_ECG: Final = with_notch(MONITOR_BAND, 50)
ST_ECG: Final = FilterSpec(
    kind="butterworth high-pass + low-pass",
    # A high-pass of the first order at 0.05 Hz: what the rectangular pulse of IEC 60601-2-25 and -27 (0.3 mV s may
    # move the baseline by 0.1 mV) comes to (J Electrocardiol 2009, S0022-0736(09)00324-0); of the second it fails.
    stages=(Edge(order=1, passes="high", hz=0.05), Edge(order=2, passes="low", hz=40.0)),
    label="0.05–40 Hz",
    delay_at_hz=10.0,
    rates_hz=(125.0, MAX_RATE_HZ),
)
DIAGNOSTIC_ECG: Final = FilterSpec(
    kind="butterworth high-pass + low-pass",
    # 150 Hz for adults: AHA/ACC/HRS 2007 (Kligfield, Circulation 115:1306) and IEC 60601-2-25. Children need 250.
    stages=(Edge(order=1, passes="high", hz=0.05), Edge(order=2, passes="low", hz=150.0)),
    label="0.05–150 Hz",
    delay_at_hz=10.0,
    rates_hz=(400.0, MAX_RATE_HZ),
)
REVIEW_ECG: Final = LinearPhase(
    kind="linear-phase FIR low-pass", hz=40.0, delay_s=0.1, label="0–40 Hz", rates_hz=(125.0, MAX_RATE_HZ)
)
"""Keeps the shape of QRS and ST, takes mains and muscle away, 100 ms late."""
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
HEART_SOUND: Final = FilterSpec(
    kind="butterworth band-pass",
    # The four heart sounds and most murmurs; the delay is read in the middle of the first sound.
    stages=(Butterworth(order=2, band_hz=(20.0, 200.0)),),
    label="20–200 Hz",
    delay_at_hz=60.0,
    rates_hz=(500.0, MAX_RATE_HZ),
)
LUNG_SOUND: Final = FilterSpec(
    kind="butterworth band-pass",
    stages=(Butterworth(order=2, band_hz=(100.0, 1000.0)),),  # above the heart, to the end of wheezes and crackles
    label="100–1000 Hz",
    delay_at_hz=300.0,
    rates_hz=(2500.0, MAX_RATE_HZ),
)
MONITOR: Final[dict[str, FilterSpec]] = {"ecg": MONITOR_ECG, "pleth": PLETH, "respiration": RESPIRATION}
"""The filter of the ``monitor`` view, by the kind of the stream."""
ECG: Final[dict[str, FilterSpec]] = {"monitor": MONITOR_ECG, "st": ST_ECG, "diagnostic": DIAGNOSTIC_ECG}
"""The bands of an ECG by their name."""
SOUND: Final[dict[str, FilterSpec]] = {"heart": HEART_SOUND, "lung": LUNG_SOUND}
"""The bands of a stethoscope by what is listened to."""
