"""Who may do what: the one table of actor × action × condition on the object, and the one place that asks it.

A route or a socket message names an action; an action without a row does not start (``http.route.mount``).
The middleware asks :func:`admits` (may this kind of actor ever do this), handlers and sockets ask
:func:`require` with the object. A denial is an audit row; an object of another organisation is ``NotFound``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from uuid import UUID

from telemed.audit import Actor, record
from telemed.errors import Forbidden, NotFound, NotSignedIn, TelemedError
from telemed.store.database import Connection, Database

Action = str


class Condition(Enum):
    """What must hold between the actor and the object. Every one but ``ANY`` wants the same organisation."""

    ANY = "no object is concerned"
    ORGANISATION = "the object is of the actor's organisation"
    ASSIGNED = "the actor is the consultation's clinician"
    ASSIGNED_OR_FREE = "the actor is the consultation's clinician, or it has none yet"
    INVITED = "the actor is the consultation's clinician or takes part in it as a second one"
    INVITED_OR_FREE = "the actor is the consultation's clinician or a second one, or it has none yet"
    OWN_STATION = "the object is the station itself or happens at it"
    OWN_VISIT = "the guest's seat is in the consultation"
    EXPECTED = "the guest's seat is in the consultation, and is its link's first browser or was let in"
    ADMITTED = "the guest's seat is in the consultation and the clinician let it in"
    SHARED = "the guest was let in and the clinician shares the vital signs"


@dataclass(frozen=True, slots=True)
class Target:
    """What the policy must know of an object. ``station_id`` is where it is or happens; ``invited`` are accounts."""

    kind: str
    id: str
    organisation_id: UUID
    patient_id: UUID | None = None
    station_id: int | None = None
    clinician_id: UUID | None = None
    invited: frozenset[UUID] = frozenset()
    vitals_shared: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: which roles, under which condition; whether a station; which guests; whether nobody in particular.

    ``audited`` actions write one ``permit`` row when they are granted (reads of patient data among them).
    """

    roles: Mapping[str, Condition] = field(default_factory=dict)
    station: Condition | None = None
    guests: Mapping[str, Condition] = field(default_factory=dict)
    anonymous: bool = False
    audited: bool = False


ROLES = ("clinician", "operator", "administrator", "auditor")
GUESTS = ("patient", "relative", "interpreter", "second_clinician")  # what a ticket may invite somebody as
_ANYBODY = Rule(
    anonymous=True, station=Condition.ANY, roles=dict.fromkeys(ROLES, Condition.ANY),
    guests=dict.fromkeys(GUESTS, Condition.ANY),
)
_SIGNED_IN = Rule(roles=dict.fromkeys(ROLES, Condition.ANY))


def _accounts(condition: Condition, *roles: str, audited: bool = False) -> Rule:
    return Rule(roles=dict.fromkeys(roles, condition), audited=audited)


def _guests(condition: Condition, *roles: str, audited: bool = False) -> Rule:
    return Rule(guests=dict.fromkeys(roles or GUESTS, condition), audited=audited)


_ORG, _OURS, _FREE = Condition.ORGANISATION, Condition.ASSIGNED, Condition.ASSIGNED_OR_FREE
_STATION = Rule(station=Condition.OWN_STATION)
_INVITED, _INVITED_FREE = Condition.INVITED, Condition.INVITED_OR_FREE
_FREE_OR_OPERATOR = Rule(roles={"clinician": _FREE, "operator": _ORG}, audited=True)  # before and around a visit
_LET_IN = dict.fromkeys(GUESTS, Condition.ADMITTED)
_IN_ROOM = Rule(roles={"clinician": _INVITED, "operator": _ORG}, guests=_LET_IN)
_IN_ROOM_AUDITED = Rule(roles={"clinician": _INVITED, "operator": _ORG}, guests=_LET_IN, audited=True)
_AT_DOOR = dict.fromkeys(GUESTS, Condition.OWN_VISIT)
_SOCKET = Rule(roles={"clinician": _INVITED_FREE, "operator": _ORG}, guests=_AT_DOOR)
_WATCHES = Rule(roles={"clinician": _INVITED}, guests=dict.fromkeys(GUESTS, Condition.SHARED))
_MEDIA = Rule(roles={"clinician": _INVITED, "operator": _ORG}, station=Condition.OWN_STATION, guests=_LET_IN)
_MEDIA_BEGUN = Rule(
    roles={"clinician": _INVITED, "operator": _ORG}, station=Condition.OWN_STATION, guests=_LET_IN, audited=True
)

