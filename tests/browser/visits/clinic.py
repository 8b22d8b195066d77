"""A whole clinic for the browser tests: a running demo, one browser, and everybody at a page of their own in it."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, Page

# What a page sees: the frames decoded of the picture in each tile, by the tile's name (participant and source).
PICTURES = """async () => {
  const receivers = new Map();
  for (const peer of window.__peers)
    if (peer.connectionState === 'connected')
      for (const receiver of peer.getReceivers()) receivers.set(receiver.track, receiver);
  const frames = async (video) => {
    const receiver = receivers.get(video?.srcObject?.getVideoTracks()[0]);
    if (receiver === undefined) return 0;
    let decoded = 0;
    for (const row of (await receiver.getStats()).values())
      if (row.type === 'inbound-rtp') decoded = row.framesDecoded || 0;
    return decoded;
  };
  const seen = {};
  const large = document.querySelector('.picture[data-large]');
  if (large !== null) seen[large.dataset.large] = await frames(document.getElementById('remote-video'));
  for (const tile of document.querySelectorAll('[data-tile]'))
    seen[tile.dataset.tile] = await frames(tile.querySelector('video'));
  return seen;
}"""
OPEN_PEERS = "() => window.__peers.filter((peer) => peer.connectionState !== 'closed').length"
DOWNLOADS = """async () => {
  const sums = [];
  for (const link of document.querySelectorAll('.chat-file a[download]')) {
    const bytes = await (await fetch(link.href)).arrayBuffer();
    const sum = await crypto.subtle.digest('SHA-256', bytes);
    sums.push(Array.from(new Uint8Array(sum), (one) => one.toString(16).padStart(2, '0')).join(''));
  }
  return sums;
}"""
HEADS = """() => Object.fromEntries([...document.querySelectorAll('canvas[data-lead][data-head]')].map(
  (canvas) => [canvas.dataset.lead, Number(canvas.dataset.head)]))"""
MOVES = 10  # frames more than before: a picture that moves
FEW_PICTURES = "--use-fake-device-for-media-stream=fps=10"  # a second: five people share two cores
SEEN_SECONDS = 60.0  # for a picture or a state on busy cores; quiet ones need a second
WINDOW = {"width": 1440, "height": 900}
TABLET = {"width": 1180, "height": 820}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def moved(before: dict[str, int], tile: str, frames: int) -> bool:
    """Whether the picture goes on since ``before``; a connection that was made anew counts from nothing again."""
    before[tile] = min(before.get(tile, 0), frames)
    return frames >= before[tile] + MOVES


@dataclass(eq=False)
class Person:
    """Somebody at a page of their own. What it is asked is what the page shows and plays."""

    stage: Any
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = SEEN_SECONDS) -> Any:
        """Wait for the condition; after the deadline fail with what was waited for and what the page says."""
        try:
            return await self.stage.until(condition, seconds, what)
        except pytest.fail.Exception:
            pytest.fail(f"not within {seconds:.0f} s: {what}; the page says:\n{await self.text()}")

    async def finds(self, script: str) -> None:
        """This is true on the page."""

        async def true() -> bool:
            return bool(await self.page.evaluate(script))

        await self.until(true, script)

    async def text(self) -> str:
        """Everything that the page says."""
        return str(await self.page.inner_text("body"))

    async def id(self) -> str:
        """The name of this person in the room: the seat of a guest, the account of staff."""
        for cookie in await self.context.cookies():
            if cookie["name"].startswith("telemed-seat-"):
                return str(cookie["name"].removeprefix("telemed-seat-"))
        return str(await self.page.evaluate("async () => (await (await fetch('/api/v1/me')).json()).id"))

    async def stands(self, stage: str) -> None:
        """The page of a visit is this one."""
        await self.page.locator(f"[data-stage={stage}]").first.wait_for(timeout=SEEN_SECONDS * 1000)

    async def press(self, command: str) -> None:
        """Press the button of this command."""
        await self.page.locator(f"[data-command={command}]").first.click()

    async def pictures(self) -> dict[str, int]:
        """Tile to frames decoded."""
        return dict(await self.page.evaluate(PICTURES))

    async def sees(self, *tiles: str) -> None:
        """These pictures and no others are on the page, and every one of them has moved since this was asked."""
        before = await self.pictures()
        last: dict[str, int] = {}
        seen: set[str] = set()

        async def all_move() -> bool:
            last.clear()
            last.update(await self.pictures())
            seen.update(one for one in last if moved(before, one, last[one]))
            return set(last) == set(tiles) <= seen

        try:
            await self.stage.until(all_move, SEEN_SECONDS, "pictures")
        except pytest.fail.Exception:
            pytest.fail(f"wanted {sorted(tiles)}; before {before}; now {last}; the page says:\n{await self.text()}")

    async def hears(self, hz: float) -> None:
        """The loudest of what comes with the large picture is this tone."""

        async def heard() -> bool:
            return abs(float(await self.page.evaluate(self.stage.remote_hz)) - hz) < 15

        await self.until(heard, f"{hz} Hz is heard")

    async def hears_anything(self) -> None:
        """Some sound comes with the large picture."""

        async def heard() -> bool:
            return float(await self.page.evaluate(self.stage.remote_hz)) > 0

        await self.until(heard, "a sound is heard")

    async def draws(self, *leads: str) -> None:
        """These leads are on the page and go on."""
        first: dict[str, int] = {}

        async def all_go_on() -> bool:
            heads = dict(await self.page.evaluate(HEADS))
            for lead, head in heads.items():
                first.setdefault(lead, head)
            return all(heads.get(lead, 0) > first.get(lead, 0) for lead in leads)

        await self.until(all_go_on, f"the leads {', '.join(leads)} go on")

    async def opens_chat(self) -> None:
        """The chat is on the page."""
        page = self.page
        field_, tab = page.locator("[data-chat-text]"), page.locator("[data-tab=chat]")
        if not await field_.is_visible():
            await (tab if await tab.is_visible() else page.locator("[data-command=chat]")).click()
        await field_.wait_for()

    async def says(self, text: str) -> None:
        """Write a line in the chat; it is confirmed."""
        await self.opens_chat()
        await self.page.locator("[data-chat-text]").fill(text)
        await self.press("say")
        await self.page.locator(".chat-line.is-mine[data-line] .chat-text", has_text=text).last.wait_for()

    async def shares(self, name: str, media_type: str, data: bytes) -> None:
        """Choose a file for the chat, and say that it shall go."""
        await self.opens_chat()
        await self.page.locator(".chat-buttons input[type=file]").first.set_input_files(
            {"name": name, "mimeType": media_type, "buffer": data}
        )
        await self.press("send-files")

    async def reads(self, *texts: str) -> None:
        """The chat has lines with exactly these texts, as text."""
        await self.opens_chat()

        async def there() -> bool:
            return set(texts) <= set(await self.page.locator(".chat-line[data-line] .chat-text").all_inner_texts())

        await self.until(there, f"{texts} are in the chat")

    async def files(self) -> list[str]:
        """SHA-256 of every file in the chat, of the bytes that this page downloads."""
        await self.opens_chat()
        return list(await self.page.evaluate(DOWNLOADS))

    async def is_silent(self) -> None:
        """No connection carries a picture or a sound to or from this page any more."""

        async def none_open() -> bool:
            return bool(await self.page.evaluate(OPEN_PEERS) == 0)

        await self.until(none_open, "every connection is closed")

    async def has_files(self, *sums: str) -> None:
        """The files of the chat are these, byte for byte."""

        async def all_there() -> bool:
            return await self.files() == list(sums)

        await self.until(all_there, "the files of the chat")

    async def allows(self, *names: str) -> None:
        """From now on the page may use these and nothing else."""
        await self.context.clear_permissions()
        await self.context.grant_permissions(list(names))

    async def close(self) -> None:
        """The browser is closed as by pulling its plug: no page says goodbye."""
        await self.context.close()


@dataclass
class Clinic:
    """A running demo and one browser; everybody has a context of their own in it."""

    stage: Any
    demo: Any
    browser: Browser
    asking_browser: Browser  # gives a page only what was granted to it
    sessions: dict[str, aiohttp.ClientSession] = field(default_factory=dict)
    people: list[Person] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(10))

    async def ask(self, login: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the API as this account: status and JSON."""
        if login not in self.sessions:
            self.sessions[login] = aiohttp.ClientSession(
                cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Origin": self.demo.url}
            )
            credentials = {"login": login, "password": self.demo.password(login)}
            status, _ = await self.ask(login, "POST", "/api/v1/sign-in", credentials)
            assert status < 300
        async with self.sessions[login].request(method, self.demo.url + path, json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def api(self, login: str, method: str, path: str, body: Any = None) -> Any:
        """As ``ask``, of what must not be refused: the answer."""
        status, answer = await self.ask(login, method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    async def person(self, asked: bool = False, **options: Any) -> Person:
        """Somebody with an empty page; ``asked`` in a browser that gives camera and microphone only when granted."""
        granted = {"permissions": ["camera", "microphone"], "timezone_id": "Europe/Sofia", "locale": "bg-BG"}
        browser = self.asking_browser if asked else self.browser
        context = await browser.new_context(**{**granted, **options})
        await context.add_init_script(self.stage.remember_peers)
        page = await context.new_page()
        page.set_default_timeout(SEEN_SECONDS * 1000)
        person = Person(self.stage, context, page)
        page.on("pageerror", lambda error: person.faults.append(str(error)))
        self.people.append(person)
        return person

    async def staff(self, login: str, where: str = "/", **options: Any) -> Person:
        """Somebody of the clinic, signed in, at this page."""
        person = await self.person(**{"viewport": WINDOW, **options})
        await self.signs_in(person, login, where)
        return person

    async def signs_in(self, person: Person, login: str, where: str) -> None:
        """Sign in and open this page."""
        credentials = {"login": login, "password": self.demo.password(login)}
        answer = await person.context.request.post(
            f"{self.demo.url}/api/v1/sign-in", data=credentials, headers={"Origin": self.demo.url}
        )
        assert answer.ok, await answer.text()
        await person.page.goto(f"{self.demo.url}/#{where}")

    async def guest(self, link: str, **options: Any) -> Person:
        """Somebody with a link, at its first page."""
        person = await self.person(**{**PHONE, **options})
        await person.page.goto(link)
        return person

    async def joins(self, guest: Person) -> None:
        """From the first page of a link to the waiting room."""
        await guest.press("join")
        place = guest.page.locator("[data-stage=place] form button[type=button]")
        waiting = guest.page.locator("[data-stage=waiting]")
        await place.or_(waiting).first.wait_for()
        if await place.is_visible():
            await place.click()
        await waiting.wait_for()

    async def home_visit(self, ahead_minutes: int = 0) -> str:
        """A visit of a new patient at home; with minutes an appointment so far ahead, else it waits now."""
        name = f"Demo patient {next(self.numbers)}"
        patient = await self.api(
            "demo-operator", "POST", "/api/v1/patients", {"name": name, "birth_year": 1950, "provisional": False}
        )
        at = None if ahead_minutes == 0 else (datetime.now(UTC) + timedelta(minutes=ahead_minutes)).isoformat()
        wanted = {"station_id": None, "patient_id": patient["id"], "scheduled_at": at}
        return str((await self.api("demo-operator", "POST", "/api/v1/consultations", wanted))["id"])

    async def link(self, consultation: str, role: str = "patient", language: str = "bg") -> tuple[str, str]:
        """A fresh link, and the ticket's id."""
        made = await self.api(
            "demo-operator", "POST", f"/api/v1/consultations/{consultation}/tickets",
            {"role": role, "language": language},
        )  # fmt: skip
        return str(made["link"]), str(made["ticket"]["id"])

    async def state(self, consultation: str) -> str:
        """The state of a consultation, as the server says."""
        return str((await self.api("demo-operator", "GET", f"/api/v1/consultations/{consultation}"))["state"])

    async def home_call(self, **options: Any) -> tuple[str, Person, Person, str]:
        """A call under way: consultation, clinician, patient on the phone, the link."""
        consultation = await self.home_visit()
        link, _ = await self.link(consultation)
        patient = await self.guest(link, **options)
        await self.joins(patient)
        clinician = await self.staff("demo-clinician", f"/consultations/{consultation}")
        await clinician.press("admit")
        await patient.stands("call")
        return consultation, clinician, patient, link


def own_address() -> str:
    """An address of this machine that is not loopback's; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.9", 9))
        except OSError:
            pytest.skip("no network: Firefox sends no media over loopback")
        return str(probe.getsockname()[0])


@asynccontextmanager
async def run_clinic(stage: Any, folder: Path, *addresses: str) -> AsyncIterator[Clinic]:
    """A demo from nothing, with more ``addresses`` than loopback's where they are given, and a browser."""
    async with AsyncExitStack() as stack:
        demo = await stack.enter_async_context(stage.run_demo(folder, *addresses))
        browser = await stack.enter_async_context(stage.run_browser(folder, extra=(FEW_PICTURES,)))
        asking = await stack.enter_async_context(stage.run_browser(folder, extra=(FEW_PICTURES,), asks=True))
        clinic = Clinic(stage, demo, browser, asking)
        yield clinic
        for session in clinic.sessions.values():
            await session.close()
