"""Whoever dies is started again; nobody outlives the supervisor. Real processes, no waiting but on conditions."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from telemed import supervise
from telemed.supervise import Death, Program, Supervisor

PATIENCE_SECONDS = 30.0  # a deadline, never an expectation

# Says who it is, then lives until it is told to end; "stubborn" does not listen.
CHILD = """
import os, pathlib, signal, sys, time
from telemed.supervise import follow_parent
follow_parent()
folder, manner = pathlib.Path(sys.argv[1]), sys.argv[2]
def end(*_):
    (folder / "ended").write_text(str(os.getpid()))
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if manner == "stubborn" else end)
with (folder / "pids").open("a") as out:
    out.write(f"{os.getpid()}\\n")
if manner == "talkative":
    os.write(1, b"x" * 5000)
while True:
    time.sleep(60)
"""

# A supervisor of two such children, as a program of its own.
PARENT = """
import asyncio, pathlib, sys
from telemed.supervise import Program, Supervisor, stop_signals
async def main():
    supervisor = Supervisor()
    with stop_signals() as stop:
        for name in ("one", "two"):
            folder = pathlib.Path(sys.argv[1], name)
            folder.mkdir()
            await supervisor.start(Program(name, (sys.executable, "-c", sys.argv[2], str(folder), "mild")))
        await stop.wait()
        await supervisor.stop()
        pathlib.Path(sys.argv[1], "stopped").touch()
asyncio.run(main())
"""


def pids(folder: Path) -> list[int]:
    file = folder / "pids"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


def child(folder: Path, manner: str, log: Path | None = None) -> Program:
    return Program("child", (sys.executable, "-c", CHILD, str(folder), manner), log=log)


@asynccontextmanager
async def supervised(program: Program) -> AsyncIterator[tuple[supervise.Kept, list[Death]]]:
    deaths: list[Death] = []
    supervisor = Supervisor(deaths.append)
    kept = await supervisor.start(program)
    try:
        yield kept, deaths
    finally:
        await supervisor.stop()


async def test_a_killed_program_is_started_again_and_told(tmp_path: Path) -> None:
    async with supervised(child(tmp_path, "mild")) as (kept, deaths):
        await until(lambda: len(pids(tmp_path)) == 1)
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        await until(lambda: len(pids(tmp_path)) == 2)
        assert [death.status for death in deaths] == [-signal.SIGKILL]
        assert kept.deaths == 1
        assert kept.pid == pids(tmp_path)[1]
    assert not lives(pids(tmp_path)[1])
    assert (tmp_path / "ended").read_text() == str(pids(tmp_path)[1])


async def test_who_dies_at_once_waits_longer_each_time_up_to_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(supervise, "LONGEST_DELAY_SECONDS", 0.004)
    async with supervised(Program("hasty", (sys.executable, "-c", "raise SystemExit(3)"))) as (_, deaths):
        await until(lambda: len(deaths) >= 5)
    assert [death.delay_seconds for death in deaths[:5]] == [0.001, 0.002, 0.004, 0.004, 0.004]
    assert {death.status for death in deaths[:5]} == {3}


async def test_who_had_settled_is_started_again_with_the_first_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "SETTLED_SECONDS", 0.0)
    async with supervised(Program("old", (sys.executable, "-c", ""))) as (_, deaths):
        await until(lambda: len(deaths) >= 3)
    assert {death.delay_seconds for death in deaths} == {supervise.FIRST_DELAY_SECONDS}


async def test_who_does_not_end_when_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STOP_SECONDS", 0.1)
    async with supervised(child(tmp_path, "stubborn")):
        await until(lambda: len(pids(tmp_path)) == 1)
    assert not lives(pids(tmp_path)[0])


async def test_a_program_that_cannot_be_started_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Supervisor().start(Program("nobody", (str(tmp_path / "nobody"),)))


async def test_a_long_log_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "LOG_BYTES", 1000)
    monkeypatch.setattr(supervise, "LOG_LOOK_SECONDS", 0.01)
    log = tmp_path / "logs" / "child.log"
    async with supervised(child(tmp_path, "talkative", log)):
        await until(lambda: pids(tmp_path))
        await until(lambda: log.stat().st_size == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a program looks for its parent once a second")
async def test_kill_9_of_the_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), CHILD]) as parent:
        await until(lambda: pids(tmp_path / "one") and pids(tmp_path / "two"))
        born = [*pids(tmp_path / "one"), *pids(tmp_path / "two")]
        parent.kill()
    await until(lambda: not any(map(lives, born)))


async def test_a_closed_terminal_ends_everything_in_order(tmp_path: Path) -> None:
    terminal, inside = pty.openpty()
    # The child of a new session takes the terminal that it opens as its own; closing it sends SIGHUP.
    own = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{PARENT}"
    with subprocess.Popen(
        [sys.executable, "-c", own, str(tmp_path), CHILD], stdin=inside, stdout=inside, stderr=inside,
        start_new_session=True,
    ):  # fmt: skip
        os.close(inside)
        await until(lambda: pids(tmp_path / "one") and pids(tmp_path / "two"))
        born = [*pids(tmp_path / "one"), *pids(tmp_path / "two")]
        os.close(terminal)
        await until((tmp_path / "stopped").exists)
    assert not any(map(lives, born))
    assert (tmp_path / "one" / "ended").exists()
    assert (tmp_path / "two" / "ended").exists()


async def test_a_process_that_nobody_supervises_follows_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(supervise.PARENT, raising=False)
    supervise.follow_parent()  # would kill this test run if it believed otherwise


async def test_who_finds_its_supervisor_gone_ends_at_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "mild"], env={**os.environ, supervise.PARENT: "1"}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not pids(tmp_path)
