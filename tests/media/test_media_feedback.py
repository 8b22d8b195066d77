"""Transport-wide feedback, REMB, reception reports and RTX: drawn by hand, round trips, aiortc, and anything at all."""

from __future__ import annotations

import contextlib
import struct

import pytest
from aiortc.rtp import RtpPacket, pack_remb_fci
from aiortc.rtp import unwrap_rtx as their_unwrap
from aiortc.rtp import wrap_rtx as their_wrap
from hypothesis import given, settings
from hypothesis import strategies as st

from telemed.media.relay import feedback, rtp
from telemed.media.relay.feedback import Arrivals
from telemed.media.relay.rtp import PacketMalformed
from tests.media.twcc import REFERENCE_WRAP_S, TransportFeedback, parse_twcc

SSRC, MEDIA = 0x01020304, 0x0A0B0C0D
DATAGRAM_MOST = 1200


def body_of(message: bytes) -> bytes:
    ((kind, fmt, body),) = feedback.compound(message)
    assert (kind, fmt) == (rtp.RTPFB, feedback.TWCC_FMT)
    assert struct.unpack_from("!LL", body) == (SSRC, MEDIA)
    return body


def told(arrivals: Arrivals, now_s: float) -> list[TransportFeedback]:
    """Everything that there is to tell, in as many reports as it takes."""
    messages: list[TransportFeedback] = []
    while report := arrivals.report(SSRC, MEDIA, now_s):
        assert len(report) <= feedback.MESSAGES_A_REPORT
        assert all(len(message) < DATAGRAM_MOST for message in report)
        messages += [parse_twcc(body_of(message)) for message in report]
    return messages


def test_a_message_byte_by_byte() -> None:
    arrivals = Arrivals()
    # 1,000.064 s is 15,626 times 64 ms; deltas 1 tick, 255, then 256 (too long for a byte), 102 missing, -4.
    start_s = 15_626 * 0.064
    for sequence, ticks in ((0xFFFE, 1), (0xFFFF, 256), (0x0000, 512), (0x0067, 508)):
        arrivals.note(sequence, start_s + ticks / 4000)
    (message,) = arrivals.report(SSRC, MEDIA, start_s + 1)
    assert message == bytes.fromhex(
        "8fcd0007 01020304 0a0b0c0d"
        "fffe 006a"  # 106 statuses
        "003d0a 00"  # reference time, number
        "d600"  # two small, a large, four missing: 11 01 01 10 00000000
        "0062"  # 98 missing
        "4001"  # and a large
        "01 ff 0100 fffc"  # deltas
    )


def test_a_message_with_one_bit_symbols_and_runs() -> None:
    arrivals = Arrivals()
    for sequence in (*range(0, 14, 2), *range(14, 44)):
        arrivals.note(sequence, 64.0)
    (message,) = arrivals.report(SSRC, MEDIA, 65.0)
    head = struct.pack("!HHL", 0, 44, 1000 << 8)
    chunks = struct.pack("!HH", 0x8000 | 0b10101010101010, 0x2000 | 30)
    assert body_of(message)[8:] == head + chunks + bytes(37) + bytes(3)


def content(base: int, statuses: int, chunks: tuple[int, ...], deltas: bytes, clock: int = 0) -> bytes:
    return bytes(8) + struct.pack(f"!HHL{len(chunks)}H", base, statuses, clock, *chunks) + deltas


def test_the_draft_s_examples_of_chunks_are_read() -> None:
    # TWCC section 3.1.3: 221 not received. Section 3.1.4: one not, five received, three not, three received, two not;
    # one not, one received with a long delta, three received, two not.
    message = parse_twcc(content(1, 242, (0x00DD, 0x9F1C, 0xC950), bytes(8) + b"\xff\xf8" + b"\x01\x02\x03", 1 << 8))
    numbers = [*range(223, 228), *range(231, 234), 237, 238, 239, 240]
    assert [sequence for sequence, _ in message.received] == numbers
    assert [second for _, second in message.received[-4:]] == [0.062, 0.06225, 0.06275, 0.0635]
    assert (message.base, message.statuses, message.lost) == (1, 242, 242 - 12)


