"""The answer and the restart's fragment, line by line, and what aiortc, Chromium and Firefox make of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc import RTCSessionDescription
from playwright.async_api import async_playwright

from telemed.media.answer import write_answer, write_fragment
from telemed.media.backend import Role
from telemed.media.offer import Media, read_description, read_fragment, read_offer, terms
from telemed.media.terms import Ground
from tests.browser.visits.conftest import run_firefox

DIGEST = ":".join(["AB"] * 32)
CANDIDATES = ("1 1 udp 2130706431 192.0.2.9 50000 typ host", "2 1 udp 2130706175 2001:db8::9 50000 typ host")
OURS = Ground(
    "oursufrag", "p" * 24, f"sha-256 {DIGEST}", CANDIDATES, {"audio": (11, None), "video": (22, 33)}, "ourname"
)
MID, RID = "urn:ietf:params:rtp-hdrext:sdes:mid", "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
TWCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
TRANSPORT = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
    f"a=fingerprint:sha-256 {DIGEST}\r\na=setup:actpass\r\na=rtcp-mux\r\na=rtcp-mux-only\r\n"
)
OFFER = (
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE v a\r\n"
    "m=audio 0 UDP/TLS/RTP/SAVPF 111 9\r\nc=IN IP4 0.0.0.0\r\na=mid:a\r\na=bundle-only\r\na=sendrecv\r\n"
    f"a=extmap:4 {MID}\r\na=rtpmap:111 OPUS/48000/2\r\na=fmtp:111 stereo=1\r\na=rtpmap:9 G722/8000\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=sendrecv\r\n" + TRANSPORT
    + f"a=extmap:4 {MID}\r\na=extmap:10 {RID}\r\na=extmap:3 {TWCC}\r\na=extmap:13 urn:3gpp:video-orientation\r\n"
    "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 goog-remb\r\n"
    "a=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n"
    "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n"
    "a=rid:h send\r\na=rid:m send\r\na=rid:l send\r\na=simulcast:send h;m;l\r\n"
)
BOTH: dict[str, Media] = {"audio": "opus", "video": "VP8"}
ROLES: tuple[Role, ...] = ("publish", "play")
SESSION = ["s=-", "t=0 0", "a=group:BUNDLE v a", "a=ice-lite"]
WAYS = [*(f"a=candidate:{candidate}" for candidate in CANDIDATES), "a=end-of-candidates"]
WAYS = [*(f"a=candidate:{candidate}" for candidate in CANDIDATES), "a=end-of-candidates"]
HERE = [
    "a=ice-ufrag:oursufrag", f"a=ice-pwd:{'p' * 24}", f"a=fingerprint:sha-256 {DIGEST}", "a=setup:passive",
    "a=rtcp-mux", "a=rtcp-mux-only", *WAYS,
]
SOUND = ["a=rtpmap:111 OPUS/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1"]


def answered(role: Role, carry: dict[str, Media] | None = None, text: str = OFFER) -> list[str]:
    """The answer's lines behind the first two."""
    offer = read_offer(text)
    answer = write_answer(offer, terms(offer, BOTH if carry is None else carry, role), OURS, role)
    assert answer.endswith("\r\n")
    lines = answer.removesuffix("\r\n").split("\r\n")
    assert lines[0] == "v=0"
    assert re.fullmatch(r"o=- \d+ 1 IN IP4 127\.0\.0\.1", lines[1])
    return lines[2:]


def test_a_publisher_is_told_all_that_we_take_from_it() -> None:
    assert answered("publish") == [
        *SESSION,
        "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=mid:a", *HERE, "a=recvonly", *SOUND,
        f"a=extmap:4 {MID}",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97", "c=IN IP4 0.0.0.0", "a=mid:v", *HERE, "a=recvonly",
        "a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 goog-remb",
        "a=rtcp-fb:96 transport-cc", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96",
        f"a=extmap:4 {MID}", f"a=extmap:10 {RID}", f"a=extmap:3 {TWCC}",
        "a=rid:h recv", "a=rid:l recv", "a=simulcast:recv h;l",
    ]


