"""Appointments and walk-ins, handover and second clinicians, telephone and shared vital signs, over HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from telemed.consultation.participations import SECOND
from telemed.http import keys
from telemed.identity import accounts


def at(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


async def colleague(server: Any, number: int = 2, roles: tuple[str, ...] = ("clinician",), seed: Any = None) -> str:
    """Another account of the seed's organisation; ``server.client(its id)`` signs it in."""
    seed = seed or server.seed
    async with server.database.connection() as connection:
        made = await accounts.create(
            connection, seed.organisation_id, f"demo-colleague-{number}-{uuid4().hex[:6]}",
            f"Demo clinician {number}", "-", roles,
        )
    seed.accounts[str(made.id)] = made.id
    return str(made.id)


async def make(server: Any, client: Any, **given: Any) -> dict[str, Any]:
    status, made = await client.post("/api/v1/consultations", {"patient_id": str(server.seed.patients[0]), **given})
    assert status == 201, made
    shown: dict[str, Any] = made
    return shown


async def live(server: Any, client: Any) -> str:
    made = await make(server, client)
    path = f"/api/v1/consultations/{made['id']}"
    assert (await client.post(f"{path}/admit"))[0] == 200
    return path


async def details(server: Any, action: str) -> list[dict[str, Any]]:
    async with server.database.connection() as connection:
        rows = await connection.fetch(
            "select detail from audit_event where action = $1 and outcome = 'permit' order by id", action
        )
    return [json.loads(row["detail"]) for row in rows]


async def test_an_appointment_is_made_moved_and_comes(server: Any) -> None:
    operator, clinician = await server.client("operator"), await server.client("clinician")
    when = at(days=3)
    made = await make(server, operator, station_id=server.seed.station_id, scheduled_at=when)
    assert (made["state"], made["walk_in"], made["minutes"], made["waiting_at"]) == ("scheduled", False, 30, None)
    assert datetime.fromisoformat(made["scheduled_at"]) == datetime.fromisoformat(when)
    assert (made["station"]["id"], made["patient_here"], made["second_clinicians"]) == (
        server.seed.station_id, False, [])
    path = f"/api/v1/consultations/{made['id']}"
    later = "2027-03-28T04:30:00+03:00"  # in the hour that Bulgaria's clocks skip: a moment all the same
    with server.app[keys.ROOMS].listen(f"organisation:{server.seed.organisation_id}") as told:
        status, moved = await operator.post(f"{path}/move", {"scheduled_at": later, "minutes": 45})
        assert (status, moved["scheduled_at"], moved["minutes"]) == (200, "2027-03-28T01:30:00Z", 45)
        assert told.queue.get_nowait() == {"type": "waiting"}
    async with server.database.connection() as connection:
        assert await connection.fetchval("select moved from consultation where id = $1", made["id"]) == 1
    status, answer = await clinician.post(f"{path}/admit")
    assert (status, answer["error"]) == (409, {"code": "state_refused", "params": {"state": "scheduled"}})

    body = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    _, attachment = await operator.post("/api/v1/attachments", body)
    status, there = await operator.post(f"{path}/arrive")
    assert (status, there["state"], there["waiting_at"] is not None) == (200, "waiting", True)
    assert there["attachment_id"] == attachment["id"]
    status, admitted = await clinician.post(f"{path}/admit")
    assert (status, admitted["state"], admitted["clinician"]["name"]) == (200, "live", "Demo clinician")


async def test_a_patient_at_home_needs_no_station(server: Any) -> None:
    clinician = await server.client("clinician")
    made = await make(server, clinician, station_id=None)
    assert (made["station"], made["state"], made["walk_in"]) == (None, "waiting", True)
    path = f"/api/v1/consultations/{made['id']}"
    assert (await clinician.post(f"{path}/admit"))[1]["state"] == "live"
    second = await make(server, clinician)  # any number of them are live at once: no station is taken
    assert (await clinician.post(f"/api/v1/consultations/{second['id']}/admit"))[1]["state"] == "live"
    status, review = await clinician.get(f"{path}/review")
    assert (status, review["consultation"]["station"]) == (200, None)
    status, ended = await clinician.post(f"{path}/end")
    assert (status, ended["state"], ended["attachment_id"]) == (200, "ended", None)


