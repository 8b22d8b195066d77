"""Who watches what: the live streams of every attachment, their newest numbers, and their watchers.

A board is one attachment: what is on it may be seen by the watchers of its consultation and by nobody else.
Everything here happens at once and in the caller's task; nothing waits for a watcher. Our own numbers alone are
computed a little later: the seconds of hundreds of streams may end together, and no frame waits for all that.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from telemed_devices.native import Frame
from telemed_devices.readings import Reading
from telemed_signal.filters import FilterBank, FilterSpec

from telemed.vitals.counters import SIGNAL_SECONDS
from telemed.vitals.derived import Breaths, Derived, as_message
from telemed.vitals.faults import StreamUnknown, TooManyViews, ViewUnknown
from telemed.vitals.live import LiveStream, StreamCard, View
from telemed.vitals.numbers import derived_message, reading_json, reading_message
from telemed.vitals.watcher import Watcher

DEVICE_SECONDS = 10.0  # a number of ours stays away this long after a device sent the kind
VIEWS_MAX = 65_535  # the view number is a u16
VIEWS_WATCHED = 64  # of one socket: 32 streams in both views
NUMBERS_KEPT = 64  # newest numbers of one board
STREAMS_SHOWN = 64  # of one board: twice what a socket may watch in both views
WORK_SECONDS = 0.002  # of computing numbers at a time: a frame waits no longer for them (a number of ours takes 0.1 ms)
FRAME_TURNS = SIGNAL_SECONDS.labels("frame")  # filtered and handed to its watchers
NUMBER_TURNS = SIGNAL_SECONDS.labels("numbers")
CUTS_KEPT = 1024  # ends of attachments remembered: a station that is away that long is told by the database


@dataclass(slots=True)
class Board:
    """One attachment: its streams, the newest number of each kind and source, and who watches."""

    attachment_id: UUID
    streams: dict[int, LiveStream] = field(default_factory=dict)
    numbers: dict[Hashable, str] = field(default_factory=dict)
    device_heard: dict[str, float] = field(default_factory=dict)
    watchers: set[Watcher] = field(default_factory=set)
    worn_at: float = 0.0  # when a sensor was last on the patient, monotonic seconds
    heart_per_min: float | None = None  # as computed last
    breaths: Breaths = field(default_factory=Breaths)

    def listing(self) -> list[dict[str, Any]]:
        """The streams as the ``streams`` message lists them."""
        return [
            {
                "stream": one.card.id, "kind": one.card.kind, "device": one.card.device, "origin": one.card.origin,
                "channels": [channel.name for channel in one.card.channels], "views": list(one.card.views),
                "live": one.live,
            }
            for one in self.streams.values()
        ]


def _at_once(work: Callable[[], None]) -> None:
    work()


class Hub:
    """The live side of the server. ``monotonic`` is in seconds; ``later`` has work done between other work, soon."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic,
        later: Callable[[Callable[[], None]], object] = _at_once,
    ) -> None:
        self._monotonic = monotonic
        self._later = later
        self._due: dict[int, tuple[Board, LiveStream]] = {}  # whose second is full; a live stream is there once
        self._boards: dict[UUID, Board] = {}
        self._joined: dict[Watcher, frozenset[UUID]] = {}
        self._views: dict[int, View] = {}
        self._next_view = 1
        self._banks: dict[tuple[FilterSpec, float], FilterBank] = {}
        self._derived: dict[int, Derived] = {}
        self._cuts: OrderedDict[UUID, int] = OrderedDict()

    # What the uplink calls.

    def open_stream(
        self, card: StreamCard, *, source: UUID | None = None, started_us: int = 0, opened_us: int | None = None,
        closed_us: int | None = None,
    ) -> LiveStream | None:
        """A station announced this stream as live; an older epoch of the same device and kind ends.

        ``source`` is the run that stamps it, ``started_us`` the stamp of its sample 0; ``opened_us`` and
        ``closed_us`` are its attachment's. Returns None for a stream that nobody here may see: outside every
        attachment, of one that is over, or older than what the same run shows of the device already.
        """
        if card.attachment_id is not None and (closed_us is not None or card.attachment_id in self._cuts):
            return None
        others = [
            (board, other) for board in self._boards.values() for other in board.streams.values()
            if (other.card.station_id, other.card.device, other.card.kind)
            == (card.station_id, card.device, card.kind) and other.card.id != card.id
        ]
        if any(other.source == source and other.started_us > started_us for _, other in others):
            return None
        for board, other in others:
            self._end(board, other)
        if card.attachment_id is None:
            return None
        board = self._board(card.attachment_id)
        stream = board.streams.get(card.id)
        if stream is None:
            if not self._room(board):
                return None
            stream = board.streams[card.id] = LiveStream(card, self._bank, opened_us, source, started_us)
        else:
            stream.reconnect()
        self._derived.pop(card.id, None)
        self._tell_streams(board)
        return stream

    def station_left(self, station_id: int) -> None:
        """The station's socket ended: its streams stay listed, not live, while somebody watches."""
        for board in list(self._boards.values()):
            touched = [one for one in board.streams.values() if one.card.station_id == station_id]
            for stream in touched:
                stream.live = False
            if touched:
                self._tell_streams(board)
                self._sweep(board)

    def cut(self, attachment_id: UUID, closed_us: int) -> None:
        """The attachment was closed: nothing from then on is shown to its watchers, and no further stream of it."""
        self._cuts[attachment_id] = closed_us
        while len(self._cuts) > CUTS_KEPT:
            self._cuts.popitem(last=False)
        board = self._boards.get(attachment_id)
        for stream in board.streams.values() if board else ():
            stream.cut(closed_us)

    def forget(self, stream: LiveStream) -> None:
        """The station's connection no longer knows the stream."""
        board = self._board_of(stream)
        if board is not None:
            self._end(board, stream)

    def unworn(self, seconds: float) -> list[UUID]:
        """The attachments whose station is here while no sensor has been on the patient for so long."""
        latest = self._monotonic() - seconds
        return [
            board.attachment_id for board in self._boards.values()
            if board.worn_at < latest and any(stream.live for stream in board.streams.values())
        ]

    def samples(self, stream: LiveStream, frame: Frame, t0_us: int, error_us: int = 0) -> None:
        """The next frame of a live stream; ``t0_us`` is its consultation time, known to ``error_us``."""
        board = self._board_of(stream)
        if board is None:
            return
        with FRAME_TURNS.time():
            seen = stream.accept(frame, t0_us, error_us)
        if seen is None:
            return
        if frame.flags >> 16 != (1 << frame.channels) - 1:  # not every electrode is off
            board.worn_at = self._monotonic()
        derived = self._derived.get(stream.card.id)
        if derived is None:
            derived = self._derived[stream.card.id] = Derived(stream.card)
        if derived.take(seen) and board.watchers:
            self._want(board, stream)

    def reading(self, stream: LiveStream, reading: Reading, at_us: int, error_us: int = 0) -> None:
        """A device's own number at a consultation time, known to ``error_us``."""
        card = stream.card
        board = self._board_of(stream)
        if board is None or not stream.covers(at_us, error_us):
            return
        if reading.value is not None:
            board.worn_at = board.device_heard[reading.kind] = self._monotonic()
            board.numbers.pop((reading.kind, "derived"), None)
        self._post_number(board, (reading.kind, card.device), reading_message(card, reading_json(reading), at_us))

    def remember(
        self, stream: LiveStream, readings: Iterable[Mapping[str, Any]], at_us: int, error_us: int = 0
    ) -> None:
        """Numbers that were stored before this process began: shown where nothing newer is known."""
        card = stream.card
        board = self._board_of(stream)
        if board is None or not stream.covers(at_us, error_us):
            return
        for reading in readings:
            if (reading["kind"], card.device) not in board.numbers:
                self._post_number(board, (reading["kind"], card.device), reading_message(card, reading, at_us))

    # What the consultation socket calls.

    def join(self, watcher: Watcher, attachments: Iterable[UUID], *, tell: bool = True) -> None:
        """Show the watcher these attachments (and no other any more), the newest numbers at once."""
        wanted = frozenset(attachments)
        before = self._joined.get(watcher, frozenset())
        for attachment_id in before - wanted:
            self._part(watcher, attachment_id)
        self._joined[watcher] = wanted
        for attachment_id in wanted - before:
            board = self._board(attachment_id)
            unwatched = not board.watchers
            board.watchers.add(watcher)
            for stream in board.streams.values() if unwatched else ():
                if stream.card.id in self._derived:
                    self._want(board, stream)
            for key, text in board.numbers.items():
                watcher.number((attachment_id, key), text)
        if tell and wanted != before:
            watcher.event({"type": "streams", "streams": self.listing(watcher)})

    def leave(self, watcher: Watcher) -> None:
        """The watcher's socket ended."""
        for attachment_id in self._joined.pop(watcher, frozenset()):
            self._part(watcher, attachment_id)

    def listing(self, watcher: Watcher) -> list[dict[str, Any]]:
        """The streams that the watcher may watch."""
        boards = (self._boards.get(one) for one in self._joined.get(watcher, ()))
        return [entry for board in boards if board is not None for entry in board.listing()]

    def watch(self, watcher: Watcher, stream_id: int, name: str) -> int:
        """Give the watcher the view from now on; returns its number.

        Raises ``StreamUnknown``, ``ViewUnknown``, ``TooManyViews``.
        """
        boards = (self._boards.get(one) for one in self._joined.get(watcher, ()))
        stream = next((board.streams[stream_id] for board in boards if board and stream_id in board.streams), None)
        if stream is None:
            raise StreamUnknown(stream=stream_id)
        if name not in stream.card.views:
            raise ViewUnknown(view=name)
        if sum(watcher in view.watchers for view in self._views.values()) >= VIEWS_WATCHED:
            raise TooManyViews()
        view = stream.views.get(name) or stream.open_view(name, self._number())
        self._views[view.number] = view
        view.watchers.add(watcher)
        return view.number

    def unwatch(self, watcher: Watcher, number: int) -> None:
        """No more of the view. Raises ``ViewUnknown``."""
        view = self._views.get(number)
        if view is None or watcher not in view.watchers:
            raise ViewUnknown(view=number)
        self._drop(view, watcher)

    # Inside.

    def _board(self, attachment_id: UUID) -> Board:
        if attachment_id not in self._boards:
            self._boards[attachment_id] = Board(attachment_id, worn_at=self._monotonic())
        return self._boards[attachment_id]

    def _board_of(self, stream: LiveStream) -> Board | None:
        """The stream's board while the stream is on it: an ended one shows nothing more."""
        board = self._boards.get(stream.card.attachment_id) if stream.card.attachment_id else None
        return board if board is not None and board.streams.get(stream.card.id) is stream else None

    def _room(self, board: Board) -> bool:
        """Whether one more stream may be shown; the oldest that is no longer live makes room."""
        if len(board.streams) < STREAMS_SHOWN:
            return True
        gone = next((one for one in board.streams.values() if not one.live), None)
        if gone is None:
            return False
        for view in list(gone.views.values()):
            self._views.pop(view.number, None)
        gone.end()
        del board.streams[gone.card.id]
        self._derived.pop(gone.card.id, None)
        return True

    def _bank(self, spec: FilterSpec, rate_hz: float) -> FilterBank:
        return self._banks.setdefault((spec, rate_hz), FilterBank(spec, rate_hz))

    def _number(self) -> int:
        if len(self._views) >= VIEWS_MAX:
            raise TooManyViews()
        while self._next_view in self._views:
            self._next_view = self._next_view % VIEWS_MAX + 1
        number, self._next_view = self._next_view, self._next_view % VIEWS_MAX + 1
        return number

    def _device_speaks(self, board: Board, kind: str) -> bool:
        heard = board.device_heard.get(kind)
        return heard is not None and self._monotonic() - heard < DEVICE_SECONDS

    def _want(self, board: Board, stream: LiveStream) -> None:
        """Have our numbers of the stream computed soon."""
        waits = bool(self._due)
        self._due[stream.card.id] = board, stream
        if not waits:
            self._later(self._work)

    def _work(self) -> None:
        """Compute the numbers that are due, for ``WORK_SECONDS``; the rest has its turn after what came meanwhile."""
        end = self._monotonic() + WORK_SECONDS
        try:
            with NUMBER_TURNS.time():
                while self._due:
                    board, stream = self._due.pop(next(iter(self._due)))
                    if board.watchers and self._board_of(stream) is board:
                        self._derive(board, stream)
                    if self._monotonic() >= end:
                        break
        finally:
            if self._due:
                self._later(self._work)

    def _derive(self, board: Board, stream: LiveStream) -> None:
        """Compute what is new of our number of a stream; a device's own goes before it."""
        derived = self._derived.get(stream.card.id)
        for number, at_us in () if derived is None else derived.numbers(board.heart_per_min):
            shown = number
            if number.kind == "heart_rate":
                board.heart_per_min = number.value
            elif number.kind == "respiration_rate":
                shown = board.breaths.told(number, self._monotonic())
            if not self._device_speaks(board, number.kind):
                text = derived_message(stream.card, as_message(shown, at_us))
                self._post_number(board, (number.kind, "derived"), text)

    def _post_number(self, board: Board, key: Hashable, text: str) -> None:
        if key in board.numbers or len(board.numbers) < NUMBERS_KEPT:
            board.numbers[key] = text
        for watcher in board.watchers:
            watcher.number((board.attachment_id, key), text)

    def _tell_streams(self, board: Board) -> None:
        for watcher in board.watchers:
            watcher.event({"type": "streams", "streams": self.listing(watcher)})

    def _part(self, watcher: Watcher, attachment_id: UUID) -> None:
        board = self._boards.get(attachment_id)
        if board is None:
            return
        board.watchers.discard(watcher)
        for stream in board.streams.values():
            for view in list(stream.views.values()):
                if watcher in view.watchers:
                    self._drop(view, watcher)
        self._sweep(board)

    def _drop(self, view: View, watcher: Watcher) -> None:
        view.watchers.discard(watcher)
        watcher.forget(view.number)
        if not view.watchers:
            self._close_view(view)

    def _close_view(self, view: View) -> None:
        self._views.pop(view.number, None)
        for board in self._boards.values():
            stream = board.streams.get(view.card.id)
            if stream is not None:
                stream.views.pop(view.name, None)
        view.end()

    def _end(self, board: Board, stream: LiveStream) -> None:
        for view in list(stream.views.values()):
            self._views.pop(view.number, None)
        stream.end()
        board.streams.pop(stream.card.id, None)
        self._derived.pop(stream.card.id, None)
        self._tell_streams(board)
        self._sweep(board)

    def _sweep(self, board: Board) -> None:
        if board.watchers:
            return
        for stream in [one for one in board.streams.values() if not one.live]:
            stream.end()
            board.streams.pop(stream.card.id, None)
            self._derived.pop(stream.card.id, None)
        if not board.streams:
            self._boards.pop(board.attachment_id, None)


