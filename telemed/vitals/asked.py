"""The clock questions to one peer, and its fixes on their way into the store."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final
from uuid import UUID

from telemed.errors import DatabaseUnavailable
from telemed.store.database import Database, DatabaseRefused
from telemed.vitals.clock import ClockSource, Fix, FixKeeper
from telemed.vitals.faults import ClockEcho
from telemed.vitals.fixes import write_fix

FIXES_WAITING: Final = 8  # clock fixes not yet stored; one a minute comes
RETRY_SECONDS: Final = 0.5  # between attempts while the database is away


class Asked:
    """One peer's clock: asked, answered, and kept as rows once somebody writes them."""

    def __init__(self) -> None:
        self._source = ClockSource()
        self._keeper = FixKeeper()
        self._waiting: deque[tuple[Fix, int | None]] = deque()
        self._some = asyncio.Event()

    @property
    def best(self) -> Fix | None:
        """The fix that counts now."""
        return self._source.best

    def ask(self, now_us: int) -> int:
        """Remember a question sent at ``now_us``; its echo names it."""
        return self._source.ask(now_us)

    def answer(self, echo_us: int, stamp_us: int, now_us: int) -> bool:
        """Take an answer; returns whether a row waits to be written. Raises ``ClockEcho``."""
        fix = self._source.answer(echo_us, stamp_us, now_us)
        if fix is None:
            raise ClockEcho()
        row = self._keeper.take(fix)
        if row is None or len(self._waiting) >= FIXES_WAITING:
            return False
        self._waiting.append(row)
        self._some.set()
        return True

    async def write(self, database: Database, source: UUID, station_id: int | None) -> None:
        """Write the rows that wait. Raises ``DatabaseUnavailable``; what was not written waits on."""
        while self._waiting:
            await write_fix(database, source, station_id, *self._waiting[0])
            self._waiting.popleft()

    async def keep(self, database: Database, source: UUID, station_id: int | None) -> None:
        """Write every row, whether or not the database is away meanwhile. Never returns."""
        while True:
            await self._some.wait()
            self._some.clear()
            try:
                await self.write(database, source, station_id)
            except (DatabaseUnavailable, DatabaseRefused):
                self._some.set()
                await asyncio.sleep(RETRY_SECONDS)
