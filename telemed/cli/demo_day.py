"""The demo's operator: there is always a patient waiting; when a consultation has ended, the next patient comes.

Nothing is remembered here: every step looks at what the server has, so a restart of either side goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from telemed.cli.demo_record import DemoRecord
from telemed.cli.server_client import Refused, ServerClient, ServerUnreachable

LOOK_SECONDS = 3.0  # how soon after an end the next patient waits; every look is an audit row
OPEN_STATES = ("waiting", "live", "interrupted")
AHEAD = timedelta(hours=1)  # of the appointment that a start makes
QUARTER = timedelta(minutes=15)  # appointments begin at one
LATE = timedelta(hours=1)  # an appointment that nobody came to by then was missed

LOG = structlog.get_logger(__name__)


async def operate(client: ServerClient, record: DemoRecord) -> None:
    """Bring patient after patient, until cancelled; a server that is away or refuses is asked again."""
    told = ""
    while True:
        try:
            await step(client, record)
            told = ""
        except (ServerUnreachable, Refused) as error:
            if str(error) != told:  # once for a run of the same
                told = str(error)
                LOG.warning("demo_operator_waits", reason=getattr(error, "params", told))
        await asyncio.sleep(LOOK_SECONDS)


async def step(client: ServerClient, record: DemoRecord) -> Mapping[str, Any]:
    """Do the next thing that an operator would do, if there is one; returns the station's open consultation."""
    listed = (await client.get("/api/v1/consultations"))["consultations"]
    ours = [one for one in listed if one["station"] is not None and one["station"]["id"] == record.station_id]
    current = next((one for one in ours if one["state"] in OPEN_STATES), None)
    if current is None:
        wanted = {"patient_id": next_patient(ours, record.patients), "station_id": record.station_id}
        current = await client.post("/api/v1/consultations", wanted)
    if current["state"] == "waiting" and current["attachment_id"] is None:
        await client.post(
            "/api/v1/attachments",
            {
                "station_id": record.station_id,
                "patient_id": current["patient"]["id"],
                "consultation_id": current["id"],
            },
        )
    found: Mapping[str, Any] = current
    return found


async def appoint(client: ServerClient, record: DemoRecord, now: datetime) -> None:
    """The patient at home has an appointment ahead: made an hour ahead where there is none, missed ones closed."""
    listed = (await client.get("/api/v1/consultations?state=scheduled"))["consultations"]
    ahead = False
    for one in listed:
        if one["patient"]["id"] != record.at_home:
            continue
        if datetime.fromisoformat(one["scheduled_at"]) < now - LATE:
            await client.post(f"/api/v1/consultations/{one['id']}/miss", {})
        else:
            ahead = True
    if not ahead:
        when = now + AHEAD
        begin = when + (datetime.min.replace(tzinfo=UTC) - when) % QUARTER
        wanted = {"patient_id": record.at_home, "station_id": None, "scheduled_at": begin.isoformat()}
        await client.post("/api/v1/consultations", wanted)


async def patient_link(client: ServerClient, consultation: Mapping[str, Any], language: str) -> str | None:
    """A fresh link to the consultation for its patient; the links of earlier starts that nobody used are taken back.

    None where the server gives none now (the consultation ended meanwhile, say): the demo goes on without.
    """
    path = f"/api/v1/consultations/{consultation['id']}/tickets"
    try:
        for ticket in (await client.get(path))["tickets"]:
            if ticket["revoked_at"] is None and ticket["role"] == "patient" and not ticket["seats"]:
                await client.delete(f"{path}/{ticket['id']}")
        return str((await client.post(path, {"role": "patient", "language": language}))["link"])
    except (ServerUnreachable, Refused) as error:
        LOG.warning("demo_link_missing", reason=getattr(error, "params", str(error)))
        return None


def next_patient(consultations: Sequence[Mapping[str, Any]], patients: Sequence[str]) -> str:
    """Whoever comes after the patient of the newest consultation, the first after the last."""
    if not consultations:
        return patients[0]
    newest = max(consultations, key=lambda one: str(one["created_at"]))["patient"]["id"]
    return patients[(patients.index(newest) + 1) % len(patients)] if newest in patients else patients[0]
