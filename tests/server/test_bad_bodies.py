"""Whatever is sent, the answer is a refusal with a stable code; the server stays up and nothing is stored."""

from __future__ import annotations

import gzip
import json
from typing import Any

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


async def test_no_value_in_any_field_of_any_route_is_more_than_refused(server: Any) -> None:
    operator, administrator = await server.client("operator"), await server.client("administrator")
    where = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    whole: dict[str, dict[str, Any]] = {
        "me.change": {"language": "en"},
        "account.create": {"login": "demo-x", "name": "x", "password": "x" * 8, "roles": ["auditor"]},
        "station.create": {"name": "x", "place": "x"},
        "patient.create": GOOD,
        "consent.record": {
            "purpose": "care", "given": True, "version": "1", "language": "bg", "given_by": "patient",
        },
        "consultation.create": where,
        "attachment.open": where,
    }
    tried = 0
    for row in server.app[keys.ROUTES].rows.values():
        if row.request is None or row.action == "sign_in.create":  # limited; its fields are those of an account
            continue
        client = operator if "operator" in POLICY[row.action].roles else administrator
        path = row.path.replace("{id}", str(server.seed.patients[0]))
        for field in (*row.request.model_fields, "extra"):
            for value in HOSTILE:
                status, answer = await client.send(row.method, path, whole[row.action] | {field: value})
                refused = status in (400, 404, 409) and answer["error"]["code"] != "internal_error"
                assert status in (200, 201) or refused, (path, field, value)
                tried += 1
    assert tried > 300


async def test_a_cookie_or_key_of_any_shape_is_just_nobody(server: Any) -> None:
    client = await server.anonymous()
    for value in ("", "x", "A" * 43, "é" * 43, "A" * 5000, "%00" * 43):
        async with client.http.get("/api/v1/me", headers={"Cookie": f"telemed={value}"}) as response:
            assert response.status == 401
    for value in ("Bearer", "Bearer ", "Bearer x", "Basic Og==", "Bearer " + "A" * 43, "A" * 5000):
        async with client.http.get("/ws/station", headers={"Authorization": value}) as response:
            assert response.status == 401
