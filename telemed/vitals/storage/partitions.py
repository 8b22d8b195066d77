"""Partitions of storage: made ahead of time, dropped when segments hold what is in them, deleted when they are old.

The functions of migration 0005 make and drop them: partitions belong to the owner, and the server's role can do no
more than they do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from telemed.store.database import Database, load_sql

SQL = load_sql("storage")

AHEAD: Final = timedelta(hours=6)  # a compactor that does not start is noticed by then
MARK_RESTS: Final = timedelta(seconds=60)  # twice the longest statement: whoever did not see the mark has ended
CLEARED: Final = 5_000  # rows of one deletion


async def make_ahead(database: Database) -> int:
    """Make the partitions of this hour and the next ``AHEAD``; return how many were made. Those there already stay."""
    async with database.connection() as connection:
        made: int = await connection.fetchval(SQL["make_ahead"], AHEAD)
    return made


async def drop_done(database: Database) -> int:
    """Drop the hot hours of which segments hold every chunk, and delete such rows from the default partitions.

    Returns how many hours were dropped. An hour that somebody reads just now is left for the next time.
    """
    dropped = 0
    async with database.connection() as connection:
        for row in await connection.fetch(SQL["hot_hours"]):
            dropped += await connection.fetchval(SQL["drop_hour"], row["hour"])
        for row in await connection.fetch(SQL["left_over"], MARK_RESTS):
            stream = row["stream_id"], row["compacted"]
            await connection.execute(SQL["clear_frames"], *stream)
            while await connection.execute(SQL["clear_chunks"], *stream, CLEARED) == f"DELETE {CLEARED}":
                pass
    return dropped


async def expire(database: Database, before: datetime) -> int:
    """Delete the samples of streams born before the day of ``before``, those of patients on hold left.

    Returns how many streams lost theirs. ``before`` is a day ago at the latest.
    """
    async with database.transaction() as connection:
        gone: int = await connection.fetchval(SQL["expire"], before)
    return gone
