"""A group room of 25 people on this machine: each publishes once and watches six slots, three of them with sound.

Everybody sends Opus (50 packets a second, each with its loudness as RFC 6464 has it) and a picture of 180 lines (VP8,
15 frames a second, 150 kbit/s; a key frame every ten seconds and, within a frame, when it is asked for). By a script
one to four speak at a time. The relay is the process that the server starts, told by the server's own media plane; what
it relays to are 175 real ICE, DTLS and SRTP legs in two processes of raw sockets, over loopback.

- CPU is each process's own: utime and stime. That of the peers is beside it: where they are short of it, a loss may be
  theirs.
- Loss is told by sequence numbers: a slot is one stream whoever speaks in it. Nothing is sent again; a packet that a
  publisher's datagram lost on its way to the relay counts as lost too.
- From a speaker's first loud packet to its first packet in a voice slot: of every watcher that does not hear it
  already, of turns that begin while at most two others speak.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from _group_figures import Figures, read
from _group_script import PEOPLE
from _media_lines import Child
from _media_net import backlog_drops, udp_errors
from _media_peer import PROFILES
from _report import RESULTS, Row, percentile, report
from rich.console import Console

from telemed.consultation.rooms import Rooms
from telemed.media.backend import MediaStats, Publisher
from telemed.media.client import RelayClient
from telemed.media.plane import MediaPlane
from telemed.media.relay.speakers import PICTURES

ROOM = "group"
SECONDS, QUICK_SECONDS = 300.0, 30.0
SECONDS_MOST = 450.0  # the record of what arrived is no longer
WINDOW_SECONDS = 5.0
JOINING = 4  # handshakes at once
SETTLE_SECONDS = 3.0  # after the last has joined
QUIET_SECONDS = 1.0  # for what is on its way

AUDIO_GOAL, CPU_GOAL, PLI_GOAL = "< 0.5", "< 1.5", "≤ 1"


@dataclass
class Load:
    """What the processes took: the relay's CPU by windows, in cores, and its memory in MiB; CPU of the others."""

    relay: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    others: dict[str, float] = field(default_factory=dict)
    machine_percent: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass
class Run:
    """A whole run."""

    seconds: float
    load: Load
    sent: dict[str, Any]
    figures: Figures
    counted: MediaStats
    dropped: int
    lost_legs: int


async def publish(media: MediaPlane, child: Child, person: int, turn: asyncio.Semaphore) -> None:
    """One person's camera and microphone."""
    async with turn:
        offer = (await child.ask("offer", person=person))["sdp"]
        made = await media.publish(ROOM, Publisher(name(person), "clinician"), offer, owner=name(person))
        await child.ask("accept", person=person, sdp=made.answer_sdp)
        await child.ask("connect", person=person)


async def watch(media: MediaPlane, child: Child, person: int, slot: int, turn: asyncio.Semaphore) -> None:
    """One slot of one person."""
    viewer = person * PICTURES + slot
    async with turn:
        offer = (await child.ask("offer", viewer=viewer))["sdp"]
        made = await media.play_slot(ROOM, slot, offer, participant=name(person), owner=name(person))
        await child.ask("accept", viewer=viewer, sdp=made.answer_sdp)
        await child.ask("connect", viewer=viewer)


def name(person: int) -> str:
    """A participant."""
    return f"person:{person}"


