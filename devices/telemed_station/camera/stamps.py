"""The only file of the station that touches private names of aiortc and aioice.

Five touches, checked by ``check_contract`` so that an upgrade that moves them fails loudly:

* aiortc's sender report carries the time of *sending*, 8 to 100 ms after the capture. ``stamp_reports`` replaces its
  NTP time by the capture time of the frame whose RTP timestamp it names, and drops reports sent before the first.
* aiortc makes each encoder itself, of its own kinds. ``encode_by`` has a sender use ours.
* aiortc sends a picture in one size. ``Small`` sends it in a second one, by a sender of its own on the same connection.
* aioice takes a connection for dead after six questions that nobody answered, 27 to 39 s. It asks ten times: a cut of
  half a minute is no end (RFC 7675 section 5.1 has 30 s; the peer is our own server, which is asked by TLS as well).
* aioice never offers 127.0.0.1. ``addresses_for`` offers it, alone, where the server is on this machine.
"""

from __future__ import annotations

import inspect
import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aioice.ice
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCRtpTransceiver
from aiortc.codecs.base import Encoder
from aiortc.rtp import RtcpSrPacket

FRAMES_KEPT = 200  # frames between encoding and their report: some 10 s of picture, 4 s of sound
CONSENT_FAILURES = 10  # 45 to 65 s
NTP_EPOCH_S = 2_208_988_800  # 1900 to 1970 (RFC 5905 section 6)
_RTP_TIMESTAMP = "_RTCRtpSender__rtp_timestamp"
_PACKETS = "_RTCRtpSender__packet_count"
_ENCODER = "_RTCRtpSender__encoder"
_LOCAL_RTP = "_RTCPeerConnection__localRtp"
USES = (
    "self.__rtp_timestamp = packet.timestamp", "self.__packet_count += 1", "if self.__encoder is None:",
    "self.__encoder.target_bitrate = bitrate", "self.__encoder.encode, data, force_keyframe", "if not payloads:",
)  # fmt: skip

CONTRACT = (
    (RTCRtpSender, "_next_encoded_frame", ("self", "codec")),
    (RTCRtpSender, "_send_rtcp", ("self", "packets")),
    (RTCRtpSender, "send", ("self", "parameters")),
    (RTCPeerConnection, _LOCAL_RTP, ("self", "transceiver")),
    (aioice.ice, "get_host_addresses", ("use_ipv4", "use_ipv6")),
)
SENDER_ATTRIBUTES = ("_ssrc", "_rtx_ssrc")


class AdapterMismatch(RuntimeError):
    """The installed aiortc or aioice is not the one this adapter was written for."""


def check_contract() -> None:
    """Compare every private name used here with what is installed."""
    wrong = []
    for owner, name, parameters in CONTRACT:
        member = inspect.unwrap(getattr(owner, name, check_contract))
        if tuple(inspect.signature(member).parameters) != parameters:
            wrong.append(name)
    source = inspect.getsource(RTCRtpSender)
    wrong += [name for name in SENDER_ATTRIBUTES if f"self.{name} = random32()" not in source]
    wrong += [use for use in USES if use not in source]
    if "failures >= CONSENT_FAILURES" not in inspect.getsource(aioice.ice.Connection):
        wrong.append("CONSENT_FAILURES")
    if wrong:
        raise AdapterMismatch(f"not as expected: {', '.join(wrong)}")


def quiet_libraries() -> None:
    """Keep aioice's and aiortc's chatter out of the log: they report each check and each lost frame."""
    for name in ("aioice", "aiortc", "libav"):
        logging.getLogger(name).setLevel(logging.ERROR)


def ntp_of(stamp_us: int) -> int:
    """A stamp as the 64-bit NTP time of a sender report: seconds since 1900 and their 2⁻³² parts."""
    seconds, rest = divmod(stamp_us, 1_000_000)
    return (seconds + NTP_EPOCH_S) << 32 | (rest << 32) // 1_000_000


