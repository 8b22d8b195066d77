"""The one process that owns all faults of a run: it starts everything, breaks it by a schedule, and writes down what.

What it breaks: the server (kill -9, SIGSTOP, SIGTERM), the compactor (kill -9, SIGSTOP), PostgreSQL's postmaster
(kill -9), the connections to PostgreSQL (cut at a COMMIT), the disk (no room). Each fault comes within ``AFTER_MS`` of
an acknowledgement that a station received. It judges nothing: the checker does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp.test_utils import unused_port

from telemed.errors import DatabaseUnavailable
from telemed.store.database import Database
from telemed.store.embedded import OWNER_ROLE, SERVER_ROLE, EmbeddedPostgres
from telemed.store.migrate import migrate
from telemed.store.sealing import Sealer
from telemed.vitals.storage.compactor import compact_once
from tests.faults.disk import Disk
from tests.faults.history import History
from tests.faults.programs import ROOTS, Ended, Generator, Program, Server
from tests.faults.proxy import Proxy
from tests.faults.schedule import AFTER_MS, Counts, Fault, schedule
from tests.faults.seeding import seed_stations

STATIONS = int(os.environ.get("TELEMED_FAULT_STATIONS", "300"))
TRIES = 200  # acknowledgements that came too late to us to break something within AFTER_MS of them
WELL_PERCENT = 90  # of the stations were acknowledged something after one fault, before the next
WELL_S = 90.0  # they come back within this, or the run fails: a server starts, 300 stations announce
BITES_S = 15.0  # a full disk is felt within this; pages and log that are there already take some writes
QUIET_S = 1.0  # without an acknowledgement: it is felt
CHECK_S = 600.0
PACKED_TRIES = 100
DELETE_HOT = "delete from {0} c using stream_mark m where m.stream_id = c.stream_id and m.compacted @> c.seq"

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """One round. ``restless``: the compactor never rests; else it is the product's own program."""

    seed: int
    counts: Counts
    stations: int = STATIONS
    leads: int = 12
    restless: bool = True


@dataclass
class Outcome:
    """What a round left: the checker's reports of everything as it was left, and of segments alone."""

    seed: int
    seconds: float = 0.0
    generator: dict[str, Any] = field(default_factory=dict)
    after_ms: list[float] = field(default_factory=list)
    late: int = 0
    as_left: dict[str, Any] = field(default_factory=dict)
    packed: dict[str, Any] = field(default_factory=dict)