def test_a_reserved_status_is_malformed() -> None:
    with pytest.raises(PacketMalformed):  # the draft's own example of a two-bit vector has one
        parse_twcc(content(1, 7, (0xCD50,), bytes(8)))
    with pytest.raises(PacketMalformed):
        parse_twcc(content(1, 2, (0x6002,), bytes(8)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(15),
        content(1, 0, (), b""),
        content(1, 1, (), b""),
        content(1, 3, (0x2002, 0x2001), b"\x01\x01"),
        content(1, 2, (0x4002,), b"\x01\x01\x01"),
        content(1, 65_535, (0x3FFF,) * 9, bytes(100)),
    ],
)
def test_feedback_that_is_cut_short_is_malformed(body: bytes) -> None:
    with pytest.raises(PacketMalformed):
        parse_twcc(body)


def test_a_long_run_of_nothing_is_no_work_and_excess_is_passed_over() -> None:
    message = parse_twcc(content(65_000, 65_535, (0x1FFF,) * 8 + (0x3FFF,), bytes(7)))
    assert message.received[-1][0] == (65_000 + 65_534) & 0xFFFF
    assert message.lost == 8 * 8191


@given(st.binary(max_size=300), st.booleans())
def test_any_feedback_is_read_or_malformed(data: bytes, headed: bool) -> None:
    body = content(7, 300, (), data) if headed else data
    with contextlib.suppress(PacketMalformed):
        message = parse_twcc(body)
        assert len(message.received) <= min(message.statuses, len(body))


# Each packet: how far its number is from the one before, and when it comes after it, in seconds.
STEPS = st.lists(
    st.tuples(
        st.one_of(st.just(1), st.integers(-30, 30), st.integers(-32_000, 32_000)),
        st.one_of(st.just(0.0), st.floats(0, 0.05), st.floats(0, 20)),
        st.integers(0, 9).map(lambda tenth: tenth == 0),  # whether a report is asked for
    ),
    max_size=150,
)


@settings(deadline=None)
@given(STEPS, st.integers(0, 65_535), st.floats(0, 3 * REFERENCE_WRAP_S))
def test_what_came_is_told_whatever_the_pattern(
    steps: list[tuple[int, float, bool]], sequence: int, now_s: float
) -> None:
    arrivals = Arrivals()
    came: dict[int, list[float]] = {}
    messages: list[TransportFeedback] = []
    for step, later_s, ask in steps:
        sequence, now_s = (sequence + step) & 0xFFFF, now_s + later_s
        arrivals.note(sequence, now_s)
        came.setdefault(sequence, []).append(now_s)
        if ask:
            messages += told(arrivals, now_s)
    messages += told(arrivals, now_s)
    heard = [arrival for message in messages for arrival in message.received]
    assert {number for number, _ in heard} == set(came)
    for number, second in heard:
        assert min(apart(second, came_s) for came_s in came[number]) <= 0.00025
    assert [message.number for message in messages] == [number & 0xFF for number in range(len(messages))]


def apart(first_s: float, second_s: float) -> float:
    """Seconds between two times of a clock that wraps."""
    return abs((first_s - second_s + REFERENCE_WRAP_S / 2) % REFERENCE_WRAP_S - REFERENCE_WRAP_S / 2)


def test_nothing_new_is_no_report() -> None:
    arrivals = Arrivals()
    assert arrivals.report(SSRC, MEDIA, 1.0) == []
    arrivals.note(5, 1.0)
    arrivals.note(5, 1.1)
    assert len(arrivals.report(SSRC, MEDIA, 1.2)) == 1
    arrivals.note(5, 1.3)
    assert arrivals.report(SSRC, MEDIA, 1.4) == []


