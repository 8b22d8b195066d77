"""Consultations: made, found, and moved from state to state inside the transaction that holds them.

What changes one holds its station and then its row (:func:`hold`), so that changes happen one by one and are
decided on what is true at that moment. A patient at home has no station.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from telemed.audit import SYSTEM, record
from telemed.consultation.states import OPEN, Event, State, after
from telemed.errors import KeyDestroyed, NotFound, StateRefused, StationBusy
from telemed.identity import stations
from telemed.identity.policy import Target
from telemed.patient import attachments, patients
from telemed.patient.patients import Patient, Person
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("consultation")
GET = f"{SQL['shown']}\n{SQL['one']}"
LIST = f"{SQL['shown']}\n{SQL['listed']}"
LISTED = 200  # consultations in one answer, newest first
MINUTES = 30  # an appointment's length where nobody says another
UNDER_WAY = frozenset({State.LIVE, State.INTERRUPTED})  # begun and not ended


@dataclass(frozen=True, slots=True)
class Clinician:
    """A clinician by name: the one who admitted the patient or was assigned, or a second one."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Consultation:
    """A consultation with what its pages show; ``person`` is None once the patient's key is destroyed.

    ``station_id`` is None for a patient at home; ``moved`` counts the appointment's moves; ``care_consent`` is
    the patient's last word on care, None when none was given, ``recording_consent`` that on recording;
    ``recording_since`` is None while it is not recorded.
    """

    id: UUID
    organisation_id: UUID
    station_id: int | None
    station_name: str | None
    station_place: str | None
    patient_id: UUID
    person: Person | None
    clinician: Clinician | None
    second_clinicians: tuple[Clinician, ...]
    state: State
    created_at: datetime
    scheduled_at: datetime | None
    waiting_at: datetime | None
    live_at: datetime | None
    ended_at: datetime | None
    signed_at: datetime | None
    minutes: int
    moved: int
    walk_in: bool
    vitals_shared: bool
    phone_since: datetime | None
    recording_since: datetime | None
    care_consent: bool | None
    recording_consent: bool | None
    guests_waiting: int
    attachment_id: UUID | None

    @property
    def clinician_id(self) -> UUID | None:
        """The clinician's account."""
        return None if self.clinician is None else self.clinician.id

    @property
    def target(self) -> Target:
        """The consultation as the policy sees it."""
        return Target(
            "consultation", str(self.id), self.organisation_id, patient_id=self.patient_id,
            station_id=self.station_id, clinician_id=self.clinician_id,
            invited=frozenset(one.id for one in self.second_clinicians), vitals_shared=self.vitals_shared,
        )


@dataclass(frozen=True, slots=True)
class AtStation:
    """What a station needs to know of its consultation."""

    id: UUID
    state: State


async def create(
    connection: Connection,
    sealer: Sealer,
    patient: Patient,
    station: stations.Station | None,
    clinician_id: UUID | None,
    scheduled_at: datetime | None = None,
    minutes: int = MINUTES,
) -> Consultation:
    """An appointment at ``scheduled_at``, or without one a patient who waits from now (a walk-in).

    The patient's open attachment at the station becomes a waiting one's own. Patient and station are of one
    organisation (the caller asked the policy for both), else ``NotFound``. Raises ``KeyDestroyed`` when the patient
    is nobody any more, merged into another a moment ago.
    """
    if station is not None:
        if patient.organisation_id != station.organisation_id:
            raise NotFound()
        await stations.lock(connection, station.id)
    await patients.lock(connection, patient.id)  # after the station, as opening an attachment does
    if (await patients.get(connection, sealer, patient.id)).person is None:
        raise KeyDestroyed()
    consultation_id, state = uuid4(), State.WAITING if scheduled_at is None else State.SCHEDULED
    await connection.execute(
        SQL["create"], consultation_id, patient.organisation_id, None if station is None else station.id, patient.id,
        clinician_id, state, scheduled_at, minutes,
    )
    made = await get(connection, sealer, consultation_id)
    if state is State.SCHEDULED:
        return made
    await _join_attachment(connection, made)
    return await get(connection, sealer, consultation_id)


async def get(connection: Connection, sealer: Sealer, consultation_id: UUID) -> Consultation:
    """The consultation. Raises ``NotFound``."""
    row = await connection.fetchrow(GET, consultation_id)
    if row is None:
        raise NotFound()
    return _consultation_of(row, sealer)


async def hold(connection: Connection, sealer: Sealer, consultation_id: UUID) -> Consultation:
    """The consultation, its station's and then its own until the transaction ends. Raises ``NotFound``."""
    station_id = await connection.fetchval(SQL["station_of"], consultation_id)
    if station_id is not None:
        await stations.lock(connection, station_id)
    await connection.fetchrow(SQL["lock"], consultation_id)
    return await get(connection, sealer, consultation_id)


async def listed(
    connection: Connection,
    sealer: Sealer,
    organisation_id: UUID,
    state: State | None,
    only_for: UUID | None,
    since: datetime | None = None,
    before: datetime | None = None,
) -> list[Consultation]:
    """The organisation's consultations, newest first; ``only_for`` leaves out what is other clinicians' alone.

    ``since`` and ``before`` bound the appointment's time, or the creation of one without an appointment.
    """
    rows = await connection.fetch(LIST, organisation_id, state, only_for, since, before, LISTED)
    return [_consultation_of(row, sealer) for row in rows]


