"""Which session descriptions are taken, and what is kept of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemed.media.backend import SdpInvalid, SdpUnsupported
from telemed.media.offer import CANDIDATES, carried, read_fragment, read_offer

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
    (SdpInvalid, OFFER.replace("a=setup:actpass", "a=setup:holdconn"), "setup"),
    (SdpInvalid, OFFER.replace("a=mid:1\r\n", ""), "mid"),
    (SdpInvalid, OFFER.replace("a=mid:1", "a=mid:0"), "mid"),
    (SdpInvalid, OFFER.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:960 VP8/90000"), "rtpmap"),
    (SdpUnsupported, OFFER.replace("s=-\r\n", "s=-\r\na=ice-lite\r\n"), "ice-lite"),
    (SdpUnsupported, OFFER.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
    (SdpUnsupported, OFFER.replace("BUNDLE 0 1", "BUNDLE 0"), "bundle"),
    (SdpUnsupported, OFFER.replace("m=video 9", "m=video 0"), "media transport"),
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
    text = "a=ice-ufrag:abcd\r\na=ice-pwd:x\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=end-of-candidates\r\n"
    fragment = read_fragment(text)
    assert (fragment.ufrag, fragment.candidates) == ("abcd", ())
    for wrong in ("", "x", "a=ice-ufrag:abcd\r\na=ice-ufrag:efgh\r\n"):
        with pytest.raises(SdpInvalid):
            read_fragment(wrong)


PIECES = [line for line in re.split(r"(?<=\n)", OFFER) if line]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_mutation_is_taken_or_refused(data: st.DataObject) -> None:
    lines = list(PIECES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "double", "swap", "cut", "text"]))
        if change == "drop" and len(lines) > 1:
            del lines[at]
        elif change == "double":
            lines.insert(at, lines[at])
        elif change == "swap":
            lines[at], lines[0] = lines[0], lines[at]
        elif change == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        else:
            lines[at] = lines[at].rstrip() + data.draw(st.text(max_size=12)) + "\r\n"
    try:
        offer = read_offer("".join(lines))
    except (SdpInvalid, SdpUnsupported):
        return
    assert offer.sections
