"""A real Chromium on a line that loses three packets of a hundred: what it asks for comes, and the picture goes on.

    TELEMED_LOSS_JOINS=20 pytest -s tests/media/test_media_loss.py      # the figures, with as many joins
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from playwright.async_api import async_playwright

from telemed.media.backend import Publisher, ResourceNotFound
from telemed.media.relay.fanout import Fanout
from telemed.media.relay.port import Line
from tests.media.test_media_chromium import ARGUMENTS, CHROMIUM
from tests.media.test_media_rate import ACCEPT, PUBLISH

ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"
LOSS = 0.03  # of what goes to viewers, packets sent again among it
PACKETS = 1500  # watched in the short form: some 45 are lost
JOINS = int(os.environ.get("TELEMED_LOSS_JOINS", "0"))
JOIN_EVERY_SECONDS = 1.5  # between two: each asks for a key frame, of which one a second is asked for upstream
LONG_SECONDS = 60.0
ANSWERED = 0.99
FREEZE_SECONDS = 0.5
MESSAGE_BYTES = 64  # of struct mmsghdr

PLAY = """async () => {
  window.began = performance.now();
  window.first = null;
  window.pc = new RTCPeerConnection();
  const video = document.createElement('video');
  video.muted = true; video.autoplay = true;
  document.body.replaceChildren(video);
  pc.ontrack = (event) => { video.srcObject = new MediaStream([event.track]); };
  video.requestVideoFrameCallback((now) => { window.first = performance.now() - window.began; });
  pc.addTransceiver('video', {direction: 'recvonly'});
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
}"""
STATE = """async () => {
  const row = [...(await pc.getStats()).values()].find((one) => one.type === 'inbound-rtp') ?? {};
  return {first: window.first, packets: row.packetsReceived ?? 0, lost: row.packetsLost ?? 0,
          nacks: row.nackCount ?? 0, plis: row.pliCount ?? 0, again: row.retransmittedPacketsReceived ?? 0,
          frames: row.framesDecoded ?? 0, dropped: row.framesDropped ?? 0,
          freezes: row.freezeCount ?? 0, frozen: row.totalFreezesDuration ?? 0};
}"""


class Lossy:
    """``sendmmsg`` that loses some of the messages, and ``Line.send`` that loses some of the single packets."""

    def __init__(self) -> None:
        self.lost = self.passed = 0
        self._numbers = random.Random(5)
        self._real = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._single = Line.send

    def loses(self) -> bool:
        lost = self._numbers.random() < LOSS
        self.lost, self.passed = self.lost + lost, self.passed + (not lost)
        return lost

    def sendmmsg(self, descriptor: int, messages: Any, count: int, flags: int) -> int:
        for at in range(count):
            if not self.loses():
                self._real(descriptor, ctypes.c_void_p(messages.value + at * MESSAGE_BYTES), 1, flags)
        return count

    def send(self, line: Line, data: bytes, address: Any) -> bool:
        media = 127 < data[0] < 192 and not 191 < data[1] < 224
        return True if media and self.loses() else self._single(line, data, address)


@pytest.fixture
async def pages() -> AsyncIterator[tuple[Any, Any]]:
    """Two pages of a Chromium's."""
    assert CHROMIUM is not None, "no Chromium; `make test` installs one"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield await browser.new_page(), await (await browser.new_context()).new_page()
        await browser.close()


async def test_what_chromium_misses_comes_again(
    plane: Any, pages: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing, playing = pages
    lossy = Lossy()
    plane.relay._fanout = Fanout(False, lossy.sendmmsg)

    def send(line: Line, data: bytes, address: Any) -> bool:
        return lossy.send(line, data, address)

    monkeypatch.setattr(Line, "send", send)
    who = Publisher("account:1", "clinician")
    made = await plane.media.publish(ROOM, who, await publishing.evaluate(PUBLISH, []))
    await publishing.evaluate(ACCEPT, made.answer_sdp)
    async with asyncio.timeout(30):
        while not plane.media.publications(ROOM):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    loop = asyncio.get_running_loop()

    async def join() -> Any:
        played = await plane.media.play(made.publication.id, await playing.evaluate(PLAY), owner="account:2")
        await playing.evaluate(ACCEPT, played.answer_sdp)
        return played

    async def reaches(holds: Any) -> dict[str, Any]:
        async with asyncio.timeout(60 + LONG_SECONDS):
            while True:
                now = await playing.evaluate(STATE)
                if holds(now):
                    return dict(now)
                await asyncio.sleep(0.1)

    first_ms = []
    for _ in range(JOINS):
        played = await join()
        first_ms.append((await reaches(lambda now: now["first"] is not None))["first"])
        await playing.evaluate("() => pc.close()")
        with contextlib.suppress(ResourceNotFound):  # its goodbye came first
            await plane.media.delete(played.id)
        await asyncio.sleep(JOIN_EVERY_SECONDS)
    before = plane.media.stats()
    began_s = loop.time()
    await join()
    end_s = began_s + (LONG_SECONDS if JOINS else 0)
    await reaches(lambda now: now["packets"] > PACKETS and loop.time() > end_s)
    numbers = await reaches(lambda now: now["again"] > 0)
    took_s, after = loop.time() - began_s, plane.media.stats()
    asked, answered = after.nacks_received - before.nacks_received, after.packets_resent - before.packets_resent
    whole_pictures = after.keyframes_asked - before.keyframes_asked
    print(
        f"\n{took_s:.0f} s at {LOSS:.0%} loss: {lossy.lost} of {lossy.lost + lossy.passed} packets lost; asked for "
        f"{asked}, answered {answered}; {whole_pictures} key frames asked upstream; browser: {numbers}"
    )
    if first_ms:
        print(f"join to first frame, {len(first_ms)} joins, ms: p50 {np.percentile(first_ms, 50):.0f}, p95 "
              f"{np.percentile(first_ms, 95):.0f}, worst {max(first_ms):.0f}")
    assert asked >= 20
    assert answered >= ANSWERED * asked
    assert whole_pictures <= took_s + 2  # one a second, and those of the join
    assert numbers["frames"] > 50
    if JOINS:
        assert numbers["frozen"] <= FREEZE_SECONDS * max(1, numbers["freezes"])
