"""What a sample costs at rest, of a real ECG of twelve leads; how fast it is packed is printed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file

MINUTES = 2
BYTES_A_SAMPLE = 1.2  # segments, pyramid and their nonces


def twelve_leads() -> Any:
    """The ECG of pydicom's own test file at 500 Hz, tiled with another gain, wander and noise each time."""
    path = get_testdata_file("waveform_ecg.dcm")
    assert path is not None
    raw = np.frombuffer(dcmread(path).WaveformSequence[0].WaveformData, "<i2").reshape(-1, 12).T
    one = (raw[:, 0::2].astype(int) + raw[:, 1::2]) // 2
    generator, radians = np.random.default_rng(1), 0.5 * np.pi * np.arange(one.shape[1]) / 500
    tiles = [
        one * (1 + generator.normal(0, 0.03)) + generator.normal(0, 2, one.shape) + 30 * np.sin(radians + k)
        for k in range(MINUTES * 6)
    ]
    return np.concatenate(tiles, axis=1).astype(np.int16)


async def test_a_sample_costs_little_more_than_a_byte(store: Any) -> None:
    stream, samples = await store.stream(channels=12), twelve_leads()
    chunks = [stream.wave(seq, samples[:, seq * 100 : seq * 100 + 100]) for seq in range(samples.shape[1] // 100)]
    await store.send(stream, chunks)
    began = time.perf_counter()
    done = await store.compact()
    seconds = time.perf_counter() - began
    assert done.samples == samples.size
    segments = await store.value("select sum(octet_length(sealed) + octet_length(nonce)) from segment")
    pyramid = await store.value("select sum(octet_length(sealed) + octet_length(nonce)) from pyramid")
    cost = float(segments + pyramid) / samples.size
    print(f"packed {samples.size / seconds / 1e6:.1f} Msamples/s; {cost:.3f} bytes a sample")
    assert cost <= BYTES_A_SAMPLE
