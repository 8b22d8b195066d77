"""The station program's own camera and player on a real server: each side sees and hears the other."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from telemed_station.camera.player import Player
from telemed_station.camera.publisher import Camera
from telemed_station.camera.sources import Sources
from telemed_station.clock import StationClock

from telemed.http import keys
from tests.server.conftest import server  # noqa: F401  (the fixture)


async def test_the_station_publishes_and_plays_and_its_capture_times_arrive(
    server: Any,  # noqa: F811
    wait: Any,
    peer: Any,
    picture: Any,
    tone: Any,
) -> None:
    operator, clinician = await server.client("operator"), await server.client("clinician")
    where = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    _, consultation = await operator.post("/api/v1/consultations", where)
    room = consultation["id"]
    assert (await clinician.post(f"/api/v1/consultations/{room}/admit"))[0] == 200
    media = server.app[keys.MEDIA]
    page, seen = peer(), peer()
    clock = StationClock()
    began_us = clock.stamp_us()
    async with aiohttp.ClientSession() as http:
        camera = Camera(http, server.url, server.seed.station_key, Sources("generated", "tone", clock, lambda _: None))
        player = Player(http, server.url, server.seed.station_key)
        running = asyncio.ensure_future(camera.run())
        try:
            with server.app[keys.ROOMS].listen(f"consultation:{room}") as listener:
                camera.publish("one run", room, listed=False)
                published = (await wait(lambda: media.publications(room), "the station publishes"))[0]
                assert (published.by, published.kinds) == ("station", ("audio", "video"))
                for track in (picture(), tone()):
                    page.pc.addTransceiver(track, direction="sendonly")
                made = await media.publish(room, "clinician", await page.offer())
                await page.accept(made.answer_sdp)
                await wait(lambda: len(media.publications(room)) == 2, "the clinician publishes")
                other = media.publications(room)[1]
                player.play("one run", [(other.id, other.kinds)])
                for kind in ("audio", "video"):
                    seen.pc.addTransceiver(kind, direction="recvonly")
                watching = await media.play(published.id, await seen.offer())
                await seen.accept(watching.answer_sdp)
                seen.consume()
                await wait(lambda: any(hasattr(frame, "width") for frame in seen.frames), "the station is seen")
                await wait(lambda: player.status()["frames_decoded"] > 5, "the station sees the clinician")
                await wait(lambda: abs((player.status()["dominant_hz"] or 0) - 440) < 5, "and hears the tone")
                reports = []
                async with asyncio.timeout(20):
                    while not any(one["type"] == "sender_report" and one["kind"] == "video" for one in reports):
                        reports.append(await listener.queue.get())
            pair = next(one for one in reports if one["type"] == "sender_report" and one["kind"] == "video")
            assert began_us / 1000 < pair["ntp_ms"] < clock.stamp_us() / 1000
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await player.close()
            for one in (page, seen):
                await one.close()
