"""WHIP and WHEP: a publisher posts an SDP offer to a room, a viewer to a publication; the server answers.

RFC 9725 (WHIP), draft-ietf-wish-whep, RFC 8840 (trickle fragments). A room is a consultation's id; a guest's request
names its seat by ``as``, and the Location of what it made does too.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

from aiohttp import web
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from telemed.audit import Actor
from telemed.consultation import consultations, seats
from telemed.consultation.consultations import Consultation
from telemed.consultation.states import State
from telemed.errors import DatabaseUnavailable, StateRefused, TelemedError
from telemed.http import keys
from telemed.http.ice_servers import whose
from telemed.http.middleware import AS
from telemed.http.route import Body, Route, query, uuid_of
from telemed.http.whip import (
    FRAGMENT,
    SDP,
    answered,
    changed,
    condition,
    cross_origin,
    discover,
    head,
    look,
    refused,
    sdp,
)
from telemed.identity import policy, sign_ins
from telemed.media.backend import (
    EtagMismatch,
    EtagRequired,
    MediaBackend,
    MediaError,
    MediaTypeUnsupported,
    PublicationNotFound,
    PublicationNotReady,
    Publisher,
    Resource,
    ResourceNotFound,
    Role,
    SdpInvalid,
    SdpUnsupported,
    SourceName,
    TooManySessions,
)
from telemed.media.client import RelayClient
from telemed.media.engine import RelayUnavailable
from telemed.media.plane import MediaPlane
from telemed.media.relay.speakers import PICTURES
from telemed.metrics import REGISTRY
from telemed.store.database import Database, DatabaseRefused

OPEN_STATES = (State.LIVE, State.INTERRUPTED)  # in which pictures and sound may pass
SLOTS = tuple(map(str, range(PICTURES)))
OWNERS_SECONDS = 1.0  # a sign-in that ended loses its pictures within two seconds


class Publishing(Body):
    """The query of a publication: what it shows."""

    source: SourceName = "camera"


async def publish(request: web.Request) -> web.StreamResponse:
    """POST /whip/{room}: begin a publication."""
    actor = request[keys.ACTOR]
    media = request.app[keys.MEDIA]
    room = uuid_of(request, "room")
    source = query(request, Publishing).source
    consultation = await _permitted(request, "media.publish", room, live=True)
    offer = await sdp(request, SDP)
    publisher = Publisher(participant_of(actor), role_in(actor, consultation), source)
    station = () if consultation.station_id is None else (f"station:{consultation.station_id}",)
    try:
        made = await media.publish(str(room), publisher, offer, owner=_owner(request), topics=station)
    except MediaError as error:
        return refused(error)
    return await _created(request, made, room, "whip")


async def play(request: web.Request) -> web.StreamResponse:
    """POST /whep/{publication}: begin to play a publication."""
    media = request.app[keys.MEDIA]
    publication = request.match_info["publication"]
    try:
        room = _consultation_of(media, publication)
        await _permitted(request, "media.play", room, live=True)
        offer = await sdp(request, SDP)
        participant = participant_of(request[keys.ACTOR])
        made = await media.play(publication, offer, participant=participant, owner=_owner(request))
    except MediaError as error:
        return refused(error)
    return await _created(request, made, room, "whep")


async def play_slot(request: web.Request) -> web.StreamResponse:
    """POST /whep/{room}/slots/{slot}: begin to play whoever speaks in a room of many."""
    room = uuid_of(request, "room")
    slot = request.match_info["slot"]
    if slot not in SLOTS:
        raise PublicationNotFound()
    await _permitted(request, "media.play", room, live=True)
    offer = await sdp(request, SDP)
    participant = participant_of(request[keys.ACTOR])
    try:
        made = await request.app[keys.MEDIA].play_slot(
            str(room), int(slot), offer, participant=participant, owner=_owner(request)
        )
    except MediaError as error:
        return refused(error)
    return await _created(request, made, room, "whep")


async def trickle(request: web.Request) -> web.StreamResponse:
    """PATCH: candidates that the client found after its offer, or an ICE restart by new credentials."""
    await _own(request, "media.trickle")
    fragment = await sdp(request, FRAGMENT)
    resource = request.match_info["resource"]
    return changed(await request.app[keys.MEDIA].patch(resource, fragment, condition(request)))


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE: end the session."""
    await _own(request, "media.delete")
    await request.app[keys.MEDIA].delete(request.match_info["resource"])
    return web.Response()


