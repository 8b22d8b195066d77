"""What was measured at stations without a visit, and how a clinician comes to read it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from aiohttp import web

from telemed.consultation import intervals, participations
from telemed.consultation.intervals import Interval
from telemed.errors import Conflict, InvalidRequest, KeyDestroyed
from telemed.http import keys
from telemed.http.announce import consultation_json
from telemed.http.route import Body, Route, answer, body, uuid_of
from telemed.http.shapes import ConsultationShown, PatientBrief, StationBrief
from telemed.identity import policy
from telemed.patient import attachments


class IntervalShown(Body):
    """A patient at a station from when to when, with something measured and without a visit; ``id`` is the
    attachment's."""

    id: UUID
    patient: PatientBrief
    station: StationBrief
    opened_at: datetime
    closed_at: datetime


class Intervals(Body):
    """Newest first."""

    intervals: list[IntervalShown]


class VisitOfInterval(Body):
    """Which clinician reviews it."""

    clinician_id: UUID


async def list_unvisited(request: web.Request) -> web.Response:
    """What was measured without a visit."""
    app, actor = request.app, request[keys.ACTOR]
    async with app[keys.DATABASE].transaction() as connection:
        found = await intervals.unvisited(connection, app[keys.SEALER], request[keys.ACCOUNT].organisation_id)
        detail: dict[str, object] = {"patients": sorted({str(one.patient_id) for one in found})}
        await policy.require(connection, actor, "attachment.unvisited", None, detail)
    return answer(Intervals(intervals=[_shown(app, one) for one in found]))


async def make_visit(request: web.Request) -> web.Response:
    """Make the interval a visit that is over, so that it can be reviewed and written down."""
    wanted, actor, app = await body(request, VisitOfInterval), request[keys.ACTOR], request.app
    async with app[keys.DATABASE].transaction() as connection:
        attachment = await attachments.get(connection, uuid_of(request))
        await policy.require(
            connection, actor, "attachment.visit", attachment.target, {"clinician": str(wanted.clinician_id)}
        )
        await participations.check_clinician(
            connection, attachment.organisation_id, wanted.clinician_id, "clinician_id"
        )
        consultation = await intervals.make_visit(connection, app[keys.SEALER], attachment, wanted.clinician_id)
    app[keys.ROOMS].publish(f"organisation:{consultation.organisation_id}", {"type": "waiting"})
    return answer(consultation_json(app, consultation), 201)


def _shown(app: web.Application, one: Interval) -> IntervalShown:
    person = one.person
    return IntervalShown(
        id=one.id, opened_at=one.opened_at, closed_at=one.closed_at,
        patient=PatientBrief(
            id=one.patient_id, name=None if person is None else person.name,
            birth_year=None if person is None else person.birth_year, key_destroyed=person is None,
        ),
        station=StationBrief(
            id=one.station_id, name=one.station_name, place=one.station_place,
            online=app[keys.STATIONS].online(one.station_id),
        ),
    )


ROUTES = (
    Route("GET", "/api/v1/attachments/unvisited", "attachment.unvisited", list_unvisited,
          "What was measured without a visit", response=Intervals),
    Route("POST", "/api/v1/attachments/{id}/visit", "attachment.visit", make_visit,
          "Make a visit of what was measured without one", VisitOfInterval, ConsultationShown, 201,
          (Conflict, InvalidRequest, KeyDestroyed)),
)
