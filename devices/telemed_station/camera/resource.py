"""One WHIP (RFC 9725) or WHEP session from the client's side: offer, answer, connected, over, deleted.

Promise: when ``ended`` is set the session is of no more use; ``close`` frees everything within ``CLOSE_S`` and
tells the server, whatever state the session is in.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy

from telemed_station.camera.body import whole
from telemed_station.camera.stamps import Small, addresses_for
from telemed_station.camera.ways import Way, Ways

POST_S = 8.0  # the server may have to start its relay first
CONNECT_S = 8.0  # ICE and DTLS: a handful of round trips
CLOSE_S = 3.0  # aiortc's close can wait for a transport that never tells
DELETE_S = 2.0
# The server says twice a second how it receives. For 40 s it keeps a connection that brings nothing: a line that is
# back by then goes on where it was, without a handshake. Of a connection that it has lost the uplink tells earlier.
SILENT_S = 40.0
LOOK_S = 0.5
ANSWER_BYTES_MAX = 65_536
LAYERS_TAKEN = "a=x-telemed-layers:2"  # docs/protocol.md section 12: the server tells the two sizes apart

State = Literal["idle", "connecting", "connected"]


class OfferRefused(Exception):
    """The server refused the offer. ``retry_after_s`` is its own wish, when it has one."""

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.retry_after_s = retry_after_s


class MediaSession:
    """One peer connection and its resource at the server. Add tracks to ``peer`` before ``open``."""

    def __init__(self, http: aiohttp.ClientSession, server: str, key: str, ways: Ways, way: Way) -> None:
        """``way``: the one of ``ways`` to go, which learns whether it leads anywhere."""
        self._ways, self._way = ways, way
        self._http = http
        self._server = server.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._location: str | None = None
        self.peer = RTCPeerConnection(
            RTCConfiguration(iceServers=way.servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )  # fmt: skip
        self.small: Small | None = None  # of the picture, when it is sent in two sizes
        self.state: State = "idle"
        self.ended = asyncio.Event()
        self._connected = asyncio.Event()
        self.peer.on("connectionstatechange", self._changed)

    async def open(self, path: str) -> None:
        """POST the offer to ``path`` and wait until media flows. Raises ``OfferRefused`` or ``TimeoutError``."""
        self.state = "connecting"
        with addresses_for(urlsplit(self._server).hostname or ""):
            await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = self.peer.localDescription.sdp
        answer = await self._post(self._server + path, offer if self.small is None else self.small.offered(offer))
        try:
            await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except Exception as error:  # aiortc raises many kinds on an answer that is none
            raise ConnectionError(f"answer: {type(error).__name__}") from error
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._connected.wait()
            if self.ended.is_set():
                raise TimeoutError("the connection failed")
        except TimeoutError:
            self._ways.failed(self._way)
            raise
        if self.small is not None and LAYERS_TAKEN in answer.splitlines():
            await self.small.send()

    async def unheard(self) -> None:
        """Return when the connection has ended, or the other side does not say any more how it receives.

        ICE itself would notice only after half a minute. Who never says it is not waited for.
        """
        loop = asyncio.get_running_loop()
        last, since = None, loop.time()
        while not self.ended.is_set():
            said = None
            for sender in self.peer.getSenders():
                for one in (await sender.getStats()).values():
                    if one.type == "remote-inbound-rtp" and (said is None or one.timestamp > said):
                        said = one.timestamp
            if said != last:
                last, since = said, loop.time()
            elif said is not None and loop.time() - since > SILENT_S:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self.ended.wait()

    async def close(self, *, tell: bool = True) -> None:
        """End the session; with ``tell`` also the server's resource."""
        self.ended.set()
        self.state = "idle"
        if tell and self._location is not None:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(DELETE_S), self._http.delete(self._location, headers=self._headers):
                    pass
        self._location = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                if self.small is not None:
                    await self.small.stop()
                await self.peer.close()

    async def _post(self, url: str, offer: str) -> str:
        headers = self._headers | {"Content-Type": "application/sdp"}
        async with (
            asyncio.timeout(POST_S),
            self._http.post(url, data=offer.encode(), headers=headers, allow_redirects=False) as reply,
        ):
            if reply.status != 201:
                raise OfferRefused(reply.status, _seconds(reply.headers.get("Retry-After")))
            location = urljoin(url, reply.headers.get("Location", ""))
            if location != url and urlsplit(location)[:2] == urlsplit(url)[:2]:  # our key is for this server alone
                self._location = location
            body = await whole(reply, ANSWER_BYTES_MAX)
        return body.decode()

    def _changed(self) -> None:
        if self.peer.connectionState == "connected":
            self.state = "connected"
            self._connected.set()
        elif self.peer.connectionState in ("failed", "closed"):
            self.state = "idle"
            self.ended.set()
            self._connected.set()


def _seconds(header: str | None) -> float | None:
    """A Retry-After of whole seconds; the form with a date is ignored."""
    return float(min(int(header), 30)) if header is not None and header.strip().isdigit() else None
