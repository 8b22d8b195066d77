"""What the generator's stations send: frames made once, whose header alone is new each time."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from telemed_devices.envelope import Chunk, pack_chunk

LEADS, RATE, SAMPLES = 12, 500, 100  # twelve leads, 200 ms; a run beside other tests has fewer, as many chunks
PAYLOADS = 32
HEADER = struct.Struct("<4sBBBBIIQQqIIIHH")  # docs/protocol.md section 2


def payloads(leads: int) -> list[bytes]:
    """Lead-major int16 that look like no constant."""
    generator = np.random.default_rng(5)
    t = np.arange(SAMPLES) / RATE
    made = []
    for one in range(PAYLOADS):
        beat = 900 * np.exp(-((t - 0.006 * one) ** 2) / (2 * 0.012**2))
        rows = [beat * (0.5 + 0.1 * lead) + generator.normal(0, 12, SAMPLES) for lead in range(leads)]
        made.append(np.rint(np.array(rows)).astype("<i2").tobytes())
    return made


Pack = Callable[[int, int, int, int], bytes]


def wave_chunks(leads: int) -> Pack:
    """What makes native frames of so many leads, byte for byte as ``pack_frame`` does, without its cost."""
    prebuilt = payloads(leads)
    return lambda number, seq, t0_us, which: wave_chunk(leads, prebuilt[which % PAYLOADS], number, seq, t0_us)


def wave_chunk(leads: int, payload: bytes, number: int, seq: int, t0_us: int) -> bytes:
    """One frame with this payload."""
    fields = [b"TMF1", 1, 0, 1, leads, number, SAMPLES, seq, seq * SAMPLES, t0_us, len(payload), 0, 0, 0, 0]
    fields[11] = zlib.crc32(payload, zlib.crc32(HEADER.pack(*fields)))
    return HEADER.pack(*fields) + payload


def number_chunk(number: int, seq: int, t0_us: int, which: int) -> bytes:
    """A heart rate as a GATT characteristic (0x2A37: flags, beats a minute)."""
    return pack_chunk(Chunk(number, seq, t0_us, bytes([0, 60 + (which + seq) % 60])))


def described_wave(leads: int) -> dict[str, Any]:
    """The announcement's fields of a wave."""
    return {
        "device": "Test leads", "kind": "ecg", "format": "native", "rate": [RATE, 1],
        "channels": [{"name": f"L{one}", "unit": "uV", "gain": 1.25, "offset": 0.0} for one in range(leads)],
    }  # fmt: skip
