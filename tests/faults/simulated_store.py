"""PostgreSQL as far as ingest uses it, in memory: transactions, keys that wait for each other, lost answers.

It knows the product's statements by name and nothing else: a statement it does not know ends the run. A test runs
schedules on it and on PostgreSQL in lockstep and compares every answer (``simulated_lockstep.py``).

What may happen to a statement: it takes time; the database is away, or has no room; a COMMIT is lost on its way, or its
answer is. What is committed is there for good.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any
from uuid import UUID

from telemed.errors import DatabaseUnavailable
from telemed.store.database import load_sql
from telemed.vitals.storage import envelopes

Row = dict[str, Any]
STATEMENTS: dict[str, Callable[..., Any]] = {}  # filled by simulated_statements.py
Key = tuple[int, int]
STATEMENT_S = (0.0005, 0.004)
COMMIT_S = (0.001, 0.01)
REFUSE_S = 0.05  # until a connection is refused


@cache
def names() -> dict[str, str]:
    """Every statement of the product by its text; of two names the one that the model knows."""
    found: dict[str, str] = {}
    for file in resources.files("telemed.store").iterdir():
        if file.name.endswith(".sql"):
            area = file.name.removesuffix(".sql")
            for name, text in load_sql(area).items():
                if found.get(text) not in STATEMENTS:
                    found[text] = f"{area}.{name}"
    return found


@dataclass
class Trouble:
    """What the database does to its clients now."""

    away: bool = False
    full: bool = False
    lose_commits: int = 0  # so many of the next COMMITs never arrive
    lose_answers: int = 0  # so many of the next COMMITs are done, and nobody hears of it


@dataclass
class Tables:
    """What is committed. Chunks and frames by (stream, seq); ``packed`` are chunks that segments hold."""

    streams: dict[int, Row] = field(default_factory=dict)
    chunks: dict[Key, Row] = field(default_factory=dict)
    frames: dict[Key, Row] = field(default_factory=dict)
    segments: dict[Key, Row] = field(default_factory=dict)
    packed: dict[int, set[int]] = field(default_factory=dict)
    fixes: dict[tuple[UUID, datetime], Row] = field(default_factory=dict)
    audit: list[Row] = field(default_factory=list)


class Transaction:
    """What one transaction has done so far. ``undo`` is empty: nothing is done before the COMMIT."""

    def __init__(self) -> None:
        self.done: list[Callable[[Tables], None]] = []
        self.holds: set[tuple[str, Any]] = set()
        self.rows: dict[tuple[str, Any], Row] = {}
        self.over = asyncio.Event()


class Store:
    """The database. ``station_key`` is the wrapped key of its one station."""

    def __init__(self, dice: random.Random, station_key: bytes, wall_us: Callable[[], int]) -> None:
        self.tables = Tables()
        self.trouble = Trouble()
        self.station_key = station_key
        self.dice = dice
        self.wall_us = wall_us
        self.next_id = 1
        self.commits = 0
        self.errors: list[str] = []  # end the run, whoever catches what is raised
        self._held: dict[tuple[str, Any], Transaction] = {}

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection; each statement outside ``transaction`` is a transaction of its own."""
        await self._reach()
        yield Connection(self)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction; raises ``DatabaseUnavailable`` when the outcome of the COMMIT is not known."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def _reach(self) -> None:
        if self.trouble.away:
            await asyncio.sleep(REFUSE_S)
            raise DatabaseUnavailable()

    async def commit(self, transaction: Transaction) -> None:
        """COMMIT, as far as it comes."""
        if not transaction.done:
            self.apply(transaction)
            return
        trouble, half_s = self.trouble, self.dice.uniform(*COMMIT_S) / 2
        if trouble.lose_commits:
            trouble.lose_commits -= 1
            raise DatabaseUnavailable()
        await asyncio.sleep(half_s)
        if trouble.away:
            raise DatabaseUnavailable()
        self.apply(transaction)
        if trouble.lose_answers:
            trouble.lose_answers -= 1
            raise DatabaseUnavailable()
        await asyncio.sleep(half_s)
        if trouble.away:
            raise DatabaseUnavailable()

    def apply(self, transaction: Transaction) -> None:
        """Everything it did is there for good, at once."""
        for act in transaction.done:
            act(self.tables)
        self.commits += bool(transaction.done)
        self.release(transaction)

    def release(self, transaction: Transaction) -> None:
        """It is over: what was not committed never was, and whoever waits for its keys goes on."""
        for key in transaction.holds:
            if self._held.get(key) is transaction:
                del self._held[key]
        transaction.holds.clear()
        transaction.over.set()

    async def hold(self, transaction: Transaction, key: tuple[str, Any], there: Callable[[], bool]) -> bool:
        """Take a unique key for a new row; wait for another transaction that has it. False: the row is there."""
        while True:
            if there():
                return False
            other = self._held.get(key)
            if other is None:
                self._held[key] = transaction
                transaction.holds.add(key)
                return True
            if other is transaction:
                return False
            await other.over.wait()

    def holds(self, stream_id: int, seq: int) -> bool:
        """Whether the chunk is committed."""
        return (stream_id, seq) in self.tables.chunks or seq in self.tables.packed.get(stream_id, ())

    def pack(self, stream_id: int, first: int, last: int, nonce: bytes, sealed: bytes) -> None:
        """These hot chunks are a segment from now on, and their rows are gone."""
        row = {"last_seq": last, "codec": envelopes.CODEC, "nonce": nonce, "sealed": sealed}
        self.tables.segments[stream_id, first] = row
        self.tables.packed.setdefault(stream_id, set()).update(range(first, last + 1))
        for seq in range(first, last + 1):
            del self.tables.chunks[stream_id, seq]
            self.tables.frames.pop((stream_id, seq), None)

    def durable(self, stream_id: int) -> set[int]:
        """The chunks of a stream that are committed, hot or packed."""
        hot = {seq for stream, seq in self.tables.chunks if stream == stream_id}
        return hot | self.tables.packed.get(stream_id, set())


class Connection:
    """What asyncpg's has of it, for the product."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._transaction: Transaction | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Committed when the body ends, rolled back when it raises."""
        made = self._transaction = self.begin()
        try:
            yield made
            await self._store.commit(made)
        finally:
            self._transaction = None
            self._store.release(made)

    def begin(self) -> Transaction:
        """A transaction that has done nothing."""
        return Transaction()

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        store = self._store
        await asyncio.sleep(store.dice.uniform(*STATEMENT_S))
        if store.trouble.away:
            raise DatabaseUnavailable()
        name = names().get(statement, statement)
        if name not in STATEMENTS:
            store.errors.append(f"the model does not know {name}")
            raise DatabaseUnavailable()
        if self._transaction is not None:
            return await self.run(name, statement, values, self._transaction)
        async with self.transaction() as alone:
            return await self.run(name, statement, values, alone)

    async def run(self, name: str, statement: str, values: tuple[Any, ...], transaction: Transaction) -> list[Row]:
        """The statement's rows."""
        rows: list[Row] = await STATEMENTS[name](self._store, transaction, *values)
        return rows

    async def fetchrow(self, statement: str, *values: Any) -> Row | None:
        rows = await self.fetch(statement, *values)
        return rows[0] if rows else None

    async def fetchval(self, statement: str, *values: Any) -> Any:
        row = await self.fetchrow(statement, *values)
        return None if row is None else next(iter(row.values()))

    async def execute(self, statement: str, *values: Any) -> str:
        await self.fetch(statement, *values)
        return ""
