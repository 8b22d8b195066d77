"""How late messages come over TCP on a poor line: a table over congestion controls and socket options.

    python -m tests.net.message_delay [--seconds 60] [--lines 4] [--only WORDS] [--cut]

Each way sends messages of one size at an even pace from near to far, as a station sends its waves by WebSocket, each on
a line of its own: 512 kbit/s up, 2,000 down, 150 ms each way, 5 % loss each way. The delay of a message is from the
time at which it was due to be sent until its last byte is read, so the wait in the sender's buffers is in it.
With --cut the line is cut for 30 s, and the figure is how long after the mending the first message comes.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.net.line import Line

POOR = {"up_kbit": 512, "down_kbit": 2000, "delay_ms": 150, "loss_up": 0.05, "loss_down": 0.05}
LATE_MS = 1_500  # waves are to be at most this far behind
CUT_AFTER_S, CUT_S, AFTER_CUT_S = 5, 30, 5
SILENT_S = 120  # a connection that has been silent for so long, a cut among it, is dead
MEDIA_BYTES = 1_000  # a datagram of the voice and picture beside the messages
WEBSOCKET_BYTES = 8  # RFC 6455 section 5.2: the header of a client's frame of 126 to 65,535 bytes
NOTSENT_LOWAT = 1_212  # bytes: two messages
TCP_THIN_LINEAR_TIMEOUTS = 16  # linux/tcp.h
TCP_NOTSENT_LOWAT = 25  # linux/tcp.h
TCP_RTO_MAX_MS = 44  # linux/tcp.h, since Linux 6.15; at least 1,000
RTO_MAX_MS = 1_000
TCP_INFO_BYTES, TOTAL_RETRANS_AT = 104, 100  # struct tcp_info: its first part, tcpi_total_retrans
CONNECT_S = 60  # an opening handshake on this line takes a few tries
STAMP = struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class Way:
    """How messages are sent."""

    congestion: str
    messages_s: int
    message_bytes: int = 600
    nodelay: bool = True
    notsent_lowat: bool = False
    thin: bool = False
    rto_max: bool = False  # the wait for a retransmission is at most RTO_MAX_MS
    doubled: bool = False  # on two connections, the first copy counts
    shared: int = 1  # connections that take messages in turn
    media_kbit: int = 0  # sent beside them as datagrams

    def __str__(self) -> str:
        names = ("nodelay", "notsent_lowat", "thin", "rto_max", "doubled")
        options = [name for name in names if getattr(self, name)] or ["plain"]
        if self.shared > 1:
            options.append(f"over {self.shared}")
        beside = f" beside {self.media_kbit} kbit/s" if self.media_kbit else ""
        return f"{self.congestion} {self.messages_s}/s {self.message_bytes} B {' '.join(options)}{beside}"


@dataclass(frozen=True, slots=True)
class Delays:
    """Of all messages of a run."""

    delays_ms: list[float]  # sorted
    came_s: list[float]  # when each came, by the steady clock, in order
    sent_again: int  # segments

    def at(self, share: float) -> float:
        """The delay that ``share`` of the messages do not exceed."""
        return self.delays_ms[min(len(self.delays_ms) - 1, int(share * len(self.delays_ms)))]

    def late(self) -> float:
        """Share of the messages that come more than LATE_MS behind."""
        return sum(delay > LATE_MS for delay in self.delays_ms) / len(self.delays_ms)


def measure(line: Line, way: Way, seconds: float) -> Delays:
    """Send for ``seconds`` from near to far and wait for the last message."""
    numbers = range(int(way.messages_s * seconds))
    came: list[list[tuple[float, float]]] = []
    pairs = [_pair(line, way) for _ in range(2 if way.doubled else way.shared)]
    begun = time.monotonic()
    media = threading.Thread(target=_send_media, args=(line, way.media_kbit, begun + seconds))
    threads = [media] if way.media_kbit else []
    for place, (sender, receiver) in enumerate(pairs):
        ours = numbers[place :: way.shared] if way.shared > 1 else numbers
        times: list[tuple[float, float]] = []
        came.append(times)
        threads.append(threading.Thread(target=_send, args=(sender, way, ours, begun)))
        threads.append(threading.Thread(target=_receive, args=(receiver, way, len(ours), times)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = 0
    for sender, receiver in pairs:
        info = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        again += struct.unpack_from("I", info, TOTAL_RETRANS_AT)[0]
        sender.close()
        receiver.close()
    alone = zip(*came, strict=False) if way.doubled else ((one,) for times in came for one in times)
    first = sorted(min(copies) for copies in alone)
    return Delays(sorted(1000 * delay for _, delay in first), [at for at, _ in first], again)


def _pair(line: Line, way: Way) -> tuple[socket.socket, socket.socket]:
    with line.far.inside():
        listener = socket.create_server((line.far.address, 0))
    with line.near.inside():
        sender = socket.socket()
    tcp = socket.IPPROTO_TCP
    sender.setsockopt(tcp, socket.TCP_CONGESTION, way.congestion.encode())
    sender.setsockopt(tcp, socket.TCP_NODELAY, way.nodelay)
    if way.thin:
        sender.setsockopt(tcp, TCP_THIN_LINEAR_TIMEOUTS, 1)
    if way.rto_max:
        sender.setsockopt(tcp, TCP_RTO_MAX_MS, RTO_MAX_MS)
    if way.notsent_lowat:
        sender.setsockopt(tcp, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
    sender.settimeout(CONNECT_S)
    sender.connect(listener.getsockname())
    sender.settimeout(None)
    listener.settimeout(CONNECT_S)
    receiver, _ = listener.accept()
    listener.close()
    return sender, receiver


def _send(sender: socket.socket, way: Way, numbers: range, begun: float) -> None:
    rest = bytes(way.message_bytes + WEBSOCKET_BYTES - STAMP.size)
    for number in numbers:
        due = begun + number / way.messages_s
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            sender.sendall(STAMP.pack(due) + rest)
        except OSError:
            return  # the connection was given up in a cut; the receiver gives up too


def _send_media(line: Line, kbit: int, until: float) -> None:
    with line.near.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with line.far.inside():
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind((line.far.address, 0))
    due = time.monotonic()
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        sender.sendto(bytes(MEDIA_BYTES), sink.getsockname())
        due += MEDIA_BYTES * 8 / 1000 / kbit
    sender.close()
    sink.close()


def _receive(receiver: socket.socket, way: Way, count: int, times: list[tuple[float, float]]) -> None:
    size = way.message_bytes + WEBSOCKET_BYTES
    receiver.settimeout(SILENT_S)
    with receiver.makefile("rb") as file, contextlib.suppress(TimeoutError):
        for _ in range(count):
            message = file.read(size)
            now = time.monotonic()
            times.append((now, now - STAMP.unpack_from(message)[0]))


def ways() -> list[Way]:
    """Every row of the table."""
    rows = []
    for messages_s, size in ((25, 600), (10, 600), (10, 1_500)):
        for congestion in ("cubic", "bbr", "reno"):
            rows.append(Way(congestion, messages_s, size, nodelay=False))
            rows.append(Way(congestion, messages_s, size))
            rows.append(Way(congestion, messages_s, size, notsent_lowat=True))
            rows.append(Way(congestion, messages_s, size, thin=True))
            rows.append(Way(congestion, messages_s, size, thin=True, notsent_lowat=True))
            rows.append(Way(congestion, messages_s, size, rto_max=True))
            rows.append(Way(congestion, messages_s, size, doubled=True))
            rows.append(Way(congestion, messages_s, size, shared=3))
            rows.append(Way(congestion, messages_s, size, media_kbit=300))
    return rows


def _row(way: Way, seconds: float) -> str:
    with Line(**POOR) as line:  # type: ignore[arg-type]
        delays = measure(line, way, seconds)
    figures = " ".join(f"{delays.at(share):6.0f}" for share in (0.5, 0.95, 0.99, 1.0))
    return f"{way!s:60} {figures} {100 * delays.late():6.2f} % {delays.sent_again:5}"


def _row_of_cuts(way: Way, tries: int) -> str:
    """How long after each mending the first message came."""
    waits = []
    for _ in range(tries):
        with Line(**POOR) as line, ThreadPoolExecutor(1) as thread:  # type: ignore[arg-type]
            running = thread.submit(measure, line, way, CUT_AFTER_S + CUT_S + AFTER_CUT_S)
            time.sleep(CUT_AFTER_S)
            line.cut()
            time.sleep(CUT_S)
            line.mend()
            mended = time.monotonic()
            waits.append(next((at - mended for at in running.result().came_s if at > mended), math.inf))
    return f"{way!s:60} {' '.join(f'{wait:6.1f}' for wait in sorted(waits))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--lines", type=int, default=4, help="lines at once")
    parser.add_argument("--only", default="", help="rows that contain one of these, separated by commas")
    parser.add_argument("--cut", type=int, default=0, help="tries with a cut of 30 s")
    wish = parser.parse_args()
    chosen = [way for way in ways() if any(word in str(way) for word in wish.only.split(","))]
    if wish.cut:
        print(f"{'way':60} seconds from the mending to the first message", flush=True)
    else:
        print(f"{'way (delays in ms)':60}    p50    p95    p99    max  > 1.5 s again", flush=True)
    with ThreadPoolExecutor(wish.lines) as pool:
        row = (lambda way: _row_of_cuts(way, wish.cut)) if wish.cut else (lambda way: _row(way, wish.seconds))
        for text in pool.map(row, chosen):
            print(text, flush=True)


if __name__ == "__main__":
    main()
