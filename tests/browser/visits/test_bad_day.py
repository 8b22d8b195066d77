"""Visits on a bad day: what goes wrong is said in words, the visit goes on, and nobody presses anything for it."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import aiohttp
import asyncpg
import pytest

from telemed.store.embedded import OWNER_ROLE, EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE_NUMBER = "+359 38 000 000"  # the demo's own
INTERRUPTED_SECONDS = 10.0 + 5.0  # the server's patience, and a busy machine
RELOADS = 10
DAY_OFF = """(() => {
  const day = 86_400_000, Native = Date;
  window.Date = class extends Native {
    constructor(...given) { if (given.length) super(...given); else super(Native.now() + day); }
    static now() { return Native.now() + day; }
  };
  const origin = performance.timeOrigin;
  Object.defineProperty(performance, 'timeOrigin', {get: () => origin + day});
})();"""
END_CAMERA = """() => {
  for (const peer of window.__peers)
    for (const sender of peer.getSenders())
      if (sender.track?.kind === 'video') sender.track.dispatchEvent(new Event('ended'));
}"""
MARKUP = '<img src=x onerror="window.__ran = true"><script>window.__ran = true</script>'


async def see_each_other(clinician: Any, patient: Any) -> None:
    """The pictures of both move at the other, and there are no others."""
    await clinician.sees(f"{await patient.id()} camera")
    await patient.sees(f"{await clinician.id()} camera")


async def seats(clinic: Any, consultation: str) -> list[dict[str, Any]]:
    """Everybody who joined with a link."""
    tickets = (await clinic.api("demo-operator", "GET", f"/api/v1/consultations/{consultation}/tickets"))["tickets"]
    return [seat for ticket in tickets for seat in ticket["seats"]]


async def test_a_second_device_waits_and_is_refused(clinic: Any) -> None:
    consultation, clinician, patient, link = await clinic.home_call()
    other = await clinic.guest(link)
    await clinic.joins(other)
    assert await other.page.locator("[data-stage=waiting]").get_attribute("data-seat") == "waiting"
    assert "вече тече" in await other.text(), "it is told that the visit runs already"
    at_door = clinician.page.locator("[data-seat=waiting]")
    assert "2" in await at_door.inner_text(), "the clinician sees that it is the second device"
    await at_door.locator("[data-decide=refuse]").click()
    await other.stands("refused")
    assert "Не бяхте допуснати" in await other.text() and PHONE_NUMBER in await other.text()
    await see_each_other(clinician, patient)
    assert [seat["state"] for seat in await seats(clinic, consultation)] == ["admitted", "refused"]
    await other.page.reload()
    await other.page.locator("[data-fault=seat_refused] a.phone-link").wait_for()  # asked who invites, too
    assert "Не бяхте допуснати" in await other.text(), "the refusal stays"


async def test_a_messenger_that_looks_at_the_link_uses_nothing(clinic: Any) -> None:
    consultation = await clinic.home_visit(ahead_minutes=30)
    link, _ = await clinic.link(consultation)
    async with aiohttp.ClientSession() as messenger:
        for method in ("HEAD", "GET", "GET"):
            async with messenger.request(method, link) as answer:
                assert answer.status == 200
        for _ in range(3):
            async with messenger.post(
                f"{clinic.demo.url}/api/v1/visits/look", json={"ticket": link.rsplit("/", 1)[1]}
            ) as answer:
                assert answer.status == 200 and not answer.cookies
    assert await seats(clinic, consultation) == []
    assert await clinic.state(consultation) == "scheduled"
    patient = await clinic.guest(link)
    await clinic.joins(patient)
    assert [seat["device"] for seat in await seats(clinic, consultation)] == [1]
    assert await clinic.state(consultation) == "waiting"


async def test_a_patient_that_reloads_is_back_by_itself(clinic: Any) -> None:
    consultation, clinician, patient, _ = await clinic.home_call()
    await see_each_other(clinician, patient)
    who = await patient.id()
    for _ in range(RELOADS):
        await patient.page.reload()
        await patient.stands("call")
        assert set(await clinician.pictures()) <= {f"{who} camera"}, "nobody is there twice"
    await see_each_other(clinician, patient)
    assert [seat["id"] for seat in await seats(clinic, consultation)] == [who]
    assert await clinic.state(consultation) == "live"


async def _expire(clinic: Any, ticket: str) -> None:
    """The ticket's last day is over."""
    database = await asyncpg.connect(EmbeddedPostgres(clinic.demo.home).url(OWNER_ROLE))
    try:
        done = await database.execute(
            "UPDATE ticket SET created_at = created_at - interval '3 days', expires_at = now() - interval '1 minute'"
            " WHERE id = $1", ticket,
        )  # fmt: skip
        assert done == "UPDATE 1"
    finally:
        await database.close()


