"""The room part of the consultation socket: who is there, who sees what, and who has to go."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from telemed_devices.gatt import encode_heart_rate

from telemed.http import keys
from telemed.identity import accounts

STATE = {"type": "state", "camera": True, "microphone": False, "screen": False, "network": "fair"}


async def gone(page: Any, code: str) -> None:
    """The page was told the code, last of all, and closed with it."""
    await page.refused(code)
    await asyncio.wait_for(page.closed.wait(), 10)
    assert (page.socket.close_code, page.messages[-1]["error"]["code"]) == (4000, code)


def person(message: dict[str, Any], who: str) -> dict[str, Any]:
    return next((one for one in message["people"] if one["id"] == who), {})


async def second_clinician(clinic: Any, support: Any) -> tuple[Any, str]:
    """Another clinician of the organisation, signed in, and the account's id."""
    async with clinic.server.database.transaction() as connection:
        account = await accounts.create(
            connection, clinic.server.seed.organisation_id, "demo-second", "Demo second clinician",
            support.server_tests._hashed(), ["clinician"])
    client = await clinic.server.anonymous()
    await client.sign_in("demo-second")
    return client, str(account.id)


async def test_a_guest_waits_and_is_let_in(clinic: Any) -> None:
    visit = await clinic.visit()
    clinicians = await clinic.page(visit)
    me = str(clinic.server.seed.accounts["clinician"])
    guest = await clinic.guest(visit, "relative", "Demo relative", admit=False)
    page = await clinic.guest_page(guest)
    welcome = page.messages[0]
    assert set(welcome) == {"type", "protocol", "server", "visit", "me", "publications", "people", "streams"}
    assert (welcome["me"], welcome["visit"]["seat_state"], welcome["publications"]) == (guest.seat, "waiting", [])
    assert [one["id"] for one in welcome["people"]] == [me]
    assert welcome["people"][0]["name"] == "Demo clinician" and welcome["people"][0]["here"]
    at_door = await clinicians.said("people", lambda one: person(one, guest.seat).get("here"))
    assert person(at_door, guest.seat) == {
        "id": guest.seat, "kind": "guest", "role": "relative", "name": "Demo relative", "seat": "waiting", "device": 1,
        "here": True, "camera": False, "microphone": False, "screen": False, "network": "unknown"}
    await clinic.decide(guest, "admit")
    await page.said("visit", lambda one: one["visit"]["seat_state"] == "admitted")
    inside = await page.said("people", lambda one: person(one, guest.seat))
    assert {one["role"] for one in inside["people"]} == {"clinician", "relative", "station"}
    assert (await page.said("chat"))["lines"] == []
    await page.send(STATE)
    said = await clinicians.said("people", lambda one: person(one, guest.seat).get("camera"))
    assert person(said, guest.seat)["network"] == "fair"
    await page.close()
    await clinicians.said("people", lambda one: person(one, guest.seat).get("here") is False)
    assert not [one for one in page.messages if one["type"] in ("consultation", "station")]


async def test_guests_see_names_of_clinicians_and_their_own_alone(clinic: Any) -> None:
    visit = await clinic.visit()
    patient = await clinic.guest(visit, "patient", "Demo patient 1")
    relative = await clinic.guest(visit, "relative", "Demo relative")
    operators = await clinic.page(visit, client=clinic.operator)
    assert operators.messages[0]["me"] == str(clinic.server.seed.accounts["operator"])
    pages = [await clinic.guest_page(one) for one in (patient, relative)]
    names = {one["role"]: one["name"] for one in pages[1].messages[0]["people"]}
    assert names == {"clinician": "Demo clinician", "operator": None, "patient": None, "relative": "Demo relative",
                     "station": None}
    everybody = await operators.said("people", lambda one: person(one, relative.seat).get("here"))
    assert {one["name"] for one in everybody["people"]} == {
        "Demo clinician", "Demo operator", "Demo patient 1", "Demo relative", "demo station"}


