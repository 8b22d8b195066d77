"""What the fan-out sends, as libsrtp's own receiving side reads it, and what it does when the kernel will not."""

from __future__ import annotations

import ctypes
import errno
import itertools
import secrets
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pylibsrtp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from telemed.media.backend import Sent
from telemed.media.relay.fanout import (
    CUT_BYTES,
    PAYLOAD_BYTES,
    SEGMENTS,
    SLOTS,
    UNCUT_IN_A_ROW,
    Fanout,
    Row,
    can_cut,
    grouped,
    runs,
    sockaddr,
)
from telemed.media.relay.rtp import RtpPacket, parse_rtp

PROFILES = {  # and the bytes of a key and of a trailer
    "gcm": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28, 16),
    "cm": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30, 10),
}
MESSAGE = struct.Struct("=QIIQQQQiIII")  # struct mmsghdr of a 64-bit Linux
CONTROL = struct.Struct("=QiiH")
COMES_SECONDS = 5.0  # over loopback; a datagram is there before its sender goes on


def policy(key: bytes, profile: str, kind: int, ssrc: int = 0) -> Policy:
    return Policy(key=key, ssrc_type=kind, ssrc_value=ssrc, srtp_profile=PROFILES[profile][0])


class Sealing:
    """The keys of one viewer, as the relay has them; ``session`` is the viewer's own side."""

    def __init__(self, profile: str = "gcm", key: bytes | None = None, only: int | None = None) -> None:
        _, size, self.trailer = PROFILES[profile]
        self.key = key or secrets.token_bytes(size)
        kind = Policy.SSRC_ANY_OUTBOUND if only is None else Policy.SSRC_SPECIFIC
        self._session = Session(policy(self.key, profile, kind, only or 0))
        self.context = self._session._srtp[0]
        self.session = Session(policy(self.key, profile, Policy.SSRC_ANY_INBOUND))


@dataclass
class Watcher:
    """A viewer: a row of the fan-out, and the receiving end of it."""

    number: int
    keys: Sealing
    address: tuple[Any, ...]
    sequence_offset: int = 0
    time_offset: int = 0

    def row(self, descriptor: int) -> Row:
        keys: Any = self.keys
        return Row(
            96 + self.number % 3, 1000 + self.number, self.sequence_offset, self.time_offset, keys, descriptor,
            sockaddr(self.address),
        )

    def expects(self, packet: RtpPacket) -> RtpPacket:
        """The packet as this viewer is to see it."""
        return RtpPacket(
            96 + self.number % 3, packet.marker, (packet.sequence + self.sequence_offset) & 0xFFFF,
            (packet.timestamp + self.time_offset) & 0xFFFFFFFF, 1000 + self.number, packet.payload,
        )


class Kernel:
    """A stand-in for ``sendmmsg`` that keeps what it is given, cut as UDP_SEGMENT says. ``says`` are its next answers:
    an errno, or how many messages it takes of a call."""

    def __init__(self, *says: int | str) -> None:
        self.says = list(says)
        self.calls: list[int] = []
        self.datagrams: list[tuple[bytes, bytes]] = []
        self.cuts_refused: int | None = None

    def __call__(self, descriptor: int, messages: Any, count: int, flags: int) -> int:
        assert flags == 0
        self.calls.append(count)
        take = count
        if self.says:
            said = self.says.pop(0)
            if isinstance(said, str):
                ctypes.set_errno(getattr(errno, said))
                return -1
            take = min(said, count)
        for at in range(take):
            name, name_length, _, parts, part_count, control, control_length, *_ = MESSAGE.unpack(
                ctypes.string_at(messages.value + at * MESSAGE.size, MESSAGE.size)
            )
            pieces = []
            for part in range(part_count):
                start, length = struct.unpack("=QQ", ctypes.string_at(parts + 16 * part, 16))
                pieces.append(ctypes.string_at(start, length))
            if control_length:
                size, level, kind, cut = CONTROL.unpack(ctypes.string_at(control, CONTROL.size))
                assert (size, level, kind) == (18, 17, 103)
                if self.cuts_refused is not None:
                    ctypes.set_errno(self.cuts_refused)
                    return at or -1
                whole = b"".join(pieces)
                pieces = [whole[first : first + cut] for first in range(0, len(whole), cut)]
            else:
                assert len(pieces) == 1
            self.datagrams += [(ctypes.string_at(name, name_length), piece) for piece in pieces]
        return take


