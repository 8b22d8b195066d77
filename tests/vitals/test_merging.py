"""A provisional patient merged into the one it is: everything is read under the other, and under nobody else's key."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from telemed.consultation import chat, door, files
from telemed.errors import KeyDestroyed
from telemed.http import keys
from telemed.patient import merging, patients
from telemed.store.sealing import SealBroken, Sealer
from telemed.vitals.stored import open_stored

TEXT = "Канарче: said while provisional"
PHOTO = b"%PDF-1.4\n" + b"Demo file\n" * 300 + b"%%EOF\n"


async def provisional(clinic: Any, name: str = "Demo provisional") -> str:
    status, made = await clinic.operator.post("/api/v1/patients", {
        "name": name, "birth_year": 1950, "provisional": True,
    })
    assert status == 201
    return str(made["id"])


async def merge(clinic: Any, one: Any, into: Any, reason: str = "same_person", client: Any = None) -> tuple[int, Any]:
    return await (client or clinic.operator).post(
        f"/api/v1/patients/{one}/merge", {"into": str(into), "reason": reason}
    )


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


async def visited(clinic: Any, support: Any, patient: str, seconds: float = 3.0) -> Any:
    """An ended visit of the patient, with samples, a line and a file. Its attachment's backlog is not all in yet."""
    where = {"station_id": clinic.server.seed.station_id, "patient_id": patient}
    status, made = await clinic.operator.post("/api/v1/consultations", where)
    assert status == 201, made
    status, attached = await clinic.operator.post("/api/v1/attachments", {**where, "consultation_id": made["id"]})
    assert status == 201, attached
    visit = support.Visit(made["id"], attached["id"])
    path = f"/api/v1/consultations/{visit.consultation}"
    assert (await clinic.clinician.post(f"{path}/admit"))[0] == 200
    station = await clinic.station()
    wave = support.ecg(int.from_bytes(uuid4().bytes[:3]), support.now_us() + 1_000_000, seconds)
    await clinic.announced(station, wave, visit.attachment)
    for seq in range(wave.chunks):
        await station.socket.send_bytes(wave.packed(seq))
    await clinic.acked(station, wave.number, wave.chunks - 1)
    page = await clinic.page(visit)
    await page.send({"type": "say", "line": str(uuid4()), "text": TEXT})
    await page.said("chat", lambda one: one["lines"])
    async with clinic.clinician.http.post(
        f"{path}/files", params={"name": "demo.pdf", "line": str(uuid4())}, data=PHOTO,
        headers={"Origin": clinic.server.url, "Content-Type": "application/pdf"},
    ) as response:
        assert response.status == 201, await response.text()
    status, _ = await clinic.operator.send("PUT", f"{path}/place", {"address": "Demo village", "phone": "112"})
    assert status == 200
    await clinic.end(visit)
    return visit


async def everything_of(clinic: Any, visit: Any) -> dict[str, Any]:
    """What a clinician reads of the visit, plain."""
    path = f"/api/v1/consultations/{visit.consultation}"
    _, shown = await clinic.clinician.get(path)
    status, chat = await clinic.clinician.get(f"{path}/chat")
    assert status == 200, chat
    file = next(one["file"] for one in chat["lines"] if one["file"] is not None)
    async with clinic.clinician.http.get(f"{path}/files/{file['id']}") as response:
        assert response.status == 200
        content = await response.read()
    _, place = await clinic.operator.get(f"{path}/place")
    async with clinic.clinician.http.get(
        f"{path}/waves", params={"kind": "ecg", "view": "raw", "from_us": 0, "to_us": 86_400_000_000}
    ) as waves:
        assert waves.status in (200, 400)
    async with clinic.server.database.connection() as connection:
        stored = await open_stored(connection, clinic.server.app[keys.SEALER], UUID(visit.consultation))
        samples = []
        for stream in stored.streams:
            for row in await connection.fetch(
                "select seq, nonce, sealed from chunk where stream_id = $1 order by seq", stream.card.id
            ):
                context = b"chunk:%d:%d" % (stream.card.id, row["seq"])
                samples.append(stream.key.open(row["nonce"], row["sealed"], context))
    _, review = await clinic.clinician.get(f"{path}/review")
    return {
        "patient": shown["patient"], "chat": chat["lines"], "file": content, "place": place, "samples": samples,
        "streams": review["streams"],
    }