async def test_the_newest_page_of_a_person_counts(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "relative")
    clinicians = await clinic.page(visit)
    older, newer = await clinic.guest_page(guest), await clinic.guest_page(guest)
    await older.said("elsewhere")
    await older.send({**STATE, "network": "poor"})
    await newer.send(STATE)
    await clinicians.said("people", lambda one: person(one, guest.seat).get("network") == "fair")
    assert sum(one["id"] == guest.seat for one in clinicians.messages[-1]["people"]) == 1
    assert not [one for one in clinicians.messages if one["type"] == "people"
                and person(one, guest.seat).get("network") == "poor"]
    await older.close()
    people = clinic.server.app[keys.PEOPLE]
    assert [one.id for one in people.present(_uuid(visit))].count(guest.seat) == 1
    again = await clinic.guest_page(guest, source=newer.source)  # the same page, its line having dropped
    await gone(newer, "page_replaced")
    assert guest.seat in [one.id for one in people.present(_uuid(visit))]
    assert not [one for one in again.messages if one["type"] == "elsewhere"]
    await again.close()
    await support.until(lambda: guest.seat not in [one.id for one in people.present(_uuid(visit))], "nobody is here")


async def test_one_person_has_a_bounded_number_of_pages(clinic: Any) -> None:
    visit = await clinic.visit()
    pages = [await clinic.page(visit) for _ in range(9)]
    await gone(pages[0], "page_replaced")
    assert not any(page.closed.is_set() for page in pages[1:])


