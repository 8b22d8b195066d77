"""A recording that is there without a call."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from telemed.http import keys
from telemed.media.backend import Publisher
from telemed.media.recording.film import Film
from telemed.media.recording.kept import SQL, Writing
from telemed.media.recording.tapped import Packet


async def a_recording(app: Any, consultation_id: UUID) -> str:
    """The id of an ended recording of twenty milliseconds of sound."""
    film = Film()
    writing = Writing(app[keys.DATABASE], app[keys.SEALER], consultation_id, Publisher("station:1", "station"))
    film.feed(Packet("opus", 0, False, 0, 0, 1_700_000_000_000_000, b"\x08"))
    async with app[keys.DATABASE].connection() as connection:
        await connection.execute(SQL["switch"], consultation_id, True)
        for part in film.finish():
            await writing.write(0, part, film, None, last=False)
        await connection.execute(SQL["switch"], consultation_id, False)
    await writing.end("switched_off")
    return str(writing.id)
