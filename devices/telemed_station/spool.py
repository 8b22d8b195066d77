"""Chunks are on disk before they are sent, and leave it only when the server says that they are committed.

One SQLite file in WAL mode with ``synchronous=FULL``: a committed transaction survives ``kill -9`` and a power cut.
Deleted bytes are overwritten (``secure_delete``). The file is not encrypted: whoever holds the disk can read
what was not yet acknowledged. Numbers of streams are unique at the station for ever: the counter starts at
the wall clock's second when the file is made, and streams begin far more seldom than once a second, so a
station that lost its file does not use a number twice.

``Spool`` is synchronous and belongs to one thread; ``SpoolThread`` is that thread.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from telemed_station.errors import SpoolDamaged, SpoolFull

BYTES_MAX = 2 * 1024**3  # a day of twelve leads at 1 kHz; the chunks' own bytes, without the file's overhead
STREAM_NUMBER_MAX = 0xFFFF_FFFF  # docs/protocol.md section 2
READ_CHUNKS = 32  # chunks read from disk at once while the backlog drains
THREAD_WAIT_S = 30.0  # longer than any disk needs; closing waits at most this long

_SCHEMA = """
create table if not exists counter (only integer primary key check (only = 1), number integer not null);
create table if not exists stream (
  number integer primary key, generation integer not null, descriptor text not null, next_seq integer not null,
  open integer not null);
create table if not exists chunk (
  number integer not null, seq integer not null, bytes blob not null, refused text,
  primary key (number, seq)) without rowid;
"""

Descriptor = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Chunk:
    """One chunk as it travels: its stream's number, its sequence number and its bytes."""

    number: int
    seq: int
    data: bytes


@dataclass(frozen=True)
class SpooledStream:
    """A stream with its announcement's fields. ``generation`` groups streams begun together, newest largest."""

    number: int
    generation: int
    descriptor: Descriptor
    next_seq: int


@dataclass(frozen=True)
class Ack:
    """Every seq ≤ ``through`` and those in ``ranges`` (inclusive) are committed at the server."""

    number: int
    through: int | None
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Waiting:
    """What is not acknowledged yet; ``refused`` of the chunks will not be sent again."""

    chunks: int = 0
    bytes: int = 0
    refused: int = 0


class Spool:
    """The file. Every method is one transaction."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        path.touch(mode=0o600, exist_ok=True)
        try:
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._file.execute("pragma page_size = 8192")
            self._file.execute("pragma journal_mode = wal")
            self._file.execute("pragma synchronous = full")
            self._file.execute("pragma secure_delete = on")
            self._file.executescript(_SCHEMA)
            self._file.execute("insert or ignore into counter values (1, ?)", (int(time.time()),))
            # What an earlier run left open will get no more chunks: a stream lives no longer than its program.
            self._file.execute("update stream set open = 0")
            self._drop_finished()
            self._waiting = self._count()
        except sqlite3.DatabaseError as error:
            raise SpoolDamaged(file=str(path)) from error

    @property
    def waiting(self) -> Waiting:
        """What is not acknowledged yet."""
        return self._waiting

    def begin(self, descriptors: Sequence[Descriptor]) -> list[SpooledStream]:
        """New streams with numbers never used before; those begun before them get no more chunks."""
        with _full_disk(), self._transaction():
            first = self._file.execute("select number from counter").fetchone()[0]
            if first + len(descriptors) > STREAM_NUMBER_MAX:
                raise SpoolFull(file="stream numbers")
            self._file.execute("update counter set number = ?", (first + len(descriptors),))
            self._file.execute("update stream set open = 0")
            self._drop_finished()
            begun = [SpooledStream(first + place, first, descriptor, 0) for place, descriptor in enumerate(descriptors)]
            self._file.executemany(
                "insert into stream values (?, ?, ?, 0, 1)",
                [(stream.number, first, json.dumps(stream.descriptor)) for stream in begun],
            )
        return begun

    def write(self, chunks: Sequence[Chunk], acks: Iterable[Ack] = ()) -> None:
        """Keep these chunks and forget what the acknowledgements cover, or raise ``SpoolFull`` and do neither."""
        size = sum(len(chunk.data) for chunk in chunks)
        acks = tuple(acks)
        before = self._waiting
        try:
            with _full_disk(), self._transaction():
                for ack in acks:
                    self._forget(ack)
                if chunks and self._waiting.bytes + size > self._bytes_max:
                    raise SpoolFull(reason=f"{self._bytes_max} bytes")
                self._file.executemany(
                    "insert into chunk values (?, ?, ?, null)",
                    [(chunk.number, chunk.seq, chunk.data) for chunk in chunks],
                )
                for number, seq in {chunk.number: chunk.seq for chunk in chunks}.items():
                    self._file.execute("update stream set next_seq = ? where number = ?", (seq + 1, number))
                if acks:
                    self._drop_finished()
        except BaseException:
            self._waiting = before
            raise
        now = self._waiting
        self._waiting = Waiting(now.chunks + len(chunks), now.bytes + size, now.refused)

    def refuse(self, number: int, seq: int, code: str) -> None:
        """The server will never take this chunk: keep it, with the reason, and do not send it again."""
        with self._transaction():
            self._file.execute(
                "update chunk set refused = ? where number = ? and seq = ?", (code, number, seq)
            )  # fmt: skip
        self._waiting = self._count()

    def discard(self, number: int) -> None:
        """Forget a stream and its chunks: the key that would seal them was destroyed."""
        with self._transaction():
            self._file.execute("delete from chunk where number = ?", (number,))
            self._drop_finished()
        self._waiting = self._count()

    def streams(self) -> list[SpooledStream]:
        """Every stream that is open or has chunks to send, newest first."""
        rows = self._file.execute(
            "select number, generation, descriptor, next_seq from stream where open = 1 or exists"
            " (select 1 from chunk where chunk.number = stream.number and refused is null)"
            " order by generation desc, number"
        )
        return [SpooledStream(number, generation, json.loads(text), seq) for number, generation, text, seq in rows]

    def read(self, number: int, from_seq: int, below: int, count: int = READ_CHUNKS) -> list[Chunk]:
        """The next chunks to send of a stream with ``from_seq`` ≤ seq < ``below``, in order, at most ``count``."""
        rows = self._file.execute(
            "select seq, bytes from chunk where number = ? and seq >= ? and seq < ? and refused is null"
            " order by seq limit ?",
            (number, from_seq, below, count),
        )
        return [Chunk(number, seq, data) for seq, data in rows]

    def close(self) -> None:
        """Close the file; everything written is already durable."""
        self._file.close()

    def _forget(self, ack: Ack) -> None:
        through = [] if ack.through is None else [(0, ack.through)]
        chunks = size = refused = 0
        for low, high in [*through, *ack.ranges]:
            row = self._file.execute(
                "select count(*), coalesce(sum(length(bytes)), 0), count(refused) from chunk"
                " where number = ? and seq between ? and ?",
                (ack.number, low, high),
            ).fetchone()
            if row[0]:
                self._file.execute(
                    "delete from chunk where number = ? and seq between ? and ?", (ack.number, low, high)
                )
                chunks, size, refused = chunks + row[0], size + row[1], refused + row[2]
        self._waiting = Waiting(
            self._waiting.chunks - chunks, self._waiting.bytes - size, self._waiting.refused - refused
        )

    def _drop_finished(self) -> None:
        self._file.execute(
            "delete from stream where open = 0 and not exists (select 1 from chunk where chunk.number = stream.number)"
        )

    def _count(self) -> Waiting:
        row = self._file.execute("select count(*), coalesce(sum(length(bytes)), 0), count(refused) from chunk")
        return Waiting(*row.fetchone())

    def _transaction(self) -> _Transaction:
        return _Transaction(self._file)


@contextmanager
def _full_disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:  # the disk is full, or cannot be written
        raise SpoolFull(reason=str(error)) from error


class _Transaction:
    """Commit at the end of the block, roll back when it raises."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._file.execute("begin immediate")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._file.execute("commit")
            except sqlite3.Error:
                self._undo()
                raise
        else:
            self._undo()

    def _undo(self) -> None:
        if self._file.in_transaction:
            self._file.execute("rollback")


