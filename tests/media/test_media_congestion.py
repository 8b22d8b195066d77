"""The publisher's bound on simulated lines, and the viewer's layer on simulated reports. The clock is the test's."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemed.media.relay import congestion
from telemed.media.relay.congestion import Downlink, Uplink
from telemed.media.relay.extensions import ABS_SEND_TIME_HZ

CAP = 1_500_000
PACKET_BYTES, PACKET_BYTES_LEAST = 1200, 60
FRAME_SECONDS = 1 / 30
TICK_SECONDS = 0.005
ASK_SECONDS = 0.25  # how often the relay asks, and sends a REMB
ENCODER_SECONDS = 0.2  # an encoder follows its bound so much later


@dataclass
class Line:
    """A publisher, then a bottleneck with a queue that drops its tail, random loss, delay and jitter, then our side."""

    uplink: Uplink
    bits_s: float = 1e9
    loss: float = 0.0
    way_s: float = 0.02
    jitter_s: float = 0.0
    queue_most_s: float = 1.0
    need: float = 1.0  # what the encoder makes of its bound
    cut: bool = False
    stamp_hz: int = ABS_SEND_TIME_HZ
    stamp_start: int = 0
    now_s: float = 1000.0
    rates: list[int] = field(default_factory=list)
    queues_s: list[float] = field(default_factory=list)
    sent_bytes: int = 0
    delivered_bytes: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(4)
        self._free_s = self._frame_s = self._ask_s = self.now_s
        self._began_s = self.now_s
        self._told: deque[tuple[float, int]] = deque()
        self._encoder = congestion.START_BITS_S
        self._on_way: list[tuple[float, int, int, int]] = []  # arrival, sequence, stamp, size
        self._sequence = 0
        self._expected = 0

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += TICK_SECONDS
            while self._told and self._told[0][0] <= self.now_s:
                self._encoder = self._told.popleft()[1]
            if self.now_s >= self._frame_s:
                self._frame_s += FRAME_SECONDS
                self._send_frame()
            for packet in sorted(packet for packet in self._on_way if packet[0] <= self.now_s):
                self._on_way.remove(packet)
                self._arrive(*packet)
            if self.now_s >= self._ask_s:
                self._ask_s += ASK_SECONDS
                self.rates.append(self.uplink.bits_s(self.now_s))
                self.queues_s.append(max(0.0, self._free_s - self.now_s))
                if not self.cut:
                    self._told.append((self.now_s + self.way_s + ENCODER_SECONDS, self.rates[-1]))

    def take_delivered(self, seconds: float) -> float:
        """Bits a second delivered in the next ``seconds``."""
        before = self.delivered_bytes
        self.run(seconds)
        return (self.delivered_bytes - before) * 8 / seconds

    def _send_frame(self) -> None:
        size = self._encoder * self.need * FRAME_SECONDS / 8 * self.random.uniform(0.8, 1.2)
        stamp = self.stamp_start + round((self.now_s - self._began_s) * self.stamp_hz)
        while size > 0:
            size_bytes = int(min(max(size, PACKET_BYTES_LEAST), PACKET_BYTES))
            size -= size_bytes
            self._sequence += 1
            self.sent_bytes += size_bytes
            self._free_s = max(self._free_s, self.now_s)
            if self.cut or self._free_s - self.now_s > self.queue_most_s:
                continue
            self._free_s += size_bytes * 8 / self.bits_s
            if self.random.random() >= self.loss:
                arrival_s = self._free_s + self.way_s + self.random.uniform(0, self.jitter_s)
                self._on_way.append((arrival_s, self._sequence, stamp, size_bytes))

    def _arrive(self, arrival_s: float, sequence: int, stamp: int, size_bytes: int) -> None:
        self.delivered_bytes += size_bytes
        lost = sequence - self._expected - 1 if sequence > self._expected else -1
        self._expected = max(self._expected, sequence)
        bits = 24 if self.stamp_hz == ABS_SEND_TIME_HZ else 32
        self.uplink.note(arrival_s, stamp & (1 << bits) - 1, size_bytes, lost)


def test_a_clean_line_carries_the_cap_within_ten_seconds() -> None:
    line = Line(Uplink(CAP))
    line.run(10)
    assert (line.rates[0], line.rates[-1]) == (congestion.START_BITS_S, CAP)
    line.run(60)
    assert min(line.rates[-200:]) == CAP


@pytest.mark.parametrize("start", [0, (1 << 32) - 90_000])
def test_the_timestamps_of_a_picture_serve_as_well(start: int) -> None:
    line = Line(Uplink(CAP, stamp_hz=90_000, stamp_bits=32), stamp_hz=90_000, stamp_start=start)
    line.run(30)
    assert line.rates[-1] == CAP
    line.bits_s = 600_000
    line.run(10)
    assert line.rates[-1] <= 600_000


def test_five_in_a_hundred_lost_at_random_over_a_long_way_lower_nothing() -> None:
    line = Line(Uplink(CAP), loss=0.05, way_s=0.15)
    line.run(120)
    assert sorted(line.rates) == line.rates
    assert line.rates[-1] == CAP


def test_jitter_of_a_radio_link_lowers_nothing() -> None:
    line = Line(Uplink(CAP), way_s=0.05, jitter_s=0.15)
    line.run(60)
    assert line.rates[-1] == CAP


@pytest.mark.parametrize("bits_s", [256_000, 512_000, 1_000_000])
@pytest.mark.parametrize(("loss", "way_s", "jitter_s"), [(0.0, 0.02, 0.0), (0.05, 0.15, 0.03)])
def test_a_narrow_line_is_used_and_its_queue_does_not_stand(
    bits_s: int, loss: float, way_s: float, jitter_s: float
) -> None:
    line = Line(Uplink(CAP), bits_s=bits_s, loss=loss, way_s=way_s, jitter_s=jitter_s)
    line.run(20)
    line.queues_s.clear()
    carried = line.take_delivered(100)
    assert 0.7 * bits_s * (1 - loss) <= carried <= 1.001 * bits_s  # a packet may straddle the ends
    assert max(line.queues_s) < 0.3
    assert sum(line.queues_s) / len(line.queues_s) < 0.1


def test_a_line_that_narrows_is_noticed_and_one_that_widens_is_used_again() -> None:
    line = Line(Uplink(CAP))
    line.run(20)
    line.bits_s = 250_000
    line.run(2.5)
    assert line.rates[-1] <= 250_000
    line.run(3)
    assert line.queues_s[-1] < 0.1
    line.queues_s.clear()
    assert line.take_delivered(30) >= 0.7 * 250_000
    assert max(line.queues_s) < 0.3
    line.bits_s = 1e9
    line.run(25)
    assert line.rates[-1] == CAP


@pytest.mark.parametrize("seconds", [5, 30])
def test_after_a_cut_the_rate_is_back_in_five_seconds(seconds: float) -> None:
    line = Line(Uplink(CAP), bits_s=3_000_000, way_s=0.15)
    line.run(20)
    line.cut = True
    line.run(seconds)
    assert line.rates[-1] == CAP  # silence says nothing
    line.cut, line.way_s = False, 0.4  # over another way
    before = len(line.rates)
    line.run(5)
    assert min(line.rates[before:]) >= CAP // 2
    assert line.rates[-1] == CAP


def test_a_longer_way_is_a_queue_at_first_and_then_the_way() -> None:
    line = Line(Uplink(CAP))
    line.run(20)
    before = len(line.rates)
    line.way_s = 0.3
    line.run(30)
    assert CAP // 4 <= min(line.rates[before:]) < CAP
    assert line.rates[-1] == CAP


def test_more_than_a_tenth_lost_lowers_it_but_not_to_nothing() -> None:
    line = Line(Uplink(CAP), loss=0.2)
    line.run(60)
    assert congestion.LOSS_FLOOR_BITS_S <= line.rates[-1] < congestion.START_BITS_S


def test_a_line_that_drops_instead_of_queueing_is_used_with_less_than_a_tenth_lost() -> None:
    line = Line(Uplink(CAP), bits_s=600_000, queue_most_s=0.03)
    line.run(30)
    sent_bytes = line.sent_bytes
    carried = line.take_delivered(60)
    assert carried >= 0.7 * 600_000
    assert carried >= 0.9 * (line.sent_bytes - sent_bytes) * 8 / 60


def test_an_encoder_that_needs_little_is_not_promised_much() -> None:
    line = Line(Uplink(10_000_000), need=0.2)
    line.run(60)
    assert line.rates[-1] <= 2.5 * max(line.rates[-1] * 0.2, congestion.START_BITS_S)
    assert line.rates[-1] < 1_000_000
    line.need = 1.0
    line.run(15)
    assert line.rates[-1] == 10_000_000


def test_the_cap_may_be_changed_and_holds_at_once() -> None:
    line = Line(Uplink(CAP))
    line.run(10)
    line.uplink.cap_bits_s = 750_000
    assert line.uplink.bits_s(line.now_s) == 750_000
    line.uplink.cap_bits_s = CAP
    line.run(5)
    assert line.rates[-1] == CAP


def test_stamps_that_begin_anew_are_no_queue() -> None:
    line = Line(Uplink(CAP), queue_most_s=60)
    line.run(15)
    for jump in (ABS_SEND_TIME_HZ * 30, -ABS_SEND_TIME_HZ * 30):  # of the 64 s that a stamp counts
        line.stamp_start += jump
        line.run(15)
        assert min(line.rates[-60:]) == CAP
    line.bits_s = 500_000
    line.run(8)
    assert line.queues_s[-1] < 0.1


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, (1 << 24) - 1), st.integers(0, 1500), st.integers(-5, 70_000))),
    st.integers(0, 5_000_000),
)
def test_whatever_comes_the_bound_is_within_its_bounds(
    packets: list[tuple[float, int, int, int]], cap_bits_s: int
) -> None:
    uplink, now_s = Uplink(cap_bits_s), 0.0
    for step_s, stamp, size_bytes, lost in packets:
        now_s += step_s
        uplink.note(now_s, stamp, size_bytes, lost)
        assert min(congestion.FLOOR_BITS_S, cap_bits_s) <= uplink.bits_s(now_s) <= cap_bits_s
    assert len(uplink._slots) <= congestion.LOSS_SLOTS + 1
    assert len(uplink._base) <= congestion.BASE_SECONDS


HIGH, LOW = 1_500_000, 150_000
CLEAN, POOR, BAD = 0, 13, 40  # of 256: none, 5 %, 16 %


class Clocked:
    """A downlink with a report a second."""

    def __init__(self, low_bits_s: int | None = LOW) -> None:
        self.downlink = Downlink(HIGH, low_bits_s)
        self.now_s = 50.0
        self.seen = [self.downlink.level(self.now_s)]

    def reports(self, seconds: int, fraction_lost: int, round_trip_s: float | None = None) -> str:
        for _ in range(seconds):
            self.now_s += 1
            self.downlink.note_report(self.now_s, fraction_lost, round_trip_s)
            self.seen.append(self.downlink.level(self.now_s))
        return self.seen[-1]

    def bound(self, bits_s: int) -> str:
        self.downlink.note_bound(self.now_s, bits_s)
        return self.downlink.level(self.now_s)


def test_loss_for_five_seconds_takes_one_layer_and_then_the_other() -> None:
    viewer = Clocked()
    assert viewer.reports(5, BAD) == "high"
    assert viewer.reports(1, BAD) == "low"
    assert viewer.reports(5, BAD) == "low"
    assert viewer.reports(1, BAD) == "paused"
    assert viewer.reports(60, BAD) == "paused"


def test_loss_that_passes_takes_nothing() -> None:
    viewer = Clocked()
    for _ in range(10):
        viewer.reports(5, BAD)
        viewer.reports(1, POOR)
    assert set(viewer.seen) == {"high"}


def test_a_line_that_has_recovered_gets_one_layer_every_ten_seconds() -> None:
    viewer = Clocked()
    viewer.reports(12, BAD)
    assert viewer.reports(9, CLEAN) == "paused"
    assert viewer.reports(1, CLEAN) == "low"
    assert viewer.reports(9, CLEAN) == "low"
    assert viewer.reports(1, CLEAN) == "high"


def test_a_poor_line_gets_no_trial() -> None:
    viewer = Clocked()
    viewer.reports(6, BAD)
    assert viewer.reports(120, POOR) == "low"


def test_a_viewer_without_reports_of_a_paused_picture_gets_it_back() -> None:
    viewer = Clocked()
    viewer.reports(12, BAD)
    assert [viewer.downlink.level(viewer.now_s + wait_s) for wait_s in (9.9, 10)] == ["paused", "low"]


def test_each_failed_trial_doubles_the_wait_up_to_two_minutes() -> None:
    viewer = Clocked()
    viewer.reports(6, BAD)
    waits = []
    for _ in range(6):
        began_s = viewer.now_s
        while viewer.reports(1, CLEAN) == "low":
            assert viewer.now_s - began_s < 2 * congestion.WAIT_SECONDS_MOST
        waits.append(viewer.now_s - began_s)
        assert viewer.reports(6, BAD) == "low"
    assert waits == [10, 20, 40, 80, 120, 120]


def test_a_trial_that_lasted_makes_the_next_wait_short_again() -> None:
    viewer = Clocked()
    viewer.reports(6, BAD)
    viewer.reports(10, CLEAN)
    assert viewer.reports(6, BAD) == "low"
    assert viewer.reports(20, CLEAN) == "high"
    viewer.reports(20, CLEAN)
    assert viewer.reports(6, BAD) == "low"
    assert viewer.reports(10, CLEAN) == "high"


def test_with_one_layer_there_is_the_picture_or_none() -> None:
    viewer = Clocked(low_bits_s=None)
    assert viewer.reports(6, BAD) == "paused"
    assert viewer.reports(10, CLEAN) == "high"


def test_a_bound_that_falls_below_the_layer_takes_it_at_once() -> None:
    viewer = Clocked()
    assert viewer.bound(int(1.11 * HIGH)) == "high"
    assert viewer.bound(int(1.09 * HIGH)) == "low"
    assert viewer.bound(100_000) == "low"  # speaks of the layer before
    viewer.reports(2, CLEAN)
    assert viewer.bound(int(1.2 * LOW)) == "low"
    assert viewer.bound(int(1.09 * LOW)) == "paused"
    assert viewer.bound(0) == "paused"


def test_a_bound_that_starts_low_and_rises_takes_nothing() -> None:
    viewer = Clocked()
    bits_s = 300_000.0
    while bits_s < 2 * HIGH:
        viewer.reports(1, CLEAN)
        assert viewer.bound(int(bits_s)) == "high"
        bits_s *= 1.08
    assert viewer.bound(HIGH) == "low"


def test_a_trial_is_not_judged_by_the_bound_of_the_low_layer_but_by_its_fall() -> None:
    viewer = Clocked()
    viewer.bound(2_000_000)
    assert viewer.bound(800_000) == "low"
    viewer.reports(3, CLEAN)
    assert viewer.bound(225_000) == "low"  # 1.5 times what it receives
    assert viewer.reports(8, CLEAN) == "high"
    viewer.reports(3, CLEAN)
    assert viewer.bound(240_000) == "high"
    assert [viewer.bound(bits_s) for bits_s in (400_000, 350_000)] == ["high", "low"]


def test_a_round_trip_that_swells_is_as_bad_as_loss_and_a_longer_way_becomes_usual() -> None:
    viewer = Clocked()
    assert viewer.reports(30, CLEAN, 0.3) == "high"
    assert viewer.reports(7, CLEAN, 0.9) == "low"
    assert viewer.reports(9, CLEAN, 0.3) == "low"
    assert viewer.reports(2, CLEAN, 0.3) == "high"
    viewer.reports(150, CLEAN, 0.9)
    assert viewer.reports(60, CLEAN, 0.9) == "high"


@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["report", "bound", "none"]), st.integers(0, 255))))
def test_a_layer_is_one_step_from_the_last_whatever_comes(events: list[tuple[float, str, int]]) -> None:
    downlink, now_s, order = Downlink(HIGH, LOW), 0.0, ["paused", "low", "high"]
    before = order.index(downlink.level(now_s))
    for step_s, event, value in events:
        now_s += step_s
        if event == "report":
            downlink.note_report(now_s, value, value / 100)
        elif event == "bound":
            downlink.note_bound(now_s, value * 10_000)
        after_event = order.index(downlink._level)
        assert before - after_event in (0, 1)
        before = order.index(downlink.level(now_s))
        assert before - after_event in (0, 1)
