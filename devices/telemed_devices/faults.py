"""What a device did wrong, as a value or as an exception with a stable code.

A decoder of measurements never raises on hostile bytes: it returns :class:`DeviceFault` values beside whatever
could be read. Only the two wire layouts (docs/protocol.md sections 2 and 3) raise, because a frame that fails
its check has nothing in it to keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class DeviceFault:
    """One thing a device sent that its standard does not allow.

    ``code`` is stable (``gatt_length`` …), ``offset`` the byte at which it shows, ``reason`` a short English
    phrase for the log; the sentence for people is ``error.<code>`` of the catalogues.
    """

    code: str
    offset: int
    reason: str


class FrameError(Exception):
    """The bytes are not a frame of this protocol."""

    code: ClassVar[str] = "frame_invalid"

    def __init__(self, **params: int) -> None:
        super().__init__(self.__doc__ or self.code)
        self.params: dict[str, int] = dict(params)


class FrameTooShort(FrameError):
    """The frame is shorter than its header."""

    code = "frame_too_short"


class FrameMagic(FrameError):
    """The frame does not begin with its magic."""

    code = "frame_magic"


class FrameVersion(FrameError):
    """The frame is of a version that is not spoken here."""

    code = "frame_version"


class FrameReserved(FrameError):
    """A reserved field or bit of the frame is not zero."""

    code = "frame_reserved"


class FrameCodec(FrameError):
    """The frame's codec is unknown, or not allowed where it came from."""

    code = "frame_codec"


class FrameDtype(FrameError):
    """The frame's sample type is neither int16 nor int32."""

    code = "frame_dtype"


class FrameChannels(FrameError):
    """The frame has no channel, or more than 32."""

    code = "frame_channels"


class FrameSamples(FrameError):
    """The frame has no sample, too many, or an array of another shape."""

    code = "frame_samples"


class FrameLength(FrameError):
    """The frame's length is not what its header says."""

    code = "frame_length"


class FrameChecksum(FrameError):
    """The frame's checksum does not match its bytes."""

    code = "frame_checksum"


class FrameTime(FrameError):
    """The frame's stamp lies outside the years 1970 to 2200."""

    code = "frame_time"


class FrameNumber(FrameError):
    """A number does not fit its field of the header."""

    code = "frame_number"


class ChunkError(FrameError):
    """The bytes are not a chunk envelope of this protocol."""

    code = "chunk_invalid"


class ChunkTooShort(ChunkError):
    """The chunk is shorter than its header."""

    code = "chunk_too_short"


class ChunkMagic(ChunkError):
    """The chunk does not begin with its magic."""

    code = "chunk_magic"


class ChunkVersion(ChunkError):
    """The chunk is of a version that is not spoken here."""

    code = "chunk_version"


class ChunkReserved(ChunkError):
    """A reserved field of the chunk is not zero."""

    code = "chunk_reserved"


class ChunkLength(ChunkError):
    """The chunk's length is not what its header says, or out of bounds."""

    code = "chunk_length"


class ChunkChecksum(ChunkError):
    """The chunk's checksum does not match its bytes."""

    code = "chunk_checksum"


class ChunkTime(ChunkError):
    """The chunk's stamp lies outside the years 1970 to 2200."""

    code = "chunk_time"


class ChunkNumber(ChunkError):
    """A number does not fit its field of the envelope."""

    code = "chunk_number"
