"""Opens the spool's file: makes it, seals one that an earlier version left in plain, sets aside one whose key is lost.

A file is sealed when it has a row in ``seal``; that row's check tells whether the key is its own. Sealing a plain file
moves its rows in bounded transactions from ``plain_*`` tables into the sealed ones: whenever it ends, each row is in
exactly one of them, and the next run goes on.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import structlog

from telemed_station.errors import SpoolKeyMissing, SpoolUnwritable
from telemed_station.people_file import SCHEMA as PEOPLE_SCHEMA
from telemed_station.people_file import sealed_who
from telemed_station.spool_key import NAME as KEY_NAME
from telemed_station.spool_key import load_key, make_key, sync_folder
from telemed_station.spool_seal import SALT_BYTES, Seal
from telemed_station.trouble import at_start

PAGE_BYTES = 8_192
JOURNAL_PAGES = 256  # 2 MiB of journal before it is carried into the file; the disk's reserve holds several
MOVED_ROWS = 256  # sealed in one transaction
MOVED_BYTES = 4 * 1024**2  # or so many bytes
ASIDE = ".unreadable-"  # between the file's name and the time at which it was set aside

log = structlog.get_logger("telemed.station.spool")

_SCHEMA = (
    "create table if not exists counter (only integer primary key check (only = 1), number integer not null)",
    "create table if not exists stream (number integer primary key, generation integer not null,"
    " descriptor blob not null, next_seq integer not null, open integer not null)",
    "create table if not exists chunk (number integer not null, seq integer not null, bytes blob not null,"
    " primary key (number, seq)) without rowid",
    "create table if not exists refused (id integer primary key, number integer not null, seq integer not null,"
    " size integer not null, code text not null, unique (number, seq))",
    "create table if not exists refused_stream (number integer primary key, code text not null)",
    PEOPLE_SCHEMA,
    "create table if not exists seal (only integer primary key check (only = 1), salt blob not null,"
    " checked blob not null)",
)
_WAITING = """
create temp view waiting as select number, seq, bytes from chunk
  where not exists (select 1 from refused where refused.number = chunk.number and refused.seq = chunk.seq)
"""
# Plain files made before there was a table for them hold refusals in a column of ``chunk``.
_PLAIN_REFUSED = """
insert or ignore into refused (number, seq, size, code)
  select number, seq, length(bytes), refused from plain_chunk where refused is not null
"""
_PLAIN = ("stream", "chunk", "person")  # tables that hold something of a patient


@dataclass(frozen=True)
class Opened:
    """The file, ready for work; ``aside`` are files beside it whose key is lost."""

    file: sqlite3.Connection
    seal: Seal
    aside: int


class Transaction(AbstractContextManager[None]):
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


def open_spool(path: Path, key_file: Path | None) -> Opened:
    """Open it with the key of ``key_file``, or of the one beside it, which is made when absent.

    Raises ``SpoolFull`` without room, ``SpoolUnwritable``, ``SpoolDamaged``; ``SpoolKeyMissing`` when the file that was
    named is not there and a spool that it seals is, ``SpoolKeyOpen``, ``SpoolKeyUnusable``.
    """
    key_path = key_file or path.with_name(KEY_NAME)
    with at_start(path):
        path.touch(mode=0o600, exist_ok=True)
        file, number = _connect(path), int(time.time())
        try:
            key, check = load_key(key_path), _check_of(file)
            if check is not None and key is None and key_file is not None:
                raise SpoolKeyMissing(file=str(key_file), spool=str(path))
            if check is not None and (key is None or not Seal(key, check[0]).opens(check[1])):
                number = max(number, file.execute("select number from counter").fetchone()[0])
                file.close()
                _set_aside(path)
                path.touch(mode=0o600, exist_ok=True)
                file = _connect(path)
            seal = _prepare(file, key or make_key(key_path), number)
            _seal_plain(file, seal)
            file.execute(_WAITING)
        except BaseException:
            file.close()
            raise
    return Opened(file, seal, len(set_aside(path)))


def set_aside(path: Path) -> list[Path]:
    """The files that were set aside beside this spool, oldest first."""
    return sorted(path.parent.glob(f"{path.name}{ASIDE}*"))


def _connect(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        file.execute(f"pragma page_size = {PAGE_BYTES}")
        file.execute("pragma journal_mode = wal")
        file.execute("pragma synchronous = full")
        file.execute(f"pragma wal_autocheckpoint = {JOURNAL_PAGES}")
        file.execute("pragma secure_delete = on")
    except BaseException:
        file.close()
        raise
    return file


def tables(file: sqlite3.Connection) -> set[str]:
    """The names of the file's tables."""
    return {row[0] for row in file.execute("select name from sqlite_master where type = 'table'")}


