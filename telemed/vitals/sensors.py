"""A patient who has taken off every sensor for ten minutes is not connected any more: the attachment closes itself.

Whoever forgets to close it would leave the next patient's signals in the first one's record. A station that is away
says nothing about its sensors and closes nothing.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from telemed.audit import SYSTEM, record
from telemed.errors import TelemedError
from telemed.identity import stations
from telemed.patient import attachments
from telemed.vitals.around import Surroundings
from telemed.vitals.fixes import micros

UNWORN_SECONDS: Final = 600.0  # ten minutes: longer than a change of electrodes, shorter than a change of patients
LOOK_SECONDS: Final = 15.0


async def close_unworn(around: Surroundings, seconds: float = UNWORN_SECONDS) -> list[UUID]:
    """Close every attachment without a sensor on the patient for ``seconds``; returns them.

    Raises ``DatabaseUnavailable``; then nothing of the current one happened and the next look tries again.
    """
    closed = []
    for attachment_id in around.hub.unworn(seconds):
        async with around.database.transaction() as connection:
            try:
                attachment = await attachments.get(connection, attachment_id)
                await stations.lock(connection, attachment.station_id)
                attachment = await attachments.close(connection, attachment, None, "sensors_off")
            except TelemedError:  # closed by somebody meanwhile, or gone
                continue
            await record(
                connection, SYSTEM, "attachment.close", "event", object_kind="attachment", object_id=str(attachment_id),
                patient_id=attachment.patient_id, organisation_id=attachment.organisation_id,
                detail={"reason": "sensors_off", "station": attachment.station_id},
            )
        if attachment.closed_at is not None:
            around.hub.cut(attachment.id, micros(attachment.closed_at))
        around.rooms.publish(f"station:{attachment.station_id}", {"type": "attachment", "attachment": None})
        closed.append(attachment_id)
    return closed
