"""A review gives back what was stored, of this patient alone, to whom the policy grants it, and nothing after."""

from __future__ import annotations

import json
import struct
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from scipy import signal
from telemed_devices.gatt import encode_blood_pressure
from telemed_devices.native import Frame, unpack_frame

from telemed.http import keys
from telemed.vitals.storage.compactor import compact_once
from telemed.vitals.storage.reading import BLOCK_SAMPLES
from telemed.vitals.waves import RAW_VALUES

HOUR = 3_600_000_000


@pytest.fixture(params=["hot", "compacted"])
async def clinic(clinic: Any, request: Any) -> Any:
    """Each test twice: with what it reads as it came, and in segments."""
    clinic.compacted = request.param == "compacted"
    return clinic


async def settle(clinic: Any) -> None:
    """What was stored is where the test wants to read it from."""
    if clinic.compacted:
        await compact_once(clinic.server.database, clinic.server.app[keys.SEALER], all_of_it=True)


async def fixed(clinic: Any, source: Any) -> None:
    """The source's first clock fix is a row."""
    async with clinic.server.database.connection() as connection:
        for _ in range(2000):
            if await connection.fetchval("select count(*) from clock_fix where source = $1", source):
                return
    raise AssertionError("no clock fix was written")


async def send_all(clinic: Any, station: Any, wave: Any, attachment: str, skip: tuple[int, ...] = ()) -> None:
    await clinic.announced(station, wave, attachment)
    for seq in range(wave.chunks):
        if seq not in skip:
            await station.socket.send_bytes(wave.packed(seq))
    kept = wave.chunks - len(skip)

    def told(one: dict[str, Any]) -> int:
        through = -1 if one["through"] is None else one["through"]
        return through + 1 + sum(last - first + 1 for first, last in one["ranges"])

    await station.said("ack", lambda one: one["number"] == wave.number and told(one) == kept)


async def review_of(clinic: Any, visit: Any, client: Any = None) -> Any:
    await settle(clinic)
    return await (client or clinic.clinician).get(f"/api/v1/consultations/{visit.consultation}/review")


async def waves_of(clinic: Any, visit: Any, **query: Any) -> tuple[int, Any, list[Frame]]:
    await settle(clinic)
    path = f"/api/v1/consultations/{visit.consultation}/waves"
    async with clinic.clinician.http.get(path, params={"kind": "ecg", "view": "raw", **query}) as response:
        body = await response.read()
        if response.status != 200:
            return response.status, json.loads(body), []
        assert response.content_type == "application/vnd.telemed.waves"
    length, zero = struct.unpack_from("<II", body)
    assert zero == 0 and (8 + length) % 8 == 0
    text, at, frames = json.loads(body[8 : 8 + length]), 8 + length, []
    while at < len(body):
        assert at % 8 == 0
        size = 56 + struct.unpack_from("<I", body, at + 40)[0]
        frames.append(unpack_frame(body[at : at + size]))
        at += size + (-size % 8)
    return 200, text, frames


def joined(frames: list[Frame]) -> tuple[int, np.ndarray[Any, Any]]:
    ends = [frame.first_sample + frame.n for frame in frames]
    assert [frame.first_sample for frame in frames[1:]] == ends[:-1], "no hole, no overlap"
    return frames[0].first_sample, np.concatenate([frame.samples for frame in frames], axis=1)


def micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


