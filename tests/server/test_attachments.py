"""From waiting to ended over HTTP, and two patients one after the other on one station."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

from telemed.consultation.consultations import live_at_station
from telemed.http import keys
from telemed.patient import attachments


async def waiting(server: Any, patient: int = 0) -> tuple[Any, dict[str, Any]]:
    """An operator, and a consultation waiting with the patient attached."""
    operator = await server.client("operator")
    seed = server.seed
    status, consultation = await operator.post(
        "/api/v1/consultations", {"station_id": seed.station_id, "patient_id": str(seed.patients[patient])}
    )
    assert status == 201, consultation
    status, attachment = await operator.post("/api/v1/attachments", {
        "station_id": seed.station_id, "patient_id": str(seed.patients[patient]), "consultation_id": consultation["id"],
    })
    assert status == 201, attachment
    return operator, consultation


async def test_a_consultation_goes_from_waiting_to_live_to_ended(server: Any) -> None:
    _operator, consultation = await waiting(server)
    clinician = await server.client("clinician")
    path = f"/api/v1/consultations/{consultation['id']}"

    status, listed = await clinician.get("/api/v1/consultations?state=waiting")
    assert (status, [one["id"] for one in listed["consultations"]]) == (200, [consultation["id"]])
    assert listed["consultations"][0]["patient"]["name"].startswith("Demo patient 1")

    with server.app[keys.ROOMS].listen(f"consultation:{consultation['id']}") as page, \
            server.app[keys.ROOMS].listen(f"station:{server.seed.station_id}") as station:
        status, live = await clinician.post(f"{path}/admit")
        assert (status, live["state"], live["clinician"]["name"]) == (200, "live", "Demo clinician")
        assert page.queue.get_nowait()["consultation"] == live
        assert station.queue.get_nowait()["consultation"] == {"id": consultation["id"], "state": "live"}
        async with server.database.connection() as connection:
            found = await live_at_station(connection, server.seed.station_id)
            assert found is not None
            assert str(found.id) == consultation["id"]
            current = await attachments.current(connection, server.seed.station_id)
            assert current is not None
            assert len(await attachments.patient_key(connection, server.app[keys.SEALER], current.id)) == 32

        status, ended = await clinician.post(f"{path}/end")
        assert (status, ended["state"], ended["attachment_id"]) == (200, "ended", None)
        assert ended["ended_at"] is not None
        assert [station.queue.get_nowait() for _ in range(2)] == [
            {"type": "attachment", "attachment": None}, {"type": "consultation", "consultation": None},
        ]
    async with server.database.connection() as connection:
        assert await live_at_station(connection, server.seed.station_id) is None
        assert [one.closed_reason for one in await attachments.listed(connection, server.seed.station_id)] == [
            "consultation_ended"
        ]


async def test_what_the_state_does_not_allow_is_refused(server: Any) -> None:
    _operator, consultation = await waiting(server)
    clinician = await server.client("clinician")
    path = f"/api/v1/consultations/{consultation['id']}"
    assert (await clinician.post(f"{path}/admit"))[0] == 200
    for wrong in ("admit", "cancel"):
        status, answer = await clinician.post(f"{path}/{wrong}")
        assert (status, answer["error"]) == (409, {"code": "state_refused", "params": {"state": "live"}})
    assert (await clinician.post(f"{path}/end"))[0] == 200
    assert (await clinician.post(f"{path}/end"))[0] == 409


async def test_two_admissions_at_once_are_one(server: Any) -> None:
    _operator, consultation = await waiting(server)
    first, second = await server.client("clinician"), await server.client("clinician")
    answers = await asyncio.gather(*(
        client.post(f"/api/v1/consultations/{consultation['id']}/admit") for client in (first, second)
    ))
    assert sorted(status for status, _ in answers) == [200, 409]


async def test_a_station_has_one_live_consultation(server: Any) -> None:
    _operator, first = await waiting(server, 0)
    _operator, second = await waiting(server, 1)
    clinician = await server.client("clinician")
    assert (await clinician.post(f"/api/v1/consultations/{first['id']}/admit"))[0] == 200
    status, answer = await clinician.post(f"/api/v1/consultations/{second['id']}/admit")
    assert (status, answer["error"]["code"]) == (409, "station_busy")


async def test_the_next_patient_closes_the_attachment_before_at_the_same_instant(server: Any) -> None:
    operator, _first = await waiting(server, 0)
    with server.app[keys.ROOMS].listen(f"station:{server.seed.station_id}") as station:
        status, second = await operator.post(
            "/api/v1/attachments",
            {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[1])},
        )
        assert status == 201
        assert station.queue.get_nowait() == {"type": "attachment", "attachment": second["id"]}
    status, listed = await operator.get(f"/api/v1/attachments?station_id={server.seed.station_id}")
    newer, older = listed["attachments"]
    assert (older["closed_reason"], older["closed_at"]) == ("next_patient", newer["opened_at"])
    assert newer["closed_at"] is None

    status, closed = await operator.post(f"/api/v1/attachments/{newer['id']}/close")
    assert (status, closed["closed_reason"]) == (200, "operator")
    assert (await operator.post(f"/api/v1/attachments/{newer['id']}/close"))[0] == 409


async def test_patients_attached_at_once_never_overlap(server: Any) -> None:
    operator = await server.client("operator")
    answers = await asyncio.gather(*(
        operator.post("/api/v1/attachments", {
            "station_id": server.seed.station_id, "patient_id": str(server.seed.patients[number % 2]),
        })
        for number in range(12)
    ))
    assert [status for status, _ in answers] == [201] * 12
    async with server.database.connection() as connection:
        intervals = sorted(
            (one.opened_at, one.closed_at) for one in await attachments.listed(connection, server.seed.station_id)
            if one.closed_at is not None
        )
        assert len(intervals) == 11
        assert await attachments.current(connection, server.seed.station_id) is not None
    assert all(before[1] <= after[0] for before, after in pairwise(intervals))


async def test_an_attachment_takes_only_the_consultation_of_its_patient_and_station(server: Any) -> None:
    operator, consultation = await waiting(server, 0)
    for wrong in (consultation["id"], str(uuid4())):
        status, answer = await operator.post("/api/v1/attachments", {
            "station_id": server.seed.station_id, "patient_id": str(server.seed.patients[1]), "consultation_id": wrong,
        })
        assert (status, answer["error"]["params"]) == (400, {"field": "consultation_id"})


async def test_an_open_attachment_becomes_the_new_consultations(server: Any) -> None:
    operator = await server.client("operator")
    body = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    _, attachment = await operator.post("/api/v1/attachments", body)
    _, consultation = await operator.post("/api/v1/consultations", body)
    assert consultation["attachment_id"] == attachment["id"]


async def test_a_patient_of_another_organisation_is_not_there(server: Any, stranger: Any) -> None:
    operator = await server.client("operator")
    foreign = {"station_id": server.seed.station_id, "patient_id": str(stranger.patients[0])}
    elsewhere = {"station_id": stranger.station_id, "patient_id": str(server.seed.patients[0])}
    for path in ("/api/v1/attachments", "/api/v1/consultations"):
        for body in (foreign, elsewhere):
            assert (await operator.post(path, body))[0] == 404


async def test_a_station_of_another_organisation_is_denied_and_recorded(server: Any, stranger: Any) -> None:
    operator = await server.client("operator")
    body = {"station_id": stranger.station_id, "patient_id": str(server.seed.patients[0])}
    for path in ("/api/v1/attachments", "/api/v1/consultations"):
        assert (await operator.post(path, body))[0] == 404
    async with server.database.connection() as connection:
        rows = await connection.fetch(
            "select action, object_kind, object_id from audit_event where outcome = 'deny' order by id")
    assert [tuple(row) for row in rows] == [
        (action, "station", str(stranger.station_id)) for action in ("attachment.open", "consultation.create")]


async def test_an_interval_begins_by_the_servers_clock_and_never_before_the_last_one(server: Any) -> None:
    operator = await server.client("operator")
    body = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    past, future = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    async with server.database.connection() as connection:
        moment = attachments.SQL["attachment_moment"]
        assert await connection.fetchval(moment, server.seed.station_id, past) == past, "not the database's clock"
        _, made = await operator.post("/api/v1/attachments", body)
        await operator.post(f"/api/v1/attachments/{made['id']}/close")
        await connection.execute("update attachment set closed_at = $1", future)  # then the clock was set back
    for _ in range(2):
        status, made = await operator.post("/api/v1/attachments", body)
        assert (status, datetime.fromisoformat(made["opened_at"])) == (201, future)
    status, closed = await operator.post(f"/api/v1/attachments/{made['id']}/close")
    assert (status, datetime.fromisoformat(closed["closed_at"])) == (200, future)
