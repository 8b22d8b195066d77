"""Two layers of a real picture: Chromium sends both, each viewer gets what its line carries and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import async_playwright

from telemed.consultation.rooms import Rooms
from telemed.media.backend import Publisher
from telemed.media.plane import MediaPlane
from telemed.media.relay import rtp, vp8
from telemed.media.relay.relay import Relay
from tests.browser.visits.conftest import run_firefox
from tests.media.conftest import Plane, new_peer
from tests.media.pages import ACCEPT, PLAY, PUBLISH
from tests.media.test_media_chromium import ARGUMENTS, CHROMIUM

STARVED_MS = 2_500  # both browsers ask for a whole picture after 3 s of pictures that they cannot use
ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"
BEHIND = 8  # of TL0PICIDX: caught up with in seconds; Chromium remembers 50 (modules/rtp_rtcp, kMaxLayerInfo)
WIDE, ROOMY = 2_000_000, 90_000  # what a viewer says that its line carries, bits a second: everything; the small layer
FOXLESS = pytest.mark.skipif(
    shutil.which("firefox-esr") is None and shutil.which("firefox") is None, reason="no Firefox; `make test` finds one"
)
BROWSERS = ["chromium", pytest.param("firefox", marks=FOXLESS)]

SEEN = """async () => {
  const row = [...(await sees.getStats()).values()].find((one) => one.type === 'inbound-rtp') ?? {};
  return {decoded: row.framesDecoded ?? 0, width: window.video?.videoWidth ?? 0, freezes: row.freezeCount ?? 0,
          lost: row.packetsLost ?? 0, longest_ms: Math.round(window.longest), plis: row.pliCount ?? 0};
}"""


class Page:
    """A page of either browser."""

    def __init__(self, run: Any) -> None:
        self.run = run

    async def reaches(self, holds: Any, what: str) -> dict[str, Any]:
        """What it sees, once that holds."""
        now: dict[str, Any] = {}
        try:
            async with asyncio.timeout(60):
                while True:
                    now = await self.run(SEEN)
                    if holds(now):
                        return now
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"never: {what}; {now}") from None


class Stage:
    """A publisher in Chromium on the plane of this process, and who plays it."""

    def __init__(self, plane: Plane, wait: Any, context: Any, stack: AsyncExitStack) -> None:
        self.plane, self.wait, self.context, self.stack = plane, wait, context, stack

    async def begin(self) -> None:
        """Publish both layers."""
        page = await self.context.new_page()
        made = await self.plane.media.publish(ROOM, Publisher("account:1", "clinician"), await page.evaluate(PUBLISH))
        await page.evaluate(ACCEPT, ["sends", made.answer_sdp])
        await self.wait(lambda: self.plane.media.publications(ROOM), "it publishes")
        self.publication = self.plane.media.publications(ROOM)[0].id
        self.fans = self.plane.relay.forwarders[self.publication].layers["video"].fans
        await self.wait(lambda: len(self.fans) == 2 and all(fan.source.generation for fan in self.fans), "both come")
        await self.wait(lambda: self.fans[0].source.highest > self.fans[0].source._first + 100, "and go on")
        # Each layer's encoder counts its pictures from anywhere. Let the small one's be just behind the large one's, as
        # one in five is: a viewer who comes to it soon meets numbers that it knows from the other.
        high, low = (fan.source for fan in self.fans)
        assert high.last is not None and low.last is not None
        level = vp8.following(high.last.payload, low.last.payload, 0)
        low._picture_shift = vp8.Shift(level.picture - 1000, level.base - BEHIND)

    async def page(self, browser: str) -> tuple[Page, Any]:
        """A viewer in this browser, and the relay's side of it."""
        if browser == "firefox":
            fox = await self.stack.enter_async_context(run_firefox())
            await fox.do("goto", url="about:blank")

            async def run(script: str, argument: Any = None) -> Any:
                return await fox.do("evaluate", script=f"({script})({json.dumps(argument)})")
        else:
            tab = await self.context.new_page()

            async def run(script: str, argument: Any = None) -> Any:
                return await tab.evaluate(script, argument)
        page = Page(run)
        played = await self.plane.media.play(self.publication, await run(PLAY), participant=f"account:{browser}")
        await run(ACCEPT, ["sees", played.answer_sdp])
        await page.reaches(lambda now: now["decoded"] > 30 and now["width"] == 640, f"{browser} sees the large picture")
        return page, self.plane.relay.viewers[played.id]


