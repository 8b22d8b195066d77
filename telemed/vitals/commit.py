"""Group commit: many chunks in one transaction, nothing acknowledged before it is committed.

The queue is bounded in chunks and bytes; a full queue makes :meth:`Committer.put` wait, so sockets are no
longer read and TCP slows the stations down. A writer waits a moment for company, then takes all that is queued (at
most ``BATCH_CHUNKS``). While the database is away the batch is kept and tried again; when the outcome of a COMMIT is
unknown it is repeated, which is harmless: a chunk that is there already, hot or in a segment, is compared by its
synthetic nonce, equal bytes are a duplicate (acknowledged), other bytes are refused and audited.
A station that sends its backlog again is compared in whole runs first, and nothing of it is sealed or written.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import structlog

from telemed.audit import Actor, record
from telemed.errors import DatabaseUnavailable, TelemedError
from telemed.store.database import Connection, Database, DatabaseRefused, load_sql
from telemed.store.sealing import DataKey
from telemed.vitals.counters import COMMIT_SECONDS, COMMITTED, DUPLICATES, QUEUED_BYTES
from telemed.vitals.faults import ChunkDiffers, NotStored
from telemed.vitals.storage.contexts import chunk_context, frame_context
from telemed.vitals.storage.evidence import packed_bytes
from telemed.vitals.trouble import trouble

SQL = load_sql("vitals")
log = structlog.get_logger(__name__)

QUEUE_CHUNKS = 16_384  # 20 s of 160 stations with five streams; a station keeps what is not taken
QUEUE_BYTES = 64 * 2**20  # what one server process may hold for a database that is away
BATCH_CHUNKS = 512  # rows of one transaction (measured knee: more gains nothing)
BATCH_BYTES = 8 * 2**20  # a transaction stays well under COMMAND_SECONDS on a slow disk
WRITERS = 2  # one gathers while the other's COMMIT reaches the disk
GATHER_SECONDS = 0.01  # what a chunk waits for company: a commit costs as much for one as for twenty
RETRY_FIRST = 0.05  # seconds; an embedded server is back after 0.4 s
RETRY_MAX = 1.0  # seconds between attempts while the database is away
STOP_SECONDS = 5.0  # what is queued may still be written at shutdown; the rest the station sends again
DIFFERS_AUDITED = 20  # audit rows of one stream and connection; the counter counts the rest


class Receipt(Protocol):
    """Who is told what became of a chunk. Both calls return at once."""

    def committed(self, seqs: Sequence[int]) -> None:
        """These chunks are durable."""

    def refused(self, seq: int, error: TelemedError) -> None:
        """This chunk is not stored and never will be."""


@dataclass(slots=True)
class Shelf:
    """Where the chunks of one stream go: its row, its key, and who is told."""

    stream_id: int
    born: datetime
    key: DataKey
    actor: Actor
    organisation_id: UUID
    receipt: Receipt
    differs_audited: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """One chunk on its way. ``first_sample`` and ``n`` are None for envelopes that are not native;
    ``readings`` is the JSON of the decoded readings then, made by ``decoder``."""

    shelf: Shelf
    seq: int
    t0_us: int
    first_sample: int | None
    n: int | None
    envelope: bytes
    readings: bytes | None = None
    decoder: str = ""
    again: bool = False  # its number was durable already when it was taken: nearly always the same bytes once more
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Bytes that the chunk holds in memory."""
        return len(self.envelope) + len(self.readings or b"")


@dataclass(frozen=True, slots=True)
class _Sealed:
    pending: Pending
    nonce: bytes
    sealed: bytes
    frame: tuple[bytes, bytes] | None


def _seal(batch: Sequence[Pending]) -> list[_Sealed]:
    # Measured: 4.9 kB seal in 6 us, so a full batch of live chunks is 3 ms of the loop and the usual one, of a
    # few chunks, costs less than handing it to a thread would.
    rows = []
    for one in batch:
        shelf = one.shelf
        nonce, sealed = shelf.key.seal(one.envelope, chunk_context(shelf.stream_id, one.seq))
        frame = None
        if one.readings is not None:
            frame = shelf.key.seal(one.readings, frame_context(shelf.stream_id, one.seq))
        rows.append(_Sealed(one, nonce, sealed, frame))
    # Ascending keys: two writers never wait for each other in a circle.
    rows.sort(key=lambda row: (row.pending.shelf.stream_id, row.pending.seq))
    return rows


