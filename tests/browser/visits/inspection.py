"""Looks at a page as it stands: axe, what is wider than its room, words that are cut off, buttons that are too small.

With ``TELEMED_SHOTS`` set to a folder every page looked at is also kept there as a picture.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

AXE = Path(__file__).parents[3] / "web" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")  # WCAG 2.2 AA and what it includes
LANGUAGES = ("bg", "en")
SIZES = ((390, 844), (360, 740), (1180, 820), (820, 1180), (1440, 900))
PHONE, DESKTOP = SIZES[0], SIZES[-1]
STAFF_TARGET_PX, GUEST_TARGET_PX = 44, 48  # ours; WCAG 2.5.8 asks for 24

# By the page's own switch, pressed by the page: neither a menu nor a dialog closes for it.
SWITCH = """async (wanted) => {
  if (document.documentElement.lang !== wanted)
    document.querySelector(`.guest-language[lang=${wanted}], .languages button[lang=${wanted}]`).click();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return document.documentElement.lang;
}"""

RUN_AXE = """async (tags) => {
  const found = await window.axe.run(document, {
    runOnly: {type: 'tag', values: tags}, resultTypes: ['violations', 'incomplete'],
  });
  const rows = (rules) => rules.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.target.join(' ')} ${(node.any[0] || node.all[0] || node.none[0] || {}).message || ''}`));
  return {violations: rows(found.violations), unsure: rows(found.incomplete)};
}"""

# What somebody who sees the page would object to: [what, where, words].
GEOMETRY = """async (least) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const objections = [];
  const name = (one) => one.tagName.toLowerCase() + (one.id ? '#' + one.id : '') +
    (typeof one.className === 'string' && one.className ? '.' + one.className.trim().split(/\\s+/).join('.') : '');
  const words = (one) => (one.innerText || one.getAttribute('aria-label') || one.title || '').trim().slice(0, 50);
  const say = (what, one, figures) =>
    objections.push(`${what}: ${name(one)} "${words(one)}" ${figures}`.replaceAll('\\n', ' '));
  const widest = (one) => {
    const parts = [...one.querySelectorAll('*')].map((part) => [part.getBoundingClientRect().right, part]);
    return parts.length === 0 ? '' : 'by ' + name(parts.reduce((most, part) => (part[0] >= most[0] ? part : most))[1]);
  };
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth)
    say('page wider than window', root, `${root.scrollWidth}>${root.clientWidth} ${widest(root)}`);
  const modal = document.querySelector('dialog[open]');
  const shown = (one) => one.checkVisibility({visibilityProperty: true, opacityProperty: true}) &&
    !one.closest('.visually-hidden, .skip') && (modal === null || modal.contains(one));
  const scrollsAside = (one) => {
    for (let up = one.parentElement; up !== null; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (/auto|scroll/.test(style.overflowX) && up.scrollWidth > up.clientWidth + 1) return true;
    }
    return false;
  };
  for (const one of document.querySelectorAll('body *')) {
    if (!shown(one)) continue;
    const style = getComputedStyle(one);
    // A row of pictures is pushed aside by design; each of them is a button, so keys reach what is off the edge.
    const aside = /auto|scroll/.test(style.overflowX) && one.scrollWidth > one.clientWidth + 1;
    if (aside && !one.matches('.tiles, textarea, input'))
      say('scrolls sideways', one, `${one.scrollWidth}>${one.clientWidth} ${widest(one)}`);
  }
  const labels = 'button, a, label, legend, summary, h1, h2, h3, th, [role=tab], .badge, .button, .big, option';
  for (const one of document.querySelectorAll(labels)) {
    if (!shown(one)) continue;
    for (const part of [one, ...one.querySelectorAll('*:not(svg *, video, img, option, select, input, textarea)')]) {
      // Of a new message over the picture two lines are shown; it opens by a press.
      if (part.closest('.visually-hidden, .in-words-text') || part.tagName === 'svg') continue;
      if (getComputedStyle(part).display === 'inline') continue;
      if (part.clientWidth > 0 && part.scrollWidth > part.clientWidth + 1)
        say('cut off', part, `${part.scrollWidth}>${part.clientWidth}`);
      if (/hidden|clip/.test(getComputedStyle(part).overflowY) && part.scrollHeight > part.clientHeight + 3)
        say('cut off below', part, `${part.scrollHeight}>${part.clientHeight}`);
    }
    const box = one.getBoundingClientRect();
    if (box.width > 0 && (box.right > innerWidth + 1 || box.left < -1) && !scrollsAside(one))
      say('beyond the edge', one, `${Math.round(box.left)}..${Math.round(box.right)}`);
  }
  const targets = 'button, a[href], input:not([type=hidden]), select, textarea, summary, [role=tab], [role=switch]';
  for (const one of document.querySelectorAll(targets)) {
    if (!shown(one)) continue;
    const style = getComputedStyle(one);
    // A link in a sentence is as high as the sentence (2.5.8, exception "inline").
    if (one.tagName === 'A' && style.display === 'inline') continue;
    const label = one.matches('input[type=radio], input[type=checkbox], input[type=file]') && one.closest('label');
    const pressed = label || one;
    const box = pressed.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    if (Math.round(box.width) < least || Math.round(box.height) < least)
      say('small target', one, `${Math.round(box.width)}x${Math.round(box.height)}<${least}`);
  }
  return [...new Set(objections)];
}"""


@cache
def axe_source() -> str:
    """axe-core as it is; evaluated in the page, because the page's policy admits no script tag."""
    return AXE.read_text("utf-8")


@dataclass
class Inspection:
    """Everything that was objected to, and in which languages and sizes; what it looked at is printed as it goes."""

    pages: int = 0
    axe_runs: int = 0
    objections: dict[str, list[str]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)

    async def look(self, person: Any, name: str, guest: bool = False) -> None:
        """Look at this page as it stands, in both languages and at every size; axe at the sizes that matter."""
        page = person.page
        before = page.viewport_size
        least = GUEST_TARGET_PX if guest else STAFF_TARGET_PX
        found: dict[str, int] = {"axe": 0, "layout": 0}
        self.pages += 1
        for language in LANGUAGES:
            assert await page.evaluate(SWITCH, language) == language, f"{name}: the language did not change"
            for size in SIZES:
                await page.set_viewport_size({"width": size[0], "height": size[1]})
                here = f"{language} {size[0]}x{size[1]}"
                layout = await page.evaluate(GEOMETRY, least)
                found["layout"] += len(layout)
                for one in layout:
                    self._object(f"{name}: {one}", here)
                if size == PHONE or (size == DESKTOP and not guest):
                    violations = await self._axe(page)
                    found["axe"] += len(violations)
                    for one in violations:
                        self._object(f"{name}: axe {one}", here)
                if size in (PHONE, DESKTOP):
                    await keep(page, f"{name}-{language}-{size[0]}")
        if before is not None:
            await page.set_viewport_size(before)
        print(f"{name}: axe {found['axe']} violations, layout {found['layout']} objections")

    def _object(self, what: str, here: str) -> None:
        self.objections.setdefault(what, []).append(here)

    async def _axe(self, page: Any) -> list[str]:
        self.axe_runs += 1
        if not await page.evaluate("typeof window.axe === 'object'"):
            await page.evaluate(axe_source())
        result = await page.evaluate(RUN_AXE, list(TAGS))
        self.unsure |= {one.split(" ", 1)[0] for one in result["unsure"]}
        return list(result["violations"])

    def report(self) -> None:
        """Fail with every objection; say what was looked at."""
        print(f"looked at {self.pages} pages, {self.axe_runs} runs of axe; unsure of {sorted(self.unsure)}")
        said = [f"{what} [{', '.join(where)}]" for what, where in self.objections.items()]
        assert not said, "\n".join([f"{len(said)} objections", *said])


async def keep(page: Any, name: str) -> None:
    """Keep a picture of the page where ``TELEMED_SHOTS`` says; nothing without it."""
    folder = os.environ.get("TELEMED_SHOTS")
    if folder:
        await page.screenshot(path=Path(folder) / f"{name}.png")
