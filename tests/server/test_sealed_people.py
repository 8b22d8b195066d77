"""No name lies plain in the database, and destroying a patient's key ends all reading of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from telemed.consultation import consultations, room_keys
from telemed.errors import KeyDestroyed, NotFound
from telemed.http import keys
from telemed.patient import attachments
from telemed.store.sealing import SealBroken

NAME = "Canary Канарче"
NUMBER = "7701234567"


async def everything(url: str) -> bytes:
    """Every table's rows as text and in binary COPY, and the patient table's pages byte by byte."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "select table_name as name from information_schema.tables"
            " where table_schema = 'public' and table_type = 'BASE TABLE'"
        )
        assert len(tables) > 10
        found = bytearray()

        async def keep(data: bytes) -> None:
            found.extend(data)

        for row in tables:
            text = await connection.fetch(f'select t::text as row from "{row["name"]}" t')  # noqa: S608
            found += "\n".join(one["row"] for one in text).encode()
            if row["name"] not in ("chunk", "frame", "segment", "pyramid"):  # partitioned: nothing lies in themselves
                await connection.copy_from_table(row["name"], output=keep, format="binary")
        return bytes(found)
    finally:
        await connection.close()


async def test_no_name_or_number_is_found_in_the_bytes_of_the_tables(server: Any, database_urls: Any) -> None:
    operator = await server.client("operator")
    status, patient = await operator.post("/api/v1/patients", {
        "name": NAME, "birth_year": 1931, "identifiers": [{"system": "demo", "value": NUMBER}],
    })
    assert status == 201
    where = {"station_id": server.seed.station_id, "patient_id": patient["id"]}
    await operator.post("/api/v1/consultations", where)
    await operator.post("/api/v1/attachments", where)
    assert (await operator.get(f"/api/v1/patients/{patient['id']}"))[1] == patient
    found = await everything(database_urls.owner)
    assert patient["id"].encode() in found  # the search does see the tables
    for word in (NAME, "Canary", "Канарче", NUMBER):
        for encoded in (word.encode(), word.encode("utf-16-le"), word.encode().hex().encode()):
            assert encoded not in found, word


GUEST, INVITED, STREET, PHONE = "Canary Гостенин", "Canary Поканен", "ул. Канарче 17", "+359 38 123 4567"


async def test_no_guest_address_or_number_and_no_token_is_found_in_the_bytes_of_the_tables(
    server: Any, database_urls: Any
) -> None:
    consultation_id = await server.visit(in_minutes=5)
    tokens = [await server.ticket(consultation_id, role, INVITED) for role in ("patient", "relative")]
    guests = [await server.guest() for _ in tokens]
    for guest, token in zip(guests, tokens, strict=True):
        assert (await guest.join(token))[1]["name"] == INVITED
        assert (await guest.join(token, GUEST))[1]["name"] == GUEST
    place = {"address": STREET, "phone": PHONE}
    assert (await guests[0].send("PUT", "/api/v1/visit/place", place))[1]["place"] == place
    operator = await server.client("operator")
    _, listed = await operator.get(f"/api/v1/consultations/{consultation_id}/tickets")
    assert [(one["name"], one["seats"][0]["name"]) for one in listed["tickets"]] == [(INVITED, GUEST)] * 2
    cookies = [one.value for guest in guests for one in guest.http.cookie_jar]
    found = await everything(database_urls.owner)
    assert str(consultation_id).encode() in found
    for word in ("Canary", "Гостенин", "Поканен", "Канарче", PHONE, "123 4567", *tokens, *cookies):
        for encoded in (word.encode(), word.encode("utf-16-le"), word.encode().hex().encode()):
            assert encoded not in found, word


async def test_the_name_of_one_seat_or_room_does_not_open_in_another(server: Any) -> None:
    here, elsewhere = await server.visit(), await server.visit()
    sealer = server.app[keys.SEALER]
    async with server.database.transaction() as connection:
        key, other = [await room_keys.room_key(connection, sealer, one) for one in (here, elsewhere)]
        again = await room_keys.room_key(connection, sealer, here)
        sealed = room_keys.seal_text(key, here, "seat 1", GUEST)
        assert room_keys.open_text(again, here, "seat 1", sealed) == GUEST
        for wrong, room, place in ((key, here, "seat 2"), (key, elsewhere, "seat 1"), (other, here, "seat 1")):
            with pytest.raises(SealBroken):
                room_keys.open_text(wrong, room, place, sealed)
        with pytest.raises(NotFound):
            await room_keys.room_key(connection, sealer, uuid4())
        assert await room_keys.existing_key(connection, sealer, uuid4()) is None


