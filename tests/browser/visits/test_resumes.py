"""Whatever happens to a line, everybody is back in the same consultation by themselves and no line of the chat is lost.

A patient and an interpreter share a phone, the clinician sits outside; all three write without a pause. Then the phone
changes from Wi-Fi to mobile, pages are loaded anew, the phone sleeps, the server is killed. One event resumes
one person or several: each of them counts, and the measured times are printed. ``TELEMED_RESUMES`` sets how many of
each kind (3), ``TELEMED_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

RESUMES = int(os.environ.get("TELEMED_RESUMES", "3"))
SEED = int(os.environ.get("TELEMED_SEED", str(random.SystemRandom().randrange(1 << 30))))
LONG_RUN = 100  # resumes of each kind: `make faults`
PROMISE_SECONDS = 5.0  # of the line
BACK_SECONDS = 60.0  # who is not back by then stays away
VISIT_ROUNDS = 12  # then a new visit begins, as a chat of thousands of lines is nobody's
WRITE_MS = 900  # of each of three people: some 200 lines a minute in one room
LOOK_SECONDS = 0.1
MOVES = 5  # frames more than before: the picture moves again

# In every page: writes numbered lines by the chat's own form, remembers the sockets and sees every tile there ever was.
WITNESS = """(() => {
  const it = window.__witness = {sockets: [], twins: new Set(), most: 0, stayed: true};
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(...args) {
      super(...args);
      if (!this.url.includes('/ws/consultations/')) return;
      it.sockets.push(this);
      this.addEventListener('message', (event) => {
        this.heardMs = Date.now();
        if (typeof event.data === 'string' && /"type": ?"welcome"/.test(event.data)) this.welcome = true;
      });
    }
  };
  const look = () => {
    const keys = [...document.querySelectorAll('[data-tile]')].map((one) => one.dataset.tile);
    const large = document.querySelector('.picture[data-large]');
    if (large !== null) keys.push(large.dataset.large);
    it.most = Math.max(it.most, keys.length);
    const people = keys.map((key) => key.split(' ')[0]);
    for (const one of people) if (people.indexOf(one) !== people.lastIndexOf(one)) it.twins.add(one);
  };
  const changes = {childList: true, subtree: true, attributes: true, attributeFilter: ['data-tile', 'data-large']};
  const watch = () => new MutationObserver(look).observe(document.documentElement, changes);
  if (document.documentElement) watch(); else addEventListener('DOMContentLoaded', watch);
  const write = () => {
    const name = sessionStorage.getItem('writer');
    if (name === null) return;
    const field = document.querySelector('[data-chat-text]');
    if (field === null) {
      document.querySelector('[data-tab=chat], [data-command=chat]')?.click();
      return;
    }
    if (field.value === '') {
      const n = Number(sessionStorage.getItem('said') ?? 0) + 1;
      sessionStorage.setItem('said', String(n));
      field.value = `${name} ${n}`;
      field.dispatchEvent(new Event('input', {bubbles: true}));
    }
    document.querySelector('[data-command=say]').click();
  };
  setInterval(write, WRITE_MS);
})()""".replace("WRITE_MS", str(WRITE_MS))

# What a page says of itself now: [heard since this time over an open connection, tiles at most, twins, unsent lines].
STATE = """(sinceMs) => {
  const it = window.__witness;
  const open = it.sockets.filter((one) => one.readyState === 1 && one.welcome);
  return {
    heard: open.length === 1 && open[0].heardMs > sinceMs,
    most: it.most, twins: [...it.twins],
    pending: document.querySelectorAll('.chat-line.is-pending').length,
  };
}"""
CHAT = """() => [...document.querySelectorAll('.chat-line[data-line]')].map((one) =>
  [Number(one.dataset.line), one.querySelector('.chat-text').textContent])"""


@dataclass
class Someone:
    """One of the people of the visit, and what was last seen at the page."""

    name: str
    person: Any
    tiles: frozenset[str] = frozenset()
    frames: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    missing: str = "everything"

    def begin(self) -> None:
        """From now on it counts what moves."""
        self.frames, self.moved = {}, {}

    async def look(self, since_ms: float) -> bool:
        """Whether everything is there, by the page's own witness; ``missing`` says what is not."""
        try:
            state = await self.person.page.evaluate(STATE, since_ms)
            pictures = await self.person.pictures()
        except Exception as error:  # a page that is being loaded has no witness yet
            self.missing = f"page ({str(error)[:60]})"
            self.frames = {}
            return False
        for key, frames in pictures.items():
            before = self.frames.get(key, frames)
            self.moved[key] = self.moved.get(key, 0) + (frames - before if frames >= before else frames)
        self.frames = pictures
        missing = [] if state["heard"] else ["socket"]
        if set(pictures) != self.tiles:
            missing.append(f"tiles {len(pictures)}")
        still = [key for key in self.tiles if self.moved.get(key, 0) < MOVES]
        missing += [f"picture {key[:4]}" for key in still]
        self.missing = ", ".join(missing)
        assert not state["twins"], f"{self.name} sees {state['twins']} twice"
        assert state["most"] <= len(self.tiles), f"{self.name} saw {state['most']} tiles"
        return not missing


