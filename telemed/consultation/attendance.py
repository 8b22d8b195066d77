"""One page's part in a room: what it is told of people, chat and publications, and what it may say there.

The socket that carries it (``vitals.watch``) asks again every second, and at every event, whether the page may stay;
``look`` then tells the page whatever changed for it. Everything goes out through the renderers of ``rendering``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from telemed.audit import Actor
from telemed.consultation import chat, door, rendering, seats
from telemed.consultation.chat import Line
from telemed.consultation.door import ParticipantUnknown, Room
from telemed.consultation.pages import MUTE_PER_MINUTE, SAY_PER_MINUTE, STATE_PER_MINUTE, Page, Pages
from telemed.consultation.people import PageState, People, Present
from telemed.consultation.presence import StationPresence
from telemed.consultation.rendering import Person, Viewer
from telemed.consultation.rooms import Event, Rooms
from telemed.errors import KeyDestroyed, TelemedError
from telemed.identity.policy import decide, record_denial, require
from telemed.store.database import Connection, Database
from telemed.store.sealing import Sealer

QUIET_LOOKS: Final = 5  # looks without an event after which people and visit are read anew all the same
NOT_ABOUT_PEOPLE: Final = frozenset({"sender_report", "chat", "mute", "picture", "paused", "slot"})
EARLY_EVENTS: Final = 256  # that come while the page is being let in, as many as a room's mailbox holds

Json = dict[str, Any]
Post = Callable[[Json], None]
Renew = Callable[[Connection], Awaitable[Actor]]  # who the page is now; raises why it may not stay


@dataclass(frozen=True, slots=True)
class RoomSurroundings:
    """What a page's part in a room works with.

    ``snapshot`` gives the consultation as staff see it, ``visit`` a guest's own visit by its seat.
    """

    database: Database
    sealer: Sealer
    rooms: Rooms
    people: People
    pages: Pages
    presence: StationPresence
    publications: Callable[[UUID], list[Json]]
    snapshot: Callable[[Connection, UUID], Awaitable[Json]]
    visit: Callable[[Connection, UUID], Awaitable[Json]]


class Attendance:
    """The part of one connection. ``post`` puts a message into the page's mailbox."""

    def __init__(
        self, actor: Actor, consultation_id: UUID, renew: Renew, page: Page, around: RoomSurroundings, post: Post
    ) -> None:
        self.me = str(actor.id)
        self.guest = actor.kind == "guest"
        self.welcomed = False
        self.behind = False  # lines of chat wait to be read
        self._actor = actor
        self._id = consultation_id
        self._renew = renew
        self._page = page
        self._around = around
        self._post = post
        self._entered = False
        self._early: list[Event] = []
        self._role = ""
        self._state = PageState()
        self._through = 0  # the newest line that the page has
        self._greeted = False  # the page was told that it has every line
        self._reads = False  # whether the policy gives it the chat
        self._shown: dict[str, Any] = {}  # what it was told last, by message type
        self._quiet = 0
        paces = {"say": SAY_PER_MINUTE, "state": STATE_PER_MINUTE, "mute": MUTE_PER_MINUTE}
        self._paces = {what: around.pages.pace(self._id, self.me, what, most) for what, most in paces.items()}

    @property
    def actor(self) -> Actor:
        """Who the page is, as far as was last asked."""
        return self._actor

    @property
    def topic(self) -> str:
        """The room's topic."""
        return f"consultation:{self._id}"

    @property
    def topics(self) -> tuple[str, ...]:
        """What is listened to beside the room and its station: decisions about this person, a guest's queue."""
        if not self.guest:
            return (f"account:{self.me}",)
        return (f"seat:{self.me}", f"organisation:{self._actor.organisation_id}")

    @property
    def _viewer(self) -> Viewer:
        return Viewer(self.me, not self.guest, not self.guest or self._actor.admitted)

    # Coming and going.

    async def enter(
        self, connection: Connection, room: Room, actor: Actor, chat_after: int, *, page: bool = True
    ) -> Json:
        """Take the person's place and return what its page is told at first. Raises ``KeyDestroyed``.

        Staff that is no ``page`` looks on without a place. A guest always has one: nobody from outside looks on unseen.
        """
        self._actor, self._role = actor, room.role_of(actor)
        self._reads = decide(actor, "chat.read", room.target) is None
        self._through = min(chat_after, room.chat_lines)
        shown: Json = {"visit": await self._around.visit(connection, UUID(self.me))} if self.guest else {
            "consultation": await self._around.snapshot(connection, self._id)
        }
        self._shown["visit"] = _lasting(shown.get("visit", {}))
        if page or self.guest:
            self._around.pages.take(self._id, self.me, self._page)
            self._entered = True
            self._present()
        people = await self._people(connection, room)
        self._shown["people"] = people
        publications = rendering.publications(self._around.publications(self._id), self._viewer)
        self._shown["publications"] = publications
        return {**shown, "me": self.me, "publications": publications, "people": people}

    async def after_welcome(self, connection: Connection, room: Room) -> None:
        """Tell what happened while the welcome was made, and the first lines of chat."""
        self.welcomed = True
        early, self._early = self._early, []
        for event in early:
            self.event(event)
        await self._catch_up(connection, room)

    def leave(self) -> None:
        """The connection ended."""
        if self._entered and self._around.pages.give_up(self._id, self.me, self._page):
            self._around.people.leave(self._id, self.me, self._page.source)

    async def farewell(self, connection: Connection) -> Json | None:
        """What a guest that may not stay is told before the reason: its visit as it is now."""
        if not self.guest:
            return None
        return {"type": "visit", "visit": await self._around.visit(connection, UUID(self.me))}

    def _present(self) -> None:
        self._around.people.enter(self._id, Present(
            self.me, "guest" if self.guest else "account", self._role, self._viewer.admitted, self._page.source,
            self._state,
        ))

    # What happens in the room.

    def stir(self) -> None:
        """The next look reads people and visit anew."""
        self._quiet = QUIET_LOOKS

    def event(self, event: Event) -> None:
        """Pass on what a topic told and this page may see."""
        if not self.welcomed:
            if len(self._early) < EARLY_EVENTS:
                self._early.append(event)
            return
        if event.get("type") not in NOT_ABOUT_PEOPLE:
            self.stir()
        match event.get("type"):
            case "consultation" if not self.guest and event.get("consultation", {}).get("id") == str(self._id):
                self._post(event)
            case "publications":
                self._tell("publications", rendering.publications(event["publications"], self._viewer))
            case "sender_report" if self._viewer.admitted:
                self._post(rendering.sender_report(event))
            case "picture" if event["participant"] == self.me:
                self._post({"type": "picture", "publication": event["publication"], "level": event["level"]})
            case "slot" if event["participant"] == self.me:
                self._post({"type": "slot", "slot": event["slot"], "publication": event["publication"]})
            case "mute" if event.get("participant") == self.me:
                self._post({"type": "muted"})
            case "chat":
                self._hear(event["lines"], self._through)

    async def look(self, connection: Connection, room: Room, actor: Actor) -> None:
        """The room and the actor as they are now: tell the page what is new for it. Raises ``KeyDestroyed``."""
        before = self._viewer
        self._actor = actor
        self._reads = decide(actor, "chat.read", room.target) is None
        role = room.role_of(actor)
        if role != self._role and self._around.pages.counts(self._id, self.me, self._page):
            self._role = role
            self._present()
        if self.guest and self._viewer != before:
            self._around.people.let_in(self._id, self.me, actor.admitted)
        if self._viewer != before:
            self._tell("publications", rendering.publications(self._around.publications(self._id), self._viewer))
        self._quiet += 1
        if self._quiet > QUIET_LOOKS or self._viewer != before:
            self._quiet = 0
            if self.guest:
                self._tell("visit", await self._around.visit(connection, UUID(self.me)))
            self._tell("people", await self._people(connection, room))
        await self._catch_up(connection, room)

    def _tell(self, kind: str, content: Any) -> None:
        lasting = _lasting(content) if kind == "visit" else content
        if self._shown.get(kind) != lasting:
            self._shown[kind] = lasting
            self._post({"type": kind, kind: content})

    async def _people(self, connection: Connection, room: Room) -> list[Json]:
        around = self._around
        sitting = await seats.of(connection, around.sealer, self._id)
        present = around.people.present(self._id)
        known = {room.clinician, *room.seconds}
        strangers = [
            UUID(one.id) for one in present
            if one.kind == "account" and all(here is None or str(here.id) != one.id for here in known)
        ]
        rows = await connection.fetch(door.SQL["account_names"], strangers) if strangers and not self.guest else []
        persons: list[Person] = rendering.gather(
            room, sitting, present, {str(row["id"]): row["name"] for row in rows},
            station_online=room.station_id is not None and around.presence.online(room.station_id),
            publications=around.publications(self._id),
        )
        return rendering.people(persons, self._viewer)

    # Chat.

    def _hear(self, lines: list[Line], newest: int) -> None:
        """Send the lines that follow the page's newest one; a hole is read from the database at the next look."""
        if not (self._reads and self._greeted):
            return
        fresh = [one for one in lines if one.n > self._through]
        if not fresh:
            return
        if fresh[0].n != self._through + 1:
            self.behind = True
            return
        self._through = fresh[-1].n
        shown = [rendering.line(one, self._viewer) for one in fresh]
        self._post({"type": "chat", "lines": shown, "through": max(newest, self._through)})

    async def _catch_up(self, connection: Connection, room: Room) -> None:
        self.behind = False
        if room.key_destroyed:
            raise KeyDestroyed()
        if not self._reads:
            return
        if self._through < room.chat_lines:
            lines = await chat.after(connection, self._around.sealer, self._id, self._through)
            self._greeted = True
            self._hear(lines, room.chat_lines)
            self.behind = self.behind or self._through < room.chat_lines
        elif not self._greeted:
            self._greeted = True
            self._post({"type": "chat", "lines": [], "through": room.chat_lines})

    async def say(self, line: UUID, text: str) -> None:
        """Store a line, then tell the room. The same ``line`` again gives the line that it gave before.

        Raises ``TooManyMessages``, ``Forbidden``, ``StateRefused``, ``ChatFull``, ``KeyDestroyed``, and
        ``DatabaseUnavailable``, after which the page sends it again.
        """
        self._paces["say"].take()
        around = self._around
        try:
            async with around.database.transaction() as connection:
                room = await door.hold(connection, self._id)
                actor = await self._renew(connection)
                await require(connection, actor, "consultation_socket.say", room.target)
                said = await chat.known(connection, around.sealer, room, self.me, line)
                fresh = said is None
                if said is None:
                    room.must_be_open()
                    author = await chat.author_of(connection, around.sealer, actor, room)
                    said = await chat.append(connection, around.sealer, room, author, line, text)
        except TelemedError as error:
            await record_denial(around.database, error)
            raise
        if fresh:
            around.rooms.publish(self.topic, {"type": "chat", "lines": [said]})
        elif said.n <= self._through:  # the page asks for an answer to what it sent before
            self._post({"type": "chat", "lines": [rendering.line(said, self._viewer)], "through": self._through})

    def state(self, state: PageState) -> None:
        """What the page says of itself. Raises ``TooManyMessages``."""
        self._paces["state"].take()
        self._state = state
        if self._around.pages.counts(self._id, self.me, self._page):
            self._around.people.say(self._id, self.me, self._page.source, state)

    async def mute(self, participant: str) -> None:
        """Ask somebody's page to switch its microphone off.

        Raises ``TooManyMessages``, ``Forbidden`` or ``ParticipantUnknown``.
        """
        self._paces["mute"].take()
        around = self._around
        try:
            async with around.database.transaction() as connection:
                room = await door.find(connection, self._id)
                actor = await self._renew(connection)
                await require(connection, actor, "consultation_socket.mute", room.target, {"participant": participant})
                if all(one.id != participant for one in around.people.present(self._id)):
                    raise ParticipantUnknown()
        except TelemedError as error:
            await record_denial(around.database, error)
            raise
        around.rooms.publish(self.topic, {"type": "mute", "participant": participant})


def _lasting(visit: Json) -> Json:
    """The visit without what is another at every look."""
    return {key: value for key, value in visit.items() if key != "server_now"}