async def test_a_room_gets_one_key_however_many_make_it_at_once(server: Any) -> None:
    here, sealer = await server.visit(), server.app[keys.SEALER]

    async def sealed() -> bytes:
        async with server.database.transaction() as connection:
            key = await room_keys.room_key(connection, sealer, here)
            return room_keys.seal_text(key, here, "place", GUEST)

    assert len(set(await asyncio.gather(*(sealed() for _ in range(8))))) == 1


async def test_a_destroyed_key_ends_all_reading(server: Any, database_urls: Any) -> None:
    operator, administrator = await server.client("operator"), await server.client("administrator")
    clinician = await server.client("clinician")
    gone, other = (str(one) for one in server.seed.patients)
    where = {"station_id": server.seed.station_id, "patient_id": gone}
    _, consultation = await operator.post("/api/v1/consultations", where)
    _, attachment = await operator.post("/api/v1/attachments", where | {"consultation_id": consultation["id"]})

    status, answer = await administrator.delete(f"/api/v1/patients/{gone}/key")
    assert (status, answer["error"]["code"]) == (409, "still_attached")
    assert (await operator.post(f"/api/v1/attachments/{attachment['id']}/close"))[0] == 200
    assert (await administrator.delete(f"/api/v1/patients/{gone}/key"))[0] == 204

    for attempt in (
        operator.get(f"/api/v1/patients/{gone}"), operator.post("/api/v1/attachments", where),
        operator.post("/api/v1/consultations", where), administrator.delete(f"/api/v1/patients/{gone}/key"),
    ):
        status, answer = await attempt
        assert (status, answer["error"]["code"]) == (410, "key_destroyed")
    _, shown = await clinician.get(f"/api/v1/consultations/{consultation['id']}")
    assert shown["patient"] == {"id": gone, "name": None, "birth_year": None, "key_destroyed": True}
    _, listed = await operator.get("/api/v1/patients")
    names = {one["id"]: one["name"] for one in listed["patients"]}
    assert names[gone] is None
    assert names[other].startswith("Demo patient 2")
    async with server.database.connection() as connection:
        with pytest.raises(KeyDestroyed):
            await attachments.patient_key(connection, server.app[keys.SEALER], uuid_in(attachment))
        found = await consultations.get(connection, server.app[keys.SEALER], uuid_in(consultation))
        assert found.person is None
        rows = await connection.fetch("select sealed, key_wrapped, key_destroyed_at from patient where id = $1", gone)
        assert [tuple(row)[:2] for row in rows] == [(None, None)]
        events = await connection.fetch(
            "select outcome, patient_id from audit_event where action = 'patient.destroy_key' and actor_id = $1",
            str(server.seed.accounts["administrator"]),
        )
    # Granted once; the refused attempts were rolled back with what they tried.
    assert [(row["outcome"], str(row["patient_id"])) for row in events] == [("permit", gone)]


def uuid_in(answer: dict[str, Any]) -> UUID:
    return UUID(answer["id"])




async def test_an_unexpected_failure_tells_and_logs_no_patient_data(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_args: Any, **_kwargs: Any) -> None:
        raise ValueError(f"while handling {NAME}")

    monkeypatch.setattr("telemed.patient.patients.create", fails)
    client = await server.client("operator")
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        status, answer = await client.post("/api/v1/patients", {"name": NAME, "birth_year": 1931})
    assert (status, answer) == (500, {"error": {"code": "internal_error", "params": {}}})
    assert [entry["exception"] for entry in logs if entry["event"] == "internal_error"] == ["ValueError"]
    for shown in (repr(logs), caplog.text):
        assert "Canary" not in shown
    async with client.http.get("/metrics") as response:
        counted = await response.text()
    assert 'telemed_errors_total{code="internal_error"}' in counted
    assert "Canary" not in counted
