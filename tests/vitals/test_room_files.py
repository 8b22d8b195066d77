"""Files of a visit: taken by content, bounded while they come, unreadable at rest, harmless when they are opened."""

from __future__ import annotations

import asyncio
import hashlib
import resource
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemed.consultation import files
from telemed.consultation.file_types import EXTENSIONS, NAME_LENGTH, Inspection, disposition, label
from telemed.http import files as http_files
from telemed.patient import patients

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 40 + b"\xff\xd9"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(64)
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(32)
HEIC = b"\x00\x00\x00\x18ftypheic" + bytes(64)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(64)
DICOM = bytes(128) + b"DICM" + bytes(64)
TEXT = "Кръвна захар: 5,4 mmol/l\n<5 mg на ден\n".encode()
TAKEN = {"image/jpeg": JPEG, "image/png": PNG, "image/webp": WEBP, "image/heic": HEIC, "application/pdf": PDF,
         "application/dicom": DICOM, "text/plain": TEXT}
REFUSED = {
    "image/svg+xml": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "text/html": b"<!DOCTYPE html><script>alert(1)</script>", "application/zip": b"PK\x03\x04" + bytes(64),
    "application/x-msdownload": b"MZ" + bytes(64), "image/gif": b"GIF89a" + bytes(16),
    "text/xml": b"<?xml version='1.0'?>",
    "application/x-executable": b"\x7fELF" + bytes(64), "application/octet-stream": bytes(range(256)),
}


def path(visit: Any, name: str = "photo.jpg", line: str | None = None, seat: str | None = None) -> str:
    query = f"name={quote(name)}&line={line or uuid4()}" + (f"&as={seat}" if seat else "")
    return f"/api/v1/consultations/{visit.consultation}/files?{query}"


async def send(
    client: Any, url: str, data: Any, media_type: str = "image/jpeg", **headers: str
) -> tuple[int, dict[str, Any]]:
    headers = {"Origin": client.url, "Content-Type": media_type, **headers}
    async with client.http.post(url, data=data, headers=headers) as response:
        return response.status, await response.json()


async def test_a_photo_is_a_line_for_everybody_and_comes_back_byte_for_byte(clinic: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "patient", "Demo patient 1")
    page, guests = await clinic.page(visit), await clinic.guest_page(guest)
    photo = JPEG * 300  # three parts
    status, line = await send(guest.client, path(visit, "снимка.jpeg", seat=guest.seat), photo)
    assert status == 201, line
    assert line["file"] == {
        "id": line["file"]["id"], "name": "снимка.jpeg", "media_type": "image/jpeg", "bytes": len(photo),
        "sha256": hashlib.sha256(photo).hexdigest()}
    assert (line["n"], line["text"], line["by"]["role"]) == (1, "", "patient")
    for one in (page, guests):
        told = await one.said("chat", lambda message: message["lines"])
        assert told["lines"][0]["file"] == line["file"]
    url = f"/api/v1/consultations/{visit.consultation}/files/{line['file']['id']}"
    async with clinic.clinician.http.get(url) as response:
        assert await response.read() == photo
        headers = response.headers
    assert headers["Content-Type"] == "image/jpeg" and headers["Content-Length"] == str(len(photo))
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Content-Disposition"] == (
        "attachment; filename=\"______.jpeg\"; filename*=UTF-8''%D1%81%D0%BD%D0%B8%D0%BC%D0%BA%D0%B0.jpeg")
    async with guest.client.http.get(f"{url}?as={guest.seat}&inline=1") as response:
        assert response.headers["Content-Disposition"].startswith("inline;")
    outside = await clinic.guest(visit, "interpreter", admit=False)
    assert (await outside.client.get(f"{url}?as={outside.seat}"))[0] == 403
    assert (await send(outside.client, path(visit, seat=outside.seat), JPEG))[0] == 403
    other = await clinic.visit(1, admit=False)
    elsewhere = f"/api/v1/consultations/{other.consultation}/files/{line['file']['id']}"
    assert (await clinic.clinician.get(elsewhere))[0] in (403, 404)