async def measure(seconds: float, profile: str, console: Console) -> Run:
    """The room from nothing."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="telemed-group-")))
        relay = RelayClient(("127.0.0.1",), local_only=True)
        media = MediaPlane(relay, Rooms())
        stack.push_async_callback(media.close)
        publishers = await stack.enter_async_context(_child(folder, "_group_publishers.py", profile))
        watchers = await stack.enter_async_context(_child(folder, "_group_watchers.py", profile))
        turn = asyncio.Semaphore(JOINING)
        console.print(f"{PEOPLE} people publish and open {PEOPLE * PICTURES} slots …")
        began = time.monotonic()
        await asyncio.gather(*(publish(media, publishers, person, turn) for person in range(PEOPLE)))
        await asyncio.gather(
            *(watch(media, watchers, person, slot, turn) for person in range(PEOPLE) for slot in range(PICTURES))
        )
        console.print(f"connected in {time.monotonic() - began:.0f} s; {seconds:.0f} s are measured …")
        await asyncio.sleep(SETTLE_SECONDS)
        await watchers.ask("mark")
        await publishers.ask("talk", seconds=seconds)
        assert relay.pid is not None
        processes = {"publishers": publishers.pid, "watchers": watchers.pid, "server's media plane": os.getpid()}
        before, begin_ns = media.stats(), time.time_ns()
        load = await _load(psutil.Process(relay.pid), processes, seconds)
        after, end_ns = media.stats(), time.time_ns()
        lost = (PEOPLE - after.publications) + (PEOPLE * PICTURES - after.viewers)
        published, received = folder / "published.npz", folder / "received.npz"
        sent = await publishers.ask("finish", path=str(published))
        await asyncio.sleep(QUIET_SECONDS)
        dropped = (await watchers.ask("finish", path=str(received)))["dropped"]
        figures = await asyncio.to_thread(read, published, received, profile, begin_ns, end_ns)
        counted = {key: value - before.as_mapping()[key] for key, value in after.as_mapping().items()}
        return Run((end_ns - begin_ns) / 1e9, load, sent, figures, MediaStats(**counted), dropped, lost)


async def _load(relay: psutil.Process, processes: dict[str, int], seconds: float) -> Load:
    """Watch the processes for so long."""
    load, others = Load(), {key: psutil.Process(pid) for key, pid in processes.items()}
    before = {key: _cpu_s(process) for key, process in others.items()}
    errors = udp_errors(relay.pid) | {"backlog drops": backlog_drops()}
    psutil.cpu_percent()
    began = at = time.monotonic()
    spent = _cpu_s(relay)
    while at < began + seconds:
        await asyncio.sleep(min(WINDOW_SECONDS, began + seconds - at))
        now, used = time.monotonic(), _cpu_s(relay)
        load.relay.append((used - spent) / (now - at))
        load.memory_mib.append(relay.memory_info().rss / 2**20)
        at, spent = now, used
    load.others = {key: (_cpu_s(process) - before[key]) / (at - began) for key, process in others.items()}
    load.machine_percent = psutil.cpu_percent()
    rose = udp_errors(relay.pid) | {"backlog drops": backlog_drops()}
    load.errors = {key: value - errors[key] for key, value in rose.items()}
    return load


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def rows(run: Run) -> list[Row]:
    """The figures as rows."""
    figures, load, label = run.figures, run.load, f"{PEOPLE} people, {run.seconds:.0f} s"
    asked = run.sent["asked_s"]
    busiest = max(len(one) for one in asked) / run.seconds
    together = max(_together(one) for one in asked)
    turns = [
        Row(f"{label}: first loud packet to a voice slot, p50", percentile(figures.voice_ms, 0.5), "ms"),
        Row(f"{label}: first loud packet to a voice slot, p95", percentile(figures.voice_ms, 0.95), "ms"),
        Row(f"{label}: first loud packet to the whole picture there, p50", percentile(figures.picture_ms, 0.5), "ms"),
        Row(f"{label}: first loud packet to the whole picture there, p95", percentile(figures.picture_ms, 0.95), "ms"),
    ] if figures.voice_ms and figures.picture_ms else []
    return [
        Row(f"{label}: relay CPU", sum(load.relay) / len(load.relay), "cores", None, None, CPU_GOAL),
        Row(f"{label}: relay CPU, the most in {WINDOW_SECONDS:.0f} s", max(load.relay), "cores", None, None, CPU_GOAL),
        Row(f"{label}: relay CPU a packet in or out", sum(load.relay) / len(load.relay) * run.seconds * 1e6
            / (run.counted.packets_in + run.counted.packets_out), "us"),
        Row(f"{label}: relay memory at the end", load.memory_mib[-1], "MiB", "after 5 s", load.memory_mib[0]),
        Row(f"{label}: sound lost", figures.sound_missing / (figures.sound_packets + figures.sound_missing) * 100, "%",
            None, None, AUDIO_GOAL),
        Row(f"{label}: sound lost, the worst slot", max(figures.sound_lost) * 100, "%", None, None, AUDIO_GOAL),
        Row(f"{label}: packets of sound in a voice slot", sum(figures.sound_a_second) / len(figures.sound_a_second),
            "1/s", "sent", 50.0),
        Row(f"{label}: packets of sound, the worst slot", min(figures.sound_a_second), "1/s", "sent", 50.0),
        Row(f"{label}: longest without a packet of sound, the worst slot", max(figures.sound_holes_ms), "ms"),
        Row(f"{label}: picture lost", sum(figures.video_lost) / len(figures.video_lost) * 100, "%"),
        Row(f"{label}: picture lost, the worst slot", max(figures.video_lost) * 100, "%"),
        Row(f"{label}: changes of speaker in a voice slot, all watchers", figures.changes, "changes"),
        *turns,
        Row(f"{label}: turns that a watcher never heard", figures.unheard, "turns", "all",
            figures.turns * (PEOPLE - 1)),
        Row(f"{label}: packets in", run.counted.packets_in / run.seconds, "1/s", "sent",
            (run.sent["sound"] + run.sent["video"]) / run.seconds),
        Row(f"{label}: packets out", run.counted.packets_out / run.seconds, "1/s"),
        Row(f"{label}: packets not sent on", run.counted.packets_unsent, "packets"),
        Row(f"{label}: key frames asked for, the busiest publisher", busiest, "1/s", None, None, PLI_GOAL),
        Row(f"{label}: key frames asked for in any second, the busiest publisher", together, "requests"),
        Row(f"{label}: key frames asked for, all publishers", run.counted.keyframes_asked / run.seconds, "1/s",
            "sent", run.sent["wholes"] / run.seconds),
        Row(f"{label}: packets asked for again", run.sent["nacks"], "packets"),
        Row(f"{label}: legs lost", run.lost_legs, "legs"),
        Row(f"{label}: dropped at watchers' sockets", run.dropped, "packets"),
        Row(f"{label}: dropped in the kernel elsewhere", sum(load.errors.values()), "packets"),
        Row(f"{label}: publishers late, p99", run.sent["late_p99_ms"], "ms"),
        *(Row(f"{label}: CPU of the {key}", value, "cores") for key, value in load.others.items()),
        Row(f"{label}: the whole machine busy", load.machine_percent, "% of all cores"),
    ]


def _together(times_s: list[float]) -> int:
    """How many at most within a second."""
    return max((sum(at <= other < at + 1.0 for other in times_s) for at in times_s), default=0)


def _child(folder: Path, program: str, *words: str) -> contextlib.AbstractAsyncContextManager[Child]:
    path = str(Path(__file__).with_name(program))
    return Child.running([sys.executable, path, *words], folder / f"{program}.log")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="A group room of 25 people through the relay.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:.0f} seconds")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="measured")
    parser.add_argument("--profile", choices=PROFILES, default="cm", help="of SRTP; the default is the dearer one")
    return parser.parse_args()


def main() -> None:
    """Run, show."""
    asked, console = arguments(), Console(width=200)
    seconds = QUICK_SECONDS if asked.quick else min(asked.seconds, SECONDS_MOST)
    trial = (seconds, asked.profile) != (SECONDS, "cm")
    if trial:
        (RESULTS / "tmp").mkdir(parents=True, exist_ok=True)
    console.print(f"load {os.getloadavg()[0]:.1f}")
    run = asyncio.run(measure(seconds, asked.profile, console))
    report("tmp/group" if trial else "group", rows(run))


if __name__ == "__main__":
    main()
