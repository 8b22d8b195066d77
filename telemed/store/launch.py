"""Becomes PostgreSQL: gives up root, asks to be told when the parent dies, then replaces itself.

Run by path as ``python -I -S launch.py UID GID PARENT PROGRAM ARGUMENT...``; UID and GID are -1 when the process is
not root. The interpreter starts before privileges are given up, because the account may not be able to read it.
This file imports nothing of ours.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
KEEP = -1  # the UID that says: stay who you are


def become(uid: int, gid: int, parent: int, command: list[str]) -> None:
    """Replace this process with ``command`` as ``uid``; it gets SIGINT (fast shutdown) when ``parent`` dies."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    if uid != KEEP:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After setuid, which clears the request (prctl(2)); execv keeps it.
    if prctl is not None and prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0) != 0:
        sys.exit(f"cannot follow the parent: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the request took effect
        sys.exit("the parent is gone")
    os.execv(command[0], command)  # noqa: S606 - the whole purpose; no shell


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
