"""Recording a real call through a real server and its relay process: consent, sealing, playing, erasure."""

# ruff: noqa: F811  (a test takes a fixture by its name)

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from uuid import UUID, uuid4

import pytest

from telemed.consultation.people import Present
from telemed.http import keys
from telemed.patient import merging, patients
from telemed.patient.patients import Person
from telemed.vitals.clock import Fix, server_us
from telemed.vitals.fixes import write_fix
from tests.media.calls import SDP, Call, call, code  # noqa: F401  (call is a fixture)
from tests.media.recorded import decoded, demuxed, follows, frames_of
from tests.server.conftest import server, stranger  # noqa: F401  (fixtures)

CONSENT = {"purpose": "recording", "version": "1", "language": "bg", "given_by": "patient"}


async def consent(call: Call, *, given: bool = True, purpose: str = "recording") -> None:
    patient = call.server.seed.patients[0]
    said = {**CONSENT, "given": given, "purpose": purpose, "consultation_id": call.room}
    status, answer = await call.clinician.post(f"/api/v1/patients/{patient}/consents", said)
    assert status == 201, answer


async def switch(call: Call, on: bool, client: Any = None) -> tuple[int, Any]:
    return await (client or call.clinician).post(f"/api/v1/consultations/{call.room}/recording", {"on": on})


async def recordings(call: Call) -> list[Any]:
    status, answer = await call.clinician.get(f"/api/v1/consultations/{call.room}/recordings")
    assert status == 200, answer
    return list(answer["recordings"])


async def audited(call: Call, action: str) -> list[Any]:
    async with call.server.database.connection() as connection:
        return list(await connection.fetch("select * from audit_event where action = $1 order by id", action))


async def parts(call: Call) -> int:
    async with call.server.database.connection() as connection:
        return int(await connection.fetchval("select count(*) from recording_part"))


async def recorded_parts(call: Call, least: int) -> None:
    async with asyncio.timeout(30):
        while await parts(call) < least:  # noqa: ASYNC110  (a row of another process's making)
            await asyncio.sleep(0.05)


