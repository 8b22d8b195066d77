"""The notices socket: who waits is known on any page, at once and only to those concerned."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from telemed.http import keys
from telemed.identity import accounts, sign_ins


async def notices(clinic: Any, support: Any, client: Any, hello: bool = True) -> Any:
    socket = await client.http.ws_connect("/ws/notices", headers={"Origin": clinic.server.url})
    peer = support.Peer(socket)
    clinic.peers.append(peer)
    peer.start()
    if hello:
        await peer.send({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid4())})
        await peer.said("waiting")
    return peer


async def another(clinic: Any, support: Any, login: str, role: str) -> Any:
    async with clinic.server.database.transaction() as connection:
        await accounts.create(connection, clinic.server.seed.organisation_id, login, f"Demo {login}",
                              support.server_tests._hashed(), [role])
    client = await clinic.server.anonymous()
    await client.sign_in(login)
    return client


async def test_a_waiting_patient_reaches_clinician_and_operator(clinic: Any, support: Any) -> None:
    pages = [await notices(clinic, support, one) for one in (clinic.clinician, clinic.operator)]
    assert all(page.messages[0] == {"type": "waiting", "waiting": []} for page in pages)
    visit = await clinic.visit(admit=False)
    for page in pages:
        told = await page.said("waiting", lambda one: one["waiting"])
        (one,) = told["waiting"]
        assert one == {"consultation": visit.consultation, "kind": "visit", "since": one["since"], "role": "patient",
                       "patient": f"Demo patient 1 {support.server_tests.CANARY}", "station": "demo station"}
        await page.said("worklist")
    await clinic.clinician.post(f"/api/v1/consultations/{visit.consultation}/admit")
    for page in pages:
        await page.said("waiting", lambda one: one["waiting"] == [], nth=1)


async def test_somebody_at_the_door_reaches_the_clinician_of_the_visit_alone(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    second = await another(clinic, support, "demo-second", "clinician")
    pages = [await notices(clinic, support, one) for one in (clinic.clinician, clinic.operator, second)]
    guest = await clinic.guest(visit, "relative", "Demo relative", admit=False)
    (one,) = (await pages[0].said("waiting", lambda one: one["waiting"]))["waiting"]
    assert (one["kind"], one["role"], one["consultation"]) == ("seat", "relative", visit.consultation)
    for page in pages[1:]:
        await page.said("worklist")
        assert all(told["waiting"] == [] for told in page.messages if told["type"] == "waiting")
    await clinic.decide(guest, "admit")
    await pages[0].said("waiting", lambda one: one["waiting"] == [], nth=1)


async def test_another_clinicians_patient_is_not_announced(clinic: Any, support: Any, stranger: Any) -> None:
    second = await another(clinic, support, "demo-second", "clinician")
    theirs = await notices(clinic, support, second)
    strangers = await notices(clinic, support, await clinic.server.client("clinician", stranger))
    seed = clinic.server.seed
    status, made = await clinic.operator.post("/api/v1/consultations", {
        "station_id": seed.station_id, "patient_id": str(seed.patients[0]),
        "clinician_id": str(seed.accounts["clinician"])})
    assert status == 201, made
    ours = await notices(clinic, support, clinic.clinician)
    assert [one["consultation"] for one in ours.messages[0]["waiting"]] == [made["id"]]
    await theirs.said("worklist")
    for page in (theirs, strangers):
        assert support.server_tests.CANARY not in json.dumps(page.messages, ensure_ascii=False)
        assert all(one["waiting"] == [] for one in page.messages if one["type"] == "waiting")
    assert not [one for one in strangers.messages if one["type"] == "worklist"]


async def test_a_patient_that_joins_by_the_link_waits_once(clinic: Any, support: Any) -> None:
    """The first browser is let in with the consultation; a second one is somebody at the door."""
    seed = clinic.server.seed
    page = await notices(clinic, support, clinic.clinician)
    status, made = await clinic.clinician.post("/api/v1/consultations", {
        "station_id": None, "patient_id": str(seed.patients[0]), "clinician_id": str(seed.accounts["clinician"])})
    assert status == 201, made
    visit = support.Visit(made["id"], "")
    guest = await clinic.guest(visit, admit=False)
    told = await page.said("waiting", lambda one: one["waiting"])
    assert [(one["kind"], one["station"]) for one in told["waiting"]] == [("visit", None)]
    await clinic.join(visit, guest.token)
    told = await page.said("waiting", lambda one: len(one["waiting"]) == 2)
    assert [one["kind"] for one in told["waiting"]] == ["visit", "seat"]


async def test_a_guests_position_follows_the_queue(clinic: Any, support: Any) -> None:
    seed = clinic.server.seed
    visits = []
    for patient in seed.patients:
        status, made = await clinic.clinician.post("/api/v1/consultations", {
            "station_id": None, "patient_id": str(patient), "clinician_id": str(seed.accounts["clinician"])})
        assert status == 201, made
        visits.append(support.Visit(made["id"], ""))
    page = await clinic.guest_page(await clinic.guest(visits[1], admit=False))
    assert page.messages[0]["visit"]["position"] == 1
    status, answer = await clinic.clinician.post(f"/api/v1/consultations/{visits[0].consultation}/admit")
    assert status == 200, answer
    await page.said("visit", lambda one: one["visit"]["position"] == 0)


@pytest.mark.parametrize(("role", "status"), [("auditor", 403), ("administrator", 403), (None, 401)])
async def test_only_staff_that_receives_patients_opens_it(clinic: Any, support: Any, role: Any, status: int) -> None:
    client = await (clinic.server.client(role) if role else clinic.server.anonymous())
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await notices(clinic, support, client)
    assert refused.value.status == status
    guest = await clinic.guest(await clinic.visit())
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await guest.client.http.ws_connect(f"/ws/notices?as={guest.seat}", headers={"Origin": clinic.server.url})
    assert refused.value.status == 403


async def test_it_ends_with_the_sign_in_and_with_the_server(clinic: Any, support: Any) -> None:
    client = await clinic.server.client("clinician")
    page, other = await notices(clinic, support, client), await notices(clinic, support, clinic.clinician)
    token = next(cookie.value for cookie in client.http.cookie_jar if cookie.key == "telemed")
    async with clinic.server.database.connection() as connection:
        await sign_ins.end(connection, sign_ins.token_hash(token))
    await page.refused("not_signed_in")
    await asyncio.wait_for(page.closed.wait(), 10)
    await clinic.server.app.shutdown()
    await asyncio.wait_for(other.closed.wait(), 10)
    assert other.socket.close_code == aiohttp.WSCloseCode.GOING_AWAY


@pytest.mark.parametrize(("text", "code"), [
    ('{"type":"state"}', "hello_expected"), ("{", "hello_expected"),
    ('{"type":"hello","protocol":9,"oldest":2,"source":"00000000-0000-4000-8000-000000000000"}', "protocol_too_old"),
])
async def test_hello_comes_first_and_is_all(clinic: Any, support: Any, text: str, code: str) -> None:
    page = await notices(clinic, support, clinic.clinician, hello=False)
    await page.socket.send_str(text)
    await page.refused(code)
    talks = await notices(clinic, support, clinic.clinician)
    await talks.send({"type": "say", "line": str(uuid4()), "text": "x"})
    await talks.refused("message_invalid")


async def test_it_stays_while_the_database_is_away(clinic: Any, support: Any, postgres: Any) -> None:
    page = await notices(clinic, support, clinic.clinician)
    await postgres.stop()
    try:
        clinic.server.app[keys.ROOMS].publish(
            f"organisation:{clinic.server.seed.organisation_id}", {"type": "waiting"})
        status, _ = await clinic.clinician.get("/api/v1/me")
        assert status == 503
    finally:
        await postgres.start()
    visit = await clinic.visit(admit=False)
    told = await page.said("waiting", lambda one: one["waiting"])
    assert told["waiting"][0]["consultation"] == visit.consultation
    assert not page.closed.is_set()
