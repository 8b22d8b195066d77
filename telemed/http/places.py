"""Where the patient is and a telephone number, as staff read and write it."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import StringConstraints

from telemed.consultation import places
from telemed.consultation.places import Place
from telemed.errors import KeyDestroyed
from telemed.http import keys
from telemed.http.announce import load
from telemed.http.route import PLAIN, Body, Route, answer, body, uuid_of
from telemed.identity import policy

# One line like route.Line, or nothing: an empty text takes back what was said.
Address = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300, pattern=f"^{PLAIN}*$")]
Phone = Annotated[str, StringConstraints(strip_whitespace=True, max_length=40, pattern=f"^{PLAIN}*$")]


class PlaceShown(Body):
    """An address that an ambulance finds, and a telephone number; empty where nobody said it."""

    address: Address
    phone: Phone


async def read_place(request: web.Request) -> web.Response:
    """Where the patient is."""
    async with request.app[keys.DATABASE].transaction() as connection:
        consultation = await load(request.app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "place.read", consultation.target)
        place = await places.read(connection, request.app[keys.SEALER], consultation.id)
    return answer(PlaceShown(address="", phone="") if place is None else place_json(place))


async def write_place(request: web.Request) -> web.Response:
    """Say where the patient is."""
    wanted = await body(request, PlaceShown)
    async with request.app[keys.DATABASE].transaction() as connection:
        consultation = await load(request.app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "place.write", consultation.target)
        await places.write(
            connection, request.app[keys.SEALER], consultation.id, Place(wanted.address, wanted.phone)
        )
    return answer(wanted)


def place_json(place: Place) -> PlaceShown:
    """The place as JSON."""
    return PlaceShown(address=place.address, phone=place.phone)


ROUTES = (
    Route("GET", "/api/v1/consultations/{id}/place", "place.read", read_place, "Where the patient is",
          response=PlaceShown, errors=(KeyDestroyed,)),
    Route("PUT", "/api/v1/consultations/{id}/place", "place.write", write_place, "Say where the patient is",
          PlaceShown, PlaceShown, errors=(KeyDestroyed,)),
)
