"""What rooms are told after a commit: the consultation as the API gives it, and what a station needs."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from telemed.consultation import consultations
from telemed.consultation.consultations import AtStation, Consultation
from telemed.http import keys
from telemed.http.shapes import ConsultationShown, PatientBrief, Someone, StationBrief
from telemed.patient.attachments import Attachment
from telemed.store.database import Connection
from telemed.vitals.fixes import micros


def consultation_json(app: web.Application, consultation: Consultation) -> ConsultationShown:
    """The consultation as every page and socket shows it."""
    person = consultation.person
    clinician = consultation.clinician
    return ConsultationShown(
        id=consultation.id,
        state=consultation.state,
        patient=PatientBrief(
            id=consultation.patient_id,
            name=None if person is None else person.name,
            birth_year=None if person is None else person.birth_year,
            key_destroyed=person is None,
        ),
        station=StationBrief(
            id=consultation.station_id,
            name=consultation.station_name,
            place=consultation.station_place,
            online=app[keys.STATIONS].online(consultation.station_id),
        ),
        clinician=None if clinician is None else Someone(id=clinician.id, name=clinician.name),
        created_at=consultation.created_at,
        waiting_at=consultation.waiting_at,
        live_at=consultation.live_at,
        ended_at=consultation.ended_at,
        attachment_id=consultation.attachment_id,
    )


async def load(app: web.Application, connection: Connection, consultation_id: UUID) -> Consultation:
    """The consultation. Raises ``NotFound``."""
    return await consultations.get(connection, app[keys.SEALER], consultation_id)


def tell_consultation(app: web.Application, consultation: Consultation, at_station: AtStation | None) -> None:
    """Tell the consultation's page and its station; ``at_station`` is what the station has now."""
    app[keys.ROOMS].publish(
        f"consultation:{consultation.id}",
        {"type": "consultation", "consultation": consultation_json(app, consultation).model_dump(mode="json")},
    )
    short = None if at_station is None else {"id": str(at_station.id), "state": at_station.state.value}
    app[keys.ROOMS].publish(
        f"station:{consultation.station_id}", {"type": "consultation", "consultation": short}
    )


def cut_off(app: web.Application, closed: Attachment | None) -> None:
    """After the commit: nothing live from the attachment's end on is shown to those who watch it."""
    if closed is not None and closed.closed_at is not None:
        app[keys.HUB].cut(closed.id, micros(closed.closed_at))


def tell_attachment(app: web.Application, station_id: int, attachment_id: UUID | None) -> None:
    """Tell the station who is connected now, so that it begins new epochs."""
    named = None if attachment_id is None else str(attachment_id)
    app[keys.ROOMS].publish(f"station:{station_id}", {"type": "attachment", "attachment": named})
