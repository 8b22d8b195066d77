"""Ring, gaps, statistics and header rewriting, with a clock of our own."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from telemed.media import rtp
from telemed.media.delivery import RESENDS_A_SECOND, Delivery
from telemed.media.source import ASK_AGAIN_SECONDS, ASKED_AT_MOST, GAP_MAX, RING, STALE, TAKEOVER_SECONDS, Source

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
        assert (received.fresh, received.ask, received.keyframe_needed) == (True, (), False)
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
    assert source.receive(packet(1), 0.05).fresh
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
    assert source.receive(packet(0, ssrc=9), TAKEOVER_SECONDS).fresh
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


def test_a_resend_is_the_same_bytes_and_bounded() -> None:
    source = video()
    delivery = Delivery(source, 100, 5, "name")
    source.receive(packet(0), 0.0)
    first = delivery.packet(packet(0))
    sequence = int.from_bytes(first[2:4], "big")
    assert sequence < 32_768
    assert all(delivery.resent(sequence, 1.0) == first for _ in range(RESENDS_A_SECOND))
    assert delivery.resent(sequence, 1.5) is None
    assert delivery.resent(sequence, 2.0) == first
    assert delivery.resent(sequence + 1, 2.0) is None


def test_time_and_sequence_go_on_where_the_publisher_starts_anew() -> None:
    source = video()
    delivery = Delivery(source, 100, 5, "name")
    source.receive(packet(0), 0.0)
    before = rtp.parse_rtp(delivery.packet(packet(0)))
    source.receive(packet(40, ssrc=9, start=3), 5.0)
    assert delivery.resent(before.sequence, 5.0) is None
    assert delivery.report() is None
    after = rtp.parse_rtp(delivery.packet(packet(40, ssrc=9, start=3)))
    assert after.sequence == (before.sequence + 1) & 0xFFFF
    assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == 5 * 90_000, "as long as nothing came"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.floats(0, 1.5)), max_size=120),
    st.lists(st.integers(0, 32_000), max_size=20),
)
def test_no_sequence_number_ever_carries_two_contents(steps: list[tuple[int, bool, float]], asked: list[int]) -> None:
    """With one key, SRTP would then encrypt two packets with the same key stream."""
    source = video()
    delivery = Delivery(source, 100, 5, "name")
    carried: dict[int, bytes] = {}
    now_s, base, other = 0.0, 0, False
    for number, switch, wait_s in steps:
        now_s += wait_s
        base += 2
        other ^= switch
        one = packet(base + number, ssrc=9 if other else SSRC, start=100 if other else 65_000)
        if source.receive(one, now_s).fresh:
            sent = delivery.packet(one)
            assert carried.setdefault(int.from_bytes(sent[2:4], "big"), sent) == sent
        for offset in asked:
            again = delivery.resent((list(carried)[-1] - offset % 50) & 0xFFFF if carried else offset, now_s)
            if again is not None:
                assert carried.setdefault(int.from_bytes(again[2:4], "big"), again) == again
