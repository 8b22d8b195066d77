"""A hold keeps everything; an erasure destroys the key at once and, soon after, what it sealed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from telemed.errors import KeyDestroyed
from telemed.http import keys
from telemed.patient import holds, merging, patients
from telemed.store.sealing import SealBroken
from telemed.vitals.storage.erasing import sweep


async def held(store: Any, connection: Any, patient: UUID) -> Any:
    return await holds.place(connection, store.sealer, store.organisation, patient, "a complaint", store.account)


async def test_erasing_deletes_everything_of_the_patient_and_nothing_of_another(
    store: Any, ecg: Callable[..., Any]
) -> None:
    other_patient, other_attachment = await store.attach()
    gone, other = await store.stream(), await store.stream(attachment=other_attachment)
    numbers, alone = await store.stream("gatt:2a37"), await store.stream(attached=False)
    samples = ecg(3, 2_000)
    chunks = {}
    for stream in (gone, other, alone):
        chunks[stream.id] = {seq: stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(20)}
        await store.send(stream, list(chunks[stream.id].values())[:15])
    await store.send(numbers, [numbers.envelope(seq, b"\x00\x48") for seq in range(5)])
    await store.compact()
    for stream in (gone, other, alone):
        await store.send(stream, list(chunks[stream.id].values())[15:])
    consultation, files = await with_files(store, store.patient)
    _, other_files = await with_files(store, other_patient)
    async with store.database.transaction() as connection:
        await patients.destroy_key(connection, store.patient)
    with pytest.raises(SealBroken):
        await opened_without_the_key(store, gone)
    assert await sweep(store.database) == 4, "two streams, a file and a recording"
    assert await sweep(store.database) == 0
    for table in ("chunk", "frame", "segment", "pyramid", "stream_run"):
        left = await store.run(f"table {table}")
        assert not {gone.id, numbers.id} & {row["stream_id"] for row in left}, table
    assert await store.value("select count(*) from shared_file_part where file_id = $1", files[0]) == 0
    assert await store.value("select count(*) from recording_part where recording_id = $1", files[1]) == 0
    assert await store.value("select count(*) from shared_file_part where file_id = $1", other_files[0]) == 1
    assert await store.value("select count(*) from recording_part where recording_id = $1", other_files[1]) == 1
    for stream in (other, alone):
        assert await store.evidence(stream) == chunks[stream.id]
    assert consultation is not None


async def test_what_comes_after_an_erasure_is_deleted_when_it_would_be_packed(
    store: Any, ecg: Callable[..., Any]
) -> None:
    stream, samples = await store.stream(), ecg(3, 1_000)
    chunks = [stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(10)]
    await store.send(stream, chunks[:5])
    async with store.database.transaction() as connection:
        await patients.destroy_key(connection, store.patient)
    await sweep(store.database)
    await store.send(stream, chunks)  # a connection that was open before and knows the key
    assert await store.value("select count(*) from chunk") == 10
    await store.compact()
    assert await store.value("select count(*) from chunk") == 0
    assert await store.value("select count(*) from segment") == 0


async def test_nothing_of_a_patient_on_hold_is_erased_or_merged_away(store: Any) -> None:
    await store.run("update patient set provisional = true where id = $1", store.patient)
    async with store.database.transaction() as connection:
        hold = await held(store, connection, store.patient)
    other, _ = await store.attach()
    for _ in range(2):
        with pytest.raises(holds.OnHold):
            async with store.database.transaction() as connection:
                await patients.destroy_key(connection, store.patient)
        with pytest.raises(holds.OnHold):
            async with store.database.transaction() as connection:
                await merging.merge(connection, store.sealer, store.patient, other)
        async with store.database.transaction() as connection:
            second = await held(store, connection, store.patient)
            await holds.lift(connection, store.patient, hold.id, store.account)
        hold = second
    async with store.database.transaction() as connection:
        found = await holds.listed(connection, store.sealer, store.patient)
        assert [(one.reason, one.lifted_at is None) for one in found] == [
            ("a complaint", True), ("a complaint", False), ("a complaint", False)]
        await holds.lift(connection, store.patient, hold.id, store.account)
        await patients.destroy_key(connection, store.patient)
        assert [one.reason for one in await holds.listed(connection, store.sealer, store.patient)] == [None] * 3
        with pytest.raises(KeyDestroyed):
            await held(store, connection, store.patient)


async def test_holds_and_erasure_over_http(server: Any) -> None:
    administrator, auditor = await server.client("administrator"), await server.client("auditor")
    clinician = await server.client("clinician")
    path = f"/api/v1/patients/{server.seed.patients[0]}"
    status, hold = await administrator.post(f"{path}/holds", {"reason": "Жалба на близките"})
    assert status == 201 and hold["reason"] == "Жалба на близките"
    assert hold["placed_by"] == str(server.seed.accounts["administrator"]) and hold["lifted_at"] is None
    for method, where, body in (("POST", "/erase", {"reason": "patient_asked"}), ("DELETE", "/key", None)):
        status, answer = await administrator.send(method, path + where, body)
        assert (status, answer["error"]["code"]) == (409, "on_hold")
    assert (await clinician.post(f"{path}/erase", {"reason": "other"}))[0] == 403
    status, listed = await auditor.get(f"{path}/holds")
    assert status == 200 and listed["holds"] == [hold]
    other = f"/api/v1/patients/{server.seed.patients[1]}"
    assert (await administrator.delete(f"{other}/holds/{hold['id']}"))[0] == 404, "a hold of somebody else"
    assert (await administrator.delete(f"{path}/holds/{uuid4()}"))[0] == 404
    assert (await administrator.delete(f"{path}/holds/{hold['id']}"))[0] == 204
    status, answer = await administrator.delete(f"{path}/holds/{hold['id']}")
    assert (status, answer["error"]["code"]) == (409, "conflict"), "it was lifted already"
    assert (await administrator.post(f"{path}/erase", {"reason": "patient_asked"}))[0] == 204
    status, answer = await clinician.get(path)
    assert (status, answer["error"]["code"]) == (410, "key_destroyed")
    async with server.database.connection() as connection:
        rows = await connection.fetch(
            "select action, outcome, detail::text as detail, patient_id from audit_event where action = any($1) "
            "order by id", ["patient.hold", "patient.lift_hold", "patient.erase"])
        assert [(row["action"], row["outcome"]) for row in rows] == [
            ("patient.hold", "permit"), ("patient.erase", "deny"), ("patient.lift_hold", "permit"),
            ("patient.erase", "permit")]
        assert '"patient_asked"' in rows[-1]["detail"] and rows[-1]["patient_id"] == server.seed.patients[0]
        kept = await connection.fetchval("select reason_sealed from legal_hold")
    assert "Жалба".encode() not in bytes(kept)
    assert server.app[keys.SEALER] is not None


async def with_files(store: Any, patient: UUID) -> tuple[UUID, tuple[UUID, UUID]]:
    """A consultation of the patient with a shared file and a recording, of one part each."""
    consultation, file, recording = uuid4(), uuid4(), uuid4()
    async with store.database.transaction() as connection:
        await connection.execute(
            "insert into consultation (id, organisation_id, station_id, patient_id, state) "
            "values ($1, $2, $3, $4, 'ended')", consultation, store.organisation, store.station.id, patient)
        await connection.execute(
            "insert into shared_file (id, organisation_id, consultation_id, author_kind, author_id, media_type, bytes, "
            "key_wrapped, meta_sealed) values ($1, $2, $3, 'account', $4, 'text/plain', 1, '', '')",
            file, store.organisation, consultation, store.account)
        await connection.execute("insert into shared_file_part values ($1, 0, '', 'sealed')", file)
        await connection.execute(
            "insert into recording (id, organisation_id, consultation_id, participant, by_role, source_name, came_at, "
            "key_wrapped) values ($1, $2, $3, 'x', 'clinician', 'camera', now(), '')",
            recording, store.organisation, consultation)
        await connection.execute(
            "insert into recording_part values ($1, 0, 0, 1, true, 1, '', 'sealed')", recording)
    return consultation, (file, recording)


async def opened_without_the_key(store: Any, stream: Any) -> None:
    """What remains is wrapped under a key that is nowhere: another installation's or patient's does not open it."""
    row = await store.run("select key_wrapped from stream where id = $1", stream.id)
    other = (await store.run("select key_wrapped from patient where key_wrapped is not null"))[0]["key_wrapped"]
    store.sealer.unwrap(bytes(row[0]["key_wrapped"]), store.sealer.unwrap(bytes(other)))
