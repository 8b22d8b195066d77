"""A window of a consultation as files for other programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import IO, Annotated, Final, Literal

from aiohttp import web
from pydantic import Field

from telemed.errors import KeyDestroyed
from telemed.http import keys
from telemed.http.announce import load
from telemed.http.review import LATEST
from telemed.http.route import Body, Route, query, uuid_of
from telemed.http.sending import send_parts
from telemed.identity import policy
from telemed.store.folders import DiskFull
from telemed.vitals.export.bundle import Format, Wish, bundle
from telemed.vitals.export.faults import ExportEmpty, ExportNotMeasured, ExportsBusy, ExportTooLong, ExportTooWide
from telemed.vitals.fixes import moment
from telemed.vitals.stored import open_stored

ZIP: Final = "application/zip"
RUNNING: Final = web.AppKey("EXPORTS_RUNNING", asyncio.Semaphore)
EXPORTS_AT_ONCE: Final = 2  # each holds a connection to the database and, for seconds, most of a core
MAKING_SECONDS: Final = 600.0  # a day of 12 leads at 1 kHz takes two minutes
PART_BYTES: Final = 2**20


class ExportQuery(Body):
    """A window of consultation time, ``to_us`` exclusive. ``identified=1`` puts the patient's name into the files."""

    format: Format
    from_us: Annotated[int, Field(ge=0, lt=LATEST)]
    to_us: Annotated[int, Field(ge=0, lt=LATEST)]
    identified: Literal["0", "1"] = "0"


async def export(request: web.Request) -> web.StreamResponse:
    """The window as a zip of EDF+, WFDB or CSV files."""
    app, wanted, actor = request.app, query(request, ExportQuery), request[keys.ACTOR]
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        detail: dict[str, object] = {
            "format": wanted.format, "from_us": wanted.from_us, "to_us": wanted.to_us,
            "identified": wanted.identified == "1",
        }
        await policy.require(connection, actor, "review.export", consultation.target, detail)
    if consultation.person is None:
        raise KeyDestroyed()
    patient = None
    if wanted.identified == "1":
        patient = {"name": consultation.person.name, "birth_year": consultation.person.birth_year}
    wish = Wish(wanted.format, wanted.from_us, wanted.to_us, str(consultation.id), patient)
    if app[RUNNING].locked():
        raise ExportsBusy()
    async with app[RUNNING], asyncio.timeout(MAKING_SECONDS), app[keys.DATABASE].connection() as connection:
        stored = await open_stored(connection, app[keys.SEALER], consultation.id)
        file = await bundle(connection, stored, wish, app[keys.SETTINGS].home, lambda: _gone(request))
    with file:
        name = f"telemed-{moment(wanted.from_us):%Y%m%dT%H%M%SZ}-{wanted.format}.zip"
        response = web.StreamResponse(headers={
            "Content-Type": ZIP, "Content-Disposition": f'attachment; filename="{name}"',
        })
        response.content_length = await asyncio.to_thread(_size, file)
        return await send_parts(request, response, _parts(file), "review.export")


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _size(file: IO[bytes]) -> int:
    size = file.seek(0, 2)
    file.seek(0)
    return size


async def _parts(file: IO[bytes]) -> AsyncIterator[bytes]:
    while part := await asyncio.to_thread(file.read, PART_BYTES):
        yield part


def prepare(app: web.Application) -> None:
    """Bound the exports that are made at the same time."""
    app[RUNNING] = asyncio.Semaphore(EXPORTS_AT_ONCE)


PREPARE = (prepare,)
ROUTES = (
    Route("GET", "/api/v1/consultations/{id}/export", "review.export", export, "A window as EDF+, WFDB or CSV files",
          query=ExportQuery,
          errors=(KeyDestroyed, ExportEmpty, ExportNotMeasured, ExportTooLong, ExportTooWide, ExportsBusy, DiskFull)),
)
