"""What a recording does when the database, the disk, the server's reading or a layer of the picture falls behind."""

# ruff: noqa: F811  (a test takes a fixture by its name)

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from telemed.consultation.rooms import Rooms
from telemed.http import keys
from telemed.media.backend import Publication, Publisher
from telemed.media.engine import Tapped
from telemed.media.recording import kept, recorder, tapped
from telemed.media.recording.recorder import PARTS_WAITING, Recorder
from telemed.media.recording.tapped import Packet, Report
from telemed.media.relay import __main__ as process
from telemed.media.relay.layers import Layers
from telemed.media.relay.relay import Relay
from telemed.media.relay.rtp import RtpPacket, SenderReport
from telemed.media.relay.tap import MESSAGE_BYTES, TICKS, Tap
from telemed.media.terms import Stream
from tests.media.calls import Call, call  # noqa: F401  (call is a fixture)
from tests.media.test_media_recording import consent, ended, published, recorded_parts, recordings, switch
from tests.server.conftest import server  # noqa: F401  (a fixture)

FRAME = b"\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00" + bytes(990)  # a key frame's head, RFC 6386 section 9.1
NEXT = b"\x11" + FRAME[1:]


@dataclass
class Feed:
    """An engine of which the test is the publisher."""

    on_tapped: Tapped = lambda message: None
    taps: list[tuple[str, int | None]] = field(default_factory=list)
    asked: int = 0

    def tap(self, publication: str, number: int | None) -> None:
        self.taps.append((publication, number))

    def keyframe(self, publication: str) -> None:
        self.asked += 1

    def send(self, packets: Sequence[Packet]) -> None:
        number = next(number for _, number in reversed(self.taps) if number is not None)
        for packet in packets:
            record = tapped.packet_record(
                tapped.CODECS.index(packet.codec), packet.layer, packet.marker, packet.number, packet.timestamp,
                packet.at_us,
            )
            length = tapped.length(len(record) + len(packet.payload))
            self.on_tapped(tapped.head(number) + length + record + packet.payload)


def pictures(first: int, count: int, began_us: int, key_every: int = 10) -> list[Packet]:
    """Ten a second."""
    return [
        Packet("VP8", 0, True, n, 9_000 * n, began_us + 100_000 * n, b"\x10" + (NEXT if n % key_every else FRAME))
        for n in range(first, first + count)
    ]


@dataclass
class Room:
    """A consultation that is recorded, without a relay."""

    call: Call
    feed: Feed
    recorder: Recorder
    stopped: list[str]

    @property
    def id(self) -> UUID:
        return UUID(self.call.room)


@pytest.fixture
async def room(call: Call, tmp_path: Path) -> AsyncIterator[Room]:
    app, feed, stopped = call.server.app, Feed(), []
    publication = Publication("p", Publisher("station:1", "station"), ("video",))

    async def told(consultation: UUID, why: str) -> None:
        stopped.append(why)

    made = Recorder(
        app[keys.DATABASE], app[keys.SEALER], Rooms(), feed, lambda room: [publication], lambda room, who: None,
        tmp_path, told,
    )
    await consent(call)
    await made.start()
    async with app[keys.DATABASE].transaction() as connection:
        await kept.switch_on(connection, UUID(call.room))
    made.on(UUID(call.room))
    async with asyncio.timeout(10):
        while not feed.taps:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    yield Room(call, feed, made, stopped)
    await made.close()


async def numbers(call: Call) -> list[int]:
    async with call.server.database.connection() as connection:
        return [row["n"] for row in await connection.fetch("select n from recording_part order by n")]