def participant_of(actor: Actor) -> str:
    """The participant's id: the account's, the seat's, or ``station:<n>``."""
    return f"station:{actor.id}" if actor.kind == "station" else str(actor.id)


def role_in(actor: Actor, consultation: Consultation) -> str:
    """What the actor, whom the policy has let in, is in the consultation's room."""
    if actor.kind == "station":
        return "station"
    if actor.kind == "guest":
        return next(iter(actor.roles))
    if actor.id == str(consultation.clinician_id):
        return "clinician"
    second = any(actor.id == str(one.id) for one in consultation.second_clinicians)
    return "second_clinician" if second else "operator"


def _consultation_of(media: MediaBackend, publication: str) -> UUID:
    """The room of the publication. Raises ``PublicationNotFound``, for a call check's publication as well."""
    try:
        return UUID(media.room_of(publication))
    except ValueError:
        raise PublicationNotFound() from None


def _owner(request: web.Request) -> str:
    """Who asks and by which sign-in, seat or key: what ends with that one must not end with another."""
    actor = request[keys.ACTOR]
    if actor.kind == "account":
        proof = request[keys.SIGN_IN]
    elif actor.kind == "guest":
        proof = request[keys.SEAT].proof
    else:
        proof = sign_ins.token_hash(request.headers.get("Authorization", "").partition(" ")[2].strip())
    return f"{actor.kind}:{actor.id}:{proof.hex()}"


async def close_signed_out(database: Database, media: MediaBackend) -> None:
    """End the sessions of every sign-in that has ended, seat that is not admitted any more and key that was revoked.

    A session that the server itself opened has no such proof, and stays.

    Raises ``DatabaseUnavailable``; then nothing is closed and the next look tries again.
    """
    proofs = {owner: bytes.fromhex(owner.rpartition(":")[2]) for owner in media.owners() if owner}
    if not proofs:
        return
    async with database.connection() as connection:
        alive = await sign_ins.proofs_alive(connection, set(proofs.values()))
    for owner, proof in proofs.items():
        if proof not in alive:
            await media.close_owner(owner)


async def _watch_owners(app: web.Application) -> None:
    while True:
        await asyncio.sleep(OWNERS_SECONDS)
        with contextlib.suppress(DatabaseUnavailable, DatabaseRefused):
            await close_signed_out(app[keys.DATABASE], app[keys.MEDIA])


async def _permitted(request: web.Request, action: str, room: UUID, *, live: bool) -> Consultation:
    """The consultation, once the policy grants the action on it. Raises ``StateRefused`` when it is not live."""
    async with request.app[keys.DATABASE].connection() as connection:
        consultation = await consultations.get(connection, request.app[keys.SEALER], room)
        await policy.require(connection, request[keys.ACTOR], action, consultation.target)
    if live and consultation.state not in OPEN_STATES:
        raise StateRefused(state=consultation.state.value)
    return consultation


async def _own(request: web.Request, action: str) -> None:
    """Pass when the resource is of this kind and of this actor, and the policy grants the action."""
    role: Role = "publish" if request.path.startswith("/whip/") else "play"
    place = request.app[keys.MEDIA].place(request.match_info["resource"], _owner(request))
    if place.role != role:
        raise ResourceNotFound()
    await _permitted(request, action, UUID(place.room), live=False)


async def _created(request: web.Request, made: Resource, room: UUID, kind: str) -> web.Response:
    """The answer, unless while it was made the consultation ended or the actor lost the right to be there."""
    refusal = await _gone_meanwhile(request, room)
    if refusal is not None:
        with contextlib.suppress(ResourceNotFound):
            await request.app[keys.MEDIA].delete(made.id)
        raise refusal
    seat = request.get(keys.SEAT)
    query_ = "" if seat is None else f"?{AS}={seat.seat_id}"
    links = request.app[keys.ICE_SERVERS].links(time.time(), whose(request))
    return answered(made, f"/{kind}/resources/{made.id}{query_}", {"Accept-Patch": FRAGMENT}, links)


async def _gone_meanwhile(request: web.Request, room: UUID) -> TelemedError | None:
    actor = request[keys.ACTOR]
    async with request.app[keys.DATABASE].connection() as connection:
        consultation = await consultations.get(connection, request.app[keys.SEALER], room)
        if actor.kind == "guest":
            guest = await seats.by_proof(connection, request[keys.SEAT].seat_id, request[keys.SEAT].proof)
            actor = actor if guest is None else guest.actor
    if consultation.state not in OPEN_STATES:
        return StateRefused(state=consultation.state.value)
    refusal = policy.decide(actor, "media.publish", consultation.target)
    return None if refusal is None else refusal()


