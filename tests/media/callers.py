"""Peers of a relay without SDP: one socket, signed checks, a handshake and SRTP each. Cheap enough for a thousand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

from aioice import stun

from telemed.media.client import RelayClient
from telemed.media.engine import Engine
from telemed.media.relay import rtp
from telemed.media.relay.adapter import Buffer, Certificate, Handshake
from telemed.media.relay.ice import Credentials
from telemed.media.relay.rtp import RtpPacket
from telemed.media.terms import Ground, Stream, Terms

AUDIO, VIDEO = 111, 96  # payload types
CODECS = {"audio": ("opus", AUDIO, 48_000), "video": ("VP8", VIDEO, 90_000)}
SSRC = 0x01020304
CHECK_SECONDS = 2.0  # between checks; browsers wait 2.5
AGAIN_SECONDS = 0.2  # between first checks
CONNECT_SECONDS = 30.0  # on two busy cores
SENT_KEPT = 500  # datagrams as they went over the line
PRIORITY = 1_845_501_695  # RFC 8445 section 5.1.2.1: a peer reflexive candidate

_numbers = count(1)
_certificate: list[Certificate] = []  # one for all peers: making one takes longer than a handshake


def stream(kind: str) -> Stream:
    """One kind without feedback, extensions or layers."""
    codec, payload_type, clock_hz = CODECS[kind]
    return Stream(kind, kind[0], codec, payload_type, clock_hz, None, True, True, False, {}, ())


class Caller:
    """One peer. ``received`` are RTP packets in the clear; ``controls`` decrypted RTCP; ``sent`` SRTP as it went over
    the line; ``foreign`` counts media datagrams that came and are not the relay's."""

    def __init__(self, *kinds: str, host: str = "127.0.0.1") -> None:
        self.name = f"leg{next(_numbers)}"
        self.streams = tuple(stream(kind) for kind in kinds or ("video",))
        self.credentials = Credentials()
        self.received: list[RtpPacket] = []
        self.controls: list[bytes] = []
        self.sent: list[bytes] = []
        self.answers: list[stun.Message] = []
        self.foreign = 0
        self.ground: Ground | None = None
        if not _certificate:
            _certificate.append(Certificate())
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._buffer = Buffer()
        self._checking: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self.handshake = Handshake(_certificate[0], self._send, self._changed.set)
        self.socket = self._open()

    @property
    def address(self) -> Any:
        """Where the relay listens."""
        assert self.ground is not None
        words = self.ground.candidates[0].split()
        return words[4], int(words[5])

    def terms(self, fingerprint: str | None = None) -> Terms:
        """What an offer of this peer would say."""
        mine = fingerprint or _certificate[0].fingerprint.split()[1]
        ours = self.credentials
        return Terms(ours.ufrag, ours.password, (("sha-256", mine),), False, self.streams)

    def check(self, *, nominate: bool = True, password: str = "", controlled: bool = False) -> bytes:
        """A check as a browser sends it (RFC 8445 section 7.2.2)."""
        assert self.ground is not None
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.ground.ufrag}:{self.credentials.ufrag}"
        request.attributes["PRIORITY"] = PRIORITY
        request.attributes["ICE-CONTROLLED" if controlled else "ICE-CONTROLLING"] = 1
        if nominate:
            request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity((password or self.ground.password).encode())
        request.add_fingerprint()
        return bytes(request)

    async def connect(self, ground: Ground) -> None:
        """Check, shake hands. Raises ``ConnectionError`` when the handshake fails."""
        self.ground = ground
        self._check()
        async with asyncio.timeout(CONNECT_SECONDS):
            while self.handshake.state not in ("connected", "failed", "closed"):
                self._changed.clear()
                await self._changed.wait()
        if self.handshake.state != "connected":
            raise ConnectionError(self.handshake.state)

    def send(self, packet: RtpPacket) -> bytes:
        """Send a packet; what went over the line."""
        assert self.handshake.keys is not None
        clear = packet.rebuilt(packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc)
        data = self.handshake.keys.seal_rtp(clear)
        assert data is not None
        self._send(data)
        self.sent = [*self.sent[-SENT_KEPT + 1 :], data]
        return data

    def picture(self, number: int, ssrc: int = SSRC) -> bytes:
        """Send a packet of video, unlike every other; its payload."""
        payload = b"\x10\x00\x9d\x01\x2a" + number.to_bytes(4, "big") * (10 + number % 200)
        self.send(RtpPacket(VIDEO, True, number & 0xFFFF, 3000 * number & 0xFFFFFFFF, ssrc, payload))
        return payload

    def send_rtcp(self, data: bytes) -> None:
        """Send a compound packet."""
        assert self.handshake.keys is not None
        sealed = self.handshake.keys.seal_rtcp(data)
        assert sealed is not None
        self._send(sealed)

    def send_raw(self, data: bytes) -> None:
        """Send a datagram from this peer's address."""
        self._send(data)

    def move(self) -> None:
        """Have another address from now on, of which the next check tells."""
        self._shut()
        self.socket = self._open()

    def check_now(self) -> None:
        """Check, and go on checking."""
        self._check()

    def hush(self) -> None:
        """Check no more."""
        if self._checking is not None:
            self._checking.cancel()

    def deafen(self) -> None:
        """Read nothing any more: what comes fills the socket's buffer."""
        self._loop.remove_reader(self.socket)

    def vanish(self) -> None:
        """Be gone without a word; idempotent."""
        self.hush()
        if self.socket.fileno() >= 0:
            self._shut()
            self._ending = asyncio.ensure_future(self.handshake.close())  # nobody hears it

    async def leave(self) -> None:
        """Say goodbye and be gone."""
        self.hush()
        await self.handshake.close()
        self.vanish()

    @property
    def payloads(self) -> list[bytes]:
        """What was received."""
        return [packet.payload for packet in self.received]

    def _open(self) -> socket.socket:
        opened = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind((self._host, 0))
        self._tied = False
        self._loop.add_reader(opened, self._readable)
        return opened

    def _shut(self) -> None:
        self._loop.remove_reader(self.socket)
        self.socket.close()

    def _check(self) -> None:
        self.hush()
        self._send(self.check())
        wait_s = CHECK_SECONDS if self.answers else AGAIN_SECONDS
        self._checking = self._loop.call_later(wait_s, self._check)

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the relay is gone, or the way is full: lost
            if not self._tied:  # a port is soon given again: who still sends to the peer before is not heard
                self.socket.connect(self.address)
                self._tied = True
            self.socket.send(data)

    def _readable(self) -> None:
        while True:
            try:
                length, _ = self.socket.recvfrom_into(self._buffer.room)
            except OSError:
                return
            self._take(length)

    def _take(self, length: int) -> None:
        first, data = self._buffer.room[0], bytes(self._buffer.room[:length])
        if first < 4:
            answer = stun.parse_message(data)
            assert self.ground is not None
            assert answer.check_message_integrity(self.ground.password.encode())
            self.answers.append(answer)
            self.handshake.begin(True, (tuple(self.ground.fingerprint.split()),))  # type: ignore[arg-type]
        elif 19 < first < 64:
            self.handshake.take(data)
        elif self.handshake.keys is not None:
            control = 191 < data[1] < 224
            keys = self.handshake.keys
            clear = keys.rtcp(self._buffer, length) if control else keys.rtp(self._buffer, length)
            if clear is None:
                self.foreign += 1
            elif control:
                self.controls.append(clear)
            else:
                self.received.append(rtp.parse_rtp(clear))
        # else it came in one go with the end of the handshake, whose keys are not worked out yet: lost


