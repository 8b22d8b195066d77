"""What is written straight to a line: the bytes of RFC 6455, in order, and nothing while something waits before it."""

from __future__ import annotations

import json

import pytest

from telemed.vitals.watcher import Watcher, Wave
from telemed.vitals.wire import Wire, binary_message, text_message


class Transport:
    """A line that takes what is written while it is open; ``waiting`` bytes lie on it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.written: list[bytes] = []

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Socket:
    closed = False


def line() -> tuple[Transport, Socket, Wire]:
    transport, socket = Transport(), Socket()
    return transport, socket, Wire(socket, transport)  # type: ignore[arg-type]


@pytest.mark.parametrize(("length", "head"), [
    (0, b"\x82\x00"), (125, b"\x82\x7d"), (126, b"\x82\x7e\x00\x7e"), (65_535, b"\x82\x7e\xff\xff"),
    (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
])
def test_a_message_has_the_shortest_header(length: int, head: bytes) -> None:
    assert binary_message(bytes(length)) == head + bytes(length)
    assert text_message("ж" * (length // 2))[0] == 0x81


def test_a_line_is_clear_only_while_it_is_open_and_empty() -> None:
    transport, socket, wire = line()
    assert wire.clear
    transport.waiting = 1
    assert not wire.clear
    transport.waiting, socket.closed = 0, True
    assert not wire.clear and not Wire(Socket(), None).clear


def test_frames_go_out_at_once_and_wait_in_their_order_while_the_line_is_full() -> None:
    transport, _, wire = line()
    watcher = Watcher()
    described = '{"type": "describe"}'
    waves = [Wave(1, described, bytes([n])) for n in range(5)]
    watcher.wave(waves[0])
    assert transport.written == [] and watcher.waiting == (0, 0, 1), "no line yet: it waits"
    watcher.through(wire)
    watcher.wave(waves[1])
    assert list(watcher.take()) == [described, bytes([0]), bytes([1])], "what waits goes first"
    watcher.wave(waves[2])
    assert transport.written == [waves[2].message]
    transport.waiting = 1
    watcher.wave(waves[3])
    watcher.event({"type": "end"})
    transport.waiting = 0
    taking = watcher.take()
    assert json.loads(str(next(taking))) == {"type": "end"}
    watcher.wave(waves[4])
    assert transport.written == [waves[2].message], "nothing overtakes what a writer is sending"
    assert list(taking) == [bytes([3]), bytes([4])]
    watcher.hush()
    watcher.event({"type": "late"})
    assert transport.written == [waves[2].message], "and nothing is written at once on a line that is being ended"
