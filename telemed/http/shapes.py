"""JSON shapes that more than one area answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from telemed.consultation.states import State
from telemed.http.route import Body


class PatientBrief(Body):
    """Who it is; both are null once the patient's key is destroyed."""

    id: UUID
    name: str | None
    birth_year: int | None
    key_destroyed: bool


class StationBrief(Body):
    """Where it is."""

    id: int
    name: str
    place: str
    online: bool


class OrganisationShown(Body):
    """One's organisation; ``zone`` is the IANA time zone in which its pages show times, ``phone`` may be empty."""

    id: UUID
    name: str
    zone: str
    phone: str


class Someone(Body):
    """An account by name."""

    id: UUID
    name: str


class ConsultationShown(Body):
    """A consultation; times are UTC. ``station`` is null for a patient at home.

    ``phone_since``: it goes on by telephone since then; ``care_consent``: the patient's last word on care, null
    when none was given, ``recording_consent`` that on recording; ``recording_since``: pictures and sound are recorded
    since then; ``guests_waiting``: seats at the door; ``patient_here``: the station or a seat of the
    patient is connected.
    """

    id: UUID
    state: State
    patient: PatientBrief
    station: StationBrief | None
    clinician: Someone | None
    second_clinicians: list[Someone]
    created_at: datetime
    scheduled_at: datetime | None
    minutes: int
    walk_in: bool
    waiting_at: datetime | None
    live_at: datetime | None
    ended_at: datetime | None
    signed_at: datetime | None
    phone_since: datetime | None
    vitals_shared: bool
    recording_since: datetime | None
    care_consent: bool | None
    recording_consent: bool | None
    guests_waiting: int
    patient_here: bool
    attachment_id: UUID | None


class AttachmentShown(Body):
    """Who was connected to a station, from when to when."""

    id: UUID
    station_id: int
    patient_id: UUID
    consultation_id: UUID | None
    opened_at: datetime
    closed_at: datetime | None
    closed_reason: Literal["operator", "next_patient", "sensors_off", "consultation_ended"] | None


class AuditShown(Body):
    """One row of the audit; ``detail`` holds codes and counts."""

    id: int
    at: datetime
    actor_kind: Literal["account", "station", "guest", "system", "anonymous"]
    actor_id: str | None
    action: str
    outcome: Literal["permit", "deny", "event"]
    object_kind: str | None
    object_id: str | None
    patient_id: UUID | None
    detail: dict[str, Any]


class AuditEvents(Body):
    """Rows, newest first; the next page is before ``next`` (null: there is none)."""

    events: list[AuditShown]
    next: int | None
