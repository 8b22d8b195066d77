"""The station's own console: a Unix socket in its data folder, one JSON line each way, for its account alone.

The program serves it (``Console``); the command line asks (``ask``). A question is ``{"do": "show"}``,
``{"do": "enter", "name": …, "birth_year": …}`` or ``{"do": "gone"}``; the answer has ``person`` (``name`` and
``birth_year``, or null), ``connected``, ``state`` and ``queue`` as the status message has them (docs/protocol.md
section 4), or ``error`` (``code`` and ``params``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from telemed_station.errors import ConsolePath, ConsoleSilent, NotRunning, StationError

NAME = "console"
PATH_BYTES = 103  # sockaddr_un of macOS with its final zero; Linux has four more
LINE_BYTES = 4_096  # a name of 200 characters as JSON escapes is 2,400
READ_S = 5.0  # for a question; whoever asks has it ready
ANSWER_S = 20.0  # for an answer; a commit on a slow disk
ASKING_MAX = 4  # at a time

log = structlog.get_logger("telemed.station.console")

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def path_in(home: Path) -> Path:
    """Where the console of a data folder is. Raises ``ConsolePath`` when no socket can be there."""
    path = home.absolute() / NAME
    if len(os.fsencode(path)) > PATH_BYTES:
        raise ConsolePath(home=str(home), most=PATH_BYTES)
    return path


@asynccontextmanager
async def served(home: Path, answer: Answer) -> AsyncIterator[None]:
    """Answer on the socket in this program's own folder. Without a socket the station measures all the same."""
    console, server, path = _Console(answer), None, None
    try:
        path = path_in(home)
        path.unlink(missing_ok=True)  # left by a run that was killed
        server = await _listen(path, console)
    except (StationError, OSError) as error:
        log.error("console_unavailable", code=getattr(error, "code", type(error).__name__))
    try:
        yield
    finally:
        if server is not None and path is not None:
            server.close()
            await console.close()
            with contextlib.suppress(OSError):
                path.unlink()


async def _listen(path: Path, console: _Console) -> asyncio.Server:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)  # for this account alone, from the first moment on
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        return await asyncio.start_unix_server(console.serve, sock=listener, limit=LINE_BYTES)
    except BaseException:
        listener.close()
        raise


class _Console:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._asking: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question, one answer; whoever asks otherwise gets no further."""
        task = asyncio.current_task()
        if task is None or len(self._asking) >= ASKING_MAX:
            writer.close()
            return
        self._asking.add(task)
        try:
            async with asyncio.timeout(READ_S):
                question = json.loads(await reader.readuntil(b"\n"))
            said = await self._said(question if isinstance(question, dict) else {})
            writer.write(json.dumps(said).encode() + b"\n")
            async with asyncio.timeout(READ_S):
                await writer.drain()
        except (ValueError, RecursionError, OSError, TimeoutError, asyncio.IncompleteReadError,
                asyncio.LimitOverrunError):  # fmt: skip
            log.info("console_left")
        finally:
            self._asking.discard(task)
            writer.close()

    async def close(self) -> None:
        """Leave whoever asks."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _said(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._answer(question)
        except StationError as error:
            return {"error": {"code": error.code, "params": error.params}}


class ConsoleRefused(StationError):
    """What the running program refused, under its own code."""

    def __init__(self, code: str, params: dict[str, str | int]) -> None:
        super().__init__(**params)
        self.code = code  # type: ignore[misc]  # a class's own elsewhere, here of each refusal


def ask(home: Path, question: dict[str, Any], wait_s: float = ANSWER_S) -> dict[str, Any]:
    """The running program's answer. Raises ``NotRunning``, ``ConsolePath``, ``ConsoleSilent`` or what it refused."""
    path, until = path_in(home), time.monotonic() + wait_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(wait_s)
        try:
            line.connect(str(path))
        except OSError as error:
            raise NotRunning(home=str(home)) from error
        try:
            line.sendall(json.dumps(question).encode() + b"\n")
            answer = json.loads(_line(line, until))
        except (OSError, ValueError, RecursionError) as error:
            raise ConsoleSilent(home=str(home)) from error
    if not isinstance(answer, dict):
        raise ConsoleSilent(home=str(home))
    refused = answer.get("error")
    if isinstance(refused, dict):
        raise ConsoleRefused(str(refused.get("code")), dict(refused.get("params") or {}))
    return answer


def _line(line: socket.socket, until: float) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        line.settimeout(max(0.001, until - time.monotonic()))
        part = line.recv(LINE_BYTES)
        if not part or len(found) + len(part) > LINE_BYTES:
            raise ValueError("no line")
        found += part
    return found
