"""A real ``telemed serve`` with its own data folder, database and port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest
from aiohttp.test_utils import unused_port

PATIENCE_SECONDS = 60.0  # a deadline, never an expectation


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for the condition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def environment(home: Path) -> dict[str, str]:
    """This process's environment with this data folder and the embedded database."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "DATABASE_"))}
    return {**plain, "TELEMED_HOME": str(home)}


def family(process: psutil.Process) -> list[psutil.Process]:
    """The process and everything it started."""
    return [process, *process.children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that has ended but was not waited for does not."""
    running = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
        except psutil.NoSuchProcess:
            continue
    return running


@dataclass(frozen=True)
class Serving:
    """A running ``telemed serve`` (or ``demo``)."""

    process: subprocess.Popen[str]
    home: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def healthy(self) -> bool:
        """Whether it serves."""
        assert self.process.poll() is None, self.process.communicate()
        try:
            with urlopen(f"{self.address}/healthz", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@contextmanager
def running(command: str, home: Path) -> Iterator[Serving]:
    """Start it and wait until it serves; afterwards whatever is left of it is killed."""
    port = unused_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "telemed", command, "--port", str(port)], env=environment(home), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    serving = Serving(process, home, port)
    left: list[psutil.Process] = []
    try:
        until(serving.healthy, f"{command} serves")
        yield serving
    finally:
        if process.poll() is None:
            left = family(psutil.Process(process.pid))
        for one in left:
            if one.is_running():
                one.send_signal(signal.SIGKILL)
        process.communicate()


@dataclass(frozen=True)
class Stage:
    """This folder's own means, for its tests."""

    until = staticmethod(until)
    environment = staticmethod(environment)
    family = staticmethod(family)
    alive = staticmethod(alive)
    running = staticmethod(running)


@pytest.fixture
def stage() -> Stage:
    """This folder's own means."""
    return Stage()


@pytest.fixture(scope="session")
def run_serve() -> Callable[[str, Path], AbstractContextManager[Serving]]:
    """Starts ``serve`` or ``demo`` with a data folder, for the body of a ``with``."""
    return running


@pytest.fixture
def home(open_folder: Path) -> Iterator[Path]:
    """A data folder's name; nothing is there yet."""
    number = len(list(open_folder.iterdir()))
    folder = open_folder / f"home-{number}-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def serving(home: Path) -> Iterator[Serving]:
    """A running ``telemed serve``."""
    with running("serve", home) as started:
        yield started
