"""The policy's rules themselves: socket messages, conditions, other organisations; and that no row may be missing.

Like the table of ``test_policy``, the one here is written by hand from the roles' duties.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp.web
import pytest

from telemed.audit import Actor
from telemed.http import keys
from telemed.http.route import PolicyIncomplete, Route, mount
from telemed.identity import policy
from telemed.identity.policy import GUESTS, POLICY, Target

# C the consultation's clinician, I one invited beside, c another clinician, O operator, A administrator, U auditor,
# S its station, s another. Guests of the visit: P patient, R relative, N interpreter, D second clinician, all
# admitted; w a second browser that waits; p a patient of another visit.
STAFF, LET_IN = "CIO", "PRND"
MESSAGES: dict[str, str] = {
    "station_socket.hello": "S", "station_socket.announce": "S", "station_socket.frame": "S",
    "station_socket.chunk": "S", "station_socket.clock": "S", "station_socket.status": "S",
    "station_socket.provisional": "S",
    "consultation_socket.hello": STAFF + LET_IN + "w", "consultation_socket.clock": STAFF + LET_IN + "w",
    "consultation_socket.state": STAFF + LET_IN + "w", "consultation_socket.watch": "CI",
    "consultation_socket.unwatch": "CI", "consultation_socket.say": STAFF + LET_IN, "consultation_socket.mute": "CI",
    "notices_socket.hello": "CIcO",
}
SHARED = ("consultation_socket.watch", "consultation_socket.unwatch")  # to guests while the clinician shares them


def guest(organisation: UUID, role: str, consultation: UUID, *, admitted: bool = True) -> Actor:
    return Actor("guest", str(uuid4()), organisation, frozenset({role}), consultation, admitted)


def actors(organisation: UUID) -> dict[str, tuple[Actor, Target]]:
    """Letter to actor, and the live consultation that they are tried on."""
    clinician, invited, consultation, station = uuid4(), uuid4(), uuid4(), 7
    target = Target(
        "consultation", str(consultation), organisation, patient_id=uuid4(), station_id=station,
        clinician_id=clinician, invited=frozenset({invited}),
    )
    people = {"C": (clinician, "clinician"), "I": (invited, "clinician"), "c": (uuid4(), "clinician"),
              "O": (uuid4(), "operator"), "A": (uuid4(), "administrator"), "U": (uuid4(), "auditor")}
    made = {
        letter: Actor("account", str(one), organisation, frozenset({role})) for letter, (one, role) in people.items()
    }
    made |= {
        "S": Actor("station", str(station), organisation), "s": Actor("station", "8", organisation),
        "-": Actor("anonymous", None, None),
        "stranger": Actor("account", str(clinician), uuid4(), frozenset(policy.ROLES)),
        "stranger station": Actor("station", str(station), uuid4()),
        "nobody": Actor("account", str(uuid4()), organisation, frozenset()),
    }
    seats = {"P": "patient", "R": "relative", "N": "interpreter", "D": "second_clinician"}
    made |= {letter: guest(organisation, role, consultation) for letter, role in seats.items()}
    made |= {
        "w": guest(organisation, "patient", consultation, admitted=False), "p": guest(organisation, "patient", uuid4()),
        "stranger guest": guest(uuid4(), "patient", consultation),
        # A guest whose role is an account's stays one that no row names.
        "forger": guest(organisation, "clinician", consultation), "nameless": guest(organisation, "", consultation),
    }
    return {letter: (actor, target) for letter, actor in made.items()}


async def test_every_socket_message_and_every_actor(server: Any) -> None:
    messages = set(server.app[keys.ROUTES].messages)
    assert messages == set(MESSAGES), "socket messages that this table does not know"
    for message, granted in MESSAGES.items():
        for letter, (actor, target) in actors(uuid4()).items():
            assert (policy.decide(actor, message, target) is None) == (letter in granted), (message, letter)
            shared = replace(target, vitals_shared=True)
            also = granted + (LET_IN if message in SHARED else "")
            assert (policy.decide(actor, message, shared) is None) == (letter in also), (message, letter, "shared")


def test_a_free_consultation_can_be_read_and_taken_by_any_clinician_but_not_watched() -> None:
    organisation = uuid4()
    free = Target("consultation", str(uuid4()), organisation, station_id=7)
    clinician = Actor("account", str(uuid4()), organisation, frozenset({"clinician"}))
    for action in ("consultation.read", "consultation.admit", "consultation_socket.open"):
        assert policy.decide(clinician, action, free) is None
    for action in ("consultation.end", "consultation_socket.watch", "review.read", "media.play", "media.publish"):
        assert policy.decide(clinician, action, free) is not None


@pytest.mark.parametrize("action", sorted(POLICY))
def test_no_row_grants_an_object_of_another_organisation(action: str) -> None:
    rule = POLICY[action]
    target = Target("anything", "1", uuid4(), station_id=7, clinician_id=uuid4())
    for actor in (
        Actor("account", str(target.clinician_id), uuid4(), frozenset(policy.ROLES)), Actor("station", "7", uuid4()),
        *(guest(uuid4(), role, uuid4()) for role in GUESTS),
    ):
        assert rule.anonymous or policy.decide(actor, action, target) is not None


def test_a_route_or_message_without_a_row_does_not_start() -> None:
    async def handler(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response()

    row = Route("GET", "/x", "unheard.of", handler, "")
    with pytest.raises(PolicyIncomplete, match=r"unheard\.of"):
        mount(aiohttp.web.Application(), [row], [])
    with pytest.raises(PolicyIncomplete, match="unheard"):
        mount(aiohttp.web.Application(), [], ["unheard_socket.message"])
    beside = aiohttp.web.Application()
    beside.router.add_get("/beside", handler)
    with pytest.raises(PolicyIncomplete, match="beside"):
        mount(beside, [], [])


@pytest.mark.parametrize("action", sorted(POLICY))
def test_no_row_grants_a_guest_anything_of_another_visit_or_of_another_kind(action: str) -> None:
    organisation, visit = uuid4(), uuid4()
    for kind, name in (("consultation", uuid4()), ("patient", visit), ("attachment", visit), ("station", visit)):
        target = Target(kind, str(name), organisation, station_id=7)
        for role in GUESTS:
            refused = policy.decide(guest(organisation, role, visit), action, target) is not None
            assert refused or POLICY[action].anonymous, (kind, role)
        nothing = policy.decide(guest(organisation, "patient", visit), action, None)
        assert POLICY[action].anonymous or nothing is not None


def test_an_invited_clinician_sees_and_speaks_but_neither_ends_nor_writes() -> None:
    organisation, invited = uuid4(), uuid4()
    target = Target(
        "consultation", str(uuid4()), organisation, clinician_id=uuid4(), invited=frozenset({invited})
    )
    beside = Actor("account", str(invited), organisation, frozenset({"clinician"}))
    for action in ("consultation.read", "review.read", "media.publish", "media.play", "note.read", "seat.admit"):
        assert policy.decide(beside, action, target) is None, action
    for action in (
        "consultation.admit", "consultation.end", "consultation.handover", "consultation.sign", "note.draft",
        "participant.invite", "ticket.create", "consultation.share_vitals",
    ):
        assert policy.decide(beside, action, target) is not None, action
