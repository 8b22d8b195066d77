"""A disk that fills up at once and has room again at once: a tmpfs whose size is set to what it holds. As root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SIZE = "3g"  # of memory, and only what is written of it: a database of some minutes and its log
SLACK_BYTES = 64 * 1024  # written between the look and the order
TRIES = 50


def missing() -> str | None:
    """Why there can be no such disk here, in one sentence; None when there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "full disks need a small tmpfs, and that needs root on Linux: left out"
    if shutil.which("mount") is None:
        return "full disks need mount(8): left out"
    return None


class Disk:
    """A tmpfs over ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mount(self) -> str | None:
        """Mount it; else the sentence of ``missing``."""
        self._folder.mkdir(exist_ok=True)
        mode = self._folder.stat().st_mode & 0o777
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode={mode:o}", "tmpfs", str(self._folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return None if done.returncode == 0 else f"full disks need a small tmpfs: {done.stderr.strip()}: left out"

    def unmount(self) -> None:
        """Take it away, with what is on it."""
        subprocess.run(["umount", "-l", str(self._folder)], check=True)

    def fill(self) -> None:
        """No room from now on."""
        for _ in range(TRIES):  # what is written meanwhile makes the order too small
            state = os.statvfs(self._folder)
            used = (state.f_blocks - state.f_bfree) * state.f_frsize
            if self._resize(str(used + SLACK_BYTES)) == 0:
                return
        raise OSError("the tmpfs cannot be made smaller")

    def empty(self) -> None:
        """Room again."""
        if self._resize(SIZE) != 0:
            raise OSError("the tmpfs cannot be made larger")

    def _resize(self, size: str) -> int:
        return subprocess.run(
            ["mount", "-o", f"remount,size={size}", str(self._folder)], capture_output=True, check=False
        ).returncode
