"""One publication played at the station by WHEP: decoded, counted, heard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import av
import numpy as np
import structlog
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from telemed_station.camera.hearing import Hearing
from telemed_station.camera.keeper import Over
from telemed_station.camera.resource import MediaSession, State
from telemed_station.camera.ways import Ways

SILENCE_S = 3.0  # a publisher sends sound 50 times a second, muted or not
LOOK_S = 0.5

log = structlog.get_logger("telemed.station.player")


@dataclass(frozen=True, slots=True)
class Listed:
    """A publication as the server lists it, on that run of the server; the same one whatever else is said of it."""

    incarnation: str
    publication: str
    kinds: tuple[str, ...]
    participant: str = field(default="", compare=False)
    by: str = field(default="", compare=False)
    source: str = field(default="camera", compare=False)


class Played:
    """What is known of one publication; ``hold`` plays it. ``heard`` takes its samples, shape (n, channels)."""

    def __init__(
        self, http: aiohttp.ClientSession, server: str, key: str, heard: Callable[[NDArray[np.int16]], None],
        ways: Ways,
    ) -> None:
        self._http = http
        self._server = server
        self._key = key
        self._heard = heard
        self._ways = ways
        self._session: MediaSession | None = None
        self.frames = 0
        self.hearing = Hearing()

    @property
    def state(self) -> State:
        """Whether it comes."""
        return self._session.state if self._session is not None else "connecting"

    async def hold(self, wanted: Listed) -> None:
        """Play until the connection ends or nothing comes any more."""
        way = await self._ways.next()
        session = self._session = MediaSession(self._http, self._server, self._key, self._ways, way)
        consumers: list[asyncio.Task[None]] = []

        @session.peer.on("track")
        def consume(track: MediaStreamTrack) -> None:
            consumers.append(asyncio.create_task(self._consume(track)))

        try:
            for kind in sorted(set(wanted.kinds) & {"audio", "video"}):
                session.peer.addTransceiver(kind, direction="recvonly")
            await session.open(f"/whep/{wanted.publication}")
            log.info("playing", publication=wanted.publication)
            await self._watch(session)
        finally:
            self._session = None
            self.hearing.clear()
            for task in consumers:
                task.cancel()
            await asyncio.gather(*consumers, return_exceptions=True)
            await session.close()

    async def _watch(self, session: MediaSession) -> None:
        """Return never; raise ``Over`` when the connection ended or has been silent for ``SILENCE_S``."""
        loop = asyncio.get_running_loop()
        last, since = -1, loop.time()
        while not session.ended.is_set():
            packets = 0
            for receiver in session.peer.getReceivers():
                report = await receiver.getStats()
                packets += sum(one.packetsReceived for one in report.values() if one.type == "inbound-rtp")
            if packets != last:
                last, since = packets, loop.time()
            elif loop.time() - since > SILENCE_S:
                if packets == 0:
                    raise TimeoutError("nothing came")  # and not at once again
                raise Over("silence")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await session.ended.wait()
        raise Over("the connection ended")

    async def _consume(self, track: MediaStreamTrack) -> None:
        """Decode everything: a track that nobody reads fills the memory."""
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, av.AudioFrame):
                    samples = frame.to_ndarray().reshape(frame.samples, -1).astype(np.int16)
                    self.hearing.push(samples)
                    self._heard(samples)
                else:
                    self.frames += 1
