"""What the server refused for good is evidence: kept aside, never sent again, never in the way of recording."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs
from telemed_station.errors import SpoolFull
from telemed_station.spool import Ack, Chunk, Refusal, Spool, Waiting
from telemed_station.spool_look import look
from telemed_station.spool_thread import SpoolThread


def chunk(number: int, seq: int, size: int = 10) -> Chunk:
    return Chunk(number, seq, bytes([seq % 256]) * size)


def evidence(path: Path) -> list[tuple[int, bytes, str]]:
    """Sequence number, bytes and reason of every refused chunk, as the file holds them."""
    with look(path) as found:
        rows = found.file.execute("select number, seq, code from refused order by id").fetchall()
        return [(seq, next(one.data for one in found.chunks(number) if one.seq == seq), code)
                for number, seq, code in rows]  # fmt: skip


def test_a_later_acknowledgement_does_not_delete_what_was_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    (one,) = spool.begin([{}])
    spool.write([chunk(one.number, seq) for seq in range(5)])
    spool.write((), refusals=[Refusal(one.number, 2, "chunk_differs")])
    spool.write((), [Ack(one.number, 3, ((4, 4),))])
    assert spool.waiting == Waiting(0, 0, 1, 10)
    spool.begin([{}])  # its stream is over, and stays described
    spool.close()
    again = Spool(tmp_path / "spool")
    assert again.waiting == Waiting(0, 0, 1, 10)
    assert evidence(tmp_path / "spool") == [(2, chunk(one.number, 2).data, "chunk_differs")]


async def test_refusal_and_acknowledgement_in_one_write(tmp_path: Path) -> None:
    spool = SpoolThread(tmp_path / "spool")
    (one,) = await spool.begin([{}])
    await spool.write([chunk(one.number, seq) for seq in range(5)])
    spool.refuse(Refusal(one.number, 2, "chunk_differs"))
    spool.acknowledge(Ack(one.number, 4))
    assert await spool.read(one.number, 0, 100) == []  # before anything of it is on disk
    await spool.flush()
    assert spool.waiting == Waiting(0, 0, 1, 10)
    await spool.close()
    assert evidence(tmp_path / "spool") == [(2, chunk(one.number, 2).data, "chunk_differs")]


def test_refused_chunks_do_not_end_recording(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", bytes_max=100)
    (one,) = spool.begin([{}])
    spool.write([chunk(one.number, seq) for seq in range(10)])
    with pytest.raises(SpoolFull):
        spool.write([chunk(one.number, 10)])
    spool.write((), refusals=[Refusal(one.number, seq, "frame_sequence") for seq in range(9)])
    spool.write([chunk(one.number, seq) for seq in range(10, 19)])
    assert spool.waiting == Waiting(10, 100, 9, 90)


def test_a_refused_stream_is_kept_and_not_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", bytes_max=100)
    one, two = spool.begin([{}, {}])
    spool.write([chunk(one.number, seq) for seq in range(10)])
    spool.write((), refusals=[Refusal(one.number, None, "attachment_refused")])
    assert spool.waiting == Waiting(0, 0, 10, 100)
    assert spool.refused_streams == {one.number}
    # It is being recorded still: what comes after is evidence too.
    assert spool.write([chunk(one.number, 10), chunk(two.number, 0)]) == [chunk(two.number, 0)]
    assert [stream.number for stream in spool.streams()] == [two.number]
    assert spool.read(one.number, 0, 100) == []
    spool.close()
    again = Spool(tmp_path / "spool")
    assert again.refused_streams == {one.number}
    assert again.waiting == Waiting(1, 10, 11, 110)
    assert {code for _, _, code in evidence(tmp_path / "spool")} == {"attachment_refused"}


def test_beyond_their_bound_the_oldest_refused_go_and_the_log_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", refused_max=30)
    (one,) = spool.begin([{}])
    spool.write([chunk(one.number, seq) for seq in range(6)])
    with capture_logs() as logs:
        for seq in (5, 1, 3):  # the order of refusal counts
            spool.write((), refusals=[Refusal(one.number, seq, "frame_sequence")])
        assert not logs
        spool.write((), refusals=[Refusal(one.number, seq, "chunk_differs") for seq in (0, 2)])
    assert [seq for seq, _, _ in evidence(tmp_path / "spool")] == [3, 0, 2]
    assert spool.waiting == Waiting(1, 10, 3, 30)
    assert [(line["event"], line["chunks"], line["bytes"]) for line in logs] == [("refused_chunks_dropped", 2, 20)]
    spool.write((), refusals=[Refusal(one.number, None, "announce_differs")])
    assert spool.waiting == Waiting(0, 0, 3, 30)
    spool.close()
    assert Spool(tmp_path / "spool").waiting == Waiting(0, 0, 3, 30)


def test_acknowledgements_that_wait_are_one_for_each_stream() -> None:
    joined = Ack(1, None, ((0, 1), (5, 6))).joined(Ack(1, 3, ((7, 9), (20, 20))))
    assert joined == Ack(1, 3, ((5, 9), (20, 20)))
    assert joined.joined(Ack(1, None, ((4, 4),))) == Ack(1, 9, ((20, 20),))
    assert [seq for seq in range(25) if joined.covers(seq)] == [0, 1, 2, 3, 5, 6, 7, 8, 9, 20]
    assert not Ack(1, None).joined(Ack(1, None)).covers(0)
