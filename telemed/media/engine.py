"""The seam between the server and what carries its media: legs and publications by name, nothing of people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from telemed.media.backend import Counts, MediaError, Role
from telemed.media.terms import Ground, Place, Terms

Event = Callable[[dict[str, Any]], None]
Tapped = Callable[[bytes], None]  # a message of ``telemed.media.recording.tapped``


class RelayUnavailable(MediaError):
    """The relay is being started again: try again after ``retry_after_s``."""

    code = "relay_unavailable"
    status = 503
    retry_after_s = 1


class Engine(Protocol):
    """Carries packets between peers. ``on_event`` is told, from the running loop:

    ``{"event": "connected", "leg"}``; ``{"event": "gone", "leg", "why"}``, after which the leg is closed already;
    ``{"event": "silent", "leg"}``: a publisher sends nothing; ``connected`` or ``gone`` follows;
    ``{"event": "level", "leg", "level"}``: a viewer's line carries the "high" or the "low" picture, or none ("paused");
    ``{"event": "slot", "leg", "publication"}``: what a slot shows from now on, None for nothing;
    ``{"event": "sender_report", "publication", "kind", "ntp_ms", "rtp"}``; ``{"event": "down"}``: every leg is gone.
    """

    on_event: Event
    on_tapped: Tapped
    counts: Counts

    async def open(
        self, leg: str, role: Role, publication: str, terms: Terms, place: Place | None = None
    ) -> Ground:
        """Make ready for a peer that publishes, or plays, the publication, or a slot of its place.

        Raises ``TooManySessions``, ``PublicationNotFound``, ``RelayUnavailable``.
        """

    async def restart(self, leg: str, ufrag: str, password: str) -> Ground:
        """New ICE credentials for the leg, its keys stay. Raises ``ResourceNotFound``, ``RelayUnavailable``."""

    async def close(self, leg: str) -> None:
        """Say goodbye; nothing of the leg is left when this returns. A publication ends with the leg that sends it,
        what plays it does not."""

    def succeed(self, publication: str, leg: str) -> None:
        """What this publishing leg sends goes on as the older publication, to its viewers; its own one is no more."""

    def keyframe(self, publication: str) -> None:
        """Ask the publisher for a whole picture; at most one request a second goes out."""

    def bound(self, publication: str, video_bits_s: int) -> None:
        """The publisher may send at most this much video from now on."""

    def tap(self, publication: str, number: int | None) -> None:
        """Hand what comes of the publication over to ``on_tapped`` from now on, under this number; None: no longer.

        What the server does not take in time is left out; the packets' numbers tell.
        """

    async def stop(self) -> None:
        """End every leg; idempotent."""
