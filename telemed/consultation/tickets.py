"""Tickets: a link in a hand, valid for one visit. Only the SHA-256 of its token is kept; looking never uses it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from telemed.consultation import room_keys
from telemed.consultation.consultations import Consultation
from telemed.consultation.states import OPEN, State
from telemed.errors import NotFound, StateRefused, TelemedError
from telemed.identity.sign_ins import TOKEN_BYTES, TOKEN_LENGTH, token_hash
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import DataKey, Sealer

SQL = load_sql("visit")
TICKETS_A_VISIT = 20  # valid ones of a consultation: everybody of a large family, and some for mistakes
LISTED = 200  # in one answer, revoked ones among them
WALK_IN_SECONDS = 24 * 3600.0  # how long a ticket without an appointment holds
AFTER_BEGIN_SECONDS = 6 * 3600.0  # an appointment late in the evening does not lose its people at midnight
ARRIVE_EARLY_MINUTES = 60  # a patient that joins this long before the appointment is there

Role = Literal["patient", "relative", "interpreter", "second_clinician"]


class TicketUnknown(TelemedError):
    """No visit has this link."""

    code = "ticket_unknown"
    status = 404


class TicketExpired(TelemedError):
    """The link's time is over; ``phone`` is whom to call."""

    code = "ticket_expired"
    status = 410


class TicketRevoked(TelemedError):
    """Whoever gave the link took it back; ``phone`` is whom to call."""

    code = "ticket_revoked"
    status = 410


class VisitOver(TelemedError):
    """The visit is over; ``state`` says how."""

    code = "visit_over"
    status = 410


class TicketsFull(TelemedError):
    """The consultation has as many valid tickets as it may; ``most`` of them."""

    code = "tickets_full"
    status = 409


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as staff see it; ``name`` is None when none was given or the patient's key is destroyed."""

    id: UUID
    consultation_id: UUID
    role: Role
    name: str | None
    language: Literal["bg", "en"]
    created_by: UUID
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Invited:
    """What a ticket's holder may know before joining, and what joining needs. Times by the server's clock."""

    ticket_id: UUID
    organisation_id: UUID
    consultation_id: UUID
    patient_id: UUID
    role: Role
    language: Literal["bg", "en"]
    expires_at: datetime
    state: State
    scheduled_at: datetime | None
    minutes: int
    server_now: datetime
    arrives_from: datetime | None  # None: a walk-in, at any time
    organisation_name: str
    organisation_phone: str
    clinician_name: str | None

    @property
    def over(self) -> bool:
        """Whether the visit has ended, one way or another."""
        return self.state not in OPEN

    @property
    def may_arrive(self) -> bool:
        """Whether a patient that joins now is taken as having come to the appointment."""
        early = self.arrives_from is not None and self.server_now < self.arrives_from
        return self.state is State.SCHEDULED and not early


async def create(
    connection: Connection,
    sealer: Sealer,
    consultation: Consultation,
    role: Role,
    name: str | None,
    language: Literal["bg", "en"],
    by: UUID,
) -> tuple[Ticket, str]:
    """A ticket and its token, which is nowhere kept; inside a transaction.

    Raises ``StateRefused`` when the visit is over, ``TicketsFull``, and ``KeyDestroyed`` with the patient's key.
    """
    state = State(await connection.fetchval(SQL["consultation_hold"], consultation.id))
    if state not in OPEN:
        raise StateRefused(state=state.value)
    if await connection.fetchval(SQL["ticket_count"], consultation.id) >= TICKETS_A_VISIT:
        raise TicketsFull(most=TICKETS_A_VISIT)
    key = await room_keys.room_key(connection, sealer, consultation.id)
    ticket_id, token = uuid4(), secrets.token_urlsafe(TOKEN_BYTES)
    sealed = None if name is None else room_keys.seal_text(key, consultation.id, f"ticket {ticket_id}", name)
    row = await connection.fetchrow(
        SQL["ticket_create"], ticket_id, consultation.id, role, token_hash(token), sealed, language, by,
        WALK_IN_SECONDS, AFTER_BEGIN_SECONDS,
    )
    return _ticket_of(row, key), token


