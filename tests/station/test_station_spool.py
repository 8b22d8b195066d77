"""What is in the spool stays there until it is acknowledged, whatever happens to the program."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from telemed_station.errors import SpoolDamaged, SpoolFull
from telemed_station.spool import Ack, Chunk, Refusal, Spool, Waiting
from telemed_station.spool_thread import SpoolThread

PROGRAM = Path(__file__).parent / "spool_program.py"


def chunk(number: int, seq: int, size: int = 10) -> Chunk:
    return Chunk(number, seq, bytes([seq % 256]) * size)


def kept(spool: Spool) -> dict[tuple[int, int], bytes]:
    found = {}
    for stream in spool.streams():
        for one in spool.read(stream.number, 0, 1 << 40, 1 << 30):
            found[one.number, one.seq] = one.data
    return found


def test_chunks_leave_only_when_acknowledged(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    one, two = spool.begin([{"kind": "ecg"}, {"kind": "pleth"}])
    spool.write([chunk(one.number, seq) for seq in range(10)] + [chunk(two.number, 0)])
    assert spool.waiting == Waiting(11, 110)
    spool.write((), [Ack(one.number, 2, ((5, 6), (9, 9))), Ack(two.number, None)])
    assert {seq for number, seq in kept(spool) if number == one.number} == {3, 4, 7, 8}
    assert spool.waiting == Waiting(5, 50)
    spool.write((), [Ack(one.number, 2), Ack(12345, 99)])  # again, and of nobody
    assert spool.waiting == Waiting(5, 50)


def test_reads_in_order_and_in_bounds(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    (one,) = spool.begin([{}])
    spool.write([chunk(one.number, seq) for seq in range(100)])
    assert [item.seq for item in spool.read(one.number, 10, 90, 5)] == [10, 11, 12, 13, 14]
    assert [item.seq for item in spool.read(one.number, 88, 90, 5)] == [88, 89]
    assert spool.streams()[0].next_seq == 100


def test_a_restart_keeps_chunks_and_closes_streams(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    one, two = spool.begin([{"kind": "ecg", "epoch": "e"}, {"kind": "pleth"}])
    spool.write([chunk(one.number, 0)])
    spool.close()
    again = Spool(tmp_path / "spool")
    assert [(stream.number, stream.descriptor) for stream in again.streams()] == [
        (one.number, {"kind": "ecg", "epoch": "e"})
    ]
    assert again.waiting == Waiting(1, 10)
    (three,) = again.begin([{}])
    assert three.number > two.number
    assert [stream.number for stream in again.streams()] == [three.number, one.number]


def test_numbers_are_never_used_twice_even_after_a_lost_file(tmp_path: Path) -> None:
    first = Spool(tmp_path / "one").begin([{}])[0].number
    assert first >= 1_700_000_000  # the second at which the file was made
    spool = Spool(tmp_path / "two")
    numbers = [stream.number for _ in range(5) for stream in spool.begin([{}, {}])]
    assert len(set(numbers)) == 10


def test_full_refuses_and_forgets_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", bytes_max=100)
    (one,) = spool.begin([{}])
    spool.write([chunk(one.number, seq) for seq in range(9)])
    with pytest.raises(SpoolFull):
        spool.write([chunk(one.number, 9, 11)])
    assert len(kept(spool)) == 9 and spool.waiting.bytes == 90
    spool.write([chunk(one.number, 9, 11)], [Ack(one.number, 0)])  # the acknowledgement makes the room
    assert set(kept(spool)) == {(one.number, seq) for seq in range(1, 10)}


async def test_acknowledgements_are_written_although_the_chunks_do_not_fit(tmp_path: Path) -> None:
    spool = SpoolThread(tmp_path / "spool", bytes_max=100)
    (one,) = await spool.begin([{}])
    await spool.write([chunk(one.number, seq) for seq in range(10)])
    spool.acknowledge(Ack(one.number, 3))
    with pytest.raises(SpoolFull):
        await spool.write([chunk(one.number, 10, 50)])
    assert spool.waiting == Waiting(6, 60)
    await spool.write([chunk(one.number, 10, 40)])
    await spool.close()


def test_a_disk_without_room_is_spool_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    (one,) = spool.begin([{}])
    spool._file.execute("pragma max_page_count = 40")
    with pytest.raises(SpoolFull):
        spool.write([chunk(one.number, 0, 1_000_000)])
    assert spool.waiting == Waiting()
    spool.write([chunk(one.number, 0)])
    assert kept(spool) == {(one.number, 0): chunk(one.number, 0).data}


def test_a_refused_chunk_stays_and_is_not_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    (one,) = spool.begin([{}])
    spool.write([chunk(one.number, 0), chunk(one.number, 1)])
    spool.write((), refusals=[Refusal(one.number, 0, "chunk_differs")])
    assert set(kept(spool)) == {(one.number, 1)}
    assert spool.waiting == Waiting(1, 10, 1, 10)
    spool.close()
    assert Spool(tmp_path / "spool").waiting == Waiting(1, 10, 1, 10)


def test_a_discarded_stream_leaves_no_bytes(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    one, two = spool.begin([{}, {}])
    secrets = [Chunk(one.number, seq, b"the patient's samples") for seq in range(2)]
    spool.write([*secrets, chunk(two.number, 0)])
    spool.write((), refusals=[Refusal(one.number, 0, "chunk_differs")])
    spool.write((), refusals=[Refusal(one.number, None, "key_destroyed")])
    assert spool.waiting == Waiting(1, 10)
    spool.close()
    assert all(b"patient's samples" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_damaged_file_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"this is not a database" * 1000)
    before = (tmp_path / "spool").read_bytes()
    with pytest.raises(SpoolDamaged):
        Spool(tmp_path / "spool")
    assert (tmp_path / "spool").read_bytes() == before


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.begin([{}])
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


class SpoolMachine(RuleBasedStateMachine):
    """Against a dictionary: any order of writes, acknowledgements and restarts."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "spool"
        self.spool = Spool(self.path)
        self.model: dict[tuple[int, int], bytes] = {}
        self.next: dict[int, int] = {}
        self.begin()

    @rule()
    def begin(self) -> None:
        self.open = [stream.number for stream in self.spool.begin([{}, {}])]
        assert not set(self.open) & set(self.next)
        self.next |= dict.fromkeys(self.open, 0)

    @rule(which=st.integers(0, 1), count=st.integers(1, 4))
    def write(self, which: int, count: int) -> None:
        number = self.open[which]
        chunks = [chunk(number, self.next[number] + place) for place in range(count)]
        self.spool.write(chunks)
        self.next[number] += count
        self.model |= {(one.number, one.seq): one.data for one in chunks}

    @rule(data=st.data(), through=st.none() | st.integers(0, 10), low=st.integers(0, 10), span=st.integers(0, 3))
    def acknowledge(self, data: st.DataObject, through: int | None, low: int, span: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.next)))
        self.spool.write((), [Ack(number, through, ((low, low + span),))])
        for key in list(self.model):
            covered = key[1] <= (-1 if through is None else through) or low <= key[1] <= low + span
            if key[0] == number and covered:
                del self.model[key]

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.spool = Spool(self.path)
        self.begin()

    @invariant()
    def same(self) -> None:
        assert kept(self.spool) == self.model
        assert self.spool.waiting == Waiting(len(self.model), sum(map(len, self.model.values())))

    def teardown(self) -> None:
        self.spool.close()
        self.folder.cleanup()


SpoolMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestAnyOrder = SpoolMachine.TestCase


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_any_moment(tmp_path: Path, seed: int) -> None:
    """Three lives, each killed at a random line: what was reported kept is there, what was gone stays gone."""
    spec = importlib.util.spec_from_file_location("spool_program", PROGRAM)
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    draw = random.Random(seed)
    alive: set[tuple[int, int]] = set()
    asked: set[tuple[int, int]] = set()
    gone: set[tuple[int, int]] = set()
    numbers: list[int] = []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, PROGRAM, tmp_path / "spool"], stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(draw.randint(2, 400))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()  # what it had said before it died
        for line in (line for line in lines if line.endswith("\n")):
            match line.split():
                case ["begun", number]:
                    numbers.append(int(number))
                case ["kept", number, seq]:
                    alive.add((int(number), int(seq)))
                case ["asked", number, seq]:
                    asked.add((int(number), int(seq)))
                case ["gone", number, seq]:
                    gone.add((int(number), int(seq)))
    assert len(set(numbers)) == len(numbers)
    spool = Spool(tmp_path / "spool")
    found = kept(spool)
    assert alive - asked <= set(found)
    assert not gone & set(found)
    for (number, seq), data in found.items():
        assert data == program.body(number, seq)
    assert spool.waiting.chunks == len(found)
    integrity = sqlite3.connect(tmp_path / "spool").execute("pragma integrity_check").fetchone()
    assert integrity == ("ok",)
