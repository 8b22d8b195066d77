"""A station whose network lets nothing out to the server's UDP port: its picture goes through a real coturn, by TLS."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import aiohttp
import aioice.ice
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from telemed_station.camera import resource
from telemed_station.camera.publisher import Camera
from telemed_station.camera.sources import Sources
from telemed_station.clock import StationClock

from telemed.media.turn import IceServers
from tests.media.conftest import until
from tests.media.coturn import Coturn, coturn

KEY = "station-key"
addresses: ContextVar[tuple[str, ...]] = ContextVar("addresses", default=())  # nobody has any but the server


class Whip:
    """A server with aiortc behind it: what it is offered, and the frames that came."""

    def __init__(self, turn: Coturn) -> None:
        self.turn = turn
        self.offers: list[str] = []
        self.peers: list[RTCPeerConnection] = []
        self.frames = 0

    async def post(self, request: web.Request) -> web.Response:
        addresses.set((self.turn.relay,))
        offer = await request.text()
        self.offers.append(offer)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers.append(peer)
        peer.on("track", lambda track: asyncio.ensure_future(self.count(track)))
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        headers = {"Location": f"/whip/resources/{len(self.peers)}"}
        return web.Response(status=201, text=peer.localDescription.sdp, content_type="application/sdp", headers=headers)

    async def count(self, track: Any) -> None:
        while True:
            await track.recv()
            self.frames += 1

    async def servers(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        dead = f"turns:127.0.0.1:{unused_port()}"
        ice = IceServers(self.turn.settings(*self.turn.urls, dead))
        one = ice.credential(time.time(), "station:1")
        urls = [dead, *self.turn.urls]
        return web.json_response({
            "ice_servers": [{"urls": urls, "username": one.username, "credential": one.password}], "seconds": 600,
        })


async def test_the_picture_goes_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: list(addresses.get()))
    monkeypatch.setattr(resource, "CONNECT_S", 3.0)
    async with coturn(tmp_path) as turn:
        monkeypatch.setenv("SSL_CERT_FILE", str(turn.authority))
        whip = Whip(turn)
        app = web.Application()
        app.router.add_post("/whip/{room}", whip.post)
        app.router.add_get("/api/v1/ice-servers", whip.servers)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, turn.relay, 0).start()
        url = f"http://{turn.relay}:{runner.addresses[0][1]}"
        sources = Sources("generated", "tone", StationClock(), lambda _: None)
        async with aiohttp.ClientSession() as http:
            camera = Camera(http, url, KEY, sources)
            running = asyncio.create_task(camera.run())
            try:
                camera.publish("one run", "a-room", listed=False)
                await until(lambda: whip.frames > 10, "the picture arrives", 40)
                assert camera.state == "connected"
                # Straight on first; then by what accepts a connection, past the dead one and without a further attempt.
                assert ["typ relay" in offer for offer in whip.offers] == [False, True]
                assert "typ host" not in "".join(whip.offers)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                for peer in whip.peers:
                    await peer.close()
                await runner.cleanup()
