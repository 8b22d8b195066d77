"""Plays the clinician at the station: every publication of the clinician, by WHEP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp
import av
import numpy as np
import structlog
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from telemed_station.camera.hearing import Hearing
from telemed_station.camera.keeper import Keeper, Over
from telemed_station.camera.resource import MediaSession, State
from telemed_station.camera.speaker import Speaker

PLAYED_MAX = 4  # publications at once; a clinician has one, a second camera at most
SILENCE_S = 3.0  # a publisher sends sound 50 times a second, muted or not
LOOK_S = 0.5

log = structlog.get_logger("telemed.station.player")

Wanted = tuple[str, str, tuple[str, ...]]  # the server's run, the publication, its kinds


class Player:
    """Plays what ``play`` named last, for as long as it runs."""

    def __init__(self, http: aiohttp.ClientSession, server: str, key: str, speaker: str = "none") -> None:
        self._http = http
        self._server = server
        self._key = key
        self._speaker = Speaker(speaker)
        self._playing: dict[Wanted, tuple[_Played, asyncio.Task[None]]] = {}
        self._frames_before = 0  # decoded by sessions that are over

    def play(self, incarnation: str, publications: list[tuple[str, tuple[str, ...]]]) -> None:
        """Play these publications (id, kinds) of the server's run ``incarnation``, and no other."""
        wanted = {(incarnation, name, kinds) for name, kinds in publications[:PLAYED_MAX]}
        for gone in set(self._playing) - wanted:
            played, task = self._playing.pop(gone)
            self._frames_before += played.frames
            task.cancel()
        for new in wanted - set(self._playing):
            played = _Played(self._http, self._server, self._key, self._speaker)
            keeper: Keeper[Wanted] = Keeper("player", played.hold)
            keeper.want(new)
            self._playing[new] = (played, asyncio.create_task(keeper.run()))

    def status(self) -> dict[str, Any]:
        """The ``call`` part of the station's status (docs/protocol.md section 4)."""
        played = [one for one, _ in self._playing.values()]
        states = {one.state for one in played}
        state: State = "connected" if "connected" in states else "connecting" if played else "idle"
        heard = [one.hearing for one in played if one.state == "connected"]
        levels = [(level, hearing) for hearing in heard if (level := hearing.level_dbfs()) is not None]
        loudest = max(levels, key=lambda pair: pair[0], default=None)
        return {
            "state": state,
            "frames_decoded": self._frames_before + sum(one.frames for one in played),
            "audio_dbfs": loudest[0] if loudest else None,
            "dominant_hz": loudest[1].dominant_hz() if loudest else None,
        }

    async def close(self) -> None:
        """Stop playing."""
        tasks = [task for _, task in self._playing.values()]
        self._playing.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._speaker.close)


class _Played:
    """One publication being played."""

    def __init__(self, http: aiohttp.ClientSession, server: str, key: str, speaker: Speaker) -> None:
        self._http = http
        self._server = server
        self._key = key
        self._speaker = speaker
        self._session: MediaSession | None = None
        self.frames = 0
        self.hearing = Hearing()

    @property
    def state(self) -> State:
        return self._session.state if self._session is not None else "connecting"

    async def hold(self, wanted: Wanted) -> None:
        """Play until the connection ends or nothing comes any more."""
        _, publication, kinds = wanted
        session = self._session = MediaSession(self._http, self._server, self._key)
        consumers: list[asyncio.Task[None]] = []

        @session.peer.on("track")
        def consume(track: MediaStreamTrack) -> None:
            consumers.append(asyncio.create_task(self._consume(track)))

        try:
            for kind in sorted(set(kinds) & {"audio", "video"}):
                session.peer.addTransceiver(kind, direction="recvonly")
            await session.open(f"/whep/{publication}")
            log.info("playing", publication=publication)
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
                    self.hearing.push(frame.to_ndarray().reshape(frame.samples, -1).astype(np.int16))
                    self._speaker.push(frame)
                else:
                    self.frames += 1
