"""From filtered float64 to a frame's integers, the same on every machine."""

from __future__ import annotations

from typing import Final, cast

import numpy as np
import numpy.typing as npt

from telemed_signal.faults import BlockShape, NotFinite

ROUNDING: Final = "nearest, ties to even"
"""How :func:`quantise` rounds, in the words of the wire's FILTER object."""

Integers = npt.NDArray[np.int16] | npt.NDArray[np.int32]


def quantise(
    y: npt.ArrayLike,
    missing: npt.NDArray[np.bool_] | None = None,
    *,
    gain: float = 1.0,
    dtype: type[np.int16] | type[np.int32] | None = None,
) -> Integers:
    """Filtered samples as a frame's integers: (time, channels) float64 in, (channels, time) lead-major out.

    ``rint(y / gain)``, ties to even. int16 when every number fits, else int32 (or ``dtype`` as asked; numbers
    beyond it stop at its ends). The dtype's minimum is written where ``missing`` (same shape as ``y``) is true
    and nowhere else.
    """
    counts = np.asarray(y, dtype=np.float64)
    if counts.ndim != 2 or (missing is not None and missing.shape != counts.shape):
        raise BlockShape("samples are (time, channels), and so is the mask")
    if gain != 1.0:
        counts = counts / gain
    counts = np.rint(counts)
    if not np.isfinite(counts).all():
        raise NotFinite
    if dtype is None:
        dtype = np.int16 if counts.size == 0 or float(np.abs(counts).max()) <= 32767 else np.int32
    info = np.iinfo(dtype)
    # int32's largest magnitude is a float64, so clipping before the cast is exact.
    lead_major = np.ascontiguousarray(np.clip(counts, info.min + 1, info.max).T, dtype=np.float64).astype(dtype)
    if missing is not None:
        lead_major[missing.T] = info.min
    return cast(Integers, lead_major)
