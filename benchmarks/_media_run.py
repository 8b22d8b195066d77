"""One run of the media benchmark: a server, a publisher and viewers from nothing, and what it cost."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _media_figures import SAMPLED_VIEWERS, packets_between, read
from _media_lines import Child
from _media_net import Net, backlog_drops, inside, udp_errors
from _media_servers import Driver, Janus, Server

SETTLE_SECONDS = 1.0  # after the last viewer has joined
QUIET_SECONDS = 2.5  # after the publisher has ended, for what is on its way
JOINING = 6  # viewers at once
SERVERS = ("telemed", "janus", "aiortc MediaRelay")
DRIVERS = {"telemed": "_media_relay.py", "aiortc MediaRelay": "_media_transcoder.py"}


@dataclass(frozen=True)
class Cell:
    """What is measured."""

    viewers: int
    paced: bool
    profile: str


@dataclass(frozen=True)
class Measured:
    """One run. ``cpu_percent`` is of one core and the server's process alone; ``way_ms`` are added latencies;
    ``kernel_drops`` are datagrams that no viewer's socket had room for, which no server is to blame for;
    ``errors`` are other counters of loss that were not zero, in words."""

    cpu_percent: float
    packet_us: float
    p50_ms: float
    p99_ms: float
    delivered_percent: float
    worst_viewer_percent: float
    memory_mib: float
    packets_s: float
    pictures_s: float
    kernel_drops: int
    publisher_late_ms: float
    viewers_cpu_percent: float
    errors: str


class Viewer:
    """One viewer in the process of viewers, as a server's way of negotiating sees it."""

    def __init__(self, child: Child, number: int) -> None:
        self._child = child
        self._number = number

    async def offer(self) -> str:
        """It begins."""
        return str((await self._ask("offer"))["sdp"])

    async def accept(self, answer: str) -> None:
        """The server has answered."""
        await self._ask("accept", sdp=answer)

    async def answer(self, offer: str) -> str:
        """The server has begun."""
        return str((await self._ask("answer", sdp=offer))["sdp"])

    async def connect(self) -> None:
        """Wait for ICE and DTLS."""
        await self._ask("connect")

    async def _ask(self, op: str, **fields: Any) -> dict[str, Any]:
        return await self._child.ask(op, viewer=self._number, **fields)


async def run(name: str, cell: Cell, net: Net, seconds: float) -> Measured:
    """Measure ``name`` for ``seconds``. Raises ``RuntimeError`` when something does not start or connect."""
    with tempfile.TemporaryDirectory(prefix="telemed-media-") as text:
        folder = Path(text)
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(_server(name, net, folder))
            pace = "paced" if cell.paced else "unpaced"
            publisher = await stack.enter_async_context(_child(net, folder, "_media_publisher.py", cell.profile, pace))
            offer = (await publisher.ask("offer"))["sdp"]
            await publisher.ask("accept", sdp=await server.publish(offer))
            await publisher.ask("connect")
            viewers = await stack.enter_async_context(_child(net, folder, "_media_viewers.py", cell.profile))
            turn = asyncio.Semaphore(JOINING)
            await asyncio.gather(*(_join(server, Viewer(viewers, number), turn) for number in range(cell.viewers)))
            await viewers.ask("mark")
            await asyncio.sleep(SETTLE_SECONDS)
            return await _measure(server, publisher, viewers, cell, seconds, folder, transcoded=name == SERVERS[2])


async def _measure(
    server: Server, publisher: Child, viewers: Child, cell: Cell, seconds: float, folder: Path, *, transcoded: bool
) -> Measured:
    process, watching = psutil.Process(server.pid), psutil.Process(viewers.pid)
    errors = _errors(server.pid, viewers.pid)
    cpu_s, viewers_s, begin_ns = _cpu(process), _cpu(watching), time.time_ns()
    await asyncio.sleep(seconds)
    cpu_s, viewers_s, end_ns = _cpu(process) - cpu_s, _cpu(watching) - viewers_s, time.time_ns()
    memory = process.memory_info().rss
    published, received = folder / "published.npz", folder / "received.npz"
    late = (await publisher.ask("finish", path=str(published)))["late_p99_ms"]
    await asyncio.sleep(QUIET_SECONDS)
    drops = (await viewers.ask("finish", path=str(received)))["dropped"]
    rose = {key: value - errors[key] for key, value in _errors(server.pid, viewers.pid).items() if value > errors[key]}
    arrived, pictures_s = packets_between(received, begin_ns, end_ns)
    shares, ways, counted = np.array([np.nan]), np.array([np.nan]), arrived
    if not transcoded:  # else it is another stream than the publisher's
        figures = await asyncio.to_thread(read, published, received, cell.profile, begin_ns, end_ns)
        shares, ways, counted = figures.shares, figures.ways_ms, figures.sent_packets
        assert len(shares) >= min(SAMPLED_VIEWERS, cell.viewers)
    wall_s = (end_ns - begin_ns) / 1e9
    p50, p99 = np.percentile(ways, (50, 99))
    return Measured(
        cpu_percent=cpu_s / wall_s * 100, packet_us=cpu_s / max(1, counted) * 1e6, p50_ms=float(p50),
        p99_ms=float(p99), delivered_percent=float(shares.mean()) * 100,
        worst_viewer_percent=float(shares.min()) * 100, memory_mib=memory / 2**20, packets_s=arrived / wall_s,
        pictures_s=pictures_s, kernel_drops=drops, publisher_late_ms=late,
        viewers_cpu_percent=viewers_s / wall_s * 100, errors=", ".join(f"{key} {value}" for key, value in rose.items()),
    )


async def _join(server: Server, viewer: Viewer, turn: asyncio.Semaphore) -> None:
    async with turn:
        await server.play(viewer)
        await viewer.connect()


def _cpu(process: psutil.Process) -> float:
    """User and system time of this process alone (utime and stime of /proc/pid/stat, all its threads), in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _errors(server: int, viewers: int) -> dict[str, int]:
    """What the kernel counts as lost, by where."""
    counted = {f"server's {name}": value for name, value in udp_errors(server).items()}
    counted |= {f"peers' {name}": value for name, value in udp_errors(viewers).items()}
    return counted | {"backlog drops": backlog_drops()}


@contextlib.asynccontextmanager
async def _server(name: str, net: Net, folder: Path) -> AsyncIterator[Server]:
    server: Server
    if name == "janus":
        server = await Janus.start(net.server, folder)
    else:
        server = await Driver.start(DRIVERS[name], net.server, folder)
    try:
        yield server
    finally:
        await server.stop()


def _child(net: Net, folder: Path, program: str, *words: str) -> contextlib.AbstractAsyncContextManager[Child]:
    path = str(Path(__file__).with_name(program))
    return Child.running(inside(net.peers, sys.executable, path, *words), folder / f"{program}.log")
