"""How soon a real Chromium sends what it may: it finds its rate by what the relay tells of each packet's arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import async_playwright

from telemed.media.backend import Publisher
from telemed.media.relay.upstream import VIDEO_BITS_A_SECOND
from tests.media.test_media_chromium import ARGUMENTS, CHROMIUM

ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"
REACHED = 0.8  # of what it may send; an encoder keeps below its target

# Noise that is another one in each picture: no encoder can save anything on it. Drawn once, so that the processor is
# the encoder's; shown in turn.
PUBLISH = """async (layers) => {
  const canvas = document.createElement('canvas');
  canvas.width = 640; canvas.height = 360;
  const pen = canvas.getContext('2d');
  const pictures = [];
  let seed = 1;
  for (let count = 0; count < 8; count++) {
    const noise = pen.createImageData(640, 360);
    for (let at = 0; at < noise.data.length; at += 4) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      noise.data[at] = noise.data[at + 1] = noise.data[at + 2] = seed >> 16;
      noise.data[at + 3] = 255;
    }
    pictures.push(await createImageBitmap(noise));
  }
  let shown = 0;
  setInterval(() => pen.drawImage(pictures[shown++ % pictures.length], 0, 0), 50);
  window.pc = new RTCPeerConnection();
  const [track] = canvas.captureStream(20).getVideoTracks();
  pc.addTransceiver(track, {direction: 'sendonly', ...(layers.length ? {sendEncodings: layers} : {})});
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
}"""
ACCEPT = "(sdp) => pc.setRemoteDescription({type: 'answer', sdp})"
STATE = """async () => {
  const rows = [...(await pc.getStats()).values()];
  const sent = rows.filter((one) => one.type === 'outbound-rtp');
  const pair = rows.find((one) => one.type === 'candidate-pair' && one.nominated) ?? {};
  return {bytes: sent.reduce((sum, one) => sum + one.bytesSent, 0), room: pair.availableOutgoingBitrate ?? 0,
          state: pc.connectionState, now_s: performance.now() / 1000};
}"""


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    """A page of Chromium's."""
    assert CHROMIUM is not None, "no Chromium; `make test` installs one"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield await browser.new_page()
        await browser.close()


async def test_chromium_reaches_the_rate_that_it_may_send_and_stays_there(plane: Any, page: Any) -> None:
    made = await plane.media.publish(ROOM, Publisher("account:1", "clinician"), await page.evaluate(PUBLISH, []))
    await page.evaluate(ACCEPT, made.answer_sdp)
    rates: list[float] = []
    rooms: list[float] = []
    before: dict[str, Any] | None = None
    began_s: float | None = None
    reached_s: float | None = None
    async with asyncio.timeout(60):
        while reached_s is None or len(rates) < 12:
            await asyncio.sleep(1.0)  # a rate is of a time
            now = await page.evaluate(STATE)
            if now["state"] == "connected":
                began_s = began_s or now["now_s"]
                if before is not None:
                    rooms.append(now["room"])
                    rates.append(8 * (now["bytes"] - before["bytes"]) / (now["now_s"] - before["now_s"]))
                if reached_s is None and rates and rates[-1] >= REACHED * VIDEO_BITS_A_SECOND:
                    reached_s = now["now_s"] - began_s
                before = now
    print(f"\n{REACHED:.0%} of the bound sent after {reached_s:.1f} s; sent, kbit/s:",
          " ".join(f"{rate / 1000:.0f}" for rate in rates))
    assert min(rooms[-8:]) > 0.5 * VIDEO_BITS_A_SECOND, "what it may never collapses"
    assert min(rates[-8:]) > 0.5 * VIDEO_BITS_A_SECOND, "what it sends never collapses"
    assert max(rates[-8:]) < 1.25 * VIDEO_BITS_A_SECOND, "it keeps to the bound"
