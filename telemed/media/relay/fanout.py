"""One packet to many: the copies of all viewers are written at once, encrypted in place, and sent with as few system
calls as there can be: ``sendmmsg`` over all viewers, and where several packets go to each, one UDP message that the
kernel cuts (UDP_SEGMENT, linux/udp.h) where it can.

A *group* is what shares a socket and an SRTP trailer. Rows are viewers; all arrays of a group have one entry a row.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from telemed.media.backend import Sent
from telemed.media.relay.adapter import PROTECT, Keys, slots
from telemed.media.relay.rtp import RtpPacket
from telemed.media.relay.vp8 import LONG, NONE, Shift, described

SLOTS = 1024  # packets at once: 1.6 MiB, which stays in the processor's second cache
SLOT_BYTES = 1_664  # the longest datagram received, 1,500 bytes, with libsrtp's longest trailer; whole cache lines
PAYLOAD_BYTES = SLOT_BYTES - 12 - 148  # RTP header, libsrtp's longest trailer
HEADER_BYTES = 12  # RFC 3550 section 5.1, no extension, no contributing sources
SEGMENTS = 48  # packets in one message: 48 × 1,232 is below IPv4's 65,507, and below the kernel's 64 (UDP_MAX_SEGMENTS)
CUT_BYTES = 1_280 - 48 - 12 - 16  # payload of a packet that may be cut off: every path carries it (RFC 8200 section 5)
UNCUT_IN_A_ROW = 16  # messages that the kernel would not cut: it cannot. Fewer may be one viewer's narrow path
SOL_UDP, UDP_SEGMENT = 17, 103  # linux/udp.h
NAME_BYTES = 28  # struct sockaddr_in6
# What a kernel, a network card or a narrow path that cannot cut says: EINVAL (no such option), EIO (no checksums),
# EINVAL or EMSGSIZE (the packet is longer than the path's).
CANNOT_CUT = (errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP)

_HEADER = np.dtype([("first", "u1"), ("type", "u1"), ("sequence", ">u2"), ("time", ">u4"), ("ssrc", ">u4")])
_MESSAGE = np.dtype(
    [
        ("name", "u8"), ("name_length", "u4"), ("_0", "u4"), ("parts", "u8"), ("part_count", "u8"),
        ("control", "u8"), ("control_length", "u8"), ("flags", "i4"), ("_1", "u4"), ("sent", "u4"), ("_2", "u4"),
    ]
)  # fmt: skip
_CONTROL = struct.Struct("=QiiH6x")  # struct cmsghdr and the size of a segment


@dataclass(frozen=True, slots=True)
class Row:
    """One viewer of one source: under which header, with which keys, from which socket, where to."""

    payload_type: int
    ssrc: int
    sequence_offset: int
    time_offset: int
    keys: Keys
    descriptor: int
    address: bytes
    shift: Shift = NONE


class Group:
    """Rows that one call sends: arrays for the headers, contexts for the keys, names for the addresses."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.count = len(rows)
        self.descriptor = rows[0].descriptor
        self.trailer = rows[0].keys.trailer
        self.keys = [row.keys for row in rows]  # the contexts live as long as these
        self.contexts = [row.keys.context for row in rows]
        self.types = np.array([row.payload_type for row in rows], np.uint8)
        self.ssrcs = np.array([row.ssrc for row in rows], np.uint32)
        self.sequences = np.array([row.sequence_offset & 0xFFFF for row in rows], np.uint16)
        self.times = np.array([row.time_offset & 0xFFFFFFFF for row in rows], np.uint32)
        self.pictures = np.array([row.shift.picture & 0x7FFF for row in rows], np.uint16)
        self.bases = np.array([row.shift.base & 0xFF for row in rows], np.uint8)
        self.shifted = any(row.shift != NONE for row in rows)
        names = np.zeros((self.count, NAME_BYTES), np.uint8)
        for at, row in enumerate(rows):
            names[at, : len(row.address)] = np.frombuffer(row.address, np.uint8)
        self._names = names
        self.names_at = (names.ctypes.data + np.arange(self.count) * NAME_BYTES).astype(np.uint64)
        self.name_length = len(rows[0].address)


def grouped(rows: Sequence[Row]) -> list[Group]:
    """The rows by socket, kind of address and trailer."""
    found: dict[tuple[int, int, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row.descriptor, len(row.address), row.keys.trailer), []).append(row)
    return [Group(same) for same in found.values()]