POLICY: Mapping[Action, Rule] = MappingProxyType({
    "health.read": _ANYBODY,
    "metrics.read": _ANYBODY,
    "openapi.read": _ANYBODY,
    "page.read": _ANYBODY,
    "sign_in.create": _ANYBODY,
    "sign_in.end": _SIGNED_IN,
    "me.read": _SIGNED_IN,
    "me.change": _SIGNED_IN,
    "me.sign_ins": _SIGNED_IN,
    "me.sign_in_end": _SIGNED_IN,
    "account.list": _accounts(_ORG, "administrator"),
    "account.create": _accounts(_ORG, "administrator", audited=True),
    "account.disable": _accounts(_ORG, "administrator", audited=True),
    "station.list": _accounts(_ORG, "clinician", "operator", "administrator", "auditor"),
    "station.create": _accounts(_ORG, "administrator", audited=True),
    "station.keys": _accounts(_ORG, "administrator", "auditor"),
    "station.key_create": _accounts(_ORG, "administrator", audited=True),
    "station.key_revoke": _accounts(_ORG, "administrator", audited=True),
    "station.events": _accounts(_ORG, "operator", "administrator", "auditor"),
    "patient.list": _accounts(_ORG, "clinician", "operator", audited=True),
    "patient.create": _accounts(_ORG, "operator", "clinician", audited=True),
    "patient.read": _accounts(_ORG, "clinician", "operator", audited=True),
    "patient.destroy_key": _accounts(_ORG, "administrator", audited=True),
    "patient.hold": _accounts(_ORG, "administrator", audited=True),
    "patient.list_holds": _accounts(_ORG, "administrator", "auditor", audited=True),
    "patient.lift_hold": _accounts(_ORG, "administrator", audited=True),
    "patient.erase": _accounts(_ORG, "administrator", audited=True),
    "consent.record": _accounts(_ORG, "clinician", "operator", audited=True),
    "consent.list": _accounts(_ORG, "clinician", "operator", "auditor", audited=True),
    "consultation.list": _accounts(_ORG, "clinician", "operator", audited=True),
    "consultation.create": _accounts(_ORG, "clinician", "operator", audited=True),
    "consultation.read": Rule(roles={"clinician": _INVITED_FREE, "operator": _ORG}, audited=True),
    "consultation.admit": _accounts(_FREE, "clinician", audited=True),
    "consultation.end": _accounts(_OURS, "clinician", audited=True),
    "consultation.cancel": _FREE_OR_OPERATOR,
    "consultation.move": _FREE_OR_OPERATOR,
    "consultation.arrive": _FREE_OR_OPERATOR,
    "consultation.miss": _FREE_OR_OPERATOR,
    # An operator may as well: a clinician who is gone must not hold a patient and a station for good.
    "consultation.handover": Rule(roles={"clinician": _OURS, "operator": _ORG}, audited=True),
    "consultation.phone": Rule(roles={"clinician": _OURS, "operator": _ORG}, audited=True),
    "consultation.share_vitals": _accounts(_OURS, "clinician", audited=True),
    "recording.switch": _accounts(_OURS, "clinician", audited=True),
    "recording.list": _accounts(_INVITED, "clinician", audited=True),
    "recording.read": _accounts(_INVITED, "clinician", audited=True),
    "consultation.calendar": _FREE_OR_OPERATOR,
    "place.read": Rule(roles={"clinician": _INVITED_FREE, "operator": _ORG}, audited=True),
    "place.write": Rule(roles={"clinician": _INVITED_FREE, "operator": _ORG}, audited=True),
    "participant.invite": _accounts(_OURS, "clinician", audited=True),
    "participant.end": _accounts(_OURS, "clinician", audited=True),
    "colleague.list": _accounts(_ORG, "clinician", "operator"),
    "organisation.change": _accounts(_ORG, "administrator", audited=True),
    "identifier.check": _accounts(Condition.ANY, "clinician", "operator"),
    "patient.merge": _accounts(_ORG, "clinician", "operator", audited=True),
    "ticket.create": _FREE_OR_OPERATOR,
    "ticket.list": _FREE_OR_OPERATOR,
    "ticket.revoke": _FREE_OR_OPERATOR,
    "seat.admit": _accounts(_INVITED, "clinician", audited=True),
    "seat.refuse": _accounts(_INVITED, "clinician", audited=True),
    "seat.remove": _accounts(_INVITED, "clinician", audited=True),
    "visit.look": _ANYBODY,
    "visit.join": _ANYBODY,
    "visit.read": _guests(Condition.OWN_VISIT),
    "visit.leave": _guests(Condition.OWN_VISIT, audited=True),
    "visit.consent": _guests(Condition.EXPECTED, "patient", "relative", audited=True),
    "visit.place": _guests(Condition.EXPECTED, "patient", "relative", audited=True),
    "chat.read": _IN_ROOM_AUDITED,
    "file.create": _IN_ROOM_AUDITED,
    "file.read": _IN_ROOM_AUDITED,
    "note.read": _accounts(_INVITED, "clinician", audited=True),
    "note.draft": _accounts(_OURS, "clinician"),
    "consultation.sign": _accounts(_OURS, "clinician", audited=True),
    "consultation.amend": _accounts(_OURS, "clinician", audited=True),
    "check.create": _ANYBODY,
    "check.publish": _ANYBODY,
    "check.play": _ANYBODY,
    "check.end": _ANYBODY,
    "check.ice_servers": _ANYBODY,
    "attachment.open": _accounts(_ORG, "operator", audited=True),
    "attachment.close": _accounts(_ORG, "operator", audited=True),
    "attachment.list": _accounts(_ORG, "operator", audited=True),
    "attachment.unvisited": _accounts(_ORG, "clinician", "operator", audited=True),
    "attachment.visit": _accounts(_ORG, "clinician", "operator", audited=True),
    "audit.list": _accounts(_ORG, "administrator", "auditor"),
    "review.read": _accounts(_INVITED, "clinician", audited=True),
    "review.export": _accounts(_INVITED, "clinician", audited=True),
    # Whoever may publish or play somewhere; a guest only once let in. Where they may is asked when they do.
    "ice_servers.read": Rule(
        roles={"clinician": Condition.ANY, "operator": Condition.ANY}, station=Condition.ANY, guests=_LET_IN
    ),
    "media.discover": _ANYBODY,
    "media.publish": _MEDIA_BEGUN,
    "media.play": _MEDIA_BEGUN,
    "media.trickle": _MEDIA,
    "media.delete": _MEDIA,
    "consultation_socket.open": Rule(
        roles={"clinician": _INVITED_FREE, "operator": _ORG}, guests=_AT_DOOR, audited=True
    ),
    "consultation_socket.hello": _SOCKET,
    "consultation_socket.clock": _SOCKET,
    "consultation_socket.state": _SOCKET,
    "consultation_socket.watch": _WATCHES,
    "consultation_socket.unwatch": _WATCHES,
    "consultation_socket.say": _IN_ROOM,
    "consultation_socket.mute": _accounts(_INVITED, "clinician", audited=True),
    "notices_socket.open": _accounts(Condition.ANY, "clinician", "operator", audited=True),  # names who waits
    "notices_socket.hello": _accounts(Condition.ANY, "clinician", "operator"),
    "station_socket.open": _STATION,
    "station_socket.hello": _STATION,
    "station_socket.announce": _STATION,
    "station_socket.frame": _STATION,
    "station_socket.chunk": _STATION,
    "station_socket.clock": _STATION,
    "station_socket.status": _STATION,
    "station_socket.provisional": Rule(station=Condition.OWN_STATION, audited=True),
})


