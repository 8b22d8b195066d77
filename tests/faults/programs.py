"""The programs of a run: started, stopped, killed, and asked why when one ends by itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from telemed.supervise import PARENT

ROOT = Path(__file__).parents[2]
ROOTS = [str(ROOT / name) for name in (".", "devices", "signal", "web", "migrations")]
END_S = 15.0  # of a program that was asked to end
ANSWER_S = 150.0  # of the generator to anything: longer than its own bound for the end
TAIL_BYTES = 3_000  # of a log, when a program ended by itself
READY = "TELEMED_FAULTS_READY"  # environment: the file that a server makes when it has read its own code
READY_S = 60.0
SERVE = (
    "import os, pathlib, sys; from telemed.supervise import follow_parent; follow_parent(); "
    "from aiohttp import web; from telemed.app import build_app; from telemed.settings import Settings; "
    f"pathlib.Path(os.environ['{READY}']).touch(); sys.stdin.readline(); settings = Settings(); "
    "web.run_app(build_app(settings), host='127.0.0.1', port=settings.port, print=None, access_log=None)"
)


class Ended(AssertionError):
    """A program ended that nobody had told to."""


class Program:
    """One program of the run, in a process of its own, its output in ``log``; ``answers``: in a pipe."""

    answers = False

    def __init__(self, name: str, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._command = (sys.executable, *arguments)
        self._environment = {
            **os.environ, **environment, "PYTHONPATH": os.pathsep.join(ROOTS), PARENT: str(os.getpid()),
        }  # fmt: skip
        self._log = log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, piped: bool = False) -> None:
        """Start it."""
        pipe = asyncio.subprocess.PIPE if piped else None
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, cwd=ROOT, start_new_session=True,
                stdin=pipe or asyncio.subprocess.DEVNULL, stdout=pipe if self.answers else log, stderr=log,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Raises ``Ended``."""
        self.must_live()
        assert self.process is not None
        self.process.send_signal(number)

    def must_live(self) -> None:
        """Raise ``Ended``, with the end of the log, if it does not run."""
        if not self.alive:
            tail = self._log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
            raise Ended(f"{self.name} ended by itself:\n{tail}")

    async def gone(self) -> None:
        """Wait for its end."""
        assert self.process is not None
        async with asyncio.timeout(END_S):
            await self.process.wait()

    async def end(self) -> None:
        """End it, whatever it is doing."""
        if self.alive and self.process is not None:
            self.process.kill()
            await self.process.wait()


class Server(Program):
    """The server. The next process stands by with its code read, so that a killed one is away for a moment only."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._ready = log.with_name("ready")
        super().__init__("the server", ("-c", SERVE), {**environment, READY: str(self._ready)}, log)
        self._next: asyncio.subprocess.Process | None = None

    async def stand_by(self) -> None:
        """Have the next process ready."""
        if self._next is None:
            running = self.process
            self._ready.unlink(missing_ok=True)
            await super().start(piped=True)
            self._next, self.process = self.process, running
        async with asyncio.timeout(READY_S):
            while not self._ready.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.02)

    async def start(self, piped: bool = True) -> None:
        """Let the next process serve."""
        await self.stand_by()
        assert self._next is not None and self._next.stdin is not None
        self.process, self._next = self._next, None
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def end(self) -> None:
        """End both."""
        await super().end()
        self.process, self._next = self._next, None
        await super().end()


class Generator(Program):
    """The stations; commands and answers by number."""

    answers = True

    def __init__(self, config: Path, log: Path) -> None:
        super().__init__("the generator", ("-m", "tests.faults.generator", str(config)), {}, log)
        self._numbers = itertools.count()
        self._asked: dict[str, asyncio.Future[str]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def start(self, piped: bool = True) -> None:
        """Start it, and listen."""
        await super().start(piped)
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            name, answer = line.split(maxsplit=1)
            future = self._asked.pop(name, None)
            if future is not None and not future.done():
                future.set_result(answer)
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Ended(f"{self.name} ended"))

    async def ask(self, command: str, *arguments: int, seconds: float = ANSWER_S) -> str:
        """The answer to a command. Raises ``TimeoutError``, ``Ended``."""
        self.must_live()
        assert self.process is not None and self.process.stdin is not None
        name = str(next(self._numbers))
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked[name] = future
        self.process.stdin.write(" ".join([command, name, *map(str, arguments)]).encode() + b"\n")
        try:
            async with asyncio.timeout(seconds):
                return await future
        finally:
            self._asked.pop(name, None)

    async def ack(self, count: int, seconds: float = ANSWER_S) -> int:
        """When the ``count``-th acknowledgement from now on came in, monotonic ns."""
        return int(await self.ask("ack", count, seconds=seconds))

    async def well(self, percent: int, seconds: float = ANSWER_S) -> None:
        """Wait until so many of the stations were acknowledged something."""
        await self.ask("well", percent, seconds=seconds)

    async def finish(self) -> dict[str, Any]:
        """Make no more; what was sent, once all is acknowledged."""
        found: dict[str, Any] = json.loads(await self.ask("finish"))
        return found

    async def end(self) -> None:
        """End it."""
        await super().end()
        if self._reading is not None:
            await self._reading