class MediaCollector(Collector):
    """The backend's counters on ``/metrics``."""

    def __init__(self, media: MediaBackend) -> None:
        self._media = media

    def collect(self) -> Iterable[Metric]:
        """One family a counter."""
        for name, value in self._media.stats().as_mapping().items():
            now = name in ("publications", "viewers")
            family = GaugeMetricFamily if now else CounterMetricFamily
            yield family(f"telemed_media_{name}", f"Media plane: {name.replace('_', ' ')}", value=value)


async def _media(app: web.Application) -> AsyncIterator[None]:
    settings = app[keys.SETTINGS]
    relay = RelayClient(settings.public_addresses, settings.media_port_number, local_only=settings.local_only)
    media = MediaPlane(relay, app[keys.ROOMS])
    app[keys.MEDIA], app[keys.RELAY] = media, relay
    collector = MediaCollector(media)
    REGISTRY.register(collector)
    watching = asyncio.create_task(_watch_owners(app), name="media-owners")
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    REGISTRY.unregister(collector)
    await media.close()


def _prepare(app: web.Application) -> None:
    app.on_response_prepare.append(cross_origin)


CONTEXTS = (_media,)
PREPARE = (_prepare,)

_OFFER = (MediaTypeUnsupported, SdpInvalid, SdpUnsupported, TooManySessions, StateRefused, RelayUnavailable)
_PATCH = (
    MediaTypeUnsupported, SdpInvalid, SdpUnsupported, ResourceNotFound, EtagRequired, EtagMismatch, RelayUnavailable,
)

ROUTES = (
    Route("OPTIONS", "/whip/{room}", "media.discover", discover, "What a room takes; a browser's preflight"),
    Route("HEAD", "/whip/{room}", "media.discover", head, "Whether this is a WHIP endpoint"),
    Route("GET", "/whip/{room}", "media.discover", look, "Nothing: a WHIP endpoint has no content", status=204),
    Route("POST", "/whip/{room}", "media.publish", publish, "Publish pictures and sound into a consultation",
          status=201, query=Publishing, errors=_OFFER),
    Route("OPTIONS", "/whip/resources/{resource}", "media.discover", discover, "A browser's preflight"),
    Route("GET", "/whip/resources/{resource}", "media.discover", look, "Nothing: a session has no content", status=204),
    Route("PATCH", "/whip/resources/{resource}", "media.trickle", trickle,
          "Add ICE candidates to a publication (204), or restart its ICE (200)", status=204, errors=_PATCH),
    Route("DELETE", "/whip/resources/{resource}", "media.delete", delete, "End a publication",
          errors=(ResourceNotFound,)),
    Route("OPTIONS", "/whep/{publication}", "media.discover", discover, "What a publication takes; a preflight"),
    Route("HEAD", "/whep/{publication}", "media.discover", head, "Whether this is a WHEP endpoint"),
    Route("GET", "/whep/{publication}", "media.discover", look, "Nothing: a WHEP endpoint has no content", status=204),
    Route("POST", "/whep/{publication}", "media.play", play, "Play a publication",
          status=201, errors=(*_OFFER, PublicationNotFound, PublicationNotReady)),
    Route("OPTIONS", "/whep/{room}/slots/{slot}", "media.discover", discover, "What a slot takes; a preflight"),
    Route("HEAD", "/whep/{room}/slots/{slot}", "media.discover", head, "Whether this is a WHEP endpoint"),
    Route("GET", "/whep/{room}/slots/{slot}", "media.discover", look, "Nothing: a WHEP endpoint has no content",
          status=204),
    Route("POST", "/whep/{room}/slots/{slot}", "media.play", play_slot, "Play whoever speaks in a room of many",
          status=201, errors=(*_OFFER, PublicationNotFound)),
    Route("OPTIONS", "/whep/resources/{resource}", "media.discover", discover, "A browser's preflight"),
    Route("GET", "/whep/resources/{resource}", "media.discover", look, "Nothing: a session has no content", status=204),
    Route("PATCH", "/whep/resources/{resource}", "media.trickle", trickle,
          "Add ICE candidates to a viewing (204), or restart its ICE (200)", status=204, errors=_PATCH),
    Route("DELETE", "/whep/resources/{resource}", "media.delete", delete, "End a viewing",
          errors=(ResourceNotFound,)),
)
