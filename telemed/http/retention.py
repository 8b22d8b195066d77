"""What is kept of a patient and what is not: legal holds, and the erasure of everything."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import StringConstraints

from telemed.errors import Conflict, KeyDestroyed
from telemed.http import keys
from telemed.http.route import Body, Line, Route, answer, body, uuid_of
from telemed.identity import policy
from telemed.patient import holds, patients
from telemed.patient.holds import OnHold
from telemed.patient.patients import StillAttached

Reason = Annotated[Line, StringConstraints(min_length=1, max_length=500)]


class HoldNew(Body):
    """Why nothing of the patient's may be deleted."""

    reason: Reason


class HoldShown(Body):
    """A hold; the reason is null once the patient's key is destroyed."""

    id: UUID
    reason: str | None
    placed_by: UUID
    placed_at: datetime
    lifted_by: UUID | None
    lifted_at: datetime | None


class Holds(Body):
    """A patient's holds, newest first."""

    holds: list[HoldShown]


class ErasureNew(Body):
    """Why everything of the patient's is erased."""

    reason: Literal["patient_asked", "entered_wrongly", "time_over", "other"]


async def place_hold(request: web.Request) -> web.Response:
    """Place a hold."""
    wanted, actor = await body(request, HoldNew), request[keys.ACTOR]
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, request.app[keys.SEALER], uuid_of(request))
        await policy.require(connection, actor, "patient.hold", patient.target)
        hold = await holds.place(
            connection, request.app[keys.SEALER], patient.organisation_id, patient.id, wanted.reason, UUID(actor.id)
        )
    return answer(_shown(hold), 201)


async def list_holds(request: web.Request) -> web.Response:
    """The patient's holds."""
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, request.app[keys.SEALER], uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "patient.list_holds", patient.target)
        found = await holds.listed(connection, request.app[keys.SEALER], patient.id)
    return answer(Holds(holds=[_shown(hold) for hold in found]))


async def lift_hold(request: web.Request) -> web.Response:
    """Lift a hold."""
    actor = request[keys.ACTOR]
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, request.app[keys.SEALER], uuid_of(request))
        hold_id = uuid_of(request, "hold")
        await policy.require(connection, actor, "patient.lift_hold", patient.target, {"hold": str(hold_id)})
        await holds.lift(connection, patient.id, hold_id, UUID(actor.id))
    return web.Response(status=204)


async def erase(request: web.Request) -> web.Response:
    """Erase the patient: the key is destroyed at once, and what it sealed is deleted soon after."""
    wanted = await body(request, ErasureNew)
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, request.app[keys.SEALER], uuid_of(request))
        await policy.require(
            connection, request[keys.ACTOR], "patient.erase", patient.target, {"reason": wanted.reason})
        await patients.destroy_key(connection, patient.id)
    return web.Response(status=204)


def _shown(hold: holds.Hold) -> HoldShown:
    return HoldShown.model_validate({name: getattr(hold, name) for name in HoldShown.model_fields})


ROUTES = (
    Route("POST", "/api/v1/patients/{id}/holds", "patient.hold", place_hold,
          "Place a legal hold: nothing of the patient's is deleted", HoldNew, HoldShown, 201, errors=(KeyDestroyed,)),
    Route("GET", "/api/v1/patients/{id}/holds", "patient.list_holds", list_holds, "The patient's legal holds",
          response=Holds),
    Route("DELETE", "/api/v1/patients/{id}/holds/{hold}", "patient.lift_hold", lift_hold, "Lift a legal hold",
          status=204, errors=(Conflict,)),
    Route("POST", "/api/v1/patients/{id}/erase", "patient.erase", erase,
          "Erase a patient: the key is destroyed, and what it sealed is deleted", ErasureNew, status=204,
          errors=(KeyDestroyed, StillAttached, OnHold)),
)
