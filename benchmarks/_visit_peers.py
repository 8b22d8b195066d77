"""The peers of some consultations, in a process of their own; told what to do by lines on standard input.

Standard input: one JSON line {"url", "visits": [[side, side]]}, a side being {"room", "query", "cookie", "me"}; then
``begin``, ``quiet`` and ``report``, each answered by a line. Between ``begin`` and ``quiet`` both sides of a visit
send and receive; what is sent and what arrives is counted packet by packet, and each packet's way is timed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import json
import secrets
import struct
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import aioice.ice
from _media_material import AUDIO_STEP, FRAMES_A_SECOND, VIDEO_STEP, Material, picture, voice
from _report import percentile
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy

from telemed.media.offer import read_description
from telemed.media.relay.rtp import SenderReport, sender_report, source_description

KINDS = ("audio", "video")
CONNECT_SECONDS = 180.0  # for all of them one after the other, on two busy cores
QUIET_SECONDS = 0.7
PACED, PACE_SECONDS = 2, 0.004  # packets of a frame at once, then a pause, as a browser's pacer makes
REPORT_SECONDS = 1.0  # between sender reports, as browsers send them
RTP = struct.Struct("!BBHLL")  # RFC 3550 section 5.1
NTP_UNIX_SECONDS = 2_208_988_800


async def _nothing(_: Any) -> None:
    """In place of aiortc's own sending and receiving."""


@dataclass
class Stream:
    """One kind of one publication, as sent and as received at the other side."""

    payload_type: int
    units: Material
    step: int
    ssrc: int = field(default_factory=lambda: secrets.randbits(32) | 1)
    sequence: int = field(default_factory=lambda: secrets.randbelow(30_000))
    timestamp: int = field(default_factory=lambda: secrets.randbits(31))
    unit: int = 0
    octets: int = 0
    sent: list[float] = field(default_factory=list)  # when, by packet since ``begin``
    arrived: dict[int, float] = field(default_factory=dict)  # when, by sequence at the receiver since its first
    first: int | None = None

    def restart(self) -> None:
        """Count from here."""
        self.sent, self.arrived, self.first = [], {}, None

    def next_packets(self) -> list[bytes]:
        """The next frame or 20 ms as RTP."""
        unit = self.units[self.unit % len(self.units)]
        self.unit += 1
        packets = []
        for number, payload in enumerate(unit):
            marker = 0x80 if self.step == VIDEO_STEP and number == len(unit) - 1 else 0
            header = RTP.pack(0x80, marker | self.payload_type, self.sequence, self.timestamp, self.ssrc)
            packets.append(header + payload)
            self.sequence = (self.sequence + 1) & 0xFFFF
            self.octets += len(payload)
        self.timestamp = (self.timestamp + self.step) & 0xFFFFFFFF
        return packets

    def report(self, now: float) -> bytes:
        """A sender report of now."""
        wall = time.time()
        ntp = (int(wall) + NTP_UNIX_SECONDS) << 32 | int(wall % 1 * 2**32)
        report = SenderReport(self.ssrc, ntp, self.timestamp, max(1, len(self.sent)), self.octets & 0xFFFFFFFF)
        return sender_report(report) + source_description(self.ssrc, "benchmark")

    def arrive(self, data: bytes, now: float) -> None:
        """A packet came."""
        sequence = data[2] << 8 | data[3]
        if self.first is None:
            self.first = sequence
        # Unrolled against how many came: a run is longer than 65,536 packets.
        place = (sequence - self.first) & 0xFFFF
        place += (len(self.arrived) - place + 0x8000) & ~0xFFFF
        self.arrived.setdefault(place, now)

    def result(self) -> dict[str, Any]:
        """Sent, received, and how long the packets were on their way, in ms (every 7th)."""
        way = [(self.arrived[at] - self.sent[at]) * 1e3 for at in range(0, len(self.sent), 7) if at in self.arrived]
        return {"sent": len(self.sent), "received": len(self.arrived), "ways": way}


