"""The note: drafted, signed once, amended with a reason; sealed, and nothing replaced."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from telemed.http.notes import NOTE_BYTES
from telemed.report.notes import REASON_CHARACTERS, TEXT_CHARACTERS

SECRET = "Канарче Canary, 12/8"


async def ended(server: Any) -> tuple[Any, str]:
    """The clinician, and the path of a consultation of theirs that has ended."""
    clinician = await server.client("clinician")
    status, made = await clinician.post("/api/v1/consultations", {"patient_id": str(server.seed.patients[0])})
    assert status == 201
    path = f"/api/v1/consultations/{made['id']}"
    assert (await clinician.post(f"{path}/admit"))[0] == 200
    assert (await clinician.send("PUT", f"{path}/draft", {"text": f"begun\r\n{SECRET}"}))[0] == 204
    assert (await clinician.post(f"{path}/end"))[0] == 200
    return clinician, path


async def test_a_note_is_drafted_signed_and_amended(server: Any) -> None:
    clinician, path = await ended(server)
    assert (await clinician.get(f"{path}/notes"))[1] == {"draft": f"begun\n{SECRET}", "notes": []}
    assert (await clinician.send("PUT", f"{path}/draft", {"text": "later"}))[0] == 204
    assert (await clinician.get(f"{path}/notes"))[1]["draft"] == "later"

    status, signed = await clinician.post(f"{path}/sign", {"text": f"  {SECRET}\n\tsecond line \n"})
    assert (status, signed["state"], signed["signed_at"] is not None) == (200, "signed", True)
    for number in (2, 3):
        status, amended = await clinician.post(
            f"{path}/amend", {"text": f"{SECRET} {number}", "reason": f"reason {number} Canary"})
        assert (status, amended["state"], amended["signed_at"]) == (200, "amended", signed["signed_at"])
    _, shown = await clinician.get(f"{path}/notes")
    assert shown["draft"] is None
    assert [(one["version"], one["text"], one["reason"], one["by"]["name"]) for one in shown["notes"]] == [
        (1, f"{SECRET}\n\tsecond line", None, "Demo clinician"),
        (2, f"{SECRET} 2", "reason 2 Canary", "Demo clinician"),
        (3, f"{SECRET} 3", "reason 3 Canary", "Demo clinician"),
    ]
    for what, body in (("draft", {"text": "x"}), ("sign", {"text": "x"})):
        status, answer = await clinician.send("PUT" if what == "draft" else "POST", f"{path}/{what}", body)
        assert (status, answer["error"]) == (409, {"code": "state_refused", "params": {"state": "amended"}})


async def test_what_is_written_is_nowhere_in_plain(server: Any) -> None:
    clinician, path = await ended(server)
    await clinician.post(f"{path}/sign", {"text": SECRET})
    await clinician.post(f"{path}/amend", {"text": SECRET, "reason": SECRET})
    async with server.database.connection() as connection:
        rows = [row["row"] for table in ("consultation", "note", "audit_event") for row in await connection.fetch(
            f"select {table}::text as row from {table}")]  # noqa: S608
        assert len(rows) > 5
        for row in rows:
            for hidden in (SECRET, SECRET.encode().hex(), "Canary", b"Canary".hex()):
                assert hidden not in row
        for statement in ("update note set version = 9", "delete from note"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_the_key_takes_the_notes_with_it(server: Any) -> None:
    clinician, path = await ended(server)
    await clinician.post(f"{path}/sign", {"text": SECRET})
    administrator = await server.client("administrator")
    assert (await administrator.delete(f"/api/v1/patients/{server.seed.patients[0]}/key"))[0] == 204
    for answer in (
        await clinician.get(f"{path}/notes"), await clinician.post(f"{path}/amend", {"text": "x", "reason": "y"}),
    ):
        assert (answer[0], answer[1]["error"]["code"]) == (410, "key_destroyed")


async def test_two_signatures_at_once_are_one_and_amendments_are_counted_without_a_hole(server: Any) -> None:
    clinician, path = await ended(server)
    answers = await asyncio.gather(*(clinician.post(f"{path}/sign", {"text": f"text {n}"}) for n in range(4)))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    answers = await asyncio.gather(*(
        clinician.post(f"{path}/amend", {"text": f"text {n}", "reason": "r"}) for n in range(8)
    ))
    assert {status for status, _ in answers} == {200}
    _, shown = await clinician.get(f"{path}/notes")
    assert [one["version"] for one in shown["notes"]] == list(range(1, 10))


@pytest.mark.parametrize("wrong", [
    "", " \n\t ", "x" * (TEXT_CHARACTERS + 1), "a\x00b", "a\x1bb", "\x7f", None, 5, ["x"],
])
async def test_a_text_that_is_none_is_not_signed(server: Any, wrong: Any) -> None:
    clinician, path = await ended(server)
    status, answer = await clinician.post(f"{path}/sign", {"text": wrong})
    assert (status, answer["error"]) == (400, {"code": "invalid_request", "params": {"field": "text"}})
    # The longest, each character escaped in twelve bytes; a text without end is cut off before it is read.
    assert (await clinician.post(f"{path}/sign", {"text": "🫀" * TEXT_CHARACTERS}))[0] == 200
    assert (await clinician.get(f"{path}/notes"))[1]["notes"][0]["text"] == "🫀" * TEXT_CHARACTERS
    status, answer = await clinician.post(f"{path}/amend", {"text": "x" * NOTE_BYTES, "reason": "x"})
    assert (status, answer["error"]["code"]) == (413, "body_too_large")
    for reason in ("", " ", "two\nlines", "x" * (REASON_CHARACTERS + 1), None):
        status, answer = await clinician.post(f"{path}/amend", {"text": "x", "reason": reason})
        assert (status, answer["error"]["params"]) == (400, {"field": "reason"}), reason
    assert (await clinician.post(f"{path}/amend", {"text": "x"}))[0] == 400


async def test_reading_a_note_is_recorded_and_a_draft_is_its_writers(server: Any) -> None:
    clinician, path = await ended(server)
    operator = await server.client("operator")
    assert (await operator.get(f"{path}/notes"))[0] == 403
    await clinician.get(f"{path}/notes")
    async with server.database.connection() as connection:
        rows = await connection.fetch("select outcome, patient_id from audit_event where action = 'note.read'")
        signed = await connection.fetch("select detail from audit_event where action = 'consultation.sign'")
    assert [(row["outcome"], row["patient_id"]) for row in rows] == [
        ("deny", None), ("permit", server.seed.patients[0])]
    assert signed == []
    await clinician.post(f"{path}/sign", {"text": "x"})
    async with server.database.connection() as connection:
        detail = await connection.fetchval("select detail from audit_event where action = 'consultation.sign'")
    assert json.loads(detail) == {"from": "ended", "to": "signed"}


async def test_markup_is_kept_as_it_was_written(server: Any) -> None:
    clinician, path = await ended(server)
    text = "<img src=x onerror=alert(1)> {{x}} %s \u202e\u200b ' ; drop table note; --"
    await clinician.post(f"{path}/sign", {"text": text})
    assert (await clinician.get(f"{path}/notes"))[1]["notes"][0]["text"] == text