async def test_the_review_equals_what_was_sent_whatever_the_stations_clock(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station(skew_us=-7 * HOUR)
    await fixed(clinic, station.source)
    start = station.stamp()
    wave = support.ecg(1, start, 6.0)
    cuff = support.Numbers(2, "blood_pressure", "gatt:2a35", start)
    await send_all(clinic, station, wave, visit.attachment)
    await clinic.announced(station, cuff, visit.attachment)
    payload = encode_blood_pressure(Decimal(128), Decimal(82), Decimal(97))
    await station.socket.send_bytes(cuff.packed(0, payload, start + 1_000_000))
    await clinic.acked(station, 2, 0)
    status, review = await review_of(clinic, visit)
    assert status == 200, review
    (row,) = review["streams"]
    (segment,) = row["segments"]
    assert (row["kind"], row["channels"], row["rate"]) == ("ecg", ["I", "II", "V1"], [500, 1])
    assert (segment["first_sample"], segment["n"]) == (0, 3000)
    assert abs(segment["from_us"] - (start + 7 * HOUR)) < 5_000_000
    assert segment["to_us"] - segment["from_us"] == 6_000_000
    assert review["gaps"] == [] and review["from_us"] == segment["from_us"]
    (number,) = review["numerics"]
    assert (number["kind"], number["value"], number["unit"]) == ("blood_pressure", "128", "mm[Hg]")
    assert number["extra"]["diastolic"] == "82" and number["at_us"] == segment["from_us"] + 1_000_000
    span = {"from_us": segment["from_us"], "to_us": segment["to_us"]}
    status, text, frames = await waves_of(clinic, visit, **span)
    np.testing.assert_array_equal(joined(frames)[1], wave.samples)
    assert text["describes"][0]["filter"] is None and text["describes"][0]["view"] == frames[0].view
    assert frames[0].t0_us == segment["from_us"]
    part = {"from_us": segment["from_us"] + 1_000_000, "to_us": segment["from_us"] + 2_000_001}
    first, samples = joined((await waves_of(clinic, visit, **part))[2])
    np.testing.assert_array_equal(samples, wave.samples[:, 500:1001])
    assert first == 500


async def test_monitor_is_zero_phase_and_columns_are_least_and_greatest(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    await fixed(clinic, station.source)
    wave = support.ecg(1, support.now_us(), 40.0)
    await send_all(clinic, station, wave, visit.attachment)
    segment = (await review_of(clinic, visit))[1]["streams"][0]["segments"][0]
    span = {"from_us": segment["from_us"], "to_us": segment["to_us"]}
    _, text, frames = await waves_of(clinic, visit, view="monitor", **span)
    described = text["describes"][0]
    assert described["filter"]["phase"] == "zero" and described["filter"]["delay_ms"] == 0
    y = wave.samples.T.astype(float)
    for sos in (signal.butter(2, [0.5, 40.0], btype="bandpass", fs=500, output="sos"),
                signal.tf2sos(*signal.iirnotch(50.0, 30.0, fs=500))):
        y = signal.sosfiltfilt(sos, y, axis=0)
    whole = np.rint(y).T
    _, got = joined(frames)
    np.testing.assert_array_equal(got, whole)
    middle = {"from_us": segment["from_us"] + 15_000_000, "to_us": segment["from_us"] + 20_000_000}
    _, got = joined((await waves_of(clinic, visit, view="monitor", **middle))[2])
    assert np.abs(got - whole[:, 7500:10000]).max() <= 1, "a window's ends are not felt"

    _, text, (frame,) = await waves_of(clinic, visit, columns=100, **span)
    assert (frame.codec, frame.n, frame.t0_us) == (1, 100, segment["from_us"])
    by_column = wave.samples.reshape(3, 100, -1)
    np.testing.assert_array_equal(frame.samples[:, 0], by_column.min(axis=2))
    np.testing.assert_array_equal(frame.samples[:, 1], by_column.max(axis=2))
    _, _, frames = await waves_of(clinic, visit, columns=8192, from_us=segment["from_us"],
                                  to_us=segment["from_us"] + 4_000_000)
    assert all(frame.codec == 0 for frame in frames) and joined(frames)[1].shape == (3, 2000)


async def test_holes_stay_holes(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    await fixed(clinic, station.source)
    wave = support.ecg(1, support.now_us(), 12.0)
    await send_all(clinic, station, wave, visit.attachment, skip=(10, 11, 12, 40))
    review = (await review_of(clinic, visit))[1]
    segments = review["streams"][0]["segments"]
    assert [(one["first_sample"], one["n"]) for one in segments] == [(0, 1000), (1300, 2700), (4100, 1900)]
    assert [gap["to_us"] - gap["from_us"] for gap in review["gaps"]] == [600_000, 200_000]
    span = {"from_us": segments[0]["from_us"], "to_us": segments[-1]["to_us"]}
    for view in ("raw", "monitor"):
        frames = (await waves_of(clinic, visit, view=view, **span))[2]
        assert [(frame.first_sample, frame.n) for frame in frames] == [(0, 1000), (1300, 2700), (4100, 1900)]
    _, _, (frame,) = await waves_of(clinic, visit, columns=60, **span)
    missing = frame.samples[:, 0, :] == -32768
    assert np.flatnonzero(missing[0]).tolist() == [10, 11, 12, 40]
    np.testing.assert_array_equal(missing, frame.samples[:, 1, :] == -32768)


async def test_two_patients_one_after_the_other_see_nothing_of_each_other(clinic: Any, support: Any) -> None:
    first = await clinic.visit(0)
    station = await clinic.station(skew_us=3 * HOUR)
    await fixed(clinic, station.source)
    # Twelve seconds are sent at once, most of them stamped after the end that comes now.
    one = support.ecg(1, station.stamp(), 12.0, seed=1)
    await send_all(clinic, station, one, first.attachment)
    page = await clinic.page(first)
    await clinic.end(first)
    await station.said("renew", lambda told: told["attachment"] is None)
    second = await clinic.visit(1)
    renewed = await station.said("renew", lambda told: told["attachment"] is not None)
    assert renewed["attachment"] == second.attachment
    two = support.ecg(2, station.stamp(), 6.0, seed=2)
    await send_all(clinic, station, two, second.attachment)
    # The old epoch goes on after its patient's end, in front of the next patient.
    frames = len(page.frames)
    late = support.ecg(1, one.started_us, 16.0, seed=1)
    late.epoch = one.epoch
    for seq in range(60, 80):
        await station.socket.send_bytes(late.packed(seq))
    await clinic.acked(station, 1, 79)
    assert len(page.frames) == frames

    closed = micros((await clinic.operator.get(
        f"/api/v1/attachments?station_id={clinic.server.seed.station_id}"))[1]["attachments"][-1]["closed_at"])
    review = (await review_of(clinic, first))[1]
    (segment,) = review["streams"][0]["segments"]
    assert 0 < segment["n"] < 6000 and closed <= segment["to_us"] < closed + 2000, "the cut is at the sample"
    _, _, frames = await waves_of(clinic, first, from_us=0, to_us=23 * HOUR)
    assert frames == []
    _, _, frames = await waves_of(clinic, first, from_us=closed - 20_000_000, to_us=closed + 20_000_000)
    _, samples = joined(frames)
    np.testing.assert_array_equal(samples, one.samples[:, : segment["n"]])
    ours = (await review_of(clinic, second))[1]
    (segment,) = ours["streams"][0]["segments"]
    assert segment["stream"] != review["streams"][0]["stream"] and segment["n"] == 3000
    _, _, frames = await waves_of(clinic, second, from_us=closed - 20_000_000, to_us=closed + 60_000_000)
    np.testing.assert_array_equal(joined(frames)[1], two.samples)
    assert {frame.stream for frame in frames} == {segment["stream"]}


async def test_a_destroyed_key_leaves_nothing_to_read(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    wave = support.ecg(1, support.now_us(), 2.0)
    await send_all(clinic, station, wave, visit.attachment)
    await clinic.end(visit)
    administrator = await clinic.server.client("administrator")
    patient = clinic.server.seed.patients[0]
    status, answer = await administrator.delete(f"/api/v1/patients/{patient}/key")
    assert status in (200, 204), answer
    status, answer = await review_of(clinic, visit)
    assert (status, answer["error"]["code"]) == (410, "key_destroyed")
    status, answer, _ = await waves_of(clinic, visit, from_us=0, to_us=HOUR)
    assert (status, answer["error"]["code"]) == (410, "key_destroyed")
    await station.send(support.ecg(9, support.now_us(), 2.0).announce(visit.attachment))
    await station.refused("key_destroyed")


OUT_OF_BOUNDS: list[tuple[dict[str, Any], str]] = [
    ({"from_us": 5, "to_us": 5}, "window_too_large"),
    ({"from_us": 0, "to_us": 7 * 24 * HOUR + 1}, "window_too_large"),
    ({"from_us": -1, "to_us": 5}, "invalid_request"),
    ({"from_us": 0, "to_us": 5, "columns": 8193}, "invalid_request"),
    ({"from_us": 0, "to_us": 5, "columns": 0}, "invalid_request"),
    ({"from_us": 0, "to_us": 5, "kind": "eeg"}, "invalid_request"),
    ({"from_us": 0, "to_us": 5, "view": "nice"}, "invalid_request"),
    ({"from_us": 0, "to_us": "soon"}, "invalid_request"),
]


async def test_a_window_out_of_bounds_is_refused(clinic: Any) -> None:
    visit = await clinic.visit()
    for query, code in OUT_OF_BOUNDS:
        status, answer, _ = await waves_of(clinic, visit, **query)
        assert (status, answer["error"]["code"]) == (400, code), query


async def test_the_policy_decides_and_reading_is_audited(clinic: Any, support: Any, stranger: Any) -> None:
    visit = await clinic.visit()
    assert (await review_of(clinic, visit))[0] == 200
    assert (await review_of(clinic, visit, clinic.operator))[0] == 403
    assert (await review_of(clinic, visit, await clinic.server.anonymous()))[0] == 401
    other = await clinic.server.client("clinician", stranger)
    assert (await review_of(clinic, visit, other))[0] == 404
    async with clinic.server.database.connection() as connection:
        rows = await connection.fetch("select outcome from audit_event where action = 'review.read' order by id")
    assert [row["outcome"] for row in rows] == ["permit", "deny", "deny", "deny"]


def test_an_answers_frames_stay_within_the_format() -> None:
    assert BLOCK_SAMPLES <= 65_536 < RAW_VALUES
