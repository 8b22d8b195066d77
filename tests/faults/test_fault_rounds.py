"""Everything that may break is broken under the load of 300 stations: nothing acknowledged is lost, doubled or altered.

`make test` makes one round; `make faults` as many as TELEMED_FAULT_KILLS, _POSTMASTERS, _CUTS and _DISKS ask for, each
over a database of its own. TELEMED_SEED repeats a run.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.faults import disk
from tests.faults.checker import JUDGED
from tests.faults.owner import Outcome, Plan, Round
from tests.faults.schedule import AFTER_MS, ROUND_FAULTS, Counts, schedule, seed_of_run, wanted

QUICK = Counts(
    server_kills=10, postmaster_kills=3, cut_commits=10, compactor_kills=3, compactor_stops=1, server_stops=2,
    server_restarts=1,
)  # fmt: skip
DISKS = Counts(full_disks=1)
BESIDE_LEADS = 3  # `make test` runs two tests at a time: as many chunks, of fewer bytes
LONG = "TELEMED_FAULT_KILLS" in os.environ


def test_one_seed_gives_one_schedule() -> None:
    assert schedule(7, QUICK) == schedule(7, QUICK)
    assert schedule(7, QUICK) != schedule(8, QUICK)
    made = Counter(f"{fault.kind}s" for fault in schedule(7, QUICK))
    assert dict(made) == {name: count for name, count in asdict(QUICK).items() if count}


def test_rounds_together_make_every_fault_once() -> None:
    whole = Counts(server_kills=100, postmaster_kills=50, cut_commits=200, full_disks=3)
    parts = [whole.part(at, 7) for at in range(7)]
    assert sum((Counter(asdict(part)) for part in parts), Counter()) == Counter(asdict(whole)) - Counter()
    assert max(part.total for part in parts) <= ROUND_FAULTS


async def test_fault_rounds_lose_nothing(tmp_path: Path, open_folder: Path) -> None:
    await _rounds(wanted(QUICK), tmp_path, open_folder)


async def test_fault_rounds_on_full_disks_lose_nothing(tmp_path: Path, open_folder: Path) -> None:
    if (sentence := disk.missing()) is not None:
        pytest.skip(sentence)
    await _rounds(wanted(DISKS), tmp_path, open_folder)


async def _rounds(counts: Counts, folder: Path, open_folder: Path) -> None:
    seed = seed_of_run()
    rounds = -(-counts.total // ROUND_FAULTS)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not LONG) as progress:
        line = progress.add_task("faults", total=counts.total)
        done_before = 0
        for at in range(rounds):
            plan = Plan(seed + at, counts.part(at, rounds), restless=at % 2 == 0, leads=12 if LONG else BESIDE_LEADS)

            def tell(done: int, total: int, text: str, before: int = done_before, number: int = at) -> None:
                progress.update(line, completed=before + done, description=f"round {number + 1}/{rounds}: {text}")

            home = open_folder / f"faults-{plan.seed}-{folder.name[-12:]}"
            work = folder / str(at)
            work.mkdir()
            outcome = await Round(plan, work, home, tell).run()
            _judge(plan, outcome)
            done_before += plan.counts.total
            shutil.rmtree(work)  # of a round that failed it stays
            shutil.rmtree(home, ignore_errors=True)
            progress.console.print(_figures(plan, outcome), soft_wrap=True)


def _judge(plan: Plan, outcome: Outcome) -> None:
    again = f"TELEMED_SEED={plan.seed} repeats it"
    made = {f"{kind}s": count for kind, count in outcome.as_left["faults"].items()}
    assert made == {name: count for name, count in asdict(plan.counts).items() if count}, again
    assert len(outcome.after_ms) == plan.counts.total and max(outcome.after_ms) <= AFTER_MS
    for when, report in (("as it was left", outcome.as_left), ("from segments alone", outcome.packed)):
        assert report["counts"] == dict.fromkeys(JUDGED, 0), f"{when}: {report['named']}, {again}"
        assert report["good"] and report["status"] == 0
        assert report["acknowledged"] == report["sent"] == report["stored"] > 0, f"{when}: {again}"
        assert report["refusals"] == {}, again
    assert outcome.generator["again"] > 0


def _figures(plan: Plan, outcome: Outcome) -> str:
    report = outcome.as_left
    worst = max(outcome.after_ms)
    return (
        f"seed {plan.seed}: {report['faults']} in {outcome.seconds:.0f} s; {report['sent']} chunks of "
        f"{report['streams']} streams, {outcome.generator['again']} sent again; faults {worst:.1f} ms after an "
        f"acknowledgement at most, {outcome.late} tries too late; "
        f"missing, doubled, altered: {sum(report['counts'].values())}"
    )


