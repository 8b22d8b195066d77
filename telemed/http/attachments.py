"""Who is connected to which station."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import Field

from telemed.consultation import consultations
from telemed.consultation.consultations import AtStation, Consultation
from telemed.errors import Conflict, InvalidRequest, KeyDestroyed, NotFound
from telemed.http import keys
from telemed.http.announce import cut_off, load, tell_attachment, tell_consultation
from telemed.http.route import STATION_ID_MAX, Body, Route, answer, body, query, uuid_of
from telemed.http.shapes import AttachmentShown
from telemed.identity import policy, stations
from telemed.patient import attachments, patients
from telemed.store.database import Connection


class AttachmentNew(Body):
    """The operator confirmed who is connected: name and year of birth were read back."""

    station_id: Annotated[int, Field(ge=1, le=STATION_ID_MAX)]
    patient_id: UUID
    consultation_id: UUID | None = None


class AttachmentFilter(Body):
    """At which station."""

    station_id: Annotated[int, Field(ge=1, le=STATION_ID_MAX)]


class Attachments(Body):
    """A station's attachments, newest first."""

    attachments: list[AttachmentShown]


def shown(attachment: attachments.Attachment) -> AttachmentShown:
    """The attachment as JSON."""
    return AttachmentShown.model_validate({name: getattr(attachment, name) for name in AttachmentShown.model_fields})


async def open_attachment(request: web.Request) -> web.Response:
    """Attach a patient to a station; whoever was attached there is not any more from the same instant."""
    wanted, actor, app = await body(request, AttachmentNew), request[keys.ACTOR], request.app
    async with app[keys.DATABASE].transaction() as connection:
        station = await stations.get(connection, wanted.station_id)
        if station.organisation_id != request[keys.ACCOUNT].organisation_id:
            await policy.require(connection, actor, "attachment.open", station.target)
            raise NotFound()
        await stations.lock(connection, station.id)
        await patients.lock(connection, wanted.patient_id)
        patient = await patients.get(connection, app[keys.SEALER], wanted.patient_id)
        await policy.require(connection, actor, "attachment.open", patient.target, {"station": station.id})
        if patient.person is None:
            raise KeyDestroyed()
        if wanted.consultation_id is not None:
            await _check_consultation(request, connection, wanted)
        opened, closed = await attachments.open_next(
            connection, station.organisation_id, station.id, patient.id, wanted.consultation_id, UUID(actor.id)
        )
        news = await _news(app, connection, opened, closed)
    cut_off(app, closed)
    _tell(app, news, station.id, opened.id)
    return answer(shown(opened), 201)


async def close_attachment(request: web.Request) -> web.Response:
    """The patient is not connected any more."""
    actor, app = request[keys.ACTOR], request.app
    async with app[keys.DATABASE].transaction() as connection:
        attachment = await attachments.get(connection, uuid_of(request))
        await policy.require(
            connection, actor, "attachment.close", attachment.target, {"station": attachment.station_id}
        )
        await stations.lock(connection, attachment.station_id)
        attachment = await attachments.close(connection, attachment, UUID(actor.id), "operator")
        news = await _news(app, connection, attachment)
    cut_off(app, attachment)
    _tell(app, news, attachment.station_id, None)
    return answer(shown(attachment))


async def list_attachments(request: web.Request) -> web.Response:
    """A station's attachments."""
    wanted, actor = query(request, AttachmentFilter), request[keys.ACTOR]
    async with request.app[keys.DATABASE].transaction() as connection:
        station = await stations.get(connection, wanted.station_id)
        found = await attachments.listed(connection, station.id)
        detail: dict[str, object] = {"patients": sorted({str(one.patient_id) for one in found})}
        await policy.require(connection, actor, "attachment.list", station.target, detail)
    return answer(Attachments(attachments=[shown(one) for one in found]))


async def _check_consultation(request: web.Request, connection: Connection, wanted: AttachmentNew) -> None:
    """An attachment's consultation is open, of this patient and at this station, else ``InvalidRequest``."""
    if wanted.consultation_id is None:
        return
    try:
        consultation = await load(request.app, connection, wanted.consultation_id)
    except NotFound:
        raise InvalidRequest(field="consultation_id") from None
    same = (consultation.station_id, consultation.patient_id) == (wanted.station_id, wanted.patient_id)
    if not same or not consultations.is_open(consultation):
        raise InvalidRequest(field="consultation_id")


async def _news(
    app: web.Application, connection: Connection, *changed: attachments.Attachment | None
) -> list[tuple[Consultation, AtStation | None]]:
    """The consultations whose attachment changed, each with what its station has now."""
    concerned = {one.consultation_id for one in changed if one is not None and one.consultation_id is not None}
    found = [await load(app, connection, consultation_id) for consultation_id in concerned]
    return [(one, await consultations.current_at_station(connection, one.station_id)) for one in found]


def _tell(
    app: web.Application, news: list[tuple[Consultation, AtStation | None]], station_id: int, attached: UUID | None
) -> None:
    """After the commit: tell the station who is connected, and the pages concerned."""
    tell_attachment(app, station_id, attached)
    for consultation, at_station in news:
        tell_consultation(app, consultation, at_station)


ROUTES = (
    Route("GET", "/api/v1/attachments", "attachment.list", list_attachments, "A station's attachments",
          response=Attachments, query=AttachmentFilter),
    Route("POST", "/api/v1/attachments", "attachment.open", open_attachment, "Attach a patient to a station",
          AttachmentNew, AttachmentShown, 201, (NotFound, KeyDestroyed)),
    Route("POST", "/api/v1/attachments/{id}/close", "attachment.close", close_attachment,
          "The patient is not connected any more", response=AttachmentShown, errors=(Conflict,)),
)
