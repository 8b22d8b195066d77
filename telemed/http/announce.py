"""What rooms are told after a commit: the consultation as the API gives it, and what a station needs."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from telemed.consultation import consultations, continuity
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
    same = (
        "id", "state", "created_at", "scheduled_at", "minutes", "walk_in", "waiting_at", "live_at", "ended_at",
        "signed_at", "phone_since", "vitals_shared", "recording_since", "care_consent", "recording_consent",
        "guests_waiting", "attachment_id",
    )
    return ConsultationShown(
        patient=PatientBrief(
            id=consultation.patient_id,
            name=None if person is None else person.name,
            birth_year=None if person is None else person.birth_year,
            key_destroyed=person is None,
        ),
        station=_station_json(app, consultation),
        clinician=None if clinician is None else Someone(id=clinician.id, name=clinician.name),
        second_clinicians=[Someone(id=one.id, name=one.name) for one in consultation.second_clinicians],
        patient_here=patient_here(app, consultation),
        **{name: getattr(consultation, name) for name in same},
    )


def _station_json(app: web.Application, consultation: Consultation) -> StationBrief | None:
    if consultation.station_id is None:
        return None
    return StationBrief(
        id=consultation.station_id,
        name=consultation.station_name or "",
        place=consultation.station_place or "",
        online=app[keys.STATIONS].online(consultation.station_id),
    )


def patient_here(app: web.Application, consultation: Consultation) -> bool:
    """Whether the consultation's station is connected, or a page of the patient's own."""
    station_id = consultation.station_id
    if station_id is not None and app[keys.STATIONS].online(station_id):
        return True
    return any(one.kind == "guest" and one.role == "patient" for one in app[keys.PEOPLE].present(consultation.id))


async def load(app: web.Application, connection: Connection, consultation_id: UUID) -> Consultation:
    """The consultation. Raises ``NotFound``."""
    return await consultations.get(connection, app[keys.SEALER], consultation_id)


def tell_consultation(app: web.Application, consultation: Consultation, at_station: AtStation | None) -> None:
    """Tell the consultation's pages, its station, its organisation's clinicians and the watch over its line.

    ``at_station`` is what the station has now (None for a consultation without one).
    """
    rooms = app[keys.ROOMS]
    rooms.publish(
        f"consultation:{consultation.id}",
        {"type": "consultation", "consultation": consultation_json(app, consultation).model_dump(mode="json")},
    )
    if consultation.station_id is not None:
        short = None if at_station is None else {"id": str(at_station.id), "state": at_station.state.value}
        rooms.publish(f"station:{consultation.station_id}", {"type": "consultation", "consultation": short})
    rooms.publish(f"organisation:{consultation.organisation_id}", {"type": "waiting"})
    rooms.publish(continuity.TOPIC, {"type": "line", "line": continuity.line_of(consultation)})


def tell_seat(app: web.Application, organisation_id: UUID, consultation_id: UUID, seat_id: UUID, state: str) -> None:
    """After the commit of a decision on a seat: tell the guest, everybody in the room and the clinicians."""
    rooms = app[keys.ROOMS]
    app[keys.PEOPLE].let_in(consultation_id, str(seat_id), state == "admitted")
    if state != "admitted":
        app[keys.MEDIA].close_participant(str(consultation_id), str(seat_id))
    rooms.publish(f"seat:{seat_id}", {"type": "seat", "state": state})
    tell_people(app, consultation_id)
    rooms.publish(f"organisation:{organisation_id}", {"type": "waiting"})


def tell_people(app: web.Application, consultation_id: UUID) -> None:
    """Tell the room that who may be in it changed."""
    app[keys.ROOMS].publish(f"consultation:{consultation_id}", {"type": "people"})


def tell_left_out(app: web.Application, consultation_id: UUID, account_id: UUID) -> None:
    """After the commit: an account takes part no longer; its pictures and sound end at once."""
    app[keys.MEDIA].close_participant(str(consultation_id), str(account_id))
    tell_people(app, consultation_id)


def cut_off(app: web.Application, closed: Attachment | None) -> None:
    """After the commit: nothing live from the attachment's end on is shown to those who watch it."""
    if closed is not None and closed.closed_at is not None:
        app[keys.HUB].cut(closed.id, micros(closed.closed_at))


def tell_attachment(app: web.Application, station_id: int, attachment_id: UUID | None) -> None:
    """Tell the station who is connected now, so that it begins new epochs."""
    named = None if attachment_id is None else str(attachment_id)
    app[keys.ROOMS].publish(f"station:{station_id}", {"type": "attachment", "attachment": named})
