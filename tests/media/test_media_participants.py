"""Publications belong to people: what replaces what, what ends with whom, and how much one person may hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from telemed.media import backend
from telemed.media import plane as media_plane
from telemed.media.backend import PublicationNotFound, Publisher, TooManySessions
from telemed.media.relay.rtp import RtpPacket

PAUSE_SECONDS = 60  # more than any pause of a test
ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"


def ids(plane: Any) -> list[str]:
    return [publication.id for publication in plane.media.publications(ROOM)]


def told(room: Any) -> list[list[tuple[str, str, str]]]:
    """Each announced list of publications: participant, role and source."""
    lists = []
    while not room.queue.empty():
        event = room.queue.get_nowait()
        if event["type"] == "publications":
            lists.append([(row["participant"], row["by"], row["source"]) for row in event["publications"]])
    return lists


def packets(publisher: Any, numbers: range) -> list[RtpPacket]:
    """Video packets of this publisher; their numbers are their payloads."""
    ssrc = id(publisher) & 0xFFFFFFFF
    return [
        RtpPacket(publisher.payload_type("video"), True, number, number * 3000, ssrc, number.to_bytes(4, "big"))
        for number in numbers
    ]


async def test_a_newer_publication_takes_over_the_viewers_of_the_older_one(plane: Any, wait: Any) -> None:
    """Of the same participant and source alone: whoever watches keeps the picture and its connection."""
    room = plane.listen()
    clinician = await plane.publisher("audio", by="clinician")
    screen = await plane.publisher("video", by="clinician", source="screen")
    first = await plane.publisher("video")
    exam = await plane.publisher("video", source="exam")
    viewer = await plane.viewer(first, "video")
    publication = first.resource.publication
    for one in packets(first, range(10, 15)):
        await first.send(one)
    await wait(lambda: len(viewer.received) == 5, "the older one's packets arrive")
    second = await plane.publisher("video")
    await wait(lambda: first.pc.connectionState == "closed", "the older publisher is told goodbye")
    stayed = [clinician.resource.publication, screen.resource.publication, publication, exam.resource.publication]
    assert sorted(ids(plane)) == sorted(one.id for one in stayed), "it has the older one's name now"
    for one in packets(second, range(40_000, 40_005)):
        await second.send(one)
    await wait(lambda: len(viewer.received) == 10, "the newer one's packets arrive")
    got = viewer.received
    assert [int.from_bytes(one.payload, "big") for one in got] == [*range(10, 15), *range(40_000, 40_005)]
    assert {(one.sequence - got[0].sequence) & 0xFFFF for one in got} == set(range(10)), "without a hole"
    assert {one.ssrc for one in got} == {got[0].ssrc}
    assert 0 < (got[5].timestamp - got[4].timestamp) & 0xFFFFFFFF < 90_000 * PAUSE_SECONDS, "its time goes on"
    later = await plane.viewer(second, "video")
    for one in packets(second, range(40_005, 40_008)):
        await second.send(one)
    await wait(lambda: len(later.received) == 3 and len(viewer.received) == 13, "who comes later sees it too")
    assert all(one.connected for one in (clinician, screen, exam, second, viewer, later))
    with pytest.raises(PublicationNotFound):
        plane.media.room_of(second.resource.publication.id)
    face, close = ("clinician:1", "clinician", "camera"), ("station:1", "station", "exam")
    assert told(room)[-1] == [face, ("clinician:1", "clinician", "screen"), close, ("station:1", "station", "camera")]


async def test_a_publisher_that_goes_as_its_successor_connects_leaves_its_viewers_to_it(plane: Any, wait: Any) -> None:
    """A page closes its old connection when the new one is there: the relay may hear the goodbye before it hears from
    the server who comes after, and the server hears of both in the other order."""
    first = await plane.publisher("video")
    viewer = await plane.viewer(first, "video")
    for one in packets(first, range(10, 15)):
        await first.send(one)
    await wait(lambda: len(viewer.received) == 5, "the older one's packets arrive")
    relay, old, passing = plane.relay, first.resource.id, []
    tell = relay.on_event

    async def pass_on(connected: dict[str, Any]) -> None:
        await wait(lambda: old not in relay.legs, "the relay has closed the older connection")
        for event in (connected, *held):
            tell(event)

    def hold(event: dict[str, Any]) -> None:
        if event["event"] == "connected" and not passing:
            passing.append(asyncio.create_task(pass_on(event)))
            relay._gone(relay.legs[old], "closed")
        else:
            held.append(event)

    held: list[dict[str, Any]] = []
    relay.on_event = hold
    second = await plane.publisher("video")
    relay.on_event = tell
    await passing[0]
    for one in packets(second, range(40_000, 40_005)):
        await second.send(one)
    await wait(lambda: len(viewer.received) == 10, "the newer one's packets arrive")
    assert ids(plane) == [first.resource.publication.id]
    assert list(relay.forwarders) == ids(plane) and list(relay.publishers) == [second.resource.id]
    later = await plane.viewer(second, "video")
    for one in packets(second, range(40_005, 40_008)):
        await second.send(one)
    await wait(lambda: len(later.received) == 3 and len(viewer.received) == 13, "who comes later sees it too")


async def test_an_older_offer_that_connects_late_does_not_replace_its_successor(
    plane: Any, wait: Any, peer: Any
) -> None:
    late = peer()
    late.pc.addTransceiver("video", direction="sendonly")
    made = await plane.media.publish(ROOM, Publisher("station:1", "station"), await late.offer())
    newer = await plane.publisher("video")
    await late.accept(made.answer_sdp)
    await wait(lambda: made.id not in plane.media._sessions, "the older one is let go")
    assert ids(plane) == [newer.resource.publication.id]
    await late.close()


async def test_removing_a_person_ends_what_it_sends_and_sees_and_nothing_else(plane: Any, wait: Any) -> None:
    station = await plane.publisher("video")
    removed = await plane.publisher("video", by="relative")
    elsewhere = await plane.publisher("video", by="relative", room="another room")
    sees_all = await plane.viewer(station, "video", participant="clinician:1")
    sees_removed = await plane.viewer(removed, "video", participant="clinician:1")
    is_removed = await plane.viewer(station, "video", participant="relative:1")
    plane.media.close_participant(ROOM, "relative:1")
    await wait(lambda: ids(plane) == [station.resource.publication.id], "its publication is gone")
    for gone in (removed, sees_removed, is_removed):
        await wait(lambda gone=gone: gone.pc.connectionState == "closed", "is told goodbye")
    assert station.connected and elsewhere.connected and sees_all.connected
    assert len(plane.media._sessions) == 3
    plane.media.close_participant(ROOM, "nobody")


async def test_the_media_go_on_when_another_clinician_takes_over(plane: Any, wait: Any) -> None:
    first = await plane.publisher("video", by="clinician")
    second = await plane.publisher("video", by="second_clinician")
    guest = await plane.publisher("video", by="relative")
    viewer = await plane.viewer(first, "video")
    room = plane.listen()
    event = {"id": ROOM, "state": "live", "clinician": {"id": "second_clinician:1", "name": "Demo"}}
    for _ in range(2):
        plane.rooms.publish(f"consultation:{ROOM}", {"type": "consultation", "consultation": event})
        await wait(
            lambda: [one.publisher.by for one in plane.media.publications(ROOM)]
            == ["second_clinician", "clinician", "relative"],
            "the roles are exchanged",
        )
    assert len(told(room)) == 1, "and told once"
    assert all(one.connected for one in (first, second, guest, viewer))
    assert len(plane.media._sessions) == 4


async def test_one_person_cannot_fill_the_room(plane: Any, wait: Any, peer: Any) -> None:
    """Offers that never connect, and viewings without number, displace the person's own and nobody else's."""
    other = await plane.publisher("video", by="clinician")
    mine = await plane.publisher("video", by="relative")
    offering = peer()
    offering.pc.addTransceiver("video", direction="sendonly")
    offer = await offering.offer()
    for _ in range(2 * backend.PUBLICATIONS_A_SOURCE):
        await plane.media.publish(ROOM, Publisher("relative:1", "relative"), offer)
    watching = peer()
    watching.pc.addTransceiver("video", direction="recvonly")
    wanted = await watching.offer()
    for _ in range(2 * backend.VIEWINGS_A_PARTICIPANT):
        await plane.media.play(other.resource.publication.id, wanted, participant="relative:1")
    await wait(
        lambda: len(plane.media._sessions) <= 1 + backend.PUBLICATIONS_A_SOURCE + backend.VIEWINGS_A_PARTICIPANT,
        "the oldest are let go",
    )
    assert ids(plane) == [other.resource.publication.id, mine.resource.publication.id]
    await offering.close()
    await watching.close()


async def test_a_full_room_says_so(plane: Any, peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_plane, "PUBLICATIONS_A_ROOM", 2)
    offering = peer()
    offering.pc.addTransceiver("video", direction="sendonly")
    offer = await offering.offer()
    for number in range(2):
        await plane.media.publish(ROOM, Publisher(f"seat {number}", "relative"), offer)
    with pytest.raises(TooManySessions):
        await plane.media.publish(ROOM, Publisher("seat 2", "relative"), offer)
    await offering.close()