def test_a_hole_between_two_reports_is_told_by_the_second() -> None:
    arrivals = Arrivals()
    arrivals.note(10, 1.0)
    told(arrivals, 1.0)
    arrivals.note(14, 1.1)
    (message,) = told(arrivals, 1.1)
    assert (message.base, message.statuses, message.lost) == (11, 4, 3)


def test_a_late_packet_is_told_with_all_behind_it() -> None:
    arrivals = Arrivals()
    for sequence in (10, 11, 13, 14):
        arrivals.note(sequence, 1.0)
    told(arrivals, 1.0)
    arrivals.note(12, 1.1)
    (message,) = told(arrivals, 1.1)
    assert [sequence for sequence, _ in message.received] == [12, 13, 14]
    arrivals.note(15, 1.7)
    told(arrivals, 1.7)
    arrivals.note(9, 1.8)  # those of before are forgotten by now
    (message,) = told(arrivals, 1.8)
    assert (message.base, message.received) == (9, ((9, 1.8), (15, 1.7)))


def test_a_hole_too_long_to_describe_is_jumped_over() -> None:
    arrivals = Arrivals()
    arrivals.note(0, 1.0)
    arrivals.note(feedback.STATUSES_A_MESSAGE, 1.0)
    arrivals.note(3 * feedback.STATUSES_A_MESSAGE, 1.0)
    assert [(message.base, message.statuses) for message in told(arrivals, 1.0)] == [
        (0, 1),
        (1, feedback.STATUSES_A_MESSAGE),
        (3 * feedback.STATUSES_A_MESSAGE, 1),
    ]


def test_arrivals_that_nobody_asks_for_are_bounded() -> None:
    arrivals = Arrivals()
    for number in range(3 * feedback.KEPT):
        arrivals.note(number & 0xFFFF, number / 1000)
    assert len(arrivals._ticks) == feedback.KEPT
    messages = told(arrivals, 10.0)
    assert sum(len(message.received) for message in messages) == feedback.KEPT
    told(arrivals, 20.0)
    assert not arrivals._ticks


def test_the_worst_pattern_fits_a_datagram() -> None:
    arrivals = Arrivals()
    for number in range(2000):  # forth and back by more than a byte holds, every other missing
        arrivals.note(2 * number, 10.0 + (number % 2) * 0.1)
    messages = arrivals.report(SSRC, MEDIA, 10.1)
    assert max(len(message) for message in messages) < DATAGRAM_MOST
    assert len(messages) <= feedback.MESSAGES_A_REPORT


def test_a_compound_is_split_and_its_padding_left_out() -> None:
    first = rtp.receiver_report(SSRC, [])
    padded = bytes.fromhex("a0cb0002 01020304 00000004")  # BYE
    assert list(feedback.compound(first + padded)) == [
        (rtp.RR, 0, struct.pack("!L", SSRC)),
        (rtp.BYE, 0, bytes.fromhex("01020304")),
    ]
    assert list(feedback.compound(b"")) == []


@pytest.mark.parametrize("data", ["80", "80c80001", "40c80000", "a0c80000", "a0c8000100000000", "a0c8000100000005"])
def test_what_is_no_compound_is_malformed(data: str) -> None:
    with pytest.raises(PacketMalformed):
        list(feedback.compound(bytes.fromhex(data)))


@given(st.binary(max_size=200))
def test_any_compound_is_read_or_malformed(data: bytes) -> None:
    with contextlib.suppress(PacketMalformed):
        for kind, count, body in feedback.compound(data):
            feedback.parse_report_blocks(kind, count, body)
            feedback.parse_remb(body)


BLOCKS = st.builds(
    rtp.ReportBlock,
    *[st.integers(0, 0xFFFFFFFF), st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF)],
    *[st.integers(0, 0xFFFFFFFF)] * 4,
)