def admits(actor: Actor, action: Action) -> None:
    """Pass when some object exists on which the actor may do this. Raises ``NotSignedIn`` or ``Forbidden``."""
    rule = POLICY[action]
    if rule.anonymous or _conditions(actor, rule):
        return
    if actor.kind == "anonymous":
        raise NotSignedIn()
    raise Forbidden()


def decide(actor: Actor, action: Action, target: Target | None) -> type[TelemedError] | None:
    """None when the table grants it, else the refusal: ``NotSignedIn``, ``NotFound`` or ``Forbidden``."""
    rule = POLICY[action]
    conditions = _conditions(actor, rule)
    if rule.anonymous:
        return None
    if actor.kind == "anonymous":
        return NotSignedIn
    if target is not None and target.organisation_id != actor.organisation_id:
        return NotFound
    if any(_holds(condition, actor, target) for condition in conditions):
        return None
    # A station and a guest learn nothing of what happens elsewhere in their organisation.
    elsewhere = actor.kind == "station" or (actor.kind == "guest" and not _visits(actor, target))
    return NotFound if elsewhere and conditions else Forbidden


async def require(
    connection: Connection,
    actor: Actor,
    action: Action,
    target: Target | None = None,
    detail: dict[str, object] | None = None,
) -> None:
    """Return when the table grants it; an audited grant is recorded on this connection with ``detail``.

    Raises ``NotSignedIn``, ``Forbidden`` or ``NotFound``. The denial is recorded at once, or, inside a
    transaction (which the refusal rolls back), carried by the error for :func:`record_denial`.
    """
    refusal = decide(actor, action, target)
    if refusal is None:
        if POLICY[action].audited:
            await granted(connection, actor, action, target, detail)
        return
    error = refusal()
    denial = Denial(actor, action, target)
    if connection.is_in_transaction():
        error.denial = denial
    else:
        await _write_denial(connection, denial)
    raise error


