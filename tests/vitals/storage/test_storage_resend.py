"""What is sent again after it was compacted is acknowledged and not stored again; other bytes are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telemed_devices.gatt import encode_heart_rate


async def test_a_station_that_sends_an_hour_again_adds_nothing(store: Any, ecg: Callable[..., Any]) -> None:
    samples = ecg(3, 30_000)
    wave, numbers = await store.stream(), await store.stream("gatt:2a37")
    chunks = {seq: wave.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(300)}
    said = {seq: numbers.envelope(seq, encode_heart_rate(70)) for seq in range(300)}
    for stream, sent in ((wave, chunks), (numbers, said)):
        await store.send(stream, sent.values())
    await store.compact()
    for dropped in (False, True):
        for stream, sent in ((wave, chunks), (numbers, said)):
            if dropped:
                await store.drop_hot(stream)
            receipt = await store.send(stream, reversed(sent.values()))
            assert (sorted(receipt.durable), receipt.refusals) == (list(range(300)), [])
            assert await store.durable(stream) == [(0, 299)]
    assert await store.value("select count(*) from chunk") == await store.value("select count(*) from frame") == 0
    assert await store.value("select count(*) from audit_event where outcome = 'deny'") == 0


async def test_other_bytes_under_a_compacted_number_are_refused_and_audited(
    store: Any, ecg: Callable[..., Any]
) -> None:
    stream, samples = await store.stream(), ecg(3, 10_000)
    chunks = {seq: stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(100)}
    await store.send(stream, chunks.values())
    await store.compact()
    await store.drop_hot(stream)
    forged = stream.wave(42, samples[:, 0:100], 4_200)
    receipt = await store.send(stream, [chunks[41], forged, chunks[42], chunks[43], forged])
    assert sorted(receipt.durable) == [41, 42, 43]
    assert receipt.refusals == [(42, "chunk_differs")] * 2
    assert await store.evidence(stream) == chunks
    rows = await store.run("select detail::text as detail from audit_event where action = 'station_socket.chunk'")
    assert [row["detail"] for row in rows] == ['{"seq": 42, "code": "chunk_differs"}'] * 2
    assert await store.value("select count(*) from chunk") == 0


async def test_what_was_deleted_for_its_age_is_acknowledged_and_not_stored_again(
    store: Any, ecg: Callable[..., Any]
) -> None:
    stream, samples = await store.stream(hours_ago=50), ecg(3, 1_000)
    chunks = {seq: stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(10)}
    await store.send(stream, chunks.values())
    await store.compact()
    await store.drop_hot(stream)
    await store.value("select storage_expire(now() - interval '1 day')")
    assert await store.evidence(stream) == {}
    receipt = await store.send(stream, chunks.values())
    assert (sorted(receipt.durable), receipt.refusals) == (list(range(10)), [])
    assert await store.value("select count(*) from chunk") == 0
    late = stream.wave(10, samples[:, :100])
    assert (await store.send(stream, [late])).durable == [10], "what never came is taken"
    assert await store.evidence(stream) == {10: late}


async def test_a_mark_without_its_segment_acknowledges_nothing(store: Any, ecg: Callable[..., Any]) -> None:
    stream, samples = await store.stream(), ecg(3, 1_000)
    chunks = [stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(10)]
    await store.send(stream, chunks)
    await store.compact()
    await store.drop_hot(stream)
    await store.run("delete from segment")
    receipt = await store.send(stream, chunks[3:5])
    assert receipt.durable == [] and receipt.refusals == [(3, "not_stored"), (4, "not_stored")]
