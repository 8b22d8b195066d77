"""A leg: one peer's ICE, DTLS and SRTP by aiortc, its packets by us. The only file that touches aiortc's,
aioice's and pylibsrtp's private names; :func:`check_contract` names them all and fails loudly.

What aiortc would do and a leg does not: start a decoder thread for every track received; send its own RTP
and RTCP; contact a default STUN server; resolve names; take datagrams from anyone. A datagram that is not
STUN is accepted only from an address that has passed a STUN MESSAGE-INTEGRITY check (RFC 8445 section 7.3).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import aioice.ice
import pylibsrtp
from aioice import Connection, stun
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.sdp import candidate_from_sdp

from telemed.media.backend import SdpInvalid, SdpUnsupported
from telemed.media.offer import Media, Offer

logger = logging.getLogger(__name__)

DATAGRAM_BYTES = 1_500  # pylibsrtp's buffer, and an Ethernet frame
DATAGRAMS_WAITING = 1_024  # received and not yet handled; a keyframe of 720p is 36
ADDRESSES_KEPT = 16  # that passed the integrity check, for one leg: the pairs of one browser
UNSENT_BYTES = 262_144  # waiting in the kernel's way out; more is dropped, never queued
ANSWER_SECONDS = 10.0  # to set both descriptions; no name is resolved and no server asked
CLOSE_SECONDS = 1.5  # aiortc's close can wait for a transport that never tells; media ends within 2 s

LOOPBACK = "127.0.0.1"  # when this host has no other address

# Owner, private (or undocumented) name, and the parameters we call it with or are called with.
CONTRACT: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (RTCDtlsTransport, "_recv_next", ("self",)),
    (RTCDtlsTransport, "_handle_rtp_data", ("self", "data", "arrival_time_ms")),
    (RTCDtlsTransport, "_handle_rtcp_data", ("self", "data")),
    (RTCRtpReceiver, "receive", ("self", "parameters")),
    (RTCRtpSender, "send", ("self", "parameters")),
    (Connection, "get_component_candidates", ("self", "component", "addresses", "timeout")),
    (Connection, "data_received", ("self", "data", "component")),
    (Connection, "_valid_username", ("self", "username")),
    (aioice.ice.StunProtocol, "datagram_received", ("self", "data", "addr")),
    (stun, "parse_message", ("data",)),
    (stun.Message, "check_message_integrity", ("self", "key")),
    (pylibsrtp.Session, "protect", ("self", "packet")),
    (pylibsrtp.Session, "protect_rtcp", ("self", "packet")),
    (pylibsrtp.Session, "unprotect", ("self", "packet")),
    (pylibsrtp.Session, "unprotect_rtcp", ("self", "packet")),
)
# Attributes of fresh objects that have no class-level name.
CONTRACT_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "dtls": ("_tx_srtp", "_rx_srtp", "_transport", "state"),
    "ice": ("_connection", "state"),
    "connection": ("_queue", "_protocols", "_nominated", "_local_candidates", "local_password", "remote_password"),
}


class AdapterMismatch(RuntimeError):
    """The installed aiortc, aioice or pylibsrtp is not the one this adapter was written for."""


def check_contract() -> None:
    """Compare every private name we use with what is installed. Needs a running loop; opens no socket.

    Raises :class:`AdapterMismatch` naming all that is missing or has other parameters.
    """
    wrong = []
    for owner, name, parameters in CONTRACT:
        member = getattr(owner, name, None)
        if member is None or tuple(inspect.signature(member).parameters) != parameters:
            wrong.append(f"{owner.__name__}.{name}")
    transport = RTCPeerConnection(_configuration()).addTransceiver("audio").receiver.transport
    objects = {"dtls": transport, "ice": transport.transport, "connection": _connection(transport)}
    for owner_name, names in CONTRACT_ATTRIBUTES.items():
        wrong += [f"{owner_name}.{name}" for name in names if not hasattr(objects[owner_name], name)]
    # The hooks are set on the object: the loop that receives must look them up there, each time.
    receiving = inspect.getsource(RTCDtlsTransport._recv_next)
    wrong += [name for name in ("_handle_rtp_data", "_handle_rtcp_data") if f"self.{name}(" not in receiving]
    if wrong:
        raise AdapterMismatch(f"not as expected: {', '.join(wrong)}")


def quiet_libraries() -> None:
    """Keep aioice's and aiortc's chatter out of the log: they report each check and each lost frame."""
    for name in ("aioice", "aiortc", "pylibsrtp"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _configuration() -> RTCConfiguration:
    return RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)


def _connection(transport: RTCDtlsTransport) -> Connection:
    return transport.transport._connection


async def _nothing(parameters: Any) -> None:
    """In place of aiortc's own sending and receiving: no task, no thread, no RTCP."""


