"""The compactor's process: ``python -m telemed.vitals.storage``, started by ``telemed serve`` with its settings.

It yields to the server wherever both want the processor, and needs nothing from it but the database: whatever it was
doing when it ended is found again there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from telemed.cli.environment import load_settings, log_as_lines
from telemed.errors import DatabaseUnavailable
from telemed.settings import Settings
from telemed.store.database import Database, DatabaseRefused
from telemed.store.sealing import Sealer
from telemed.supervise import follow_parent, stop_signals
from telemed.vitals.storage.compactor import compact_once
from telemed.vitals.storage.erasing import sweep
from telemed.vitals.storage.partitions import drop_done, expire, make_ahead
from telemed.vitals.trouble import trouble

log = structlog.get_logger(__name__)

NICE: Final = 10  # live signals come first
POOL: Final = 2  # connections: one works, one is spare
PASS_SECONDS: Final = 30.0  # between passes over what is hot
AWAY_SECONDS: Final = 2.0  # between attempts while the database is away
MAKE_SECONDS: Final = 3_600.0
DROP_SECONDS: Final = 600.0
SWEEP_SECONDS: Final = 600.0
EXPIRE_SECONDS: Final = 3_600.0

Chore = tuple[str, float, Callable[[], Awaitable[object]]]


async def run(settings: Settings) -> None:
    """Compact until a signal ends it."""
    assert settings.database_url is not None  # noqa: S101 - whoever starts this sets it
    database = Database(settings.database_url, POOL)
    sealer = Sealer.load(settings.installation_key_file)
    with stop_signals() as stop:
        working = asyncio.create_task(_work(database, chores(database, sealer, settings.keep_days)))
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
        await database.close()
    if working in done:
        working.result()


def chores(database: Database, sealer: Sealer, keep_days: int | None) -> list[Chore]:
    """What is done, each with the seconds between two times, in the order of one round."""

    async def old() -> int:
        assert keep_days is not None  # noqa: S101 - see below
        return await expire(database, datetime.now(UTC) - timedelta(days=keep_days))

    found: list[Chore] = [
        ("make_ahead", MAKE_SECONDS, lambda: make_ahead(database)),
        ("compact", PASS_SECONDS, lambda: compact_once(database, sealer)),
        ("sweep", SWEEP_SECONDS, lambda: sweep(database)),
        ("drop_done", DROP_SECONDS, lambda: drop_done(database)),
    ]
    return found if keep_days is None else [*found, ("expire", EXPIRE_SECONDS, old)]


async def _work(database: Database, todo: list[Chore]) -> None:
    due = dict.fromkeys((name for name, _, _ in todo), 0.0)
    away = False
    opened = False
    while True:
        try:
            if not opened:
                await database.open()
                opened = True
            for name, seconds, chore in todo:
                if time.monotonic() >= due[name]:
                    due[name] = time.monotonic() + seconds
                    await chore()
            away = False
        except (DatabaseUnavailable, DatabaseRefused) as error:
            if not away:
                log.warning("compactor_waits", code=error.code)
            away = True
            due = dict.fromkeys(due, 0.0)
            await asyncio.sleep(AWAY_SECONDS)
            continue
        except Exception as error:  # one bad stream must not end what keeps the disk from filling
            log.error("compactor_failed", **trouble(error))
        await asyncio.sleep(max(0.0, min(due.values()) - time.monotonic()))


if __name__ == "__main__":
    follow_parent()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    log_as_lines()
    asyncio.run(run(load_settings()))
