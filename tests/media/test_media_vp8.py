"""VP8's numbers of pictures: where they stand, and that a viewer sees one encoder's whoever it is given."""

from __future__ import annotations

import secrets
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemed.media.relay import vp8
from telemed.media.relay.delivery import Delivery
from telemed.media.relay.fan import FEW, Fan
from telemed.media.relay.fanout import HEADER_BYTES, Fanout, Row, grouped
from telemed.media.relay.rtp import RtpPacket, parse_rtp
from telemed.media.relay.source import STEP_PICTURES, Source

KEY, INTER = b"\x10\x02\x00\x9d\x01\x2a", b"\x11\x02\x00"  # a frame's first bytes: whole or not is the lowest bit


def payload(picture: int, base: int, frame: bytes = INTER, *, short: bool = False) -> bytes:
    """As Chromium's encoder with temporal layers describes a frame (RFC 7741 section 4.2)."""
    number = bytes([picture & 0x7F]) if short else (0x8000 | picture & 0x7FFF).to_bytes(2, "big")
    return b"\x90\xe0" + number + bytes([base & 0xFF, 0x20]) + frame


def numbers(data: bytes) -> tuple[int, int]:
    found = vp8.described(data)
    assert found is not None
    return int.from_bytes(data[found.picture : found.picture + 2], "big") & 0x7FFF, data[found.base]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("10 00", (-1, -1, 1)),
        ("90 80 05 00", (2, -1, 3)),
        ("90 80 85 01 00", (2, -1, 4)),
        ("90 40 07 00", (-1, 2, 3)),
        ("90 e0 85 01 07 20 00", (2, 4, 6)),
        ("90 10 00 00", (-1, -1, 3)),
    ],
)
def test_where_the_numbers_stand(data: str, found: tuple[int, int, int]) -> None:
    assert vp8.described(bytes.fromhex(data)) == found


@given(st.binary(max_size=12), st.integers(-(2**16), 2**16), st.integers(-300, 300))
def test_any_bytes_keep_their_length_and_all_that_is_no_number(data: bytes, picture: int, base: int) -> None:
    moved = vp8.shifted(data, vp8.Shift(picture, base))
    assert len(moved) == len(data)
    assert vp8.shifted(moved, vp8.Shift(-picture, -base)) == data
    found = vp8.described(data)
    assert vp8.described(moved) == found, "the frame begins where it began"
    if found is None:
        assert moved == data
    else:
        places = {found.base, *((found.picture, found.picture + 1) if found.picture >= 0 else ())}
        assert all(before == after for at, (before, after) in enumerate(zip(data, moved, strict=True))
                   if at not in places)  # fmt: skip


@given(st.integers(0, 0x7FFF), st.integers(0, 255), st.integers(0, 0x7FFF), st.integers(0, 255), st.integers(1, 9))
def test_the_numbers_that_follow_are_so_many_more(p: int, b: int, q: int, c: int, step: int) -> None:
    last, first = payload(p, b), payload(q, c)
    moved = vp8.shifted(first, vp8.following(last, first, step))
    assert numbers(moved) == ((p + step) & 0x7FFF, (b + step) & 0xFF)
    assert vp8.following(b"\x10\x00", first, step) == vp8.NONE, "there is nothing to follow"