@given(st.lists(BLOCKS, max_size=31))
def test_reception_reports_are_read_back_from_an_rr_and_an_sr(blocks: list[rtp.ReportBlock]) -> None:
    report = rtp.receiver_report(SSRC, blocks)
    ((kind, count, body),) = feedback.compound(report)
    assert feedback.parse_report_blocks(kind, count, body) == tuple(blocks)
    sender = rtp.sender_report(rtp.SenderReport(SSRC, 1, 2, 3, 4))[4:] + body[4:]
    assert feedback.parse_report_blocks(rtp.SR, count, sender) == tuple(blocks)
    assert feedback.parse_report_blocks(rtp.BYE, count, body) == ()
    with pytest.raises(PacketMalformed):
        feedback.parse_report_blocks(rtp.RR, count + 1, body)


@given(st.integers(0, (1 << 40) - 1), st.lists(st.integers(0, 0xFFFFFFFF), max_size=40))
def test_a_remb_is_read_as_we_and_as_aiortc_write_it(bits_s: int, ssrcs: list[int]) -> None:
    ((kind, fmt, body),) = feedback.compound(rtp.bitrate_bound(SSRC, bits_s, ssrcs))
    theirs = bytes(8) + pack_remb_fci(bits_s, ssrcs)
    assert (kind, fmt) == (rtp.PSFB, rtp.APPLICATION_FMT)
    for whole in (body, theirs):
        remb = feedback.parse_remb(whole)
        assert remb is not None
        assert bits_s * (1 - 1 / (1 << 17)) <= remb[0] <= bits_s
        assert remb[1] == tuple(ssrcs)
    assert feedback.parse_remb(body[:-1]) is None
    assert feedback.parse_remb(b"\0" + body) is None


PACKET = rtp.RtpPacket(96, True, 0x1234, 0x55667788, MEDIA, b"payload").rebuilt(96, 0x1234, 0x55667788, MEDIA)
EXTENDED = bytes.fromhex("b1e0 fffe 00000bb8 01020304 0a0b0c0d bede0001 10aa0000 deadbeef 000003")


def test_a_retransmission_byte_by_byte() -> None:
    # RFC 4588 section 4: its own payload type, number and SSRC; the original number before the payload.
    assert feedback.wrap_rtx(PACKET, 97, SSRC, 7) == bytes.fromhex("80e1 0007 55667788 01020304 1234") + b"payload"


@pytest.mark.parametrize("packet", [PACKET, EXTENDED, PACKET[:12]])
def test_a_retransmission_is_undone_and_is_aiortc_s_own(packet: bytes) -> None:
    wrapped = feedback.wrap_rtx(packet, 97, 99, 7)
    ssrc = int.from_bytes(packet[8:12], "big")
    assert feedback.unwrap_rtx(wrapped, 96, ssrc) == packet
    theirs = RtpPacket.parse(wrapped)
    assert their_unwrap(theirs, 96, ssrc).payload == RtpPacket.parse(packet).payload
    theirs = their_wrap(RtpPacket.parse(PACKET), 97, 7, SSRC)
    assert feedback.unwrap_rtx(theirs.serialize(), 96, MEDIA) == PACKET


def test_a_retransmission_of_padding_alone_carries_nothing() -> None:
    head = bytes.fromhex("a0e1 0007 55667788 01020304")
    assert feedback.unwrap_rtx(head + bytes(3) + b"\x04", 96, MEDIA) is None
    assert feedback.unwrap_rtx(head + b"\x12" + bytes(3) + b"\x04", 96, MEDIA) is None
    assert feedback.unwrap_rtx(b"\x80" + head[1:], 96, MEDIA) is None
    for padding in (b"\x00", b"\x05"):
        with pytest.raises(PacketMalformed):
            feedback.unwrap_rtx(head + bytes(3) + padding, 96, MEDIA)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_retransmission_or_none_or_malformed(data: bytes) -> None:
    for packet in (data, b"\xb0" + data[1:]):
        with contextlib.suppress(PacketMalformed):
            feedback.unwrap_rtx(packet, 96, MEDIA)
        with contextlib.suppress(PacketMalformed):
            assert feedback.wrap_rtx(packet, 97, SSRC, 1)[2:4] == b"\x00\x01"