def edge(consultation: Consultation, event: Event) -> dict[str, object]:
    """The audit's word on the event: the states before and after, or only the one that refuses it.

    It refuses nothing, so that the policy is asked first; :func:`advance` refuses.
    """
    try:
        return {"from": consultation.state.value, "to": after(consultation.state, event).value}
    except StateRefused:
        return {"from": consultation.state.value}


async def advance(connection: Connection, sealer: Sealer, consultation: Consultation, event: Event) -> Consultation:
    """A held consultation's next state. Raises ``StateRefused`` or ``StationBusy``."""
    state = after(consultation.state, event)
    if state is State.LIVE and consultation.station_id is not None:
        live = await live_at_station(connection, consultation.station_id)
        if live is not None and live.id != consultation.id:
            raise StationBusy()
    await connection.execute(SQL["state"], consultation.id, state)
    if event is Event.ARRIVE:
        await _join_attachment(connection, consultation)
    return await get(connection, sealer, consultation.id)


async def advance_by_itself(
    connection: Connection, sealer: Sealer, consultation: Consultation, event: Event, **detail: object
) -> Consultation:
    """:func:`advance` by the system, which nobody asked: recorded as its event."""
    advanced = await advance(connection, sealer, consultation, event)
    await record(
        connection, SYSTEM, f"consultation.{event.value}", "event", object_kind="consultation",
        object_id=str(consultation.id), patient_id=consultation.patient_id,
        organisation_id=consultation.organisation_id, detail={**edge(consultation, event), **detail},
    )
    return advanced


async def admit(
    connection: Connection, sealer: Sealer, consultation: Consultation, clinician_id: UUID
) -> Consultation:
    """A held waiting one becomes live with this clinician. Raises ``StateRefused`` or ``StationBusy``."""
    await advance(connection, sealer, consultation, Event.ADMIT)
    await connection.execute(SQL["assign"], consultation.id, clinician_id)
    return await get(connection, sealer, consultation.id)


async def finish(
    connection: Connection, sealer: Sealer, consultation: Consultation, event: Event, by: UUID
) -> Consultation:
    """A held one ends, is cancelled or missed; its attachment closes with it. Raises ``StateRefused``."""
    await advance(connection, sealer, consultation, event)
    attachment = await attachments.of_consultation(connection, consultation.id)
    if attachment is not None:
        await attachments.close(connection, attachment, by, "consultation_ended")
    return await get(connection, sealer, consultation.id)


async def put_on_phone(connection: Connection, sealer: Sealer, consultation: Consultation, on: bool) -> Consultation:
    """Note that a held one goes on by telephone, or no longer. Raises ``StateRefused`` unless it is under way."""
    _check_under_way(consultation)
    await connection.execute(SQL["phone"], consultation.id, on)
    return await get(connection, sealer, consultation.id)


async def share_vitals(
    connection: Connection, sealer: Sealer, consultation: Consultation, shared: bool
) -> Consultation:
    """Show a held one's vital signs to its guests, or no longer. Raises ``StateRefused`` unless it is under way."""
    _check_under_way(consultation)
    await connection.execute(SQL["share_vitals"], consultation.id, shared)
    return await get(connection, sealer, consultation.id)


async def live_at_station(connection: Connection, station_id: int | None) -> AtStation | None:
    """The station's live or interrupted consultation; None for no station."""
    return _at_station(await connection.fetchrow(SQL["live_at_station"], station_id))


async def current_at_station(connection: Connection, station_id: int | None) -> AtStation | None:
    """The station's live consultation, else the one that waits longest; None for no station."""
    return _at_station(await connection.fetchrow(SQL["current_at_station"], station_id))


def is_open(consultation: Consultation) -> bool:
    """Whether it is yet to end."""
    return consultation.state in OPEN


def _check_under_way(consultation: Consultation) -> None:
    if consultation.state not in UNDER_WAY:
        raise StateRefused(state=consultation.state.value)


async def _join_attachment(connection: Connection, consultation: Consultation) -> None:
    if consultation.station_id is not None:
        await attachments.join(connection, consultation.station_id, consultation.patient_id, consultation.id)


def _at_station(row: Mapping[str, Any] | None) -> AtStation | None:
    return None if row is None else AtStation(row["id"], State(row["state"]))


def _consultation_of(row: Mapping[str, Any], sealer: Sealer) -> Consultation:
    clinician_id: UUID | None = row["clinician_id"]
    seconds = zip(row["second_ids"] or (), row["second_names"] or (), strict=True)
    same = (
        "id", "organisation_id", "station_id", "station_name", "station_place", "patient_id", "created_at",
        "scheduled_at", "waiting_at", "live_at", "ended_at", "signed_at", "minutes", "moved", "walk_in",
        "vitals_shared", "phone_since", "recording_since", "care_consent", "recording_consent", "guests_waiting",
        "attachment_id",
    )
    return Consultation(
        person=patients.unseal(sealer, row["patient_id"], row["sealed"], row["key_wrapped"]),
        clinician=None if clinician_id is None else Clinician(clinician_id, row["clinician_name"]),
        second_clinicians=tuple(Clinician(account_id, name) for account_id, name in seconds),
        state=State(row["state"]), **{name: row[name] for name in same},
    )