async def granted(
    connection: Connection,
    actor: Actor,
    action: Action,
    target: Target | None = None,
    detail: dict[str, object] | None = None,
) -> None:
    """Record a grant in the transaction that carries it out (:func:`require` does so for audited actions)."""
    await record(
        connection, actor, action, "permit",
        object_kind=target.kind if target else None,
        object_id=target.id if target else None,
        patient_id=target.patient_id if target else None,
        detail=detail,
    )


async def record_denial(database: Database, error: TelemedError) -> None:
    """Write the denial that :func:`require` attached to the error, once; an error without one is left alone.

    The HTTP middleware calls this for every refusal; a socket calls it for a refused message.
    """
    denial, error.denial = error.denial, None
    if isinstance(denial, Denial):
        async with database.connection() as connection:
            await _write_denial(connection, denial)


@dataclass(frozen=True, slots=True)
class Denial:
    """What was refused to whom, on its way to the audit."""

    actor: Actor
    action: Action
    target: Target | None


async def _write_denial(connection: Connection, denial: Denial) -> None:
    target = denial.target
    ours = target is not None and target.organisation_id == denial.actor.organisation_id
    await record(
        connection, denial.actor, denial.action, "deny",
        object_kind=target.kind if target else None,
        object_id=target.id if target else None,
        patient_id=target.patient_id if target is not None and ours else None,
    )


def _conditions(actor: Actor, rule: Rule) -> tuple[Condition, ...]:
    if actor.kind == "account":
        return tuple(condition for role, condition in rule.roles.items() if role in actor.roles)
    if actor.kind == "guest":
        return tuple(condition for role, condition in rule.guests.items() if role in actor.roles)
    if actor.kind == "station":
        return (rule.station,) if rule.station is not None else ()
    return ()


def _holds(condition: Condition, actor: Actor, target: Target | None) -> bool:
    """Whether the condition holds. The organisation was compared before."""
    if condition is Condition.ANY:
        return True
    if condition is Condition.ORGANISATION:
        return actor.organisation_id is not None
    if target is None:
        return False
    if condition is Condition.OWN_STATION:
        return target.station_id is not None and actor.id == str(target.station_id)
    if condition in (Condition.OWN_VISIT, Condition.EXPECTED, Condition.ADMITTED, Condition.SHARED):
        let_in = actor.admitted or condition is Condition.OWN_VISIT or (actor.first and condition is Condition.EXPECTED)
        return _visits(actor, target) and let_in and (target.vitals_shared or condition is not Condition.SHARED)
    mine = target.clinician_id is not None and actor.id == str(target.clinician_id)
    if condition in (Condition.INVITED, Condition.INVITED_OR_FREE):
        mine = mine or any(actor.id == str(account) for account in target.invited)
    free = condition in (Condition.ASSIGNED_OR_FREE, Condition.INVITED_OR_FREE)
    return mine or (free and target.clinician_id is None)


def _visits(actor: Actor, target: Target | None) -> bool:
    """Whether the object is the consultation that the guest's seat is in."""
    here = target is not None and target.kind == "consultation"
    return here and target is not None and target.id == str(actor.consultation_id)
