"""A room in which everybody publishes once and watches slots: what a slot shows is decided here, by who speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telemed.media.relay.forwarder import Forwarder
from telemed.media.relay.speakers import Speakers, seated
from telemed.media.relay.viewer import Viewer


class Watcher:
    """Somebody with slots: ``who`` is never shown what it publishes itself."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.slots: dict[int, Viewer] = {}
        self.seats: dict[int, str] = {}


class Room:
    """Publications and watchers. ``tell`` hears what each slot shows."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._speakers = Speakers()
        self._publications: dict[str, tuple[Forwarder, str]] = {}  # and whose it is
        self._watchers: dict[str, Watcher] = {}

    @property
    def empty(self) -> bool:
        """Whether nobody is there."""
        return not self._publications and not self._watchers

    def publish(self, forwarder: Forwarder, who: str) -> None:
        """A publication is connected."""
        name = forwarder.publication
        self._publications[name] = forwarder, who
        self._speakers.enter(name)
        forwarder.on_level = lambda level_dbov, now_s: self._speakers.note(name, level_dbov, now_s)

    def end(self, publication: str) -> None:
        """A publication is over; its slots go to others at the next :meth:`tick`."""
        self._publications.pop(publication, None)
        self._speakers.leave(publication)

    def watch(self, who: str, number: int, viewer: Viewer) -> None:
        """A slot is connected; it takes the place of an older one of the same number."""
        watcher = self._watchers.setdefault(who, Watcher(who))
        former = watcher.slots.get(number)
        if former is not None and former.forwarder is not None:
            former.forwarder.leave(former)
        watcher.slots[number] = viewer
        watcher.seats.pop(number, None)

    def leave(self, viewer: Viewer) -> None:
        """A slot is closed."""
        for watcher in list(self._watchers.values()):
            for number in [number for number, one in watcher.slots.items() if one is viewer]:
                del watcher.slots[number]
                watcher.seats.pop(number, None)
            if not watcher.slots:
                del self._watchers[watcher.who]

    def tick(self, now_s: float) -> None:
        """Give every slot what it should show now."""
        order = self._speakers.order(now_s)
        for watcher in self._watchers.values():
            others = tuple(name for name in order if self._publications[name][1] != watcher.who)
            seats = seated(watcher.seats, others)
            for number, viewer in watcher.slots.items():
                if watcher.seats.get(number) != seats.get(number):
                    self._show(viewer, seats.get(number))
            watcher.seats = {number: name for number, name in seats.items() if number in watcher.slots}

    def _show(self, viewer: Viewer, name: str | None) -> None:
        if viewer.forwarder is not None:
            viewer.forwarder.leave(viewer)
            viewer.forwarder = None
        if name is not None:
            viewer.forwarder = self._publications[name][0]
            viewer.forwarder.join(viewer)
        self._tell({"event": "slot", "leg": viewer.leg, "publication": name})