async def follow(connection: Connection, consultation_id: UUID) -> None:
    """After the appointment got another time: its tickets hold for that one."""
    await connection.execute(SQL["ticket_follow"], consultation_id, AFTER_BEGIN_SECONDS)


async def listed(connection: Connection, sealer: Sealer, consultation_id: UUID) -> list[Ticket]:
    """The consultation's tickets, the oldest first, at most ``LISTED``; of more, the valid ones and the newest."""
    rows = await connection.fetch(SQL["ticket_list"], consultation_id, LISTED)
    key = await room_keys.existing_key(connection, sealer, consultation_id)
    return [_ticket_of(row, key) for row in rows]


async def revoke(
    connection: Connection, sealer: Sealer, consultation_id: UUID, ticket_id: UUID, by: UUID
) -> tuple[Ticket, list[UUID]]:
    """Take a ticket back and remove its seats, inside a transaction: the ticket, and the seats removed by this.

    Revoking it again changes nothing. Raises ``NotFound``.
    """
    row = await connection.fetchrow(SQL["ticket_revoke"], ticket_id, consultation_id)
    if row is None:
        raise NotFound()
    removed = await connection.fetch(SQL["ticket_seats_remove"], ticket_id, by)
    key = await room_keys.existing_key(connection, sealer, consultation_id)
    return _ticket_of(row, key), [one["id"] for one in removed]


async def look(connection: Connection, token: str) -> Invited:
    """Whom the token invites to what; uses nothing. Raises ``TicketUnknown``, ``TicketRevoked``, ``TicketExpired``."""
    if len(token) != TOKEN_LENGTH or not token.isascii():
        raise TicketUnknown()
    row = await connection.fetchrow(SQL["ticket_find"], token_hash(token), ARRIVE_EARLY_MINUTES * 60.0)
    if row is None:
        raise TicketUnknown()
    if row["revoked_at"] is not None:
        raise TicketRevoked(phone=row["organisation_phone"])
    if row["expired"]:
        raise TicketExpired(phone=row["organisation_phone"])
    return Invited(
        ticket_id=row["id"], organisation_id=row["organisation_id"], consultation_id=row["consultation_id"],
        patient_id=row["patient_id"], role=row["role"], language=row["language"], expires_at=row["expires_at"],
        state=State(row["state"]), scheduled_at=row["scheduled_at"], minutes=row["minutes"],
        server_now=row["server_now"], arrives_from=row["arrives_from"], organisation_name=row["organisation_name"],
        organisation_phone=row["organisation_phone"], clinician_name=row["clinician_name"],
    )


async def hold(connection: Connection, token: str) -> Invited:
    """As :func:`look`, and nothing of the ticket or its seats changes elsewhere until the transaction ends.

    Raises ``VisitOver`` beside what ``look`` raises.
    """
    found = await look(connection, token)
    await connection.fetchrow(SQL["consultation_hold"], found.consultation_id)
    await connection.fetchrow(SQL["ticket_lock"], found.ticket_id)
    found = await look(connection, token)  # as it is now that it is held
    if found.over:
        raise VisitOver(state=found.state.value)
    return found


def _ticket_of(row: Mapping[str, Any], key: DataKey | None) -> Ticket:
    ticket_id, consultation_id, sealed = row["id"], row["consultation_id"], row["name_sealed"]
    name = None
    if sealed is not None and key is not None:
        name = room_keys.open_text(key, consultation_id, f"ticket {ticket_id}", sealed)
    return Ticket(
        id=ticket_id, consultation_id=consultation_id, role=row["role"], name=name, language=row["language"],
        created_by=row["created_by"], created_at=row["created_at"], expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
