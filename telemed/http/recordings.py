"""Recordings: switched on and off by the clinician, with the patient's consent alone; played in the review."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final, Literal, TypeVar
from uuid import UUID

from aiohttp import web

from telemed.audit import SYSTEM, record
from telemed.consultation import consultations
from telemed.consultation.consultations import UNDER_WAY
from telemed.errors import KeyDestroyed, NotFound, StateRefused, TelemedError
from telemed.http import keys
from telemed.http.announce import consultation_json, load, tell_consultation
from telemed.http.route import Body, Route, answer, body, uuid_of
from telemed.http.sending import send_parts
from telemed.http.shapes import ConsultationShown
from telemed.identity import policy
from telemed.media.backend import SourceName
from telemed.media.recording import kept
from telemed.media.recording.kept import ConsentMissing, DiskLow, Recorded, RecordingRunning, RecordingsFull
from telemed.media.recording.playback import Reel, open_reel, wanted_range
from telemed.media.recording.recorder import Recorder

WEBM: Final = "video/webm"
STRETCH_BYTES: Final = 4_194_304  # of one answer to a range: 20 s; a player asks on when it needs more
REELS: Final = 16  # recordings of which the parts' places are remembered: 2 MB each at most
OPENINGS: Final = 1_024  # remembered; whoever is forgotten is audited once more
OPENED: Final = web.AppKey("RECORDINGS_OPENED", OrderedDict[tuple[bytes, UUID], None])
REEL: Final = web.AppKey("RECORDING_REELS", OrderedDict[UUID, Reel])

Key = TypeVar("Key")
Value = TypeVar("Value")


class RangeRefused(TelemedError):
    """The recording has none of the bytes that were asked for."""

    code = "range_refused"
    status = 416


class RecordingSwitch(Body):
    """Whether what is published in the consultation is recorded."""

    on: bool


class RecordingShown(Body):
    """One publication's recording. ``began_us`` is consultation time, ``error_us`` how far that may be off.

    ``error_us`` is null, and it is not ``aligned``, when nobody knows. ``picture_left_out``: it came as H.264, which is
    not recorded. ``ended_at`` null: it goes on and cannot be played yet.
    """

    id: UUID
    participant: str
    by: str
    source: SourceName
    began_us: int
    length_ms: int
    bytes: int
    error_us: int | None
    aligned: bool
    picture: bool
    sound: bool
    picture_left_out: bool
    ended_at: datetime | None
    ended_why: Literal["left", "switched_off", "withdrawn", "full", "disk", "database", "cut"] | None


class Recordings(Body):
    """A consultation's recordings, oldest first."""

    recordings: list[RecordingShown]


async def switch(request: web.Request) -> web.Response:
    """Record from now on, or no longer. Everybody in the room is told."""
    app, wanted, consultation_id = request.app, await body(request, RecordingSwitch), uuid_of(request)
    recorder = app[keys.RECORDER]
    async with app[keys.DATABASE].transaction() as connection:
        held = await consultations.hold(connection, app[keys.SEALER], consultation_id)
        await policy.require(connection, request[keys.ACTOR], "recording.switch", held.target, {"on": wanted.on})
        if held.state not in UNDER_WAY:
            raise StateRefused(state=held.state.value)
        if wanted.on:
            recorder.check()
            await kept.switch_on(connection, held.id)
        else:
            await kept.switch_off(connection, held.id)
    if wanted.on:
        recorder.on(consultation_id)
    else:
        await recorder.off(consultation_id, "switched_off")
    return answer(await _told(app, consultation_id))


async def withdrawn(app: web.Application, consultation_ids: list[UUID]) -> None:
    """After the commit that withdrew a patient's consent: these are recorded no longer, and their rooms are told."""
    for consultation_id in consultation_ids:
        await app[keys.RECORDER].off(consultation_id, "withdrawn")
        await _told(app, consultation_id)


async def _told(app: web.Application, consultation_id: UUID) -> ConsultationShown:
    """Tell as it is while it is held, so that nobody hears "live" after "ended"."""
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await consultations.hold(connection, app[keys.SEALER], consultation_id)
        at_station = await consultations.current_at_station(connection, consultation.station_id)
    tell_consultation(app, consultation, at_station)
    return consultation_json(app, consultation)


async def list_recordings(request: web.Request) -> web.Response:
    """What was recorded of a consultation."""
    app = request.app
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "recording.list", consultation.target)
        found = await kept.listed(connection, app[keys.SEALER], consultation.id)
    return answer(Recordings(recordings=[_shown(one) for one in found]))


