"""DTLS by aiortc and SRTP by libsrtp, on datagrams that we carry ourselves. The server's only file that touches private
names of aiortc, aioice and pylibsrtp; :func:`check_contract` names them all and fails loudly.

aiortc's ``RTCDtlsTransport`` runs on a stand-in for its ICE transport. Nothing else of aiortc runs here: no receiver,
no decoder thread, no sender, no default STUN server.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, cast

import pylibsrtp
from aioice import stun
from aiortc import rtcdtlstransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from pylibsrtp._binding import ffi, lib

logger = logging.getLogger(__name__)

DATAGRAM_BYTES = 1_500  # of one received: an Ethernet frame
SLACK_BYTES = 256  # behind it: libsrtp writes at most 16 + 4 + 128 bytes of trailer (srtp.h, SRTP_MAX_TRAILER_LEN)
WAITING = 16  # DTLS records of one peer that were received and not yet read; a whole flight is 4
CLOSE_SECONDS = 0.5  # to say goodbye; nothing is waited for

# AES-GCM before AES-CM with SHA-1: an eighth cheaper on this machine's kind of processor; RFC 7714, RFC 3711.
PROFILES = (rtcdtlstransport.SRTP_AEAD_AES_128_GCM, rtcdtlstransport.SRTP_AES128_CM_SHA1_80)
TRAILERS = {b"SRTP_AEAD_AES_128_GCM": 16, b"SRTP_AES128_CM_SHA1_80": 10}  # bytes; RFC 7714 section 12, RFC 3711 4.2

# Owner, private (or undocumented) name, and the parameters we call it with or are called with.
CONTRACT: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (RTCDtlsTransport, "__init__", ("self", "transport", "certificates")),
    (RTCDtlsTransport, "start", ("self", "remoteParameters")),
    (RTCDtlsTransport, "_set_role", ("self", "role")),
    (RTCDtlsTransport, "_recv_next", ("self",)),
    (RTCDtlsTransport, "_write_ssl", ("self",)),
    (RTCDtlsTransport, "_set_state", ("self", "state")),
    (RTCDtlsTransport, "_validate_peer_identity", ("self", "remoteParameters")),
    (RTCCertificate, "generateCertificate", ()),
    (stun, "parse_message", ("data",)),
    (stun.Message, "check_message_integrity", ("self", "key")),
    (stun.Message, "add_message_integrity", ("self", "key")),
    (rtcdtlstransport.SRTPProtectionProfile, "get_key_and_salt", ("self", "src", "idx")),
)
ATTRIBUTES = ("_role", "_rx_srtp", "_tx_srtp", "_ssl", "_srtp_profiles", "state")
# What aiortc's source must hold: it reads and writes datagrams through these names of our stand-in, and no others.
USES = ("await self.transport._recv()", "await self.transport._send(data)", "self._srtp_profiles", "self._ssl.recv(")
SRTP_CALLS = ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp")


class AdapterMismatch(RuntimeError):
    """The installed aiortc or pylibsrtp is not the one this adapter was written for."""


def check_contract() -> None:
    """Compare every private name we use with what is installed. Needs a running loop; opens no socket.

    Raises :class:`AdapterMismatch` naming all that is missing or has other parameters.
    """
    wrong = []
    for owner, name, parameters in CONTRACT:
        member = getattr(owner, name, None)
        if member is None or tuple(inspect.signature(member).parameters) != parameters:
            wrong.append(f"{owner.__name__}.{name}")
    dtls = RTCDtlsTransport(cast("Any", _Datagrams(lambda data: None)), [RTCCertificate.generateCertificate()])
    wrong += [f"RTCDtlsTransport.{name}" for name in ATTRIBUTES if not hasattr(dtls, name)]
    source = inspect.getsource(RTCDtlsTransport)
    wrong += [use for use in USES if use not in source]
    wrong += [name for name in SRTP_CALLS if not hasattr(lib, name)]
    if not hasattr(pylibsrtp.Session(), "_srtp"):
        wrong.append("Session._srtp")
    if wrong:
        raise AdapterMismatch(f"not as expected: {', '.join(wrong)}")


def quiet_libraries() -> None:
    """Keep aiortc's chatter out of the log: it reports each lost datagram."""
    for name in ("aioice", "aiortc", "pylibsrtp"):
        logging.getLogger(name).setLevel(logging.ERROR)


class Certificate:
    """What this process proves itself with to every peer; made at its start."""

    def __init__(self) -> None:
        self.certificate = RTCCertificate.generateCertificate()
        prints = {found.algorithm: found.value for found in self.certificate.getFingerprints()}
        self.fingerprint = f"sha-256 {prints['sha-256']}"


class _Datagrams:
    """What ``RTCDtlsTransport`` takes for its ICE transport: datagrams in, datagrams out."""

    role = "controlled"  # RFC 8445 section 6.1.1: a lite agent

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send_now = send
        self._received: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING)

    def let_go(self) -> None:
        """Send nothing more."""
        self._send_now = _nothing

    def put(self, data: bytes | None) -> bool:
        if self._received.full():
            return False
        self._received.put_nowait(data)
        return True

    async def _recv(self) -> bytes:
        data = await self._received.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._send_now(data)


