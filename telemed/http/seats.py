"""Who is at the door of a visit: admit, refuse, remove."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from aiohttp import web

from telemed.consultation import consultations, seats
from telemed.consultation.seats import Decision, Seat, SeatDecided
from telemed.errors import StateRefused
from telemed.http import keys
from telemed.http.announce import load, tell_seat
from telemed.http.route import Body, Route, answer, uuid_of
from telemed.identity import policy


class SeatShown(Body):
    """One browser that joined; ``device`` 1 is the first of its ticket."""

    id: UUID
    ticket_id: UUID
    role: Literal["patient", "relative", "interpreter", "second_clinician"]
    device: int
    state: Literal["waiting", "admitted", "refused", "removed", "left"]
    name: str | None
    language: Literal["bg", "en"]
    joined_at: datetime


async def admit(request: web.Request) -> web.Response:
    """Let a waiting browser in."""
    return await _decide(request, "admit")


async def refuse(request: web.Request) -> web.Response:
    """Do not let a waiting browser in."""
    return await _decide(request, "refuse")


async def remove(request: web.Request) -> web.Response:
    """Send an admitted browser out."""
    return await _decide(request, "remove")


async def _decide(request: web.Request, decision: Decision) -> web.Response:
    app, actor, seat_id = request.app, request[keys.ACTOR], uuid_of(request, "seat")
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(
            connection, actor, f"seat.{decision}", consultation.target, {"seat": str(seat_id)}
        )
        if not consultations.is_open(consultation):
            raise StateRefused(state=consultation.state.value)
        state = await seats.decide(connection, consultation.id, seat_id, decision, UUID(actor.id))
        seat = await seats.get(connection, app[keys.SEALER], consultation.id, seat_id)
    tell_seat(app, consultation.organisation_id, consultation.id, seat_id, state)
    return answer(seat_json(seat))


def seat_json(seat: Seat) -> SeatShown:
    """The seat as JSON."""
    return SeatShown(
        id=seat.id, ticket_id=seat.ticket_id, role=seat.role, device=seat.device, state=seat.state, name=seat.name,
        language=seat.language, joined_at=seat.joined_at,
    )


_ERRORS = (SeatDecided, StateRefused)

ROUTES = (
    Route("POST", "/api/v1/consultations/{id}/seats/{seat}/admit", "seat.admit", admit,
          "Let a waiting browser in", response=SeatShown, errors=_ERRORS),
    Route("POST", "/api/v1/consultations/{id}/seats/{seat}/refuse", "seat.refuse", refuse,
          "Do not let a waiting browser in", response=SeatShown, errors=_ERRORS),
    Route("POST", "/api/v1/consultations/{id}/seats/{seat}/remove", "seat.remove", remove,
          "Send an admitted browser out", response=SeatShown, errors=_ERRORS),
)
