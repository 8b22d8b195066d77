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
from telemed_signal.filters import MONITOR, MONITOR_ECG, PLETH, RESPIRATION, FilterSpec, quantise, zero_phase

SPECS = [MONITOR_ECG, PLETH, RESPIRATION]


def rebuilt(described: dict[str, Any], rate_hz: float) -> list[Any]:
    """What a reader of docs/protocol.md makes of the FILTER object, with scipy alone."""
    stages = []
    for stage in described["stages"]:
        if stage["design"] == "butter":
            assert stage["type"] == "band"
            stages.append(signal.butter(stage["order"], stage["band_hz"], btype="band", fs=rate_hz, output="sos"))
        else:
            assert stage["design"] == "iirnotch"
            stages.append(signal.tf2sos(*signal.iirnotch(stage["hz"], stage["q"], fs=rate_hz)))
    return stages


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
@pytest.mark.parametrize("rate_hz", [125.0, 250.0, 360.0, 500.0, 1000.0, 8000.0])
def test_the_words_are_the_filter(spec: FilterSpec, rate_hz: float) -> None:
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
@pytest.mark.parametrize("rate_hz", [125.0, 500.0, 1000.0])
def test_the_delay_is_that_of_a_real_tone(spec: FilterSpec, rate_hz: float) -> None:
    """The envelope of a slowly modulated tone comes out later by the group delay."""
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


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_the_band_is_passed_and_the_rest_is_not(spec: FilterSpec) -> None:
    low, high = spec.stages[0].band_hz  # type: ignore[union-attr]

    def gain_db(hertz: float) -> float:
        response = 1.0
        for sos in spec.sos(500.0):
            response *= abs(signal.sosfreqz(sos, worN=[hertz], fs=500.0)[1][0])
        return float(20 * np.log10(max(response, 1e-12)))

    assert gain_db(low) == pytest.approx(-3.0, abs=0.3)
    assert gain_db((low * high) ** 0.5) == pytest.approx(0.0, abs=0.1)
    assert gain_db(low / 10) < -35
    if spec is MONITOR_ECG:
        assert gain_db(50.0) < -100
        assert gain_db(45.0) > -6


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
