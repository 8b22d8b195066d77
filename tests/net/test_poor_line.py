"""A consultation over 512 kbit/s, 300 ms and 5 % loss: every sample arrives, the waves keep up, the voice has no hole,
the picture moves or says why not; and all is back within 5 s of a cut of 30 s.

The station is at the near end; server, watcher and viewer are at the far one (``poor_far.py``). Both ends' TCP is set
to Reno (namespaces may not choose CUBIC by default), so that what chooses BBR is the code. ``TELEMED_POOR_SECONDS`` is
how long it is measured before the cut: 60 is enough to see it; `make faults` sets 600.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.net.line import End, Line
from tests.net.namespaces import command

pytestmark = pytest.mark.usefixtures("needs_lines")

ROOT = Path(__file__).resolve().parents[2]
POOR = {"up_kbit": 512, "down_kbit": 2_000, "delay_ms": 150, "loss_up": 0.05, "loss_down": 0.05}
SECONDS = float(os.environ.get("TELEMED_POOR_SECONDS", "0"))
CUT_S = 30.0
SETTLE_S = 10.0  # the picture's rate is found
AFTER_S = 20.0  # of measuring after the cut
START_S = 60.0  # until everything flows, on two busy cores
END_S = 30.0  # for a program that was told to end

LATE_S = 1.5  # the bounds
HOLE_PACKETS = 10  # of 20 ms: 200 ms
HEARD_SHARE = 0.95
FRAMES_A_SECOND = 5
BACK_S = 5.0
PLAYOUT_S = 0.2  # a page keeps so much sound waiting; what comes later is not heard
PICTURE_WINDOW_S = 2.0
TONE_HZ, TONE_WITHIN_HZ = 440, 5

Row = list[Any]


@dataclass(frozen=True, slots=True)
class Voice:
    """What a page would have heard: shares of the time."""

    packets: int
    lost: float
    late: float
    in_holes: float
    longest_ms: int


def at(values: list[float], share: float) -> float:
    """The value below which this share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def voice(came: list[tuple[float, int]]) -> Voice:
    """Of packets by when they came and their 16-bit numbers: which are there by ``PLAYOUT_S`` after the quickest."""
    unrolled: dict[int, float] = {}
    newest = came[0][1]
    for when, sequence in came:
        ahead = (sequence - newest) & 0xFFFF
        number = newest + (ahead if ahead < 0x8000 else ahead - 0x10000)
        newest = max(newest, number)
        unrolled.setdefault(number, when)
    first, last = min(unrolled), max(unrolled)
    quickest = min(when - 0.02 * number for number, when in unrolled.items())
    heard = [
        number in unrolled and unrolled[number] - 0.02 * number <= quickest + PLAYOUT_S
        for number in range(first, last + 1)
    ]
    holes, run = [], 0
    for one in [*heard, True]:
        if one:
            holes.append(run)
            run = 0
        else:
            run += 1
    long = sum(hole for hole in holes if hole > HOLE_PACKETS)
    count = last - first + 1
    return Voice(count, 1 - len(unrolled) / count, heard.count(False) / count - (1 - len(unrolled) / count),
                 long / count, 20 * max(holes))  # fmt: skip


def picture(rows: list[Row], begun: float, ended: float) -> tuple[list[float], float, float]:
    """Frames a second in each window, the share of windows with enough, and that with enough or with the words."""
    frames = [row[0] for row in rows if row[1] == "frame"]
    words = [(row[0], row[2] is not None and row[2][1]) for row in rows if row[1] == "published"]
    rates, moving, told = [], 0, 0
    start = begun
    while start + PICTURE_WINDOW_S <= ended:
        end = start + PICTURE_WINDOW_S
        rates.append(sum(start <= when < end for when in frames) / PICTURE_WINDOW_S)
        paused = next((now for when, now in reversed(words) if when < end), False)
        moving += rates[-1] >= FRAMES_A_SECOND
        told += rates[-1] >= FRAMES_A_SECOND or paused
        start = end
    return rates, moving / len(rates), told / len(rates)


def lags(rows: list[Row], chunks: list[Row]) -> list[tuple[float, float]]:
    """When a block of a wave came to the watcher, and how far its newest sample was behind then, in seconds."""
    measured = {(stream, first): t0_us + 1e6 * n / rate for stream, _, _, t0_us, first, n, rate in chunks if n}
    return [
        (row[0], (row[2] - measured[row[3], row[4]]) / 1e6)
        for row in rows if row[1] == "wave" and (row[3], row[4]) in measured
    ]  # fmt: skip


def missing(chunks: list[Row]) -> int:
    """Chunks that are not there, and holes in the samples of those that are."""
    holes = 0
    by_stream: dict[int, list[Row]] = {}
    for row in chunks:
        by_stream.setdefault(row[0], []).append(row)
    for own in by_stream.values():
        holes += own[-1][2] + 1 - len(own)
        for before, after in pairwise(own):
            if after[4] is not None and after[2] == before[2] + 1:
                holes += before[4] + before[5] != after[4]
    return holes


