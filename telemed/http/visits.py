"""A guest's visit: look at a ticket, join with it, then read, leave, consent and say where the patient is."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import StringConstraints

from telemed.consultation import consultations, places, seats, tickets, visits
from telemed.consultation.consultations import Consultation
from telemed.consultation.places import Place
from telemed.consultation.seats import Guest, SeatRefused, SeatsFull
from telemed.consultation.states import Event, State
from telemed.consultation.tickets import Invited, TicketExpired, TicketRevoked, TicketUnknown, VisitOver
from telemed.errors import DatabaseUnavailable, KeyDestroyed, NotSignedIn
from telemed.http import keys
from telemed.http.announce import load, tell_consultation, tell_seat
from telemed.http.limits import CONSENTS_PER_SEAT, PLACES_PER_SEAT, VISITS_PER_ADDRESS, TooManyAttempts
from telemed.http.middleware import address_of, is_https, seat_cookie_name, seat_tokens
from telemed.http.places import PlaceShown, place_json
from telemed.http.route import Body, Line, Route, answer, body
from telemed.identity import policy
from telemed.patient import consents
from telemed.store.database import Connection

Name = Annotated[Line, StringConstraints(min_length=1, max_length=200)]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,60}$")]
Language = Literal["bg", "en"]
GuestRole = Literal["patient", "relative", "interpreter", "second_clinician"]


class TicketLook(Body):
    """The token of a link; what is not one is ``ticket_unknown``."""

    ticket: str


class VisitJoin(Body):
    """Join with a ticket: under this name, or the one that the ticket carries."""

    ticket: str
    name: Name | None = None
    language: Language


class OrganisationBrief(Body):
    """Who gives the visit, and the number to call."""

    name: str
    phone: str


class TicketShown(Body):
    """What a link invites to; times are UTC. Before ``arrives_from`` (null: at any time) a patient is too early."""

    role: GuestRole
    organisation: OrganisationBrief
    clinician: str | None
    scheduled_at: datetime | None
    minutes: int
    state: State
    server_now: datetime
    arrives_from: datetime | None
    language: Language


class VisitShown(Body):
    """A guest's own visit; ``position`` counts the people ahead while it waits; ``recording_since`` is null while it is
    not recorded. Times are UTC."""

    consultation: UUID
    seat: UUID
    seat_state: Literal["waiting", "admitted", "refused", "removed", "left"]
    role: GuestRole
    device: int
    state: State
    organisation: OrganisationBrief
    clinician: str | None
    scheduled_at: datetime | None
    minutes: int
    server_now: datetime
    arrives_from: datetime | None
    position: int | None
    vitals_shared: bool
    phone_since: datetime | None
    recording_since: datetime | None
    name: str | None
    language: Language
    consent: bool
    place: PlaceShown | None


class ConsentGiven(Body):
    """The consent to care, given, or with ``given`` false withdrawn, in the words of this version."""

    given: bool
    version: Version
    language: Language


async def look(request: web.Request) -> web.Response:
    """Tell what a link invites to. Uses nothing: messengers and mail filters look as well."""
    wanted = await body(request, TicketLook)
    request.app[keys.LIMITS].count("visit", address_of(request), VISITS_PER_ADDRESS)
    async with request.app[keys.DATABASE].connection() as connection:
        found = await tickets.look(connection, wanted.ticket)
    return answer(TicketShown(
        role=found.role,
        organisation=OrganisationBrief(name=found.organisation_name, phone=found.organisation_phone),
        clinician=found.clinician_name, scheduled_at=found.scheduled_at, minutes=found.minutes, state=found.state,
        server_now=found.server_now, arrives_from=found.arrives_from, language=found.language,
    ))


async def join(request: web.Request) -> web.Response:
    """Join: a seat for this browser, or the one that it has, and the cookie that goes with it."""
    wanted, app = await body(request, VisitJoin), request.app
    app[keys.LIMITS].count("visit", address_of(request), VISITS_PER_ADDRESS)
    async with app[keys.DATABASE].transaction() as connection:
        invited = await tickets.hold(connection, wanted.ticket)
        joined = await seats.join(
            connection, app[keys.SEALER], invited, seat_tokens(request), wanted.name, wanted.language
        )
        guest = await seats.find(connection, joined.seat_id, joined.token)
        assert guest is not None  # noqa: S101 - made or found by this very token, in this transaction
        if joined.fresh:
            consultation = await load(app, connection, invited.consultation_id)
            detail: dict[str, object] = {"role": guest.role, "device": guest.device}
            await policy.granted(connection, guest.actor, "visit.join", consultation.target, detail)
        shown = await visit_json(app, connection, guest.seat_id)
    if joined.fresh:
        tell_seat(app, guest.organisation_id, guest.consultation_id, guest.seat_id, guest.state)
    if guest.role == "patient" and invited.may_arrive:
        # The seat is there: its cookie is given whatever happens now, and joining again arrives.
        with contextlib.suppress(DatabaseUnavailable):
            await _arrive(app, invited)
            async with app[keys.DATABASE].connection() as connection:
                shown = await visit_json(app, connection, guest.seat_id)
    response = answer(shown, 201)
    response.set_cookie(
        seat_cookie_name(request, guest.seat_id), joined.token, path="/", httponly=True, secure=is_https(request),
        samesite="Strict", max_age=max(1, int((guest.expires_at - shown.server_now).total_seconds())),
    )
    return response


async def _arrive(app: web.Application, invited: Invited) -> None:
    """The patient has come: the appointment waits. A second transaction, since stations are locked before seats."""
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await consultations.hold(connection, app[keys.SEALER], invited.consultation_id)
        if consultation.state is not State.SCHEDULED or consultation.scheduled_at != invited.scheduled_at:
            return  # somebody was quicker, or moved it meanwhile
        consultation = await consultations.advance_by_itself(
            connection, app[keys.SEALER], consultation, Event.ARRIVE
        )
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)


async def read(request: web.Request) -> web.Response:
    """One's own visit, also when it is over or one was not let in."""
    guest, app = request[keys.SEAT], request.app
    async with app[keys.DATABASE].connection() as connection:
        consultation = await load(app, connection, guest.consultation_id)
        await policy.require(connection, request[keys.ACTOR], "visit.read", consultation.target)
        shown = await visit_json(app, connection, guest.seat_id)
        if guest.revoked:
            raise TicketRevoked(phone=shown.organisation.phone)
        if guest.expired:
            raise TicketExpired(phone=shown.organisation.phone)
    return answer(shown)


