"""A real Chromium publishes by WHIP and plays by WHEP through a real server that decodes nothing."""

from __future__ import annotations

import asyncio
import shutil
import threading
from typing import Any

import pytest
from playwright.async_api import async_playwright

from telemed.http import keys
from tests.server.conftest import PASSWORD, server  # noqa: F401  (the fixture)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--allow-loopback-in-peer-connection",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]

SIGN_IN = """async ([login, password]) => (await fetch('/api/v1/sign-in', {
  method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({login, password})})).status"""

# Offers without waiting for candidates: the server learns the page's addresses from its checks.
EXCHANGE = """
window.exchange = async (pc, path) => {
  await pc.setLocalDescription(await pc.createOffer());
  const answer = await fetch(path, {
    method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp});
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  window.pc = pc;
  window.resource = answer.headers.get('Location');
};
"""
PUBLISH = """async (room) => {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360}});
  const pc = new RTCPeerConnection();
  for (const track of stream.getTracks()) pc.addTransceiver(track, {direction: 'sendonly', streams: [stream]});
  await window.exchange(pc, `/whip/${room}`);
}"""
PLAY = """async (publication) => {
  const pc = new RTCPeerConnection();
  const video = document.createElement('video');
  video.muted = true;
  document.body.append(video);
  pc.ontrack = (event) => { video.srcObject = event.streams[0]; video.play(); };
  pc.addTransceiver('audio', {direction: 'recvonly'});
  pc.addTransceiver('video', {direction: 'recvonly'});
  const seen = (now, frame) => { window.shown = frame.rtpTimestamp; video.requestVideoFrameCallback(seen); };
  video.requestVideoFrameCallback(seen);
  await window.exchange(pc, `/whep/${publication}`);
}"""
STATISTICS = """async () => {
  const rows = [...(await window.pc.getStats()).values()];
  const of = (type, kind) => rows.find((row) => row.type === type && row.kind === kind) || {};
  return {
    frames: of('inbound-rtp', 'video').framesDecoded || 0,
    lost: of('inbound-rtp', 'video').packetsLost || 0,
    sound: of('inbound-rtp', 'audio').packetsReceived || 0,
    reports: of('remote-outbound-rtp', 'video').reportsSent || 0,
    codec: (rows.find((row) => row.id === of('inbound-rtp', 'video').codecId) || {}).mimeType,
    heard: of('remote-inbound-rtp', 'video').packetsLost,
    shown: window.shown, now: Date.now(),
  };
}"""


CHECK = """async () => {
  const answer = await fetch('/api/v1/checks', {method: 'POST'});
  const check = (await answer.json()).check;
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360}});
  const sends = new RTCPeerConnection();
  for (const track of stream.getTracks()) sends.addTransceiver(track, {direction: 'sendonly', streams: [stream]});
  await window.exchange(sends, `/whip/checks/${check}`);
  while (sends.connectionState !== 'connected') await new Promise((done) => setTimeout(done, 50));
  const sees = new RTCPeerConnection();
  for (const kind of ['audio', 'video']) sees.addTransceiver(kind, {direction: 'recvonly'});
  await window.exchange(sees, `/whep/checks/${check}`);
  window.ended = new Promise((done) => { sends.onconnectionstatechange = () => done(sends.connectionState); });
  window.sends = sends;
  return check;
}"""
# What the page of the check shows in words: what came back, and how the relay received it.
LINE = """async () => {
  const came = [...(await window.pc.getStats()).values()].filter((row) => row.type === 'inbound-rtp');
  const sent = [...(await window.sends.getStats()).values()];
  const remote = sent.find((row) => row.type === 'remote-inbound-rtp' && row.kind === 'video');
  const of = (kind, name) => (came.find((row) => row.kind === kind) || {})[name] || 0;
  return {
    frames: of('video', 'framesDecoded'), sound: of('audio', 'packetsReceived'), bytes: of('video', 'bytesReceived'),
    lost: of('video', 'packetsLost') + of('audio', 'packetsLost'),
    rtt: remote ? remote.roundTripTime : undefined,
    trip: (sent.find((row) => row.type === 'candidate-pair' && row.nominated) || {}).currentRoundTripTime,
    fraction: remote ? remote.fractionLost : undefined,
  };
}"""


async def reaches(
    page: Any, what: str, holds: Any, seconds: float = 30.0, statistics: str = STATISTICS
) -> dict[str, Any]:
    """The page's statistics, once ``holds`` is true of them."""
    numbers: dict[str, Any] = {}
    async with asyncio.timeout(seconds):
        while True:
            numbers = await page.evaluate(statistics)
            if holds(numbers):
                return numbers
            await asyncio.sleep(0.1)
    raise AssertionError(f"{what}: {numbers}")


