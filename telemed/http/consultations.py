"""Consultations: the work list, making one, and everything that moves it between its states."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import Field

from telemed.audit import Actor
from telemed.consultation import appointments, consultations, continuity, participations, seats, tickets
from telemed.consultation.appointments import LONGEST_MINUTES, SHORTEST_MINUTES
from telemed.consultation.consultations import MINUTES, Consultation
from telemed.consultation.states import Event, State
from telemed.errors import Conflict, Forbidden, KeyDestroyed, NotFound, StateRefused, StationBusy
from telemed.http import keys
from telemed.http.announce import consultation_json, cut_off, load, tell_attachment, tell_consultation, tell_seat
from telemed.http.route import STATION_ID_MAX, Body, Moment, Route, answer, body, query, uuid_of
from telemed.http.shapes import ConsultationShown
from telemed.identity import policy, stations
from telemed.patient import attachments, patients
from telemed.store.database import Connection

Minutes = Annotated[int, Field(ge=SHORTEST_MINUTES, le=LONGEST_MINUTES)]


class ConsultationNew(Body):
    """A consultation for a patient, at a station or at home (null), assigned to a clinician or to none.

    With ``scheduled_at`` it is an appointment; without, the patient waits from now.
    """

    station_id: Annotated[int, Field(ge=1, le=STATION_ID_MAX)] | None = None
    patient_id: UUID
    clinician_id: UUID | None = None
    scheduled_at: Moment | None = None
    minutes: Minutes = MINUTES


class AppointmentMove(Body):
    """Another time for an appointment."""

    scheduled_at: Moment
    minutes: Minutes = MINUTES


class Handover(Body):
    """To whom."""

    clinician_id: UUID


class Phone(Body):
    """Whether it goes on by telephone."""

    on: bool


class VitalsShared(Body):
    """Whether the guests see the vital signs."""

    shared: bool


class Consultations(Body):
    """Consultations, newest first."""

    consultations: list[ConsultationShown]


class ConsultationFilter(Body):
    """Which ones: in this state, or all; with their appointment (or making) from ``from`` on and before ``to``."""

    state: State | None = None
    since: Annotated[Moment | None, Field(alias="from")] = None
    before: Annotated[Moment | None, Field(alias="to")] = None


Change = Callable[[Connection, Consultation], Awaitable[Consultation]]


async def list_consultations(request: web.Request) -> web.Response:
    """The work list: a clinician sees nobody else's, an operator the organisation's."""
    wanted, actor = query(request, ConsultationFilter), request[keys.ACTOR]
    only_for = None if "operator" in actor.roles else UUID(actor.id)
    async with request.app[keys.DATABASE].transaction() as connection:
        found = await consultations.listed(
            connection, request.app[keys.SEALER], request[keys.ACCOUNT].organisation_id, wanted.state, only_for,
            wanted.since, wanted.before,
        )
        detail: dict[str, object] = {"patients": sorted({str(one.patient_id) for one in found})}
        await policy.require(connection, actor, "consultation.list", detail=detail)
    return answer(Consultations(consultations=[consultation_json(request.app, one) for one in found]))


async def create_consultation(request: web.Request) -> web.Response:
    """An appointment, or a patient who waits."""
    wanted, actor, app = await body(request, ConsultationNew), request[keys.ACTOR], request.app
    async with app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, app[keys.SEALER], wanted.patient_id)
        station = await _station(connection, actor, wanted.station_id)
        state = State.WAITING if wanted.scheduled_at is None else State.SCHEDULED
        detail: dict[str, object] = {"station": wanted.station_id, "to": state.value}
        await policy.require(connection, actor, "consultation.create", patient.target, detail)
        if wanted.clinician_id is not None:
            await participations.check_clinician(
                connection, patient.organisation_id, wanted.clinician_id, "clinician_id"
            )
        if wanted.scheduled_at is not None:
            appointments.check_time(wanted.scheduled_at)
        consultation = await consultations.create(
            connection, app[keys.SEALER], patient, station, wanted.clinician_id, wanted.scheduled_at, wanted.minutes
        )
        at_station = await consultations.current_at_station(connection, wanted.station_id)
    tell_consultation(app, consultation, at_station)
    return answer(consultation_json(app, consultation), 201)


async def _station(connection: Connection, actor: Actor, station_id: int | None) -> stations.Station | None:
    if station_id is None:
        return None
    station = await stations.get(connection, station_id)
    if station.organisation_id != actor.organisation_id:
        await policy.require(connection, actor, "consultation.create", station.target)
        raise NotFound()
    return station


async def read_consultation(request: web.Request) -> web.Response:
    """One consultation."""
    async with request.app[keys.DATABASE].transaction() as connection:
        consultation = await load(request.app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "consultation.read", consultation.target)
    return answer(consultation_json(request.app, consultation))


async def admit(request: web.Request) -> web.Response:
    """A clinician takes a waiting patient: the consultation is live, and the patient's own pages are let in."""
    app, actor, consultation_id = request.app, request[keys.ACTOR], uuid_of(request)
    async with app[keys.DATABASE].transaction() as connection:
        held = await consultations.hold(connection, app[keys.SEALER], consultation_id)
        try:
            await policy.require(
                connection, actor, "consultation.admit", held.target, consultations.edge(held, Event.ADMIT)
            )
        except Forbidden as refused:
            raise _too_late(actor, held, refused) from None
        await consultations.admit(connection, app[keys.SEALER], held, UUID(actor.id))
        let_in = await seats.admit_patients(connection, consultation_id, UUID(actor.id))
        consultation = await load(app, connection, consultation_id)
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)
    for seat_id in let_in:
        tell_seat(app, consultation.organisation_id, consultation.id, seat_id, "admitted")
    return answer(consultation_json(app, consultation))


