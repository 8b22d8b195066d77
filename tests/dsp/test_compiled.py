"""Machine code is kept, never met by sources that it was not made from, and not needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLEE = """
from telemed_signal.compiled import compiled

@compiled()
def inner(x):
    return x + {added}
"""
CALLER = """
from telemed_signal.compiled import compiled
from telemed_signal.callee import inner

@compiled("float64(float64)")
def first(x):
    return x

@compiled("float64(float64)")
def outer(x):
    return 10 * inner(x)
"""
ASK = "from telemed_signal.caller import outer; print(outer(1.0), sum(outer.stats.cache_hits.values()))"


@dataclass(frozen=True)
class Package:
    """Two modules beside the real ``compiled``, in a package of its name, run by processes of their own."""

    root: Path

    def says(self, added: int) -> None:
        (self.root / "telemed_signal" / "callee.py").write_text(CALLEE.format(added=added))

    def run(self, code: str = ASK, **environment: str) -> list[str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        env = {**plain, "PYTHONPATH": str(self.root), "HOME": str(self.root / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.root, env={**env, **environment}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    @property
    def beside(self) -> Path:
        return self.root / "telemed_signal" / "__pycache__" / "compiled"


@pytest.fixture
def package(tmp_path: Path) -> Package:
    package = Package(tmp_path)
    folder = tmp_path / "telemed_signal"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "caller.py").write_text(CALLER)
    shutil.copy(ROOT / "signal" / "telemed_signal" / "compiled.py", folder)
    package.says(1)
    return package


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_code_is_kept_until_a_callee_in_another_file_changes(package: Package) -> None:
    assert package.run() == ["20.0", "0"]
    assert package.run() == ["20.0", "1"]
    package.says(2)
    assert package.run() == ["30.0", "0"]
    assert len(names(package.beside)) == 2  # the loader removes nothing: another process may be running on it


def test_a_folder_that_is_given_is_kept_apart_by_sources_too(package: Package, tmp_path: Path) -> None:
    given = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    assert package.run(**given) == ["20.0", "0"]
    package.says(2)
    assert package.run(**given) == ["30.0", "0"]
    assert not package.beside.exists()


def test_the_folder_holds_when_the_environment_is_changed_after_numba_was_loaded(package: Package) -> None:
    late = f"import numba, os; os.environ['NUMBA_CACHE_DIR'] = {str(package.root / 'late')!r}; {ASK}"
    assert package.run(late) == ["20.0", "0"]
    package.says(2)
    assert package.run(late) == ["30.0", "0"]


def test_where_nothing_can_be_written_code_goes_to_the_users_cache_or_nowhere(package: Package, tmp_path: Path) -> None:
    file = tmp_path / "file"  # nobody, not even root, can make a folder in a file
    file.touch()
    given = {"NUMBA_CACHE_DIR": str(file / "kept")}
    assert package.run(**given) == ["20.0", "0"]
    assert package.run(**given) == ["20.0", "1"]
    assert len(names(tmp_path / "home" / ".cache" / "telemed" / "compiled")) == 1
    assert package.run(**given, HOME=str(file)) == ["20.0", "0"]
    assert not package.beside.exists()


def test_a_full_disk_is_not_met_half_way(package: Package) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    assert package.run(full + ASK) == ["20.0", "0"]


def test_setting_up_removes_what_other_sources_left(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "make"))
    script = import_module("setup").COMPILED
    package.run(script)
    first = names(package.beside)
    stray = package.beside.parent / "caller.outer-9.py311.nbi"
    stray.touch()
    package.says(2)
    package.run(script)
    second = names(package.beside)
    assert len(first) == len(second) == 1
    assert first != second
    assert not stray.exists()
    assert package.run() == ["30.0", "1"]