@pytest.mark.parametrize("how", ["expired", "revoked", "ended", "cancelled", "unknown"])
async def test_a_dead_link_says_why_and_whom_to_call(clinic: Any, how: str) -> None:
    consultation = await clinic.home_visit(ahead_minutes=30 if how == "cancelled" else 0)
    link, ticket = await clinic.link(consultation)
    path = f"/api/v1/consultations/{consultation}"
    if how == "expired":
        await _expire(clinic, ticket)
    elif how == "revoked":
        await clinic.api("demo-operator", "DELETE", f"{path}/tickets/{ticket}")
    elif how == "ended":
        await clinic.api("demo-clinician", "POST", f"{path}/admit")
        await clinic.api("demo-clinician", "POST", f"{path}/end")
    elif how == "cancelled":
        await clinic.api("demo-operator", "POST", f"{path}/cancel")
    else:
        link = link[:-4] + "AAAA"
    guest = await clinic.guest(link)
    place = {"ended": "[data-stage=over]", "cancelled": "[data-stage=cancelled]"}.get(how, f"[data-fault=ticket_{how}]")
    await guest.page.locator(place).wait_for()
    assert re.search(r"[а-я]{4,}.*\.", await guest.page.locator(".lead").inner_text()), "a sentence says what to do"
    assert "112" in await guest.text()
    if how != "unknown":  # whose link it was nobody can tell
        assert await guest.page.locator(".phone-link", has_text=PHONE_NUMBER).count() == 1


async def test_the_clinicians_browser_is_closed_in_the_middle(clinic: Any) -> None:
    consultation, clinician, patient, _ = await clinic.home_call()
    await see_each_other(clinician, patient)
    await clinician.close()
    closed = time.monotonic()

    async def interrupted() -> bool:
        return bool(await clinic.state(consultation) == "interrupted")

    await patient.until(interrupted, "the visit is interrupted", INTERRUPTED_SECONDS)
    print(f"interrupted after {time.monotonic() - closed:.1f} s")
    await patient.page.locator("[data-note=away]").wait_for()
    again = await clinic.staff("demo-clinician", f"/consultations/{consultation}")
    await see_each_other(again, patient)

    async def live() -> bool:
        return bool(await clinic.state(consultation) == "live")

    await patient.until(live, "the visit goes on")
    await patient.page.locator("[data-note=away]").wait_for(state="detached")


async def test_a_camera_that_may_not_be_used(clinic: Any) -> None:
    """Denied before: a guide, and the call all the same. Allowed later: seen and heard without a click."""
    consultation = await clinic.home_visit()
    link, _ = await clinic.link(consultation)
    patient = await clinic.guest(link, asked=True, permissions=[])
    await clinic.joins(patient)
    await patient.press("devices")
    denied = patient.page.locator(".trouble[data-permission=denied]")
    await denied.first.wait_for()
    assert await denied.first.locator("svg").count() >= 1, "a picture of where to press"
    clinician = await clinic.staff("demo-clinician", f"/consultations/{consultation}")
    await clinician.press("admit")
    await patient.stands("call")
    await patient.page.locator("[data-trouble=camera_denied]").wait_for()
    await patient.page.locator("[data-trouble=microphone_denied]").wait_for()
    await patient.sees(f"{await clinician.id()} camera")
    assert await clinician.pictures() == {}
    await patient.allows("camera", "microphone")
    await see_each_other(clinician, patient)


