"""Network namespaces of our own: made, entered, emptied and removed; nothing of the host's own network is touched.

A namespace is named ``telemed-line-PID-START-COUNT-PLACE``. PID and START (the start time of that process in clock
ticks, proc(5), stat field 22) say whose it is: what a killed run left behind is known for certain, even when its
number has been given to another process.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

NAMED = Path("/run/netns")  # ip-netns(8)
CLONE_NEWNET = 0x40000000  # linux/sched.h
COMMAND_S = 20  # one ip, tc or iptables command takes milliseconds; on a starved machine a second
NAME = re.compile(r"telemed-line-(\d+)-(\d+)-\d+-[a-z]+")

_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork, so that entering after it allocates nothing new
_counts = itertools.count(1)


class LineError(Exception):
    """A line could not be made, changed or asked."""


def command(*words: str, text: str | None = None) -> str:
    """What the command printed; ``text`` is its input. Raises LineError with the command and its complaint."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_S)
    if done.returncode:
        raise LineError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def new_name(place: str) -> tuple[int, str]:
    """A number and the name of ``place`` that no other process and no earlier call has."""
    count = next(_counts)
    return count, sibling(count, place)


def sibling(count: int, place: str) -> str:
    """The name of another ``place`` of the line with this number."""
    return f"telemed-line-{os.getpid()}-{_started(os.getpid())}-{count}-{place}"


def enter(name: str) -> None:
    """Move the calling thread into the namespace for good: for a child between fork and exec."""
    with (NAMED / name).open("rb") as place:
        _join(place.fileno())


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """The calling thread is in the namespace; sockets made here stay there. Never await inside it."""
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        enter(name)
        try:
            yield
        finally:
            _join(before.fileno())


def remove(name: str) -> None:
    """Kill what runs in the namespace and remove it; one that is gone already is no error."""
    for _ in range(3):  # a process may fork while it is being killed; its child is found by the next look
        found = subprocess.run(("ip", "netns", "pids", name), capture_output=True, text=True, check=False)
        pids = {int(word) for word in found.stdout.split()} - {os.getpid()}
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)


def remove_stale() -> list[str]:
    """Remove the namespaces of runs that are dead; their names."""
    if not NAMED.is_dir():
        return []
    stale = []
    for path in sorted(NAMED.iterdir()):
        found = NAME.fullmatch(path.name)
        if found and _started(int(found[1])) != int(found[2]):
            remove(path.name)
            stale.append(path.name)
    return stale


def _join(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise LineError(os.strerror(ctypes.get_errno()))


def _started(pid: int) -> int | None:
    """Start time of a process in clock ticks after boot; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(text.rpartition(")")[2].split()[19])  # after the name, which may hold spaces, come fields 3, 4, …
