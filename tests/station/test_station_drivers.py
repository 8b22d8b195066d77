"""The drivers are pure functions of seed and time, and a recording is looped where nobody sees it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from telemed_devices.gatt import decode
from telemed_station.drivers import characteristics as gatt
from telemed_station.drivers import open_driver
from telemed_station.drivers.driver import Driver, Value, Wave
from telemed_station.drivers.loop import STEP_MAX_UV, find_loop, r_peaks
from telemed_station.drivers.recording import Recording, read_recording
from telemed_station.drivers.replay import Replay
from telemed_station.drivers.rhythm import SCENARIOS
from telemed_station.drivers.simulator import ECG_GAIN_UV, LOOSE_LEAD, MISSING, Simulator
from telemed_station.errors import DeviceUnknown, RecordingUnreadable, ScenarioUnknown

START = 1_700_000_000_000_000
SECOND = 1_000_000


def recording_file() -> Path:
    found = get_testdata_file("waveform_ecg.dcm", download=False)
    assert found is not None
    return Path(str(found))


def play(driver: Driver, until: int, step: int) -> dict[str, list[Wave | Value]]:
    kinds: dict[str, list[Wave | Value]] = {}
    now = 0
    while now < until:
        now = min(until, now + step)
        for item in driver.pull(START + now):
            kinds.setdefault(item.kind, []).append(item)
    return kinds


def digest(kinds: dict[str, list[Wave | Value]]) -> dict[str, str]:
    """Everything that was played, without regard to where it was cut."""
    out = {}
    for kind, items in kinds.items():
        found = hashlib.sha256()
        if isinstance(items[0], Wave):
            whole = np.concatenate([item.samples for item in items if isinstance(item, Wave)], axis=1)
            found.update(whole.tobytes())
        for item in items:
            if isinstance(item, Value):
                found.update(str(item.t0_us).encode() + item.payload)
        out[kind] = found.hexdigest()
    return out


def samples(kinds: dict[str, list[Wave | Value]], kind: str) -> np.ndarray:
    return np.concatenate([item.samples for item in kinds[kind] if isinstance(item, Wave)], axis=1)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_same_seed_gives_the_same_bytes_for_any_step(scenario: str) -> None:
    found = [
        digest(play(Simulator(7, scenario, START, heart_rate=True), 11 * SECOND, step))
        for step in (200_000, 61_001, 4_700_000)
    ]
    assert found[0] == found[1] == found[2]
    assert found[0].keys() == {"ecg", "pleth", "respiration", "spo2", "blood_pressure", "temperature", "heart_rate"}


def test_another_seed_gives_other_bytes() -> None:
    one = digest(play(Simulator(1, "sinus", START), 5 * SECOND, 200_000))
    other = digest(play(Simulator(2, "sinus", START), 5 * SECOND, 200_000))
    assert one["ecg"] != other["ecg"]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 900_000), min_size=1, max_size=25), st.sampled_from(SCENARIOS))
def test_a_switch_is_at_the_same_sample_for_any_cut(cuts: list[int], scenario: str) -> None:
    """A switch asked for at 2 s takes effect at 2.5 s, wherever the pulls before and after it were."""
    found = []
    for steps in (cuts, [150_000] * 40):
        driver = Simulator(3, "sinus", START)
        kinds: dict[str, list[Wave | Value]] = {}
        now = 0
        for until in (2 * SECOND, 6 * SECOND):
            places = iter(steps)
            while now < until:
                now = min(until, now + next(places, 400_000))
                driver.since_beat_us(START + now)  # a camera looks too
                for item in driver.pull(START + now):
                    kinds.setdefault(item.kind, []).append(item)
            if until == 2 * SECOND:
                driver.switch(scenario, START + until)
        found.append(digest(kinds))
    assert found[0] == found[1]


def test_waves_have_every_sample_at_its_time() -> None:
    kinds = play(Simulator(1, "sinus", START), 3 * SECOND, 130_000)
    for kind, rate in (("ecg", 500.0), ("pleth", 125.0), ("respiration", 62.5)):
        expected = 0
        for item in kinds[kind]:
            assert isinstance(item, Wave)
            assert item.first_sample == expected
            assert item.t0_us == START + round(expected * SECOND / rate)
            expected += item.samples.shape[1]
        assert expected == -(-3 * rate // 1)


def test_the_leads_are_plausible() -> None:
    leads = samples(play(Simulator(1, "sinus", START), 10 * SECOND, SECOND), "ecg") * ECG_GAIN_UV
    one, two, three = leads[0], leads[1], leads[2]
    assert np.abs(two - one - three).max() <= 60.0  # Einthoven, within each lead's own noise
    assert 700 < two.max() < 1800
    assert leads[6].min() < -400 and leads[10].max() > 700  # V1 mostly down, V5 mostly up


def test_scenarios_are_what_they_say() -> None:
    def rate(scenario: str) -> np.ndarray:
        driver = Simulator(5, scenario, START)
        return np.array([beat.interval_us / 1e6 for beat in driver._rhythm.beats(0, 19 * SECOND)][1:])

    assert 60 / rate("tachycardia").mean() == pytest.approx(140, abs=4)
    assert 60 / rate("sinus").mean() == pytest.approx(72, abs=4)
    assert rate("atrial_fibrillation").std() > 3 * rate("sinus").std()
    assert rate("pvc").min() < 0.65 * np.median(rate("pvc"))
    loose = play(Simulator(1, "lead_off", START), 3 * SECOND, 200_000)["ecg"]
    last = loose[-1]
    assert isinstance(last, Wave) and last.off == 1 << LOOSE_LEAD
    assert (last.samples[LOOSE_LEAD] == MISSING).all() and (last.samples[0] != MISSING).all()
    low = play(Simulator(1, "desaturation", START), 60 * SECOND, SECOND)["spo2"]
    assert low[-1].payload[1] < 90 < low[0].payload[1]  # type: ignore[union-attr]


def test_the_pulse_starts_a_fifth_of_a_second_after_each_r() -> None:
    driver = Replay(read_recording(recording_file()), 1, "sinus", START)
    pleth = samples(play(driver, 12 * SECOND, SECOND), "pleth")[0]
    for beat in driver._rhythm.beats(2 * SECOND, 10 * SECOND):
        r = round(beat.r_us * 125 / SECOND)
        rising = int(np.argmax(pleth[r : r + 80] > 150)) / 125
        assert 0.2 <= rising <= 0.28
        assert pleth[r : r + 22].max() < 100 and pleth[r + 25 : r + 70].max() > 800


def test_numbers_come_when_a_device_would_send_them() -> None:
    kinds = play(Simulator(1, "sinus", START, heart_rate=True), 200 * SECOND, SECOND)

    def seconds(kind: str) -> list[int]:
        return [(item.t0_us - START) // SECOND for item in kinds[kind]]

    assert seconds("spo2") == list(range(4, 200))
    assert seconds("heart_rate") == list(range(4, 200))
    assert seconds("blood_pressure") == [10, 190]
    assert seconds("temperature") == list(range(6, 200, 30))
    assert "heart_rate" not in play(Simulator(1, "sinus", START), 9 * SECOND, SECOND)


def test_a_program_that_slept_shows_a_gap() -> None:
    driver = Simulator(1, "sinus", START)
    driver.pull(START + SECOND)
    late = [item for item in driver.pull(START + 3600 * SECOND) if isinstance(item, Wave) and item.kind == "ecg"]
    assert late[0].first_sample == 3590 * 500
    assert late[0].samples.shape[1] == 5000


def test_unknown_names_are_refused() -> None:
    with pytest.raises(DeviceUnknown):
        open_driver("thermostat", seed=1, scenario="sinus", start_us=START)
    with pytest.raises(ScenarioUnknown):
        open_driver("simulator", seed=1, scenario="perfect", start_us=START)
    with pytest.raises(RecordingUnreadable):
        open_driver("replay:/nowhere.dcm", seed=1, scenario="sinus", start_us=START)
    with pytest.raises(RecordingUnreadable):
        open_driver(f"replay:{__file__}", seed=1, scenario="sinus", start_us=START)


# The recording and its loop.


def test_the_recording_keeps_its_own_integers() -> None:
    recording = read_recording(recording_file())
    group = pydicom.dcmread(recording_file()).WaveformSequence[0]
    raw = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12).T
    assert recording.rate == (1000, 1)
    assert [channel.name for channel in recording.channels] == [
        "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6",
    ]  # fmt: skip
    assert {(channel.unit, channel.gain, channel.offset) for channel in recording.channels} == {("uV", 1.25, 0.0)}
    assert np.array_equal(recording.samples, raw)


def test_the_seam_cannot_be_seen() -> None:
    driver = Replay(read_recording(recording_file()), 1, "sinus", START)
    loop, peaks = driver.loop, np.array(driver.peaks)
    assert loop is not None and driver.seam is not None and loop.gap == 0
    raw = pydicom.dcmread(recording_file()).waveform_array(0)  # µV, shape (n, 12), without our reader
    step = np.abs(raw[loop.first] - raw[loop.end - 1])
    assert step.max() <= STEP_MAX_UV
    assert step == pytest.approx(driver.seam.step_uv)
    # Not even where the recording itself is quiet: within what two neighbours there differ by.
    quiet = np.abs(np.diff(raw[loop.end - 100 : loop.end + 100], axis=0))
    assert (step <= quiet.max(axis=0)).all()
    intervals = np.diff(peaks)
    inside = peaks[(peaks >= loop.first) & (peaks < loop.end)]
    over = loop.end - inside[-1] + inside[0] - loop.first
    assert intervals.min() <= over <= intervals.max()
    assert len(inside) >= 6
    # Both ends lie between a T wave and the next P wave.
    for edge in (loop.first, loop.end):
        before, after = peaks[peaks < edge][-1], peaks[peaks >= edge][0]
        assert edge - before >= 400 and after - edge >= 200


def test_a_replay_is_the_loop_turned_round() -> None:
    driver = Replay(read_recording(recording_file()), 1, "sinus", START)
    assert driver.loop is not None
    raw = read_recording(recording_file()).samples[:, driver.loop.first : driver.loop.end]
    played = samples(play(driver, 30 * SECOND, 333_000), "ecg")
    turns = -(-played.shape[1] // raw.shape[1])
    assert np.array_equal(played, np.tile(raw, turns)[:, : played.shape[1]])
    assert driver.signals[0].origin == "recording"
    assert {signal.origin for signal in driver.signals[1:]} == {"simulated"}
    beats = [beat.r_us // 1000 for beat in driver._rhythm.beats(0, 20 * SECOND)]
    assert beats[0] == driver.peaks[[p >= driver.loop.first for p in driver.peaks].index(True)] - driver.loop.first
    tallest = played[10]  # V5
    for beat in beats[:18]:
        around = tallest[max(0, beat - 200) : beat + 200]
        assert abs(int(np.argmax(around)) - min(beat, 200)) <= 3


def test_a_recording_without_a_seam_has_a_marked_gap() -> None:
    recording = read_recording(recording_file())
    drift = np.linspace(0, 20_000, recording.samples.shape[1]).astype(np.int16)  # 25 mV: no two levels are alike
    drifting = Recording("drift", recording.rate, recording.channels, recording.samples + drift)
    loop, seam = find_loop(drifting, r_peaks(recording))
    assert seam is None and (loop.first, loop.end, loop.gap) == (0, 10_000, 1000)
    driver = Replay(drifting, 1, "sinus", START)
    waves = [item for item in play(driver, 23 * SECOND, 700_000)["ecg"] if isinstance(item, Wave)]
    expected = 0
    for wave in waves:
        if wave.first_sample != expected:
            assert (expected, wave.first_sample) in ((10_000, 11_000), (21_000, 22_000))
        assert np.array_equal(wave.samples[:, 0], drifting.samples[:, wave.first_sample % 11_000])
        assert wave.t0_us == START + wave.first_sample * 1000
        expected = wave.first_sample + wave.samples.shape[1]


def test_the_lamp_follows_the_beats() -> None:
    driver = Replay(read_recording(recording_file()), 1, "sinus", START)
    beats = [beat.r_us for beat in driver._rhythm.beats(0, 20 * SECOND)]
    assert driver.since_beat_us(START + beats[4]) == 0
    assert driver.since_beat_us(START + beats[4] + 119_999) == 119_999
    assert driver.since_beat_us(START + beats[5] - 1) == beats[5] - 1 - beats[4]


# Characteristics: known bytes, and what the server will read from them.


def test_characteristic_bytes() -> None:
    assert gatt.oximetry(97, 72).hex() == "046100" + "4800" + "2001"
    assert gatt.oximetry(97, 72, questionable=True).hex() == "046100" + "4800" + "2040"
    assert gatt.blood_pressure(126, 79, 95, 72).hex() == "047e004f005f004800"
    assert gatt.temperature(366).hex() == "046e0100ff01"
    assert gatt.heart_rate(72, [833_000, 1_000_000]).hex() == "1648" + "5503" + "0004"
    assert gatt.heart_rate(72, []).hex() == "0648"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_number_is_decoded_without_a_fault(scenario: str) -> None:
    driver = Simulator(1, scenario, START, heart_rate=True)
    formats = {signal.kind: signal.format for signal in driver.signals}
    for kind, items in play(driver, 12 * SECOND, SECOND).items():
        for item in items:
            if isinstance(item, Value):
                decoded = decode(formats[kind], item.payload)
                assert not decoded.faults and decoded.readings[0].value is not None
