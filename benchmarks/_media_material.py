"""What the benchmark's peers send: ten seconds of real 360p VP8 and of real Opus, encoded once, cut into payloads."""

from __future__ import annotations

import av
import numpy as np
from telemed_station.camera.exam_picture import LOOP_US, ExamPicture

FRAMES_A_SECOND = 25
SECONDS = 10
VIDEO_BITS_A_SECOND = 500_000
AUDIO_BITS_A_SECOND = 32_000
PAYLOAD_BYTES = 1_150  # with RTP, SRTP and UDP below any path's 1,280
VIDEO_STEP = 90_000 // FRAMES_A_SECOND  # RFC 7741 section 4.1: a clock of 90 kHz
AUDIO_STEP = 960  # RFC 7587 section 4.1: 20 ms at 48 kHz

Material = list[list[bytes]]  # units (a frame, 20 ms) of payloads


def picture() -> Material:
    """Frames of a picture that moves all over, so that the encoder needs its bits; payloads by RFC 7741 section 4.2."""
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 360, "yuv420p"
    encoder.bit_rate, encoder.gop_size = VIDEO_BITS_A_SECOND, 10 * FRAMES_A_SECOND
    encoder.framerate = FRAMES_A_SECOND
    rate = str(VIDEO_BITS_A_SECOND)
    encoder.options = {
        "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "minrate": rate, "maxrate": rate,
        "bufsize": str(VIDEO_BITS_A_SECOND // 2), "error-resilient": "1",
    }
    drawn, units = ExamPicture(), []
    for number in range(FRAMES_A_SECOND * SECONDS):
        frame = drawn.draw(number * LOOP_US // (2 * FRAMES_A_SECOND), lit=False)  # round in two seconds
        frame.pts = number
        for packet in encoder.encode(frame):
            data = bytes(packet)
            parts = [data[at : at + PAYLOAD_BYTES] for at in range(0, len(data), PAYLOAD_BYTES)]
            units.append([(b"\x10" if at == 0 else b"\x00") + part for at, part in enumerate(parts)])
    return units


def voice() -> Material:
    """Opus of something like a voice: a few harmonics of a wandering tone, swelling four times a second."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, "mono", "s16", AUDIO_BITS_A_SECOND
    encoder.options = {"application": "voip", "frame_duration": "20"}
    at = np.arange(48_000 * SECONDS) / 48_000
    turn = 2 * np.pi * np.cumsum(130 + 30 * np.sin(2 * np.pi * 0.7 * at)) / 48_000
    wave = sum(np.sin(k * turn) / k for k in range(1, 8)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at))
    samples = np.rint(wave / np.abs(wave).max() * 12_000).astype(np.int16)
    units = []
    for start in range(0, samples.size, AUDIO_STEP):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + AUDIO_STEP], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        units += [[bytes(packet)] for packet in encoder.encode(frame)]
    return units


def bits_a_second(material: Material) -> float:
    """Payload bits of one second of this material, which is ``SECONDS`` long."""
    return sum(len(payload) for unit in material for payload in unit) * 8 / SECONDS
