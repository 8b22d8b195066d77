"""The relay against Janus: one publisher of 720p and voice, many viewers, over a veth pair between two namespaces.

The full matrix is at 50 viewers: our relay process and Debian's ``janus`` VideoRoom with two event loops, a paced and
an unpaced publisher, both SRTP profiles; order alternated, median of five with the worst beside it. Single runs: both
at 1, 10 and 150 viewers, and aiortc's ``MediaRelay``, which transcodes, at one. Needs root, ``janus`` and ``ip``.

- CPU is the server's process alone: utime and stime, with what the kernel does in its name. A packet's share of it is
  CPU over packets that reached viewers.
- Added latency is from the publisher's clock just before ``send`` to the kernel's time of receipt at the viewer, for
  every packet at every viewer; both namespaces have this machine's one clock.
- Delivered is counted packet by packet, by sequence number: of all that was published in the measured seconds, with
  everybody joined, what each viewer got. There are no edges: a packet has two and a half seconds after the publisher's
  end to arrive. Nobody asks for lost ones again.
- Every viewer sends a receiver report a second and ICE checks as a browser does. What a viewer's own socket had no
  room for is told apart: it is not the server's loss.

Where it could be argued, it is arranged in Janus's favour: two event loops and ICE-lite, no plug-ins, events, logs or
header extensions but what the call needs; it answers from one socket a viewer, as is its way; UDP GSO sends, which it
does not use and we do, are cut by the sender's device where ``ethtool`` is there, not handed over whole as a veth pair
would. Both work for audio and video of one subscription in one peer connection.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from _media_net import Net, missing, net, without_segmentation
from _media_run import SERVERS, Cell, Measured, run
from _media_stream import material
from _report import RESULTS, Row, report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

OURS, JANUS, TRANSCODER = SERVERS
PEERS = {JANUS: "janus event_loops=2", TRANSCODER: TRANSCODER}
PROFILES = {"cm": "AES128_CM_SHA1_80", "gcm": "AEAD_AES_128_GCM"}
VIEWERS, REPEATS, SECONDS = 50, 5, 12.0  # seconds: six keyframes, and the whole matrix in 20 minutes
FEW, MANY = (1, 10), 150
ATTEMPTS = 2  # of one run; a handshake may fail on a machine that does something else too

CPU_GOAL, P99_GOAL, TRANSCODER_GOAL = "≤ 0.75", "≤ 1.5", "≤ 0.33"
DELIVERED_GOAL, MANY_GOAL = "≥ 99.9", "≥ 99.5"


@dataclass
class Plan:
    """What runs, in order, and what came of it."""

    steps: list[tuple[str, Cell]] = field(default_factory=list)
    found: dict[tuple[str, Cell], list[Measured]] = field(default_factory=dict)

    def pair(self, cell: Cell, *, turned: bool) -> None:
        """Both servers, one after the other."""
        names = (JANUS, OURS) if turned else (OURS, JANUS)
        self.steps += [(name, cell) for name in names]

    def of(self, name: str, cell: Cell) -> list[Measured]:
        """The runs of this one."""
        return self.found.get((name, cell), [])


def matrix(viewers: int) -> list[Cell]:
    """The cells of the full matrix."""
    return [Cell(viewers, paced, profile) for profile in PROFILES for paced in (True, False)]


def planned(viewers: int, repeats: int, *, quick: bool) -> Plan:
    """All runs, the order within a pair turned each time."""
    plan = Plan()
    if quick:
        plan.pair(Cell(viewers, paced=True, profile="cm"), turned=False)
        return plan
    for repeat in range(repeats):
        for place, cell in enumerate(matrix(viewers)):
            plan.pair(cell, turned=(repeat + place) % 2 == 1)
    plan.steps.append((TRANSCODER, Cell(1, paced=True, profile="cm")))
    for place, count in enumerate((*FEW, MANY)):
        plan.pair(Cell(count, paced=True, profile="cm"), turned=place % 2 == 1)
    return plan


def label(cell: Cell) -> str:
    """A cell in words."""
    people = "1 viewer" if cell.viewers == 1 else f"{cell.viewers} viewers"
    return f"{people}, {'paced' if cell.paced else 'unpaced'}, {PROFILES[cell.profile]}"


async def perform(plan: Plan, made: Net, seconds: float, progress: Progress) -> bool:
    """Run the plan; False when a run could not be made."""
    whole = True
    task = progress.add_task("", total=len(plan.steps))
    for name, cell in plan.steps:
        progress.update(task, description=f"{name}, {label(cell)}")
        for attempt in range(ATTEMPTS):
            try:
                measured = await run(name, cell, made, seconds)
            except Exception as error:  # whatever one run died of, the others count
                notes = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
                progress.console.print(f"{name}, {label(cell)}: {notes}", markup=False, highlight=False)
                whole = whole and attempt + 1 < ATTEMPTS
            else:
                plan.found.setdefault((name, cell), []).append(measured)
                progress.console.print(line(name, cell, measured), markup=False, highlight=False)
                break
        progress.advance(task)
    return whole


def line(name: str, cell: Cell, run_: Measured) -> str:
    """One run in a line."""
    parts = [
        f"{name}, {label(cell)}: CPU {run_.cpu_percent:.1f} %, {run_.packet_us:.1f} us a packet",
        f"p50 {run_.p50_ms:.2f} p99 {run_.p99_ms:.1f} ms",
        f"delivered {run_.delivered_percent:.3f} % (worst viewer {run_.worst_viewer_percent:.3f} %)",
        f"{run_.memory_mib:.0f} MiB, {run_.packets_s:.0f} packets/s, {run_.pictures_s:.1f} pictures/s",
        f"viewers' sockets dropped {run_.kernel_drops}", f"publisher late p99 {run_.publisher_late_ms:.1f} ms",
        f"viewers' CPU {run_.viewers_cpu_percent:.0f} %", *([run_.errors] if run_.errors else []),
    ]
    return "; ".join(parts)


def rows(plan: Plan, viewers: int) -> list[Row]:
    """The figures as rows."""
    made: list[Row] = []
    for cell in dict.fromkeys(cell for _, cell in plan.steps):
        made += _compared(plan, cell, JANUS)
    one = plan.of(TRANSCODER, Cell(1, paced=True, profile="cm"))
    crowd = plan.of(OURS, Cell(viewers, paced=True, profile="cm"))
    if one:
        made += _compared(plan, Cell(1, paced=True, profile="cm"), TRANSCODER)
    if one and crowd:
        made.append(Row(
            f"CPU of {viewers} viewers, against one transcoded viewer", median(run_.cpu_percent for run_ in crowd),
            "% of a core", TRANSCODER, one[0].cpu_percent, TRANSCODER_GOAL,
        ))
    return made


def _compared(plan: Plan, cell: Cell, peer: str) -> list[Row]:
    ours, theirs = plan.of(OURS, cell), plan.of(peer, cell)
    if not ours or not theirs:
        return []
    crowd = cell.viewers >= VIEWERS
    delivered = MANY_GOAL if cell.viewers >= MANY else DELIVERED_GOAL if crowd else None
    repeated = len(ours) > 1 or len(theirs) > 1

    def both(
        metric: str, unit: str, take: Callable[[Measured], float], goal: str | None = None,
        worst: Callable[[list[float]], float] = max,
    ) -> list[Row]:
        values, others = [take(run_) for run_ in ours], [take(run_) for run_ in theirs]
        name, known = f"{label(cell)}: {metric}", PEERS[peer]
        found = [Row(name, median(values), unit, known, median(others), goal)]
        return [*found, Row(f"{name}, worst", worst(values), unit, known, worst(others))] if repeated else found

    costs = [
        *both("CPU", "% of a core", lambda run_: run_.cpu_percent, CPU_GOAL if crowd else None),
        *both("CPU a packet", "us", lambda run_: run_.packet_us),
    ]
    memory = both("memory", "MiB", lambda run_: run_.memory_mib)
    if peer == TRANSCODER:  # what it sends is another stream: neither lateness nor loss can be told
        return [*costs, *memory]
    return [
        *costs,
        *both("latency p50", "ms", lambda run_: run_.p50_ms),
        *both("latency p99", "ms", lambda run_: run_.p99_ms, P99_GOAL if crowd else None),
        *both("delivered", "%", lambda run_: run_.delivered_percent, delivered, min),
        *both("delivered to the worst viewer", "%", lambda run_: run_.worst_viewer_percent, None, min),
        *memory,
        Row(f"{label(cell)}: dropped at viewers' sockets, all runs", sum(run_.kernel_drops for run_ in ours),
            "packets", PEERS[peer], sum(run_.kernel_drops for run_ in theirs)),
        Row(f"{label(cell)}: publisher late p99, worst", max(run_.publisher_late_ms for run_ in ours), "ms",
            PEERS[peer], max(run_.publisher_late_ms for run_ in theirs)),
    ]


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="The media relay against Janus.")
    parser.add_argument("--quick", action="store_true", help="one run of one cell")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="runs of each cell of the matrix")
    parser.add_argument("--viewers", type=int, default=VIEWERS, help="viewers of the matrix")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="measured in each run")
    return parser.parse_args()


def main() -> None:
    """Plan, run, show."""
    asked = arguments()
    if (lack := missing()) is not None:
        sys.exit(f"The media benchmark {lack}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the namespaces are removed
    console = Console(width=200)
    console.print("The picture and the voice are encoded, once on this machine …")
    material()
    plan = planned(asked.viewers, asked.repeats, quick=asked.quick)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with net() as made, Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        cut = "cut at the sender's device" if without_segmentation(made) else "handed over whole (no ethtool)"
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        console.print(f"GSO sends are {cut}; all processes at niceness {niceness}; load {os.getloadavg()[0]:.1f}")
        whole = asyncio.run(perform(plan, made, asked.seconds, progress))
    trial = asked.quick or (asked.repeats, asked.viewers, asked.seconds) != (REPEATS, VIEWERS, SECONDS)
    if trial:
        (RESULTS / "tmp").mkdir(parents=True, exist_ok=True)
    report("tmp/media" if trial else "media", rows(plan, asked.viewers))
    if not whole:
        sys.exit("Some runs could not be made, for the reasons above.")


if __name__ == "__main__":
    main()
