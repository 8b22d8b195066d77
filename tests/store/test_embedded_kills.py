"""kill -9 of either side: no committed row is lost, nothing is left running."""

from __future__ import annotations

import asyncio
import os
import pwd
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from telemed.store.embedded import EmbeddedPostgres
from telemed.store.folders import find_place, living_in

DEADLINE_SECONDS = 60.0  # of any one wait; the usual is under a second
ROWS_BETWEEN = 40  # committed and read back before the next kill
WRITER = Path(__file__).with_name("writer_program.py")
ROOTS = [str(WRITER.parents[2] / name) for name in (".", "devices", "signal", "web", "migrations")]


class Writer:
    """The running program, and what it has said."""

    def __init__(self, home: Path, first: int, account: str | None) -> None:
        self.home, self.rows = home, list[int]()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([*ROOTS, *sys.path[1:]]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [*as_account(account), sys.executable, "-P", str(WRITER), str(home), str(first)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd="/")
        self._lines = queue.Queue[str | None]()
        threading.Thread(target=self._read, daemon=True).start()
        self.server = int(self.line().removeprefix("server "))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def waiting(self) -> int:
        """Lines that were said and not yet taken."""
        return self._lines.qsize()

    def line(self) -> str:
        line = self._lines.get(timeout=DEADLINE_SECONDS)
        if line is None:
            self._lines.put(None)
            raise AssertionError((self.home / "postgres.log").read_text()[-2000:])
        return line

    def commit(self, count: int) -> None:
        """Wait for ``count`` more committed rows."""
        for _ in range(count):
            self.rows.append(int(self.line().split()[1]))

    def kill(self) -> None:
        """kill -9, and take what it had still said."""
        self._process.kill()
        self._process.wait()
        while (line := self._lines.get(timeout=DEADLINE_SECONDS)) is not None:
            if line.startswith("row") and line.endswith("\n"):
                self.rows.append(int(line.split()[1]))


def as_account(name: str | None) -> list[str]:
    """The command that becomes ``name``; it may still read what the interpreter and this tree need."""
    if name is None:
        return []
    entry = pwd.getpwnam(name)
    return [
        "setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups",
        "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
    ]  # fmt: skip


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def serving(data: Path) -> int | None:
    """The process number of the server that is ready, by its own status file."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return int(lines[0]) if lines[7].strip() == "ready" else None
    except (OSError, IndexError):
        return None


@pytest.fixture
def home(open_folder: Path) -> Iterator[Path]:
    path = open_folder / "killed"
    path.mkdir()
    yield path
    shutil.rmtree(path)


ACCOUNTS = [None, "nobody"] if os.geteuid() == 0 else [None]


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_six_kills_lose_no_committed_row_and_leave_nothing_running(home: Path, account: str | None) -> None:
    if account is not None:
        os.chown(home, pwd.getpwnam(account).pw_uid, -1)
        home.chmod(0o700)
    committed = list[int]()
    for _ in range(3):
        writer = Writer(home, len(committed), account)
        data = find_place(home).data if account is None else home / "postgres"
        try:
            writer.commit(ROWS_BETWEEN)
            os.kill(writer.server, signal.SIGKILL)
            wait_until(lambda data=data, dead=writer.server: serving(data) not in (None, dead))  # type: ignore[misc]
            writer.commit(writer.waiting + ROWS_BETWEEN)  # by itself, over the server that was started again
        finally:
            writer.kill()
        wait_until(lambda data=data: not living_in(data))  # type: ignore[misc]
        committed += writer.rows
        assert committed == list(range(len(committed)))
    again = EmbeddedPostgres(home)
    await again.start()
    try:
        connection = await asyncpg.connect(again.urls.owner)
        found = [row["n"] for row in await connection.fetch("select n from written order by n")]
        await connection.close()
    finally:
        await again.stop()
    assert found[: len(committed)] == committed
    assert len(found) <= len(committed) + 1  # the last COMMIT may have won against the kill


@pytest.mark.parametrize(
    "failure",
    [
        asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError("unexpected connection_lost() call"),
        TimeoutError(),
        RuntimeError("an error that nobody foresaw"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_server_that_dies_while_it_is_being_asked_is_started_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """asyncpg names a server that dies between its first answers in all these ways; the watch outlives them."""
    postgres, connect, asked = EmbeddedPostgres(home), asyncpg.connect, list[int]()

    async def dying(*args: Any, **options: Any) -> Any:
        asked.append(postgres.pid or 0)
        if len(asked) > 1:
            return await connect(*args, **options)
        os.kill(asked[0], signal.SIGKILL)
        raise failure

    await postgres.start()
    watching = asyncio.create_task(postgres.watch())
    try:
        monkeypatch.setattr(asyncpg, "connect", dying)
        os.kill(postgres.pid or 0, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(asked) < 2 or serving(postgres.place.data) != asked[-1]:
                assert not watching.done()
                await asyncio.sleep(0.02)
        assert len(set(asked)) == 2
        await (await connect(postgres.urls.owner)).close()
    finally:
        watching.cancel()
        await postgres.stop()
