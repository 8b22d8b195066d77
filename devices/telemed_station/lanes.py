"""What one connection has sent, may send next and waits for: state without a socket.

Two lanes: chunks made since the connection began go out at once (*live*); what lay in the spool before drains
beside them (*backlog*), newest generation first, in order within a stream, with a bounded number of chunks in
flight. A stream is announced after the last live chunk of the generations before it, for the server shows no
more of those then. A chunk that is not acknowledged in time is sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from telemed_station.spooled import Ack, Chunk, SpooledStream

LIVE_WAITING = 1_024  # chunks; a minute of seven streams. More: the line is too slow, begin anew with a fresh lane
MESSAGES_WAITING = 1_024  # answers, and as many announcements; a day offline makes 170 of these
BACKLOG_IN_FLIGHT = 128  # chunks sent and not acknowledged: 0.6 MB of twelve leads, where the line carries them at once
BACKLOG_FIRST = 8  # of those while nothing is known of the line: on a poor one they hold live chunks up by 0.1 to 0.6 s
BACKLOG_LEAST = 2  # of those on a line that is full
BACKLOG_BEHIND_S = 0.3  # from here on the backlog gives way: what is live, voice and picture go by the same line
BACKLOG_GROWTH = 0.5  # more may be in flight for each that is acknowledged: half as many again in a round trip
SENT_MAX = 8_192  # chunks remembered as sent; a server that acknowledges nothing for minutes is left
RESEND_S = 8.0  # a group commit takes 0.1 s; longer than a database that restarts takes is not worth waiting


class LaneFull(Exception):
    """A bound was reached; the connection is given up and the spool holds everything."""


@dataclass
class _Sent:
    at_s: float
    backlog: bool


class Lanes:
    """The two lanes of one connection. ``now_s`` is a steady clock in seconds.

    A stream is not announced while ``waits`` says so of its attachment, and nothing of it is sent.
    """

    def __init__(self, now_s: Callable[[], float], waits: Callable[[object], bool] = lambda _: False) -> None:
        self._now_s = now_s
        self._waits = waits
        self._messages: deque[dict[str, Any]] = deque()
        self._announcements: list[tuple[int, dict[str, Any]]] = []
        self._live: deque[Chunk] = deque()
        self._live_from: dict[int, int] = {}
        self._sent: dict[int, dict[int, _Sent]] = {}
        self._sent_count = 0
        self._backlog_in_flight = 0
        self._backlog_room = float(BACKLOG_FIRST)
        self._answered: set[int] = set()
        self._refused: set[int] = set()

    def post(self, message: dict[str, Any]) -> None:
        """A text message for the server, before any chunk."""
        if len(self._messages) >= MESSAGES_WAITING:
            raise LaneFull("messages")
        self._messages.append(message)

    def next_message(self) -> dict[str, Any] | None:
        """The next text message: an answer, or an announcement before which no older live chunk waits."""
        if self._messages:
            return self._messages.popleft()
        self._skip_refused()
        oldest = self._live[0].number if self._live else None
        for place, (generation, message) in enumerate(self._announcements):
            if self._waits(message["stream"].get("attachment")):
                continue
            if oldest is None or oldest >= generation:  # numbers grow, and a generation's is that of its first stream
                del self._announcements[place]
                return message
        return None

    def offer(self, chunks: Sequence[Chunk]) -> None:
        """Durable chunks just made."""
        if len(self._live) + len(chunks) > LIVE_WAITING:
            raise LaneFull("live")
        self._live.extend(chunks)

    def announce(self, stream: SpooledStream) -> None:
        """Tell the server of a stream; what is offered from now on (or waits already) is live."""
        if stream.number in self._live_from:
            return
        waiting = [chunk.seq for chunk in self._live if chunk.number == stream.number]
        live_from = min([stream.next_seq, *waiting])
        if len(self._announcements) >= MESSAGES_WAITING:
            raise LaneFull("announcements")
        self._live_from[stream.number] = live_from
        described = {"number": stream.number, **stream.descriptor}
        self._announcements.append(
            (stream.generation, {"type": "announce", "stream": described, "live_from": live_from})
        )

    def live_from(self, number: int) -> int:
        """The first live seq of an announced stream."""
        return self._live_from[number]

    def announced(self, number: int) -> None:
        """The server knows the stream."""
        self._answered.add(number)

    def refuse(self, number: int) -> None:
        """The server does not take this stream on this connection."""
        self._refused.add(number)
        self._answered.add(number)

    def answered(self, number: int) -> bool:
        """Whether the server has answered the announcement."""
        return number in self._answered

    def refused(self, number: int) -> bool:
        """Whether the answer was a refusal."""
        return number in self._refused

    def next_live(self) -> Chunk | None:
        """The next live chunk of an announced stream, when ``next_message`` has no more; it counts as sent."""
        self._skip_refused()
        if not self._live or self._live[0].number not in self._live_from:
            return None
        if any(message["stream"]["number"] == self._live[0].number for _, message in self._announcements):
            return None  # its announcement waits
        chunk = self._live.popleft()
        self._note(chunk, backlog=False)
        return chunk

    def _skip_refused(self) -> None:
        while self._live and self._live[0].number in self._refused:
            self._live.popleft()

    def waits_live(self, number: int) -> bool:
        """Whether a live chunk of the stream waits."""
        return any(chunk.number == number for chunk in self._live)

    def backlog_room(self) -> bool:
        """Whether another backlog chunk may be in flight."""
        return self._backlog_in_flight < int(self._backlog_room)

    def held_up(self, seconds: float) -> None:
        """What was sent waits so long on the line beyond its length. Say so four times a second."""
        if seconds > BACKLOG_BEHIND_S:
            self._backlog_room = max(self._backlog_room / 2, float(BACKLOG_LEAST))

    def in_flight(self, number: int, seq: int) -> bool:
        """Whether the chunk was sent and not acknowledged yet."""
        return seq in self._sent.get(number, ())

    def take_backlog(self, chunk: Chunk) -> None:
        """A backlog chunk is about to be sent."""
        self._note(chunk, backlog=True)

    def acknowledge(self, ack: Ack) -> None:
        """These chunks are committed at the server."""
        sent = self._sent.get(ack.number)
        if not sent:
            return
        through = -1 if ack.through is None else ack.through
        for seq in [
            seq for seq in sent if seq <= through or any(low <= seq <= high for low, high in ack.ranges)
        ]:  # fmt: skip
            if sent[seq].backlog:
                self._backlog_room = min(self._backlog_room + BACKLOG_GROWTH, float(BACKLOG_IN_FLIGHT))
            self._forget(ack.number, seq)

    def drop(self, number: int, seq: int) -> None:
        """This chunk will not be sent again on this connection."""
        if self.in_flight(number, seq):
            self._forget(number, seq)

    def overdue(self) -> list[tuple[int, int]]:
        """Chunks sent too long ago without an acknowledgement; they count as not sent."""
        limit = self._now_s() - RESEND_S
        late = [
            (number, seq) for number, sent in self._sent.items() for seq, note in sent.items() if note.at_s <= limit
        ]
        for number, seq in late:
            self._forget(number, seq)
        return sorted(late)

    def _note(self, chunk: Chunk, *, backlog: bool) -> None:
        if self._sent_count >= SENT_MAX:
            raise LaneFull("sent")
        sent = self._sent.setdefault(chunk.number, {})
        if chunk.seq not in sent:
            sent[chunk.seq] = _Sent(self._now_s(), backlog)
            self._sent_count += 1
            self._backlog_in_flight += backlog

    def _forget(self, number: int, seq: int) -> None:
        note = self._sent[number].pop(seq)
        self._sent_count -= 1
        self._backlog_in_flight -= note.backlog
        if not self._sent[number]:
            del self._sent[number]