async def test_chromium_publishes_and_plays(server: Any, wait: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def no_codec(*_: Any) -> None:
        raise AssertionError("the server makes a decoder or an encoder")

    for name in ("rtcrtpreceiver.get_decoder", "rtcrtpreceiver.decoder_worker", "rtcrtpsender.get_encoder"):
        monkeypatch.setattr(f"aiortc.{name}", no_codec)
    operator, clinician = await server.client("operator"), await server.client("clinician")
    where = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    _, consultation = await operator.post("/api/v1/consultations", where)
    room = consultation["id"]
    assert (await clinician.post(f"/api/v1/consultations/{room}/admit"))[0] == 200
    media, rooms = server.app[keys.MEDIA], server.app[keys.ROOMS]

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, chromium_sandbox=False, headless=True
        )
        try:
            context = await browser.new_context()
            await context.add_init_script(EXCHANGE)
            publishing, playing = await context.new_page(), await context.new_page()
            for page in (publishing, playing):
                await page.goto(f"{server.url}/healthz")
            assert await publishing.evaluate(SIGN_IN, [server.seed.logins["clinician"], PASSWORD]) == 201
            await publishing.evaluate(PUBLISH, room)
            publication = (await wait(lambda: media.publications(room), "the publication is live"))[0]
            assert (publication.publisher.by, publication.kinds) == ("clinician", ("audio", "video"))

            with rooms.listen(f"consultation:{room}") as listener:
                await playing.evaluate(PLAY, publication.id)
                numbers = await reaches(playing, "pictures decode", lambda n: n["frames"] > 5)
                await reaches(playing, "and go on", lambda n: n["frames"] > numbers["frames"] + 20 and n["sound"] > 30)
                numbers = await reaches(playing, "sender reports arrive", lambda n: n["reports"] > 0 and n["shown"])
                assert numbers["codec"] == "video/VP8"
                assert numbers["lost"] == 0
                reports = []
                while not listener.queue.empty():
                    reports.append(listener.queue.get_nowait())
            pair = [event for event in reports if event["type"] == "sender_report" and event["kind"] == "video"][-1]
            # The picture on the screen was captured within the last minute; a wrong offset would be hours off.
            step = (numbers["shown"] - pair["rtp"] + 2**31) % 2**32 - 2**31
            assert abs(pair["ntp_ms"] + step / 90 - numbers["now"]) < 60_000

            await reaches(publishing, "the publisher hears how it is received", lambda n: n["heard"] is not None)
            assert not [thread.name for thread in threading.enumerate() if "decoder" in thread.name]
            gone = await publishing.evaluate(
                "async () => (await fetch(window.resource, {method: 'DELETE'})).status"
            )
            assert gone == 200
            await playing.wait_for_function(
                "() => ['closed', 'failed', 'disconnected'].includes(window.pc.connectionState)"
                " || window.pc.getReceivers().every((r) => r.transport.state === 'closed')"
            )
            assert media.stats().publications == 0
        finally:
            await browser.close()


async def test_chromium_checks_its_call_without_a_name(server: Any, wait: Any) -> None:  # noqa: F811
    """Its own picture and voice through our relay: loss, round trip and bytes are there to be told in words."""
    media = server.app[keys.MEDIA]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, chromium_sandbox=False, headless=True
        )
        try:
            context = await browser.new_context()
            await context.add_init_script(EXCHANGE)
            page = await context.new_page()
            await page.goto(f"{server.url}/healthz")
            check = await page.evaluate(CHECK)
            assert len(media.publications(f"check-{check}")) == 1
            numbers = await reaches(
                page, "everything is measured", statistics=LINE,
                holds=lambda n: n["frames"] > 20 and n["sound"] > 50 and n["fraction"] is not None,
            )
            assert numbers["lost"] == 0 and numbers["fraction"] == 0
            assert 0 <= numbers["trip"] < 5
            assert numbers["bytes"] > 5_000
            status = await page.evaluate(
                "async (check) => (await fetch(`/api/v1/checks/${check}`, {method: 'DELETE'})).status", check
            )
            assert status == 204
            assert await page.evaluate("() => window.ended") in ("closed", "disconnected", "failed")
            await wait(lambda: not media._sessions, "nothing is left of it")
        finally:
            await browser.close()
