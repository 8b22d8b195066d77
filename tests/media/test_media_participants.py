"""Publications belong to people: what replaces what, what ends with whom, and how much one person may hold."""

from __future__ import annotations

from typing import Any

import pytest

from telemed.media import backend, passthrough
from telemed.media.backend import PublicationNotFound, Publisher, TooManySessions

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


async def test_a_newer_publication_replaces_the_older_of_the_same_participant_and_source_alone(
    plane: Any, wait: Any
) -> None:
    room = plane.listen()
    clinician = await plane.publisher("audio", by="clinician")
    screen = await plane.publisher("video", by="clinician", source="screen")
    first = await plane.publisher("video")
    exam = await plane.publisher("video", source="exam")
    viewer = await plane.viewer(first, "video")
    second = await plane.publisher("video")
    stayed = [clinician, screen, exam, second]
    assert ids(plane) == [one.resource.publication.id for one in stayed]
    await wait(lambda: first.pc.connectionState == "closed", "the older publisher is told goodbye")
    await wait(lambda: viewer.pc.connectionState == "closed", "and its viewer")
    with pytest.raises(PublicationNotFound):
        plane.media.room_of(first.resource.publication.id)
    assert all(one.connected for one in stayed)
    face, close = ("clinician:1", "clinician", "camera"), ("station:1", "station", "exam")
    assert told(room)[-1] == [face, ("clinician:1", "clinician", "screen"), close, ("station:1", "station", "camera")]


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
    monkeypatch.setattr(passthrough, "PUBLICATIONS_A_ROOM", 2)
    offering = peer()
    offering.pc.addTransceiver("video", direction="sendonly")
    offer = await offering.offer()
    for number in range(2):
        await plane.media.publish(ROOM, Publisher(f"seat {number}", "relative"), offer)
    with pytest.raises(TooManySessions):
        await plane.media.publish(ROOM, Publisher("seat 2", "relative"), offer)
    await offering.close()
