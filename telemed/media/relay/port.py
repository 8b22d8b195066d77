"""The one UDP port of the relay, on each of its addresses: who a datagram is for, and what it is.

By its first byte (RFC 7983): STUN goes by the name it is for, and counts when it is signed with that leg's password;
DTLS, SRTP and SRTCP count only from an address that has passed such a check. All else is dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ifaddr

from telemed.media.relay import ice
from telemed.media.relay.adapter import Buffer

if TYPE_CHECKING:
    from telemed.media.relay.leg import Leg

logger = logging.getLogger(__name__)

DATAGRAMS_A_TURN = 64  # read from one socket before the others and the loop have theirs
SOCKET_BYTES = 4 << 20  # of the kernel's buffers: 20 ms of 150 viewers' keyframe; it may grant less
LOOPBACK = "127.0.0.1"

Address = tuple[Any, ...]


class PortUnavailable(OSError):
    """No socket could be opened on the relay's port."""


class Line:
    """One socket, and who is known to be at which address."""

    def __init__(self, address: str, number: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            self.socket.setblocking(False)
            self.socket.bind((address, number))
        except OSError:
            self.socket.close()
            raise
        self.known: dict[Address, Leg] = {}

    @property
    def descriptor(self) -> int:
        """The socket's number."""
        return self.socket.fileno()

    @property
    def number(self) -> int:
        """The port."""
        return int(self.socket.getsockname()[1])

    def send(self, data: bytes, address: Address) -> bool:
        """Send one datagram; False when it could not be."""
        try:
            self.socket.sendto(data, address)
        except OSError:  # full, or that address cannot be reached: lost, as on any line
            return False
        return True


class Port:
    """Opens its sockets in ``__init__``. ``candidates`` are the values of the a=candidate lines to announce.

    ``announced``: these addresses; one that is not this host's own (a router's) is listened for on every address.
    Empty: every address of this host. ``local_only`` takes datagrams from this host alone, and announces its own
    addresses beside loopback ones: Firefox sends nothing to a loopback address that a page on this very host is given.
    """

    def __init__(
        self, announced: tuple[str, ...], number: int, local_only: bool, refused: Callable[[], None],
        drained: Callable[[], None],
    ) -> None:
        own = own_addresses()
        named = announced or tuple(own) or (LOOPBACK,)
        if local_only:
            named = tuple(dict.fromkeys((*named, *own)))
        foreign = any(address not in own and not _loopback(address) for address in named)
        bound = [address for address in named if address in own or _loopback(address)]
        bound += [address for address in own if foreign and address not in bound]
        if not bound:
            reason = f"no address of this host leads to {', '.join(named)}"
            raise PortUnavailable(errno.EADDRNOTAVAIL, reason)
        self.lines: list[Line] = []
        self.legs: dict[str, Leg] = {}  # by our ufrag
        self.buffer = Buffer()
        self._refused = refused
        self._drained = drained
        self._from = frozenset((*own, *named)) if local_only else None
        for address in bound:
            try:
                self.lines.append(Line(address, self.lines[0].number if self.lines else number))
            except OSError as error:
                if error.errno == errno.EADDRINUSE or (not self.lines and address == bound[-1]):
                    self.close()
                    raise PortUnavailable(error.errno, f"UDP port {number} on {address}: {error.strerror}") from error
                logger.warning("no media on %s: %s", address, error.strerror)
        self.number = self.lines[0].number
        self.candidates = tuple(ice.candidate(at, address, self.number) for at, address in enumerate(named))
        for line in self.lines:
            asyncio.get_running_loop().add_reader(line.descriptor, self._readable, line)

    def close(self) -> None:
        """Close the sockets; idempotent."""
        for line in self.lines:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(line.descriptor)
            line.socket.close()
        self.lines = []

    def forget(self, leg: Leg) -> None:
        """Nothing more is for this leg."""
        for ufrag in [ufrag for ufrag, one in self.legs.items() if one is leg]:
            del self.legs[ufrag]
        for line, address in leg.addresses:
            if line.known.get(address) is leg:
                del line.known[address]

    def _readable(self, line: Line) -> None:
        buffer, room, known = self.buffer, self.buffer.room, line.known
        receive = line.socket.recvfrom_into
        for _ in range(DATAGRAMS_A_TURN):
            try:
                length, address = receive(room)
            except OSError:  # nothing there; or the kernel passes on that somebody does not listen any more
                break
            first = room[0] if length else 255
            leg = known.get(address)
            if 127 < first < 192 and leg is not None:
                if not leg.media(buffer, length):
                    self._refused()
            elif first < 4:
                self._check(line, bytes(room[:length]), address)
            elif not (19 < first < 64 and leg is not None and leg.handshake_datagram(bytes(room[:length]))):
                self._refused()
        self._drained()

    def _check(self, line: Line, data: bytes, address: Address) -> None:
        """A STUN message: answered when it is a check that a leg's peer has signed. Nothing can be sent to port 0."""
        read = ice.read_check(data) if self._from is None or address[0] in self._from else None
        leg = self.legs.get(read[1].partition(":")[0]) if read is not None and address[1] else None
        answer = leg.checked(read[0], read[1], line, address) if leg is not None and read is not None else None
        if answer is None:
            self._refused()
        else:
            line.send(answer, address)


def own_addresses() -> list[str]:
    """This host's addresses but loopback and link-local ones, IPv4 first."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            text = one.ip if isinstance(one.ip, str) else one.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_link_local):
                found.append(text)
    return sorted(found, key=lambda text: ":" in text)


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
