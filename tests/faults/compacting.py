"""A compactor that never rests: everything there is, again and again, live streams too. To be killed.

    python -m tests.faults.compacting

The environment is the server's. The product's own program waits for ten seconds to be complete and half a minute
between two looks, which in a short run would hardly meet a kill.
"""

from __future__ import annotations

import asyncio
import os

import asyncpg

from telemed.errors import DatabaseUnavailable
from telemed.settings import Settings
from telemed.store.database import Database, DatabaseRefused
from telemed.store.sealing import Sealer
from telemed.supervise import follow_parent
from telemed.vitals.storage.compactor import compact_once
from telemed.vitals.storage.partitions import drop_done, make_ahead

PAUSE_S = 5.0
AWAY_S = 0.5
NICE = 10  # as the product's


async def main() -> None:
    """Until it is killed. Whatever is not a database that is away ends it with a trace."""
    settings = Settings()
    assert settings.database_url is not None
    sealer = Sealer.load(settings.installation_key_file)
    database = Database(settings.database_url)
    while True:
        try:
            await database.open()
            await make_ahead(database)
            while True:
                await compact_once(database, sealer, all_of_it=True)
                await drop_done(database)
                await asyncio.sleep(PAUSE_S)
        except (DatabaseUnavailable, DatabaseRefused):
            await database.close()
            await asyncio.sleep(AWAY_S)
        except (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError) as error:
            # Making and dropping partitions may meet what stations announce; one of the two gives way.
            print(type(error).__name__, flush=True)
            await database.close()
            await asyncio.sleep(AWAY_S)


if __name__ == "__main__":
    follow_parent()
    os.nice(NICE)
    asyncio.run(main())
