"""A poor line between two network namespaces of our own: rate, delay, jitter, loss, cuts, all of them changeable.

    with Line(up_kbit=512, down_kbit=2000, delay_ms=150, loss_up=0.05, loss_down=0.05) as line:
        server = line.run(line.far, [sys.executable, "server.py", line.far.address])
        with line.near.inside():
            meter = socket.create_connection((line.far.address, 8080))

"Up" is from near to far. The two ends meet in a third namespace, the middle, which is all the line there is::

    near (line) -- (nearward) middle (farward) -- (line) far

A packet that comes to the middle is first held by the forwarder, a process on the TUN device ``hold`` (forwarder.py),
then lost or not by ``iptables -m statistic``, then waits its turn in ``tc tbf`` on the device toward the other end,
whose buffer is bounded in bytes. With no delay there is no forwarder and the kernel does everything.
The local queue of an end never is the bottleneck: TCP would see its own drops at once and not learn what a line does.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.net import namespaces
from tests.net.namespaces import LineError, command, new_name, sibling

NEAR, FAR = "198.18.0", "198.18.1"  # RFC 2544 appendix C.2.2: for tests of lines, never on the Internet
BUFFER_MS = 250  # of the rate's queue: between a good router's (100) and a bloated one's (1,000)
BUFFER_BYTES = 15_000  # at least ten full packets, or a slow line would drop every burst
BURST_MS = 2  # what may leave at once, at least one packet: a line sends evenly
FRAME_BYTES = 1_514  # Ethernet, without the check sum, which the kernel does not count
HOLD_PACKETS = 4_096  # held by the forwarder a direction: 1.3 s of 3,000 packets/s, 6 MB of the longest
DEVICE_PACKETS = 1_000  # queued by the TUN device while the forwarder has not run
ANSWER_S = 10  # a forwarder answers within milliseconds; on a starved machine within a second
KILLED_S = 10  # a killed process is gone at once unless the disk holds it
HELD = 100  # number of the routing table that leads to the forwarder

RULES = """*filter
:CUT - [0:0]
:UP - [0:0]
:DOWN - [0:0]
-A FORWARD -o farward
-A FORWARD -o nearward
-A FORWARD ! -o hold -j CUT
-A FORWARD -o farward -j UP
-A FORWARD -o nearward -j DOWN
-A FORWARD -o farward -j ACCEPT
-A FORWARD -o nearward -j ACCEPT
-A UP {up}
-A DOWN {down}
COMMIT
"""
LOSE = "-m statistic --mode random --probability {:.9f} -j DROP"


@functools.cache
def missing() -> str | None:
    """One line that says why no line can be made here, or None when one was made and removed."""
    if os.geteuid():
        return "lines need root: they make network namespaces"
    absent = [name for name in ("ip", "tc", "iptables") if shutil.which(name) is None]
    if absent:
        return f"lines need {' and '.join(absent)}: make peers installs them"
    if not Path("/dev/net/tun").exists():
        return "lines need /dev/net/tun"
    try:
        with Line(up_kbit=1_000, delay_ms=1):
            return None
    except LineError as error:
        return f"no line can be made here: {error}"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a line: a namespace and its address."""

    namespace: str
    address: str

    def enter(self) -> None:
        """Move this process here for good: a ``preexec_fn``."""
        namespaces.enter(self.namespace)

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """This thread is here meanwhile; the sockets it makes stay here. Do not await in it."""
        return namespaces.inside(self.namespace)


