"""Every chunk reaches the server exactly as it was produced, whatever the line and the server do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from telemed_devices.native import unpack_frame
from telemed_station import lanes, uplink
from telemed_station.backoff import LONGEST_S
from telemed_station.clock import SteppedClock
from telemed_station.drivers import open_driver
from telemed_station.recorder import EPOCH_US, Recorder
from telemed_station.spool import Chunk, SpooledStream
from telemed_station.spool_thread import SpoolThread
from telemed_station.uplink import Address, Uplink

Start = Callable[..., Awaitable[Any]]  # conftest.ProtocolServer
Until = Callable[..., Awaitable[None]]
KEY = "station-key"  # the one that conftest.py lets in
TICK_US = 200_000


class Station:
    """Recorder, spool and uplink on a clock that the test moves."""

    def __init__(self, home: Path, server: str, http: aiohttp.ClientSession, bytes_max: int = 1 << 30) -> None:
        self.clock = SteppedClock()
        self.spool = SpoolThread(home / "spool", bytes_max)
        self.heard: list[dict[str, Any]] = []
        self.produced: dict[tuple[int, int], bytes] = {}
        self.generations: list[list[SpooledStream]] = []
        self.driver = open_driver("simulator", seed=1, scenario="sinus", start_us=self.clock.stamp_us())
        self.uplink = Uplink(
            Address(server, KEY, "test"), self.clock, self.spool, http, hear=self.heard.append, status=lambda: {"a": 1}
        )  # fmt: skip
        self.recorder = Recorder(self.driver, self.clock, self.spool, begun=self._begun, written=self._written)

    def _begun(self, streams: Sequence[SpooledStream]) -> None:
        self.generations.append(list(streams))
        self.uplink.begun(streams)

    def _written(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            assert (chunk.number, chunk.seq) not in self.produced
            self.produced[chunk.number, chunk.seq] = chunk.data
        self.uplink.offer(chunks)

    async def ticks(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(TICK_US)
            await self.recorder.tick()

    async def emptied(self, seconds: float = 30.0) -> None:
        """Wait until the server has acknowledged everything."""
        try:
            async with asyncio.timeout(seconds):
                while self.spool.waiting.chunks:
                    await asyncio.sleep(0.02)
                    await self.spool.flush()
        except TimeoutError:
            pytest.fail(f"never emptied: {self.spool.waiting}")


@asynccontextmanager
async def station(home: Path, server: str, *, connect: bool = True, **options: Any) -> AsyncIterator[Station]:
    async with aiohttp.ClientSession() as http:
        one = Station(home, server, http, **options)
        task = asyncio.create_task(one.uplink.run()) if connect else None
        try:
            yield one
            if task is not None and task.done():
                task.result()
        finally:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await one.spool.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test can wait for."""
    monkeypatch.setattr(lanes, "RESEND_S", 0.3)
    monkeypatch.setattr(uplink, "STATUS_S", 0.05)


async def test_live_chunks_arrive_in_order_and_leave_the_spool(
    protocol_server: Start, until: Until, tmp_path: Path
) -> None:
    server = await protocol_server()
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await one.ticks(40)
        await until(lambda: server.chunks.keys() == one.produced.keys(), "everything arrives")
        await server.acknowledge_all()
        await one.emptied()
    assert server.chunks == one.produced
    assert not server.out_of_order
    assert all(message["live_from"] == 0 for message in server.announces)
    kinds = {stream["kind"] for stream in server.streams.values()}
    assert kinds == {"ecg", "pleth", "respiration", "spo2", "blood_pressure", "temperature"}
    assert next(text for text in server.texts if text["type"] == "status") == {"type": "status", "a": 1}
    ecg = next(stream for stream in server.streams.values() if stream["kind"] == "ecg")
    assert ecg["rate"] == [500, 1] and ecg["origin"] == "simulated" and len(ecg["channels"]) == 12


