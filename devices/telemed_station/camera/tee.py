"""One camera, two readers: every frame goes to whoever leads, and the newest one to whoever follows."""

from __future__ import annotations

import asyncio
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame


class Lead(MediaStreamTrack):
    """A track's frames, as they are. ``follower`` gets each of them too, as far as it keeps up."""

    kind = "video"

    def __init__(self, source: Any) -> None:
        super().__init__()
        self._source = source
        self.follower = Follow(self)

    async def recv(self) -> VideoFrame:
        """The next frame of the source."""
        try:
            frame: VideoFrame = await self._source.recv()
        except MediaStreamError:
            self.stop()
            raise
        self.follower.put(frame)
        return frame

    def stop(self) -> None:
        """Stop the source and the follower too."""
        super().stop()
        self._source.stop()
        self.follower.stop()

    def capture_us(self, timestamp: int) -> int:
        """The stamp of a frame's pts."""
        stamp: int = self._source.capture_us(timestamp)
        return stamp


class Follow(MediaStreamTrack):
    """The newest frame that the lead has handed on."""

    kind = "video"

    def __init__(self, lead: Lead) -> None:
        super().__init__()
        self._lead = lead
        self._frame: VideoFrame | None = None
        self._came = asyncio.Event()

    def put(self, frame: VideoFrame | None) -> None:
        """A new frame takes the place of one that nobody fetched; None for the end."""
        self._frame = frame
        self._came.set()

    async def recv(self) -> VideoFrame:
        """The next frame."""
        await self._came.wait()
        frame, self._frame = self._frame, None
        if frame is None or self.readyState != "live":
            raise MediaStreamError
        self._came.clear()
        return frame

    def stop(self) -> None:
        """Whoever waits is told."""
        if self.readyState == "live":
            super().stop()
            self.put(None)

    def capture_us(self, timestamp: int) -> int:
        """The stamp of a frame's pts."""
        return self._lead.capture_us(timestamp)
