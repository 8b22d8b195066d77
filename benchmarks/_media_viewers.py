"""The viewers of the media benchmark, all in one process: they count datagrams by their clear RTP headers.

Argument: the SRTP profile. Lines (see ``_media_lines``), each with the ``viewer`` it is about: ``offer`` → {"sdp"};
``accept`` {"sdp"} → {}; ``answer`` {"sdp"} → {"sdp"}; ``connect`` → {}. About all of them: ``mark`` → {}, from when
on the kernel's drops count; ``finish`` {"path"} → {"dropped"}.

Every socket is emptied 50 times a second by ``recvmmsg``; each datagram has the kernel's time of receipt, so it does
not matter when it is read. Nothing is decrypted; a receiver report a second goes out for each kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import itertools
import random
import socket
import struct
import sys
from pathlib import Path

import numpy as np
from _media_lines import Answer, serve_beside
from _media_peer import STUN_SECONDS, Line, Peer

SWEEP_SECONDS = 0.02
REPORT_SECONDS = 1.0
BATCH = 128  # datagrams of one recvmmsg
KEPT_BYTES = 64  # of each: the RTP header with its extension's length, and a STUN header
CONTROL_BYTES = 32  # one SO_TIMESTAMPNS message: a header of 16 and a timespec of 16
RECORDS = 4_000_000  # 150 viewers of 230 packets a second for two minutes, 32 bytes each
NAMES = ("audio", "video")
_MSG_DONTWAIT, _MSG_TRUNC = 0x40, 0x20  # linux/socket.h
_SO_TIMESTAMPNS, _SO_MEMINFO = 35, 55  # asm-generic/socket.h
_MEMINFO = struct.Struct("9I")  # linux/sock_diag.h: the last is what the socket dropped
_BLOCK = struct.Struct("!LLLLLL")  # RFC 3550 section 6.4.1: a report block

RECORD = np.dtype([
    ("viewer", np.uint16), ("length", np.uint16), ("head", np.uint8, 16), ("time", np.int64, 2),
])


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):
    """struct mmsghdr of a 64-bit Linux."""

    _fields_ = [
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("iov", ctypes.c_void_p),
        ("iov_length", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("padding", ctypes.c_int), ("length", ctypes.c_uint32),
    ]


class Inbox:
    """One ``recvmmsg`` at a time into always the same memory."""

    def __init__(self) -> None:
        self.data = np.zeros((BATCH, KEPT_BYTES), np.uint8)
        self._control = np.zeros((BATCH, CONTROL_BYTES), np.uint8)
        self._iovecs, self._messages = (_Iovec * BATCH)(), (_Message * BATCH)()
        for place in range(BATCH):
            iovec, message = self._iovecs[place], self._messages[place]
            iovec.base, iovec.length = self.data[place].ctypes.data, KEPT_BYTES
            message.iov, message.iov_length = ctypes.addressof(iovec), 1
            message.control, message.control_length = self._control[place].ctypes.data, CONTROL_BYTES
        view = np.frombuffer(memoryview(self._messages).cast("B"), np.uint8).reshape(BATCH, ctypes.sizeof(_Message))
        offset = _Message.length.offset
        self.length = view[:, offset : offset + 4].view(np.uint32)[:, 0]
        self.time = self._control[:, 16:].view(np.int64)
        self._receive = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._receive.argtypes = [
            ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p,
        ]
        self._address = ctypes.addressof(self._messages)

    def receive(self, descriptor: int) -> int:
        """How many datagrams came, at most ``BATCH``; ``length`` is of the whole datagram, however long."""
        # Every datagram has its timestamp, so the kernel leaves control_length as it was.
        count: int = self._receive(descriptor, self._address, BATCH, _MSG_DONTWAIT | _MSG_TRUNC, None)
        return max(0, count)


class Viewer:
    """What one viewer's receiver reports need: by kind, our SSRC there and the state of RFC 3550 appendix A."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.check_s = 0.0
        self._ssrc = random.getrandbits(32)
        self.kinds = {number: Heard() for number in line.types.values()}
        self.numbers = [line.types[name] for name in NAMES]
        self.base = 0  # drops before the mark

    def report(self) -> bytes:
        """A compound packet: a receiver report with a block for each kind heard of, and our name."""
        blocks = b"".join(heard.block() for heard in self.kinds.values() if heard.ssrc)
        count = len(blocks) // _BLOCK.size
        report = struct.pack("!BBHL", 0x80 | count, 201, 1 + 6 * count, self._ssrc) + blocks
        return report + struct.pack("!BBHL", 0x81, 202, 2, self._ssrc) + b"\x01\x01v\0"

    def dropped(self) -> int:
        """Datagrams that the kernel had no room for, since the mark."""
        words = self.line.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(words)[8]) - self.base


