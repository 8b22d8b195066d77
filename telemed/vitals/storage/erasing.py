"""What is left of a patient whose key is destroyed is deleted: nobody can read it, and it takes room.

The destroyed key is the erasure; this only clears up. It is done again until nothing is found, so wherever it stops it
goes on, and what comes late is deleted as well.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from telemed.store.database import Database, load_sql

SQL = load_sql("storage")
AT_ONCE: Final = 100  # streams, recordings or files of one question


async def erase_stream(database: Database, stream_id: int, born: datetime) -> None:
    """Delete every row of the stream's samples and readings. Its marks stay: what was acknowledged was."""
    async with database.transaction() as connection:
        for name in ("erase_chunks", "erase_frames", "erase_segments", "erase_pyramid"):
            await connection.execute(SQL[name], stream_id, born)
        await connection.execute(SQL["erase_runs"], stream_id)
        await connection.execute(SQL["erase_done"], stream_id)


async def sweep(database: Database) -> int:
    """Delete what erased patients left: streams, parts of recordings and files; return how many of these."""
    done = 0
    while True:
        async with database.connection() as connection:
            streams = await connection.fetch(SQL["erased_streams"], AT_ONCE)
            recordings = await connection.fetch(SQL["erased_recordings"], AT_ONCE)
            files = await connection.fetch(SQL["erased_files"], AT_ONCE)
        for row in streams:
            await erase_stream(database, row["id"], row["born"])
        for name, rows in (("erase_recording", recordings), ("erase_file", files)):
            for row in rows:
                async with database.connection() as connection:
                    await connection.execute(SQL[name], row["id"])
        found = len(streams) + len(recordings) + len(files)
        if not found:
            return done
        done += found
