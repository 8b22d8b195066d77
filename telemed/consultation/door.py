"""A room as its door knows it: one consultation, who belongs to it, and what the policy must know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from telemed.audit import Actor
from telemed.consultation import seats
from telemed.consultation.seats import Guest, SeatRefused, SeatRemoved
from telemed.consultation.states import OPEN, State
from telemed.consultation.tickets import TicketExpired, TicketRevoked, VisitOver
from telemed.errors import KeyDestroyed, NotFound, NotSignedIn, StateRefused, TelemedError
from telemed.identity.policy import Target
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import Sealer

SQL = load_sql("chat")


class SeatLeft(TelemedError):
    """This guest left the visit; joining again with the same link brings it back."""

    code = "seat_left"
    status = 409


class PageReplaced(TelemedError):
    """A newer connection of the same page, or too many pages of one person: this connection ended."""

    code = "page_replaced"
    status = 409


class ParticipantUnknown(TelemedError):
    """Nobody with this id is here with a page that could be muted."""

    code = "participant_unknown"
    status = 404


class TooManyMessages(TelemedError):
    """One page sends more messages of a kind than ``per_minute``; wait a moment."""

    code = "too_many_messages"
    status = 429


@dataclass(frozen=True, slots=True)
class Colleague:
    """An account that belongs to the room."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Room:
    """One consultation. ``seconds`` are accounts invited beside the clinician."""

    id: UUID
    organisation_id: UUID
    patient_id: UUID
    station_id: int | None
    station_name: str | None
    clinician: Colleague | None
    seconds: tuple[Colleague, ...]
    state: State
    vitals_shared: bool
    chat_lines: int
    attachments: tuple[UUID, ...]
    key_destroyed: bool

    @property
    def target(self) -> Target:
        """The consultation as the policy sees it."""
        return Target(
            "consultation", str(self.id), self.organisation_id, patient_id=self.patient_id,
            station_id=self.station_id, clinician_id=None if self.clinician is None else self.clinician.id,
            invited=frozenset(one.id for one in self.seconds), vitals_shared=self.vitals_shared,
        )

    def role_of(self, actor: Actor) -> str:
        """What the actor is in this room; a clinician who looks at a consultation of nobody's is one already."""
        if actor.kind == "guest":
            return min(actor.roles, default="patient")
        if self.clinician is not None and actor.id == str(self.clinician.id):
            return "clinician"
        if any(actor.id == str(one.id) for one in self.seconds):
            return "second_clinician"
        return "clinician" if "clinician" in actor.roles and self.clinician is None else "operator"

    def must_be_open(self) -> None:
        """Raise ``StateRefused`` once the consultation is over: nothing more is said in it."""
        if self.state not in OPEN:
            raise StateRefused(state=self.state.value)


async def find(connection: Connection, consultation_id: UUID) -> Room:
    """The room. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["room"], consultation_id)
    if row is None:
        raise NotFound()
    return _room_of(row)


async def hold(connection: Connection, consultation_id: UUID) -> Room:
    """The room, held until the transaction ends: what is decided about it now stays true. Raises ``NotFound``."""
    await connection.execute(SQL["room_hold"], consultation_id)
    return await find(connection, consultation_id)


async def name_of(connection: Connection, sealer: Sealer, actor: Actor, room: Room) -> str | None:
    """The actor's name: the account's, or what the guest is called in this visit."""
    if actor.kind == "account":
        name: str | None = await connection.fetchval(SQL["account_name"], UUID(actor.id))
        return name
    found = await seats.of(connection, sealer, room.id)
    return next((seat.name for seat in found if str(seat.id) == actor.id), None)


def standing(guest: Guest | None) -> Actor:
    """The guest as the policy sees it now, or why it may be here no longer.

    Raises ``SeatRemoved``, ``SeatRefused``, ``SeatLeft``, ``TicketRevoked``, ``TicketExpired``, ``VisitOver`` or
    ``NotSignedIn``.
    """
    if guest is None:
        raise NotSignedIn()
    gone = {"removed": SeatRemoved, "refused": SeatRefused, "left": SeatLeft}.get(guest.state)
    if gone is not None:
        raise gone()
    if guest.revoked or guest.expired:
        raise (TicketRevoked if guest.revoked else TicketExpired)()
    if guest.consultation_state not in OPEN:
        raise VisitOver(state=guest.consultation_state.value)
    return guest.actor


async def patient_key(connection: Connection, sealer: Sealer, consultation_id: UUID) -> bytes:
    """The key of the consultation's patient, which wraps the keys of its files. Raises ``KeyDestroyed``."""
    wrapped = await connection.fetchval(SQL["patient_key"], consultation_id)
    if wrapped is None:
        raise KeyDestroyed()
    return sealer.unwrap(bytes(wrapped))


def _room_of(row: Mapping[str, Any]) -> Room:
    clinician_id: UUID | None = row["clinician_id"]
    return Room(
        id=row["id"], organisation_id=row["organisation_id"], patient_id=row["patient_id"],
        station_id=row["station_id"], station_name=row["station_name"],
        clinician=None if clinician_id is None else Colleague(clinician_id, row["clinician_name"]),
        seconds=tuple(map(Colleague, row["seconds"], row["second_names"])),
        state=State(row["state"]), vitals_shared=row["vitals_shared"], chat_lines=row["chat_lines"],
        attachments=tuple(row["attachments"]), key_destroyed=row["key_destroyed"],
    )
