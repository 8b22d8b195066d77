"""The store of the simulated schedules is faithful: the same schedules on PostgreSQL give the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from telemed.store.embedded import DatabaseUrls
from tests.faults.simulated_lockstep import LockstepStore, Real
from tests.faults.simulated_run import Parts, Violation, run
from tests.faults.simulated_store import STATEMENTS

SEEDS = range(1, 21)


@pytest.fixture
def real(database_urls: DatabaseUrls) -> Iterator[Real]:
    made = Real(database_urls.server, database_urls.owner)
    yield made
    made.close()


def test_simulated_schedules_are_the_same_on_postgresql(real: Real) -> None:
    compared = 0
    for seed in SEEDS:
        stores: list[LockstepStore] = []

        def beside(*values: Any, made: list[LockstepStore] = stores) -> LockstepStore:
            made.append(LockstepStore(real, *values))
            return made[-1]

        assert run(seed, Parts(store=beside)) == run(seed), f"seed {seed}"
        stores[0].compare_all()
        assert len(real.free) == len(set(map(id, real.free)))
        compared += stores[0].compared
    assert compared > 1000
    print(f"{len(SEEDS)} schedules, {compared} statements with the same answer")


def test_a_model_that_errs_is_found(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_is_durable(*_: Any) -> list[Any]:
        return []

    monkeypatch.setitem(STATEMENTS, "storage.durable_ranges", nothing_is_durable)
    with pytest.raises(Violation, match="PostgreSQL says"):
        for seed in SEEDS:
            run(seed, Parts(store=lambda *values: LockstepStore(real, *values)))