@dataclass
class Room:
    """A visit of three people who write."""

    outing: Any
    consultation: str
    people: dict[str, Someone]

    async def back(self, names: list[str]) -> list[float]:
        """Seconds after which each of these, and everybody else, had everything again."""
        began, since_ms = time.monotonic(), time.time() * 1000
        for one in self.people.values():
            one.begin()
        took: dict[str, float] = {}
        lacked: dict[str, list[str]] = {name: [] for name in self.people}

        async def follow(one: Someone) -> None:
            while not await one.look(since_ms):
                if not lacked[one.name] or lacked[one.name][-1].split("@")[0] != one.missing:
                    lacked[one.name].append(f"{one.missing}@{time.monotonic() - began:.1f}")
                if time.monotonic() - began > BACK_SECONDS:
                    pytest.fail(f"{one.name} is not back: {one.missing}; {lacked}; it sees {one.frames}")
                await asyncio.sleep(LOOK_SECONDS)
            took[one.name] = time.monotonic() - began

        await asyncio.gather(*(follow(one) for one in self.people.values()))
        slow = {name: lacked[name] for name in took if took[name] > PROMISE_SECONDS / 2}
        print("   ", {name: round(seconds, 1) for name, seconds in took.items()}, slow or "", flush=True)
        return [took[name] for name in names]

    async def close(self) -> int:
        """Everybody stops writing; every line said is on every page once, and as the server has it. Returns them."""
        for one in self.people.values():
            await one.person.page.evaluate("sessionStorage.removeItem('writer')")
        for one in self.people.values():
            await one.person.until(lambda one=one: _nothing_pending(one), f"{one.name}: everything said is confirmed")
        said = [
            f"{name} {n}"
            for name, one in self.people.items()
            for n in range(1, int(await one.person.page.evaluate("sessionStorage.getItem('said')")) + 1)
        ]
        there: list[tuple[int, str]] = []
        while lines := (await self._ask(f"/chat?after={len(there)}&limit=500"))["lines"]:
            there += [(line["n"], line["text"]) for line in lines]
        assert [n for n, _ in there] == list(range(1, len(there) + 1)), "the numbers have a hole"
        assert sorted(text for _, text in there) == sorted(said), "what was said is not what the server has"
        for one in self.people.values():

            async def same(one: Someone = one) -> bool:
                return [tuple(line) for line in await one.person.page.evaluate(CHAT)] == there

            await one.person.until(same, f"{one.name} has every line that the server has")
            assert not one.person.faults
            await one.person.context.close()
        await self.outing.clinic.api("demo-clinician", "POST", f"/api/v1/consultations/{self.consultation}/end")
        for clinic in (self.outing.clinic, self.outing.guests):
            clinic.people.clear()
        return len(said)

    async def _ask(self, path: str) -> Any:
        return await self.outing.clinic.api("demo-clinician", "GET", f"/api/v1/consultations/{self.consultation}{path}")


async def _nothing_pending(one: Someone) -> bool:
    return int((await one.person.page.evaluate(STATE, 0))["pending"]) == 0