def packets(count: int, size: int = 100, last: int | None = None, first: int = 65_530) -> list[RtpPacket]:
    """Packets of one frame, across the wrap of the sequence numbers; the last one has another size."""
    return [
        RtpPacket(
            96, number == count - 1, (first + number) & 0xFFFF, 0xFFFFFF00, 5,
            bytes([number % 256]) * (last if last is not None and number == count - 1 else size),
        )
        for number in range(count)
    ]


def watchers(count: int, profile: str = "gcm", keys: Sequence[Sealing] | None = None) -> list[Watcher]:
    return [
        Watcher(
            at, keys[at] if keys else Sealing(profile), ("127.0.0.1", 10_000 + at), 3_000 * at % 65_536, 0x12345678 * at
        )
        for at in range(count)
    ]


def send(fanout: Fanout, everybody: Sequence[Watcher], what: Sequence[RtpPacket], descriptor: int = 7) -> Sent:
    result = Sent()
    for group in grouped([watcher.row(descriptor) for watcher in everybody]):
        part = fanout.send(group, what)
        result.sent, result.unsent = result.sent + part.sent, result.unsent + part.unsent
        result.bytes += part.bytes
    return result


def reads(watcher: Watcher, datagrams: Sequence[tuple[bytes, bytes]]) -> list[RtpPacket]:
    """What the viewer makes of the datagrams for its address."""
    name = sockaddr(watcher.address)
    return [parse_rtp(watcher.keys.session.unprotect(data)) for to, data in datagrams if to == name]


@pytest.mark.parametrize("cuts", [True, False])
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("count", [1, 7])
def test_every_viewer_reads_the_payload_under_its_own_header(profile: str, cuts: bool, count: int) -> None:
    kernel, everybody, what = Kernel(), watchers(50, profile), packets(count, last=37)
    sent = send(Fanout(cuts, kernel), everybody, what)
    assert (sent.sent, sent.unsent) == (50 * count, 0)
    assert sent.bytes == 50 * sum(len(packet.payload) for packet in what)
    for watcher in everybody:
        assert reads(watcher, kernel.datagrams) == [watcher.expects(packet) for packet in what]
    assert len(kernel.datagrams) == 50 * count


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("size", "last"), [(100, 30), (CUT_BYTES, CUT_BYTES), (1, 1), (CUT_BYTES, 0)])
def test_the_kernel_cuts_one_message_into_the_same_datagrams_as_are_sent_one_by_one(
    profile: str, size: int, last: int
) -> None:
    """On real sockets, with the same keys twice: byte for byte, on this kernel."""
    if not can_cut():
        pytest.skip("this kernel does not cut messages")
    what = packets(9, size, last)
    keys = [Sealing(profile).key for _ in range(5)]
    seen = []
    for cuts in (True, False):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in keys]
            for end in ends:
                end.bind(("127.0.0.1", 0))
                end.settimeout(COMES_SECONDS)
            everybody = watchers(len(keys), profile, [Sealing(profile, key) for key in keys])
            for watcher, end in zip(everybody, ends, strict=True):
                watcher.address = end.getsockname()
            fanout = Fanout(cuts)
            assert send(fanout, everybody, what, sender.fileno()).sent == len(keys) * len(what)
            assert fanout.cuts is cuts
            seen.append([received(end, len(what)) for end in ends])
            for end in ends:
                end.close()
    assert seen[0] == seen[1]


def received(end: socket.socket, count: int) -> list[bytes]:
    """The datagrams that have come, which are so many and no more."""
    found = [end.recv(2048) for _ in range(count)]
    end.setblocking(False)
    with pytest.raises(BlockingIOError):
        end.recv(2048)
    end.settimeout(COMES_SECONDS)
    return found


def test_viewers_of_both_families_get_their_packets() -> None:
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as end6,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end4,
    ):
        end6.bind(("::1", 0))
        end4.bind(("127.0.0.1", 0))
        for end in (end4, end6):
            end.settimeout(COMES_SECONDS)
        everybody = watchers(2)
        everybody[0].address, everybody[1].address = end6.getsockname(), end4.getsockname()
        what = packets(4)
        rows = [everybody[0].row(six.fileno()), everybody[1].row(four.fileno())]
        groups = grouped(rows)
        assert len(groups) == 2
        fanout = Fanout(can_cut())
        assert [fanout.send(group, what).sent for group in groups] == [4, 4]
        for watcher, end in zip(everybody, (end6, end4), strict=True):
            got = [parse_rtp(watcher.keys.session.unprotect(data)) for data in received(end, 4)]
            assert got == [watcher.expects(packet) for packet in what]


