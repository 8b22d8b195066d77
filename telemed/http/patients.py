"""Patients, their consents, and the destruction of a patient's key."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field, StringConstraints

from telemed.consultation import consultations
from telemed.errors import InvalidRequest, KeyDestroyed, NotFound
from telemed.http import announce, keys, recordings
from telemed.http.route import Body, Line, Route, answer, body, query, uuid_of
from telemed.identity import policy
from telemed.media.recording import kept
from telemed.patient import consents, identifiers, merging, patients
from telemed.patient.holds import OnHold
from telemed.patient.merging import NotProvisional, VisitOpen
from telemed.patient.patients import Identifier, PatientMerged, Person, StillAttached

Text = Annotated[Line, StringConstraints(min_length=1, max_length=200)]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,60}$")]
Purpose = Literal["care", "recording", "teaching", "cross_border"]


Search = Annotated[Line, StringConstraints(min_length=1, max_length=100)]


class IdentifierNew(Body):
    """A number that some register gave the person."""

    system: Text
    value: Text


class IdentifierShown(IdentifierNew):
    """The number, and whether it is written as that register writes them (null: not checked); nobody verified it."""

    well_formed: bool | None


class IdentifierChecked(Body):
    """Whether a number is well-formed (null: not checked), and the number without its spacing."""

    system: str
    normal: str
    well_formed: bool | None


class PatientNew(Body):
    """A new patient; only a provisional one may be of unknown age."""

    name: Text
    birth_year: Annotated[int, Field(ge=1890, le=2200)] | None
    identifiers: Annotated[list[IdentifierNew], Field(max_length=8)] = Field(default_factory=list)
    provisional: bool = False


class PatientShown(Body):
    """A patient; what names the person is null once the key is destroyed, and the year of birth also when unknown."""

    id: UUID
    name: str | None
    birth_year: int | None
    identifiers: list[IdentifierShown]
    provisional: bool
    key_destroyed: bool
    created_at: datetime


class Patients(Body):
    """The organisation's patients, newest first."""

    patients: list[PatientShown]


class PatientFilter(Body):
    """Which ones: of whom each word is part of the name, the year of birth or how an identifier begins."""

    q: Search | None = None


class MergeNew(Body):
    """Into which patient, and why."""

    into: UUID
    reason: Literal["same_person", "typing_error", "other"]


class ConsentNew(Body):
    """A consent given, or with ``given`` false withdrawn; the witness is whoever is signed in."""

    purpose: Purpose
    given: bool
    version: Code
    language: Literal["bg", "en"]
    given_by: Literal["patient", "guardian", "relative"]
    consultation_id: UUID | None = None


class ConsentShown(Body):
    """One consent event."""

    id: int
    consultation_id: UUID | None
    purpose: Purpose
    given: bool
    version: str
    language: Literal["bg", "en"]
    given_by: Literal["patient", "guardian", "relative"]
    witness_id: UUID | None
    at: datetime


class Consents(Body):
    """A patient's consent events, newest first."""

    consents: list[ConsentShown]


def shown(patient: patients.Patient) -> PatientShown:
    """The patient as JSON."""
    person = patient.person
    return PatientShown(
        id=patient.id,
        name=None if person is None else person.name,
        birth_year=None if person is None else person.birth_year,
        identifiers=[
            IdentifierShown(system=one.system, value=one.value, well_formed=one.well_formed)
            for one in (person.identifiers if person else ())
        ],
        provisional=patient.provisional,
        key_destroyed=person is None,
        created_at=patient.created_at,
    )


async def list_patients(request: web.Request) -> web.Response:
    """The organisation's patients, all or those found; whom the answer shows is audited, the words are not kept."""
    wanted, actor, sealer = query(request, PatientFilter), request[keys.ACTOR], request.app[keys.SEALER]
    ours = request[keys.ACCOUNT].organisation_id
    async with request.app[keys.DATABASE].transaction() as connection:
        if wanted.q is None:
            found = await patients.listed(connection, sealer, ours)
        else:
            found = await patients.search(connection, sealer, ours, wanted.q)
        detail: dict[str, object] = {"patients": [str(patient.id) for patient in found]}
        if wanted.q is not None:
            detail["search"] = True
        await policy.require(connection, actor, "patient.list", detail=detail)
    return answer(Patients(patients=[shown(patient) for patient in found]))


async def create_patient(request: web.Request) -> web.Response:
    """Make a patient with a key of their own."""
    wanted, actor = await body(request, PatientNew), request[keys.ACTOR]
    if wanted.birth_year is None and not wanted.provisional:
        raise InvalidRequest(field="birth_year")
    person = Person(
        wanted.name, wanted.birth_year, tuple(Identifier(one.system, one.value) for one in wanted.identifiers)
    )
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.create(
            connection, request.app[keys.SEALER], request[keys.ACCOUNT].organisation_id, person,
            provisional=wanted.provisional,
        )
        await policy.require(connection, actor, "patient.create", patient.target)
    return answer(shown(patient), 201)


async def read_patient(request: web.Request) -> web.Response:
    """One patient. ``PatientMerged`` says into whom, ``KeyDestroyed`` that nobody can read who it was."""
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, request.app[keys.SEALER], uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "patient.read", patient.target)
    if patient.merged_into is not None:
        raise PatientMerged(into=str(patient.merged_into))
    if patient.person is None:
        raise KeyDestroyed()
    return answer(shown(patient))


