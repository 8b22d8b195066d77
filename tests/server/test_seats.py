"""Who is let in: the clinician decides about every browser but the first of a patient's ticket, and once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from yarl import URL

from telemed.http import keys
from telemed.identity import sign_ins
from telemed.identity.policy import GUESTS


async def decide(client: Any, guest: Any, decision: str) -> tuple[int, Any]:
    _, visit = await guest.get("/api/v1/visit")
    path = f"/api/v1/consultations/{visit['consultation']}/seats/{guest.seat}/{decision}"
    status, answer = await client.post(path)
    return status, answer


async def state_of(guest: Any) -> str:
    status, answer = await guest.get("/api/v1/visit")
    assert status == 200, answer
    state: str = answer["seat_state"]
    return state


async def at_the_door(server: Any, role: str = "relative", consultation_id: UUID | None = None) -> tuple[Any, str]:
    """A guest that has joined and its ticket's token."""
    token = await server.ticket(consultation_id or await server.visit(), role)
    guest = await server.guest()
    assert (await guest.join(token))[0] == 201
    return guest, token


async def test_admitting_the_consultation_lets_in_the_first_browser_of_the_patients_ticket_alone(server: Any) -> None:
    consultation_id = await server.visit()
    token = await server.ticket(consultation_id)
    first, second = await server.guest(), await server.guest()
    await first.join(token)
    await second.join(token)
    others = [(await at_the_door(server, role, consultation_id))[0] for role in GUESTS[1:]]
    clinician = await server.client("clinician")
    assert (await clinician.post(f"/api/v1/consultations/{consultation_id}/admit"))[0] == 200
    assert await state_of(first) == "admitted"
    assert [await state_of(one) for one in (second, *others)] == ["waiting"] * 4
    late, _ = await at_the_door(server, "patient", consultation_id)  # it is live already
    assert await state_of(late) == "waiting"


TABLE = {
    # (what it is, the decision): what it becomes, or the refusal's state
    ("waiting", "admit"): "admitted", ("waiting", "refuse"): "refused", ("waiting", "remove"): None,
    ("admitted", "admit"): "admitted", ("admitted", "refuse"): None, ("admitted", "remove"): "removed",
    ("refused", "admit"): None, ("refused", "refuse"): "refused", ("refused", "remove"): None,
    ("removed", "admit"): None, ("removed", "refuse"): None, ("removed", "remove"): "removed",
    ("left waiting", "admit"): None, ("left waiting", "refuse"): "refused", ("left waiting", "remove"): None,
    ("left admitted", "admit"): None, ("left admitted", "refuse"): None, ("left admitted", "remove"): "removed",
}
WAY = {
    "waiting": (), "admitted": ("admit",), "refused": ("refuse",), "removed": ("admit", "remove"),
    "left waiting": ("leave",), "left admitted": ("admit", "leave"),
}


@pytest.mark.parametrize(("state", "decision"), TABLE)
async def test_every_decision_in_every_state(server: Any, state: str, decision: str) -> None:
    guest, _ = await at_the_door(server)
    clinician = await server.client("clinician")
    for step in WAY[state]:
        if step == "leave":
            assert (await guest.post("/api/v1/visit/leave"))[0] == 200
        else:
            assert (await decide(clinician, guest, step))[0] == 200
    expected = TABLE[state, decision]
    status, answer = await decide(clinician, guest, decision)
    if expected is None:
        now = state.split(maxsplit=1)[0]
        assert (status, answer) == (409, {"error": {"code": "seat_decided", "params": {"state": now}}})
        assert await state_of(guest) == now
    else:
        assert (status, answer["state"], answer["id"]) == (200, expected, guest.seat)
        assert await decide(clinician, guest, decision) == (200, answer)  # the same decision twice, the same answer
        assert await state_of(guest) == expected


async def test_two_clinicians_that_admit_at_once_agree(server: Any) -> None:
    guest, _ = await at_the_door(server)
    clinicians = [await server.client("clinician") for _ in range(2)]
    answers = await asyncio.gather(*(decide(one, guest, "admit") for one in clinicians))
    assert [(status, answer["state"]) for status, answer in answers] == [(200, "admitted")] * 2


async def test_of_two_that_decide_otherwise_at_once_one_is_told_what_was_decided(server: Any) -> None:
    for _ in range(5):
        guest, _ = await at_the_door(server)
        clinicians = [await server.client("clinician") for _ in range(2)]
        answers = await asyncio.gather(
            decide(clinicians[0], guest, "admit"), decide(clinicians[1], guest, "refuse")
        )
        assert sorted(status for status, _ in answers) == [200, 409]
        (won,), (lost,) = ([one for status, one in answers if status == wanted] for wanted in (200, 409))
        assert lost["error"] == {"code": "seat_decided", "params": {"state": won["state"]}}
        assert await state_of(guest) == won["state"]