def _too_late(actor: Actor, consultation: Consultation, refused: Forbidden) -> Forbidden | Conflict:
    """Who might have admitted it and comes after another clinician hears so; the denial is recorded all the same."""
    if "clinician" not in actor.roles or consultation.state not in consultations.UNDER_WAY:
        return refused
    late = Conflict()
    late.denial = refused.denial
    return late


async def end(request: web.Request) -> web.Response:
    """End a live consultation; its attachment closes with it."""
    return await _finish(request, Event.END)


async def cancel(request: web.Request) -> web.Response:
    """Cancel a consultation that has not begun; its attachment closes with it."""
    return await _finish(request, Event.CANCEL)


async def miss(request: web.Request) -> web.Response:
    """The patient did not come; an attachment closes with it."""
    return await _finish(request, Event.MISS)


async def _finish(request: web.Request, event: Event) -> web.Response:
    app, actor = request.app, request[keys.ACTOR]
    async with app[keys.DATABASE].transaction() as connection:
        held = await consultations.hold(connection, app[keys.SEALER], uuid_of(request))
        await policy.require(
            connection, actor, f"consultation.{event.value}", held.target, consultations.edge(held, event)
        )
        before = await attachments.of_consultation(connection, held.id)
        consultation = await consultations.finish(connection, app[keys.SEALER], held, event, UUID(actor.id))
        closed = None if before is None else await attachments.get(connection, before.id)
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    cut_off(app, closed)
    if closed is not None:
        tell_attachment(app, closed.station_id, None)
    tell_consultation(app, consultation, at_station)
    return answer(consultation_json(app, consultation))


async def move(request: web.Request) -> web.Response:
    """Give an appointment another time; its tickets hold for that one."""
    wanted, sealer = await body(request, AppointmentMove), request.app[keys.SEALER]

    async def change(connection: Connection, held: Consultation) -> Consultation:
        moved = await appointments.move(connection, sealer, held, wanted.scheduled_at, wanted.minutes)
        await tickets.follow(connection, held.id)
        return moved

    return await _changed(request, "consultation.move", Event.MOVE, change)


async def arrive(request: web.Request) -> web.Response:
    """The patient of an appointment is there and waits."""
    sealer = request.app[keys.SEALER]
    return await _changed(
        request, "consultation.arrive", Event.ARRIVE,
        lambda connection, held: consultations.advance(connection, sealer, held, Event.ARRIVE),
    )


async def handover(request: web.Request) -> web.Response:
    """Another clinician takes over; the former takes part as a second one."""
    wanted, sealer = await body(request, Handover), request.app[keys.SEALER]
    return await _changed(
        request, "consultation.handover", Event.HANDOVER,
        lambda connection, held: participations.hand_over(connection, sealer, held, wanted.clinician_id),
        clinician=str(wanted.clinician_id),
    )


