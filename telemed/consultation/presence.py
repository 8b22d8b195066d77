"""Which stations are connected to this process, and what each said last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Presence:
    """One connected station: when it was last heard, and its last ``status`` message."""

    heard_at: datetime
    status: dict[str, Any] | None = None


class StationPresence:
    """Station id to presence. The uplink socket fills it; the work list and the pages read it."""

    def __init__(self) -> None:
        self._present: dict[int, Presence] = {}

    def heard(self, station_id: int, status: dict[str, Any] | None = None) -> None:
        """The station is connected and spoke now; ``None`` keeps the status it sent before."""
        before = self._present.get(station_id)
        kept = before.status if status is None and before is not None else status
        self._present[station_id] = Presence(datetime.now(UTC), kept)

    def left(self, station_id: int) -> None:
        """The station's socket ended."""
        self._present.pop(station_id, None)

    def of(self, station_id: int) -> Presence | None:
        """The station's presence, or None while it is not connected."""
        return self._present.get(station_id)

    def online(self, station_id: int) -> bool:
        """Whether the station has a socket open to this process."""
        return station_id in self._present
