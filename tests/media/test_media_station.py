"""The station program's own camera and player on a real server: each side sees and hears the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from telemed_station.camera.played import Listed
from telemed_station.camera.player import Player
from telemed_station.camera.publisher import Camera
from telemed_station.camera.sources import Sources
from telemed_station.clock import StationClock
from telemed_station.program import StationSettings, run

from telemed.http import keys
from telemed.media.backend import Publisher
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
                assert (published.publisher.by, published.kinds) == ("station", ("audio", "video"))
                for track in (picture(), tone()):
                    page.pc.addTransceiver(track, direction="sendonly")
                made = await media.publish(room, Publisher("a clinician", "clinician"), await page.offer())
                await page.accept(made.answer_sdp)
                await wait(lambda: len(media.publications(room)) == 2, "the clinician publishes")
                other = media.publications(room)[1]
                player.play([Listed("one run", other.id, other.kinds)])
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


async def test_the_station_shows_two_cameras_and_hears_everybody(
    server: Any,  # noqa: F811
    wait: Any,
    peer: Any,
    picture: Any,
    tone: Any,
    tmp_path: Path,
) -> None:
    """The program as it runs at a station, in a room with four people."""
    operator, clinician = await server.client("operator"), await server.client("clinician")
    where = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    _, consultation = await operator.post("/api/v1/consultations", where)
    room = consultation["id"]
    assert (await clinician.post(f"/api/v1/consultations/{room}/admit"))[0] == 200
    media, presence = server.app[keys.MEDIA], server.app[keys.STATIONS]
    settings = StationSettings(
        server.url, server.seed.station_key, tmp_path / "station", camera="none", exam_camera="generated",
        microphone="tone", speaker=f"file:{tmp_path / 'heard.wav'}",
    )  # fmt: skip
    began = asyncio.get_running_loop().time()
    running = asyncio.ensure_future(run(settings))
    pages = []

    def heard() -> dict[str, Any]:
        """What the station says of each person, once it decodes and hears all."""
        known = presence.of(server.seed.station_id)
        people = known.status["call"]["people"] if known is not None and known.status is not None else []
        good = [one for one in people if one["frames_decoded"] > 3 and abs((one["dominant_hz"] or 0) - 440) < 5]
        return {one["by"]: one for one in good} if len(good) == 4 else {}

    try:
        for role in ("clinician", "second_clinician", "interpreter", "relative"):
            page = peer()
            pages.append(page)
            for track in (picture(), tone()):
                page.pc.addTransceiver(track, direction="sendonly")
            publisher = Publisher(f"a {role}", role)
            topics = (f"station:{server.seed.station_id}",)
            made = await media.publish(room, publisher, await page.offer(), topics=topics)
            await page.accept(made.answer_sdp)
        shown = await wait(heard, "everybody is seen and heard", 150.0)
        assert {one["participant"] for one in shown.values()} == {f"a {role}" for role in shown}
        assert set(shown) == {"clinician", "second_clinician", "interpreter", "relative"}
        own = {one.publisher: one.kinds for one in media.publications(room) if one.publisher.by == "station"}
        name = f"station:{server.seed.station_id}"
        assert own == {
            Publisher(name, "station", "camera"): ("audio",), Publisher(name, "station", "exam"): ("video",)
        }
        before = media.publications(room)
        media.assign(room, "a second_clinician")
        await wait(lambda: heard().get("clinician", {}).get("participant") == "a second_clinician", "it goes on")
        assert [one.id for one in media.publications(room)] == [one.id for one in before]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for page in pages:
            await page.close()
    with av.open(str(tmp_path / "heard.wav")) as container:
        sound = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in container.decode(audio=0)])
    assert np.abs(sound).max() > 5_000
    assert 1 < sound.size / 48_000 < asyncio.get_running_loop().time() - began + 1  # at once, not one after the other
