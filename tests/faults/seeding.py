"""Hundreds of stations with their keys, every second one with a patient attached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from telemed.identity import accounts, organisations, stations
from telemed.identity.passwords import hash_password
from telemed.patient import attachments, patients
from telemed.patient.patients import Person
from telemed.store.database import Database
from telemed.store.installation import check_key
from telemed.store.sealing import Sealer


async def seed_stations(url: str, key_file: Path, count: int) -> list[dict[str, Any]]:
    """Make them; of each its id, its key and its open attachment or None."""
    sealer = Sealer.load(key_file)
    database = Database(url)
    await database.open()
    try:
        async with database.transaction() as connection:
            await check_key(connection, sealer, str(key_file))
            organisation = await organisations.create(connection, "Test organisation")
            operator = await accounts.create(
                connection, organisation, "operator", "Test operator", hash_password("test password 1"), ["operator"])
            made = []
            for at in range(count):
                station = await stations.create(connection, sealer, organisation, f"Station {at}", "")
                _, text = await stations.add_key(connection, station.id)
                attached = None
                if at % 2:
                    person = Person(f"Test patient {at}", 1950)
                    patient = await patients.create(connection, sealer, organisation, person)
                    opened, _ = await attachments.open_next(
                        connection, organisation, station.id, patient.id, None, operator.id)
                    attached = str(opened.id)
                made.append({"id": station.id, "key": text, "attachment": attached})
    finally:
        await database.close()
    return made
