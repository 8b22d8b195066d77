"""One way to show a benchmark: a table on the terminal and the same as JSON beside it."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One measured figure; ``peer`` names what it is compared with in the same run, ``goal`` is words."""

    metric: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    goal: str | None = None

    @property
    def ratio(self) -> float | None:
        """The figure over its peer's."""
        return None if not self.peer_value else self.value / self.peer_value


def machine() -> str:
    """The machine in words, without its name."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{psutil.cpu_count()} x {cpu}, {memory:.0f} GiB, {system}"


def show(name: str, rows: Sequence[Row]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{name} · {machine()}", title_justify="left")
    for column in ("metric", "value", "unit", "peer", "peer value", "ratio", "goal"):
        table.add_column(column, justify="right" if column in ("value", "peer value", "ratio") else "left")
    for row in rows:
        table.add_row(
            row.metric, f"{row.value:,.2f}", row.unit, row.peer or "",
            "" if row.peer_value is None else f"{row.peer_value:,.2f}", "" if row.ratio is None else f"{row.ratio:.2f}",
            row.goal or "",
        )
    Console(width=150).print(table)


def report(name: str, rows: Sequence[Row]) -> None:
    """Print the table and write ``results/<name>.json``."""
    show(name, rows)
    RESULTS.mkdir(exist_ok=True)
    content = {
        "name": name, "date": datetime.now(UTC).date().isoformat(), "machine": machine(),
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0–1) of the values lie; the nearest rank."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """User and system time of these processes and their children so far, in seconds."""
    total = 0.0
    for process in processes:
        for one in (process, *process.children(recursive=True)):
            try:
                times = one.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    return total
