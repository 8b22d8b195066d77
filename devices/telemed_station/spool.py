"""Chunks are on disk before they are sent, and leave it only when the server says that they are committed.

What the server refused for good (``Refusal``) is evidence: no acknowledgement deletes it. It is kept in a part of
its own, bounded by ``REFUSED_BYTES_MAX``, and does not count toward the bound that ends recording.

One SQLite file in WAL mode with ``synchronous=FULL``: a committed transaction survives ``kill -9`` and a power cut.
Deleted bytes are overwritten (``secure_delete``). The file is not encrypted: whoever holds the disk can read
what was not yet acknowledged. Numbers of streams are unique at the station for ever: the counter starts at
the wall clock's second when the file is made, and streams begin far more seldom than once a second, so a
station that lost its file does not use a number twice.

``Spool`` is synchronous and belongs to one thread: ``spool_thread.SpoolThread``.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from telemed_station.errors import SpoolFull
from telemed_station.people_file import PeopleFile
from telemed_station.trouble import at_start, at_work

BYTES_MAX = 2 * 1024**3  # a day of twelve leads at 1 kHz; the chunks' own bytes, without the file's overhead
REFUSED_BYTES_MAX = 256 * 1024**2  # three hours of twelve leads at 1 kHz; beyond it the oldest refused go first
STREAM_NUMBER_MAX = 0xFFFF_FFFF  # docs/protocol.md section 2
READ_CHUNKS = 32  # chunks read from disk at once while the backlog drains
RANGES_MAX = 1_024  # of one stream's acknowledgements that wait for the disk
LAST_SEQ = 2**63 - 1  # SQLite's largest integer: a whole stream is 0 … LAST_SEQ
KEY_DESTROYED = "key_destroyed"  # the key that would seal a stream is gone, and with it the reason to keep it

log = structlog.get_logger("telemed.station.spool")

_SCHEMA = """
create table if not exists counter (only integer primary key check (only = 1), number integer not null);
create table if not exists stream (
  number integer primary key, generation integer not null, descriptor text not null, next_seq integer not null,
  open integer not null);
create table if not exists chunk (
  number integer not null, seq integer not null, bytes blob not null, primary key (number, seq)) without rowid;
create table if not exists refused (
  id integer primary key, number integer not null, seq integer not null, size integer not null, code text not null,
  unique (number, seq));
create table if not exists refused_stream (number integer primary key, code text not null);
create temp view waiting as select number, seq, bytes from chunk
  where not exists (select 1 from refused where refused.number = chunk.number and refused.seq = chunk.seq);
"""
# Files made before there was a table for them hold refusals in a column of ``chunk``.
_ADOPT = """
insert or ignore into refused (number, seq, size, code)
  select number, seq, length(bytes), refused from chunk where refused is not null