async def test_what_the_database_does_not_take_in_time_is_a_gap_and_then_a_whole_picture(room: Room) -> None:
    now_us = time.time_ns() // 1000
    room.feed.send(pictures(0, 12, now_us))
    await recorded_parts(room.call, 1)
    before = len(await numbers(room.call))
    room.feed.send(pictures(12, 318, now_us))  # thirty seconds at once: nothing of it can be kept meanwhile
    (taking,) = room.recorder._takings.values()
    assert len(taking.parts) <= PARTS_WAITING
    assert taking.parts_made > before + PARTS_WAITING
    await recorded_parts(room.call, before + PARTS_WAITING - 1)
    room.feed.send(pictures(330, 30, now_us))
    await recorded_parts(room.call, before + PARTS_WAITING + 2)
    stored = await numbers(room.call)
    missing = set(range(stored[-1])) - set(stored)
    assert missing, "the gap is known"
    assert min(missing) >= before + PARTS_WAITING - 1, "what could wait was kept"
    async with room.call.server.database.connection() as connection:
        first = await connection.fetchrow(
            "select whole from recording_part where n > $1 order by n limit 1", max(missing)
        )
    assert first["whole"], "behind it stands a whole picture"


async def test_what_ends_while_the_database_is_away_is_kept_when_it_is_back(room: Room) -> None:
    now_us = time.time_ns() // 1000
    room.feed.send(pictures(0, 12, now_us))
    await recorded_parts(room.call, 1)
    await room.call.server.database.close()
    room.feed.send(pictures(12, 40, now_us))
    (taking,) = room.recorder._takings.values()
    await room.recorder.off(room.id, "switched_off")
    made = taking.parts_made
    assert taking.parts, "they wait"
    await room.call.server.database.open()
    await ended(room.call)
    assert await numbers(room.call) == list(range(made))
    assert [one["ended_why"] for one in await recordings(room.call)] == ["switched_off"]


