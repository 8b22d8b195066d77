"""The watchers: pages that follow one view of their consultation, in a process of their own.

One command a line (JSON), one line back. ``{"do": "open", "consultations": [id, ...], "each": n, "view": name}`` opens
n sockets for each and asks for its ECG; ``{"do": "stall", "count": n}`` stops reading the first n; ``{"do": "measure",
"seconds": s}`` tells how late frames came: from the end of their newest sample, which is sent at once, to here.
"""

from __future__ import annotations

import json
import select
import struct
import sys
import time
import uuid
from typing import Any, Final

from _ingest_socket import BINARY, CLOSE, PING, READ_BYTES, TEXT, Line, header, serve
from _report import percentile

TOGETHER: Final = 50
SAMPLE_US: Final = 2000  # 500 Hz
SAMPLES_AT: Final = 12  # places in the native frame (protocol section 2)
T0_AT: Final = 32
FLAGS_AT: Final = 48


class Page:
    """One page's connection."""

    def __init__(self, port: int, cookie: str, consultation: str, view: str) -> None:
        headers = {"Origin": f"http://127.0.0.1:{port}", "Cookie": cookie}
        self.line = Line(port, f"/ws/consultations/{consultation}", headers)
        self.view = view
        self.watched: set[int] = set()
        self.late: list[float] = []
        self.gaps = 0
        self.reads = True


class Watchers:
    """All pages of this process."""

    def __init__(self, port: int, cookie: str) -> None:
        self.port, self.cookie = port, cookie
        self.pages: list[Page] = []
        self.poll = select.epoll()
        self.by_file: dict[int, Page] = {}

    def open(self, consultations: list[str], each: int = 1, view: str = "monitor") -> None:
        """Open the pages; they watch what is listed, now and later."""
        wanted = [one for one in consultations for _ in range(each)]
        for begin in range(0, len(wanted), TOGETHER):
            some = [Page(self.port, self.cookie, one, view) for one in wanted[begin : begin + TOGETHER]]
            for one in some:
                one.line.opened()
                one.line.say({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid.uuid4()), "page": False})
            for one in some:
                self.hear(one, one.line.hear("welcome"))
                one.line.socket.setblocking(False)
                self.by_file[one.line.socket.fileno()] = one
                self.poll.register(one.line.socket, select.EPOLLIN)
                self.read(one, b"")
            self.pages += some
            self.wait(0.0)

    def close(self) -> None:
        """End every page."""
        for one in self.pages:
            del self.by_file[one.line.socket.fileno()]
            self.poll.unregister(one.line.socket)
            one.line.socket.close()
        self.pages = []

    def stall(self, count: int) -> None:
        """The first ``count`` pages read nothing any more, though their connections stay."""
        for one in self.pages[:count]:
            self.poll.modify(one.line.socket, 0)
            one.reads = False

    def measure(self, seconds: float) -> dict[str, Any]:
        """Figures of the next ``seconds``."""
        for one in self.pages:
            one.late, one.gaps = [], 0
        began, own = time.perf_counter(), time.process_time()
        while (left := began + seconds - time.perf_counter()) > 0:
            self.wait(left)
        took, spent = time.perf_counter() - began, time.process_time() - own
        late = [value for one in self.pages if one.reads for value in one.late] or [float("nan")]
        return {
            "p50": percentile(late, 0.5), "p95": percentile(late, 0.95), "p99": percentile(late, 0.99),
            "rate": len(late) / took, "cpu": spent / took, "gaps": sum(one.gaps for one in self.pages if one.reads),
            "quiet": sum(one.reads and not one.late for one in self.pages),
        }

    def wait(self, seconds: float) -> None:
        """Read what is ready, for at most so long."""
        for file, _ in self.poll.poll(max(0.0, seconds)):
            if (page := self.by_file.get(file)) is None or not page.reads:
                continue
            data = page.line.socket.recv(READ_BYTES)
            if not data:
                raise RuntimeError("the server closed a page")
            self.read(page, data)

    def read(self, page: Page, data: bytes) -> None:
        now_us = time.time_ns() / 1000
        for opcode, payload in page.line.messages(data):
            if opcode == BINARY:
                n, = struct.unpack_from("<I", payload, SAMPLES_AT)
                t0_us, = struct.unpack_from("<q", payload, T0_AT)
                page.late.append((now_us - t0_us - n * SAMPLE_US) / 1e6)
                page.gaps += payload[FLAGS_AT] & 1
            elif opcode == TEXT:
                self.hear(page, json.loads(payload))
            elif opcode == PING:
                page.line.socket.send(header(10, len(payload)) + payload)
            elif opcode == CLOSE:
                raise RuntimeError(f"the server closed a page: {payload!r}")

    def hear(self, page: Page, event: dict[str, Any]) -> None:
        if event["type"] == "clock_ask":
            page.line.say({"type": "clock", "echo": event["server_us"], "stamp_us": time.time_ns() // 1000})
        elif event["type"] == "error":
            print(event, file=sys.stderr, flush=True)
        for stream in event.get("streams", []) if event["type"] in ("welcome", "streams") else []:
            if stream["kind"] == "ecg" and stream["stream"] not in page.watched:
                page.watched.add(stream["stream"])
                page.line.say({"type": "watch", "stream": stream["stream"], "view": page.view})


def main() -> None:
    """Serve commands until standard input ends."""
    watchers = Watchers(int(sys.argv[1]), sys.argv[2])
    commands = {"open": watchers.open, "close": watchers.close, "stall": watchers.stall, "measure": watchers.measure}
    serve(watchers.poll, commands, watchers.wait)


if __name__ == "__main__":
    main()
