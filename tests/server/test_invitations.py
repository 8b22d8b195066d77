"""An invitation's words in both languages, its picture and its calendar file, and the ticket that it hands over."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from icalendar import Calendar
from telemed_web import LANGUAGES, catalogue, words

from telemed.consultation import invitations
from telemed.consultation.invitations import Invitation

LINK = "https://visits.example.org/#/join/" + "a" * 43
PHONE = "+359 38 000 000"
WHEN = datetime(2027, 3, 5, 12, 30, tzinfo=UTC)
ROLES = ("patient", "relative", "interpreter", "second_clinician")


def invitation(**other: Any) -> Invitation:
    plain = Invitation("patient", LINK, "Demo organisation", PHONE, "Europe/Sofia", "Demo clinician", WHEN, 30)
    return replace(plain, **other)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("at", [WHEN, None])
@pytest.mark.parametrize("clinician", ["Demo clinician", None])
@pytest.mark.parametrize("phone", [PHONE, ""])
def test_every_invitation_says_who_when_what_and_whom_to_call(
    language: str, role: Any, at: datetime | None, clinician: str | None, phone: str
) -> None:
    text = invitations.text(
        invitation(role=role, scheduled_at=at, clinician=clinician, phone=phone), language
    )
    assert "{" not in text  # every parameter has its value
    assert "Demo organisation" in text
    assert ("Demo clinician" in text) is (clinician is not None)
    assert f"\n\n{LINK}\n\n" in text  # alone on its line, so that telephones make it a link
    assert words(invitations.JOIN_BUTTON, {}, language) in text
    assert "112" in text
    assert (PHONE in text) is bool(phone)
    assert ("14:30" in text) is (at is not None)
    assert catalogue(language)["invitation.alone"] in text
    asked = {"en": "whether you agree", "bg": "дали сте съгласни"}[language]
    assert (asked in text) is (role in {"patient", "relative"})
    if role == "patient":
        assert {"en": "reading glasses", "bg": "за четене"}[language] in text
        assert {"en": "medicines", "bg": "лекарствата"}[language] in text
        assert {"en": "identity card", "bg": "личната Ви карта"}[language] in text
    assert max(len(line) for line in text.splitlines()) < 400


def test_the_day_is_in_the_languages_form_and_the_organisations_zone() -> None:
    assert "петък, 05.03.2027 г., в 14:30 ч. Предвидете около 30 минути." in invitations.text(invitation(), "bg")
    assert "Friday, 05 March 2027, at 14:30. Allow about 30 minutes." in invitations.text(invitation(), "en")
    summer = invitation(scheduled_at=datetime(2027, 7, 31, 22, 5, tzinfo=UTC))
    assert "неделя, 01.08.2027 г., в 01:05 ч." in invitations.text(summer, "bg")
    assert "(UTC+03:00)" in invitations.text(replace(summer, role="relative"), "bg")
    assert "UTC" not in invitations.text(summer, "bg")  # a patient is not troubled with it
    elsewhere = invitation(zone="Europe/Lisbon", role="interpreter")
    assert "12:30" in invitations.text(elsewhere, "en")
    assert "Europe/Lisbon (UTC+00:00)" in invitations.text(elsewhere, "en")


def test_the_subject_says_what_and_when_and_nobodys_name() -> None:
    assert invitations.subject(invitation(), "bg") == "Видеоконсултация на 05.03.2027 г. в 14:30 ч."
    assert invitations.subject(invitation(), "en") == "Video visit on 05 March 2027 at 14:30"
    assert invitations.subject(invitation(scheduled_at=None), "bg") == "Покана за видеоконсултация"


def test_the_picture_is_paths_alone_and_reads_as_the_link() -> None:
    picture = invitations.qr(LINK)
    assert not re.search(r"style|script|href|xlink|on\w+=", picture)
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {one.tag.rpartition("}")[2] for one in root.iter()} <= {"svg", "g", "path"}
    _, _, width, height = root.attrib["viewBox"].split()
    assert width == height
    assert invitations.qr(LINK) == picture
    assert invitations.qr(LINK + "x") != picture


def test_an_email_holds_text_a_pressable_link_and_the_calendar_file_and_no_second_header() -> None:
    wild = invitation(organisation="Demo\r\nBcc: evil@example.org <b>&", clinician="<script>alert(1)</script>")
    message = invitations.email(wild, "bg", "visits@example.org", "somebody@example.net", "BEGIN:VCALENDAR\r\n")
    raw = message.as_bytes()
    assert b"\r\nBcc:" not in raw
    assert message["To"].addresses[0].addr_spec == "somebody@example.net"
    assert message["From"].addresses[0].addr_spec == "visits@example.org"
    page = message.get_body(("html",))
    assert page is not None
    shown = page.get_content()
    assert "<script>" not in shown
    assert f'<a href="{LINK}">' in shown
    assert "src=" not in shown


async def appointment(server: Any, minutes: float = 24 * 60) -> tuple[Any, str, datetime]:
    """An operator, the path of an appointment of the first patient, and when it is."""
    operator = await server.client("operator")
    when = (datetime.now(UTC) + timedelta(minutes=minutes)).replace(microsecond=0)
    status, made = await operator.post("/api/v1/consultations", {
        "station_id": None, "patient_id": str(server.seed.patients[0]), "scheduled_at": when.isoformat(),
        "clinician_id": str(server.seed.accounts["clinician"]), "minutes": 45,
    })
    assert status == 201, made
    return operator, f"/api/v1/consultations/{made['id']}", when


async def test_an_invitation_is_shown_once_and_its_link_invites(server: Any) -> None:
    operator, path, when = await appointment(server)
    administrator = await server.client("administrator")
    await administrator.send("PATCH", "/api/v1/organisation", {"phone": PHONE})
    status, made = await operator.post(f"{path}/tickets", {
        "role": "patient", "name": "Demo guest", "language": "bg", "email": None,
    })
    assert status == 201, made
    assert made["mail"] is None
    assert made["link"].startswith(f"{server.url}/#/join/")
    token = made["link"].rpartition("/")[2]
    assert len(token) == 43
    for language in LANGUAGES:
        assert made["link"] in made["words"][language]
        assert PHONE in made["words"][language]
        assert "Demo clinician" in made["words"][language]
        for name in ("Canary", "Канарче", "Demo guest"):
            assert name not in made["words"][language] + made["subject"][language] + made["calendar"]
    assert made["qr"].startswith("<svg ")
    _, listed = await operator.get(f"{path}/tickets")
    (ticket,) = listed["tickets"]
    assert ticket == made["ticket"]
    assert token not in str(listed)

    anonymous = await server.anonymous()
    status, looked = await anonymous.post("/api/v1/visits/look", {"ticket": token})
    assert (status, looked["role"]) == (200, "patient")
    for _ in range(2):
        status, revoked = await operator.delete(f"{path}/tickets/{ticket['id']}")
        assert status == 200
        assert revoked["revoked_at"] is not None
    status, refused = await anonymous.post("/api/v1/visits/look", {"ticket": token})
    assert (status, refused["error"]["code"]) == (410, "ticket_revoked")
    assert when > datetime.now(UTC)


async def test_the_calendar_file_follows_the_appointment(server: Any) -> None:
    operator, path, when = await appointment(server)
    _, made = await operator.post(f"{path}/tickets", {"role": "patient", "language": "en"})
    first = Calendar.from_ical(made["calendar"])
    (event,) = first.walk("VEVENT")
    assert first["METHOD"] == "PUBLISH"
    assert (event["SEQUENCE"], event["STATUS"], event["CLASS"]) == (0, "CONFIRMED", "PRIVATE")
    assert event.decoded("DTSTART") == when
    assert b"DTSTART:" + f"{when:%Y%m%dT%H%M%SZ}".encode() in first.to_ical()
    assert event.decoded("DTEND") - event.decoded("DTSTART") == timedelta(minutes=45)
    assert str(event["SUMMARY"]) == "Video visit"
    assert str(event["URL"]) == made["link"]
    (alarm,) = event.walk("VALARM")
    assert alarm.decoded("TRIGGER") == timedelta(minutes=-30)

    later = when + timedelta(hours=2)
    status, moved = await operator.post(f"{path}/move", {"scheduled_at": later.isoformat(), "minutes": 45})
    assert status == 200, moved
    again = await calendar(operator, path)
    (newer,) = again.walk("VEVENT")
    assert newer["UID"] == event["UID"]
    assert (newer["SEQUENCE"], newer.decoded("DTSTART")) == (1, later)
    assert "join" not in again.to_ical().decode().replace("\r\n ", "")

    assert (await operator.post(f"{path}/cancel"))[0] == 200
    cancelled = await calendar(operator, path)
    (gone,) = cancelled.walk("VEVENT")
    assert cancelled["METHOD"] == "CANCEL"
    assert (gone["UID"], gone["STATUS"], gone["SEQUENCE"]) == (event["UID"], "CANCELLED", 2)
    assert gone.walk("VALARM") == []
    status, refused = await operator.post(f"{path}/tickets", {"role": "patient", "language": "en"})
    assert (status, refused["error"]["code"]) == (409, "state_refused")


async def calendar(client: Any, path: str) -> Any:
    async with client.http.get(f"{path}/calendar") as response:
        assert response.status == 200
        assert response.content_type == "text/calendar"
        assert "attachment" in response.headers["Content-Disposition"]
        return Calendar.from_ical(await response.text())


async def test_a_walk_in_is_invited_for_now_and_its_calendar_file_reminds_of_nothing(server: Any) -> None:
    operator = await server.client("operator")
    path = f"/api/v1/consultations/{await server.visit()}"
    status, made = await operator.post(f"{path}/tickets", {"role": "relative", "language": "en"})
    assert status == 201, made
    assert "When: now." in made["words"]["en"]
    for file in (Calendar.from_ical(made["calendar"]), await calendar(operator, path)):
        (event,) = file.walk("VEVENT")
        assert event.decoded("DTSTART") <= datetime.now(UTC)
        assert event.walk("VALARM") == []


@pytest.mark.parametrize("wrong", [
    {"role": "clinician"}, {"language": "de"}, {"name": ""}, {"name": "a\nb"}, {"name": "a" * 201}, {"more": 1},
    {"email": ""}, {"email": "a@b"}, {"email": "a@b.example\n"}, {"email": "a@b.example\r\nBcc: c@d.example"},
    {"email": "a@b.example,c@d.example"}, {"email": "Somebody <a@b.example>"}, {"email": "a b@c.example"},
    {"email": "а@b.example"}, {"email": "a" * 65 + "@b.example"}, {"email": "a@" + "b" * 64 + ".example"},
    {"email": "a@b..example"}, {"email": ".a@b.example"}, {"email": "a@-b.example"}, {"email": '"a"@b.example'},
    {"email": "a@" + ".".join(["b" * 60] * 5)}, {"email": "a@[127.0.0.1]"},
])  # fmt: skip
async def test_a_wrong_request_makes_no_ticket(server: Any, wrong: dict[str, Any]) -> None:
    operator = await server.client("operator")
    path = f"/api/v1/consultations/{await server.visit()}"
    status, refused = await operator.post(f"{path}/tickets", {"role": "patient", "language": "bg", **wrong})
    assert (status, refused["error"]["code"]) == (400, "invalid_request")
    assert (await operator.get(f"{path}/tickets"))[1] == {"tickets": []}


async def test_who_may_not_invite(server: Any, stranger: Any) -> None:
    path = f"/api/v1/consultations/{await server.visit()}"
    wanted = {"role": "patient", "language": "bg"}
    assert (await (await server.anonymous()).post(f"{path}/tickets", wanted))[0] == 401
    assert (await (await server.client("auditor")).post(f"{path}/tickets", wanted))[0] == 403
    assert (await (await server.client("operator", stranger)).post(f"{path}/tickets", wanted))[0] == 404
    operator = await server.client("operator")
    nothing = f"/api/v1/consultations/{server.seed.organisation_id}"
    for method, place in (
        ("POST", f"{nothing}/tickets"), ("GET", f"{nothing}/tickets"), ("GET", f"{nothing}/calendar"),
        ("DELETE", f"{path}/tickets/{server.seed.organisation_id}"), ("DELETE", f"{path}/tickets/x"),
    ):
        assert (await operator.send(method, place, wanted if method == "POST" else None))[0] == 404, place
