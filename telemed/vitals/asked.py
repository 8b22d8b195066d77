"""The clock questions to one peer, and its fixes on their way into the store."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from telemed.store.database import Database
from telemed.vitals.clock import ClockSource, Drift, Fix, FixKeeper
from telemed.vitals.faults import ClockEcho
from telemed.vitals.fixes import write_fix

FIXES_WAITING: Final = 8  # clock fixes not yet stored; one a minute comes
RETRY_SECONDS: Final = 0.5  # between attempts while the database is away


class Asked:
    """One peer's clock: asked, answered, and kept as rows once somebody writes them."""

    __slots__ = ("_drift", "_keeper", "_source", "_waiting")

    def __init__(self) -> None:
        self._source = ClockSource()
        self._keeper = FixKeeper()
        self._drift = Drift()
        self._waiting: list[tuple[Fix, int | None]] = []

    @property
    def best(self) -> Fix | None:
        """The fix that counts now."""
        return self._source.best

    def told(self) -> dict[str, Any] | None:
        """What pages show of this clock: offset and error in microseconds, drift in ppm or None; None: not known."""
        best = self.best
        if best is None:
            return None
        return {"offset_us": best.offset_us, "error_us": best.error_us, "drift_ppm": self._drift.ppm}

    @property
    def waits(self) -> bool:
        """Whether a row waits to be written."""
        return bool(self._waiting)

    def ask(self, now_us: int) -> int:
        """Remember a question sent at ``now_us``; its echo names it."""
        return self._source.ask(now_us)

    def answer(self, echo_us: int, stamp_us: int, now_us: int) -> bool:
        """Take an answer; returns whether a row waits to be written. Raises ``ClockEcho``."""
        fix = self._source.answer(echo_us, stamp_us, now_us)
        if fix is None:
            raise ClockEcho()
        row = self._keeper.take(fix)
        if row is not None:
            self._drift.take(*row)
        if row is None or len(self._waiting) >= FIXES_WAITING:
            return False
        self._waiting.append(row)
        return True

    async def write(self, database: Database, source: UUID, station_id: int | None) -> None:
        """Write the rows that wait. Raises ``DatabaseUnavailable``; what was not written waits on."""
        while self._waiting:
            await write_fix(database, source, station_id, *self._waiting[0])
            del self._waiting[0]
