"""Every page and state of a visit, in both languages: axe finds nothing, nothing is cut off, no button is small."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location("telemed_tests_inspection", Path(__file__).with_name("inspection.py"))
assert _SPEC is not None and _SPEC.loader is not None
inspection_module = importlib.util.module_from_spec(_SPEC)
sys.modules["telemed_tests_inspection"] = inspection_module
_SPEC.loader.exec_module(inspection_module)

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOP_SECONDS = 60.0  # the twenty of the line's measurement, on busy cores
LATER = timedelta(days=3, hours=2, minutes=10)
DENY = """navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('refused', 'NotAllowedError'));
navigator.permissions.query = () => Promise.resolve({state: 'denied', onchange: null, addEventListener() {}});"""
LONG = "Много дълго съобщение, което се пренася на няколко реда: " + "ДълготоНепренасяемоДумище" * 3


@pytest.fixture
def inspection() -> Any:
    """A new inspection."""
    return inspection_module.Inspection()


async def goes(clinic: Any, person: Any, where: str) -> None:
    """Open this address as for the first time."""
    await person.page.goto("about:blank")
    await person.page.goto(f"{clinic.demo.url}/#{where}")


async def test_pages_before_the_visit(clinic: Any, inspection: Any) -> None:
    guest = await clinic.guest(f"{clinic.demo.url}/#/join/{'x' * 43}")
    await guest.stands("fault")
    await inspection.look(guest, "join-unknown", guest=True)

    link, ticket = await clinic.link(await clinic.home_visit(ahead_minutes=int(LATER.total_seconds() / 60)))
    await guest.page.goto(link)
    await guest.stands("invitation")
    await guest.page.locator("[data-early=true]").wait_for()
    await inspection.look(guest, "join-early", guest=True)

    async def expired(route: Any) -> None:
        # The sentence of an expired link; none is old enough in a demo of one minute.
        await route.fulfill(status=410, json={"error": {"code": "ticket_expired", "message": "", "params": {}}})

    await guest.page.route("**/api/v1/visits/look", expired)
    await goes(clinic, guest, link.split("#")[1])
    await guest.page.locator("[data-fault=ticket_expired]").wait_for()
    await inspection.look(guest, "join-expired", guest=True)
    await guest.page.unroute("**/api/v1/visits/look")

    link, ticket = await clinic.link(await clinic.home_visit())
    await guest.page.goto(link)
    await guest.stands("invitation")
    await inspection.look(guest, "join-invitation", guest=True)
    await guest.press("join")
    await guest.stands("place")
    await inspection.look(guest, "join-place", guest=True)
    await guest.page.locator("[name=address]").fill("Демо село, ул. Демо 1")
    await guest.page.locator("[data-stage=place] button[type=submit]").click()
    await guest.stands("waiting")
    await guest.page.locator(".mirror video").wait_for()
    await inspection.look(guest, "waiting-consent", guest=True)
    await guest.press("agree")
    await guest.page.locator("[data-given=true]").wait_for()
    await inspection.look(guest, "waiting-agreed", guest=True)
    await guest.press("leave")
    await guest.stands("left")
    await inspection.look(guest, "left", guest=True)
    consultation = (await clinic.api("demo-operator", "GET", "/api/v1/consultations?state=waiting"))["consultations"]
    for one in consultation:
        tickets = (await clinic.api("demo-operator", "GET", f"/api/v1/consultations/{one['id']}/tickets"))["tickets"]
        if any(each["id"] == ticket for each in tickets):
            await clinic.api("demo-operator", "DELETE", f"/api/v1/consultations/{one['id']}/tickets/{ticket}")
    other = await clinic.guest(link)
    await other.page.locator("[data-fault=ticket_revoked]").wait_for()
    await inspection.look(other, "join-revoked", guest=True)
    inspection.report()


async def test_the_check(clinic: Any, inspection: Any) -> None:
    guest = await clinic.guest(f"{clinic.demo.url}/#/check", permissions=[])
    steps = guest.page.locator(".actions button")
    await guest.page.locator("[data-step=camera]").wait_for()
    await inspection.look(guest, "check-camera", guest=True)
    if await guest.page.locator(".mirror video").count() == 0:
        await steps.first.click()
    await guest.page.locator(".mirror video").wait_for()
    await inspection.look(guest, "check-camera-on", guest=True)
    await steps.first.click()
    await guest.page.locator("[data-step=microphone]").wait_for()
    if await guest.page.locator(".heard").count() == 0:
        await inspection.look(guest, "check-microphone", guest=True)
        await steps.first.click()
    await guest.page.locator(".heard.is-heard").wait_for()
    await inspection.look(guest, "check-microphone-on", guest=True)
    await steps.first.click()
    await guest.page.locator("[data-step=speaker]").wait_for()
    await inspection.look(guest, "check-speaker", guest=True)
    await steps.first.click()
    await steps.nth(2).wait_for()
    await steps.nth(2).click()
    await guest.page.locator(".trouble").wait_for()
    await inspection.look(guest, "check-speaker-unheard", guest=True)
    await steps.first.click()
    await guest.page.locator("[data-step=line]").wait_for()
    await inspection.look(guest, "check-line", guest=True)
    await steps.first.click()
    await guest.page.locator("progress").wait_for()
    await inspection.look(guest, "check-line-measuring", guest=True)

    denied = await clinic.person(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    await denied.context.add_init_script(DENY)
    await denied.page.goto(f"{clinic.demo.url}/#/check")
    await denied.page.locator("[data-step=camera]").wait_for()
    if await denied.page.locator("[data-permission=denied]").count() == 0:
        await denied.page.locator(".actions button").first.click()
    await denied.page.locator("[data-permission=denied] .guide").wait_for()
    await inspection.look(denied, "check-denied", guest=True)

    await guest.page.locator("[data-verdict]").wait_for(timeout=LOOP_SECONDS * 1000)
    await inspection.look(guest, "check-line-done", guest=True)
    await steps.first.click()
    await guest.page.locator("[data-step=result]").wait_for()
    await inspection.look(guest, "check-result", guest=True)
    inspection.report()


async def test_the_call(clinic: Any, inspection: Any) -> None:
    """A visit at the station with the patient's relative on a phone: every page of the call on both sides."""
    rows = (await clinic.api("demo-operator", "GET", "/api/v1/consultations"))["consultations"]
    consultation = next(one["id"] for one in rows if one["station"] is not None and one["state"] == "waiting")
    clinician = await clinic.staff("demo-clinician", f"/consultations/{consultation}")
    page = clinician.page
    await page.locator("[data-command=admit]").first.wait_for()
    await inspection.look(clinician, "live-waiting")
    await clinician.press("admit")
    link, _ = await clinic.link(consultation, "relative")
    guest = await clinic.guest(link)
    await clinic.joins(guest)
    await page.locator("[data-seat=waiting] [data-decide=admit]").wait_for()
    await page.locator("canvas[data-lead='II'][data-head]").first.wait_for()
    await inspection.look(clinician, "live-examine-door")
    await page.locator("[data-seat=waiting] [data-decide=admit]").click()
    await guest.stands("call")
    await guest.until(guest.pictures, "a picture")
    await inspection.look(guest, "call", guest=True)
    await guest.says("Добър ден, докторе!")
    await clinician.says(LONG)
    await guest.reads(LONG)
    await inspection.look(guest, "call-chat", guest=True)
    await inspection.look(clinician, "live-chat")
    await guest.page.locator(".in-sheet .is-close").click()
    await guest.press("people")
    await guest.page.locator("[data-sheet=people]").wait_for()
    await inspection.look(guest, "call-people", guest=True)
    await guest.page.locator(".in-sheet .is-close").click()
    await page.locator("[data-tab=patient]").click()
    await page.locator("[data-command=place]").wait_for()
    await inspection.look(clinician, "live-patient")
    await page.locator("[data-command=share-vitals]").click()
    await guest.page.locator(".in-stage.has-vitals").wait_for()
    await guest.page.locator(".in-stage [data-value]").first.wait_for()
    await inspection.look(guest, "call-vitals", guest=True)
    await guest.press("text")
    await guest.press("text")
    await inspection.look(guest, "call-biggest", guest=True)
    await guest.press("chat")
    await guest.page.locator("[data-sheet=chat]").wait_for()
    await inspection.look(guest, "call-biggest-chat", guest=True)
    await guest.page.locator(".in-sheet .is-close").click()
    await guest.press("leave")
    await guest.page.locator("dialog[open]").wait_for()
    await inspection.look(guest, "call-leave", guest=True)
    await guest.page.locator("dialog button").first.click()
    await guest.press("text")

    await clinician.press("layout")
    await page.locator("[data-layout=talk]").wait_for()
    await inspection.look(clinician, "live-talk")
    await page.locator("[data-tab=people]").click()
    for question in ("handover", "colleague", "invite", "keys", "end"):
        await clinician.press(question)
        await page.locator("dialog[open]").wait_for()
        if question in ("handover", "colleague"):
            await page.locator("dialog [name=colleague]").first.wait_for()
        await inspection.look(clinician, f"live-{question}")
        await page.keyboard.press("Escape")
        await page.locator("dialog").wait_for(state="detached")

    second = await guest.context.new_page()
    await second.goto(link)
    await guest.stands("elsewhere")
    await inspection.look(guest, "elsewhere", guest=True)
    await guest.press("here")
    await guest.stands("call")
    await second.close()
    await page.locator(f"[data-person='{await guest.id()}'] [data-decide=remove]").click()
    await page.locator("dialog[open] .danger").wait_for()
    await inspection.look(clinician, "live-remove")
    await page.locator("dialog .danger").click()
    await guest.stands("removed")
    await inspection.look(guest, "removed", guest=True)

    desk = await clinic.staff("demo-operator", f"/consultations/{consultation}/desk")
    await desk.page.locator(".standing[data-state=live]").wait_for()
    await inspection.look(desk, "desk-live")
    await clinician.press("end")
    await page.locator("dialog .danger").click()
    await page.locator("[data-tiles='0']").wait_for()
    await inspection.look(clinician, "live-over")
    await clinician.press("end")
    await page.locator("#note-text").fill("Кръвното налягане е добро.")
    await page.locator("canvas").first.wait_for()
    await inspection.look(clinician, "review-draft")
    await page.locator(".note-foot .primary").click()
    await page.locator("dialog[open] .primary").wait_for()
    await inspection.look(clinician, "review-sign")
    await page.locator("dialog .primary").click()
    await page.locator("[data-version='1']").wait_for()
    await inspection.look(clinician, "review-signed")
    await page.locator(".visit-note > button").click()
    await page.locator("#note-amended").fill("Кръвното налягане е добро. Контрол след месец.")
    await inspection.look(clinician, "review-amend")
    await page.locator(".visit-note form input").fill("Пропуснат контрол")
    await page.locator(".visit-note form button[type=submit]").click()
    await page.locator("[data-version='2']").first.wait_for()
    await page.locator("details.versions summary").click()
    await inspection.look(clinician, "review-amended")
    inspection.report()