def test_a_viewer_is_told_what_comes_under_which_ssrc() -> None:
    assert answered("play") == [
        *SESSION,
        "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=mid:a", *HERE, "a=sendonly", *SOUND,
        "a=msid:ourname audio", "a=ssrc:11 cname:ourname",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97", "c=IN IP4 0.0.0.0", "a=mid:v", *HERE, "a=sendonly",
        "a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 goog-remb",
        "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96",
        "a=msid:ourname video", "a=ssrc-group:FID 22 33", "a=ssrc:22 cname:ourname", "a=ssrc:33 cname:ourname",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_what_is_not_carried_stays_in_the_group_and_is_inactive(role: Role) -> None:
    """Port 0 would take the section, here the one with the transport, out of the group (RFC 9143 section 7.3.3)."""
    lines = answered(role, {"audio": "opus"})
    at = lines.index("m=video 9 UDP/TLS/RTP/SAVPF 96")
    assert lines[at:] == [
        "m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=mid:v", *HERE, "a=inactive",
        "a=rtpmap:96 VP8/90000",
    ]
    assert "a=group:BUNDLE v a" in lines


def test_h264_is_answered_with_the_offers_own_parameters_and_without_a_repeat_there_is_no_group() -> None:
    lines = answered("play", {"video": "H264/42e01f"})
    assert "m=video 9 UDP/TLS/RTP/SAVPF 102" in lines
    assert "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f" in lines
    assert [line for line in lines if line.startswith("a=ssrc")] == ["a=ssrc:22 cname:ourname"]


def test_layers_without_names_are_taken_by_a_word_of_our_own() -> None:
    numbered = OFFER.replace("a=rid:h send\r\na=rid:m send\r\na=rid:l send\r\na=simulcast:send h;m;l\r\n",
                             "a=ssrc-group:SIM 1 2\r\n")  # fmt: skip
    assert answered("publish", text=numbered).count("a=x-telemed-layers:2") == 1
    assert "a=x-telemed-layers:2" not in answered("play", text=numbered) + answered("publish")


def test_the_transport_answers_the_offers() -> None:
    passive = answered("publish", text=OFFER.replace("a=setup:actpass", "a=setup:passive"))
    assert passive.count("a=setup:active") == 2
    assert answered("publish").count("a=rtcp-mux-only") == 2
    assert "a=rtcp-mux-only" not in answered("publish", text=OFFER.replace("a=rtcp-mux-only\r\n", ""))
    alone = "v=0\r\n" + OFFER[OFFER.index("m=video") :].replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")
    lines = answered("publish", {"video": "VP8"}, alone)
    assert "m=video 9 RTP/SAVPF 96 97" in lines
    assert not [line for line in lines if line.startswith("a=group")]


@pytest.mark.parametrize("role", ROLES)
def test_an_answer_is_a_description_that_we_read_ourselves(role: Role) -> None:
    offer = read_offer(OFFER)
    read = read_description(write_answer(offer, terms(offer, BOTH, role), OURS, role))
    assert read.bundle == offer.bundle
    assert [section.mid for section in read.sections] == ["a", "v"]
    assert read.first.transport.fingerprints == (("sha-256", DIGEST),)
    assert {section.direction for section in read.sections} == {"recvonly" if role == "publish" else "sendonly"}


def test_a_restart_is_answered_with_credentials_and_candidates_alone() -> None:
    text = write_fragment(read_offer(OFFER), OURS)
    assert text.split("\r\n") == [
        "a=ice-lite", "a=group:BUNDLE v a", "m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v",
        "a=ice-ufrag:oursufrag", f"a=ice-pwd:{'p' * 24}", *WAYS, "",
    ]
    read = read_fragment(text)
    assert (read.ufrag, read.password, read.candidates, read.mids) == ("oursufrag", "p" * 24, CANDIDATES, ("v",))


async def test_aiortc_takes_the_answer(peer: Any) -> None:
    for role in ROLES:
        one = peer()
        for kind in ("audio", "video"):
            one.pc.addTransceiver(kind, direction="sendonly" if role == "publish" else "recvonly")
        offer = read_offer(await one.offer())
        answer = write_answer(offer, terms(offer, BOTH, role), OURS, role)
        await one.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        expected = "sendonly" if role == "publish" else "recvonly"
        assert [transceiver.currentDirection for transceiver in one.pc.getTransceivers()] == [expected, expected]
        await one.close()


PREPARE = """([how, policy]) => {
  window.pc = new RTCPeerConnection({bundlePolicy: policy});
  if (how === 'play') {
    for (const kind of ['audio', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'});
    return;
  }
  const canvas = document.createElement('canvas');
  canvas.getContext('2d');
  const [picture] = canvas.captureStream(5).getVideoTracks();
  const [sound] = new AudioContext().createMediaStreamDestination().stream.getAudioTracks();
  pc.addTransceiver(sound, {direction: 'sendonly'});
  const layers = {publish: [], two: ['h', 'l'], three: ['h', 'm', 'l']}[how];
  const sendEncodings = layers.map((rid, n) => ({rid, scaleResolutionDownBy: 2 ** n}));
  pc.addTransceiver(picture, layers.length ? {direction: 'sendonly', sendEncodings} : {direction: 'sendonly'});
}"""
OFFERING = "async () => { await pc.setLocalDescription(await pc.createOffer()); return pc.localDescription.sdp; }"
ACCEPT = """async (sdp) => {
  await pc.setRemoteDescription({type: 'answer', sdp});
  const [sound, picture] = pc.getTransceivers();
  const layers = picture.sender.getParameters().encodings.map(({rid}) => rid ?? null);
  return [sound.currentDirection, picture.currentDirection, layers];
}"""
HOWS = {
    "publish": ["sendonly", "sendonly", [None]],
    "two": ["sendonly", "sendonly", ["h", "l"]],
    "three": ["sendonly", "sendonly", ["h", "l"]],
    "play": ["recvonly", "recvonly", [None]],
}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Chromium:
    """A page of Chromium's."""

    def __init__(self, page: Any) -> None:
        self._page = page

    async def run(self, script: str, argument: Any = None) -> Any:
        """The value of the function with the argument."""
        return await self._page.evaluate(script, argument)


class Fox:
    """A page of Firefox's."""

    def __init__(self, firefox: Any) -> None:
        self._firefox = firefox

    async def run(self, script: str, argument: Any = None) -> Any:
        """The value of the function with the argument."""
        return await self._firefox.do("evaluate", script=f"({script})({json.dumps(argument)})")


@pytest.fixture(params=["chromium", "firefox"])
async def browser(request: Any) -> AsyncIterator[Any]:
    """An empty page."""
    if request.param == "firefox":
        async with run_firefox() as running:
            await running.do("goto", url="about:blank")
            yield Fox(running)
        return
    assert CHROMIUM is not None, "no Chromium; `make test` installs one"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Chromium(await started.new_page())
        await started.close()


async def test_a_browser_takes_the_answer(browser: Any) -> None:
    """Both ways of bundling: under ``max-bundle`` Firefox offers port 0 for all but the first section."""
    for policy in ("max-bundle", "balanced"):
        for how, expected in HOWS.items():
            role: Role = "play" if how == "play" else "publish"
            await browser.run(PREPARE, [how, policy])
            offer = read_offer(await browser.run(OFFERING))
            agreed = terms(offer, BOTH, role)
            picture = agreed.streams[1]
            assert picture.rids == (("h", "l") if how in ("two", "three") else ())
            assert picture.nack
            assert picture.rtx_payload_type is not None
            assert picture.twcc is (role == "publish")
            answer = write_answer(offer, agreed, OURS, role)
            assert await browser.run(ACCEPT, answer) == expected, (policy, how)
            await browser.run("() => pc.close()")
