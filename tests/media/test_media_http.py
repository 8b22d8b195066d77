"""WHIP and WHEP over HTTP, on a real server: whole calls, the policy, and anything for a body."""

# ruff: noqa: F811  (a test takes a fixture by its name)

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import uuid4

from telemed.http import keys
from telemed.http.media import close_signed_out
from tests.media.calls import FRAGMENT, SDP, Call, call, code  # noqa: F401  (call is a fixture)
from tests.server.conftest import server, stranger  # noqa: F401  (fixtures)

MUTATIONS = 200


async def test_a_call_from_offer_to_end(call: Call, wait: Any, peer: Any, picture: Any, tone: Any) -> None:
    station, page = peer(), peer()
    for track in (picture(), tone()):
        station.pc.addTransceiver(track, direction="sendonly")
    with (
        call.server.app[keys.ROOMS].listen(f"consultation:{call.room}") as room,
        call.server.app[keys.ROOMS].listen(f"station:{call.server.seed.station_id}") as at_station,
    ):
        status, headers, answer = await call.post(f"/whip/{call.room}", await station.offer())
        assert (status, headers["Content-Type"], headers["Accept-Patch"]) == (201, SDP, FRAGMENT)
        assert headers["Location"].startswith("/whip/resources/")
        assert headers["ETag"].startswith('"')
        assert {"Location", "ETag"} <= set(headers["Access-Control-Expose-Headers"].split(", "))
        assert "a=recvonly" in answer
        assert "a=end-of-candidates" in answer
        await station.accept(answer)
        event = await asyncio.wait_for(room.queue.get(), 20)
        assert await asyncio.wait_for(at_station.queue.get(), 20) == event
    publication = event["publications"][0]
    assert event == {
        "type": "publications",
        "publications": [{
            "id": publication["id"], "by": "station", "participant": f"station:{call.server.seed.station_id}",
            "source": "camera", "kinds": ["audio", "video"],
        }],
    }
    for kind in ("audio", "video"):
        page.pc.addTransceiver(kind, direction="recvonly")
    status, watching, answer = await call.post(f"/whep/{publication['id']}", await page.offer(), "clinician")
    assert status == 201
    assert "a=sendonly" in answer
    await page.accept(answer)
    page.consume()
    await wait(lambda: any(hasattr(frame, "width") for frame in page.frames), "a picture decodes")

    place = watching["Location"]
    # Somebody else's resource, or one of the other kind, does not exist.
    station_client = await call.server.anonymous()
    assert (await station_client.delete(place, headers=call.key))[0] == 404
    assert (await call.clinician.delete(place.replace("whep", "whip")))[0] == 404
    assert (await call.clinician.delete(place))[0] == 200
    assert (await call.clinician.delete(place))[0] == 404
    await wait(lambda: page.pc.connectionState == "closed", "the page is told goodbye")

    assert (await call.clinician.post(f"/api/v1/consultations/{call.room}/end"))[0] == 200
    await wait(lambda: not call.media._sessions, "the end of the consultation ends its media")
    await wait(lambda: station.pc.connectionState == "closed", "the station is told goodbye")
    for peer_ in (station, page):
        await peer_.close()
    status, _, refusal = await call.post(f"/whip/{call.room}", "v=0\r\n")
    assert (status, code(refusal)) == (409, "state_refused")


async def test_signing_out_ends_what_that_sign_in_sends_and_sees(
    call: Call, wait: Any, peer: Any, picture: Any
) -> None:
    """Within a second or two, wherever it was signed out, and nobody else's pictures."""
    pages = peer(), peer()
    other = await call.server.client("clinician")  # the same person at another browser
    for page, client in zip(pages, (call.clinician, other), strict=True):
        page.pc.addTransceiver(picture(), direction="sendonly")
        headers = {"Origin": call.server.url, "Content-Type": SDP}
        async with client.http.post(f"/whip/{call.room}", data=await page.offer(), headers=headers) as answer:
            assert answer.status == 201
            await page.accept(await answer.text())
        if page is pages[0]:  # a newer publication replaces the older one, so the first one signs out before
            await wait(lambda: call.media.publications(call.room), "it is published")
            assert (await call.clinician.delete("/api/v1/sign-in"))[0] == 204
            await wait(lambda: not call.media._sessions, "the signed-out page's media end")
            await wait(lambda: pages[0].pc.connectionState == "closed", "the page is told goodbye")
    await wait(lambda: call.media.publications(call.room), "the other sign-in publishes")
    await close_signed_out(call.server.app[keys.DATABASE], call.media)
    assert len(call.media.publications(call.room)) == 1, "another sign-in of the same person goes on"
    for page in pages:
        await page.close()


async def test_who_may_and_what_is_refused(call: Call, peer: Any, stranger: Any) -> None:
    sender = peer()
    sender.pc.addTransceiver("video", direction="sendonly")
    offer = await sender.offer()
    whip = f"/whip/{call.room}"
    outsider = {"Authorization": f"Bearer {stranger.station_key}"}
    assert (await call.post(whip, offer, **outsider))[0] == 404
    assert (await call.post(whip, offer, Authorization="Bearer nobody"))[0] == 401
    assert (await call.post(whip, offer, "clinician", Origin="https://elsewhere.invalid"))[0] == 403
    assert (await call.post(f"/whip/{uuid4()}", offer))[0] == 404
    assert (await call.post("/whip/not-a-room", offer))[0] == 404
    for query in ("?source=face", "?source=camera&source=exam", "?other=1"):
        status, _, text = await call.post(whip + query, offer)
        assert (status, code(text)) == (400, "invalid_request")
    assert (await call.post(f"/whep/{uuid4()}", offer, "clinician"))[0] == 404
    assert not call.media._sessions

    await sender.close()


async def test_a_mutated_offer_is_answered_or_refused_and_never_breaks_the_server(call: Call, peer: Any) -> None:
    sender = peer()
    sender.pc.addTransceiver("audio", direction="sendonly")
    sender.pc.addTransceiver("video", direction="sendonly")
    offer = await sender.offer()
    chance = random.Random(20_240_607)
    seen = set()
    client = await call.server.anonymous()
    for _ in range(MUTATIONS):
        lines = offer.split("\r\n")
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(lines))
            line = lines[at]
            match chance.randrange(6):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(chance.randrange(len(lines)), line)
                case 2:
                    lines[at] = line[: chance.randrange(len(line) + 1)]
                case 3 if line:
                    place = chance.randrange(len(line))
                    lines[at] = line[:place] + chr(chance.randrange(32, 127)) + line[place + 1 :]
                case 4:
                    lines[at] = line.replace("9", str(chance.choice([-1, 0, 256, 70_000, 10**12])))
                case _:
                    lines[at] = line + chance.choice([" ", "/", ":", ";", "=", "\t", " 1", "\u0430", "\x00"])
        headers = {**call.key, "Content-Type": SDP}
        body = "\r\n".join(lines).encode()
        async with client.http.post(f"/whip/{call.room}", data=body, headers=headers) as answer:
            text = await answer.text()
            seen.add(answer.status)
            assert answer.status in (201, 400, 422), text
            if answer.status == 201:
                await call.media.delete(answer.headers["Location"].rpartition("/")[2])
            else:
                assert code(text) in ("sdp_invalid", "sdp_unsupported")
    assert seen >= {201, 400}
    assert not call.media._sessions
    await sender.close()


async def test_the_counters_are_on_the_metrics_page(call: Call) -> None:
    _, page = await call.clinician.get("/metrics")
    assert "telemed_media_publications 0.0" in page
    assert "telemed_media_datagrams_refused_total" in page