async def test_vital_signs_reach_a_guest_only_while_they_are_shared(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    wave = support.ecg(1, support.now_us())
    pulse = support.Numbers(2, "heart_rate", "gatt:2a37", wave.started_us)
    for stream in (wave, pulse):
        await clinic.announced(station, stream, visit.attachment)
    guest = await clinic.guest(visit)
    page = await clinic.guest_page(guest)
    assert page.messages[0]["streams"] == []
    await page.send({"type": "watch", "stream": 1, "view": "raw"})
    await page.refused("forbidden")
    vitals = f"/api/v1/consultations/{visit.consultation}/vitals"
    assert (await clinic.clinician.post(vitals, {"shared": True}))[0] == 200
    listed = await page.said("streams", lambda one: len(one["streams"]) == 2)
    assert (await page.said("visit", lambda one: one["visit"]["vitals_shared"]))
    await page.send({"type": "watch", "stream": listed["streams"][0]["stream"], "view": "raw"})
    hub = clinic.server.app[keys.HUB]
    await support.until(lambda: hub._views, "it is watched")
    await station.socket.send_bytes(wave.packed(0))
    await station.socket.send_bytes(pulse.packed(0, encode_heart_rate(72), wave.started_us))
    await page.said("numeric")
    await support.until(lambda: page.frames, "a frame")
    assert (await clinic.clinician.post(vitals, {"shared": False}))[0] == 200
    await page.said("streams", lambda one: one["streams"] == [])
    await support.until(lambda: not hub._views, "nothing is watched")
    await station.socket.send_bytes(wave.packed(1))
    await clinic.acked(station, 1, 1)
    assert len(page.frames) == 1


async def test_unsharing_in_the_database_alone_ends_views_too(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    await clinic.announced(station, support.ecg(1, support.now_us()), visit.attachment)
    await clinic.clinician.post(f"/api/v1/consultations/{visit.consultation}/vitals", {"shared": True})
    page = await clinic.guest_page(await clinic.guest(visit))
    assert len(page.messages[0]["streams"]) == 1
    async with clinic.server.database.connection() as connection:
        await connection.execute("update consultation set vitals_shared = false")
    await page.said("streams", lambda one: one["streams"] == [])


@pytest.mark.parametrize(("decision", "code"), [("refuse", "seat_refused"), ("remove", "seat_removed")])
async def test_who_is_refused_or_removed_goes_at_once(clinic: Any, decision: str, code: str) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "interpreter", admit=decision == "remove")
    page = await clinic.guest_page(guest)
    clinicians = await clinic.page(visit)
    await clinic.decide(guest, decision)
    await gone(page, code)
    told = [one for one in page.messages if one["type"] == "visit"][-1]
    assert told["visit"]["seat_state"] == {"refuse": "refused", "remove": "removed"}[decision]
    await clinicians.said("people", lambda one: not person(one, guest.seat))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await clinic.guest_page(guest)
    assert refused.value.status == 401


async def test_a_removal_in_the_database_alone_is_noticed(clinic: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "relative")
    page = await clinic.guest_page(guest)
    async with clinic.server.database.connection() as connection:
        await connection.execute("update seat set state = 'removed' where id = $1", _id(guest.seat))
    await gone(page, "seat_removed")


async def test_who_leaves_is_gone_on_every_page_and_may_come_back(clinic: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "relative")
    pages = [await clinic.guest_page(guest) for _ in range(2)]
    status, shown = await guest.client.post(f"/api/v1/visit/leave?as={guest.seat}")
    assert (status, shown["seat_state"]) == (200, "left")
    for page in pages:
        await gone(page, "seat_left")
    back = await clinic.join(visit, guest.token, guest.client)
    assert (back.seat, back.shown["seat_state"]) == (guest.seat, "admitted")
    page = await clinic.guest_page(back)
    assert page.messages[0]["people"]


async def test_a_revoked_ticket_and_an_ended_visit_let_their_guests_go(clinic: Any) -> None:
    visit = await clinic.visit()
    guests = [await clinic.guest(visit, role) for role in ("relative", "interpreter")]
    pages = [await clinic.guest_page(one) for one in guests]
    path = f"/api/v1/consultations/{visit.consultation}/tickets"
    _, listed = await clinic.clinician.get(path)
    ticket = next(one["id"] for one in listed["tickets"] if one["role"] == "relative")
    assert (await clinic.clinician.delete(f"{path}/{ticket}"))[0] in (200, 204)
    await gone(pages[0], "seat_removed")
    staff = await clinic.page(visit)
    await clinic.end(visit)
    await gone(pages[1], "visit_over")
    assert [one for one in pages[1].messages if one["type"] == "visit"][-1]["visit"]["state"] == "ended"
    await staff.said("consultation", lambda one: one["consultation"]["state"] == "ended")
    await staff.send({"type": "say", "line": str(uuid4()), "text": "too late"})
    await staff.refused("state_refused")


async def test_handover_and_uninviting_take_effect_at_once(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    second, account = await second_clinician(clinic, support)
    base = f"/api/v1/consultations/{visit.consultation}"
    guest = await clinic.guest(visit)
    guests = await clinic.guest_page(guest)
    assert (await clinic.clinician.post(f"{base}/participants", {"account_id": account}))[0] in (200, 201)
    page = await clinic.page(visit, client=second)
    roles = {one["id"]: one["role"] for one in page.messages[0]["people"]}
    assert roles[account] == "second_clinician"
    await guests.said("people", lambda one: person(one, account).get("name") == "Demo second clinician")
    assert (await clinic.clinician.delete(f"{base}/participants/{account}"))[0] in (200, 204)
    await gone(page, "forbidden")
    former = await clinic.page(visit)
    me = str(clinic.server.seed.accounts["clinician"])
    assert (await clinic.clinician.post(f"{base}/handover", {"clinician_id": account}))[0] == 200
    told = await former.said("people", lambda one: person(one, account).get("role") == "clinician")
    assert person(told, me)["role"] == "second_clinician"
    newer = await clinic.page(visit, client=second)
    assert {one["id"]: one["role"] for one in newer.messages[0]["people"]}[account] == "clinician"


async def test_an_operator_is_there_without_waves(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    await clinic.announced(station, support.ecg(1, support.now_us()), visit.attachment)
    page = await clinic.page(visit, client=clinic.operator)
    assert page.messages[0]["streams"] == [] and page.messages[0]["station"]["online"]
    await page.send({"type": "watch", "stream": 1, "view": "raw"})
    await page.refused("forbidden")
    line = str(uuid4())
    await page.send({"type": "say", "line": line, "text": "The patient is connected."})
    told = await page.said("chat", lambda one: one["lines"])
    assert told["lines"][0]["by"] == {
        "id": page.messages[0]["me"], "role": "operator", "name": "Demo operator"}


async def test_a_page_is_asked_to_mute_itself(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "relative")
    page, clinicians = await clinic.guest_page(guest), await clinic.page(visit)
    await clinicians.send({"type": "mute", "participant": guest.seat})
    await page.said("muted")
    await clinicians.send({"type": "mute", "participant": str(uuid4())})
    await clinicians.refused("participant_unknown")
    assert not [one for one in clinicians.messages if one["type"] == "muted"]


async def test_a_visit_without_a_station(clinic: Any) -> None:
    seed = clinic.server.seed
    status, made = await clinic.clinician.post("/api/v1/consultations", {
        "station_id": None, "patient_id": str(seed.patients[0]), "clinician_id": str(seed.accounts["clinician"])})
    assert status == 201, made

    class AtHome:
        consultation = made["id"]

    page = await clinic.page(AtHome)
    assert page.messages[0]["station"] == {"online": False, "status": None}
    guest = await clinic.guest(AtHome, admit=False)
    guests = await clinic.guest_page(guest)
    assert guests.messages[0]["visit"]["seat_state"] == "waiting"
    status, answer = await clinic.clinician.post(f"/api/v1/consultations/{made['id']}/admit")
    assert status == 200, answer
    await guests.said("visit", lambda one: one["visit"]["seat_state"] == "admitted")
    assert {one["role"] for one in (await guests.said("people", lambda one: person(one, guest.seat)))["people"]} == {
        "clinician", "patient"}


async def test_publications_reach_those_who_were_let_in(clinic: Any) -> None:
    visit = await clinic.visit()
    inside, outside = await clinic.guest(visit), await clinic.guest(visit, "relative", admit=False)
    pages = [await clinic.guest_page(one) for one in (inside, outside)]
    staff = await clinic.page(visit)
    shown = {"id": str(uuid4()), "by": "clinician", "participant": "x", "source": "camera", "kinds": ["audio"]}
    rooms = clinic.server.app[keys.ROOMS]
    topic = f"consultation:{visit.consultation}"
    rooms.publish(topic, {"type": "publications", "publications": [{**shown, "address": "canary"}]})
    rooms.publish(topic, {"type": "sender_report", "publication": shown["id"], "kind": "audio",
                          "ntp_ms": 1.0, "rtp": 2, "address": "canary"})
    for page in (pages[0], staff):
        assert (await page.said("publications"))["publications"] == [shown]
        assert "address" not in await page.said("sender_report")
    assert not [one for one in pages[1].messages if one["type"] in ("publications", "sender_report")]


def _uuid(visit: Any) -> UUID:
    return _id(visit.consultation)


def _id(text: str) -> UUID:
    return UUID(text)

async def test_a_program_that_only_looks_takes_nobodys_place(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    clinicians = await clinic.page(visit)
    looker = await clinic.page(visit, hello=False)
    await looker.hello(page=False)
    people = clinic.server.app[keys.PEOPLE]
    assert [one.page for one in people.present(_uuid(visit)) if one.kind == "account"] == [clinicians.source]
    await clinicians.send({"type": "say", "line": str(uuid4()), "text": "Demo line"})
    for page in (clinicians, looker):
        await page.said("chat", lambda one: one["lines"])
        assert not [one for one in page.messages if one["type"] == "elsewhere"]
    await looker.close()
    assert [one.page for one in people.present(_uuid(visit)) if one.kind == "account"] == [clinicians.source]
    # Nobody from outside looks on unseen.
    guest = await clinic.guest(visit, "relative")
    await clinic.guest_page(guest, said={"page": False})
    assert guest.seat in [one.id for one in people.present(_uuid(visit))]
