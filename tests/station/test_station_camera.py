"""The camera's picture tells the truth about time, and it is published whatever the server does."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket
from telemed_station.camera import stamps
from telemed_station.camera.exam_picture import ExamPicture
from telemed_station.camera.mixing import FRAME, KEPT, Mixer
from telemed_station.camera.picture import LAMP_CENTRE, LAMP_US, WIDTH, Picture
from telemed_station.camera.played import Listed
from telemed_station.camera.player import Player
from telemed_station.camera.publisher import Camera
from telemed_station.camera.sources import FRAMES_A_SECOND, Sources, Tone, stamp_of_pts, video_pts
from telemed_station.clock import StationClock

Until = Callable[..., Awaitable[None]]
KEY = "station-key"
BEAT_US = 600_000


@dataclass
class MediaServer:
    """WHIP that decodes what it gets, and WHEP that plays a tone of 880 Hz: aiortc at the other end of real sockets."""

    pictures: list[tuple[int, bool]] = field(
        default_factory=list
    )  # RTP timestamp since the first packet, lamp seen lit
    sounds: list[np.ndarray] = field(default_factory=list)
    reports: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {"audio": [], "video": []})
    first_rtp: dict[str, int] = field(default_factory=dict)
    peers: list[RTCPeerConnection] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    offers: list[str] = field(default_factory=list)
    refusals: list[web.Response] = field(default_factory=list)
    url: str = ""

    async def post(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert request.headers["Content-Type"] == "application/sdp"
        self.posted.append(request.path)
        offer = await request.text()
        self.offers.append(offer)
        if self.refusals:
            return self.refusals.pop(0)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers.append(peer)
        if request.path.startswith("/whip/"):
            peer.on("track", lambda track: self._receive(peer, track))
        else:
            peer.addTrack(Tone880(StationClock()))
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        with stamps.addresses_for("127.0.0.1"):
            await peer.setLocalDescription(await peer.createAnswer())
        return web.Response(
            status=201, text=peer.localDescription.sdp, content_type="application/sdp",
            headers={"Location": f"/resource/{len(self.peers)}"},
        )  # fmt: skip

    async def delete(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        self.deleted.append(request.path)
        return web.Response()

    def _receive(self, peer: RTCPeerConnection, track: MediaStreamTrack) -> None:
        receiver = next(one for one in peer.getReceivers() if one.track is track)
        handle = receiver._handle_rtcp_packet

        async def note(packet: Any) -> None:
            if isinstance(packet, RtcpSrPacket):
                self.reports[track.kind].append((packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp))
            await handle(packet)

        first = receiver._handle_rtp_packet

        async def note_first(packet: Any, arrival_time_ms: int) -> None:
            self.first_rtp.setdefault(track.kind, packet.timestamp)
            await first(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtcp_packet = note
        receiver._handle_rtp_packet = note_first
        task = asyncio.ensure_future(self._decode(track))
        peer.on("connectionstatechange", lambda: task.cancel() if peer.connectionState == "closed" else None)

    async def _decode(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, av.VideoFrame):
                    # The picture is smaller when the receiver says that the line is: the lamp is where it was, in it.
                    x, y, near = (round(at * frame.width / WIDTH) for at in (*LAMP_CENTRE, 8))
                    luma = frame.to_ndarray()[y - near : y + near, x - near : x + near]
                    self.pictures.append((frame.pts, bool(luma.size and luma.mean() > 130)))
                else:
                    self.sounds.append(frame.to_ndarray().reshape(-1, 2)[:, 0])


class Tone880(Tone):
    """The station's tone, twice as high."""

    def __init__(self, clock: StationClock) -> None:
        super().__init__(clock)
        self._table = np.tile(self._table[: 2 * self._period : 2], (5, 1))


@asynccontextmanager
async def media_server() -> AsyncIterator[MediaServer]:
    server = MediaServer()
    app = web.Application()
    app.add_routes([web.post("/whip/{room}", server.post), web.post("/whep/{publication}", server.post),
                    web.delete("/resource/{name}", server.delete)])  # fmt: skip
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        for peer in server.peers:
            await peer.close()
        await runner.cleanup()


