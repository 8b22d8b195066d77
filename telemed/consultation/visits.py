"""A visit as its guest sees it: an allow-list of what a seat may know of its consultation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from telemed.consultation import places, room_keys, seats
from telemed.consultation.places import Place
from telemed.consultation.seats import SeatState
from telemed.consultation.states import State
from telemed.consultation.tickets import ARRIVE_EARLY_MINUTES, Role
from telemed.errors import NotFound
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("visit")
TOLD_PLACE = ("patient", "relative")  # who may say where the patient is, and read it again


@dataclass(frozen=True, slots=True)
class Visit:
    """One seat's visit; times by the server's clock.

    ``position`` counts the people ahead while it waits, else None. ``name`` is what the guest gave, else the
    ticket's. ``consent`` says whether the patient's consent to care is in force. ``place`` is for those who may
    say it. A second browser at the door is told neither the ticket's name nor consent nor place: whoever found the
    link does not learn whose it is.
    """

    consultation_id: UUID
    seat_id: UUID
    seat_state: SeatState
    role: Role
    device: int
    state: State
    organisation_name: str
    organisation_phone: str
    clinician_name: str | None
    scheduled_at: datetime | None
    minutes: int
    server_now: datetime
    arrives_from: datetime | None
    position: int | None
    vitals_shared: bool
    phone_since: datetime | None
    recording_since: datetime | None
    name: str | None
    language: Literal["bg", "en"]
    consent: bool
    place: Place | None


async def of_seat(connection: Connection, sealer: Sealer, seat_id: UUID) -> Visit:
    """The seat's visit as it is now. Names and place are None once the patient's key is destroyed.

    Raises ``NotFound``.
    """
    row = await connection.fetchrow(SQL["visit"], seat_id, ARRIVE_EARLY_MINUTES * 60.0)
    if row is None:
        raise NotFound()
    consultation_id = row["consultation_id"]
    key = await room_keys.existing_key(connection, sealer, consultation_id)
    expected = row["seat_state"] == "admitted" or row["device"] == 1
    here = row["seat_state"] in ("waiting", "admitted") and row["role"] in TOLD_PLACE
    same = (
        "consultation_id", "seat_id", "seat_state", "role", "device", "organisation_name", "organisation_phone",
        "clinician_name", "scheduled_at", "minutes", "server_now", "arrives_from", "position", "vitals_shared",
        "phone_since", "recording_since", "language",
    )
    return Visit(
        state=State(row["state"]),
        name=seats.name_in(
            key, consultation_id, seat_id, row["name_sealed"], row["ticket_id"],
            row["ticket_name_sealed"] if expected else None,
        ),
        consent=row["consent"] and expected,
        place=places.opened(key, consultation_id, row["place_sealed"]) if expected and here else None,
        **{name: row[name] for name in same},
    )