async def leave(request: web.Request) -> web.Response:
    """Leave; joining again from this browser brings one back."""
    guest, app = request[keys.SEAT], request.app
    async with app[keys.DATABASE].transaction() as connection:
        await _act(app, connection, request, "visit.leave")
        await seats.leave(connection, guest.seat_id)
        shown = await visit_json(app, connection, guest.seat_id)
    _tell(app, guest, shown)
    return answer(shown)


async def consent(request: web.Request) -> web.Response:
    """Give or withdraw the consent to care: another event, nothing is overwritten."""
    wanted, guest, app = await body(request, ConsentGiven), request[keys.SEAT], request.app
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await _act(app, connection, request, "visit.consent", {"given": wanted.given})
        app[keys.LIMITS].count("consent", str(guest.seat_id), CONSENTS_PER_SEAT)
        await consents.record(
            connection, consultation.organisation_id, consultation.patient_id, consultation_id=consultation.id,
            purpose="care", given=wanted.given, version=wanted.version, language=wanted.language,
            given_by="patient" if guest.role == "patient" else "relative", witness_id=None,
        )
        shown = await visit_json(app, connection, guest.seat_id)
    # Told as it is while it is held, so that nobody hears "live" after "ended". The consent itself holds nothing but
    # its patient: merging takes a patient first and then the consultation.
    with contextlib.suppress(DatabaseUnavailable):
        async with app[keys.DATABASE].transaction() as connection:
            consultation = await consultations.hold(connection, app[keys.SEALER], guest.consultation_id)
            at_station = await consultations.current_at_station(connection, consultation.station_id)
        tell_consultation(app, consultation, at_station)
    return answer(shown)