async def test_a_visit_at_home(clinic: Any, inspection: Any) -> None:
    consultation, clinician, patient, _ = await clinic.home_call()
    await clinician.until(clinician.pictures, "a picture")
    await inspection.look(clinician, "live-home")
    await clinician.page.locator("[data-tab=chat]").click()
    await inspection.look(clinician, "live-home-chat")
    await clinician.page.locator("[data-tab=patient]").click()
    await clinician.press("phone")
    await patient.page.locator("[data-note=phone]").wait_for()
    await inspection.look(clinician, "live-home-phone")
    await inspection.look(patient, "call-phone", guest=True)
    await clinic.api("demo-clinician", "POST", f"/api/v1/consultations/{consultation}/end")
    await patient.stands("over")
    await inspection.look(patient, "over", guest=True)
    inspection.report()


async def test_the_work_list(clinic: Any, inspection: Any) -> None:
    soon = await clinic.home_visit(ahead_minutes=30)
    await clinic.home_visit(ahead_minutes=int(LATER.total_seconds() / 60))
    waiting = await clinic.home_visit()
    clinician = await clinic.staff("demo-clinician")
    page = clinician.page
    await page.locator(f"[data-consultation='{waiting}']").wait_for()
    await inspection.look(clinician, "worklist")
    await page.locator(f"[data-consultation='{soon}'] .menu-button").click()
    await page.locator(".menu-list").wait_for()
    await inspection.look(clinician, "worklist-menu")
    await page.keyboard.press("Escape")
    await page.locator(".bell button").first.click()
    await page.locator(".bell-list .bell-row").first.wait_for()
    await inspection.look(clinician, "bell")
    await page.keyboard.press("Escape")

    await page.locator("[data-action=new-appointment]").first.click()
    await page.locator("dialog input[type=search]").wait_for()
    await inspection.look(clinician, "appointment-search")
    await page.locator("dialog input[type=search]").fill("zzzzz")
    await page.locator("dialog .empty").wait_for()
    await inspection.look(clinician, "appointment-none")
    await page.locator("dialog .picker-new button").first.click()
    await page.locator("dialog .new-patient .identifiers button").click()
    await page.locator("dialog form button[type=submit]").click()
    await page.locator("dialog [aria-invalid=true]").first.wait_for()
    await inspection.look(clinician, "appointment-new-patient")
    await page.locator("dialog .dialog-actions button").first.click()
    await page.locator("dialog input[type=search]").fill("Demo")
    await page.locator("dialog .found button").first.wait_for()
    await inspection.look(clinician, "appointment-found")
    await page.locator("dialog .found button").first.click()
    await page.locator("dialog .chosen-patient").wait_for()
    await inspection.look(clinician, "appointment-details")
    await page.locator("dialog .one-of input[value=now]").check(force=True)
    await inspection.look(clinician, "appointment-now")
    await page.keyboard.press("Escape")

    row = page.locator(f"[data-consultation='{soon}']")
    await row.locator(".row-actions > button").first.click()
    await page.locator("dialog .invite form").wait_for()
    await inspection.look(clinician, "invite-form")
    await page.locator("dialog .invite form button[type=submit]").click()
    await page.locator("dialog [data-link]").wait_for()
    link = str(await page.locator("dialog [data-link]").get_attribute("href"))
    await inspection.look(clinician, "invite-words")
    guest = await clinic.guest(link)
    await clinic.joins(guest)
    await page.locator("dialog .invite > .dialog-actions button").click()
    row = page.locator(f"[data-consultation='{soon}'][data-state=waiting]")
    await row.locator(".menu-button").click()
    await row.locator(".menu-list button").first.click()
    await page.locator("dialog .ticket-seat").wait_for()
    await page.locator("dialog .ticket > button").first.click()
    await inspection.look(clinician, "invite-list")
    await page.keyboard.press("Escape")

    later = page.locator("[data-state=scheduled]").last
    for at, question in enumerate(("arrive", "move", "miss")):
        await later.locator(".menu-button").click()
        await later.locator(".menu-list button").nth(at).click()
        await page.locator("dialog[open]").wait_for()
        await inspection.look(clinician, f"worklist-{question}")
        await page.keyboard.press("Escape")
        await page.locator("dialog").wait_for(state="detached")

    async def nobody(route: Any) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json={**await answer.json(), "consultations": []})

    await page.route("**/api/v1/consultations?*", nobody)
    await page.route("**/api/v1/consultations", nobody)
    await goes(clinic, clinician, "/")
    await page.locator(".empty").first.wait_for()
    await inspection.look(clinician, "worklist-empty")
    inspection.report()