@asynccontextmanager
async def camera(server: MediaServer, sources: Sources) -> AsyncIterator[Camera]:
    async with aiohttp.ClientSession() as http:
        one = Camera(http, server.url, KEY, sources)
        task = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def test_the_private_names_are_where_they_were() -> None:
    stamps.check_contract()


def test_a_moved_private_name_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RTCRtpSender, "_send_rtcp", lambda self, packets, extra: None)
    with pytest.raises(stamps.AdapterMismatch, match="_send_rtcp"):
        stamps.check_contract()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("192.0.2.7", False), ("example.org", False)],
)
def test_loopback_is_known(host: str, loopback: bool) -> None:
    assert stamps.is_loopback(host) is loopback


def test_stamps_survive_the_video_clock() -> None:
    for stamp in range(1_763_800_000_000_000, 1_763_800_000_000_300):
        assert abs(stamp_of_pts(video_pts(stamp)) - stamp) <= 6
    assert stamps.ntp_of(1_500_000) == (2_208_988_801 << 32) + (1 << 31)


def test_the_picture_is_a_function_of_time_and_lamp() -> None:
    one, other = Picture(), Picture()
    lit = one.draw(1_763_800_000_123_456, lit=True).to_ndarray()
    assert np.array_equal(lit, other.draw(1_763_800_000_123_456, lit=True).to_ndarray())
    dark = one.draw(1_763_800_000_123_456, lit=False).to_ndarray()
    x, y = LAMP_CENTRE
    assert lit[y, x] == 235 and dark[y, x] < 40
    later = one.draw(1_763_800_002_123_456, lit=False).to_ndarray()
    assert not np.array_equal(dark[20:60, 20:330], later[20:60, 20:330])  # the clock
    assert not np.array_equal(dark[190:250, 200:400], later[190:250, 200:400])  # the breath


def test_the_exam_picture_is_another_and_moves_slowly() -> None:
    one, other = ExamPicture(), ExamPicture()
    first = one.draw(1_763_800_000_000_000, lit=False).to_ndarray()
    assert np.array_equal(first, other.draw(1_763_800_000_000_000, lit=True).to_ndarray())
    assert first.shape == (540, 640)  # 360 lines of luma, half as many of colour
    later = one.draw(1_763_800_005_000_000, lit=False).to_ndarray()
    assert not np.array_equal(first[100:280], later[100:280])
    words, bar = np.s_[18:44, 24:600], np.s_[285:304, 40:240]
    for place in (words, bar):  # the same marks on whatever skin is under them
        assert np.array_equal(first[place] == 226, later[place] == 226)
        assert (first[place] == 226).mean() > 0.1
    face = Picture().draw(1_763_800_000_000_000, lit=False).to_ndarray()
    assert np.abs(first[:360].astype(int) - face[:360]).mean() > 30


def test_every_voice_is_heard_in_the_mix() -> None:
    mixer = Mixer()
    turn = 2 * np.pi * np.arange(FRAME * 6) / 48_000

    def voice(hz: float, level: float, channels: int) -> np.ndarray:
        return np.repeat(np.rint(level * np.sin(hz * turn)).astype(np.int16)[:, None], channels, axis=1)

    assert mixer.pull() is None
    one, other = voice(440, 6000, 1), voice(880, 9000, 2)
    mixer.push("one", one[:FRAME])
    assert mixer.pull() is None  # not yet enough to be safe from jitter
    mixer.push("one", one[FRAME:])
    mixer.push("other", other)
    heard = [mixer.pull() for _ in range(6)]
    assert np.array_equal(np.concatenate([part for part in heard if part is not None]), one.repeat(2, axis=1) + other)
    assert mixer.pull() is None
    for name in ("one", "other"):
        mixer.push(name, np.full((FRAME * 2, 2), 30_000, np.int16))
    loud = mixer.pull()
    assert loud is not None and loud.max() == 32_767  # clipped, not wrapped
    mixer.forget("one")
    alone = mixer.pull()
    assert alone is not None and alone.max() == 30_000
    mixer.push("late", np.zeros((48_000, 2), np.int16))
    assert sum(mixer.pull() is not None for _ in range(100)) == KEPT // FRAME  # what is too old is left out


