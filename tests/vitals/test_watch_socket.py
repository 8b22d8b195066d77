"""The consultation socket: who may open it and watch, what it is told, and when it ends."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import aiohttp
import numpy as np
import pytest
from scipy import signal
from telemed_devices.gatt import encode_heart_rate

from telemed.http import keys
from telemed.identity import accounts, sign_ins
from telemed.vitals.watcher import WAVES_WAITING


async def streaming(clinic: Any, support: Any, visit: Any, seconds: float = 6.0) -> tuple[Any, Any]:
    """A connected station with one announced ECG."""
    station = await clinic.station()
    wave = support.ecg(1, support.now_us(), seconds)
    await clinic.announced(station, wave, visit.attachment)
    return station, wave


async def watching(clinic: Any, support: Any, page: Any, name: str = "raw") -> int:
    listed = await page.said("welcome")
    if not listed["streams"]:
        listed = await page.said("streams", lambda one: one["streams"])
    stream = listed["streams"][0]["stream"]
    hub = clinic.server.app[keys.HUB]
    count = sum(len(view.watchers) for view in hub._views.values())
    await page.send({"type": "watch", "stream": stream, "view": name})
    await support.until(lambda: sum(len(view.watchers) for view in hub._views.values()) > count, "it is watched")
    return int(stream)


async def test_blocks_on_the_socket_equal_scipy_integer_for_integer(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station, wave = await streaming(clinic, support, visit, 10.0)
    page = await clinic.page(visit)
    await watching(clinic, support, page, "monitor")
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    described = await page.said("describe")
    await support.until(lambda: len(page.frames) == wave.chunks, "every block")
    got = np.concatenate([frame.samples for frame in page.frames], axis=1)
    y = wave.samples[:, described["first_sample"] :].T.astype(float)
    for stage in described["filter"]["stages"]:
        sos = (signal.butter(stage["order"], stage["band_hz"], btype=stage["type"], fs=500, output="sos")
               if stage["design"] == "butter" else signal.tf2sos(*signal.iirnotch(stage["hz"], stage["q"], fs=500)))
        y, _ = signal.sosfilt(sos, y, axis=0, zi=signal.sosfilt_zi(sos)[:, :, None] * y[0])
    np.testing.assert_array_equal(got, np.rint(y).T)
    assert [described["filter"]["label"], described["name"]] == ["0.5–40 Hz · 50 Hz", "monitor"]
    assert described["filter"]["rounding"] == "nearest, ties to even"


async def test_a_view_is_computed_once_and_only_while_it_is_watched(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station, wave = await streaming(clinic, support, visit)
    pages = [await clinic.page(visit) for _ in range(3)]
    hub = clinic.server.app[keys.HUB]
    for page in pages:
        await watching(clinic, support, page, "monitor")
    assert len(hub._views) == 1
    for seq in range(5):
        await station.socket.send_bytes(wave.packed(seq))
    for page in pages:
        await support.until(lambda page=page: len(page.frames) == 5, "the blocks")
    assert len({page.frames[0].view for page in pages}) == 1
    for page in pages:
        await page.send({"type": "unwatch", "view": page.frames[0].view})
    await support.until(lambda: not hub._views, "nobody watches")
    await station.socket.send_bytes(wave.packed(5))
    await clinic.acked(station, 1, 5)
    assert [len(page.frames) for page in pages] == [5, 5, 5]
    await pages[0].send({"type": "unwatch", "view": 77})
    await pages[0].refused("view_unknown")


async def test_a_waiting_patient_is_listed_but_not_watched_until_admitted(clinic: Any, support: Any) -> None:
    visit = await clinic.visit(admit=False)
    station, wave = await streaming(clinic, support, visit)
    pulse = support.Numbers(2, "heart_rate", "gatt:2a37", wave.started_us)
    await clinic.announced(station, pulse, visit.attachment)
    page = await clinic.page(visit)
    welcome = page.messages[0]
    assert (welcome["consultation"]["state"], welcome["station"]["online"], welcome["streams"]) == ("waiting", True, [])
    await page.send({"type": "watch", "stream": 1, "view": "raw"})
    await page.refused("forbidden")
    await station.socket.send_bytes(pulse.packed(0, encode_heart_rate(72), wave.started_us))
    await clinic.acked(station, 2, 0)
    assert not [one for one in page.messages if one["type"] == "numeric"]
    await clinic.clinician.post(f"/api/v1/consultations/{visit.consultation}/admit")
    await page.said("consultation", lambda one: one["consultation"]["state"] == "live")
    listed = await page.said("streams", lambda one: len(one["streams"]) == 2)
    assert {one["kind"] for one in listed["streams"]} == {"ecg", "heart_rate"}
    assert (await page.said("numeric"))["value"] == "72"


async def test_what_is_not_the_consultations_is_not_there(clinic: Any, support: Any, stranger: Any) -> None:
    visit = await clinic.visit()
    await streaming(clinic, support, visit)
    other = await clinic.station(key=stranger.station_key)
    await clinic.announced(other, support.ecg(1, support.now_us()), None)
    page = await clinic.page(visit)
    for stream in (2, 999):
        await page.send({"type": "watch", "stream": stream, "view": "raw"})
        await page.said("error", lambda one, stream=stream: one["error"]["params"] == {"stream": stream})
    await page.send({"type": "watch", "stream": 1, "view": "nice"})
    await page.refused("message_invalid")
    await page.socket.send_str("{")
    await page.socket.send_bytes(b"x")
    await support.until(lambda: sum(one["type"] == "error" for one in page.messages) == 5, "five refusals")
    assert not page.closed.is_set()
    strangers = await clinic.server.client("clinician", stranger)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await clinic.page(visit, client=strangers)
    assert refused.value.status == 404


@pytest.mark.parametrize(("role", "origin", "status"), [
    ("clinician", "http://elsewhere.example", 403), ("auditor", None, 403), (None, None, 401),
])
async def test_only_a_page_of_ours_for_those_concerned_opens_it(
    clinic: Any, role: str | None, origin: str | None, status: int
) -> None:
    visit = await clinic.visit()
    client = await (clinic.server.client(role) if role else clinic.server.anonymous())
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.http.ws_connect(
            f"/ws/consultations/{visit.consultation}", headers={"Origin": origin or clinic.server.url})
    assert refused.value.status == status


async def test_it_ends_when_the_sign_in_ends(clinic: Any) -> None:
    visit = await clinic.visit()
    client = await clinic.server.client("clinician")
    page = await clinic.page(visit, client=client)
    status, _ = await client.delete("/api/v1/sign-in")
    assert status in (200, 204)
    await page.refused("not_signed_in")
    await asyncio.wait_for(page.closed.wait(), 10)


async def test_it_ends_when_another_clinician_admits(clinic: Any, support: Any) -> None:
    visit = await clinic.visit(admit=False)
    page = await clinic.page(visit)
    async with clinic.server.database.transaction() as connection:
        await accounts.create(connection, clinic.server.seed.organisation_id, "demo-second", "Demo second clinician",
                              support.server_tests._hashed(), ["clinician"])
    second = await clinic.server.anonymous()
    await second.sign_in("demo-second")
    status, _ = await second.post(f"/api/v1/consultations/{visit.consultation}/admit")
    assert status == 200
    await page.refused("forbidden")
    await asyncio.wait_for(page.closed.wait(), 10)


async def test_a_sign_in_ended_in_the_database_alone_ends_it_too(clinic: Any) -> None:
    visit = await clinic.visit()
    client = await clinic.server.client("clinician")
    page = await clinic.page(visit, client=client)
    token = next(cookie.value for cookie in client.http.cookie_jar if cookie.key == "telemed")
    async with clinic.server.database.connection() as connection:
        await sign_ins.end(connection, sign_ins.token_hash(token))
    await page.refused("not_signed_in")


async def test_hello_comes_first(clinic: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit, hello=False)
    await page.send({"type": "watch", "stream": 1, "view": "raw"})
    await page.refused("hello_expected")
    old = await clinic.page(visit, hello=False)
    await old.send({"type": "hello", "protocol": 9, "oldest": 2, "source": str(uuid4())})
    await old.refused("protocol_too_old")


async def test_station_and_clock_are_told(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page = await clinic.page(visit, skew_us=-5_000_000)
    assert page.messages[0]["station"] == {"online": False, "status": None}
    station = await clinic.station()
    await page.said("station", lambda one: one["online"])
    await station.send({"type": "status", "queue": {"chunks": 4, "bytes": 1}, "call": {"state": "connected"}})
    told = await page.said("station", lambda one: one["status"])
    assert told["status"]["queue"]["chunks"] == 4 and told["status"]["call"]["state"] == "connected"
    await station.close()
    await page.said("station", lambda one: not one["online"])
    async with clinic.server.database.connection() as connection:
        end = asyncio.get_running_loop().time() + 10
        while (row := await connection.fetchrow("select * from clock_fix where source = $1", page.source)) is None:
            assert asyncio.get_running_loop().time() < end
    assert abs(row["offset_us"] - 5_000_000) <= row["error_us"] + 1 and row["station_id"] is None


async def test_a_slow_page_is_bounded_and_the_station_does_not_feel_it(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    wave = support.Wave(1, "ecg", tuple(f"V{n}" for n in range(16)), 1000, 8000, support.noise(16, 400, 1000), 0)
    wave.started_us = support.now_us() - 500_000_000
    async with clinic.server.database.connection() as connection:  # the patient was connected all that time
        await connection.execute("update attachment set opened_at = opened_at - interval '10 minutes'")
    await clinic.announced(station, wave, visit.attachment)
    slow, fast = await clinic.page(visit), await clinic.page(visit)
    for page in (slow, fast):
        await watching(clinic, support, page)
    assert slow.reading is not None
    slow.reading.cancel()  # it reads no more
    transport = slow.socket._response.connection.transport
    transport.pause_reading()
    hub = clinic.server.app[keys.HUB]
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    await support.until(lambda: len(fast.frames) == wave.chunks, "the fast page has everything")
    waiting = [watcher.waiting for watcher in hub._joined]
    assert all(waves <= WAVES_WAITING for _, _, waves in waiting)
    transport.resume_reading()
    slow.reading = None
    slow.start()
    dropped = await slow.said("dropped")
    after = slow.log[slow.log.index(dropped) + 1]
    assert dropped["frames"] > 0 and after.gap
    assert len(slow.frames) < wave.chunks


async def test_a_new_epoch_takes_the_place_of_the_old(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station, _ = await streaming(clinic, support, visit)
    page = await clinic.page(visit)
    stream = await watching(clinic, support, page)
    await clinic.announced(station, support.ecg(2, support.now_us()), visit.attachment)
    listed = await page.said("streams", lambda one: [row["stream"] for row in one["streams"]] not in ([], [stream]))
    assert len(listed["streams"]) == 1
    await page.send({"type": "watch", "stream": stream, "view": "raw"})
    await page.refused("stream_unknown")
    await station.close()
    gone = await page.said("streams", lambda one: one["streams"] and not one["streams"][0]["live"])
    assert gone["streams"][0]["stream"] == listed["streams"][0]["stream"]


async def test_the_hub_keeps_nothing_of_what_is_over(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station, wave = await streaming(clinic, support, visit)
    page = await clinic.page(visit)
    await watching(clinic, support, page, "monitor")
    await station.socket.send_bytes(wave.packed(0))
    await clinic.acked(station, 1, 0)
    await station.close()
    await page.close()
    hub = clinic.server.app[keys.HUB]
    await support.until(lambda: not hub._boards and not hub._views and not hub._joined, "the hub is empty")
    assert not hub._derived and all(bank.slots == 0 for bank in hub._banks.values())


async def test_sockets_are_let_go_when_the_server_stops(clinic: Any) -> None:
    visit = await clinic.visit()
    page, station = await clinic.page(visit), await clinic.station()
    await clinic.server.app.shutdown()
    for peer in (page, station):
        await asyncio.wait_for(peer.closed.wait(), 10)
        assert peer.socket.close_code == aiohttp.WSCloseCode.GOING_AWAY
