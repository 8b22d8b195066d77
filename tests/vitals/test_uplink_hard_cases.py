"""What a station or its connection may do wrong, and what must not come of it."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from telemed.http import keys
from telemed.vitals.commit import DIFFERS_AUDITED
from telemed.vitals.hub import STREAMS_SHOWN


@pytest.mark.parametrize("field", ["name", "unit"])
async def test_a_control_character_in_a_channel_is_refused_and_the_socket_lives(
    clinic: Any, support: Any, field: str
) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    wave = support.ecg(1, support.now_us())
    announce = wave.announce(attachment)
    announce["stream"]["channels"][0][field] = "I\x00"
    await station.send(announce)
    await station.refused("message_invalid")
    await clinic.announced(station, wave, attachment)


async def test_the_streams_of_an_attachment_are_bounded(clinic: Any, support: Any) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    hub = clinic.server.app[keys.HUB]
    for number in range(STREAMS_SHOWN + 5):
        one = support.Numbers(number, "heart_rate", "gatt:2a37", support.now_us(), device=f"Demo device {number}")
        await clinic.announced(station, one, attachment)
    assert [len(board.streams) for board in hub._boards.values()] == [STREAMS_SHOWN]


async def test_a_takeover_that_cannot_be_audited_leaves_no_ghost(
    clinic: Any, support: Any, database_urls: Any
) -> None:
    ingest, seed = clinic.server.app[keys.INGEST], clinic.server.seed
    await clinic.station()
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("revoke insert on audit_event from telemed_app")
    try:
        second = await clinic.station()
        await second.said("clock_ask")
        assert not second.closed.is_set()
        await second.close()
        await support.until(lambda: not ingest._uplinks, "the table is empty")
        assert not clinic.server.app[keys.STATIONS].online(seed.station_id)
    finally:
        await owner.execute("grant insert on audit_event to telemed_app")
        await owner.close()


async def test_an_audit_row_counts_once_it_is_committed(clinic: Any, support: Any, database_urls: Any) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    wave, other = support.ecg(1, support.now_us(), seed=1), support.ecg(1, support.now_us(), seed=2)
    await clinic.announced(station, wave, attachment)
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute(
        "create function no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;"
        "create constraint trigger no after insert on audit_event deferrable initially deferred"
        " for each row execute function no()")
    try:
        for seq in range(DIFFERS_AUDITED):
            await station.socket.send_bytes(other.packed(seq))
        await station.said("error", lambda one: one["error"]["code"] == "not_stored", DIFFERS_AUDITED - 1)
    finally:
        await owner.execute("drop trigger no on audit_event")
        await owner.close()
    for seq in range(wave.chunks):
        await station.socket.send_bytes(other.packed(seq))
    await station.said("error", lambda one: one["error"]["code"] == "chunk_differs", wave.chunks - 1)
    async with clinic.server.database.connection() as connection:
        rows = await connection.fetchval("select count(*) from audit_event where action = 'station_socket.chunk'")
    assert rows == DIFFERS_AUDITED


async def test_what_the_station_sends_again_is_acknowledged_again_and_not_written(
    clinic: Any, support: Any, database_urls: Any
) -> None:
    attachment = (await clinic.visit()).attachment
    station, start = await clinic.station(), support.now_us()
    wave, pulse = support.ecg(1, start), support.Numbers(2, "heart_rate", "gatt:2a37", start)
    await clinic.announced(station, wave, attachment)
    await clinic.announced(station, pulse, attachment)
    sent = [wave.packed(seq) for seq in range(10)] + [pulse.packed(seq, b"\0\x48", start) for seq in range(10)]
    for data in sent:
        await station.socket.send_bytes(data)
    await clinic.acked(station, 1, 9)
    await clinic.acked(station, 2, 9)
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("revoke insert on chunk, frame from telemed_app")
    try:
        await station.close()
        again = await clinic.station(source=station.source)
        for stream in (wave, pulse):
            await clinic.announced(again, stream, attachment)
        for data in sent:
            await again.socket.send_bytes(data)
        for number in (1, 2):
            await again.said("ack", lambda one, number=number: one["number"] == number)
        await again.socket.send_bytes(wave.packed(10))
        await again.said("error", lambda one: one["error"]["code"] == "not_stored")
        assert [one["seq"] for one in again.messages if one["type"] == "error"] == [10]
    finally:
        await owner.execute("grant insert on chunk, frame to telemed_app")
        await owner.close()


async def test_an_answer_that_breaks_in_its_middle_is_a_broken_connection(
    clinic: Any, support: Any, database_urls: Any
) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    wave = support.ecg(1, support.now_us(), 120.0)
    names = tuple(f"V{n}" for n in range(12))
    wave = support.Wave(1, "ecg", names, 500, 5000, support.noise(12, 600, 500), support.now_us() - 700_000_000)
    async with clinic.server.database.connection() as connection:
        await connection.execute("update attachment set opened_at = opened_at - interval '20 minutes'")
    await clinic.announced(station, wave, visit.attachment)
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    cookies = "; ".join(f"{one.key}={one.value}" for one in clinic.clinician.http.cookie_jar)
    host = clinic.server.url.removeprefix("http://")
    path = (f"/api/v1/consultations/{visit.consultation}/waves?kind=ecg&view=raw"
            f"&from_us={wave.started_us}&to_us={wave.started_us + 700_000_000}")
    # A small window of unread bytes, so that the server stands in the middle of the answer.
    reader, writer = await asyncio.open_connection(*host.split(":"), limit=4096)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n\r\n".encode())
    body = await reader.readuntil(b"\r\n\r\n")
    assert body.startswith(b"HTTP/1.1 200")
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("select pg_terminate_backend(pid) from pg_stat_activity"
                        " where pid <> pg_backend_pid() and datname = current_database()")
    await owner.close()
    try:
        async with asyncio.timeout(15):
            while part := await reader.read(65_536):
                body = body[-64:] + part
                assert b"HTTP/1.1 503" not in body and b"HTTP/1.1 500" not in body
    except ConnectionError:
        pass
    assert not body.endswith(b"0\r\n\r\n"), "not a whole answer"
    writer.close()
