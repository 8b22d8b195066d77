"""The bytes of a signal file (signal(5)): each format's samples as integers, the minimum meaning missing.

``samples_of`` takes any bytes and returns as many samples as are whole in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from telemed_devices.recording import Samples

Bytes = npt.NDArray[np.uint8]
Reader = Callable[[Bytes, int], Samples]

MISSING_16: Final = np.iinfo(np.int16).min
MISSING_32: Final = np.iinfo(np.int32).min
DIFFERENCES: Final = 8  # the format of first differences, which need the signal's initial value


def _missing(values: npt.NDArray[Any], lowest: int) -> Samples:
    """As int16, the format's lowest value, which stands for no sample, brought to the dtype's."""
    found: Samples = values.astype(np.int16)
    found[values == lowest] = MISSING_16
    return found


def _words(dtype: str) -> Reader:
    size = np.dtype(dtype).itemsize
    return lambda data, count: np.frombuffer(data[: min(count, data.size // size) * size].tobytes(), dtype)


def _format_8(data: Bytes, count: int) -> Samples:
    return data[:count].view(np.int8)


def _format_16(data: Bytes, count: int) -> Samples:
    return _words("<i2")(data, count).astype(np.int16)


def _format_61(data: Bytes, count: int) -> Samples:
    return _words(">i2")(data, count).astype(np.int16)


def _format_24(data: Bytes, count: int) -> Samples:
    n = min(count, data.size // 3)
    triples = data[: 3 * n].reshape(n, 3).astype(np.int32)
    values = triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16
    values = np.where(values >= 1 << 23, values - (1 << 24), values)
    found: Samples = np.where(values == -(1 << 23), MISSING_32, values).astype(np.int32)
    return found


def _format_32(data: Bytes, count: int) -> Samples:
    return _words("<i4")(data, count).astype(np.int32)


def _format_80(data: Bytes, count: int) -> Samples:
    return _missing(data[:count].astype(np.int16) - 128, -128)


def _format_160(data: Bytes, count: int) -> Samples:
    return _missing(_words("<u2")(data, count).astype(np.int32) - 32_768, -32_768)


def _format_212(data: Bytes, count: int) -> Samples:
    """Two samples of 12 bits in three bytes; the last one may stand in two."""
    n = min(count, data.size * 2 // 3)
    padded = np.zeros(-(-n // 2) * 3, np.uint8)
    padded[: min(data.size, padded.size)] = data[: padded.size]
    triples = padded.reshape(-1, 3).astype(np.int16)
    pairs = np.empty((len(triples), 2), np.int16)
    pairs[:, 0] = triples[:, 0] | (triples[:, 1] & 0x0F) << 8
    pairs[:, 1] = triples[:, 2] | (triples[:, 1] & 0xF0) << 4
    return _missing(_signed(pairs.reshape(-1)[:n], 12), -(1 << 11))


def _format_310(data: Bytes, count: int) -> Samples:
    """Three samples of 10 bits in two words, the third one's halves above the first two."""
    words = _padded(data, "<u2", 2)
    triples = np.empty((len(words), 3), np.int32)
    triples[:, 0] = words[:, 0] >> 1 & 0x3FF
    triples[:, 1] = words[:, 1] >> 1 & 0x3FF
    triples[:, 2] = (words[:, 0] >> 11 & 31) | (words[:, 1] >> 11 & 31) << 5
    return _missing(_signed(triples.reshape(-1)[: min(count, _tens(data.size))], 10), -(1 << 9))


def _format_311(data: Bytes, count: int) -> Samples:
    """Three samples of 10 bits in one word of 32, the first one lowest."""
    words = _padded(data, "<u4", 1)
    triples = np.empty((len(words), 3), np.int32)
    for place in range(3):
        triples[:, place] = words[:, 0] >> (10 * place) & 0x3FF
    return _missing(_signed(triples.reshape(-1)[: min(count, _tens(data.size, 311))], 10), -(1 << 9))


def _padded(data: Bytes, dtype: str, words: int) -> npt.NDArray[np.int64]:
    """The bytes as groups of four, the last one filled up with zeros."""
    whole = np.zeros(-(-data.size // 4) * 4, np.uint8)
    whole[: data.size] = data
    return np.frombuffer(whole.tobytes(), dtype).astype(np.int64).reshape(-1, words)


def _tens(size: int, layout: int = 310) -> int:
    """How many samples of 10 bits are whole in so many bytes."""
    rest = size % 4
    if layout == 310:
        return size // 4 * 3 + (1 if rest >= 2 else 0)  # the first word holds the first sample
    return size // 4 * 3 + rest * 8 // 10


def _signed(values: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    return np.where(values >= 1 << (bits - 1), values - (1 << bits), values)


FORMATS: Final[Mapping[int, Reader]] = MappingProxyType(
    {
        DIFFERENCES: _format_8, 16: _format_16, 24: _format_24, 32: _format_32, 61: _format_61, 80: _format_80,
        160: _format_160, 212: _format_212, 310: _format_310, 311: _format_311,
    }
)  # fmt: skip
"""All of signal(5) but those of FLAC (508, 516, 524)."""
LOWEST: Final[Mapping[int, int]] = MappingProxyType({24: -(1 << 23), 80: -128, 212: -(1 << 11), 310: -512, 311: -512})
"""What stands in the file for no sample, where it is not the lowest value of the dtype that samples come as."""
_BITS: Final[Mapping[int, int]] = MappingProxyType({8: 8, 24: 24, 32: 32, 80: 8, 212: 12, 310: 10, 311: 10})


def most(format: int, size: int) -> int:
    """A bound of the samples in so many bytes, for whoever asks before decoding them."""
    return size * 8 // _BITS.get(format, 16)


def samples_of(format: int, data: bytes | memoryview, count: int) -> Samples:
    """At most ``count`` samples in the order in which they are stored, int8 differences, int16 or int32.

    Raises ``KeyError`` for a format that is not in ``FORMATS``.
    """
    return FORMATS[format](np.frombuffer(data, np.uint8), max(0, count))


def summed(differences: Samples, initial: int) -> Samples:
    """The samples of one signal of format 8: from ``initial`` on, stopped at the ends of int32 (signal(5))."""
    low, high = MISSING_32 + 1, np.iinfo(np.int32).max
    found: Samples = np.clip(np.cumsum(differences, dtype=np.int64) + initial, low, high).astype(np.int32)
    return found
