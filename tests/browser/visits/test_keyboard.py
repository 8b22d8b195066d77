"""A visit with the keys alone, on both sides: whatever has the focus is seen, and the focus is never lost."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEPS_MOST = 60  # presses of Tab to anything on any page of a visit

# Where the focus is and whether one sees it: an outline of at least 2 px that is not see-through, or a shadow, inside
# the window and under nothing. A file's input lies invisible on its label, which shows the focus for it.
FOCUS = """() => {
  const one = document.activeElement;
  if (one === null || one === document.body || one === document.documentElement) return null;
  const ring = (part) => {
    if (part === null) return false;
    const style = getComputedStyle(part);
    const outline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return (outline && !/, 0\\)$|transparent/.test(style.outlineColor)) || /\\d+px/.test(style.boxShadow);
  };
  const box = one.getBoundingClientRect();
  const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const quiet = one.tabIndex === -1;  // a heading that was given the focus, to be read from there
  const label = one.closest('label');
  const middle = [(Math.max(box.left, 0) + Math.min(box.right, innerWidth)) / 2,
    (Math.max(box.top, 0) + Math.min(box.bottom, innerHeight)) / 2];
  const over = document.elementFromPoint(...middle);
  const clear = over === null || one.contains(over) || over.contains(one) || (label !== null && label.contains(over));
  return {
    what: one.tagName.toLowerCase() + (one.id ? '#' + one.id : '') + ' ' +
      JSON.stringify({...one.dataset}) + ' ' + (one.innerText || one.getAttribute('aria-label') || '').slice(0, 40),
    seen: quiet || ((ring(one) || ring(label)) && inside && clear),
    ring: ring(one) || ring(label), inside, clear, quiet,
    top: box.top, left: box.left,
  };
}"""
REACHED = "(wanted) => document.activeElement !== null && document.activeElement.matches(wanted)"

# Opens the menu and presses Escape before anything was painted; whether it is shut again, after each of the two.
AT_ONCE = """async (button) => {
  const turns = async () => { for (let turn = 0; turn < 20; turn++) await Promise.resolve(); };
  const shown = () => button.getAttribute('aria-expanded');
  button.click();
  await turns();
  const opened = shown();
  button.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}));
  await turns();
  return [opened, shown()];
}"""


async def focus(person: Any) -> Any:
    """Where the focus is; it is somewhere, and one sees it."""

    async def somewhere() -> Any:
        return await person.page.evaluate(FOCUS)

    here = await person.until(somewhere, "the focus is somewhere", 5.0)
    assert here["seen"], f"not seen: {here}"
    return here


async def tab_to(person: Any, wanted: str, key: str = "Tab") -> list[Any]:
    """Press Tab until this has the focus; every stop on the way."""
    stops: list[Any] = []
    for _ in range(STEPS_MOST):
        if await person.page.evaluate(REACHED, wanted):
            return stops
        await person.page.keyboard.press(key)
        if await person.page.evaluate("document.activeElement === document.body"):
            continue  # the browser's own bar, between the last and the first
        stops.append(await focus(person))
    pytest.fail(f"{wanted} is not reached by {key}; it passed {[stop['what'] for stop in stops]}")


async def press_on(person: Any, wanted: str, key: str = "Enter") -> None:
    """Go there with Tab and press it."""
    await tab_to(person, wanted)
    await person.page.keyboard.press(key)


def downwards(stops: list[Any]) -> bool:
    """The stops follow the page from above to below; within a row they go to the right."""
    return all(later["top"] > one["top"] - 30 for one, later in itertools.pairwise(stops))


async def test_a_patient_with_keys_alone(clinic: Any) -> None:
    consultation = await clinic.home_visit()
    link, _ = await clinic.link(consultation)
    patient = await clinic.guest(link, viewport={"width": 1180, "height": 820}, is_mobile=False, has_touch=False)
    page = patient.page
    await patient.stands("invitation")
    await page.locator("[data-command=join]").wait_for()
    stops = await tab_to(patient, "[data-command=check]")
    assert downwards(stops[1:]), [stop["what"] for stop in stops]
    print(f"invitation: {len(stops)} stops to the check")
    await page.keyboard.press("Enter")
    await page.locator("[data-step=camera]").wait_for()
    await focus(patient)
    for step in ("microphone", "speaker", "line", "result"):  # every step passed over
        there = {"microphone": ".mirror video", "speaker": ".heard"}.get(step)
        if there is not None:  # neither seen nor heard: advice comes first, and has the focus
            await page.locator(there).wait_for()
            await press_on(patient, "[data-answer=no]")
            await page.locator("[data-advice]").wait_for()
            await focus(patient)
        await tab_to(patient, ".actions button:last-child")
        await page.keyboard.press("Enter")
        await page.locator(f"[data-step={step}]").wait_for()
        await focus(patient)
    await press_on(patient, "[data-step=result] button.primary")
    await patient.stands("invitation")
    await page.locator("[data-checked=partly]").wait_for()
    await focus(patient)
    await press_on(patient, "[data-command=join]")
    await patient.stands("place")
    await focus(patient)
    await tab_to(patient, "[name=address]")
    await page.keyboard.type("Demo village 1")
    await press_on(patient, "[name=phone]", "End")
    await page.keyboard.type("+359 38 000 001")
    await page.keyboard.press("Enter")
    await patient.stands("waiting")
    await focus(patient)
    await press_on(patient, "[data-command=agree]", "Space")
    await page.locator("[data-given=true]").wait_for()
    await focus(patient)

    await clinic.api("demo-clinician", "POST", f"/api/v1/consultations/{consultation}/admit")
    clinician = await clinic.staff("demo-clinician", f"/consultations/{consultation}")
    await patient.stands("call")
    await focus(patient)
    for command in ("microphone", "camera"):
        button = page.locator(f"[data-command={command}]")
        await page.locator(f"[data-command={command}][aria-pressed=true]").wait_for()
        await press_on(patient, f"[data-command={command}]", "Space")
        await page.locator(f"[data-command={command}][aria-pressed=false]").wait_for()
        await page.keyboard.press("Space")
        await page.locator(f"[data-command={command}][aria-pressed=true]").wait_for()
        assert await button.evaluate("(one) => one === document.activeElement"), "the focus stays on what was pressed"
    await press_on(patient, "[data-command=chat]")
    await page.locator("[data-sheet=chat]").wait_for()
    await focus(patient)
    await tab_to(patient, "[data-chat-text]")
    await page.keyboard.type("Good evening")
    await page.keyboard.press("Enter")
    await page.locator(".chat-line.is-mine[data-line]", has_text="Good evening").wait_for()
    assert await page.evaluate(REACHED, "[data-chat-text]")
    await page.keyboard.press("Escape")
    await page.locator("[data-sheet]").wait_for(state="detached")
    assert await page.evaluate(REACHED, "[data-command=chat]"), "back where the chat was opened"
    await clinician.reads("Good evening")
    await press_on(patient, "[data-command=leave]")
    await page.locator("dialog[open]").wait_for()
    await focus(patient)
    await page.keyboard.press("Escape")
    await page.locator("dialog").wait_for(state="detached")
    assert await page.evaluate(REACHED, "[data-command=leave]"), "back where the question was asked"
    await page.keyboard.press("Enter")
    await press_on(patient, "[data-command=leave-yes]")
    await patient.stands("left")
    await focus(patient)
    await press_on(patient, "[data-command=back]")
    await patient.stands("call")
    await focus(patient)


async def test_a_clinician_with_keys_alone(clinic: Any) -> None:
    consultation = await clinic.home_visit()
    patient = await clinic.guest((await clinic.link(consultation))[0])
    await clinic.joins(patient)
    relative = await clinic.guest((await clinic.link(consultation, "relative"))[0])
    await clinic.joins(relative)
    clinician = await clinic.staff("demo-clinician")
    page = clinician.page
    row = f"[data-consultation='{consultation}']"
    await page.locator(f"{row} .primary").wait_for()
    stops = await tab_to(clinician, f"{row} .primary")
    print(f"work list: {len(stops)} stops to the waiting patient")

    # Past the navigation in one press.
    await page.reload()
    await page.locator(f"{row} .primary").wait_for()
    await page.keyboard.press("Tab")
    assert await page.evaluate(REACHED, ".skip")
    await focus(clinician)
    await page.keyboard.press("Enter")
    assert await page.evaluate(REACHED, "#main")
    more = page.locator(f"{row} .menu-button")
    assert await more.evaluate(AT_ONCE) == ["true", "false"], "an Escape that comes at once is heard"
    await press_on(clinician, f"{row} .menu-button")
    await page.locator(".menu-list").wait_for()
    await page.keyboard.press("Tab")
    await focus(clinician)
    await page.keyboard.press("Escape")
    assert await page.evaluate(REACHED, f"{row} .menu-button"), "back on the menu's button"
    await tab_to(clinician, f"{row} .primary", "Shift+Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/consultations/{consultation}")
    await patient.stands("call")
    await focus(clinician)

    await page.locator("[data-standing=clinician]").wait_for()
    await page.keyboard.press("Alt+2")
    await page.locator("[data-chat-text]").wait_for()
    await clinician.until(lambda: page.evaluate(REACHED, "[data-chat-text]"), "the chat has the focus", 5.0)
    await focus(clinician)
    await page.keyboard.type("Good evening")
    await page.keyboard.press("Enter")
    await patient.reads("Good evening")
    await tab_to(clinician, "[role=tab][aria-selected=true]", "Shift+Tab")
    await page.keyboard.press("ArrowLeft")
    await focus(clinician)
    await press_on(clinician, "[data-seat=waiting] [data-decide=admit]")
    await relative.stands("call")
    await page.locator("[data-seat=waiting]").wait_for(state="detached")
    await focus(clinician)
    await press_on(clinician, "[data-command=end]")
    await page.locator("dialog[open]").wait_for()
    await focus(clinician)
    await press_on(clinician, "dialog .danger")
    await patient.stands("over")
    await relative.stands("over")
    await focus(clinician)
    await press_on(clinician, "[data-command=end]")
    await page.locator("#note-text").wait_for()
    await focus(clinician)
    await focus(patient)
