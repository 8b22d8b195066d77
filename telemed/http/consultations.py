"""Consultations: the work list, admitting, ending."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import Field

from telemed.audit import Actor
from telemed.consultation import consultations
from telemed.consultation.states import Event, State
from telemed.errors import Conflict, InvalidRequest, KeyDestroyed, NotFound, StateRefused, StationBusy
from telemed.http import keys
from telemed.http.announce import consultation_json, cut_off, load, tell_attachment, tell_consultation
from telemed.http.route import STATION_ID_MAX, Body, Route, answer, body, query, uuid_of
from telemed.http.shapes import ConsultationShown
from telemed.identity import accounts, policy, stations
from telemed.patient import attachments, patients
from telemed.store.database import Connection


class ConsultationNew(Body):
    """A consultation for a patient at a station, waiting from now; assigned to a clinician or to none."""

    station_id: Annotated[int, Field(ge=1, le=STATION_ID_MAX)]
    patient_id: UUID
    clinician_id: UUID | None = None


class Consultations(Body):
    """Consultations, newest first."""

    consultations: list[ConsultationShown]


class ConsultationFilter(Body):
    """Which ones: in this state, or all."""

    state: State | None = None


async def list_consultations(request: web.Request) -> web.Response:
    """The work list: a clinician sees nobody else's, an operator the organisation's."""
    wanted, actor = query(request, ConsultationFilter), request[keys.ACTOR]
    only_for = None if "operator" in actor.roles else UUID(actor.id)
    async with request.app[keys.DATABASE].transaction() as connection:
        found = await consultations.listed(
            connection, request.app[keys.SEALER], request[keys.ACCOUNT].organisation_id, wanted.state, only_for
        )
        detail: dict[str, object] = {"patients": sorted({str(one.patient_id) for one in found})}
        await policy.require(connection, actor, "consultation.list", detail=detail)
    return answer(Consultations(consultations=[consultation_json(request.app, one) for one in found]))


async def create_consultation(request: web.Request) -> web.Response:
    """A patient waits at a station."""
    wanted, actor, app = await body(request, ConsultationNew), request[keys.ACTOR], request.app
    async with app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, app[keys.SEALER], wanted.patient_id)
        station = await stations.get(connection, wanted.station_id)
        if station.organisation_id != request[keys.ACCOUNT].organisation_id:
            await policy.require(connection, actor, "consultation.create", station.target)
            raise NotFound()
        await policy.require(connection, actor, "consultation.create", patient.target, {"station": station.id})
        if patient.person is None:
            raise KeyDestroyed()
        if wanted.clinician_id is not None:
            await _check_clinician(connection, actor, wanted.clinician_id)
        consultation = await consultations.create(
            connection, app[keys.SEALER], patient, station, wanted.clinician_id
        )
        at_station = await consultations.current_at_station(connection, station.id)
    tell_consultation(app, consultation, at_station)
    return answer(consultation_json(app, consultation), 201)


async def _check_clinician(connection: Connection, actor: Actor, clinician_id: UUID) -> None:
    try:
        account = await accounts.get(connection, clinician_id)
    except NotFound:
        raise InvalidRequest(field="clinician_id") from None
    ours = account.organisation_id == actor.organisation_id
    if not ours or "clinician" not in account.roles or account.disabled_at is not None:
        raise InvalidRequest(field="clinician_id")


async def read_consultation(request: web.Request) -> web.Response:
    """One consultation."""
    async with request.app[keys.DATABASE].transaction() as connection:
        consultation = await load(request.app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "consultation.read", consultation.target)
    return answer(consultation_json(request.app, consultation))


async def admit(request: web.Request) -> web.Response:
    """A clinician takes a waiting patient: the consultation is live."""
    app, actor = request.app, request[keys.ACTOR]
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(connection, actor, "consultation.admit", consultation.target)
        consultation = await consultations.admit(connection, app[keys.SEALER], consultation, UUID(actor.id))
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)
    return answer(consultation_json(app, consultation))


async def end(request: web.Request) -> web.Response:
    """End a live consultation; its attachment closes with it."""
    return await _finish(request, "consultation.end", Event.END)


async def cancel(request: web.Request) -> web.Response:
    """Cancel a consultation that has not begun; its attachment closes with it."""
    return await _finish(request, "consultation.cancel", Event.CANCEL)


async def _finish(request: web.Request, action: str, event: Event) -> web.Response:
    app, actor = request.app, request[keys.ACTOR]
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(connection, actor, action, consultation.target)
        before = await attachments.current(connection, consultation.station_id)
        consultation = await consultations.end(connection, app[keys.SEALER], consultation, event, UUID(actor.id))
        after = await attachments.current(connection, consultation.station_id)
        closed = None if before is None or before == after else await attachments.get(connection, before.id)
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    cut_off(app, closed)
    if before != after:
        tell_attachment(app, consultation.station_id, None if after is None else after.id)
    tell_consultation(app, consultation, at_station)
    return answer(consultation_json(app, consultation))


ROUTES = (
    Route("GET", "/api/v1/consultations", "consultation.list", list_consultations, "The work list",
          response=Consultations, query=ConsultationFilter),
    Route("POST", "/api/v1/consultations", "consultation.create", create_consultation, "A patient waits at a station",
          ConsultationNew, ConsultationShown, 201, (NotFound, KeyDestroyed)),
    Route("GET", "/api/v1/consultations/{id}", "consultation.read", read_consultation, "One consultation",
          response=ConsultationShown),
    Route("POST", "/api/v1/consultations/{id}/admit", "consultation.admit", admit, "Take a waiting patient",
          response=ConsultationShown, errors=(StateRefused, StationBusy, Conflict)),
    Route("POST", "/api/v1/consultations/{id}/end", "consultation.end", end, "End a consultation",
          response=ConsultationShown, errors=(StateRefused,)),
    Route("POST", "/api/v1/consultations/{id}/cancel", "consultation.cancel", cancel,
          "Cancel a consultation that has not begun", response=ConsultationShown, errors=(StateRefused,)),
)
