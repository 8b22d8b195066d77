"""Columns of long windows: exact to the bucket, cut at the sample where an attachment ends, hot or compacted."""

from __future__ import annotations

import asyncio
import json
import struct
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from scipy import signal
from telemed_devices.gatt import encode_heart_rate, encode_pulse_oximetry
from telemed_devices.native import Frame, unpack_frame

from telemed.http import keys
from telemed.vitals import waves
from telemed.vitals.clock import Fix
from telemed.vitals.fixes import moment, write_fix
from telemed.vitals.storage import reading, reading_numbers
from telemed.vitals.storage.compactor import compact_once
from telemed.vitals.stored import open_stored

RATE, PER_CHUNK, SECONDS = 125, 625, 1200.0
US = 8_000  # of one sample
MISSING = -(2**15)


@pytest.fixture(autouse=True)
def little_at_a_time(monkeypatch: Any) -> None:
    """Short windows are read from the pyramid too, and in many parts, so that a test need not store a day."""
    monkeypatch.setattr(waves, "EXACT_VALUES", 0)
    monkeypatch.setattr(reading, "BLOCKS_READ", 3)
    monkeypatch.setattr(reading, "SEGMENTS_READ", 2)
    monkeypatch.setattr(reading_numbers, "HOT_READ", 7)
    monkeypatch.setattr(reading_numbers, "SEGMENTS_READ", 1)


async def compact(clinic: Any, *, forget_hot: bool = False) -> None:
    """Everything in segments; ``forget_hot``: and nowhere else, as some hours later."""
    await compact_once(clinic.server.database, clinic.server.app[keys.SEALER], all_of_it=True)
    if forget_hot:
        async with clinic.server.database.transaction() as connection:
            await connection.execute("delete from chunk")
            await connection.execute("delete from frame")


async def recorded(
    clinic: Any, support: Any, seconds: float = SECONDS, skip: tuple[int, ...] = (), send: Any = None
) -> tuple[Any, Any, Any]:
    """A visit with a pleth of the last ``seconds``: visit, station, wave."""
    visit = await clinic.visit()
    station = await clinic.station(answers_clock=False)
    start = support.now_us() - int(seconds * 1_000_000)
    await write_fix(clinic.server.database, station.source, clinic.server.seed.station_id, Fix(start, 0, 0), None)
    await bounds(clinic, visit, start - 3_600_000_000, None)
    samples = support.noise(2, seconds, RATE)
    wave = support.Wave(1, "pleth", ("red", "infrared"), RATE, PER_CHUNK, samples, start)
    await clinic.announced(station, wave, visit.attachment, origin="measured")
    await sent(clinic, station, wave, [seq for seq in range(wave.chunks) if seq not in skip] if send is None else send)
    return visit, station, wave


async def sent(clinic: Any, station: Any, wave: Any, seqs: Any) -> None:
    seqs = list(seqs)
    before = await stored(clinic)
    for seq in seqs:
        await station.socket.send_bytes(wave.packed(seq))
    for _ in range(2000):
        if await stored(clinic) == before + len(seqs):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the chunks were not stored")


async def stored(clinic: Any) -> int:
    async with clinic.server.database.connection() as connection:
        return int(await connection.fetchval("select count(*) from chunk"))


async def bounds(clinic: Any, visit: Any, opened_us: int, closed_us: int | None) -> None:
    async with clinic.server.database.connection() as connection:
        await connection.execute(
            "update attachment set opened_at = $2, closed_at = $3, closed_reason = $4 where id = $1",
            UUID(visit.attachment), moment(opened_us), None if closed_us is None else moment(closed_us),
            None if closed_us is None else "operator",
        )


async def asked(clinic: Any, visit: Any, headers: Any = None, **query: Any) -> tuple[int, Any, list[Frame], Any]:
    path = f"/api/v1/consultations/{visit.consultation}/waves"
    query = {"kind": "pleth", "view": "raw", **query}
    async with clinic.clinician.http.get(path, params=query, headers=headers) as response:
        body = await response.read()
        if response.status != 200:
            return response.status, json.loads(body) if body else None, [], response.headers
    text, frames = parsed(body)
    return 200, text, frames, response.headers


def parsed(body: bytes) -> tuple[Any, list[Frame]]:
    length, _ = struct.unpack_from("<II", body)
    text, at, frames = json.loads(body[8 : 8 + length]), 8 + length, []
    while at < len(body):
        size = 56 + struct.unpack_from("<I", body, at + 40)[0]
        frames.append(unpack_frame(body[at : at + size]))
        at += size + (-size % 8)
    return text, frames


