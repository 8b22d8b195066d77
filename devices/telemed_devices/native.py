"""The native frame: samples of one stream in 56 bytes of header and a lead-major payload.

Byte for byte docs/protocol.md section 2. ``unpack_frame(pack_frame(f))`` gives ``f``; every other byte string
is refused with the :class:`~telemed_devices.faults.FrameError` that names the first thing wrong with it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from telemed_devices.faults import (
    FrameChannels,
    FrameChecksum,
    FrameCodec,
    FrameDtype,
    FrameLength,
    FrameMagic,
    FrameNumber,
    FrameReserved,
    FrameSamples,
    FrameTime,
    FrameTooShort,
    FrameVersion,
)

MAGIC: Final = b"TMF1"
VERSION: Final = 1
HEADER_BYTES: Final = 56
MAX_CHANNELS: Final = 32
"""More than the 15 leads of the widest ECG device met, and one bit each in a u32."""
MAX_SAMPLES: Final = 65_536
"""Samples a channel: over a minute at 1 kHz; a live frame is 0.1 s."""
MAX_UPLINK_BYTES: Final = 1_048_576 + HEADER_BYTES
"""Longest message of a station: the WebSocket's own limit (docs/protocol.md section 4)."""
EARLIEST_US: Final = 0
LATEST_US: Final = 7_258_118_400_000_000
"""2200-01-01T00:00:00Z; a stamp at or beyond it is a broken clock."""

_HEADER: Final = struct.Struct("<4sBBBBIIQQqIIIHH")  # the table of section 2, in its order
_CRC_OFFSET: Final = 44
_CRC: Final = struct.Struct("<I")
_FORBIDDEN_FLAGS: Final = 0x0000_FFFC  # bits 2–15 mean nothing yet
_U16: Final = 0xFFFF
_U32: Final = 0xFFFF_FFFF
_U64: Final = 0xFFFF_FFFF_FFFF_FFFF

Samples = npt.NDArray[np.signedinteger[Any]]


class Codec(IntEnum):
    """What the payload holds."""

    RAW = 0
    """Samples: shape (channels, n)."""
    MINMAX = 1
    """For every channel n minima, then n maxima: shape (channels, 2, n)."""


class FrameFlags(IntFlag):
    """Bits 0–15 of a frame's flags; the upper half names electrodes, see :func:`lead_off`."""

    NONE = 0
    GAP = 1
    """Samples are missing before this frame."""
    PROVISIONAL = 2
    """Not yet durable."""


# As plain numbers: what an enum's operators cost is felt a hundred thousand times a second.
_RAW: Final = int(Codec.RAW)
_MINMAX: Final = int(Codec.MINMAX)
_GAP: Final = int(FrameFlags.GAP)
_PROVISIONAL: Final = int(FrameFlags.PROVISIONAL)