class Gate:
    """Lets STUN through when it is signed with the leg's password, and data from those who signed.

    ``media`` takes a datagram that is SRTP or SRTCP at once, past aioice's queue and aiortc's task, which cost a
    sixth of all that a packet costs (measured); it says False while there are no keys, and the queue takes it.
    """

    def __init__(
        self,
        connection: Connection,
        heard: Callable[[], None],
        media: Callable[[bytes], bool],
        refused: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._heard = heard
        self._media = media
        self._refused = refused
        self._known: OrderedDict[tuple[str, int], None] = OrderedDict()
        connection.data_received = self._unaddressed  # type: ignore[method-assign]

    def guard(self, protocol: aioice.ice.StunProtocol) -> None:
        """Put the gate before the protocol's own handler."""
        handle = protocol.datagram_received

        def datagram_received(data: bytes | str, addr: tuple[Any, ...]) -> None:
            peer = (addr[0], addr[1])
            if not isinstance(data, bytes) or not data:
                pass
            elif data[0] < 4:  # RFC 7983: 0-3 is STUN
                if self._signed(data, peer, protocol):
                    handle(data, addr)
                    return
            elif peer in self._known and len(data) <= DATAGRAM_BYTES:
                if 127 < data[0] < 192 and self._media(data):  # RFC 7983: SRTP and SRTCP
                    self._heard()
                    return
                queue = self._connection._queue
                if queue.qsize() < DATAGRAMS_WAITING:
                    self._heard()
                    queue.put_nowait((data, protocol.local_candidate.component))
                    return
            self._refused()

        protocol.datagram_received = datagram_received  # type: ignore[method-assign]

    def _signed(self, data: bytes, peer: tuple[str, int], protocol: aioice.ice.StunProtocol) -> bool:
        connection = self._connection
        if len(data) > DATAGRAM_BYTES:
            return False
        try:
            message = stun.parse_message(data)
        except (ValueError, struct.error, IndexError):  # what unpacking a hostile message raises
            return False
        if message.message_class == stun.Class.REQUEST:
            named = "PRIORITY" in message.attributes and connection._valid_username(
                str(message.attributes.get("USERNAME", ""))
            )
            signed = named and message.check_message_integrity(connection.local_password.encode())
        else:
            password = connection.remote_password
            signed = (
                password is not None
                and message.transaction_id in protocol.transactions
                and message.check_message_integrity(password.encode())
            )
        if not signed or (peer not in self._known and len(self._known) >= ADDRESSES_KEPT):
            return False
        self._known[peer] = None
        self._heard()
        return True

    def _unaddressed(self, data: bytes, component: int) -> None:
        """Whatever did not come through :meth:`guard`: datagrams of the moment before it stood."""
        self._refused()


class Leg:
    """One peer. ``on_rtp`` and ``on_rtcp`` get decrypted packets; ``on_change`` is told of connected and closed,
    ``on_refused`` of each datagram that the gate turned away.

    ``heard_s`` is when an authenticated datagram last came, by the loop's clock.
    """

    def __init__(
        self,
        addresses: tuple[str, ...],
        on_rtp: Callable[[bytes], None],
        on_rtcp: Callable[[bytes], None],
        on_change: Callable[[], None],
        on_refused: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._addresses = addresses
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self._on_change = on_change
        self._on_refused = on_refused
        self._peer = RTCPeerConnection(_configuration())
        self._dtls: RTCDtlsTransport | None = None
        self._mid = ""
        self.closed = False
        self.heard_s = self._loop.time()
        self.unsent = 0

    @property
    def connected(self) -> bool:
        """Whether packets can be sent."""
        return not self.closed and self._dtls is not None and self._dtls.state == "connected"

    @property
    def failed(self) -> bool:
        """Whether ICE or DTLS has given up or the peer has said goodbye."""
        return self._peer.connectionState in ("failed", "closed")

    async def answer(self, offer: Offer, carry: Mapping[str, Media], direction: str) -> str:
        """Answer the offer: kinds in ``carry`` in this direction and codec, others inactive. The answer has
        every candidate. Raises ``SdpInvalid``, ``SdpUnsupported``; the leg is then of no further use."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._answer(offer, carry, direction)
        except (SdpInvalid, SdpUnsupported):
            raise
        except Exception as error:
            # aiortc's parser raises whatever its line trips over: assertions, keys, indices, values.
            logger.info("offer refused by the engine: %s", type(error).__name__)
            raise SdpInvalid(reason="engine") from error

    async def _answer(self, offer: Offer, carry: Mapping[str, Media], direction: str) -> str:
        for section in offer.sections:
            used = section.kind in carry
            transceiver = self._peer.addTransceiver(section.kind, direction=direction if used else "inactive")
            transceiver.receiver.receive = _nothing  # type: ignore[method-assign]
            transceiver.sender.send = _nothing  # type: ignore[method-assign]
            if used:
                _prefer(transceiver, carry[section.kind])
        self._mid = offer.sections[0].mid
        # Under max-bundle every section has the first one's transport.
        dtls = self._dtls = self._peer.getTransceivers()[0].receiver.transport
        dtls._handle_rtp_data = self._rtp  # type: ignore[method-assign]
        dtls._handle_rtcp_data = self._rtcp  # type: ignore[method-assign]
        dtls.on("statechange", self._changed)
        connection = _connection(dtls)
        gate = Gate(connection, self._hear, self._media, self._on_refused)
        self._choose_addresses(connection, gate)
        self._peer.on("connectionstatechange", self._changed)
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp=offer.text, type="offer"))
        await self._peer.setLocalDescription()
        return str(self._peer.localDescription.sdp)

    def _choose_addresses(self, connection: Connection, gate: Gate) -> None:
        """Gather on the announced addresses. One that is not this host's own (a router's) is announced, and
        listened for on every address."""
        gather = connection.get_component_candidates
        announced = self._addresses

        async def get_component_candidates(component: int, addresses: list[str]) -> list[Any]:
            found: list[Any] = []
            for address in announced or addresses or [LOOPBACK]:
                own = _is_own(address)
                candidates = await gather(component, [address if own else "0.0.0.0"])
                for candidate in candidates:
                    candidate.host = address
                found += candidates
            for protocol in connection._protocols:
                gate.guard(protocol)
            return found

        connection.get_component_candidates = get_component_candidates  # type: ignore[method-assign, assignment]

    async def add_candidate(self, candidate: str) -> None:
        """Take a candidate that the peer found later: the value of an a=candidate line, already checked."""
        parsed = candidate_from_sdp(candidate)
        parsed.sdpMid = self._mid
        await self._peer.addIceCandidate(parsed)

    def send_rtp(self, packet: bytes) -> bool:
        """Encrypt and send. False when it was not sent: not connected, too long, or the way out is full."""
        return self._send(packet, rtcp=False)

    def send_rtcp(self, packet: bytes) -> bool:
        """Encrypt and send a compound packet; False as for RTP."""
        return self._send(packet, rtcp=True)

    def _send(self, packet: bytes, rtcp: bool) -> bool:
        if not self.connected or self._dtls is None:
            return False
        pair = _connection(self._dtls)._nominated.get(1)
        session = self._dtls._tx_srtp
        if pair is None or session is None:
            return False
        transport: Any = pair.protocol.transport  # typeshed's DatagramTransport lacks its buffer size
        try:
            sealed = session.protect_rtcp(packet) if rtcp else session.protect(packet)
        except (pylibsrtp.Error, ValueError):  # ValueError: longer than pylibsrtp's buffer
            self.unsent += 1
            return False
        if transport.is_closing() or transport.get_write_buffer_size() > UNSENT_BYTES:
            self.unsent += 1
            return False
        transport.sendto(sealed, pair.remote_addr)
        return True

    async def close(self) -> None:
        """Say goodbye and close the sockets, in at most ``CLOSE_SECONDS``; idempotent."""
        if self.closed:
            return
        self.closed = True
        protocols = list(_connection(self._dtls)._protocols) if self._dtls is not None else []
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._peer.close()
        except TimeoutError:
            logger.warning("a media session did not close in time; its sockets are cut")
        except Exception as error:  # what an offer that the engine half understood leaves behind
            logger.warning("a media session did not close: %s; its sockets are cut", type(error).__name__)
        finally:
            for protocol in protocols:
                protocol.transport.abort()

    def _changed(self) -> None:
        if not self.closed:
            self._loop.call_soon(self._on_change)

    def _hear(self) -> None:
        self.heard_s = self._loop.time()

    def _media(self, data: bytes) -> bool:
        """Decrypt and handle a packet; False when there are no keys yet."""
        if not self.connected or self._dtls is None or self._dtls._rx_srtp is None:
            return False
        try:
            if len(data) > 1 and 191 < data[1] < 224:  # RFC 5761 section 4: RTCP
                self._guarded(self._on_rtcp, self._dtls._rx_srtp.unprotect_rtcp(data))
            else:
                self._guarded(self._on_rtp, self._dtls._rx_srtp.unprotect(data))
        except pylibsrtp.Error:  # forged, repeated or too old
            self._on_refused()
        return True

    async def _rtp(self, data: bytes, arrival_time_ms: int) -> None:
        self._guarded(self._on_rtp, data)

    async def _rtcp(self, data: bytes) -> None:
        self._guarded(self._on_rtcp, data)

    def _guarded(self, handler: Callable[[bytes], None], data: bytes) -> None:
        try:
            handler(data)
        except Exception:  # an exception out of here would end aiortc's receiving task without a word
            logger.exception("a media packet was not handled")


def _prefer(transceiver: RTCRtpTransceiver, media: Media) -> None:
    """One codec and no RTX: what arrives can be forwarded to everyone as it is."""
    name, _, profile = media.partition("/")
    transceiver.setCodecPreferences(
        [
            capability
            for capability in RTCRtpSender.getCapabilities(transceiver.kind).codecs
            if capability.mimeType.partition("/")[2].upper() == name.upper()
            and (not profile or capability.parameters.get("profile-level-id") == profile)
        ]
    )


def _is_own(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
