"""A real Chromium that may send no UDP at all: with the TURN server its call check comes back, without it not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright

from tests.media.coturn import Coturn, coturn
from tests.server.conftest import server  # noqa: F401  (the fixture)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--allow-loopback-in-peer-connection",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
]
# As web/src/media/leg.ts does it: the servers are named after the connection is made and before its offer.
CHECK = """async (named) => {
  const begun = await (await fetch('/api/v1/checks', {method: 'POST'})).json();
  const path = `/api/v1/checks/${begun.check}/ice-servers`;
  const servers = named ? (await (await fetch(path)).json()).ice_servers : [];
  const connect = async (path, prepare) => {
    const pc = new RTCPeerConnection();
    await prepare(pc);
    pc.setConfiguration({iceServers: servers});
    await pc.setLocalDescription(await pc.createOffer());
    await new Promise((done) => setTimeout(done, 200));
    const headers = {'Content-Type': 'application/sdp'};
    const answer = await fetch(path, {method: 'POST', headers, body: pc.localDescription.sdp});
    if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
    await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
    const until = Date.now() + (named ? 15000 : 6000);
    while (pc.connectionState !== 'connected') {
      if (Date.now() > until) throw new Error(`not connected: ${pc.connectionState}`);
      await new Promise((done) => setTimeout(done, 50));
    }
    return pc;
  };
  await connect(`/whip/checks/${begun.check}`, async (pc) => {
    const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 320, height: 180}});
    for (const track of stream.getTracks()) pc.addTransceiver(track, {direction: 'sendonly', streams: [stream]});
  });
  window.pc = await connect(`/whep/checks/${begun.check}`, (pc) => {
    for (const kind of ['audio', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'});
  });
}"""
SEEN = """async () => {
  const rows = [...(await window.pc.getStats()).values()];
  const pair = rows.find((row) => row.type === 'candidate-pair' && row.nominated && row.state === 'succeeded');
  const local = rows.find((row) => pair && row.id === pair.localCandidateId) || {};
  const video = rows.find((row) => row.type === 'inbound-rtp' && row.kind === 'video') || {};
  return {frames: video.framesDecoded || 0, type: local.candidateType, by: local.relayProtocol};
}"""


@pytest.fixture
async def turn(tmp_path: Path) -> AsyncIterator[Coturn]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    folder = tmp_path / "turn"
    folder.mkdir()
    async with coturn(folder) as running:
        yield running


@pytest.fixture
def more_settings(turn: Coturn) -> dict[str, Any]:
    url = f"turn:127.0.0.1:{turn.port}?transport=tcp"
    return {"public_address": turn.relay, "turn_urls": url, "turn_secret_file": turn.secret_file}


async def test_a_call_check_comes_back_where_no_udp_goes_out(server: Any) -> None:  # noqa: F811
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, headless=True)
        try:
            page = await browser.new_page()
            await page.goto(f"{server.url}/healthz")
            with pytest.raises(Exception, match="not connected"):
                await page.evaluate(CHECK, False)
            await page.evaluate(CHECK, True)
            async with asyncio.timeout(20):
                while (seen := await page.evaluate(SEEN))["frames"] <= 10:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert (seen["type"], seen["by"]) == ("relay", "tcp")
        finally:
            await browser.close()
