"""What the station hears of a call, in numbers: level and strongest frequency of the last half second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
KEPT_S = 0.5
QUIET_DBFS = -50.0  # below this a frequency would be that of noise
FULL_SCALE = 32_768.0


class Hearing:
    """The last ``KEPT_S`` of mono sound at 48 kHz."""

    def __init__(self) -> None:
        self._kept: NDArray[np.float32] = np.zeros(round(RATE * KEPT_S), dtype=np.float32)
        self._heard = 0

    def push(self, samples: NDArray[np.int16]) -> None:
        """Take samples of shape (n, channels)."""
        mono = samples.mean(axis=1, dtype=np.float32)[-self._kept.size :]
        self._kept = np.concatenate((self._kept[mono.size :], mono))
        self._heard = min(self._kept.size, self._heard + mono.size)

    def clear(self) -> None:
        """Forget what was heard."""
        self._heard = 0

    def level_dbfs(self) -> float | None:
        """Root mean square against full scale, dB, at least -120; None until half a second was heard."""
        if self._heard < self._kept.size:
            return None
        power = float(np.mean(np.square(self._kept / FULL_SCALE)))
        return round(10 * float(np.log10(max(power, 1e-12))), 1)

    def dominant_hz(self) -> float | None:
        """The strongest frequency above 20 Hz, within 1 Hz for a tone; None when it is quieter than ``QUIET_DBFS``.

        Hann window, FFT, parabola through the logarithms of the largest bin and its neighbours.
        """
        level = self.level_dbfs()
        if level is None or level < QUIET_DBFS:
            return None
        size = self._kept.size
        power = np.abs(np.fft.rfft(self._kept * np.hanning(size))) + 1e-9
        lowest = round(20 * size / RATE)
        peak = lowest + int(np.argmax(power[lowest:-1]))
        below, at, above = np.log(power[peak - 1 : peak + 2])
        bend = below - 2 * at + above
        shift = 0.5 * (below - above) / bend if bend < 0 else 0.0
        return round(float((peak + shift) * RATE / size), 1)
