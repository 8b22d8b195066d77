"""The far end of the poor line: a server, a clinician who watches every wave, and what sees and hears the station.

    python -m tests.net.poor_far

reads one line of JSON (host, home, key_file, server, owner, log) and prints one (url, key). What comes is written to
``log``, a JSON list a line, its first two the steady time in seconds and the kind:

    [s, "wave", wall µs at arrival, stream, first sample, samples]   [s, "audio", sequence number]
    [s, "video", bytes of a packet]   [s, "frame", width]   [s, "tone", loudest Hz]
    [s, "published", [id, paused] or null]

At the end of its input it prints, when everything has come, what the database holds: [stream, kind, seq, stamp of the
first sample in µs, first sample, samples, rate] of every chunk, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

import aiohttp
import av
import numpy as np
import structlog
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import is_rtcp
from telemed_devices.native import unpack_frame

from telemed.app import build_app
from telemed.http import keys
from telemed.settings import Settings
from tests.server.conftest import Server, make_seed

HEARD_FRAMES = 10  # of sound, 20 ms each, that are looked at together
SETTLED_S = 1.0  # the station has ended; what it sent last is committed


class Far:
    """The clinician's side. ``log`` takes what comes."""

    def __init__(self, server: Server, log: TextIO) -> None:
        self._server = server
        self._log = log
        self._peer: RTCPeerConnection | None = None
        self._played: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, kind: str, *what: Any) -> None:
        self._log.write(json.dumps([time.monotonic(), kind, *what]) + "\n")

    async def begin(self) -> str:
        """A live consultation with a patient at the station; its id."""
        seed = self._server.seed
        self.operator, self.clinician = await self._server.client("operator"), await self._server.client("clinician")
        where = {"station_id": seed.station_id, "patient_id": str(seed.patients[0])}
        status, made = await self.operator.post("/api/v1/consultations", where)
        assert status == 201, made
        status, attached = await self.operator.post("/api/v1/attachments", {**where, "consultation_id": made["id"]})
        assert status == 201, attached
        status, answer = await self.clinician.post(f"/api/v1/consultations/{made['id']}/admit")
        assert status == 200, answer
        return str(made["id"])

    async def watch(self, consultation: str) -> None:
        """Be a page: watch every wave, play the station; for ever."""
        path = f"/ws/consultations/{consultation}"
        async with self.clinician.http.ws_connect(path, headers={"Origin": self._server.url}) as socket:
            await socket.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid4())})
            watched: set[int] = set()
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    one, wall_us = unpack_frame(message.data), time.time_ns() // 1000
                    self.note("wave", wall_us, one.stream, one.first_sample, one.samples.shape[1])
                    continue
                said = json.loads(message.data)
                if said["type"] == "clock_ask":
                    stamp_us = time.time_ns() // 1000
                    await socket.send_json({"type": "clock", "echo": said["server_us"], "stamp_us": stamp_us})
                for row in said.get("streams", ()):
                    if "raw" in row["views"] and row["stream"] not in watched:
                        watched.add(row["stream"])
                        await socket.send_json({"type": "watch", "stream": row["stream"], "view": "raw"})
                if "publications" in said:
                    self._publications(said["publications"])

    def _publications(self, publications: list[dict[str, Any]]) -> None:
        ours = [one for one in publications if one["by"] == "station"]
        self.note("published", [ours[0]["id"], ours[0].get("paused", False)] if ours else None)
        played = ours[0]["id"] if ours else None
        if played != self._played:
            self._played = played
            if played is not None:
                task = asyncio.create_task(self._play(played))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _play(self, publication: str) -> None:
        former, self._peer = self._peer, RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer = self._peer
        if former is not None:
            await former.close()
        peer.on("track", lambda track: self._tasks.add(asyncio.ensure_future(self._take(track))))
        for kind in ("audio", "video"):
            peer.addTransceiver(kind, direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        headers = {"Origin": self._server.url, "Content-Type": "application/sdp"}
        offer = peer.localDescription.sdp
        async with self.clinician.http.post(f"/whep/{publication}", data=offer, headers=headers) as reply:
            answer = await reply.text()
            assert reply.status == 201, answer
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        dtls: Any = peer.getTransceivers()[0].receiver.transport
        handle = dtls._handle_rtp_data

        async def handled(data: bytes, arrival_time_ms: int) -> None:
            if not is_rtcp(data) and data[1] & 0x7F == 96:  # aiortc's Opus
                self.note("audio", int.from_bytes(data[2:4], "big"))
            elif not is_rtcp(data):
                self.note("video", len(data))
            await handle(data, arrival_time_ms=arrival_time_ms)

        dtls._handle_rtp_data = handled

    async def _take(self, track: MediaStreamTrack) -> None:
        heard: list[np.ndarray[Any, Any]] = []
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, av.VideoFrame):
                    self.note("frame", frame.width)
                if not isinstance(frame, av.AudioFrame):
                    continue
                heard.append(frame.to_ndarray().reshape(frame.samples, -1)[:, 0])
                if len(heard) == HEARD_FRAMES:
                    sound = np.concatenate(heard).astype(float)
                    heard.clear()
                    tones = np.abs(np.fft.rfft(sound * np.hanning(sound.size)))
                    self.note("tone", round(float(np.argmax(tones)) * frame.sample_rate / sound.size))

    async def close(self) -> None:
        if self._peer is not None:
            await self._peer.close()
        for task in tuple(self._tasks):
            task.cancel()


async def main() -> None:
    """Serve until the input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    wish = json.loads(sys.stdin.readline())
    settings = Settings(
        home=Path(wish["home"]), host=wish["host"], key_file=Path(wish["key_file"]), database_url=wish["server"],
        database_owner_url=wish["owner"],
    )
    app = build_app(settings)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port).start()
    await app[keys.RELAY].start()
    server = Server(f"http://{settings.host}:{settings.port}", app, await make_seed(app), [])
    with Path(wish["log"]).open("w") as log:
        far = Far(server, log)
        consultation = await far.begin()
        watching = asyncio.create_task(far.watch(consultation))
        print(json.dumps({"url": server.url, "key": server.seed.station_key}), flush=True)
        end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await asyncio.wait({watching, asyncio.ensure_future(end)}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        await asyncio.sleep(SETTLED_S)
        watching.cancel()
        async with app[keys.DATABASE].connection() as connection:
            rows = await connection.fetch(
                "select s.id, s.kind, c.seq, c.t0_us, c.first_sample, c.n, s.rate_num::float8 / s.rate_den"
                " from chunk c join stream s on s.id = c.stream_id order by s.id, c.seq"
            )
        print(json.dumps([list(row) for row in rows]), flush=True)
        await far.close()
    for client in server.clients:
        await client.http.close()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
