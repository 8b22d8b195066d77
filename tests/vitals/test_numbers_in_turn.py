"""Numbers of ours are computed between other work: a frame never waits for the numbers of other streams."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from telemed_devices.native import Frame

from telemed.metrics import REGISTRY
from telemed.vitals import hub as module
from telemed.vitals.hub import WORK_SECONDS, Hub
from telemed.vitals.live import Channel, LiveStream, StreamCard
from telemed.vitals.watcher import Watcher

STREAMS, RATE = 5, 250


class Turns:
    """What the hub asks to have done later."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def next(self) -> None:
        self.waiting.pop(0)()


def board(turns: Turns) -> tuple[Hub, Watcher, list[LiveStream]]:
    """A hub on whose clock each look takes longer than a turn, with streams of one attachment and its watcher."""
    ticks = count()
    hub, attachment, watcher = Hub(lambda: next(ticks) * 1.01 * WORK_SECONDS, turns), uuid4(), Watcher()
    streams = []
    for number in range(STREAMS):
        leads = (Channel("II", "mV", 0.001, 0.0),)
        card = StreamCard(number + 1, 1, attachment, f"device {number}", "ecg", "measured", (RATE, 1), leads)
        streams.append(hub.open_stream(card))
    hub.join(watcher, [attachment])
    assert all(streams)
    return hub, watcher, [one for one in streams if one is not None]


def second(hub: Hub, streams: list[LiveStream], nth: int) -> None:
    """A second of each stream."""
    for stream in streams:
        samples = np.zeros((1, RATE), np.int16)
        frame = Frame(stream.card.id, nth, nth * RATE, nth * 1_000_000, samples)
        hub.samples(stream, frame, nth * 1_000_000)


def numbers(watcher: Watcher) -> int:
    return sum('"heart_rate"' in str(text) for text in watcher.take() if '"numeric"' in str(text))


def test_seconds_that_end_together_are_computed_one_turn_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[int] = []
    original = Hub._derive
    monkeypatch.setattr(module.Hub, "_derive", lambda self, board, stream: (
        derived.append(stream.card.id), original(self, board, stream)))  # fmt: skip
    turns = Turns()
    hub, watcher, streams = board(turns)
    derived.clear()
    second(hub, streams, 0)
    assert derived == [] and len(turns.waiting) == 1, "nothing is computed on the way of a frame"
    done = 0
    while turns.waiting:
        turns.next()
        assert len(derived) - done <= 1, "and a turn ends when its time is over"
        done = len(derived)
    assert derived == [stream.card.id for stream in streams]
    assert numbers(watcher) == 1, "of each kind the newest"
    second(hub, streams, 1)
    assert len(turns.waiting) == 1


def test_who_comes_first_gets_numbers_of_what_was_before_soon() -> None:
    turns = Turns()
    hub, watcher, streams = board(turns)
    hub.leave(watcher)
    second(hub, streams[:1], 0)
    assert not turns.waiting, "for nobody nothing is computed"
    assert streams[0].card.attachment_id is not None
    hub.join(watcher, [streams[0].card.attachment_id])
    assert numbers(watcher) == 0, "who comes holds up no frame"
    while turns.waiting:
        turns.next()
    assert numbers(watcher) == 1


def test_a_stream_whose_number_cannot_be_computed_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    hub, _, streams = board(turns)
    derived: list[int] = []

    def fails(self: Hub, board: Any, stream: LiveStream) -> None:
        derived.append(stream.card.id)
        if stream is streams[0]:
            raise RuntimeError("a fault of ours")

    monkeypatch.setattr(module.Hub, "_derive", fails)
    second(hub, streams, 0)
    failed = 0
    while turns.waiting:
        try:
            turns.next()
        except RuntimeError:
            failed += 1
    assert failed == 1 and derived == [stream.card.id for stream in streams]


def counted(work: str) -> float:
    return REGISTRY.get_sample_value("telemed_signal_seconds_count", {"work": work}) or 0.0


def test_what_signal_work_takes_of_the_loop_is_told() -> None:
    turns = Turns()
    hub, _, streams = board(turns)
    frames, computed = counted("frame"), counted("numbers")
    second(hub, streams, 0)
    assert counted("frame") == frames + STREAMS
    while turns.waiting:
        turns.next()
        computed += 1
        assert counted("numbers") == computed
