"""A station that has no line for its picture says so in its status, and the room is told, for as long as it lasts."""

from __future__ import annotations

from typing import Any

from telemed.http import keys

STATUS = {"type": "status", "queue": {"chunks": 0, "bytes": 0}, "call": {"state": "idle"}}


async def test_the_room_is_told_what_the_station_has_paused(clinic: Any, support: Any) -> None:
    visit, station = await clinic.visit(), await clinic.station()
    await station.said("consultation", lambda one: one["consultation"])
    named = f"station:{clinic.server.seed.station_id}"
    with clinic.server.app[keys.ROOMS].listen(f"consultation:{visit.consultation}") as listener:
        for paused in (None, ["camera"], ["camera"], [], []):
            await station.send(STATUS if paused is None else {**STATUS, "paused": paused})
        await station.send({**STATUS, "paused": ["exam"]})
        seen: list[dict[str, Any]] = []

        def last() -> bool:
            while not listener.queue.empty():
                event = listener.queue.get_nowait()
                if event["type"] == "paused":
                    seen.append(event)
            return bool(seen) and seen[-1]["sources"] == ["exam"]

        await support.until(last, "the last word")
    assert all(event["participant"] == named for event in seen)
    # Said again while there is one, for a publication that began since; an end is told once.
    # And at first, for what a connection before this one said.
    assert [event["sources"] for event in seen] == [[], ["camera"], ["camera"], [], ["exam"]]


async def test_a_picture_that_nobody_knows_is_refused(clinic: Any) -> None:
    station = await clinic.station()
    await station.send({**STATUS, "paused": ["wallpaper"]})
    await station.refused("message_invalid")


async def test_a_page_is_told_what_its_own_line_carries_and_no_other_is(clinic: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit)
    me = page.messages[0]["me"]
    guest = await clinic.guest(visit)
    other = await clinic.guest_page(guest)
    rooms = clinic.server.app[keys.ROOMS]
    said = {"type": "picture", "participant": me, "publication": "p", "level": "paused"}
    rooms.publish(f"consultation:{visit.consultation}", said)
    assert await page.said("picture") == {"type": "picture", "publication": "p", "level": "paused"}
    rooms.publish(f"consultation:{visit.consultation}", {**said, "participant": guest.seat, "level": "low"})
    assert (await other.said("picture"))["level"] == "low"
    assert [one["level"] for one in page.messages if one["type"] == "picture"] == ["paused"]


async def test_the_same_run_of_a_station_that_comes_back_is_no_second_one(clinic: Any) -> None:
    """Its line broke, and the server has not noticed: nothing of it is in the audit."""
    first = await clinic.station()
    await clinic.station(source=first.source)
    await first.refused("newer_connection")
    await first.closed.wait()
    _, answer = await clinic.operator.get(f"/api/v1/stations/{clinic.server.seed.station_id}/events")
    assert "station_socket.displaced" not in {event["action"] for event in answer["events"]}
