"""Whatever is sent, the answer is a refusal with a stable code; the server stays up and nothing is stored."""

from __future__ import annotations

import gzip
import json
from typing import Any
from uuid import uuid4

import pytest

from telemed.http import keys
from telemed.http.route import BODY_BYTES
from telemed.identity.policy import POLICY

GOOD = {"name": "Demo patient", "birth_year": 1950}
JSON = {"Content-Type": "application/json"}


WRONG_SHAPES: tuple[tuple[bytes, str | None], ...] = (
    (b"", "body"),
    (b"{", "body"),
    (b"null", "body"),
    (b"[]", "body"),
    (b'"name"', "body"),
    (b"\xff\xfe{}", "body"),
    (b"[" * 30_000, "body"),
    (b'{"a":' * 10_000, "body"),
    (b'{"name":"x","birth_year":1950,"__proto__":{}}', "__proto__"),
    (json.dumps(GOOD | {"organisation_id": "x"}).encode(), "organisation_id"),
    (json.dumps(GOOD | {"not a field": 1}).encode(), "body"),
    (json.dumps({"name": "x"}).encode(), "birth_year"),
    (json.dumps(GOOD | {"birth_year": 10**30}).encode(), "birth_year"),
    (json.dumps(GOOD | {"birth_year": 1950.5}).encode(), "birth_year"),
    (json.dumps(GOOD | {"birth_year": True}).encode(), "birth_year"),
    (b'{"name":"x","birth_year":NaN}', "birth_year"),
    (json.dumps(GOOD | {"name": "x\x00y"}).encode(), "name"),
    (json.dumps(GOOD | {"name": "x\ny"}).encode(), "name"),
    (json.dumps(GOOD | {"name": "   "}).encode(), "name"),
    (json.dumps(GOOD | {"name": "x" * 201}).encode(), "name"),
    (json.dumps(GOOD | {"name": "\ud800"}).encode(), None),
    (json.dumps(GOOD | {"name": ["x"]}).encode(), "name"),
    (json.dumps(GOOD | {"identifiers": [{"system": "a", "value": "b"}] * 9}).encode(), "identifiers"),
    (json.dumps(GOOD | {"identifiers": [{"system": "a", "value": 1}]}).encode(), "identifiers.0.value"),
)


async def test_a_body_of_another_shape_is_refused(server: Any) -> None:
    client = await server.client("operator")
    headers = {"Origin": server.url, **JSON}
    for data, field in WRONG_SHAPES:
        async with client.http.post("/api/v1/patients", data=data, headers=headers) as response:
            answer = await response.json()
        assert (response.status, answer["error"]["code"]) == (400, "invalid_request"), data[:80]
        assert field is None or answer["error"]["params"] == {"field": field}, data[:80]
    async with server.database.connection() as connection:
        assert await connection.fetchval("select count(*) from patient") == 2
        assert await connection.fetchval("select count(*) from audit_event where action = 'patient.create'") == 0


NOT_JSON: tuple[tuple[dict[str, str], bytes, int, str], ...] = (
    ({"Content-Type": "text/plain"}, b"{}", 400, "invalid_request"),
    ({"Content-Type": "application/x-www-form-urlencoded"}, b"name=x", 400, "invalid_request"),
    ({}, b"{}", 400, "invalid_request"),
    (JSON | {"Content-Encoding": "gzip"}, gzip.compress(b"0" * 10_000_000), 400, "invalid_request"),
    (JSON | {"Content-Encoding": "unheard-of"}, b"{}", 400, "invalid_request"),
    (JSON, b'"' + b"x" * BODY_BYTES + b'"', 413, "body_too_large"),
)


async def test_a_body_that_is_not_plain_json_is_refused(server: Any) -> None:
    client = await server.client("operator")
    for headers, data, status, code in NOT_JSON:
        sent = {"Origin": server.url, **headers}
        async with client.http.post("/api/v1/patients", data=data, headers=sent) as response:
            answer = await response.json()
        assert (response.status, answer["error"]["code"]) == (status, code), headers


