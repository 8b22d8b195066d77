"""What the publisher sends: ten seconds of 720p VP8 and of Opus, encoded once and kept in a cache folder, as RTP."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import av
import numpy as np
from _media_material import AUDIO_STEP, PAYLOAD_BYTES, SECONDS, Material, voice

WIDTH, HEIGHT = 1280, 720
FRAMES_A_SECOND = 30
KEYFRAME_FRAMES = 2 * FRAMES_A_SECOND
VIDEO_BITS_A_SECOND = 1_500_000
VIDEO_STEP = 90_000 // FRAMES_A_SECOND  # RFC 7741 section 4.1: a clock of 90 kHz
ROOM_PX = 64  # that the picture wanders in, once round in the ten seconds
DETAIL, CONTRAST = 1.2, 45.0  # chosen so that a keyframe is of some 30 packets, as a camera's of this rate is
STEPS = {"audio": AUDIO_STEP, "video": VIDEO_STEP}
PERIODS_S = {"audio": AUDIO_STEP / 48_000, "video": 1 / FRAMES_A_SECOND}
NAME = f"bench-media-{WIDTH}x{HEIGHT}-{FRAMES_A_SECOND}-{VIDEO_BITS_A_SECOND}-{KEYFRAME_FRAMES}-{SECONDS}-1.npz"
NTP_UNIX_SECONDS = 2_208_988_800  # RFC 5905 section 6: 1970 in seconds of NTP's first era

_RTP = struct.Struct("!BBHLL")  # RFC 3550 section 5.1
_SENDER_REPORT = struct.Struct("!BBHLQLLL")  # section 6.4.1, without report blocks
_NAME = b"bench"


def material() -> dict[str, Material]:
    """Both kinds, encoded at the first call on this machine."""
    path = cache() / NAME
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, **_packed("audio", voice()), **_packed("video", picture()))
        partial.replace(path)
    with np.load(path) as kept:
        return {kind: _unpacked(kept[f"{kind}_bytes"], kept[f"{kind}_lengths"], kept[f"{kind}_units"])
                for kind in STEPS}


def cache() -> Path:
    """Where it is kept (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "telemed"


def picture() -> Material:
    """Frames of a picture as rich in detail as a camera's, which moves all over; payloads without descriptor."""
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.bit_rate, encoder.gop_size, encoder.framerate = VIDEO_BITS_A_SECOND, KEYFRAME_FRAMES, FRAMES_A_SECOND
    rate = str(VIDEO_BITS_A_SECOND)
    encoder.options = {
        "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "minrate": rate, "maxrate": rate,
        "bufsize": str(VIDEO_BITS_A_SECOND // 3), "error-resilient": "1",
    }
    scene, units = _scene(), []
    for number in range(2 * FRAMES_A_SECOND * SECONDS):
        turn = 2 * np.pi * number / (FRAMES_A_SECOND * SECONDS)
        x, y = (round(ROOM_PX / 2 * (1 + part)) for part in (np.cos(turn), np.sin(turn)))
        frame = av.VideoFrame.from_ndarray(scene[y : y + HEIGHT, x : x + WIDTH], format="gray").reformat(
            format="yuv420p"
        )
        frame.pts = number
        for packet in encoder.encode(frame):
            data = bytes(packet)
            units.append([data[at : at + PAYLOAD_BYTES] for at in range(0, len(data), PAYLOAD_BYTES)])
    return units[FRAMES_A_SECOND * SECONDS :]  # the second round, when the rate control has settled


def _scene() -> np.ndarray:
    """A still whose amplitudes fall with the spatial frequency, as in photographs; the same every time."""
    height, width = HEIGHT + ROOM_PX + 1, WIDTH + ROOM_PX + 1
    spectrum = np.fft.rfft2(np.random.default_rng(5).standard_normal((height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    values = np.fft.irfft2(spectrum / frequency**DETAIL, s=(height, width))
    return np.clip(128 + CONTRAST * values / values.std(), 16, 235).astype(np.uint8)


class Stream:
    """One kind of the publication: RTP packets without end."""

    def __init__(self, kind: str, payload_type: int, ssrc: int, units: Material) -> None:
        self.kind = kind
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._units = units
        self._unit = 0
        self._sequence = 1_000
        self._timestamp = 90_000
        self._octets = 0
        self._packets = 0

    def next_packets(self) -> list[bytes]:
        """The next frame or 20 ms. A picture's payloads carry a descriptor with a 15-bit picture id, as browsers
        send it (RFC 7741 section 4.2)."""
        unit = self._units[self._unit % len(self._units)]
        packets = []
        for number, payload in enumerate(unit):
            video = self.kind == "video"
            marker = 0x80 if video and number == len(unit) - 1 else 0
            head = struct.pack("!BBH", 0x90 if number == 0 else 0x80, 0x80, 0x8000 | self._unit & 0x7FFF)
            packets.append(
                _RTP.pack(0x80, marker | self._payload_type, self._sequence & 0xFFFF, self._timestamp, self._ssrc)
                + (head if video else b"") + payload
            )
            self._sequence += 1
            self._octets += len(payload)
        self._packets += len(packets)
        self._unit += 1
        self._timestamp = (self._timestamp + STEPS[self.kind]) & 0xFFFFFFFF
        return packets

    def report(self, wall_s: float) -> bytes:
        """A compound packet of sender report and source description (RFC 3550 sections 6.4.1, 6.5)."""
        ntp = (int(wall_s) + NTP_UNIX_SECONDS) << 32 | int(wall_s % 1 * 2**32)
        report = _SENDER_REPORT.pack(
            0x80, 200, 6, self._ssrc, ntp, self._timestamp, self._packets, self._octets & 0xFFFFFFFF
        )
        items = bytes([1, len(_NAME)]) + _NAME + b"\0"
        items += bytes(-len(items) % 4)
        return report + struct.pack("!BBHL", 0x81, 202, 1 + len(items) // 4, self._ssrc) + items


def _packed(kind: str, units: Material) -> dict[str, np.ndarray]:
    payloads = [payload for unit in units for payload in unit]
    return {
        f"{kind}_bytes": np.frombuffer(b"".join(payloads), np.uint8),
        f"{kind}_lengths": np.array([len(payload) for payload in payloads]),
        f"{kind}_units": np.array([len(unit) for unit in units]),
    }


def _unpacked(data: np.ndarray, lengths: np.ndarray, units: np.ndarray) -> Material:
    whole, ends = data.tobytes(), np.cumsum(lengths)
    payloads = [whole[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    firsts = np.cumsum(units) - units
    return [payloads[first : first + count] for first, count in zip(firsts, units, strict=True)]
