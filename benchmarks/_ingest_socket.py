"""The cheapest WebSocket client that the measurements can have: a plain socket and just enough of RFC 6455.

What a client sends must be masked (section 5.3); the mask is four zero bytes, so the bytes go out as they are.
"""

from __future__ import annotations

import base64
import json
import secrets
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
ZERO_MASK: Final = bytes(4)
READ_BYTES: Final = 262_144
ANSWER_SECONDS: Final = 60.0  # of a handshake, while a thousand others shake hands


def header(opcode: int, length: int) -> bytes:
    """The header of a whole client message, its mask included."""
    if length < 126:
        return bytes([0x80 | opcode, 0x80 | length]) + ZERO_MASK
    if length < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length) + ZERO_MASK
    return struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length) + ZERO_MASK


class Line:
    """One connection. ``rest`` holds the beginning of a message whose end has not come."""

    def __init__(self, port: int, path: str, headers: dict[str, str]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        asked = {
            "Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(), **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())

    def opened(self) -> None:
        """Read the answer to the handshake; raise ``RuntimeError`` when it is no upgrade."""
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = self.socket.recv(READ_BYTES)
            if not more:
                raise RuntimeError(f"the server closed: {answer[:200]!r}")
            answer += more
        head, _, self.rest = answer.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0] + b" ":
            raise RuntimeError(head[:400].decode())

    def say(self, message: dict[str, Any]) -> None:
        """Send a text message; waits for room."""
        data = json.dumps(message).encode()
        self.socket.sendall(header(TEXT, len(data)) + data)

    def hear(self, *kinds: str) -> dict[str, Any]:
        """The next text message of one of these types, whatever comes before it (blocking)."""
        while True:
            for opcode, data in self.messages(b""):
                if opcode == TEXT and (event := json.loads(data))["type"] in kinds:
                    return dict(event)
                if opcode == TEXT and event["type"] == "error":
                    raise RuntimeError(event)
            more = self.socket.recv(READ_BYTES)
            if not more:
                raise RuntimeError("the server closed")
            self.rest += more

    def messages(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The whole messages in what came so far and ``data``: (opcode, payload). A reader may stop early."""
        self.rest += data
        while len(self.rest) >= 2:
            length, start = self.rest[1] & 0x7F, 2
            if length == 126:
                if len(self.rest) < 4:
                    return
                length, start = int.from_bytes(self.rest[2:4], "big"), 4
            elif length == 127:
                if len(self.rest) < 10:
                    return
                length, start = int.from_bytes(self.rest[2:10], "big"), 10
            if len(self.rest) < start + length:
                return
            opcode, payload = self.rest[0] & 0x0F, self.rest[start : start + length]
            self.rest = self.rest[start + length :]
            yield opcode, payload


def serve(poll: select.epoll, commands: dict[str, Callable[..., Any]], wait: Callable[[float], None]) -> None:
    """Do what the lines of standard input say until it ends; ``wait`` serves the sockets for so many seconds.

    Clock questions are answered between commands too: a station that is silent is dead.
    """
    own = sys.stdin.fileno()
    poll.register(own, 0)
    while True:
        poll.modify(own, select.EPOLLIN)
        if any(file == own for file, _ in poll.poll(0)):
            line = sys.stdin.readline()
            if not line:
                return
            command = json.loads(line)
            poll.modify(own, 0)
            print(json.dumps(commands[command.pop("do")](**command) or {}), flush=True)
        poll.modify(own, 0)
        wait(0.02)
