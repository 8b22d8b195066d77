"""RTP and RTCP bytes against the RFCs' layouts, against aiortc's reader, and against anything at all."""

from __future__ import annotations

import contextlib

import pytest
from aiortc.rtp import RtcpPacket, unpack_remb_fci
from hypothesis import given
from hypothesis import strategies as st

from telemed.media.relay import rtp

SSRC = 0x01020304
MEDIA = 0x0A0B0C0D
SEQUENCES = st.integers(0, 65_535)


def test_an_rtp_packet_is_read_past_sources_extension_and_padding() -> None:
    # RFC 3550 section 5.1: V=2 P X CC=1, M PT=96, sequence, timestamp, SSRC, one CSRC; RFC 8285 extension; padding 3.
    data = bytes.fromhex("b1e0 fffe 00000bb8 01020304 0a0b0c0d bede0001 10aa0000 deadbeef 000003")
    packet = rtp.parse_rtp(data)
    assert packet == rtp.RtpPacket(96, True, 65_534, 3000, SSRC, bytes.fromhex("deadbeef"))


def test_a_rebuilt_packet_has_the_payload_and_nothing_else_of_the_old() -> None:
    packet = rtp.RtpPacket(96, True, 1, 2, 3, b"payload")
    assert packet.rebuilt(100, 0x1234, 0x55667788, SSRC) == bytes.fromhex("80e4 1234 55667788 01020304") + b"payload"


@pytest.mark.parametrize(
    "data",
    [
        "", "80" * 11, "40" + "00" * 11, "82" + "00" * 11, "90" + "00" * 13,
        "90" + "00" * 11 + "bede0001", "a0" + "00" * 12,
    ],
)
def test_what_is_no_rtp_packet_is_refused(data: str) -> None:
    with pytest.raises(rtp.PacketMalformed):
        rtp.parse_rtp(bytes.fromhex(data))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_malformed(data: bytes) -> None:
    for parse in (rtp.parse_rtp, rtp.parse_rtcp):
        try:
            parse(data)
        except rtp.PacketMalformed:
            continue


@given(st.integers(200, 207), st.integers(0, 31), st.binary(max_size=100))
def test_any_body_of_a_known_kind_is_read_or_malformed(kind: int, count: int, body: bytes) -> None:
    body = body[: len(body) // 4 * 4]
    with contextlib.suppress(rtp.PacketMalformed):
        rtp.parse_rtcp(rtp._packet(kind, count, body))


def test_a_sender_report_is_read_back_by_us_and_by_aiortc() -> None:
    report = rtp.SenderReport(SSRC, 0xE94C_7E80_8000_0000, 90_000, 7, 1234)
    compound = rtp.sender_report(report) + rtp.source_description(SSRC, "station")
    assert rtp.parse_rtcp(compound) == [report]
    theirs, description = RtcpPacket.parse(compound)
    assert (theirs.ssrc, theirs.sender_info.ntp_timestamp) == (SSRC, report.ntp)
    assert description.chunks[0].items == [(1, b"station")]


@pytest.mark.parametrize("cname", ["", "a", "ab", "abc", "abcd", "x" * 255])
def test_a_source_description_is_whole_words_for_any_name(cname: str) -> None:
    assert RtcpPacket.parse(rtp.source_description(1, cname))[0].chunks[0].items == [(1, cname.encode())]


def test_a_receiver_report_is_read_by_aiortc() -> None:
    block = rtp.ReportBlock(MEDIA, 64, -3, 70_000, 12, 0x11223344, 65_536)
    (theirs,) = RtcpPacket.parse(rtp.receiver_report(SSRC, [block]))
    report = theirs.reports[0]
    assert (report.ssrc, report.fraction_lost, report.packets_lost) == (MEDIA, 64, -3)
    assert (report.highest_sequence, report.jitter, report.lsr, report.dlsr) == (70_000, 12, 0x11223344, 65_536)


@given(st.lists(SEQUENCES, max_size=60, unique=True))
def test_a_nack_names_what_was_asked(sequences: list[int]) -> None:
    data = rtp.nack(SSRC, MEDIA, sequences)
    (message,) = rtp.parse_rtcp(data)
    assert isinstance(message, rtp.Nack)
    assert message.ssrc == MEDIA
    assert set(message.sequences) == set(sequences)
    assert set(RtcpPacket.parse(data)[0].lost) == set(sequences)


def test_a_nack_of_neighbours_shares_entries_and_one_message_is_bounded() -> None:
    assert len(rtp.nack(1, 2, list(range(17)))) == 16
    message = rtp.parse_rtcp(rtp.nack(1, 2, list(range(5000))))[0]
    assert isinstance(message, rtp.Nack)
    assert len(message.sequences) == rtp.NACKED_A_MESSAGE


def test_keyframe_requests_are_read_in_both_forms() -> None:
    assert rtp.parse_rtcp(rtp.picture_loss(SSRC, MEDIA)) == [rtp.KeyframeRequest(MEDIA)]
    # RFC 5104 section 4.3.1: the media SSRC of the header is 0, the entry names the stream.
    fir = bytes.fromhex("84ce0004 01020304 00000000 0a0b0c0d 05000000")
    assert rtp.parse_rtcp(fir) == [rtp.KeyframeRequest(MEDIA)]


@given(st.integers(1, 2**40))
def test_a_bitrate_bound_is_rounded_down_by_less_than_a_thousandth(bits: int) -> None:
    (packet,) = RtcpPacket.parse(rtp.bitrate_bound(SSRC, bits, [MEDIA]))
    told, ssrcs = unpack_remb_fci(packet.fci)
    assert ssrcs == [MEDIA]
    assert 0 <= bits - told <= bits / 1000


def test_ntp_is_milliseconds_since_1970() -> None:
    assert rtp.unix_ms(rtp.NTP_UNIX_SECONDS << 32) == 0.0
    assert rtp.unix_ms((rtp.NTP_UNIX_SECONDS + 1) << 32 | 1 << 31) == 1500.0
