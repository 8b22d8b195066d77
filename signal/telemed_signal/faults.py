"""What the signal library refuses, each with a stable code: all of it is our own caller's mistake."""

from __future__ import annotations

from typing import ClassVar


class SignalError(ValueError):
    """An array or a setting does not have the documented shape."""

    code: ClassVar[str] = "signal_invalid"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.__doc__ or self.code)


class RateUnsupported(SignalError):
    """The filter cannot be made at this sampling rate."""

    code = "rate_unsupported"


class BlockShape(SignalError):
    """A block does not have the channels of its slot."""

    code = "block_shape"


class NotFinite(SignalError):
    """A block holds NaN or infinity, which would poison the filter's state for good."""

    code = "not_finite"


class SlotUnknown(SignalError):
    """The slot was closed, or belongs to another bank."""

    code = "slot_unknown"


class BankFull(SignalError):
    """The bank has no room for so many channels."""

    code = "bank_full"


class GridsDiffer(SignalError):
    """Leads I and II are counted in different steps, so no integer lies between them."""

    code = "grids_differ"