async def test_everything_is_read_under_the_patient_that_it_is(clinic: Any, support: Any) -> None:
    one, into = await provisional(clinic), str(clinic.server.seed.patients[0])
    first = await visited(clinic, support, one)
    second = await visited(clinic, support, one)
    status, planned = await clinic.operator.post("/api/v1/consultations", {
        "station_id": None, "patient_id": one, "scheduled_at": "2027-01-01T10:00:00Z",
    })
    assert status == 201, planned
    await clinic.operator.post(f"/api/v1/patients/{one}/consents", {
        "purpose": "care", "given": True, "version": "1", "language": "bg", "given_by": "patient",
    })
    before = [await everything_of(clinic, visit) for visit in (first, second)]
    assert TEXT in [line["text"] for line in before[0]["chat"]]
    assert before[0]["file"] == PHOTO
    assert before[0]["samples"]

    status, answer = await merge(clinic, one, into, "typing_error")
    assert (status, answer["id"]) == (200, into)
    after = [await everything_of(clinic, visit) for visit in (first, second)]
    for was, now in zip(before, after, strict=True):
        assert now.pop("patient")["id"] == into
        assert was.pop("patient")["id"] == one
        assert now == was
    assert (await clinic.operator.get(f"/api/v1/consultations/{planned['id']}"))[1]["patient"]["id"] == into
    _, consents = await clinic.operator.get(f"/api/v1/patients/{into}/consents")
    assert [event["purpose"] for event in consents["consents"]] == ["care"]

    # The provisional patient is nowhere any more, says into whom it went, and its key is destroyed.
    _, listed = await clinic.operator.get("/api/v1/patients")
    assert one not in {patient["id"] for patient in listed["patients"]}
    _, searched = await clinic.operator.get("/api/v1/patients", params={"q": "provisional"})
    assert searched["patients"] == []
    status, gone = await clinic.operator.get(f"/api/v1/patients/{one}")
    assert (status, gone["error"]) == (410, {"code": "patient_merged", "params": {"into": into}})
    where = {"station_id": clinic.server.seed.station_id, "patient_id": one}
    for path in ("/api/v1/consultations", "/api/v1/attachments"):
        assert code(await clinic.operator.post(path, where)) == (410, "key_destroyed")
    async with clinic.server.database.connection() as connection:
        row = await connection.fetchrow("select * from patient where id = $1", UUID(one))
        assert (row["sealed"], row["key_wrapped"], str(row["merged_into"])) == (None, None, into)
        assert row["merged_at"] == row["key_destroyed_at"]
        events = await connection.fetch(
            "select outcome, patient_id::text, detail from audit_event where action = 'patient.merge' order by id"
        )
    assert [(event["outcome"], event["patient_id"]) for event in events] == [("permit", one), ("permit", into)]
    assert '"typing_error"' in events[0]["detail"]
    assert '"streams": 2' in events[1]["detail"]

    # What the provisional patient's station still has is stored under the other.
    station = await clinic.station()
    late = support.ecg(77, support.now_us(), 1.0)
    await clinic.announced(station, late, first.attachment)
    await station.socket.send_bytes(late.packed(0))
    await clinic.acked(station, late.number, 0)
    assert len((await everything_of(clinic, first))["samples"]) > len(after[0]["samples"])


