"""``telemed serve`` keeps a compactor: below its own priority, started again when it dies, gone when the server is."""

from __future__ import annotations

from typing import Any

import psutil

from telemed.vitals.storage.__main__ import NICE


def compactors(server: psutil.Process) -> list[psutil.Process]:
    return [one for one in server.children() if "telemed.vitals.storage" in command(one)]


def command(process: psutil.Process) -> list[str]:
    """Its words; none when it has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_a_dead_compactor_is_started_again_and_goes_with_the_server(stage: Any, serving: Any) -> None:
    server = psutil.Process(serving.process.pid)
    stage.until(lambda: compactors(server), "a compactor runs")
    (first,) = compactors(server)
    stage.until(lambda: first.nice() == server.nice() + NICE, "it yields to the server")
    first.kill()
    stage.until(lambda: compactors(server) not in ([], [first]), "another one runs")
    assert serving.healthy()
    family = stage.family(server)
    serving.process.kill()
    stage.until(lambda: not stage.alive(family), "everything has ended")
