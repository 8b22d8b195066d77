"""Where picture and sound come from: generated, a file, or a device; every frame stamped with its capture time.

A video frame's ``pts`` is its stamp in 1/90000 s and an audio frame's is samples since the first, so that the sender's
reports (``stamps.py``) can tell when each was captured.
"""

from __future__ import annotations

import asyncio
import fractions
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.contrib.media import MediaPlayer
from aiortc.mediastreams import MediaStreamError

from telemed_station.camera.exam_picture import ExamPicture
from telemed_station.camera.picture import LAMP_US, Picture
from telemed_station.clock import Clock
from telemed_station.errors import CameraUnavailable

FRAMES_A_SECOND = 20
VIDEO_CLOCK = 90_000  # RFC 3551 section 5
VIDEO_BASE = fractions.Fraction(1, VIDEO_CLOCK)
AUDIO_RATE = 48_000
AUDIO_BASE = fractions.Fraction(1, AUDIO_RATE)
AUDIO_FRAME = 960  # 20 ms
TONE_HZ = 440
TONE_DBFS = -18.0  # root mean square, full scale 32768
BEHIND_S = 2.0  # a tone this late starts afresh instead of being hurried

SinceBeat = Callable[[int], int | None]
Shown = Literal["face", "exam"]


class Drawing(Protocol):
    """What draws a generated picture."""

    def draw(self, stamp_us: int, *, lit: bool) -> av.VideoFrame:
        """The picture at ``stamp_us``, its lamp lit or not."""


class GeneratedPicture(MediaStreamTrack):
    """The bed of ``picture.py`` or the skin of ``exam_picture.py``, ``FRAMES_A_SECOND`` times a second."""

    kind = "video"

    def __init__(self, clock: Clock, since_beat: SinceBeat, shown: Shown = "face") -> None:
        super().__init__()
        self._clock = clock
        self._since_beat = since_beat
        self._picture = _drawing(shown)
        self._due_s: float | None = None

    async def recv(self) -> av.VideoFrame:
        """The next frame, when it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        due = now if self._due_s is None else max(self._due_s, now)
        self._due_s = due + 1 / FRAMES_A_SECOND
        await asyncio.sleep(due - now)
        stamp = self._clock.stamp_us()
        since = self._since_beat(stamp)
        frame = self._picture.draw(stamp, lit=since is not None and since < LAMP_US)
        frame.pts, frame.time_base = video_pts(stamp), VIDEO_BASE
        return frame

    def capture_us(self, timestamp: int) -> int:
        """The stamp of the frame with this pts."""
        return stamp_of_pts(timestamp)


class Tone(MediaStreamTrack):
    """A steady 440 Hz, the same on both sides, without a click anywhere."""

    kind = "audio"

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        period = AUDIO_RATE // np.gcd(AUDIO_RATE, TONE_HZ)  # samples after which the tone repeats exactly
        turn = 2 * np.pi * TONE_HZ / AUDIO_RATE * np.arange(period + AUDIO_FRAME)
        level = 10 ** (TONE_DBFS / 20) * np.sqrt(2) * 32768
        self._table = np.repeat(np.rint(level * np.sin(turn)).astype(np.int16)[:, np.newaxis], 2, axis=1)
        self._period = int(period)
        self._sent = 0
        self._start_s = 0.0
        self._first_us = 0

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms, when they have passed."""
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._sent == 0:
            self._start_s, self._first_us = loop.time(), self._clock.stamp_us()
        due = self._start_s + (self._sent + AUDIO_FRAME) / AUDIO_RATE
        # ``asyncio`` counts no time asleep, the stamps do: after a suspend the tone starts afresh as well.
        if loop.time() > due + BEHIND_S or torn(self.capture_us(self._sent), self._clock.stamp_us()):
            self.stop()
            raise MediaStreamError
        await asyncio.sleep(max(0.0, due - loop.time()))
        at = self._sent % self._period
        frame = av.AudioFrame(format="s16", layout="stereo", samples=AUDIO_FRAME)
        frame.planes[0].update(self._table[at : at + AUDIO_FRAME].tobytes())
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, self._sent, AUDIO_BASE
        self._sent += AUDIO_FRAME
        return frame

    def capture_us(self, timestamp: int) -> int:
        """The stamp of the sample with this number."""
        return self._first_us + timestamp * 1_000_000 // AUDIO_RATE