@dataclass(frozen=True, slots=True)
class Flow:
    """What went one way since the line was made: IP packets, and their bytes with the IP header.

    ``packets`` and ``bytes`` were not lost and came to the rate's buffer; ``lost`` were by chance or by a cut;
    ``overflowed`` found a buffer full, the forwarder's or (then they are among ``packets`` too) the rate's.
    """

    packets: int
    bytes: int
    lost: int
    overflowed: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Both directions."""

    up: Flow
    down: Flow


class Line:
    """Two namespaces and the line between them, from ``with`` to its end; rates in kbit/s on the wire, loss as a share.

    ``delay_ms`` is one way, each way; ``jitter_ms`` moves it by up to as much either way, in order unless ``reorder``.
    A rate of None is as fast as the kernel. Raises LineError.
    """

    near: End
    far: End

    def __init__(
        self,
        *,
        up_kbit: int | None = None,
        down_kbit: int | None = None,
        delay_ms: float = 0,
        jitter_ms: float = 0,
        loss_up: float = 0,
        loss_down: float = 0,
        reorder: bool = False,
        buffer_ms: int = BUFFER_MS,
        hold_packets: int = HOLD_PACKETS,
    ) -> None:
        if jitter_ms > delay_ms:
            raise ValueError("a jitter above the delay would send packets before they came")
        self._rates = {"farward": up_kbit, "nearward": down_kbit}
        self._loss = {"UP": loss_up, "DOWN": loss_down}
        self._timing = {"delay_ms": delay_ms, "jitter_ms": jitter_ms, "reorder": reorder}
        self._buffer_ms = buffer_ms
        self._hold_packets = hold_packets
        self._forwarder: subprocess.Popen[str] | None = None
        self._children: list[subprocess.Popen[Any]] = []
        number, self._middle = new_name("middle")
        self.near = End(sibling(number, "near"), f"{NEAR}.2")
        self.far = End(sibling(number, "far"), f"{FAR}.2")

    def __enter__(self) -> Line:
        namespaces.remove_stale()
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, end: End, words: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
        """Start a command at an end; ``options`` are Popen's. It is killed with the line at the latest."""
        child = subprocess.Popen(("ip", "netns", "exec", end.namespace, *words), **options)
        self._children.append(child)
        return child

    def change(
        self,
        *,
        up_kbit: int | None = None,
        down_kbit: int | None = None,
        delay_ms: float | None = None,
        jitter_ms: float | None = None,
        loss_up: float | None = None,
        loss_down: float | None = None,
    ) -> None:
        """Change what is named, from the next packet on. A line made without delay has no forwarder to delay it."""
        for device, kbit in (("farward", up_kbit), ("nearward", down_kbit)):
            if kbit is not None:
                self._limit(device, kbit, "change" if self._rates[device] else "add")
                self._rates[device] = kbit
        for chain, share in (("UP", loss_up), ("DOWN", loss_down)):
            if share is not None:
                self._filter("-R", chain, "1", *LOSE.format(share).split())
        wish = {name: value for name, value in (("delay_ms", delay_ms), ("jitter_ms", jitter_ms)) if value is not None}
        if wish:
            if self._forwarder is None:
                raise LineError("this line was made without delay")
            self._timing |= wish
            self._ask(wish)

    def cut(self) -> None:
        """Nothing passes any more, either way, and neither end is told; what is in the rate's buffers still leaves."""
        self._filter("-A", "CUT", "-j", "DROP")

    def mend(self) -> None:
        """What comes from now on passes again."""
        self._filter("-F", "CUT")

    def counters(self) -> Counters:
        """What went either way until now."""
        held = self._ask({})["dropped"] if self._forwarder else [0, 0]
        text = command("ip", "netns", "exec", self._middle, "iptables-save", "-c")
        rules = [line for line in text.splitlines() if "-A FORWARD" in line]
        return Counters(self._flow(rules, "farward", held[1]), self._flow(rules, "nearward", held[0]))

    def forwarding(self) -> dict[str, Any]:
        """The forwarder: ``carried``, ``dropped``, ``held`` packets [down, up], ``cpu_s``, ``late_ms`` [p50, p99]."""
        return self._ask({})

    def close(self) -> None:
        """Kill what runs on the line and remove it."""
        for name in (self.near.namespace, self.far.namespace, self._middle):
            namespaces.remove(name)
        for child in (*self._children, *([self._forwarder] if self._forwarder else [])):
            child.kill()  # one that left the namespace
            child.wait(KILLED_S)
        if self._forwarder:
            for pipe in (self._forwarder.stdin, self._forwarder.stdout):
                if pipe:
                    pipe.close()
        self._forwarder = None
        self._children.clear()

    def _make(self) -> None:
        for name in (self.near.namespace, self.far.namespace, self._middle):
            command("ip", "netns", "add", name)
        # Without IPv6 on the line: its neighbour discovery would be counted and the forwarder knows IPv4 alone.
        # Without the check of the return path: held packets come from a device that their source is not behind.
        self._write("/proc/sys/net/ipv4/ip_forward", 1)
        self._write("/proc/sys/net/ipv6/conf/default/disable_ipv6", 1)
        for which in ("all", "default"):
            self._write(f"/proc/sys/net/ipv4/conf/{which}/rp_filter", 0)
        for end, ward, network in ((self.near, "nearward", NEAR), (self.far, "farward", FAR)):
            self._ip("link", "add", ward, "type", "veth", "peer", "name", "line", "netns", end.namespace)
            self._ip("addr", "add", f"{network}.1/24", "dev", ward)
            self._ip("link", "set", ward, "up")
            with end.inside():
                Path("/proc/sys/net/ipv6/conf/line/disable_ipv6").write_text("1")
            # One packet is one packet: without this a send of 64 KB crosses as one and is lost as one.
            at_end = ("ip", "-n", end.namespace)
            command(*at_end, "link", "set", "line", "gso_max_segs", "1")
            command(*at_end, "addr", "add", f"{end.address}/24", "dev", "line")
            command(*at_end, "link", "set", "lo", "up")
            command(*at_end, "link", "set", "line", "up")
            command(*at_end, "route", "add", "default", "via", f"{network}.1")
        command(
            "ip", "netns", "exec", self._middle, "iptables-restore",
            text=RULES.format(up=LOSE.format(self._loss["UP"]), down=LOSE.format(self._loss["DOWN"])),
        )  # fmt: skip
        for device, kbit in self._rates.items():
            if kbit is not None:
                self._limit(device, kbit, "add")
        if self._timing["delay_ms"]:
            self._start_forwarder()

    def _start_forwarder(self) -> None:
        program = str(Path(__file__).with_name("forwarder.py"))
        words = (sys.executable, "-I", "-S", program, "hold", FAR, str(self._hold_packets))
        self._forwarder = subprocess.Popen(
            ("ip", "netns", "exec", self._middle, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()
        self._ask(self._timing)
        self._ip("link", "set", "hold", "up", "txqueuelen", str(DEVICE_PACKETS))
        self._ip("route", "add", "default", "dev", "hold", "table", str(HELD))
        for ward in ("nearward", "farward"):
            self._ip("rule", "add", "iif", ward, "lookup", str(HELD))

    def _ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        if self._forwarder is None or self._forwarder.stdin is None:
            raise LineError("this line has no forwarder")
        self._forwarder.stdin.write(json.dumps(wish) + "\n")
        self._forwarder.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        pipe = self._forwarder.stdout if self._forwarder else None
        if pipe is None or not select.select((pipe,), (), (), ANSWER_S)[0]:
            raise LineError("the forwarder does not answer")
        line = pipe.readline()
        if not line:
            raise LineError("the forwarder ended; it printed why")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _limit(self, device: str, kbit: int, verb: str) -> None:
        burst = max(FRAME_BYTES, kbit * BURST_MS // 8)
        limit = max(BUFFER_BYTES, kbit * self._buffer_ms // 8)
        rate = ("rate", f"{kbit}kbit", "burst", f"{burst}b", "limit", f"{limit}b")
        command("tc", "-n", self._middle, "qdisc", verb, "dev", device, "root", "tbf", *rate)

    def _flow(self, rules: list[str], device: str, held: int) -> Flow:
        """``rules`` are the counted ones: the first of a device saw every packet, its last what was not lost."""
        ours = [line for line in rules if f"-o {device}" in line]
        came, _ = _counted(ours[0])
        passed, size = _counted(ours[-1])
        queues = json.loads(command("tc", "-n", self._middle, "-s", "-j", "qdisc", "show", "dev", device))
        over = sum(queue.get("drops", 0) for queue in queues)
        return Flow(packets=passed, bytes=size, lost=came - passed, overflowed=over + held)

    def _filter(self, *words: str) -> None:
        command("ip", "netns", "exec", self._middle, "iptables", *words)

    def _ip(self, *words: str) -> None:
        command("ip", "-n", self._middle, *words)

    def _write(self, path: str, value: int) -> None:
        with namespaces.inside(self._middle):
            Path(path).write_text(str(value))


def _counted(rule: str) -> tuple[int, int]:
    """Packets and bytes of a rule as ``iptables-save -c`` prints it: ``[4:336] -A FORWARD …``."""
    packets, _, size = rule[1 : rule.index("]")].partition(":")
    return int(packets), int(size)
