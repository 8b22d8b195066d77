"""Clinicians in a consultation: handing it over, inviting a second one. Ended, never deleted.

The assigned clinician's rights to write follow the assignment; second clinicians see and talk.
"""

from __future__ import annotations

from uuid import UUID

from telemed.consultation import consultations
from telemed.consultation.consultations import SQL, Clinician, Consultation
from telemed.consultation.states import Event
from telemed.errors import Conflict, InvalidRequest, NotFound, StateRefused
from telemed.identity import accounts
from telemed.store.database import Connection
from telemed.store.sealing import Sealer

LISTED = 500  # colleagues in one answer
SECOND = 20  # second clinicians of one consultation


async def colleagues(connection: Connection, organisation_id: UUID) -> list[Clinician]:
    """The organisation's enabled clinicians by name, at most ``LISTED``."""
    rows = await connection.fetch(SQL["colleagues"], organisation_id, LISTED)
    return [Clinician(row["id"], row["name"]) for row in rows]


async def check_clinician(connection: Connection, organisation_id: UUID, account_id: UUID, field: str) -> None:
    """Pass for an enabled clinician of the organisation. Raises ``InvalidRequest`` naming the field."""
    try:
        account = await accounts.get(connection, account_id)
    except NotFound:
        raise InvalidRequest(field=field) from None
    ours = account.organisation_id == organisation_id
    if not ours or "clinician" not in account.roles or account.disabled_at is not None:
        raise InvalidRequest(field=field)


async def hand_over(
    connection: Connection, sealer: Sealer, consultation: Consultation, clinician_id: UUID
) -> Consultation:
    """A held one is another clinician's from now on; the former takes part as a second one.

    Raises ``StateRefused``, ``Conflict`` when it is that clinician's already, or ``InvalidRequest``.
    """
    former = consultation.clinician_id
    if former == clinician_id:
        raise Conflict()
    await consultations.advance(connection, sealer, consultation, Event.HANDOVER)
    await check_clinician(connection, consultation.organisation_id, clinician_id, "clinician_id")
    await connection.execute(SQL["assign"], consultation.id, clinician_id)
    await connection.fetchval(SQL["invitation_end"], consultation.id, clinician_id)
    if former is not None:
        await connection.execute(SQL["invite"], consultation.id, former, consultation.organisation_id, former)
    return await consultations.get(connection, sealer, consultation.id)


async def invite(
    connection: Connection, sealer: Sealer, consultation: Consultation, account_id: UUID, by: UUID
) -> Consultation:
    """A clinician takes part in a held one beside the assigned one; inviting again changes nothing.

    Raises ``StateRefused`` when it is over, ``Conflict`` for the assigned one and past ``SECOND``, or
    ``InvalidRequest``.
    """
    if not consultations.is_open(consultation):
        raise StateRefused(state=consultation.state.value)
    await check_clinician(connection, consultation.organisation_id, account_id, "account_id")
    others = {one.id for one in consultation.second_clinicians} - {account_id}
    if account_id == consultation.clinician_id or len(others) >= SECOND:
        raise Conflict()
    await connection.execute(SQL["invite"], consultation.id, account_id, consultation.organisation_id, by)
    return await consultations.get(connection, sealer, consultation.id)


async def end(connection: Connection, sealer: Sealer, consultation: Consultation, account_id: UUID) -> Consultation:
    """The second clinician takes part no longer; ending again changes nothing. Raises ``NotFound``."""
    if await connection.fetchval(SQL["invitation_end"], consultation.id, account_id) is None:
        raise NotFound()
    return await consultations.get(connection, sealer, consultation.id)
