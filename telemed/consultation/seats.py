"""Seats: one browser that joined a visit with a ticket, and whether the clinician let it in.

waiting → admitted or refused; admitted → removed; both may leave and come back as what they were. Only the
SHA-256 of a seat's cookie is kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from telemed.audit import Actor
from telemed.consultation import room_keys, tickets
from telemed.consultation.states import OPEN, State
from telemed.consultation.tickets import Invited, Role
from telemed.errors import NotFound, TelemedError
from telemed.identity.sign_ins import TOKEN_BYTES, TOKEN_LENGTH, token_hash
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import DataKey, Sealer

SQL = load_sql("visit")
SEATS_A_TICKET = 5  # browsers that one link may bring: a phone, a tablet, and some changes of mind
LISTED = tickets.TICKETS_A_VISIT * SEATS_A_TICKET * 2  # in one answer, those of revoked tickets among them

SeatState = Literal["waiting", "admitted", "refused", "removed", "left"]
Decision = Literal["admit", "refuse", "remove"]


class SeatsFull(TelemedError):
    """The ticket has brought as many browsers as it may; ``most`` of them."""

    code = "seats_full"
    status = 409


class SeatRefused(TelemedError):
    """The clinician did not let this browser in."""

    code = "seat_refused"
    status = 403


class SeatRemoved(TelemedError):
    """The clinician, or whoever took the ticket back, sent this browser out."""

    code = "seat_removed"
    status = 403


class SeatDecided(TelemedError):
    """Somebody decided otherwise about this seat, or nobody is there; ``state`` is what it is."""

    code = "seat_decided"
    status = 409


@dataclass(frozen=True, slots=True)
class Seat:
    """A seat as staff see it; ``name`` is what its person gave, else the ticket's; None once the key is destroyed."""

    id: UUID
    ticket_id: UUID
    role: Role
    device: int
    state: SeatState
    name: str | None
    language: Literal["bg", "en"]
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class Guest:
    """Who a request with a seat's cookie is from. ``proof`` is the SHA-256 of the cookie."""

    seat_id: UUID
    organisation_id: UUID
    consultation_id: UUID
    ticket_id: UUID
    role: Role
    device: int
    state: SeatState
    language: Literal["bg", "en"]
    proof: bytes
    expires_at: datetime
    expired: bool
    revoked: bool
    consultation_state: State

    @property
    def stands(self) -> bool:
        """Whether the seat lets its holder do anything at all."""
        sits = self.state in ("waiting", "admitted")
        return sits and not self.expired and not self.revoked and self.consultation_state in OPEN

    @property
    def actor(self) -> Actor:
        """The guest as the policy sees it."""
        return Actor(
            "guest", str(self.seat_id), self.organisation_id, frozenset({self.role}), self.consultation_id,
            self.stands and self.state == "admitted", self.device == 1,
        )


@dataclass(frozen=True, slots=True)
class Joined:
    """What joining gave: the seat and its cookie's token. ``fresh`` when it was made or came back by this."""

    seat_id: UUID
    token: str
    device: int
    fresh: bool


async def find(connection: Connection, seat_id: UUID, token: str) -> Guest | None:
    """The guest whose seat this is, by the cookie's token, in whatever state; None when they do not match."""
    if len(token) != TOKEN_LENGTH or not token.isascii():
        return None
    return await by_proof(connection, seat_id, token_hash(token))


async def by_proof(connection: Connection, seat_id: UUID, proof: bytes) -> Guest | None:
    """As :func:`find`, by the token's hash: a long-lived socket asks again what its guest may."""
    row = await connection.fetchrow(SQL["seat_find"], seat_id, proof)
    if row is None:
        return None
    return Guest(
        seat_id=row["id"], organisation_id=row["organisation_id"], consultation_id=row["consultation_id"],
        ticket_id=row["ticket_id"], role=row["role"], device=row["device"], state=row["state"],
        language=row["language"], proof=row["proof_hash"], expires_at=row["expires_at"], expired=row["expired"],
        revoked=row["revoked"], consultation_state=State(row["consultation_state"]),
    )


