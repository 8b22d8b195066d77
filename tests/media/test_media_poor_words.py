"""Who watches is told why there is no picture: the publisher's line is too poor for it, or the watcher's own."""

from __future__ import annotations

from typing import Any

from telemed.media.relay import rtp


def told(listener: Any, kind: str) -> list[dict[str, Any]]:
    """The events of this type that have come."""
    found = []
    while not listener.queue.empty():
        event = listener.queue.get_nowait()
        if event["type"] == kind:
            found.append(event)
    return found


async def test_a_publication_says_while_its_picture_is_paused(plane: Any, picture: Any, tone: Any, wait: Any) -> None:
    await plane.publisher(picture(), tone())
    await plane.publisher(picture(), source="exam")
    listener, room = plane.listen(), plane.media._live.copy()
    (topic,) = {f"consultation:{one.room}" for one in room.values()}

    def paused() -> list[str]:
        return [one["source"] for one in (one.as_json() for one in publications()) if one.get("paused")]

    def publications() -> list[Any]:
        return list(plane.media.publications(topic.removeprefix("consultation:")))

    for sources in (["camera"], ["camera"], ["camera", "exam"], []):
        plane.rooms.publish(topic, {"type": "paused", "participant": "station:1", "sources": sources})
        await wait(lambda sources=sources: paused() == sources, f"paused: {sources}")
    lists = told(listener, "publications")
    assert [[one.get("paused", False) for one in event["publications"]] for event in lists] == [
        [True, False], [True, True], [False, False]
    ]  # fmt: skip
    plane.rooms.publish(topic, {"type": "paused", "participant": "station:2", "sources": ["camera"]})
    plane.rooms.publish(topic, {"type": "paused", "participant": "station:1", "sources": ["exam"]})
    await wait(lambda: paused() == ["exam"], "another station's words are not ours")


async def test_a_publication_that_begins_anew_is_not_paused(plane: Any, picture: Any, wait: Any) -> None:
    first = await plane.publisher(picture())
    session = plane.media._sessions[first.resource.id]
    topic, name = f"consultation:{session.room}", session.publication.id
    plane.rooms.publish(topic, {"type": "paused", "participant": "station:1", "sources": ["camera"]})
    await wait(lambda: plane.media.publications(session.room)[0].paused, "it is paused")
    await plane.publisher(picture())
    (now,) = plane.media.publications(session.room)
    assert (now.id, now.paused) == (name, False)


async def test_a_viewer_whose_own_line_is_too_poor_is_told_and_nobody_else(
    plane: Any, picture: Any, wait: Any
) -> None:
    """One layer: a line that does not carry it gets none. Its REMB comes over its own SRTP."""
    publisher = await plane.publisher(picture())
    viewer = await plane.viewer(publisher, "video", participant="account:1")
    await plane.viewer(publisher, "video", participant="account:2")
    listener = plane.listen()
    await wait(lambda: len(viewer.received) > 5, "it sees")
    inner = plane.relay.viewers[viewer.resource.id]
    for bits_s in (3_000_000, 20_000):
        await viewer.send_rtcp(
            rtp.receiver_report(1, []) + rtp.bitrate_bound(1, bits_s, [inner.deliveries["video"].ssrc])
        )
    await wait(lambda: inner.level == "paused", "its picture is paused")
    await wait(lambda: not listener.queue.empty(), "the room is told")
    events = told(listener, "picture")
    publication = plane.media._sessions[publisher.resource.id].publication.id
    assert events == [
        {"type": "picture", "participant": "account:1", "publication": publication, "level": "paused"}
    ]
