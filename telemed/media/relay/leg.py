"""One peer: its checks, its handshake, its packets in and out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aioice import stun

from telemed.media.relay import ice
from telemed.media.relay.adapter import Buffer, Certificate, Handshake, Keys
from telemed.media.relay.fanout import sockaddr
from telemed.media.terms import Terms

if TYPE_CHECKING:
    from telemed.media.relay.port import Address, Line, Port

logger = logging.getLogger(__name__)

ADDRESSES_KEPT = 16  # that passed a check, for one leg: the pairs of one browser
SSRCS = 64  # under which one peer sends: libsrtp keeps a context for each while the leg lives; a browser has 8
# A peer's address without a check for so long is left for another one that has: RFC 7675 section 5.1 lets 6 seconds
# pass between two, browsers 2.5. One that the peer chooses (nominates) is taken at once.
MOVED_SECONDS = 7.0
TAKEN_SECONDS = 2.0  # an address whose leg was heard this lately is not another's; media or reports come each second


class Leg:
    """One peer. ``on_rtp`` and ``on_rtcp`` get decrypted packets, ``on_change`` is told when ``state`` changes and
    ``on_move`` when packets are to go to another address.

    ``heard_s`` is when an authenticated datagram last came, by the loop's clock.
    """

    def __init__(self, name: str, terms: Terms, port: Port, certificate: Certificate) -> None:
        self._loop = asyncio.get_running_loop()
        self.name = name
        self.terms = terms
        self.credentials = ice.Credentials()
        self.on_rtp: Callable[[bytes], None] = lambda data: None
        self.on_rtcp: Callable[[bytes], None] = lambda data: None
        self.on_change: Callable[[], None] = lambda: None
        self.on_move: Callable[[], None] = lambda: None
        self.addresses: dict[tuple[Line, Address], float] = {}  # and when it was last heard
        self.created_s = self.heard_s = self._loop.time()
        self.keys: Keys | None = None
        self.closed = False
        self._port = port
        self._theirs = terms.ufrag
        self._former: tuple[ice.Credentials, str] | None = None
        self._at: tuple[Line, Address] | None = None
        self._ssrcs: set[bytes] = set()  # that came, authenticated
        self._place: tuple[Keys, int, bytes] | None = None
        self._handshake = Handshake(certificate, self._send, self._shaken)
        port.legs[self.credentials.ufrag] = self

    @property
    def state(self) -> str:
        """``new``, ``connecting``, ``connected``, ``failed`` or ``closed``, as the handshake has it."""
        return "closed" if self.closed else self._handshake.state

    @property
    def connected(self) -> bool:
        """Whether packets can be sent."""
        return self.keys is not None and not self.closed

    def place(self) -> tuple[Keys, int, bytes] | None:
        """Keys, socket and the address as the kernel takes it; None while packets cannot be sent."""
        return self._place

    def yields(self, line: Line, address: Address) -> bool:
        """Give this address up to another peer, who has it now; False when it is in use here."""
        if self._at == (line, address) and not self.closed:
            if self._loop.time() - self.heard_s < TAKEN_SECONDS:
                return False
            self._at = self._place = None  # what was sent there would come to the other one
            self.on_move()
        self.addresses.pop((line, address), None)
        return True

    def restart(self, ufrag: str, password: str) -> None:
        """New ICE credentials on both sides (RFC 8839 section 4.4.1.1.1); the keys stay.

        The ones before are good until the first check under the new ones.
        """
        if self._former is not None:
            self._port.legs.pop(self._former[0].ufrag, None)
        self._former = self.credentials, self._theirs
        self.credentials, self._theirs = ice.Credentials(), ufrag
        self._port.legs[self.credentials.ufrag] = self

    def checked(self, message: stun.Message, name: str, line: Line, address: Address) -> bytes | None:
        """The answer to a check under this leg's name; None when it is not signed by its peer."""
        ours = self.credentials
        if not ice.signed(message, name, ours, self._theirs):
            if self._former is None or not ice.signed(message, name, self._former[0], self._former[1]):
                return None
            ours = self._former[0]
        elif self._former is not None:
            self._port.legs.pop(self._former[0].ufrag, None)
            self._former = None
        if not self._known(line, address):
            return None
        now_s = self._loop.time()
        silent = self._at is None or now_s - self.addresses.get(self._at, float("-inf")) > MOVED_SECONDS
        self.heard_s = self.addresses[line, address] = now_s
        if (ice.nominates(message) or silent) and self._at != (line, address):
            self._move(line, address)
        self._handshake.begin(self.terms.active, self.terms.fingerprints)
        return ice.answered(message, ours, address)

    def handshake_datagram(self, data: bytes) -> bool:
        """A DTLS datagram from an address of this leg; False when too many wait."""
        self.heard_s = self._loop.time()
        return self._handshake.take(data)

    def media(self, buffer: Buffer, length: int) -> bool:
        """An SRTP or SRTCP packet from an address of this leg; False when it is forged, repeated, too early or of one
        SSRC too many."""
        keys = self.keys
        if keys is None or length < 12:
            return False
        control = 191 < buffer.view[1] < 224  # RFC 5761 section 4: RTCP
        ssrc = bytes(buffer.view[4:8] if control else buffer.view[8:12])
        known = ssrc in self._ssrcs
        if not known and len(self._ssrcs) >= SSRCS:
            return False
        if control:
            data, handler = keys.rtcp(buffer, length), self.on_rtcp
        else:
            data, handler = keys.rtp(buffer, length), self.on_rtp
        if data is None:
            return False
        if not known:
            self._ssrcs.add(ssrc)
        self.heard_s = self._loop.time()
        try:
            handler(data)
        except Exception:  # one packet of one peer must not stop the port that all peers share
            logger.exception("a media packet was not handled")
        return True

    def send_rtp(self, packet: bytes) -> bool:
        """Encrypt and send. False when it was not sent: not connected, too long, or the way out is full."""
        return self.keys is not None and self._send_sealed(self.keys.seal_rtp(packet))

    def send_rtcp(self, packet: bytes) -> bool:
        """Encrypt and send a compound packet; False as for RTP."""
        return self.keys is not None and self._send_sealed(self.keys.seal_rtcp(packet))

    async def close(self) -> None:
        """Say goodbye and hear nothing more; idempotent."""
        if self.closed:
            return
        self.closed = True
        self.keys = self._place = None
        await self._handshake.close()
        self._port.forget(self)
        self.on_rtp = self.on_rtcp = lambda data: None  # these refer to this leg: nothing is to wait for the collector
        self.on_change = self.on_move = lambda: None

    def _known(self, line: Line, address: Address) -> bool:
        """Take the address in; the one that was silent longest makes way, never the one in use.

        False once closed, and when it is that of another peer, whose packets nobody could read then.
        """
        other = line.known.get(address)
        if self.closed or (other is not None and other is not self and not other.yields(line, address)):
            return False
        if (line, address) not in self.addresses and len(self.addresses) >= ADDRESSES_KEPT:
            others = [one for one in self.addresses if one != self._at]
            oldest = min(others, key=self.addresses.__getitem__)
            del self.addresses[oldest]
            if oldest[0].known.get(oldest[1]) is self:
                del oldest[0].known[oldest[1]]
        line.known[address] = self
        return True

    def _move(self, line: Line, address: Address) -> None:
        self._at = line, address
        self._placed()
        self.on_move()

    def _placed(self) -> None:
        if self.keys is not None and self._at is not None:
            self._place = self.keys, self._at[0].descriptor, sockaddr(self._at[1])

    def _shaken(self) -> None:
        self.keys = self._handshake.keys if self._handshake.state == "connected" else None
        self._place = None
        self._placed()
        if not self.closed:
            self._loop.call_soon(self.on_change)

    def _send_sealed(self, data: bytes | None) -> bool:
        return data is not None and self._at is not None and self._at[0].send(data, self._at[1])

    def _send(self, data: bytes) -> Any:
        if self._at is not None:
            self._at[0].send(data, self._at[1])
