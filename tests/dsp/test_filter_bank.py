"""The law: equal to scipy stage by stage, whatever the blocks and whoever shares the batch, bit for bit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from telemed_signal import bank as bank_module
from telemed_signal.faults import BankFull, BlockShape, NotFinite, SlotUnknown
from telemed_signal.filters import MONITOR_ECG, PLETH, RESPIRATION, FilterBank, FilterSpec, GapHold, Slot, quantise

Array = npt.NDArray[np.float64]
SPECS = [MONITOR_ECG, PLETH, RESPIRATION]


def oracle(spec: FilterSpec, rate_hz: float, x: Array) -> Array:
    """docs/protocol.md section 5, in scipy's words alone: one channel, the whole signal, stage by stage."""
    y = x
    for sos in spec.sos(rate_hz):
        y, _ = signal.sosfilt(sos, y, zi=signal.sosfilt_zi(sos) * y[0])
    return np.asarray(y)


def ecg_like(samples: int, channels: int, seed: int) -> Array:
    """Whole numbers of the size of raw ECG, with an offset, a drift and steps."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(scale=20, size=(samples, channels)), axis=0)
    spikes = np.where(rng.random((samples, channels)) < 0.01, 900.0, 0.0)
    return np.rint(walk + spikes + rng.integers(-5000, 5000, channels))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
@pytest.mark.parametrize("rate_hz", [125.0, 250.0, 500.0, 1000.0])
def test_a_bank_is_sosfilt_stage_by_stage_integer_for_integer(spec: FilterSpec, rate_hz: float) -> None:
    x = ecg_like(4000, 12, seed=1)
    bank = FilterBank(spec, rate_hz)
    slot = bank.open(12)
    block = int(rate_hz / 10)
    y = np.vstack([bank.push({slot: x[at : at + block]})[slot] for at in range(0, len(x), block)])
    by_hand = np.column_stack([oracle(spec, rate_hz, x[:, channel]) for channel in range(12)])
    np.testing.assert_array_equal(y, by_hand)
    np.testing.assert_array_equal(quantise(y), np.rint(by_hand).astype(np.int64).T)


def cut(draw: Any, length: int) -> list[int]:
    """Where to cut: any number of places, blocks of nothing among them."""
    return [0, *sorted(draw(st.lists(st.integers(0, length), max_size=8))), length]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_company_and_chunking_change_no_bit(data: st.DataObject) -> None:
    """Stations come and go, some in step, some ragged; each gets the bits it would get alone and whole."""
    spec = data.draw(st.sampled_from(SPECS))
    bank = FilterBank(spec, 250.0)
    jobs: list[tuple[Slot, Array, list[int]]] = []
    for seed in range(data.draw(st.integers(1, 5))):
        channels, length = data.draw(st.sampled_from([1, 2, 3, 12])), data.draw(st.integers(1, 120))
        jobs.append((bank.open(channels), ecg_like(length, channels, seed), cut(data.draw, length)))
    results: dict[Slot, list[Array]] = {slot: [] for slot, _, _ in jobs}
    turn = {slot: 0 for slot, _, _ in jobs}
    while any(turn[slot] < len(cuts) - 1 for slot, _, cuts in jobs):
        ready = [job for job in jobs if turn[job[0]] < len(job[2]) - 1]
        chosen = data.draw(st.lists(st.sampled_from(ready), min_size=1, unique_by=lambda job: job[0].number))
        done = bank.push({slot: x[cuts[turn[slot]] : cuts[turn[slot] + 1]] for slot, x, cuts in chosen})
        for slot, y in done.items():
            results[slot].append(y)
            turn[slot] += 1
    for slot, x, _ in jobs:
        y = np.vstack(results[slot])
        for channel in range(slot.channels):
            np.testing.assert_array_equal(y[:, channel], oracle(spec, 250.0, x[:, channel]))


def test_a_constant_begins_on_its_baseline() -> None:
    for spec in SPECS:
        bank = FilterBank(spec, 500.0)
        slot = bank.open(2)
        y = bank.push({slot: np.full((500, 2), -3000.0)})[slot]
        assert np.abs(y).max() < 1e-6


def test_reset_starts_over_and_only_what_was_named() -> None:
    x = ecg_like(300, 3, seed=2)
    bank = FilterBank(MONITOR_ECG, 500.0)
    slot = bank.open(3)
    bank.push({slot: x[:100]})
    bank.reset(slot, [1])
    part = bank.push({slot: x[100:200]})[slot]
    np.testing.assert_array_equal(part[:, 0], oracle(MONITOR_ECG, 500.0, x[:200, 0])[100:])
    np.testing.assert_array_equal(part[:, 1], oracle(MONITOR_ECG, 500.0, x[100:200, 1]))
    bank.reset(slot, np.array([False, False, True]))
    part = bank.push({slot: x[200:]})[slot]
    np.testing.assert_array_equal(part[:, 2], oracle(MONITOR_ECG, 500.0, x[200:, 2]))
    bank.reset(slot)
    whole = bank.push({slot: x})[slot]
    np.testing.assert_array_equal(whole[:, 0], oracle(MONITOR_ECG, 500.0, x[:, 0]))


def test_room_is_used_again_from_zero() -> None:
    x = ecg_like(200, 12, seed=3)
    bank = FilterBank(PLETH, 250.0)
    kept = bank.open(12)
    bank.push({kept: x[:50]})
    for _ in range(50):  # more channels than the first capacity, closed again each time
        slot = bank.open(12)
        np.testing.assert_array_equal(bank.push({slot: x})[slot][:, 5], oracle(PLETH, 250.0, x[:, 5]))
        bank.close(slot)
    many = [bank.open(12) for _ in range(20)]
    assert bank.slots == 21
    done = bank.push(dict.fromkeys(many, x))
    for slot in many:
        np.testing.assert_array_equal(done[slot], done[many[0]])
    np.testing.assert_array_equal(bank.push({kept: x[50:]})[kept][:, 0], oracle(PLETH, 250.0, x[:, 0])[50:])


def test_state_moves_to_another_bank_without_a_trace() -> None:
    x = ecg_like(300, 4, seed=4)
    here, there = FilterBank(MONITOR_ECG, 360.0), FilterBank(MONITOR_ECG, 360.0)
    slot = here.open(4)
    here.push({slot: x[:123]})
    there.open(7)
    moved = there.open(4)
    state = here.export(slot)
    there.restore(moved, state)
    here.push({slot: x[123:200]})  # the copy does not follow
    y = there.push({moved: x[123:]})[moved]
    for channel in range(4):
        np.testing.assert_array_equal(y[:, channel], oracle(MONITOR_ECG, 360.0, x[:, channel])[123:])
    with pytest.raises(BlockShape):
        there.restore(there.open(3), state)
    other = FilterBank(PLETH, 360.0)
    with pytest.raises(BlockShape):
        other.restore(other.open(4), state)


def test_a_bad_block_is_refused_and_changes_nothing() -> None:
    x = ecg_like(200, 2, seed=5)
    bank = FilterBank(MONITOR_ECG, 500.0)
    good, bad = bank.open(2), bank.open(2)
    bank.push({good: x[:100], bad: x[:100]})
    spoilt = x[100:].copy()
    for poison in (np.nan, np.inf, -np.inf):
        spoilt[7, 1] = poison
        with pytest.raises(NotFinite):
            bank.push({good: x[100:], bad: spoilt})
    for shape in (x[100:, :1], x[100:, 0], x[np.newaxis, 100:]):
        with pytest.raises(BlockShape):
            bank.push({good: x[100:], bad: shape})
    y = bank.push({good: x[100:], bad: x[100:]})
    for slot in (good, bad):
        np.testing.assert_array_equal(y[slot][:, 0], oracle(MONITOR_ECG, 500.0, x[:, 0])[100:])


def test_a_closed_slot_and_a_strange_one_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = FilterBank(MONITOR_ECG, 500.0)
    slot = bank.open(1)
    bank.close(slot)
    for call in (bank.close, bank.reset, bank.export):
        with pytest.raises(SlotUnknown):
            call(slot)
    with pytest.raises(SlotUnknown):
        bank.push({slot: np.zeros((1, 1))})
    for channels in (0, 33):
        with pytest.raises(BlockShape):
            bank.open(channels)
    monkeypatch.setattr(bank_module, "MAX_CHANNELS", 64)
    opened = [bank.open(32), bank.open(32)]
    with pytest.raises(BankFull):
        bank.open(1)
    bank.close(opened[0])
    bank.open(32)


def test_nothing_in_nothing_out() -> None:
    bank = FilterBank(MONITOR_ECG, 500.0)
    slot = bank.open(3)
    assert bank.push({}) == {}
    assert bank.push({slot: np.zeros((0, 3))})[slot].shape == (0, 3)
    x = ecg_like(10, 3, seed=6)
    np.testing.assert_array_equal(bank.push({slot: x})[slot][:, 0], oracle(MONITOR_ECG, 500.0, x[:, 0]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([np.int16, np.int32]), st.data())
def test_a_frame_as_it_came_gives_the_bits_of_the_long_way(seed: int, dtype: Any, data: st.DataObject) -> None:
    """Frames without a hole take one call, those with one the long way; to the bit as if all had taken that."""
    rng = np.random.default_rng(seed)
    scale = data.draw(st.sampled_from([1, 1000])) if dtype is np.int32 else 1
    samples = (ecg_like(600, 3, seed) * scale).clip(np.iinfo(dtype).min + 1, np.iinfo(dtype).max).astype(dtype).T
    samples = np.ascontiguousarray(samples)
    for channel, start, length in data.draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 599), st.integers(1, 80)), max_size=4)
    ):
        samples[channel, start : start + length] = np.iinfo(dtype).min
    cuts = cut(data.draw, 600)
    lost = int(rng.integers(0, len(cuts)))  # a frame that never came
    short, long = FilterBank(MONITOR_ECG, 250.0), FilterBank(MONITOR_ECG, 250.0)
    ways = [(short, short.open(3), GapHold(3, 250.0), True), (long, long.open(3), GapHold(3, 250.0), False)]
    for number, (a, b) in enumerate(pairwise(cuts)):
        if number == lost or a == b:
            continue
        frame = np.frombuffer(samples[:, a:b].tobytes(), dtype).reshape(3, b - a)  # read only, as in a message
        seen = []
        for bank, slot, hold, may in ways:
            done = bank.push_frame(slot, frame) if may and hold.follows(a) else None
            if done is not None:
                hold.passed(frame)
                seen.append([(a, done.dtype, done.tobytes())])
                continue
            pieces = []
            for piece in hold.push(a, frame):
                if piece.restart.any():
                    bank.reset(slot, piece.restart)
                skip = max(0, a - piece.first_sample)
                y = quantise(bank.push({slot: piece.values})[slot][skip:], piece.missing[skip:])
                pieces.append((piece.first_sample + skip, y.dtype, y.tobytes()))
            seen.append(pieces)
        assert seen[0] == seen[1]


def test_a_frame_of_another_shape_is_refused_and_one_that_begins_takes_the_long_way() -> None:
    bank = FilterBank(PLETH, 125.0)
    slot = bank.open(2)
    assert bank.push_frame(slot, np.zeros((2, 5), np.int16)) is None
    with pytest.raises(BlockShape):
        bank.push_frame(slot, np.zeros((3, 5), np.int16))
    bank.push({slot: np.full((5, 2), 2.0**20)})
    wide = bank.push_frame(slot, np.full((2, 5), -(2**20), np.int32))
    assert wide is not None and wide.dtype == np.int32
    narrow = bank.push_frame(slot, np.zeros((2, 0), np.int16))
    assert narrow is not None and narrow.shape == (2, 0)
