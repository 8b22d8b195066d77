"""Whole visits with Firefox ESR on one side: first the patient's, then the clinician's."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEYOND_LOOPBACK = True  # Firefox sends no media to loopback's address
PHONE_SIZE = {"width": 390, "height": 844}
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


class Fox:
    """Somebody whose page is in Firefox."""

    def __init__(self, stage: Any, scripts: Any, firefox: Any) -> None:
        self._stage = stage
        self._scripts = scripts
        self.firefox = firefox

    async def finds(self, script: str, what: str) -> None:
        """This becomes true on the page."""

        async def true() -> bool:
            return bool(await self.firefox.do("evaluate", script=script))

        try:
            await self._stage.until(true, 60, what)
        except pytest.fail.Exception:
            pytest.fail(f"not within 60 s: {what}; the page says:\n{await self.text()}")

    async def text(self) -> str:
        """Everything that the page says."""
        return str(await self.firefox.do("evaluate", script="document.body.innerText"))

    async def stands(self, name: str) -> None:
        """The page of a visit is this one."""
        await self.finds(f"document.querySelector('[data-stage={name}]') !== null", f"the page stands at {name}")

    async def click(self, selector: str) -> None:
        """Click what this selects."""
        await self.firefox.do("click", selector=selector)

    async def pictures(self) -> dict[str, int]:
        """Tile to frames decoded."""
        return dict(await self.firefox.do("evaluate", script=f"({self._scripts.PICTURES})()"))

    async def sees(self, *tiles: str) -> None:
        """These pictures and no others are on the page, and every one of them moves."""
        before = await self.pictures()

        async def all_move() -> bool:
            now = await self.pictures()
            return set(now) == set(tiles) and all(self._scripts.moved(before, one, now[one]) for one in tiles)

        try:
            await self._stage.until(all_move, 60, "pictures")
        except pytest.fail.Exception:
            pytest.fail(f"wanted {sorted(tiles)}; before {before}; now {await self.pictures()}")

    async def draws(self, *leads: str) -> None:
        """These leads are on the page and go on."""
        first: dict[str, int] = {}

        async def all_go_on() -> bool:
            heads = dict(await self.firefox.do("evaluate", script=f"({self._scripts.HEADS})()"))
            for lead, head in heads.items():
                first.setdefault(lead, head)
            return all(heads.get(lead, 0) > first.get(lead, 0) for lead in leads)

        await self._stage.until(all_go_on, 60, f"the leads {', '.join(leads)} go on")

    async def says(self, text: str) -> None:
        """Write a line in the open chat; it is confirmed."""
        await self.firefox.do("fill", selector="[data-chat-text]", text=text)
        await self.click("[data-command=say]")
        await self.finds(f"[...document.querySelectorAll('.is-mine[data-line] .chat-text')].some((one) => "
                         f"one.textContent === '{text}')", "the line is confirmed")

    async def reads(self, text: str) -> None:
        """The open chat has this line."""
        await self.finds(f"[...document.querySelectorAll('.chat-line[data-line] .chat-text')].some((one) => "
                         f"one.textContent === '{text}')", f"{text} is in the chat")


async def waiting_at_the_station(clinic: Any) -> tuple[str, int]:
    """The demo's own patient, who waits connected to the station: the consultation and the station."""

    async def there() -> dict[str, Any] | None:
        rows = (await clinic.api("demo-operator", "GET", "/api/v1/consultations?state=waiting"))["consultations"]
        return next((one for one in rows if one["attachment_id"] is not None), None)

    found = await clinic.stage.until(there, 30, "somebody waits at the station")
    return str(found["id"]), int(found["station"]["id"])


async def test_a_patient_with_firefox(clinic: Any, open_firefox: Any, clinic_scripts: Any) -> None:
    consultation, station = await waiting_at_the_station(clinic)
    link, ticket = await clinic.link(consultation)
    clinician = await clinic.staff("demo-clinician", "/help")
    async with open_firefox() as firefox:
        print(await firefox.do("version"))
        patient = Fox(clinic.stage, clinic_scripts, firefox)
        await firefox.do("size", **PHONE_SIZE)
        await firefox.do("before", script=clinic.stage.remember_peers)
        await firefox.do("goto", url=link)
        await patient.stands("invitation")
        await patient.click("[data-command=join]")
        await patient.stands("place")
        await patient.click("[data-stage=place] form button[type=button]")
        await patient.stands("waiting")
        await clinician.page.goto(f"{clinic.demo.url}/#/consultations/{consultation}")
        await clinician.press("admit")
        await patient.stands("call")
        tickets = (await clinic.api("demo-operator", "GET", f"/api/v1/consultations/{consultation}/tickets"))["tickets"]
        seat = next(one["seats"][0]["id"] for one in tickets if one["id"] == ticket)
        here = (f"station:{station} camera", f"station:{station} exam")
        await clinician.sees(f"{seat} camera", *here)
        await clinician.hears_anything()
        await patient.sees(f"{await clinician.id()} camera", *here)

        await patient.click("[data-command=chat]")
        await patient.says("Чувам Ви.")
        await clinician.reads("Чувам Ви.")
        await clinician.says("И аз Ви чувам.")
        await patient.reads("И аз Ви чувам.")
        await patient.click(".in-sheet .is-close")

        await clinician.page.locator("[data-tab=patient]").click()
        await clinician.press("share-vitals")
        await patient.draws("II")

        await patient.click("[data-command=leave]")
        await patient.click("[data-command=leave-yes]")
        await patient.stands("left")
        await patient.finds(f"({clinic_scripts.OPEN_PEERS})() === 0", "nothing is sent or played any more")
        await clinician.sees(*here)
        assert await firefox.do("faults") == []
    await clinic.api("demo-clinician", "POST", f"/api/v1/consultations/{consultation}/end")


async def test_a_clinician_with_firefox(clinic: Any, open_firefox: Any, clinic_scripts: Any) -> None:
    consultation, station = await waiting_at_the_station(clinic)
    link, _ = await clinic.link(consultation)
    patient = await clinic.guest(link)
    await clinic.joins(patient)
    async with open_firefox() as firefox:
        clinician = Fox(clinic.stage, clinic_scripts, firefox)
        await firefox.do("size", width=1440, height=900)
        await firefox.do("before", script=clinic.stage.remember_peers)
        await firefox.do("goto", url=f"{clinic.demo.url}/#/consultations/{consultation}")
        await firefox.do("fill", selector="input[autocomplete=username]", text="demo-clinician")
        await firefox.do(
            "fill", selector="input[autocomplete=current-password]", text=clinic.demo.password("demo-clinician")
        )
        await clinician.click("button[type=submit]")
        await clinician.click("[data-command=admit]")
        await patient.stands("call")
        here = (f"station:{station} camera", f"station:{station} exam")
        await clinician.sees(f"{await patient.id()} camera", *here)
        me = (await clinic.api("demo-clinician", "GET", "/api/v1/me"))["id"]
        await patient.sees(f"{me} camera", *here)
        await patient.hears_anything()
        await clinician.draws(*LEADS)

        await clinician.click("[data-tab=chat]")
        await clinician.says("Добър ден!")
        await patient.reads("Добър ден!")
        await patient.says("Добър ден, докторе!")
        await clinician.reads("Добър ден, докторе!")

        await clinician.click("[data-command=end]")
        await clinician.click("dialog .danger")
        await patient.stands("over")
        await clinician.finds(f"({clinic_scripts.OPEN_PEERS})() === 0", "nothing is sent or played any more")
        assert await firefox.do("faults") == []
