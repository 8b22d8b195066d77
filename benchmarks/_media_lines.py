"""A child process that is asked by JSON lines: {"id", "op", …} on its standard input, {"id", …} on its output.

Several questions may be open at once. A child ends when its input ends, and the kernel ends it with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

LINE_BYTES = 1 << 20  # the longest is an SDP of some 5 KiB
ASK_SECONDS = 60.0  # for any answer: the longest wait is for 150 handshakes
END_SECONDS = 5.0

Answer = dict[str, Any]
Handler = Callable[[Answer], Awaitable[Answer]]


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # linux/prctl.h: PR_SET_PDEATHSIG


class Child:
    """A process that answers."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Future[Answer]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, command: list[str], log: Path) -> Child:
        """Start it; what it says on standard error goes to ``log``."""
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
                limit=LINE_BYTES, preexec_fn=die_with_parent,
            )
        return cls(process, log)

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, command: list[str], log: Path) -> AsyncIterator[Child]:
        """One that is ended at the end. What fails meanwhile is told with the end of its log."""
        child = await cls.start(command, log)
        try:
            yield child
        except Exception as error:
            error.add_note(child.said())
            raise
        finally:
            await child.stop()

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    async def ask(self, op: str, **fields: Any) -> Answer:
        """Ask and wait. Raises ``RuntimeError`` with the end of its log when it fails or is gone."""
        number = next(self._numbers)
        self._open[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        try:
            async with asyncio.timeout(ASK_SECONDS):
                answer = await self._open[number]
        except TimeoutError:
            raise RuntimeError(f"no answer to {op} in {ASK_SECONDS:.0f} s\n{self.said()}") from None
        finally:
            del self._open[number]
        if "error" in answer:
            raise RuntimeError(f"{op}: {answer['error']}\n{self.said()}")
        return answer

    async def stop(self) -> None:
        """End its input, wait, then end it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            if (waiting := self._open.get(answer["id"])) is not None and not waiting.done():
                waiting.set_result(answer)
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_result({"error": "the process ended"})

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-3000:]


async def serve(handler: Handler) -> None:
    """Answer the lines of standard input, each in a task of its own, until it ends."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(_answer(handler, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def serve_beside(handler: Handler, work: Coroutine[Any, Any, None]) -> None:
    """Answer as :func:`serve` does while that goes on; end with whichever ends first, and raise what it raised."""
    working, lines = asyncio.create_task(work), asyncio.create_task(serve(handler))
    done, _ = await asyncio.wait((working, lines), return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    working.cancel()


async def _answer(handler: Handler, question: Answer) -> None:
    try:
        answer = await handler(question)
    except Exception as error:  # whatever it is, the parent must hear of it
        answer = {"error": f"{type(error).__name__}: {error}"}
    reply(question, answer)


def reply(question: Answer, answer: Answer) -> None:
    """Write the answer to a question."""
    os.write(1, json.dumps({"id": question["id"], **answer}).encode() + b"\n")