@pytest.mark.parametrize("seed", range(3))
async def test_every_chunk_arrives_once_as_produced_over_a_bad_line(
    protocol_server: Start, until: Until, tmp_path: Path, seed: int
) -> None:
    server = await protocol_server(seed=seed, unkind=0.15)
    async with station(tmp_path, server.url) as one:
        for _ in range(25):
            await one.ticks(2)
            await asyncio.sleep(0.02)  # the line's turn; nothing is concluded from it
        await server.reset()  # at least once, whatever the draw says
        await one.recorder.renew(str(uuid.uuid4()))
        await one.ticks(20)
        await until(lambda: len(server.chunks) == len(one.produced), "everything arrives", 60)
        server.unkind = 0.0
        await server.acknowledge_all()
        await until(lambda: bool(server.sockets), "connected")
        await server.acknowledge_all()
        await one.emptied()
    assert server.chunks == one.produced
    assert not server.differs
    assert server.resets > 0


async def test_backlog_drains_newest_first_beside_the_live_lane(
    protocol_server: Start, until: Until, tmp_path: Path
) -> None:
    server = await protocol_server()
    async with station(tmp_path, "http://127.0.0.1:9", connect=False) as before:
        await before.ticks(20)
        await before.recorder.renew(None)
        await before.ticks(20)
    old, middle = ([stream.number for stream in streams] for streams in before.generations)
    async with station(tmp_path, server.url, connect=False) as one:
        await one.ticks(10)  # offline still
        task = asyncio.create_task(one.uplink.run())
        await one.uplink.connected.wait()
        await one.ticks(10)
        await until(lambda: len(server.chunks) == len(before.produced) + len(one.produced), "all of it")
        await server.acknowledge_all()
        await one.emptied()
        task.cancel()
    new = [stream.number for stream in one.generations[0]]
    assert server.chunks == before.produced | one.produced
    first = {number: min(place for place, key in enumerate(server.order) if key[0] == number)
             for number in {key[0] for key in server.order}}  # fmt: skip

    def last(numbers: list[int], below: int) -> int:
        return max(place for place, (number, seq) in enumerate(server.order) if number in numbers and seq < below)

    assert last(new, 5) < min(first[number] for number in middle if number in first)
    assert last(middle, 1 << 40) < min(first[number] for number in old if number in first)
    for message in server.announces:
        number = message["stream"]["number"]
        if number in old + middle:  # nothing of a run that ended is live
            seqs = [seq for one_number, seq in before.produced if one_number == number]
            assert message["live_from"] == len(seqs)
            assert message["stream"]["source"] == str(before.clock.source)
    for number in {key[0] for key in server.order}:
        backlog = [seq for one_number, seq in server.order if one_number == number]
        assert len(backlog) == len(set(backlog))


async def test_what_the_server_has_already_is_not_sent_again(
    protocol_server: Start, until: Until, tmp_path: Path
) -> None:
    server = await protocol_server()
    server.hold_acks = True
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await one.ticks(20)
        await until(lambda: len(server.chunks) == len(one.produced), "everything arrives")
    sent = len(server.order)
    async with station(tmp_path, server.url) as again:
        await again.uplink.connected.wait()
        await again.emptied()
    assert server.chunks == one.produced
    resent = server.order[sent:]
    assert not resent or len(resent) < sent // 4  # the resend timer may have been faster than the announcement


