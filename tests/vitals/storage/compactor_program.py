"""A compactor that never rests and writes small batches, to be killed in the middle: URL of the database, key file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from telemed.store.database import Database
from telemed.store.sealing import Sealer
from telemed.vitals.storage import compactor

BATCH_CHUNKS = 60


async def run(url: str, key_file: str) -> None:
    compactor.BATCH_CHUNKS = BATCH_CHUNKS  # type: ignore[misc]
    database = Database(url, 1)
    await database.open()
    sealer = Sealer.load(Path(key_file))
    while True:
        await compactor.compact_once(database, sealer, all_of_it=True)


asyncio.run(run(*sys.argv[1:]))
