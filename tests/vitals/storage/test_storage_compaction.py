"""Chunks become segments and a pyramid: every byte comes back, and the pyramid is numpy's least and greatest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from telemed_devices.gatt import encode_heart_rate
from telemed_devices.native import unpack_frame

from telemed.store.database import load_sql
from telemed.vitals.storage import envelopes, evidence, segment
from telemed.vitals.storage.compactor import Compacted
from telemed.vitals.storage.contexts import frame_context

MISSING = np.iinfo(np.int16).min


def cut(stream: Any, samples: Any, seqs: Any = None, size: int = 100, **more: Any) -> dict[int, bytes]:
    """Chunks of ``size`` samples each by number; all, or those of ``seqs``."""
    seqs = range(samples.shape[1] // size) if seqs is None else seqs
    return {seq: stream.wave(seq, samples[:, seq * size : (seq + 1) * size], seq * size, **more) for seq in seqs}


async def test_an_hour_in_pieces_comes_back_to_the_byte_and_its_pyramid_is_numpys(
    store: Any, ecg: Callable[..., Any], compaction: Any
) -> None:
    stream = await store.stream()
    samples = ecg(3, 40_050)
    chunks = cut(stream, samples)
    for seq in range(100, 140):  # a hole of eight seconds
        del chunks[seq]
    chunks[250] = stream.wave(250, samples[:, 25_000:25_100], 25_000, flags=1 | 1 << 17)
    receipt = await store.send(stream, chunks.values())
    assert sorted(receipt.durable) == sorted(chunks)
    done = await store.compact()
    assert done == Compacted(1, len(chunks), done.segments, len(chunks) * 300)
    assert await store.durable(stream) == [(0, 99), (140, 399)]
    await compaction.all_equal(store, stream, chunks)
    await store.drop_hot(stream)
    await compaction.all_equal(store, stream, chunks)
    assert await store.durable(stream) == [(0, 99), (140, 399)]
    rows = await store.run("select * from segment where stream_id = $1 order by first_seq", stream.id)
    assert [(row["first_seq"], row["last_seq"]) for row in rows][:3] == [(0, 49), (50, 99), (140, 189)]
    assert all(row["codec"] == segment.CODEC and row["n"] <= 5_000 for row in rows)
    runs = await store.run("select * from stream_run where stream_id = $1 order by first_sample", stream.id)
    assert [(row["first_sample"], row["past_sample"]) for row in runs] == [(0, 10_000), (14_000, 40_000)]
    assert [row["t1_us"] - row["t0_us"] for row in runs] == [20_000_000, 52_000_000]


async def test_what_is_packed_is_not_packed_again(store: Any, ecg: Callable[..., Any]) -> None:
    stream = await store.stream()
    await store.send(stream, cut(stream, ecg(3, 6_000)).values())
    assert (await store.compact()).chunks == 60
    before = await store.run("select * from segment order by first_seq")
    assert await store.compact() == Compacted()
    assert await store.run("select * from segment order by first_seq") == before


async def test_a_live_stream_is_packed_a_little_behind_and_in_strides(
    store: Any, ecg: Callable[..., Any], compaction: Any
) -> None:
    stream, samples = await store.stream(), ecg(3, 40_000)
    chunks = cut(stream, samples)
    await store.send(stream, [chunks[seq] for seq in range(249)])
    assert (await store.compact(all_of_it=False)).chunks == 0, "three pieces of ten seconds are not 20 s old"
    await store.send(stream, [chunks[seq] for seq in range(249, 260)])
    assert (await store.compact(all_of_it=False)).chunks == 150
    assert (await store.compact(all_of_it=False)).chunks == 0
    assert await store.durable(stream) == [(0, 259)]
    await store.rest(stream, 59)
    assert (await store.compact(all_of_it=False)).chunks == 0
    await store.rest(stream, 61)
    assert (await store.compact(all_of_it=False)).chunks == 110, "it rests: to its end"
    await compaction.all_equal(store, stream, {seq: chunks[seq] for seq in range(260)})


async def test_late_chunks_become_further_segments_and_widen_the_pyramid(
    store: Any, ecg: Callable[..., Any], compaction: Any
) -> None:
    stream = await store.stream()
    chunks = cut(stream, ecg(3, 20_000))
    late = {seq: chunks.pop(seq) for seq in (3, 60, 61, 199)}
    await store.send(stream, chunks.values())
    await store.compact()
    await store.drop_hot(stream)
    before = await store.run("select * from segment order by first_seq")
    receipt = await store.send(stream, late.values())
    assert sorted(receipt.durable) == sorted(late) and await store.value("select count(*) from chunk") == 4
    assert await store.durable(stream) == [(0, 199)]
    assert await store.evidence(stream) == dict(sorted((chunks | late).items()))
    assert (await store.compact()).chunks == 4
    await store.drop_hot(stream)
    await compaction.all_equal(store, stream, chunks | late)
    after = await store.run("select * from segment order by first_seq")
    assert [row for row in after if row in before] == before, "a segment is never written again"
    runs = await store.run("select first_sample, past_sample from stream_run order by first_sample")
    assert [tuple(row) for row in runs] == [(0, 400), (400, 6_200), (6_200, 20_000)]


async def test_two_chunks_that_claim_one_sample_are_both_kept(
    store: Any, ecg: Callable[..., Any], compaction: Any
) -> None:
    stream, samples = await store.stream(), ecg(3, 5_000)
    chunks = {seq: stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100], seq * 100) for seq in range(20)}
    for seq in range(20, 40):  # the station counts samples wrongly: the second half of the first, once more
        chunks[seq] = stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100], (seq - 10) * 100)
    await store.send(stream, chunks.values())
    await store.compact()
    await store.drop_hot(stream)
    await compaction.all_equal(store, stream, chunks)
    runs = await store.run("select first_sample, past_sample from stream_run order by first_sample")
    assert [tuple(row) for row in runs] == [(0, 3_000)], "no sample is in two runs"


@pytest.mark.parametrize("dtypes", [(np.int16, np.int32), (np.int32, np.int16)])
async def test_samples_of_both_widths_share_a_pyramid(
    store: Any, ecg: Callable[..., Any], compaction: Any, dtypes: Any
) -> None:
    stream, samples = await store.stream(), ecg(3, 2_000)
    chunks = {}
    for seq in range(20):
        part = samples[:, seq * 100 : seq * 100 + 100]
        wide = part.astype(np.int32) * 70_000
        wide[part == MISSING] = np.iinfo(np.int32).min
        chunks[seq] = stream.wave(seq, (wide if dtypes[seq // 10] is np.int32 else part), seq * 100)
    for half in (range(10), range(10, 20)):
        await store.send(stream, [chunks[seq] for seq in half])
        await store.compact()
    await store.drop_hot(stream)
    assert await store.evidence(stream) == chunks
    wide_first = {seq: data for seq, data in chunks.items() if unpack_frame(data).samples.dtype.itemsize == 4}
    for bucket, (least, greatest) in (await compaction.pyramid(store, stream, 16)).items():
        in_wide = compaction.least_and_greatest(wide_first, 16).get(bucket)
        if in_wide is not None:
            assert all(a <= b for a, b in zip(least, in_wide[0], strict=True))
            assert all(a >= b for a, b in zip(greatest, in_wide[1], strict=True))
    assert len(await compaction.pyramid(store, stream, 16)) == 125


async def test_numbers_are_packed_with_what_was_read_in_them(store: Any) -> None:
    stream = await store.stream("gatt:2a37")
    chunks = {seq: stream.envelope(seq, encode_heart_rate(60 + seq % 40)) for seq in range(600)}
    chunks[300] = stream.envelope(300, b"\xff")  # a fault is kept as well
    await store.send(stream, chunks.values())
    frames = {
        row["seq"]: stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]), frame_context(stream.id, row["seq"]))
        for row in await store.run("select seq, nonce, sealed from frame")
    }
    assert len(frames) == 600
    assert (await store.compact(all_of_it=False)).chunks == 512, "two whole segments"
    assert (await store.compact()).chunks == 88
    await store.drop_hot(stream)
    assert await store.evidence(stream) == chunks
    rows = await store.run("select * from segment order by first_seq")
    assert [(row["first_seq"], row["last_seq"], row["codec"]) for row in rows] == [
        (0, 255, 2), (256, 511, 2), (512, 599, 2)]
    read = {}
    for row in rows:
        opened = evidence.open_segment(stream.id, stream.key, row)
        assert isinstance(opened, envelopes.Envelopes)
        assert (row["t0_us"], row["t1_us"]) == (opened.rows[0].t0_us, opened.rows[-1].t0_us)
        read |= {opened.first_seq + at: one.reading.data for at, one in enumerate(opened.rows) if one.reading}
    assert read == frames
    async with store.database.connection() as connection:
        newest = await evidence.newest_reading(connection, stream.id, stream.born, stream.key)
    assert newest is not None and json.loads(newest[1])["readings"][0]["value"] == str(60 + 599 % 40)


async def test_a_chunk_that_is_no_frame_is_kept_as_it_is(store: Any, ecg: Callable[..., Any]) -> None:
    stream, samples = await store.stream(), ecg(3, 1_000)
    chunks = cut(stream, samples)
    chunks[4] = chunks[4][:-1] + bytes([chunks[4][-1] ^ 1])  # its checksum is wrong: the uplink would refuse it
    chunks[7] = stream.wave(7, ecg(2, 100), 700)  # fewer channels than were announced
    await store.send(stream, chunks.values())
    assert (await store.compact()).chunks == 10
    await store.drop_hot(stream)
    assert await store.evidence(stream) == chunks
    codecs = {row["first_seq"]: row["codec"] for row in await store.run("select first_seq, codec from segment")}
    assert codecs == {0: 1, 4: 2, 5: 1, 7: 2, 8: 1}


async def test_a_hot_chunk_that_does_not_open_stays_and_holds_up_no_other(
    store: Any, ecg: Callable[..., Any]
) -> None:
    stream = await store.stream()
    chunks = cut(stream, ecg(3, 2_000))
    await store.send(stream, chunks.values())
    await store.run("update chunk set sealed = set_byte(sealed, 9, get_byte(sealed, 9) # 1) where seq = 5")
    assert (await store.compact()).chunks == 19
    assert await store.durable(stream) == [(0, 19)]
    assert await store.value("select compacted::text from stream_mark") == "{[0,5),[6,20)}"
    assert await store.compact() == Compacted(1, 0, 0, 0)


async def test_streams_without_an_attachment_and_of_a_station_far_ahead_are_packed_too(
    store: Any, ecg: Callable[..., Any], compaction: Any
) -> None:
    stream = await store.stream(attached=False)
    samples = ecg(3, 400)
    far = 2**53 - 10_000
    chunks = {2**40 - 4 + at: stream.wave(2**40 - 4 + at, samples[:, at * 100 : at * 100 + 100], far + at * 100,
                                          t0_us=1_790_000_000_000_000) for at in range(4)}
    await store.send(stream, chunks.values())
    assert (await store.compact()).chunks == 4
    await store.drop_hot(stream)
    await compaction.all_equal(store, stream, chunks)
    assert await store.durable(stream) == [(2**40 - 4, 2**40 - 1)]


async def test_when_the_first_chunk_came_is_known_when_its_hot_row_is_gone(store: Any, ecg: Callable[..., Any]) -> None:
    """A source that never answered a clock question is placed in time by it."""
    stream = await store.stream()
    chunks = cut(stream, ecg(3, 4_000))

    async def arrival() -> int:
        async with store.database.connection() as connection:
            found: int = await connection.fetchval(load_sql("vitals")["arrival"], stream.id, stream.born, 500, 1)
            return found

    await store.send(stream, [chunks[seq] for seq in range(20, 40)])
    later = await arrival()
    await store.compact()
    await store.drop_hot(stream)
    assert await arrival() == later
    await store.send(stream, [chunks[seq] for seq in range(20)])  # measured earlier, so the offset may be more
    assert await arrival() == later
    await store.run("update chunk set received_at = received_at - interval '1 hour' where stream_id = $1", stream.id)
    earlier = await arrival()
    assert earlier < later - 3_500_000_000
    await store.compact()
    await store.drop_hot(stream)
    assert await arrival() == earlier
