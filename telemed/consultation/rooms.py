"""What happens in a consultation, told to everyone who listens, inside this process.

A room is one consultation. Publishing never waits: each listener has a bounded queue, and a listener that
lets it fill is closed (its socket ends and it comes back with a fresh snapshot), so no event is dropped
silently.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

EVENTS_WAITING = 256  # per listener; a healthy socket holds none

Event = dict[str, Any]


class Hears(Protocol):
    """Whoever is told what happens."""

    def post(self, event: Event) -> None:
        """Take an event. Returns at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """A listener that needs no mailbox: what it calls returns at once."""

    post: Callable[[Event], None]


class Listener:
    """One listener's mailbox. ``closed`` is set when it fell behind."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue(EVENTS_WAITING)
        self.closed = asyncio.Event()

    def post(self, event: Event) -> None:
        """Put the event in the mailbox, or close the listener when the mailbox is full."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.closed.set()


class Rooms:
    """Topics and their listeners. A topic is ``consultation:<uuid>`` or ``station:<id>``."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Hears]] = defaultdict(set)

    @contextmanager
    def listen(self, topic: str) -> Iterator[Listener]:
        """Listen for the body's duration."""
        listener = Listener()
        self.attach(topic, listener)
        try:
            yield listener
        finally:
            self.detach(topic, listener)

    def attach(self, topic: str, listener: Hears) -> None:
        """Tell the listener too, until it is detached."""
        self._listeners[topic].add(listener)

    def detach(self, topic: str, listener: Hears) -> None:
        """Tell it no longer."""
        self._listeners[topic].discard(listener)
        if not self._listeners[topic]:
            del self._listeners[topic]

    def publish(self, topic: str, event: Event) -> None:
        """Tell every listener of the topic."""
        for listener in tuple(self._listeners.get(topic, ())):
            listener.post(event)
