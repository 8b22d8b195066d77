"""A backlog whose acknowledgements were lost comes again: compared in runs and not written; other bytes are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from telemed_devices.gatt import encode_heart_rate

from telemed.audit import SYSTEM
from telemed.vitals.commit import Committer, Shelf

CHUNKS = 40
KNOWN = range(CHUNKS)


async def waves(store: Any, ecg: Callable[..., Any], channels: int = 3) -> tuple[Any, list[bytes]]:
    """A stream and its stored chunks."""
    stream, samples = await store.stream(channels=channels), ecg(channels, CHUNKS * 100)
    chunks = [stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in KNOWN]
    assert (await store.send(stream, chunks)).durable == list(KNOWN)
    return stream, chunks


async def test_what_is_durable_and_comes_again_is_not_written(store: Any, ecg: Callable[..., Any]) -> None:
    stream, chunks = await waves(store, ecg)
    numbers = await store.stream("gatt:2a37")
    said = [numbers.envelope(seq, encode_heart_rate(70)) for seq in KNOWN]
    assert (await store.send(numbers, said)).durable == list(KNOWN)
    owner = await asyncpg.connect(store.urls.owner)
    await owner.execute("revoke insert on chunk, frame from telemed_app")
    try:
        for one, sent in ((stream, chunks), (numbers, said)):
            assert (await store.send(one, sent)).durable == [], "who does not know it asks the table to decide"
            receipt = await store.send(one, [*reversed(sent), *sent[3:9]], KNOWN)
            assert (sorted(receipt.durable), receipt.refusals) == (sorted([*KNOWN, *range(3, 9)]), [])
    finally:
        await owner.execute("grant insert on chunk, frame to telemed_app")
        await owner.close()


@pytest.mark.parametrize("at", [0, 17, CHUNKS - 1])
async def test_other_bytes_among_what_comes_again_are_refused_and_audited(
    store: Any, ecg: Callable[..., Any], at: int
) -> None:
    stream, chunks = await waves(store, ecg)
    forged = stream.wave(at, ecg(3, 100, 7), at * 100)
    for sent in ([*chunks[:at], forged, *chunks[at + 1 :]], [*chunks, forged], [forged, *chunks], [forged]):
        receipt = await store.send(stream, sent, KNOWN)
        assert receipt.refusals == [(at, "chunk_differs")]
        assert sorted(receipt.durable) == sorted(
            int.from_bytes(one[16:24], "little") for one in sent if one is not forged)
    rows = await store.run("select detail::text as detail from audit_event where action = 'station_socket.chunk'")
    assert [row["detail"] for row in rows] == [f'{{"seq": {at}, "code": "chunk_differs"}}'] * 4
    assert await store.evidence(stream) == dict(enumerate(chunks))


async def test_another_chunk_s_bytes_are_other_bytes(store: Any, ecg: Callable[..., Any]) -> None:
    stream, chunks = await waves(store, ecg)
    twin, its = await waves(store, ecg)
    for sent in (chunks, its):  # the twin has the same samples under the same numbers, and another key
        receipt = await store.send(twin, sent, KNOWN)
        assert bool(receipt.refusals) == (sent is chunks) and len(receipt.durable) == (sent is its) * CHUNKS
    assert await store.evidence(stream) == dict(enumerate(chunks))


async def test_what_was_durable_and_is_gone_is_stored_again(store: Any, ecg: Callable[..., Any]) -> None:
    """As after the restore of an older backup under a station that stays connected."""
    stream, chunks = await waves(store, ecg)
    await store.run("delete from chunk where stream_id = $1 and seq in (0, 7, 8, 39)", stream.id)
    receipt = await store.send(stream, chunks, KNOWN)
    assert (sorted(receipt.durable), receipt.refusals) == (list(KNOWN), [])
    assert await store.evidence(stream) == dict(enumerate(chunks))


async def test_what_is_hot_in_part_and_compacted_in_part_comes_again(store: Any, ecg: Callable[..., Any]) -> None:
    stream, chunks = await waves(store, ecg)
    await store.compact()
    await store.run("delete from chunk where stream_id = $1 and seq < 25", stream.id)
    forged = stream.wave(3, ecg(3, 100, 7), 300)
    receipt = await store.send(stream, [*chunks, forged], KNOWN)
    assert (sorted(receipt.durable), receipt.refusals) == (list(KNOWN), [(3, "chunk_differs")])
    assert await store.value("select count(*) from chunk where stream_id = $1", stream.id) == CHUNKS - 25
    assert await store.evidence(stream) == dict(enumerate(chunks))


async def test_streams_and_connections_in_one_batch_are_told_apart(store: Any, ecg: Callable[..., Any]) -> None:
    (stream, chunks), (other, its) = await waves(store, ecg), await waves(store, ecg, channels=2)
    committer, told = Committer(store.database), []
    for made, sent, wanted in (
        (stream, chunks, [*range(5, 9), *range(20, 31), 39]), (stream, chunks, range(7, 25)),
        (other, its, range(9, 12)),
    ):
        receipt = await store.send(made, [])
        shelf = Shelf(made.id, made.born, made.key, SYSTEM, store.organisation, receipt)
        told.append((receipt, wanted))
        for seq in wanted:
            await committer.put(replace(store.pending(shelf, made, sent[seq]), again=True))
    committer.start()  # now that all of it is one batch
    await committer.stop()
    for receipt, wanted in told:
        assert (sorted(receipt.durable), receipt.refusals) == (list(wanted), [])