async def test_a_permission_that_is_taken_back_in_the_call(clinic: Any) -> None:
    _, clinician, patient, _ = await clinic.home_call(asked=True)
    await see_each_other(clinician, patient)
    await patient.allows("microphone")
    await patient.page.locator("[data-trouble=camera_denied]").wait_for()
    await patient.sees(f"{await clinician.id()} camera")
    await clinician.hears(880)
    await patient.allows("camera", "microphone")
    await see_each_other(clinician, patient)
    await patient.page.locator("[data-note=devices]").wait_for(state="detached")


async def test_a_camera_that_is_unplugged(clinic: Any) -> None:
    _, clinician, patient, _ = await clinic.home_call()
    await see_each_other(clinician, patient)
    await patient.page.evaluate(END_CAMERA)
    await patient.page.locator("[data-trouble=camera_missing]").wait_for()
    await clinician.hears(880)
    await patient.sees(f"{await clinician.id()} camera")
    await patient.page.locator("[data-note=devices] .big").first.click()
    await see_each_other(clinician, patient)


async def test_a_phone_whose_clock_is_a_day_off(clinic: Any) -> None:
    """The door of the appointment opens by the server's clock; the call and the chat do not mind."""
    consultation = await clinic.home_visit(ahead_minutes=90)
    link, _ = await clinic.link(consultation)
    early = await clinic.person(viewport={"width": 390, "height": 844})
    await early.context.add_init_script(DAY_OFF)
    await early.page.goto(link)
    counted = early.page.locator("[data-early=true] .countdown")
    await counted.wait_for()
    minutes = re.search(r"(\d+) минут", await counted.inner_text())
    assert minutes is not None and int(minutes[1]) in (29, 30), await counted.inner_text()
    assert re.search("днес|утре", (await early.text()).lower()), "by the server's clock, not by the phone's"

    consultation = await clinic.home_visit()
    link, _ = await clinic.link(consultation)
    await early.page.goto("about:blank")
    await early.page.goto(link)
    await clinic.joins(early)
    clinician = await clinic.staff("demo-clinician", f"/consultations/{consultation}")
    await clinician.press("admit")
    await see_each_other(clinician, early)
    await early.says("Часовникът ми е сгрешен.")
    await clinician.reads("Часовникът ми е сгрешен.")


async def test_markup_and_a_file_that_lies_do_nothing(clinic: Any) -> None:
    consultation, clinician, patient, _ = await clinic.home_call()
    await patient.says(MARKUP)
    await clinician.reads(MARKUP)
    for person in (clinician, patient):
        assert await person.page.locator(".chat-text img, .chat-text script").count() == 0
        assert await person.page.evaluate("window.__ran === undefined")
    await patient.shares("photo.jpg", "image/jpeg", b"\x7fELF" + bytes(2000))
    fault = patient.page.locator("[data-pending=refused] .chat-fault")
    await fault.wait_for()
    assert re.search(r"[а-я]{4,}.*\.", await fault.inner_text()), "a sentence that says what to do"
    lines = await clinic.api("demo-clinician", "GET", f"/api/v1/consultations/{consultation}/chat")
    assert [line["text"] for line in lines["lines"]] == [MARKUP]
    assert await clinician.files() == []


async def test_two_clinicians_let_in_at_once(clinic: Any) -> None:
    consultation = await clinic.home_visit()
    link, _ = await clinic.link(consultation)
    patient = await clinic.guest(link)
    await clinic.joins(patient)
    both = [
        await clinic.staff(login, f"/consultations/{consultation}") for login in ("demo-clinician", "demo-clinician-2")
    ]
    for one in both:
        await one.page.locator("[data-command=admit]").wait_for()
    await asyncio.gather(*(one.page.locator("[data-command=admit]").click(force=True) for one in both))
    await patient.stands("call")

    async def standings() -> list[str]:
        found = [str(await one.page.locator("[data-standing]").get_attribute("data-standing")) for one in both]
        return found if sorted(found) == ["clinician", "other"] else []

    found = await patient.until(standings, "one leads it and the other does not")
    winner, loser = (both[found.index(one)] for one in ("clinician", "other"))
    await loser.page.locator(".live-notes .over-note, .live-notes .error-note").first.wait_for()
    assert "друг лекар" in await loser.page.locator(".live-notes").inner_text()
    await see_each_other(winner, patient)
    assert await loser.pictures() == {}
