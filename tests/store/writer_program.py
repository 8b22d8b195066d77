"""A writer that is killed: keeps an embedded PostgreSQL, writes numbers, prints each one after its commit.

``writer_program.py HOME FIRST``, with the packages' folders in PYTHONPATH. Lines: ``server PID`` when PostgreSQL runs,
then ``row N`` for every committed row. It works on through a killed server and never ends by itself.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from telemed.errors import DatabaseUnavailable
from telemed.store.database import Database
from telemed.store.embedded import EmbeddedPostgres

PAUSE_SECONDS = 0.02  # between attempts while the server is away


async def write(home: Path, first: int) -> None:
    postgres = EmbeddedPostgres(home)
    await postgres.start()
    watching = asyncio.create_task(postgres.watch())
    database = Database(postgres.urls.owner)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("create table if not exists written (n int primary key)")
    print(f"server {postgres.pid}", flush=True)
    number = first
    while not watching.done():
        try:
            async with database.transaction() as connection:
                await connection.execute("insert into written values ($1) on conflict do nothing", number)
        except DatabaseUnavailable:
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        print(f"row {number}", flush=True)
        number += 1
    watching.result()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
