"""Plays the call at the station: every publication of the people in it, by WHEP, their sound mixed into one."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import aiohttp
import av
import numpy as np
from numpy.typing import NDArray

from telemed_station.camera.keeper import Keeper
from telemed_station.camera.mixing import FRAME, Mixer
from telemed_station.camera.played import Listed, Played
from telemed_station.camera.resource import State
from telemed_station.camera.speaker import RATE, Speaker
from telemed_station.camera.ways import Ways

PLAYED_MAX = 12  # publications at once: six people with camera and screen
MIX_S = FRAME / RATE
BEHIND_S = 0.5  # a mixer this late (a suspend, a busy machine) goes on from now

Heard = tuple[float, float | None]  # dBFS, Hz


class Player:
    """Plays what ``play`` named last, for as long as it runs."""

    def __init__(
        self, http: aiohttp.ClientSession, server: str, key: str, speaker: str = "none", ways: Ways | None = None
    ) -> None:
        self._http = http
        self._server = server
        self._key = key
        self._ways = ways or Ways(http, server, key)
        self._mixer = Mixer()
        self._speaker = Speaker(speaker) if speaker != "none" else None
        self._mixing: asyncio.Task[None] | None = None
        self._playing: dict[Listed, tuple[Played, asyncio.Task[None]]] = {}
        self._frames_before = 0  # decoded by sessions that are over

    def play(self, publications: list[Listed]) -> None:
        """Play these publications and no other; of more than ``PLAYED_MAX`` the first ones."""
        wanted = dict.fromkeys(publications[:PLAYED_MAX])
        for gone in [one for one in self._playing if one not in wanted]:
            played, task = self._playing.pop(gone)
            self._frames_before += played.frames
            self._mixer.forget(gone)
            task.cancel()
        self._playing = {one: self._playing[one] for one in wanted if one in self._playing}  # with what is said now
        for new in [one for one in wanted if one not in self._playing]:
            played = Played(self._http, self._server, self._key, partial(self._hear, new), self._ways)
            keeper: Keeper[Listed] = Keeper("player", played.hold)
            keeper.want(new)
            self._playing[new] = (played, asyncio.create_task(keeper.run()))
        if self._playing and self._speaker is not None and self._mixing is None:
            self._mixing = asyncio.create_task(self._mix(self._speaker))

    def status(self) -> dict[str, Any]:
        """The ``call`` part of the station's status (docs/protocol.md section 4)."""
        played = [one for one, _ in self._playing.values()]
        states = {one.state for one in played}
        state: State = "connected" if "connected" in states else "connecting" if played else "idle"
        heard = {listed: _heard(one) for listed, (one, _) in self._playing.items()}
        loudest = max((one for one in heard.values() if one is not None), default=None, key=lambda one: one[0])
        return {
            "state": state,
            "frames_decoded": self._frames_before + sum(one.frames for one in played),
            "audio_dbfs": loudest[0] if loudest else None,
            "dominant_hz": loudest[1] if loudest else None,
            "people": [
                {
                    "publication": listed.publication, "participant": listed.participant, "by": listed.by,
                    "source": listed.source, "state": one.state, "frames_decoded": one.frames,
                    "audio_dbfs": level[0] if (level := heard[listed]) else None,
                    "dominant_hz": level[1] if level else None,
                }
                for listed, (one, _) in self._playing.items()
            ],
        }

    async def close(self) -> None:
        """Stop playing."""
        tasks = [task for _, task in self._playing.values()]
        if self._mixing is not None:
            tasks.append(self._mixing)
        self._playing.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._speaker is not None:
            await asyncio.to_thread(self._speaker.close)

    def _hear(self, listed: Listed, samples: NDArray[np.int16]) -> None:
        if self._speaker is not None and listed in self._playing:
            self._mixer.push(listed, samples)

    async def _mix(self, speaker: Speaker) -> None:
        """Every 20 ms what everybody said, to the speaker."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + MIX_S, loop.time() - BEHIND_S)
            await asyncio.sleep(due - loop.time())
            mixed = self._mixer.pull()
            if mixed is not None:
                speaker.push(_frame(mixed))


def _frame(samples: NDArray[np.int16]) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="stereo", samples=len(samples))
    frame.planes[0].update(np.ascontiguousarray(samples).tobytes())
    frame.sample_rate = RATE
    return frame


def _heard(played: Played) -> Heard | None:
    """Level and strongest frequency of what comes; None while nothing does."""
    if played.state != "connected":
        return None
    level = played.hearing.level_dbfs()
    return None if level is None else (level, played.hearing.dominant_hz())