class Committer:
    """The queue and its writers. ``away`` is true while the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[Pending] = deque()
        self._held_chunks = 0
        self._held_bytes = 0
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self.away = False

    def start(self) -> None:
        """Start the writers."""
        QUEUED_BYTES.set_function(lambda: self._held_bytes)  # asked for a few times a minute, changed by every chunk
        self._tasks = [asyncio.create_task(self._write(), name=f"commit-{n}") for n in range(WRITERS)]

    async def stop(self) -> None:
        """Write what is queued for at most ``STOP_SECONDS``, then end the writers."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            log.warning("commit_queue_left", chunks=self._held_chunks)
        await self.kill()

    async def kill(self) -> None:
        """End the writers now; what is queued was never acknowledged."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def held(self) -> tuple[int, int]:
        """Chunks and bytes taken and not yet committed."""
        return self._held_chunks, self._held_bytes

    async def put(self, pending: Pending) -> None:
        """Queue one chunk; wait while the queue is full."""
        while self._held_chunks >= QUEUE_CHUNKS or self._held_bytes >= QUEUE_BYTES:
            self._room.clear()
            await self._room.wait()
        self._queue.append(pending)
        self._hold(1, pending.size)
        self._work.set()

    def _hold(self, chunks: int, size: int) -> None:
        self._held_chunks += chunks
        self._held_bytes += size
        if self._held_chunks:
            self._idle.clear()
        else:
            self._idle.set()
        if chunks < 0:
            self._room.set()

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            if len(self._queue) < BATCH_CHUNKS and self._held_bytes < BATCH_BYTES:
                await asyncio.sleep(GATHER_SECONDS)
            batch: list[Pending] = []
            size = 0
            while self._queue and len(batch) < BATCH_CHUNKS and size < BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += batch[-1].size
            if not self._queue:
                self._work.clear()
            if batch:
                try:
                    if fresh := [one for one in batch if not one.again]:
                        await self._commit(_seal(fresh))
                    if left := await self._without_stored([one for one in batch if one.again]):
                        await self._commit(_seal(left))
                finally:
                    self._hold(-len(batch), -size)

    async def _without_stored(self, again: Sequence[Pending]) -> list[Pending]:
        """Acknowledge the runs that are stored byte for byte; return what must go the long way."""
        runs = _runs(again)
        if not runs:
            return []
        try:
            async with self._database.connection() as connection:
                stored = await _stored(connection, runs)
        except Exception as error:
            # Nothing was promised: the long way meets the same trouble, and waits for the database or finds the row.
            log.warning("chunks_not_compared", chunks=len(again), **trouble(error))
            return list(again)
        left: list[Pending] = []
        for run, same in zip(runs, stored, strict=True):
            if same:
                DUPLICATES.inc(len(run))
                run[0].shelf.receipt.committed(range(run[0].seq, run[-1].seq + 1))
            else:
                left += run
        return left

    async def _commit(self, rows: list[_Sealed]) -> None:
        delay = RETRY_FIRST
        while True:
            try:
                outcome = await self._store(rows)
            except (DatabaseUnavailable, DatabaseRefused):
                if not self.away:
                    self.away = True
                    log.warning("database_away", chunks=self._held_chunks)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                delay = min(delay * 2, RETRY_MAX)
                continue
            except Exception as error:
                # Not the connection: a row that the database will not have. Find it, and store the others.
                log.error("chunk_batch_refused", chunks=len(rows), **trouble(error))
                if len(rows) == 1:
                    one = rows[0].pending
                    one.shelf.receipt.refused(one.seq, NotStored())
                    return
                for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                    await self._commit(half)
                return
            if self.away:
                self.away = False
                log.info("database_back")
            self._tell(rows, outcome)
            return

    async def _store(self, rows: Sequence[_Sealed]) -> set[int]:
        """Write the rows in one statement; return the positions of those that differ from what is stored."""
        first: dict[tuple[int, int], bytes] = {}
        differing: set[int] = set()
        fresh: list[_Sealed] = []
        for at, row in enumerate(rows):
            key = (row.pending.shelf.stream_id, row.pending.seq)
            if first.setdefault(key, row.nonce) is row.nonce:
                fresh.append(row)
            elif first[key] != row.nonce:
                differing.add(at)
        audited: list[Shelf] = []
        try:
            async with self._database.connection() as connection:
                # Its own transaction: committed when it answers, in one round trip instead of three.
                stored = await _insert(connection, fresh)
                if len(stored) < len(fresh):
                    there = await _nonces(connection, [row for row in fresh if _key(row) not in stored])
                    known = {key: there.get(key, first[key]) for key in first}
                    differing = {at for at, row in enumerate(rows) if known[_key(row)] != row.nonce}
                if differing:
                    async with connection.transaction():
                        for at in sorted(differing):
                            await _audit(connection, rows[at].pending, audited)
        except BaseException:
            for shelf in audited:  # rows that were not committed do not count
                shelf.differs_audited -= 1
            raise
        DUPLICATES.inc(len(rows) - len(stored) - len(differing))
        COMMITTED.inc(len(stored))
        return differing

    def _tell(self, rows: Sequence[_Sealed], differing: set[int]) -> None:
        now = time.monotonic()
        durable: dict[int, tuple[Receipt, list[int]]] = {}
        for at, row in enumerate(rows):
            one = row.pending
            if at in differing:
                one.shelf.receipt.refused(one.seq, ChunkDiffers())
                continue
            COMMIT_SECONDS.observe(now - one.taken_at)
            durable.setdefault(id(one.shelf.receipt), (one.shelf.receipt, []))[1].append(one.seq)
        for receipt, seqs in durable.values():
            receipt.committed(seqs)


def _key(row: _Sealed) -> tuple[int, int]:
    return row.pending.shelf.stream_id, row.pending.seq


def _runs(chunks: Sequence[Pending]) -> list[list[Pending]]:
    """The chunks as runs of one connection's stream, each number one more than that before it."""
    runs: list[list[Pending]] = []
    last: Pending | None = None
    for one in sorted(chunks, key=lambda chunk: (chunk.shelf.stream_id, chunk.seq)):
        if last is not None and one.shelf is last.shelf and one.seq == last.seq + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
        last = one
    return runs


