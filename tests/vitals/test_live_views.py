"""A view's integers are scipy's, whatever the cutting; holes are bridged or restart the filter, and are marked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import signal
from telemed_devices.native import Frame, pack_frame, unpack_frame
from telemed_signal.filters import FilterBank

from telemed.vitals.live import Channel, LiveStream, StreamCard
from telemed.vitals.watcher import EVENTS_WAITING, WAVES_WAITING, Watcher, Wave, with_gap

RATE = 500
CARD = StreamCard(12, 1, None, "Demo device", "ecg", "recording", (RATE, 1),
                  (Channel("I", "uV", 1.25, 3.0), Channel("II", "uV", 1.25, 0.0)))


def oracle(x: np.ndarray[Any, Any], described: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The view as anybody rebuilds it from ``describe`` with scipy alone. x is (channels, n) from its start."""
    y = x.T.astype(float)
    for stage in described["filter"]["stages"]:
        if stage["design"] == "butter":
            sos = signal.butter(stage["order"], stage["band_hz"], btype="bandpass", fs=RATE, output="sos")
        else:
            sos = signal.tf2sos(*signal.iirnotch(stage["hz"], stage["q"], fs=RATE))
        zi = signal.sosfilt_zi(sos)[:, :, None] * y[0]
        y, _ = signal.sosfilt(sos, y, axis=0, zi=zi)
    return np.rint(y).T.astype(np.int64)


def samples(n: int, seed: int = 3) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(seed).normal(0, 300, (2, n)) + 800).round().astype(np.int16)


def stream() -> tuple[LiveStream, Watcher]:
    made = LiveStream(CARD, FilterBank)
    watcher = Watcher()
    for number, name in enumerate(("monitor", "raw"), 1):
        made.open_view(name, number).watchers.add(watcher)
    return made, watcher


def push(made: LiveStream, x: np.ndarray[Any, Any], first: int, n: int, seq: int = 0) -> Frame | None:
    return made.accept(Frame(7, seq, first, 0, x[:, first : first + n]), 1_000_000 + first * 2000)


def seen(watcher: Watcher) -> tuple[list[dict[str, Any]], dict[int, list[Frame]]]:
    texts, frames = [], {}
    for item in watcher.take():
        if isinstance(item, str):
            texts.append(json.loads(item))
        else:
            frame = unpack_frame(item)
            frames.setdefault(frame.view, []).append(frame)
    return texts, frames


@pytest.mark.parametrize("cuts", [(100,), (1, 7, 250, 3), (50, 33)])
def test_blocks_equal_scipy_integer_for_integer(cuts: tuple[int, ...]) -> None:
    x, at, turn = samples(4000), 0, 0
    made, watcher = stream()
    got: dict[int, list[Frame]] = {}
    described: list[dict[str, Any]] = []
    while at < 4000:
        n = min(cuts[turn % len(cuts)], 4000 - at)
        push(made, x, at, n)
        at, turn = at + n, turn + 1
        texts, frames = seen(watcher)
        described += texts
        for view, some in frames.items():
            got.setdefault(view, []).extend(some)
    monitor = next(one for one in described if one["name"] == "monitor")
    assert len(described) == 2 and monitor["first_sample"] == 0 and monitor["filter"]["phase"] == "causal"
    assert [channel["offset"] for channel in monitor["channels"]] == [0.0, 0.0]
    joined = np.concatenate([frame.samples for frame in got[1]], axis=1)
    np.testing.assert_array_equal(joined, oracle(x, monitor))
    np.testing.assert_array_equal(np.concatenate([frame.samples for frame in got[2]], axis=1), x)
    assert all(frame.stream == 12 and frame.flags == 2 for frame in got[1])
    assert all(frame.t0_us == 1_000_000 + frame.first_sample * 2000 for frame in got[1] + got[2])


