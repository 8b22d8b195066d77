"""Consultations: made, admitted, ended; each change inside the transaction that holds station and consultation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from telemed.consultation.states import OPEN, Event, State, after
from telemed.errors import Conflict, NotFound, StationBusy
from telemed.identity import stations
from telemed.identity.policy import Target
from telemed.patient import attachments, patients
from telemed.patient.patients import Patient, Person
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("consultation")
LISTED = 200  # consultations in one answer, newest first


@dataclass(frozen=True, slots=True)
class Clinician:
    """Whoever admitted the patient, or was assigned."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Consultation:
    """A consultation with what its pages show; ``person`` is None once the patient's key is destroyed."""

    id: UUID
    organisation_id: UUID
    station_id: int
    station_name: str
    station_place: str
    patient_id: UUID
    person: Person | None
    clinician: Clinician | None
    state: State
    created_at: datetime
    waiting_at: datetime | None
    live_at: datetime | None
    ended_at: datetime | None
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
        )


@dataclass(frozen=True, slots=True)
class AtStation:
    """What a station needs to know of its consultation."""

    id: UUID
    state: State


async def create(
    connection: Connection, sealer: Sealer, patient: Patient, station: stations.Station, clinician_id: UUID | None
) -> Consultation:
    """A waiting consultation; the patient's open attachment at the station becomes its own.

    Patient and station are of one organisation (the caller asked the policy for both), else ``NotFound``.
    """
    if patient.organisation_id != station.organisation_id:
        raise NotFound()
    consultation_id = uuid4()
    await stations.lock(connection, station.id)
    await connection.execute(
        SQL["create"], consultation_id, patient.organisation_id, station.id, patient.id, clinician_id, State.WAITING
    )
    await attachments.join(connection, station.id, patient.id, consultation_id)
    return await get(connection, sealer, consultation_id)


async def get(connection: Connection, sealer: Sealer, consultation_id: UUID) -> Consultation:
    """The consultation. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["get"], consultation_id)
    if row is None:
        raise NotFound()
    return _consultation_of(row, sealer)


async def listed(
    connection: Connection, sealer: Sealer, organisation_id: UUID, state: State | None, only_for: UUID | None
) -> list[Consultation]:
    """The organisation's consultations, newest first; ``only_for`` leaves out other clinicians' own."""
    rows = await connection.fetch(SQL["list"], organisation_id, state, only_for, LISTED)
    return [_consultation_of(row, sealer) for row in rows]


async def admit(
    connection: Connection, sealer: Sealer, consultation: Consultation, clinician_id: UUID
) -> Consultation:
    """Waiting becomes live with this clinician. Raises ``StateRefused``, ``StationBusy`` or ``Conflict``."""
    await stations.lock(connection, consultation.station_id)
    await _move(connection, consultation.id, Event.ADMIT, clinician_id)
    taken = await get(connection, sealer, consultation.id)
    if taken.clinician_id != clinician_id:
        raise Conflict()  # another clinician was quicker
    return taken


async def end(
    connection: Connection, sealer: Sealer, consultation: Consultation, event: Event, by: UUID
) -> Consultation:
    """End (or cancel) it and close its attachment. Raises ``StateRefused``."""
    await stations.lock(connection, consultation.station_id)
    await _move(connection, consultation.id, event, None)
    attachment = await attachments.of_consultation(connection, consultation.id)
    if attachment is not None:
        await attachments.close(connection, attachment, by, "consultation_ended")
    return await get(connection, sealer, consultation.id)


async def live_at_station(connection: Connection, station_id: int) -> AtStation | None:
    """The station's live or interrupted consultation."""
    return _at_station(await connection.fetchrow(SQL["live_at_station"], station_id))


async def current_at_station(connection: Connection, station_id: int) -> AtStation | None:
    """The station's live consultation, else the one that waits longest."""
    return _at_station(await connection.fetchrow(SQL["current_at_station"], station_id))


def is_open(consultation: Consultation) -> bool:
    """Whether it is yet to end."""
    return consultation.state in OPEN


async def _move(connection: Connection, consultation_id: UUID, event: Event, clinician_id: UUID | None) -> None:
    row = await connection.fetchrow(SQL["lock"], consultation_id)
    if row is None:
        raise NotFound()
    state = after(State(row["state"]), event)
    if state is State.LIVE:
        live = await live_at_station(connection, row["station_id"])
        if live is not None and live.id != consultation_id:
            raise StationBusy()
    await connection.execute(SQL["state"], consultation_id, state, clinician_id)


def _at_station(row: Mapping[str, Any] | None) -> AtStation | None:
    return None if row is None else AtStation(row["id"], State(row["state"]))


def _consultation_of(row: Mapping[str, Any], sealer: Sealer) -> Consultation:
    clinician_id: UUID | None = row["clinician_id"]
    return Consultation(
        id=row["id"], organisation_id=row["organisation_id"], station_id=row["station_id"],
        station_name=row["station_name"], station_place=row["station_place"], patient_id=row["patient_id"],
        person=patients.unseal(sealer, row["patient_id"], row["sealed"], row["key_wrapped"]),
        clinician=None if clinician_id is None else Clinician(clinician_id, row["clinician_name"]),
        state=State(row["state"]), created_at=row["created_at"], waiting_at=row["waiting_at"],
        live_at=row["live_at"], ended_at=row["ended_at"], attachment_id=row["attachment_id"],
    )
