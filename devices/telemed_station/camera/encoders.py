"""The station's encoders: VP8 that goes down to a few kilobytes a second, Opus that repairs what was lost before it.

aiortc's own never ask for less than 250 kbit/s of picture, begin anew with a whole picture whenever their rate changes
by a tenth, and send packets of 1,300 bytes. These obey REMB and ``thrift.py`` by frame rate first, then by size.
"""

from __future__ import annotations

import fractions
from collections.abc import Callable
from typing import Any

import av
from aiortc.codecs.base import Encoder
from av.frame import Frame
from av.packet import Packet
from av.video.frame import PictureType

from telemed_station.camera.thrift import LEAST_BITS_S, MOST_BITS_S, START_BITS_S, Thrift

# A datagram of 1,200 bytes passes every tunnel: less RTP header and extensions (28), RTX (2), SRTP's tag (16).
PAYLOAD_BYTES = 1_150
VIDEO_CLOCK = 90_000  # RFC 7741 section 4.1
PICTURE_IDS = 1 << 15  # RFC 7741 section 4.2: 15 bits
ALONE_S = 2.0  # while it is paused, one small picture so often: a connection that carries nothing counts as lost

SMALL_BITS_S = 60_000  # of the small picture: half the width and height, 8 frames a second, by the steps below
BOTH_BITS_S = 300_000  # of both, at least: the large one keeps its full size (the first of the steps below)

# From so many bits a second: frames a second at most, and what part of its width and height a picture keeps.
STEPS = ((240_000, 30, 1), (120_000, 10, 1), (60_000, 8, 2), (0, 6, 4))
BETTER = 1.25  # times a step's rate before the picture goes up to it
HOLD_S = 4.0  # between two changes upwards: each begins with a whole picture
CHANGED = (0.75, 1.6)  # of the encoder's rate: outside of it begins another, inside frames are left out
DEBT_S = 0.5  # that a large frame may run ahead of its rate
KEYFRAME_PER_CENT = 450  # of a frame's share: a whole picture is no burst that fills the line

AUDIO_CLOCK = 48_000  # RFC 7587 section 4.1
AUDIO_FRAME = 960  # 20 ms
LOSS_PER_CENT = 10  # expected: Opus then repeats each frame, in small, inside the next (RFC 6716 section 2.1.7)


