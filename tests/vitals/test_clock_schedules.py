"""A thousand schedules of lying clocks through the real lanes and the real mapping: nothing is reordered.

A schedule is one station over two runs of its program, with a wall clock that may be a day off, begin in 1970, be
kept in the local time of Sofia over a change of summer time, and be set while the program runs; a steady clock that
drifts by up to 200 ppm; a server's clock that may be set, too; a line with delays, holes and a backlog that comes late,
shuffled and twice. Time is simulated; everything else is the code that runs.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from telemed_devices.native import Frame, pack_frame
from telemed_station import clock as station_clock

from telemed.vitals import lanes as server_lanes
from telemed.vitals.asked import Asked
from telemed.vitals.clock import ASK_SECONDS, DRIFT_ERROR_PPM, DRIFT_PPM, Fix, FixKeeper, Mapping
from telemed.vitals.durable import Durable
from telemed.vitals.faults import FrameTime
from telemed.vitals.lanes import Lane, Lanes
from telemed.vitals.live import Channel, LiveStream, StreamCard

SCHEDULES = 1_000
SECOND = 1_000_000
HOUR = 3_600 * SECOND
SOFIA = ZoneInfo("Europe/Sofia")
CHANGES = (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC))  # of summer time
RATE, SAMPLES = 50, 250  # a frame of five seconds
FRAMES = 60  # of a run: five minutes
AWAY = (20, 40)  # frames made while the line is down
PPM_MOST = 200.0


@dataclass
class World:
    """True time, and what the two machines make of it. All in µs."""

    draw: random.Random
    now: int
    ppm: float
    wall_off: int
    local: bool
    server_off: int = 0

    def steady(self) -> int:
        return round(self.now * (1 + self.ppm / 1e6))

    def wall(self) -> int:
        """The station's wall clock; a naive one runs on local time."""
        at = datetime.fromtimestamp(self.now / SECOND, UTC)
        shift = at.astimezone(SOFIA).utcoffset() if self.local else None
        wall = self.now + self.wall_off + (round(shift.total_seconds()) * SECOND if shift else 0)
        return max(0, wall)  # no kernel takes a time before 1970

    def server(self) -> int:
        return self.now + self.server_off

    def wait(self, us: int) -> None:
        self.now += us


@dataclass
class Seen:
    """A hub that lets the real live stream accept, and keeps what a page would get."""

    frames: list[Frame] = field(default_factory=list)

    def samples(self, stream: LiveStream, frame: Frame, t0_us: int, error_us: int = 0) -> None:
        seen = stream.accept(frame, t0_us, error_us)
        if seen is not None:
            self.frames.append(seen)


@dataclass
class Run:
    """One run of the station program and its connection."""

    source: UUID
    asked: Asked
    rows: dict[int, Fix]  # as clock_fix would have them, by time
    sent: dict[int, Frame]
    true_us: dict[int, int]  # when the first sample of each frame was measured
    taken: list[tuple[int, int, int]]  # seq, first sample, stamp: as they came to the store
    seen: list[Frame]
    steps: int  # how often the server's clock was set


def world(draw: random.Random) -> World:
    start = draw.choice([datetime(2026, 7, 1, tzinfo=UTC), *CHANGES])
    now = round(start.timestamp()) * SECOND - draw.randrange(FRAMES * 5) * SECOND
    kind = draw.choice(["right", "ahead", "behind", "1970", "local", "some"])
    off = {"ahead": 24 * HOUR, "behind": -24 * HOUR, "1970": -now, "some": draw.randint(-HOUR, HOUR)}.get(kind, 0)
    return World(draw, now, draw.uniform(-PPM_MOST, PPM_MOST), off, kind == "local")