def by_rule(samples: Any, start: int, level: int, from_us: int, to_us: int, count: int, there: Any = None) -> Any:
    """(minima, maxima) as the protocol says: samples e_k … e_(k+1) - 1, e where a column begins, to the bucket."""
    channels, n = samples.shape
    there = np.ones(n, bool) if there is None else there
    marks = from_us + np.arange(count + 1) * (to_us - from_us) // count
    edges = -(-(marks - start) // US)
    if level > 1:
        edges = np.ceil(edges / level - 0.5).astype(np.int64) * level
        # At the ends of what there is no sample is left out.
        edges[0] = min(edges[0], 0) if from_us <= start else edges[0]
        edges[-1] = n if to_us >= start + n * US else edges[-1]
    both = np.full((2, channels, count), MISSING, np.int32)
    for k in range(count):
        a, b = max(0, edges[k]), min(n, edges[k + 1])
        ours = samples[:, a:b][:, there[a:b]] if b > a else samples[:, :0]
        if ours.size:
            both[0, :, k], both[1, :, k] = ours.min(axis=1), ours.max(axis=1)
    return both


WINDOWS = [(0.0, 1200.0, 60), (0.0, 1200.0, 7), (0.0, 1200.0, 2), (-900.0, 2700.0, 100), (33.4, 1000.1, 90),
           (500.0, 620.0, 400), (700.0, 703.0, 50)]


@pytest.mark.parametrize("how", ["compacted", "forgotten", "half", "hot"])
async def test_columns_are_exact_to_the_bucket(clinic: Any, support: Any, how: str) -> None:
    half = list(range(120))
    visit, station, wave = await recorded(clinic, support, send=half)
    if how in ("half", "forgotten"):
        await compact(clinic)
    await sent(clinic, station, wave, range(120, wave.chunks))
    if how in ("compacted", "forgotten"):
        await compact(clinic, forget_hot=how == "forgotten")
    n, levels = wave.samples.shape[1], set()
    for begin, end, count in WINDOWS:
        window = {"from_us": wave.started_us + int(begin * 1e6), "to_us": wave.started_us + int(end * 1e6)}
        status, text, frames, _ = await asked(clinic, visit, columns=count, **window)
        assert status == 200, text
        (described,) = text["describes"]
        level = described["bucket"]
        levels.add(level)
        assert level * 2 <= max(2, (end - begin) * RATE / count)
        (frame,) = frames
        expected = by_rule(wave.samples, wave.started_us, level, window["from_us"], window["to_us"], count)
        used = np.flatnonzero((expected[1] != MISSING).any(axis=0))
        marks = window["from_us"] + np.arange(count + 1) * (window["to_us"] - window["from_us"]) // count
        assert frame.codec == 1 and frame.t0_us == marks[used[0]]
        np.testing.assert_array_equal(frame.samples[:, 0], expected[0][:, used[0] : used[-1] + 1])
        np.testing.assert_array_equal(frame.samples[:, 1], expected[1][:, used[0] : used[-1] + 1])
        assert described["first_sample"] == max(0, int(begin * RATE + 0.999)) and n
    assert len(levels) >= 4 and 1 in levels


@pytest.mark.parametrize("how", ["compacted", "hot"])
async def test_the_attachments_ends_are_cut_at_the_sample_whatever_the_bucket(
    clinic: Any, support: Any, how: str
) -> None:
    visit, station, wave = await recorded(clinic, support, send=[])
    opened, closed = 20_011, 100_007  # samples; in the middle of buckets of every level, and of chunks and segments
    wave.samples[:, opened - 1] = wave.samples[:, closed] = 32_000
    wave.samples[:, opened - 2] = wave.samples[:, closed + 1] = -32_000
    wave.samples[0, opened], wave.samples[1, opened] = 30_000, -30_000
    wave.samples[0, closed - 1], wave.samples[1, closed - 1] = 31_000, -31_000
    await sent(clinic, station, wave, range(wave.chunks))
    exact = Fix(wave.started_us + opened * US - 3_000, 0, 0)  # nothing is given for what the clock may be off
    await write_fix(clinic.server.database, station.source, clinic.server.seed.station_id, exact, None)
    # Between two samples: the last is the one before the end.
    await bounds(clinic, visit, wave.started_us + opened * US - 3_000, wave.started_us + closed * US - 3_000)
    if how == "compacted":
        await compact(clinic, forget_hot=True)
    status, review = await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/review")
    ((segment,),) = [one["segments"] for one in review["streams"]]
    assert (segment["first_sample"], segment["n"]) == (opened, closed - opened), status
    window = {"from_us": wave.started_us, "to_us": wave.started_us + int(SECONDS * 1e6)}
    for count in (1, 2, 5, 50, 500, 3000):
        _, text, (frame,), _ = await asked(clinic, visit, columns=count, **window)
        mins, maxs = frame.samples[:, 0], frame.samples[:, 1]
        assert (maxs[0].max(), mins[1].min()) == (31_000, -31_000), text["describes"][0]["bucket"]
        assert maxs[0][0] == (31_000 if count == 1 else 30_000)
    _, _, frames, _ = await asked(clinic, visit, **window)
    given = np.concatenate([frame.samples for frame in frames], axis=1)
    np.testing.assert_array_equal(given, wave.samples[:, opened:closed])
    # Windows that show a part: what is outside is in none of them, whatever lies in the same bucket.
    for edge, spike in ((opened, 30_000), (closed, 31_000)):
        for before_s, after_s, count in ((1, 1, 3), (90, 7, 20), (7, 90, 20), (150, 300, 2), (40, 40, 9)):
            at = wave.started_us + edge * US
            part = {"from_us": at - before_s * 1_000_000, "to_us": at + after_s * 1_000_000}
            _, _, frames, _ = await asked(clinic, visit, columns=count, **part)
            assert max(frame.samples[0].max() for frame in frames) == spike, (edge, before_s, count)
            assert min(frame.samples[frame.samples != MISSING].min() for frame in frames) == -spike


async def test_a_hole_is_a_hole_in_columns_and_a_late_chunk_fills_it(clinic: Any, support: Any) -> None:
    missing = tuple(range(60, 120))
    visit, station, wave = await recorded(clinic, support, skip=missing)
    await compact(clinic, forget_hot=True)
    window = {"from_us": wave.started_us, "to_us": wave.started_us + int(SECONDS * 1e6)}
    _, text, (frame,), _ = await asked(clinic, visit, columns=240, **window)
    assert text["describes"][0]["bucket"] == 256
    absent = np.flatnonzero(frame.samples[0, 1] == MISSING)
    assert absent.tolist() == list(range(60, 120))
    review = (await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/review"))[1]
    assert [gap["to_us"] - gap["from_us"] for gap in review["gaps"]] == [300_000_000]
    await sent(clinic, station, wave, missing)
    for settle in (False, True):
        if settle:
            await compact(clinic, forget_hot=True)
        _, _, (frame,), _ = await asked(clinic, visit, columns=240, **window)
        expected = by_rule(wave.samples, wave.started_us, 256, window["from_us"], window["to_us"], 240)
        np.testing.assert_array_equal(frame.samples.transpose(1, 0, 2), expected)
        _, _, frames, _ = await asked(clinic, visit, **window)
        np.testing.assert_array_equal(np.concatenate([one.samples for one in frames], axis=1), wave.samples)


async def test_what_is_compacted_while_it_is_read_is_read_whole(clinic: Any, support: Any) -> None:
    visit, _, wave = await recorded(clinic, support)
    for columns in (None, 100):
        async with clinic.server.database.connection() as connection:
            opened = await open_stored(connection, clinic.server.app[keys.SEALER], UUID(visit.consultation))
            window = waves.Window(wave.started_us, wave.started_us + int(SECONDS * 1e6), "raw", columns)
            body = b""
            async for part in waves.answer(connection, opened.waves("pleth"), window):
                if not body:
                    await compact(clinic, forget_hot=columns is not None)
                body += part
        _, frames = parsed(body)
        got = np.concatenate([one.samples for one in frames], axis=-1)
        if columns is None:
            np.testing.assert_array_equal(got, wave.samples)
        else:
            np.testing.assert_array_equal(got.max(axis=-1)[:, 1], wave.samples.max(axis=1))


async def test_the_diagnostic_view_is_zero_phase_and_long_filtered_windows_are_refused(
    clinic: Any, support: Any, monkeypatch: Any
) -> None:
    visit = await clinic.visit()
    station = await clinic.station(answers_clock=False)
    start = support.now_us() - 60_000_000
    await write_fix(clinic.server.database, station.source, clinic.server.seed.station_id, Fix(start, 0, 0), None)
    await bounds(clinic, visit, start - 1_000_000, None)
    wave = support.ecg(1, start, 40.0)
    await clinic.announced(station, wave, visit.attachment)
    await sent(clinic, station, wave, range(wave.chunks))
    await compact(clinic)
    span = {"kind": "ecg", "from_us": start, "to_us": start + 40_000_000, "view": "diagnostic"}
    _, text, frames, _ = await asked(clinic, visit, **span)
    (described,) = text["describes"]
    assert (described["filter"]["phase"], described["filter"]["label"]) == ("zero", "0.05–150 Hz")
    expected = wave.samples.T.astype(float)
    for stage in described["filter"]["stages"]:
        sos = signal.butter(stage["order"], stage["hz"], btype=stage["type"], fs=500, output="sos")
        expected = signal.sosfiltfilt(sos, expected, axis=0)
    expected = np.rint(expected).T
    np.testing.assert_array_equal(np.concatenate([one.samples for one in frames], axis=1), expected)
    status, answer, _, _ = await asked(clinic, visit, **{**span, "kind": "pleth"})
    assert status == 200 and answer["describes"] == []
    monkeypatch.setattr(waves, "FILTERED_VALUES", 3 * 20_000 - 1)
    status, answer, _, _ = await asked(clinic, visit, columns=10, **span)
    assert (status, answer["error"]["code"]) == (400, "window_too_large")
    status, _, _, _ = await asked(clinic, visit, columns=10, **{**span, "view": "raw"})
    assert status == 200


async def test_an_answer_that_the_page_has_is_not_sent_again(clinic: Any, support: Any) -> None:
    visit, station, wave = await recorded(clinic, support, seconds=300.0, send=range(30))
    query = {"columns": 50, "from_us": wave.started_us, "to_us": wave.started_us + 300_000_000}
    _, _, _, headers = await asked(clinic, visit, **query)
    first = headers["ETag"]
    assert headers["Cache-Control"] == "no-store" and not first.startswith("W/")
    status, body, _, headers = await asked(clinic, visit, {"If-None-Match": f'"other", {first}'}, **query)
    assert (status, body, headers["ETag"]) == (304, None, first)
    other = {**query, "columns": 51}
    assert (await asked(clinic, visit, {"If-None-Match": first}, **other))[0] == 200
    states = {first}

    async def changed() -> None:
        status, _, _, headers = await asked(clinic, visit, {"If-None-Match": ", ".join(states)}, **query)
        assert status == 200 and headers["ETag"] not in states
        states.add(headers["ETag"])

    await sent(clinic, station, wave, range(40, wave.chunks))
    await changed()
    await compact(clinic, forget_hot=True)
    await changed()
    await sent(clinic, station, wave, range(30, 40))
    await changed()
    await bounds(clinic, visit, wave.started_us - 1, wave.started_us + 200_000_000)
    await changed()
    async with clinic.server.database.connection() as connection:
        await connection.execute("update clock_fix set offset_us = offset_us + 5")
    await changed()


@pytest.mark.parametrize("how", ["hot", "half", "compacted"])
async def test_the_trend_gives_least_greatest_and_last_of_each_column(clinic: Any, support: Any, how: str) -> None:
    visit = await clinic.visit()
    station = await clinic.station(answers_clock=False)
    start = support.now_us() - 600_000_000
    await write_fix(clinic.server.database, station.source, clinic.server.seed.station_id, Fix(start, 0, 0), None)
    await bounds(clinic, visit, start - 1_000_000, None)
    pulse = support.Numbers(1, "heart_rate", "gatt:2a37", start)
    spo2 = support.Numbers(2, "spo2", "gatt:2a5f", start, device="Demo oximeter")
    await clinic.announced(station, pulse, visit.attachment)
    await clinic.announced(station, spo2, visit.attachment)
    rates = [60 + (7 * at) % 40 for at in range(300)]
    for at, rate in enumerate(rates):
        await station.socket.send_bytes(pulse.packed(at, encode_heart_rate(rate), start + at * 1_000_000))
        if how == "half" and at == 199:
            await clinic.acked(station, 1, 199)
            await compact(clinic)
    await station.socket.send_bytes(spo2.packed(0, encode_pulse_oximetry(Decimal(97), Decimal(71)), start + 5_000_000))
    await clinic.acked(station, 1, 299)
    await clinic.acked(station, 2, 0)
    if how == "compacted":
        await compact(clinic, forget_hot=True)
    path = f"/api/v1/consultations/{visit.consultation}/trend"
    query = f"?from_us={start}&to_us={start + 600_000_000}&columns=60"
    status, answer = await clinic.clinician.get(path + query)
    assert status == 200, answer
    series = {(one["kind"], one["part"]): one for one in answer["series"]}
    heart = next(one for one in answer["series"] if one["source"] == "Demo monitor" and one["part"] is None)
    by_column = [rates[at : at + 10] for at in range(0, 300, 10)]
    assert heart["column"] == list(range(30)) and heart["count"] == [10] * 30
    assert heart["least"] == [str(min(one)) for one in by_column]
    assert heart["greatest"] == [str(max(one)) for one in by_column]
    assert heart["last"] == [str(one[-1]) for one in by_column]
    assert series["spo2", None]["least"] == ["97"] and series["spo2", None]["column"] == [0]
    review = (await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/review"))[1]
    mine = [one for one in review["numerics"] if one["source"] == "Demo monitor"]
    assert [one["value"] for one in mine] == [str(rate) for rate in rates]
    for bad in ("?from_us=5&to_us=5&columns=3", f"?from_us=0&to_us={8 * 24 * 3_600_000_000}&columns=3"):
        status, answer = await clinic.clinician.get(path + bad)
        assert (status, answer["error"]["code"]) == (400, "window_too_large")
    status, answer = await clinic.operator.get(path + query)
    assert status == 403
