"""``make`` on a machine that lacks something says so in one line; what is there is not made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "make", "cat", "dirname", "env")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What ``make`` reads before anything is installed."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "make", clone / "make", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "hatch_build.py", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, clone / name)
    return clone


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with the tools of a bare system and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def make(target: str, clone: Path, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", target], cwd=clone, env={"PATH": str(path), "HOME": str(clone), **environment}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def python(path: Path, script: str, name: str = "python3") -> None:
    (path / name).write_text(f"#!/bin/sh\n{script}\n")
    (path / name).chmod(0o755)


@pytest.mark.parametrize("target", ["demo", "test", "web", "bench"])
def test_without_python_one_line_says_what_to_install(target: str, clone: Path, path: Path) -> None:
    done = make(target, clone, path)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(lines) == 1, done.stderr
    assert "Python 3.11 or newer" in lines[0]
    assert "apt install python3" in lines[0]


def test_an_old_python_is_named(clone: Path, path: Path) -> None:
    python(path, 'case "$2" in *exit*) exit 1;; *) echo 3.9;; esac')
    done = make("demo", clone, path)
    assert done.returncode != 0
    assert "(python3 here: 3.9)" in done.stderr


def test_a_newer_python_beside_an_old_one_is_found(clone: Path, path: Path, tmp_path: Path) -> None:
    python(path, "exit 1")
    python(path, f'echo "$2 $3" > {tmp_path}/asked; exec {sys.executable} "$@"', "python3.12")
    (clone / "make" / "setup.py").write_text("import sys; sys.exit(sys.argv[1:] != ['run', 'web'])")
    python(path, f"exit 1\n# {tmp_path}")
    assert make("demo", clone, path).stderr.count("Python 3.11") == 0


def test_without_venv_one_line_names_the_package(clone: Path, path: Path, tmp_path: Path) -> None:
    # Debian ships ensurepip in python3-venv; a module of this name that cannot be imported is the same to setup.py.
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "ensurepip.py").write_text("raise ImportError('as on Debian')")
    python(path, f'exec {sys.executable} "$@"')
    done = make("demo", clone, path, PYTHONPATH=str(tmp_path / "without"))
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert len(lines) == 1, done.stderr
    assert "apt install python3-venv" in lines[0]
    assert not (clone / ".venv").exists()


def test_what_is_installed_is_not_installed_again(clone: Path, path: Path) -> None:
    """With every stamp in place a step only compares: neither pip, nor npm, nor the network is touched."""
    probe = (
        "import json, sys, pathlib; sys.path.insert(0, 'make'); import setup\n"
        "setup.VENV.mkdir(); setup.PLACE.write_text(str(setup.ROOT))\n"
        "setup.note('packages', setup.digest(setup.ROOT / setup.LOCKS['dev']))\n"
        "setup.note('telemed', setup.digest(setup.ROOT / 'pyproject.toml', setup.ROOT / 'hatch_build.py'))\n"
        "setup.note('kernels', setup.kernels())\n"
        "setup.quietly = None  # any command would be an error now\n"
        "setup.packages('run'); setup.packages('dev')\n"
        "lock = setup.ROOT / 'requirements-dev.lock'\n"
        "lock.write_text(lock.read_text() + '# changed\\n')\n"
        "setup.quietly = lambda title, *_, **__: print(title)\n"
        "setup.packages('run'); setup.packages('dev')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=clone, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # `run` finds the old dev lock's packages, which are no lock's any more; then `dev` installs its own.
    assert done.stdout.count("Python packages") == 2


def test_the_web_app_is_built_when_its_sources_change_only(clone: Path, tmp_path: Path) -> None:
    probe = (
        "import sys; sys.path.insert(0, 'make'); import setup\n"
        "source = setup.WEB / 'src' / 'page.ts'; source.parent.mkdir(parents=True); source.write_text('1')\n"
        "(setup.WEB / 'src' / 'page.test.ts').write_text('1')\n"
        "setup.modules = lambda: (['npm'], {})\n"
        "def build(title, *_, **__): setup.DIST.mkdir(parents=True, exist_ok=True); print(title)\n"
        "setup.quietly = build\n"
        "setup.web(); setup.web()\n"
        "(setup.WEB / 'src' / 'page.test.ts').write_text('2'); setup.web()\n"
        "(setup.WEB / 'node_modules').mkdir(); (setup.WEB / 'node_modules' / 'x.js').write_text('x'); setup.web()\n"
        "print('changed'); source.write_text('2'); setup.web(); setup.web()\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["Building the web app", "changed", "Building the web app"]
