"""The media plane: who publishes and plays what in which room. The packets are an :class:`Engine`'s."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import asdict, replace
from typing import Any

from telemed.consultation.rooms import Rooms
from telemed.media.answer import write_answer, write_fragment
from telemed.media.backend import (
    PUBLICATIONS_A_ROOM,
    PUBLICATIONS_A_SOURCE,
    SESSIONS,
    VIEWERS_A_PUBLICATION,
    VIEWINGS_A_PARTICIPANT,
    VIEWINGS_A_SLOT,
    EtagMismatch,
    EtagRequired,
    MediaStats,
    Publication,
    PublicationNotFound,
    PublicationNotReady,
    Publisher,
    Resource,
    ResourceNotFound,
    ResourcePlace,
    Restarted,
    Role,
    SdpInvalid,
    SdpUnsupported,
    TooManySessions,
)
from telemed.media.engine import Engine
from telemed.media.offer import Media, Offer, carried, read_fragment, read_offer, terms
from telemed.media.relay.speakers import VOICES
from telemed.media.session import Session, pause
from telemed.media.terms import Place
from telemed.tasks import Tasks

logger = logging.getLogger(__name__)

ID_BYTES = 24  # random bytes of a resource's or publication's id
SECOND = "second_clinician"  # what a clinician is once another one has the consultation
LIVE_STATES = ("live", "interrupted")  # of a consultation; in any other its media ends


class MediaPlane:
    """``MediaBackend`` over an engine, which it owns from now on. Made inside a running loop."""

    def __init__(self, engine: Engine, rooms: Rooms) -> None:
        self._engine = engine
        self._rooms = rooms
        self._sessions: dict[str, Session] = {}  # by resource id, those still connecting among them
        self._live: dict[str, Session] = {}  # connected publishers by publication id, in order of connection
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks(logger, "a media task")
        self._closed = False
        engine.on_event = self._told

    async def publish(
        self, room: str, publisher: Publisher, offer_sdp: str, *, owner: str = "", topics: tuple[str, ...] = ()
    ) -> Resource:
        """See ``MediaBackend.publish``."""
        offer = read_offer(offer_sdp)
        carry: dict[str, Media] = {}
        for section in offer.sections:
            if section.direction in ("sendonly", "sendrecv"):
                media = carried(section)
                if not media:
                    raise SdpUnsupported(reason="codec")
                carry[section.kind] = media[0]
        if not carry:
            raise SdpUnsupported(reason="direction")
        here = [session for session in self._sessions.values() if session.room == room and session.role == "publish"]
        self._make_way([session for session in here if session.is_of(publisher)], PUBLICATIONS_A_SOURCE)
        if len(here) >= PUBLICATIONS_A_ROOM:
            raise TooManySessions()
        publication = Publication(secrets.token_urlsafe(ID_BYTES), publisher, tuple(sorted(carry)))
        session = self._session("publish", room, publisher.participant, owner, offer, publication)
        session.topics = (_topic(room), *topics)
        session.carry = carry
        return await self._open(session)

    async def play(self, publication_id: str, offer_sdp: str, *, participant: str = "", owner: str = "") -> Resource:
        """See ``MediaBackend.play``."""
        source = self._playable(publication_id)
        offer = read_offer(offer_sdp)
        carry: dict[str, Media] = {}
        for section in offer.sections:
            if section.direction in ("recvonly", "sendrecv") and section.kind in source.carry:
                if source.carry[section.kind] not in carried(section):
                    raise SdpUnsupported(reason="codec")
                carry[section.kind] = source.carry[section.kind]
        if not carry:
            raise SdpUnsupported(reason="direction")
        viewers = self._viewers_of(source)
        mine = [viewer for viewer in viewers if participant and viewer.participant == participant]
        self._make_way(mine, VIEWINGS_A_PARTICIPANT)
        if len(viewers) >= VIEWERS_A_PUBLICATION:
            raise TooManySessions()
        session = self._session("play", source.room, participant, owner, offer, source.publication)
        session.carry = carry
        resource = await self._open(session)
        if publication_id not in self._live:
            await self._end(session)
            raise PublicationNotFound()
        return resource

    async def play_slot(
        self, room: str, slot: int, offer_sdp: str, *, participant: str, owner: str = ""
    ) -> Resource:
        """See ``MediaBackend.play_slot``."""
        offer = read_offer(offer_sdp)
        wanted: dict[str, Media] = {"video": "VP8"}
        if slot < VOICES:
            wanted["audio"] = "opus"
        carry: dict[str, Media] = {}
        for section in offer.sections:
            if section.direction in ("recvonly", "sendrecv") and section.kind in wanted:
                if wanted[section.kind] not in carried(section):
                    raise SdpUnsupported(reason="codec")
                carry[section.kind] = wanted[section.kind]
        if not carry:
            raise SdpUnsupported(reason="direction")
        here = [one for one in self._sessions.values() if one.room == room and one.participant == participant]
        self._make_way([one for one in here if one.slot == slot], VIEWINGS_A_SLOT)
        shown = Publication(f"slot-{slot}", Publisher(participant, ""), tuple(sorted(carry)))
        session = self._session("play", room, participant, owner, offer, shown)
        session.carry, session.slot = carry, slot
        return await self._open(session)

    async def patch(self, resource_id: str, sdpfrag: str, if_match: str | None) -> Restarted | None:
        """See ``MediaBackend.patch``."""
        session = self._found(resource_id)
        if if_match is None:
            raise EtagRequired()
        if if_match not in (session.etag, "*"):
            raise EtagMismatch()
        fragment = read_fragment(sdpfrag)
        if fragment.ufrag in (None, session.ufrag):
            return None  # a lite agent needs no candidate: it answers where checks come from (RFC 8445 section 6.1.2)
        if fragment.password is None:
            raise SdpInvalid(reason="ice-pwd")
        ufrag = str(fragment.ufrag)
        ground = await self._engine.restart(session.id, ufrag, fragment.password)
        session.ufrag, session.etag = ufrag, _etag()
        return Restarted(session.etag, write_fragment(session.offer, ground))

    async def delete(self, resource_id: str) -> None:
        """See ``MediaBackend.delete``."""
        await self._end(self._found(resource_id))

    def place(self, resource_id: str, owner: str) -> ResourcePlace:
        """See ``MediaBackend.place``."""
        session = self._found(resource_id)
        if session.owner != owner:
            raise ResourceNotFound()
        return ResourcePlace(session.role, session.room)

    def room_of(self, publication_id: str) -> str:
        """See ``MediaBackend.room_of``."""
        return self._playable(publication_id).room

    def keyframe(self, publication_id: str) -> None:
        """See ``MediaBackend.keyframe``."""
        self._engine.keyframe(self._playable(publication_id).publication.id)

    def publications(self, room: str) -> list[Publication]:
        """See ``MediaBackend.publications``."""
        return [session.publication for session in self._live.values() if session.room == room]

    def stats(self) -> MediaStats:
        """See ``MediaBackend.stats``."""
        viewers = sum(session.role == "play" for session in self._sessions.values())
        return MediaStats(publications=len(self._live), viewers=viewers, **asdict(self._engine.counts))

    async def close_room(self, room: str) -> None:
        """See ``MediaBackend.close_room``."""
        await self._end_all([session for session in self._sessions.values() if session.room == room])

    def close_participant(self, room: str, participant: str) -> None:
        """See ``MediaBackend.close_participant``."""
        for session in self._sessions.values():
            if session.room == room and session.participant == participant:
                self._tasks.start(self._end(session))

    def assign(self, room: str, clinician: str) -> None:
        """See ``MediaBackend.assign``."""
        changed = None
        for session in self._sessions.values():
            who = session.publication.publisher
            if session.room != room or session.role != "publish":
                continue
            by = "clinician" if who.participant == clinician else SECOND if who.by == "clinician" else who.by
            if by != who.by:
                session.publication = replace(session.publication, publisher=replace(who, by=by))
                changed = session if session.publication.id in self._live else changed
        if changed is not None:
            self._announce(changed)

    def owners(self) -> frozenset[str]:
        """See ``MediaBackend.owners``."""
        return frozenset(session.owner for session in self._sessions.values())

    async def close_owner(self, owner: str) -> None:
        """See ``MediaBackend.close_owner``."""
        await self._end_all([session for session in self._sessions.values() if session.owner == owner])

    async def close(self) -> None:
        """See ``MediaBackend.close``."""
        self._closed = True
        await self._end_all(list(self._sessions.values()))
        for task in self._watchers.values():
            task.cancel()
        await self._tasks.finish()
        await self._engine.stop()

    def _make_way(self, sessions: list[Session], bound: int) -> None:
        """End the oldest of these that plays nothing yet, else the oldest, so that one more keeps to the bound."""
        if len(sessions) >= bound:
            oldest = min(sessions, key=lambda one: (one.publication.id in self._live, one.created_s))
            self._tasks.start(self._close(self._take_out(oldest)))

    def _session(
        self, role: Role, room: str, participant: str, owner: str, offer: Offer, publication: Publication
    ) -> Session:
        if self._closed or len(self._sessions) >= SESSIONS:
            raise TooManySessions()
        return Session(
            secrets.token_urlsafe(ID_BYTES), role, room, participant, owner, _etag(), offer.first.transport.ufrag,
            offer, publication, asyncio.get_running_loop().time(),
        )

    async def _open(self, session: Session) -> Resource:
        """Answer, and take the session in; a refused one leaves nothing behind."""
        agreed = terms(session.offer, session.carry, session.role)
        self._sessions[session.id] = session
        self._attend(session.room)
        try:
            place = Place(session.room, session.participant, session.slot)
            ground = await self._engine.open(session.id, session.role, session.publication.id, agreed, place)
        except BaseException:
            await self._end(session)
            raise
        if session.id not in self._sessions:  # the room was closed meanwhile
            raise PublicationNotFound()
        answer = write_answer(session.offer, agreed, ground, session.role)
        return Resource(session.id, answer, session.etag, session.publication)

    def _told(self, event: dict[str, Any]) -> None:
        """The engine's events."""
        match event["event"]:
            case "sender_report":
                session = self._live.get(event["publication"])
                if session is not None:
                    said = {name: value for name, value in event.items() if name != "event"}
                    self._rooms.publish(_topic(session.room), {"type": "sender_report", **said})
            case "slot":
                session = self._sessions.get(event["leg"])
                if session is not None:
                    said = {"slot": session.slot, "publication": event["publication"]}
                    told = {"type": "slot", "participant": session.participant, **said}
                    self._rooms.publish(_topic(session.room), told)
            case "level":
                session = self._sessions.get(event["leg"])
                if session is not None:
                    said = {"publication": session.publication.id, "level": event["level"]}
                    told = {"type": "picture", "participant": session.participant, **said}
                    self._rooms.publish(_topic(session.room), told)
            case "connected":
                session = self._sessions.get(event["leg"])
                if session is not None and session.role == "publish" and session.publication.id not in self._live:
                    self._go_live(session)
            case "silent" | "gone":
                session = self._sessions.get(event["leg"])
                if session is not None:
                    over = self._take_off if event["event"] == "silent" else self._take_out
                    self._tasks.start(self._close(over(session)))
            case "down":
                if not self._closed:
                    logger.warning("the relay has ended; %d sessions with it", len(self._sessions))
                self._tasks.start(self._end_all(list(self._sessions.values())))

    def _go_live(self, session: Session) -> None:
        mine = session.publication.publisher
        replaced = [other for other in self._live.values() if other.room == session.room and other.is_of(mine)]
        if any(other.created_s > session.created_s for other in replaced):  # it connected after its own successor
            self._tasks.start(self._end(session))
            return
        for other in replaced:
            del self._live[other.publication.id]
        if replaced and session.succeed(replaced[-1]):
            self._engine.succeed(session.publication.id, session.id)
        self._live[session.publication.id] = session
        self._announce(session)
        for other in replaced:
            self._tasks.start(self._end(other))

    def _announce(self, session: Session) -> None:
        publications = [publication.as_json() for publication in self.publications(session.room)]
        for topic in session.topics:
            self._rooms.publish(topic, {"type": "publications", "publications": publications})

    async def _end(self, session: Session) -> None:
        """Take the session out at once; return when its leg is closed. A publication's viewers go with it."""
        await self._close(self._take_out(session))

    async def _close(self, ended: list[Session]) -> None:
        await asyncio.gather(*(self._engine.close(session.id) for session in ended))

    def _take_out(self, session: Session) -> list[Session]:
        """Forget the session, and what plays it; these are to be closed."""
        if self._sessions.pop(session.id, None) is None:
            return []
        closing = [session]
        if session.role == "publish":
            closing += self._take_off(session)
        if not any(other.room == session.room for other in self._sessions.values()):
            watcher = self._watchers.pop(session.room, None)
            if watcher is not None:
                watcher.cancel()
        return closing

    def _take_off(self, session: Session) -> list[Session]:
        """Publish it no more, and forget what plays it; these are to be closed."""
        if self._live.get(session.publication.id) is session:
            del self._live[session.publication.id]
            self._announce(session)
        if session.publication.id in self._live:  # it lives on in its successor
            return []
        viewers = self._viewers_of(session)
        for viewer in viewers:
            del self._sessions[viewer.id]
        return viewers

    async def _end_all(self, sessions: list[Session]) -> None:
        await asyncio.gather(*(self._end(session) for session in sessions))

    def _viewers_of(self, session: Session) -> list[Session]:
        played = session.publication.id
        return [other for other in self._sessions.values() if other.role == "play" and other.publication.id == played]

    def _playable(self, publication_id: str) -> Session:
        session = self._live.get(publication_id)
        if session is not None:
            return session
        if any(session.publication.id == publication_id for session in self._sessions.values()):
            raise PublicationNotReady()
        raise PublicationNotFound()

    def _found(self, resource_id: str) -> Session:
        session = self._sessions.get(resource_id)
        if session is None:
            raise ResourceNotFound()
        return session

    def _attend(self, room: str) -> None:
        """See to the consultation's end while the room has sessions."""
        if room not in self._watchers:
            self._watchers[room] = self._tasks.start(self._watch(room))

    async def _watch(self, room: str) -> None:
        with self._rooms.listen(_topic(room)) as listener:
            while True:
                event = await listener.queue.get()
                told: dict[str, Any] = {"state": "live"}
                if event.get("type") == "paused":
                    changed = pause(self._live.values(), room, event["participant"], event["sources"])
                    if changed is not None:
                        self._announce(changed)
                if event.get("type") == "consultation":
                    told = event.get("consultation") or {}
                state, clinician = told.get("state"), told.get("clinician")
                if clinician is not None:
                    self.assign(room, str(clinician["id"]))
                if listener.closed.is_set() or state not in LIVE_STATES:  # fallen behind: the end may be missed
                    self._watchers.pop(room, None)
                    self._tasks.start(self.close_room(room))
                    return


def _topic(room: str) -> str:
    return f"consultation:{room}"


def _etag() -> str:
    return f'"{secrets.token_urlsafe(12)}"'