class Round:
    """One database, one load, one schedule."""

    def __init__(self, plan: Plan, folder: Path, home: Path, tell: Tell = lambda done, total, text: None) -> None:
        self._plan = plan
        self._folder = folder
        self._tell = tell
        self._disk = Disk(home) if plan.counts.full_disks else None
        self.postgres = EmbeddedPostgres(home)
        self.history = folder / "history.jsonl"
        self.key_file = folder / "installation.key"
        self._written: History | None = None
        self._outcome = Outcome(plan.seed)
        self._programs: list[Program] = []

    async def run(self) -> Outcome:
        """All of it. Raises ``AssertionError`` when something does not come back; reads the checker's word."""
        began = time.monotonic()
        if self._disk is not None and (sentence := self._disk.mount()) is not None:
            raise OSError(sentence)
        try:
            self._written = History(self.history)
            self._written.add(run=self._plan.seed)
            self._written.flush()
            await self.postgres.start()
            await migrate(self.postgres.url(OWNER_ROLE), SERVER_ROLE)
            await self._break_things()
            self._outcome.as_left = await self._check()
            await self._pack_all()
            self._outcome.packed = await self._check()
        finally:
            for program in reversed(self._programs):
                await program.end()
            await self.postgres.stop()
            if self._written is not None:
                self._written.close()
            if self._disk is not None:
                self._disk.unmount()
        self._outcome.seconds = time.monotonic() - began
        return self._outcome

    async def _break_things(self) -> None:
        place = self.postgres.place.socket / ".s.PGSQL.5432"
        self._proxy, compactors = Proxy(place), Proxy(place)
        await self._proxy.open()
        await compactors.open()
        try:
            await self._start_programs(compactors.port)
            faults = schedule(self._plan.seed, self._plan.counts)
            for done, fault in enumerate(faults):
                self._tell(done, len(faults), fault.kind.replace("_", " "))
                await self._well()
                await self._make(fault)
            self._tell(len(faults), len(faults), "all is acknowledged")
            await self._well()
            self._outcome.generator = await self._generator.finish()
            self._server.signal(signal.SIGTERM)
            await self._server.gone()
            await self._compactor.end()
        finally:
            await self._proxy.close()
            await compactors.close()

    async def _start_programs(self, compactors_port: int) -> None:
        stations = await seed_stations(self.postgres.url(SERVER_ROLE), self.key_file, self._plan.stations)
        port = unused_port()
        environment = {
            "TELEMED_HOME": str(self._folder / "server"), "TELEMED_KEY_FILE": str(self.key_file),
            "TELEMED_PORT": str(port), "DATABASE_URL": self._url(self._proxy.port),
        }  # fmt: skip
        self._server = Server(environment, self._folder / "server.log")
        module = "tests.faults.compacting" if self._plan.restless else "telemed.vitals.storage"
        self._compactor = Program(
            "the compactor", ("-m", module), {**environment, "DATABASE_URL": self._url(compactors_port)},
            self._folder / "compactor.log",
        )  # fmt: skip
        config = self._folder / "generator.json"
        config.write_text(json.dumps({
            "url": f"http://127.0.0.1:{port}", "seed": self._plan.seed, "leads": self._plan.leads,
            "history": str(self.history), "stations": stations}), encoding="utf-8")
        self._generator = Generator(config, self._folder / "generator.log")
        self._programs = [self._server, self._compactor, self._generator]
        for program in self._programs:
            await program.start()

    @staticmethod
    def _url(port: int) -> str:
        return f"postgresql://{SERVER_ROLE}@127.0.0.1:{port}/telemed?sslmode=disable"

    async def _well(self) -> None:
        """All that should run does, and the stations are acknowledged what they send."""
        try:
            await self._generator.well(WELL_PERCENT, WELL_S)
        except TimeoutError:
            for program in self._programs:
                program.must_live()
            raise AssertionError(f"the stations did not come back within {WELL_S} s") from None
        for program in self._programs:
            program.must_live()

    async def _make(self, fault: Fault) -> None:
        match fault.kind:
            case "cut_commit":
                await self._cut(fault)
            case "server_kill":
                await self._server.stand_by()
                await self._strike(fault, lambda: self._server.signal(signal.SIGKILL))
                await self._server.gone()
                await asyncio.sleep(fault.seconds)
                await self._server.start()
            case "server_restart":
                await self._server.stand_by()
                await self._strike(fault, lambda: self._server.signal(signal.SIGTERM))
                await self._server.gone()
                await self._server.start()
            case "server_stop":
                await self._stopped(fault, self._server)
            case "compactor_kill":
                await self._strike(fault, lambda: self._compactor.signal(signal.SIGKILL))
                await self._compactor.gone()
                await self._compactor.start()
            case "compactor_stop":
                await self._stopped(fault, self._compactor)
            case "postmaster_kill":
                await self._strike(fault, self._kill_postmaster)
                await self._revive()
            case "full_disk":
                await self._fill(fault)
            case _:
                raise ValueError(fault.kind)

    async def _strike(self, fault: Fault, act: Callable[[], object]) -> None:
        """Do it within ``AFTER_MS`` of an acknowledgement, and write it down."""
        count = fault.after_acks
        for _ in range(TRIES):
            told_ns = await self._generator.ack(count)
            after_ms = (time.monotonic_ns() - told_ns) / 1e6
            if after_ms <= AFTER_MS:
                act()
                self._note(fault, after_ms)
                return
            count = 1
            self._outcome.late += 1
        raise AssertionError(f"no fault within {AFTER_MS} ms of an acknowledgement in {TRIES} tries")

    def _note(self, fault: Fault, after_ms: float) -> None:
        assert self._written is not None
        self._outcome.after_ms.append(after_ms)
        self._written.add(
            fault=fault.kind, how=fault.how, seconds=fault.seconds, at_s=time.time(), after_ack_ms=round(after_ms, 3))
        self._written.flush()

    async def _cut(self, fault: Fault) -> None:
        count = fault.after_acks
        for _ in range(TRIES):
            told_ns = await self._generator.ack(count)
            left_ms = AFTER_MS - (time.monotonic_ns() - told_ns) / 1e6
            cut_ns = await self._proxy.cut(fault.how, left_ms / 1000) if left_ms > 0 else None
            if cut_ns is not None and (after_ms := (cut_ns - told_ns) / 1e6) <= AFTER_MS:
                self._note(fault, after_ms)
                return
            count = 1
            self._outcome.late += 1
        raise AssertionError(f"no COMMIT within {AFTER_MS} ms of an acknowledgement in {TRIES} tries")

    async def _stopped(self, fault: Fault, program: Program) -> None:
        await self._strike(fault, lambda: program.signal(signal.SIGSTOP))
        await asyncio.sleep(fault.seconds)
        program.signal(signal.SIGCONT)

    def _kill_postmaster(self) -> None:
        pid = self.postgres.pid
        if pid is None:
            raise Ended("PostgreSQL ended by itself")
        os.kill(pid, signal.SIGKILL)

    async def _revive(self) -> None:
        """PostgreSQL serves again: by itself if it can, else started again."""
        while True:
            if self.postgres.pid is None:
                await self.postgres.stop()
                await self.postgres.start()
            try:
                connection = await asyncpg.connect(self.postgres.url(SERVER_ROLE), timeout=5.0)
            except (OSError, TimeoutError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
                continue
            await connection.close()
            return

    async def _fill(self, fault: Fault) -> None:
        assert self._disk is not None
        await self._strike(fault, self._disk.fill)
        try:
            async with asyncio.timeout(BITES_S):
                while True:
                    await self._generator.ack(1, QUIET_S)
        except TimeoutError:
            pass
        await asyncio.sleep(fault.seconds)
        self._disk.empty()
        await self._revive()

    async def _pack_all(self) -> None:
        """Compact everything and take the hot rows away: from here on segments alone hold it."""
        sealer = Sealer.load(self.key_file)
        database = Database(self.postgres.url(SERVER_ROLE))
        await database.open()
        try:
            for _ in range(PACKED_TRIES):
                try:
                    if not (await compact_once(database, sealer, all_of_it=True)).chunks:
                        break
                except DatabaseUnavailable:
                    continue
        finally:
            await database.close()
        connection = await asyncpg.connect(self.postgres.url(OWNER_ROLE))
        try:
            for table in ("chunk", "frame"):
                await connection.execute(DELETE_HOT.format(table))
            left = await connection.fetchval("select count(*) from chunk")
        finally:
            await connection.close()
        if left:
            raise AssertionError(f"{left} chunks were never compacted")

    async def _check(self) -> dict[str, Any]:
        return await run_checker(self.history, self.postgres.url(OWNER_ROLE), self.key_file)


async def run_checker(history: Path, url: str, key_file: Path) -> dict[str, Any]:
    """The checker's report; ``status`` is what it ended with."""
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.checker", str(history), url, str(key_file), cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(CHECK_S):
        said, _ = await process.communicate()
    report: dict[str, Any] = json.loads(said) if said else {}
    return {**report, "status": process.returncode}
