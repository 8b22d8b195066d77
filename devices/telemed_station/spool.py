"""Chunks are on disk before they are sent, and leave it only when the server says that they are committed.

What the server refused for good (``Refusal``) is evidence: no acknowledgement deletes it. It is kept in a part of
its own, bounded by ``REFUSED_BYTES_MAX``, and does not count toward the bound that ends recording.

One SQLite file in WAL mode with ``synchronous=FULL``: a committed transaction survives ``kill -9`` and a power cut.
Chunks, descriptors of streams and people are sealed (``spool_seal``) under a key that may lie elsewhere, so a copy
of the file alone tells nobody what was measured or of whom; how much there is and when it began is not hidden. Deleted
bytes are overwritten (``secure_delete``). Numbers of streams are unique at the station for ever: the counter starts at
the wall clock's second when the file is made, and streams begin far more seldom than once a second, so a
station that lost its file does not use a number twice.

``Spool`` is synchronous and belongs to one thread: ``spool_thread.SpoolThread``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from telemed_station.errors import SpoolFull
from telemed_station.people_file import PeopleFile
from telemed_station.spool_open import Transaction, open_spool
from telemed_station.spool_room import BYTES_MAX, RESERVE_BYTES, RESUME_PART, disk_room
from telemed_station.spool_seal import OVERHEAD_BYTES, SealBroken
from telemed_station.spooled import RANGES_MAX, Ack, Chunk, Descriptor, Refusal, SpooledStream, Waiting
from telemed_station.trouble import at_start, at_work

__all__ = ["BYTES_MAX", "KEY_DESTROYED", "RANGES_MAX", "READ_CHUNKS", "REFUSED_BYTES_MAX", "Ack", "Chunk",
           "Descriptor", "Refusal", "Spool", "SpooledStream", "Waiting"]  # fmt: skip

REFUSED_BYTES_MAX = 256 * 1024**2  # three hours of twelve leads at 1 kHz; beyond it the oldest refused go first
STREAM_NUMBER_MAX = 0xFFFF_FFFF  # docs/protocol.md section 2
READ_CHUNKS = 32  # chunks read from disk at once while the backlog drains
FORGOTTEN_AT_ONCE = 128  # chunks deleted in one transaction: its journal is as long as they are
LAST_SEQ = 2**63 - 1  # SQLite's largest integer: a whole stream is 0 … LAST_SEQ
KEY_DESTROYED = "key_destroyed"  # the key that would seal a stream is gone, and with it the reason to keep it
SEAL_BROKEN = "seal_broken"  # our own disk gave back something else than was written there
_T0_AT = {b"TMF1": 32, b"TMC1": 24}  # docs/protocol.md sections 2 and 3: where the stamp is

log = structlog.get_logger("telemed.station.spool")


class Spool:
    """The file. Every method is one transaction."""

    def __init__(
        self, path: Path, bytes_max: int = BYTES_MAX, refused_max: int = REFUSED_BYTES_MAX, *,
        reserve_bytes: int = RESERVE_BYTES, key_file: Path | None = None,
    ) -> None:  # fmt: skip
        """Open it; without ``key_file`` the key is beside it. Raises as ``spool_open.open_spool``."""
        self._path = path
        self._bytes_max = bytes_max
        self._refused_max = refused_max
        self._reserve = reserve_bytes
        self._full = False  # what came last found no room
        self._left: list[Ack] = []  # acknowledgements that the disk did not take, when it took everything else
        opened = open_spool(path, key_file)
        self._file, self._seal, self.aside = opened.file, opened.seal, opened.aside
        with at_start(path):
            try:
                self._prepare()
            except BaseException:
                self._file.close()
                raise

    def _prepare(self) -> None:
        self.people = PeopleFile(self._file, self._seal, self._transaction)
        # What an earlier run left open will get no more chunks: a stream lives no longer than its program.
        self._file.execute("update stream set open = 0")
        self._drop_finished()
        self._waiting = self._count()
        self._refused_streams = self._read_refused_streams()
        self._oldest_us = self._find_oldest()
        self._page_bytes = self._file.execute("pragma page_size").fetchone()[0]
        self._disk_bytes = disk_room(self._path, self._reserve)

    @property
    def waiting(self) -> Waiting:
        """What is not acknowledged yet."""
        return self._waiting

    @property
    def refused_streams(self) -> frozenset[int]:
        """Streams that the server refused for good: nothing of them is sent."""
        return self._refused_streams

    @property
    def oldest_us(self) -> int | None:
        """The stamp of the oldest chunk that waits; None: none does."""
        return self._oldest_us

    @property
    def room_bytes(self) -> int:
        """How many more bytes of chunks had room at the last write, by the bound and by the disk."""
        return min(self._bytes_max - self._waiting.bytes, self._disk_bytes)

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
                [(stream.number, first, self._sealed(stream)) for stream in begun],
            )
        return begun

    def write(
        self, chunks: Sequence[Chunk], acks: Sequence[Ack] = (), refusals: Sequence[Refusal] = ()
    ) -> list[Chunk]:
        """Set aside what was refused, forget what is acknowledged, keep these chunks; or ``SpoolFull`` and none of it.

        Returns the chunks that are to be sent: those of a refused stream are kept, and not sent.
        """
        before, dropped, left = self._waiting, (0, 0), [*self._left, *acks]
        try:
            with at_work(), self._transaction():
                for refusal in refusals:
                    self._refuse(refusal)
                left = self._forget(left)
                refused = self._read_refused_streams()
                to_send = [chunk for chunk in chunks if chunk.number not in refused]
                self._check_room(chunks, to_send)
                self._insert(to_send)
                self._insert_refused([chunk for chunk in chunks if chunk.number in refused])
                dropped = self._drop_oldest_refused()
                if acks or refusals or dropped[0]:
                    self._drop_finished()
        except BaseException:
            self._waiting = before
            raise
        self._refused_streams = refused
        self._left = []
        with suppress(SpoolFull):  # what was to be kept is kept; the next write goes on with the rest
            self._forget_rest(left)
        if acks or refusals or self._oldest_us is None:
            with at_work():
                self._oldest_us = self._find_oldest()
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
        found = []
        for number, generation, sealed, seq in rows:
            try:
                descriptor = json.loads(self._seal.open("stream", number, 0, sealed))
            except SealBroken:
                self._lost(Refusal(number, None, SEAL_BROKEN))
            else:
                found.append(SpooledStream(number, generation, descriptor, seq))
        return found

    def read(self, number: int, from_seq: int, below: int, count: int = READ_CHUNKS) -> list[Chunk]:
        """The next chunks to send of a stream with ``from_seq`` ≤ seq < ``below``, in order, at most ``count``."""
        while True:
            with at_work():
                rows = self._file.execute(
                    "select seq, bytes from waiting where number = ? and seq >= ? and seq < ? order by seq limit ?",
                    (number, from_seq, below, count),
                ).fetchall()
            found = []
            for seq, sealed in rows:
                try:
                    found.append(Chunk(number, seq, self._seal.open("chunk", number, seq, sealed)))
                except SealBroken:
                    self._lost(Refusal(number, seq, SEAL_BROKEN))
            if found or not rows:
                return found

    def close(self) -> None:
        """Close the file; everything written is already durable."""
        self._file.close()

    def _insert(self, chunks: Sequence[Chunk]) -> None:
        size = sum(len(chunk.data) for chunk in chunks)
        self._insert_sealed(chunks)
        for number, seq in {chunk.number: chunk.seq for chunk in chunks}.items():
            self._file.execute("update stream set next_seq = ? where number = ?", (seq + 1, number))
        self._waiting = self._waiting.plus(len(chunks), size)

    def _check_room(self, chunks: Sequence[Chunk], to_send: Sequence[Chunk]) -> None:
        """Raise ``SpoolFull`` unless these fit; once they did not, not before some room is free again."""
        free = self._file.execute("pragma freelist_count").fetchone()[0] * self._page_bytes
        self._disk_bytes = disk_room(self._path, self._reserve) + free
        if not chunks:
            return
        most = min(self._bytes_max, self._waiting.bytes + max(0, self._disk_bytes))
        again = most // RESUME_PART if self._full else 0
        bound = self._waiting.bytes + sum(len(chunk.data) for chunk in to_send) + again > self._bytes_max
        self._full = bound or sum(len(chunk.data) for chunk in chunks) + again > self._disk_bytes
        if self._full:
            raise SpoolFull(reason=f"{self._bytes_max} bytes" if bound else "disk")

    def _insert_sealed(self, chunks: Sequence[Chunk]) -> None:
        seal = self._seal.seal
        self._file.executemany(
            "insert into chunk (number, seq, bytes) values (?, ?, ?)",
            [(one.number, one.seq, seal("chunk", one.number, one.seq, one.data)) for one in chunks],
        )

    def _insert_refused(self, chunks: Sequence[Chunk]) -> None:
        self._insert_sealed(chunks)
        for chunk in chunks:
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
            "select count(*), coalesce(sum(length(bytes) - ?), 0) from waiting"
            " where number = ? and seq between ? and ?",
            (OVERHEAD_BYTES, number, low, high),
        ).fetchone()
        return row[0], row[1]

    def _forget(self, acks: Sequence[Ack]) -> list[Ack]:
        """Delete what these cover, about ``FORGOTTEN_AT_ONCE`` chunks; returns what is left of them."""
        room, parts = FORGOTTEN_AT_ONCE, [
            (ack.number, low, high)
            for ack in acks
            for low, high in [*([] if ack.through is None else [(0, ack.through)]), *ack.ranges]
        ]
        for at, (number, low, high) in enumerate(parts):
            end = self._file.execute(
                "select seq from waiting where number = ? and seq between ? and ? order by seq limit 1 offset ?",
                (number, low, high, room),
            ).fetchone()
            room -= self._delete(number, low, high if end is None else end[0] - 1)
            if end is not None or (room <= 0 and at + 1 < len(parts)):
                return [Ack(number, None, ((first, last),)) for number, first, last in parts[at:]]
        return []

    def _forget_rest(self, left: list[Ack]) -> None:
        """What one transaction was too short for; the disk's reserve is for the journal of one."""
        while left:
            before = self._waiting
            try:
                with at_work(), self._transaction():
                    then = self._forget(left)
                    self._drop_finished()
            except BaseException:
                self._waiting, self._left = before, left
                raise
            left = then

    def _delete(self, number: int, low: int, high: int) -> int:
        """Delete what waits of this part of a stream; returns how many chunks."""
        chunks, size = self._lying(number, low, high)
        if chunks:
            self._file.execute(
                "delete from chunk where number = ? and seq between ? and ? and not exists"
                " (select 1 from refused where refused.number = chunk.number and refused.seq = chunk.seq)",
                (number, low, high),
            )
            self._waiting = self._waiting.plus(-chunks, -size)
        return chunks

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
                "insert into refused (number, seq, size, code) select number, seq, length(bytes) - ?, ? from waiting"
                " where number = ? and seq between ? and ? order by seq",
                (OVERHEAD_BYTES, refusal.code, number, low, high),
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
        every = self._file.execute(
            "select count(*), coalesce(sum(length(bytes) - ?), 0) from chunk", (OVERHEAD_BYTES,)
        ).fetchone()
        refused = self._file.execute("select count(*), coalesce(sum(size), 0) from refused").fetchone()
        return Waiting(every[0] - refused[0], every[1] - refused[1], refused[0], refused[1])

    def _find_oldest(self) -> int | None:
        row = self._file.execute("select number, seq, bytes from waiting order by number, seq limit 1").fetchone()
        if row is None:
            return None
        try:
            data = self._seal.open("chunk", *row)
        except SealBroken:
            return None  # who reads it sets it aside
        at = _T0_AT.get(data[:4])
        return None if at is None else int.from_bytes(data[at : at + 8], "little", signed=True)

    def _lost(self, refusal: Refusal) -> None:
        """Set aside what cannot be opened, and go on with the rest."""
        log.error("spool_row_unreadable", stream=refusal.number, seq=refusal.seq)
        self.write((), refusals=[refusal])

    def _sealed(self, stream: SpooledStream) -> bytes:
        return self._seal.seal("stream", stream.number, 0, json.dumps(stream.descriptor).encode())

    def _transaction(self) -> Transaction:
        return Transaction(self._file)