def _check_of(file: sqlite3.Connection) -> tuple[bytes, bytes] | None:
    """Salt and check of a sealed file; None: it is new or plain."""
    if "seal" not in tables(file):
        return None
    row = file.execute("select salt, checked from seal").fetchone()
    return None if row is None else (row[0], row[1])


def _set_aside(path: Path) -> None:
    """Rename the closed file. What its journal held is in it by now, or it stays where it is."""
    if any(path.with_name(f"{path.name}-{part}").exists() for part in ("wal", "journal")):
        raise SpoolUnwritable(file=str(path), reason="journal")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    there, n = path.with_name(f"{path.name}{ASIDE}{stamp}"), 1
    while there.exists():
        n += 1
        there = path.with_name(f"{path.name}{ASIDE}{stamp}-{n}")
    path.rename(there)
    sync_folder(path.parent)
    log.error("spool_key_lost", set_aside=str(there), bytes=there.stat().st_size)


def _prepare(file: sqlite3.Connection, key: bytes, number: int) -> Seal:
    """The tables, those of a plain file renamed, and the seal: all or nothing."""
    check = _check_of(file)
    seal = Seal(key, os.urandom(SALT_BYTES) if check is None else check[0])
    salt = seal.salt
    with Transaction(file):
        before = tables(file)
        if check is None:
            for table in before.intersection(_PLAIN):
                file.execute(f"alter table {table} rename to plain_{table}")
        for statement in _SCHEMA:
            file.execute(statement)
        if check is None:
            if "chunk" in before and _has_column(file, "plain_chunk", "refused"):
                file.execute(_PLAIN_REFUSED)
            file.execute("insert or ignore into counter values (1, ?)", (number,))
            file.execute("insert into seal values (1, ?, ?)", (salt, seal.check()))
    return seal


def _has_column(file: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in file.execute(f"pragma table_info({table})"))


def _seal_plain(file: sqlite3.Connection, seal: Seal) -> None:
    left = [table for table in _PLAIN if f"plain_{table}" in tables(file)]
    if not left:
        return
    began, rows = time.monotonic(), 0
    move = {"stream": _move_streams, "chunk": _move_chunks, "person": _move_people}
    for table in left:
        while moved := move[table](file, seal):
            rows += moved
    file.execute("pragma wal_checkpoint(truncate)")  # the journal holds what was plain, too
    for table in left:
        file.execute(f"drop table plain_{table}")
    log.info("spool_sealed", rows=rows, seconds=round(time.monotonic() - began, 1))


def _move_chunks(file: sqlite3.Connection, seal: Seal) -> int:
    with Transaction(file):
        rows, size = [], 0
        found = file.execute("select number, seq, bytes from plain_chunk order by number, seq limit ?", (MOVED_ROWS,))
        for number, seq, data in found:
            rows.append((number, seq, data))
            size += len(data)
            if size >= MOVED_BYTES:
                break
        found.close()
        file.executemany(
            "insert into chunk values (?, ?, ?)",
            [(number, seq, seal.seal("chunk", number, seq, data)) for number, seq, data in rows],
        )
        file.executemany("delete from plain_chunk where number = ? and seq = ?", [row[:2] for row in rows])
    return len(rows)


def _move_streams(file: sqlite3.Connection, seal: Seal) -> int:
    with Transaction(file):
        rows = file.execute(
            "select number, generation, descriptor, next_seq, open from plain_stream limit ?", (MOVED_ROWS,)
        ).fetchall()
        file.executemany(
            "insert into stream values (?, ?, ?, ?, ?)",
            [(row[0], row[1], seal.seal("stream", row[0], 0, row[2].encode()), row[3], row[4]) for row in rows],
        )
        file.executemany("delete from plain_stream where number = ?", [row[:1] for row in rows])
    return len(rows)


def _move_people(file: sqlite3.Connection, seal: Seal) -> int:
    with Transaction(file):
        rows = file.execute(
            "select id, patient, attachment, name, birth_year, source, from_us, to_us, to_source, kept, refused,"
            " refused_under from plain_person limit ?", (MOVED_ROWS,)
        ).fetchall()  # fmt: skip
        file.executemany(
            "insert into person values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(row[0], row[2], sealed_who(seal, row[2], row[1], row[3], row[4]), *row[5:]) for row in rows],
        )
        file.executemany("delete from plain_person where id = ?", [row[:1] for row in rows])
    return len(rows)
