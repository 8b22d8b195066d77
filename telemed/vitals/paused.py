"""Which pictures a station has no line for: from its status to the room, where the publication then says so."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from telemed.consultation.rooms import Rooms


class Paused:
    """Of one station's connection."""

    def __init__(self, rooms: Rooms, station_id: int) -> None:
        self._rooms = rooms
        self._participant = f"station:{station_id}"
        self._sources: list[str] | None = None  # a connection before this one may have said something

    def say(self, consultation_id: UUID | None, sources: Sequence[str]) -> None:
        """Tell the room of its consultation: at changes, and while there is one, which may have begun since."""
        if consultation_id is not None and (sources or self._sources != []):
            told = {"type": "paused", "participant": self._participant, "sources": list(sources)}
            self._rooms.publish(f"consultation:{consultation_id}", told)
        self._sources = list(sources)