class Call:
    """The consultation on the line, and its log so far."""

    def __init__(self, line: Line, wish: dict[str, str], folder: Path) -> None:
        for end in (line.near, line.far):
            with end.inside():
                Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("reno")
        self.line = line
        self.log = folder / "log"
        wish = {**wish, "host": line.far.address, "home": str(folder / "server"), "log": str(self.log)}
        with (folder / "far.log").open("w") as far_log:
            self.far = line.run(line.far, [sys.executable, "-m", "tests.net.poor_far"], cwd=ROOT, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=far_log)  # fmt: skip
        assert self.far.stdin is not None and self.far.stdout is not None
        self.far.stdin.write(json.dumps(wish) + "\n")
        self.far.stdin.flush()
        told = json.loads(self.far.stdout.readline())
        words = [sys.executable, "-m", "telemed", "station", "run", "--server", told["url"], "--key", told["key"],
                 "--home", str(folder / "station")]  # fmt: skip
        with (folder / "station.log").open("w") as station_log:
            self.station = line.run(line.near, words, cwd=ROOT, stderr=station_log)

    def rows(self) -> list[Row]:
        """What has come."""
        return [json.loads(text) for text in self.log.read_text().splitlines() if text.endswith("]")]

    def wait(self, kinds: tuple[str, ...], since: float, seconds: float) -> dict[str, float]:
        """When the first of each kind came after ``since``; what did not come within the time is not in it."""
        while True:
            came: dict[str, float] = {}
            for row in self.rows():
                if row[0] > since and row[1] in kinds:
                    came.setdefault(row[1], row[0])
            if len(came) == len(kinds) or time.monotonic() > since + seconds:
                return came
            time.sleep(0.2)

    def end(self) -> list[Row]:
        """The station is told to end over a good line; what the database holds then."""
        self.line.change(up_kbit=20_000, loss_up=0, loss_down=0)
        time.sleep(SETTLE_S)
        self.station.terminate()
        self.station.wait(END_S)
        assert self.far.stdin is not None and self.far.stdout is not None
        self.far.stdin.close()
        chunks: list[Row] = json.loads(self.far.stdout.readline())
        self.far.wait(END_S)
        return chunks


def senders(end: End) -> set[str]:
    """The congestion controls of the connections that end here."""
    words = command("ip", "netns", "exec", end.namespace, "ss", "-Htin", "state", "established").split()
    return {word for word in words if word in ("bbr", "cubic", "reno")}


@pytest.mark.skipif(SECONDS == 0, reason="make faults; or TELEMED_POOR_SECONDS=60")
def test_a_consultation_goes_on_over_a_poor_line_and_comes_back_after_a_cut(
    database_urls: Any, key_file: Path, tmp_path: Path
) -> None:
    wish = {"key_file": str(key_file), "server": database_urls.server, "owner": database_urls.owner}
    with Line(**POOR) as line:  # type: ignore[arg-type]
        call = Call(line, wish, tmp_path)
        begun = time.monotonic()
        came = call.wait(("wave", "audio", "frame"), begun, START_S)
        assert len(came) == 3, f"{came} of it came; {(tmp_path / 'station.log').read_text()[-2000:]}"
        time.sleep(SETTLE_S)
        begun = time.monotonic()
        time.sleep(SECONDS)
        ended = time.monotonic()
        chosen = senders(line.near)
        line.cut()
        time.sleep(CUT_S)
        line.mend()
        mended = time.monotonic()
        back = call.wait(("wave", "audio", "frame"), mended, AFTER_S)
        time.sleep(max(0.0, mended + AFTER_S - time.monotonic()))
        finished = time.monotonic()
        counters = line.counters()
        chunks = call.end()
        rows = call.rows()
    behind = lags(rows, chunks)
    before = [lag for when, lag in behind if begun <= when < ended]
    after = [(when, lag) for when, lag in behind if mended < when < finished]
    caught_up = next((when - mended for when, lag in after if lag <= LATE_S), math.inf)
    heard = voice([(row[0], row[2]) for row in rows if row[1] == "audio" and begun <= row[0] < ended])
    tones = [row[2] for row in rows if row[1] == "tone" and begun <= row[0] < ended]
    rates, moving, told = picture(rows, begun, ended)
    lost = missing(chunks)
    again = {kind: back.get(kind, math.inf) - mended for kind in ("audio", "frame")} | {"wave": caught_up}
    right = sum(abs(hz - TONE_HZ) <= TONE_WITHIN_HZ for hz in tones) / max(1, len(tones))
    print(f"\n{SECONDS:.0f} s at 512 kbit/s, 300 ms, 5 % loss; {counters.up.lost} packets lost on the way up")
    print(f"TCP of the station's end: {', '.join(sorted(chosen))}")
    print(f"chunks {len(chunks)}, missing {lost}")
    late = sum(lag > LATE_S for lag in before)
    print(f"waves behind, s: p50 {at(before, 0.5):.2f}, p95 {at(before, 0.95):.2f}, p99 {at(before, 0.99):.2f}, "
          f"longest {max(before):.2f}, over {LATE_S} {late} of {len(before)}")  # fmt: skip
    print(f"voice: {heard.packets} packets, lost {heard.lost:.2%}, too late {heard.late:.2%}, in long holes "
          f"{heard.in_holes:.2%}, longest {heard.longest_ms} ms; {right:.1%} of the sound is the tone")  # fmt: skip
    print(f"picture: p50 {at(rates, 0.5):.1f} a second, least {min(rates):.1f}; enough {moving:.1%} of the time, "
          f"enough or the words {told:.1%}")  # fmt: skip
    print("back after the cut, s: " + ", ".join(f"{kind} {seconds:.1f}" for kind, seconds in again.items()))
    assert lost == 0
    assert chosen == {"bbr"}
    assert at(before, 0.99) <= LATE_S
    assert heard.in_holes <= 1 - HEARD_SHARE
    assert told >= HEARD_SHARE
    assert max(again.values()) <= BACK_S