async def ended(call: Call) -> None:
    """Every recording's end is written."""
    async with asyncio.timeout(10):
        while any(one["ended_at"] is None for one in await recordings(call)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def published(call: Call, peer: Any, *tracks: Any, wait: Any) -> Any:
    """A station that sends these tracks."""
    station = peer()
    for track in tracks:
        station.pc.addTransceiver(track, direction="sendonly")
    status, _, answer = await call.post(f"/whip/{call.room}", await station.offer())
    assert status == 201
    await station.accept(answer)
    await wait(lambda: call.media.publications(call.room), "it is published")
    return station


async def fetched(call: Call, recording: str, **headers: str) -> tuple[int, Any, bytes]:
    async with call.clinician.http.get(f"/api/v1/recordings/{recording}", headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_nothing_is_recorded_without_consent_and_every_switch_is_audited(call: Call, stranger: Any) -> None:
    status, refusal = await switch(call, True)
    assert (status, refusal["error"]["code"]) == (409, "consent_missing")
    await consent(call, purpose="care")
    await consent(call, purpose="teaching")
    assert (await switch(call, True))[0] == 409, "another consent is none"
    await consent(call)
    await consent(call, given=False)
    assert (await switch(call, True))[0] == 409, "the last word counts"
    await consent(call)
    other = await call.server.client("clinician", stranger)
    administrator = await call.server.client("administrator")
    nobody = await call.server.anonymous()
    expected = [(call.operator, 403), (administrator, 403), (other, 404), (nobody, 401)]
    for client, status in expected:
        assert (await switch(call, True, client))[0] == status
        assert (await client.get(f"/api/v1/consultations/{call.room}/recordings"))[0] == status
    assert (await call.clinician.get(f"/api/v1/consultations/{call.room}"))[1]["recording_since"] is None

    with call.server.app[keys.ROOMS].listen(f"consultation:{call.room}") as room:
        status, shown = await switch(call, True)
        assert (status, shown["recording_consent"]) == (200, True)
        told = await asyncio.wait_for(room.queue.get(), 5)
        assert told["consultation"]["recording_since"] == shown["recording_since"] is not None
        assert (await switch(call, True))[1]["recording_since"] == shown["recording_since"], "again changes nothing"
        status, shown = await switch(call, False)
        assert (status, shown["recording_since"]) == (200, None)
    rows = await audited(call, "recording.switch")
    assert [row["outcome"] for row in rows].count("deny") == 4
    assert [row["outcome"] for row in rows].count("permit") == 3, "what was refused for want of consent was not done"
    assert all(row["patient_id"] == call.server.seed.patients[0] for row in rows if row["outcome"] == "permit")

    assert (await call.clinician.post(f"/api/v1/consultations/{call.room}/end"))[0] == 200
    status, refusal = await switch(call, True)
    assert (status, refusal["error"]["code"]) == (409, "state_refused")
    assert await recordings(call) == []


async def test_a_guest_is_told_that_it_records(call: Call) -> None:
    await consent(call)
    guest = await call.server.guest()
    assert (await guest.join(await call.server.ticket(UUID(call.room), "relative")))[0] == 201
    assert (await guest.get("/api/v1/visit"))[1]["recording_since"] is None
    since = (await switch(call, True))[1]["recording_since"]
    assert (await guest.get("/api/v1/visit"))[1]["recording_since"] == since
    assert (await switch(call, False, guest))[0] == 403


async def test_a_call_is_recorded_sealed_and_played_back_byte_for_byte(
    call: Call, wait: Any, peer: Any, picture: Any, tone: Any
) -> None:
    await consent(call)
    station = await published(call, peer, picture(), tone(), wait=wait)
    assert (await switch(call, True))[0] == 200
    await recorded_parts(call, 6)
    running = (await recordings(call))[0]
    assert running["ended_at"] is None
    status, _, text = await fetched(call, running["id"])
    assert (status, code(text.decode())) == (409, "recording_running")
    assert (await switch(call, False))[0] == 200
    kept_parts = await parts(call)
    shown = (await recordings(call))[0]
    assert shown["ended_why"] == "switched_off"
    assert (shown["participant"], shown["by"], shown["source"]) == (
        f"station:{call.server.seed.station_id}", "station", "camera"
    )
    assert (shown["picture"], shown["sound"], shown["picture_left_out"]) == (True, True, False)
    assert (shown["error_us"], shown["aligned"]) == (None, False), "no program of the station told its clock"

    status, headers, data = await fetched(call, shown["id"])
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "video/webm", "no-store")
    found = demuxed(data)
    sent_audio = [one.payload for one in station.sent if one.payload_type == station.payload_type("audio")]
    assert len(found["video"]) > 20
    assert len(found["audio"]) > 80
    assert follows(found["video"], frames_of(station))
    assert follows(found["audio"], sent_audio)
    assert decoded(data) == (len(found["video"]), shown["length_ms"])
    async with call.server.database.connection() as connection:
        rows = await connection.fetch("select sealed from recording_part")
    sealed = b"".join(bytes(row["sealed"]) for row in rows)
    assert len(rows) == kept_parts
    assert len(sealed) > sum(map(len, found["video"]))
    for payload in (*found["video"], *found["audio"]):
        assert payload[:24] not in sealed
    await station.close()
    assert await parts(call) == kept_parts, "nothing is added once it is off"


async def test_any_stretch_is_given_and_opening_is_audited_once(
    call: Call, wait: Any, peer: Any, picture: Any
) -> None:
    await consent(call)
    station = await published(call, peer, picture(), wait=wait)
    assert (await switch(call, True))[0] == 200
    await recorded_parts(call, 4)
    assert (await switch(call, False))[0] == 200
    await station.close()
    recording = (await recordings(call))[0]["id"]
    _, headers, whole = await fetched(call, recording)
    size = len(whole)
    assert headers["Accept-Ranges"] == "bytes"
    cuts = sorted({0, 1, 47, size // 3, size // 2, size - 1, size})
    for begin, past in itertools.combinations(cuts, 2):
        status, headers, data = await fetched(call, recording, Range=f"bytes={begin}-{past - 1}")
        assert (status, headers["Content-Range"]) == (206, f"bytes {begin}-{past - 1}/{size}")
        assert data == whole[begin:past]
    assert (await fetched(call, recording, Range="bytes=10-"))[2] == whole[10:]
    assert (await fetched(call, recording, Range="bytes=-10"))[2] == whole[-10:]
    for odd in ("bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=9-2"):
        status, _, data = await fetched(call, recording, Range=odd)
        assert (status, data == whole) == (200, True)
    for beyond in (f"bytes={size}-", "bytes=-0"):
        status, _, text = await fetched(call, recording, Range=beyond)
        assert (status, code(text.decode())) == (416, "range_refused")
    rows = await audited(call, "recording.read")
    assert [row["outcome"] for row in rows] == ["permit"]
    assert (await call.operator.get(f"/api/v1/recordings/{recording}"))[0] == 403
    assert [row["outcome"] for row in await audited(call, "recording.read")] == ["permit", "deny"]
    assert (await call.clinician.get(f"/api/v1/recordings/{uuid4()}"))[0] == 404


async def test_withdrawing_the_consent_stops_at_once(call: Call, wait: Any, peer: Any, picture: Any) -> None:
    await consent(call)
    station = await published(call, peer, picture(), wait=wait)
    assert (await switch(call, True))[0] == 200
    await recorded_parts(call, 2)
    with call.server.app[keys.ROOMS].listen(f"consultation:{call.room}") as room:
        await consent(call, given=False)
        stopped = await parts(call)
        told = await asyncio.wait_for(room.queue.get(), 5)
        assert (told["consultation"]["recording_since"], told["consultation"]["recording_consent"]) == (None, False)
    sent = len(station.sent)
    await wait(lambda: len(station.sent) > sent + 30, "the call goes on")
    assert await parts(call) == stopped
    assert [one["ended_why"] for one in await recordings(call)] == ["withdrawn"]
    assert (await switch(call, True))[0] == 409
    await station.close()


async def test_who_comes_back_is_recorded_on_as_another_recording_until_the_end(
    call: Call, wait: Any, peer: Any, picture: Any
) -> None:
    await consent(call)
    assert (await switch(call, True))[0] == 200
    for turn in (1, 2):
        station = await published(call, peer, picture(), wait=wait)
        before = await parts(call)
        await recorded_parts(call, before + 2)
        if turn == 1:
            await station.close()
            await wait(lambda: not call.media.publications(call.room), "it has left")
    assert (await call.clinician.post(f"/api/v1/consultations/{call.room}/end"))[0] == 200
    await ended(call)
    assert [one["ended_why"] for one in await recordings(call)] == ["left", "left"]
    assert (await call.clinician.get(f"/api/v1/consultations/{call.room}"))[1]["recording_since"] is None
    await station.close()


async def test_a_recording_stands_in_consultation_time_by_its_publishers_clock(
    call: Call, wait: Any, peer: Any, picture: Any
) -> None:
    """The clinician's page is three seconds ahead of the server; its picture's reports carry its own clock."""
    await consent(call)
    page, clinician = uuid4(), str(call.server.seed.accounts["clinician"])
    call.server.app[keys.PEOPLE].enter(UUID(call.room), Present(clinician, "account", "clinician", True, page))
    sender = peer()
    sender.pc.addTransceiver(picture(), direction="sendonly")
    status, _, answer = await call.post(f"/whip/{call.room}", await sender.offer(), "clinician")
    assert status == 201
    await sender.accept(answer)
    await wait(lambda: call.media.publications(call.room), "it is published")
    before_us = server_us()
    assert (await switch(call, True))[0] == 200
    await recorded_parts(call, 6)
    assert (await switch(call, False))[0] == 200
    await sender.close()
    assert (await recordings(call))[0]["aligned"] is False, "its clock is not known"
    # aiortc's reports carry this machine's clock, so a page of a clock that is right has an offset of nothing.
    await write_fix(call.server.database, page, None, Fix(before_us, 40, 7_000), None)
    shown = (await recordings(call))[0]
    assert (shown["aligned"], 7_000 <= shown["error_us"] < 10_000) == (True, True)
    assert abs(shown["began_us"] - before_us) < 3_000_000
    await write_fix(call.server.database, page, None, Fix(before_us + 1, 3_000_000, 20), before_us)
    shown = (await recordings(call))[0]
    assert (shown["aligned"], shown["error_us"]) == (False, None), "nothing comes before it was taken"


async def test_erasing_the_patient_makes_it_unreadable(call: Call, wait: Any, peer: Any, picture: Any) -> None:
    await consent(call)
    station = await published(call, peer, picture(), wait=wait)
    assert (await switch(call, True))[0] == 200
    await recorded_parts(call, 3)
    assert (await call.clinician.post(f"/api/v1/consultations/{call.room}/end"))[0] == 200
    await station.close()
    await ended(call)
    recording = (await recordings(call))[0]["id"]
    assert (await fetched(call, recording))[0] == 200
    administrator = await call.server.client("administrator")
    patient = call.server.seed.patients[0]
    assert (await administrator.delete(f"/api/v1/patients/{patient}/key"))[0] == 204
    status, _, text = await fetched(call, recording)
    assert (status, code(text.decode())) == (410, "key_destroyed")
    status, refusal = await call.clinician.get(f"/api/v1/consultations/{call.room}/recordings")
    assert (status, refusal["error"]["code"]) == (410, "key_destroyed")


async def test_merging_takes_the_recordings_along(call: Call, wait: Any, peer: Any, picture: Any) -> None:
    sealer, seed = call.server.app[keys.SEALER], call.server.seed
    await consent(call)
    station = await published(call, peer, picture(), wait=wait)
    assert (await switch(call, True))[0] == 200
    await recorded_parts(call, 3)
    assert (await call.clinician.post(f"/api/v1/consultations/{call.room}/end"))[0] == 200
    await station.close()
    await ended(call)
    recording = (await recordings(call))[0]["id"]
    before = (await fetched(call, recording))[2]
    async with call.server.database.transaction() as connection:
        await connection.execute("update patient set provisional = true where id = $1", seed.patients[0])
        into = await patients.create(connection, sealer, seed.organisation_id, Person("Somebody", 1950, ()))
        await merging.merge(connection, sealer, seed.patients[0], into.id)
    assert (await fetched(call, recording))[2] == before


@pytest.mark.parametrize("kind", ["audio"])
async def test_sound_alone_is_recorded_as_well(call: Call, wait: Any, peer: Any, tone: Any, kind: str) -> None:
    await consent(call)
    station = await published(call, peer, tone(), wait=wait)
    assert (await switch(call, True))[0] == 200
    await recorded_parts(call, 3)
    assert (await switch(call, False))[0] == 200
    shown = (await recordings(call))[0]
    assert (shown["picture"], shown["sound"]) == (False, True)
    assert len(demuxed((await fetched(call, shown["id"]))[2])[kind]) > 40
    await station.close()