@asynccontextmanager
async def a_visit(outing: Any) -> AsyncIterator[Room]:
    """A clinician, a patient and an interpreter see each other and write."""
    clinic, guests = outing.clinic, outing.guests
    consultation = await clinic.home_visit()
    people: dict[str, Someone] = {}
    for role in ("patient", "interpreter"):
        link, _ = await clinic.link(consultation, role)
        guest = await guests.person(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
        await guest.context.add_init_script(WITNESS)
        await guest.page.goto(outing.there(link))
        await clinic.joins(guest)
        people[role] = Someone(role, guest)
    clinician = await clinic.staff("demo-clinician")
    await clinician.context.add_init_script(WITNESS)
    await clinician.page.goto("about:blank")
    await clinician.page.goto(f"{clinic.demo.url}/#/consultations/{consultation}")
    people["clinician"] = Someone("clinician", clinician)
    await clinician.press("admit")
    await people["patient"].person.stands("call")
    seat = await people["interpreter"].person.id()
    await clinic.api("demo-clinician", "POST", f"/api/v1/consultations/{consultation}/seats/{seat}/admit")
    await people["interpreter"].person.stands("call")
    names = {name: f"{await one.person.id()} camera" for name, one in people.items()}
    for name, one in people.items():
        one.tiles = frozenset(names[other] for other in people if other != name)
        await one.person.page.evaluate("(name) => sessionStorage.setItem('writer', name)", name)
    room = Room(outing, consultation, people)
    await room.back([])
    yield room


async def resume(kind: str, outing: Any, event: Callable[[Room, random.Random], Awaitable[list[str]]]) -> None:
    """Let it happen until RESUMES people have resumed; print how long each took of the line."""
    chance = random.Random(f"{SEED} {kind}")
    took: list[float] = []
    rounds = lines = 0
    while len(took) < RESUMES:
        async with a_visit(outing) as room:
            for _ in range(VISIT_ROUNDS):
                # A random moment is the very subject of this test.
                await asyncio.sleep(chance.uniform(0.5, 2.0))
                names = await event(room, chance)
                took += await room.back(names)
                rounds += 1
                if len(took) >= RESUMES:
                    break
            lines += await room.close()
    late = sum(seconds > PROMISE_SECONDS for seconds in took)
    p50, p95 = np.percentile(took, [50, 95])
    print(
        f"{kind}: {len(took)} resumes in {rounds} rounds, {lines} lines; s of the line: p50 {p50:.1f}, p95 {p95:.1f}, "
        f"max {max(took):.1f}; over {PROMISE_SECONDS:.0f} s: {late} "
        f"(load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores, seed {SEED})",
        flush=True,
    )
    # Demanded of the long run, which has the machine to itself; elsewhere told, as beside ten other things every one of
    # these takes several times as long.
    assert RESUMES < LONG_RUN or not late, f"{late} of {len(took)} took longer than {PROMISE_SECONDS:.0f} s of the line"


PHONE = ["patient", "interpreter"]


async def test_resume_from_wifi_to_mobile_and_back(outing: Any) -> None:
    if outing.phone is None:
        pytest.skip("a network namespace needs root and iproute2")
    ways = ["wifi", "mobile"]

    async def change(room: Room, chance: random.Random) -> list[str]:
        ways.reverse()
        if chance.random() < 0.4:
            outing.phone.use(None)
            await asyncio.sleep(chance.uniform(2.0, 8.0))
        outing.phone.use(ways[0])
        return PHONE

    try:
        await resume("Wi-Fi to mobile", outing, change)
    finally:
        outing.phone.use("wifi")


async def test_resume_after_a_reload(outing: Any) -> None:
    async def reload(room: Room, chance: random.Random) -> list[str]:
        names = [name for name in room.people if chance.random() < 0.6] or ["patient"]
        for name in names:
            await room.people[name].person.page.evaluate("setTimeout(() => location.reload())")
        return names

    await resume("reload", outing, reload)


async def test_resume_after_a_sleep(outing: Any) -> None:
    async def sleep(room: Room, chance: random.Random) -> list[str]:
        family = processes(outing.mark)
        for one in family:
            one.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(chance.uniform(6.0, 20.0))
        finally:
            for one in reversed(family):
                one.send_signal(signal.SIGCONT)
        return PHONE

    await resume("sleep", outing, sleep)


async def test_resume_after_a_kill_of_the_server(outing: Any, stage: Any) -> None:
    async def kill(room: Room, chance: random.Random) -> list[str]:
        demo = outing.clinic.demo
        process = demo.server()
        process.kill()
        process.wait()
        await stage.until(demo.healthy, BACK_SECONDS, "the server is back")
        return list(room.people)

    await resume("server restart", outing, kill)


def processes(mark: str) -> list[psutil.Process]:
    """The browser with this mark in its command line, before all that it started."""
    for one in psutil.Process().children(recursive=True):
        if one.is_running() and any(mark in part for part in one.cmdline()):
            return [one, *one.children(recursive=True)]
    raise LookupError("the phone's browser does not run")
