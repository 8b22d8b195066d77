"""Sound on its way out of the station: to a device or a file through FFmpeg, or nowhere.

A device that blocks costs sound, never the program: frames wait in a bounded queue that drops the newest when full.
"""

from __future__ import annotations

import queue
import threading

import av
import structlog

WAITING = 25  # frames: half a second
RATE = 48_000

log = structlog.get_logger("telemed.station.speaker")


class Speaker:
    """``name`` is ``none``, ``alsa:DEVICE`` or ``file:PATH.wav``."""

    def __init__(self, name: str) -> None:
        self._frames: queue.Queue[av.AudioFrame | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        if name != "none":
            self._thread = threading.Thread(target=self._play, args=(name,), name="speaker", daemon=True)
            self._thread.start()

    def push(self, frame: av.AudioFrame) -> None:
        """Play the frame after those before it."""
        if self._thread is not None:
            try:
                self._frames.put_nowait(frame)
            except queue.Full:
                return

    def close(self) -> None:
        """Stop after what waits; at most a second."""
        if self._thread is not None:
            try:
                self._frames.put(None, timeout=0.5)
                self._thread.join(1.0)
            except queue.Full:
                return

    def _play(self, name: str) -> None:
        kind, _, place = name.partition(":")
        try:
            with av.open(place, "w", format="alsa" if kind == "alsa" else "wav") as container:
                stream = container.add_stream("pcm_s16le", rate=RATE)
                stream.layout = "stereo"
                sent = 0
                while (frame := self._frames.get()) is not None:
                    frame.pts, sent = sent, sent + frame.samples
                    container.mux(stream.encode(frame))
        except (OSError, ValueError, av.FFmpegError) as error:
            log.error("speaker_unavailable", name=name, reason=type(error).__name__)
