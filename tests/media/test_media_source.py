"""Ring, gaps, statistics and header rewriting, with a clock of our own."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from telemed.media.relay import rtp
from telemed.media.relay.delivery import RESENDS_A_SECOND, Delivery, Rtx
from telemed.media.relay.fan import Fan
from telemed.media.relay.fanout import Fanout
from telemed.media.relay.source import (
    ASK_AGAIN_SECONDS,
    ASKED_AT_MOST,
    GAP_MAX,
    RING,
    STALE,
    TAKEOVER_SECONDS,
    Received,
    Source,
)

SSRC = 77


def packet(number: int, ssrc: int = SSRC, start: int = 65_000) -> rtp.RtpPacket:
    payload = ssrc.to_bytes(4, "big") + (number & 0xFFFFFFFF).to_bytes(4, "big")
    return rtp.RtpPacket(96, False, (start + number) & 0xFFFF, (3000 * number) & 0xFFFFFFFF, ssrc, payload)


def video() -> Source:
    return Source("video", 90_000, repaired=True)


def test_packets_in_order_are_fresh_and_nothing_is_missing_across_the_wrap() -> None:
    source = video()
    for number in range(1200):
        received = source.receive(packet(number), number / 100)
        assert received.packet == packet(number)
        assert (received.late, received.ask, received.keyframe_needed) == (False, (), False)
    block = source.block(12.0)
    assert block is not None
    assert (block.lost, block.fraction_lost, block.highest) == (0, 0, 65_000 + 1199)


def test_a_duplicate_and_a_packet_older_than_the_ring_are_stale() -> None:
    source = video()
    for number in (*range(10), *range(11, RING + 20)):
        source.receive(packet(number), 0.0)
    assert source.receive(packet(RING + 5), 0.0) == STALE
    assert source.receive(packet(10), 0.0) == STALE
    assert source.receive(packet(-3), 0.0) == STALE
    assert source.find(packet(10).sequence) is None
    assert source.find(packet(RING).sequence) == packet(RING)


def test_a_gap_is_asked_for_at_once_then_again_and_then_given_up() -> None:
    source = video()
    source.receive(packet(0), 0.0)
    lost = (packet(1).sequence, packet(2).sequence)
    now_s, asked = 0.0, []
    for number in range(3, 20):
        asked += [source.receive(packet(number), now_s).ask]
        now_s += ASK_AGAIN_SECONDS
    assert asked[:ASKED_AT_MOST] == [lost] * ASKED_AT_MOST
    assert set(asked[ASKED_AT_MOST:]) == {()}


def test_a_late_packet_is_forwarded_and_not_asked_for_again() -> None:
    source = video()
    source.receive(packet(0), 0.0)
    assert source.receive(packet(2), 0.0).ask == (packet(1).sequence,)
    late = source.receive(packet(1), 0.05)
    assert (late.packet, late.late) == (packet(1), True)
    assert source.receive(packet(3), 1.0).ask == ()


def test_a_hole_too_long_to_repair_asks_for_a_whole_picture() -> None:
    source = video()
    source.receive(packet(0), 0.0)
    received = source.receive(packet(GAP_MAX + 2), 0.0)
    assert received.keyframe_needed
    assert received.ask == ()


def test_sound_is_never_asked_for_again() -> None:
    source = Source("audio", 48_000, repaired=False)
    source.receive(packet(0), 0.0)
    assert source.receive(packet(5), 0.0).ask == ()


def test_another_ssrc_is_believed_only_when_the_known_one_is_silent() -> None:
    source = video()
    source.receive(packet(0), 0.0)
    assert source.receive(packet(0, ssrc=9), TAKEOVER_SECONDS / 2) == STALE
    assert source.generation == 1
    assert source.receive(packet(0, ssrc=9), TAKEOVER_SECONDS).packet is not None
    assert (source.ssrc, source.generation) == (9, 2)


def test_the_share_lost_is_of_the_time_since_the_last_report() -> None:
    source = video()
    for number in range(100):
        if number % 4:
            source.receive(packet(number), 0.0)
    block = source.block(1.0)
    assert block is not None
    assert block.fraction_lost == 256 * 24 // 99
    for number in range(100, 200):
        source.receive(packet(number), 0.0)
    later = source.block(2.0)
    assert later is not None
    assert (later.fraction_lost, later.lost) == (0, 24)


def test_reports_that_say_nothing_or_come_too_fast_are_passed_over() -> None:
    source = video()
    source.receive(packet(0), 0.0)
    good = rtp.SenderReport(SSRC, 1 << 40, 5, 1, 1)
    assert not source.note_report(rtp.SenderReport(SSRC, 0, 0, 0, 0), 0.0)
    assert not source.note_report(rtp.SenderReport(SSRC + 1, 1 << 40, 5, 1, 1), 0.0)
    assert source.note_report(good, 0.0)
    assert not source.note_report(good, 0.1)
    assert source.note_report(good, 1.0)
    block = source.block(1.5)
    assert block is not None
    assert (block.last_sr, block.since_sr) == (1 << 24, 32_768)


def watched(rtx: Rtx | None = None) -> tuple[Source, Delivery]:
    source = video()
    return source, Delivery("video", 100, 5, "name", rtx)


def deliver(delivery: Delivery, received: Received) -> bytes | None:
    """What the viewer is sent of a packet, as a fan does it."""
    assert received.packet is not None
    span = delivery.span
    if span is None or received.unrolled < span.first:
        return None
    return delivery.rebuilt(span, received.packet)


def test_a_resend_is_the_same_bytes_and_bounded() -> None:
    source, delivery = watched()
    received = source.receive(packet(0), 0.0)
    delivery.begin(source, received.unrolled, 0, 0.0)
    first = deliver(delivery, received)
    assert first is not None
    sequence = int.from_bytes(first[2:4], "big")
    assert 1_024 <= sequence < 32_768
    assert all(delivery.resent(sequence, 1.0) == first for _ in range(RESENDS_A_SECOND))
    assert delivery.resent(sequence, 1.5) is None
    assert delivery.resent(sequence, 2.0) == first
    assert delivery.resent(sequence + 1, 2.0) is None


def test_a_resend_by_rtx_is_the_packet_inside_another_with_numbers_of_its_own() -> None:
    source, delivery = watched(Rtx(101, 6))
    received = source.receive(packet(0), 0.0)
    delivery.begin(source, received.unrolled, 0, 0.0)
    first = deliver(delivery, received)
    assert first is not None
    again = [rtp.parse_rtp(delivery.resent(int.from_bytes(first[2:4], "big"), 1.0) or b"") for _ in range(3)]
    assert {(one.payload_type, one.ssrc) for one in again} == {(101, 6)}
    assert {one.payload for one in again} == {first[2:4] + packet(0).payload}  # RFC 4588 section 4
    assert len({one.sequence for one in again}) == 3


def test_what_came_before_a_viewer_is_never_sent_to_it() -> None:
    source, delivery = watched()
    for number in (0, 1, 3):
        source.receive(packet(number), 0.0)
    delivery.begin(source, source.highest + 1, 0, 0.0)
    assert deliver(delivery, source.receive(packet(2), 0.1)) is None, "late, of before"
    sent = deliver(delivery, source.receive(packet(4), 0.1))
    assert sent is not None
    first = int.from_bytes(sent[2:4], "big")
    assert [delivery.resent((first - back) & 0xFFFF, 1.0) for back in range(1, 5)] == [None] * 4


def test_time_and_sequence_go_on_where_the_publisher_starts_anew() -> None:
    source, delivery = watched()
    received = source.receive(packet(0), 0.0)
    delivery.begin(source, received.unrolled, 0, 0.0)
    before = rtp.parse_rtp(deliver(delivery, received) or b"")
    after = rtp.parse_rtp(deliver(delivery, source.receive(packet(40, ssrc=9, start=3), 5.0)) or b"")
    assert source.report is None
    assert delivery.report(0, 0) is None
    assert after.sequence == (before.sequence + 1) & 0xFFFF
    assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == 5 * 90_000, "as long as nothing came"


def test_layers_of_one_picture_get_one_time_line_by_their_sender_reports() -> None:
    family = object()
    high, low = (Source("video", 90_000, True, 1_000, family) for _ in range(2))
    high.receive(packet(0), 10.0)
    low.receive(rtp.RtpPacket(96, True, 5, 777_777, 9, b"low"), 10.4)
    second = 1 << 32
    assert high.note_report(rtp.SenderReport(SSRC, 100 * second, 0, 1, 1), 10.0)
    assert low.note_report(rtp.SenderReport(9, 101 * second, 777_777, 1, 1), 10.4)
    received = low.receive(rtp.RtpPacket(96, True, 6, 777_777 + 9_000, 9, b"low"), 10.5)
    assert received.packet is not None
    aligned = low.align(high, received.packet, received.unrolled, 10.5)
    assert aligned.timestamp == 1_000 + 90_000 + 9_000, "a second and a tenth after the other's report"
    assert low.report is not None
    assert low.report.rtp == 1_000 + 90_000
    assert low.find(aligned.sequence) == aligned


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.booleans(), st.integers(0, 5), st.floats(0, 1.5), st.booleans()), max_size=120
    ),
    st.lists(st.integers(0, 32_000), max_size=20),
)
def test_no_sequence_number_ever_carries_two_contents(
    steps: list[tuple[int, bool, int, float, bool]], asked: list[int]
) -> None:
    """With one key, SRTP would then encrypt two packets with the same key stream.

    The publisher changes its SSRC, packets come late and twice, and the viewer is moved from layer to layer.
    """
    family = object()
    layers = [Source("video", 90_000, True, 0, family), Source("video", 90_000, True, 0, family)]
    fanout = Fanout(cuts=False, sendmmsg=lambda *call: call[2])
    fans = [Fan(layer) for layer in layers]
    way = Taken()
    delivery = Delivery("video", 100, 5, "name")
    carried: dict[int, bytes] = {}
    now_s, base, other, playing = 0.0, 0, False, 0
    for number, switch, layer, wait_s, move in steps:
        now_s += wait_s
        base += 2
        other ^= switch
        at = layer % 2
        one = packet(base + number, ssrc=(9 if other else SSRC) + 100 * at, start=100 if other else 65_000)
        received = layers[at].receive(one, now_s)
        if received.packet is not None:
            if (move or delivery.span is None) and not received.late:
                fans[playing].remove(delivery, fanout)
                playing = at
                delivery.begin(layers[at], received.unrolled, received.packet.timestamp, wait_s)
                fans[at].add(delivery, way)
            if delivery in fans[at]:
                if received.late:
                    fans[at].late(received.packet, received.unrolled)
                else:
                    fans[at].push(received.packet)
                    fans[at].flush(fanout)
                    way.send_rtp(deliver(delivery, received) or b"")
        for sent in way.taken():
            assert carried.setdefault(int.from_bytes(sent[2:4], "big"), sent) == sent
        for offset in asked:
            again = delivery.resent((list(carried)[-1] - offset % 50) & 0xFFFF if carried else offset, now_s)
            if again is not None:
                assert carried.setdefault(int.from_bytes(again[2:4], "big"), again) == again


class Taken:
    """A way that keeps what was sent over it."""

    def __init__(self) -> None:
        self._sent: list[bytes] = []

    def place(self) -> None:
        return None

    def send_rtp(self, data: bytes) -> bool:
        self._sent.append(data)
        return True

    def taken(self) -> list[bytes]:
        sent, self._sent = self._sent, []
        return [one for one in sent if one]
