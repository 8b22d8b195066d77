"""A recording through the live pipeline: the same for any block, nothing from noise, and what was not fit by name."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemed_devices import wfdb
from telemed_devices.recording import RecordedChannel, Recording, RecordingFault, Stretch
from telemed_signal.fusion import FusedBeats

from telemed.vitals.recorded.kinds import kind_of, lead_of
from telemed.vitals.recorded.playback import Playback
from telemed.vitals.recorded.summary import Rate, median
from telemed.vitals.recorded.waves import Wave

REPOSITORY = Path(__file__).resolve().parents[2]
MISSING = np.iinfo(np.int16).min
Counts = npt.NDArray[np.int16]


def ecg(per_min: float, rate_hz: float, seconds: float, seed: int = 0) -> Counts:
    """R and T waves, 1 mV at 200 counts."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    x = 0.01 * np.random.default_rng(seed).normal(size=t.size)
    for peak in np.arange(0.5, seconds, 60 / per_min):
        x += np.exp(-0.5 * ((t - peak) / 0.011) ** 2) + 0.25 * np.exp(-0.5 * ((t - peak - 0.27) / 0.045) ** 2)
    return np.rint(200 * x).astype(np.int16)


def wave(hz: float, rate_hz: float, seconds: float) -> Counts:
    """Pulses, or breaths, of one frequency."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return np.rint(500 * np.exp(2 * np.cos(2 * np.pi * hz * t)) / 7).astype(np.int16)


def channel(name: str, unit: str, rate_hz: float, counts: Counts, *more: tuple[int, Counts]) -> RecordedChannel:
    stretches = tuple(Stretch(first, one, 1 / 200, 0.0) for first, one in ((0, counts), *more))
    return RecordedChannel(name, unit, rate_hz, stretches[-1].end_sample, stretches)


def played(*channels: RecordedChannel, block_ms: int = 1000, faults: tuple[RecordingFault, ...] = ()) -> dict[str, Any]:
    playback = Playback(Recording("wfdb", channels, faults), range(len(channels)), block_ms)
    playback.run()
    return playback.as_json()


def named(found: dict[str, Any], code: str) -> list[tuple[str, int, int]]:
    return [(one["channel"], one["first_sample"], one["end_sample"]) for one in found["faults"] if one["code"] == code]


# The promise


BLOCKS = st.one_of(st.integers(20, 60), st.integers(1, 10_000), st.sampled_from([100, 250, 10_000]))


@settings(max_examples=10, deadline=None)
@given(st.data(), st.sampled_from([125.0, 250.0, 360.0, 500.0]), BLOCKS)
def test_any_block_gives_the_same(data: st.DataObject, rate_hz: float, block_ms: int) -> None:
    seconds = data.draw(st.floats(3, 15))
    one, two = (ecg(72, rate_hz, seconds, seed) for seed in (1, 2))
    for lead in (one, two):
        at = data.draw(st.integers(0, one.size - 1))
        lead[at : at + data.draw(st.integers(0, one.size))] = MISSING
    later = data.draw(st.integers(one.size, one.size + int(8 * rate_hz)))
    channels = (
        channel("MLII", "mV", rate_hz, one, (later, ecg(90, rate_hz, 9))), channel("V5", "mV", rate_hz, two),
        channel("RESP", "mV", 62.4725, wave(0.3, 62.4725, seconds)),
        channel("PLETH", "NU", 125.0, wave(1.2, 125, seconds)),
    )  # fmt: skip
    rows: dict[int, list[Any]] = {}
    made = []
    for length in (1000, block_ms):
        playback = Playback(Recording("wfdb", channels), range(4), length)
        rows[length] = []
        playback.run(lambda second, row, kept=rows[length]: kept.append((second, row)))
        made.append(json.dumps(playback.as_json()))
    quiet = Playback(Recording("wfdb", channels), range(4), block_ms)
    quiet.run()  # without rows, gaps are stepped over
    assert made[0] == made[1] == json.dumps(quiet.as_json()) and rows[1000] == rows[block_ms]
    assert [second for second, _ in rows[1000]] == [*range(1, int(playback.seconds + 1e-9) + 1)]


def test_a_millisecond_at_a_time() -> None:
    channels = (channel("II", "mV", 360.0, ecg(72, 360, 12)), channel("RESP", "mV", 125.0, wave(0.3, 125, 12)))
    assert played(*channels, block_ms=1) == played(*channels, block_ms=10_000)


@pytest.mark.parametrize("record", ["100", "108"])
def test_the_beats_of_a_real_record_are_those_of_the_live_path(record: str) -> None:
    folder = Path(os.environ.get("TELEMED_RECORDINGS") or REPOSITORY / ".." / "shared" / "data").resolve()
    place = folder / "signal" / "mitdb"
    if not place.is_dir():
        sentence = f"no recordings at {folder}; set TELEMED_RECORDINGS to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    with np.load(place / f"{record}.npz") as stored:
        counts = np.cumsum(stored["d"].astype(np.int64), axis=1)
    files = {f"{record}.hea": (place / f"{record}.hea").read_bytes(), f"{record}.dat": as_212(counts.T.reshape(-1))}
    recording = wfdb.decode(f"{record}.hea", files)
    assert recording.faults == ()  # its own checksums among them
    found = played(*recording.channels, block_ms=250)
    fused = FusedBeats(360.0, 2)
    leads_mv = (counts - 1024) / 200
    live = [beat.sample_index for at in range(0, 650_000, 90) for beat in fused.push(leads_mv[:, at : at + 90])]
    assert [one["beats"] for one in found["channels"]] == [live, live]


def as_212(samples: npt.NDArray[np.int64]) -> bytes:
    pairs = (samples & 0xFFF).reshape(-1, 2)
    low, high = pairs[:, 0], pairs[:, 1]
    return np.stack([low & 255, low >> 8 | high >> 8 << 4, high & 255], axis=1).astype(np.uint8).tobytes()


# Numbers


def test_two_leads_one_pulse_and_a_chest() -> None:
    found = played(
        channel("II", "mV", 250.0, ecg(72, 250, 90)), channel("V5", "mV", 250.0, ecg(72, 250, 90, 1)),
        channel("PLETH", "NU", 125.0, wave(1.2, 125, 90)), channel("RESP", "mV", 62.5, wave(0.3, 62.5, 90)),
    )  # fmt: skip
    one, two, pulse, chest = found["channels"]
    assert one["heart_rate_bpm"] == 72 and one["beats"] == two["beats"]
    assert len(one["beats"]) == pytest.approx(108, abs=1)
    assert one["beats"][10] == pytest.approx(250 * (0.5 + 10 / 1.2), abs=5)
    assert pulse["heart_rate_bpm"] == pytest.approx(72, abs=0.5) and len(pulse["beats"]) == pytest.approx(108, abs=2)
    assert chest["respiration_per_min"] == pytest.approx(18, abs=0.5) and chest["heart_rate_bpm"] is None
    assert found["respiration_per_min"] == chest["respiration_per_min"]
    assert one["quality"] > 0.8 and one["analyzed_from"] == ["II", "V5"] and found["faults"] == []


def test_of_twelve_leads_two_are_fused_and_all_tell_of_the_same_heart() -> None:
    names = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    found = played(*(channel(name, "mV", 500.0, ecg(72, 500, 12, seed)) for seed, name in enumerate(names)))
    assert {tuple(one["beats"]) for one in found["channels"]} == {tuple(found["channels"][0]["beats"])}
    assert {tuple(one["analyzed_from"]) for one in found["channels"]} == {("II", "V5")}


def test_never_a_rate_from_noise() -> None:
    noise = np.random.default_rng(4).integers(-200, 200, 120 * 250).astype(np.int16)
    found = played(channel("II", "mV", 250.0, noise), channel("PLETH", "NU", 250.0, noise[::-1].copy()))
    assert [one["heart_rate_bpm"] for one in found["channels"]] == [None, None]
    assert [one["respiration_per_min"] for one in found["channels"]] == [None, None]
    assert named(found, "noise")[-1][2] == 120 * 250 and found["channels"][0]["quality"] < 0.5


def test_a_rate_that_slips_through_the_gate_for_a_moment_is_not_the_recordings() -> None:
    noise = np.random.default_rng(4).integers(-200, 200, 60 * 250).astype(np.int16)
    found = played(channel("II", "mV", 250.0, np.concatenate([ecg(72, 250, 20), noise])))
    assert found["channels"][0]["heart_rate_bpm"] is None and found["channels"][0]["heart_rate_seconds"] > 10
    rate = Rate(Counter({72.0: 3, 80.0: 1}), withheld=4)
    assert rate.typical() == 72.0
    rate.withheld = 5
    assert rate.typical() is None
    assert median(Counter({1.0: 1, 2.0: 1, 9.0: 1})) == 2.0 and median(Counter()) is None


def test_an_electrode_that_is_off_takes_no_rate_away() -> None:
    flat = np.zeros(60 * 250, np.int16)
    found = played(channel("II", "mV", 250.0, np.concatenate([ecg(72, 250, 20), flat])))
    (one,) = found["channels"]
    assert one["heart_rate_bpm"] == 72
    assert any(end == 80 * 250 for _, _, end in named(found, "flat"))


# What was not fit


def test_gaps_and_missing_samples_are_named_by_their_samples() -> None:
    first, second = ecg(72, 250, 20), ecg(72, 250, 20, 1)
    second[1000:3000] = MISSING
    found = played(
        channel("II", "mV", 250.0, first, (7000, ecg(72, 250, 10))), channel("V5", "mV", 250.0, second),
    )  # fmt: skip
    assert named(found, "gap") == [("II", 5000, 7000), ("V5", 1000, 3000)]
    assert ("V5", 1000, 3000) in named(found, "lead_off")
    assert found["channels"][0]["heart_rate_bpm"] == 72  # V5 off, II stays


def test_what_cannot_be_analysed_says_why() -> None:
    wild = RecordedChannel("aVF", "mV", 250.0, 500, (Stretch(0, ecg(72, 250, 2), 1e300, 0.0),))
    loud = RecordedChannel("V1", "V", 250.0, 500, (Stretch(0, ecg(72, 250, 2), 1e3, 0.0),))
    found = played(
        channel("II", "", 250.0, ecg(72, 250, 2)), channel("ABP", "mmHg", 125.0, wave(1, 125, 2)),
        channel("V5", "mV", 60.0, ecg(72, 60, 2)), RecordedChannel("I", "mV", 250.0, 0), wild, loud,
        faults=(RecordingFault("truncated", 0, 500, 600, "ends early"), RecordingFault("trailing_bytes")),
    )  # fmt: skip
    assert [one["not_analyzed"] for one in found["channels"]] == [
        "unit_unknown", "kind_unknown", "rate_unsupported", "no_samples", "scale", "scale"]  # fmt: skip
    assert all(one["beats"] == [] and one["heart_rate_bpm"] is None for one in found["channels"])
    assert [one["code"] for one in found["faults"]] == [
        "truncated", "trailing_bytes", "unit_unknown", "rate_unsupported", "no_samples", "scale", "scale"]  # fmt: skip
    assert found["faults"][0] == {
        "code": "truncated", "channel": "II", "channel_index": 0, "first_sample": 500, "end_sample": 600,
        "reason": "ends early",
    }  # fmt: skip


def test_one_channel_alone() -> None:
    channels = (channel("II", "mV", 250.0, ecg(72, 250, 12)), channel("V5", "mV", 250.0, ecg(60, 250, 12)))
    playback = Playback(Recording("wfdb", channels), [1])
    playback.run()
    (found,) = playback.as_json()["channels"]
    assert found["name"] == "V5" and found["analyzed_from"] == ["V5"] and found["heart_rate_bpm"] == 60


def test_a_month_of_nothing_is_one_step() -> None:
    month = 30 * 86_400 * 250
    found = played(channel("II", "mV", 250.0, ecg(72, 250, 15), (month, ecg(90, 250, 15))), block_ms=1)
    assert named(found, "gap") == [("II", 15 * 250, month)] and found["channels"][0]["beats"][-1] > month


# Waves


def test_segments_of_another_gain_meet_on_one_grid() -> None:
    x = ecg(72, 250, 12)
    whole = channel("II", "mV", 250.0, x)
    parts = (
        Stretch(0, x[:1500], 1 / 200, 0.0), Stretch(1500, (4 * x[1500:] + 800).astype(np.int16), 1 / 800, -1.0),
    )  # fmt: skip
    cut = RecordedChannel("II", "mV", 250.0, x.size, parts)
    wave_ = Wave(cut, signed=True)
    np.testing.assert_allclose(wave_.take(0, x.size) * wave_.gain, x / 200, atol=wave_.gain / 2)
    assert played(cut)["channels"][0]["beats"] == played(whole)["channels"][0]["beats"]


def test_a_wave_that_stands_on_its_head_is_turned() -> None:
    upright = wave(1.2, 125, 20)
    turned = RecordedChannel("PLETH", "NU", 125.0, upright.size, (Stretch(0, -upright, -1 / 200, 0.0),))
    assert played(turned)["channels"][0] == played(channel("PLETH", "NU", 125.0, upright))["channels"][0]


# Names


@pytest.mark.parametrize(
    ("name", "unit", "kind", "lead"),
    [
        ("MLII", "mV", "ecg", "MLII"), ("ECG II", "uV", "ecg", "II"), ("ECG lead II", "mV", "ecg", "II"),
        ("II,", "mV", "ecg", "II"), ("AVR", "mV", "ecg", "aVR"), ("ECG", "V", "ecg", "ECG"),
        ("ECG 1", "mV", "ecg", "1"), ("D3", "mV", "ecg", "D3"), ("MCL1", "mV", "ecg", "MCL1"),
        ("II", "mmHg", None, "II"),
        ("RESP", "mV", "respiration", "RESP"), ("Resp. Imp.", "mV", "respiration", "Resp. Imp."),
        ("Resp oro-nasal", "", "respiration", "Resp oro-nasal"), ("PLETH,", "NU", "pleth", "PLETH"),
        ("PLETHR", "mV", "pleth", "PLETHR"), ("PPG", "", "pleth", "PPG"), ("EEG Fpz-Cz", "uV", None, "EEG Fpz-Cz"),
        ("EOG horizontal", "mV", None, "EOG horizontal"), ("F3", "uV", None, "F3"), ("ABP", "mmHg", None, "ABP"),
        ("CO2", "mV", None, "CO2"), ("SpO2", "%", None, "SpO2"),
    ],
)  # fmt: skip
def test_what_a_name_means(name: str, unit: str, kind: str | None, lead: str) -> None:
    assert kind_of(name, unit) == kind and lead_of(name) == lead


# Hostile


@settings(deadline=None)
@given(st.data())
def test_any_recording_that_a_decoder_can_give_is_played(data: st.DataObject) -> None:
    channels = []
    for _ in range(data.draw(st.integers(1, 3))):
        rate_hz = data.draw(st.sampled_from([0.01, 12.5, 99.9, 100.0, 333.3, 1000.0, 1e6]))
        stretches, at = [], 0
        for _ in range(data.draw(st.integers(0, 3))):
            at += data.draw(st.integers(0, 10**9))
            dtype = data.draw(st.sampled_from([np.int16, np.int32]))
            ends = np.iinfo(dtype)
            values = data.draw(st.lists(st.integers(ends.min, ends.max), min_size=1, max_size=8))
            samples = np.repeat(np.array(values, dtype), data.draw(st.integers(1, 200)))
            gain = data.draw(st.sampled_from([1 / 200, -1.0, 1e-12, 1e12, 1e300, 0.0, float("inf")]))
            stretches.append(Stretch(at, samples, gain, data.draw(st.sampled_from([0.0, 1e9, float("nan")]))))
            at += samples.size
        name = data.draw(st.sampled_from(["II", "V5", "PLETH", "RESP", "x"]))
        channels.append(RecordedChannel(name, "mV", rate_hz, at, tuple(stretches)))
    found = played(*channels)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
