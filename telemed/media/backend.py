"""What the server asks of a media plane, in the words of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep).

The face is fixed here; an in-process forwarder, a relay process or another engine is an adapter behind it.
A *room* is where publications meet (a consultation's id, or a call check's); a *publication* is one WHIP stream in
a room, of one *participant* and one *source*; a *resource* is one WHIP or WHEP session and is known only by its
unguessable id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from telemed.errors import TelemedError

SourceName = Literal["camera", "exam", "screen"]
Role = Literal["publish", "play"]

SDP_BYTES = 65_536  # the longest legitimate offer measured is 9 KiB
PUBLICATIONS_A_ROOM = 32  # six people with camera and screen and an exam camera, each once more while it reconnects
PUBLICATIONS_A_SOURCE = 3  # of one participant: the one that plays, one that connects, one that lost its line meanwhile
VIEWERS_A_PUBLICATION = 200  # a lecture hall, and its reconnects
VIEWINGS_A_PARTICIPANT = 4  # of one publication: the page, and reloads not yet missed
VIEWINGS_A_SLOT = 2  # of one participant: the page, and a reload of it
SESSIONS = 1_024  # resources of one server process: 25 people of a group room are 250
RETRY_AFTER_SECONDS = 1  # a publisher that is connecting is there within a second


class MediaError(TelemedError):
    """The media plane refused. ``retry_after_s`` is what the Retry-After header says, None for no header."""

    retry_after_s: ClassVar[int | None] = None


class SdpInvalid(MediaError):
    """The body is not a session description; ``reason`` names the first thing wrong with it."""

    code = "sdp_invalid"
    status = 400


class SdpUnsupported(MediaError):
    """The session description is well formed and asks for what is not offered here; ``reason`` names it."""

    code = "sdp_unsupported"
    status = 422


class MediaTypeUnsupported(MediaError):
    """The body's Content-Type is not the documented one."""

    code = "media_type_unsupported"
    status = 415


class PublicationNotFound(MediaError):
    """There is no such publication."""

    code = "publication_not_found"
    status = 404


class PublicationNotReady(PublicationNotFound):
    """The publisher is still connecting: try again after ``retry_after_s``."""

    status = 409
    retry_after_s = RETRY_AFTER_SECONDS


class ResourceNotFound(MediaError):
    """There is no such WHIP or WHEP session; it may have ended."""

    code = "resource_not_found"
    status = 404


class TooManySessions(MediaError):
    """A bound on publications or viewers is reached."""

    code = "too_many_sessions"
    status = 503
    retry_after_s = 5


class EtagRequired(MediaError):
    """A PATCH must carry If-Match (RFC 9725 section 4.3.1)."""

    code = "etag_required"
    status = 428


