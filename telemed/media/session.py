"""A WHIP or WHEP session in memory: the leg to one peer and what it does for a publication."""

from __future__ import annotations

from dataclasses import dataclass, field

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
