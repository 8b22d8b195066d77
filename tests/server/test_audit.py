"""Every read of a patient is one row of the audit, in the transaction of the read; no row, no read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from telemed.http import keys
from telemed.identity.policy import POLICY
from tests.server.short_recording import a_recording


async def rows(server: Any) -> list[dict[str, Any]]:
    async with server.database.connection() as connection:
        found = await connection.fetch(
            "select actor_id, action, outcome, object_kind, object_id, patient_id, detail from audit_event order by id"
        )
    return [dict(row) for row in found]


async def measured_before(server: Any) -> None:
    """The first patient was at the station once, without a visit, and something was measured."""
    async with server.database.transaction() as connection:
        attachment = await connection.fetchval(
            "insert into attachment (id, organisation_id, station_id, patient_id, opened_at, closed_at, closed_reason)"
            " values ($1, $2, $3, $4, now() - interval '2 days', now() - interval '1 day', 'operator') returning id",
            uuid4(), server.seed.organisation_id, server.seed.station_id, server.seed.patients[0])  # fmt: skip
        await connection.execute(
            "insert into stream (organisation_id, station_id, number, epoch, device, kind, format, origin, source,"
            " channels, attachment_id, born, started_us, key_wrapped) values ($1, $2, 1, $3, 'Demo device', 'spo2',"
            " 'gatt:2a5f', 'simulated', $3, '[]', $4, now(), 0, '\\x00')",
            server.seed.organisation_id, server.seed.station_id, uuid4(), attachment)  # fmt: skip


async def world(server: Any) -> dict[str, str]:
    """Path of every route that reads patient data, by the action."""
    operator, clinician = await server.client("operator"), await server.client("clinician")
    where = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    _, consultation = await operator.post("/api/v1/consultations", where | {"scheduled_at": soon})
    await operator.post(f"/api/v1/consultations/{consultation['id']}/arrive")
    await operator.post("/api/v1/attachments", where | {"consultation_id": consultation["id"]})
    await clinician.post(f"/api/v1/consultations/{consultation['id']}/admit")
    status, line = await clinician.send(
        "POST", f"/api/v1/consultations/{consultation['id']}/files?name=x.txt&line={uuid4()}",
        data=b"demo text", headers={"Content-Type": "text/plain"},
    )
    assert status == 201, line
    recording = await a_recording(server.app, UUID(consultation["id"]))
    await measured_before(server)
    patient, one = f"/api/v1/patients/{server.seed.patients[0]}", f"/api/v1/consultations/{consultation['id']}"
    return {
        "GET /api/v1/patients": "/api/v1/patients",
        "GET /api/v1/patients/{id}": patient,
        "GET /api/v1/patients/{id}/consents": f"{patient}/consents",
        "GET /api/v1/patients/{id}/holds": f"{patient}/holds",
        "GET /api/v1/consultations": "/api/v1/consultations",
        "GET /api/v1/consultations/{id}": one,
        "GET /api/v1/consultations/{id}/review": f"{one}/review",
        "GET /api/v1/consultations/{id}/calendar": f"{one}/calendar",
        "GET /api/v1/consultations/{id}/tickets": f"{one}/tickets",
        "GET /api/v1/consultations/{id}/place": f"{one}/place",
        "GET /api/v1/consultations/{id}/notes": f"{one}/notes",
        "GET /api/v1/consultations/{id}/chat": f"{one}/chat",
        "GET /api/v1/consultations/{id}/files/{file}": f"{one}/files/{line['file']['id']}",
        "GET /api/v1/consultations/{id}/waves": f"{one}/waves?kind=ecg&from_us=0&to_us=1000000&view=raw",
        "GET /api/v1/consultations/{id}/trend": f"{one}/trend?from_us=0&to_us=1000000&columns=5",
        "GET /api/v1/consultations/{id}/export": f"{one}/export?from_us=0&to_us=1000000&format=csv",
        "GET /api/v1/consultations/{id}/recordings": f"{one}/recordings",
        "GET /api/v1/recordings/{id}": f"/api/v1/recordings/{recording}",
        "GET /api/v1/attachments": f"/api/v1/attachments?station_id={server.seed.station_id}",
        "GET /api/v1/attachments/unvisited": "/api/v1/attachments/unvisited",
    }


def reader(name: str) -> str:
    """A role that may read there."""
    return "operator" if "attachments" in name else "administrator" if "holds" in name else "clinician"


async def test_every_read_of_a_patient_is_one_row(server: Any) -> None:
    paths = await world(server)
    reads = {
        f"{row.method} {row.path}" for row in server.app[keys.ROUTES].rows.values()
        if row.method == "GET" and POLICY[row.action].audited and row.path.startswith("/api/")
    }
    assert reads == set(paths)
    for name, path in paths.items():
        client = await server.client(reader(name))
        before = len(await rows(server))
        async with client.http.get(path) as response:
            empty = name.endswith("/export")  # nothing was measured here: asked for, and recorded, all the same
            assert response.status == (404 if empty else 200), (name, await response.read())
            await response.read()
        added = (await rows(server))[before:]
        assert len(added) == 1, name
        patient = server.seed.patients[0]
        assert added[0]["outcome"] == "permit"
        assert added[0]["patient_id"] == patient or str(patient) in added[0]["detail"], name


async def test_what_cannot_be_recorded_is_not_shown(server: Any, database_urls: Any) -> None:
    paths = await world(server)
    owner = await asyncpg.connect(database_urls.owner)
    try:
        await owner.execute("revoke insert on audit_event from telemed_app")
    finally:
        await owner.close()
    for name, path in paths.items():
        client = await server.client(reader(name))
        status, answer = await client.get(path)
        assert (status, answer) == (500, {"error": {"code": "internal_error", "params": {}}}), name


async def test_the_audit_is_read_by_patient_and_by_page(server: Any, stranger: Any) -> None:
    await world(server)
    auditor, clinician = await server.client("auditor"), await server.client("clinician")
    patient = server.seed.patients[1]
    await clinician.get("/api/v1/patients")
    await clinician.get(f"/api/v1/patients/{patient}")
    _, answer = await auditor.get(f"/api/v1/audit?patient_id={patient}")
    assert [event["action"] for event in answer["events"]] == ["patient.read", "patient.list"]
    assert {event["actor_id"] for event in answer["events"]} == {str(server.seed.accounts["clinician"])}

    seen: list[int] = []
    before = ""
    while True:
        _, page = await auditor.get(f"/api/v1/audit?limit=2{before}")
        seen += [event["id"] for event in page["events"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(await rows(server))
    _, elsewhere = await (await server.client("auditor", stranger)).get("/api/v1/audit")
    assert elsewhere["events"] == []


async def test_the_servers_role_cannot_change_the_audit(server: Any) -> None:
    for statement in (
        "update audit_event set action = 'x'", "delete from audit_event", "truncate audit_event",
        "update consent_event set given = true", "delete from consent_event", "truncate consent_event",
    ):
        async with server.database.connection() as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_a_stations_events_are_listed(server: Any) -> None:
    administrator, auditor = await server.client("administrator"), await server.client("auditor")
    station = f"/api/v1/stations/{server.seed.station_id}"
    with server.app[keys.ROOMS].listen(f"station:{server.seed.station_id}") as socket:
        status, revoked = await administrator.delete(f"{station}/keys/{server.seed.station_key_id}")
        assert (status, revoked["revoked_at"] is not None) == (200, True)
        assert socket.queue.get_nowait() == {"type": "key_revoked", "key": str(server.seed.station_key_id)}
    status, again = await administrator.delete(f"{station}/keys/{server.seed.station_key_id}")
    assert again == revoked
    _, answer = await auditor.get(f"{station}/events")
    assert [event["action"] for event in answer["events"]] == ["station.key_revoke"] * 2
    assert answer["events"][0]["detail"] == {"key": str(server.seed.station_key_id)}
    _, listed = await auditor.get(f"{station}/keys")
    assert "key" not in listed["keys"][0]


async def test_consents_are_events(server: Any) -> None:
    operator = await server.client("operator")
    path = f"/api/v1/patients/{server.seed.patients[0]}/consents"
    for given in (True, False):
        status, _ = await operator.post(path, {
            "purpose": "recording", "given": given, "version": "2026-1", "language": "bg", "given_by": "patient",
        })
        assert status == 201
    _, answer = await operator.get(path)
    assert [(one["given"], one["witness_id"]) for one in answer["consents"]] == [
        (False, str(server.seed.accounts["operator"])), (True, str(server.seed.accounts["operator"])),
    ]
