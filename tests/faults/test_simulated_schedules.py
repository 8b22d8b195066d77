"""The ingest state machine, station and server, under a simulated clock and network: seeds 1, 2, 3, …

`make test` runs 1,000 schedules, `make faults` 100,000 (TELEMED_SCHEDULES). A failure names its seed;
``run(seed)`` of ``simulated_run`` repeats it alone. The broken copies below are what the schedules must find.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from telemed.vitals.commit import Committer
from telemed.vitals.durable import Durable
from tests.faults.simulated_run import Figures, Parts, Violation, run
from tests.faults.simulated_schedule import KINDS

SCHEDULES = int(os.environ.get("TELEMED_SCHEDULES", "1000"))
FIND_WITHIN = 1000  # schedules; each broken copy below is found in the first few
PROCESSES = 2
LONG = SCHEDULES > 1000


class AcksFirst(Committer):
    """Broken: tells before it stores."""

    async def _commit(self, rows: Any) -> None:
        self._tell(rows, set())
        await super()._commit(rows)


class OneTooFar(Durable):
    """Broken: the run from 0 is said to be one longer than it is, where it ends in a hole."""

    @property
    def through(self) -> int:
        return super().through + (len(self.ranges) > 0)


class LastRangeTooFar(Durable):
    """Broken: the end of a range is taken for the number after it."""

    @property
    def ranges(self) -> Any:
        return [(first, last + 1) for first, last in super().ranges]


class Overlooks(Committer):
    """Broken: other bytes under a stored number count as the same."""

    async def _store(self, rows: Any) -> set[int]:
        await super()._store(rows)
        return set()


class Believes(Committer):
    """Broken: what comes under a durable number is taken for the same bytes."""

    async def _without_stored(self, again: Any) -> Any:
        for one in again:
            one.shelf.receipt.committed([one.seq])
        return []


def _one(seed: int) -> Figures | str:
    try:
        return run(seed)
    except Violation as found:
        return str(found)


def _all(seeds: range) -> Iterator[Figures | str]:
    if not LONG:
        yield from map(_one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool, Progress(console=Console(stderr=True)) as bar:
        line = bar.add_task("simulated schedules", total=len(seeds))
        for found in pool.imap_unordered(_one, seeds, chunksize=50):
            bar.advance(line)
            yield found


def test_simulated_schedules_hold() -> None:
    kinds: Counter[str] = Counter()
    chunks = connections = differs = 0
    for found in _all(range(1, SCHEDULES + 1)):
        assert isinstance(found, Figures), found
        kinds.update(found.kinds)
        chunks += found.chunks
        connections += found.connections
        differs += found.differs
    print(f"{SCHEDULES} schedules: {chunks} chunks, {connections} connections, {differs} refused as different")
    assert set(kinds) == {name for name, _ in KINDS}, "every kind of trouble came"
    assert connections > 2 * SCHEDULES and differs > 0


def test_a_simulated_seed_repeats_its_run() -> None:
    for seed in range(1, 6):
        assert run(seed) == run(seed)
    assert run(1).trace != run(2).trace


@pytest.mark.parametrize(
    "parts",
    [
        Parts(committer=AcksFirst), Parts(durable=OneTooFar), Parts(durable=LastRangeTooFar),
        Parts(committer=Overlooks), Parts(committer=Believes),
    ],
    ids=["acks-before-commit", "through-off-by-one", "range-off-by-one", "overlooks-other-bytes", "believes-numbers"],
)  # fmt: skip
def test_simulated_schedules_find_a_broken_copy(parts: Parts) -> None:
    seed = _first(lambda seed: run(seed, parts))
    with pytest.raises(Violation, match=f"seed {seed}"):
        run(seed, parts)
    run(seed)  # as it is, it holds


def _first(runs: Callable[[int], Figures]) -> int:
    for seed in range(1, FIND_WITHIN + 1):
        try:
            runs(seed)
        except Violation:
            return seed
    raise AssertionError(f"not found within {FIND_WITHIN} schedules")