async def _stored(connection: Connection, runs: Sequence[Sequence[Pending]]) -> list[bool]:
    """Of each run whether every chunk of it has its hot row, with these bytes."""
    found = await connection.fetch(
        SQL["stored_runs"], [run[0].shelf.stream_id for run in runs], [run[0].shelf.born for run in runs],
        [run[0].seq for run in runs], [run[-1].seq for run in runs],
    )
    nonces = {row["run"]: row["nonces"] for row in found}
    return [
        nonces[at] == b"".join(
            one.shelf.key.nonce(one.envelope, chunk_context(one.shelf.stream_id, one.seq)) for one in run)
        for at, run in enumerate(runs, 1)
    ]


async def _insert(connection: Connection, rows: Sequence[_Sealed]) -> set[tuple[int, int]]:
    if not rows:
        return set()
    chunks = [row.pending for row in rows]
    values: list[list[Any]] = [
        [one.shelf.stream_id for one in chunks], [one.shelf.born for one in chunks], [one.seq for one in chunks],
        [one.t0_us for one in chunks], [one.first_sample for one in chunks], [one.n for one in chunks],
        [row.nonce for row in rows], [row.sealed for row in rows],
    ]
    framed = [(row.pending, row.frame) for row in rows if row.frame is not None]
    if framed:
        values += [
            [one.shelf.stream_id for one, _ in framed], [one.seq for one, _ in framed],
            [one.decoder for one, _ in framed], [frame[0] for _, frame in framed], [frame[1] for _, frame in framed],
        ]
    inserted = await connection.fetch(SQL["insert_framed" if framed else "insert_chunks"], *values)
    return {(found["stream_id"], found["seq"]) for found in inserted}


async def _nonces(connection: Connection, rows: Sequence[_Sealed]) -> dict[tuple[int, int], bytes]:
    """The nonces that tell these chunks' stored bytes, whether they are hot or a segment holds them."""
    found = await connection.fetch(
        SQL["stored_nonces"],
        [row.pending.shelf.stream_id for row in rows], [row.pending.shelf.born for row in rows],
        [row.pending.seq for row in rows],
    )
    known = {(one["stream_id"], one["seq"]): bytes(one["nonce"]) for one in found}
    packed: dict[int, list[_Sealed]] = {}
    for row in rows:
        if _key(row) not in known:
            packed.setdefault(row.pending.shelf.stream_id, []).append(row)
    for stream_id, covered in packed.items():
        shelf = covered[0].pending.shelf
        chunks = await packed_bytes(
            connection, stream_id, shelf.born, shelf.key, [row.pending.seq for row in covered])
        known.update((_key(row), _nonce_of(row, chunks[row.pending.seq])) for row in covered
                     if row.pending.seq in chunks)
        # What was deleted, for its age or with its patient, was durable once: it is neither compared nor stored again.
        if len(chunks) < len(covered) and not await connection.fetchval(SQL["expired"], stream_id):
            raise LookupError("a mark covers a chunk that no segment holds")
    return known


def _nonce_of(row: _Sealed, stored: bytes) -> bytes:
    one = row.pending
    if stored == one.envelope:
        return row.nonce
    return one.shelf.key.nonce(stored, chunk_context(one.shelf.stream_id, one.seq))


async def _audit(connection: Connection, one: Pending, audited: list[Shelf]) -> None:
    """Record one refusal while its stream has rows left, and note in ``audited`` that it took one."""
    shelf = one.shelf
    if shelf.differs_audited >= DIFFERS_AUDITED:
        return
    shelf.differs_audited += 1  # before the row: another writer may be at the same stream
    audited.append(shelf)
    await record(
        connection, shelf.actor, "station_socket.chunk", "deny", object_kind="stream",
        object_id=str(shelf.stream_id), organisation_id=shelf.organisation_id,
        detail={"code": "chunk_differs", "seq": one.seq},
    )
