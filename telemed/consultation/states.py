"""A consultation's states and what moves it between them. Everything that changes a state is in this table.

scheduled → waiting → live ⇄ interrupted → ended → signed → amended; cancelled and no-show end it early.
``docs/states.svg`` is drawn from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from telemed.errors import StateRefused


class State(StrEnum):
    """Where a consultation is."""

    SCHEDULED = "scheduled"
    WAITING = "waiting"
    LIVE = "live"
    INTERRUPTED = "interrupted"
    ENDED = "ended"
    SIGNED = "signed"
    AMENDED = "amended"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"


class Event(StrEnum):
    """What happens to it."""

    MOVE = "move"  # the appointment gets another time
    ARRIVE = "arrive"  # the patient is at the station or has joined by the link
    ADMIT = "admit"  # a clinician takes it
    HANDOVER = "handover"  # another clinician takes it over
    LINE_LOST = "line_lost"  # nobody of one side is connected
    LINE_BACK = "line_back"  # both sides are, or it goes on by telephone
    END = "end"
    SIGN = "sign"
    AMEND = "amend"
    CANCEL = "cancel"
    MISS = "miss"  # the patient did not come


TABLE: Mapping[tuple[State, Event], State] = MappingProxyType({
    (State.SCHEDULED, Event.MOVE): State.SCHEDULED,
    (State.SCHEDULED, Event.HANDOVER): State.SCHEDULED,
    (State.SCHEDULED, Event.ARRIVE): State.WAITING,
    (State.SCHEDULED, Event.CANCEL): State.CANCELLED,
    (State.SCHEDULED, Event.MISS): State.NO_SHOW,
    (State.WAITING, Event.ADMIT): State.LIVE,
    (State.WAITING, Event.HANDOVER): State.WAITING,
    (State.WAITING, Event.CANCEL): State.CANCELLED,
    (State.WAITING, Event.MISS): State.NO_SHOW,
    (State.LIVE, Event.LINE_LOST): State.INTERRUPTED,
    (State.LIVE, Event.HANDOVER): State.LIVE,
    (State.LIVE, Event.END): State.ENDED,
    (State.INTERRUPTED, Event.LINE_BACK): State.LIVE,
    (State.INTERRUPTED, Event.HANDOVER): State.INTERRUPTED,
    (State.INTERRUPTED, Event.END): State.ENDED,
    (State.ENDED, Event.SIGN): State.SIGNED,
    (State.SIGNED, Event.AMEND): State.AMENDED,
    (State.AMENDED, Event.AMEND): State.AMENDED,
})

# States in which the consultation still occupies its station or waits for it.
OPEN = frozenset({State.SCHEDULED, State.WAITING, State.LIVE, State.INTERRUPTED})


def after(state: State, event: Event) -> State:
    """The state that follows. Raises ``StateRefused``."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise StateRefused(state=state.value) from None