async def test_a_body_in_pieces_is_bounded_as_well(server: Any) -> None:
    client = await server.client("operator")

    async def pieces() -> Any:
        for _ in range(64):
            yield b" " * 4096

    headers = {"Origin": server.url, **JSON}
    async with client.http.post("/api/v1/patients", data=pieces(), headers=headers) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (413, "body_too_large")


async def test_a_name_that_nothing_has_is_not_found(server: Any) -> None:
    operator, administrator = await server.client("operator"), await server.client("administrator")
    for name in ("x", "00000000-0000-0000-0000-000000000000", "%00", "9" * 3000, "%F0%9F%92%89"):
        for kind in ("patients", "consultations"):
            status, answer = await operator.get(f"/api/v1/{kind}/{name}")
            assert (status, answer["error"]["code"]) == (404, "not_found"), name
    for number in ("0", "-1", "x", "2147483648", "9" * 400, "1.5", "%D9%A1", "1%00"):
        assert (await administrator.get(f"/api/v1/stations/{number}/keys"))[0] == 404, number


async def test_a_query_of_another_shape_is_refused(server: Any) -> None:
    client = await server.client("auditor")
    for query in (
        "limit=0", "limit=501", "limit=x", "before=0", "before=99999999999999999999", "patient_id=x", "unknown=1",
        "limit=1&limit=2", "before=%00",
    ):
        status, answer = await client.get(f"/api/v1/audit?{query}")
        assert (status, answer["error"]["code"]) == (400, "invalid_request"), query


HOSTILE: tuple[Any, ...] = (
    None, "", " ", "x" * 20_000, "\x00", "\u2028", "x\ny", -1, 0, 2**31, 2**63, 10**40, 1.5, True, [],
    [None], {}, {"a": 1},
)


def whole_bodies(seed: Any) -> dict[str, dict[str, Any]]:
    """A body that every action with one takes."""
    where = {"station_id": seed.station_id, "patient_id": str(seed.patients[0])}
    account, when, place = str(seed.accounts["clinician"]), "2031-06-10T10:00:00Z", {"address": "x", "phone": "1"}
    consent = {"given": True, "version": "1", "language": "bg"}
    return {
        "me.change": {"language": "en"},
        "account.create": {"login": "demo-x", "name": "x", "password": "x" * 8, "roles": ["auditor"]},
        "organisation.change": {"phone": "1"},
        "station.create": {"name": "x", "place": "x"},
        "patient.create": GOOD,
        "patient.merge": {"into": str(seed.patients[1]), "reason": "same_person"},
        "patient.hold": {"reason": "x"},
        "patient.erase": {"reason": "other"},
        "identifier.check": {"system": "demo", "value": "1"},
        "consent.record": consent | {"purpose": "care", "given_by": "patient"},
        "consultation.create": where | {"clinician_id": account, "scheduled_at": when, "minutes": 30},
        "consultation.move": {"scheduled_at": when, "minutes": 30},
        "consultation.handover": {"clinician_id": account},
        "consultation.phone": {"on": True},
        "consultation.share_vitals": {"shared": True},
        "recording.switch": {"on": False},
        "consultation.sign": {"text": "x"},
        "consultation.amend": {"text": "x", "reason": "x"},
        "note.draft": {"text": "x"},
        "participant.invite": {"account_id": account},
        "ticket.create": {"role": "relative", "name": "x", "language": "bg", "email": None},
        "visit.look": {"ticket": "A" * 43},
        "visit.join": {"ticket": "A" * 43, "name": "x", "language": "bg"},
        "visit.consent": consent,
        "visit.place": place,
        "place.write": place,
        "attachment.open": where,
        "attachment.visit": {"clinician_id": account},
    }