async def test_the_tone_never_clicks() -> None:
    tone = Tone(StationClock())
    heard = np.concatenate([(await tone.recv()).to_ndarray()[0, ::2] for _ in range(8)]).astype(float)
    expected = np.sin(2 * np.pi * 440 / 48_000 * np.arange(heard.size)) * 10 ** (-18 / 20) * np.sqrt(2) * 32_768
    assert np.abs(heard - expected).max() <= 1


async def test_lamp_and_reports_tell_capture_time(until: Until) -> None:
    """What arrives, by its RTP timestamp and the sender reports alone, is where the beats were."""
    clock = StationClock()
    start = clock.stamp_us()
    drawn: dict[int, bool] = {}

    def since_beat(stamp: int) -> int | None:
        drawn[stamp] = (stamp - start) % BEAT_US < LAMP_US
        return (stamp - start) % BEAT_US

    async with media_server() as server, camera(server, Sources("generated", "tone", clock, since_beat)) as one:
        one.publish("run 1", "room", listed=False)
        await until(lambda: len(server.reports["video"]) >= 3 and len(server.reports["audio"]) >= 3, "reports")
        await until(lambda: len(server.pictures) >= 60 and len(server.sounds) >= 100, "picture and sound")
        one.publish("run 1", None, listed=False)
        await until(lambda: server.deleted == ["/resource/1"], "the resource is deleted")
    assert server.posted == ["/whip/room"]
    assert "127.0.0.1" in server.offers[0] and "typ srflx" not in server.offers[0]
    drawn_us = np.array(sorted(drawn))
    for ntp, _ in server.reports["video"]:
        stamp = ((ntp >> 32) - 2_208_988_800) * 1_000_000 + ((ntp & 0xFFFFFFFF) * 1_000_000 >> 32)
        assert np.abs(drawn_us - stamp).min() < 1000  # every report names a moment of capture
    ntp, rtp = server.reports["video"][-1]
    base = ((ntp >> 32) - 2_208_988_800) * 1_000_000 + ((ntp & 0xFFFFFFFF) * 1_000_000 >> 32)
    wrong = 0
    for pts, lit in server.pictures:
        captured = base + round(((pts + server.first_rtp["video"] - rtp + (1 << 31)) % (1 << 32) - (1 << 31)) / 0.09)
        nearest = int(drawn_us[np.argmin(np.abs(drawn_us - captured))])
        assert abs(nearest - captured) < 1000
        wrong += drawn[nearest] != lit
    assert wrong == 0
    assert {lit for _, lit in server.pictures} == {True, False}
    # Sound: the reports lie on one line of 48 kHz from the first sample.
    audio = [((ntp >> 32) * 1e6 + ((ntp & 0xFFFFFFFF) * 1e6 / 2**32), rtp) for ntp, rtp in server.reports["audio"]]
    for (ntp_a, rtp_a), (ntp_b, rtp_b) in pairwise(audio):
        assert abs((ntp_b - ntp_a) - (rtp_b - rtp_a) % (1 << 32) / 0.048) < 1000
    heard = np.concatenate(server.sounds[20:80]).astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
    assert np.argmax(spectrum) * 48_000 / heard.size == pytest.approx(440, abs=2)
    assert len(drawn) / ((drawn_us[-1] - drawn_us[0]) / 1e6) <= FRAMES_A_SECOND + 1


