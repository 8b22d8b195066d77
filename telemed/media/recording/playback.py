"""A stored recording as one WebM file of a known length, of which any stretch can be read without the rest.

The head, with the length and a cue for every cluster that a player may begin with, is made from the parts' rows; the
clusters follow it as they were sealed. Pure but for :func:`open_reel`, which reads the rows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from telemed.media.recording.kept import SQL, Recorded
from telemed.media.recording.webm import Cue, Size, file_head
from telemed.store.database import Connection

CUE_EVERY_MS: Final = 1_000  # between cue points, at least
SOUND_CUE_MS: Final = 5_000  # of a recording without a picture, where a player may begin with any cluster
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")  # one range, RFC 9110 section 14.1.2


@dataclass(frozen=True, slots=True)
class Reel:
    """The file: its head, then its parts; ``ends`` is where each of them ends, in bytes from the file's beginning."""

    head: bytes
    numbers: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Of the whole file."""
        return self.ends[-1] if self.ends else len(self.head)

    def pieces(self, first: int, past: int) -> Iterator[tuple[int | None, int, int]]:
        """Whose bytes make up the stretch from ``first`` to before ``past``: a part's number (None: the head) and
        which of its bytes, from and to before."""
        if first < len(self.head):
            yield None, first, min(past, len(self.head))
        at = bisect_right(self.ends, first)
        while at < len(self.ends):
            begins = self.ends[at - 1] if at else len(self.head)
            if begins >= past:
                return
            yield self.numbers[at], max(0, first - begins), min(past, self.ends[at]) - begins
            at += 1


async def open_reel(connection: Connection, recorded: Recorded) -> Reel:
    """The file of an ended recording."""
    rows = await connection.fetch(SQL["parts"], recorded.id)
    size = None if recorded.width is None or recorded.height is None else Size(recorded.width, recorded.height)
    cues: list[Cue] = []
    places = [0, *accumulate(row["bytes"] for row in rows)]
    apart_ms = SOUND_CUE_MS if size is None else CUE_EVERY_MS
    for row, place in zip(rows, places, strict=False):
        may = row["whole"] or size is None
        if may and (not cues or row["first_ms"] - cues[-1].ms >= apart_ms):
            cues.append(Cue(row["first_ms"], place))
    length_ms = max((row["until_ms"] for row in rows), default=0)
    head = file_head(length_ms, size, recorded.sound, cues, places[-1])
    return Reel(head, tuple(row["n"] for row in rows), tuple(len(head) + place for place in places[1:]))


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one past the last that a Range header asks for; None for the whole file, as for a header of
    several ranges or another unit (RFC 9110 section 14.2). Raises ``ValueError`` when the file has none of it."""
    found = _RANGE.fullmatch(header.strip()) if header is not None else None
    if found is None or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if first == "":
        begin, past = max(0, size - int(last)), size
    else:
        begin, past = int(first), size if last == "" else min(size, int(last) + 1)
        if last != "" and int(last) < begin:
            return None
    if begin >= past:
        raise ValueError("beyond the end")
    return begin, past
