"""How far a long command is, on a terminal; nothing where nobody looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telemed.store.backup_files import Progress

STEPS = {
    "copy": "Copying", "check": "Checking the files", "restore": "Restoring", "analyze": "Counting for the planner",
    "upgrade": "Upgrading", "verify": "Comparing", "redecode": "Reading again",
    "signal": "Analysing",
}  # fmt: skip


@contextmanager
def shown() -> Iterator[Progress]:
    """A bar for each step that is told of; on standard error, so that what a command says stays alone."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(STEPS[step], total=total or 1)
            bars.update(tasks[step], completed=done, total=total or 1)

        yield tell
