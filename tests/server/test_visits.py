"""A guest's own visit: arriving, the queue, consent, where the patient is; and what a guest never sees."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from telemed.consultation.tickets import ARRIVE_EARLY_MINUTES
from telemed.http import keys

VISIT = {
    "consultation", "seat", "seat_state", "role", "device", "state", "organisation", "clinician", "scheduled_at",
    "minutes", "server_now", "arrives_from", "position", "vitals_shared", "phone_since", "name", "language",
    "recording_since",
    "consent", "place",
}


async def joined(server: Any, consultation_id: UUID, role: str = "patient", name: str | None = None) -> Any:
    guest = await server.guest()
    status, answer = await guest.join(await server.ticket(consultation_id, role), name)
    assert status == 201, answer
    return guest


async def state_of(server: Any, consultation_id: UUID) -> str:
    async with server.database.connection() as connection:
        state: str = await connection.fetchval("select state from consultation where id = $1", consultation_id)
        return state


@pytest.mark.parametrize(
    ("minutes", "state"),
    [(-600, "waiting"), (0, "waiting"), (ARRIVE_EARLY_MINUTES - 1, "waiting"), (ARRIVE_EARLY_MINUTES + 1, "scheduled")],
)
async def test_a_patient_that_joins_arrives_from_an_hour_before(server: Any, minutes: int, state: str) -> None:
    consultation_id = await server.visit(in_minutes=minutes)
    async with server.database.connection() as connection:  # a ticket of yesterday evening's appointment would be over
        guest = await server.guest()
        token = await server.ticket(consultation_id)
        await connection.execute("update ticket set expires_at = now() + interval '1 day'")
    status, visit = await guest.join(token)
    assert (status, visit["state"], await state_of(server, consultation_id)) == (201, state, state)
    opens = datetime.fromisoformat(visit["arrives_from"])
    assert datetime.fromisoformat(visit["scheduled_at"]) - opens == timedelta(minutes=ARRIVE_EARLY_MINUTES)
    assert (datetime.fromisoformat(visit["server_now"]) >= opens) == (state == "waiting")


async def test_a_patient_that_was_early_arrives_when_it_joins_again(server: Any) -> None:
    consultation_id = await server.visit(in_minutes=90)
    token = await server.ticket(consultation_id)
    guest = await server.guest()
    _, early = await guest.join(token)
    assert (early["state"], early["position"]) == ("scheduled", None)
    async with server.database.connection() as connection:  # half an hour later
        await connection.execute("update consultation set scheduled_at = scheduled_at - interval '31 minutes'")
    _, later = await guest.join(token)
    assert (later["state"], later["seat"], later["position"]) == ("waiting", early["seat"], 0)
    async with server.database.connection() as connection:
        rows = await connection.fetch(
            "select actor_kind, patient_id from audit_event where action = 'consultation.arrive'"
        )
    assert [tuple(row) for row in rows] == [("system", server.seed.patients[0])]


@pytest.mark.parametrize("role", ["relative", "interpreter", "second_clinician"])
async def test_only_the_patient_arrives(server: Any, role: str) -> None:
    consultation_id = await server.visit(in_minutes=5)
    await joined(server, consultation_id, role)
    assert await state_of(server, consultation_id) == "scheduled"


async def test_devices_that_arrive_at_once_arrive_once(server: Any) -> None:
    consultation_id = await server.visit(in_minutes=5, at_station=True)
    token = await server.ticket(consultation_id)
    guests = [await server.guest() for _ in range(4)]
    rooms = server.app[keys.ROOMS]
    with rooms.listen(f"organisation:{server.seed.organisation_id}") as waiting:
        answers = await asyncio.gather(*(guest.join(token) for guest in guests))
        assert waiting.queue.qsize() > 0
    assert [status for status, _ in answers] == [201] * 4
    async with server.database.connection() as connection:
        count = await connection.fetchval("select count(*) from audit_event where action = 'consultation.arrive'")
    assert count == 1


async def test_a_move_and_a_join_at_once_wait_for_each_other(server: Any) -> None:
    operator = await server.client("operator")
    for _ in range(5):
        consultation_id = await server.visit(in_minutes=5, at_station=True)
        token = await server.ticket(consultation_id)
        guests = [await server.guest() for _ in range(3)]
        begins = (datetime.now().astimezone() + timedelta(minutes=30)).isoformat()
        path = f"/api/v1/consultations/{consultation_id}/move"
        (moved, _), *answers = await asyncio.gather(
            operator.post(path, {"scheduled_at": begins, "minutes": 30}), *(guest.join(token) for guest in guests)
        )
        assert moved in (200, 409)  # the patient may have come first
        assert [status for status, _ in answers] == [201] * 3


async def test_the_place_in_the_queue_counts_those_who_wait_longer_for_the_same_clinician(server: Any) -> None:
    first = await joined(server, await server.visit())
    anybodys = await joined(server, await server.visit(clinician=None))
    second = await joined(server, await server.visit())
    others = await joined(server, await server.visit(clinician="operator"))
    positions = [(await one.get("/api/v1/visit"))[1]["position"] for one in (first, anybodys, second, others)]
    # Those of nobody are ahead of everyone; those of a clinician are not ahead of those of nobody or another.
    assert positions == [0, 0, 2, 1]
    clinician = await server.client("clinician")
    _, visit = await first.get("/api/v1/visit")
    assert (await clinician.post(f"/api/v1/consultations/{visit['consultation']}/admit"))[0] == 200
    positions = [(await one.get("/api/v1/visit"))[1]["position"] for one in (first, anybodys, second, others)]
    assert positions == [None, 0, 1, 1]


async def test_a_guest_sees_its_own_visit_and_nothing_else(server: Any) -> None:
    consultation_id = await server.visit(at_station=True)
    guest = await joined(server, consultation_id, "interpreter", "Demo interpreter")
    status, visit = await guest.get("/api/v1/visit")
    assert status == 200
    assert set(visit) == VISIT
    assert (visit["name"], visit["clinician"], visit["place"], visit["consent"]) == (
        "Demo interpreter", "Demo clinician", None, False
    )
    assert "Demo patient" not in str(visit)
    for path in (
        f"/api/v1/consultations/{consultation_id}", "/api/v1/consultations", "/api/v1/patients", "/api/v1/audit",
        f"/api/v1/consultations/{consultation_id}/place", f"/api/v1/consultations/{consultation_id}/review",
        f"/api/v1/patients/{server.seed.patients[0]}", "/api/v1/me",
    ):
        status, answer = await guest.get(path)
        assert (status, answer["error"]["code"]) == (403, "forbidden"), path


async def test_a_name_is_the_tickets_until_one_is_given_and_stays_once_it_was_let_in(server: Any) -> None:
    consultation_id = await server.visit()
    token = await server.ticket(consultation_id, "relative", "Demo relative")
    guest = await server.guest()
    assert (await guest.join(token))[1]["name"] == "Demo relative"
    assert (await guest.join(token, "Демо роднина", "en"))[1]["name"] == "Демо роднина"
    _, again = await guest.join(token)
    assert (again["name"], again["language"]) == ("Демо роднина", "bg")
    clinician = await server.client("clinician")
    path = f"/api/v1/consultations/{consultation_id}/seats/{guest.seat}/admit"
    assert (await clinician.post(path))[1]["name"] == "Демо роднина"
    assert (await guest.join(token, "Demo clinician"))[1]["name"] == "Демо роднина"


GIVEN = {"given": True, "version": "care-1", "language": "bg"}


@pytest.mark.parametrize("role", ["patient", "relative"])
async def test_consent_is_an_event_without_a_witness(server: Any, role: str) -> None:
    guest = await joined(server, await server.visit(), role)
    for given in (True, True, False, True, False):
        status, visit = await guest.post("/api/v1/visit/consent", GIVEN | {"given": given})
        assert (status, visit["consent"]) == (200, given)
    async with server.database.connection() as connection:
        rows = await connection.fetch(
            "select purpose, given, version, given_by, witness_id, consultation_id from consent_event order by id"
        )
    assert [row["given"] for row in rows] == [True, True, False, True, False]
    assert {tuple(row)[:1] + tuple(row)[2:] for row in rows} == {
        ("care", "care-1", role, None, UUID(visit["consultation"]))
    }
    operator = await server.client("operator")
    _, listed = await operator.get(f"/api/v1/patients/{server.seed.patients[0]}/consents")
    assert [one["given"] for one in listed["consents"]] == [False, True, False, True, True]


@pytest.mark.parametrize("role", ["interpreter", "second_clinician"])
async def test_others_neither_consent_nor_say_where_the_patient_is(server: Any, role: str) -> None:
    guest = await joined(server, await server.visit(), role)
    for attempt in (
        guest.post("/api/v1/visit/consent", GIVEN), guest.send("PUT", "/api/v1/visit/place", PLACE),
    ):
        status, answer = await attempt
        assert (status, answer["error"]["code"]) == (403, "forbidden")


PLACE = {"address": "Демо село, ул. Първа 1", "phone": "+359 88 000 0000"}


async def test_where_the_patient_is_is_said_by_either_side_and_read_by_both(server: Any) -> None:
    consultation_id = await server.visit()
    patient, relative = await joined(server, consultation_id), await joined(server, consultation_id, "relative")
    interpreter = await joined(server, consultation_id, "interpreter")
    path = f"/api/v1/consultations/{consultation_id}/place"
    clinician, operator = await server.client("clinician"), await server.client("operator")
    assert await clinician.get(path) == (200, {"address": "", "phone": ""})
    status, visit = await patient.send("PUT", "/api/v1/visit/place", PLACE)
    assert (status, visit["place"]) == (200, PLACE)
    assert await clinician.get(path) == await operator.get(path) == (200, PLACE)
    assert (await relative.get("/api/v1/visit"))[1]["place"] == PLACE
    assert (await interpreter.get("/api/v1/visit"))[1]["place"] is None
    other = {"address": "Demo village 2", "phone": ""}
    assert await operator.send("PUT", path, other) == (200, other)
    assert (await patient.get("/api/v1/visit"))[1]["place"] == other
    for wrong, field in (
        ({"address": "x" * 301, "phone": ""}, "address"), ({"address": "x\ny", "phone": ""}, "address"),
        ({"address": "x"}, "phone"), ({"address": "\u202eevil", "phone": ""}, "address"),
        ({"address": "", "phone": "1\x9b2"}, "phone"),
        ({"address": "", "phone": "1" * 41}, "phone"), ({"address": None, "phone": ""}, "address"),
    ):
        for attempt in (
            patient.send("PUT", "/api/v1/visit/place", wrong), operator.send("PUT", path, wrong)
        ):
            status, answer = await attempt
            assert (status, answer["error"]["params"]) == (400, {"field": field}), wrong
    assert await clinician.get(path) == (200, other)


async def test_the_place_of_a_patient_whose_key_is_destroyed_is_gone(server: Any) -> None:
    consultation_id = await server.visit()
    operator = await server.client("operator")
    path = f"/api/v1/consultations/{consultation_id}/place"
    assert (await operator.send("PUT", path, PLACE))[0] == 200
    async with server.database.connection() as connection:
        await connection.execute(
            "update patient set key_wrapped = null, sealed = null, key_destroyed_at = now()"
        )
    for attempt in (operator.get(path), operator.send("PUT", path, PLACE)):
        status, answer = await attempt
        assert (status, answer["error"]["code"]) == (410, "key_destroyed")


async def test_a_visit_by_telephone_and_with_shared_vitals_says_so(server: Any) -> None:
    consultation_id = await server.visit()
    guest = await joined(server, consultation_id)
    clinician = await server.client("clinician")
    path = f"/api/v1/consultations/{consultation_id}"
    for step, wanted in (("admit", None), ("phone", {"on": True}), ("vitals", {"shared": True})):
        assert (await clinician.post(f"{path}/{step}", wanted))[0] == 200, step
    _, visit = await guest.get("/api/v1/visit")
    assert (visit["state"], visit["seat_state"], visit["vitals_shared"]) == ("live", "admitted", True)
    assert visit["phone_since"] is not None


async def test_a_second_browser_at_the_door_neither_learns_nor_says_where_the_patient_is(server: Any) -> None:
    consultation_id = await server.visit()
    token = await server.ticket(consultation_id)
    first, second = await server.guest(), await server.guest()
    assert [(await guest.join(token))[1]["device"] for guest in (first, second)] == [1, 2]
    place = {"address": "Demo street 1", "phone": "+359 38 000 001"}
    status, visit = await first.send("PUT", "/api/v1/visit/place", place)
    assert (status, visit["place"]) == (200, place)
    assert (await second.get("/api/v1/visit"))[1]["place"] is None
    assert (await second.send("PUT", "/api/v1/visit/place", place))[0] == 403
    consent = {"given": False, "version": "care-1", "language": "bg"}
    assert (await second.post("/api/v1/visit/consent", consent))[0] == 403
    clinician = await server.client("clinician")
    assert (await clinician.post(f"/api/v1/consultations/{consultation_id}/admit"))[0] == 200
    seat = f"/api/v1/consultations/{consultation_id}/seats/{second.seat}"
    assert (await second.get("/api/v1/visit"))[1]["place"] is None
    assert (await clinician.post(f"{seat}/admit"))[0] == 200
    assert (await second.get("/api/v1/visit"))[1]["place"] == place
    assert (await second.post("/api/v1/visit/consent", consent))[0] == 200
    assert (await clinician.post(f"{seat}/remove"))[0] == 200
    assert (await second.get("/api/v1/visit"))[1]["place"] is None
