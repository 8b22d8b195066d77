"""Durable ingest under load: how many stations, how soon acknowledged, how soon seen, at what cost.

`telemed serve` as it is, with its own PostgreSQL and compactor; the stations and the watchers are processes of their
own on the same cores, and their use of them is told apart. Every frame is 12 leads at 500 Hz for 200 ms.

`python benchmarks/ingest.py PART ...` runs some parts alone and writes nothing.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _ingest_peers import measured
from _ingest_server import PARTS, Child, Server, running
from _report import Row, report, show

STATIONS = int(os.environ.get("TELEMED_STATIONS", "1500"))
SECONDS = float(os.environ.get("TELEMED_SECONDS", "10"))
WARM_SECONDS = 4.0
SETTLE_SECONDS = 20.0  # until twelve hundred clocks have been asked and their first fixes are stored
STEPS = (300, 600, 800, 1000, 1250, 1500)  # stations; the knee is the last that holds the bound
BOUND = 0.1  # seconds of the acknowledgement's p99
WATCHED, SOME_WATCHED = 600, 300
AGAIN_STATIONS, AGAIN_CHUNKS = 300, 60
FAN_STATIONS, FAN_EACH = 20, 50
IDLE, FIRST = 1000, 100
HELD = 50  # watchers of one station, one of them not reading
PEERS = "peers"
PORT = int(os.environ.get("TELEMED_BENCH_PORT", "18090"))


@dataclass
class Bench:
    """The server and the programs that load it."""

    server: Server
    stations: Child
    pages: Child

    def measured(
        self, stations: int, pages: bool = False, seconds: float = SECONDS, warm: float = WARM_SECONDS
    ) -> dict[str, Any]:
        """The figures of so many stations, the processor time of every part and the machine's load beside them."""
        self.stations.tell("measure", stations=stations, warm=warm, seconds=seconds)
        time.sleep(warm)
        before, began = self.server.cpu(), time.monotonic()
        seen: dict[str, Any] = {}
        if pages:
            seen = self.pages.ask("measure", seconds=seconds - 0.5)
        else:
            time.sleep(seconds - 0.5)
        after, took = self.server.cpu(), time.monotonic() - began
        figures = self.stations.answer()
        for part in PARTS:
            figures[part] = (after[part] - before[part]) / took
        figures["load"] = os.getloadavg()[0]
        return {**figures, "seen": seen}


def rows_of(label: str, found: dict[str, Any], goal: str | None = None) -> list[Row]:
    """The rows of one step."""
    rows = [
        Row(f"{label}: acknowledged p50", found["p50"] * 1e3, "ms"),
        Row(f"{label}: acknowledged p99", found["p99"] * 1e3, "ms", goal=goal),
        Row(f"{label}: acknowledged", found["rate"], "1/s", "waiting at the end", float(found["waiting"])),
        Row(f"{label}: server CPU", found["server"] * 100, "% of a core", "load generator", found["cpu"] * 100),
        Row(f"{label}: PostgreSQL CPU", found["database"] * 100, "% of a core", "compactor", found["compactor"] * 100),
        Row(f"{label}: the generator sent late p99", found["late_p99"] * 1e3, "ms", "load average", found["load"]),
    ]
    if seen := found["seen"]:
        rows += [
            Row(f"{label}: sample to watcher p50", seen["p50"] * 1e3, "ms"),
            Row(f"{label}: sample to watcher p99", seen["p99"] * 1e3, "ms", goal="<= 50"),
            Row(f"{label}: frames at the watchers", seen["rate"], "1/s", "marked gaps", float(seen["gaps"])),
            Row(f"{label}: watchers' CPU", seen["cpu"] * 100, "% of a core", "watchers without a frame",
                float(seen["quiet"])),
        ]
    return rows


def knee(bench: Bench) -> list[Row]:
    """More and more stations until the acknowledgement is late."""
    rows: list[Row] = []
    held = 0
    for stations in (one for one in STEPS if one <= STATIONS):
        bench.stations.ask("connect", stations=stations)
        found = bench.measured(stations)
        rows += rows_of(f"{stations} stations", found, "<= 100" if stations == 1000 else None)
        show_line(stations, found)
        if not found["p99"] <= BOUND:
            break
        held = stations
    return [*rows, Row("stations that hold p99 <= 100 ms", float(held), "stations", goal=">= 1,000")]