class EtagMismatch(MediaError):
    """If-Match names another ICE session than the resource's own."""

    code = "etag_mismatch"
    status = 412


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes what. ``participant`` is an account's id, a seat's id or ``station:<n>``; ``by`` its role here."""

    participant: str
    by: str
    source: SourceName = "camera"


@dataclass(frozen=True, slots=True)
class Publication:
    """One WHIP stream that can be played now. ``kinds`` is sorted: ("audio", "video").

    ``paused``: its publisher's line is too poor for the picture.
    """

    id: str
    publisher: Publisher
    kinds: tuple[str, ...]
    paused: bool = False

    def as_json(self) -> dict[str, Any]:
        """As events and welcome messages carry it (docs/protocol.md section 4)."""
        who = self.publisher
        return {
            "id": self.id, "by": who.by, "participant": who.participant, "source": who.source,
            "kinds": list(self.kinds), **({"paused": True} if self.paused else {}),
        }


@dataclass(frozen=True, slots=True)
class Resource:
    """A WHIP or WHEP session as created: ``etag`` is quoted and strong, ready for the header."""

    id: str
    answer_sdp: str
    etag: str
    publication: Publication


@dataclass(frozen=True, slots=True)
class Restarted:
    """The new ICE session of a resource: its ``etag``, quoted and strong, and the fragment that tells the peer."""

    etag: str
    sdpfrag: str


@dataclass(frozen=True, slots=True)
class ResourcePlace:
    """Where a resource belongs."""

    role: Role
    room: str


@dataclass(slots=True)
class Sent:
    """What became of some packets, all viewers together. ``bytes`` are of payload."""

    sent: int = 0
    unsent: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Counts:
    """What a relay counted since its start."""

    packets_in: int = 0
    packets_out: int = 0
    packets_unsent: int = 0
    bytes_out: int = 0
    nacks_received: int = 0
    packets_resent: int = 0
    nacks_sent: int = 0
    keyframes_asked: int = 0
    datagrams_refused: int = 0

    def add(self, sent: Sent) -> None:
        """Count what was sent."""
        self.packets_out += sent.sent
        self.packets_unsent += sent.unsent
        self.bytes_out += sent.bytes


@dataclass(slots=True)
class MediaStats(Counts):
    """Counts since start, but ``publications`` and ``viewers``, which are now."""

    publications: int = 0
    viewers: int = 0

    def as_mapping(self) -> Mapping[str, int]:
        """Name to count, for ``/metrics``."""
        return asdict(self)


@runtime_checkable
class MediaBackend(Protocol):
    """A media plane. Every method raises :class:`MediaError` for what it refuses, and nothing else."""

    async def publish(
        self, room: str, publisher: Publisher, offer_sdp: str, *, owner: str = "", topics: tuple[str, ...] = ()
    ) -> Resource:
        """Begin a publication; once connected it replaces the older one of the same participant and source.

        Where both carry the same it takes over the older one's id and viewers, who keep their connections.

        A change of the room's publications is told on ``consultation:<room>`` and on ``topics``.
        """

    async def play(self, publication_id: str, offer_sdp: str, *, participant: str = "", owner: str = "") -> Resource:
        """Begin to play a publication for the participant. Its end ends the resource."""

    async def play_slot(
        self, room: str, slot: int, offer_sdp: str, *, participant: str, owner: str = ""
    ) -> Resource:
        """Begin to play a slot of the room: whoever speaks, and what the participant itself publishes never.

        Slots count from 0: the first ``speakers.VOICES`` are heard and seen, those up to ``speakers.PICTURES`` seen.
        What a slot shows is told on ``consultation:<room>``.
        """

    async def patch(self, resource_id: str, sdpfrag: str, if_match: str | None) -> Restarted | None:
        """Take the fragment's candidates (trickle ICE), None; or restart ICE by its new credentials.

        ``if_match`` is the resource's etag or, for a restart, ``*``. A restart that fails raises, and the resource
        goes on as it was.
        """

    async def delete(self, resource_id: str) -> None:
        """End the session; its sockets are closed when this returns."""

    def place(self, resource_id: str, owner: str) -> ResourcePlace:
        """Where the resource belongs. Raises ``ResourceNotFound``, for another's resource as well."""

    def room_of(self, publication_id: str) -> str:
        """The publication's room. Raises ``PublicationNotFound``, ``PublicationNotReady``."""

    def keyframe(self, publication_id: str) -> None:
        """Ask the publisher for a whole picture; at most one request a second goes out."""

    def publications(self, room: str) -> list[Publication]:
        """What can be played in the room now, in order of connection."""

    def stats(self) -> MediaStats:
        """Counters for ``/metrics``."""

    async def close_room(self, room: str) -> None:
        """End every session of the room."""

    def close_participant(self, room: str, participant: str) -> None:
        """End at once all that the participant sends and plays in the room; does not wait for closed sockets."""

    def assign(self, room: str, clinician: str) -> None:
        """This participant is the room's clinician now, whoever was is a second one: the media go on, ``by`` tells."""

    def owners(self) -> frozenset[str]:
        """Whose sessions are open."""

    async def close_owner(self, owner: str) -> None:
        """End every session of this owner."""

    async def close(self) -> None:
        """End every session; idempotent."""
