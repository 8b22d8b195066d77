"""A camera of the station: publishes picture and sound to ``/whip/{room}`` while a consultation is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import aiohttp
import structlog
from aiortc import RTCRtpSender
from aiortc.codecs.base import Encoder

from telemed_station.camera.encoders import SmallVp8, encoder_for
from telemed_station.camera.keeper import Keeper, Over
from telemed_station.camera.resource import MediaSession, State
from telemed_station.camera.sources import Sources, Track
from telemed_station.camera.stamps import Small, encode_by, stamp_reports
from telemed_station.camera.tee import Follow, Lead
from telemed_station.camera.thrift import Thrift
from telemed_station.camera.ways import Ways
from telemed_station.errors import CameraUnavailable

log = structlog.get_logger("telemed.station.camera")


SourceName = Literal["camera", "exam"]


class Camera:
    """Publishes to the room that ``publish`` named last, on that run of the server, for as long as it runs.

    ``source`` is what the publication says it shows: people (``camera``) or what is examined (``exam``).
    """

    def __init__(
        self, http: aiohttp.ClientSession, server: str, key: str, sources: Sources, source: SourceName = "camera",
        ways: Ways | None = None, thrift: Thrift | None = None,
    ) -> None:
        self.source = source
        self._thrift = thrift or Thrift()
        self._http = http
        self._server = server
        self._key = key
        self._sources = sources
        self._ways = ways or Ways(http, server, key)
        self._keeper: Keeper[tuple[str, str, int]] = Keeper(source, self._hold)
        self._session: MediaSession | None = None
        self._tries = 0
        self._listed = False

    @property
    def state(self) -> State:
        """Whether the picture is on its way."""
        return self._session.state if self._session is not None else "idle"

    @property
    def paused(self) -> bool:
        """Whether the line is too poor for its picture."""
        return self._thrift.paused

    def publish(self, incarnation: str, room: str | None, *, listed: bool) -> None:
        """Publish to ``room`` of the server's run ``incarnation``, or to nobody.

        ``listed``: the server names this camera's publication. One that it named and names no more is published anew.
        """
        if self._listed and not listed and self.state == "connected":
            self._tries += 1
        self._listed = listed
        self._keeper.want(None if room is None else (incarnation, room, self._tries))

    async def run(self) -> None:
        """Keep what is wanted published; for ever."""
        await self._keeper.run()

    def _add_picture(self, session: MediaSession, track: Track) -> None:
        """The picture in two sizes (``encoders.SmallVp8`` says when the small one is sent)."""
        lead = Lead(track)

        def both() -> bool:
            return session.small is not None and session.small.sent

        sender = session.peer.addTrack(lead)
        self._add(sender, lead, lambda codec: encoder_for(codec, self._thrift, both))
        transceiver = next(one for one in session.peer.getTransceivers() if one.sender.track is lead)
        small = session.small = Small(session.peer, transceiver, lead.follower)
        self._add(small.sender, lead.follower, lambda codec: SmallVp8(self._thrift) if codec.upper() == "VP8" else None)

    @staticmethod
    def _add(sender: RTCRtpSender, track: Track | Lead | Follow, make: Callable[[str], Encoder | None]) -> None:
        encode_by(sender, make)
        stamp_reports(sender, track.capture_us)

    async def _hold(self, wanted: tuple[str, str, int]) -> None:
        incarnation, room, _ = wanted
        way = await self._ways.next()
        try:
            tracks = self._sources.open()
        except CameraUnavailable as error:
            log.error(error.code, **error.params)
            raise OSError(error.code) from error
        if not tracks:
            await asyncio.Event().wait()  # no camera, no microphone: nothing until something else is wanted
        self._thrift.anew()
        session = self._session = MediaSession(self._http, self._server, self._key, self._ways, way)
        try:
            for track in tracks:
                if track.kind == "video":
                    self._add_picture(session, track)
                else:
                    self._add(session.peer.addTrack(track), track, lambda codec: encoder_for(codec, self._thrift))
                track.on("ended", session.ended.set)
            await session.open(f"/whip/{room}?source={self.source}")
            log.info("publishing", room=room, source=self.source)
            await session.unheard()
            raise Over("the connection ended")
        finally:
            self._session = None
            for track in tracks:
                track.stop()
            # A server that was restarted knows nothing of the old resource.
            now = self._keeper.wanted
            await session.close(tell=now is None or now[0] == incarnation)