async def test_renew_begins_new_epochs_at_the_next_boundary(
    protocol_server: Start, until: Until, tmp_path: Path
) -> None:
    server = await protocol_server()
    attachment = str(uuid.uuid4())
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await one.ticks(5)
        await server.say({"type": "renew", "attachment": attachment})
        await until(lambda: {"type": "renew", "attachment": attachment} in one.heard, "renew is heard")
        one.clock.advance(70_000)  # between two ticks
        await one.recorder.renew(attachment)
        await one.ticks(5)
        await until(lambda: len(server.chunks) == len(one.produced), "everything arrives")
    first, second = one.generations
    assert {stream.descriptor["attachment"] for stream in first} == {None}
    assert {stream.descriptor["attachment"] for stream in second} == {attachment}
    epochs = {stream.descriptor["epoch"] for stream in first + second}
    assert len(epochs) == 2
    for old, new in zip(first, second, strict=True):
        if old.descriptor["rate"] is None:
            continue
        before = [unpack_frame(data) for (number, _), data in server.chunks.items() if number == old.number]
        after = [unpack_frame(data) for (number, _), data in server.chunks.items() if number == new.number]
        ended = before[-1].first_sample + before[-1].n
        num, den = old.descriptor["rate"]
        # The new epoch's sample 0 is the very next sample, and none lies before the renewal in the new one.
        assert after[0].first_sample == 0 and after[0].flags == 0
        assert after[0].t0_us == new.descriptor["started_us"]
        assert new.descriptor["started_us"] == old.descriptor["started_us"] + ended * den * 1_000_000 // num
        assert after[0].t0_us >= 1_700_000_000_000_000 + 5 * TICK_US + 70_000


