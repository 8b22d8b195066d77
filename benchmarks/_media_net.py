"""Two network namespaces joined by a veth pair, for as long as a benchmark runs: the server in one, its peers in the
other. Nothing of the host's own network is touched. Needs root and ``ip``; ``ethtool`` where it is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PREFIX = "telemed-media-"  # of the namespaces; then the number of the process that made them, then a letter
SERVER_ADDRESS, PEERS_ADDRESS = "198.18.0.1", "198.18.0.2"  # RFC 2544 appendix C.2.2: for benchmarks
NETWORK_BITS = 30
COMMAND_SECONDS = 20.0  # for one `ip`; it takes milliseconds


@dataclass(frozen=True)
class Net:
    """The names of both namespaces."""

    server: str
    peers: str


def missing() -> str | None:
    """In one line what this machine lacks for it, or None."""
    if os.geteuid() != 0:
        return "needs root: it makes network namespaces (sudo make bench-media)"
    absent = [program for program in ("ip", "janus") if shutil.which(program) is None]
    return f"needs {' and '.join(absent)}: make peers installs them" if absent else None


def inside(namespace: str, *command: str) -> list[str]:
    """The command as run in the namespace; ``ip`` replaces itself by it, so the process is the command's own."""
    return ["ip", "netns", "exec", namespace, *command]


@contextlib.contextmanager
def net() -> Iterator[Net]:
    """Make both namespaces and the pair; remove them whatever happens."""
    _sweep()
    made = Net(f"{PREFIX}{os.getpid()}-s", f"{PREFIX}{os.getpid()}-p")
    try:
        for namespace in (made.server, made.peers):
            _ip("netns", "add", namespace)
        other = ("peer", "name", "media0", "netns", made.peers)
        _ip("link", "add", "media0", "netns", made.server, "type", "veth", *other)
        for namespace, address in ((made.server, SERVER_ADDRESS), (made.peers, PEERS_ADDRESS)):
            # Without IPv6 there is one address and one candidate a side.
            _run(inside(namespace, "sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1"))
            _ip("-n", namespace, "address", "add", f"{address}/{NETWORK_BITS}", "dev", "media0")
            for device in ("lo", "media0"):
                _ip("-n", namespace, "link", "set", device, "up")
        yield made
    finally:
        for namespace in (made.server, made.peers):
            _ip("netns", "delete", namespace, check=False)  # the pair goes with it


def without_segmentation(made: Net) -> bool:
    """Make the server's end cut UDP GSO sends itself, as a plain network card's driver does, and not hand them over
    whole to the receiver, which flatters whoever uses GSO. False where ``ethtool`` is missing or refuses."""
    if shutil.which("ethtool") is None:
        return False
    command = inside(made.server, "ethtool", "-K", "media0", "tx-udp-segmentation", "off")
    return subprocess.run(command, capture_output=True, timeout=COMMAND_SECONDS, check=False).returncode == 0


def udp_errors(process: int) -> dict[str, int]:
    """The UDP error counters of the process's namespace since it was made: ``RcvbufErrors`` and the like."""
    lines = [line.split() for line in Path(f"/proc/{process}/net/snmp").read_text().splitlines()]
    names, values = (line[1:] for line in lines if line[0] == "Udp:")
    return {name: int(value) for name, value in zip(names, values, strict=True) if name.endswith("Errors")}


def backlog_drops() -> int:
    """Packets that this machine dropped between a device and its protocol (softnet_stat, second column)."""
    return sum(int(line.split()[1], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines())


def _sweep() -> None:
    """Remove what a killed benchmark left behind."""
    folder = Path("/run/netns")
    for path in folder.glob(f"{PREFIX}*") if folder.exists() else ():
        if not Path(f"/proc/{path.name.removeprefix(PREFIX).partition('-')[0]}").exists():
            _ip("netns", "delete", path.name, check=False)


def _ip(*words: str, check: bool = True) -> None:
    _run(["ip", *words], check=check)


def _run(command: list[str], *, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
