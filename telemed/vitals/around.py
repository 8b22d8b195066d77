"""What every uplink works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from telemed.consultation.presence import StationPresence
from telemed.consultation.rooms import Rooms
from telemed.store.database import Database
from telemed.store.sealing import Sealer
from telemed.vitals.commit import Committer
from telemed.vitals.hub import Hub

ConsultationNews = Callable[[UUID], Awaitable[None]]
Publications = Callable[[UUID], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connection works with. ``publications`` gives the publications of a consultation's room;
    ``consultation_news`` tells everybody concerned how a consultation is now."""

    database: Database
    sealer: Sealer
    rooms: Rooms
    presence: StationPresence
    committer: Committer
    hub: Hub
    boot_id: UUID
    publications: Publications
    consultation_news: ConsultationNews