def watched(bench: Bench) -> list[Row]:
    """A watcher each, in the monitor band, with compaction and encryption on: numbers of ours are computed for all."""
    rows = []
    for stations in (SOME_WATCHED, WATCHED):
        bench.stations.ask("connect", stations=stations)
        bench.pages.ask("open", consultations=[one[2] for one in bench.server.stations[:stations]], view="monitor")
        before = bench.server.turns()
        # Hundreds of pages that open in one second, each with the numbers of its last 16 s, are told apart.
        opening = bench.measured(stations, pages=True, warm=SETTLE_SECONDS)
        show_line(stations, opening)
        found = bench.measured(stations, pages=True)
        turns = {bound: count - before[bound] for bound, count in bench.server.turns().items()}
        show_line(stations, found)
        bench.pages.ask("close")
        label = f"{stations} stations, a watcher each"
        longest = min(bound for bound, count in turns.items() if count == turns[math.inf])
        rows += [
            Row(f"{label}, after all opened at once: sample to watcher p99", opening["seen"]["p99"] * 1e3, "ms",
                "acknowledged p99", opening["p99"] * 1e3),
            *rows_of(label, found, "<= 100"),
            Row(f"{label}: turns of signal work above 20 ms", turns[math.inf] - turns[0.02], "turns",
                "in all", turns[math.inf], "0"),
            Row(f"{label}: no turn of signal work above", longest * 1e3, "ms"),
        ]
    return rows


def again(bench: Bench) -> list[Row]:
    """What is stored already comes once more, as after an outage."""
    bench.stations.ask("connect", stations=AGAIN_STATIONS)
    bench.measured(AGAIN_STATIONS, seconds=AGAIN_CHUNKS / 5 - WARM_SECONDS + 2)
    server, chunks = bench.server, AGAIN_STATIONS * AGAIN_CHUNKS
    stored, doubled = (server.counted(f"telemed_chunks_{what}_total") for what in ("committed", "duplicate"))
    before, began = server.cpu(), time.monotonic()
    bench.stations.tell("again", stations=AGAIN_STATIONS, chunks=AGAIN_CHUNKS)
    while server.counted("telemed_chunks_duplicate_total") < doubled + chunks and time.monotonic() < began + 60:
        time.sleep(0.1)  # to ask costs the server some milliseconds
    took, after = time.monotonic() - began, server.cpu()
    refused = bench.stations.answer()["refused"]
    return [
        Row("re-sent chunks", chunks / took, "1/s", goal=">= 20,000"),
        Row("rows that re-sent chunks added", server.counted("telemed_chunks_committed_total") - stored, "rows",
            goal="0"),
        Row("re-sent chunks refused", float(refused), "chunks", goal="0"),
        Row("re-sent chunks: server CPU", (after["server"] - before["server"]) / took * 100, "% of a core",
            "PostgreSQL", (after["database"] - before["database"]) / took * 100),
    ]


def fan_out(bench: Bench) -> list[Row]:
    """Many watchers of few stations: what one more frame to one more watcher costs the server."""
    bench.stations.ask("connect", stations=FAN_STATIONS)
    alone = bench.measured(FAN_STATIONS)
    bench.pages.ask(
        "open", consultations=[one[2] for one in bench.server.stations[:FAN_STATIONS]], each=FAN_EACH, view="raw"
    )
    time.sleep(SETTLE_SECONDS)  # a thousand pages have come: what that cost is not what they cost
    idle_before, began = bench.server.cpu(), time.monotonic()
    time.sleep(SECONDS)
    idle = (bench.server.cpu()["server"] - idle_before["server"]) / (time.monotonic() - began)
    found = bench.measured(FAN_STATIONS, pages=True)
    bench.pages.ask("close")
    show_line(FAN_STATIONS, found)
    cost = found["server"] - alone["server"] - idle
    return [
        Row("frames to watchers", found["seen"]["rate"] / cost, "a core-second", goal=">= 80,000"),
        Row("frames to watchers: p99", found["seen"]["p99"] * 1e3, "ms", "frames a second", found["seen"]["rate"]),
        Row(f"{FAN_STATIONS * FAN_EACH} open pages without a frame: server CPU", idle * 100, "% of a core"),
    ]