def one_run(world: World, monkeypatch: pytest.MonkeyPatch, number: int) -> Run:
    draw = world.draw
    monkeypatch.setattr(station_clock, "time", SimpleNamespace(time_ns=lambda: world.wall() * 1000))
    monkeypatch.setattr(station_clock, "steady_us", world.steady)
    monkeypatch.setattr(server_lanes, "server_us", world.server)
    clock = station_clock.StationClock()
    run = Run(clock.source, Asked(), {}, {}, {}, [], [], 0)
    card = StreamCard(number, 1, None, "Demo device", "ecg", "simulated", (RATE, 1), (Channel("I", "uV", 1.0, 0.0),))
    opened: Any = SimpleNamespace(
        card=card, source=run.source, started_us=clock.stamp_us(), format="native", born=None, key=None)  # fmt: skip
    seen, live = Seen(), LiveStream(card, lambda *_: pytest.fail("nobody watches"), source=run.source)
    lanes = Lanes(seen)  # type: ignore[arg-type]  # the one method of the hub that samples reach
    lane = Lane(number, opened, 0, Durable(), live, None, False, lambda *_: None, lambda *_: None)
    lane.shelf = None  # type: ignore[assignment]  # nothing is committed here
    lanes.add(lane)
    keeper, held = FixKeeper(), []
    server_step = draw.choice([0, 0, draw.randint(-HOUR, HOUR)])
    step_at, wall_at = draw.randrange(FRAMES), draw.randrange(FRAMES)
    for seq in range(FRAMES):
        if seq == step_at and server_step:
            world.server_off += server_step
            run.steps += 1
        if seq == wall_at:
            world.wall_off += draw.choice([0, HOUR, -HOUR, 24 * HOUR, -24 * HOUR])  # seen by the next run alone
        first = seq * SAMPLES
        stamp, run.true_us[seq] = clock.stamp_us(), world.now
        run.sent[seq] = Frame(number, seq, first, stamp, np.full((1, SAMPLES), seq, np.int16), 0)
        world.wait(SAMPLES * SECOND // RATE)
        away = AWAY[0] <= seq < AWAY[1]
        if not away:
            ask(world, run, clock, keeper)
        held.append(seq)
        if away or draw.random() < 0.1:
            continue  # it comes later, behind what is live
        if lane.live_from == 0 and seq >= AWAY[1]:
            lane.live_from, lane.last_seq, lane.next_sample = seq, -1, 0  # the line is back: announced anew
            live.reconnect()
        if give(run, lanes, seq):
            held.remove(seq)
    draw.shuffle(held)
    again = held + draw.sample(range(FRAMES), 5)  # some of it twice
    for _ in range(FRAMES):
        if not again:
            break
        world.wait(SECOND)
        ask(world, run, clock, keeper)
        again = [seq for seq in again if not give(run, lanes, seq)]
    assert not again, "what was refused for its time is taken once the clock is known again"
    run.seen = seen.frames
    return run


def ask(world: World, run: Run, clock: station_clock.StationClock, keeper: FixKeeper) -> None:
    there, back = world.draw.randrange(200, 200_000), world.draw.randrange(200, 200_000)
    echo = run.asked.ask(world.server())
    world.wait(there)
    stamp = clock.stamp_us()
    world.wait(back)
    run.asked.answer(echo, stamp, world.server())
    fix = run.asked._source._window[-1]
    row = keeper.take(fix)
    if row is not None:
        kept, replaces = row
        if replaces is not None:
            del run.rows[replaces]
        run.rows[kept.at_us] = kept


def give(run: Run, lanes: Lanes, seq: int) -> bool:
    """Give the frame to the server; False when it is refused for its time, and will be sent again."""
    frame = run.sent[seq]
    try:
        pending = lanes.take(pack_frame(frame), run.asked.best)
    except FrameTime:
        return False
    assert pending.first_sample is not None
    run.taken.append((pending.seq, pending.first_sample, pending.t0_us))
    return True


def check(world: World, run: Run) -> None:
    # What is stored is what was sent, whatever order it came in; by number it is in the order of the samples.
    stored = {seq: (first, stamp) for seq, first, stamp in run.taken}
    assert stored == {seq: (frame.first_sample, frame.t0_us) for seq, frame in run.sent.items()}
    by_seq = [stored[seq] for seq in sorted(stored)]
    assert by_seq == sorted(by_seq), "a stamp never goes back, whatever was set meanwhile"
    # What a page saw live is in order by sample and each sample once.
    ends = [(frame.first_sample, frame.first_sample + frame.n) for frame in run.seen]
    assert all(end <= begin for (_, end), (begin, _) in pairwise(ends)), "reordered"
    # Times of samples: in order unless the server's own clock was set, and as true as the fixes say.
    mapping = Mapping(run.rows.values())
    stamps = np.array([stamp for _, stamp in by_seq], np.int64)
    mapped = mapping.to_consultation(stamps)
    if not run.steps:
        assert not mapping.stepped, "no drift is taken for a clock that was set"
        assert (np.diff(mapped) > 0).all()
        for seq, at_us in zip(sorted(stored), mapped.tolist(), strict=True):
            true_us = run.true_us[seq] + world.server_off
            assert abs(at_us - true_us) <= mapping.error_us(at_us) + 2 * DRIFT_PPM
    told = run.asked.told()
    assert told is not None
    true_offset = world.server() - stamps[-1] - (world.now - run.true_us[FRAMES - 1])
    assert abs(told["offset_us"] - true_offset) <= told["error_us"] + 60 * SECOND * DRIFT_PPM // 1_000_000
    if told["drift_ppm"] is not None and not run.steps:
        assert abs(told["drift_ppm"] - world.ppm) <= DRIFT_ERROR_PPM + 0.1


@pytest.mark.parametrize("part", range(10))
def test_lying_clocks_reorder_nothing(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(part, SCHEDULES, 10):
        draw = random.Random(seed)
        here = world(draw)
        for number in (1, 2):
            run = one_run(here, monkeypatch, number)
            try:
                check(here, run)
            except AssertionError as error:
                raise AssertionError(f"schedule {seed}, run {number}: {here}") from error
            here.wait(draw.randrange(10 * SECOND, HOUR))  # the program is not there for a while


def test_the_drift_is_told_once_it_is_known_well_enough() -> None:
    for ppm in (-200.0, -37.0, 0.0, 200.0):
        asked, steady = Asked(), 0.0
        for at in range(0, 1_800 * SECOND, int(ASK_SECONDS) * SECOND):
            steady = at * (1 + ppm / 1e6)
            asked.answer(asked.ask(at), round(steady) + 1_000, at + 2_000)
            known = asked.told()
            assert known is not None
            if known["drift_ppm"] is not None:
                assert abs(known["drift_ppm"] - ppm) <= DRIFT_ERROR_PPM
        assert known is not None and known["drift_ppm"] == pytest.approx(ppm, abs=1.0)
        step = 1_800 * SECOND
        asked.answer(asked.ask(step + HOUR), round(steady) + 5 * SECOND, step + HOUR + 2_000)
        told = asked.told()
        assert told is not None and told["drift_ppm"] is None, "a clock that was set is measured anew"


