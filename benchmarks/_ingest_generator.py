"""The load: stations that send a 12-lead frame every 200 ms, as cheaply as Python can, and time the acknowledgements.

A process of its own. It reads one command a line (JSON) and answers each with one line:

``{"do": "connect", "stations": n}``        that many stations are connected and announced
``{"do": "idle", "stations": n}``           that many more are connected and say nothing
``{"do": "measure", "stations": n, "warm": s, "seconds": s}``  the first n send; figures of the last s seconds
``{"do": "again", "stations": n, "chunks": n}``  each of n stations sends its first chunks once more, as fast as it can

Each station keeps its own phase of the 200 ms, so frames come evenly. The time of an acknowledgement counts from the
moment at which the kernel took the frame; how late this process itself was is told beside it.
"""

from __future__ import annotations

import json
import secrets
import select
import struct
import sys
import time
import uuid
import zlib
from collections import deque
from pathlib import Path
from typing import Any, Final

import numpy as np
from _ingest_socket import BINARY, CLOSE, PING, READ_BYTES, TEXT, Line, header, serve
from _report import percentile

TICK: Final = 0.2
RATE: Final = 500
LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLES: Final = int(TICK * RATE)
LOOP: Final = 50  # frames of the recorded loop: ten seconds
RING: Final = 4096  # send times remembered of a station: more than it may have unacknowledged here
GOLDEN: Final = 0.618033988749895  # phases that are even for any number of stations
TOGETHER: Final = 50  # stations that shake hands at once
HEAD: Final = struct.Struct("<4sBBBBIIQQqIIIHH")  # the native frame (protocol section 2)
CHANGING: Final = struct.Struct("<QQqII")  # seq, first_sample, t0_us, payload_len, crc
CHANGING_AT: Final = 16
CRC_AT: Final = 44


def loop_of_ecg() -> list[bytes]:
    """Ten seconds of twelve leads that look like a heart's: a beat of three waves, wander, two LSB of noise."""
    random = np.random.default_rng(5)
    t = np.arange(LOOP * SAMPLES) / RATE
    phase = (t % 0.8) - 0.3
    beat = sum(
        height * np.exp(-((phase - at) ** 2) / (2 * width**2))
        for height, at, width in ((90, -0.16, 0.022), (-80, -0.03, 0.008), (900, 0.0, 0.011), (-160, 0.03, 0.01),
                                  (220, 0.24, 0.045))
    )
    leads = [
        beat * (0.3 + 0.07 * lead) + 150 * np.sin(2 * np.pi * 0.25 * t + lead) + random.normal(0, 2, t.size)
        for lead in range(len(LEADS))
    ]
    whole = np.rint(leads).astype("<i2")
    return [whole[:, at : at + SAMPLES].tobytes() for at in range(0, whole.shape[1], SAMPLES)]


