"""Messages written straight to a connection: their bytes made once, for one peer or for fifty, and nothing waits.

What a server sends is whole and unmasked (RFC 6455 section 5.2), so a message is the same bytes for every peer.
aiohttp's own writer, which everything slow goes through, puts each message into the same transport without a wait in
between: the two never mix.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final, Protocol

TEXT: Final = 0x81  # RFC 6455 5.2: the last fragment, and the opcode
BINARY: Final = 0x82
SHORT: Final = 125  # longest payload whose length is in the second byte; then 126 and a u16, 127 and a u64
MEDIUM: Final = 65_535


class Socket(Protocol):
    """A WebSocket that knows whether it was closed."""

    @property
    def closed(self) -> bool:
        """Whether either side has said goodbye."""


def text_message(text: str) -> bytes:
    """The message as it goes over the line."""
    return _message(TEXT, text.encode())


def binary_message(data: bytes) -> bytes:
    """The message as it goes over the line."""
    return _message(BINARY, data)


def _message(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length <= SHORT:
        return bytes((first, length)) + payload
    if length <= MEDIUM:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


class Wire:
    """One connection's way out, as long as nothing waits on it."""

    __slots__ = ("_socket", "_transport")

    def __init__(self, socket: Socket, transport: asyncio.Transport | None) -> None:
        self._socket = socket
        self._transport = transport

    @property
    def clear(self) -> bool:
        """Whether the connection is open and the kernel has taken everything: then :meth:`write` may be called."""
        transport = self._transport
        return (
            transport is not None and not transport.get_write_buffer_size() and not transport.is_closing()
            and not self._socket.closed
        )

    def write(self, message: bytes) -> None:
        """Send one or several whole messages now; what the kernel does not take at once is kept, and ends ``clear``."""
        if self._transport is not None:
            self._transport.write(message)
