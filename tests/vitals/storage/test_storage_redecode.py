"""Another decoder reads the same envelopes: readings are replaced, hot and packed, and the evidence stays."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from telemed_devices.gatt import decode, encode_heart_rate
from typer.testing import CliRunner

from telemed.cli.program import app
from telemed.errors import NotFound
from telemed.vitals.lanes import DECODER
from telemed.vitals.numbers import stored_readings
from telemed.vitals.storage import compactor, evidence
from telemed.vitals.storage.redecode import Redecoded, redecode

BETTER = "telemed_devices.gatt 2"


def better(format_: str, payload: bytes) -> bytes:
    """A decoder that reads otherwise than today's in every third chunk."""
    found = json.loads(stored_readings(decode(format_, payload)))
    for reading in found["readings"]:
        if int(reading["value"]) % 3 == 0:
            reading["quality"] = ["read_again"]
    return json.dumps(found, ensure_ascii=False).encode()


async def readings(store: Any, stream: Any) -> dict[int, tuple[str, Any]]:
    """Decoder and readings by chunk: packed ones from their segment, others from their frame."""
    found = {}
    for row in await store.run("select * from frame where stream_id = $1", stream.id):
        context = b"frame:%d:%d" % (stream.id, row["seq"])
        plain = stream.key.open(bytes(row["nonce"]), bytes(row["sealed"]), context)
        found[row["seq"]] = (row["decoder"], json.loads(plain))
    for row in await store.run("select * from segment where stream_id = $1", stream.id):
        opened: Any = evidence.open_segment(stream.id, stream.key, row)
        for at, one in enumerate(opened.rows):
            found[opened.first_seq + at] = (one.reading.decoder, json.loads(one.reading.data))
    return found


async def sent(store: Any, packed: int, hot: int) -> tuple[Any, dict[int, bytes]]:
    stream = await store.stream("gatt:2a37")
    chunks = {seq: stream.envelope(seq, encode_heart_rate(60 + seq % 30)) for seq in range(packed + hot)}
    await store.send(stream, [chunks[seq] for seq in range(packed)])
    await store.compact()
    await store.send(stream, [chunks[seq] for seq in range(packed, packed + hot)])
    return stream, chunks


async def test_readings_are_made_again_and_the_evidence_is_not_touched(store: Any) -> None:
    stream, chunks = await sent(store, 600, 300)
    before = await readings(store, stream)
    told: list[tuple[int, int]] = []
    dry = await redecode(store.database, store.sealer, better, BETTER, dry_run=True)
    assert dry == Redecoded(1, 900, 900), "the decoder's name changes everywhere"
    assert await readings(store, stream) == before
    assert await store.value("select count(*) from audit_event where action = 'storage.redecode'") == 0
    done = await redecode(
        store.database, store.sealer, better, BETTER, tell=lambda done, of: told.append((done, of)))
    assert done == dry and told == [(1, 1)]
    after = await readings(store, stream)
    assert await store.evidence(stream) == chunks
    for seq in range(900):
        expected = json.loads(better(stream.format, chunks[seq][40:]))
        assert after[seq] == (BETTER, expected)
    assert sum(after[seq][1] != before[seq][1] for seq in range(900)) == 300
    rows = await store.run(
        "select object_id, patient_id, detail::text as detail from audit_event where action = 'storage.redecode' "
        "order by id")
    assert json.loads(rows[0]["detail"]) == {"decoder": BETTER, "streams": 1}
    assert (rows[1]["object_id"], rows[1]["patient_id"]) == (str(stream.id), store.patient)
    assert json.loads(rows[1]["detail"]) == {"decoder": BETTER, "chunks": 900, "changed": 900}
    assert await redecode(store.database, store.sealer, better, BETTER) == Redecoded(1, 900, 0)
    await store.compact()
    assert await readings(store, stream) == after and await store.evidence(stream) == chunks


async def test_only_the_stream_that_is_asked_for_and_never_samples(store: Any) -> None:
    one, _ = await sent(store, 10, 5)
    other, _ = await sent(store, 10, 5)
    native = await store.stream()
    before = await readings(store, other)
    assert await redecode(store.database, store.sealer, better, BETTER, stream_id=one.id) == Redecoded(1, 15, 15)
    assert await readings(store, other) == before
    for wrong in (native.id, 10**6):
        with pytest.raises(NotFound):
            await redecode(store.database, store.sealer, better, BETTER, stream_id=wrong)


async def test_what_a_compactor_read_before_is_not_packed_after(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, chunks = await sent(store, 0, 300)
    real = compactor._Work.write
    met: list[Redecoded] = []

    async def late(work: Any) -> Any:
        if work._batch.made and not met:  # it has opened the rows, and before it writes they are read again
            met.append(await redecode(store.database, store.sealer, better, BETTER))
        return await real(work)

    monkeypatch.setattr(compactor._Work, "write", late)
    await store.compact()
    assert met == [Redecoded(1, 300, 300)]
    assert await store.value("select count(*) from segment") == 0, "the batch was thrown away"
    assert (await store.compact()).chunks == 300
    await store.drop_hot(stream)
    assert {decoder for decoder, _ in (await readings(store, stream)).values()} == {BETTER}
    assert await store.evidence(stream) == chunks


async def test_the_command_reads_again_with_this_versions_decoder(
    store: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    stream, _ = await sent(store, 10, 5)
    monkeypatch.setenv("DATABASE_URL", store.urls.server)
    monkeypatch.setenv("TELEMED_KEY_FILE", str(store.key_file))
    monkeypatch.setenv("TELEMED_HOME", str(tmp_path))
    await redecode(store.database, store.sealer, better, BETTER)
    for arguments, said in (
        (["--dry-run"], "1 streams, 15 chunks; 15 would read otherwise than before.\n"),
        (["--stream", str(stream.id)], "1 streams, 15 chunks; 15 read otherwise than before.\n"),
        ([], "1 streams, 15 chunks; 0 read otherwise than before.\n"),
    ):
        result = await asyncio.to_thread(CliRunner().invoke, app, ["redecode", *arguments])
        assert (result.exit_code, result.stdout) == (0, said), result.output
    assert {decoder for decoder, _ in (await readings(store, stream)).values()} == {DECODER}
