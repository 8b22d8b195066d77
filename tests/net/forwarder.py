"""Holds every packet of a line for its delay: one process, both directions, between a TUN device and itself.

``forwarder.py DEVICE NETWORK HOLD_PACKETS`` opens the device in the namespace it runs in and prints ``{}`` when it is
there. A packet to the IPv4 ``NETWORK`` (three bytes, as ``198.18.1``) travels up, any other IPv4 packet down; the rest
is no traffic of the line and is dropped. Each line of JSON on standard input changes what it names of ``delay_ms``,
``jitter_ms`` (both one way) and ``reorder``, and is answered by a line of JSON with the state. The end of the input
ends it: a line whose owner was killed has no forwarder left.

At most HOLD_PACKETS are held a direction; the newest is dropped when it is full, as a router drops it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000  # linux/if_tun.h: IP packets, without a header of the device's own
PACKET_BYTES = 65_536  # no IP packet is longer (RFC 791 section 3.1)
READ_AT_ONCE = 64  # packets read before the due ones are looked after: under 1 ms of work
KEPT_LATENESS = 10_000  # the last so many packets' lateness is kept for the report: 80 kB
INPUT_BYTES = 4_096  # a line of input is under 100 bytes
REAL_TIME = 1  # the lowest real-time priority: a line keeps its delay whatever the programs under test do to the cores


def open_device(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


class Forwarder:
    """The packets that are held, by the time at which each is due."""

    def __init__(self, device: int, network: bytes, hold_packets: int) -> None:
        self._device = device
        self._network = network
        self._room = hold_packets
        self._delay_s = self._jitter_s = 0.0
        self._reorder = False
        self._held: list[tuple[float, int, bool, bytes]] = []  # a heap: due, number, up, packet
        self._count = 0
        self._holding = [0, 0]  # down, up
        self._latest = [0.0, 0.0]  # the last due time given, so that jitter keeps the order
        self._carried = [0, 0]
        self._dropped = [0, 0]
        self._late_s: deque[float] = deque(maxlen=KEPT_LATENESS)
        self._input = b""

    def run(self) -> None:
        """Carry packets until the input ends."""
        while True:
            # select() waits to the microsecond; poll() and epoll_wait() round up to a millisecond.
            wait = max(0.0, self._held[0][0] - time.monotonic()) if self._held else None
            ready, _, _ = select.select((self._device, 0), (), (), wait)
            if self._device in ready:
                self._take()
            self._release()
            if 0 in ready and not self._obey():
                return

    def _take(self) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                packet = os.read(self._device, PACKET_BYTES)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue
            up = packet[16:19] == self._network
            if self._holding[up] >= self._room:
                self._dropped[up] += 1
                continue
            due = time.monotonic() + self._delay_s
            if self._jitter_s:
                due += random.uniform(-self._jitter_s, self._jitter_s)
            if not self._reorder:
                due = self._latest[up] = max(due, self._latest[up])
            self._count += 1
            self._holding[up] += 1
            heapq.heappush(self._held, (due, self._count, up, packet))

    def _release(self) -> None:
        held = self._held
        while held and held[0][0] <= (now := time.monotonic()):
            due, _, up, packet = heapq.heappop(held)
            self._holding[up] -= 1
            try:
                os.write(self._device, packet)
            except OSError:  # the device is down: nothing can leave
                self._dropped[up] += 1
            else:
                self._carried[up] += 1
                self._late_s.append(now - due)

    def _obey(self) -> bool:
        """Answer every whole line of the input; False at its end."""
        more = os.read(0, INPUT_BYTES)
        lines = (self._input + more).split(b"\n")
        self._input = lines.pop()
        for line in lines:
            wish = json.loads(line)
            self._delay_s = wish.get("delay_ms", self._delay_s * 1000) / 1000
            self._jitter_s = wish.get("jitter_ms", self._jitter_s * 1000) / 1000
            self._reorder = wish.get("reorder", self._reorder)
            print(json.dumps(self._state()), flush=True)
        return bool(more) and len(self._input) < INPUT_BYTES

    def _state(self) -> dict[str, object]:
        late = sorted(self._late_s)
        return {
            "carried": self._carried,
            "dropped": self._dropped,
            "held": self._holding,
            "cpu_s": time.process_time(),
            "late_ms": [1000 * late[int(len(late) * share)] for share in (0.5, 0.99)] if late else [0.0, 0.0],
        }


def main(device: str, network: str, hold_packets: str) -> None:
    forwarder = Forwarder(open_device(device), bytes(map(int, network.split("."))), int(hold_packets))
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REAL_TIME))
    gc.disable()  # nothing here makes cycles
    print("{}", flush=True)
    forwarder.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
