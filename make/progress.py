"""One line a step: what it does, how far it is where a terminal can show it, and how long it took."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

FIRST_LINES_KEPT = 15  # of a failed command's output: npm names the cause first and then explains itself,
LAST_LINES_KEPT = 40  # pip explains and names the cause last


class StepError(Exception):
    """A step of the set-up could not be done; the text says what to do."""


def say(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def quietly(
    title: str,
    command: Sequence[str],
    where: Path,
    env: Mapping[str, str] | None = None,
    *,
    counted: re.Pattern[str] | None = None,
    of: int = 0,
) -> None:
    """Run a command and keep its output to itself unless it fails.

    ``counted`` matches the output lines that stand for one of ``of`` things done. Raises ``StepError`` with
    the command's first and last lines shown.
    """
    started = time.monotonic()
    terminal = sys.stdout.isatty()
    sys.stdout.write(f"{title} ... ")
    sys.stdout.flush()
    try:
        child = subprocess.Popen(
            command, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )
    except OSError as error:
        sys.stdout.write("failed\n")
        raise StepError(f"{title}: {command[0]} does not start ({error.strerror}).") from error
    first: list[str] = []
    last: deque[str] = deque(maxlen=LAST_LINES_KEPT)
    done = 0
    with child:
        for line in child.stdout or ():
            (first if len(first) < FIRST_LINES_KEPT else last).append(line)
            if terminal and counted and counted.match(line):
                done += 1
                sys.stdout.write(f"\r{title} ... {min(done, of)}/{of} ")
                sys.stdout.flush()
    seconds = f"{time.monotonic() - started:.0f} s"
    if child.returncode:
        sys.stdout.write(f"failed after {seconds}\n{''.join([*first, *last])}")
        sys.stdout.flush()
        raise StepError(f"{title}: failed, for the reason above. Once it is gone, run the command again.")
    sys.stdout.write(f"\r{title} ... {seconds}{' ' * 12}\n" if terminal else f"{seconds}\n")
    sys.stdout.flush()
