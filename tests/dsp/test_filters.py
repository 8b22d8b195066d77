"""The specifications: what scipy makes of the words on the wire, the words themselves, review's zero phase."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import signal
from telemed_signal.faults import BlockShape, NotFinite, RateUnsupported, SignalError
from telemed_signal.filters import (
    DIAGNOSTIC_ECG,
    ECG,
    HEART_SOUND,
    LUNG_SOUND,
    MAINS,
    MONITOR,
    MONITOR_BAND,
    MONITOR_ECG,
    PLETH,
    RESPIRATION,
    REVIEW_ECG,
    SOUND,
    ST_ECG,
    Butterworth,
    Edge,
    FilterBank,
    FilterSpec,
    linear_phase,
    quantise,
    with_notch,
    zero_phase,
)

SPECS = [
    MONITOR_ECG, MONITOR_BAND, ST_ECG, DIAGNOSTIC_ECG, with_notch(DIAGNOSTIC_ECG, 60), *MAINS.values(), PLETH,
    RESPIRATION, HEART_SOUND, LUNG_SOUND,
]  # fmt: skip
RATES_HZ = [125.0, 250.0, 360.0, 500.0, 1000.0, 4000.0, 8000.0]


def rebuilt(described: dict[str, Any], rate_hz: float) -> list[Any]:
    """What a reader of docs/protocol.md makes of the FILTER object, with scipy alone."""
    stages = []
    for stage in described["stages"]:
        if stage["design"] == "butter":
            edges = stage["band_hz"] if stage["type"] == "band" else stage["hz"]
            stages.append(signal.butter(stage["order"], edges, btype=stage["type"], fs=rate_hz, output="sos"))
        else:
            assert stage["design"] == "iirnotch"
            stages.append(signal.tf2sos(*signal.iirnotch(stage["hz"], stage["q"], fs=rate_hz)))
    return stages


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_words_are_the_filter(spec: FilterSpec, rate_hz: float) -> None:
    if not spec.supports(rate_hz):
        assert rate_hz < spec.rates_hz[0]
        return
    described = json.loads(json.dumps(spec.describe(rate_hz)))
    for ours, theirs in zip(spec.sos(rate_hz), rebuilt(described, rate_hz), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_monitor_filter_says_exactly_this() -> None:
    assert MONITOR_ECG.describe(1000) == {
        "kind": "butterworth band-pass + notch",
        "stages": [
            {"design": "butter", "type": "band", "order": 2, "band_hz": [0.5, 40.0]},
            {"design": "iirnotch", "hz": 50.0, "q": 30.0},
        ],
        "phase": "causal",
        "delay_ms": 7,
        "initial_state": "steady state of the first sample",
        "rounding": "nearest, ties to even",
        "dtype": "float64",
        "label": "0.5–40 Hz · 50 Hz",
    }
    assert MONITOR_ECG.describe(1000, phase="zero")["delay_ms"] == 0
    assert set(MONITOR) == {"ecg", "pleth", "respiration"}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
@pytest.mark.parametrize("rate_hz", [125.0, 500.0, 1000.0, 4000.0])
def test_the_delay_is_that_of_a_real_tone(spec: FilterSpec, rate_hz: float) -> None:
    """The envelope of a slowly modulated tone comes out later by the group delay."""
    if not spec.supports(rate_hz):
        return
    at = spec.delay_at_hz
    seconds = 120 / at
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    envelope = np.exp(-0.5 * ((t - seconds / 2) / (12 / at)) ** 2)
    y = envelope * np.sin(2 * np.pi * at * t)
    for sos in spec.sos(rate_hz):
        y = signal.sosfilt(sos, y)
    power_in = (envelope * np.sin(2 * np.pi * at * t)) ** 2
    centre = float((t * y**2).sum() / (y**2).sum() - (t * power_in).sum() / power_in.sum())
    assert spec.delay_ms(rate_hz) == pytest.approx(1000 * centre, abs=1.0 + 0.02 * 1000 * abs(centre))


def gain_db(spec: FilterSpec, hertz: float, rate_hz: float) -> float:
    response = 1.0
    for sos in spec.sos(rate_hz):
        response *= abs(signal.sosfreqz(sos, worN=[hertz], fs=rate_hz)[1][0])
    return float(20 * np.log10(max(response, 1e-12)))


def band(spec: FilterSpec) -> tuple[float, float] | None:
    first, *others = spec.stages
    if isinstance(first, Butterworth):
        return first.band_hz
    if isinstance(first, Edge) and isinstance(others[0], Edge):
        return first.hz, others[0].hz
    return None


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_the_band_is_passed_and_the_rest_is_not(spec: FilterSpec) -> None:
    rate_hz = max(500.0, spec.rates_hz[0])
    edges = band(spec)
    if edges is not None:
        low, high = edges
        assert gain_db(spec, low, rate_hz) == pytest.approx(-3.0, abs=0.3)
        assert gain_db(spec, high, rate_hz) < -2.9
        assert gain_db(spec, (low * high) ** 0.5, rate_hz) == pytest.approx(0.0, abs=0.1)
        assert gain_db(spec, low / 10, rate_hz) < (-35 if isinstance(spec.stages[0], Butterworth) else -19)
    for hz in (50.0, 60.0):
        if f"{hz:.0f} Hz" in spec.label.split(" · "):
            assert gain_db(spec, hz, rate_hz) < -100
            assert gain_db(spec, hz - 5, rate_hz) > -6


def test_bands_go_by_their_names() -> None:
    assert {name: spec.label for name, spec in ECG.items()} == {
        "monitor": "0.5–40 Hz · 50 Hz", "st": "0.05–40 Hz", "diagnostic": "0.05–150 Hz",
    }  # fmt: skip
    assert {name: spec.label for name, spec in SOUND.items()} == {"heart": "20–200 Hz", "lung": "100–1000 Hz"}
    assert all(spec.supports(4000.0) for spec in SOUND.values())
    assert {hz: spec.label for hz, spec in MAINS.items()} == {50: "50 Hz", 60: "60 Hz"}


def test_a_notch_is_put_behind_a_band_once_and_named() -> None:
    chosen = with_notch(ST_ECG, 50)
    assert (chosen.label, chosen.kind) == ("0.05–40 Hz · 50 Hz", "butterworth high-pass + low-pass + notch")
    assert chosen.stages == (*ST_ECG.stages, *MAINS[50].stages)
    assert with_notch(chosen, 50) is chosen
    assert with_notch(MONITOR_BAND, 60).rates_hz[0] == 150.0
    assert with_notch(DIAGNOSTIC_ECG, 50).rates_hz == DIAGNOSTIC_ECG.rates_hz


@pytest.mark.parametrize("spec", [ST_ECG, DIAGNOSTIC_ECG], ids=lambda spec: spec.label)
@pytest.mark.parametrize("rate_hz", [500.0, 1000.0])
def test_a_pulse_moves_the_baseline_by_less_than_a_millimetre(spec: FilterSpec, rate_hz: float) -> None:
    """IEC 60601-2-25 and -27: 3 mV for 100 ms leave at most 0.1 mV; the monitor's band leaves many times that."""
    x = np.zeros((int(3 * rate_hz), 1))
    x[int(rate_hz) : int(1.1 * rate_hz)] = 3.0

    def left(chain: FilterSpec) -> float:
        bank = FilterBank(chain, rate_hz)
        slot = bank.open(1)
        y = bank.push({slot: x})[slot]
        return float(np.abs(y[int(1.15 * rate_hz) :]).max())

    assert left(spec) <= 0.1
    assert left(MONITOR_ECG) > 0.4


