"""What is shown and reviewed of an attachment lies between its begin and its end, whatever comes when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from telemed_devices.gatt import encode_heart_rate

from telemed.http import keys
from telemed.vitals.clock import Fix
from telemed.vitals.fixes import write_fix
from telemed.vitals.storage.compactor import compact_once

HOUR = 3_600_000_000


@pytest.fixture(params=["hot", "compacted"])
async def clinic(clinic: Any, request: Any) -> Any:
    """Each test twice: with what is reviewed as it came, and in segments."""
    clinic.compacted = request.param == "compacted"
    return clinic


def micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


async def attach_next(clinic: Any, patient: int = 1) -> dict[str, Any]:
    """The operator attaches the next patient; the consultation of the one before stays open on its page."""
    seed = clinic.server.seed
    status, made = await clinic.operator.post(
        "/api/v1/attachments", {"station_id": seed.station_id, "patient_id": str(seed.patients[patient])})
    assert status == 201, made
    return dict(made)


async def review_of(clinic: Any, visit: Any) -> dict[str, Any]:
    if clinic.compacted:
        await compact_once(clinic.server.database, clinic.server.app[keys.SEALER], all_of_it=True)
    status, review = await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/review")
    assert status == 200, review
    return dict(review)


async def fixed(clinic: Any, support: Any, station: Any) -> None:
    """The connection knows the station's clock: the first fix is a row."""
    uplink = clinic.server.app[keys.INGEST]._uplinks[clinic.server.seed.station_id]
    await support.until(lambda: uplink._clock.best is not None, "the first fix")
    async with clinic.server.database.connection() as connection:
        for _ in range(2000):
            if await connection.fetchval("select count(*) from clock_fix where source = $1", station.source):
                return
    raise AssertionError("no clock fix was written")


async def watch(clinic: Any, support: Any, page: Any) -> int:
    listed = await page.said("streams", lambda one: any(row["kind"] == "ecg" for row in one["streams"]))
    stream = int(next(row for row in listed["streams"] if row["kind"] == "ecg")["stream"])
    await page.send({"type": "watch", "stream": stream, "view": "raw"})
    await support.until(lambda: clinic.server.app[keys.HUB]._views, "the view is watched")
    return stream


async def listed_now(page: Any) -> list[dict[str, Any]]:
    """The streams that the page was told of last, once everything said before has come."""
    await page.send({"type": "unwatch", "view": 65_535})
    await page.said("error", nth=sum(one["type"] == "error" for one in page.messages))
    return list([one for one in page.messages if one["type"] in ("streams", "welcome")][-1]["streams"])


async def test_the_next_patients_number_is_not_remembered_on_the_page_before(clinic: Any, support: Any) -> None:
    visit = await clinic.visit(0)
    station = await clinic.station()
    pulse = support.Numbers(2, "heart_rate", "gatt:2a37", support.now_us())
    await clinic.announced(station, pulse, visit.attachment)
    await attach_next(clinic)
    await station.socket.send_bytes(pulse.packed(0, encode_heart_rate(177), support.now_us()))
    await clinic.acked(station, 2, 0)
    await station.close()
    page = await clinic.page(visit)
    station = await clinic.station(source=station.source)
    await clinic.announced(station, pulse, visit.attachment, live_from=1)
    await listed_now(page)
    assert [one for one in page.messages if one["type"] == "numeric"] == []
    assert (await review_of(clinic, visit))["numerics"] == []


async def test_live_is_cut_when_the_answer_says_that_the_attachment_ended(clinic: Any, support: Any) -> None:
    visit = await clinic.visit(0)
    page, station = await clinic.page(visit), await clinic.station()
    await fixed(clinic, support, station)
    wave = support.ecg(1, support.now_us(), 30.0)
    await clinic.announced(station, wave, visit.attachment)
    await watch(clinic, support, page)
    hub = clinic.server.app[keys.HUB]
    (stream,) = hub._boards[next(iter(hub._boards))].streams.values()
    next_one = await attach_next(clinic)
    assert stream.cut_us == micros(next_one["opened_at"]), "at once, not when some chore comes to it"
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    await listed_now(page)
    assert [one for one in page.frames if one.t0_us >= stream.cut_us] == []


