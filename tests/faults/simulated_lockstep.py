"""The simulated store and PostgreSQL side by side: each statement of a schedule runs on both, and the answers agree.

PostgreSQL has a thread and a loop of its own, whose time is real; the simulation stands still meanwhile. The model goes
first: it knows when a statement would wait for another transaction, so PostgreSQL never has to.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from tests.faults.simulated_store import Connection, Row, Store, Transaction

T = TypeVar("T")
CONNECTIONS = 12  # transactions of a schedule that are open at once: two writers, and what an announcement needs
ORGANISATION = "00000000-0000-0000-0000-000000000001"

class Real:
    """Connections to PostgreSQL, used from another loop as if they did not wait."""

    def __init__(self, server_url: str, owner_url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.owner = self.wait(asyncpg.connect(owner_url))
        self.free = [self.wait(asyncpg.connect(server_url)) for _ in range(CONNECTIONS)]

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result, once it is there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def clean(self, station_key: bytes) -> None:
        """An empty database with one station."""
        for statement in (
            "truncate organisation, station, stream, chunk, frame, segment, pyramid, stream_mark, stream_run,"
            " clock_fix, audit_event restart identity cascade",
            f"insert into organisation (id, name) values ('{ORGANISATION}', 'Simulated')",  # noqa: S608 - ours
        ):
            self.wait(self.owner.execute(statement))
        self.wait(self.owner.execute(
            "insert into station (organisation_id, name, place, key_wrapped) values ($1, 'Simulated', '', $2)",
            ORGANISATION, station_key))

    def close(self) -> None:
        """Close everything."""
        for connection in [self.owner, *self.free]:
            self.wait(connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BesideReal(Transaction):
    """A transaction of both. ``real`` is its connection until it is over."""

    real: Any = None


class LockstepStore(Store):
    """The model, held against PostgreSQL."""

    def __init__(
        self, real: Real, dice: random.Random, station_key: bytes, wall_us: Callable[[], int]
    ) -> None:
        super().__init__(dice, station_key, wall_us)
        self.real = real
        self.compared = 0
        real.clean(station_key)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        await self._reach()
        real = self.real.free.pop()
        try:
            yield LockstepConnection(self, real)
        finally:
            self.real.free.append(real)

    def apply(self, transaction: Transaction) -> None:
        if isinstance(transaction, BesideReal) and transaction.real is not None:
            real, transaction.real = transaction.real, None
            self.real.wait(real.execute("commit"))
        super().apply(transaction)

    def release(self, transaction: Transaction) -> None:
        if isinstance(transaction, BesideReal) and transaction.real is not None:
            real, transaction.real = transaction.real, None
            self.real.wait(real.execute("rollback"))
        super().release(transaction)

    def pack(self, stream_id: int, first: int, last: int, nonce: bytes, sealed: bytes) -> None:
        super().pack(stream_id, first, last, nonce, sealed)
        born = self.tables.streams[stream_id]["born"]
        owner, wait = self.real.owner, self.real.wait
        wait(owner.execute(
            "insert into segment (stream_id, born, first_seq, last_seq, codec, t0_us, t1_us, nonce, sealed)"
            " values ($1, $2, $3, $4, 2, 0, 0, $5, $6)", stream_id, born, first, last, nonce, sealed))
        wait(owner.execute(
            "insert into stream_mark (stream_id, compacted) values ($1, int8multirange(int8range($2, $3, '[]')))"
            " on conflict (stream_id) do update set compacted = stream_mark.compacted + excluded.compacted",
            stream_id, first, last))
        for delete in ("delete from chunk", "delete from frame"):
            wait(owner.execute(f"{delete} where stream_id = $1 and seq between $2 and $3", stream_id, first, last))

    def compare_all(self) -> None:
        """Everything that is committed is the same in both."""
        tables = self.tables

        def fetch(statement: str) -> list[Any]:
            return self.real.wait(self.real.owner.fetch(statement))

        chunks = {(row["stream_id"], row["seq"]): bytes(row["nonce"]) for row in fetch("select * from chunk")}
        frames = {(row["stream_id"], row["seq"]): bytes(row["nonce"]) for row in fetch("select * from frame")}
        segments = {(row["stream_id"], row["first_seq"]): row["last_seq"] for row in fetch("select * from segment")}
        audited = [(row["action"], _one_form(row["detail"])) for row in fetch("select action, detail from audit_event")]
        for what, one, other in (
            ("chunks", chunks, {key: row["nonce"] for key, row in tables.chunks.items()}),
            ("frames", frames, {key: row["nonce"] for key, row in tables.frames.items()}),
            ("segments", segments, {key: row["last_seq"] for key, row in tables.segments.items()}),
            ("audit", audited, [(row["action"], _one_form(json.dumps(row["detail"]))) for row in tables.audit]),
        ):  # fmt: skip
            if _sorted(one) != _sorted(other):
                raise AssertionError(f"{what}: PostgreSQL has {one}, the model {other}")


class LockstepConnection(Connection):
    """A connection of both."""

    def __init__(self, store: LockstepStore, real: Any) -> None:
        super().__init__(store)
        self._lockstep = store
        self._real = real

    def begin(self) -> Transaction:
        made = BesideReal()
        made.real = self._real
        self._lockstep.real.wait(self._real.execute("begin"))
        return made

    async def run(self, name: str, statement: str, values: tuple[Any, ...], transaction: Transaction) -> list[Row]:
        model = await super().run(name, statement, values, transaction)
        real = [_plain(row) for row in self._lockstep.real.wait(self._real.fetch(statement, *values))]
        if name == "vitals.find_stream" and real and model:
            for row in model:
                row["born"] = real[0]["born"]  # the hour is PostgreSQL's: the statements that follow name it
        kept = [{key: row[key] for key in real[0]} for row in model] if real else model
        if _sorted([_plain(row) for row in kept]) != _sorted(real):
            self._lockstep.errors.append(f"{name}{values}: PostgreSQL says {real}, the model {kept}")
        self._lockstep.compared += 1
        return model


def _plain(row: Any) -> Row:
    found = {}
    for key, value in dict(row).items():
        if isinstance(value, memoryview | bytearray):
            value = bytes(value)  # noqa: PLW2901 - one form of it
        if key == "channels":
            value = _one_form(value)  # noqa: PLW2901
        found[key] = value
    return found


def _one_form(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def _sorted(rows: Any) -> list[str]:
    return sorted(map(repr, rows.items() if isinstance(rows, dict) else rows))