class Way:
    """A way that keeps what was sent over it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def place(self) -> None:
        return None

    def send_rtp(self, data: bytes) -> bool:
        self.taken.append(data)
        return True


class Encoder:
    """A source of one packet a frame, of which every other is a base frame; counts from where it likes."""

    def __init__(self, ssrc: int, family: object) -> None:
        self.source = Source("video", 90_000, True, 0, family)
        self.source.codec = "VP8"
        self.fan = Fan(self.source)
        self.begin(ssrc)

    def begin(self, ssrc: int) -> None:
        self.ssrc, self.sequence = ssrc, secrets.randbits(16)
        self.picture, self.base, self.frames = secrets.randbits(15), secrets.randbits(8), 0

    def frame(self, now_s: float, *, whole: bool = False) -> Any:
        self.sequence, self.picture = self.sequence + 1, self.picture + 1
        self.frames += 1
        self.base += self.frames % 2 or whole
        data = payload(self.picture, self.base, KEY if whole else INTER)
        packet = RtpPacket(96, True, self.sequence & 0xFFFF, round(now_s * 90_000) & 0xFFFFFFFF, self.ssrc, data)
        return self.source.receive(packet, now_s)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), min_size=1, max_size=12))
def test_a_viewer_that_is_moved_about_sees_one_encoder_and_resends_are_the_same_bytes(
    stays: list[tuple[int, int]],
) -> None:
    family, now_s, current = object(), 0.0, None
    encoders = [Encoder(10, family), Encoder(11, family), Encoder(12, object())]
    delivery, way, fanout = Delivery("video", 100, 5, "name"), Way(), Fanout(cuts=False, sendmmsg=lambda *call: call[2])
    for at, stay in stays:
        for nth in range(stay):
            now_s += 0.05
            whole = nth == 0
            for number, encoder in enumerate(encoders):
                received = encoder.frame(now_s, whole=whole)
                if number == at and whole and current is not encoder:
                    if current is not None:
                        current.fan.remove(delivery, fanout)
                    current = encoder
                    packet = received.packet
                    delivery.begin(encoder.source, received.unrolled, packet.timestamp, 0.05, packet.payload)
                    encoder.fan.add(delivery, way)
                encoder.fan.push(received.packet)
                encoder.fan.flush(fanout)
    seen = [numbers(parse_rtp(data).payload) for data in way.taken]
    steps = {((q - p) & 0x7FFF, (c - b) & 0xFF) for (p, b), (q, c) in pairwise(seen)}
    assert steps <= {(1, 0), (1, 1)}
    for ago, data in enumerate(reversed(way.taken[-20:])):
        again = delivery.resent(int.from_bytes(data[2:4], "big"), now_s)
        assert again == data or (again is None and ago >= stays[-1][1])  # too many changes ago


def test_a_publisher_that_begins_anew_goes_on_from_its_numbers_and_one_more() -> None:
    """The one that is left out holds back what comes before its first whole picture."""
    encoder = Encoder(10, object())
    for nth in range(40):
        last = encoder.frame(nth / 20).packet
    before = numbers(last.payload)
    encoder.begin(99)
    first = encoder.frame(9.0, whole=True).packet
    assert numbers(first.payload) == ((before[0] + STEP_PICTURES) & 0x7FFF, (before[1] + STEP_PICTURES) & 0xFF)
    second = encoder.frame(9.05).packet
    assert (numbers(second.payload)[0] - numbers(first.payload)[0]) & 0x7FFF == 1


@pytest.mark.parametrize("short", [False, True])
def test_many_viewers_at_once_are_sent_what_each_alone_would_be(short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays of the fan-out move the numbers as ``shifted`` does."""

    class Clear:
        trailer, context = 0, None

    fanout = Fanout(cuts=False, sendmmsg=lambda *call: call[2])
    shifts = [vp8.NONE, *(vp8.Shift(secrets.randbits(17) - 2**16, secrets.randbits(9) - 256) for _ in range(2 * FEW))]
    what = [payload(0x7FFE, 254, KEY, short=short), payload(3, 1, short=short), b"\x10\x01\x02"]
    monkeypatch.setattr("telemed.media.relay.fanout.PROTECT", lambda *_: 0)  # the copies stay readable
    clear: Any = Clear()
    (group,) = grouped([Row(96, 5, 0, 0, clear, 7, b"\0" * 16, shift) for shift in shifts])
    for data in what:
        packet = RtpPacket(96, True, 1, 2, 3, data)
        fanout.send(group, [packet])
        copies = fanout._bytes[: len(shifts), : HEADER_BYTES + len(data)]
        assert [bytes(copy) for copy in copies] == [packet.rebuilt(96, 1, 2, 5, shift) for shift in shifts]