def _shown(one: Recorded) -> RecordingShown:
    same = ("id", "began_us", "length_ms", "bytes", "error_us", "aligned", "sound", "ended_at", "ended_why")
    who = one.publisher
    return RecordingShown.model_validate({
        **{name: getattr(one, name) for name in same}, "participant": who.participant, "by": who.by,
        "source": who.source, "picture": one.width is not None, "picture_left_out": one.unshown,
    })


async def play(request: web.Request) -> web.StreamResponse:
    """A recording as WebM, whole or the stretch that was asked for. Opening it is audited, not each stretch."""
    app, recording_id = request.app, uuid_of(request)
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, await kept.consultation_of(connection, recording_id))
        actor, opening = request[keys.ACTOR], (request[keys.SIGN_IN], recording_id)
        refused = policy.decide(actor, "recording.read", consultation.target) is not None
        if refused or opening not in app[OPENED]:
            detail: dict[str, object] = {"recording": str(recording_id)}
            await policy.require(connection, actor, "recording.read", consultation.target, detail)
        recorded = await kept.find(connection, app[keys.SEALER], recording_id)
        if recorded.ended_at is None:
            raise RecordingRunning()
        reel = app[REEL].get(recording_id) or await open_reel(connection, recorded)
    _remember(app[REEL], recording_id, reel, REELS)
    _remember(app[OPENED], opening, None, OPENINGS)
    return await _answered(request, recorded, reel)


async def _answered(request: web.Request, recorded: Recorded, reel: Reel) -> web.StreamResponse:
    try:
        wanted = wanted_range(request.headers.get("Range"), reel.bytes)
    except ValueError:
        raise RangeRefused() from None
    first, past = (0, reel.bytes) if wanted is None else (wanted[0], min(wanted[1], wanted[0] + STRETCH_BYTES))
    response = web.StreamResponse(
        status=200 if wanted is None else 206, headers={"Content-Type": WEBM, "Accept-Ranges": "bytes"}
    )
    if wanted is not None:
        response.headers["Content-Range"] = f"bytes {first}-{past - 1}/{reel.bytes}"
    response.content_length = past - first
    return await send_parts(request, response, _parts(request, recorded, reel, first, past), "recording.read")


async def _parts(
    request: web.Request, recorded: Recorded, reel: Reel, first: int, past: int
) -> AsyncIterator[memoryview]:
    """Piece after piece; no connection to the database is held while a slow reader takes one."""
    for number, begin, end in reel.pieces(first, past):
        if number is None:
            piece = reel.head
        else:
            async with request.app[keys.DATABASE].connection() as connection:
                piece = await kept.part_bytes(connection, recorded, number)
        yield memoryview(piece)[begin:end]


def _remember(known: OrderedDict[Key, Value], key: Key, value: Value, most: int) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > most:
        known.popitem(last=False)


async def _recorder(app: web.Application) -> AsyncIterator[None]:
    async def stopped(consultation_id: UUID, why: str) -> None:
        async with app[keys.DATABASE].transaction() as connection:
            held = await consultations.hold(connection, app[keys.SEALER], consultation_id)
            await kept.switch_off(connection, held.id)
            await record(
                connection, SYSTEM, "recording.stopped", "event", object_kind="consultation", object_id=str(held.id),
                patient_id=held.patient_id, organisation_id=held.organisation_id, detail={"why": why},
            )
        await _told(app, consultation_id)

    def clock(consultation_id: UUID, participant: str) -> UUID | None:
        kind, _, number = participant.partition(":")
        if kind == "station":
            return app[keys.INGEST].source_of(int(number))
        present = app[keys.PEOPLE].present(consultation_id)
        return next((one.page for one in present if one.id == participant), None)

    recorder = app[keys.RECORDER] = Recorder(
        app[keys.DATABASE], app[keys.SEALER], app[keys.ROOMS], app[keys.RELAY], app[keys.MEDIA].publications, clock,
        app[keys.SETTINGS].home, stopped,
    )
    await recorder.start()
    yield
    await recorder.close()


def prepare(app: web.Application) -> None:
    """Remember what was opened, and where its parts are."""
    app[OPENED] = OrderedDict()
    app[REEL] = OrderedDict()


PREPARE = (prepare,)
CONTEXTS = (_recorder,)
ROUTES = (
    Route("POST", "/api/v1/consultations/{id}/recording", "recording.switch", switch,
          "Record what is published, or no longer", RecordingSwitch, ConsultationShown,
          errors=(StateRefused, ConsentMissing, RecordingsFull, DiskLow)),
    Route("GET", "/api/v1/consultations/{id}/recordings", "recording.list", list_recordings,
          "What was recorded of a consultation", response=Recordings, errors=(KeyDestroyed,)),
    Route("GET", "/api/v1/recordings/{id}", "recording.read", play, "A recording as WebM, whole or a range of it",
          errors=(NotFound, KeyDestroyed, RecordingRunning, RangeRefused)),
)
