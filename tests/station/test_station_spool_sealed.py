"""A spool without its key tells nobody what was measured or of whom; with it, it is the spool that it was."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from telemed_station import spool_open
from telemed_station.errors import SpoolKeyMissing, SpoolKeyOpen, SpoolKeyUnusable
from telemed_station.people_file import Person
from telemed_station.spool import Ack, Chunk, Refusal, Spool, Waiting
from telemed_station.spool_look import look
from telemed_station.spool_seal import Seal, SealBroken
from telemed_station.spool_thread import SpoolThread

SAMPLES = b"the patient's samples "
NAME = "Demo patient sealed"
DEVICE = "Demo device under the seal"
# As the version before left it: everything of a patient in plain.
PLAIN = """
create table counter (only integer primary key check (only = 1), number integer not null);
create table stream (
  number integer primary key, generation integer not null, descriptor text not null, next_seq integer not null,
  open integer not null);
create table chunk (
  number integer not null, seq integer not null, bytes blob not null, primary key (number, seq)) without rowid;
create table refused (
  id integer primary key, number integer not null, seq integer not null, size integer not null, code text not null,
  unique (number, seq));
create table refused_stream (number integer primary key, code text not null);
create table person (
  id integer primary key, patient text not null unique, attachment text not null unique, source text not null,
  name text not null, birth_year integer, from_us integer not null, to_us integer, to_source text,
  kept integer not null default 0, refused integer not null default 0, refused_under text);
"""


def body(number: int, seq: int) -> bytes:
    return SAMPLES * 20 + f"{number}/{seq}".encode()


def person() -> Person:
    return Person(str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4()), NAME, 1951, 1_000_000)


def kept(spool: Spool) -> dict[tuple[int, int], bytes]:
    return {
        (one.number, one.seq): one.data
        for stream in spool.streams()
        for one in spool.read(stream.number, 0, 1 << 40, 1 << 30)
    }


def legible(folder: Path) -> set[str]:
    """Which of the patient's words stand in any file of the folder."""
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    words = {"samples": SAMPLES, "name": NAME.encode(), "device": DEVICE.encode()}
    return {word for word, text in words.items() if text in everything}


def filled(path: Path, **options: object) -> tuple[Spool, int, Person]:
    spool = Spool(path, **options)  # type: ignore[arg-type]
    (one,) = spool.begin([{"device": DEVICE}])
    spool.write([Chunk(one.number, seq, body(one.number, seq)) for seq in range(50)])
    somebody = person()
    spool.people.enter(somebody)
    return spool, one.number, somebody


def test_nothing_of_a_patient_is_legible(tmp_path: Path) -> None:
    spool, number, somebody = filled(tmp_path / "spool")
    assert legible(tmp_path) == set()
    spool.write((), [Ack(number, 10)], [Refusal(number, 20, "chunk_differs")])
    spool.close()
    assert legible(tmp_path) == set()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    again = Spool(tmp_path / "spool")
    assert kept(again) == {(number, seq): body(number, seq) for seq in range(11, 50) if seq != 20}
    assert again.people.all() == [somebody]
    assert [stream.descriptor for stream in again.streams()] == [{"device": DEVICE}]
    assert again.waiting == Waiting(38, sum(len(body(number, seq)) for seq in range(11, 50) if seq != 20),
                                    1, len(body(number, 20)))  # fmt: skip
    again.close()


def test_the_key_may_lie_elsewhere(tmp_path: Path) -> None:
    home, key = tmp_path / "home", tmp_path / "elsewhere" / "key"
    home.mkdir()
    spool, number, _ = filled(home / "spool", key_file=key)
    spool.close()
    assert len(key.read_bytes()) == 32 and not (home / "spool.key").exists()
    with pytest.raises(SpoolKeyMissing), look(home / "spool"):
        pass
    with look(home / "spool", key) as found:
        assert [one.data for one in found.chunks(number)] == [body(number, seq) for seq in range(50)]