async def join(
    connection: Connection,
    sealer: Sealer,
    invited: Invited,
    cookies: Mapping[bytes, str],
    name: str | None,
    language: Literal["bg", "en"],
) -> Joined:
    """The browser's seat: the one it has by its cookies (hash to token), else a new one, which waits.

    ``invited`` is held (``tickets.hold``) in this transaction, so devices are numbered without a hole. Raises
    ``SeatRefused``, ``SeatsFull`` and ``KeyDestroyed``.
    """
    key = await room_keys.room_key(connection, sealer, invited.consultation_id)
    own = await connection.fetch(SQL["seat_of_browser"], invited.ticket_id, list(cookies))
    kept = [row for row in own if row["state"] not in ("refused", "removed")]
    if own and not kept:
        raise SeatRefused()
    if kept:
        row = kept[0]  # of two that its tabs made at once the first, whatever became of the other
        await connection.execute(SQL["seat_back"], row["id"], _sealed(key, invited, row["id"], name), language)
        return Joined(row["id"], cookies[row["proof_hash"]], row["device"], row["state"] == "left")
    device = 1 + await connection.fetchval(SQL["seat_devices"], invited.ticket_id)
    if device > SEATS_A_TICKET:
        raise SeatsFull(most=SEATS_A_TICKET)
    seat_id, token = uuid4(), secrets.token_urlsafe(TOKEN_BYTES)
    await connection.execute(
        SQL["seat_create"], seat_id, invited.organisation_id, invited.consultation_id, invited.ticket_id, device,
        token_hash(token), _sealed(key, invited, seat_id, name), language,
    )
    return Joined(seat_id, token, device, True)


async def of(connection: Connection, sealer: Sealer, consultation_id: UUID) -> list[Seat]:
    """The consultation's seats in order of joining, at most ``LISTED``; of more, who is here or waits, the newest."""
    rows = await connection.fetch(SQL["seat_list"], consultation_id, LISTED)
    key = await room_keys.existing_key(connection, sealer, consultation_id) if rows else None
    return [
        Seat(row["id"], row["ticket_id"], row["role"], row["device"], row["state"],
             name_in(key, consultation_id, row["id"], row["name_sealed"], row["ticket_id"], row["ticket_name_sealed"]),
             row["language"], row["joined_at"])
        for row in rows
    ]


async def get(connection: Connection, sealer: Sealer, consultation_id: UUID, seat_id: UUID) -> Seat:
    """The consultation's seat. Raises ``NotFound``."""
    for seat in await of(connection, sealer, consultation_id):
        if seat.id == seat_id:
            return seat
    raise NotFound()


async def decide(
    connection: Connection, consultation_id: UUID, seat_id: UUID, decision: Decision, by: UUID
) -> SeatState:
    """Carry out the clinician's decision, inside a transaction, and return the seat's state.

    The same decision twice changes nothing. Whoever left can be refused or removed, and then does not come back.
    Raises ``SeatDecided`` when the seat is not in a state for it, ``NotFound``.
    """
    row = await connection.fetchrow(SQL["seat_lock"], seat_id, consultation_id)
    if row is None:
        raise NotFound()
    state: SeatState = row["state"]
    was: SeatState = state
    if state == "left" and decision != "admit":
        was = "waiting" if row["decided_at"] is None else "admitted"
    wanted, into = _DECISIONS[decision]
    if state == into:
        return into
    if was != wanted:
        raise SeatDecided(state=state)
    await connection.execute(SQL["seat_decide"], seat_id, into, by)
    return into


_DECISIONS: Mapping[Decision, tuple[SeatState, SeatState]] = {
    "admit": ("waiting", "admitted"),
    "refuse": ("waiting", "refused"),
    "remove": ("admitted", "removed"),
}


async def admit_patients(connection: Connection, consultation_id: UUID, by: UUID) -> list[UUID]:
    """With the consultation the clinician admits the first browser of each patient's ticket; those let in by this."""
    rows = await connection.fetch(SQL["seat_admit_patients"], consultation_id, by)
    return [row["id"] for row in rows]


async def leave(connection: Connection, seat_id: UUID) -> None:
    """The guest goes; its cookie brings it back as what it was. Refused and removed seats stay that."""
    await connection.execute(SQL["seat_leave"], seat_id)


def name_in(
    key: DataKey | None,
    consultation_id: UUID,
    seat_id: UUID,
    sealed: bytes | None,
    ticket_id: UUID,
    ticket_sealed: bytes | None,
) -> str | None:
    """The name in a seat's row, else the one in its ticket's; None without the room's key."""
    if key is None:
        return None
    if sealed is not None:
        return room_keys.open_text(key, consultation_id, f"seat {seat_id}", sealed)
    if ticket_sealed is not None:
        return room_keys.open_text(key, consultation_id, f"ticket {ticket_id}", ticket_sealed)
    return None


def _sealed(key: DataKey, invited: Invited, seat_id: UUID, name: str | None) -> bytes | None:
    return None if name is None else room_keys.seal_text(key, invited.consultation_id, f"seat {seat_id}", name)