def sockaddr(address: tuple[Any, ...]) -> bytes:
    """A socket's address as the kernel takes it (struct sockaddr_in, sockaddr_in6)."""
    if ":" in address[0]:
        flow, scope = (*address[2:4], 0, 0)[:2]
        host = socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0])
        return struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(address[1]), flow, host, scope)
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(address[1]), socket.inet_aton(address[0]))


def runs(packets: Sequence[RtpPacket]) -> list[Sequence[RtpPacket]]:
    """The packets cut so that in each part all are of one length, but the last, which may be shorter.

    One longer than ``CUT_BYTES`` is a part by itself.
    """
    found: list[Sequence[RtpPacket]] = []
    start = 0
    for at in range(1, len(packets) + 1):
        first = len(packets[start].payload)
        whole = at < len(packets) and at - start < SEGMENTS and first <= CUT_BYTES
        if whole and len(packets[at - 1].payload) == first and len(packets[at].payload) <= first:
            continue
        found.append(packets[start:at])
        start = at
    return found


Call = Callable[..., int]


class Fanout:
    """Memory and system calls for one process; not for two threads. ``cuts`` says whether the kernel cuts messages.

    ``sendmmsg`` is the C library's, or a stand-in of a test: (descriptor, messages, count, flags).
    """

    def __init__(self, cuts: bool = True, sendmmsg: Call | None = None) -> None:
        self.cuts = cuts
        self._uncut = 0  # messages in a row that the kernel would not cut
        memory, self._packets, lengths, self._length_at = slots(SLOTS, SLOT_BYTES)
        self._bytes = np.frombuffer(memory, np.uint8).reshape(SLOTS, SLOT_BYTES)
        self._headers = np.ndarray((SLOTS,), _HEADER, memory, strides=(SLOT_BYTES,))
        self._headers["first"] = 0x80  # RFC 3550 section 5.1: version 2 and nothing else
        self._lengths = np.frombuffer(lengths, np.int32)
        self._parts = np.zeros((SLOTS, 2), np.uint64)  # struct iovec
        self._parts[:, 0] = self._bytes.ctypes.data + np.arange(SLOTS) * SLOT_BYTES
        self._messages = np.zeros(SLOTS, _MESSAGE)
        self._control = np.zeros(_CONTROL.size, np.uint8)
        # Asked of numpy once: each time costs as much as a packet.
        self._parts_at, self._messages_at = self._parts.ctypes.data, self._messages.ctypes.data
        self._control_at = self._control.ctypes.data
        self._part_at = (self._parts_at + np.arange(SLOTS) * 16).astype(np.uint64)
        self._sendmmsg: Call = sendmmsg or ctypes.CDLL(None, use_errno=True).sendmmsg

    def send(self, group: Group, packets: Sequence[RtpPacket]) -> Sent:
        """Send the packets to every row of the group, in their order. What the kernel does not take is lost."""
        result = Sent()
        for run in runs(packets) if self.cuts and len(packets) > 1 else [[packet] for packet in packets]:
            at_once = SLOTS // len(run)
            for first in range(0, group.count, at_once):
                self._send(group, slice(first, min(first + at_once, group.count)), run, result)
        return result

    def _send(self, group: Group, rows: slice, run: Sequence[RtpPacket], result: Sent) -> None:
        each = len(run)
        viewers = rows.stop - rows.start
        used = viewers * each
        lengths = self._lengths[:used]
        for at, packet in enumerate(run):
            payload = packet.payload
            end = HEADER_BYTES + len(payload)
            self._bytes[at:used:each, HEADER_BYTES:end] = np.frombuffer(payload, np.uint8)
            if group.shifted:
                self._renumber(group, rows, payload, self._bytes[at:used:each, HEADER_BYTES:end])
            header = self._headers[at:used:each]
            header["type"] = group.types[rows] | (0x80 if packet.marker else 0)
            header["sequence"] = group.sequences[rows] + np.uint16(packet.sequence)
            header["time"] = group.times[rows] + np.uint32(packet.timestamp)
            header["ssrc"] = group.ssrcs[rows]
            lengths[at::each] = end
        contexts: Any = group.contexts[rows]
        if each > 1:
            contexts = [context for context in contexts for _ in repeat(None, each)]
        failed = any(list(map(PROTECT, contexts, self._packets, self._length_at[:used])))
        self._parts[:used, 1] = lengths
        messages = self._messages[:viewers]
        messages["name"] = group.names_at[rows]
        messages["name_length"] = group.name_length
        messages["parts"] = self._part_at[:used:each]
        messages["part_count"] = each
        if each > 1:
            size = HEADER_BYTES + len(run[0].payload) + group.trailer
            self._control[:] = np.frombuffer(_CONTROL.pack(18, SOL_UDP, UDP_SEGMENT, size), np.uint8)
            messages["control"], messages["control_length"] = self._control_at, _CONTROL.size
        else:
            messages["control"], messages["control_length"] = 0, 0
        if failed:
            viewers = self._without_failed(viewers, each, [HEADER_BYTES + len(one.payload) for one in run], group)
            result.unsent += (rows.stop - rows.start - viewers) * each
        sent = self._out(group.descriptor, viewers, each)
        result.sent += sent * each
        result.unsent += (viewers - sent) * each
        result.bytes += sent * sum(len(packet.payload) for packet in run)

    def _renumber(self, group: Group, rows: slice, payload: bytes, copies: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Move VP8's numbers of pictures in each row's copy by that row's shift, as :func:`vp8.shifted` does."""
        found = described(payload)
        if found is None:
            return
        picture, base = found.picture, found.base
        if picture >= 0 and payload[picture] & LONG:
            number = group.pictures[rows] + np.uint16(payload[picture] << 8 | payload[picture + 1])
            copies[:, picture] = number >> 8 | LONG
            copies[:, picture + 1] = number & 0xFF
        elif picture >= 0:
            copies[:, picture] = group.pictures[rows] + np.uint16(payload[picture]) & 0x7F
        if base >= 0:
            copies[:, base] = group.bases[rows] + np.uint8(payload[base])

    def _without_failed(self, viewers: int, each: int, plain: list[int], group: Group) -> int:
        """Take out the messages of which a packet was not encrypted; how many are left."""
        longer = self._lengths[: viewers * each].reshape(viewers, each) == np.array(plain) + group.trailer
        whole = np.flatnonzero(longer.all(axis=1))
        self._messages[: len(whole)] = self._messages[whole]
        return len(whole)

    def _out(self, descriptor: int, count: int, each: int) -> int:
        """Hand the messages to the kernel; how many it took."""
        done = taken = 0
        base = self._messages_at
        while done < count:
            sent = self._sendmmsg(descriptor, ctypes.c_void_p(base + done * _MESSAGE.itemsize), count - done, 0)
            if sent > 0:
                done += sent
                taken += sent
                if each > 1:
                    self._uncut = 0
                continue
            error = ctypes.get_errno()
            if error == errno.EINTR:
                continue
            if error in (errno.EAGAIN, errno.ENOBUFS):
                break  # the way out is full: what is left is lost, as on any full line
            if each > 1 and error in CANNOT_CUT:
                self._uncut += 1
                self.cuts = self.cuts and self._uncut < UNCUT_IN_A_ROW
                taken += self._one_by_one(descriptor, done, each)
            done += 1  # without a cut, this destination cannot be reached; the others can
        return taken

    def _one_by_one(self, descriptor: int, at: int, each: int) -> bool:
        """The message's packets, each by itself; whether all went out."""
        name = ctypes.string_at(int(self._messages["name"][at]), int(self._messages["name_length"][at]))
        start = (int(self._messages["parts"][at]) - self._parts_at) // 16
        lengths = [int(length) for length in self._parts[start : start + each, 1]]
        data = [bytes(self._bytes[start + part, : lengths[part]]) for part in range(each)]
        return sum(self._single(descriptor, name, packet) for packet in data) == each

    def _single(self, descriptor: int, name: bytes, packet: bytes) -> bool:
        sent: int = _sendto(descriptor, packet, len(packet), 0, name, len(name))
        return sent == len(packet)


_sendto = ctypes.CDLL(None, use_errno=True).sendto
_sendto.restype = ctypes.c_ssize_t
_sendto.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]


def can_cut() -> bool:
    """Whether this kernel takes UDP_SEGMENT at all; a network card may still refuse it later."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(SOL_UDP, UDP_SEGMENT, 1_200)
        except OSError:
            return False
    return os.name == "posix"
