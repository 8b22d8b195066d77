"""Appointments: when a visit is to be, and moving it. Times are UTC; the organisation's zone is the pages' matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from telemed.consultation import consultations
from telemed.consultation.consultations import SQL, Consultation
from telemed.consultation.states import Event
from telemed.errors import InvalidRequest
from telemed.store.database import Connection
from telemed.store.sealing import Sealer

PAST: Final = timedelta(hours=1)  # an appointment written down late, or a page whose clock is a little off
AHEAD: Final = timedelta(days=731)  # two years, one of them a leap year
SHORTEST_MINUTES: Final = 5
LONGEST_MINUTES: Final = 480  # a working day


def check_time(scheduled_at: datetime) -> None:
    """Pass when an appointment may be at this time, by the server's clock. Raises ``InvalidRequest``."""
    now = datetime.now(UTC)
    if not now - PAST <= scheduled_at <= now + AHEAD:
        raise InvalidRequest(field="scheduled_at")


async def move(
    connection: Connection, sealer: Sealer, consultation: Consultation, scheduled_at: datetime, minutes: int
) -> Consultation:
    """Give a held appointment another time and length. Raises ``StateRefused`` or ``InvalidRequest``."""
    await consultations.advance(connection, sealer, consultation, Event.MOVE)
    check_time(scheduled_at)
    await connection.execute(SQL["move"], consultation.id, scheduled_at, minutes)
    return await consultations.get(connection, sealer, consultation.id)