async def test_destroying_the_others_key_makes_all_of_it_unreadable(clinic: Any, support: Any) -> None:
    one, into = await provisional(clinic), str(clinic.server.seed.patients[0])
    visit = await visited(clinic, support, one)
    sealer: Sealer = clinic.server.app[keys.SEALER]
    async with clinic.server.database.connection() as connection:
        former = sealer.unwrap(await connection.fetchval("select key_wrapped from patient where id = $1", UUID(one)))
    assert (await merge(clinic, one, into))[0] == 200
    # Even who kept the provisional patient's key opens nothing with it.
    async with clinic.server.database.connection() as connection:
        for table in ("stream", "shared_file"):
            for row in await connection.fetch(f"select key_wrapped from {table}"):  # noqa: S608
                with pytest.raises(SealBroken):
                    sealer.unwrap(row["key_wrapped"], former)
    administrator = await clinic.server.client("administrator")
    assert (await administrator.delete(f"/api/v1/patients/{into}/key"))[0] == 204
    path = f"/api/v1/consultations/{visit.consultation}"
    for place in ("chat", "review"):
        assert code(await clinic.clinician.get(f"{path}/{place}")) == (410, "key_destroyed")
    async with clinic.server.database.connection() as connection:
        with pytest.raises(KeyDestroyed):
            await open_stored(connection, sealer, UUID(visit.consultation))


async def test_what_is_refused(clinic: Any, stranger: Any, support: Any) -> None:
    one, into = await provisional(clinic), str(clinic.server.seed.patients[0])
    other = str(clinic.server.seed.patients[1])
    assert code(await merge(clinic, into, other)) == (409, "not_provisional")
    assert code(await merge(clinic, one, one)) == (400, "invalid_request")
    assert code(await merge(clinic, one, into, "because")) == (400, "invalid_request")
    assert code(await merge(clinic, one, uuid4())) == (404, "not_found")
    assert code(await merge(clinic, uuid4(), into)) == (404, "not_found")
    assert code(await merge(clinic, one, stranger.patients[0])) == (404, "not_found")
    theirs = await clinic.server.client("operator", stranger)
    assert code(await merge(clinic, one, stranger.patients[0], client=theirs)) == (404, "not_found")
    assert code(await merge(clinic, one, into, client=await clinic.server.client("auditor"))) == (403, "forbidden")

    where = {"station_id": clinic.server.seed.station_id, "patient_id": one}
    _, attached = await clinic.operator.post("/api/v1/attachments", where)
    assert code(await merge(clinic, one, into)) == (409, "still_attached")
    await clinic.operator.post(f"/api/v1/attachments/{attached['id']}/close")
    _, waiting = await clinic.operator.post("/api/v1/consultations", where)
    assert code(await merge(clinic, one, into)) == (409, "visit_open")
    await clinic.operator.post(f"/api/v1/consultations/{waiting['id']}/cancel")

    administrator = await clinic.server.client("administrator")
    assert (await administrator.delete(f"/api/v1/patients/{other}/key"))[0] == 204
    assert code(await merge(clinic, one, other)) == (410, "key_destroyed")
    assert (await clinic.operator.get(f"/api/v1/patients/{one}"))[0] == 200  # nothing of that changed it
    assert (await merge(clinic, one, into))[0] == 200
    assert code(await merge(clinic, one, into)) == (410, "patient_merged")
    another = await provisional(clinic, "Demo provisional 2")
    assert code(await merge(clinic, another, one)) == (410, "patient_merged")


async def test_one_merged_after_another_leads_to_who_it_is_in_one_step(clinic: Any) -> None:
    first, second = await provisional(clinic), await provisional(clinic, "Demo provisional 2")
    into = str(clinic.server.seed.patients[0])
    assert (await merge(clinic, first, second))[0] == 200
    assert (await merge(clinic, second, into))[0] == 200
    for one in (first, second):
        _, gone = await clinic.operator.get(f"/api/v1/patients/{one}")
        assert gone["error"]["params"] == {"into": into}


async def test_two_at_once_merge_once(clinic: Any) -> None:
    one = await provisional(clinic)
    answers = await asyncio.gather(*(merge(clinic, one, into) for into in clinic.server.seed.patients * 3))
    assert sorted(status for status, _ in answers) == [200] + [410] * 5


async def test_merging_into_each_other_does_not_wait_for_ever(clinic: Any) -> None:
    one, two = await provisional(clinic), await provisional(clinic, "Demo provisional 2")
    answers = await asyncio.gather(*(merge(clinic, *pair) for pair in ((one, two), (two, one)) * 3))
    assert [status for status, _ in answers].count(200) == 1