async def test_an_attachment_of_a_missed_appointment_closes(server: Any) -> None:
    operator = await server.client("operator")
    made = await make(server, operator, station_id=server.seed.station_id, scheduled_at=at(minutes=5))
    where = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    _, attachment = await operator.post("/api/v1/attachments", where | {"consultation_id": made["id"]})
    with server.app[keys.ROOMS].listen(f"station:{server.seed.station_id}") as station:
        assert (await operator.post(f"/api/v1/consultations/{made['id']}/miss"))[1]["state"] == "no_show"
        assert station.queue.get_nowait() == {"type": "attachment", "attachment": None}
    _, listed = await operator.get(f"/api/v1/attachments?station_id={server.seed.station_id}")
    assert [(one["id"], one["closed_reason"]) for one in listed["attachments"]] == [
        (attachment["id"], "consultation_ended")]


@pytest.mark.parametrize("wrong", [
    pytest.param(at(hours=-2), id="past"), pytest.param(at(days=732), id="far"),
    "1969-12-31T23:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00",
    "2027-01-01T10:00:00", "tomorrow", "", 1e300,
])
async def test_an_impossible_time_is_refused(server: Any, wrong: Any) -> None:
    operator = await server.client("operator")
    made = await make(server, operator, scheduled_at=at(minutes=-30))  # a little late is written down
    for path, body in (
        ("/api/v1/consultations", {"patient_id": str(server.seed.patients[0])}),
        (f"/api/v1/consultations/{made['id']}/move", {}),
    ):
        status, answer = await operator.post(path, {**body, "scheduled_at": wrong})
        assert (status, answer["error"]) == (400, {"code": "invalid_request", "params": {"field": "scheduled_at"}})
    for minutes in (0, 4, 481, -1, 2**40, "x", 10.5):
        status, answer = await operator.post(
            f"/api/v1/consultations/{made['id']}/move", {"scheduled_at": at(days=1), "minutes": minutes})
        assert (status, answer["error"]["params"]) == (400, {"field": "minutes"})


async def test_the_list_has_a_window(server: Any) -> None:
    operator = await server.client("operator")
    now = await make(server, operator)
    monday = await make(server, operator, scheduled_at=at(days=2))
    far = await make(server, operator, scheduled_at=at(days=40))

    async def listed(**window: str) -> list[str]:
        status, answer = await operator.get("/api/v1/consultations", params=window)
        assert status == 200, answer
        return [one["id"] for one in answer["consultations"]]

    assert await listed() == [far["id"], monday["id"], now["id"]]
    assert await listed(**{"from": at(days=1), "to": at(days=3)}) == [monday["id"]]
    assert await listed(**{"from": at(days=1)}) == [far["id"], monday["id"]]
    assert await listed(to=at(days=1)) == [now["id"]]
    assert await listed(to=at(days=50), state="scheduled") == [far["id"], monday["id"]]
    assert await listed(**{"from": monday["scheduled_at"], "to": far["scheduled_at"]}) == [monday["id"]]
    for query in ("from=x", "to=2027-01-01T10:00:00", "from=1", "since=2027-01-01T10:00:00Z", "from=%00"):
        status, answer = await operator.get(f"/api/v1/consultations?{query}")
        assert (status, answer["error"]["code"]) == (400, "invalid_request"), query


