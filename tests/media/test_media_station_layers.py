"""The station's camera in two sizes, through a real relay: who has a poor line gets the small one."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from telemed_station.camera import encoders
from telemed_station.camera.publisher import Camera
from telemed_station.camera.sources import Sources
from telemed_station.camera.thrift import Thrift
from telemed_station.clock import StationClock

from telemed.media.backend import Publisher

ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"
STATION = Publisher("station:1", "station")


@pytest.fixture
async def address(plane: Any, unused_tcp_port: int) -> Any:
    """A WHIP endpoint before the media plane: the station program speaks HTTP."""

    async def publish(request: web.Request) -> web.Response:
        made = await plane.media.publish(ROOM, STATION, await request.text())
        headers = {"Location": f"/whip/resources/{made.id}"}
        return web.Response(status=201, text=made.answer_sdp, content_type="application/sdp", headers=headers)

    async def delete(request: web.Request) -> web.Response:
        await plane.media.delete(request.match_info["resource"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/whip/{room}", publish)
    app.router.add_delete("/whip/resources/{resource}", delete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    yield f"http://127.0.0.1:{unused_tcp_port}"
    await runner.cleanup()


def widths(viewer: Any) -> list[int]:
    return [frame.width for frame in viewer.frames if hasattr(frame, "width")]


async def test_the_camera_comes_in_two_sizes_and_the_small_one_gives_way(plane: Any, wait: Any, address: str) -> None:
    behind_s = 0.0
    thrift = Thrift(lambda: behind_s)
    async with aiohttp.ClientSession() as http:
        sources = Sources("generated", "none", StationClock(), lambda _: None)
        camera = Camera(http, address, "key", sources, thrift=thrift)
        running = asyncio.ensure_future(camera.run())
        try:
            camera.publish("one run", ROOM, listed=False)
            published = (await wait(lambda: plane.media.publications(ROOM), "the station publishes"))[0]
            layers = plane.relay.forwarders[published.id].layers["video"]
            large, small = (one.source for one in layers.fans)
            await wait(lambda: large.generation and small.generation, "both sizes come")
            await wait(lambda: large.report is not None and small.report is not None, "and say when they were captured")
            viewer = await plane.watch(published.id, "video")
            viewer.consume()
            await wait(lambda: widths(viewer)[-1:] == [640], "the large one is shown")
            leg = plane.relay.viewers[viewer.resource.id]
            leg.most = "low"
            await wait(lambda: widths(viewer)[-1:] == [320], "the small one is")
            ours = next(delivery for delivery in leg.deliveries.values())
            assert ours.span is not None and ours.span.source is small
            times = sorted({(one.sequence, one.timestamp) for one in viewer.of("video")})
            numbers = [sequence for sequence, _ in times]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "one stream without a hole"
            behind_s = 10.0  # the vital signs wait: the picture gives way
            await wait(lambda: not small.steady(asyncio.get_running_loop().time()), "the small one is left out first")
            assert large.steady(asyncio.get_running_loop().time())
            await wait(lambda: ours.span is not None and ours.span.source is large, "who had it gets the large one")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert {packet.payload_type for packet in viewer.received} == {viewer.payload_type("video")}
    longest = max(len(packet.payload) for packet in viewer.received)
    assert longest <= encoders.PAYLOAD_BYTES