class Station:
    """One station's connection and what of it is acknowledged."""

    def __init__(self, port: int, key: str, attachment: str, number: int) -> None:
        self.line = Line(port, "/ws/station", {"Authorization": f"Bearer {key}"})
        self.attachment = attachment
        self.number = number
        self.stream = secrets.randbelow(1 << 31)  # a station's streams have numbers of their own for ever
        self.phase = number * GOLDEN % 1.0 * TICK
        self.head = bytearray(header(BINARY, HEAD.size + len(LEADS) * SAMPLES * 2))
        self.front = len(self.head)
        self.head += HEAD.pack(b"TMF1", 1, 0, 1, len(LEADS), self.stream, SAMPLES, 0, 0, 0, 0, 0, 0, 0, 0)
        self.seq = 0
        self.base_us = 0  # of frame 0
        self.first: tuple[int, int] | None = None  # base and number of the frames of the first measurement
        self.sent = [0.0] * RING
        self.through = -1
        self.unsent: deque[memoryview] = deque()

    def announce(self, started_us: int) -> None:
        self.line.say({
            "type": "announce", "live_from": 0, "stream": {
                "number": self.stream, "device": "benchmark", "kind": "ecg", "epoch": str(uuid.uuid4()),
                "format": "native", "origin": "simulated", "rate": [RATE, 1], "attachment": self.attachment,
                "channels": [{"name": lead, "unit": "uV", "gain": 1.25, "offset": 0.0} for lead in LEADS],
                "started_us": started_us,
            },
        })

    def frame(self, seq: int, payload: bytes, base_us: int) -> bytearray:
        """The head of one frame, its checksum set; the payload follows it on the wire."""
        head, front = self.head, self.front
        CHANGING.pack_into(head, front + CHANGING_AT, seq, seq * SAMPLES, base_us + seq * 200_000, len(payload), 0)
        crc = zlib.crc32(payload, zlib.crc32(memoryview(head)[front:]))
        struct.pack_into("<I", head, front + CRC_AT, crc)
        return head

    def send(self, payload: bytes, now: float) -> bool:
        """Send the next frame; returns whether the kernel took it whole. What it did not take waits here."""
        head = self.frame(self.seq, payload, self.base_us)
        self.sent[self.seq % RING] = now
        self.seq += 1
        if not self.unsent:
            try:
                taken = self.line.socket.sendmsg((head, payload))
            except BlockingIOError:
                taken = 0
            if taken == len(head) + len(payload):
                return True
            self.unsent.append(memoryview(bytes(head) + payload)[taken:])
        else:
            self.unsent.append(memoryview(bytes(head) + payload))
        return False

    def flush(self) -> bool:
        """Send what waits; returns whether nothing does any more."""
        while self.unsent:
            try:
                taken = self.line.socket.send(self.unsent[0])
            except BlockingIOError:
                return False
            if taken < len(self.unsent[0]):
                self.unsent[0] = self.unsent[0][taken:]
            else:
                self.unsent.popleft()
        return True


