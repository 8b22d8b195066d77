"""What each one in a room may see of it: pure renderers that copy allowed fields and nothing else.

Staff see every name. A guest sees the names of clinicians and its own, and of everybody else the role; until the
clinician lets it in it sees the clinicians alone. A field that is not listed here never reaches a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from telemed.consultation.chat import Line
from telemed.consultation.door import Room
from telemed.consultation.people import PageState, Present
from telemed.consultation.seats import Seat

CLINICIANS: Final = frozenset({"clinician", "second_clinician"})  # roles whose names guests see
SEATED: Final = frozenset({"waiting", "admitted"})  # seats that are shown; the others are gone
PUBLICATION: Final = ("id", "by", "participant", "source", "kinds", "paused")
SENDER_REPORT: Final = ("type", "publication", "kind", "ntp_ms", "rtp")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks. ``admitted`` is true for all staff."""

    me: str
    staff: bool
    admitted: bool


@dataclass(frozen=True, slots=True)
class Person:
    """One participant: an account, a guest's seat or the station."""

    id: str
    kind: Literal["account", "guest", "station"]
    role: str
    name: str | None
    seat: str | None = None
    device: int = 1
    here: bool = False
    state: PageState = field(default_factory=PageState)


def gather(
    room: Room, seats: Iterable[Seat], present: Iterable[Present], names: Mapping[str, str], *,
    station_online: bool, publications: Iterable[Mapping[str, Any]],
) -> list[Person]:
    """Everybody who belongs to the room or is in it: clinicians, other staff that is here, guests, the station.

    ``names`` are of accounts that are here without belonging to the room.
    """
    here = {one.id: one for one in present}
    found: list[Person] = []
    belonging = [(room.clinician, "clinician"), *((one, "second_clinician") for one in room.seconds)]
    for colleague, role in belonging:
        if colleague is not None and all(str(colleague.id) != one.id for one in found):
            found.append(_account(str(colleague.id), role, colleague.name, here))
    known = {one.id for one in found}
    found += [
        _account(one.id, one.role, names.get(one.id), here)
        for one in here.values() if one.kind == "account" and one.id not in known
    ]
    for seat in seats:
        if seat.state in SEATED:
            page = here.get(str(seat.id))
            found.append(Person(
                str(seat.id), "guest", seat.role, seat.name, seat.state, seat.device, page is not None,
                PageState() if page is None else page.state,
            ))
    if room.station_id is not None:
        found.append(_station(room, station_online, publications))
    return found


def _account(person: str, role: str, name: str | None, here: Mapping[str, Present]) -> Person:
    page = here.get(person)
    return Person(
        person, "account", role, name, here=page is not None, state=PageState() if page is None else page.state
    )


def _station(room: Room, online: bool, publications: Iterable[Mapping[str, Any]]) -> Person:
    me = f"station:{room.station_id}"
    kinds = {kind for one in publications if one.get("participant") == me for kind in one.get("kinds", ())}
    state = PageState(camera="video" in kinds, microphone="audio" in kinds)
    return Person(me, "station", "station", room.station_name, here=online, state=state)


def people(persons: Iterable[Person], viewer: Viewer) -> list[dict[str, Any]]:
    """The PERSONs that the viewer sees."""
    return [_person(one, viewer) for one in persons if _seen(one, viewer)]


def _seen(person: Person, viewer: Viewer) -> bool:
    if viewer.staff:
        return True
    if not viewer.admitted:
        return person.kind == "account" and person.role in CLINICIANS
    return person.id == viewer.me or person.seat != "waiting"


def _person(person: Person, viewer: Viewer) -> dict[str, Any]:
    return {
        "id": person.id, "kind": person.kind, "role": person.role,
        "name": _name(person.id, person.role, person.name, viewer),
        "seat": person.seat, "device": person.device, "here": person.here,
        "camera": person.state.camera, "microphone": person.state.microphone, "screen": person.state.screen,
        "network": person.state.network,
    }


def _name(person: str, role: str, name: str | None, viewer: Viewer) -> str | None:
    return name if viewer.staff or person == viewer.me or role in CLINICIANS else None


def line(one: Line, viewer: Viewer) -> dict[str, Any]:
    """The LINE that the viewer sees."""
    file = one.file
    return {
        "n": one.n, "line": str(one.line), "at": one.at.isoformat(),
        "by": {
            "id": one.author.id, "role": one.author.role,
            "name": _name(one.author.id, one.author.role, one.author.name, viewer),
        },
        "text": one.text,
        "file": None if file is None else {
            "id": str(file.id), "name": file.name, "media_type": file.media_type, "bytes": file.bytes,
            "sha256": file.sha256,
        },
    }


def publications(found: Iterable[Mapping[str, Any]], viewer: Viewer) -> list[dict[str, Any]]:
    """The PUBLICATIONs that the viewer may play: none until it was let in."""
    if not viewer.admitted:
        return []
    return [{key: one[key] for key in PUBLICATION if key in one} for one in found]


def sender_report(event: Mapping[str, Any]) -> dict[str, Any]:
    """The report as the wire has it."""
    return {key: event[key] for key in SENDER_REPORT if key in event}