class Leg:
    """One WHIP or WHEP session with aiortc's ICE and DTLS, its packets by us: neither encoder nor decoder."""

    def __init__(self, direction: str) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        for kind in KINDS:
            transceiver = self.peer.addTransceiver(kind, direction=direction)
            transceiver.sender.send = transceiver.receiver.receive = _nothing  # type: ignore[method-assign, assignment]
        self.dtls: Any = self.peer.getTransceivers()[0].receiver.transport
        self.dtls._handle_rtcp_data = _nothing
        self.streams: dict[int, Stream] = {}  # by payload type, of a leg that receives

    async def open(self, http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> dict[str, int]:
        """POST the offer and connect; returns the payload type of each kind."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        while True:
            async with http.post(url, data=self.peer.localDescription.sdp, headers=headers) as answer:
                text = await answer.text()
                if answer.status == 201:
                    break
                if answer.status != 409:
                    raise RuntimeError(f"{answer.status} {text}")
            await asyncio.sleep(0.2)  # the publisher is still connecting
        await self.peer.setRemoteDescription(RTCSessionDescription(text, "answer"))
        types = {section.kind: section.codecs[0].payload_type for section in read_description(text).sections}
        while self.dtls.state != "connected":  # noqa: ASYNC110  (aiortc's own event comes before its keys)
            await asyncio.sleep(0.02)
        return types

    def receive(self, streams: dict[int, Stream]) -> None:
        """Count what comes for these streams, by payload type."""

        async def rtp(data: bytes, arrival_time_ms: int) -> None:
            if (stream := streams.get(data[1] & 0x7F)) is not None:
                stream.arrive(data, time.perf_counter())

        self.dtls._handle_rtp_data = rtp

    def send(self, packet: bytes, rtcp: bool = False) -> None:
        """Encrypt and send."""
        session = self.dtls._tx_srtp
        sealed = session.protect_rtcp(packet) if rtcp else session.protect(packet)
        pair = self.dtls.transport._connection._nominated[1]
        pair.protocol.transport.sendto(sealed, pair.remote_addr)


class Side:
    """One person of a visit: a page's socket, what it publishes, what it plays."""

    def __init__(self, url: str, side: dict[str, str]) -> None:
        self._url, self._room, self._query, self._me = url, side["room"], side["query"], side["me"]
        self._headers = {"Origin": url, "Cookie": side["cookie"]}
        self.publishes, self.plays = Leg("sendonly"), Leg("recvonly")
        self.streams: dict[str, Stream] = {}
        self.publication: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # of the other side
        self.socket: asyncio.Task[None] | None = None

    async def publish(self, http: aiohttp.ClientSession, material: dict[str, Material]) -> None:
        """Publish camera and microphone."""
        self.socket = asyncio.create_task(self._page(http))
        url = f"{self._url}/whip/{self._room}{self._query}"
        types = await self.publishes.open(http, url, self._headers | {"Content-Type": "application/sdp"})
        for kind, step in (("audio", AUDIO_STEP), ("video", VIDEO_STEP)):
            self.streams[kind] = Stream(types[kind], material[kind], step, unit=secrets.randbelow(250))

    async def play(self, http: aiohttp.ClientSession, other: Side) -> None:
        """Play what the other side publishes."""
        publication = await self.publication
        url = f"{self._url}/whep/{publication}{self._query}"
        types = await self.plays.open(http, url, self._headers | {"Content-Type": "application/sdp"})
        self.plays.receive({types[kind]: other.streams[kind] for kind in KINDS})

    async def _page(self, http: aiohttp.ClientSession) -> None:
        """The page's socket: it learns of the other's publication, and its being open is the person's presence."""
        address = f"{self._url}/ws/consultations/{self._room}{self._query}".replace("http", "ws", 1)
        async with http.ws_connect(address, headers=self._headers, max_msg_size=1 << 21) as socket:
            await socket.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid.uuid4())})
            async for message in socket:
                if message.type != aiohttp.WSMsgType.TEXT:
                    continue
                event = json.loads(message.data)
                if event["type"] == "clock_ask":
                    stamp = time.time_ns() // 1000
                    await socket.send_json({"type": "clock", "echo": event["server_us"], "stamp_us": stamp})
                for one in event.get("publications", []):
                    if one["participant"] != self._me and not self.publication.done():
                        self.publication.set_result(one["id"])


