"""Clinicians who take part beside the assigned one, and whom one may ask."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from telemed.consultation import consultations, participations
from telemed.consultation.consultations import Consultation
from telemed.errors import Conflict, NotFound, StateRefused
from telemed.http import keys
from telemed.http.announce import consultation_json, tell_consultation, tell_left_out, tell_people
from telemed.http.route import Body, Route, answer, body, uuid_of
from telemed.http.shapes import ConsultationShown, Someone
from telemed.identity import policy


class ParticipantNew(Body):
    """Whom to invite: a clinician of the organisation."""

    account_id: UUID


class Colleagues(Body):
    """Clinicians by name."""

    colleagues: list[Someone]


async def list_colleagues(request: web.Request) -> web.Response:
    """The organisation's enabled clinicians."""
    async with request.app[keys.DATABASE].connection() as connection:
        await policy.require(connection, request[keys.ACTOR], "colleague.list")
        found = await participations.colleagues(connection, request[keys.ACCOUNT].organisation_id)
    return answer(Colleagues(colleagues=[Someone(id=one.id, name=one.name) for one in found]))


async def invite(request: web.Request) -> web.Response:
    """Invite a second clinician."""
    wanted, app, actor = await body(request, ParticipantNew), request.app, request[keys.ACTOR]
    async with app[keys.DATABASE].transaction() as connection:
        held = await consultations.hold(connection, app[keys.SEALER], uuid_of(request))
        detail: dict[str, object] = {"account": str(wanted.account_id)}
        await policy.require(connection, actor, "participant.invite", held.target, detail)
        consultation = await participations.invite(
            connection, app[keys.SEALER], held, wanted.account_id, UUID(actor.id)
        )
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)
    tell_people(app, consultation.id)
    return _shown(app, consultation, 201)


async def end(request: web.Request) -> web.Response:
    """A second clinician takes part no longer; its open page ends."""
    app, account_id = request.app, uuid_of(request, "account_id")
    async with app[keys.DATABASE].transaction() as connection:
        held = await consultations.hold(connection, app[keys.SEALER], uuid_of(request))
        detail: dict[str, object] = {"account": str(account_id)}
        await policy.require(connection, request[keys.ACTOR], "participant.end", held.target, detail)
        consultation = await participations.end(connection, app[keys.SEALER], held, account_id)
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)
    tell_left_out(app, consultation.id, account_id)
    return _shown(app, consultation, 200)


def _shown(app: web.Application, consultation: Consultation, status: int) -> web.Response:
    return answer(consultation_json(app, consultation), status)


ROUTES = (
    Route("GET", "/api/v1/colleagues", "colleague.list", list_colleagues, "The organisation's clinicians",
          response=Colleagues),
    Route("POST", "/api/v1/consultations/{id}/participants", "participant.invite", invite,
          "Invite a second clinician", ParticipantNew, ConsultationShown, 201, (StateRefused, Conflict)),
    Route("DELETE", "/api/v1/consultations/{id}/participants/{account_id}", "participant.end", end,
          "A second clinician takes part no longer", response=ConsultationShown, errors=(NotFound,)),
)
