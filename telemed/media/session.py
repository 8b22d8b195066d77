"""A WHIP or WHEP session in memory: the leg to one peer and what it does for a publication."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from telemed.media.aiortc_adapter import Leg
from telemed.media.backend import Publication, Publisher, Role
from telemed.media.forwarder import Forwarder, Viewer
from telemed.media.offer import Media


@dataclass(slots=True, eq=False)
class Session:
    """A resource of ``participant`` (who publishes or plays), opened by ``owner`` (whose proof let it in)."""

    id: str
    role: Role
    room: str
    participant: str
    owner: str
    etag: str
    ufrag: str
    forwarder: Forwarder
    publication: Publication
    created_s: float
    leg: Leg = field(init=False)
    viewer: Viewer | None = None
    topics: tuple[str, ...] = ()
    carry: dict[str, Media] = field(default_factory=dict)
    candidates: int = 0

    def is_of(self, publisher: Publisher) -> bool:
        """Whether this publishes the same source of the same participant."""
        who = self.publication.publisher
        same = (who.participant, who.source) == (publisher.participant, publisher.source)
        return self.role == "publish" and same

    def rtp(self, data: bytes) -> None:
        """A publisher's packet, to the forwarder that it has now."""
        self.forwarder.rtp(data)

    def rtcp(self, data: bytes) -> None:
        """A publisher's feedback, to the forwarder that it has now."""
        self.forwarder.rtcp(data)

    def succeed(self, former: Session) -> bool:
        """Go on with what ``former``, of the same source, published: its name and its viewers.

        Who watches keeps the picture, and the connection it comes over. False, and nothing is changed, when the two
        do not carry the same.
        """
        if self.carry != former.carry or not self.forwarder.take_over(former.forwarder):
            return False
        self.forwarder, former.forwarder = former.forwarder, self.forwarder
        self.publication, former.publication = (
            replace(former.publication, publisher=self.publication.publisher),
            self.publication,
        )
        return True