def test_trailers_sockets_and_families_are_not_mixed_in_one_call() -> None:
    everybody = [*watchers(3, "gcm"), *watchers(3, "cm")]
    everybody[0].address = ("::1", 9)
    groups = grouped([watcher.row(7) for watcher in everybody] + [everybody[1].row(8)])
    assert sorted((group.count, group.descriptor, group.trailer, group.name_length) for group in groups) == [
        (1, 7, 16, 28), (1, 8, 16, 16), (2, 7, 16, 16), (3, 7, 10, 16),
    ]  # fmt: skip


@pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP])
def test_a_kernel_that_will_not_cut_is_asked_no_more_and_nobody_misses_a_packet(code: int) -> None:
    """The packets go out one by one over a real socket; soon no cut is asked for any more."""
    kernel = Kernel()
    kernel.cuts_refused = code
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end,
    ):
        end.bind(("127.0.0.1", 0))
        end.settimeout(COMES_SECONDS)
        everybody = watchers(UNCUT_IN_A_ROW // 2)
        for watcher in everybody:
            watcher.address = end.getsockname()
        fanout, what = Fanout(True, kernel), packets(3)
        assert send(fanout, everybody, what, sender.fileno()).sent == 3 * len(everybody)
        assert fanout.cuts  # so far it may be a narrow path
        assert send(fanout, everybody, packets(3, first=2), sender.fileno()).sent == 3 * len(everybody)
        assert not fanout.cuts
        alone = received(end, 6 * len(everybody))
        for watcher in everybody:
            mine = [data for data in alone if int.from_bytes(data[8:12], "big") == 1000 + watcher.number]
            got = [parse_rtp(watcher.keys.session.unprotect(data)) for data in mine]
            assert got == [watcher.expects(packet) for packet in (*what, *packets(3, first=2))]
        assert send(fanout, everybody, packets(2, first=9), sender.fileno()).sent == 2 * len(everybody)
        assert len(kernel.datagrams) == 2 * len(everybody)  # the stand-in took them, uncut


def test_one_viewer_of_a_narrow_path_costs_the_others_nothing() -> None:
    """What is refused for one message is sent by itself; that others' messages are cut is not given up."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end,
    ):
        end.bind(("127.0.0.1", 0))
        end.settimeout(COMES_SECONDS)
        everybody = watchers(3)
        everybody[1].address = end.getsockname()
        kernel = Kernel()
        fanout = Fanout(True, kernel)
        for turn in range(2 * UNCUT_IN_A_ROW):
            kernel.says = [1, "EMSGSIZE"]
            what = packets(3, first=3 * turn)
            assert send(fanout, everybody, what, sender.fileno()).sent == 9
            assert [len(reads(one, kernel.datagrams)) for one in everybody] == [3, 0, 3]
            got = [parse_rtp(everybody[1].keys.session.unprotect(data)) for data in received(end, 3)]
            assert got == [everybody[1].expects(packet) for packet in what]
            kernel.datagrams.clear()
        assert fanout.cuts


def test_a_full_way_out_loses_the_rest_and_waits_for_nobody() -> None:
    kernel, everybody, what = Kernel(20, "EAGAIN"), watchers(50), packets(1)
    sent = send(Fanout(True, kernel), everybody, what)
    assert (sent.sent, sent.unsent, sent.bytes) == (20, 30, 20 * 100)
    assert kernel.calls == [50, 30]
    for watcher in everybody[:20]:
        assert reads(watcher, kernel.datagrams) == [watcher.expects(what[0])]
    sent = send(Fanout(True, Kernel("ENOBUFS")), watchers(4), packets(3))
    assert (sent.sent, sent.unsent) == (0, 12)


def test_a_kernel_that_takes_a_few_at_a_time_gets_all_of_them_in_order() -> None:
    kernel, everybody, what = Kernel(1, 2, "EINTR", 3), watchers(12), packets(5)
    assert send(Fanout(True, kernel), everybody, what).sent == 60
    assert [to for to, _ in kernel.datagrams] == [sockaddr(one.address) for one in everybody for _ in what]
    for watcher in everybody:
        assert reads(watcher, kernel.datagrams) == [watcher.expects(packet) for packet in what]


@pytest.mark.parametrize("count", [1, 3])
def test_a_destination_that_cannot_be_reached_is_passed_over(count: int) -> None:
    kernel, everybody, what = Kernel(4, "ENETUNREACH", 2, "EPERM"), watchers(10), packets(count)
    sent = send(Fanout(True, kernel), everybody, what)
    assert (sent.sent, sent.unsent) == (8 * count, 2 * count)
    reached = [bool(reads(watcher, kernel.datagrams)) for watcher in everybody]
    assert reached == [True] * 4 + [False] + [True] * 2 + [False] + [True] * 2


@pytest.mark.parametrize("cuts", [True, False])
def test_who_cannot_be_encrypted_for_gets_nothing_and_the_others_all(cuts: bool) -> None:
    keys = [Sealing(only=0x99) if at in (0, 4) else Sealing() for at in range(6)]  # two contexts without a stream
    kernel, everybody, what = Kernel(), watchers(6, keys=keys), packets(3, last=50)
    sent = send(Fanout(cuts, kernel), everybody, what)
    assert (sent.sent, sent.unsent) == (12, 6)
    for watcher in everybody:
        if watcher.number in (0, 4):
            assert not [data for to, data in kernel.datagrams if to == sockaddr(watcher.address)]
        else:
            assert reads(watcher, kernel.datagrams) == [watcher.expects(packet) for packet in what]
    assert all(b"\x00" * 50 not in data for _, data in kernel.datagrams)  # nothing in the clear


def test_more_viewers_and_packets_than_there_is_memory_for_are_sent_in_turns() -> None:
    count = SLOTS // SEGMENTS * 3 + 5
    kernel, everybody, what = Kernel(), watchers(count), packets(SEGMENTS)
    sent = send(Fanout(True, kernel), everybody, what)
    assert (sent.sent, sent.unsent) == (count * SEGMENTS, 0)
    assert kernel.calls == [SLOTS // SEGMENTS] * 3 + [5]
    for watcher in everybody:
        assert reads(watcher, kernel.datagrams) == [watcher.expects(packet) for packet in what]
    kernel, everybody = Kernel(), watchers(SLOTS + 3)
    assert send(Fanout(True, kernel), everybody, packets(1)).sent == SLOTS + 3
    assert kernel.calls == [SLOTS, 3]


def test_the_longest_payload_goes_out_whole_and_is_not_cut() -> None:
    kernel, everybody, what = Kernel(), watchers(3), packets(3, PAYLOAD_BYTES)
    assert send(Fanout(True, kernel), everybody, what).sent == 9
    for watcher in everybody:
        name = sockaddr(watcher.address)
        mine = [data for to, data in kernel.datagrams if to == name]
        assert [len(data) for data in mine] == [12 + PAYLOAD_BYTES + 16] * 3
    assert kernel.calls == [3, 3, 3]  # a call a packet


def test_a_packet_sent_again_under_its_number_is_the_same_and_another_one_is_not_forged() -> None:
    """A receiver takes each number once: that the keys and the numbers are the viewer's own."""
    kernel, everybody = Kernel(), watchers(2)
    send(Fanout(False, kernel), everybody, packets(2))
    name = sockaddr(everybody[0].address)
    mine = [data for to, data in kernel.datagrams if to == name]
    everybody[0].keys.session.unprotect(mine[0])
    with pytest.raises(pylibsrtp.Error):
        everybody[0].keys.session.unprotect(mine[0])
    with pytest.raises(pylibsrtp.Error):
        everybody[1].keys.session.unprotect(mine[1])


@given(st.lists(st.sampled_from([0, 1, 30, 900, CUT_BYTES, CUT_BYTES + 1, PAYLOAD_BYTES]), max_size=120))
def test_runs_keep_every_packet_in_order_and_differ_in_length_only_at_their_end(sizes: list[int]) -> None:
    what = [RtpPacket(96, False, at, 0, 1, bytes(size)) for at, size in enumerate(sizes)]
    cut = runs(what)
    assert [packet for run in cut for packet in run] == what
    for run in cut:
        assert 1 <= len(run) <= SEGMENTS
        first = len(run[0].payload)
        assert all(len(packet.payload) == first for packet in run[:-1])
        assert len(run[-1].payload) <= first
        assert len(run) == 1 or first <= CUT_BYTES
    for run, following in itertools.pairwise(cut):  # and no shorter than they need be
        joined = len(run[0].payload)
        assert (
            len(run) == SEGMENTS or len(run[-1].payload) < joined or len(following[0].payload) > joined
            or joined > CUT_BYTES
        )  # fmt: skip
