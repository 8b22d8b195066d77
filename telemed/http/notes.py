"""The clinician's note: drafted, signed, amended. Whoever the consultation is assigned to writes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import AfterValidator, StringConstraints

from telemed.consultation import consultations
from telemed.consultation.states import Event
from telemed.errors import Conflict, KeyDestroyed, StateRefused
from telemed.http import keys
from telemed.http.announce import consultation_json, load, tell_consultation
from telemed.http.route import Body, Line, Route, answer, body, uuid_of
from telemed.http.shapes import ConsultationShown, Someone
from telemed.identity import policy
from telemed.report import notes
from telemed.report.notes import REASON_CHARACTERS, TEXT_CHARACTERS

NOTE_BYTES = 262_144  # of the JSON: a character may come escaped as two surrogates of six bytes each
# Lines of text: every control character but line feed, carriage return and tab is refused.
_WRITTEN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"


def _one_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


Draft = Annotated[
    str, StringConstraints(max_length=TEXT_CHARACTERS, pattern=_WRITTEN), AfterValidator(_one_line_end)
]
Written = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=TEXT_CHARACTERS, pattern=_WRITTEN),
    AfterValidator(_one_line_end),
]
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=REASON_CHARACTERS)]


class DraftChange(Body):
    """The draft as it is now; empty removes it."""

    text: Draft


class Signature(Body):
    """The text that is signed."""

    text: Written


class Amendment(Body):
    """The whole text as it is to be read from now on, and why."""

    text: Written
    reason: Reason


class NoteShown(Body):
    """One signed version; only amendments have a reason."""

    version: int
    at: datetime
    by: Someone
    text: str
    reason: str | None


class Notes(Body):
    """The draft, for whoever may write it, and the signed versions, the first first."""

    draft: str | None
    notes: list[NoteShown]


async def read_notes(request: web.Request) -> web.Response:
    """The draft and the signed versions."""
    app, actor = request.app, request[keys.ACTOR]
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(connection, actor, "note.read", consultation.target)
        writes = policy.decide(actor, "note.draft", consultation.target) is None
        draft = await notes.draft(connection, app[keys.SEALER], consultation) if writes else None
        found = await notes.listed(connection, app[keys.SEALER], consultation)
    return answer(Notes(draft=draft, notes=[
        NoteShown(version=one.version, at=one.at, by=Someone(id=one.by.id, name=one.by.name), text=one.text,
                  reason=one.reason)
        for one in found
    ]))


async def keep_draft(request: web.Request) -> web.Response:
    """Keep the draft."""
    wanted, app = await body(request, DraftChange, NOTE_BYTES), request.app
    async with app[keys.DATABASE].transaction() as connection:
        held = await consultations.hold(connection, app[keys.SEALER], uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "note.draft", held.target)
        await notes.keep_draft(connection, app[keys.SEALER], held, wanted.text)
    return web.Response(status=204)


async def sign(request: web.Request) -> web.Response:
    """Sign the note of an ended consultation."""
    wanted = await body(request, Signature, NOTE_BYTES)
    return await _written(request, Event.SIGN, wanted.text, None)


async def amend(request: web.Request) -> web.Response:
    """Amend a signed note; what was signed before stays to be read."""
    wanted = await body(request, Amendment, NOTE_BYTES)
    return await _written(request, Event.AMEND, wanted.text, wanted.reason)


async def _written(request: web.Request, event: Event, text: str, reason: str | None) -> web.Response:
    app, actor, sealer = request.app, request[keys.ACTOR], request.app[keys.SEALER]
    async with app[keys.DATABASE].transaction() as connection:
        held = await consultations.hold(connection, sealer, uuid_of(request))
        await policy.require(
            connection, actor, f"consultation.{event.value}", held.target, consultations.edge(held, event)
        )
        if reason is None:
            consultation = await notes.sign(connection, sealer, held, text, UUID(actor.id))
        else:
            consultation = await notes.amend(connection, sealer, held, text, reason, UUID(actor.id))
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)
    return answer(consultation_json(app, consultation))


ROUTES = (
    Route("GET", "/api/v1/consultations/{id}/notes", "note.read", read_notes, "The draft and the signed versions",
          response=Notes, errors=(KeyDestroyed,)),
    Route("PUT", "/api/v1/consultations/{id}/draft", "note.draft", keep_draft, "Keep the draft", DraftChange,
          status=204, errors=(StateRefused, KeyDestroyed)),
    Route("POST", "/api/v1/consultations/{id}/sign", "consultation.sign", sign, "Sign the note", Signature,
          ConsultationShown, errors=(StateRefused, KeyDestroyed)),
    Route("POST", "/api/v1/consultations/{id}/amend", "consultation.amend", amend, "Amend the signed note", Amendment,
          ConsultationShown, errors=(StateRefused, Conflict, KeyDestroyed)),
)
