"""Which faults a run makes, in what order and how: drawn from one seed, the same for the same seed."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, fields

AFTER_MS = 50.0  # a fault follows an acknowledgement within this; one that is later is not made, and tried again
ROUND_FAULTS = 70  # of one round, over a database of its own: some three minutes and 1 GB of hot rows and log
STOPPED_SHORT_S = 1.0
STOPPED_LONG_S = 9.0  # longer than a station takes silence for a broken line (7.5 s)
CUTS = ("before", "with", "after")  # COMMIT never arrives; both ends are cut with it; the answer alone is lost


@dataclass(frozen=True, slots=True)
class Counts:
    """How many faults of each kind."""

    server_kills: int = 0
    postmaster_kills: int = 0
    cut_commits: int = 0
    full_disks: int = 0
    compactor_kills: int = 0
    compactor_stops: int = 0
    server_stops: int = 0
    server_restarts: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, one.name) for one in fields(self))

    def part(self, at: int, of: int) -> Counts:
        """The ``at``-th of ``of`` nearly equal parts; together they are the whole."""
        return Counts(**{
            one.name: getattr(self, one.name) * (at + 1) // of - getattr(self, one.name) * at // of
            for one in fields(self)
        })


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``after_acks`` acknowledgements are waited for once all is well again; ``seconds`` and ``how`` are
    what the kind needs."""

    kind: str
    after_acks: int
    seconds: float = 0.0
    how: str = ""


def schedule(seed: int, counts: Counts) -> list[Fault]:
    """The faults of a round, in order."""
    dice = random.Random(seed)
    made = [
        _fault(one.name.removesuffix("s"), dice) for one in fields(counts) for _ in range(getattr(counts, one.name))
    ]  # fmt: skip
    dice.shuffle(made)
    return made


def _fault(kind: str, dice: random.Random) -> Fault:
    acks = dice.randint(1, 400)
    match kind:
        case "cut_commit":
            return Fault(kind, dice.randint(1, 40), how=dice.choice(CUTS))
        case "server_stop":
            return Fault(kind, acks, STOPPED_LONG_S if dice.random() < 0.2 else STOPPED_SHORT_S)
        case "compactor_stop":
            return Fault(kind, acks, dice.uniform(1.0, 3.0))
        case "full_disk":
            return Fault(kind, acks, dice.uniform(0.5, 2.0))
        case "server_kill":
            return Fault(kind, acks, dice.choice((0.0, 0.0, 0.5)))
    return Fault(kind, acks)


def wanted(quick: Counts) -> Counts:
    """``quick``, or what the environment says (`make faults`): TELEMED_FAULT_KILLS, _POSTMASTERS, _CUTS, _DISKS."""
    named = {"server_kills": "KILLS", "postmaster_kills": "POSTMASTERS", "cut_commits": "CUTS", "full_disks": "DISKS"}
    values = {one.name: getattr(quick, one.name) for one in fields(quick)}
    for name, variable in named.items():
        if values[name]:
            values[name] = int(os.environ.get(f"TELEMED_FAULT_{variable}", values[name]))
    # What belongs to no goal of its own keeps its share of the faults.
    share = max(1, sum(values[name] for name in named) // max(1, sum(getattr(quick, name) for name in named)))
    for name in values.keys() - named.keys():
        values[name] *= share
    return Counts(**values)


def seed_of_run() -> int:
    """TELEMED_SEED, or a new one; it is in the history and in every message."""
    named = os.environ.get("TELEMED_SEED")
    return int(named) if named else random.SystemRandom().randrange(2**31)