"""

Descriptor = Mapping[str, Any]


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

    def covers(self, seq: int) -> bool:
        """Whether this chunk is committed."""
        return seq <= (-1 if self.through is None else self.through) or any(a <= seq <= b for a, b in self.ranges)

    def joined(self, other: Ack) -> Ack:
        """Both; of more than ``RANGES_MAX`` ranges the last are left out, which the next connection tells again."""
        ends = [end for end in (self.through, other.through) if end is not None]
        through = max(ends, default=None)
        ranges: list[tuple[int, int]] = []
        for low, high in sorted({*self.ranges, *other.ranges}):
            if low <= (-1 if through is None else through) + 1:
                through = max(-1 if through is None else through, high)
            elif ranges and low <= ranges[-1][1] + 1:
                ranges[-1] = (ranges[-1][0], max(ranges[-1][1], high))
            else:
                ranges.append((low, high))
        return Ack(self.number, through, tuple(ranges[:RANGES_MAX]))


@dataclass(frozen=True)
class Refusal:
    """The server will never take this chunk, or with ``seq`` None this stream."""

    number: int
    seq: int | None
    code: str


@dataclass(frozen=True)
class Waiting:
    """What is not acknowledged yet and will be sent; apart from it, what was refused and is kept."""

    chunks: int = 0
    bytes: int = 0
    refused: int = 0
    refused_bytes: int = 0

    def plus(self, chunks: int = 0, size: int = 0, refused: int = 0, refused_size: int = 0) -> Waiting:
        """Changed by these numbers."""
        return Waiting(
            self.chunks + chunks, self.bytes + size, self.refused + refused, self.refused_bytes + refused_size
        )


class Spool:
    """The file. Every method is one transaction."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX, refused_max: int = REFUSED_BYTES_MAX) -> None:
        """Open it. Raises ``SpoolFull`` without room, ``SpoolUnwritable``, or ``SpoolDamaged``."""
        self._bytes_max = bytes_max
        self._refused_max = refused_max
        with at_start(path):
            path.touch(mode=0o600, exist_ok=True)
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._file.close()
                raise

    def _prepare(self) -> None:
        self._file.execute("pragma page_size = 8192")
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = full")
        self._file.execute("pragma secure_delete = on")
        self._file.executescript(_SCHEMA)
        self.people = PeopleFile(self._file, self._transaction)
        self._file.execute("insert or ignore into counter values (1, ?)", (int(time.time()),))
        if any(column[1] == "refused" for column in self._file.execute("pragma table_info(chunk)")):
            self._file.execute(_ADOPT)
        # What an earlier run left open will get no more chunks: a stream lives no longer than its program.
        self._file.execute("update stream set open = 0")
        self._drop_finished()
        self._waiting = self._count()
        self._refused_streams = self._read_refused_streams()

    @property
    def waiting(self) -> Waiting:
        """What is not acknowledged yet."""
        return self._waiting

    @property
    def refused_streams(self) -> frozenset[int]:
        """Streams that the server refused for good: nothing of them is sent."""
        return self._refused_streams

    def begin(self, descriptors: Sequence[Descriptor]) -> list[SpooledStream]:
        """New streams with numbers never used before; those begun before them get no more chunks."""
        with at_work(), self._transaction():
            first = self._file.execute("select number from counter").fetchone()[0]
            if first + len(descriptors) > STREAM_NUMBER_MAX:
                raise SpoolFull(reason="stream numbers")
            self._file.execute("update counter set number = ?", (first + len(descriptors),))
            self._file.execute("update stream set open = 0")
            self._drop_finished()
            begun = [SpooledStream(first + place, first, descriptor, 0) for place, descriptor in enumerate(descriptors)]
            self._file.executemany(
                "insert into stream values (?, ?, ?, 0, 1)",
                [(stream.number, first, json.dumps(stream.descriptor)) for stream in begun],
            )
        return begun

    def write(
        self, chunks: Sequence[Chunk], acks: Sequence[Ack] = (), refusals: Sequence[Refusal] = ()
    ) -> list[Chunk]:
        """Set aside what was refused, forget what is acknowledged, keep these chunks; or ``SpoolFull`` and none of it.

        Returns the chunks that are to be sent: those of a refused stream are kept, and not sent.
        """
        before, dropped = self._waiting, (0, 0)
        try:
            with at_work(), self._transaction():
                for refusal in refusals:
                    self._refuse(refusal)
                for ack in acks:
                    self._forget(ack)
                refused = self._read_refused_streams()
                to_send = [chunk for chunk in chunks if chunk.number not in refused]
                self._insert(to_send)
                self._insert_refused([chunk for chunk in chunks if chunk.number in refused])
                dropped = self._drop_oldest_refused()
                if acks or refusals or dropped[0]:
                    self._drop_finished()
        except BaseException:
            self._waiting = before
            raise
        self._refused_streams = refused
        if dropped[0]:
            log.warning("refused_chunks_dropped", chunks=dropped[0], bytes=dropped[1], bound=self._refused_max)
        return to_send

    def streams(self) -> list[SpooledStream]:
        """Every stream that is open or has chunks to send, newest first; refused ones are left out."""
        with at_work():
            rows = self._file.execute(
                "select number, generation, descriptor, next_seq from stream"
                " where number not in (select number from refused_stream) and (open = 1 or exists"
                " (select 1 from waiting where waiting.number = stream.number))"
                " order by generation desc, number"
            ).fetchall()
        return [SpooledStream(number, generation, json.loads(text), seq) for number, generation, text, seq in rows]

    def read(self, number: int, from_seq: int, below: int, count: int = READ_CHUNKS) -> list[Chunk]:
        """The next chunks to send of a stream with ``from_seq`` ≤ seq < ``below``, in order, at most ``count``."""
        with at_work():
            rows = self._file.execute(
                "select seq, bytes from waiting where number = ? and seq >= ? and seq < ? order by seq limit ?",
                (number, from_seq, below, count),
            ).fetchall()
        return [Chunk(number, seq, data) for seq, data in rows]

    def close(self) -> None:
        """Close the file; everything written is already durable."""
        self._file.close()

    def _insert(self, chunks: Sequence[Chunk]) -> None:
        size = sum(len(chunk.data) for chunk in chunks)
        if chunks and self._waiting.bytes + size > self._bytes_max:
            raise SpoolFull(reason=f"{self._bytes_max} bytes")
        self._file.executemany(
            "insert into chunk (number, seq, bytes) values (?, ?, ?)",
            [(chunk.number, chunk.seq, chunk.data) for chunk in chunks],
        )
        for number, seq in {chunk.number: chunk.seq for chunk in chunks}.items():
            self._file.execute("update stream set next_seq = ? where number = ?", (seq + 1, number))
        self._waiting = self._waiting.plus(len(chunks), size)

    def _insert_refused(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._file.execute("insert into chunk (number, seq, bytes) values (?, ?, ?)",
                               (chunk.number, chunk.seq, chunk.data))  # fmt: skip
            self._file.execute(
                "insert into refused (number, seq, size, code)"
                " select number, ?, ?, code from refused_stream where number = ?",
                (chunk.seq, len(chunk.data), chunk.number),
            )
            self._file.execute("update stream set next_seq = ? where number = ?", (chunk.seq + 1, chunk.number))
            self._waiting = self._waiting.plus(refused=1, refused_size=len(chunk.data))

    def _lying(self, number: int, low: int, high: int) -> tuple[int, int]:
        """How many chunks of this part of a stream wait, and their bytes."""
        row = self._file.execute(
            "select count(*), coalesce(sum(length(bytes)), 0) from waiting where number = ? and seq between ? and ?",
            (number, low, high),
        ).fetchone()
        return row[0], row[1]

    def _forget(self, ack: Ack) -> None:
        through = [] if ack.through is None else [(0, ack.through)]
        for low, high in [*through, *ack.ranges]:
            self._delete(ack.number, low, high)

    def _delete(self, number: int, low: int, high: int) -> None:
        chunks, size = self._lying(number, low, high)
        if chunks:
            self._file.execute(
                "delete from chunk where number = ? and seq between ? and ? and not exists"
                " (select 1 from refused where refused.number = chunk.number and refused.seq = chunk.seq)",
                (number, low, high),
            )
            self._waiting = self._waiting.plus(-chunks, -size)

    def _refuse(self, refusal: Refusal) -> None:
        number, low, high = refusal.number, refusal.seq or 0, LAST_SEQ if refusal.seq is None else refusal.seq
        if refusal.seq is None and refusal.code == KEY_DESTROYED:
            self._delete(number, low, high)
            self._delete_refused(number=number)
            return
        if refusal.seq is None:
            self._file.execute(
                "insert or ignore into refused_stream select number, ? from stream where number = ?",
                (refusal.code, number),
            )
        chunks, size = self._lying(number, low, high)
        if chunks:
            self._file.execute(
                "insert into refused (number, seq, size, code) select number, seq, length(bytes), ? from waiting"
                " where number = ? and seq between ? and ? order by seq",
                (refusal.code, number, low, high),
            )
            self._waiting = self._waiting.plus(-chunks, -size, chunks, size)

    def _delete_refused(self, *, through_id: int = 0, number: int = 0) -> tuple[int, int]:
        """Those refused first, or those of one stream: how many there were, and their bytes. Ids begin at 1."""
        which = (through_id, number)
        row = self._file.execute(
            "select count(*), coalesce(sum(size), 0) from refused where id <= ? or number = ?", which
        ).fetchone()
        self._file.execute(
            "delete from chunk where (number, seq) in"
            " (select number, seq from refused where id <= ? or number = ?)",
            which,
        )
        self._file.execute("delete from refused where id <= ? or number = ?", which)
        self._waiting = self._waiting.plus(refused=-row[0], refused_size=-row[1])
        return row[0], row[1]

    def _drop_oldest_refused(self) -> tuple[int, int]:
        """Keep the refused within their bound: those refused first go first. How many went, and their bytes."""
        excess = self._waiting.refused_bytes - self._refused_max
        if excess <= 0:
            return 0, 0
        last = 0
        for found, size in self._file.execute("select id, size from refused order by id"):
            last, excess = found, excess - size
            if excess <= 0:
                break
        return self._delete_refused(through_id=last)

    def _drop_finished(self) -> None:
        self._file.execute(
            "delete from stream where open = 0 and not exists (select 1 from chunk where chunk.number = stream.number)"
        )
        self._file.execute("delete from refused_stream where number not in (select number from stream)")

    def _read_refused_streams(self) -> frozenset[int]:
        return frozenset(row[0] for row in self._file.execute("select number from refused_stream"))

    def _count(self) -> Waiting:
        every = self._file.execute("select count(*), coalesce(sum(length(bytes)), 0) from chunk").fetchone()
        refused = self._file.execute("select count(*), coalesce(sum(size), 0) from refused").fetchone()
        return Waiting(every[0] - refused[0], every[1] - refused[1], refused[0], refused[1])

    def _transaction(self) -> _Transaction:
        return _Transaction(self._file)


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
