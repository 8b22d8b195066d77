"""The newest few values that a detector remembers, oldest first, and their median: compiled into its loop.

The values lie in a part of the detector's flat arrays, their count beside them (``judgement``, ``systole``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from telemed_signal.compiled import compiled

Wholes = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


@compiled()
def median(values: Reals) -> float:
    """The middle of up to a few dozen numbers."""
    ranked = np.sort(values)
    half = ranked.size // 2
    return float(ranked[half]) if ranked.size % 2 else float((ranked[half - 1] + ranked[half]) / 2)


@compiled()
def append(kept: Reals | Wholes, count: int, value: float) -> int:
    """Add to the newest ``kept.size`` values; returns how many there are."""
    if count == kept.size:
        for k in range(count - 1):
            kept[k] = kept[k + 1]
        count -= 1
    kept[count] = value
    return count + 1
