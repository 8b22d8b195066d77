"""Clock fixes in the store, and the mapping of a stored stamp."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from telemed.store.database import Connection, Database, load_sql
from telemed.vitals.clock import Fix, Mapping

SQL = load_sql("vitals")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(us: int) -> datetime:
    """Microseconds since 1970 as a time, exactly."""
    return EPOCH + timedelta(microseconds=us)


def micros(at: datetime) -> int:
    """A time as microseconds since 1970, exactly."""
    return (at - EPOCH) // timedelta(microseconds=1)


async def write_fix(database: Database, source: UUID, station_id: int | None, fix: Fix, replaces: int | None) -> None:
    """Keep the fix as a row, in the place of the one at ``replaces``."""
    row = (source, station_id, moment(fix.at_us), fix.offset_us, fix.error_us)
    if replaces is None:
        async with database.connection() as connection:
            await connection.execute(SQL["put_fix"], *row)
        return
    async with database.transaction() as connection:
        await connection.execute(SQL["drop_fix"], source, moment(replaces), station_id)
        await connection.execute(SQL["put_fix"], *row)


async def last_fix(database: Database, source: UUID, station_id: int) -> Fix | None:
    """The newest stored fix of a station's source."""
    async with database.connection() as connection:
        row = await connection.fetchrow(SQL["last_fix"], source, station_id)
    return None if row is None else Fix(micros(row["at"]), row["offset_us"], row["error_us"])


async def mappings(
    connection: Connection, sources: Iterable[UUID], stations: Iterable[int]
) -> dict[UUID, Mapping]:
    """The mapping of the stamps of each source of these stations; without a fix a stamp stands for itself."""
    found: dict[UUID, list[Fix]] = {source: [] for source in sources}
    for row in await connection.fetch(SQL["fixes"], list(found), list(stations)):
        found[row["source"]].append(Fix(micros(row["at"]), row["offset_us"], row["error_us"]))
    return {source: Mapping(fixes) for source, fixes in found.items()}
