"""Several people's sound as one: what each said in the last 20 ms, added.

A voice begins to sound when ``PRIMED`` of it waits and is silent again when nothing does; at most ``KEPT`` of it wait,
the oldest goes first, so that nobody is heard ever later.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

FRAME = 960  # samples of 20 ms at 48 kHz
PRIMED = 2 * FRAME  # against the jitter of packets
KEPT = 10 * FRAME  # 200 ms

Samples = NDArray[np.int16]  # shape (n, 2)

_NOTHING: Samples = np.zeros((0, 2), dtype=np.int16)


class Mixer:
    """Voices by whatever names them; bounded by the number of voices that the player plays."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Samples] = {}
        self._sounding: set[Hashable] = set()

    def push(self, voice: Hashable, samples: NDArray[np.int16]) -> None:
        """Take samples of shape (n, channels), one or two channels, at 48 kHz."""
        stereo = samples[:, :2] if samples.shape[1] >= 2 else np.repeat(samples, 2, axis=1)
        self._waiting[voice] = np.concatenate((self._waiting.get(voice, _NOTHING), stereo))[-KEPT:]

    def forget(self, voice: Hashable) -> None:
        """The voice is not played any more."""
        self._waiting.pop(voice, None)
        self._sounding.discard(voice)

    def pull(self) -> Samples | None:
        """The next 20 ms of everybody, clipped to 16 bit; None when nobody sounds."""
        total: NDArray[np.int32] | None = None
        for voice, waiting in self._waiting.items():
            if len(waiting) < (FRAME if voice in self._sounding else PRIMED):
                self._sounding.discard(voice)
                continue
            self._sounding.add(voice)
            self._waiting[voice] = waiting[FRAME:]
            part = waiting[:FRAME].astype(np.int32)
            total = part if total is None else total + part
        if total is None:
            return None
        return np.clip(total, -32_768, 32_767).astype(np.int16)