@pytest.mark.parametrize("media_type", TAKEN)
async def test_what_is_on_the_list_is_taken(clinic: Any, media_type: str) -> None:
    visit = await clinic.visit()
    for declared in (media_type, "application/octet-stream"):
        status, line = await send(clinic.clinician, path(visit, "x"), TAKEN[media_type], declared)
        assert (status, line["file"]["media_type"]) == (201, media_type)
    url = f"/api/v1/consultations/{visit.consultation}/files/{line['file']['id']}?inline=1"
    async with clinic.clinician.http.get(url) as response:
        assert await response.read() == TAKEN[media_type]
        shown = response.headers["Content-Disposition"].partition(";")[0]
    assert shown == ("inline" if media_type in ("image/jpeg", "image/png", "image/webp") else "attachment")


@pytest.mark.parametrize("found", REFUSED)
async def test_what_is_not_on_the_list_is_refused_whatever_it_says(clinic: Any, found: str) -> None:
    visit = await clinic.visit()
    declared = ["application/octet-stream"] + ([found] if found != "application/octet-stream" else [])
    for media_type in declared:
        status, answer = await send(clinic.clinician, path(visit), REFUSED[found], media_type)
        assert (status, answer["error"]) == (415, {"code": "file_type_refused", "params": {"found": found}})
    for media_type in ("image/jpeg", "text/plain", "application/pdf"):
        status, answer = await send(clinic.clinician, path(visit), REFUSED[found], media_type)
        assert (status, answer["error"]["code"]) == (422, "file_type_differs")
        assert answer["error"]["params"] == {"found": found, "declared": media_type}
    await nothing_left(clinic)


async def test_a_file_that_lies_about_its_type_is_refused(clinic: Any) -> None:
    visit = await clinic.visit()
    for declared, data in (("image/png", JPEG), ("image/jpeg", PDF), ("text/plain", JPEG), ("application/pdf", TEXT),
                           ("text/plain", TEXT + b"\xc3"), ("text/plain", b"a\x00b")):
        status, answer = await send(clinic.clinician, path(visit), data, declared)
        assert (status, answer["error"]["code"]) == (422, "file_type_differs"), declared
    status, answer = await send(clinic.clinician, path(visit), b"")
    assert (status, answer["error"]["code"]) == (400, "file_empty")
    status, answer = await send(clinic.clinician, path(visit), JPEG, "a b/<script>")
    assert (status, answer["error"]["params"]) == (415, {"found": "application/octet-stream"})
    await nothing_left(clinic)


