"""The policy's tests are awake: a copy of the tree with a hole in the table does not pass them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
BESIDE = ("devices", "signal", "web", "migrations")  # used as they are, with what was compiled of them
PARTS = ("telemed", "tests", "pyproject.toml")
POLICY = Path("telemed/identity/policy.py")
SECONDS = 300.0  # of one run; some 10 on a quiet machine

BUILD = """
import pathlib, sys
from telemed.app import build_app
from telemed.settings import Settings
build_app(Settings(home=pathlib.Path(sys.argv[1]), database_url="postgresql:///nothing"))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the server and its tests need."""
    here = tmp_path / "tree"
    ignore = shutil.ignore_patterns("__pycache__", "node_modules", ".venv", "dist")
    for part in PARTS:
        if (TREE / part).is_dir():
            shutil.copytree(TREE / part, here / part, ignore=ignore)
        else:
            shutil.copy(TREE / part, here / part)
    return here


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy, which comes first on its path."""
    roots = [copy, *(TREE / root for root in BESIDE)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots)), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )


def replace(copy: Path, old: str, new: str) -> None:
    text = (copy / POLICY).read_text("utf-8")
    assert text.count(old) == 1, old
    (copy / POLICY).write_text(text.replace(old, new), "utf-8")


def test_a_missing_row_does_not_start(copy: Path, tmp_path: Path) -> None:
    whole = run(copy, "-c", BUILD, str(tmp_path))
    assert whole.returncode == 0, whole.stderr
    replace(copy, '    "patient.read": _accounts(_ORG, "clinician", "operator", audited=True),\n', "")
    broken = run(copy, "-c", BUILD, str(tmp_path))
    assert broken.returncode != 0
    assert "PolicyIncomplete: no policy row for ['patient.read']" in broken.stderr


def test_a_missing_row_of_a_socket_message_does_not_start(copy: Path, tmp_path: Path) -> None:
    replace(copy, '    "station_socket.frame": _STATION,\n', "")
    broken = run(copy, "-c", BUILD, str(tmp_path))
    assert "PolicyIncomplete: no policy row for ['station_socket.frame']" in broken.stderr


def test_a_row_that_grants_too_much_fails_the_policy_test(copy: Path) -> None:
    replace(
        copy, '"patient.read": _accounts(_ORG, "clinician", "operator", audited=True)',
        '"patient.read": _accounts(_ORG, "clinician", "operator", "auditor", audited=True)',
    )
    result = run(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/server/test_policy.py",
        "-k", "every_route_and_every_actor",
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert "U: GET /api/v1/patients/{id} gave 200" in result.stdout
