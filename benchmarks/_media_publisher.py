"""The publisher of the media benchmark, in a process of its own: 720p VP8 and Opus at their pace, without end.

Arguments: the SRTP profile (``cm``, ``gcm``) and ``paced`` or ``unpaced``. Lines (see ``_media_lines``): ``offer`` →
{"sdp"}; ``accept`` {"sdp"} → {}; ``connect`` → {}, and it sends; ``finish`` {"path"} → {"late_p99_ms"}, and it ends.
The file holds each packet's kind, sequence number, payload length and time just before ``send``.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import select
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _media_lines import Answer, reply
from _media_peer import STUN_SECONDS, Line, Peer
from _media_stream import PERIODS_S, Stream, material
from _report import percentile

PACE_SECONDS = 0.025  # over which a paced frame's packets go out, of 33 ms: as a browser's pacer spreads them
REPORT_SECONDS = 1.0  # between sender reports, as browsers send them
LISTEN_SECONDS = 0.02  # between looks at the socket and the input
HEADER_BYTES = 12  # our packets have neither CSRCs nor extensions
DATAGRAM_BYTES = 2_048


class Publisher:
    """Sends what is due when it is due, and listens in between."""

    def __init__(self, line: Line, paced: bool) -> None:
        self._line = line
        self._paced = paced
        kinds = material()
        self._streams = {kind: Stream(kind, line.types[kind], line.ssrcs[kind], kinds[kind]) for kind in kinds}
        # Due at, a number so that nothing else is compared, what, packets still to be sent of it.
        self._due: list[tuple[float, int, str, list[bytes]]] = []
        self._number = 0
        self.sent: list[tuple[bool, int, int, int]] = []
        self.late_s: list[float] = []

    def run(self) -> Answer:
        """Send until a line comes; that line."""
        now = time.perf_counter()
        for what in (*self._streams, "report", "check", "listen"):
            self._at(now, what)
        while True:
            due, _, what, packets = heapq.heappop(self._due)
            time.sleep(max(0.0, due - time.perf_counter()))
            if what == "listen":
                if (told := self._listen()) is not None:
                    return told
                self._at(due + LISTEN_SECONDS, what)
            elif what == "check":
                self._line.socket.send(self._line.check())
                self._at(due + STUN_SECONDS, what)
            elif what == "report":
                for stream in self._streams.values():
                    self._line.socket.send(self._line.keys.protect_rtcp(stream.report(time.time())))
                self._at(due + REPORT_SECONDS, what)
            else:
                self.late_s.append(time.perf_counter() - due)
                self._media(due, what, packets)

    def _media(self, due: float, what: str, packets: list[bytes]) -> None:
        if not packets:
            self._at(due + PERIODS_S[what], what)
            packets = self._streams[what].next_packets()
            if self._paced and len(packets) > 1:
                step = PACE_SECONDS / len(packets)
                for place, packet in enumerate(packets[1:], 1):
                    self._at(due + place * step, what, [packet])
                packets = packets[:1]
        sealed = [self._line.keys.protect(packet) for packet in packets]
        video, send, sent = what == "video", self._line.socket.send, self.sent
        for packet, wire in zip(packets, sealed, strict=True):
            sent.append((video, packet[2] << 8 | packet[3], len(packet) - HEADER_BYTES, time.time_ns()))
            send(wire)

    def _at(self, due: float, what: str, packets: list[bytes] | None = None) -> None:
        self._number += 1
        heapq.heappush(self._due, (due, self._number, what, packets or []))

    def _listen(self) -> Answer | None:
        """Answer STUN; reports, NACKs and key frame requests are let be, for both servers alike."""
        while True:
            try:
                data = self._line.socket.recv(DATAGRAM_BYTES)
            except BlockingIOError:
                break
            if data and data[0] < 4 and (response := self._line.answer(data)) is not None:  # RFC 7983: STUN
                self._line.socket.send(response)
        if select.select([sys.stdin], [], [], 0)[0]:
            told: Answer = json.loads(sys.stdin.readline() or "null") or {"op": "end"}
            return told
        return None


async def connect(profile: str) -> tuple[Line, Answer]:
    """Do as the first lines say; the connected line and the question that waits for its answer."""
    peer = Peer("sendonly", profile)
    while True:
        question: Any = json.loads(await asyncio.to_thread(sys.stdin.readline))
        if question["op"] == "offer":
            reply(question, {"sdp": await peer.offer()})
        elif question["op"] == "accept":
            await peer.accept(question["sdp"])
            reply(question, {})
        else:
            return await peer.connect(), question


def main(profile: str, pace: str) -> None:
    """Connect, send, write down."""
    line, question = asyncio.run(connect(profile))
    publisher = Publisher(line, pace == "paced")
    gc.freeze()
    gc.disable()
    reply(question, {})
    told = publisher.run()
    if told["op"] == "end":
        return
    columns = np.array(publisher.sent, np.int64).T
    names = ("video", "sequence", "payload", "time_ns")
    np.savez(Path(told["path"]), **dict(zip(names, columns, strict=True)))
    reply(told, {"late_p99_ms": percentile(publisher.late_s, 0.99) * 1e3})


if __name__ == "__main__":
    main(*sys.argv[1:3])
