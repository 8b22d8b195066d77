"""One's own organisation."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import StringConstraints

from telemed.http import keys
from telemed.http.route import Body, Route, answer, body
from telemed.http.shapes import OrganisationShown
from telemed.identity import organisations, policy
from telemed.identity.organisations import Organisation

# A telephone number as people write it (ITU-T E.123: digits, +, spaces, parentheses); an extension after ; or /.
PHONE = r"^[0-9+() ./;-]*$"
PHONE_LENGTH = 40
Phone = Annotated[str, StringConstraints(strip_whitespace=True, max_length=PHONE_LENGTH, pattern=PHONE)]


class OrganisationChange(Body):
    """The number that people call when a line drops; empty for none."""

    phone: Phone


def organisation_json(organisation: Organisation) -> OrganisationShown:
    """The organisation as pages show it."""
    return OrganisationShown(
        id=organisation.id, name=organisation.name, zone=organisation.zone, phone=organisation.phone
    )


async def change_organisation(request: web.Request) -> web.Response:
    """Change one's own organisation's telephone number."""
    wanted = await body(request, OrganisationChange)
    async with request.app[keys.DATABASE].transaction() as connection:
        ours = await organisations.get(connection, request[keys.ACCOUNT].organisation_id)
        await policy.require(connection, request[keys.ACTOR], "organisation.change", ours.target)
        ours = await organisations.set_phone(connection, ours.id, wanted.phone)
    return answer(organisation_json(ours))


ROUTES = (
    Route("PATCH", "/api/v1/organisation", "organisation.change", change_organisation,
          "Change one's organisation's telephone number", OrganisationChange, OrganisationShown),
)
