"""The relay itself: legs and publications, one UDP port, one event loop. See ``telemed.media.engine.Engine``."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any

from telemed.media.backend import Counts, PublicationNotFound, ResourceNotFound, Role, TooManySessions
from telemed.media.engine import Event, Tapped
from telemed.media.relay.adapter import Certificate, check_contract, quiet_libraries
from telemed.media.relay.fan import Fan
from telemed.media.relay.fanout import Fanout, can_cut
from telemed.media.relay.forwarder import Forwarder
from telemed.media.relay.leg import Leg
from telemed.media.relay.port import Port
from telemed.media.relay.room import Room
from telemed.media.relay.tap import Tap
from telemed.media.relay.viewer import Viewer
from telemed.media.terms import Ground, Place, Terms
from telemed.tasks import Tasks

logger = logging.getLogger(__name__)

LEGS = 1_024  # of one relay process
TICK_SECONDS = 0.1  # between looks at what is missing and when packets came
FEEDBACK_TICKS = 5  # of those between reports to publishers; what a browser's bitrate needs (measured)
CONNECT_SECONDS = 20.0  # from the answer to the first encrypted packet
SILENT_SECONDS = 5.0  # a publisher that sends no media is taken off; ICE itself would notice after 30
KEPT_SECONDS = 40.0  # its keys are kept so long: a line that was cut goes on where it was, without a handshake
NAMED_SECONDS = 5.0  # beyond that the server has no more to say of a publication whose publisher is gone
VIEWER_SILENT_SECONDS = 15.0  # three of ICE's consent checks


class Relay:
    """An ``Engine`` in this process. Made inside a running loop; raises ``AdapterMismatch``, ``PortUnavailable``."""

    def __init__(self, announced: tuple[str, ...], number: int = 0, *, local_only: bool = False) -> None:
        check_contract()
        quiet_libraries()
        self.counts = Counts()
        self.on_event: Event = lambda event: None
        self.on_tapped: Tapped = lambda message: None
        self.forwarders: dict[str, Forwarder] = {}
        self.publishers: dict[str, Forwarder] = {}  # by the leg that sends now
        self.viewers: dict[str, Viewer] = {}
        self.legs: dict[str, Leg] = {}
        self._places: dict[str, Place] = {}
        self._rooms: dict[str, Room] = {}
        self._port = Port(announced, number, local_only, self._refused, self._drained)
        self._fanout = Fanout(can_cut())
        self._certificate = Certificate()
        self._touched: dict[Fan, None] = {}
        self._live: set[str] = set()  # legs of which the connection was told
        self._silent: set[str] = set()  # publishers that were, and send nothing
        self._tasks = Tasks(logger, "a media task")
        self._ticking = self._tasks.start(self._tick_on())

    @property
    def number(self) -> int:
        """The UDP port."""
        return self._port.number

    async def open(
        self, leg: str, role: Role, publication: str, terms: Terms, place: Place | None = None
    ) -> Ground:
        """See ``Engine.open``."""
        if len(self.legs) >= LEGS:
            raise TooManySessions()
        slot = None if place is None else place.slot
        if role == "play" and slot is None and publication not in self.forwarders:
            raise PublicationNotFound()
        peer = self.legs[leg] = Leg(leg, terms, self._port, self._certificate)
        peer.on_change = lambda: self._changed(peer)
        ground = self._ground(peer, role)
        if role == "publish":
            forwarder = Forwarder(
                publication, self.counts, self._fanout, self._tell, self._touch, peer, terms.streams
            )
            self.forwarders[publication] = self.publishers[leg] = forwarder
            self._feed(peer, forwarder)
        else:
            forwarder_ = self.forwarders[publication] if slot is None else None
            viewer = self.viewers[leg] = Viewer(
                leg, forwarder_, peer, terms.streams, ground, "low" if slot else "high"
            )
            peer.on_rtcp = viewer.rtcp
            peer.on_move = lambda: viewer.forwarder.moved(viewer) if viewer.forwarder is not None else None
        if place is not None:
            self._places[leg] = place
        return ground

    async def restart(self, leg: str, ufrag: str, password: str) -> Ground:
        """See ``Engine.restart``."""
        peer = self.legs.get(leg)
        if peer is None:
            raise ResourceNotFound()
        peer.restart(ufrag, password)
        return self._ground(peer, "publish")

    async def close(self, leg: str) -> None:
        """See ``Engine.close``."""
        forwarder = self.publishers.pop(leg, None)
        if forwarder is not None:
            forwarder.upstream.end()
            self.forwarders.pop(forwarder.publication, None)
            if forwarder.tap is not None:
                forwarder.tap.flush()
            place = self._places.get(leg)
            if place is not None and place.room in self._rooms:
                self._rooms[place.room].end(forwarder.publication)
        await self._shut(leg)

    async def _shut(self, leg: str) -> None:
        """End the connection. What it published stays for its viewers until the leg is closed, or has a successor:
        the server may have named one before it hears that this one is gone."""
        self._live.discard(leg)
        self._silent.discard(leg)
        place = None if leg in self.publishers else self._places.pop(leg, None)
        room = self._rooms.get(place.room) if place is not None else None
        viewer = self.viewers.pop(leg, None)
        if viewer is not None:
            if viewer.forwarder is not None:
                viewer.forwarder.leave(viewer)
            if room is not None:
                room.leave(viewer)
        if place is not None and room is not None and room.empty:
            del self._rooms[place.room]
        peer = self.legs.pop(leg, None)
        if peer is not None:
            await peer.close()

    def succeed(self, publication: str, leg: str) -> None:
        """See ``Engine.succeed``."""
        former, peer, forwarder = self.publishers.get(leg), self.legs.get(leg), self.forwarders.get(publication)
        if forwarder is None or peer is None or former is None or former is forwarder:
            return
        former.upstream.end()
        del self.forwarders[former.publication]
        place = self._places.get(leg)
        if place is not None and place.room in self._rooms:
            self._rooms[place.room].end(former.publication)
        for other in [name for name, one in self.publishers.items() if one is forwarder]:
            del self.publishers[other]  # it says goodbye soon, or has; what it still sends is nobody's
            if other in self.legs:
                self.legs[other].on_rtp = self.legs[other].on_rtcp = lambda data: None
        self.publishers[leg] = forwarder
        forwarder.begin(peer, peer.terms.streams)
        self._feed(peer, forwarder)

    def keyframe(self, publication: str) -> None:
        """See ``Engine.keyframe``."""
        forwarder = self.forwarders.get(publication)
        if forwarder is not None:
            forwarder.upstream.ask_keyframe()

    def bound(self, publication: str, video_bits_s: int) -> None:
        """See ``Engine.bound``."""
        forwarder = self.forwarders.get(publication)
        if forwarder is not None:
            forwarder.upstream.video_bits_s = video_bits_s

    def tap(self, publication: str, number: int | None) -> None:
        """See ``Engine.tap``."""
        forwarder = self.forwarders.get(publication)
        if forwarder is None:
            return
        if forwarder.tap is not None:
            forwarder.tap.flush()
        forwarder.tap = None
        if number is not None:
            forwarder.tap = Tap(number, self._hand_over)
            forwarder.upstream.ask_keyframe(anew=True)

    async def stop(self) -> None:
        """End every leg and close the port; idempotent."""
        self._ticking.cancel()
        await asyncio.gather(*(self.close(leg) for leg in list(self.legs)))
        await self._tasks.finish()
        self._port.close()

    def _ground(self, peer: Leg, role: Role) -> Ground:
        ssrcs: dict[str, tuple[int, int | None]] = {}
        if role == "play":
            for stream in peer.terms.streams:
                rtx = None if stream.rtx_payload_type is None else _ssrc()
                ssrcs[stream.kind] = (_ssrc(), rtx)
        ours = peer.credentials
        fingerprint, cname = self._certificate.fingerprint, secrets.token_hex(8)
        return Ground(ours.ufrag, ours.password, fingerprint, self._port.candidates, ssrcs, cname)

    def _feed(self, peer: Leg, forwarder: Forwarder) -> None:
        peer.on_rtp, peer.on_rtcp = forwarder.rtp, forwarder.rtcp

    def _changed(self, peer: Leg) -> None:
        """The leg's handshake is done, failed or over."""
        if self.legs.get(peer.name) is not peer:
            return
        if peer.state in ("failed", "closed"):
            self._gone(peer, peer.state)
        elif peer.connected and peer.name not in self._live | self._silent:
            self._go_live(peer.name)

    def _go_live(self, leg: str) -> None:
        self._silent.discard(leg)
        self._live.add(leg)
        self._enter(leg)
        self._tell({"event": "connected", "leg": leg})

    def _hush(self, leg: str) -> None:
        """A publisher sends nothing: it is told of as when it ends, but may come back."""
        self._live.discard(leg)
        self._silent.add(leg)
        place = self._places.get(leg)
        if place is not None and place.room in self._rooms:
            self._rooms[place.room].end(self.publishers[leg].publication)
        self._tell({"event": "silent", "leg": leg})

    def _enter(self, leg: str) -> None:
        """The leg is connected: it takes its part."""
        place = self._places.get(leg)
        room = self._rooms.setdefault(place.room, Room(self._tell)) if place is not None else None
        viewer, forwarder = self.viewers.get(leg), self.publishers.get(leg)
        if viewer is not None and place is not None and place.slot is not None and room is not None:
            room.watch(place.who, place.slot, viewer)
        elif viewer is not None and viewer.forwarder is not None:
            viewer.forwarder.join(viewer)
        if forwarder is not None:
            forwarder.media_s = asyncio.get_running_loop().time()
            if room is not None and place is not None:
                room.publish(forwarder, place.who)

    def _gone(self, peer: Leg, why: str) -> None:
        if peer.name in self.legs:
            self._tell({"event": "gone", "leg": peer.name, "why": why})
            self._tasks.start(self._shut(peer.name))

    def _touch(self, one: Fan) -> None:
        self._touched[one] = None

    def _drained(self) -> None:
        """All that had come was read: what came together of one source goes out together."""
        touched, self._touched = self._touched, {}
        for one in touched:
            self.counts.add(one.flush(self._fanout))

    def _hand_over(self, message: bytes) -> None:
        self.on_tapped(message)

    def _refused(self) -> None:
        self.counts.datagrams_refused += 1

    def _tell(self, event: dict[str, Any]) -> None:
        self.on_event(event)

    async def _tick_on(self) -> None:
        tick = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            tick += 1
            now_s = asyncio.get_running_loop().time()
            for leg, forwarder in list(self.publishers.items()):
                if leg not in self.legs and now_s - forwarder.media_s > KEPT_SECONDS + NAMED_SECONDS:
                    self._tasks.start(self.close(leg))
                    continue
                silent = now_s - forwarder.media_s > SILENT_SECONDS
                if silent and leg in self._live:
                    self._hush(leg)
                elif not silent and leg in self._silent:
                    self._go_live(leg)
                if leg in self._live:
                    forwarder.tick(now_s, reports=tick % FEEDBACK_TICKS == 0)
            for room in self._rooms.values():
                room.tick(now_s)
            if tick % FEEDBACK_TICKS == 0:
                for peer in list(self.legs.values()):
                    why = self._lost(peer, now_s)
                    if why is not None:
                        self._gone(peer, why)

    def _lost(self, peer: Leg, now_s: float) -> str | None:
        """Why the leg is taken for lost."""
        if peer.name not in self._live | self._silent:
            return "never connected" if now_s - peer.created_s > CONNECT_SECONDS else None
        if peer.name in self.viewers:
            return "silent" if now_s - peer.heard_s > VIEWER_SILENT_SECONDS else None
        forwarder = self.publishers.get(peer.name)
        return "silent" if forwarder is not None and now_s - forwarder.media_s > KEPT_SECONDS else None


def _ssrc() -> int:
    return secrets.randbits(32) | 1  # never 0
