"""What goes wrong in one simulated run, and when: drawn from its seed, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

TROUBLE_S = (4.0, 10.0)  # how long things go wrong; then everything must come through
EVENTS = (3, 9)
HOUR_US = 3_600_000_000
# Seconds since 1970 at which the server's clock begins: an ordinary day; 20 s before summer time begins and ends in
# Europe/Sofia (2026-03-29 and 2026-10-25, 01:00 UTC); 20 s before an hour, where `born` and the partitions change.
WALLS_S = (1_780_000_000, 1_774_746_000 - 20, 1_792_890_000 - 20, 1_780_002_000 - 20)
# How the station's clock starts: right, a day ahead, a day behind, an hour off, in 1970.
SKEWS_US = (0, 24 * HOUR_US, -24 * HOUR_US, HOUR_US, None)
DRIFT_PPM = 200.0
STEP_US = 600_000_000  # how far the server's clock is set at most

KINDS = (
    ("cut", 4), ("unreachable", 2), ("weather", 3), ("server_kill", 3), ("server_restart", 1), ("station_kill", 2),
    ("away", 2), ("full", 1), ("lose_commit", 2), ("lose_answer", 2), ("compact", 3), ("conflict", 2), ("renew", 1),
    ("hole", 1), ("wall_step", 1),
)  # fmt: skip
# Nothing of these keeps a live chunk from the screen for longer than the connection is away.
SWIFT = frozenset({"cut", "server_kill", "station_kill", "compact", "conflict", "renew", "hole"})


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that goes wrong at ``at_s`` for ``for_s``. ``how`` and ``much`` are what the kind needs."""

    at_s: float
    kind: str
    for_s: float
    how: str
    much: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run."""

    seed: int
    wall_us: int
    skew_us: int | None
    drift_ppm: float
    trouble_s: float
    events: tuple[Event, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """What goes wrong in it."""
        return frozenset(event.kind for event in self.events)


def draw(seed: int) -> Scenario:
    """The run of a seed."""
    dice = random.Random(seed)
    trouble_s = dice.uniform(*TROUBLE_S)
    names, weights = zip(*KINDS, strict=True)
    kinds = dice.choices(names, weights, k=dice.randint(*EVENTS))
    events = [
        Event(
            dice.uniform(0.3, trouble_s), kind, dice.choice((0.1, 0.5, 1.0, 3.0, 9.0)) * dice.uniform(0.5, 1.0),
            dice.choice(("both", "station", "server", "silent")), dice.random(),
        )
        for kind in kinds
    ]
    return Scenario(
        seed, dice.choice(WALLS_S) * 1_000_000 + dice.randrange(1_000_000), dice.choice(SKEWS_US),
        dice.uniform(-DRIFT_PPM, DRIFT_PPM), trouble_s, tuple(sorted(events, key=lambda one: one.at_s)),
    )