async def test_the_operator_and_other_roles(clinic: Any, inspection: Any) -> None:
    operator = await clinic.staff("demo-operator")
    page = operator.page

    async def next_patient() -> Any:
        waiting = (await clinic.api("demo-operator", "GET", "/api/v1/consultations?state=waiting"))["consultations"]
        return next((one["id"] for one in waiting if one["station"] is not None), None)

    # The demo connects its waiting patient again and again; it leaves the station alone while a visit goes on.
    waits = await operator.until(next_patient, "the demo's next patient waits")
    await clinic.api("demo-clinician", "POST", f"/api/v1/consultations/{waits}/admit")
    await page.locator(".station-link").first.wait_for()
    await inspection.look(operator, "worklist-operator")
    await page.locator(".station-link").first.click()
    await page.locator("[data-action=confirm]").wait_for()
    await inspection.look(operator, "station")
    await page.locator("[data-action=confirm]").click()
    await page.locator("[data-step=find]").wait_for()
    await inspection.look(operator, "station-find")
    await page.locator("[data-step=find] .picker-new button").nth(1).click()
    await page.locator(".new-patient").wait_for()
    await inspection.look(operator, "station-unknown")
    await page.locator(".new-patient button[type=submit]").click()
    await page.locator("[data-step=read]").wait_for()
    await inspection.look(operator, "station-read")
    await page.locator("[data-answer=yes]").click()
    await page.locator(".provisional-note").wait_for()
    await inspection.look(operator, "station-attached")
    await page.locator(".provisional-note button").click()
    await page.locator("dialog[open]").wait_for()
    await page.locator("dialog input[type=search]").fill("Дем")
    await inspection.look(operator, "station-merge")
    await page.locator("dialog .dialog-actions button").first.click()
    await page.locator("[data-action=release]").click()
    await page.locator("dialog[open] .danger").wait_for()
    await inspection.look(operator, "station-release")
    await page.keyboard.press("Escape")

    at = (datetime.now(UTC) + timedelta(minutes=45)).isoformat()
    patients = (await clinic.api("demo-operator", "GET", "/api/v1/patients"))["patients"]
    wanted = {"station_id": None, "patient_id": patients[0]["id"], "scheduled_at": at}
    desk = (await clinic.api("demo-operator", "POST", "/api/v1/consultations", wanted))["id"]
    await goes(clinic, operator, f"/consultations/{desk}/desk")
    await page.locator(".standing[data-state=scheduled]").wait_for()
    await inspection.look(operator, "desk-scheduled")
    for login in ("demo-admin", "demo-auditor"):
        person = await clinic.staff(login)
        await person.page.locator(".rights").wait_for()
        await inspection.look(person, f"role-{login}")
    inspection.report()
