"""Transport-wide feedback read back, by the draft alone: what the relay writes must say what it meant.

draft-holmer-rmcat-transport-wide-cc-extensions-01 ("TWCC" below).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from telemed.media.relay.rtp import PacketMalformed

TICKS_A_SECOND = 4000  # a receive delta is a multiple of 250 us, TWCC section 3.1.5
REFERENCE_WRAP_S = (1 << 24) * 0.064  # 24 bits of 64 ms, TWCC section 3.1: 12 days
_SMALL, _LARGE = 1, 2  # packet status symbols, TWCC section 3.1.1
_RUN_MOST = 0x1FFF  # 13 bits, TWCC section 3.1.3
_ONE_BIT_SYMBOLS, _TWO_BIT_SYMBOLS = 14, 7  # of a status vector chunk, TWCC section 3.1.4
_TICKS_A_REFERENCE = 256  # 64 ms


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """One message: of ``statuses`` sequence numbers from ``base`` these were ``received``, when; the others not yet.

    Times are seconds of the receiver's clock, modulo :data:`REFERENCE_WRAP_S`, to 250 us; ``number`` counts messages
    modulo 256.
    """

    base: int
    statuses: int
    number: int
    received: tuple[tuple[int, float], ...]

    @property
    def lost(self) -> int:
        """How many were not received."""
        return self.statuses - len(self.received)


def parse_twcc(body: bytes) -> TransportFeedback:
    """A transport-wide feedback message (RTPFB, FMT 15) behind its RTCP header."""
    if len(body) < 16:
        raise PacketMalformed("transport-wide feedback is cut short")
    base, statuses, clock = struct.unpack_from("!HHL", body, 8)
    if statuses == 0:
        raise PacketMalformed("transport-wide feedback is about no packet")
    arrived, at = _arrived(body, 16, statuses)
    ticks = (clock >> 8) * _TICKS_A_REFERENCE
    received: list[tuple[int, float]] = []
    for offset, symbol in arrived:
        if at + symbol > len(body):  # a delta has as many bytes as its symbol says
            raise PacketMalformed("transport-wide feedback lacks a receive delta")
        ticks += body[at] if symbol == _SMALL else int.from_bytes(body[at : at + 2], "big", signed=True)
        at += symbol
        received.append(((base + offset) & 0xFFFF, ticks / TICKS_A_SECOND % REFERENCE_WRAP_S))
    return TransportFeedback(base, statuses, clock & 0xFF, tuple(received))


def _arrived(body: bytes, at: int, statuses: int) -> tuple[list[tuple[int, int]], int]:
    """Offset and symbol of each packet that the chunks from ``at`` call received, and where the chunks end.

    Runs of what was not received cost nothing, and each received packet needs a byte of the body: 65,535 statuses in
    a few bytes are no work.
    """
    arrived: list[tuple[int, int]] = []
    offset = 0
    while offset < statuses:
        if at + 2 > len(body):
            raise PacketMalformed("transport-wide feedback lacks a packet chunk")
        chunk = body[at] << 8 | body[at + 1]
        at += 2
        if chunk < 0x8000:
            symbol, run = chunk >> 13, min(chunk & _RUN_MOST, statuses - offset)
            if symbol:
                if len(arrived) + run > len(body):
                    raise PacketMalformed("transport-wide feedback lacks a receive delta")
                arrived += [(offset + place, symbol) for place in range(run)]
            offset += run
            continue
        width = 2 if chunk & 0x4000 else 1
        told = _TWO_BIT_SYMBOLS if chunk & 0x4000 else _ONE_BIT_SYMBOLS
        for place in range(min(told, statuses - offset)):
            symbol = chunk >> (told - 1 - place) * width & width * 2 - 1
            if symbol:
                arrived.append((offset + place, symbol))
        offset += told
    if any(symbol > _LARGE for _, symbol in arrived):
        raise PacketMalformed("transport-wide feedback has a reserved status")
    return arrived, at
