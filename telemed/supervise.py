"""Keeps programs running: whoever dies is started again; nobody outlives the supervisor.

A program ends in order on SIGTERM within ``STOP_SECONDS``, else it is killed with its whole process group. A program
that calls :func:`follow_parent` first is killed by the kernel when its supervisor dies, however that died.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

PARENT = "TELEMED_SUPERVISOR"  # environment: the process id that a supervised program follows
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK_SECONDS = 1.0  # how often a program looks for its parent where the kernel cannot tell it

STOP_SECONDS = 10.0  # a server flushes its last samples and stops its database in about one
FIRST_DELAY_SECONDS = 0.1  # of the first restart; doubled by each death soon after a start
LONGEST_DELAY_SECONDS = 5.0  # so that a repaired cause is noticed soon
SETTLED_SECONDS = 5.0  # who lived this long starts again with the first delay
LOG_BYTES = 16 * 1024 * 1024  # a program's log file is emptied when it has grown beyond this
LOG_LOOK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``log`` takes its output; without one it shares the supervisor's."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """A program ended by itself: ``status`` as ``subprocess`` gives it (negative: the signal)."""

    name: str
    status: int
    lived_seconds: float
    delay_seconds: float


class Kept:
    """One program that the supervisor keeps running."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.deaths = 0
        self.last_status: int | None = None
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None while it is not running."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None


class Supervisor:
    """Starts programs and starts them again. ``tell`` hears of every death; it must not raise."""

    def __init__(self, tell: Callable[[Death], None] = lambda death: None) -> None:
        self._tell = tell
        self._stopping = asyncio.Event()
        self._kept: list[tuple[Kept, asyncio.Task[None]]] = []

    async def start(self, program: Program) -> Kept:
        """Start a program and keep it running until :meth:`stop`. Raises ``OSError`` when it cannot be started."""
        kept = Kept(program)
        kept.process = await _spawn(program)
        self._kept.append((kept, asyncio.create_task(self._keep(kept), name=f"keep {program.name}")))
        return kept

    async def stop(self) -> None:
        """End every program, the last started first; returns when none is left."""
        self._stopping.set()
        for kept, task in reversed(self._kept):
            if kept.pid is not None and kept.process is not None:
                await _end(kept.process)
            await task
        self._kept.clear()

    async def _keep(self, kept: Kept) -> None:
        delay = FIRST_DELAY_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            if kept.process is not None:
                kept.last_status = await _watch(kept.process, kept.program.log)
            if self._stopping.is_set():
                return
            lived = time.monotonic() - started
            kept.deaths += 1
            delay = FIRST_DELAY_SECONDS if lived >= SETTLED_SECONDS else delay
            self._tell(Death(kept.program.name, kept.last_status or 0, lived, delay))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
                return
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)
            try:
                kept.process = await _spawn(kept.program)
            except OSError as error:  # out of processes or memory: the next round tries again
                kept.process, kept.last_status = None, error.errno
        # stop() can only come between two awaits: a process born meanwhile is ended here.
        if kept.pid is not None and kept.process is not None:
            await _end(kept.process)


async def _spawn(program: Program) -> asyncio.subprocess.Process:
    """Start the program in a session of its own: the terminal's Ctrl-C is the supervisor's to hand on."""
    environment = {**os.environ, **program.environment, PARENT: str(os.getpid())}
    output: BinaryIO | None = None
    if program.log is not None:
        program.log.parent.mkdir(parents=True, exist_ok=True)
        output = program.log.open("ab")
    try:
        return await asyncio.create_subprocess_exec(
            *program.command, env=environment, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            stdout=output, stderr=output,
        )
    finally:
        if output is not None:
            output.close()


async def _watch(process: asyncio.subprocess.Process, log: Path | None) -> int:
    """Wait for the program's end, keeping its log file within bounds meanwhile."""
    end = asyncio.ensure_future(process.wait())
    while True:
        done, _ = await asyncio.wait({end}, timeout=LOG_LOOK_SECONDS if log else None)
        if done:
            return end.result()
        if log is not None:
            _bound(log)


def _bound(log: Path) -> None:
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            os.truncate(log, 0)  # the program appends, so its next line is the file's first


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the program to end; kill its process group when it has not within the bound."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
        await process.wait()


def follow_parent() -> None:
    """Die with the supervisor that started this program; does nothing when none did.

    Call it first, from the main thread, before anything slow is imported.
    """
    named = os.environ.pop(PARENT, None)
    if named is None:
        return
    parent = int(named)
    if sys.platform == "linux":
        # The kernel kills this process when the thread that started it ends: the supervisor's main thread.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_look_for, args=(parent,), name="follow parent", daemon=True).start()
    if os.getppid() != parent:  # it died before the request took effect
        os.kill(os.getpid(), signal.SIGKILL)


def _look_for(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT, SIGTERM and a closed terminal set, for the body's duration; needs a running loop.

    A SIGHUP that was already ignored (``nohup``) stays ignored.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def end_within(seconds: int) -> None:
    """Have the kernel end this process after ``seconds``, whatever it is doing then."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