async def test_a_stream_that_is_announced_meanwhile_is_read_under_the_other(clinic: Any, support: Any) -> None:
    """The announce waits for the merge, or the merge for the announce: the key is wrapped right either way."""
    into = str(clinic.server.seed.patients[0])
    station = await clinic.station()
    for turn in range(4):
        one = await provisional(clinic, f"Demo provisional {turn}")
        where = {"station_id": clinic.server.seed.station_id, "patient_id": one}
        _, made = await clinic.operator.post("/api/v1/consultations", where)
        _, attached = await clinic.operator.post("/api/v1/attachments", {**where, "consultation_id": made["id"]})
        await clinic.operator.post(f"/api/v1/consultations/{made['id']}/cancel")
        waves = [support.ecg(1000 * (turn + 1) + number, support.now_us(), 0.4) for number in range(6)]
        for wave in waves[:3]:
            await station.send(wave.announce(attached["id"]))
        merged = asyncio.create_task(merge(clinic, one, into))
        for wave in waves[3:]:
            await station.send(wave.announce(attached["id"]))
        for wave in waves:
            await station.said("announced", lambda said, wave=wave: said["number"] == wave.number)
        assert (await merged)[0] == 200
        async with clinic.server.database.connection() as connection:
            stored = await open_stored(connection, clinic.server.app[keys.SEALER], UUID(made["id"]))
        assert len(stored.streams) == len(waves)


async def test_more_keys_than_one_batch_go_over(clinic: Any, support: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "BATCH", 2)
    one = await provisional(clinic)
    where = {"station_id": clinic.server.seed.station_id, "patient_id": one}
    _, made = await clinic.operator.post("/api/v1/consultations", where)
    _, attached = await clinic.operator.post("/api/v1/attachments", {**where, "consultation_id": made["id"]})
    await clinic.operator.post(f"/api/v1/consultations/{made['id']}/cancel")
    station = await clinic.station()
    for number in range(5):
        await clinic.announced(station, support.ecg(number, support.now_us(), 0.4), attached["id"])
    assert (await merge(clinic, one, clinic.server.seed.patients[0]))[0] == 200
    async with clinic.server.database.connection() as connection:
        stored = await open_stored(connection, clinic.server.app[keys.SEALER], UUID(made["id"]))
        assert len(stored.streams) == 5
        assert await patients.get(connection, clinic.server.app[keys.SEALER], UUID(one))


class MergedBetween:
    """A connection whose patient is merged after its first statement: the worst moment for whoever reads."""

    def __init__(self, connection: Any, merging_now: Any) -> None:
        self._connection, self._merging = connection, merging_now

    def __getattr__(self, name: str) -> Any:
        async def called(*statement: Any) -> Any:
            answered = await getattr(self._connection, name)(*statement)
            if self._merging is not None:
                now, self._merging = self._merging, None
                assert (await now)[0] == 200
            return answered

        return called


@pytest.mark.parametrize("what", ["chat", "file", "streams"])
async def test_who_reads_while_it_is_merged_reads_all_the_same(clinic: Any, support: Any, what: str) -> None:
    one = await provisional(clinic)
    visit = await visited(clinic, support, one)
    sealer, consultation = clinic.server.app[keys.SEALER], UUID(visit.consultation)
    async with clinic.server.database.connection() as real:
        room = await door.find(real, consultation)
        file = await real.fetchval("select id from shared_file where consultation_id = $1", consultation)
        connection = MergedBetween(real, merge(clinic, one, clinic.server.seed.patients[0]))
        if what == "chat":
            lines = await chat.after(connection, sealer, consultation, 0)
            assert [line.file.id for line in lines if line.file is not None] == [file]
        elif what == "file":
            assert (await files.find(connection, sealer, room, file)).brief.bytes == len(PHOTO)
        else:
            assert len((await open_stored(connection, sealer, consultation)).streams) == 1
        assert (await clinic.operator.get(f"/api/v1/patients/{one}"))[1]["error"]["code"] == "patient_merged"
