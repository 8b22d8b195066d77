"""The demo's processes: whoever is killed comes back, and nobody outlives the demo, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from aiohttp.test_utils import unused_port


def part(demo: Any, word: str) -> psutil.Process | None:
    """The demo's running child whose command has this word."""
    for child in psutil.Process(demo.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and word in child.cmdline():
                return child
    return None


def test_the_demo_keeps_its_parts_running_and_takes_all_of_them_along(stage: Any, home: Path) -> None:
    with stage.running("demo", home) as demo:
        stage.until(lambda: part(demo, "station"), "a station runs")
        for word in ("serve", "station"):
            killed = part(demo, word)
            assert killed is not None
            killed.kill()
            stage.until(lambda word=word, killed=killed: part(demo, word) not in (None, killed), f"another {word} runs")
        stage.until(demo.healthy, "it serves again")
        family = stage.family(psutil.Process(demo.process.pid))
        assert {"serve", "station", "demo"} <= {word for one in family for word in one.cmdline()}
        demo.process.kill()
        stage.until(lambda: not stage.alive(family), "everything has ended")
        record = json.loads((home / "demo.json").read_text())

    with stage.running("demo", home) as demo:
        printed = ""
        while "Ctrl-C" not in printed:  # the demo itself bounds how long it takes to say so
            printed += demo.process.stdout.readline()
        family = stage.family(psutil.Process(demo.process.pid))
        demo.process.send_signal(signal.SIGINT)
        _, complaints = demo.process.communicate(timeout=60)
        assert demo.process.returncode == 0
        assert complaints == ""
        assert not stage.alive(family)
    assert json.loads((home / "demo.json").read_text()) == record
    for wanted in (
        demo.address, "demo-clinician-2", record["passwords"]["demo-clinician"], str(home),
        f"{demo.address}/#/join/",
    ):
        assert wanted in printed


def test_a_demo_whose_terminal_closes_leaves_nothing_running(stage: Any, home: Path) -> None:
    terminal, inside = pty.openpty()
    port = unused_port()
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "telemed", "demo", "--port", str(port)],
        env=stage.environment(home), stdin=inside, stdout=inside, stderr=inside,
    )  # fmt: skip
    os.close(inside)
    printed = b""
    while b"Ctrl-C" not in printed:  # the demo itself bounds how long it takes to say so
        printed += os.read(terminal, 4096)
    family = stage.family(psutil.Process(process.pid))
    assert len(family) > 3
    os.close(terminal)
    stage.until(lambda: not stage.alive(family), "everything has ended with the terminal")
    process.wait(5)
