"""A real PostgreSQL for whoever has none: our own child, gone when we are gone, with every committed row.

The server is a direct child behind ``launch.py``: when this process dies, however it dies, the kernel sends it
SIGINT, a fast shutdown. When the server dies it is started again and redoes its log. It listens on a Unix socket
alone, inside a folder that only its account (and root) can enter, and asks the kernel who connects (``peer``).
On systems other than Linux it starts and stops, but a killed parent leaves it running until it is stopped by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import asyncpg
import structlog

from telemed.errors import TelemedError
from telemed.settings import Settings
from telemed.store import folders, launch
from telemed.store.binaries import Programs, find_programs, readable_programs
from telemed.store.database import LOST
from telemed.store.initial import ENVIRONMENT, make_data

OWNER_ROLE = "telemed_owner"  # superuser of the embedded server; migrates
SERVER_ROLE = "telemed_server"  # the server's login; a member of telemed_app, owns nothing
DATABASE_NAME = "telemed"
PORT = 5432  # names the socket file only; no TCP port is opened

READY_SECONDS = 120.0  # redo of max_wal_size on a slow disk; 0.4 s measured for the usual
LEFTOVER_SECONDS = 30.0  # an earlier server's fast shutdown; 0.7 s measured
STOP_SECONDS = 20.0  # fast shutdown: one checkpoint
QUIT_SECONDS = 5.0  # immediate shutdown
PROBE_SECONDS = 5.0  # one connection attempt to a server that says it is ready
POLL_SECONDS = 0.01  # start and stop take a tenth of a second
WATCH_SECONDS = 0.1
RESTART_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before the n-th attempt in a row; the last repeats
STEADY_SECONDS = 60.0  # a server that lived this long begins again with the first pause
LOG_BYTES = 10_000_000  # then the log is kept once as postgres.log.1 and begun anew
LOG_CHECK_SECONDS = 60.0
LOG_TAIL_BYTES = 4_000
FREE_BYTES_FIRST = 256 * 1024**2  # 39 MB of empty database, its first log segments, and room to work
FREE_BYTES = 64 * 1024**2  # four log segments of 16 MB

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "max_locks_per_transaction": "512",  # a restore is one transaction: eight locks a day of samples, for ten years
    "shared_buffers": "128MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "jit": "off",
    "client_connection_check_interval": "1s",  # a statement whose client is gone does not hold its locks
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",  # DETAIL lines would carry values of rows
    "log_min_error_statement": "panic",  # and statements their parameters
}

log = structlog.get_logger(__name__)


class DatabaseNotStarted(TelemedError):
    """The embedded PostgreSQL did not start; ``log`` is the file that says why."""

    code = "database_not_started"
    status = 500


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """How the server connects (``server``) and how migrations do (``owner``)."""

    server: str
    owner: str


class EmbeddedPostgres:
    """One home's PostgreSQL. ``urls`` work from the end of ``start`` to ``stop``, across restarts."""

    def __init__(
        self, home: Path, *, state_root: Path = folders.STATE_ROOT, first_free_bytes: int = FREE_BYTES_FIRST
    ) -> None:
        self.home = home.absolute()
        self._state_root = state_root
        self._first_free_bytes = first_free_bytes
        self._lock = folders.HomeLock(self.home)
        self._place: folders.Place | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._spawner: ThreadPoolExecutor | None = None
        self._started_at = 0.0

    @property
    def place(self) -> folders.Place:
        """Where data and socket are."""
        if self._place is None:
            self._place = folders.find_place(self.home, self._state_root)
        return self._place

    @property
    def urls(self) -> DatabaseUrls:
        """The addresses of the database for both roles."""
        return DatabaseUrls(server=self.url(SERVER_ROLE), owner=self.url(OWNER_ROLE))

    @property
    def pid(self) -> int | None:
        """The process number of the running server, or None."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def log_file(self) -> Path:
        """What PostgreSQL says; bounded."""
        return self.home / "postgres.log"

    def url(self, role: str, database: str = DATABASE_NAME) -> str:
        """The address of one database for one role, for asyncpg and libpq."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.place.socket))}&port={PORT}"

    async def start(self) -> None:
        """Own the home and serve; makes the database on the first start.

        Raises :class:`HomeInUse`, :class:`HomeUnwritable`, :class:`HomeWrongOwner`, :class:`DiskFull`,
        :class:`DatabaseNeedsUpgrade`, :class:`DatabaseProgramsMissing`, :class:`DatabaseFolderMissing`,
        :class:`DatabaseNotStarted`. After a refusal nothing runs and the home is free.
        """
        folders.make_home(self.home)
        self._lock.take()
        try:
            self._place = folders.find_place(self.home, self._state_root)
            # A thread of its own: PDEATHSIG fires when the *thread* that made the child ends (prctl(2)).
            self._spawner = ThreadPoolExecutor(1, thread_name_prefix="postgres-parent")
            await self._run()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the server (fast, then immediately) and leave the home; idempotent."""
        child, self._child = self._child, None
        if child is not None:
            for kind, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, QUIT_SECONDS)):
                if child.poll() is None:
                    child.send_signal(kind)
                    await _until(lambda: child.poll() is not None, patience)
            if child.poll() is None:
                child.kill()
            child.wait()
            await _until(lambda: not folders.living_in(self.place.data), QUIT_SECONDS, WATCH_SECONDS)
        if self._spawner is not None:
            self._spawner.shutdown(wait=False)
            self._spawner = None
        self._lock.leave()

    async def watch(self) -> None:
        """Start the server again whenever it dies; runs until it is cancelled or ``stop`` was called.

        Pauses between attempts grow to half a minute and stay there: a full disk that is emptied is enough.
        """
        attempt, log_checked = 0, time.monotonic()
        while self._spawner is not None:
            if self.pid is not None:
                if time.monotonic() - self._started_at > STEADY_SECONDS:
                    attempt = 0
                if time.monotonic() - log_checked > LOG_CHECK_SECONDS:
                    log_checked = time.monotonic()
                    self._bound_log()
                await asyncio.sleep(WATCH_SECONDS)
                continue
            await asyncio.sleep(RESTART_PAUSES[min(attempt, len(RESTART_PAUSES) - 1)])
            attempt += 1
            if self._spawner is None:
                return
            log.warning("database_restart", attempt=attempt, status=self._child.returncode if self._child else None)
            try:
                await self._run()
            except (TelemedError, OSError) as error:
                log.error("database_not_restarted", reason=str(error), **getattr(error, "params", {}))
            except Exception:
                # Whatever it was: a watch that ends leaves every later death of the database without a restart.
                log.exception("database_not_restarted")

    async def _run(self) -> None:
        """Bring the server up from whatever state it was left in."""
        data = self.place.data
        if not await _until(lambda: not folders.living_in(data), LEFTOVER_SECONDS, WATCH_SECONDS):
            raise folders.HomeInUse(path=str(data), process=folders.living_in(data)[0])
        await asyncio.to_thread(folders.settle, self.place, self.home)
        programs = await asyncio.to_thread(self._programs)
        self._must_have_room(first=not data.exists())
        if not data.exists():
            with self._open_log() as out:
                made = await asyncio.to_thread(make_data, self.place, programs, OWNER_ROLE, out)
            if not made:
                raise self._not_started()
        if sys.platform == "linux":
            # Nobody lives in the folder: the number in it is of a dead process, or by now of a stranger.
            (data / "postmaster.pid").unlink(missing_ok=True)
        self._spawn(programs)
        await self._wait_ready()
        await self._make_roles()

    def _programs(self) -> Programs:
        version = self.place.data / "PG_VERSION"
        try:
            major = int(version.read_text(encoding="ascii")) if self.place.data.exists() else None
        except (OSError, ValueError) as error:
            raise DatabaseNotStarted(log=str(self.log_file), reason=f"{version} cannot be read") from error
        with folders.plain_errors(self._state_root):
            return readable_programs(find_programs(major), self.place.account, self._state_root)

    def _must_have_room(self, *, first: bool) -> None:
        parent = self.place.data.parent
        if shutil.disk_usage(parent).free < (self._first_free_bytes if first else FREE_BYTES):
            raise folders.DiskFull(path=str(parent))

    def _spawn(self, programs: Programs) -> None:
        place = self.place
        rules, names = self._write_rules()
        settings = SETTINGS | {
            "unix_socket_directories": str(place.socket),
            "port": str(PORT),
            "hba_file": str(rules),
            "ident_file": str(names),
        }
        root = os.geteuid() == 0
        command = [sys.executable, "-I", "-S", launch.__file__]
        command += [str(place.account.uid if root else launch.KEEP), str(place.account.gid if root else launch.KEEP)]
        command += [str(os.getpid()), str(programs.postgres), "-D", str(place.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._bound_log()

        def spawn() -> subprocess.Popen[bytes]:
            with self._open_log() as out:
                return subprocess.Popen(  # noqa: S603 - our own launcher
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", env=ENVIRONMENT,
                    umask=0o077, start_new_session=True,
                )  # fmt: skip

        assert self._spawner is not None  # noqa: S101 - start() made it
        self._child = self._spawner.submit(spawn).result()
        self._started_at = time.monotonic()

    def _write_rules(self) -> tuple[Path, Path]:
        """Who may connect: over the socket, this process's account (and root) as any role; nobody else.

        In the shelter, which belongs to us, not to the account: root never writes into another's folder.
        """
        rules, names = self.place.shelter / "hba.conf", self.place.shelter / "ident.conf"
        allowed = {folders.owner_name(uid) for uid in (os.geteuid(), 0)}
        lines = [f'telemed "{account}" {role}' for account in sorted(allowed) for role in (OWNER_ROLE, SERVER_ROLE)]
        with folders.plain_errors(rules):
            for path, text in ((rules, "local all all peer map=telemed"), (names, "\n".join(lines))):
                path.write_text(f"{text}\n", encoding="utf-8")
                path.chmod(0o644)
        return rules, names

    async def _wait_ready(self) -> None:
        """Until this child serves. A stale ``postmaster.pid`` says "ready" too: its first line must be our child."""
        child, status = self._child, self.place.data / "postmaster.pid"
        assert child is not None  # noqa: S101 - _spawn made it

        def settled() -> bool:
            if child.poll() is not None:
                return True
            with contextlib.suppress(OSError, IndexError, ValueError):
                lines = status.read_text(encoding="utf-8").splitlines()
                return int(lines[0]) == child.pid and lines[7].strip() == "ready"
            return False

        if not await _until(settled, READY_SECONDS) or child.poll() is not None:
            raise self._not_started()

    async def _make_roles(self) -> None:
        """Connect, and make the server's role and the database when they are not there yet."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                connection = await asyncpg.connect(self.url(OWNER_ROLE, "postgres"), timeout=PROBE_SECONDS)
                try:
                    if not await connection.fetchval("select 1 from pg_roles where rolname = $1", SERVER_ROLE):
                        await connection.execute(f"create role {SERVER_ROLE} login")
                    if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE_NAME):
                        await connection.execute(f"create database {DATABASE_NAME}")
                finally:
                    await connection.close()
        except asyncpg.DiskFullError as error:
            raise folders.DiskFull(path=str(self.place.data)) from error
        except (*LOST, asyncpg.PostgresError) as error:
            raise self._not_started() from error

    def _not_started(self) -> TelemedError:
        """Why it did not start, from the end of its log."""
        with contextlib.suppress(OSError), self.log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            tail = file.read()
            if b"No space left on device" in tail or b"Disk quota exceeded" in tail:
                return folders.DiskFull(path=str(self.place.data))
        return DatabaseNotStarted(log=str(self.log_file))

    def _open_log(self) -> BinaryIO:
        with folders.plain_errors(self.log_file):
            return open(self.log_file, "ab", opener=partial(os.open, mode=0o600))

    def _bound_log(self) -> None:
        """Keep a long log once and begin anew; PostgreSQL appends, so it goes on at the new beginning."""
        with contextlib.suppress(FileNotFoundError):
            if self.log_file.stat().st_size > LOG_BYTES:
                shutil.copyfile(self.log_file, self.log_file.with_suffix(".log.1"))
                os.truncate(self.log_file, 0)


async def _until(true: Callable[[], bool], seconds: float, pause: float = POLL_SECONDS) -> bool:
    """Wait until ``true()``, at most ``seconds``, looking every ``pause`` seconds; whether it came true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(pause)
    return True


def database_urls(settings: Settings) -> DatabaseUrls | None:
    """The operator's own database (``DATABASE_URL``; ``DATABASE_OWNER_URL`` or the same), or None: embedded."""
    if settings.database_url is None:
        return None
    return DatabaseUrls(settings.database_url, settings.database_owner_url or settings.database_url)


@asynccontextmanager
async def running_database(settings: Settings) -> AsyncIterator[DatabaseUrls]:
    """A database for the body: the operator's own, or the embedded one, watched and ended with the body."""
    own = database_urls(settings)
    if own is not None:
        yield own
        return
    postgres = EmbeddedPostgres(settings.home)
    await postgres.start()
    watching = asyncio.create_task(postgres.watch())
    try:
        yield postgres.urls
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await postgres.stop()