async def test_what_is_as_long_as_it_may_be_ends(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "RECORDING_MS", 3_000)
    room.feed.send(pictures(0, 40, time.time_ns() // 1000))
    async with asyncio.timeout(10):
        while not room.stopped:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert room.stopped == ["full"]
    assert room.feed.taps[-1] == ("p", None), "the relay hands over no more"
    await ended(room.call)
    assert [one["ended_why"] for one in await recordings(room.call)] == ["full"]


@pytest.mark.parametrize("why", ["disk", "withdrawn"])
async def test_it_ends_without_room_or_consent(room: Room, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(recorder, "CHECK_TICKS", 2)
    room.feed.send(pictures(0, 20, time.time_ns() // 1000))
    await recorded_parts(room.call, 2)
    if why == "disk":
        monkeypatch.setattr(kept, "FREE_BYTES", 2**62)
    else:
        async with room.call.server.database.connection() as connection:
            await connection.execute(
                "insert into consent_event (organisation_id, patient_id, purpose, given, version, language, given_by)"
                " values ($1, $2, 'recording', false, '1', 'bg', 'patient')",
                room.call.server.seed.organisation_id, room.call.server.seed.patients[0],
            )
    async with asyncio.timeout(10):
        while not room.stopped:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert room.stopped == [why]
    await ended(room.call)


async def test_a_full_disk_and_too_many_are_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    await consent(call)
    with monkeypatch.context() as patched:
        patched.setattr(kept, "FREE_BYTES", 2**62)
        status, refusal = await switch(call, True)
        assert (status, refusal["error"]["code"]) == (507, "disk_low")
    for module, name in ((recorder, "AT_ONCE"), (kept, "RECORDINGS"), (kept, "CONSULTATION_BYTES")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, 0)
            status, refusal = await switch(call, True)
            assert (status, refusal["error"]["code"]) == (409, "recordings_full")
    shown = (await call.clinician.get(f"/api/v1/consultations/{call.room}"))[1]
    assert shown["recording_since"] is None


async def test_the_end_of_the_room_by_itself_is_told_and_audited(
    call: Call, wait: Any, peer: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await consent(call)
    station = await published(call, peer, picture(), wait=wait)
    assert (await switch(call, True))[0] == 200
    await recorded_parts(call, 1)
    monkeypatch.setattr(kept, "RECORDING_MS", 1_500)
    with call.server.app[keys.ROOMS].listen(f"consultation:{call.room}") as listener:
        async with asyncio.timeout(20):
            while True:
                event = await listener.queue.get()
                if event["type"] == "consultation" and event["consultation"]["recording_since"] is None:
                    break
    async with call.server.database.connection() as connection:
        row = await connection.fetchrow("select * from audit_event where action = 'recording.stopped'")
    assert (row["actor_kind"], row["outcome"], row["object_id"]) == ("system", "event", call.room)
    assert call.media.publications(call.room), "the call goes on"
    await station.close()


async def test_a_server_that_does_not_read_costs_the_tap_and_nothing_else(tmp_path: Path) -> None:
    connected: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connected.put(writer)

    listening = await asyncio.start_unix_server(never_reads, str(tmp_path / "socket"), limit=1_024)
    _, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
    relay = Relay(("127.0.0.1",))
    try:
        service = process.Service(relay, writer)
        message = b"\x01" + bytes(MESSAGE_BYTES)
        for _ in range(1_000):
            relay.on_tapped(message)
            await asyncio.sleep(0)
        held = writer.transport.get_write_buffer_size()
        assert process.UNTAKEN_BYTES <= held <= process.UNTAKEN_BYTES + 2 * len(message)
        service.say({"event": "counts"})
        assert writer.transport.get_write_buffer_size() > held, "events are said all the same"
    finally:
        await relay.stop()
        writer.transport.abort()
        (await connected.get()).transport.abort()
        listening.close()


class Asks:
    """Counts requests for whole pictures."""

    asked = 0

    def ask_keyframe(self, *, anew: bool = False) -> None:
        self.asked += 1


def test_the_tap_follows_the_best_layer_that_comes_and_changes_at_a_whole_picture() -> None:
    stream = Stream("video", "0", "VP8", 96, 90_000, None, False, False, False, {"rid": 1}, ("h", "l"))
    layers, messages, asks = Layers(stream), [], Asks()
    tap = Tap(3, messages.append)
    sequence = {0: 0, 1: 0}

    def came(layer: int, now_s: float, *, key: bool = False) -> None:
        sequence[layer] += 1
        payload = b"\x10" + (FRAME if key else NEXT)
        packet = RtpPacket(96, True, sequence[layer], round(90_000 * now_s) & 0xFFFFFFFF, 7 + layer, payload)
        one = layers.fans[layer]
        tap.packet(layers, one, one.source.receive(packet, now_s), asks, now_s)  # type: ignore[arg-type]

    def handed() -> list[int]:
        tap.flush()
        found = [record for message in messages for record in tapped.records(message)]
        messages.clear()
        return [record.layer for record in found if isinstance(record, Packet)]

    came(0, 0.0)
    assert (handed(), asks.asked) == ([], 1), "it begins with a whole picture, which it asks for"
    came(1, 0.0)
    came(1, 0.1, key=True)
    assert handed() == [1]
    for step in range(30):
        came(0, 0.1 + step / 10)
        came(1, 0.1 + step / 10)
    assert set(handed()) == {1}, "the large one is there, but not yet a whole picture of it"
    assert asks.asked > 1
    came(0, 3.2, key=True)
    came(1, 3.2, key=True)
    assert handed() == [0]
    came(1, 3.5, key=True)
    assert handed() == [], "the large one was heard just now"
    came(1, 4.5)
    came(1, 4.6, key=True)
    assert handed() == [1], "the large one has gone"


def test_a_report_comes_before_the_packets_that_it_tells_of_and_once() -> None:
    stream = Stream("audio", "0", "opus", 111, 48_000, None, False, False, False, {}, ())
    layers, messages = Layers(stream), []
    tap = Tap(9, messages.append)
    one = layers.fans[0]
    for number in range(6):
        packet = RtpPacket(111, False, number, 960 * number, 7, b"\x08")
        received = one.source.receive(packet, number * 0.02)
        if number == 2:
            assert one.source.note_report(SenderReport(7, 5 << 32, 1_920, 2, 2), 0.05)
        tap.packet(layers, one, received, Asks(), number * 0.02)  # type: ignore[arg-type]
    for _ in range(TICKS):
        assert messages == []
        tap.tick()
    assert [tapped.tap_of(message) for message in messages] == [9]
    records = list(tapped.records(messages[0]))
    assert [isinstance(record, Report) for record in records] == [False, False, True, False, False, False, False]
    (report,) = [record for record in records if isinstance(record, Report)]
    at = next(record for record in records[3:] if isinstance(record, Packet))
    assert (report.ntp, report.timestamp) == (5 << 32, at.timestamp)
