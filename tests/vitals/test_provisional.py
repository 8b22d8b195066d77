"""What a station may say of somebody who was entered there, and what is refused of it without ending anything else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from telemed.http import keys
from telemed.vitals.clock import Fix
from telemed.vitals.fixes import write_fix
from telemed.vitals.uplink import ENTERED

SECOND = 1_000_000
HOUR = 3_600 * SECOND


async def timed(clinic: Any, support: Any, station: Any, station_id: int | None = None) -> None:
    """The server knows the station's clock."""
    uplinks = clinic.server.app[keys.INGEST]._uplinks
    known = station_id or clinic.server.seed.station_id
    await support.until(lambda: known in uplinks and uplinks[known]._clock.best is not None, "the first fix")


def person(station: Any, **changes: Any) -> dict[str, Any]:
    return {
        "type": "provisional", "patient": str(uuid4()), "attachment": str(uuid4()), "source": str(station.source),
        "name": "Demo patient offline", "birth_year": 1951, "from_us": station.stamp() - 10 * SECOND, "to_us": None,
        **changes,
    }


async def answered(station: Any, message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Send it; what is answered about its attachment next: the code, or ``kept`` or ``ended``."""
    def about() -> list[dict[str, Any]]:
        return [one for one in station.messages if one.get("attachment") == message["attachment"]
                and one["type"] in ("provisional_kept", "error")]

    before = len(about())
    await station.send(message)
    async with asyncio.timeout(15):
        while len(about()) <= before:  # noqa: ASYNC110 - of the other side's making
            await asyncio.sleep(0.01)
    found = about()[before]
    if found["type"] == "error":
        return found["error"]["code"], found
    return ("ended" if found["ended"] else "kept"), found


async def rows(clinic: Any, statement: str, *values: Any) -> list[Any]:
    async with clinic.server.database.connection() as connection:
        return list(await connection.fetch(statement, *values))


async def interval(clinic: Any, attachment: str) -> tuple[int, int | None, str | None]:
    (row,) = await rows(clinic, "select * from attachment where id = $1", UUID(attachment))
    ends = [None if at is None else round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
            for at in (row["opened_at"], row["closed_at"])]  # fmt: skip
    assert ends[0] is not None
    return ends[0], ends[1], row["closed_reason"]


def near(one: int | None, other: int) -> bool:
    return one is not None and abs(one - other) < SECOND // 2  # the fix's error on loopback is far less


async def attach(clinic: Any, patient: int = 0) -> dict[str, Any]:
    seed = clinic.server.seed
    status, made = await clinic.operator.post(
        "/api/v1/attachments", {"station_id": seed.station_id, "patient_id": str(seed.patients[patient])})
    assert status == 201, made
    return dict(made)


async def test_said_again_it_happens_once(clinic: Any, support: Any) -> None:
    station = await clinic.station(skew_us=3 * HOUR)
    await timed(clinic, support, station)
    one = person(station)
    for _ in range(3):
        assert (await answered(station, one))[0] == "kept"
    assert near((await interval(clinic, one["attachment"]))[0], one["from_us"] - 3 * HOUR)
    await station.close()
    station = await clinic.station(source=station.source, skew_us=3 * HOUR)
    assert station.messages[0]["attachment"] == one["attachment"], "it is whose the station is"
    await timed(clinic, support, station)
    ended = {**one, "to_us": one["from_us"] + 5 * SECOND}
    assert (await answered(station, ended))[0] == "ended"
    await station.said("renew", lambda said: said["attachment"] is None)
    assert (await answered(station, {**one, "to_us": one["from_us"] + 7 * SECOND}))[0] == "ended", "the first end stays"
    _, closed, reason = await interval(clinic, one["attachment"])
    assert near(closed, one["from_us"] - 3 * HOUR + 5 * SECOND) and reason == "operator"
    assert len(await rows(clinic, "select 1 from patient where provisional")) == 1
    permits = await rows(clinic, "select 1 from audit_event where action = 'station_socket.provisional'"
                                 " and outcome = 'permit' and actor_kind = 'station' and patient_id = $1",
                         UUID(one["patient"]))
    assert len(permits) == 2, "one row for the begin, one for the end"


async def test_the_one_before_ends_where_it_begins_and_it_ends_where_the_next_begins(clinic: Any, support: Any) -> None:
    station = await clinic.station()
    await timed(clinic, support, station)
    before = await attach(clinic, 0)
    begin = support.now_us()
    await support.until(lambda: support.now_us() > begin + SECOND // 5, "some time goes by")
    after = await attach(clinic, 1)
    one = person(station, from_us=begin + SECOND // 10)
    async with clinic.server.database.connection() as connection:  # room between the two
        await connection.execute("update attachment set opened_at = opened_at + interval '1 hour' where id = $1",
                                 UUID(after["id"]))
    # A closed interval stays as it is: what came into it begins where it ends.
    closed_at = (await interval(clinic, before["id"]))[1]
    assert (await answered(station, one))[0] == "ended"
    opened, ended, reason = await interval(clinic, one["attachment"])
    assert opened == closed_at and ended == (await interval(clinic, after["id"]))[0] and reason == "next_patient"
    # The station recorded for it until now; whose it is instead is said anew.
    await station.said("renew", lambda said: said["attachment"] == after["id"], nth=1)


async def test_who_was_open_is_closed_and_cut_at_its_begin(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    await timed(clinic, support, station)
    page = await clinic.page(visit)
    one = person(station, from_us=station.stamp())
    assert (await answered(station, one))[0] == "kept"
    opened, closed, _ = await interval(clinic, one["attachment"])
    assert (await interval(clinic, visit.attachment))[1:] == (opened, "next_patient") and closed is None
    assert clinic.server.app[keys.HUB]._cuts[UUID(visit.attachment)] == opened
    await page.said("consultation", lambda said: said["consultation"]["attachment_id"] is None)
    assert not [said for said in station.messages if said["type"] == "renew"], "the station records for it already"
    (audited,) = await rows(clinic, "select * from audit_event where action = 'attachment.close'")
    assert (audited["actor_kind"], audited["object_id"]) == ("station", visit.attachment)


async def test_a_run_that_never_connected_is_timed_by_the_one_that_did(clinic: Any, support: Any) -> None:
    station = await clinic.station(skew_us=HOUR)
    await timed(clinic, support, station)
    one = person(station, source=str(uuid4()))
    assert (await answered(station, one))[0] == "kept"
    assert near((await interval(clinic, one["attachment"]))[0], one["from_us"] - HOUR)
    ahead = person(station, from_us=station.stamp() + 9 * HOUR)
    assert (await answered(station, ahead))[0] == "kept"
    assert (await interval(clinic, ahead["attachment"]))[0] <= support.now_us(), "never later than now"


MALFORMED: list[dict[str, Any]] = [
    {"name": ""}, {"name": "   "}, {"name": "Demo\x00"}, {"name": "Demo\nPatient"}, {"name": "x" * 201},
    {"name": "Demo \u202e"}, {"name": "Demo \x9b"}, {"name": None}, {"birth_year": 1800}, {"birth_year": "1951"},
    {"birth_year": 2500}, {"patient": "x"}, {"source": None}, {"from_us": "0"}, {"from_us": 2**62}, {"to_us": 1},
    {"to_source": 5},
]


async def test_what_makes_no_sense_is_refused_by_name_and_leaves_nothing(clinic: Any, support: Any) -> None:
    station = await clinic.station()
    await timed(clinic, support, station)
    for change in MALFORMED:
        code, said = await answered(station, person(station, **change))
        assert code == "message_invalid", change
        assert "Demo" not in str(said)
    assert (await answered(station, person(station, from_us=station.stamp() - 800 * 24 * HOUR)))[0] == "frame_time"
    assert (await answered(station, person(station, from_us=-(2**62) + 1)))[0] == "frame_time"
    await station.send(person(station, attachment=7))
    await station.said("error", lambda one: one["error"]["params"].get("field", "").endswith("attachment"))
    assert not await rows(clinic, "select 1 from attachment") and len(await rows(clinic, "select 1 from patient")) == 2
    assert (await answered(station, person(station)))[0] == "kept", "and the line goes on"
    wave = support.ecg(1, support.now_us())
    await clinic.announced(station, wave, None)
    await station.socket.send_bytes(wave.packed(0))
    await clinic.acked(station, 1, 0)


async def test_without_a_clock_nothing_is_kept(clinic: Any) -> None:
    station = await clinic.station(answers_clock=False)
    assert (await answered(station, person(station)))[0] == "clock_unknown"


async def test_what_is_anothers_is_refused_and_audited(clinic: Any, support: Any, stranger: Any) -> None:
    station, other = await clinic.station(), await clinic.station(key=stranger.station_key)
    await timed(clinic, support, station)
    await timed(clinic, support, other, stranger.station_id)
    theirs, ours = person(other), person(station)
    assert (await answered(other, theirs))[0] == "kept"
    assert (await answered(station, ours))[0] == "kept"
    seed = clinic.server.seed
    made = await attach(clinic)  # ours ends; this one a person opened
    ago_us = station.stamp() - 60 * SECOND
    await write_fix(clinic.server.database, other.source, stranger.station_id, Fix(support.now_us(), 0, 9), None)
    forged = [
        {**theirs, "source": str(station.source)}, {**ours, "patient": str(uuid4())},
        {**ours, "patient": theirs["patient"]}, person(station, patient=theirs["patient"]),
        person(station, patient=str(seed.patients[0])), person(station, source=str(other.source)),
        person(station, to_us=station.stamp(), to_source=str(other.source)),
        person(station, attachment=made["id"], patient=str(seed.patients[0]), to_us=station.stamp()),
        # Wholly inside what is another's already, or nothing at all.
        person(station, from_us=ours["from_us"] + SECOND, to_us=ours["from_us"] + 2 * SECOND),
        person(station, from_us=ago_us, to_us=ago_us),
        person(station, source=str(uuid4()), to_us=station.stamp() - 90 * SECOND, to_source=str(station.source)),
    ]
    count = await rows(clinic, "select (select count(*) from patient), (select count(*) from attachment)")
    for message in forged:
        assert (await answered(station, message))[0] == "attachment_refused", message
    denied = await rows(clinic, "select * from audit_event where action = 'station_socket.provisional'"
                                " and outcome = 'deny'")
    assert [row["object_id"] for row in denied] == [message["attachment"] for message in forged]
    assert count == await rows(clinic, "select (select count(*) from patient), (select count(*) from attachment)")
    assert (await interval(clinic, made["id"]))[1] is None and (await interval(clinic, theirs["attachment"]))[1] is None
    assert not station.closed.is_set() and not other.closed.is_set()


async def test_a_flood_is_answered_one_by_one(clinic: Any, support: Any) -> None:
    station = await clinic.station()
    await timed(clinic, support, station)
    many = [person(station, from_us=station.stamp() - SECOND + at * 1000) for at in range(5 * ENTERED)]
    for one in many:
        await station.send(one)
    names = {one["attachment"] for one in many}
    await support.until(
        lambda: len([one for one in station.messages if one.get("attachment") in names
                     and one["type"] in ("error", "provisional_kept")]) == len(many), "every answer")
    codes = {one["error"]["code"] for one in station.messages if one["type"] == "error"}
    assert codes <= {"provisional_full"} and not station.closed.is_set()


@pytest.mark.parametrize("told", [True, False])
async def test_said_again_after_it_was_merged_it_is_known(clinic: Any, support: Any, told: bool) -> None:
    station = await clinic.station()
    await timed(clinic, support, station)
    one = person(station)
    assert (await answered(station, one))[0] == "kept"
    if told:
        assert (await answered(station, {**one, "to_us": station.stamp()}))[0] == "ended"
    else:
        assert (await clinic.operator.post(f"/api/v1/attachments/{one['attachment']}/close"))[0] == 200
    into = str(clinic.server.seed.patients[0])
    status, answer = await clinic.operator.post(
        f"/api/v1/patients/{one['patient']}/merge", {"into": into, "reason": "same_person"})
    assert status == 200, answer
    assert (await answered(station, one))[0] == "ended"
    wave = support.ecg(1, one["from_us"])
    await clinic.announced(station, wave, one["attachment"])
    await station.socket.send_bytes(wave.packed(0))
    await clinic.acked(station, 1, 0)


async def test_what_began_and_ended_without_a_line_is_listed_and_can_be_reviewed(clinic: Any, support: Any) -> None:
    """Nobody had a visit with this patient: a clinician opens the review of what was measured all the same."""
    station = await clinic.station()
    await timed(clinic, support, station)
    begin = support.now_us() - 60 * SECOND
    wave = support.ecg(9, begin + SECOND, 4.0)
    one = person(station, from_us=begin, to_us=begin + 30 * SECOND)
    assert (await answered(station, one))[0] == "ended"
    for who in (clinic.clinician, clinic.operator):
        assert await who.get("/api/v1/attachments/unvisited") == (200, {"intervals": []}), "nothing was measured yet"
    await clinic.announced(station, wave, one["attachment"], live_from=wave.chunks)
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 9, wave.chunks - 1)
    status, listed = await clinic.clinician.get("/api/v1/attachments/unvisited")
    assert status == 200
    (shown,) = listed["intervals"]
    assert (shown["id"], shown["patient"]["name"]) == (one["attachment"], one["name"])
    assert shown["patient"]["id"] == one["patient"] and shown["station"]["id"] == clinic.server.seed.station_id

    path = f"/api/v1/attachments/{one['attachment']}/visit"
    me = str(clinic.server.seed.accounts["clinician"])
    status, answer = await clinic.clinician.post(path, {"clinician_id": str(clinic.server.seed.accounts["operator"])})
    assert status == 400 and answer["error"]["params"] == {"field": "clinician_id"}
    status, visit = await clinic.clinician.post(path, {"clinician_id": me})
    assert status == 201 and (visit["state"], visit["patient"]["id"]) == ("ended", one["patient"])
    assert (await clinic.clinician.post(path, {"clinician_id": me}))[0] == 409, "it has a visit now"
    assert await clinic.clinician.get("/api/v1/attachments/unvisited") == (200, {"intervals": []})
    status, review = await clinic.clinician.get(f"/api/v1/consultations/{visit['id']}/review")
    assert status == 200
    (stream,) = review["streams"]
    assert stream["kind"] == "ecg" and sum(part["n"] for part in stream["segments"]) == wave.samples.shape[1]
    status, _ = await clinic.clinician.post(f"/api/v1/consultations/{visit['id']}/sign", {"text": "Demo note"})
    assert status in (200, 201), "and it is written down and signed like any other"
    audited = await rows(clinic, "select action, outcome from audit_event where action = 'attachment.visit'"
                                 " and outcome = 'permit' and object_id = $1", one["attachment"])
    assert len(audited) == 1


async def test_an_interval_that_is_not_over_is_no_visit_yet(clinic: Any, support: Any) -> None:
    made = await attach(clinic)
    me = str(clinic.server.seed.accounts["clinician"])
    status, _ = await clinic.operator.post(f"/api/v1/attachments/{made['id']}/visit", {"clinician_id": me})
    assert status == 409
    assert await clinic.clinician.get("/api/v1/attachments/unvisited") == (200, {"intervals": []})