class SpoolThread:
    """The spool in a thread of its own; calls run one after the other, in the order they were made.

    Acknowledgements are collected and written with the next chunks, so that a busy uplink costs no commit of its own.
    """

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        try:
            self._spool = self._thread.submit(Spool, path, bytes_max).result(THREAD_WAIT_S)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._acks: list[Ack] = []

    @property
    def waiting(self) -> Waiting:
        """What is not acknowledged yet."""
        return self._spool.waiting

    def acknowledge(self, ack: Ack) -> None:
        """Forget what the acknowledgement covers at the next write."""
        self._acks.append(ack)

    async def begin(self, descriptors: Sequence[Descriptor]) -> list[SpooledStream]:
        """New streams with numbers never used before."""
        return await self._call(lambda: self._spool.begin(descriptors))

    async def write(self, chunks: Sequence[Chunk]) -> None:
        """Forget what was acknowledged, then keep these chunks. Raises ``SpoolFull`` and keeps none of them."""
        acks, self._acks = self._acks, []
        try:
            await self._call(lambda: self._spool.write(chunks, acks))
        except SpoolFull:
            try:
                if acks:  # they make room for the next chunks
                    await self._call(lambda: self._spool.write((), acks))
            except SpoolFull:
                self._acks = acks + self._acks
            raise

    async def refuse(self, number: int, seq: int, code: str) -> None:
        """The server will never take this chunk."""
        await self._call(lambda: self._spool.refuse(number, seq, code))

    async def discard(self, number: int) -> None:
        """Forget a stream and its chunks."""
        await self._call(lambda: self._spool.discard(number))

    async def flush(self) -> None:
        """Forget now what was acknowledged."""
        if self._acks:
            await self.write(())

    async def streams(self) -> list[SpooledStream]:
        """Every stream that is open or has chunks to send, newest first; acknowledged ones are gone first."""
        await self.flush()
        return await self._call(self._spool.streams)

    async def read(self, number: int, from_seq: int, below: int, count: int = READ_CHUNKS) -> list[Chunk]:
        """The next chunks to send of a stream, in order."""
        return await self._call(lambda: self._spool.read(number, from_seq, below, count))

    async def close(self) -> None:
        """Write what was acknowledged and close the file."""
        await self.flush()
        await self._call(self._spool.close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
