"""Call checks: one publication that its own publisher plays back, before a visit and without a name.

A check has a room that no consultation can name (a consultation's room is a UUID). It ends when it is told to, after
``CHECK_SECONDS``, or when its publisher is lost; its media end with it.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import Counter, Gauge

from telemed.consultation.rooms import Listener, Rooms
from telemed.media.backend import (
    MediaBackend,
    MediaError,
    PublicationNotFound,
    PublicationNotReady,
    Publisher,
    Resource,
    TooManySessions,
)
from telemed.metrics import REGISTRY

CHECKS_AT_ONCE = 8  # of one server: 8 x 1.5 Mbit/s both ways beside the consultations
CHECKS_AN_ADDRESS = 4  # at once from one address, so that nobody holds them all
CHECK_SECONDS = 40.0  # 20 s of measuring, and time to connect and to say what was found
OFFERS_A_CHECK = 4  # of each kind: the first, and what follows a changed device
ID_BYTES = 24  # random bytes of a check's id, which is all that its calls are known by

End = Literal["ended", "expired", "lost"]

CHECKS = Counter("telemed_checks", "Call checks by how they ended, or refused", ["outcome"], registry=REGISTRY)
CHECKS_NOW = Gauge("telemed_checks_now", "Call checks at this moment", registry=REGISTRY)


class ChecksFull(MediaError):
    """As many call checks as are possible are made by others just now."""

    code = "checks_full"
    status = 503
    retry_after_s = 20


class CheckNotFound(MediaError):
    """There is no such call check; it may have ended."""

    code = "check_not_found"
    status = 404


@dataclass(slots=True, eq=False)
class _Check:
    id: str
    room: str
    address: str
    offers: dict[str, int] = field(default_factory=lambda: {"publish": 0, "play": 0})
    attending: asyncio.Task[None] | None = None


class Checks:
    """The checks of this server. Made inside a running loop."""

    def __init__(self, media: MediaBackend, rooms: Rooms) -> None:
        self._media = media
        self._rooms = rooms
        self._checks: dict[str, _Check] = {}

    def begin(self, address: str) -> str:
        """Begin a check for whoever asks from this address and return its id. Raises ``ChecksFull``."""
        same = sum(check.address == address for check in self._checks.values())
        if len(self._checks) >= CHECKS_AT_ONCE or same >= CHECKS_AN_ADDRESS:
            CHECKS.labels("refused").inc()
            raise ChecksFull()
        name = secrets.token_urlsafe(ID_BYTES)
        check = self._checks[name] = _Check(name, f"check-{name}", address)
        check.attending = asyncio.get_running_loop().create_task(self._attend(check), name="call-check")
        CHECKS_NOW.set(len(self._checks))
        return name

    async def publish(self, name: str, offer_sdp: str) -> Resource:
        """Publish into the check. Raises ``CheckNotFound`` and what ``MediaBackend.publish`` raises."""
        check = self._offered(name, "publish")
        made = await self._media.publish(check.room, Publisher(name, "check"), offer_sdp)
        return await self._still(check, made)

    async def play(self, name: str, offer_sdp: str) -> Resource:
        """Play what the check publishes. Raises ``CheckNotFound`` and what ``MediaBackend.play`` raises."""
        check = self._found(name)
        playable = self._media.publications(check.room)
        if not playable:
            raise PublicationNotReady() if check.offers["publish"] else PublicationNotFound()
        self._offered(name, "play")
        made = await self._media.play(playable[-1].id, offer_sdp, participant=name)
        return await self._still(check, made)

    def address_of(self, name: str) -> str:
        """The address that the check was begun from. Raises ``CheckNotFound``."""
        return self._found(name).address

    async def end(self, name: str) -> None:
        """End the check; its sockets are closed when this returns. Raises ``CheckNotFound``."""
        await self._end(self._found(name), "ended")

    async def close(self) -> None:
        """End every check; idempotent."""
        await asyncio.gather(*(self._end(check, "ended") for check in list(self._checks.values())))

    def _found(self, name: str) -> _Check:
        check = self._checks.get(name)
        if check is None:
            raise CheckNotFound()
        return check

    def _offered(self, name: str, kind: str) -> _Check:
        check = self._found(name)
        if check.offers[kind] >= OFFERS_A_CHECK:
            raise TooManySessions()
        check.offers[kind] += 1
        return check

    async def _still(self, check: _Check, made: Resource) -> Resource:
        """What was made, unless the check ended meanwhile, perhaps before its room knew the session."""
        if check.id not in self._checks:
            await self._media.close_room(check.room)
            raise CheckNotFound()
        return made

    async def _attend(self, check: _Check) -> None:
        """Wait until the publisher is lost or the time is over, and end the check."""
        outcome: End = "expired"
        with self._rooms.listen(f"consultation:{check.room}") as listener:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._lost(listener)
                outcome = "lost"
            except TimeoutError:
                pass
        await self._end(check, outcome)

    @staticmethod
    async def _lost(listener: Listener) -> None:
        """Return when what was published is published no more."""
        while True:
            event = await listener.queue.get()
            if event.get("type") == "publications" and not event["publications"]:
                return

    async def _end(self, check: _Check, outcome: End) -> None:
        if self._checks.pop(check.id, None) is None:
            return
        CHECKS_NOW.set(len(self._checks))
        CHECKS.labels(outcome).inc()
        if check.attending is not None and check.attending is not asyncio.current_task():
            check.attending.cancel()
        await self._media.close_room(check.room)