async def test_two_gigabytes_are_refused_before_they_are_read(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader, writer = await asyncio.open_connection("127.0.0.1", int(clinic.server.url.rpartition(":")[2]))
    cookie = next(one for one in clinic.clinician.http.cookie_jar if one.key == "telemed")
    writer.write((
        f"POST {path(visit)} HTTP/1.1\r\nHost: {clinic.server.url[7:]}\r\nOrigin: {clinic.server.url}\r\n"
        f"Cookie: telemed={cookie.value}\r\nContent-Type: image/jpeg\r\nContent-Length: {2 * 2**30}\r\n\r\n"
    ).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
    assert b" 413 " in head
    writer.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    await nothing_left(clinic)


async def test_a_file_of_unknown_length_is_cut_off_at_the_bound(clinic: Any) -> None:
    visit = await clinic.visit()
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield JPEG
        for _ in range(2048):
            sent += 1
            yield bytes(2**20)

    try:
        status, answer = await send(clinic.clinician, path(visit), endless())
    except aiohttp.ClientConnectionError:
        pass  # the server hung up while we were still sending
    else:
        assert (status, answer["error"]["code"]) == (413, "file_too_large")
    assert sent < 2048
    await nothing_left(clinic)


async def test_an_upload_that_breaks_off_leaves_nothing(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    begun = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield JPEG * 200
        begun.set()
        raise RuntimeError("the line drops")

    with pytest.raises((aiohttp.ClientError, RuntimeError)):
        await send(clinic.clinician, path(visit), broken())
    assert begun.is_set()
    await support.until(lambda: not clinic.server.app[http_files.UPLOADS], "the upload is forgotten")
    await nothing_left(clinic)


async def test_a_sender_that_stands_still_is_cut_off(clinic: Any, support: Any, monkeypatch: Any) -> None:
    visit = await clinic.visit()
    monkeypatch.setattr(http_files, "IDLE_SECONDS", 0.2)
    forever = asyncio.Event()

    async def still() -> AsyncIterator[bytes]:
        yield JPEG
        await forever.wait()

    sending = asyncio.create_task(send(clinic.clinician, path(visit), still()))
    await support.until(lambda: clinic.server.app[http_files.UPLOADS], "it began")
    await support.until(lambda: not clinic.server.app[http_files.UPLOADS], "it was cut off")
    forever.set()
    with suppress(aiohttp.ClientError):
        assert (await sending)[0] == 400
    await nothing_left(clinic)


async def test_one_person_sends_two_files_at_a_time(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield JPEG
        await go.wait()
        yield JPEG

    sending = [asyncio.create_task(send(clinic.clinician, path(visit), slow())) for _ in range(2)]
    await support.until(lambda: clinic.server.app[http_files.UPLOADS].total() == 2, "two began")
    status, answer = await send(clinic.clinician, path(visit), JPEG)
    assert (status, answer["error"]["code"]) == (429, "too_many_uploads")
    assert (await send(clinic.operator, path(visit), JPEG))[0] == 201
    go.set()
    assert [status for status, _ in await asyncio.gather(*sending)] == [201, 201]
    assert not clinic.server.app[http_files.UPLOADS]


async def test_a_file_sent_again_is_one_line_and_one_file(clinic: Any) -> None:
    visit = await clinic.visit()
    line = str(uuid4())
    answers = [await send(clinic.clinician, path(visit, line=line), JPEG) for _ in range(3)]
    assert {status for status, _ in answers} == {201} and len({str(answer) for _, answer in answers}) == 1
    both = await asyncio.gather(*(send(clinic.operator, path(visit, line=line), PNG, "image/png") for _ in range(2)))
    assert [answer["n"] for _, answer in both] == [2, 2]
    async with clinic.server.database.connection() as connection:
        assert await connection.fetchval("select count(*) from shared_file") == 2


async def test_a_visit_holds_so_many_files_and_bytes(clinic: Any, monkeypatch: Any) -> None:
    visit = await clinic.visit()
    monkeypatch.setattr(files, "FILES_A_VISIT", 2)
    for _ in range(2):
        assert (await send(clinic.clinician, path(visit), JPEG))[0] == 201
    status, answer = await send(clinic.clinician, path(visit), JPEG)
    assert (status, answer["error"]["code"]) == (409, "files_full")
    monkeypatch.setattr(files, "FILES_A_VISIT", 50)
    monkeypatch.setattr(files, "VISIT_BYTES", 3 * len(JPEG))
    status, answer = await send(clinic.clinician, path(visit), JPEG + b"x")
    assert (status, answer["error"]["code"]) == (409, "files_full")
    assert (await send(clinic.clinician, path(visit), JPEG))[0] == 201


async def test_who_was_removed_meanwhile_sends_nothing(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    guest = await clinic.guest(visit, "relative")
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield JPEG
        await go.wait()
        yield JPEG

    sending = asyncio.create_task(send(guest.client, path(visit, seat=guest.seat), slow()))
    await support.until(lambda: clinic.server.app[http_files.UPLOADS], "it began")
    await clinic.decide(guest, "remove")
    go.set()
    assert (await sending) == (403, {"error": {"code": "seat_removed", "params": {}}})
    await nothing_left(clinic)


async def test_a_shared_file_is_sealed_and_goes_with_the_key(clinic: Any) -> None:
    visit = await clinic.visit()
    status, line = await send(clinic.clinician, path(visit, "canary-name.txt"), b"canary-of-the-file\n", "text/plain")
    assert status == 201
    url = f"/api/v1/consultations/{visit.consultation}/files/{line['file']['id']}"
    async with clinic.server.database.connection() as connection:
        stored = [*await connection.fetch("select * from shared_file"),
                  *await connection.fetch("select * from shared_file_part")]
        for row in stored:
            assert all(b"canary" not in bytes(value) for value in row.values() if isinstance(value, bytes))
            assert "canary" not in str([value for value in row.values() if not isinstance(value, bytes)])
        audited = await connection.fetch("select action, outcome from audit_event where action like 'file.%'")
    assert [(row["action"], row["outcome"]) for row in audited] == [("file.create", "permit")]
    assert (await clinic.clinician.get(url)) == (200, "canary-of-the-file\n")
    async with clinic.server.database.transaction() as connection:
        await connection.execute("update shared_file_part set sealed = set_byte(sealed, 3, 255 - get_byte(sealed, 3))")
    assert (await clinic.clinician.get(url))[1]["error"]["code"] == "seal_broken"
    async with clinic.server.database.transaction() as connection:
        await connection.execute("update attachment set closed_at = now(), closed_reason = 'operator'")
        await patients.destroy_key(connection, clinic.server.seed.patients[0])
    assert (await clinic.clinician.get(url))[1]["error"]["code"] == "key_destroyed"
    assert (await send(clinic.clinician, path(visit), JPEG))[0] == 410


@pytest.mark.parametrize("query", ["line=x", "name=a", "", "line=00000000-0000-0000-0000-000000000000&more=1"])
async def test_a_file_needs_its_line(clinic: Any, query: str) -> None:
    visit = await clinic.visit()
    url = f"/api/v1/consultations/{visit.consultation}/files?{query}"
    status, answer = await send(clinic.clinician, url, JPEG)
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    for file in (str(uuid4()), "../../etc/passwd", "x"):
        found = await clinic.clinician.get(f"/api/v1/consultations/{visit.consultation}/files/{quote(file, safe='')}")
        assert found[0] == 404


@pytest.mark.parametrize(("name", "media_type", "shown"), [
    ("../../etc/passwd", "text/plain", "passwd.txt"), ("C:\\Users\\x\\скан.pdf", "application/pdf", "скан.pdf"),
    ("evil.html", "text/plain", "evil.html.txt"), ("photo.jpg.exe", "image/jpeg", "photo.jpg.exe.jpg"),
    ("annexe\u202egpj.exe", "image/jpeg", "annexegpj.exe.jpg"), ("", "image/png", "file.png"),
    ("a\r\nSet-Cookie: x.png", "image/png", "a Set-Cookie_ x.png"), (" .. ", "image/png", "file.png"),
    ("x" * 300 + ".JPEG", "image/jpeg", "x" * 115 + ".JPEG"), ("\x00\x07.dcm", "application/dicom", "dcm.dcm"),
    ("резултати.csv", "text/plain", "резултати.csv"),
])
def test_a_name_is_a_label(name: str, media_type: str, shown: str) -> None:
    assert label(name, media_type) == shown


@given(st.text(), st.sampled_from(sorted(EXTENSIONS)))
def test_every_name_becomes_a_harmless_one(name: str, media_type: str) -> None:
    shown = label(name, media_type)
    assert 0 < len(shown) <= NAME_LENGTH and shown.isprintable() and "/" not in shown and "\\" not in shown
    assert shown.lower().endswith(EXTENSIONS[media_type]) and label(shown, media_type) == shown
    header = disposition(shown, inline=False)
    assert header.isascii() and header.isprintable() and header.count('"') == 2


@given(st.binary(max_size=700), st.lists(st.integers(1, 97), min_size=1))
def test_what_a_file_is_does_not_depend_on_how_it_is_cut(data: bytes, cuts: list[int]) -> None:
    whole, parts = Inspection(), Inspection()
    whole.feed(data)
    at = 0
    while at < len(data):
        for cut in cuts:
            parts.feed(data[at : at + cut])
            at += cut
    assert whole.found() == parts.found()


async def nothing_left(clinic: Any) -> None:
    """No file, no part, no line of chat; nothing is counted as still coming in."""
    async with clinic.server.database.connection() as connection:
        for table in ("shared_file", "shared_file_part", "chat_line"):
            assert await connection.fetchval(f"select count(*) from {table}") == 0  # noqa: S608
    assert not clinic.server.app[http_files.UPLOADS]
