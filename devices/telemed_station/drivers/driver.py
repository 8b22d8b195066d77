"""One small interface behind which every device sits.

A driver is pulled, never pushes: ``pull(until_us)`` returns everything its devices measured before that stamp
and was not returned before. A driver holds no clock and does no waiting of its own, so the same pulls give the
same bytes; a device with a connection of its own fills a bounded buffer that ``pull`` empties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Origin = Literal["measured", "recording", "simulated"]
Samples = NDArray[np.int16] | NDArray[np.int32]


@dataclass(frozen=True)
class Channel:
    """physical = sample × ``gain`` + ``offset``, in ``unit`` (UCUM)."""

    name: str
    unit: str
    gain: float
    offset: float = 0.0


@dataclass(frozen=True)
class Signal:
    """One stream a driver delivers. ``rate`` is samples a second as a fraction; numeric streams have none."""

    kind: str
    device: str
    format: str  # "native", or "gatt:<characteristic>"
    origin: Origin
    rate: tuple[int, int] | None = None
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True)
class Wave:
    """Samples of one native stream, shape (channels, n); ``first_sample`` counts from the driver's start.

    ``off`` has bit *c* set while the electrode of channel *c* is off. A hole is a jump of ``first_sample``.
    """

    kind: str
    first_sample: int
    t0_us: int
    samples: Samples = field(repr=False)
    off: int = 0


@dataclass(frozen=True)
class Value:
    """One message of a device that does not speak native frames: its bytes, unchanged."""

    kind: str
    t0_us: int
    payload: bytes


@dataclass(frozen=True)
class Loop:
    """Which samples of a recording are repeated: ``first`` ≤ index < ``end``; ``gap`` unseen samples follow."""

    first: int
    end: int
    gap: int
    channels: int

    @property
    def samples(self) -> int:
        """Samples of one turn, a channel."""
        return self.end - self.first


class Driver(Protocol):
    """What the station asks of its devices."""

    @property
    def name(self) -> str:
        """As written after ``--device``."""
        ...

    @property
    def signals(self) -> Sequence[Signal]:
        """Every stream this driver delivers, fixed for its life."""
        ...

    @property
    def scenario(self) -> str:
        """What is being played, for the status."""
        ...

    @property
    def loop(self) -> Loop | None:
        """The repeated part of a recording, when there is one."""
        ...

    def pull(self, until_us: int) -> list[Wave | Value]:
        """Everything measured before ``until_us`` and not returned yet, in order within each kind."""
        ...

    def sample_index(self, kind: str) -> int:
        """The index that the next sample of a native stream will have."""
        ...

    def stamp_of(self, kind: str, index: int) -> int:
        """The stamp of a sample of a native stream, µs."""
        ...

    def since_beat_us(self, stamp_us: int) -> int | None:
        """How long before ``stamp_us`` the last R peak was, µs; None when there was none in the last 3 s."""
        ...

    def switch(self, scenario: str, at_us: int) -> None:
        """Play another scenario from soon after ``at_us``; raises ``ScenarioUnknown``."""
        ...