_DTYPES: Final[dict[int, np.dtype[Any]]] = {1: np.dtype("<i2"), 2: np.dtype("<i4")}
_DTYPE_CODES: Final = {2: 1, 4: 2}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Samples of one stream, as they travel.

    ``samples`` is int16 or int32, lead-major: (channels, n), or (channels, 2, n) of minima and maxima for
    ``Codec.MINMAX``; the minimum of the dtype means "missing". ``t0_us`` is the stamp of the first sample.
    """

    stream: int
    seq: int
    first_sample: int
    t0_us: int
    samples: Samples
    flags: int = 0
    view: int = 0
    codec: int = Codec.RAW

    @property
    def channels(self) -> int:
        """How many channels the frame has."""
        return int(self.samples.shape[0])

    @property
    def n(self) -> int:
        """Samples (or columns) a channel."""
        return int(self.samples.shape[-1])

    @property
    def gap(self) -> bool:
        """Whether samples are missing before this frame."""
        return bool(self.flags & _GAP)

    @property
    def lead_off(self) -> tuple[int, ...]:
        """Channels whose electrode is off."""
        return lead_off(self.flags)

    def __eq__(self, other: object) -> bool:
        """Equal when every field and every sample is, whatever the byte order in memory."""
        if not isinstance(other, Frame):
            return NotImplemented
        return (
            self.stream == other.stream
            and self.seq == other.seq
            and self.first_sample == other.first_sample
            and self.t0_us == other.t0_us
            and self.flags == other.flags
            and self.view == other.view
            and self.codec == other.codec
            and self.samples.dtype.itemsize == other.samples.dtype.itemsize
            and bool(np.array_equal(self.samples, other.samples))
        )

    __hash__ = None  # type: ignore[assignment]


def missing_value(dtype: npt.DTypeLike) -> int:
    """Give the number that stands for "no sample" in an int16 or int32 array."""
    return int(np.iinfo(np.dtype(dtype)).min)


def lead_off(flags: int) -> tuple[int, ...]:
    """Channels (0–15) whose electrode the flags call off."""
    return tuple(channel for channel in range(16) if flags >> (16 + channel) & 1)


def with_lead_off(flags: int, channels: Iterable[int]) -> int:
    """Flags with exactly these channels (0–15) marked as off."""
    marked = flags & _U16
    for channel in channels:
        if not 0 <= channel < 16:
            raise FrameChannels(channels=channel)
        marked |= 1 << (16 + channel)
    return marked


def pack_frame(frame: Frame) -> bytes:
    """The bytes of a frame; refuses what :func:`unpack_frame` would refuse."""
    samples = frame.samples
    if frame.codec not in (_RAW, _MINMAX):
        raise FrameCodec(codec=frame.codec)
    code = _DTYPE_CODES.get(samples.dtype.itemsize, 0) if samples.dtype.kind == "i" else 0
    if code == 0:
        raise FrameDtype(dtype=samples.dtype.itemsize)
    if samples.ndim != (2 if frame.codec == _RAW else 3) or (frame.codec == _MINMAX and samples.shape[1] != 2):
        raise FrameSamples(n=int(samples.ndim))
    channels, n = frame.channels, frame.n
    _check_shape(channels, n)
    _check_flags(frame.flags, 0, channels)
    for value, limit in (
        (frame.stream, _U32), (frame.seq, _U64), (frame.first_sample, _U64), (frame.view, _U16),
    ):  # fmt: skip
        if not 0 <= value <= limit:
            raise FrameNumber(limit=limit)
    _check_time(frame.t0_us)
    payload = samples.astype(_DTYPES[code], order="C", copy=False).tobytes()
    header = bytearray(_HEADER.pack(
        MAGIC, VERSION, frame.codec, code, channels, frame.stream, n, frame.seq, frame.first_sample, frame.t0_us,
        len(payload), 0, frame.flags, frame.view, 0,
    ))  # fmt: skip
    _CRC.pack_into(header, _CRC_OFFSET, zlib.crc32(payload, zlib.crc32(header)))
    return bytes(header) + payload


def unpack_frame(data: bytes | memoryview, *, uplink: bool = False) -> Frame:
    """The frame in ``data``, whole and nothing beside it; its samples are a read-only view of ``data``.

    ``uplink=True`` also refuses what a station may not send: a view, minima and maxima, the provisional mark
    and more than :data:`MAX_UPLINK_BYTES`. Raises a subclass of ``FrameError``; never anything else.
    """
    view = memoryview(data)
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    if len(view) < HEADER_BYTES:
        raise FrameTooShort(length=len(view))
    (magic, version, codec, dtype, channels, stream, n, seq, first_sample, t0_us, payload_len, crc, flags, view_number,
     reserved) = _HEADER.unpack_from(view)  # fmt: skip
    if magic != MAGIC:
        raise FrameMagic
    if version != VERSION:
        raise FrameVersion(version=version)
    if codec not in (_RAW, _MINMAX) or (uplink and codec != _RAW):
        raise FrameCodec(codec=codec)
    if dtype not in _DTYPES:
        raise FrameDtype(dtype=dtype)
    _check_shape(channels, n)
    _check_flags(flags, reserved, channels)
    if uplink and (view_number or flags & _PROVISIONAL):
        raise FrameReserved(reserved=view_number)
    expected = channels * n * _DTYPES[dtype].itemsize * (2 if codec == _MINMAX else 1)
    if payload_len != expected or len(view) != HEADER_BYTES + expected or (uplink and len(view) > MAX_UPLINK_BYTES):
        raise FrameLength(length=len(view), expected=HEADER_BYTES + expected)
    if _crc_without_field(view) != crc:
        raise FrameChecksum
    _check_time(t0_us)
    shape = (channels, n) if codec == _RAW else (channels, 2, n)
    samples = np.frombuffer(view.toreadonly(), dtype=_DTYPES[dtype], offset=HEADER_BYTES).reshape(shape)
    return Frame(stream, seq, first_sample, t0_us, samples, flags, view_number, codec)


def _crc_without_field(view: memoryview) -> int:
    crc = zlib.crc32(b"\0\0\0\0", zlib.crc32(view[:_CRC_OFFSET]))
    return zlib.crc32(view[_CRC_OFFSET + 4 :], crc)


def _check_shape(channels: int, n: int) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise FrameChannels(channels=channels)
    if not 1 <= n <= MAX_SAMPLES:
        raise FrameSamples(n=n)


def _check_flags(flags: int, reserved: int, channels: int) -> None:
    """Bits that mean nothing are zero, the electrode bits of channels that do not exist among them."""
    if reserved or not 0 <= flags <= _U32 or flags & _FORBIDDEN_FLAGS or flags >> (16 + channels):
        raise FrameReserved(reserved=reserved, flags=flags)


def _check_time(t0_us: int) -> None:
    if not EARLIEST_US <= t0_us < LATEST_US:
        raise FrameTime(t0_us=t0_us)
