"""What a hostile guest gets out of a room: nothing that is not its own, whatever it sends."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemed.consultation import attendance, pages, rendering
from telemed.consultation.chat import Author, Line
from telemed.consultation.door import Colleague, Room
from telemed.consultation.files import FileBrief
from telemed.consultation.people import PageState, Present
from telemed.consultation.rendering import Viewer
from telemed.consultation.seats import Seat
from telemed.consultation.states import State
from telemed.http import keys
from telemed.vitals import watch

CLINICIANS_MESSAGES = ["mute", "admit", "refuse", "remove", "end", "handover", "share", "vitals", "phone", "invite"]


async def denials(clinic: Any) -> list[tuple[str, str, str | None]]:
    async with clinic.server.database.connection() as connection:
        rows = await connection.fetch(
            "select actor_kind, action, object_id, patient_id from audit_event where outcome = 'deny' order by id")
    return [(row["actor_kind"], row["action"], row["object_id"]) for row in rows]


@pytest.mark.parametrize("admit", [True, False])
async def test_forged_clinicians_messages_are_refused_and_audited(clinic: Any, support: Any, admit: bool) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "relative", admit=admit)
    page, other = await clinic.guest_page(guest), await clinic.page(visit)
    for kind in CLINICIANS_MESSAGES:
        await page.send({"type": kind, "participant": other.messages[0]["me"], "seat": guest.seat, "shared": True})
    await page.said("error", nth=len(CLINICIANS_MESSAGES) - 1)
    assert {one["error"]["code"] for one in page.messages if one["type"] == "error"} == {"forbidden"}
    assert not page.closed.is_set()
    written = await denials(clinic)
    assert len(written) == len(CLINICIANS_MESSAGES)
    assert {(kind, place) for kind, _, place in written} == {("guest", visit.consultation)}
    tried = {action for _, action, _ in written}
    assert {"seat.admit", "seat.remove", "consultation_socket.mute", "consultation.end"} <= tried
    assert not [one for one in other.messages if one["type"] == "muted"]


async def test_who_waits_says_nothing_watches_nothing_and_hears_nothing(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "interpreter", admit=False)
    page, staff = await clinic.guest_page(guest), await clinic.page(visit)
    await page.send({"type": "say", "line": str(uuid4()), "text": "let me in"})
    await page.send({"type": "watch", "stream": 1, "view": "raw"})
    await page.send({"type": "unwatch", "view": 1})
    await page.said("error", nth=2)
    await staff.send({"type": "say", "line": str(uuid4()), "text": "canary for those inside"})
    await staff.said("chat", lambda one: one["lines"])
    await page.send({"type": "state", "camera": True, "microphone": True, "screen": True, "network": "good"})
    await staff.said("people", lambda one: [who for who in one["people"] if who["camera"]])
    assert "canary" not in json.dumps(page.messages)
    assert {action for _, action, _ in await denials(clinic)} == {
        "consultation_socket.say", "consultation_socket.watch"}


async def test_no_staff_field_reaches_a_guests_socket(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    app, seed = clinic.server.app, clinic.server.seed
    inside = await clinic.guest(visit, "relative", "CANARY-relative")
    observer = await clinic.guest(visit, "interpreter", "Demo interpreter")
    door = await clinic.guest(visit, "patient", "CANARY-door", admit=False)
    await clinic.clinician.send("PUT", f"/api/v1/consultations/{visit.consultation}/place",
                                {"address": "CANARY-address", "phone": "+359 000"})
    await clinic.clinician.send("PUT", f"/api/v1/consultations/{visit.consultation}/draft", {"text": "CANARY-draft"})
    async with clinic.server.database.connection() as connection:
        await connection.execute("update account set name = 'CANARY-operator' where id = $1", seed.accounts["operator"])
        await connection.execute("update station set name = 'CANARY-station', place = 'CANARY-place'")
    station = await clinic.station()
    await station.send({"type": "status", "queue": {"chunks": 4, "bytes": 1}, "call": {"state": "idle"},
                        "scenario": "CANARY-scenario"})
    wave = support.ecg(1, support.now_us())
    wave.device = "CANARY-device"
    await clinic.announced(station, wave, visit.attachment)
    guests = [await clinic.guest_page(inside), await clinic.guest_page(door), page := await clinic.guest_page(observer)]
    operator = await clinic.page(visit, client=clinic.operator)
    await operator.send({"type": "say", "line": str(uuid4()), "text": "from the station"})
    await guests[0].send({"type": "say", "line": str(uuid4()), "text": "translated"})
    await page.said("chat", lambda one: one["lines"] and one["lines"][-1]["n"] == 2)
    app[keys.ROOMS].publish(f"consultation:{visit.consultation}", {"type": "people"})
    await clinic.clinician.post(f"/api/v1/consultations/{visit.consultation}/phone", {"on": True})
    for one in guests:
        await one.said("visit", lambda told: told["visit"]["phone_since"])
    async with observer.client.http.get(observer.path("/chat")) as response:
        assert "CANARY" not in await response.text()
    wire = json.dumps(page.messages, ensure_ascii=False)
    assert "CANARY" not in wire and "Canary" not in wire  # patients are called that in the seed
    assert str(seed.patients[0]) not in wire
    assert "CANARY-relative" in json.dumps(guests[0].messages)  # its own
    other = json.dumps(guests[0].messages + guests[1].messages, ensure_ascii=False)
    assert not {word for word in ("CANARY-operator", "CANARY-station", "CANARY-draft", "CANARY-device",
                                  "CANARY-scenario", "Канарче") if word in other}
    assert "CANARY-operator" in json.dumps(operator.messages)


async def test_a_guest_of_one_visit_is_nobody_in_another(clinic: Any, stranger: Any) -> None:
    visit, other = await clinic.visit(), await clinic.visit(1, admit=False)
    guest = await clinic.guest(visit)
    for consultation, status in ((other.consultation, 404), (str(uuid4()), 404), ("x", 404)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await guest.client.http.ws_connect(
                f"/ws/consultations/{consultation}?as={guest.seat}", headers={"Origin": clinic.server.url})
        assert refused.value.status == status
    for path in ("/chat", "/files/" + str(uuid4())):
        status, _ = await guest.client.get(f"/api/v1/consultations/{other.consultation}{path}?as={guest.seat}")
        assert status == 404
    for seat, origin, status in ((str(uuid4()), clinic.server.url, 401), ("x", clinic.server.url, 401),
                                 (guest.seat, "http://elsewhere.example", 403)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await guest.client.http.ws_connect(
                f"/ws/consultations/{visit.consultation}?as={seat}", headers={"Origin": origin})
        assert refused.value.status == status


async def test_a_flood_of_refusals_ends_the_socket_and_not_the_audit(clinic: Any, monkeypatch: Any) -> None:
    visit = await clinic.visit()
    monkeypatch.setattr(watch, "REFUSED_PER_MINUTE", 20)
    page = await clinic.guest_page(await clinic.guest(visit, "relative"))
    for _ in range(60):
        await page.socket.send_str(json.dumps({"type": "mute", "participant": "x"}))
    await page.refused("too_many_messages")
    await asyncio.wait_for(page.closed.wait(), 10)
    assert len(await denials(clinic)) <= 40


async def test_who_says_too_much_is_not_heard_for_connecting_again(clinic: Any, monkeypatch: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "relative")
    monkeypatch.setattr(attendance, "SAY_PER_MINUTE", 3)
    for turn in range(2):
        page = await clinic.guest_page(guest)
        for n in range(4):
            await page.send({"type": "say", "line": str(uuid4()), "text": f"{turn} {n}"})
        await page.said("error", lambda told: told["error"]["code"] == "too_many_messages")
    _, told = await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/chat")
    assert [one["text"] for one in told["lines"]][:3] == ["0 0", "0 1", "0 2"]
    assert len(told["lines"]) <= 4  # one more after 20 s, which a busy machine may take


def test_the_pace_of_many_people_is_kept_in_bounded_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(pages, "PACES_KEPT", 10)
    room, kept = uuid4(), pages.Pages()
    first = kept.pace(room, "0", "say", 60)
    for n in range(9):
        assert kept.pace(room, "0", "say", 60) is first
        kept.pace(room, str(n + 1), "say", 60)
    assert kept.pace(room, "0", "mute", 60) is not first
    assert kept.pace(room, "0", "say", 60) is first
    for n in range(10):
        kept.pace(room, f"another {n}", "say", 60)
    assert kept.pace(room, "0", "say", 60) is not first


@pytest.mark.parametrize("text", [
    "{", "[]", '{"type":"muted"}', '{"type":["say"]}',
    "null", '"say"', '{"type":null}', '{"type":["mute"]}', '{"type":{"a":1}}', '{"type":"say"}',
    '{"type":"state","camera":"yes","microphone":true,"screen":true,"network":"good"}',
    '{"type":"state","camera":true,"microphone":true,"screen":true,"network":"<b>"}', '{"type":"mute"}x',
    '{"type":"say","line":"1","text":"x"}', '{"type":"hello","protocol":1,"oldest":1}', "[" * 50_000, "\u0000",
    '{"type":"welcome","people":[]}', '{"type":"chat","lines":[],"through":9}',
])
async def test_what_is_no_message_is_refused_and_the_socket_stays(clinic: Any, text: str) -> None:
    visit = await clinic.visit()
    page = await clinic.guest_page(await clinic.guest(visit, "relative"))
    await page.socket.send_str(text)
    await page.refused("message_invalid")
    await page.send({"type": "say", "line": str(uuid4()), "text": "still here"})
    await page.said("chat", lambda one: one["lines"])


NAMES = st.text(alphabet="abcXYZ<>&\"'\u202e\x00 Ж", min_size=1, max_size=20).map(lambda text: f"SECRET{text}")
ROLES = st.sampled_from(["patient", "relative", "interpreter"])


@given(names=st.lists(NAMES, min_size=8, max_size=8), roles=st.lists(ROLES, min_size=3, max_size=3),
       admitted=st.booleans())
def test_no_name_of_others_gets_through_the_renderers(names: list[str], roles: list[Any], admitted: bool) -> None:
    seats = [Seat(uuid4(), uuid4(), role, 1, "waiting" if n == 2 else "admitted", names[n], "bg", datetime.now(UTC))
             for n, role in enumerate(roles)]
    operator = str(uuid4())
    room = Room(uuid4(), uuid4(), uuid4(), 1, names[3], Colleague(uuid4(), "Demo clinician"), (), State.LIVE, False, 0,
                (), False)
    present = [Present(operator, "account", "operator", True, uuid4(), PageState())]
    viewer = Viewer(str(seats[0].id), False, admitted)
    shown: list[Any] = rendering.people(
        rendering.gather(room, seats, present, {operator: names[4]}, station_online=True, publications=[]), viewer)
    file = FileBrief(uuid4(), "a.txt", "text/plain", 1, "0" * 64)
    authors = [Author(str(seat.id), "guest", seat.role, seat.name) for seat in seats[1:]]
    shown += [rendering.line(Line(1, uuid4(), datetime.now(UTC), one, "", file), viewer) for one in authors]
    shown.append(rendering.publications([{"id": "1", "by": "patient", "secret": names[5]}], viewer))
    shown.append(rendering.sender_report({"type": "sender_report", "address": names[6]}))
    assert str(shown).replace(repr(names[0]), "").count("SECRET") == 0 or names[0] in names[1:]
    if not admitted:
        assert {one["role"] for one in shown if "here" in one} == {"clinician"}
    assert all(one.get("name") for one in shown if isinstance(one, dict) and one.get("role") == "clinician")
    assert {UUID(one["id"]) for one in shown if isinstance(one, dict) and one.get("seat") == "waiting"} == set()


def test_renderers_name_every_field_they_give() -> None:
    """A field that is added to what the server knows of a person does not reach a page by itself."""
    known = {one.name for one in dataclasses.fields(rendering.Person)}
    person = rendering.people([rendering.Person("a", "account", "clinician", "x")], Viewer("b", True, True))[0]
    assert set(person) == (known - {"state"}) | {"camera", "microphone", "screen", "network"}


def test_a_pace_lets_a_minute_of_messages_through_and_then_one_by_one() -> None:
    now = [0.0]
    pace = pages.Pace(60, lambda: now[0])
    for _ in range(60):
        pace.take()
    with pytest.raises(pages.TooManyMessages):
        pace.take()
    now[0] += 1.0
    pace.take()
    with pytest.raises(pages.TooManyMessages):
        pace.take()
