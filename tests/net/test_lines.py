"""A line does what it was told: rate, loss, delay, order, cuts; it counts it, and leaves nothing behind.

The figures are the line's own, so they are printed (``-s``) and asserted, between half and twice what was set: the
cores may be busy. What is exact, the counts, is asserted exactly.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.net import namespaces
from tests.net.line import End, Flow, Line
from tests.net.namespaces import LineError

pytestmark = pytest.mark.usefixtures("needs_lines")

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 20  # for anything that comes within milliseconds or not at all
ROOM_BYTES = 16 << 20  # of a receiver's buffer, twice what a test sends: the kernel counts 2 KB for a packet of 1 KB
SO_RCVBUFFORCE = 33  # asm-generic/socket.h: above the limit for everybody
NUMBER = struct.Struct(">I")
IP_UDP_BYTES = 28  # RFC 791 section 3.1 and RFC 768


def udp(end: End) -> socket.socket:
    """A socket at an end, bound to its address, that drops nothing of its own."""
    with end.inside():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM_BYTES)
    made.bind((end.address, 0))
    made.settimeout(WAIT_S)
    return made


def tcp(line: Line, sender: End, receiver: End) -> tuple[socket.socket, socket.socket]:
    """A connection between the ends."""
    with receiver.inside():
        listener = socket.create_server((receiver.address, 0))
    with sender.inside():
        made = socket.create_connection(listener.getsockname(), timeout=WAIT_S)
    accepted, _ = listener.accept()
    accepted.settimeout(WAIT_S)
    listener.close()
    return made, accepted


def send(sender: socket.socket, receiver: socket.socket, count: int, *, size: int = 100, each_s: float = 0.0) -> None:
    """Numbered datagrams, evenly spaced."""
    begun = time.monotonic()
    for number in range(count):
        if each_s:
            time.sleep(max(0.0, begun + number * each_s - time.monotonic()))
        sender.sendto(NUMBER.pack(number) + bytes(size - NUMBER.size), receiver.getsockname())


def numbers(receiver: socket.socket, count: int) -> list[int]:
    """The numbers of the next datagrams, as they come."""
    return [NUMBER.unpack_from(receiver.recv(2048))[0] for _ in range(count)]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def carried(line: Line, sender: End, receiver: End, seconds: float) -> float:
    """kbit/s that TCP carries, its headers left out, once it is at speed."""
    source, sink = tcp(line, sender, receiver)
    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")

    def push() -> None:
        try:
            while True:
                source.sendall(bytes(16_384))
        except OSError:
            return  # closed below

    thread = threading.Thread(target=push)
    thread.start()
    size, begun = 0, time.monotonic() + 0.5
    while (now := time.monotonic()) < begun + seconds:
        more = len(sink.recv(65_536))
        size += more if now >= begun else 0
    sink.close()
    thread.join()
    source.close()
    return size * 8 / 1000 / seconds


def test_the_rate_is_the_one_that_was_set_and_is_changed_while_it_runs() -> None:
    with Line(up_kbit=2_000, down_kbit=8_000) as line:
        up = carried(line, line.near, line.far, 2.5)
        down = carried(line, line.far, line.near, 2.0)
        line.change(up_kbit=8_000)
        changed = carried(line, line.near, line.far, 1.5)
    for name, measured, wanted in (("up", up, 2_000), ("down", down, 8_000), ("changed", changed, 8_000)):
        print(f"rate {name}: set {wanted} kbit/s, TCP carried {measured:.0f} ({measured / wanted:.3f})")
        assert 0.5 < measured / wanted < 1.1


def test_a_line_that_was_free_is_limited_later_and_its_buffer_overflows() -> None:
    with Line(buffer_ms=100) as line:
        line.change(up_kbit=1_200)
        sender, receiver = udp(line.near), udp(line.far)
        send(sender, receiver, 200, size=1_000)
        until(lambda: line.counters().up.packets == 200)
        over = line.counters().up.overflowed
        through = numbers(receiver, 200 - over)
    print(f"buffer: 15,000 bytes were set, {200 - over} packets of 1,042 came through")
    assert 10 <= 200 - over < 100
    assert through == sorted(through)


@pytest.mark.parametrize("delay_ms", [0, 5], ids=["straight", "held"])
def test_loss_is_the_share_that_was_set_and_every_packet_is_counted(delay_ms: float) -> None:
    count = 4_000
    with Line(delay_ms=delay_ms, loss_up=0.05, loss_down=0.2) as line:
        near, far = udp(line.near), udp(line.far)
        send(near, far, count, each_s=0.0002)
        send(far, near, count, each_s=0.0002)
        until(lambda: came(line.counters().up) == came(line.counters().down) == count)
        counted = line.counters()
        assert len(numbers(far, counted.up.packets)) == counted.up.packets
        assert len(numbers(near, counted.down.packets)) == counted.down.packets
        assert nothing_more(far) and nothing_more(near)
    for name, flow, share in (("up", counted.up, 0.05), ("down", counted.down, 0.2)):
        sigmas = abs(flow.lost - count * share) / math.sqrt(count * share * (1 - share))
        print(f"loss {name}: set {share:.3f}, measured {flow.lost / count:.4f}, {sigmas:.1f} sigma away")
        assert sigmas < 5  # by chance once in 1.7 million
        assert flow.bytes == flow.packets * (100 + IP_UDP_BYTES) and flow.overflowed == 0


def came(flow: Flow) -> int:
    return flow.packets + flow.lost


def nothing_more(receiver: socket.socket) -> bool:
    receiver.setblocking(False)
    try:
        receiver.recv(2048)
    except BlockingIOError:
        return True
    return False


def test_loss_is_changed_while_it_runs_and_the_count_goes_on() -> None:
    with Line() as line:
        near, far = udp(line.near), udp(line.far)
        send(near, far, 10)
        line.change(loss_up=1)
        send(near, far, 10)
        line.change(loss_up=0)
        send(near, far, 10)
        assert numbers(far, 20) == [*range(10), *range(10)]
        size = 100 + IP_UDP_BYTES
        assert line.counters().up == Flow(packets=20, bytes=20 * size, lost=10, overflowed=0)


def test_a_round_trip_takes_twice_the_delay_and_a_change_of_it_counts_at_once() -> None:
    with Line(delay_ms=60) as line:
        near, far = udp(line.near), udp(line.far)
        for delay_ms in (60, 20):
            line.change(delay_ms=delay_ms)
            took_ms = []
            for _ in range(15):
                begun = time.monotonic()
                near.sendto(b"there", far.getsockname())
                far.sendto(far.recv(2048), near.getsockname())
                near.recv(2048)
                took_ms.append(1000 * (time.monotonic() - begun))
            took_ms.sort()
            print(f"round trip: set {2 * delay_ms} ms, p50 {took_ms[7]:.2f}, max {took_ms[-1]:.2f}")
            assert 1 <= took_ms[7] / (2 * delay_ms) < 2


@pytest.mark.parametrize("reorder", [False, True], ids=["in-order", "reordered"])
def test_jitter_keeps_the_order_unless_told_otherwise(reorder: bool) -> None:
    with Line(delay_ms=20, jitter_ms=15, reorder=reorder) as line:
        near, far = udp(line.near), udp(line.far)
        send(near, far, 200, each_s=0.001)
        came = numbers(far, 200)
    assert sorted(came) == list(range(200))
    assert (came == list(range(200))) is not reorder


def test_three_thousand_packets_a_second_are_carried_and_what_it_costs_is_shown() -> None:
    with Line(delay_ms=50) as line:
        near, far = udp(line.near), udp(line.far)
        before, begun = line.forwarding()["cpu_s"], time.monotonic()
        send(near, far, 9_000, size=1_000, each_s=1 / 3_000)
        took = time.monotonic() - begun
        assert numbers(far, 9_000) == list(range(9_000))
        state = line.forwarding()
    cpu = (state["cpu_s"] - before) / took
    p50, p99 = state["late_ms"]
    print(f"forwarder: {9_000 / took:.0f} packets/s, {100 * cpu:.1f} % of a core, late p50 {p50:.2f} ms, p99 {p99:.2f}")
    assert state["carried"] == [0, 9_000] and state["dropped"] == [0, 0] and state["held"] == [0, 0]
    assert cpu < 0.6 and p50 < 10


def test_a_full_forwarder_drops_the_newest_and_says_how_many() -> None:
    with Line(delay_ms=600, hold_packets=50) as line:
        near, far = udp(line.near), udp(line.far)
        send(near, far, 80)
        until(lambda: line.counters().up.overflowed == 30)
        assert numbers(far, 50) == list(range(50))
        until(lambda: line.counters().up.packets == 50)


def test_a_cut_stops_both_ways_and_a_connection_goes_on_when_it_is_mended() -> None:
    with Line(delay_ms=10) as line:
        near, far = udp(line.near), udp(line.far)
        source, sink = tcp(line, line.near, line.far)
        source.sendall(b"before")
        assert sink.recv(100) == b"before"
        before = line.counters()
        line.cut()
        send(near, far, 10)
        send(far, near, 10)
        until(lambda: line.counters().up.lost == 10 and line.counters().down.lost == 10)
        assert line.counters().up.packets <= before.up.packets + 1  # an acknowledgement of TCP's that was on its way
        source.sendall(b"meanwhile")
        until(lambda: line.counters().up.lost > 10)
        assert nothing_more(near) and nothing_more(far)
        line.mend()
        assert sink.recv(100) == b"meanwhile"
        near.settimeout(WAIT_S)
        far.sendto(b"back", near.getsockname())
        assert near.recv(100) == b"back"


def test_commands_and_children_run_at_the_end_that_was_named() -> None:
    say = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); s.sendall(b'here')"
    with Line() as line:
        with line.far.inside():
            listener = socket.create_server((line.far.address, 0))
        listener.settimeout(WAIT_S)
        words = [sys.executable, "-c", say, line.far.address, str(listener.getsockname()[1])]
        line.run(line.near, words)
        entered = subprocess.Popen(words, preexec_fn=line.near.enter)  # noqa: PLW1509  (it only enters)
        for _ in range(2):
            connection, address = listener.accept()
            assert address[0] == line.near.address and connection.recv(10) == b"here"
            connection.close()
        assert entered.wait(WAIT_S) == 0
        listener.close()


def traces() -> tuple[object, ...]:
    """What a line could leave behind: namespaces, children, devices and rules of the host."""
    ours = [path.name for path in namespaces.NAMED.glob(f"telemed-line-{os.getpid()}-*")]
    children = [
        child.pid for child in psutil.Process().children()
    ]  # a database among them may have children of its own
    links = namespaces.command("ip", "-br", "link")
    routes = namespaces.command("ip", "route") + namespaces.command("ip", "rule")
    return ours, children, links, routes, namespaces.command("iptables-save")


def residents(name: str) -> list[str]:
    """Numbers of the processes in a namespace."""
    return namespaces.command("ip", "netns", "pids", name).split()


def alive(pid: str) -> bool:
    try:
        return bool(psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_nothing_is_left_even_after_an_exception_with_programs_that_do_not_want_to_end() -> None:
    before = traces()
    inside: list[str] = []
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(1000)"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}])"
    with pytest.raises(ZeroDivisionError):
        with Line(delay_ms=5) as line:
            assert traces() != before
            program = line.run(line.far, [sys.executable, "-c", deaf], stdout=subprocess.PIPE)
            line.run(line.near, [sys.executable, "-c", orphan]).wait(WAIT_S)
            assert program.stdout is not None
            printed = program.stdout
            printed.readline()
            inside += residents(line.near.namespace) + residents(line.far.namespace)
            _ = 1 // 0
    assert traces() == before
    assert len(inside) == 2 and program.returncode == -signal.SIGKILL
    until(lambda: not any(alive(pid) for pid in inside))
    printed.close()


def test_a_line_that_cannot_be_made_leaves_nothing() -> None:
    before = traces()
    with pytest.raises(LineError):
        with Line(loss_up=1.5):
            pytest.fail("a loss above 1 was taken")
    assert traces() == before


def test_the_next_run_removes_what_a_killed_one_left() -> None:
    program = (
        "import sys, time\nfrom tests.net.line import Line\n"
        "with Line(delay_ms=5) as line:\n"
        "    line.run(line.near, ['sleep', '1000'])\n    print(line.near.namespace, flush=True)\n    time.sleep(1000)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    left = run.stdout.readline().strip()
    assert (namespaces.NAMED / left).exists()
    inside = residents(left)
    run.kill()
    run.wait()
    run.stdout.close()
    assert (namespaces.NAMED / left).exists() and inside
    with Line() as other:
        assert not (namespaces.NAMED / left).exists()
        assert (namespaces.NAMED / other.near.namespace).exists()
        assert namespaces.remove_stale() == []
    until(lambda: not any(alive(pid) for pid in inside))


def test_a_line_made_without_delay_refuses_one() -> None:
    with Line() as line, pytest.raises(LineError, match="without delay"):
        line.change(delay_ms=10)