def test_a_hole_up_to_200_ms_is_bridged_and_marked() -> None:
    x = samples(1000)
    made, watcher = stream()
    push(made, x, 0, 500)
    push(made, x, 600, 400)
    texts, frames = seen(watcher)
    assert len(texts) == 2
    held = np.concatenate([x[:, :500], np.repeat(x[:, 499:500], 100, axis=1), x[:, 600:]], axis=1)
    whole = oracle(held, texts[0] if texts[0]["filter"] else texts[1])
    assert [(frame.first_sample, frame.gap) for frame in frames[1]] == [(0, False), (600, True)]
    np.testing.assert_array_equal(frames[1][1].samples, whole[:, 600:])
    assert [(frame.first_sample, frame.n, frame.gap) for frame in frames[2]] == [(0, 500, False), (600, 400, True)]


def test_a_longer_hole_restarts_the_filter_and_describes_it_anew() -> None:
    x = samples(2000)
    made, watcher = stream()
    push(made, x, 0, 500)
    push(made, x, 700, 500)
    texts, frames = seen(watcher)
    starts = [one["first_sample"] for one in texts if one["filter"]]
    assert starts == [0, 700]
    last = [one for one in texts if one["filter"]][-1]
    np.testing.assert_array_equal(frames[1][1].samples, oracle(x[:, 700:1200], last))
    assert frames[1][1].gap


def test_late_samples_never_reach_the_live_lane() -> None:
    x = samples(1000)
    made, watcher = stream()
    assert push(made, x, 500, 100) is not None
    assert push(made, x, 0, 100) is None
    assert push(made, x, 500, 100) is None
    assert [frame.first_sample for frame in seen(watcher)[1][2]] == [500]


def test_nothing_after_the_cut_is_shown_and_the_cut_is_at_the_sample() -> None:
    x = samples(1000)
    made, watcher = stream()
    made.cut_us = 1_000_000 + 150 * 2000
    push(made, x, 0, 100)
    push(made, x, 100, 100)
    assert push(made, x, 200, 100) is None
    frames = seen(watcher)[1][2]
    assert [(frame.first_sample, frame.n) for frame in frames] == [(0, 100), (100, 50)]


def test_a_reconnected_station_begins_with_a_marked_gap_and_a_new_description() -> None:
    x = samples(1000)
    made, watcher = stream()
    push(made, x, 0, 100)
    made.reconnect()
    push(made, x, 100, 100)
    texts, frames = seen(watcher)
    assert [one["first_sample"] for one in texts if one["filter"]] == [0, 100]
    assert [frame.gap for frame in frames[1]] == [False, True]


def test_a_slow_watcher_is_bounded_and_told_what_it_lost() -> None:
    watcher = Watcher()
    x = samples(100)
    for seq in range(WAVES_WAITING + 40):
        made = Frame(12, seq, seq, 0, x, view=3)
        watcher.wave(Wave(3, '{"type": "describe"}', pack_frame(made)))
        watcher.number("spo2", str(seq))
    assert watcher.waiting == (0, 1, WAVES_WAITING)
    items = list(watcher.take())
    assert items[0] == str(WAVES_WAITING + 39)
    assert json.loads(str(items[1])) == {"type": "dropped", "view": 3, "frames": 40}
    assert items[2] == '{"type": "describe"}'
    first, second = unpack_frame(items[3]), unpack_frame(items[4])  # type: ignore[arg-type]
    assert (first.seq, first.gap, second.gap) == (40, True, False)
    assert not watcher.closed


def test_events_never_drop_but_close() -> None:
    watcher = Watcher()
    for _ in range(EVENTS_WAITING):
        watcher.event({"type": "consultation"})
    assert not watcher.closed
    watcher.event({"type": "consultation"})
    assert watcher.closed


def test_marking_a_gap_keeps_the_frame_valid() -> None:
    frame = Frame(1, 2, 3, 4, samples(10), flags=2)
    marked = unpack_frame(with_gap(pack_frame(frame)))
    assert marked.flags == 3
    np.testing.assert_array_equal(marked.samples, frame.samples)
