"""aiortc's own relay as a server of the media benchmark: ``MediaRelay`` decodes once and encodes once a viewer.

Lines (see ``_media_lines``): ``start`` → {"pid"}; ``publish`` and ``play`` {"sdp"} → {"sdp"}.
"""

from __future__ import annotations

import asyncio
import os

from _media_lines import Answer, serve
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay
from aiortc.rtcconfiguration import RTCBundlePolicy


class Transcoder:
    """One publisher and whoever plays it."""

    def __init__(self) -> None:
        self._relay = MediaRelay()
        self._tracks: list[MediaStreamTrack] = []
        self._peers: list[RTCPeerConnection] = []

    async def handle(self, question: Answer) -> Answer:
        """Do what a line says."""
        if question["op"] == "start":
            return {"pid": os.getpid()}
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._peers.append(peer)
        if question["op"] == "publish":
            peer.on("track", self._tracks.append)
        else:
            for track in self._tracks:
                peer.addTrack(self._relay.subscribe(track))
        await peer.setRemoteDescription(RTCSessionDescription(question["sdp"], "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return {"sdp": peer.localDescription.sdp}


if __name__ == "__main__":
    asyncio.run(serve(Transcoder().handle))