def held_up(bench: Bench) -> list[Row]:
    """Fifty watchers, and then one of them no longer reads."""
    bench.stations.ask("connect", stations=1)
    bench.pages.ask("open", consultations=[bench.server.stations[0][2]] * HELD, view="monitor")
    all_read = bench.measured(1, pages=True)
    before = bench.server.rss()
    bench.pages.ask("stall", count=1)
    one_stalls = bench.measured(1, pages=True)
    grown = bench.server.rss() - before
    bench.pages.ask("close")
    return [
        Row(f"{HELD} watchers, one not reading: the others' p99", one_stalls["seen"]["p99"] * 1e3, "ms",
            "all reading", all_read["seen"]["p99"] * 1e3, "within 10 %"),
        Row(f"{HELD} watchers, one not reading: memory", grown / 2**20, "MiB", goal="<= 2"),
    ]


def idle(bench: Bench) -> list[Row]:
    """Stations that are connected and send nothing."""
    bench.stations.ask("idle", stations=FIRST)  # what the first ones make for all: connections to the database
    time.sleep(2.0)
    before = bench.server.rss()
    bench.stations.ask("idle", stations=IDLE - FIRST)
    time.sleep(2.0)
    grown = (bench.server.rss() - before) / (IDLE - FIRST)
    spent, began = bench.server.cpu()["server"], time.monotonic()
    time.sleep(5.0)
    cpu = (bench.server.cpu()["server"] - spent) / (time.monotonic() - began)
    return [
        Row("an idle socket of a station", grown / 1024, "KiB", goal="<= 25"),
        Row(f"{IDLE} idle sockets: server CPU", cpu * 100, "% of a core"),
    ]


def show_line(stations: int, found: dict[str, Any]) -> None:
    """One line at once: a step takes a quarter of a minute."""
    seen = found["seen"]
    page = f", seen p99 {seen['p99'] * 1e3:.1f} ms at {seen['rate']:.0f}/s" if seen else ""
    print(
        f"{stations} stations: p50 {found['p50'] * 1e3:.1f} p99 {found['p99'] * 1e3:.1f} ms, {found['rate']:.0f}/s; "
        f"server {found['server']:.2f} database {found['database']:.2f} compactor {found['compactor']:.2f} generator "
        f"{found['cpu']:.2f} of a core, late p99 {found['late_p99'] * 1e3:.1f} ms{page}; load {found['load']:.1f}",
        flush=True,
    )


SECTIONS: dict[str, Callable[[Bench], list[Row]]] = {
    "knee": knee, "watched": watched, "again": again, "fan_out": fan_out, "held_up": held_up, "idle": idle,
}


def section(name: str, home: Path) -> list[Row]:
    """Run one part against a server of its own start."""
    stations = {"knee": STATIONS, "watched": WATCHED, "again": AGAIN_STATIONS, "idle": IDLE}.get(name, FAN_STATIONS)
    with running(home, PORT, stations, min(stations, WATCHED)) as server:
        bench = Bench(
            server, Child("_ingest_generator.py", str(PORT), str(home / "benchmark.json")),
            Child("_ingest_watchers.py", str(PORT), server.cookie),
        )
        try:
            return SECTIONS[name](bench)
        finally:
            bench.stations.end()
            bench.pages.end()


def main() -> None:
    """Run the parts that are named, or all."""
    names = sys.argv[1:] or [*SECTIONS, PEERS]
    with tempfile.TemporaryDirectory(prefix="telemed-bench-") as folder:
        home = Path(os.environ.get("TELEMED_BENCH_HOME", f"{folder}/home"))
        rows = [row for name in names for row in (measured() if name == PEERS else section(name, home))]
    if sys.argv[1:]:
        show("ingest", rows)
    else:
        report("ingest", rows)


if __name__ == "__main__":
    main()