async def phone(request: web.Request) -> web.Response:
    """The consultation goes on by telephone, or no longer."""
    wanted, sealer = await body(request, Phone), request.app[keys.SEALER]
    return await _changed(
        request, "consultation.phone", None,
        lambda connection, held: consultations.put_on_phone(connection, sealer, held, wanted.on), on=wanted.on,
    )


async def share_vitals(request: web.Request) -> web.Response:
    """Show the vital signs to the guests, or no longer."""
    wanted, sealer = await body(request, VitalsShared), request.app[keys.SEALER]
    return await _changed(
        request, "consultation.share_vitals", None,
        lambda connection, held: consultations.share_vitals(connection, sealer, held, wanted.shared),
        shared=wanted.shared,
    )


async def _changed(
    request: web.Request, action: str, event: Event | None, change: Change, **detail: object
) -> web.Response:
    """Hold, ask the policy, change; tell the rooms after the commit. The audit gets ``detail`` and the edge."""
    app = request.app
    async with app[keys.DATABASE].transaction() as connection:
        held = await consultations.hold(connection, app[keys.SEALER], uuid_of(request))
        named = detail if event is None else {**consultations.edge(held, event), **detail}
        await policy.require(connection, request[keys.ACTOR], action, held.target, named)
        consultation = await change(connection, held)
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)
    return answer(consultation_json(app, consultation))


async def watch_lines(app: web.Application) -> AsyncIterator[None]:
    """The watch over the lines, from start to stop."""
    around = continuity.Surroundings(
        app[keys.DATABASE], app[keys.SEALER], app[keys.ROOMS], app[keys.PEOPLE], app[keys.STATIONS],
        partial(tell_consultation, app),
    )
    watch = continuity.Continuity(around, continuity.INTERRUPT_SECONDS)
    watching = asyncio.create_task(watch.run(), name="continuity")
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


CONTEXTS = (watch_lines,)
ROUTES = (
    Route("GET", "/api/v1/consultations", "consultation.list", list_consultations, "The work list",
          response=Consultations, query=ConsultationFilter),
    Route("POST", "/api/v1/consultations", "consultation.create", create_consultation,
          "An appointment, or a patient who waits", ConsultationNew, ConsultationShown, 201, (NotFound, KeyDestroyed)),
    Route("GET", "/api/v1/consultations/{id}", "consultation.read", read_consultation, "One consultation",
          response=ConsultationShown),
    Route("POST", "/api/v1/consultations/{id}/move", "consultation.move", move, "Give an appointment another time",
          AppointmentMove, ConsultationShown, errors=(StateRefused,)),
    Route("POST", "/api/v1/consultations/{id}/arrive", "consultation.arrive", arrive,
          "The patient of an appointment is there", response=ConsultationShown, errors=(StateRefused,)),
    Route("POST", "/api/v1/consultations/{id}/admit", "consultation.admit", admit, "Take a waiting patient",
          response=ConsultationShown, errors=(StateRefused, StationBusy, Conflict)),
    Route("POST", "/api/v1/consultations/{id}/handover", "consultation.handover", handover,
          "Another clinician takes over", Handover, ConsultationShown, errors=(StateRefused, Conflict)),
    Route("POST", "/api/v1/consultations/{id}/phone", "consultation.phone", phone,
          "Go on by telephone, or no longer", Phone, ConsultationShown, errors=(StateRefused,)),
    Route("POST", "/api/v1/consultations/{id}/vitals", "consultation.share_vitals", share_vitals,
          "Show the vital signs to the guests, or no longer", VitalsShared, ConsultationShown, errors=(StateRefused,)),
    Route("POST", "/api/v1/consultations/{id}/end", "consultation.end", end, "End a consultation",
          response=ConsultationShown, errors=(StateRefused,)),
    Route("POST", "/api/v1/consultations/{id}/cancel", "consultation.cancel", cancel,
          "Cancel a consultation that has not begun", response=ConsultationShown, errors=(StateRefused,)),
    Route("POST", "/api/v1/consultations/{id}/miss", "consultation.miss", miss, "The patient did not come",
          response=ConsultationShown, errors=(StateRefused,)),
)