class Heard:
    """One kind as received."""

    def __init__(self) -> None:
        self.ssrc = 0
        self.first = self.highest = -1
        self.count = 0
        self._before = (0, 0)

    def hear(self, head: np.ndarray, count: int) -> None:
        """``count`` packets came, the last of them with this header."""
        sequence = int(head[2]) << 8 | int(head[3])
        if not self.ssrc:
            self.ssrc = int.from_bytes(head[8:12].tobytes(), "big")
            self.first = sequence - count + 1
            self.highest = self.first - 1
        self.highest += (sequence - self.highest) & 0xFFFF
        self.count += count

    def block(self) -> bytes:
        """Loss since the last block and in all; no round trip is asked for."""
        expected = self.highest - self.first + 1
        asked, came = expected - self._before[0], self.count - self._before[1]
        self._before = (expected, self.count)
        fraction = 0 if asked <= 0 else max(0, min(255, (asked - came) * 256 // asked))
        lost = max(0, expected - self.count) & 0x7FFFFF
        return _BLOCK.pack(self.ssrc, fraction << 24 | lost, self.highest & 0xFFFFFFFF, 0, 0, 0)


class Viewers:
    """All of them, and the record of every media packet."""

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._connecting: dict[int, Peer] = {}
        self._connected: dict[int, Viewer] = {}
        self._inbox = Inbox()
        self._records = np.empty(RECORDS, RECORD)
        self._count = 0

    async def handle(self, question: Answer) -> Answer:
        """Do what a line says."""
        match question["op"]:
            case "offer":
                peer = self._connecting[question["viewer"]] = Peer("recvonly", self._profile)
                return {"sdp": await peer.offer()}
            case "answer":
                peer = self._connecting[question["viewer"]] = Peer("recvonly", self._profile)
                return {"sdp": await peer.answer(question["sdp"])}
            case "accept":
                await self._connecting[question["viewer"]].accept(question["sdp"])
                return {}
            case "connect":
                line = await self._connecting[question["viewer"]].connect()
                line.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
                self._connected[question["viewer"]] = Viewer(line)
                return {}
            case "mark":
                for viewer in self._connected.values():
                    viewer.base += viewer.dropped()
                gc.freeze()
                return {}
            case "finish":
                return self._finish(Path(question["path"]))
        raise ValueError(question["op"])

    async def run(self) -> None:
        """Sweep for ever."""
        loop = asyncio.get_running_loop()
        for sweep in itertools.count():
            began = loop.time()
            for number, viewer in list(self._connected.items()):
                self._read(number, viewer)
                # Each viewer's report in a sweep of its own, so that they do not all come at once.
                if (sweep + number) % round(REPORT_SECONDS / SWEEP_SECONDS) == 0:
                    self._send(viewer, viewer.line.keys.protect_rtcp(viewer.report()))
                if began > viewer.check_s:
                    viewer.check_s = began + STUN_SECONDS
                    self._send(viewer, viewer.line.check())
            await asyncio.sleep(max(0.001, began + SWEEP_SECONDS - loop.time()))

    def _read(self, number: int, viewer: Viewer) -> None:
        inbox, descriptor = self._inbox, viewer.line.socket.fileno()
        while count := inbox.receive(descriptor):
            heads = inbox.data[:count]
            types = heads[:, 1] & 0x7F
            if (heads[:, 0] < 4).any():  # RFC 7983: STUN
                for place in np.flatnonzero(heads[:, 0] < 4):
                    if (response := viewer.line.answer(heads[place].tobytes())) is not None:
                        self._send(viewer, response)
            for type_, heard in viewer.kinds.items():
                found = np.flatnonzero(types == type_)
                if found.size:
                    heard.hear(heads[found[-1]], found.size)
            if self._count + count > RECORDS:
                raise RuntimeError("more packets than there is room for")
            records = self._records[self._count : self._count + count]
            records["viewer"] = number
            records["length"] = inbox.length[:count]
            records["head"] = heads[:, :16]
            records["time"] = inbox.time[:count]
            self._count += count
            if count < BATCH:
                break

    def _send(self, viewer: Viewer, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):  # full; the server has ended
            viewer.line.socket.send(data)

    def _finish(self, path: Path) -> Answer:
        for number, viewer in self._connected.items():
            self._read(number, viewer)
        types = np.array([self._connected[number].numbers for number in sorted(self._connected)])
        np.savez(path, records=self._records[: self._count], types=types)
        return {"dropped": sum(viewer.dropped() for viewer in self._connected.values())}


async def main(profile: str) -> None:
    """Serve the lines and sweep."""
    viewers = Viewers(profile)
    await serve_beside(viewers.handle, viewers.run())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