@pytest.mark.parametrize("decision", ["refuse", "remove"])
async def test_whoever_was_sent_away_does_not_sneak_in(server: Any, decision: str) -> None:
    guest, token = await at_the_door(server)
    clinician = await server.client("clinician")
    if decision == "remove":
        await decide(clinician, guest, "admit")
    assert (await decide(clinician, guest, decision))[0] == 200
    for _ in range(3):
        assert await guest.join(token) == (403, {"error": {"code": "seat_refused", "params": {}}})
    assert await state_of(guest) == {"refuse": "refused", "remove": "removed"}[decision]
    for attempt in (guest.post("/api/v1/visit/leave"), guest.get(f"/api/v1/consultations/{uuid4()}/chat")):
        assert (await attempt)[0] in (401, 404)
    without_cookie = await server.guest()  # is a new device, and waits like any
    _, answer = await without_cookie.join(token)
    assert (answer["device"], answer["seat_state"]) == (2, "waiting")


async def test_two_tabs_that_joined_at_once_come_back_as_the_first(server: Any) -> None:
    consultation_id = await server.visit()
    token = await server.ticket(consultation_id)
    browser = await server.guest()
    answers = await asyncio.gather(*(browser.join(token) for _ in range(2)))
    first, second = sorted((answer for _, answer in answers), key=lambda answer: answer["device"])
    assert (first["device"], second["device"]) == (1, 2)
    assert (await browser.join(token))[1]["seat"] == first["seat"]
    clinician = await server.client("clinician")
    path = f"/api/v1/consultations/{consultation_id}"
    assert (await clinician.post(f"{path}/admit"))[0] == 200
    assert (await clinician.post(f"{path}/seats/{second['seat']}/refuse"))[0] == 200
    status, answer = await browser.join(token)
    assert (status, answer["seat"], answer["seat_state"]) == (201, first["seat"], "admitted")


async def test_whoever_left_comes_back_as_what_it_was(server: Any) -> None:
    guest, token = await at_the_door(server)
    seat = guest.seat
    clinician = await server.client("clinician")
    for was in ("waiting", "admitted"):
        if was == "admitted":
            assert (await decide(clinician, guest, "admit"))[0] == 200
        status, answer = await guest.post("/api/v1/visit/leave")
        assert (status, answer["seat_state"]) == (200, "left")
        assert (await guest.post("/api/v1/visit/leave"))[0] == 401
        assert await state_of(guest) == "left"
        status, answer = await guest.join(token)
        assert (status, answer["seat"], answer["device"], answer["seat_state"]) == (201, seat, 1, was)


async def test_who_may_decide(server: Any, stranger: Any) -> None:
    consultation_id = await server.visit()
    guest, _ = await at_the_door(server, "relative", consultation_id)
    inside, _ = await at_the_door(server, "second_clinician", consultation_id)
    assert (await decide(await server.client("clinician"), inside, "admit"))[0] == 200
    path = f"/api/v1/consultations/{consultation_id}/seats/{guest.seat}/admit"
    for role, status in (("operator", 403), ("administrator", 403), ("auditor", 403)):
        assert (await (await server.client(role)).post(path))[0] == status, role
    elsewhere = await server.client("clinician", stranger)
    assert (await elsewhere.post(path))[0] == 404
    for one in (guest, inside):  # a guest does not let anybody in, not even itself
        status, answer = await one.post(path)
        assert (status, answer["error"]["code"]) == (403, "forbidden")
    assert await state_of(guest) == "waiting"


async def test_a_seat_of_another_visit_or_of_none_is_not_found(server: Any) -> None:
    here = await server.visit()
    guest, _ = await at_the_door(server)
    clinician = await server.client("clinician")
    for seat in (guest.seat, str(uuid4()), "x", "0" * 3000):
        status, answer = await clinician.post(f"/api/v1/consultations/{here}/seats/{seat}/admit")
        assert (status, answer["error"]["code"]) == (404, "not_found")
    assert await state_of(guest) == "waiting"


async def test_nobody_is_let_into_a_visit_that_is_over(server: Any) -> None:
    guest, _ = await at_the_door(server)
    async with server.database.connection() as connection:
        await connection.execute("update consultation set state = 'ended'")
    status, answer = await decide(await server.client("clinician"), guest, "admit")
    assert (status, answer["error"]) == (409, {"code": "state_refused", "params": {"state": "ended"}})


