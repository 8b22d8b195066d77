"""``telemed serve`` as an operator knows it: what is taken is said, what is stopped is gone, what was written stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from aiohttp.test_utils import unused_port


@pytest.fixture(scope="module")
def busy(run_serve: Any, open_folder: Path) -> Iterator[Any]:
    """One server that is only looked at."""
    with run_serve("serve", open_folder / "busy") as started:
        yield started


def telemed(stage: Any, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "telemed", *arguments], env=stage.environment(home), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_what_is_taken_is_one_line(command: str, stage: Any, busy: Any) -> None:
    for folder, port, code in (
        (busy.home.with_name("other"), busy.port, "port_in_use"),
        (busy.home, unused_port(), "home_in_use"),
    ):
        done = telemed(stage, folder, command, "--port", str(port))
        assert done.returncode == 1
        assert done.stderr.endswith(f"[{code}]\n")
        assert done.stderr.count("\n") == 1
    assert busy.healthy()


def test_migrate_and_user_work_beside_a_server(stage: Any, busy: Any) -> None:
    assert telemed(stage, busy.home, "migrate", "--check").stdout.startswith("current: ")
    assert telemed(stage, busy.home, "migrate").stdout == "Nothing to do: the schema is current.\n"
    add = ("user", "add", "somebody", "--name", "Somebody", "--role", "clinician")
    assert telemed(stage, busy.home, *add).stderr.endswith("[organisation_unknown]\n")
    assert telemed(stage, busy.home, *add, "--organisation", "House").returncode == 0
    assert telemed(stage, busy.home, *add).stderr.endswith("[login_taken]\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_and_its_database(number: signal.Signals, stage: Any, serving: Any) -> None:
    family = stage.family(psutil.Process(serving.process.pid))
    assert len(family) > 2  # PostgreSQL and its own processes are among them
    serving.process.send_signal(number)
    assert serving.process.wait(60) == 0
    stage.until(lambda: not stage.alive(family), "everything has ended")


def test_kill_9_leaves_nothing_running_and_the_next_start_has_every_row(stage: Any, serving: Any, home: Path) -> None:
    family = stage.family(psutil.Process(serving.process.pid))
    added = telemed(stage, home, "user", "add", "first", "--name", "First", "--role", "administrator",
                    "--organisation", "House")  # fmt: skip
    assert added.returncode == 0, added.stderr
    serving.process.kill()
    stage.until(lambda: not stage.alive(family), "everything has ended")
    again = telemed(stage, home, "user", "add", "first", "--name", "First", "--role", "clinician")
    assert again.stderr.endswith("[login_taken]\n")


def test_a_killed_database_comes_back_by_itself(stage: Any, serving: Any) -> None:
    server = psutil.Process(serving.process.pid)
    (postgres,) = [one for one in server.children() if one.name() == "postgres"]
    postgres.kill()
    stage.until(lambda: [one.pid for one in server.children() if one.name() == "postgres"] not in ([], [postgres.pid]),
                "another PostgreSQL runs")  # fmt: skip
    stage.until(serving.healthy, "it serves again")


def test_a_page_that_comes_too_early_waits_instead_of_being_refused(stage: Any, serving: Any, home: Path) -> None:
    serving.process.send_signal(signal.SIGTERM)
    serving.process.wait(60)
    command = [sys.executable, "-m", "telemed", "serve", "--port", str(serving.port)]
    with subprocess.Popen(command, env=stage.environment(home), stdout=subprocess.DEVNULL) as again:
        stage.until(lambda: _listens(again.pid, serving.port), "it listens")
        with urlopen(f"{serving.address}/healthz", timeout=60) as answer:  # noqa: S310 - our own server
            assert answer.status == 200
        again.terminate()
        assert again.wait(60) == 0


def test_a_fresh_database_needs_migration_and_gets_it(stage: Any, home: Path) -> None:
    done = telemed(stage, home, "migrate", "--check")
    assert done.returncode == 1
    assert done.stdout.startswith("pending: 0001_")
    assert telemed(stage, home, "migrate").stdout.startswith("applied: 0001_")


def test_a_database_of_ones_own_is_not_migrated_unasked(
    stage: Any, home: Path, postgres: Any, administer: Any
) -> None:
    administer("create database telemed_empty")
    try:
        urls = {
            "DATABASE_URL": postgres.url("telemed_server", "telemed_empty"),
            "DATABASE_OWNER_URL": postgres.url("telemed_owner", "telemed_empty"),
        }
        environment = {**stage.environment(home), **urls}

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "telemed", *arguments], env=environment, capture_output=True, text=True,
                check=False,
            )  # fmt: skip

        assert run("serve", "--port", str(unused_port())).stderr.endswith("[migrations_pending]\n")
        assert run("migrate").stdout.startswith("applied: ")
        assert run("migrate", "--check").stdout.startswith("current: ")
    finally:
        administer("drop database telemed_empty with (force)")


def _listens(pid: int, port: int) -> bool:
    process = psutil.Process(pid)
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in process.net_connections("tcp")
    )