async def test_after_a_handover_the_former_sees_and_no_longer_acts(server: Any) -> None:
    clinician = await server.client("clinician")
    other = await colleague(server)
    taker = await server.client(other)
    path = await live(server, clinician)
    with server.app[keys.ROOMS].listen(f"consultation:{path.rpartition('/')[2]}") as room:
        status, shown = await clinician.post(f"{path}/handover", {"clinician_id": other})
        assert room.queue.get_nowait()["consultation"] == shown
    mine = str(server.seed.accounts["clinician"])
    assert (status, shown["clinician"]["id"], [one["id"] for one in shown["second_clinicians"]]) == (
        200, other, [mine])
    assert (await details(server, "consultation.handover"))[-1] == {"from": "live", "to": "live", "clinician": other}
    assert (await clinician.get(path))[0] == 200
    assert (await clinician.get(f"{path}/notes"))[0] == 200
    assert (await clinician.get(f"{path}/review"))[0] == 200
    assert [one["id"] for one in (await clinician.get("/api/v1/consultations"))[1]["consultations"]] == [shown["id"]]
    for what, body in (
        ("end", None), ("sign", {"text": "x"}), ("amend", {"text": "x", "reason": "y"}),
        ("handover", {"clinician_id": mine}), ("phone", {"on": True}), ("vitals", {"shared": True}),
        ("participants", {"account_id": other}),
    ):
        status, answer = await clinician.post(f"{path}/{what}", body)
        assert (status, answer["error"]["code"]) == (403, "forbidden"), what
    assert (await clinician.send("PUT", f"{path}/draft", {"text": "x"}))[0] == 403
    assert (await clinician.delete(f"{path}/participants/{mine}"))[0] == 403

    assert (await taker.post(f"{path}/end"))[0] == 200
    assert (await clinician.post(f"{path}/sign", {"text": "x"}))[0] == 403
    assert (await taker.post(f"{path}/sign", {"text": "x"}))[0] == 200
    assert (await clinician.get(f"{path}/notes"))[1]["notes"][0]["by"]["id"] == other


async def test_handing_back_ends_the_second_place_of_whoever_takes_it(server: Any) -> None:
    clinician, other = await server.client("clinician"), await colleague(server)
    taker, mine = await server.client(other), str(server.seed.accounts["clinician"])
    path = await live(server, clinician)
    await clinician.post(f"{path}/handover", {"clinician_id": other})
    status, shown = await taker.post(f"{path}/handover", {"clinician_id": mine})
    assert (status, shown["clinician"]["id"], [one["id"] for one in shown["second_clinicians"]]) == (200, mine, [other])
    assert (await taker.post(f"{path}/end"))[0] == 403
    status, answer = await clinician.post(f"{path}/handover", {"clinician_id": mine})
    assert (status, answer["error"]["code"]) == (409, "conflict")


async def test_only_an_enabled_clinician_of_ours_takes_part(server: Any, stranger: Any) -> None:
    clinician, administrator = await server.client("clinician"), await server.client("administrator")
    disabled, operator = await colleague(server, 3), str(server.seed.accounts["operator"])
    assert (await administrator.post(f"/api/v1/accounts/{disabled}/disable"))[0] == 200
    path = await live(server, clinician)
    for wrong in (disabled, operator, str(stranger.accounts["clinician"]), str(uuid4())):
        for what, field in (("handover", "clinician_id"), ("participants", "account_id")):
            status, answer = await clinician.post(f"{path}/{what}", {field: wrong})
            assert (status, answer["error"]) == (400, {"code": "invalid_request", "params": {"field": field}}), what
        status, answer = await clinician.post(
            "/api/v1/consultations", {"patient_id": str(server.seed.patients[0]), "clinician_id": wrong})
        assert (status, answer["error"]["params"]) == (400, {"field": "clinician_id"})
    other = await colleague(server, 4)
    _, answer = await clinician.get("/api/v1/colleagues")
    assert [one["id"] for one in answer["colleagues"]] == [str(server.seed.accounts["clinician"]), other]


