"""The media plane inside the server's process: legs by aiortc, packets by :mod:`telemed.media.forwarder`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from typing import Any

from telemed.consultation.rooms import Rooms
from telemed.media.aiortc_adapter import Leg, check_contract, quiet_libraries
from telemed.media.backend import (
    PUBLICATIONS_A_ROOM,
    PUBLICATIONS_A_SOURCE,
    SESSIONS,
    VIEWERS_A_PUBLICATION,
    VIEWINGS_A_PARTICIPANT,
    EtagMismatch,
    EtagRequired,
    MediaError,
    MediaStats,
    Publication,
    PublicationNotFound,
    PublicationNotReady,
    Publisher,
    Resource,
    ResourceNotFound,
    ResourcePlace,
    Role,
    SdpUnsupported,
    TooManySessions,
)
from telemed.media.forwarder import Counts, Forwarder, Viewer
from telemed.media.offer import (
    CANDIDATES,
    Media,
    MediaSection,
    Offer,
    carried,
    read_description,
    read_fragment,
    read_offer,
)
from telemed.media.session import Session

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5  # between reports to publishers; what a browser's bitrate needs (measured)
CONNECT_SECONDS = 20.0  # from the answer to the first encrypted packet
SILENT_SECONDS = 5.0  # a publisher that sends no media is gone; ICE itself would notice after 30
VIEWER_SILENT_SECONDS = 15.0  # three of ICE's consent checks
ID_BYTES = 24  # random bytes of a resource's or publication's id
SECOND = "second_clinician"  # what a clinician is once another one has the consultation
LIVE_STATES = ("live", "interrupted")  # of a consultation; in any other its media ends


class PassThrough:
    """``MediaBackend`` over aiortc's own ICE and DTLS. ``addresses`` are announced; empty means all of this host.

    Made inside a running loop. Raises ``AdapterMismatch`` when the installed aiortc is not the one this was
    written for, so that the server does not start with it.
    """

    def __init__(self, addresses: tuple[str, ...], rooms: Rooms) -> None:
        self._addresses = addresses
        self._rooms = rooms
        self._counts = Counts()
        self._sessions: dict[str, Session] = {}  # by resource id, those still connecting among them
        self._live: dict[str, Session] = {}  # connected publishers by publication id, in order of connection
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False
        check_contract()
        quiet_libraries()

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
        topic = _topic(room)
        forwarder = Forwarder(publication.id, self._counts, lambda event: self._rooms.publish(topic, event))
        session = self._session("publish", room, publisher.participant, owner, offer, forwarder, publication)
        session.topics = (topic, *topics)
        session.carry = carry
        session.leg = self._leg(session, session.rtp, session.rtcp)
        return await self._open(session, offer, "recvonly")

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
        session = self._session("play", source.room, participant, owner, offer, source.forwarder, source.publication)
        session.carry = carry
        viewer = session.viewer = Viewer(source.forwarder)
        session.leg = self._leg(session, lambda _: None, viewer.rtcp)
        resource = await self._open(session, offer, "sendonly")
        if publication_id not in self._live:
            await self._end(session)
            raise PublicationNotFound()
        return resource

    async def patch(self, resource_id: str, sdpfrag: str, if_match: str | None) -> None:
        """See ``MediaBackend.patch``."""
        session = self._found(resource_id)
        if if_match is None:
            raise EtagRequired()
        if if_match not in (session.etag, "*"):
            raise EtagMismatch()
        fragment = read_fragment(sdpfrag)
        if fragment.ufrag not in (None, session.ufrag):
            raise SdpUnsupported(reason="ice restart")
        for candidate in fragment.candidates:
            if session.candidates >= CANDIDATES:
                break  # the peer's own checks still find the way
            session.candidates += 1
            await session.leg.add_candidate(candidate)

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
        self._playable(publication_id).forwarder.ask_keyframe()

    def publications(self, room: str) -> list[Publication]:
        """See ``MediaBackend.publications``."""
        return [session.publication for session in self._live.values() if session.room == room]

    def stats(self) -> MediaStats:
        """See ``MediaBackend.stats``."""
        viewers = sum(session.role == "play" for session in self._sessions.values())
        return MediaStats(publications=len(self._live), viewers=viewers, **asdict(self._counts))

    async def close_room(self, room: str) -> None:
        """See ``MediaBackend.close_room``."""
        await self._end_all([session for session in self._sessions.values() if session.room == room])

    def close_participant(self, room: str, participant: str) -> None:
        """See ``MediaBackend.close_participant``."""
        for session in self._sessions.values():
            if session.room == room and session.participant == participant:
                self._spawn(self._end(session))

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
        for task in (self._ticking, *self._watchers.values()):
            if task is not None:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _make_way(self, sessions: list[Session], bound: int) -> None:
        """End the oldest of these that plays nothing yet, else the oldest, so that one more keeps to the bound."""
        if len(sessions) >= bound:
            self._spawn(self._end(min(sessions, key=lambda one: (one.publication.id in self._live, one.created_s))))

    def _session(
        self, role: Role, room: str, participant: str, owner: str, offer: Offer, forwarder: Forwarder,
        publication: Publication,
    ) -> Session:
        if self._closed or len(self._sessions) >= SESSIONS:
            raise TooManySessions()
        return Session(
            secrets.token_urlsafe(ID_BYTES), role, room, participant, owner, f'"{secrets.token_urlsafe(12)}"',
            offer.sections[0].ufrag, forwarder, publication, asyncio.get_running_loop().time(),
        )

    def _leg(self, session: Session, rtp: Callable[[bytes], None], rtcp: Callable[[bytes], None]) -> Leg:
        return Leg(self._addresses, rtp, rtcp, lambda: self._changed(session), self._counts.refused)

    async def _open(self, session: Session, offer: Offer, direction: str) -> Resource:
        """Answer, and take the session in; a refused one leaves nothing behind."""
        self._sessions[session.id] = session
        self._attend(session.room)
        try:
            answer = await session.leg.answer(offer, session.carry, direction)
            begin = session.viewer.begin if session.viewer is not None else session.forwarder.begin
            begin(session.leg, self._agreed(answer, session.carry))
        except BaseException as error:
            await self._end(session)
            if isinstance(error, MediaError | asyncio.CancelledError):
                raise
            raise SdpUnsupported(reason="engine") from error
        if session.id not in self._sessions:  # the room was closed meanwhile
            raise PublicationNotFound()
        return Resource(session.id, answer, session.etag, session.publication)

    @staticmethod
    def _agreed(answer: str, carry: dict[str, Media]) -> tuple[MediaSection, ...]:
        sections = tuple(section for section in read_description(answer).sections if section.kind in carry)
        if len(sections) != len(carry) or any(len(section.codecs) != 1 for section in sections):
            raise SdpUnsupported(reason="codec")
        return sections

    def _changed(self, session: Session) -> None:
        """The leg connected, failed or ended."""
        if session.id not in self._sessions:
            return
        if session.leg.failed:
            self._spawn(self._end(session))
        elif session.leg.connected and session.viewer is not None:
            session.forwarder.join(session.viewer)
        elif session.leg.connected and session.publication.id not in self._live:
            self._go_live(session)

    def _go_live(self, session: Session) -> None:
        session.forwarder.media_s = asyncio.get_running_loop().time()
        mine = session.publication.publisher
        replaced = [other for other in self._live.values() if other.room == session.room and other.is_of(mine)]
        if any(other.created_s > session.created_s for other in replaced):  # it connected after its own successor
            self._spawn(self._end(session))
            return
        for other in replaced:
            del self._live[other.publication.id]
        if replaced:
            session.succeed(replaced[-1])
        self._live[session.publication.id] = session
        self._announce(session)
        for other in replaced:
            self._spawn(self._end(other))

    def _announce(self, session: Session) -> None:
        publications = [publication.as_json() for publication in self.publications(session.room)]
        for topic in session.topics:
            self._rooms.publish(topic, {"type": "publications", "publications": publications})

    async def _end(self, session: Session) -> None:
        """Take the session out at once; return when its sockets are closed. A publication's viewers go with it."""
        if self._sessions.pop(session.id, None) is None:
            return
        closing = [session]
        if session.viewer is not None:
            session.forwarder.leave(session.viewer)
        else:
            session.forwarder.end()
            if self._live.pop(session.publication.id, None) is not None:
                self._announce(session)
            for viewer in self._viewers_of(session):
                del self._sessions[viewer.id]
                closing.append(viewer)
        if not any(other.room == session.room for other in self._sessions.values()):
            watcher = self._watchers.pop(session.room, None)
            if watcher is not None:
                watcher.cancel()
        await asyncio.gather(*(ended.leg.close() for ended in closing))

    async def _end_all(self, sessions: list[Session]) -> None:
        await asyncio.gather(*(self._end(session) for session in sessions))

    def _viewers_of(self, session: Session) -> list[Session]:
        return [other for other in self._sessions.values() if other.viewer and other.forwarder is session.forwarder]

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
        """See to the clock and to the consultation's end while the room has sessions."""
        if self._ticking is None:
            self._ticking = self._spawn(self._tick_on())
        if room not in self._watchers:
            self._watchers[room] = self._spawn(self._watch(room))

    async def _watch(self, room: str) -> None:
        with self._rooms.listen(_topic(room)) as listener:
            while True:
                event = await listener.queue.get()
                told: dict[str, Any] = {"state": "live"}
                if event.get("type") == "consultation":
                    told = event.get("consultation") or {}
                state, clinician = told.get("state"), told.get("clinician")
                if clinician is not None:
                    self.assign(room, str(clinician["id"]))
                if listener.closed.is_set() or state not in LIVE_STATES:  # fallen behind: the end may be missed
                    self._watchers.pop(room, None)
                    self._spawn(self.close_room(room))
                    return

    async def _tick_on(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now_s = asyncio.get_running_loop().time()
            for session in list(self._sessions.values()):
                if self._lost(session, now_s):
                    self._spawn(self._end(session))
                elif session.publication.id in self._live and session.viewer is None:
                    session.forwarder.feedback(now_s)

    def _lost(self, session: Session, now_s: float) -> bool:
        if session.leg.failed:
            return True
        if not session.leg.connected:
            return now_s - session.created_s > CONNECT_SECONDS
        if session.viewer is not None:
            return now_s - session.leg.heard_s > VIEWER_SILENT_SECONDS
        return session.publication.id in self._live and now_s - session.forwarder.media_s > SILENT_SECONDS

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a media task failed", exc_info=task.exception())


def _topic(room: str) -> str:
    return f"consultation:{room}"