async def send(sides: list[Side], stopping: asyncio.Event) -> None:
    """Everybody's frames and voices when they are due, until told to stop."""
    now = time.perf_counter()
    periods = {"audio": 0.02, "video": 1 / FRAMES_A_SECOND, "report": REPORT_SECONDS}
    # (due, a number so that nothing else is compared, side, what, packets still to be sent of it)
    due: list[tuple[float, int, Side, str, list[bytes]]] = []
    number = 0
    for side in sides:
        for what, period in periods.items():
            number += 1
            due.append((now + secrets.randbelow(1000) / 1000 * period, number, side, what, []))
    heapq.heapify(due)
    while not stopping.is_set():
        at, _, side, what, rest = heapq.heappop(due)
        wait = at - time.perf_counter()
        await asyncio.sleep(max(0.0, wait))
        number += 1
        if what == "report":
            for stream in side.streams.values():
                side.publishes.send(stream.report(at), rtcp=True)
        else:
            stream = side.streams[what]
            packets = rest or stream.next_packets()
            for packet in packets[:PACED]:
                stream.sent.append(time.perf_counter())
                side.publishes.send(packet)
            if len(packets) > PACED:  # the rest of this frame first
                heapq.heappush(due, (at + PACE_SECONDS, number, side, what, packets[PACED:]))
                number += 1
            if rest:
                continue
        heapq.heappush(due, (at + periods[what], number, side, what, []))


def results(pairs: list[list[Side]]) -> dict[str, Any]:
    """By direction and kind: sent, received, and percentiles of the way in ms."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        for place, direction in enumerate(("to the guest", "to the clinician")):
            parts = [pair[place].streams[kind].result() for pair in pairs]
            ways = [way for part in parts for way in part["ways"]]
            found[f"{kind} {direction}"] = {
                "sent": sum(part["sent"] for part in parts),
                "received": sum(part["received"] for part in parts),
                "worst": min(part["received"] / max(1, part["sent"]) for part in parts),
                "p50_ms": percentile(ways, 0.5) if ways else 0.0,
                "p99_ms": percentile(ways, 0.99) if ways else 0.0,
            }
    return found


async def main() -> None:
    """Do as told."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    told = json.loads(sys.stdin.readline())
    material: dict[str, Material] = {"audio": voice(), "video": picture()}
    pairs = [[Side(told["url"], side) for side in visit] for visit in told["visits"]]
    sides = [side for pair in pairs for side in pair]
    stopping, sending = asyncio.Event(), list[asyncio.Task[None]]()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as http:
        async with asyncio.timeout(CONNECT_SECONDS):
            for pair in pairs:
                await asyncio.gather(*(side.publish(http, material) for side in pair))
                sending.append(asyncio.create_task(send(pair, stopping)))  # a silent publisher is let go
                await asyncio.gather(pair[0].play(http, pair[1]), pair[1].play(http, pair[0]))
        gc.freeze()
        print("ready", flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if line in ("begin", "quiet"):
                stopping.set()
                await asyncio.gather(*sending)
                await asyncio.sleep(QUIET_SECONDS)  # whatever is on its way arrives
            if line == "begin":
                for stream in (stream for side in sides for stream in side.streams.values()):
                    stream.restart()
                stopping = asyncio.Event()
                sending = [asyncio.create_task(send(sides, stopping))]
            print(json.dumps(results(pairs)) if line == "report" else line, flush=True)
        for side in sides:
            if side.socket is not None:
                side.socket.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10.0):
                await asyncio.gather(*(leg.peer.close() for side in sides for leg in (side.publishes, side.plays)))


if __name__ == "__main__":
    asyncio.run(main())