@pytest.fixture
async def stage(wait: Any) -> AsyncIterator[Stage]:
    """The publisher, connected, on a plane as a server on loopback has it."""
    rooms, relay = Rooms(), Relay(("127.0.0.1",), local_only=True)
    async with AsyncExitStack() as stack, async_playwright() as playwright:
        media = MediaPlane(relay, rooms)
        stack.push_async_callback(media.close)
        plane = Plane(media, relay, rooms, stack)
        started = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, chromium_sandbox=False, headless=True
        )
        made = Stage(plane, wait, await started.new_context(), stack)
        await made.begin()
        yield made
        await started.close()


def says(viewer: Any, bits_s: int) -> bytes:
    """What a viewer sends when it believes that its line carries so much."""
    return rtp.receiver_report(1, []) + rtp.bitrate_bound(1, bits_s, [viewer.deliveries["video"].ssrc])


async def test_a_poor_line_gets_the_small_layer_and_the_large_one_again_without_a_seam(stage: Stage) -> None:
    """By the numbers: a viewer's REMB over its own SRTP; what it receives across both changes."""
    plane = stage.plane
    listener = plane.listen()
    peer = new_peer()
    plane.stack.push_async_callback(peer.close)
    peer.pc.addTransceiver("video", direction="recvonly")
    peer.resource = await plane.media.play(stage.publication, await peer.offer(), participant="account:3")
    await peer.accept(peer.resource.answer_sdp)
    viewer = plane.relay.viewers[peer.resource.id]
    high, low = stage.fans
    await stage.wait(lambda: len(peer.received) > 30 and viewer.deliveries["video"] in high, "it has the large one")
    await peer.send_rtcp(says(viewer, WIDE))
    await stage.wait(lambda: viewer._downlink._bound == WIDE, "and a line for it")
    await peer.send_rtcp(says(viewer, ROOMY))
    await stage.wait(lambda: viewer.deliveries["video"] in low, "it has the small one")
    changed = len(peer.received)
    await stage.wait(lambda: len(peer.received) > changed + 30, "which goes on")
    await stage.wait(lambda: viewer.deliveries["video"] in high, "it is given the large one again", 60)
    changed = len(peer.received)
    await stage.wait(lambda: len(peer.received) > changed + 60, "which goes on")
    numbers = [packet.sequence for packet in peer.received]
    assert sorted({(after - before) & 0xFFFF for before, after in pairwise(numbers)}) == [1]
    times = [packet.timestamp for packet in peer.received]
    steps = [(after - before) & 0xFFFFFFFF for before, after in pairwise(times)]
    assert max(steps) < 90_000, "never a second ahead, and never back"
    levels = []
    while not listener.queue.empty():
        event = listener.queue.get_nowait()
        if event["type"] == "picture":
            assert (event["participant"], event["publication"]) == ("account:3", stage.publication)
            levels.append(event["level"])
    assert levels == ["low", "high"]


@pytest.mark.parametrize("browser", BROWSERS)
async def test_browsers_decode_across_both_changes_and_others_notice_nothing(stage: Stage, browser: str) -> None:
    other, others = await stage.page("other")
    page, viewer = await stage.page(browser)
    counts = stage.plane.relay.counts
    asked = counts.keyframes_asked
    await page.run("() => { window.longest = 0; }")
    before = await page.run(SEEN)
    viewer.rtcp(says(viewer, WIDE))
    viewer.rtcp(says(viewer, ROOMY))
    small = await page.reaches(lambda now: now["width"] == 320, "the small picture is shown")
    later = await page.reaches(lambda now: now["width"] == 640, "and the large one again")
    after = await page.reaches(lambda now: now["decoded"] > later["decoded"] + 60, "which goes on")
    assert before["decoded"] < small["decoded"] < later["decoded"] < after["decoded"]
    print(f"\n{browser}: longest without a new frame {after['longest_ms']} ms, "
          f"{after['freezes'] - before['freezes']} freezes, {after['plis'] - before['plis']} PLI of its own; "
          f"{counts.keyframes_asked - asked} asked of the publisher")  # fmt: skip
    assert after["lost"] == 0
    assert after["longest_ms"] < STARVED_MS, "every packet came: what it was given it can show"
    assert after["plis"] - before["plis"] <= 2, "changes come with a whole picture; a starved page may ask for one"
    seen = await other.run(SEEN)
    assert (seen["width"], seen["lost"]) == (640, 0)
    assert others.deliveries["video"] in stage.fans[0]
