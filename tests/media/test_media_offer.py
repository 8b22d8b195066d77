"""Which session descriptions are taken, and what is kept of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemed.media.answer import write_answer
from telemed.media.backend import SdpInvalid, SdpUnsupported
from telemed.media.offer import Media, carried, read_description, read_fragment, read_offer, terms
from telemed.media.sdp import CANDIDATES, FINGERPRINTS
from telemed.media.terms import Ground

DIGEST = ":".join(["AB"] * 32)
SESSION = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
TRANSPORT = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
    f"a=fingerprint:sha-256 {DIGEST}\r\na=setup:actpass\r\na=rtcp-mux\r\n"
)
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 9\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n" + TRANSPORT
    + "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:9 G722/8000\r\n"
)
VIDEO = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 102\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\n" + TRANSPORT
    + "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 VP9/90000\r\n"
    "a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n"
)
OFFER = SESSION + AUDIO + VIDEO
MID, RID = "urn:ietf:params:rtp-hdrext:sdes:mid", "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
TWCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
LEVEL, SENT = "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
FEEDBACK = "".join(
    f"a=rtcp-fb:96 {name}\r\n" for name in ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc", "ack rpsi")
)
LAYERED = f"a=extmap:4 {MID}\r\na=extmap:10/sendonly {RID}\r\na=rid:h send\r\na=rid:m send\r\na=rid:l send pt=96\r\n"
HERE = ("1 1 udp 2130706431 192.0.2.9 50000 typ host",)
GROUND = Ground("ours", "p" * 24, f"sha-256 {DIGEST}", HERE, {"audio": (1, None), "video": (2, 3)}, "us")
BOTH: dict[str, Media] = {"audio": "opus", "video": "VP8"}


def test_a_browsers_offer_is_read() -> None:
    offer = read_offer(OFFER)
    assert [(section.kind, section.mid, section.direction) for section in offer.sections] == [
        ("audio", "0", "sendonly"), ("video", "1", "sendonly"),
    ]
    assert offer.sections[0].ufrag == "abcd"
    video = offer.section("video")
    assert video is not None
    assert carried(video) == ["VP8", "H264/42e01f"]
    assert offer.text == OFFER


def test_lines_may_end_with_a_newline_alone_and_the_transport_may_be_of_the_session() -> None:
    own = SESSION.replace(" 1\r\n", "\r\n").replace("BUNDLE 0", "BUNDLE 0") + TRANSPORT.replace("a=rtcp-mux\r\n", "")
    bare = AUDIO.replace(TRANSPORT, "a=rtcp-mux\r\n")
    assert read_offer((own + bare).replace("\r\n", "\n")).sections[0].ufrag == "abcd"


REFUSED = [
    (SdpInvalid, "", "version"),
    (SdpInvalid, "v=1\r\n", "version"),
    (SdpInvalid, "hello", "line"),
    (SdpInvalid, OFFER.replace("s=-", "s=\u2028a=x"), "line"),
    (SdpInvalid, OFFER.replace("s=-", "s=\x00"), "line"),
    (SdpInvalid, "v=0\r\n" + "a=x\r\n" * 3000, "size"),
    (SdpInvalid, "v=0\r\na=" + "x" * 70_000, "size"),
    (SdpInvalid, SESSION, "no media"),
    (SdpInvalid, OFFER.replace("m=audio 9", "m=audio nine"), "media line"),
    (SdpInvalid, OFFER.replace("a=ice-ufrag:abcd\r\n", ""), "ice-ufrag"),
    (SdpInvalid, OFFER.replace("a=ice-ufrag:abcd", "a=ice-ufrag:a b"), "ice-ufrag"),
    (SdpInvalid, OFFER.replace("abcdefghijklmnopqrstuv", "short"), "ice-pwd"),
    (SdpInvalid, OFFER.replace(DIGEST, "AB:CD"), "fingerprint"),
    (SdpInvalid, OFFER.replace("sha-256", "md5"), "fingerprint"),
    (SdpInvalid, OFFER.replace("sha-256", "sha-384"), "fingerprint"),
    (SdpInvalid, SESSION + AUDIO + f"a=fingerprint:sha-256 {DIGEST}\r\n" * FINGERPRINTS + VIDEO, "fingerprint"),
    (SdpInvalid, OFFER.replace("a=setup:actpass", "a=setup:holdconn"), "setup"),
    (SdpInvalid, OFFER.replace("a=mid:1\r\n", ""), "mid"),
    (SdpInvalid, OFFER.replace("a=mid:1", "a=mid:0"), "mid"),
    (SdpInvalid, OFFER.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:960 VP8/90000"), "rtpmap"),
    (SdpInvalid, OFFER + "a=extmap:x urn:ietf:params:rtp-hdrext:sdes:mid\r\n", "extmap"),
    (SdpInvalid, OFFER + f"a=extmap:4 {MID}\r\na=extmap:4 {RID}\r\n", "extmap"),
    (SdpInvalid, SESSION + AUDIO + f"a=extmap:4 {MID}\r\n" + VIDEO + f"a=extmap:4 {RID}\r\n", "extmap"),
    (SdpInvalid, OFFER + "a=rid:h-1! send\r\n", "rid"),
    (SdpInvalid, OFFER + "a=rid:h send\r\na=simulcast:send h;l\r\n", "simulcast"),
    (SdpInvalid, OFFER + "a=rid:h send\r\na=rid:l recv\r\na=simulcast:send h;l\r\n", "simulcast"),
    (SdpInvalid, OFFER + "a=rid:h send\r\na=simulcast:send h;h\r\n", "simulcast"),
    (SdpUnsupported, OFFER.replace("s=-\r\n", "s=-\r\na=ice-lite\r\n"), "ice-lite"),
    (SdpUnsupported, OFFER.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
    (SdpUnsupported, OFFER.replace("BUNDLE 0 1", "BUNDLE 0"), "bundle"),
    (SdpUnsupported, OFFER.replace("m=video 9", "m=video 0"), "media transport"),
    (SdpUnsupported, OFFER.replace("m=audio 9", "m=audio 0").replace("a=mid:0", "a=mid:0\r\na=bundle-only"),
     "media transport"),
    (SdpUnsupported, OFFER.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "media transport"),
    (SdpUnsupported, OFFER + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", "more than two media sections"),
    (SdpUnsupported, SESSION + AUDIO + "m=text 9 UDP/TLS/RTP/SAVPF 98\r\n", "media kind"),
    (SdpUnsupported, SESSION + AUDIO + AUDIO.replace("mid:0", "mid:1"), "more than one section of a kind"),
]


@pytest.mark.parametrize(("error", "text", "reason"), REFUSED, ids=[f"{n} {row[2]}" for n, row in enumerate(REFUSED)])
def test_an_offer_that_is_none_or_not_served_says_why(error: type[Any], text: str, reason: str) -> None:
    with pytest.raises(error) as refused:
        read_offer(text)
    assert refused.value.params == {"reason": reason}


@pytest.mark.parametrize(
    ("candidate", "kept"),
    [
        ("1 1 udp 2113937151 192.0.2.1 50000 typ host generation 0", True),
        ("1 1 UDP 2113937151 2001:db8::1 50000 typ host", True),
        ("1 1 udp 1677729535 198.51.100.1 50000 typ srflx raddr 0.0.0.0 rport 0", True),
        ("1 1 udp 2113937151 b9ab1e30-0000-4000-8000-000000000000.local 50000 typ host", False),
        ("1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active", False),
        ("1 2 udp 2113937150 192.0.2.1 50001 typ host", False),
        ("1 1 udp 2113937151 224.0.0.251 5353 typ host", False),
        ("1 1 udp 2113937151 0.0.0.0 5353 typ host", False),
        ("1 1 udp 2113937151 192.0.2.1 99999 typ host", False),
        ("nonsense", False),
    ],
)
def test_only_candidates_that_can_be_used_are_kept(candidate: str, kept: bool) -> None:
    line = f"a=candidate:{candidate}\r\n"
    offer = read_offer(SESSION + AUDIO + line + VIDEO)
    assert (line in offer.text) is kept
    assert (read_fragment(line).candidates == (candidate,)) is kept


def test_the_end_of_candidates_is_not_believed_and_their_number_is_bounded() -> None:
    lines = [f"a=candidate:1 1 udp 1 192.0.2.1 {port} typ host\r\n" for port in range(1000, 1100)]
    offer = read_offer(SESSION + AUDIO + "".join(lines) + "a=end-of-candidates\r\n" + VIDEO)
    assert offer.text.count("a=candidate:") == CANDIDATES
    assert "end-of-candidates" not in offer.text


def test_a_fragment_names_its_ice_session() -> None:
    section = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=end-of-candidates\r\n"
    text = f"a=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 22}\r\n{section}"
    fragment = read_fragment(text)
    assert (fragment.ufrag, fragment.candidates) == ("abcd", ())
    for wrong in ("", "x", "a=ice-ufrag:abcd\r\na=ice-ufrag:efgh\r\n"):
        with pytest.raises(SdpInvalid):
            read_fragment(wrong)


def test_a_fragment_of_a_restart_has_new_credentials() -> None:
    password = "p" * 24
    text = f"a=ice-ufrag:wxyz\r\na=ice-pwd:{password}\r\n"
    assert read_fragment(text) == read_fragment(text + "m=audio 9 RTP/AVP 0\r\n")  # any m= line, as clients write it
    section = read_fragment(f"m=audio 9 RTP/AVP 0\r\na=mid:video0\r\n{text}")
    assert (section.ufrag, section.password, section.mids) == ("wxyz", password, ("video0",))
    for wrong in ("a=ice-ufrag:abc\r\n", "a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n", "a=mid:a b\r\n"):
        with pytest.raises(SdpInvalid):
            read_fragment(wrong)


def test_the_peer_is_known_by_the_transport_of_the_groups_first_section() -> None:
    """RFC 9143 section 7.2.1; the other one is bundle-only: port 0 and, as RFC 8829 wants it, no transport."""
    bundled = VIDEO.replace(TRANSPORT, "a=bundle-only\r\n").replace("m=video 9", "m=video 0")
    offer = read_offer(SESSION + AUDIO + bundled)
    assert offer.bundle == ("0", "1")
    assert offer.first.mid == "0"
    assert offer.sections[1].transport == offer.sections[0].transport
    other = VIDEO.replace("a=ice-ufrag:abcd", "a=ice-ufrag:wxyz").replace("AB", "CD", 1)
    agreed = terms(read_offer(SESSION.replace("0 1\r\n", "1 0\r\n") + AUDIO + other), BOTH, "publish")
    assert agreed.ufrag == "wxyz"
    assert agreed.password == "abcdefghijklmnopqrstuv"
    assert agreed.fingerprints == (("sha-256", DIGEST.replace("AB", "CD", 1)),)


def test_every_good_fingerprint_counts_and_the_sections_go_before_the_sessions() -> None:
    long = ":".join(["0f"] * 64)
    broken = f"a=fingerprint:sha-1 {':'.join(['00'] * 20)}\r\n"
    two = OFFER.replace("a=setup", f"{broken}a=fingerprint:SHA-512 {long}\r\na=setup")
    assert terms(read_offer(two), BOTH, "publish").fingerprints == (("sha-256", DIGEST), ("sha-512", long.upper()))
    session = SESSION + f"a=fingerprint:sha-256 {DIGEST.replace('AB', 'EF')}\r\n"
    assert terms(read_offer(session + AUDIO + VIDEO), BOTH, "publish").fingerprints == (("sha-256", DIGEST),)


@pytest.mark.parametrize(("setup", "active"), [("actpass", False), ("active", False), ("passive", True)])
def test_we_begin_the_handshake_only_for_a_peer_that_cannot(setup: str, active: bool) -> None:
    offer = read_offer(OFFER.replace("a=setup:actpass", f"a=setup:{setup}"))
    assert terms(offer, BOTH, "publish").active is active


def test_what_a_publisher_may_send_is_agreed_on() -> None:
    audio = AUDIO + f"a=extmap:1 {LEVEL}\r\na=extmap:3 {TWCC}\r\na=rtcp-fb:* transport-cc\r\n"
    video = VIDEO + FEEDBACK + f"a=extmap:2/recvonly {SENT}\r\na=extmap:15 {MID}\r\na=extmap:3 {TWCC}\r\n"
    sound, picture = terms(read_offer(SESSION + audio + video), BOTH, "publish").streams
    assert (sound.mid, sound.codec, sound.payload_type, sound.clock_hz) == ("0", "opus", 111, 48_000)
    assert (sound.nack, sound.remb, sound.twcc, sound.rtx_payload_type) == (False, False, True, None)
    assert sound.extensions == {"audio_level": 1, "twcc": 3}
    assert (picture.mid, picture.codec, picture.payload_type, picture.clock_hz) == ("1", "VP8", 96, 90_000)
    assert (picture.nack, picture.remb, picture.twcc, picture.rtx_payload_type) == (True, True, True, 97)
    assert picture.extensions == {"twcc": 3}  # 15 fits no one-byte header, and what it only receives it does not send
    assert picture.rids == ()


def test_retransmissions_and_transport_feedback_need_both_their_halves() -> None:
    without = terms(read_offer(OFFER), BOTH, "publish").streams[1]
    assert (without.nack, without.rtx_payload_type, without.twcc) == (False, None, False)
    untold = terms(read_offer(OFFER + FEEDBACK), BOTH, "publish").streams[1]
    assert (untold.nack, untold.rtx_payload_type, untold.twcc) == (True, 97, False)


def test_a_viewer_is_sent_no_extensions_and_one_layer() -> None:
    offer = read_offer(OFFER + FEEDBACK + LAYERED + f"a=extmap:3 {TWCC}\r\na=simulcast:send h;l\r\n")
    picture = terms(offer, BOTH, "play").streams[1]
    assert (picture.extensions, picture.rids, picture.twcc, picture.remb, picture.nack) == ({}, (), False, True, True)


@pytest.mark.parametrize(
    ("simulcast", "used"),
    [
        ("", ()),
        ("a=simulcast:send h\r\n", ()),
        ("a=simulcast:send h;l\r\n", ("h", "l")),
        ("a=simulcast:send l;h\r\n", ("l", "h")),
        ("a=simulcast:send h;m;l\r\n", ("h", "l")),
        ("a=simulcast:recv m send ~h;l,m\r\n", ("h", "l")),
        ("a=simulcast:recv h;l\r\n", ()),
    ],
)
def test_of_many_layers_the_best_and_the_last_are_used(simulcast: str, used: tuple[str, ...]) -> None:
    picture = terms(read_offer(OFFER + LAYERED + simulcast), BOTH, "publish").streams[1]
    assert picture.rids == used
    assert picture.extensions == ({"mid": 4, "rid": 10} if used else {"mid": 4})


def test_layers_that_cannot_be_told_apart_are_one() -> None:
    blind = LAYERED.replace(f"a=extmap:10/sendonly {RID}\r\n", "")
    assert terms(read_offer(OFFER + blind + "a=simulcast:send h;l\r\n"), BOTH, "publish").streams[1].rids == ()


def test_h264_is_agreed_on_by_its_profile() -> None:
    plain = "a=rtpmap:108 H264/90000\r\na=fmtp:108 packetization-mode=1;profile-level-id=42001F\r\n"
    offer = read_offer(OFFER.replace("98 102", "98 102 108") + plain)
    stream = terms(offer, {"video": "H264/42001f"}, "play").streams[0]
    assert (stream.codec, stream.payload_type) == ("H264", 108)
    assert terms(offer, {"video": "H264/42e01f"}, "play").streams[0].payload_type == 102
    with pytest.raises(SdpUnsupported) as refused:
        terms(read_offer(OFFER), {"video": "H264/42001f"}, "play")
    assert refused.value.params == {"reason": "codec"}
    with pytest.raises(SdpUnsupported):
        terms(read_offer(SESSION.replace("0 1", "0") + AUDIO), BOTH, "play")


PIECES = [line for line in re.split(r"(?<=\n)", OFFER + FEEDBACK + LAYERED + "a=simulcast:send h;m;l\r\n") if line]
FRAGMENT = [
    "a=ice-ufrag:abcd\r\n", "a=ice-pwd:abcdefghijklmnopqrstuv\r\n", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n",
    "a=mid:0\r\n", "a=candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host\r\n", "a=end-of-candidates\r\n",
]


def mutated(data: st.DataObject, pieces: list[str]) -> str:
    """The lines with some dropped, doubled many times, exchanged, cut or lengthened: at most 64 KiB and a bit more."""
    lines = list(pieces)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "many", "swap", "cut", "text", "number"]))
        if change == "drop" and len(lines) > 1:
            del lines[at]
        elif change == "many":
            lines[at:at] = [lines[at]] * data.draw(st.sampled_from([1, 40, 66_000 // max(1, len(lines[at]))]))
        elif change == "swap":
            lines[at], lines[0] = lines[0], lines[at]
        elif change == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        elif change == "number":
            number = data.draw(st.sampled_from(["0", "-1", "256", "99999999999999999999"]))
            lines[at] = re.sub(r"[0-9]+", number, lines[at])
        else:
            lines[at] = lines[at].rstrip() + data.draw(st.text(max_size=12)) + "\r\n"
    return "".join(lines)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_mutation_is_taken_or_refused(data: st.DataObject) -> None:
    try:
        offer = read_offer(mutated(data, PIECES))
    except (SdpInvalid, SdpUnsupported):
        return
    assert offer.sections
    carry = {section.kind: carried(section)[0] for section in offer.sections if carried(section)}
    agreed = terms(offer, carry, "publish")
    answer = write_answer(offer, agreed, GROUND, "publish")
    assert [section.mid for section in read_description(answer).sections] == [section.mid for section in offer.sections]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_mutated_fragment_is_taken_or_refused(data: st.DataObject) -> None:
    try:
        fragment = read_fragment(mutated(data, FRAGMENT))
    except SdpInvalid:
        return
    assert len(fragment.candidates) <= CANDIDATES


@pytest.mark.parametrize(
    ("lines", "used"),
    [
        ("a=ssrc-group:SIM 1 2\r\n", ((2, None), (1, None))),
        ("a=ssrc-group:SIM 1 2 3\r\na=ssrc-group:FID 3 33\r\na=ssrc-group:FID 1 11\r\n", ((3, 33), (1, 11))),
        ("a=ssrc-group:FID 3 33\r\n", ()),
        ("a=ssrc-group:SIM 1\r\n", ()),
    ],
)
def test_layers_without_names_are_told_by_their_numbers(lines: str, used: tuple[Any, ...]) -> None:
    offer = read_offer(OFFER + FEEDBACK + lines)
    picture = terms(offer, BOTH, "publish").streams[1]
    assert picture.ssrcs == used
    assert picture.layers == max(1, len(used))
    assert terms(offer, BOTH, "play").streams[1].ssrcs == ()


@pytest.mark.parametrize(
    "lines",
    [
        "a=ssrc-group:SIM 1 1\r\n",
        "a=ssrc-group:SIM 1 x\r\n",
        f"a=ssrc-group:SIM 1 {2**32}\r\n",
        "a=ssrc-group:SIM 1 2\r\na=ssrc-group:FID 1 2\r\n",
    ],
)
def test_numbers_that_mean_two_things_are_refused(lines: str) -> None:
    with pytest.raises(SdpInvalid) as refused:
        read_offer(OFFER + lines)
    assert refused.value.params["reason"] == "ssrc-group"