class ThriftyVp8(Encoder):
    """VP8 within what REMB (``target_bitrate``) and ``thrift`` allow. Encodes in any one thread at a time.

    ``beside``: whether a small picture is sent as well, which has its share where there is room for both.
    """

    def __init__(self, thrift: Thrift, beside: Callable[[], bool] = lambda: False) -> None:
        self._beside = beside
        self.target_bitrate = START_BITS_S  # set by whoever reads REMB
        self._thrift = thrift
        self._codec: av.VideoCodecContext | None = None
        self._picture_id = 0
        self._step = 1
        self._stepped_s = float("-inf")
        self._due_s = float("-inf")
        self._at_s: float | None = None  # of the frame before, sent or not
        self._credit = 0.0  # bits
        self._whole = False  # the next one has to be a whole picture

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """The packets of a frame, none when it is left out; its time in 1/90000 s."""
        assert isinstance(frame, av.VideoFrame) and frame.pts is not None and frame.time_base is not None  # noqa: S101
        self._whole = self._whole or force_keyframe
        at_s = float(frame.pts * frame.time_base)
        timestamp = int(frame.pts * frame.time_base * VIDEO_CLOCK)
        allowed = self._allowed()
        if not self._goes(at_s, allowed):
            return [], timestamp
        bits_s = max(allowed, LEAST_BITS_S)
        part = STEPS[self._step][2]
        codec = self._codec_for(frame.width // part & ~1, frame.height // part & ~1, bits_s)
        small = frame.reformat(codec.width, codec.height, "yuv420p")
        small.pts, small.time_base = timestamp, fractions.Fraction(1, VIDEO_CLOCK)
        small.pict_type = PictureType.I if self._whole else PictureType.NONE
        self._whole = False
        data = b"".join(bytes(packet) for packet in codec.encode(small))
        self._credit -= 8 * len(data)
        self._picture_id = (self._picture_id + 1) % PICTURE_IDS
        return packetized(data, self._picture_id), timestamp

    def pack(self, packet: Packet[Any]) -> tuple[list[bytes], int]:
        """A frame that is VP8 already."""
        self._picture_id = (self._picture_id + 1) % PICTURE_IDS
        assert packet.pts is not None and packet.time_base is not None  # noqa: S101
        return packetized(bytes(packet), self._picture_id), int(packet.pts * packet.time_base * VIDEO_CLOCK)

    def _allowed(self) -> int:
        """Bits a second, 0 for no picture."""
        allowed = self._thrift.video_bits_s(min(self.target_bitrate, MOST_BITS_S))
        return allowed - SMALL_BITS_S if self._beside() and allowed >= BOTH_BITS_S else allowed

    def _goes(self, at_s: float, allowed: int) -> bool:
        """Whether this frame goes out: not before its turn, and not while what went before is still to be paid for."""
        passed_s = 0.0 if self._at_s is None else max(0.0, min(at_s - self._at_s, DEBT_S))
        self._at_s = at_s
        self._credit = min(self._credit + allowed * passed_s, allowed * DEBT_S)
        if allowed == 0:
            self._step, self._credit = len(STEPS) - 1, 0.0
            every_s = ALONE_S
        else:
            self._choose(at_s, allowed)
            every_s = 1 / STEPS[self._step][1]
            if self._credit < 0:
                return False
        if at_s < self._due_s - 0.01:  # a camera's frames do not come to the millisecond
            return False
        self._due_s = max(self._due_s + every_s, at_s + every_s / 2)
        return True

    def _choose(self, at_s: float, allowed: int) -> None:
        fits = next(number for number, (least, _, _) in enumerate(STEPS) if allowed >= least)
        if fits < self._step:
            fits = next(number for number, (least, _, _) in enumerate(STEPS) if allowed >= BETTER * least)
            if fits >= self._step or at_s - self._stepped_s < HOLD_S:
                return
        if fits != self._step:
            self._step, self._stepped_s = fits, at_s

    def _codec_for(self, width: int, height: int, bits_s: int) -> av.VideoCodecContext:
        codec = self._codec
        if codec is not None and (codec.width, codec.height) == (width, height):
            low, high = CHANGED
            if low <= bits_s / (codec.bit_rate or 1) <= high:
                return codec
        made = av.CodecContext.create("libvpx", "w")
        assert isinstance(made, av.VideoCodecContext)  # noqa: S101
        made.width, made.height, made.pix_fmt = width, height, "yuv420p"
        made.time_base = fractions.Fraction(1, VIDEO_CLOCK)
        made.bit_rate = bits_s
        made.gop_size = 3_000  # whole pictures are asked for
        made.qmin, made.qmax = 12, 58  # finer than 12 nobody sees, and a still picture would take all it may
        made.thread_count = 1
        made.options = {
            "bufsize": str(bits_s), "minrate": str(bits_s), "maxrate": str(bits_s), "overshoot-pct": "15",
            "undershoot-pct": "100", "max-intra-rate": str(KEYFRAME_PER_CENT), "deadline": "realtime", "cpu-used": "-6",
            "lag-in-frames": "0", "noise-sensitivity": "4", "static-thresh": "1",
        }  # fmt: skip
        self._codec = made
        return made


class SmallVp8(ThriftyVp8):
    """The small picture beside the large one, for whoever watches over a poor line. A line that has no room for both
    carries the large one alone, which is small by then.
    """

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """As of the large one; no packets while there is no room for both."""
        if self._allowed() == 0:
            self._whole = True  # what comes after a pause is of no use without
            assert frame.pts is not None and frame.time_base is not None  # noqa: S101
            return [], int(frame.pts * frame.time_base * VIDEO_CLOCK)
        return super().encode(frame, force_keyframe)

    def _allowed(self) -> int:
        return SMALL_BITS_S if self._thrift.video_bits_s(min(self.target_bitrate, MOST_BITS_S)) >= BOTH_BITS_S else 0


class ThriftyOpus(Encoder):
    """Opus, mono, 20 ms, with in-band repair. Encodes in any one thread at a time."""

    def __init__(self, thrift: Thrift) -> None:
        self._thrift = thrift
        self._resampler = av.AudioResampler("s16", "mono", AUDIO_CLOCK, AUDIO_FRAME)
        self._codec: av.AudioCodecContext | None = None
        self._samples = 0

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """The packets of what came, and the number of the first one's first sample."""
        assert isinstance(frame, av.AudioFrame)  # noqa: S101
        codec = self._codec_for(self._thrift.voice_bits_s())
        packets: list[bytes] = []
        for one in self._resampler.resample(frame):
            one.pts = None
            packets += [bytes(packet) for packet in codec.encode(one)]
        first, self._samples = self._samples, self._samples + AUDIO_FRAME * len(packets)
        return packets, first

    def pack(self, packet: Packet[Any]) -> tuple[list[bytes], int]:
        """A packet that is Opus already."""
        assert packet.pts is not None and packet.time_base is not None  # noqa: S101
        return [bytes(packet)], int(packet.pts * packet.time_base * AUDIO_CLOCK)

    def _codec_for(self, bits_s: int) -> av.AudioCodecContext:
        if self._codec is not None and self._codec.bit_rate == bits_s:
            return self._codec
        made = av.CodecContext.create("libopus", "w")
        assert isinstance(made, av.AudioCodecContext)  # noqa: S101
        made.bit_rate, made.sample_rate, made.format, made.layout = bits_s, AUDIO_CLOCK, "s16", "mono"
        made.time_base = fractions.Fraction(1, AUDIO_CLOCK)
        made.options = {"application": "voip", "fec": "1", "packet_loss": str(LOSS_PER_CENT)}
        self._codec = made
        return made


def encoder_for(codec: str, thrift: Thrift, beside: Callable[[], bool] = lambda: False) -> Encoder | None:
    """The encoder of a codec by its name in SDP; None for one that is not ours. ``beside`` as for ``ThriftyVp8``."""
    if codec.upper() == "VP8":
        return ThriftyVp8(thrift, beside)
    return ThriftyOpus(thrift) if codec.lower() == "opus" else None


def packetized(frame: bytes, picture_id: int) -> list[bytes]:
    """A VP8 frame in RTP payloads of at most ``PAYLOAD_BYTES``, each under its descriptor (RFC 7741 section 4.2)."""
    extension = bytes((0x80, 0x80 | picture_id >> 8, picture_id & 0xFF))  # I; M and 15 bits of picture ID
    room = PAYLOAD_BYTES - 1 - len(extension)
    return [
        bytes((0x80 | (0x10 if start == 0 else 0),)) + extension + frame[start : start + room]
        for start in range(0, len(frame), room)
    ]
