"""Somebody entered at a station whose line is down: the real program, killed twice, and the real server afterwards."""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from telemed_devices.native import unpack_frame
from telemed_station.spool_look import look

NAME, BORN = "Demo patient offline", 1951
SLOW = 60.0  # a program's start on a busy machine takes some seconds


class Line:
    """The line between station and server: a TCP proxy that can be cut."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._writers |= {writer, onward}
        await asyncio.gather(self._pass(reader, onward), self._pass(there, writer), return_exceptions=True)
        self._writers -= {writer, onward}

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def line(clinic: Any) -> AsyncIterator[Line]:
    made = Line(clinic.server.url)
    await made.mend()
    yield made
    await made.cut()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a path that a socket fits in."""
    with tempfile.TemporaryDirectory(prefix="tm-") as folder:
        yield Path(folder)


def telemed(*arguments: str) -> tuple[list[str], dict[str, str]]:
    path = os.pathsep.join(str(Path(one).resolve()) for one in sys.path if one)
    return [sys.executable, "-m", "telemed", *arguments], os.environ | {"PYTHONPATH": path, "LC_ALL": "C.UTF-8"}


@asynccontextmanager
async def station(line: Line, key: str, home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    command, environment = telemed(
        "station", "run", "--server", line.url, "--camera", "none", "--microphone", "none", "--home", str(home))
    process = await asyncio.create_subprocess_exec(
        *command, env=environment | {"TELEMED_STATION_KEY": key}, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def console(home: Path, *options: str) -> tuple[int, str]:
    command, environment = telemed("station", "patient", "--home", str(home), *options)
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def until(condition: Any, what: str) -> Any:
    end = time.monotonic() + SLOW
    while not (value := await condition()):
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.1)
    return value


def spooled(home: Path) -> dict[tuple[str, str], dict[int, np.ndarray[Any, Any]]]:
    """(attachment, source) → stream number → its ECG samples, of what lies in the spool."""
    found: dict[tuple[str, str], dict[int, np.ndarray[Any, Any]]] = {}
    with look(home / "spool.sqlite3") as spool:
        for stream in spool.streams():
            one = stream.descriptor
            parts = [unpack_frame(chunk.data).samples for chunk in spool.chunks(stream.number)
                     if one["kind"] == "ecg"]  # fmt: skip
            if parts:
                found.setdefault((one["attachment"], one["source"]), {})[stream.number] = np.concatenate(parts, axis=1)
    return found


def people(home: Path) -> list[Any]:
    with look(home / "spool.sqlite3") as spool:
        return [(one.attachment, one.name, one.birth_year, one.to_us, one.kept) for one in spool.people()]


async def rows(clinic: Any, statement: str, *values: Any) -> list[Any]:
    async with clinic.server.database.connection() as connection:
        return list(await connection.fetch(statement, *values))


async def waves(clinic: Any, consultation: str) -> dict[int, np.ndarray[Any, Any]]:
    """Server's stream id → ECG samples that the consultation's clinician reads."""
    query = {"kind": "ecg", "view": "raw", "from_us": time.time_ns() // 1000 - 3_600_000_000,
             "to_us": time.time_ns() // 1000 + 3_600_000_000}
    async with clinic.clinician.http.get(f"/api/v1/consultations/{consultation}/waves", params=query) as response:
        body = await response.read()
        assert response.status == 200, body
    at, found = 8 + struct.unpack_from("<I", body)[0], {}
    while at < len(body):
        size = 56 + struct.unpack_from("<I", body, at + 40)[0]
        frame = unpack_frame(body[at : at + size])
        found.setdefault(frame.stream, []).append(frame.samples)
        at += size + (-size % 8)
    return {stream: np.concatenate(parts, axis=1) for stream, parts in found.items()}


async def test_a_patient_entered_offline_has_every_sample_and_the_one_before_has_none(
    clinic: Any, line: Line, home: Path
) -> None:
    key, before = clinic.server.seed.station_key, await clinic.visit(0)
    async with station(line, key, home) as process:
        async def recorded() -> Any:
            return await rows(
                clinic, "select 1 from chunk join stream on stream.id = stream_id"
                " where attachment_id = $1 and kind = 'ecg' and seq > 5", before.attachment)

        await until(recorded, "the first patient is recorded")
        code, said = await console(home, "--name", NAME)
        assert code == 1 and "[station_online]" in said
        assert await console(home) == (0, "Nobody entered at this station is there.\n")
        await line.cut()

        async def entered() -> bool:
            code, said = await console(home, "--name", f"  {NAME} ", "--born", str(BORN))
            assert code == 0 or "[station_online]" in said, said
            return code == 0

        await until(entered, "somebody is entered")
        assert await console(home) == (0, f"{NAME}, {BORN}\n")
        ((attachment, *person),) = people(home)
        assert person == [NAME, BORN, None, 0]

        async def measured() -> bool:
            return any(one == attachment for one, _ in spooled(home))

        await until(measured, "samples of the new patient")
        assert (home / "console").stat().st_mode & 0o777 == 0o600
        assert (home / "spool.sqlite3").stat().st_mode & 0o777 == 0o600
        process.kill()
        await process.wait()
    first_run = spooled(home)
    assert [one for one, _ in first_run].count(attachment) == 1
    code, said = await console(home)
    assert code == 1 and "[station_not_running]" in said
    async with station(line, key, home) as process:
        async def again() -> bool:
            return [one for one, _ in spooled(home)].count(attachment) == 2

        await until(again, "the second run goes on for the patient")
        process.kill()
        await process.wait()
    kept = {number: samples for (one, _), streams in spooled(home).items() if one == attachment
            for number, samples in streams.items()}  # fmt: skip
    assert len(kept) == 2
    await line.mend()
    async with station(line, key, home):
        async def stored() -> Any:
            return await rows(
                clinic, "select 1 from stream where attachment_id = $1 and kind = 'ecg' having count(*) >= 3",
                attachment)

        await until(stored, "the server has the patient")

        async def emptied() -> bool:
            return not {number for streams in spooled(home).values() for number in streams} & kept.keys()

        await until(emptied, "everything of before is acknowledged")
        ((*_, to_us, is_kept),) = people(home)
        assert (to_us, is_kept) == (None, 1), "it stays here until it has an end"
        assert await console(home) == (0, f"{NAME}, {BORN}\n")
        await check(clinic, before, attachment, kept)

        async def forgotten() -> bool:
            return not people(home)

        await until(forgotten, "the visit ended, and with it the patient's time here")


async def check(clinic: Any, before: Any, attachment: str, kept: dict[int, Any]) -> None:
    first, then = await rows(clinic, "select * from attachment order by opened_at")
    assert (str(first["id"]), str(then["id"])) == (before.attachment, attachment)
    assert first["closed_at"] == then["opened_at"] and first["closed_reason"] == "next_patient"
    assert (then["opened_by"], then["closed_at"], first["closed_by"]) == (None, None, None)
    status, shown = await clinic.operator.get(f"/api/v1/patients/{then['patient_id']}")
    assert status == 200 and (shown["name"], shown["birth_year"], shown["provisional"]) == (NAME, BORN, True)
    assert len(await rows(clinic, "select 1 from patient where provisional")) == 1
    audited = await rows(clinic, "select outcome, patient_id from audit_event where actor_kind = 'station'"
                                 " and action = 'station_socket.provisional'")
    assert [(one["outcome"], one["patient_id"]) for one in audited] == [("permit", then["patient_id"])]
    # The station's page shows it, as anybody else who is connected.
    status, listed = await clinic.operator.get(
        "/api/v1/attachments", params={"station_id": clinic.server.seed.station_id})
    assert [one["id"] for one in listed["attachments"] if one["closed_at"] is None] == [attachment]

    # A visit of the patient's own: what was measured before the line was back is in it, to the sample.
    patient = str(then["patient_id"])
    await clinic.end(before)
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    status, made = await clinic.operator.post("/api/v1/consultations", {
        "station_id": clinic.server.seed.station_id, "patient_id": patient, "scheduled_at": soon})
    assert status == 201, made
    for step, who in (("arrive", clinic.operator), ("admit", clinic.clinician)):
        status, answer = await who.post(f"/api/v1/consultations/{made['id']}/{step}")
        assert status == 200, answer
    numbers = {one["id"]: one["number"] for one in await rows(clinic, "select id, number from stream")}
    read = {numbers[stream]: samples for stream, samples in (await waves(clinic, made["id"])).items()}
    for number, samples in kept.items():
        assert np.array_equal(read[number], samples), f"stream {number}"
    assert len(read) >= 3 and not set(read) & {one["number"] for one in await rows(
        clinic, "select number from stream where attachment_id = $1", before.attachment)}
    status, review = await clinic.clinician.get(f"/api/v1/consultations/{made['id']}/review")
    opened_us = round(then["opened_at"].timestamp() * 1_000_000)
    assert status == 200 and min(one["from_us"] for one in review["streams"]) >= opened_us - 100_000

    # It turns out who it is.
    into = str(clinic.server.seed.patients[1])
    assert (await clinic.clinician.post(f"/api/v1/consultations/{made['id']}/end"))[0] == 200
    status, answer = await clinic.operator.post(
        f"/api/v1/patients/{patient}/merge", {"into": into, "reason": "same_person"})
    assert (status, answer["id"]) == (200, into)
    after = {numbers.get(stream): samples for stream, samples in (await waves(clinic, made["id"])).items()}
    for number, samples in kept.items():
        assert np.array_equal(after[number], samples), f"stream {number} of the other"
