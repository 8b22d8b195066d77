"""The slots of a room of many over HTTP, on a real server: a WHEP endpoint that plays whoever speaks, never oneself."""

# ruff: noqa: F811  (a test takes a fixture by its name)

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from telemed.http import keys
from telemed.media.backend import VIEWINGS_A_SLOT
from telemed.media.relay.speakers import PICTURES, VOICES
from tests.media.calls import FRAGMENT, SDP, Call, call, code  # noqa: F401  (call is a fixture)
from tests.server.conftest import server, stranger  # noqa: F401  (fixtures)

KINDS = ("audio", "video")
NEW_ICE = "a=ice-ufrag:newu\r\na=ice-pwd:" + "n" * 24 + "\r\n"


@pytest.fixture
async def watcher(peer: Any) -> AsyncIterator[Any]:
    """A maker of peers that want to receive these kinds."""
    async with AsyncExitStack() as stack:

        def make(*kinds: str) -> Any:
            made = peer()
            stack.push_async_callback(made.close)
            for kind in kinds or KINDS:
                made.pc.addTransceiver(kind, direction="recvonly")
            return made

        yield make


def slot_of(call: Call, number: int | str) -> str:
    return f"/whep/{call.room}/slots/{number}"


def directions(answer: str) -> dict[str, str]:
    """By kind, how the answer carries it."""
    sections = re.split(r"(?m)^m=", answer)[1:]
    found = {one.partition(" ")[0]: re.search("a=(sendonly|recvonly|inactive)", one) for one in sections}
    return {kind: match[1] for kind, match in found.items() if match is not None}


def slots_of(call: Call) -> list[Any]:
    """Sessions that play slots, the oldest first."""
    return [session for session in call.media._sessions.values() if session.slot is not None]


async def test_a_slot_plays_the_others_and_says_whom_it_shows(
    call: Call, wait: Any, peer: Any, picture: Any, tone: Any, watcher: Any
) -> None:
    station, page, own = peer(), watcher(), watcher()
    for track in (picture(), tone()):
        station.pc.addTransceiver(track, direction="sendonly")
    with call.server.app[keys.ROOMS].listen(f"consultation:{call.room}") as room:
        status, _, answer = await call.post(f"/whip/{call.room}", await station.offer())
        assert status == 201
        await station.accept(answer)
        await wait(lambda: call.media.publications(call.room), "the station publishes")
        (publication,) = call.media.publications(call.room)
        for who, one in (("clinician", page), ("station", own)):
            status, headers, answer = await call.post(slot_of(call, 0), await one.offer(), who)
            assert status == 201, answer
            assert (headers["Content-Type"], headers["Accept-Patch"]) == (SDP, FRAGMENT)
            assert headers["Location"].startswith("/whep/resources/")
            assert headers["ETag"].startswith('"')
            assert directions(answer) == {"audio": "sendonly", "video": "sendonly"}
            await one.accept(answer)
        page.consume()
        own.consume()
        await wait(lambda: any(hasattr(frame, "width") for frame in page.frames), "the station's picture decodes")
        await wait(lambda: any(hasattr(frame, "samples") for frame in page.frames), "and its sound")
        await wait(lambda: own.connected, "the station's own slot is connected")
        told = []
        while not room.queue.empty():
            told.append(room.queue.get_nowait())
    me = slots_of(call)[0].participant
    shown = [one for one in told if one["type"] == "slot"]
    assert shown == [{"type": "slot", "participant": me, "slot": 0, "publication": publication.id}]
    assert not own.frames, "nobody is shown to oneself"
    await station.close()


async def test_the_last_slots_have_no_sound_and_there_are_no_others(call: Call, watcher: Any) -> None:
    for number in range(PICTURES):
        status, _, answer = await call.post(slot_of(call, number), await watcher().offer(), "clinician")
        assert status == 201, answer
        sound = "sendonly" if number < VOICES else "inactive"
        assert directions(answer) == {"audio": sound, "video": "sendonly"}
    assert sorted(session.slot for session in slots_of(call)) == list(range(PICTURES))
    offer = await watcher().offer()
    for name in (str(PICTURES), "10", "00", "-1", "x", "%D9%A3", "1%2F2"):  # the sixth is an Arabic three
        status, _, text = await call.post(slot_of(call, name), offer, "clinician")
        assert (status, code(text)) in ((404, "publication_not_found"), (404, "not_found")), name
    assert len(slots_of(call)) == PICTURES


async def test_it_is_an_endpoint_as_the_others_are(call: Call) -> None:
    """draft-ietf-wish-whep: what can be asked without a key."""
    http = (await call.server.anonymous()).http
    async with http.options(slot_of(call, 0)) as answer:
        assert (answer.status, answer.headers["Accept-Post"]) == (200, SDP)
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    async with http.get(slot_of(call, 0)) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    async with http.head(slot_of(call, 0)) as answer:
        assert (answer.status, answer.content_type) == (200, SDP)
    for method in ("PUT", "PATCH", "DELETE"):
        status, headers, text = await call.send(method, slot_of(call, 0))
        assert (status, code(text)) == (405, "method_not_allowed")
        assert "POST" in headers["Allow"]


