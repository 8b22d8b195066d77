"""The spool in a thread of its own, and what the server said of its chunks, on its way to the disk.

Acknowledgements and refusals are written with the next chunks, so that a busy uplink costs no commit of its own; a
refusal is always written before an acknowledgement that covers the same chunk. While the disk is full both are
kept here, in a bounded form, and what they cover is not read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from telemed_station.errors import SpoolFull
from telemed_station.people_file import PeopleFile
from telemed_station.spool import READ_CHUNKS, REFUSED_BYTES_MAX, Spool
from telemed_station.spool_room import BYTES_MAX, RESERVE_BYTES, Filling
from telemed_station.spooled import Ack, Chunk, Descriptor, Refusal, SpooledStream, Waiting

OPEN_WAIT_S = 900.0  # to seal 2 GiB that an earlier version left in plain, on a slow disk; else it is open in a second
REFUSALS_WAITING = 8_192  # not yet on disk; more than one connection remembers as sent

T = TypeVar("T")


class SpoolThread:
    """Calls run one after the other, in the order they were made."""

    def __init__(
        self, path: Path, bytes_max: int = BYTES_MAX, refused_max: int = REFUSED_BYTES_MAX, *,
        reserve_bytes: int = RESERVE_BYTES, key_file: Path | None = None,
    ) -> None:  # fmt: skip
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._filling = Filling()
        try:
            self._spool = self._thread.submit(
                Spool, path, bytes_max, refused_max, reserve_bytes=reserve_bytes, key_file=key_file
            ).result(OPEN_WAIT_S)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._acks: dict[int, Ack] = {}
        self._refusals: dict[tuple[int, int | None], Refusal] = {}

    @property
    def waiting(self) -> Waiting:
        """What is not acknowledged yet."""
        return self._spool.waiting

    @property
    def refused_streams(self) -> frozenset[int]:
        """Streams that the server refused for good."""
        return self._spool.refused_streams

    def told(self, now_us: int, *, full: bool) -> dict[str, Any]:
        """The ``queue`` of the status (docs/protocol.md section 4); ``now_us`` is the station's stamp of now."""
        waiting, oldest_us = self._spool.waiting, self._spool.oldest_us
        room = self._filling.room(time.monotonic(), self._spool.room_bytes, full=full)
        return {
            "chunks": waiting.chunks,
            "bytes": waiting.bytes,
            "oldest_s": None if oldest_us is None else round(max(0, now_us - oldest_us) / 1e6, 1),
            "state": room.state,
            "room_bytes": room.room_bytes,
            "hours_left": room.hours_left,
            "refused": waiting.refused,
            "unreadable": self._spool.aside,
        }

    def acknowledge(self, ack: Ack) -> None:
        """Forget what the acknowledgement covers at the next write."""
        held = self._acks.get(ack.number)
        self._acks[ack.number] = ack if held is None else held.joined(ack)

    def refuse(self, refusal: Refusal) -> bool:
        """Set the chunk or stream aside at the next write; False when ``REFUSALS_WAITING`` wait already."""
        if len(self._refusals) >= REFUSALS_WAITING:
            return False
        self._refusals.setdefault((refusal.number, refusal.seq), refusal)
        return True

    async def begin(self, descriptors: Sequence[Descriptor]) -> list[SpooledStream]:
        """New streams with numbers never used before."""
        return await self._call(lambda: self._spool.begin(descriptors))

    async def write(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Write what the server said, then keep these chunks; returns those to send.

        Raises ``SpoolFull`` and keeps none of them; what the server said is not lost by that.
        """
        acks, self._acks = self._acks, {}
        refusals, self._refusals = self._refusals, {}
        said = (list(acks.values()), list(refusals.values()))
        try:
            to_send = await self._call(lambda: self._spool.write(chunks, *said))
            self._filling.took(time.monotonic(), sum(len(chunk.data) for chunk in chunks))
            return to_send
        except SpoolFull:
            if chunks and (acks or refusals):  # alone they may fit, and make room for the next chunks
                try:
                    await self._call(lambda: self._spool.write((), *said))
                except SpoolFull:
                    self._put_back(acks, refusals)
            else:
                self._put_back(acks, refusals)
            raise
        except BaseException:  # cancelled before it began: said twice is said once
            self._put_back(acks, refusals)
            raise

    def _put_back(self, acks: dict[int, Ack], refusals: dict[tuple[int, int | None], Refusal]) -> None:
        for ack in acks.values():
            self.acknowledge(ack)
        self._refusals = refusals | self._refusals

    async def flush(self) -> None:
        """Write now what the server said; while the disk is full it stays in memory."""
        if self._acks or self._refusals:
            with suppress(SpoolFull):
                await self.write(())

    async def streams(self) -> list[SpooledStream]:
        """Every stream that is open or has chunks to send, newest first; acknowledged ones are gone first."""
        await self.flush()
        return await self._call(self._spool.streams)

    async def read(self, number: int, from_seq: int, below: int, count: int = READ_CHUNKS) -> list[Chunk]:
        """The next chunks to send of a stream, in order; none that the server has spoken of."""
        while True:
            start = from_seq
            chunks = await self._call(lambda: self._spool.read(number, start, below, count))  # noqa: B023 - awaited
            left = [chunk for chunk in chunks if not self._spoken_of(chunk)]
            if left or not chunks:
                return left
            from_seq = chunks[-1].seq + 1

    def _spoken_of(self, chunk: Chunk) -> bool:
        if (chunk.number, chunk.seq) in self._refusals or (chunk.number, None) in self._refusals:
            return True
        ack = self._acks.get(chunk.number)
        return ack is not None and ack.covers(chunk.seq)

    async def about_people(self, work: Callable[[PeopleFile], T]) -> T:
        """Read or write who was entered here."""
        return await self._call(lambda: work(self._spool.people))

    async def close(self) -> None:
        """Write what the server said and close the file."""
        await self.flush()
        await self._call(self._spool.close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