async def test_a_second_clinician_is_invited_again_and_again_and_ended(server: Any) -> None:
    clinician, other = await server.client("clinician"), await colleague(server)
    second = await server.client(other)
    path = await live(server, clinician)
    assert (await second.get(path))[0] == 403
    answers = await asyncio.gather(*(
        clinician.post(f"{path}/participants", {"account_id": other}) for _ in range(5)
    ))
    assert {status for status, _ in answers} == {201}
    assert [one["id"] for one in answers[-1][1]["second_clinicians"]] == [other]
    assert (await second.get(path))[0] == 200
    assert [one["id"] for one in (await second.get("/api/v1/consultations"))[1]["consultations"]] == [
        path.rpartition("/")[2]]
    status, answer = await clinician.post(
        f"{path}/participants", {"account_id": str(server.seed.accounts["clinician"])})
    assert (status, answer["error"]["code"]) == (409, "conflict")
    for _ in range(2):
        status, shown = await clinician.delete(f"{path}/participants/{other}")
        assert (status, shown["second_clinicians"]) == (200, [])
    assert (await second.get(path))[0] == 403
    for unknown in (str(uuid4()), "x", str(server.seed.accounts["operator"])):
        assert (await clinician.delete(f"{path}/participants/{unknown}"))[0] == 404
    assert {row["account"] for row in await details(server, "participant.invite")} == {other}
    for number in range(SECOND):
        assert (await clinician.post(
            f"{path}/participants", {"account_id": await colleague(server, 10 + number)}))[0] == 201
    status, answer = await clinician.post(f"{path}/participants", {"account_id": other})
    assert (status, answer["error"]["code"]) == (409, "conflict")


async def test_telephone_and_shared_vital_signs(server: Any) -> None:
    clinician, operator = await server.client("clinician"), await server.client("operator")
    path = await live(server, clinician)
    status, on = await operator.post(f"{path}/phone", {"on": True})
    assert (status, on["phone_since"] is not None) == (200, True)
    assert (await clinician.post(f"{path}/phone", {"on": True}))[1]["phone_since"] == on["phone_since"]
    assert (await operator.post(f"{path}/vitals", {"shared": True}))[0] == 403
    assert (await clinician.post(f"{path}/vitals", {"shared": True}))[1]["vitals_shared"] is True
    assert (await clinician.post(f"{path}/vitals", {"shared": False}))[1]["vitals_shared"] is False
    status, ended = await clinician.post(f"{path}/end")
    assert ended["phone_since"] == on["phone_since"]  # that it was continued by telephone stays known
    assert await details(server, "consultation.phone") == [{"on": True}, {"on": True}]
    assert await details(server, "consultation.share_vitals") == [{"shared": True}, {"shared": False}]


async def test_the_organisations_telephone(server: Any, stranger: Any) -> None:
    administrator = await server.client("administrator")
    status, shown = await administrator.send("PATCH", "/api/v1/organisation", {"phone": " +359 38 000 000 "})
    assert (status, shown["phone"]) == (200, "+359 38 000 000")
    for seed, expected in ((server.seed, "+359 38 000 000"), (stranger, "")):
        _, me = await (await server.client("clinician", seed)).get("/api/v1/me")
        assert me["organisation"]["phone"] == expected
    for wrong in ("112; call me", "1" * 41, "\x00", "<b>", "٣٥٩", "1\n2", None, 112):
        status, answer = await administrator.send("PATCH", "/api/v1/organisation", {"phone": wrong})
        assert (status, answer["error"]["params"]) == (400, {"field": "phone"}), wrong
    for role in ("clinician", "operator", "auditor"):
        client = await server.client(role)
        assert (await client.send("PATCH", "/api/v1/organisation", {"phone": "1"}))[0] == 403
    assert (await administrator.send("PATCH", "/api/v1/organisation", {"phone": ""}))[1]["phone"] == ""


async def test_what_the_patient_said_of_care_is_shown(server: Any) -> None:
    operator = await server.client("operator")
    made = await make(server, operator)
    assert made["care_consent"] is None
    consents = f"/api/v1/patients/{server.seed.patients[0]}/consents"
    for purpose, given, expected in (("recording", True, None), ("care", True, True), ("care", False, False)):
        await operator.post(consents, {
            "purpose": purpose, "given": given, "version": "1", "language": "bg", "given_by": "patient"})
        _, shown = await operator.get(f"/api/v1/consultations/{made['id']}")
        assert shown["care_consent"] is expected
