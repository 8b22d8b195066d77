"""The guards themselves are guarded: a copy of the tree is broken, and the test that should notice does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".telemed", "node_modules", "dist", "__pycache__", ".*_cache", "recordings", "screens"
)
ROOTS = (".", "devices", "signal", "web", "migrations")

# What is added to which file, and the contract that must break.
IMPORTS = [
    ("devices/telemed_devices/native.py", "import asyncio", "do no I/O"),
    ("signal/telemed_signal/filters.py", "import telemed.errors", "do no I/O"),
    ("devices/telemed_devices/native.py", "import telemed_signal.filters", "two pure libraries"),
    ("devices/telemed_station/errors.py", "import telemed.errors", "station program does not know the server"),
    ("telemed/app.py", "import telemed_station.errors", "only the command line starts a station"),
    ("telemed/store/database.py", "import telemed.http.route", "handlers call the domain"),
    ("telemed/audit/__init__.py", "import telemed.identity.accounts", "handlers call the domain"),
    ("telemed/http/health.py", "import asyncpg", "only the store speaks to PostgreSQL"),
    ("telemed/cli/serve.py", "import aiortc", "only the media plane touches aiortc"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, whole."""
    copy = tmp_path_factory.mktemp("tree") / "telemed"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    return copy


@pytest.fixture
def add(copy: Path) -> Iterator[object]:
    """Adds a line to a file of the copy, or a new file, and takes it away again."""
    before: list[tuple[Path, bytes | None]] = []

    def change(name: str, line: str = "") -> None:
        file = copy / name
        before.append((file, file.read_bytes() if file.exists() else None))
        with file.open("a", encoding="utf-8") as out:
            out.write(f"\n{line}\n")

    yield change
    for file, content in reversed(before):
        file.unlink() if content is None else file.write_bytes(content)


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the copy, on the copy's packages alone."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(copy / root) for root in ROOTS[1:])}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


def contracts(copy: Path) -> subprocess.CompletedProcess[str]:
    return run(copy, str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo")


def layout(copy: Path, name: str) -> subprocess.CompletedProcess[str]:
    """One layout test, in a Python whose standard library is not hidden by what the copy holds."""
    test = f"tests/layout/test_layout.py::{name}"
    return run(copy, sys.executable, "-P", "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", test)


def test_the_import_contracts_hold(copy: Path) -> None:
    done = contracts(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("file", "line", "contract"), IMPORTS, ids=[f"{file}: {line}" for file, line, _ in IMPORTS])
def test_an_import_that_breaks_a_contract_is_told(file: str, line: str, contract: str, copy: Path, add: object) -> None:
    assert callable(add)
    add(file, line)
    done = contracts(copy)
    assert done.returncode != 0
    broken = [row for row in done.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(contract in row for row in broken), done.stdout


BREAKS = [
    ("test_no_source_root_is_itself_a_package", "signal/__init__.py", ""),
    ("test_no_source_root_is_itself_a_package", "devices/__init__.py", ""),
    ("test_a_source_root_holds_its_packages_and_nothing_else_importable", "signal/conftest.py", ""),
    ("test_no_file_is_longer_than_can_be_read_at_once", "telemed/errors.py", "#\n" * 400),
    ("test_no_module_has_a_name_that_says_nothing", "telemed/http/utils.py", ""),
    ("test_a_lock_has_hashes_and_no_address", "requirements.lock", "# https://example.org/simple"),
    ("test_no_path_of_a_machine_and_no_registry_is_told", "telemed/settings.py", "# see /root/notes"),
]


@pytest.mark.parametrize(("name", "file", "line"), BREAKS, ids=[f"{file}: {name}" for name, file, _ in BREAKS])
def test_a_broken_rule_of_the_layout_is_told(name: str, file: str, line: str, copy: Path, add: object) -> None:
    assert callable(add)
    add(file, line)
    done = layout(copy, name)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAILED tests/layout/test_layout.py::{name}" in done.stdout


def test_a_hidden_signal_breaks_asyncio_itself(copy: Path, add: object) -> None:
    """Why there is a guard at all: with the roots on the path, the accident is only seen when a loop starts."""
    assert callable(add)
    add("signal/__init__.py")
    accident = run(copy, sys.executable, "-c", "import asyncio; asyncio.run(asyncio.sleep(0))")
    assert accident.returncode != 0
    assert "signal" in accident.stderr