async def destroy_key(request: web.Request) -> web.Response:
    """Destroy the patient's key: the person's name and every sample become unreadable, for good."""
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, request.app[keys.SEALER], uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "patient.destroy_key", patient.target)
        await patients.destroy_key(connection, patient.id)
    return web.Response(status=204)


async def check_identifier(request: web.Request) -> web.Response:
    """Whether a number is well-formed; nothing is kept and no register is asked."""
    wanted = await body(request, IdentifierNew)
    async with request.app[keys.DATABASE].connection() as connection:
        await policy.require(connection, request[keys.ACTOR], "identifier.check")
    return answer(IdentifierChecked(
        system=wanted.system, normal=identifiers.normal(wanted.system, wanted.value),
        well_formed=identifiers.check(wanted.system, wanted.value),
    ))


async def merge_patient(request: web.Request) -> web.Response:
    """A provisional patient turned out to be another: what was recorded goes over, the former's key is destroyed."""
    wanted, actor, app = await body(request, MergeNew), request[keys.ACTOR], request.app
    async with app[keys.DATABASE].transaction() as connection:
        provisional = await patients.get(connection, app[keys.SEALER], uuid_of(request))
        why: dict[str, object] = {"into": str(wanted.into), "reason": wanted.reason}
        await policy.require(connection, actor, "patient.merge", provisional.target, why)
        into = await patients.get(connection, app[keys.SEALER], wanted.into)
        if into.organisation_id != provisional.organisation_id:
            await policy.require(connection, actor, "patient.merge", into.target)
        merged = await merging.merge(connection, app[keys.SEALER], provisional.id, into.id)
        # The same act as a row of the patient who remains: whoever asks about one of the two finds it.
        await policy.granted(connection, actor, "patient.merge", into.target, {
            "from": str(provisional.id), "reason": wanted.reason, "attachments": merged.attachments,
            "consultations": merged.consultations, "streams": merged.streams, "files": merged.files,
        })
        news = [await announce.load(app, connection, one) for one in merged.scheduled]
        at = [await consultations.current_at_station(connection, one.station_id) for one in news]
    for consultation, at_station in zip(news, at, strict=True):
        announce.tell_consultation(app, consultation, at_station)
    return answer(shown(into))


async def record_consent(request: web.Request) -> web.Response:
    """Record that a consent was given or withdrawn."""
    wanted, actor = await body(request, ConsentNew), request[keys.ACTOR]
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, request.app[keys.SEALER], uuid_of(request))
        await policy.require(connection, actor, "consent.record", patient.target, {"purpose": wanted.purpose})
        if wanted.consultation_id is not None:
            try:
                consultation = await announce.load(request.app, connection, wanted.consultation_id)
            except NotFound:
                raise InvalidRequest(field="consultation_id") from None
            if consultation.patient_id != patient.id:
                raise InvalidRequest(field="consultation_id")
        event = await consents.record(
            connection, patient.organisation_id, patient.id, consultation_id=wanted.consultation_id,
            purpose=wanted.purpose, given=wanted.given, version=wanted.version, language=wanted.language,
            given_by=wanted.given_by, witness_id=UUID(actor.id),
        )
        stopped = await kept.withdraw(connection, patient.id) if _ends_recording(wanted) else []
    await recordings.withdrawn(request.app, stopped)
    return answer(_consent(event), 201)


def _ends_recording(wanted: ConsentNew) -> bool:
    return wanted.purpose == "recording" and not wanted.given


async def list_consents(request: web.Request) -> web.Response:
    """The patient's consents."""
    async with request.app[keys.DATABASE].transaction() as connection:
        patient = await patients.get(connection, request.app[keys.SEALER], uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "consent.list", patient.target)
        found = await consents.listed(connection, patient.id)
    return answer(Consents(consents=[_consent(event) for event in found]))


def _consent(event: consents.ConsentEvent) -> ConsentShown:
    return ConsentShown.model_validate({name: getattr(event, name) for name in ConsentShown.model_fields})


ROUTES = (
    Route("GET", "/api/v1/patients", "patient.list", list_patients, "The organisation's patients",
          response=Patients, query=PatientFilter),
    Route("POST", "/api/v1/patients", "patient.create", create_patient, "Make a patient", PatientNew, PatientShown,
          201),
    Route("GET", "/api/v1/patients/{id}", "patient.read", read_patient, "One patient", response=PatientShown,
          errors=(KeyDestroyed, PatientMerged)),
    Route("POST", "/api/v1/patients/{id}/merge", "patient.merge", merge_patient,
          "A provisional patient turned out to be another", MergeNew, PatientShown,
          errors=(NotProvisional, PatientMerged, KeyDestroyed, StillAttached, VisitOpen, OnHold)),
    Route("POST", "/api/v1/identifiers/check", "identifier.check", check_identifier,
          "Whether a number is well-formed", IdentifierNew, IdentifierChecked),
    Route("DELETE", "/api/v1/patients/{id}/key", "patient.destroy_key", destroy_key,
          "Destroy a patient's key: what it sealed is lost for everyone", status=204,
          errors=(KeyDestroyed, StillAttached, OnHold)),
    Route("POST", "/api/v1/patients/{id}/consents", "consent.record", record_consent, "Record a consent",
          ConsentNew, ConsentShown, 201),
    Route("GET", "/api/v1/patients/{id}/consents", "consent.list", list_consents, "A patient's consents",
          response=Consents),
)