def _nothing(*_: Any) -> None:
    """In place of who is told no more."""


class Buffer:
    """Where a datagram is received, and decrypted in place. One for a whole process; not for two threads."""

    def __init__(self) -> None:
        self._memory = ffi.new("unsigned char[]", DATAGRAM_BYTES + SLACK_BYTES)
        self._length = ffi.new("int *")
        self.view = memoryview(ffi.buffer(self._memory))
        self.room = self.view[:DATAGRAM_BYTES]

    def opened(self, call: Any, context: Any, length: int) -> bytes | None:
        """What the first ``length`` bytes hold, decrypted; None when they are forged, repeated or too old."""
        self._length[0] = length
        if call(context, self._memory, self._length):
            return None
        return bytes(self.view[: self._length[0]])


class Keys:
    """The SRTP contexts of one peer. ``context`` is for :data:`PROTECT`; ``trailer`` is what that adds, bytes."""

    def __init__(self, dtls: RTCDtlsTransport) -> None:
        # The sessions own the contexts: both are kept for as long as these keys.
        self._sessions = dtls._rx_srtp, dtls._tx_srtp
        self._rx, self.context = dtls._rx_srtp._srtp[0], dtls._tx_srtp._srtp[0]
        ssl: Any = dtls._ssl
        self.trailer = TRAILERS[ssl.get_selected_srtp_profile()]

    def rtp(self, buffer: Buffer, length: int) -> bytes | None:
        """Decrypt the RTP packet that the buffer holds."""
        return buffer.opened(lib.srtp_unprotect, self._rx, length)

    def rtcp(self, buffer: Buffer, length: int) -> bytes | None:
        """Decrypt the RTCP packet that the buffer holds."""
        return buffer.opened(lib.srtp_unprotect_rtcp, self._rx, length)

    def seal_rtp(self, packet: bytes) -> bytes | None:
        """One RTP packet, encrypted; None when it is too long."""
        return self._sealed(lib.srtp_protect, packet)

    def seal_rtcp(self, packet: bytes) -> bytes | None:
        """One compound RTCP packet, encrypted; None when it is too long."""
        return self._sealed(lib.srtp_protect_rtcp, packet)

    def _sealed(self, call: Any, packet: bytes) -> bytes | None:
        if len(packet) > DATAGRAM_BYTES:
            return None
        view = _scratch.view
        view[: len(packet)] = packet
        _scratch._length[0] = len(packet)
        if call(self.context, _scratch._memory, _scratch._length):
            return None
        return bytes(view[: _scratch._length[0]])


_scratch = Buffer()

PROTECT = lib.srtp_protect  # (context, packet, length in and out) -> 0 when done


def slots(count: int, size: int) -> tuple[Any, list[Any], Any, list[Any]]:
    """Memory for ``count`` packets of ``size`` bytes, a pointer to each, their lengths (int32), a pointer to each."""
    memory, lengths = ffi.new("unsigned char[]", count * size), ffi.new("int[]", count)
    return (
        ffi.buffer(memory), [memory + at * size for at in range(count)],
        ffi.buffer(lengths), [lengths + at for at in range(count)],
    )  # fmt: skip


class Handshake:
    """DTLS with one peer. ``changed`` is told when ``state`` is "connected", "failed" or "closed"."""

    def __init__(self, certificate: Certificate, send: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        self._datagrams = _Datagrams(send)
        self._dtls = RTCDtlsTransport(cast("Any", self._datagrams), [certificate.certificate])
        self._dtls._srtp_profiles = list(PROFILES)
        self._dtls.on("statechange", self._told)
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self.keys: Keys | None = None

    @property
    def state(self) -> str:
        """``new``, ``connecting``, ``connected``, ``failed`` or ``closed``."""
        return str(self._dtls.state)

    def begin(self, active: bool, fingerprints: tuple[tuple[str, str], ...]) -> None:
        """Wait for the peer's hello, or (``active``) send ours. Once only."""
        if self._task is not None:
            return
        self._dtls._set_role("client" if active else "server")
        parameters = RTCDtlsParameters([RTCDtlsFingerprint(name, value) for name, value in fingerprints])
        self._task = asyncio.ensure_future(self._run(parameters))

    def take(self, data: bytes) -> bool:
        """A DTLS datagram of the peer; False when too many wait."""
        return self._datagrams.put(data)

    async def close(self) -> None:
        """Say goodbye and end; idempotent."""
        self._dtls.remove_all_listeners()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._dtls.stop()
        except Exception as error:
            logger.warning("a handshake did not end well: %s", type(error).__name__)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        # Let go of who made us: the 90 KB of OpenSSL are given back now, not when the collector looks for circles.
        self.keys = self._task = None
        self._changed = _nothing
        self._datagrams.let_go()

    async def _run(self, parameters: RTCDtlsParameters) -> None:
        try:
            await self._dtls.start(parameters)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # OpenSSL on what a hostile peer sent
            logger.info("a handshake failed: %s", type(error).__name__)
            self._dtls._set_state(rtcdtlstransport.State.FAILED)

    def _told(self) -> None:
        if self.state == "connected":
            self.keys = Keys(self._dtls)
        if self.state in ("connected", "failed", "closed"):
            self._changed()