@pytest.mark.parametrize("rate_hz", [125.0, 360.0, 500.0, 1000.0])
def test_the_linear_phase_filter_is_what_it_says(rate_hz: float) -> None:
    described = json.loads(json.dumps(REVIEW_ECG.describe(rate_hz)))
    (stage,) = described["stages"]
    taps = signal.firwin(stage["taps"], stage["hz"], window=stage["window"], fs=rate_hz)
    np.testing.assert_array_equal(taps, REVIEW_ECG.taps(rate_hz))
    np.testing.assert_allclose(taps, taps[::-1], rtol=0, atol=1e-16)
    late = REVIEW_ECG.delay_samples(rate_hz)
    assert described["phase"] == "linear"
    assert described["delay_ms"] == pytest.approx(100, abs=5)
    t = np.arange(int(4 * rate_hz)) / rate_hz
    x = np.column_stack([5 + np.sin(2 * np.pi * 8 * t), 3 + 0.3 * np.sin(2 * np.pi * 50 * t)])
    y = linear_phase(REVIEW_ECG, rate_hz, x)
    assert y.shape == x.shape
    assert np.abs(y[: late // 2] - x[0]).max() < 0.2  # begins on its baseline
    assert np.abs(y[2 * late :, 0] - x[late:-late, 0]).max() < 0.01  # 8 Hz: the same, late by so many samples
    assert np.abs(y[2 * late :, 1] - 3).max() < 0.3 / 300  # mains: 50 dB down
    for length in (0, 1, 2, 10):
        assert linear_phase(REVIEW_ECG, rate_hz, x[:length]).shape == (length, 2)


def test_the_linear_phase_filter_keeps_the_qrs(train: Any) -> None:
    x, peaks = train(70, 500.0, 20, noise_mv=0.0)
    late = REVIEW_ECG.delay_samples(500.0)
    y = linear_phase(REVIEW_ECG, 500.0, x[:, np.newaxis])[late:, 0]
    causal = signal.sosfilt(MONITOR_BAND.sos(500.0)[0], x)
    for peak in peaks[2:-2]:
        at = round(peak * 500)
        beat = slice(at - 30, at + 30)
        assert np.abs(y[beat] - x[beat]).max() < 0.12
        assert abs(int(np.argmax(y[beat])) - 30) <= 1
        assert np.abs(causal[beat] - x[beat]).max() > 0.2


def test_the_linear_phase_filter_refuses_what_it_cannot_do() -> None:
    for rate in (0.0, 124.0, 8001.0, float("nan")):
        assert not REVIEW_ECG.supports(rate)
        with pytest.raises(RateUnsupported):
            REVIEW_ECG.describe(rate)
    with pytest.raises(BlockShape):
        linear_phase(REVIEW_ECG, 500.0, np.zeros(10))
    with pytest.raises(NotFinite):
        linear_phase(REVIEW_ECG, 500.0, np.full((10, 1), np.inf))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_a_rate_at_which_it_cannot_be_made_is_refused(spec: FilterSpec) -> None:
    least, most = spec.rates_hz
    assert spec.supports(least)
    assert spec.supports(most)
    for rate in (0.0, -1.0, least - 0.5, most + 1, float("nan")):
        assert not spec.supports(rate)
        with pytest.raises(RateUnsupported):
            spec.sos(rate)
        with pytest.raises(RateUnsupported):
            spec.describe(rate)
    for rate in (least, most):
        for sos in spec.sos(rate):
            poles = np.concatenate([np.roots(section[3:]) for section in sos])
            assert (np.abs(poles) < 1).all()


def test_callers_cannot_spoil_the_design() -> None:
    first = MONITOR_ECG.sos(500.0)
    first[0][:] = 0
    assert MONITOR_ECG.sos(500.0)[0].any()


def test_zero_phase_leaves_a_wave_where_it_was() -> None:
    t = np.arange(4000) / 500.0
    x = np.column_stack([np.sin(2 * np.pi * 10 * t), np.cos(2 * np.pi * 7 * t) + 300])
    y = zero_phase(MONITOR_ECG, 500.0, x)
    assert y.shape == x.shape
    middle = slice(1000, 3000)
    assert np.abs(y[middle, 0] - x[middle, 0]).max() < 0.02
    assert np.abs(y[middle, 1] - (x[middle, 1] - 300)).max() < 0.02
    for length in (0, 1, 2, 3, 10, 15, 16):
        assert zero_phase(MONITOR_ECG, 500.0, x[:length]).shape == (length, 2)
    with pytest.raises(BlockShape):
        zero_phase(MONITOR_ECG, 500.0, x[:, 0])
    with pytest.raises(NotFinite):
        zero_phase(MONITOR_ECG, 500.0, np.full((100, 1), np.nan))


@pytest.mark.parametrize("spec", [MONITOR_ECG, ST_ECG, PLETH], ids=lambda spec: spec.label)
def test_zero_phase_is_sosfiltfilt_stage_by_stage(spec: FilterSpec) -> None:
    x = np.cumsum(np.random.default_rng(0).normal(size=(3000, 2)), axis=0)
    y = x
    for sos in spec.sos(500.0):
        y = signal.sosfiltfilt(sos, y, axis=0)
    np.testing.assert_array_equal(zero_phase(spec, 500.0, x), y)


def test_rounding_is_to_the_nearest_with_ties_to_even() -> None:
    y = np.array([[0.5, 1.5], [2.5, -0.5], [-1.5, -2.5]])
    assert quantise(y).tolist() == [[0, 2, -2], [2, 0, -2]]
    assert quantise(y).dtype == np.int16
    assert quantise(np.array([[3.0]]), gain=2.0).tolist() == [[2]]


@pytest.mark.parametrize(
    ("peak", "dtype"), [(32767.0, np.int16), (-32767.4, np.int16), (32767.5, np.int32), (-32768.0, np.int32)]
)
def test_int16_when_every_number_fits_and_never_the_missing_value(peak: float, dtype: type) -> None:
    out = quantise(np.array([[1.0], [peak]]))
    assert out.dtype == dtype
    assert out.tolist() == [[1, int(np.rint(peak))]]


def test_beyond_int32_the_ends_hold_and_missing_is_written_where_it_is() -> None:
    y = np.array([[1e12, -1e12, 0.0]])
    assert quantise(y).tolist() == [[2**31 - 1], [-(2**31) + 1], [0]]
    assert quantise(y, dtype=np.int16).tolist() == [[32767], [-32767], [0]]
    mask = np.array([[False, False, True]])
    assert quantise(y, mask)[2, 0] == -(2**31)
    assert quantise(np.zeros((1, 3)), mask).tolist() == [[0], [0], [-32768]]
    with pytest.raises(NotFinite):
        quantise(np.array([[np.inf]]))
    with pytest.raises(BlockShape):
        quantise(y, np.zeros((3, 1), bool))
    assert quantise(np.zeros((0, 3))).shape == (3, 0)


@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(-4e9, 4e9)),
    st.data(),
)
def test_quantise_round_trips_through_a_plain_loop(
    y: np.ndarray[Any, np.dtype[np.float64]], data: st.DataObject
) -> None:
    missing = data.draw(hnp.arrays(np.bool_, y.shape))
    out = quantise(y, missing)
    assert out.flags.c_contiguous
    info = np.iinfo(out.dtype)
    for (row, channel), value in np.ndenumerate(y):
        expect = info.min if missing[row, channel] else max(info.min + 1, min(info.max, round(float(value))))
        assert out[channel, row] == expect


def test_every_refusal_has_its_own_code() -> None:
    kinds = SignalError.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds)