class Calls:
    """An engine, its events, and callers on it that are gone at the end."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[dict[str, Any]] = []
        self.callers: list[Caller] = []
        self.on_event: Callable[[dict[str, Any]], None] = lambda event: None
        engine.on_event = self._told

    async def publisher(self, *kinds: str, caller: Caller | None = None) -> Caller:
        """A connected publisher; its publication has its name."""
        caller = caller or Caller(*kinds)
        return await self._join(caller, "publish", caller.name)

    async def viewer(self, publisher: Caller, *kinds: str, caller: Caller | None = None) -> Caller:
        """A connected viewer: packets from now on are its."""
        return await self._join(caller or Caller(*kinds), "play", publisher.name)

    def told(self, what: str, caller: Caller) -> bool:
        """Whether the engine has said this of the caller."""
        return any(event["event"] == what and event.get("leg") == caller.name for event in self.events)

    async def _join(self, caller: Caller, role: Any, publication: str) -> Caller:
        self.callers.append(caller)
        await caller.connect(await self.engine.open(caller.name, role, publication, caller.terms()))
        async with asyncio.timeout(CONNECT_SECONDS):
            while not self.told("connected", caller):  # noqa: ASYNC110  (events have no waiting side)
                await asyncio.sleep(0.002)
        return caller

    def _told(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.on_event(event)


@contextlib.asynccontextmanager
async def process_calls(number: int = 0) -> AsyncIterator[Calls]:
    """Callers on a relay process of 127.0.0.1."""
    async with calls_on(RelayClient(("127.0.0.1",), number, local_only=True)) as calls:
        await calls.engine.start()  # type: ignore[attr-defined]
        yield calls


@contextlib.asynccontextmanager
async def calls_on(engine: Engine) -> AsyncIterator[Calls]:
    """Callers on this engine, which is stopped at the end."""
    calls = Calls(engine)
    try:
        yield calls
    finally:
        for caller in calls.callers:
            await caller.leave()
        await engine.stop()


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in the machine's."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
