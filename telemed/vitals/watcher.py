"""What waits for one watcher, bounded: waves drop the oldest and mark the gap, numbers coalesce, events never drop.

Posting never waits, so the live way never feels a slow watcher: while its line takes everything, a post is written at
once and nothing waits here. A watcher that lets its events fill is ``closed``: its socket ends and it comes back with a
fresh snapshot.
"""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections import deque
from collections.abc import Hashable, Iterator
from typing import Any, Final

from telemed.vitals.counters import FRAMES_DROPPED, FRAMES_SENT
from telemed.vitals.wire import Wire, binary_message, text_message

EVENTS_WAITING = 256  # as in a room; a healthy socket holds none
NUMBERS_WAITING = 64  # kinds x sources of one consultation
WAVES_WAITING = 96  # frames: four seconds of five views at 200 ms; older is no longer live
WAVES_BYTES = 2**20  # of frames waiting, for streams with many channels: with what a socket holds below 2 MiB

# Places in the native frame (protocol section 2).
_CRC: Final = 44
_FLAGS: Final = 48
_GAP: Final = 1


class Wave:
    """A frame of a view, with the ``describe`` text that must have been sent before it.

    ``message`` is the frame as it goes over the line, made once for all watchers, and kept once.
    """

    __slots__ = ("_begin", "describe", "message", "view")

    def __init__(self, view: int, describe: str, frame: bytes) -> None:
        self.view = view
        self.describe = describe
        self.message = binary_message(frame)
        self._begin = len(self.message) - len(frame)

    @property
    def frame(self) -> bytes:
        """The frame alone."""
        return self.message[self._begin :]

    @property
    def size(self) -> int:
        """Bytes that it holds in memory."""
        return len(self.message)


class Watcher:
    """The mailbox of one watcher's socket."""

    def __init__(self) -> None:
        self.closed = False
        self._wire: Wire | None = None
        self._taking = False
        self._ready = asyncio.Event()
        self._events: deque[str] = deque()
        self._numbers: dict[Hashable, str] = {}
        self._waves: deque[Wave] = deque()
        self._waves_bytes = 0
        self._dropped: dict[int, int] = {}
        self._described: dict[int, str] = {}

    def event(self, message: dict[str, Any]) -> None:
        """Post an event; a full mailbox closes the watcher."""
        self.event_text(json.dumps(message))

    def event_text(self, text: str) -> None:
        """Post an event that is text already."""
        if (wire := self._clear) is not None:
            wire.write(text_message(text))
            return
        if len(self._events) >= EVENTS_WAITING:
            self.closed = True
        else:
            self._events.append(text)
        self._ready.set()

    def number(self, key: Hashable, text: str) -> None:
        """Post a number; it takes the place of an unsent one of the same key."""
        if (wire := self._clear) is not None:
            wire.write(text_message(text))
            return
        if key in self._numbers or len(self._numbers) < NUMBERS_WAITING:
            self._numbers[key] = text
            self._ready.set()

    def wave(self, wave: Wave) -> None:
        """Post a frame; the oldest go when there are too many."""
        if not self._dropped and (wire := self._clear) is not None:
            if self._described.get(wave.view) is not wave.describe:
                self._described[wave.view] = wave.describe
                wire.write(text_message(wave.describe))
            wire.write(wave.message)
            FRAMES_SENT.inc()
            return
        self._waves.append(wave)
        self._waves_bytes += wave.size
        while len(self._waves) > WAVES_WAITING or self._waves_bytes > WAVES_BYTES:
            lost = self._waves.popleft()
            self._waves_bytes -= lost.size
            self._dropped[lost.view] = self._dropped.get(lost.view, 0) + 1
            FRAMES_DROPPED.inc()
        self._ready.set()

    def forget(self, view: int) -> None:
        """The view is no longer watched: nothing of it is sent any more."""
        kept = [wave for wave in self._waves if wave.view != view]
        self._waves = deque(kept)
        self._waves_bytes = sum(wave.size for wave in kept)
        self._dropped.pop(view, None)
        self._described.pop(view, None)

    @property
    def _clear(self) -> Wire | None:
        """The way out while nothing waits before it, neither here nor on the line."""
        wire = self._wire
        if wire is None or self._taking or self._events or self._numbers or self._waves or self.closed:
            return None
        return wire if wire.clear else None

    def through(self, wire: Wire) -> None:
        """From now on write what is posted at once, where the line takes it and nothing waits before it."""
        self._wire = wire

    def hush(self) -> None:
        """Write nothing at once any more, and let :meth:`ready` return."""
        self._wire = None
        self._ready.set()

    @property
    def waiting(self) -> tuple[int, int, int]:
        """Events, numbers and frames that wait."""
        return len(self._events), len(self._numbers), len(self._waves)

    def wake(self) -> None:
        """Let :meth:`ready` return, whether or not something waits."""
        self._ready.set()

    async def ready(self) -> None:
        """Wait until something is there to send, or the watcher is closed."""
        await self._ready.wait()

    def take(self) -> Iterator[str | bytes]:
        """Yield what waits, in the order of sending; what is posted meanwhile comes too.

        A reader that stops early leaves the rest in its place.
        """
        self._ready.clear()
        self._taking = True
        try:
            while self._events or self._numbers or self._waves:
                if self._events:
                    yield self._events.popleft()
                elif self._numbers:
                    yield self._numbers.pop(next(iter(self._numbers)))
                else:
                    yield from self._take_wave()
        finally:
            self._taking = False

    def _take_wave(self) -> Iterator[str | bytes]:
        wave = self._waves.popleft()
        self._waves_bytes -= wave.size
        frame = wave.frame
        lost = self._dropped.pop(wave.view, 0)
        if lost:
            frame = with_gap(frame)
            yield json.dumps({"type": "dropped", "view": wave.view, "frames": lost})
        if self._described.get(wave.view) is not wave.describe:
            self._described[wave.view] = wave.describe
            yield wave.describe
        FRAMES_SENT.inc()
        yield frame


def with_gap(frame: bytes) -> bytes:
    """The frame with flag bit 0 set and its checksum made anew."""
    copy = bytearray(frame)
    flags: int = struct.unpack_from("<I", copy, _FLAGS)[0]
    struct.pack_into("<I", copy, _FLAGS, flags | _GAP)
    struct.pack_into("<I", copy, _CRC, 0)
    struct.pack_into("<I", copy, _CRC, zlib.crc32(copy))
    return bytes(copy)