class Captured(MediaStreamTrack):
    """A file's or device's track, each frame stamped when it arrives."""

    def __init__(self, source: MediaStreamTrack, clock: Clock) -> None:
        super().__init__()
        self.kind = source.kind
        self._source = source
        self._clock = clock
        self._last_pts = -1
        self._samples = 0
        self._first_us = 0

    async def recv(self) -> av.VideoFrame | av.AudioFrame:
        """The next frame of the source."""
        frame = await self._source.recv()
        if not isinstance(frame, av.VideoFrame | av.AudioFrame):
            raise MediaStreamError
        stamp = self._clock.stamp_us()
        if isinstance(frame, av.VideoFrame):
            self._last_pts = max(self._last_pts + 1, video_pts(stamp))
            frame.pts, frame.time_base = self._last_pts, VIDEO_BASE
        else:
            if self._samples == 0:
                self._first_us = stamp - frame.samples * 1_000_000 // frame.sample_rate
            elif torn(self._first_us + self._samples * 1_000_000 // frame.sample_rate, stamp):
                self.stop()
                raise MediaStreamError
            frame.pts, frame.time_base = self._samples, fractions.Fraction(1, frame.sample_rate)
            self._samples += frame.samples
        return frame

    def stop(self) -> None:
        """Stop the source too."""
        super().stop()
        self._source.stop()

    def capture_us(self, timestamp: int) -> int:
        """The stamp of a frame's pts (video) or of a sample's number at 48 kHz (audio)."""
        if self.kind == "video":
            return stamp_of_pts(timestamp)
        return self._first_us + timestamp * 1_000_000 // AUDIO_RATE


Track = GeneratedPicture | Tone | Captured


@dataclass(frozen=True)
class Sources:
    """What camera and microphone are: ``generated`` (sound: ``tone``), ``none``, ``file:PATH`` or a device.

    ``shown`` says which picture is generated.
    """

    camera: str
    microphone: str
    clock: Clock
    since_beat: SinceBeat
    shown: Shown = "face"

    def open(self) -> list[Track]:
        """Fresh tracks for one publication. Raises ``CameraUnavailable``."""
        tracks: list[Track] = []
        if self.camera == "generated":
            tracks.append(GeneratedPicture(self.clock, self.since_beat, self.shown))
        elif self.camera != "none":
            tracks.append(Captured(_open(self.camera, "video"), self.clock))
        if self.microphone == "tone":
            tracks.append(Tone(self.clock))
        elif self.microphone != "none":
            tracks.append(Captured(_open(self.microphone, "audio"), self.clock))
        return tracks


def video_pts(stamp_us: int) -> int:
    """A stamp in 1/90000 s, to the nearest."""
    return (stamp_us * 9 + 50) // 100


def stamp_of_pts(pts: int) -> int:
    """The stamp of a video pts, within 6 µs."""
    return (pts * 100 + 4) // 9


def torn(expected_us: int, stamp_us: int) -> bool:
    """Whether sound whose samples are counted has fallen behind the stamps, as a suspend does."""
    return stamp_us - expected_us > BEHIND_S * 1_000_000


def _open(name: str, kind: str) -> MediaStreamTrack:
    """A track of a file or device through FFmpeg."""
    try:
        if name.startswith("file:"):
            player = MediaPlayer(name.removeprefix("file:"), loop=True)
        elif kind == "video":
            player = MediaPlayer(name, format="v4l2", options={"video_size": "640x480", "framerate": "25"})
        else:
            player = MediaPlayer(name.removeprefix("alsa:"), format="alsa")
    except (OSError, ValueError, av.FFmpegError) as error:
        raise CameraUnavailable(source=name, reason=type(error).__name__) from error
    track: MediaStreamTrack | None = player.video if kind == "video" else player.audio
    if track is None:
        raise CameraUnavailable(source=name, reason=f"no {kind}")
    return track


@cache
def _drawing(shown: Shown) -> Drawing:
    """The picture, drawn once for the program: its background takes a quarter of a second."""
    return Picture() if shown == "face" else ExamPicture()