class Load:
    """All stations of this process."""

    def __init__(self, port: int, seeded: list[list[str]]) -> None:
        self.port, self.seeded = port, seeded
        self.stations: list[Station] = []
        self.idle: list[Station] = []
        self.poll = select.epoll()
        self.by_file: dict[int, Station] = {}
        self.payloads = loop_of_ecg()
        self.acknowledged: list[float] = []
        self.late: list[float] = []
        self.refused = 0

    def connect(self, stations: int) -> None:
        """Connect up to so many stations, each with its ECG announced."""
        self.stations += self.join(len(self.stations), stations, announce=True)

    def open_idle(self, stations: int) -> None:
        """Connect so many more stations that announce nothing."""
        first = len(self.stations) + len(self.idle)
        self.idle += self.join(first, first + stations, announce=False)

    def join(self, first: int, last: int, *, announce: bool) -> list[Station]:
        """Shake hands as stations ``first`` to before ``last``."""
        made: list[Station] = []
        for begin in range(first, last, TOGETHER):
            numbers = range(begin, min(begin + TOGETHER, last))
            some = [Station(self.port, *self.seeded[number][:2], number) for number in numbers]
            for one in some:
                one.line.opened()
                one.line.say({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid.uuid4())})
            for one in some:
                one.line.hear("welcome")
                if announce:
                    one.announce(time.time_ns() // 1000 - 1_000_000)
            for one in some:
                if announce:
                    one.line.hear("announced")
                one.line.socket.setblocking(False)
                self.by_file[one.line.socket.fileno()] = one
                self.poll.register(one.line.socket, select.EPOLLIN)
                self.read(one, b"")
            made += some
            self.wait(0.0)  # clock questions are answered meanwhile
        return made

    def measure(self, stations: int, warm: float, seconds: float) -> dict[str, Any]:
        """Let the first ``stations`` send; figures of the last ``seconds``."""
        active = sorted(self.stations[:stations], key=lambda one: one.phase)
        begin = time.perf_counter() + 0.05
        wall_us = time.time_ns() // 1000 + 50_000
        for one in active:
            # Frame k of this run is sent at begin + phase + k * TICK, and holds the 200 ms before.
            one.base_us = wall_us + int(one.phase * 1e6) - (one.seq + 1) * 200_000
        counting = begin + warm
        end = counting + seconds
        own = wall = 0.0
        cycle = at = 0
        while True:
            now = time.perf_counter()
            if not own and now >= counting:
                own, wall = time.process_time(), now
                self.acknowledged.clear()
                self.late.clear()
            if now >= end:
                break
            while (due := begin + cycle * TICK + active[at].phase) <= now:
                station = active[at]
                if not station.send(self.payloads[(station.seq + station.number) % LOOP], time.perf_counter()):
                    self.poll.modify(station.line.socket, select.EPOLLIN | select.EPOLLOUT)
                self.late.append(now - due)
                at += 1
                if at == len(active):
                    at, cycle = 0, cycle + 1
            self.wait(due - time.perf_counter())
        spent, took = time.process_time() - own, time.perf_counter() - wall
        waiting = sum(one.seq - 1 - one.through for one in active)
        acknowledged, late = self.acknowledged or [float("nan")], self.late or [float("nan")]
        figures = {
            "p50": percentile(acknowledged, 0.5), "p95": percentile(acknowledged, 0.95),
            "p99": percentile(acknowledged, 0.99), "late_p99": percentile(late, 0.99),
            "rate": len(self.acknowledged) / took, "cpu": spent / took, "waiting": waiting, "refused": self.refused,
            "unsent": sum(bool(one.unsent) for one in active),
        }
        for one in active:
            one.first = one.first or (one.base_us, one.seq)
        self.drain(active)
        return figures

    def drain(self, active: list[Station], seconds: float = 20.0) -> None:
        """Wait until everything is acknowledged, so that the next measurement begins clean."""
        end = time.perf_counter() + seconds
        while any(one.through < one.seq - 1 for one in active) and time.perf_counter() < end:
            self.wait(0.05)

    def again(self, stations: int, chunks: int) -> dict[str, Any]:
        """Each station sends its first chunks once more, as fast as the server reads; the seconds of writing them."""
        chosen = self.stations[:stations]
        for one in chosen:
            base_us, sent = one.first or (0, 0)
            if sent < chunks:
                raise ValueError(f"station {one.number} has sent {sent} chunks")
            again = bytearray()
            for seq in range(chunks):
                payload = self.payloads[(seq + one.number) % LOOP]
                again += one.frame(seq, payload, base_us) + payload
            one.unsent.append(memoryview(bytes(again)))
        began = time.perf_counter()
        for one in chosen:
            self.poll.modify(one.line.socket, select.EPOLLIN | select.EPOLLOUT)
        while any(one.unsent for one in chosen):
            self.wait(0.05)
        return {"seconds": time.perf_counter() - began, "refused": self.refused}

    def wait(self, seconds: float) -> None:
        """Read and write what is ready, for at most so long."""
        for file, event in self.poll.poll(max(0.0, seconds)):
            if (station := self.by_file.get(file)) is None:
                continue  # a command
            if event & select.EPOLLOUT and station.flush():
                self.poll.modify(file, select.EPOLLIN)
            if event & select.EPOLLIN:
                data = station.line.socket.recv(READ_BYTES)
                if not data:
                    raise RuntimeError(f"the server closed station {station.number}")
                self.read(station, data)

    def read(self, station: Station, data: bytes) -> None:
        now = time.perf_counter()
        for opcode, payload in station.line.messages(data):
            if opcode == CLOSE:
                raise RuntimeError(f"the server closed station {station.number}: {payload!r}")
            if opcode != TEXT:
                if opcode == PING:
                    station.line.socket.send(header(10, len(payload)) + payload)
                continue
            event = json.loads(payload)
            if event["type"] == "ack":
                ranges = event["ranges"]
                if event["through"] is not None and event["through"] > station.through:
                    ranges = [(station.through + 1, event["through"]), *ranges]
                    station.through = event["through"]
                for low, high in ranges:
                    for seq in range(max(low, station.seq - RING), high + 1):
                        if sent := station.sent[seq % RING]:
                            self.acknowledged.append(now - sent)
                            station.sent[seq % RING] = 0.0
            elif event["type"] == "clock_ask":
                station.line.say({"type": "clock", "echo": event["server_us"], "stamp_us": time.time_ns() // 1000})
            elif event["type"] == "error":
                self.refused += 1
                print(event, file=sys.stderr, flush=True)


def main() -> None:
    """Serve commands until standard input ends."""
    load = Load(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())["stations"])
    commands = {"connect": load.connect, "idle": load.open_idle, "measure": load.measure, "again": load.again}
    serve(load.poll, commands, load.wait)


if __name__ == "__main__":
    main()