async def test_epochs_are_new_every_hour(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await one.ticks(2)
        for _ in range(2):
            one.clock.advance(EPOCH_US)
            await one.ticks(2)
        await until(lambda: len(server.chunks) == len(one.produced), "everything arrives")
    assert len(one.generations) == 3
    for streams in one.generations:
        for stream in streams:
            seqs = sorted(seq for number, seq in server.chunks if number == stream.number)
            assert seqs == list(range(len(seqs)))


async def test_a_full_spool_is_a_gap_of_known_length(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    async with station(tmp_path, server.url, connect=False, bytes_max=40_000) as one:
        await one.ticks(40)
        assert one.recorder.spool_full and one.recorder.lost_chunks
        task = asyncio.create_task(one.uplink.run())
        await until(lambda: len(server.chunks) == len(one.produced), "the spool drains")
        await server.acknowledge_all()
        await one.emptied()
        await one.ticks(3)
        assert not one.recorder.spool_full
        await until(lambda: len(server.chunks) == len(one.produced), "it goes on")
        task.cancel()
    ecg = one.generations[0][0].number
    frames = [unpack_frame(data) for (number, _), data in sorted(server.chunks.items()) if number == ecg]
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    gaps = [after for before, after in pairwise(frames)
            if after.first_sample != before.first_sample + before.n]  # fmt: skip
    assert [frame.gap for frame in frames] == [frame in gaps for frame in frames]
    assert len(gaps) == 1 and gaps[0].first_sample == 40 * 100
    assert all(frame.t0_us == frames[0].t0_us + frame.first_sample * 2000 for frame in frames)


async def test_refused_chunks_are_kept_aside_and_the_rest_goes_on(
    protocol_server: Start, until: Until, tmp_path: Path
) -> None:
    server = await protocol_server()
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await one.ticks(1)
        ecg = one.generations[0][0].number
        server.refuse = {(ecg, 3): "chunk_differs", (ecg, 5): "database_unavailable"}
        await one.ticks(10)
        await until(lambda: len(server.chunks) == len(one.produced) - 2, "the others arrive")
        del server.refuse[ecg, 5]  # the database is back: sent again by itself
        await until(lambda: (ecg, 5) in server.chunks, "the temporary refusal")
        await until(lambda: one.spool.waiting.refused == 1, "the permanent one is noted")
        await server.acknowledge_all()
        async with asyncio.timeout(20):
            while one.spool.waiting.chunks:
                await asyncio.sleep(0.02)
                await one.spool.flush()
    assert (ecg, 3) not in server.chunks


async def test_a_destroyed_key_empties_its_stream(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    async with station(tmp_path, "http://127.0.0.1:9", connect=False) as before:
        await before.ticks(10)
    numbers = [stream.number for stream in before.generations[0]]
    server.refuse = {(number, None): "key_destroyed" for number in numbers}
    async with station(tmp_path, server.url) as one:
        await until(lambda: one.spool.waiting.chunks == 0, "nothing of it is left")
    assert not server.chunks


async def test_the_clock_is_answered_with_its_own_stamp(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        one.clock.advance(12_345)
        await until(lambda: bool(server.sockets), "connected")
        await server.say({"type": "clock_ask", "server_us": 77})
        expected = {"type": "clock", "echo": 77, "stamp_us": one.clock.stamp_us()}
        await until(lambda: expected in server.texts, "the answer")


async def test_a_restarted_server_is_found_again(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    port = int(server.url.rsplit(":", 1)[1])
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await one.ticks(5)
        await server.stop()
        await until(lambda: not one.uplink.connected.is_set(), "the loss is noticed")
        await one.ticks(5)
        await server.start(port)
        await until(lambda: len(server.chunks) == len(one.produced), "everything arrives", 10)
    assert server.chunks == one.produced
    assert server.hellos == 2


async def test_a_refused_key_is_not_hammered(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await until(lambda: bool(server.sockets), "connected")
        await server.say({"type": "error", "error": {"code": "newer_connection", "params": {}}})
        await until(lambda: one.uplink.away_s is not None, "it gives way")
        assert one.uplink.away_s == uplink.REPLACED_S > LONGEST_S  # longer than any backoff
        assert server.hellos == 1


async def test_the_last_live_chunks_go_before_the_next_generation_is_announced(
    protocol_server: Start, until: Until, tmp_path: Path
) -> None:
    server = await protocol_server()
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await one.ticks(5)
        await until(lambda: len(server.chunks) == len(one.produced), "the line is free")
        held: list[Chunk] = []

        def begun(streams: Sequence[SpooledStream]) -> None:
            one._written(held)
            one._begun(streams)

        one.recorder._written = held.extend  # a slow line: they wait still when the new epochs begin
        one.recorder._begun = begun
        one.clock.advance(TICK_US)
        await one.recorder.renew(None)
        assert held
        numbers = {stream.number for stream in one.generations[1]}
        await until(lambda: numbers <= server.streams.keys(), "the new epochs are announced")
    announced = min(server.arrived.index(number) for number in numbers)
    assert all(server.arrived.index((chunk.number, chunk.seq)) < announced for chunk in held)


async def test_bytes_that_differ_stay_although_their_number_is_acknowledged(
    protocol_server: Start, until: Until, tmp_path: Path
) -> None:
    server = await protocol_server()
    async with station(tmp_path, server.url) as one:
        await one.uplink.connected.wait()
        await one.ticks(1)
        ecg = one.generations[0][0].number
        server.refuse = {(ecg, 3): "chunk_differs"}
        await one.ticks(10)
        await until(lambda: one.spool.waiting.refused == 1, "the refusal is noted")
        server.chunks[ecg, 3] = b"other bytes"  # every acknowledgement covers the number from now on
        await until(lambda: len(server.chunks) == len(one.produced), "the others arrive")
        await server.acknowledge_all()
        await one.emptied()
        assert one.spool.waiting.refused_bytes == len(one.produced[ecg, 3])


async def test_a_refused_stream_does_not_fill_the_spool(protocol_server: Start, until: Until, tmp_path: Path) -> None:
    server = await protocol_server()
    async with station(tmp_path, "http://127.0.0.1:9", connect=False, bytes_max=40_000) as before:
        await before.ticks(40)
        assert before.recorder.spool_full
    refused = {stream.number for stream in before.generations[0]}
    server.refuse = {(number, None): "attachment_refused" for number in refused}
    async with station(tmp_path, server.url, bytes_max=40_000) as one:
        await until(lambda: one.spool.waiting.chunks == 0, "they are set aside")
        assert one.spool.waiting.refused == len(before.produced)
        await one.ticks(5)
        assert not one.recorder.spool_full
        await until(lambda: server.chunks.keys() == one.produced.keys(), "it records and sends")
    told = len(server.announces)
    async with station(tmp_path, server.url, bytes_max=40_000) as again:
        await again.uplink.connected.wait()
        await again.ticks(2)
        await until(lambda: again.produced.keys() <= server.chunks.keys(), "it goes on")
    assert not refused & {message["stream"]["number"] for message in server.announces[told:]}
