"""Second-order sections over many channels at once, in the arithmetic of ``scipy.signal.sosfilt``.

Transposed direct form II, one section after the other, each channel from its own two numbers of state. The inner loop
is over channels, which do not depend on each other: a recursion cannot use a processor's vectors, its neighbours can.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import types

from telemed_signal.compiled import compiled, received

Array = npt.NDArray[np.float64]
Columns = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]

TOGETHER: Final = 128
"""Channels of one pass: 50 samples of them are 50 kB, which a core's own cache holds (64 to 256 are alike)."""
HOLE: Final = -1
NARROW: Final = 0
WIDE: Final = 1
_LARGEST_16: Final = 32_767.0
_LARGEST_32: Final = 2_147_483_647.0


@compiled("void(float64[:, ::1], float64[:, ::1], float64[:, :, ::1], int64[::1])")
def run(x: Array, sos: Array, state: Array, columns: Columns) -> None:
    """Filter ``x`` (time, channels) in place; channel ``c`` continues ``state[:, :, columns[c]]`` (sections, 2, any).

    ``sos`` is (sections, 6) as scipy designs them, ``a0`` being 1.
    """
    length, channels = x.shape
    one, two = np.empty(TOGETHER), np.empty(TOGETHER)
    for begin in range(0, channels, TOGETHER):
        wide = min(TOGETHER, channels - begin)
        for section in range(sos.shape[0]):
            b0, b1, b2 = sos[section, 0], sos[section, 1], sos[section, 2]
            a1, a2 = sos[section, 4], sos[section, 5]
            for c in range(wide):
                one[c] = state[section, 0, columns[begin + c]]
                two[c] = state[section, 1, columns[begin + c]]
            for t in range(length):
                row = x[t, begin : begin + wide]
                for c in range(wide):
                    value = row[c]
                    y = b0 * value + one[c]
                    one[c] = b1 * value - a1 * y + two[c]
                    two[c] = b2 * value - a2 * y
                    row[c] = y
            for c in range(wide):
                state[section, 0, columns[begin + c]] = one[c]
                state[section, 1, columns[begin + c]] = two[c]


@compiled(*(
    types.int64(received(width), types.float64[:, ::1], types.float64[:, :, ::1], types.int64[::1], types.boolean[::1],
                types.int32[:, ::1])
    for width in (2, 4)
))  # fmt: skip
def run_frame(
    samples: npt.NDArray[np.signedinteger[Any]], sos: Array, state: Array, columns: Columns, started: Bools,
    out: npt.NDArray[np.int32],
) -> int:
    """Filter a frame as it came, lead-major (channels, time), into ``out``: rounded to the nearest, ties to even.

    ``HOLE``, and nothing is changed, where a sample is missing (the type's minimum) or a channel has not ``started``;
    else ``NARROW`` when every number fits int16, ``WIDE`` when not.
    """
    channels, length = samples.shape
    hole = -32_768 if samples.itemsize == 2 else -2_147_483_648
    for c in range(channels):
        if not started[columns[c]]:
            return HOLE
        for t in range(length):
            if samples[c, t] == hole:
                return HOLE
    y = np.empty((length, channels))
    for c in range(channels):
        for t in range(length):
            y[t, c] = samples[c, t]
    run(y, sos, state, columns)
    fits = NARROW
    for t in range(length):
        for c in range(channels):
            value = np.rint(y[t, c])
            if abs(value) > _LARGEST_16:
                fits = WIDE
                value = min(max(value, -_LARGEST_32), _LARGEST_32)
            out[c, t] = np.int32(value)
    return fits
