"""How much more the spool may take, and for how long: bound by its own bytes and by what stays free on the disk. Pure,
but for the question to the disk.

When there is no more room recording stops and what is there stays: each of those chunks was promised to be kept until
the server has it, and whoever looks at the gap later sees when it began. To drop the oldest instead would break that
promise for somebody's evidence in favour of samples that nobody has been told of yet.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BYTES_MAX = 4 * 1024**3  # two days of twelve leads at 1 kHz; the chunks' own bytes, without the file's overhead
RESERVE_BYTES = 512 * 1024**2  # kept free on the disk: for the spool's journal, for logs, and to be able to sign in
SMALL_DISK = 16  # of a disk under 8 GiB only this part of it is kept free
RESUME_PART = 1_024  # of the bound must be free before recording begins again: one hole, not hundreds
NEARLY_HOURS = 4.0  # long enough to send somebody
RATE_S = 60.0  # the present rate is that of the last minute
RATE_LEAST_S = 5.0  # a rate is not told before

State = Literal["ok", "nearly_full", "full"]


@dataclass(frozen=True)
class Room:
    """What the spool says of itself: ``hours_left`` at the present rate, None while nothing is recorded."""

    state: State
    room_bytes: int
    hours_left: float | None


def disk_room(path: Path, reserve_bytes: int = RESERVE_BYTES) -> int:
    """Bytes that may be written on the disk of ``path`` (an existing file) without touching the reserve; may be < 0."""
    disk = os.statvfs(path)
    reserve = min(reserve_bytes, disk.f_blocks * disk.f_frsize // SMALL_DISK)
    return disk.f_bavail * disk.f_frsize - reserve


class Filling:
    """How fast the spool fills. ``now_s`` is any steady clock in seconds."""

    def __init__(self) -> None:
        self._taken: deque[tuple[float, int]] = deque()  # when, bytes; a chunk set a tick: some hundred a minute
        self._sum = 0

    def took(self, now_s: float, size_bytes: int) -> None:
        """So many bytes were recorded."""
        self._taken.append((now_s, size_bytes))
        self._sum += size_bytes
        self._forget(now_s)

    def room(self, now_s: float, room_bytes: int, *, full: bool) -> Room:
        """What there is to say while so many bytes have room."""
        self._forget(now_s)
        hours: float | None = None
        if self._taken and now_s - self._taken[0][0] >= RATE_LEAST_S and self._sum > 0:
            rate = self._sum / (now_s - self._taken[0][0])
            hours = round(max(0, room_bytes) / rate / 3600, 2)
        state: State = "full" if full else "nearly_full" if hours is not None and hours < NEARLY_HOURS else "ok"
        return Room(state, max(0, room_bytes), hours)

    def _forget(self, now_s: float) -> None:
        while self._taken and self._taken[0][0] < now_s - RATE_S:
            self._sum -= self._taken.popleft()[1]
