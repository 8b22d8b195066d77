"""A link in a hand is not a used-up ticket: looking uses nothing, joining again is the same seat, every refusal."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from telemed.consultation import consultations, tickets
from telemed.consultation.seats import SEATS_A_TICKET
from telemed.consultation.tickets import ARRIVE_EARLY_MINUTES, TICKETS_A_VISIT, TicketsFull
from telemed.errors import KeyDestroyed, NotFound, StateRefused
from telemed.http import keys
from telemed.http.limits import VISITS_PER_ADDRESS

SOFIA = ZoneInfo("Europe/Sofia")


async def execute(server: Any, statement: str, *values: Any) -> None:
    async with server.database.connection() as connection:
        await connection.execute(statement, *values)


async def fetchval(server: Any, statement: str, *values: Any) -> Any:
    async with server.database.connection() as connection:
        return await connection.fetchval(statement, *values)


async def look(client: Any, ticket: Any) -> tuple[int, Any]:
    status, answer = await client.post("/api/v1/visits/look", {"ticket": ticket})
    return status, answer


async def seats_of(server: Any) -> int:
    count: int = await fetchval(server, "select count(*) from seat")
    return count


async def test_a_look_tells_who_invites_and_uses_nothing(server: Any) -> None:
    consultation_id = await server.visit(in_minutes=180)
    await execute(server, "update organisation set phone = '+359 38 000 000'")
    token = await server.ticket(consultation_id, "interpreter")
    messenger = await server.anonymous()
    for _ in range(10):
        status, shown = await look(messenger, token)
        assert status == 200
    for method, status in (("GET", 200), ("HEAD", 405), ("GET", 405), ("HEAD", 405)):
        path = "/" if status == 200 else "/api/v1/visits/look"
        assert (await messenger.send(method, f"{path}?ticket={token}"))[0] == status
    begins, opens = (datetime.fromisoformat(shown[name]) for name in ("scheduled_at", "arrives_from"))
    assert begins - opens == timedelta(minutes=ARRIVE_EARLY_MINUTES)
    assert datetime.fromisoformat(shown["server_now"]) < opens
    assert {name: shown[name] for name in ("role", "organisation", "clinician", "state", "minutes", "language")} == {
        "role": "interpreter", "organisation": {"name": "demo organisation", "phone": "+359 38 000 000"},
        "clinician": "Demo clinician", "state": "scheduled", "minutes": 30, "language": "bg",
    }
    assert await seats_of(server) == 0
    assert "telemed-seat" not in str(list(messenger.http.cookie_jar))
    assert (await fetchval(server, "select state from consultation")) == "scheduled"


async def test_a_link_is_not_used_up_by_joining_ten_times(server: Any) -> None:
    token = await server.ticket(await server.visit())
    browser = await server.guest()
    answers = [await browser.join(token) for _ in range(10)]
    assert [status for status, _ in answers] == [201] * 10
    assert {(answer["seat"], answer["device"], answer["seat_state"]) for _, answer in answers} == {
        (browser.seat, 1, "waiting")
    }
    assert await seats_of(server) == 1
    assert len([one for one in browser.http.cookie_jar if "seat" in one.key]) == 1


async def test_the_cookie_is_the_browsers_alone_and_ends_with_the_ticket(server: Any) -> None:
    token = await server.ticket(await server.visit())
    client = await server.anonymous()
    wanted = {"ticket": token, "language": "bg"}
    async with client.http.post("/api/v1/visits", json=wanted, headers={"Origin": server.url}) as response:
        seat, header = (await response.json())["seat"], response.headers["Set-Cookie"]
    assert header.startswith(f"telemed-seat-{seat}=")
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= {part.strip() for part in header.split(";")}
    age = int(header.split("Max-Age=")[1].split(";")[0])
    assert 23 * 3600 < age <= 24 * 3600
    hashed = await fetchval(server, "select proof_hash from seat")
    value = header.split("=", 1)[1].split(";")[0]
    assert len(value) == 43
    assert value.encode() not in bytes(hashed)


async def test_behind_tls_the_cookie_is_bound_to_the_host(server: Any) -> None:
    token = await server.ticket(await server.visit())
    server.app[keys.SETTINGS].__dict__["behind_tls"] = True
    client = await server.anonymous()
    headers = {"Origin": server.url.replace("http:", "https:")}
    wanted = {"ticket": token, "language": "bg"}
    async with client.http.post("/api/v1/visits", json=wanted, headers=headers) as response:
        seat, header = (await response.json())["seat"], response.headers["Set-Cookie"]
    assert header.startswith(f"__Host-telemed-seat-{seat}=")
    assert "Secure" in header
    cookie = header.split(";")[0]
    for sent, status in ((cookie, 200), (cookie.removeprefix("__Host-"), 401)):
        async with client.http.get(f"/api/v1/visit?as={seat}", headers={"Cookie": sent}) as response:
            assert response.status == status


async def test_a_second_device_waits_beside_the_first(server: Any) -> None:
    token = await server.ticket(await server.visit())
    phone, tablet = await server.guest(), await server.guest()
    _, first = await phone.join(token)
    status, second = await tablet.join(token)
    assert (status, first["device"], second["device"], second["seat_state"]) == (201, 1, 2, "waiting")
    assert first["seat"] != second["seat"]


@pytest.mark.parametrize("times", [2, SEATS_A_TICKET])
async def test_devices_that_join_at_once_are_numbered_without_a_hole(server: Any, times: int) -> None:
    token = await server.ticket(await server.visit())
    browsers = [await server.guest() for _ in range(times)]
    answers = await asyncio.gather(*(browser.join(token) for browser in browsers))
    assert sorted(answer["device"] for _, answer in answers) == list(range(1, times + 1))


async def test_a_link_brings_five_browsers_and_no_more(server: Any) -> None:
    token = await server.ticket(await server.visit())
    browsers = [await server.guest() for _ in range(SEATS_A_TICKET + 1)]
    answers = [await browser.join(token) for browser in browsers]
    assert [status for status, _ in answers] == [201] * SEATS_A_TICKET + [409]
    assert answers[-1][1] == {"error": {"code": "seats_full", "params": {"most": SEATS_A_TICKET}}}
    assert (await browsers[0].join(token))[0] == 201  # whoever has a seat keeps it


async def test_one_browser_holds_several_visits_and_a_sign_in(server: Any) -> None:
    first, second = await server.ticket(await server.visit()), await server.ticket(await server.visit(), "relative")
    staff = await server.client("operator")
    seats = []
    for token in (first, second):
        status, answer = await staff.post("/api/v1/visits", {"ticket": token, "language": "bg"})
        assert status == 201
        seats.append(answer["seat"])
    for seat, role in zip(seats, ("patient", "relative"), strict=True):
        assert (await staff.get(f"/api/v1/visit?as={seat}"))[1]["role"] == role
    assert (await staff.get("/api/v1/me"))[0] == 200
    assert (await staff.get(f"/api/v1/me?as={seats[0]}"))[0] == 403  # with `as` the sign-in does not count
    assert (await staff.get("/api/v1/visit"))[0] == 403  # and without it no seat does
    status, again = await staff.post("/api/v1/visits", {"ticket": first, "language": "bg"})
    assert (status, again["seat"]) == (201, seats[0])


MALFORMED = ("", "x", "A" * 43, "A" * 44, "A" * 20_000, "é" * 43, "\x00" * 43, "../../etc/passwd", "' or true --")


@pytest.mark.parametrize("ticket", MALFORMED)
async def test_a_ticket_that_is_none_is_unknown(server: Any, ticket: str) -> None:
    client = await server.guest()
    assert await look(client, ticket) == (404, {"error": {"code": "ticket_unknown", "params": {}}})
    assert await client.join(ticket) == (404, {"error": {"code": "ticket_unknown", "params": {}}})


async def test_a_body_of_another_shape_is_refused(server: Any) -> None:
    client = await server.anonymous()
    token = await server.ticket(await server.visit())
    for wrong, field in (
        ({}, "ticket"), ({"ticket": 1}, "ticket"), ({"ticket": None}, "ticket"),
        ({"ticket": token, "language": "de"}, "language"), ({"ticket": token}, "language"),
        ({"ticket": token, "language": "bg", "name": "x\ny"}, "name"),
        ({"ticket": token, "language": "bg", "name": "\x1b[31m"}, "name"),
        ({"ticket": token, "language": "bg", "name": "\u202enaicinilc omeD"}, "name"),
        ({"ticket": token, "language": "bg", "name": " "}, "name"),
        ({"ticket": token, "language": "bg", "name": "x" * 201}, "name"),
        ({"ticket": token, "language": "bg", "role": "clinician"}, "role"),
    ):
        status, answer = await client.post("/api/v1/visits", wrong)
        assert (status, answer["error"]) == (400, {"code": "invalid_request", "params": {"field": field}}), wrong
    assert await seats_of(server) == 0


async def refused(server: Any, token: str, guest: Any, code: str, status: int = 410) -> None:
    """A new browser and the one that joined hear why, and the one that joined can do nothing more."""
    fresh = await server.guest()
    for browser in (fresh, guest):
        got, answer = await browser.join(token)
        assert (got, answer["error"]["code"]) == (status, code)
    for method, path, body in (
        ("POST", "/api/v1/visit/leave", None), ("PUT", "/api/v1/visit/place", {"address": "x", "phone": ""}),
        ("POST", "/api/v1/visit/consent", {"given": True, "version": "1", "language": "bg"}),
    ):
        assert (await guest.send(method, path, body))[0] == 401


async def test_an_expired_link(server: Any) -> None:
    token = await server.ticket(await server.visit())
    guest = await server.guest()
    await guest.join(token)
    await execute(server, "update ticket set expires_at = now() - interval '1 second'")
    await refused(server, token, guest, "ticket_expired")
    assert (await look(guest, token))[1]["error"]["code"] == "ticket_expired"
    assert (await guest.get("/api/v1/visit"))[1]["error"]["code"] == "ticket_expired"


async def test_a_revoked_link_takes_its_seats_with_it(server: Any) -> None:
    consultation_id = await server.visit()
    token, other = await server.ticket(consultation_id), await server.ticket(consultation_id, "relative")
    guest, relative = await server.guest(), await server.guest()
    await guest.join(token)
    await relative.join(other)
    ticket_id = await fetchval(server, "select ticket_id from seat where id = $1", UUID(guest.seat))
    by, sealer = server.seed.accounts["operator"], server.app[keys.SEALER]
    async with server.database.transaction() as connection:
        ticket, removed = await tickets.revoke(connection, sealer, consultation_id, ticket_id, by)
        assert ticket.revoked_at is not None
        assert removed == [UUID(guest.seat)]
        again, removed = await tickets.revoke(connection, sealer, consultation_id, ticket_id, by)
        assert (again.revoked_at, removed) == (ticket.revoked_at, [])
        with pytest.raises(NotFound):
            await tickets.revoke(connection, sealer, uuid4(), ticket_id, by)
    await refused(server, token, guest, "ticket_revoked")
    assert (await guest.get("/api/v1/visit"))[1]["error"]["code"] == "ticket_revoked"
    assert (await relative.get("/api/v1/visit"))[1]["seat_state"] == "waiting"
    assert await fetchval(server, "select state from seat where id = $1", UUID(guest.seat)) == "removed"


@pytest.mark.parametrize("state", ["ended", "signed", "amended", "cancelled", "no_show"])
async def test_a_visit_that_is_over(server: Any, state: str) -> None:
    token = await server.ticket(await server.visit())
    guest = await server.guest()
    await guest.join(token)
    await execute(server, "update consultation set state = $1", state)
    await refused(server, token, guest, "visit_over")
    assert (await guest.join(token))[1]["error"]["params"] == {"state": state}
    assert (await look(guest, token))[1]["state"] == state
    status, shown = await guest.get("/api/v1/visit")
    assert (status, shown["state"]) == (200, state)  # the page tells why


async def test_a_patient_whose_key_is_destroyed_cannot_be_visited(server: Any) -> None:
    token = await server.ticket(await server.visit(), name="Demo relative")
    guest = await server.guest()
    await guest.join(token, "Demo patient 1")
    await guest.send("PUT", "/api/v1/visit/place", {"address": "Demo village 1", "phone": ""})
    await execute(server, "update patient set key_wrapped = null, sealed = null, key_destroyed_at = now()")
    fresh = await server.guest()
    for browser in (fresh, guest):
        assert (await browser.join(token))[1]["error"]["code"] == "key_destroyed"
    status, shown = await guest.get("/api/v1/visit")
    assert (status, shown["name"], shown["place"]) == (200, None, None)
    status, answer = await guest.send("PUT", "/api/v1/visit/place", {"address": "x", "phone": ""})
    assert (status, answer["error"]["code"]) == (410, "key_destroyed")
    sealer = server.app[keys.SEALER]
    async with server.database.transaction() as connection:
        found = await consultations.get(connection, sealer, UUID(shown["consultation"]))
        assert [one.name for one in await tickets.listed(connection, sealer, found.id)] == [None]
        with pytest.raises(KeyDestroyed):
            await tickets.create(connection, sealer, found, "patient", None, "bg", server.seed.accounts["operator"])


async def test_tickets_of_a_visit_are_bounded_and_end_with_it(server: Any) -> None:
    consultation_id = await server.visit()
    made = [await server.ticket(consultation_id, "relative", f"Demo relative {n}") for n in range(TICKETS_A_VISIT)]
    assert len(set(made)) == TICKETS_A_VISIT
    with pytest.raises(TicketsFull):
        await server.ticket(consultation_id)
    sealer = server.app[keys.SEALER]
    async with server.database.transaction() as connection:
        listed = await tickets.listed(connection, sealer, consultation_id)
        assert [one.name for one in listed] == [f"Demo relative {n}" for n in range(TICKETS_A_VISIT)]
        await tickets.revoke(connection, sealer, consultation_id, listed[0].id, server.seed.accounts["operator"])
    await server.ticket(consultation_id)
    await execute(server, "update consultation set state = 'ended'")
    with pytest.raises(StateRefused):
        await server.ticket(consultation_id)


async def expiry(server: Any, consultation_id: UUID) -> datetime:
    statement = "select expires_at from ticket where consultation_id = $1"
    found: datetime = await fetchval(server, statement, consultation_id)
    return found


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (datetime(2031, 6, 10, 10, 0, tzinfo=SOFIA), datetime(2031, 6, 11, 0, 0, tzinfo=SOFIA)),
        (datetime(2031, 6, 10, 0, 0, tzinfo=SOFIA), datetime(2031, 6, 11, 0, 0, tzinfo=SOFIA)),
        # An evening's appointment does not lose its people at midnight.
        (datetime(2031, 6, 10, 23, 30, tzinfo=SOFIA), datetime(2031, 6, 11, 5, 30, tzinfo=SOFIA)),
        # The days on which clocks change have 23 and 25 hours.
        (datetime(2031, 3, 30, 1, 0, tzinfo=SOFIA), datetime(2031, 3, 31, 0, 0, tzinfo=SOFIA)),
        (datetime(2031, 10, 26, 1, 0, tzinfo=SOFIA), datetime(2031, 10, 27, 0, 0, tzinfo=SOFIA)),
    ],
)
async def test_a_ticket_holds_to_the_end_of_the_appointments_day(
    server: Any, begins: datetime, ends: datetime
) -> None:
    consultation_id = await server.visit(in_minutes=60)
    await execute(server, "update consultation set scheduled_at = $1", begins)
    await server.ticket(consultation_id)
    assert await expiry(server, consultation_id) == ends.astimezone(UTC)


async def test_moving_the_appointment_moves_its_tickets(server: Any) -> None:
    consultation_id = await server.visit(in_minutes=60)
    token = await server.ticket(consultation_id)
    begins = datetime.now(SOFIA).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=3)
    operator = await server.client("operator")
    status, _ = await operator.post(
        f"/api/v1/consultations/{consultation_id}/move", {"scheduled_at": begins.isoformat(), "minutes": 30}
    )
    assert status == 200
    assert await expiry(server, consultation_id) == (begins + timedelta(hours=12)).astimezone(UTC)
    assert (await look(operator, token))[0] == 200


async def test_a_walk_ins_ticket_holds_a_day(server: Any) -> None:
    consultation_id = await server.visit()
    await server.ticket(consultation_id)
    made = await fetchval(server, "select created_at from ticket")
    assert await expiry(server, consultation_id) - made == timedelta(hours=24)


async def test_looks_and_joins_of_one_address_are_limited(server: Any) -> None:
    client, invented = await server.anonymous(), secrets.token_urlsafe(32)
    for _ in range(VISITS_PER_ADDRESS - 1):
        server.app[keys.LIMITS].count("visit", "127.0.0.1", VISITS_PER_ADDRESS)
    assert (await look(client, invented))[0] == 404
    for attempt in (look(client, invented), client.post("/api/v1/visits", {"ticket": invented, "language": "bg"})):
        status, answer = await attempt
        assert (status, answer["error"]["code"]) == (429, "too_many_attempts")
        assert 1 <= answer["error"]["params"]["seconds"] <= 60
    assert (await client.sign_in(server.seed.logins["clinician"]))["name"] == "Demo clinician"  # counted apart