def test_a_key_that_can_be_read_by_others_or_is_none_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "spool.key"
    key.write_bytes(bytes(32))
    key.chmod(0o640)
    with pytest.raises(SpoolKeyOpen):
        Spool(tmp_path / "spool")
    key.write_bytes(bytes(31))
    key.chmod(0o600)
    with pytest.raises(SpoolKeyUnusable):
        Spool(tmp_path / "spool")
    key.unlink()
    key.mkdir()
    with pytest.raises(SpoolKeyUnusable):
        Spool(tmp_path / "spool")
    key.rmdir()
    Spool(tmp_path / "spool").close()
    assert len(key.read_bytes()) == 32


@pytest.mark.parametrize("lose", [Path.unlink, lambda key: key.write_bytes(bytes(32))], ids=["absent", "another"])
async def test_a_lost_key_sets_the_file_aside_and_nothing_is_deleted(
    tmp_path: Path, lose: Callable[[Path], object]
) -> None:
    spool, number, somebody = filled(tmp_path / "spool")
    spool.close()
    key, sealed = (tmp_path / "spool.key").read_bytes(), (tmp_path / "spool").read_bytes()
    lose(tmp_path / "spool.key")
    new = SpoolThread(tmp_path / "spool")
    assert new.waiting == Waiting() and new.told(0, full=False)["unreadable"] == 1
    (one,) = await new.begin([{}])
    assert one.number > number, "no number is used twice, whichever file comes back"
    await new.close()
    (aside,) = spool_open.set_aside(tmp_path / "spool")
    assert aside.read_bytes() == sealed and aside.stat().st_mode & 0o777 == 0o600
    (tmp_path / "back").mkdir()
    aside.rename(tmp_path / "back" / "spool")
    (tmp_path / "back" / "spool.key").write_bytes(key)
    (tmp_path / "back" / "spool.key").chmod(0o600)
    again = Spool(tmp_path / "back" / "spool")
    assert len(kept(again)) == 50 and again.people.all() == [somebody]
    again.close()


def test_a_named_key_that_is_not_there_ends_the_start_and_touches_nothing(tmp_path: Path) -> None:
    key = tmp_path / "mounted" / "key"
    spool, _, _ = filled(tmp_path / "spool", key_file=key)
    spool.close()
    before = (tmp_path / "spool").read_bytes()
    key.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(SpoolKeyMissing):
            Spool(tmp_path / "spool", key_file=key)
    assert (tmp_path / "spool").read_bytes() == before and not key.exists()
    (tmp_path / "away").rename(key)
    again = Spool(tmp_path / "spool", key_file=key)
    assert len(kept(again)) == 50 and again.aside == 0
    again.close()


def plain(path: Path, column: bool) -> Person:
    """A spool of the version before; with ``column`` of the one before that, whose refusals were a column."""
    somebody = person()
    with closing(sqlite3.connect(path)) as file:
        file.executescript(PLAIN)
        file.execute("insert into counter values (1, 2000000007)")
        if column:
            file.execute("alter table chunk add column refused text")
        for number in range(2_000_000_000, 2_000_000_003):
            file.execute("insert into stream values (?, 2000000000, ?, 5, 1)", (number, json.dumps({"device": DEVICE})))
            file.executemany(
                "insert into chunk (number, seq, bytes) values (?, ?, ?)",
                [(number, seq, body(number, seq)) for seq in range(5)],
            )
        if column:
            file.execute("update chunk set refused = 'chunk_differs' where number = 2000000000 and seq = 1")
        else:
            file.execute("insert into refused values (1, 2000000000, 1, ?, 'chunk_differs')", (1,))
        file.execute(
            "insert into person values (1, ?, ?, ?, ?, ?, ?, null, null, 0, 0, null)",
            (somebody.patient, somebody.attachment, somebody.source, NAME, 1951, somebody.from_us),
        )
        file.commit()
    path.chmod(0o600)
    return somebody