async def test_a_restarted_server_gets_the_picture_at_once(until: Until) -> None:
    sources = Sources("generated", "none", StationClock(), lambda stamp: None)
    async with media_server() as server, camera(server, sources) as one:
        server.refusals = [web.Response(status=503, headers={"Retry-After": "0"}), web.Response(status=404)]
        one.publish("run 1", "room", listed=False)
        await until(lambda: one.state == "connected", "published in spite of refusals")
        assert len(server.posted) == 3
        one.publish("run 1", "room", listed=True)
        assert len(server.posted) == 3
        one.publish("run 2", "room", listed=False)
        await until(lambda: len(server.posted) == 4 and one.state == "connected", "published to the new run")
        assert not server.deleted  # the new run never had the old resource
        # Only a side that has finished the handshake itself says goodbye when it closes.
        await until(lambda: server.peers[-1].connectionState == "connected", "connected at the server too")
        await server.peers[-1].close()
        await until(lambda: len(server.posted) == 5 and one.state == "connected", "published after the connection died")
        one.publish("run 2", "room", listed=True)
        one.publish("run 2", "room", listed=False)  # the server forgot it
        await until(lambda: len(server.posted) == 6 and one.state == "connected", "published anew")


async def test_the_player_hears_880_hz(until: Until) -> None:
    name = str(uuid.uuid4())
    async with media_server() as server, aiohttp.ClientSession() as http:
        player = Player(http, server.url, KEY)
        nothing = {"state": "idle", "frames_decoded": 0, "audio_dbfs": None, "dominant_hz": None, "people": []}
        assert player.status() == nothing
        server.refusals = [web.Response(status=409, headers={"Retry-After": "0"}), web.Response(status=404)]
        player.play([Listed("run 1", name, ("audio",), "account", "clinician")])
        await until(lambda: player.status()["dominant_hz"] is not None, "the tone is heard")
        await until(lambda: abs(player.status()["dominant_hz"] - 880) <= 1, "880 Hz")
        assert -20 <= player.status()["audio_dbfs"] <= -16
        assert player.status()["state"] == "connected"
        assert server.posted == [f"/whep/{name}"] * 3
        # Silence without a goodbye: the watchdog asks again.
        for sender in server.peers[-1].getSenders():
            sender.track.stop()
        await until(lambda: len(server.posted) == 4, "asked again")
        await until(lambda: player.status()["dominant_hz"] is not None, "heard again")
        player.play([])
        await until(lambda: player.status()["state"] == "idle" and len(server.deleted) == 2, "stopped")
        await player.close()


async def test_the_player_counts_the_frames_of_a_file(until: Until, tmp_path: Any) -> None:
    """A file as the clinician's camera: the station's own file source at the other end."""
    with av.open(str(tmp_path / "clip.mp4"), "w") as clip:
        stream = clip.add_stream("mpeg4", rate=20)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for place in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), place * 6 % 256, np.uint8), format="rgb24")
            frame.pts = place
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode())
    sources = Sources(f"file:{tmp_path / 'clip.mp4'}", "none", StationClock(), lambda stamp: None)
    async with media_server() as server, camera(server, sources) as one:
        one.publish("run 1", "room", listed=False)
        await until(lambda: len(server.pictures) >= 50, "the file is looped")
    async with media_server() as server, aiohttp.ClientSession() as http:

        async def post(request: web.Request) -> web.Response:
            track = Sources("generated", "none", StationClock(), lambda stamp: None).open()[0]
            peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            server.peers.append(peer)
            peer.addTrack(track)
            await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
            with stamps.addresses_for("127.0.0.1"):
                await peer.setLocalDescription(await peer.createAnswer())
            return web.Response(status=201, text=peer.localDescription.sdp, content_type="application/sdp")

        app = web.Application()
        app.add_routes([web.post("/whep/{publication}", post)])
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        player = Player(http, f"http://127.0.0.1:{runner.addresses[0][1]}", KEY)
        player.play([Listed("run 1", "publication", ("video",))])
        await until(lambda: player.status()["frames_decoded"] >= 20, "frames are decoded")
        await player.close()
        await runner.cleanup()
