"""A station sends its streams: what is acknowledged is stored, once, sealed, and a page sees it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telemed_devices.gatt import encode_heart_rate

from telemed.http import keys


async def stored(clinic: Any, table: str = "chunk") -> list[Any]:
    async with clinic.server.database.connection() as connection:
        return list(await connection.fetch(f"select * from {table} order by stream_id, seq"))  # noqa: S608


async def test_streams_are_acknowledged_stored_and_seen(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    assert station.messages[0]["attachment"] == visit.attachment
    told = await station.said("consultation")
    assert told["consultation"] == {"id": visit.consultation, "state": "live"}
    start = support.now_us()
    wave = support.ecg(1, start, 4.0)
    pulse = support.Numbers(2, "heart_rate", "gatt:2a37", start)
    page = await clinic.page(visit)
    await clinic.announced(station, wave, visit.attachment)
    await clinic.announced(station, pulse, visit.attachment)
    listed = (await page.said("streams", lambda one: len(one["streams"]) == 2))["streams"]
    row = next(one for one in listed if one["kind"] == "ecg")
    assert row["views"] == ["monitor", "raw"] and row["live"] and row["origin"] == "recording"
    await page.send({"type": "watch", "stream": row["stream"], "view": "raw"})
    await page.send({"type": "watch", "stream": row["stream"], "view": "monitor"})
    await support.until(lambda: len(clinic.server.app[keys.HUB]._views) == 2, "both views are watched")
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await station.socket.send_bytes(pulse.packed(0, encode_heart_rate(72), start))
    await clinic.acked(station, 1, wave.chunks - 1)
    await clinic.acked(station, 2, 0)
    number = await page.said("numeric", lambda one: one["kind"] == "heart_rate" and not one["derived"])
    assert (number["value"], number["unit"], number["source"]) == ("72", "/min", "Demo monitor")
    described = {one["name"]: one for one in page.messages if one["type"] == "describe"}
    raw = described["raw"]
    await support.until(lambda: sum(frame.view == raw["view"] for frame in page.frames) == wave.chunks, "all frames")
    frames = [frame for frame in page.frames if frame.view == raw["view"]]
    np.testing.assert_array_equal(np.concatenate([frame.samples for frame in frames], axis=1), wave.samples)
    assert page.log.index(raw) < next(at for at, one in enumerate(page.log) if one is frames[0])
    assert {frame.stream for frame in page.frames} == {row["stream"]}

    chunks = await stored(clinic)
    assert [(row["seq"], row["first_sample"], row["n"]) for row in chunks[: wave.chunks]] == [
        (seq, seq * wave.n, wave.n) for seq in range(wave.chunks)]
    assert len(await stored(clinic, "frame")) == 1
    plain = b"".join(wave.packed(seq) for seq in range(wave.chunks))
    sealed = b"".join(bytes(row["sealed"]) for row in chunks)
    for at in range(56, len(plain) - 16, 512):
        assert plain[at : at + 16] not in sealed, "no sample lies in the tables in plain bytes"


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.integers(1, 3))
async def test_any_order_any_number_of_times(clinic: Any, support: Any, dice: random.Random, copies: int) -> None:
    visit_attachment = getattr(clinic, "attachment", None)
    if visit_attachment is None:
        visit_attachment = clinic.attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    number = dice.randrange(2**32)
    wave = support.ecg(number, support.now_us(), 6.0, seed=copies)
    await clinic.announced(station, wave, visit_attachment)
    order = [seq for seq in range(wave.chunks) for _ in range(copies)]
    dice.shuffle(order)
    for seq in order:
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, number, wave.chunks - 1)
    async with clinic.server.database.connection() as connection:
        rows = await connection.fetch(
            "select seq from chunk join stream on stream.id = stream_id where number = $1 order by seq", number)
    assert [row["seq"] for row in rows] == list(range(wave.chunks))
    await station.close()


async def test_acknowledgements_name_holes_and_survive_a_reconnect(clinic: Any, support: Any) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    wave = support.ecg(5, support.now_us())
    announced = await clinic.announced(station, wave, attachment)
    assert (announced["through"], announced["ranges"]) == (None, [])
    for seq in (0, 1, 4, 5, 9):
        await station.socket.send_bytes(wave.packed(seq))
    await station.said("ack", lambda one: one["through"] == 1 and one["ranges"] == [[4, 5], [9, 9]])
    await station.close()
    again = await clinic.station(source=station.source)
    announced = await clinic.announced(again, wave, attachment, live_from=10)
    assert (announced["through"], announced["ranges"]) == (1, [[4, 5], [9, 9]])
    for seq in (2, 3, 6, 7, 8):
        await again.socket.send_bytes(wave.packed(seq))
    await again.said("ack", lambda one: one["through"] == 9 and one["ranges"] == [])


async def test_the_live_way_never_sees_the_backlog(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station, page = await clinic.station(), await clinic.page(visit)
    wave = support.ecg(5, support.now_us())
    await clinic.announced(station, wave, visit.attachment, live_from=20)
    row = (await page.said("streams", lambda one: one["streams"]))["streams"][0]
    await page.send({"type": "watch", "stream": row["stream"], "view": "raw"})
    await support.until(lambda: clinic.server.app[keys.HUB]._views, "the view is watched")
    for seq in (20, 0, 21, 1, 2, 22, 21):
        await station.socket.send_bytes(wave.packed(seq))
    await station.said("ack", lambda one: one["through"] == 2 and one["ranges"] == [[20, 22]])
    await support.until(lambda: len(page.frames) == 3, "the live frames")
    assert [frame.first_sample for frame in page.frames] == [20 * wave.n, 21 * wave.n, 22 * wave.n]


async def test_the_same_number_with_other_bytes_is_refused_and_audited(clinic: Any, support: Any) -> None:
    attachment = (await clinic.visit()).attachment
    station = await clinic.station()
    wave = support.ecg(5, support.now_us())
    await clinic.announced(station, wave, attachment)
    await station.socket.send_bytes(wave.packed(0))
    await clinic.acked(station, 5, 0)
    before = await stored(clinic)
    other = wave.samples[:, : wave.n].copy()
    other[0, 0] += 1
    await station.socket.send_bytes(wave.packed(0, samples=other))
    refused = await station.refused("chunk_differs")
    assert (refused["stream"], refused["seq"]) == (5, 0)
    # In one batch as well: the first of two stands.
    await station.socket.send_bytes(wave.packed(1))
    await station.socket.send_bytes(wave.packed(1, samples=other))
    await clinic.acked(station, 5, 1)
    await station.said("error", lambda one: one.get("seq") == 1)
    after = await stored(clinic)
    assert [bytes(row["sealed"]) for row in before] == [bytes(row["sealed"]) for row in after[:1]]
    async with clinic.server.database.connection() as connection:
        rows = await connection.fetch("select * from audit_event where outcome = 'deny' and object_kind = 'stream'")
    assert len(rows) == 2 and all("chunk_differs" in row["detail"] for row in rows)
    await station.socket.send_bytes(wave.packed(2))
    await clinic.acked(station, 5, 2)


async def test_a_stream_without_an_attachment_is_sealed_for_the_station_and_shown_to_nobody(
    clinic: Any, support: Any
) -> None:
    visit = await clinic.visit()
    station, page = await clinic.station(), await clinic.page(visit)
    wave = support.ecg(5, support.now_us())
    await clinic.announced(station, wave, None)
    await station.socket.send_bytes(wave.packed(0))
    await clinic.acked(station, 5, 0)
    async with clinic.server.database.connection() as connection:
        row = await connection.fetchrow("select stream.*, station.key_wrapped as own from stream, station")
    sealer = clinic.server.app[keys.SEALER]
    assert len(sealer.unwrap(bytes(row["key_wrapped"]), sealer.unwrap(bytes(row["own"])))) == 32
    assert row["attachment_id"] is None
    assert not [one for one in page.messages if one["type"] == "streams" and one["streams"]]


async def test_a_derived_rate_gives_way_to_a_device_and_says_that_it_is_derived(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station, page = await clinic.station(), await clinic.page(visit)
    start = support.now_us()
    wave = support.ecg(1, start, 12.0)
    await clinic.announced(station, wave, visit.attachment)
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    derived = await page.said("numeric", lambda one: one["derived"] and one["value"] is not None)
    assert derived["kind"] == "heart_rate" and abs(int(derived["value"]) - 75) <= 2
    pulse = support.Numbers(2, "heart_rate", "gatt:2a37", start)
    await clinic.announced(station, pulse, visit.attachment)
    await station.socket.send_bytes(pulse.packed(0, encode_heart_rate(71), start))
    await page.said("numeric", lambda one: not one["derived"])
    at = len(page.messages)
    later = support.ecg(3, start, 4.0)
    later.device = "Demo second device"
    await clinic.announced(station, later, visit.attachment)
    for seq in range(later.chunks):
        await station.socket.send_bytes(later.packed(seq))
    await clinic.acked(station, 3, later.chunks - 1)
    assert not [one for one in page.messages[at:] if one["type"] == "numeric" and one["derived"]]
    joined = await clinic.page(visit)
    number = await joined.said("numeric")
    assert (number["value"], number["derived"]) == ("71", False), "who joins gets the newest numbers at once"




async def test_the_newest_numbers_outlive_the_servers_memory(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station(skew_us=9_000_000)
    pulse = support.Numbers(2, "heart_rate", "gatt:2a37", station.stamp())
    await clinic.announced(station, pulse, visit.attachment)
    for seq, rate in enumerate((70, 71)):
        await station.socket.send_bytes(pulse.packed(seq, encode_heart_rate(rate), pulse.started_us + seq))
    await clinic.acked(station, 2, 1)
    await station.close()
    hub = clinic.server.app[keys.HUB]
    await support.until(lambda: not hub._boards, "the hub has forgotten")
    again = await clinic.station(source=station.source, skew_us=9_000_000)
    await clinic.announced(again, pulse, visit.attachment, live_from=2)
    number = await (await clinic.page(visit)).said("numeric")
    assert number["value"] == "71"
    assert abs(number["at_us"] - (pulse.started_us - 9_000_000)) < 1_000_000
