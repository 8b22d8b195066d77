"""What lay in the spool when the connection began, on its way into the lanes: newest generation first, then resends.

Generations of somebody whom the server does not know yet wait for its answer, and hold up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby

from telemed_station.lanes import LaneFull, Lanes
from telemed_station.people import People
from telemed_station.spool_thread import SpoolThread
from telemed_station.spooled import Chunk, SpooledStream

ANSWER_S = 60.0  # an announcement; the database may be restarting
READ_AHEAD = 16  # backlog chunks read from disk before they are sent


class Backlog:
    """Of one connection. ``ahead`` is what may be sent; ``again`` what must be sent once more, (number, seq)."""

    def __init__(
        self, lanes: Lanes, spool: SpoolThread, people: People, *, wake: asyncio.Event, moved: asyncio.Event
    ) -> None:
        self._lanes = lanes
        self._spool = spool
        self._people = people
        self._wake = wake  # something may be sent
        self._moved = moved  # the server answered something
        self._waiting: list[Sequence[SpooledStream]] = []  # generations in the spool that wait, newest first
        self.ahead: asyncio.Queue[Chunk] = asyncio.Queue(READ_AHEAD)
        self.again: list[tuple[int, int]] = []

    async def drain(self) -> None:
        """Announce what the spool holds and read it ahead of the sender, newest generation first; then resend."""
        waiting = await self._spool.streams()
        for number in self._spool.refused_streams:
            self._lanes.refuse(number)
        generations = [list(streams) for _, streams in groupby(waiting, lambda stream: stream.generation)]
        for stream in (stream for streams in generations for stream in streams):
            if self._lanes.waits_live(stream.number):
                self._lanes.announce(stream)
        for streams in generations:
            if self._waits(streams):
                self._waiting.append(streams)
            else:
                await self._generation(streams)
        while True:
            while not self.again:
                self._moved.clear()
                await self._moved.wait()
            again, self.again = self.again, []
            for number, seq in again:
                for chunk in await self._spool.read(number, seq, seq + 1):
                    await self._ahead(chunk)

    async def drain_waiting(self) -> None:
        """The generations of people whom the server does not know yet, once it does."""
        while True:
            free = next((streams for streams in self._waiting if not self._waits(streams)), None)
            if free is not None:
                self._waiting.remove(free)
                await self._generation(free)
            else:
                self._moved.clear()
                await self._moved.wait()

    def _waits(self, streams: Sequence[SpooledStream]) -> bool:
        return any(self._people.waits(stream.descriptor.get("attachment")) for stream in streams)

    async def _generation(self, streams: Sequence[SpooledStream]) -> None:
        """Announce streams begun together; then their backlog, a few chunks of each in turn."""
        for stream in streams:
            self._lanes.announce(stream)
        self._wake.set()
        await self._answers([stream.number for stream in streams])
        await self._spool.flush()  # what "announced" told us need not be sent
        places = {stream.number: 0 for stream in streams if not self._lanes.refused(stream.number)}
        while places:
            for number, from_seq in list(places.items()):
                chunks = await self._spool.read(number, from_seq, self._lanes.live_from(number), READ_AHEAD)
                for chunk in chunks:
                    await self._ahead(chunk)
                if chunks:
                    places[number] = chunks[-1].seq + 1
                else:
                    del places[number]

    async def _answers(self, numbers: Sequence[int]) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                while not all(self._lanes.answered(number) for number in numbers):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            raise LaneFull("announcement not answered") from error

    async def _ahead(self, chunk: Chunk) -> None:
        if not self._lanes.in_flight(chunk.number, chunk.seq) and not self._lanes.refused(chunk.number):
            await self.ahead.put(chunk)
            self._wake.set()
