"""What a hostile review of the visit found: each is a fault that was there once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from yarl import URL

from telemed.consultation import seats, tickets
from telemed.consultation.tickets import TICKETS_A_VISIT
from telemed.errors import DatabaseUnavailable
from telemed.http import keys, visits
from telemed.http.limits import CONSENTS_PER_SEAT
from telemed.identity import accounts, sign_ins
from telemed.patient import merging

SOFIA = ZoneInfo("Europe/Sofia")
CONSENT = {"given": True, "version": "1", "language": "bg"}
PLACE = {"address": "Demo village 1", "phone": "1"}
LOOKS = 1000  # at what waits, 20 ms apart: the machine may be busy


async def fetchval(server: Any, statement: str, *values: Any) -> Any:
    async with server.database.connection() as connection:
        return await connection.fetchval(statement, *values)


async def joined(server: Any, token: str, name: str | None = None) -> tuple[Any, Any]:
    guest = await server.guest()
    status, answer = await guest.join(token, name)
    assert status == 201, answer
    return guest, answer


async def provisional(server: Any) -> UUID:
    operator = await server.client("operator")
    person = {"name": "Demo provisional", "birth_year": 1950, "provisional": True}
    status, made = await operator.post("/api/v1/patients", person)
    assert status == 201, made
    return UUID(made["id"])


async def waits_for_a_lock(server: Any) -> None:
    """Return when some statement of the server waits for another transaction."""
    for _ in range(LOOKS):
        if await fetchval(server, "select count(*) from pg_locks where not granted"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nothing waits")


@pytest.mark.parametrize("at_station", [True, False])
async def test_no_visit_is_made_for_a_patient_that_is_merged_meanwhile(server: Any, at_station: bool) -> None:
    patient, operator = await provisional(server), await server.client("operator")
    wanted = {"patient_id": str(patient), "station_id": server.seed.station_id if at_station else None}
    async with server.database.transaction() as connection:
        await merging.merge(connection, server.app[keys.SEALER], patient, server.seed.patients[0])
        making = asyncio.create_task(operator.post("/api/v1/consultations", wanted))
        await waits_for_a_lock(server)
    status, answer = await making
    assert (status, answer["error"]["code"]) == (410, "key_destroyed")
    assert await fetchval(server, "select count(*) from consultation") == 0


@pytest.mark.parametrize("given", [True, False])
async def test_the_last_word_of_a_merged_patient_stays_the_last_word(server: Any, given: bool) -> None:
    patient, operator = await provisional(server), await server.client("operator")
    into, word = server.seed.patients[0], CONSENT | {"purpose": "care", "given_by": "patient"}
    assert (await operator.post(f"/api/v1/patients/{into}/consents", word | {"given": not given}))[0] == 201
    assert (await operator.post(f"/api/v1/patients/{patient}/consents", word | {"given": given}))[0] == 201
    wanted = {"patient_id": str(patient), "scheduled_at": "2027-01-01T10:00:00Z"}
    status, made = await operator.post("/api/v1/consultations", wanted)
    assert (status, made["care_consent"]) == (201, given)
    guest, _ = await joined(server, await server.ticket(UUID(made["id"])))
    merged = {"into": str(into), "reason": "same_person"}
    assert (await operator.post(f"/api/v1/patients/{patient}/merge", merged))[0] == 200
    _, shown = await operator.get(f"/api/v1/consultations/{made['id']}")
    assert (shown["patient"]["id"], shown["care_consent"]) == (str(into), given)
    _, listed = await operator.get("/api/v1/consultations")
    assert [one["care_consent"] for one in listed["consultations"]] == [given]
    assert (await guest.get("/api/v1/visit"))[1]["consent"] is given


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/v1/visit/place", b'{"address":"elsewhere","phone":""}'),
        ("POST", "/api/v1/visit/consent", b'{"given":false,"version":"1","language":"bg"}'),
    ],
)
async def test_who_is_sent_out_while_it_sends_changes_nothing(
    server: Any, method: str, path: str, body: bytes
) -> None:
    consultation_id = await server.visit()
    guest, _ = await joined(server, await server.ticket(consultation_id))
    assert (await guest.send("PUT", "/api/v1/visit/place", PLACE))[0] == 200
    assert (await guest.post("/api/v1/visit/consent", CONSENT))[0] == 200
    clinician = await server.client("clinician")
    of = f"/api/v1/consultations/{consultation_id}"
    assert (await clinician.post(f"{of}/admit"))[0] == 200
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:5]
        begun.set()
        await go_on.wait()
        yield body[5:]

    async def send() -> int:
        headers = {"Origin": server.url, "Content-Type": "application/json"}
        async with guest.http.request(method, f"{path}?as={guest.seat}", data=slowly(), headers=headers) as response:
            return int(response.status)

    sending = asyncio.create_task(send())
    await begun.wait()
    await asyncio.sleep(0.3)  # the server has asked who it is by now
    assert (await clinician.post(f"{of}/seats/{guest.seat}/remove"))[0] == 200
    go_on.set()
    assert await sending == 401
    assert (await clinician.get(f"{of}/place"))[1] == PLACE
    assert (await clinician.get(of))[1]["care_consent"] is True


async def test_a_second_browser_at_the_door_learns_neither_name_nor_consent(server: Any) -> None:
    consultation_id = await server.visit()
    token = await server.ticket(consultation_id, name="Demo patient by name")
    first, answer = await joined(server, token)
    assert answer["name"] == "Demo patient by name"
    assert (await first.post("/api/v1/visit/consent", CONSENT))[0] == 200
    finder, answer = await joined(server, token)
    assert (answer["device"], answer["name"], answer["consent"], answer["place"]) == (2, None, False, None)
    clinician = await server.client("clinician")
    of = f"/api/v1/consultations/{consultation_id}"
    assert (await clinician.post(f"{of}/admit"))[0] == 200
    assert (await clinician.post(f"{of}/seats/{finder.seat}/admit"))[0] == 200
    _, answer = await finder.get("/api/v1/visit")
    assert (answer["name"], answer["consent"]) == ("Demo patient by name", True)


async def test_one_seat_cannot_bury_the_consents(server: Any) -> None:
    consultation_id = await server.visit()
    guest, _ = await joined(server, await server.ticket(consultation_id))
    for n in range(CONSENTS_PER_SEAT):
        assert (await guest.post("/api/v1/visit/consent", CONSENT | {"given": n % 2 == 0}))[0] == 200
    status, answer = await guest.post("/api/v1/visit/consent", CONSENT)
    assert (status, answer["error"]["code"]) == (429, "too_many_attempts")
    assert (await guest.send("PUT", "/api/v1/visit/place", PLACE))[0] == 200  # counted apart
    assert await fetchval(server, "select count(*) from consent_event") == CONSENTS_PER_SEAT


async def test_who_is_valid_is_listed_however_many_were_taken_back(server: Any) -> None:
    consultation_id, sealer = await server.visit(), server.app[keys.SEALER]
    ticket = await server.ticket(consultation_id, "relative")
    await joined(server, ticket)
    async with server.database.transaction() as connection:
        await connection.execute(
            "insert into ticket (id, organisation_id, consultation_id, role, token_hash, created_by, expires_at,"
            " revoked_at, created_at) select gen_random_uuid(), organisation_id, consultation_id, role,"
            " sha256(n::text::bytea), created_by, expires_at, now(), now() - interval '1 hour'"
            " from ticket, generate_series(1, $1) n", tickets.LISTED,
        )
        await connection.execute(
            "insert into seat (id, organisation_id, consultation_id, ticket_id, device, proof_hash, state, joined_at)"
            " select gen_random_uuid(), organisation_id, consultation_id, id, 1, sha256(id::text::bytea), 'removed',"
            " created_at from ticket where revoked_at is not null"
        )
        listed = await tickets.listed(connection, sealer, consultation_id)
        sitting = await seats.of(connection, sealer, consultation_id)
    assert [one.revoked_at for one in listed[-1:]] == [None]
    assert len(listed) == tickets.LISTED
    assert [one.state for one in sitting[-1:]] == ["waiting"]
    assert len(sitting) == seats.LISTED >= TICKETS_A_VISIT * seats.SEATS_A_TICKET


async def expiry(server: Any, consultation_id: UUID) -> datetime:
    found: datetime = await fetchval(
        server, "select max(expires_at) from ticket where consultation_id = $1", consultation_id
    )
    return found


async def test_a_ticket_holds_to_the_end_of_a_long_appointment_at_night(server: Any) -> None:
    consultation_id = await server.visit(in_minutes=60)
    begins = datetime(2031, 6, 10, 20, 0, tzinfo=SOFIA)
    await fetchval(
        server, "update consultation set scheduled_at = $2, minutes = 480 where id = $1", consultation_id, begins
    )
    await server.ticket(consultation_id)
    assert await expiry(server, consultation_id) == begins + timedelta(hours=8)


async def test_no_ticket_is_over_when_it_is_made(server: Any) -> None:
    consultation_id = await server.visit(in_minutes=-3 * 24 * 60)  # the patient comes on another day, and is received
    operator = await server.client("operator")
    assert (await operator.post(f"/api/v1/consultations/{consultation_id}/arrive"))[0] == 200
    _, answer = await joined(server, await server.ticket(consultation_id))
    assert answer["seat_state"] == "waiting"
    holds = await expiry(server, consultation_id) - datetime.fromisoformat(answer["server_now"])
    assert timedelta(hours=5, minutes=59) < holds <= timedelta(hours=6)


async def test_notices_are_in_the_audit_from_when_they_are_opened(server: Any) -> None:
    clinician, administrator = await server.client("clinician"), await server.client("administrator")
    async with clinician.http.ws_connect("/ws/notices", headers={"Origin": server.url}) as socket:
        await socket.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid4())})
        assert (await socket.receive_json())["type"] == "waiting"
    async with administrator.http.get(
        "/ws/notices", headers={"Origin": server.url, "Connection": "Upgrade", "Upgrade": "websocket"}
    ) as response:
        assert response.status == 403
    _, audit = await administrator.get("/api/v1/audit")
    found = [(one["actor_id"], one["outcome"]) for one in audit["events"] if one["action"] == "notices_socket.open"]
    assert found == [
        (str(server.seed.accounts["administrator"]), "deny"), (str(server.seed.accounts["clinician"]), "permit"),
    ]


async def test_who_loses_the_visit_before_it_says_hello_is_told_nothing_of_it(server: Any) -> None:
    consultation_id, clinician = await server.visit(), await server.client("clinician")
    of = f"/api/v1/consultations/{consultation_id}"
    async with server.database.transaction() as connection:
        second = await accounts.create(
            connection, server.seed.organisation_id, "demo-second", "Demo second", "no password", ["clinician"]
        )
        token = await sign_ins.begin(connection, second.id)
    beside = await server.anonymous()
    beside.http.cookie_jar.update_cookies({"telemed": token}, URL(server.url))
    assert (await clinician.post(f"{of}/participants", {"account_id": str(second.id)}))[0] == 201
    async with beside.http.ws_connect(f"/ws/consultations/{consultation_id}", headers={"Origin": server.url}) as socket:
        assert (await clinician.delete(f"{of}/participants/{second.id}"))[0] == 200
        await socket.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid4())})
        told = [message.json() async for message in socket]
    assert [(one["type"], one["error"]["code"]) for one in told] == [("error", "forbidden")]


async def test_a_seat_keeps_its_cookie_though_the_database_goes_before_it_arrives(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise DatabaseUnavailable()

    consultation_id = await server.visit(in_minutes=10)
    token = await server.ticket(consultation_id)
    with monkeypatch.context() as while_away:
        while_away.setattr(visits, "_arrive", away)
        guest, answer = await joined(server, token)
    assert (answer["state"], answer["device"]) == ("scheduled", 1)
    status, answer = await guest.join(token)  # the same browser, not a second one
    assert (status, answer["state"], answer["device"]) == (201, "waiting", 1)


async def test_who_only_looks_at_a_visit_of_nobodys_hears_no_chat(server: Any) -> None:
    """The socket gives what the policy's ``chat.read`` gives, and from the moment that it does."""
    consultation_id = await server.visit(clinician=None)
    operator, clinician = await server.client("operator"), await server.client("clinician")
    of = f"/api/v1/consultations/{consultation_id}"
    async with operator.http.post(
        f"{of}/files", params={"name": "a.txt", "line": str(uuid4())}, data=b"demo",
        headers={"Origin": server.url, "Content-Type": "text/plain"},
    ) as response:
        assert response.status == 201
    assert (await clinician.get(f"{of}/chat"))[0] == 403
    path = f"/ws/consultations/{consultation_id}"
    async with clinician.http.ws_connect(path, headers={"Origin": server.url}) as page:
        await page.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid4())})
        assert (await page.receive_json())["type"] == "welcome"
        await page.send_json({"type": "say", "line": str(uuid4()), "text": "x"})
        while (told := await page.receive_json())["type"] != "error":
            assert told["type"] != "chat"
        assert told["error"]["code"] == "forbidden"
        assert (await clinician.post(f"{of}/admit"))[0] == 200
        while (told := await page.receive_json())["type"] != "chat":
            pass
        assert [one["file"]["name"] for one in told["lines"]] == ["a.txt"]


async def test_an_operator_frees_the_visit_of_a_clinician_who_is_gone(server: Any) -> None:
    consultation_id = await server.visit(at_station=True)
    path = f"/api/v1/consultations/{consultation_id}"
    assert (await (await server.client("clinician")).post(f"{path}/admit"))[0] == 200
    administrator, operator = await server.client("administrator"), await server.client("operator")
    assert (await administrator.post(f"/api/v1/accounts/{server.seed.accounts['clinician']}/disable"))[0] < 300
    async with server.database.connection() as connection:
        colleague = await accounts.create(
            connection, server.seed.organisation_id, "demo-second", "Demo clinician 2", "-", ["clinician"]
        )
    server.seed.accounts["second"], other = colleague.id, str(colleague.id)
    status, shown = await operator.post(f"{path}/handover", {"clinician_id": other})
    assert (status, shown["clinician"]["id"]) == (200, other)
    assert (await operator.post(f"{path}/end"))[0] == 403
    assert (await (await server.client("second")).post(f"{path}/end"))[0] == 200