async def test_an_attachment_that_ends_while_its_stream_is_announced_is_cut(clinic: Any, support: Any) -> None:
    visit = await clinic.visit(0)
    page, station = await clinic.page(visit), await clinic.station()
    await fixed(clinic, support, station)
    wave = support.ecg(1, support.now_us(), 4.0)
    async with clinic.server.database.transaction() as connection:
        await connection.execute("lock table clock_fix in access exclusive mode")  # the announce stops half way
        await station.send(wave.announce(visit.attachment))

        async def half_way() -> bool:
            async with clinic.server.database.connection() as other:
                return bool(await other.fetchval("select count(*) from pg_locks where not granted"))

        for _ in range(2000):
            if await half_way():
                break
        else:
            raise AssertionError("the announce did not come so far")
        await attach_next(clinic)
    await station.said("announced")
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    assert await listed_now(page) == []


async def test_an_older_epoch_takes_nothing_from_the_newer(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page, station = await clinic.page(visit), await clinic.station()
    old, new = support.ecg(1, support.now_us()), support.ecg(2, support.now_us() + 1)
    await clinic.announced(station, new, visit.attachment)
    stream = await watch(clinic, support, page)
    await station.socket.send_bytes(new.packed(0))
    await clinic.announced(station, old, visit.attachment, live_from=30)
    await station.socket.send_bytes(new.packed(1))
    await clinic.acked(station, 2, 1)
    await support.until(lambda: len(page.frames) == 2, "the picture goes on")
    assert [one["stream"] for one in await listed_now(page)] == [stream]


async def test_the_epoch_of_an_attachment_that_is_over_takes_nothing_from_the_next(clinic: Any, support: Any) -> None:
    first = await clinic.visit(0)
    station = await clinic.station()
    one = support.ecg(1, support.now_us())
    await clinic.announced(station, one, first.attachment)
    await clinic.end(first)
    second = await clinic.visit(1)
    page = await clinic.page(second)
    await station.close()
    station = await clinic.station(source=station.source)
    await clinic.announced(station, support.ecg(2, support.now_us()), second.attachment)
    await clinic.announced(station, one, first.attachment, live_from=30)
    assert len(await listed_now(page)) == 1


async def test_nothing_from_before_the_attachment_is_shown_or_reviewed(clinic: Any, support: Any) -> None:
    station = await clinic.station()
    await fixed(clinic, support, station)
    visit = await clinic.visit()
    page = await clinic.page(visit)
    opened = support.now_us()
    wave = support.ecg(1, opened - 3_000_000, 8.0)
    pulse = support.Numbers(2, "heart_rate", "gatt:2a37", opened - 30_000_000)
    await clinic.announced(station, pulse, visit.attachment)
    await clinic.announced(station, wave, visit.attachment)
    await watch(clinic, support, page)
    for seq, at_us in enumerate((opened - 20_000_000, support.now_us())):
        await station.socket.send_bytes(pulse.packed(seq, encode_heart_rate(70 + seq), at_us))
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    await clinic.acked(station, 2, 1)
    await page.said("numeric", lambda one: one["value"] == "71")
    assert not [one for one in page.messages if one["type"] == "numeric" and one["value"] == "70"]
    async with clinic.server.database.connection() as connection:
        row = await connection.fetchrow("select opened_at, (select max(error_us) from clock_fix) from attachment")
    least = round(row["opened_at"].timestamp() * 1_000_000) - row["max"] - 1_000_000  # no stamp is worse than that
    await support.until(lambda: page.frames and page.frames[-1].first_sample == 3900, "the last frame")
    assert page.frames[0].t0_us >= least and page.frames[0].first_sample > 900
    assert page.frames[0].n < 100, "the cut is at the sample"
    review = await review_of(clinic, visit)
    ((segment,),) = [one["segments"] for one in review["streams"]]
    assert segment["from_us"] >= least and 900 < segment["first_sample"] <= page.frames[0].first_sample
    assert segment["first_sample"] + segment["n"] == 4000
    assert [one["value"] for one in review["numerics"]] == ["71"]
    path = f"/api/v1/consultations/{visit.consultation}/waves"
    query = {"kind": "ecg", "view": "raw", "from_us": opened - HOUR, "to_us": opened + HOUR}
    async with clinic.clinician.http.get(path, params=query) as response:
        body = await response.read()
    at = 8 + int.from_bytes(body[:4], "little")
    assert int.from_bytes(body[at + 24 : at + 32], "little") == segment["first_sample"]


async def test_a_new_attachments_first_sample_stays(clinic: Any, support: Any) -> None:
    station = await clinic.station(skew_us=5 * HOUR)
    await fixed(clinic, support, station)
    visit = await clinic.visit()
    await station.said("renew")
    wave = support.ecg(1, station.stamp(), 2.0)  # as a station does: the epoch begins when it is told
    await clinic.announced(station, wave, visit.attachment)
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    ((segment,),) = [one["segments"] for one in (await review_of(clinic, visit))["streams"]]
    assert (segment["first_sample"], segment["n"]) == (0, 1000)


async def test_a_clock_that_was_set_in_between_gives_nobody_anothers_samples(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station(answers_clock=False)
    now = support.now_us()
    wave = support.ecg(1, now, 12.0)
    await clinic.announced(station, wave, visit.attachment)
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    # The station slept for an hour somewhere between its stamps at 4 s and at 8 s.
    for at_s, offset_us in ((4, 0), (8, HOUR)):
        fix = Fix(now + at_s * 1_000_000 + offset_us, offset_us, 100)
        await write_fix(clinic.server.database, station.source, clinic.server.seed.station_id, fix, None)
    async with clinic.server.database.connection() as connection:
        await connection.execute("update attachment set closed_at = now() + interval '30 minutes'")
    ((segment,),) = [one["segments"] for one in (await review_of(clinic, visit))["streams"]]
    assert segment["first_sample"] == 0 and abs(segment["n"] - 2000) <= 1, "what may be the next patient's is not given"


async def test_a_run_without_a_fix_is_not_timed_by_another_runs_wall_clock(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    other = await clinic.station()
    await fixed(clinic, support, other)
    await other.close()
    station = await clinic.station(answers_clock=False, skew_us=-700 * HOUR)  # its wall clock was not set yet
    wave = support.ecg(1, station.stamp(), 2.0)
    await clinic.announced(station, wave, visit.attachment)
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, 1, wave.chunks - 1)
    review = await review_of(clinic, visit)
    ((segment,),) = [one["segments"] for one in review["streams"]]
    assert abs(segment["from_us"] - support.now_us()) < 60_000_000 and segment["n"] > 0
    assert np.isclose(segment["to_us"] - segment["from_us"], segment["n"] * 2000)


async def test_an_ended_epoch_leaves_nothing_behind(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page, station = await clinic.page(visit), await clinic.station()
    hub = clinic.server.app[keys.HUB]
    for epoch in range(3):
        old = support.ecg(2 * epoch + 1, support.now_us())
        new = support.ecg(2 * epoch + 2, support.now_us() + 1)
        await clinic.announced(station, old, visit.attachment)
        await station.socket.send_bytes(old.packed(0))
        await clinic.announced(station, new, visit.attachment)
        await station.socket.send_bytes(old.packed(1))
        await clinic.acked(station, old.number, 1)
    await station.close()
    await page.close()
    await support.until(lambda: not hub._boards, "nobody watches, nobody sends")
    assert hub._derived == {}