async def test_no_value_in_any_field_of_any_route_is_more_than_refused(server: Any) -> None:
    consultation_id = await server.visit()
    clients = {role: await server.client(role) for role in ("operator", "clinician", "administrator")}
    guest = await server.guest()
    assert (await guest.join(await server.ticket(consultation_id)))[0] == 201
    assert (await clients["clinician"].post(f"/api/v1/consultations/{consultation_id}/admit"))[0] == 200
    whole, tried = whole_bodies(server.seed), 0
    for row in server.app[keys.ROUTES].rows.values():
        if row.request is None or row.action == "sign_in.create":  # limited; its fields are those of an account
            continue
        roles = POLICY[row.action].roles
        client = next((clients[role] for role in clients if role in roles), guest)
        of = consultation_id if "/consultations/" in row.path else server.seed.patients[0]
        path = row.path.replace("{id}", str(of))
        for field in (*row.request.model_fields, "extra"):
            for value in HOSTILE:
                status, answer = await client.send(row.method, path, whole[row.action] | {field: value})
                refused = status in (400, 404, 409) and answer["error"]["code"] != "internal_error"
                assert status in (200, 201, 204) or refused, (path, field, value, answer)
                tried += 1
    assert tried > 1000
    status, shown = await guest.get("/api/v1/visit")
    assert (status, shown["seat_state"]) == (200, "admitted")
    assert shown["state"] in ("live", "interrupted")  # no page is open, and after 10 s the visit says so


async def test_a_cookie_or_key_of_any_shape_is_just_nobody(server: Any) -> None:
    client = await server.anonymous()
    for value in ("", "x", "A" * 43, "é" * 43, "A" * 5000, "%00" * 43):
        async with client.http.get("/api/v1/me", headers={"Cookie": f"telemed={value}"}) as response:
            assert response.status == 401
    for value in ("Bearer", "Bearer ", "Bearer x", "Basic Og==", "Bearer " + "A" * 43, "A" * 5000):
        async with client.http.get("/ws/station", headers={"Authorization": value}) as response:
            assert response.status == 401


@pytest.mark.parametrize("state", ["scheduled", "live", "ended", "signed"])
async def test_whose_key_is_destroyed_answers_everywhere(server: Any, state: str) -> None:
    """A patient at home, in every part of the visit: nothing that is asked of it afterwards is a fault of ours."""
    consultation_id = await server.visit(in_minutes=300 if state == "scheduled" else None)
    clients = {role: await server.client(role) for role in ("operator", "clinician", "administrator")}
    of, clinician = f"/api/v1/consultations/{consultation_id}", clients["clinician"]
    guest = await server.guest()
    assert (await guest.join(await server.ticket(consultation_id), "Demo patient 1"))[0] == 201
    assert (await guest.send("PUT", "/api/v1/visit/place", {"address": "x", "phone": "1"}))[0] == 200
    sent = {"name": "a.txt", "line": str(uuid4())}
    async with clients["operator"].http.post(
        f"{of}/files", params=sent, data=b"demo", headers={"Origin": server.url, "Content-Type": "text/plain"}
    ) as response:
        file = (await response.json())["file"]["id"]
    assert (await clinician.send("PUT", f"{of}/draft", {"text": "demo"}))[0] == 204
    steps = ["admit"] if state != "scheduled" else []
    for step in steps + (["end"] if state in ("ended", "signed") else []):
        assert (await clinician.post(f"{of}/{step}"))[0] == 200
    if state == "signed":
        assert (await clinician.post(f"{of}/sign", {"text": "demo"}))[0] == 200
    assert (await clients["administrator"].delete(f"/api/v1/patients/{server.seed.patients[0]}/key"))[0] == 204
    whole, asked = whole_bodies(server.seed), 0
    for row in server.app[keys.ROUTES].rows.values():
        if not row.path.startswith(("/api/", "/fhir/")) or row.action in ("sign_in.create", "sign_in.end"):
            continue
        roles = POLICY[row.action].roles
        client = next((clients[role] for role in clients if role in roles), guest)
        named = {"id": consultation_id if "/consultations/" in row.path else server.seed.patients[0], "file": file,
                 "seat": guest.seat, "ticket": uuid4(), "account_id": uuid4(), "key": uuid4(), "check": "x"}
        path = row.path
        for name, value in named.items():
            path = path.replace(f"{{{name}}}", str(value))
        if row.path.endswith("/waves"):
            path += "?kind=ecg&from_us=0&to_us=1000000"
        if row.path.endswith("/trend"):
            path += "?from_us=0&to_us=1000000&columns=10"
        if row.path.endswith("/export"):
            path += "?from_us=0&to_us=1000000&format=csv"
        status, answer = await client.send(row.method, path, whole.get(row.action))
        assert status < 500, (row.method, path, answer)
        asked += 1
    assert asked > 50