def check_adopted(path: Path, somebody: Person) -> None:
    spool = Spool(path)
    expected = {(number, seq): body(number, seq) for number in range(2_000_000_000, 2_000_000_003) for seq in range(5)}
    del expected[2_000_000_000, 1]
    assert kept(spool) == expected
    assert (spool.waiting.chunks, spool.waiting.refused) == (14, 1)
    assert spool.people.all() == [somebody]
    assert {stream.descriptor["device"] for stream in spool.streams()} == {DEVICE}
    assert spool.begin([{}])[0].number == 2_000_000_007
    spool.close()
    assert legible(path.parent) == set()


@pytest.mark.parametrize("column", [False, True])
def test_a_plain_spool_is_sealed_in_its_place(tmp_path: Path, column: bool) -> None:
    somebody = plain(tmp_path / "spool", column)
    assert legible(tmp_path) == {"samples", "name", "device"}
    check_adopted(tmp_path / "spool", somebody)


@pytest.mark.parametrize("after", range(23))
def test_sealing_goes_on_wherever_it_was_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Ended before every one of its commits in turn, a row at a time: nothing is lost and nothing stays plain."""
    somebody = plain(tmp_path / "spool", column=False)
    commits = 0

    class Ending(spool_open.Transaction):
        def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
            nonlocal commits
            commits += 1
            if kind is None and commits > after:
                self._undo()
                raise KeyboardInterrupt
            super().__exit__(kind, *rest)

    monkeypatch.setattr(spool_open, "Transaction", Ending)
    monkeypatch.setattr(spool_open, "MOVED_ROWS", 1)
    with pytest.raises(KeyboardInterrupt):
        Spool(tmp_path / "spool")
    monkeypatch.undo()
    check_adopted(tmp_path / "spool", somebody)


def test_an_altered_or_moved_row_is_set_aside_and_the_others_are_sent(tmp_path: Path) -> None:
    spool, _, _ = filled(tmp_path / "spool")
    spool.close()
    with closing(sqlite3.connect(tmp_path / "spool")) as file:
        (sealed,) = file.execute("select bytes from chunk where seq = 3").fetchone()
        file.execute("update chunk set bytes = ? where seq = 3", (sealed[:-1] + bytes([sealed[-1] ^ 1]),))
        file.execute("update chunk set bytes = (select bytes from chunk as other where other.seq = 8) where seq = 7")
        file.commit()
    again = Spool(tmp_path / "spool")
    assert {seq for _, seq in kept(again)} == set(range(50)) - {3, 7}
    assert (again.waiting.chunks, again.waiting.refused) == (48, 2)
    again.close()


def test_a_stream_that_nobody_can_describe_is_set_aside_whole(tmp_path: Path) -> None:
    spool, number, _ = filled(tmp_path / "spool")
    (other,) = spool.begin([{}])
    spool.write([Chunk(other.number, 0, b"x")])
    spool.close()
    with closing(sqlite3.connect(tmp_path / "spool")) as file:
        file.execute("update stream set descriptor = ? where number = ?", (bytes(60), number))
        file.commit()
    again = Spool(tmp_path / "spool")
    assert set(kept(again)) == {(other.number, 0)}
    assert again.refused_streams == {number} and again.waiting.refused == 50
    again.close()


def test_a_seal_is_of_its_place_and_key_alone() -> None:
    seal, other = Seal(bytes(32), b"s" * 16), Seal(b"\x01" * 32, b"s" * 16)
    sealed = seal.seal("chunk", 7, 1, SAMPLES)
    assert seal.open("chunk", 7, 1, sealed) == SAMPLES and seal.seal("chunk", 7, 1, SAMPLES) != sealed
    for opener, place in ((seal, ("chunk", 7, 2)), (seal, ("chunk", 8, 1)), (seal, ("stream", 7, 1)),
                          (other, ("chunk", 7, 1)), (Seal(bytes(32), b"t" * 16), ("chunk", 7, 1))):  # fmt: skip
        with pytest.raises(SealBroken):
            opener.open(*place, sealed)
    for cut in range(len(sealed)):
        with pytest.raises(SealBroken):
            seal.open("chunk", 7, 1, sealed[:cut])