async def test_who_may_watch(call: Call, watcher: Any, stranger: Any) -> None:
    offer = await watcher().offer()
    path = slot_of(call, 0)
    outsider = {"Authorization": f"Bearer {stranger.station_key}"}
    elsewhere = await call.server.client("clinician", stranger)
    administrator = await call.server.client("administrator")
    assert (await call.post(path, offer, **outsider))[0] == 404
    assert (await call.post(path, offer, Authorization="Bearer nobody"))[0] == 401
    assert (await call.post(path, offer, "clinician", Origin="https://elsewhere.invalid"))[0] == 403
    headers = {"Content-Type": SDP}
    assert (await elsewhere.send("POST", path, data=offer, headers=headers))[0] == 404
    assert (await administrator.send("POST", path, data=offer, headers=headers))[0] == 403
    assert (await call.post(f"/whep/{uuid4()}/slots/0", offer, "clinician"))[0] == 404
    assert (await call.post("/whep/not-a-room/slots/0", offer, "clinician"))[0] == 404
    assert not call.media._sessions


async def test_what_a_slot_cannot_play_is_refused_whole(call: Call, watcher: Any) -> None:
    offer, sound = await watcher().offer(), await watcher("audio").offer()
    for number, body, kind, expected in (
        (0, offer.replace("VP8", "VP9"), SDP, (422, "sdp_unsupported", {"reason": "codec"})),
        (0, offer.replace("opus", "L16"), SDP, (422, "sdp_unsupported", {"reason": "codec"})),
        (0, offer.replace("a=recvonly", "a=sendonly"), SDP, (422, "sdp_unsupported", {"reason": "direction"})),
        (VOICES, sound, SDP, (422, "sdp_unsupported", {"reason": "direction"})),
        (0, "hello", SDP, (400, "sdp_invalid", None)),
        (0, offer, FRAGMENT, (415, "media_type_unsupported", None)),
    ):
        status, answer = await call.clinician.send(
            "POST", slot_of(call, number), data=body, headers={"Content-Type": kind}
        )
        refusal = answer["error"]
        assert (status, refusal["code"]) == expected[:2]
        assert expected[2] is None or refusal["params"] == expected[2]
    assert not call.media._sessions
    status, _, answer = await call.post(slot_of(call, VOICES - 1), sound, "clinician")
    assert (status, directions(answer)) == (201, {"audio": "sendonly"}), "whoever wants to hear alone may"


async def test_a_participant_cannot_fill_the_room(call: Call, watcher: Any) -> None:
    """A further one of the same slot ends the oldest, and no other slot or person notices."""
    assert (await call.post(slot_of(call, 1), await watcher().offer(), "clinician"))[0] == 201
    assert (await call.post(slot_of(call, 0), await watcher().offer(), "station"))[0] == 201
    others = {session.id for session in slots_of(call)}
    made = []
    for _ in range(VIEWINGS_A_SLOT + 2):
        status, headers, _ = await call.post(slot_of(call, 0), await watcher().offer(), "clinician")
        assert status == 201
        made.append(headers["Location"].rpartition("/")[2])
    assert {session.id for session in slots_of(call)} == others | set(made[-VIEWINGS_A_SLOT:])


async def test_it_restarts_and_ends_as_any_session(call: Call, wait: Any, watcher: Any) -> None:
    page = watcher()
    status, headers, answer = await call.post(slot_of(call, 0), await page.offer(), "clinician")
    assert status == 201
    await page.accept(answer)
    await wait(lambda: page.connected, "the slot is connected")
    place, own = headers["Location"], {"Content-Type": FRAGMENT, "If-Match": "*"}
    assert (await call.send("PATCH", place, NEW_ICE, **own))[0] == 404, "to anybody else it does not exist"
    status, text = await call.clinician.send("PATCH", place, data=NEW_ICE, headers=own)
    assert status == 200
    assert re.findall("a=ice-ufrag:(.+)\r\n", text) != re.findall("a=ice-ufrag:(.+)\r\n", answer)[:1]
    assert slots_of(call)[0].etag != headers["ETag"]
    assert page.connected
    assert (await call.send("DELETE", place))[0] == 404
    assert (await call.clinician.delete(place))[0] == 200
    assert (await call.clinician.delete(place))[0] == 404
    await wait(lambda: page.pc.connectionState == "closed", "the page is told goodbye")


async def test_the_end_of_the_consultation_ends_it(call: Call, wait: Any, watcher: Any) -> None:
    page = watcher()
    offer = await page.offer()
    status, _, answer = await call.post(slot_of(call, 0), offer, "clinician")
    assert status == 201
    await page.accept(answer)
    await wait(lambda: page.connected, "the slot is connected")
    assert (await call.clinician.post(f"/api/v1/consultations/{call.room}/end"))[0] == 200
    await wait(lambda: not call.media._sessions, "its slots end with it")
    await wait(lambda: page.pc.connectionState == "closed", "the page is told goodbye")
    status, _, text = await call.post(slot_of(call, 0), offer, "clinician")
    assert (status, code(text)) == (409, "state_refused")
