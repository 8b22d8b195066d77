"""What a hostile or broken station sends is refused by code, counted, and leaves the socket and the server up."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemed.http import keys
from telemed.vitals.counters import REFUSED
from telemed.vitals.lanes import BEFORE_US, FUTURE_US, MESSAGE_BYTES
from telemed.vitals.messages import SEQ_MAX


def counted(code: str) -> float:
    return REFUSED.labels("station", code)._value.get()


def patched(data: bytes, at: int, layout: str, value: int, crc_at: int = 44) -> bytes:
    """The message with one field changed and, for fields behind it, a right checksum."""
    copy = bytearray(data)
    struct.pack_into(layout, copy, at, value)
    if at != crc_at:
        struct.pack_into("<I", copy, crc_at, 0)
        struct.pack_into("<I", copy, crc_at, zlib.crc32(copy))
    return bytes(copy)


BAD_FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "frame_too_short": lambda data: data[:55],
    "frame_magic": lambda data: b"XXXX" + data[4:],
    "frame_version": lambda data: patched(data, 4, "<B", 9),
    "frame_codec": lambda data: patched(data, 5, "<B", 1),
    "frame_dtype": lambda data: patched(data, 6, "<B", 7),
    "frame_length": lambda data: data + b"\0\0",
    "frame_checksum": lambda data: patched(data, 44, "<I", 1),
    "frame_reserved": lambda data: patched(data, 54, "<H", 1),
    "frame_samples": lambda data: patched(data, 12, "<I", 0),
    "frame_time": lambda data: patched(data, 32, "<q", -5),
    "stream_unknown": lambda data: patched(data, 8, "<I", 99),
    "frame_sequence": lambda data: patched(data, 16, "<Q", SEQ_MAX + 1),
}


async def test_every_bad_frame_has_its_code_and_the_socket_lives(clinic: Any, support: Any) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    wave = support.ecg(5, support.now_us())
    await clinic.announced(station, wave, attachment)
    for code, spoil in BAD_FRAMES.items():
        before = counted(code)
        await station.socket.send_bytes(spoil(wave.packed(0)))
        await station.refused(code)
        assert counted(code) == before + 1, code
    await station.socket.send_bytes(wave.packed(0))
    await clinic.acked(station, 5, 0)
    async with clinic.server.database.connection() as connection:
        assert await connection.fetchval("select count(*) from chunk") == 1


async def test_a_frame_that_contradicts_its_announce_is_refused(clinic: Any, support: Any) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    start = support.now_us()
    wave, pulse = support.ecg(5, start), support.Numbers(6, "heart_rate", "gatt:2a37", start)
    await clinic.announced(station, wave, attachment)
    await clinic.announced(station, pulse, attachment)
    await support.until(lambda: any(one["type"] == "clock_ask" for one in station.messages), "the clock was asked")
    await station.send({"type": "status", "queue": {"chunks": 0, "bytes": 0}, "call": {"state": "idle"}})
    await station.socket.send_bytes(wave.packed(0, samples=wave.samples[:2, :10]))
    assert (await station.refused("frame_disagrees"))["seq"] == 0
    await station.socket.send_bytes(wave.packed(0, stream=6))
    await station.refused("frame_format")
    await station.socket.send_bytes(pulse.packed(0, b"\0\x48", start)[:8] + struct.pack("<I", 5) + bytes(40))
    await station.refused("chunk_length")
    for seq, at in ((1, start - BEFORE_US - 1), (2, start + FUTURE_US + 30_000_000)):
        await station.socket.send_bytes(wave.packed(seq, t0_us=at))
        await station.said("error", lambda one, seq=seq: (one["error"]["code"], one.get("seq")) == ("frame_time", seq))
    await station.socket.send_bytes(wave.packed(3))
    await station.socket.send_bytes(wave.packed(4, first_sample=0))
    await station.said("error", lambda one: (one["error"]["code"], one.get("seq")) == ("frame_sequence", 4))


BAD_TEXTS = [
    ("{", "message_invalid"),
    ("[]", "message_invalid"),
    ('{"type":"party"}', "message_invalid"),
    ('{"type":"hello","protocol":1,"oldest":1,"source":"' + str(uuid4()) + '"}', "message_invalid"),
    ('{"type":"clock","echo":1,"stamp_us":1}', "clock_echo"),
    ('{"type":"clock","echo":1,"stamp_us":1e400}', "message_invalid"),
    ('{"type":"status","queue":{"chunks":-1,"bytes":0},"call":{"state":"idle"}}', "message_invalid"),
    ("[" * 60_000, "message_invalid"),
]


async def test_every_bad_text_is_refused_and_the_socket_lives(clinic: Any, support: Any) -> None:
    station = await clinic.station()
    for text, code in BAD_TEXTS:
        before = counted(code)
        await station.socket.send_str(text)
        await station.said("error", lambda one, code=code: one["error"]["code"] == code,
                           sum(one["type"] == "error" and one["error"]["code"] == code for one in station.messages))
        assert counted(code) == before + 1
    await station.send({"type": "status", "queue": {"chunks": 3, "bytes": 9}, "call": {"state": "idle"}})
    presence = clinic.server.app[keys.STATIONS]
    station_id = clinic.server.seed.station_id
    await support.until(lambda: presence.of(station_id).status, "the status")
    listed = (await clinic.operator.get("/api/v1/stations"))[1]["stations"][0]
    queue = listed["status"]["queue"]
    assert listed["online"] and (queue["chunks"], queue["bytes"], queue["state"]) == (3, 9, None)


async def test_an_announce_that_is_not_the_stations_own_is_refused_and_audited(
    clinic: Any, support: Any, stranger: Any
) -> None:
    attachment = (await clinic.visit()).attachment
    other = await clinic.station(key=stranger.station_key)
    wave = support.ecg(5, support.now_us())
    for foreign in (attachment, str(uuid4())):
        await other.send(wave.announce(foreign))
        await other.said("error", lambda one: one["error"]["code"] == "attachment_refused",
                         0 if foreign == attachment else 1)
    await other.socket.send_bytes(wave.packed(0))
    await other.refused("stream_unknown")
    async with clinic.server.database.connection() as connection:
        rows = await connection.fetch("select * from audit_event where action = 'station_socket.announce'")
        assert await connection.fetchval("select count(*) from stream") == 0
    assert [(row["outcome"], row["object_kind"]) for row in rows] == [("deny", "attachment")] * 2


OTHERS: list[dict[str, Any]] = [
    {"rate": [250, 1]}, {"origin": "measured"}, {"epoch": str(uuid4())}, {"started_us": 5},
    {"channels": [{"name": "I", "unit": "mV", "gain": 1.0, "offset": 0.0}]},
]


async def test_a_stream_announced_again_with_other_properties_is_refused(clinic: Any, support: Any) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    wave = support.ecg(5, support.now_us())
    await clinic.announced(station, wave, attachment)
    for at, change in enumerate(OTHERS):
        await station.send(wave.announce(attachment, **change))
        refused = await station.said("error", lambda one: one["error"]["code"] == "announce_differs", at)
        assert refused["stream"] == 5
    await station.socket.send_bytes(wave.packed(0))
    await clinic.acked(station, 5, 0)


NONSENSE: list[dict[str, Any]] = [
    {"format": "gatt:2a37"}, {"rate": None}, {"channels": []}, {"origin": "guessed"}, {"kind": "eeg"}, {"device": ""},
    {"channels": [{"name": "I", "unit": "uV", "gain": 0.0, "offset": 0.0}]}, {"number": -1}, {"epoch": "x"},
    {"number": "5"}, {"rate": [0, 1]}, {"channels": [{"name": "I", "unit": "uV", "gain": 1.0, "offset": 0.0}] * 33},
]


async def test_an_announce_that_makes_no_sense_is_refused(clinic: Any, support: Any) -> None:
    station = await clinic.station()
    for at, change in enumerate(NONSENSE):
        await station.send(support.ecg(5, support.now_us()).announce(None, **change))
        await station.said("error", lambda one: one["error"]["code"] == "message_invalid", at)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.binary(max_size=200), st.text(max_size=80)))
async def test_noise_never_ends_the_socket(clinic: Any, noise: bytes | str) -> None:
    station = getattr(clinic, "noisy", None)
    if station is None:
        station = clinic.noisy = await clinic.station()
    if isinstance(noise, str):
        await station.socket.send_str(noise)
    else:
        await station.socket.send_bytes(noise)
    assert not station.closed.is_set()


async def test_a_message_beyond_the_bound_ends_the_socket_and_nothing_else(clinic: Any) -> None:
    station = await clinic.station()
    await station.socket.send_bytes(bytes(MESSAGE_BYTES + 1))
    await station.closed.wait()
    assert station.socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    assert (await clinic.station()).messages


async def test_hello_comes_first_and_versions_must_meet(clinic: Any) -> None:
    station = await clinic.station(hello=False)
    await station.send({"type": "status"})
    await station.refused("hello_expected")
    await station.closed.wait()
    old = await clinic.station(hello=False)
    await old.send({"type": "hello", "protocol": 3, "oldest": 2, "source": str(uuid4())})
    refused = await old.refused("protocol_too_old")
    assert refused["error"]["params"] == {"oldest": 1, "newest": 1}
    await old.closed.wait()
    new = await clinic.station(hello=False)
    await new.send({"type": "hello", "protocol": 7, "oldest": 1, "source": str(uuid4())})
    assert (await new.said("welcome"))["protocol"] == 1


async def test_a_wrong_key_does_not_open_a_socket(clinic: Any) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await clinic.station(key="x" * 43)
    assert refused.value.status == 401


async def test_a_revoked_key_ends_the_socket(clinic: Any) -> None:
    station = await clinic.station()
    seed = clinic.server.seed
    administrator = await clinic.server.client("administrator")
    status, _ = await administrator.delete(f"/api/v1/stations/{seed.station_id}/keys/{seed.station_key_id}")
    assert status == 200
    await station.refused("key_revoked")
    await station.closed.wait()
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await clinic.station()


async def test_of_two_stations_with_one_key_the_newer_wins(clinic: Any, support: Any) -> None:
    attachment = (await clinic.visit()).attachment
    older = await clinic.station()
    wave = support.ecg(5, support.now_us())
    await clinic.announced(older, wave, attachment)
    newer = await clinic.station()
    await older.refused("newer_connection")
    await older.closed.wait()
    await clinic.announced(newer, wave, attachment)
    await newer.socket.send_bytes(wave.packed(0))
    await clinic.acked(newer, 5, 0)
    _, answer = await clinic.operator.get("/api/v1/stations")
    assert answer["stations"][0]["online"], "the older's end does not make the station look gone"
    _, answer = await clinic.operator.get(f"/api/v1/stations/{clinic.server.seed.station_id}/events")
    actions = {event["action"]: event["detail"] for event in answer["events"]}
    assert actions["station_socket.newer_connection"]["source"] == str(newer.source)
    assert actions["station_socket.displaced"]["source"] == str(older.source)
