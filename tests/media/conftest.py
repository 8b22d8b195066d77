"""A media plane without the rest of the server, and peers: aiortc's own, driven as a browser or a station would."""

from __future__ import annotations

import asyncio
import fractions
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import aioice.ice
import numpy as np
import pylibsrtp
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioFrame, MediaStreamError, VideoFrame
from aiortc.rtp import is_rtcp

from telemed.consultation.rooms import Listener, Rooms
from telemed.media.backend import Publisher, Resource
from telemed.media.offer import read_description
from telemed.media.plane import MediaPlane
from telemed.media.relay.relay import Relay
from telemed.media.relay.rtp import PacketMalformed, RtpPacket, parse_rtcp, parse_rtp
from tests.server.conftest import more_settings  # noqa: F401  (a fixture of the server's)

WAIT_SECONDS = 20.0  # for any condition, on two busy cores
ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"
TONE_HZ = 440


async def until(holds: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """The first true value of ``holds``, looked at every 10 ms."""
    async with asyncio.timeout(seconds):
        while not (value := holds()):  # noqa: ASYNC110  (any condition at all)
            await asyncio.sleep(0.01)
    assert value, what
    return value


class Picture(MediaStreamTrack):
    """A moving gradient, 160 × 120, 20 a second; ``held`` stops it."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.held = asyncio.Event()

    async def recv(self) -> VideoFrame:
        await asyncio.sleep(0.05)
        if self.held.is_set():
            await asyncio.Future()
        self.number += 1
        rows = (np.arange(120)[:, None] + np.arange(160)[None, :] + 4 * self.number) % 256
        frame = VideoFrame.from_ndarray(np.repeat(rows[:, :, None], 3, axis=2).astype(np.uint8), format="rgb24")
        frame.pts, frame.time_base = self.number * 4500, fractions.Fraction(1, 90_000)
        return frame


class Tone(MediaStreamTrack):
    """A sine of ``TONE_HZ``, 48 kHz mono, 20 ms a frame, against the loop's clock."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.began: float | None = None

    async def recv(self) -> AudioFrame:
        now = asyncio.get_running_loop().time()
        self.began = self.began or now
        await asyncio.sleep(max(0.0, self.began + self.number * 0.02 - now))
        t = np.arange(960) + 960 * self.number
        self.number += 1
        samples = (8000 * np.sin(2 * math.pi * TONE_HZ * t / 48_000)).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, int(t[0])
        frame.time_base = fractions.Fraction(1, 48_000)
        return frame


@dataclass
class Peer:
    """An aiortc peer. ``sent`` and ``received`` are RTP packets in the clear, before and after SRTP."""

    pc: RTCPeerConnection
    sent: list[RtpPacket] = field(default_factory=list)
    received: list[RtpPacket] = field(default_factory=list)
    feedback: list[Any] = field(default_factory=list)
    frames: list[Any] = field(default_factory=list)
    resource: Resource | None = None
    answer: str = ""
    repeats: tuple[str, ...] = ("video",)  # kinds of which packets may come again under another SSRC
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def dtls(self) -> Any:
        return self.pc.getTransceivers()[0].receiver.transport

    @property
    def connected(self) -> bool:
        return self.pc.connectionState == "connected"

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        self.answer = answer
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        self._tap()

    def payload_type(self, kind: str) -> int:
        section = read_description(self.answer).section(kind)
        assert section is not None
        return section.codecs[0].payload_type

    async def send(self, packet: RtpPacket) -> None:
        """One packet of our own making, through this peer's SRTP."""
        await self.dtls._send_rtp(packet.rebuilt(packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc))

    async def send_rtcp(self, data: bytes) -> None:
        await self.dtls._send_rtp(data)

    def consume(self) -> None:
        """Decode what comes and keep the frames, as a viewer's page does."""

        async def read(track: MediaStreamTrack) -> None:
            try:
                while True:
                    self.frames.append(await track.recv())
            except MediaStreamError:
                return

        for receiver in self.pc.getReceivers():
            if receiver.track is not None:
                self.tasks.append(asyncio.ensure_future(read(receiver.track)))

    def lose(self, lost: Callable[[int], bool]) -> None:
        """Lose incoming packets by sequence number, on the way: before SRTP has seen them."""
        session = self.dtls._rx_srtp

        class Lossy:
            def unprotect(self, data: bytes) -> bytes:
                if lost(int.from_bytes(data[2:4], "big")):
                    raise pylibsrtp.Error("lost on the way")
                return bytes(session.unprotect(data))

            def unprotect_rtcp(self, data: bytes) -> bytes:
                return bytes(session.unprotect_rtcp(data))

        self.dtls._rx_srtp = Lossy()

    def of(self, kind: str) -> list[RtpPacket]:
        """Packets received of this kind."""
        wanted = self.payload_type(kind)
        return [packet for packet in self.received if packet.payload_type == wanted]

    def _unrepeated(self, packet: RtpPacket) -> RtpPacket:
        """A packet that was sent again inside another (RFC 4588 section 4), as it was before; others as they are."""
        for kind in self.repeats:
            section = read_description(self.answer).section(kind)
            if section is not None and packet.payload_type == section.codecs[0].rtx:
                number = int.from_bytes(packet.payload[:2], "big")
                before = replace(packet, sequence=number, payload=packet.payload[2:])
                return replace(before, payload_type=section.codecs[0].payload_type, ssrc=section.ssrc or 0)
        return packet

    async def close(self) -> None:
        await self.pc.close()
        for task in self.tasks:
            task.cancel()

    def _tap(self) -> None:
        dtls = self.dtls
        send, take, take_rtcp = dtls._send_rtp, dtls._handle_rtp_data, dtls._handle_rtcp_data

        async def sending(data: bytes) -> None:
            if not is_rtcp(data):
                self.sent.append(parse_rtp(data))
            await send(data)

        async def taking(data: bytes, arrival_time_ms: int) -> None:
            self.received.append(self._unrepeated(parse_rtp(data)))
            await take(data, arrival_time_ms=arrival_time_ms)

        async def taking_rtcp(data: bytes) -> None:
            try:
                self.feedback.extend(parse_rtcp(data))
            except PacketMalformed:
                self.feedback.append(None)
            await take_rtcp(data)

        dtls._send_rtp, dtls._handle_rtp_data, dtls._handle_rtcp_data = sending, taking, taking_rtcp


@pytest.fixture(autouse=True)
def loopback_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own peers gather 127.0.0.1, which aioice leaves out."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


Make = Callable[..., Awaitable[Peer]]


def new_peer() -> Peer:
    """A peer with no default STUN server."""
    return Peer(RTCPeerConnection(RTCConfiguration(iceServers=[])))


@dataclass
class Plane:
    """The media plane, its rooms, and peers on it that are closed at the end."""

    media: MediaPlane
    relay: Relay
    rooms: Rooms
    stack: AsyncExitStack

    async def publisher(
        self, *tracks: MediaStreamTrack | str, by: str = "station", source: Any = "camera", room: str = ROOM
    ) -> Peer:
        """A connected publisher of these tracks; a kind instead of a track sends nothing by itself."""
        peer = new_peer()
        self.stack.push_async_callback(peer.close)
        for track in tracks:
            peer.pc.addTransceiver(track, direction="sendonly")
        publisher = Publisher(f"{by}:1", by, source)
        peer.resource = await self.media.publish(room, publisher, await peer.offer(), owner=f"{by}:1")
        await peer.accept(peer.resource.answer_sdp)
        session = self.media._sessions[peer.resource.id]
        await until(lambda: session in self.media._live.values(), "publication is live")
        await until(lambda: peer.connected, "publisher is connected")
        return peer

    async def viewer(self, publisher: Peer, *kinds: str, participant: str = "") -> Peer:
        """A connected viewer, joined: packets from now on are its."""
        assert publisher.resource is not None
        published = self.media._sessions.get(publisher.resource.id)  # a successor has the name of what was before it
        return await self.watch((published or publisher.resource).publication.id, *kinds, participant=participant)

    async def watch(self, publication: str, *kinds: str, participant: str = "") -> Peer:
        """The same, of a publication by its id."""
        peer = new_peer()
        self.stack.push_async_callback(peer.close)
        for kind in kinds:
            peer.pc.addTransceiver(kind, direction="recvonly")
        offer = await peer.offer()
        peer.resource = await self.media.play(publication, offer, participant=participant, owner="account:1")
        await peer.accept(peer.resource.answer_sdp)
        viewer = self.relay.viewers[peer.resource.id]
        await until(lambda: viewer in viewer.forwarder.viewers and peer.connected, "viewer has joined")
        return peer

    def listen(self, topic: str = f"consultation:{ROOM}") -> Listener:
        """A listener of the topic until the test ends."""
        return self.stack.enter_context(self.rooms.listen(topic))


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    """A media plane on 127.0.0.1."""
    rooms = Rooms()
    relay = Relay(("127.0.0.1",))
    media = MediaPlane(relay, rooms)
    async with AsyncExitStack() as stack:
        yield Plane(media, relay, rooms, stack)
        await media.close()


@pytest.fixture
def peer() -> Callable[[], Peer]:
    """A maker of unconnected peers, to be closed by the test."""
    return new_peer


@pytest.fixture
def wait() -> Any:
    """:func:`until`."""
    return until


@pytest.fixture
def picture() -> type[Picture]:
    """The moving picture."""
    return Picture


@pytest.fixture
def tone() -> type[Tone]:
    """The tone."""
    return Tone