async def put_place(request: web.Request) -> web.Response:
    """Say where the patient is, for 112, and a number for when the line drops."""
    wanted, guest, app = await body(request, PlaceShown), request[keys.SEAT], request.app
    async with app[keys.DATABASE].transaction() as connection:
        await _act(app, connection, request, "visit.place")
        app[keys.LIMITS].count("place", str(guest.seat_id), PLACES_PER_SEAT)
        await places.write(
            connection, app[keys.SEALER], guest.consultation_id, Place(wanted.address, wanted.phone)
        )
        shown = await visit_json(app, connection, guest.seat_id)
    return answer(shown)


async def visit_json(app: web.Application, connection: Connection, seat_id: UUID) -> VisitShown:
    """The seat's visit as the API and the sockets show it to its guest. Raises ``NotFound``."""
    visit = await visits.of_seat(connection, app[keys.SEALER], seat_id)
    same = (
        "seat_state", "role", "device", "state", "scheduled_at", "minutes", "server_now", "arrives_from", "position",
        "vitals_shared", "phone_since", "recording_since", "name", "language", "consent",
    )
    return VisitShown(
        consultation=visit.consultation_id, seat=visit.seat_id,
        organisation=OrganisationBrief(name=visit.organisation_name, phone=visit.organisation_phone),
        clinician=visit.clinician_name,
        place=None if visit.place is None else place_json(visit.place),
        **{name: getattr(visit, name) for name in same},
    )


async def _act(
    app: web.Application,
    connection: Connection,
    request: web.Request,
    action: str,
    detail: dict[str, object] | None = None,
) -> Consultation:
    """The guest's consultation, once the policy grants the action to the guest as it is now.

    A request takes time to come in: whoever was sent out meanwhile is nobody. Raises ``NotSignedIn``.
    """
    seat = request[keys.SEAT]
    guest = await seats.by_proof(connection, seat.seat_id, seat.proof)
    if guest is None or not guest.stands:
        raise NotSignedIn()
    consultation = await load(app, connection, guest.consultation_id)
    await policy.require(connection, guest.actor, action, consultation.target, detail)
    return consultation


def _tell(app: web.Application, guest: Guest, shown: VisitShown) -> None:
    tell_seat(app, guest.organisation_id, guest.consultation_id, guest.seat_id, shown.seat_state)


_LOOK = (TicketUnknown, TicketExpired, TicketRevoked, TooManyAttempts)

ROUTES = (
    Route("POST", "/api/v1/visits/look", "visit.look", look, "What a link invites to", TicketLook, TicketShown,
          errors=_LOOK),
    Route("POST", "/api/v1/visits", "visit.join", join, "Join a visit with a link", VisitJoin, VisitShown, 201,
          (*_LOOK, VisitOver, SeatsFull, SeatRefused, KeyDestroyed)),
    Route("GET", "/api/v1/visit", "visit.read", read, "A guest's own visit", response=VisitShown,
          errors=(TicketExpired, TicketRevoked)),
    Route("POST", "/api/v1/visit/leave", "visit.leave", leave, "Leave the visit", response=VisitShown),
    Route("POST", "/api/v1/visit/consent", "visit.consent", consent, "Give or withdraw the consent to care",
          ConsentGiven, VisitShown, errors=(TooManyAttempts,)),
    Route("PUT", "/api/v1/visit/place", "visit.place", put_place, "Say where the patient is", PlaceShown, VisitShown,
          errors=(KeyDestroyed, TooManyAttempts)),
)