async def test_a_decision_is_told_and_recorded(server: Any) -> None:
    consultation_id = await server.visit()
    guest, _ = await at_the_door(server, "relative", consultation_id)
    rooms, clinician = server.app[keys.ROOMS], await server.client("clinician")
    organisation = server.seed.organisation_id
    with (
        rooms.listen(f"seat:{guest.seat}") as seat, rooms.listen(f"consultation:{consultation_id}") as room,
        rooms.listen(f"organisation:{organisation}") as waiting,
    ):
        assert (await decide(clinician, guest, "admit"))[0] == 200
        assert seat.queue.get_nowait() == {"type": "seat", "state": "admitted"}
        assert {"type": "people"} in [room.queue.get_nowait() for _ in range(room.queue.qsize())]
        assert waiting.queue.get_nowait() == {"type": "waiting"}
    async with server.database.connection() as connection:
        row = await connection.fetchrow(
            "select actor_kind, object_id, patient_id, detail from audit_event where action = 'seat.admit'"
        )
        joined = await connection.fetchrow(
            "select actor_kind, actor_id, object_id, detail from audit_event where action = 'visit.join'"
        )
    assert (row["actor_kind"], row["object_id"], row["patient_id"]) == (
        "account", str(consultation_id), server.seed.patients[0]
    )
    assert guest.seat in row["detail"]
    assert (joined["actor_kind"], joined["actor_id"]) == ("guest", guest.seat)


async def proofs(server: Any, guest: Any) -> set[bytes]:
    token = next(one.value for one in guest.http.cookie_jar if guest.seat in one.key)
    async with server.database.connection() as connection:
        return await sign_ins.proofs_alive(connection, {sign_ins.token_hash(token)})


async def test_a_guests_pictures_live_while_its_seat_is_admitted(server: Any) -> None:
    guest, token = await at_the_door(server)
    clinician = await server.client("clinician")
    assert await proofs(server, guest) == set()
    await decide(clinician, guest, "admit")
    assert len(await proofs(server, guest)) == 1
    for undo, statement in (
        ("update ticket set expires_at = expires_at + interval '2 days'",
         "update ticket set expires_at = expires_at - interval '2 days'"),
        ("update ticket set revoked_at = null", "update ticket set revoked_at = now()"),
        ("update consultation set state = 'live'", "update consultation set state = 'ended'"),
    ):
        async with server.database.connection() as connection:
            await connection.execute(statement)
            assert await proofs(server, guest) == set(), statement
            await connection.execute(undo)
        assert len(await proofs(server, guest)) == 1
    await guest.post("/api/v1/visit/leave")
    assert await proofs(server, guest) == set()
    await guest.join(token)
    assert len(await proofs(server, guest)) == 1
    await decide(clinician, guest, "remove")
    assert await proofs(server, guest) == set()


async def test_a_cookie_of_any_shape_or_of_another_seat_is_just_nobody(server: Any) -> None:
    consultation_id = await server.visit()
    guest, _ = await at_the_door(server, "relative", consultation_id)
    other, _ = await at_the_door(server, "interpreter", consultation_id)
    token = next(one.value for one in guest.http.cookie_jar if guest.seat in one.key)
    client = await server.anonymous()
    for value in ("", "x", "A" * 43, "é" * 43, "A" * 4000, "%00" * 43):
        headers = {"Cookie": f"telemed-seat-{guest.seat}={value}"}
        async with client.http.get(f"/api/v1/visit?as={guest.seat}", headers=headers) as response:
            assert response.status == 401
    for name in (f"telemed-seat-{other.seat}", "telemed", f"__Host-telemed-seat-{guest.seat}"):
        seat = other.seat if other.seat in name else guest.seat
        async with client.http.get(f"/api/v1/visit?as={seat}", headers={"Cookie": f"{name}={token}"}) as response:
            assert response.status == 401
    for seat in ("", "x", "0" * 3000, "%00", str(uuid4()), f"{guest.seat}&as={guest.seat}"):
        assert (await client.get(f"/api/v1/visit?as={seat}"))[0] == 401
        guest.http.cookie_jar.update_cookies({f"telemed-seat-{uuid4()}": token}, URL(server.url))
        assert (await asked(guest, seat)) == 401


async def asked(guest: Any, seat: str) -> int:
    async with guest.http.get(f"/api/v1/visit?as={seat}") as response:
        status: int = response.status
        return status


async def test_another_site_asks_nothing_in_a_guests_name(server: Any) -> None:
    guest, token = await at_the_door(server)
    path = f"/api/v1/visit/leave?as={guest.seat}"
    for headers in ({"Origin": "https://elsewhere.example"}, {}, {"Sec-Fetch-Site": "cross-site"}):
        async with guest.http.post(path, headers=headers) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "cross_site")
    wanted = {"ticket": token, "language": "bg"}
    async with guest.http.post("/api/v1/visits", json=wanted, headers={"Origin": "null"}) as response:
        assert response.status == 403
    assert await state_of(guest) == "waiting"
