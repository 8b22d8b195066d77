"""One peer of the media benchmark: ICE and DTLS by aiortc, then a raw socket, its SRTP keys and STUN by us.

Once connected, nothing of aiortc runs any more: what a peer costs is what this benchmark's own loops do with it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from dataclasses import dataclass
from typing import Any

from aioice import stun
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80

PROFILES = {"cm": SRTP_AES128_CM_SHA1_80, "gcm": SRTP_AEAD_AES_128_GCM}
MEDIA = {"audio": "audio/opus", "video": "video/vp8"}
CONNECT_SECONDS = 25.0  # for one handshake, six at once on two busy cores
RECEIVE_BYTES, SEND_BYTES = 4 << 20, 1 << 20  # of the socket: a late reader must not count as the server's loss
STUN_SECONDS = 2.5  # between checks, as browsers send them
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32  # asm-generic/socket.h: beyond the system's limit, for root
_RTPMAP = re.compile(r"a=rtpmap:(\d+) (opus|VP8)/", re.IGNORECASE)


@dataclass
class Line:
    """A connected peer. ``socket`` is connected and does not block; ``keys`` protects what is sent;
    ``types`` are the payload types agreed on, ``ssrcs`` those that we send under, both by kind."""

    socket: socket.socket
    keys: Any
    types: dict[str, int]
    ssrcs: dict[str, int]
    ice: Any
    pair: Any

    def check(self) -> bytes:
        """A new STUN binding request (RFC 8445 section 7.2.2)."""
        request = self.ice.build_request(self.pair, nominate=self.ice.ice_controlling)
        return _signed(request, self.ice.remote_password)

    def answer(self, data: bytes) -> bytes | None:
        """The success response to a binding request, None for anything else. ``data`` may be cut after its header."""
        if data[:2] != b"\x00\x01" or len(data) < stun.HEADER_LENGTH:
            return None
        response = stun.Message(
            message_method=stun.Method.BINDING, message_class=stun.Class.RESPONSE, transaction_id=data[8:20]
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = self.socket.getpeername()
        return _signed(response, self.ice.local_password)


class Peer:
    """A peer until it is connected."""

    def __init__(self, direction: str, profile: str) -> None:
        configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        self._direction = direction
        self._profile = profile
        self._peer = RTCPeerConnection(configuration)

    async def offer(self) -> str:
        """Our offer, with every candidate."""
        for kind in MEDIA:
            self._prepare(self._peer.addTransceiver(kind, direction=self._direction))
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take the answer to our offer; the handshake begins."""
        # RFC 9143 section 7.1.3 has candidates in a bundle's first section; aiortc 1.16 looks for them in the last.
        found = [line for line in answer.splitlines() if line.startswith("a=candidate:")]
        whole = answer + "".join(f"{line}\r\n" for line in dict.fromkeys(found))
        await self._peer.setRemoteDescription(RTCSessionDescription(whole, "answer"))

    async def answer(self, offer: str) -> str:
        """Our answer to an offer, with every candidate; the handshake begins."""
        beginning = self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await beginning
        for transceiver in self._peer.getTransceivers():
            self._prepare(transceiver)
            transceiver.direction = self._direction
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return str(self._peer.localDescription.sdp)

    async def connect(self) -> Line:
        """Wait for the end of the handshake and take the socket away from aiortc."""
        dtls = self._peer.getTransceivers()[0].receiver.transport
        until = asyncio.get_running_loop().time() + CONNECT_SECONDS
        while dtls._tx_srtp is None:  # aiortc's own event comes before its keys
            late = asyncio.get_running_loop().time() > until
            if late or dtls.state in ("failed", "closed") or self._peer.connectionState == "failed":
                raise RuntimeError(f"the handshake failed: ICE {dtls.transport.state}, DTLS {dtls.state}")
            await asyncio.sleep(0.01)
        ice = dtls.transport._connection
        pair = ice._nominated[1]
        own = socket.socket(fileno=os.dup(pair.protocol.transport.get_extra_info("socket").fileno()))
        own.setblocking(False)
        own.connect(pair.remote_addr)
        own.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BYTES)
        own.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, SEND_BYTES)
        for task in (ice._query_consent_task, dtls._task):
            if task is not None:
                task.cancel()
        for protocol in ice._protocols:
            protocol.transport.abort()
        transceivers = self._peer.getTransceivers()
        ssrcs = {one.kind: one.sender._ssrc for one in transceivers}
        return Line(own, dtls._tx_srtp, self._types(), ssrcs, ice, pair)

    def _prepare(self, transceiver: Any) -> None:
        codecs = RTCRtpReceiver.getCapabilities(transceiver.kind).codecs
        wanted = MEDIA[transceiver.kind]
        transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType.lower() == wanted])
        transceiver.sender.send = transceiver.receiver.receive = _nothing
        transceiver.receiver.transport._srtp_profiles = [PROFILES[self._profile]]

    def _types(self) -> dict[str, int]:
        remote, local = self._peer.remoteDescription, self._peer.localDescription
        text = remote.sdp if remote.type == "answer" else local.sdp
        return {
            "audio" if name.lower() == "opus" else "video": int(number) for number, name in _RTPMAP.findall(text)
        }


async def _nothing(_: Any) -> None:
    """In place of aiortc's own sending and receiving."""


def _signed(message: stun.Message, password: str) -> bytes:
    message.add_message_integrity(password.encode())
    message.add_fingerprint()
    return bytes(message)
