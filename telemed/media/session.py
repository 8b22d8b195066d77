"""A WHIP or WHEP session in memory: whose it is and what it does for a publication. The engine has a leg of its id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from telemed.media.backend import Publication, Publisher, Role
from telemed.media.offer import Media, Offer


@dataclass(slots=True, eq=False)
class Session:
    """A resource of ``participant`` (who publishes or plays), opened by ``owner`` (whose proof let it in)."""

    id: str
    role: Role
    room: str
    participant: str
    owner: str
    etag: str
    ufrag: str  # the peer's
    offer: Offer
    publication: Publication
    created_s: float
    topics: tuple[str, ...] = ()
    carry: dict[str, Media] = field(default_factory=dict)
    slot: int | None = None  # of a group room, instead of one publication

    def is_of(self, publisher: Publisher) -> bool:
        """Whether this publishes the same source of the same participant."""
        who = self.publication.publisher
        same = (who.participant, who.source) == (publisher.participant, publisher.source)
        return self.role == "publish" and same

    def succeed(self, former: Session) -> bool:
        """Go on under the name of what ``former``, of the same source, published, so that its viewers stay.

        Who watches keeps the picture, and the connection it comes over. False, and nothing is changed, when the two
        do not carry the same.
        """
        if self.carry != former.carry:
            return False
        self.publication, former.publication = (
            replace(former.publication, publisher=self.publication.publisher, paused=False),
            self.publication,
        )
        return True


def pause(sessions: Iterable[Session], room: str, participant: str, sources: list[str]) -> Session | None:
    """Note that the participant has paused these pictures of the room's and no others; one that was not so before."""
    changed = None
    for session in sessions:
        publication = session.publication
        who, paused = publication.publisher, publication.publisher.source in sources
        if (session.room, who.participant) == (room, participant) and publication.paused != paused:
            session.publication, changed = replace(publication, paused=paused), session
    return changed