def stamp_reports(sender: RTCRtpSender, capture_us: Callable[[int], int]) -> None:
    """Have the sender's reports tell capture times. ``capture_us`` maps an encoder's timestamp to a stamp."""
    captured: OrderedDict[int, int] = OrderedDict()  # encoder timestamp, modulo 2³², to stamp
    state: dict[str, int] = {}
    encode, send = sender._next_encoded_frame, sender._send_rtcp

    async def next_encoded_frame(codec: Any) -> Any:
        # aiortc's RTP timestamp is a random origin plus the encoder's; when it asks for the next frame, the last
        # one is wholly out and names the origin.
        if "last" in state and "origin" not in state and getattr(sender, _PACKETS):
            state["origin"] = (getattr(sender, _RTP_TIMESTAMP) - state["last"]) & 0xFFFFFFFF
        frame = await encode(codec)
        if frame is not None:
            state["last"] = frame.timestamp & 0xFFFFFFFF
            captured[state["last"]] = capture_us(frame.timestamp)
            while len(captured) > FRAMES_KEPT:
                captured.popitem(last=False)
        return frame

    async def send_rtcp(packets: list[Any]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                stamp = None
                if "origin" in state:
                    stamp = captured.get((packet.sender_info.rtp_timestamp - state["origin"]) & 0xFFFFFFFF)
                if stamp is None:
                    return  # nothing was sent yet: a report of nothing would be believed
                packet.sender_info.ntp_timestamp = ntp_of(stamp)
        await send(packets)

    sender._next_encoded_frame = next_encoded_frame  # type: ignore[method-assign]
    sender._send_rtcp = send_rtcp  # type: ignore[method-assign]


def encode_by(sender: RTCRtpSender, make: Callable[[str], Encoder | None]) -> None:
    """Have the sender encode by what ``make`` gives for its codec's name; by aiortc's own where that is None.

    The encoder is told what the receiver can take (REMB) by its ``target_bitrate``; frames of which it gives no packet
    are left out.
    """
    encode = sender._next_encoded_frame

    async def next_encoded_frame(codec: Any) -> Any:
        if getattr(sender, _ENCODER) is None:
            setattr(sender, _ENCODER, make(codec.name))
        return await encode(codec)

    sender._next_encoded_frame = next_encoded_frame  # type: ignore[method-assign]


class Small:
    """A picture in a second size: ``track`` as encoded by what its ``sender`` is given, beside a transceiver's own."""

    def __init__(self, peer: RTCPeerConnection, transceiver: RTCRtpTransceiver, track: MediaStreamTrack) -> None:
        self._peer = peer
        self._transceiver = transceiver
        self.sender = RTCRtpSender(track, transceiver.sender.transport)
        self.sent = False

    def offered(self, text: str) -> str:
        """The offer with this size in it (RFC 5576: SSRC groups, the smallest size first)."""
        own, small = self._transceiver.sender, self.sender
        head, *sections = text.split("\r\nm=")
        for at, section in enumerate(sections):
            if not section.startswith("video "):
                continue
            line = next(line for line in section.split("\r\n") if line.startswith("a=ssrc:"))
            name = line.partition(" ")[2]
            sections[at] = section.removesuffix("\r\n") + "".join(
                f"\r\na={one}"
                for one in (
                    f"ssrc-group:SIM {small._ssrc} {own._ssrc}", f"ssrc-group:FID {small._ssrc} {small._rtx_ssrc}",
                    f"ssrc:{small._ssrc} {name}", f"ssrc:{small._rtx_ssrc} {name}",
                )
            ) + ("\r\n" if section.endswith("\r\n") else "")
        return "\r\nm=".join((head, *sections))

    async def send(self) -> None:
        """Begin; the connection is there. Nothing, when another codec than VP8 was agreed on."""
        agreed = getattr(self._peer, _LOCAL_RTP)(self._transceiver)
        if agreed.codecs and agreed.codecs[0].name.upper() == "VP8":
            await self.sender.send(agreed)
            self.sent = True

    async def stop(self) -> None:
        """End; idempotent."""
        await self.sender.stop()


aioice.ice.CONSENT_FAILURES = CONSENT_FAILURES

_loopback_only: ContextVar[bool] = ContextVar("telemed_station_loopback_only", default=False)
_host_addresses = aioice.ice.get_host_addresses


def _get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    if _loopback_only.get():
        return ["127.0.0.1"]
    found: list[str] = _host_addresses(use_ipv4, use_ipv6)
    return found


_get_host_addresses.__wrapped__ = _host_addresses  # type: ignore[attr-defined]
aioice.ice.get_host_addresses = _get_host_addresses


@contextmanager
def addresses_for(server_host: str) -> Iterator[None]:
    """Within the block ICE offers this machine's addresses, or 127.0.0.1 alone when the server is on loopback."""
    token = _loopback_only.set(is_loopback(server_host))
    try:
        yield
    finally:
        _loopback_only.reset(token)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
