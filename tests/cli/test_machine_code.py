"""Where nothing can be written beside the program, its machine code is kept beside the data."""

from __future__ import annotations

import os
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from telemed.cli import environment


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program folder of the kernels; no folder was given for their code."""
    folder = tmp_path / "telemed_signal"
    folder.mkdir()
    spec = ModuleSpec("telemed_signal", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(environment, "find_spec", lambda _: spec)
    # So that what the command sets is taken back afterwards.
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    return folder


def lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be made in this folder, by anybody: the tests may run as root."""
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != folder)


def test_it_stays_beside_a_program_that_can_be_written(package: Path, tmp_path: Path) -> None:
    environment.load_settings(home=tmp_path / "home")
    assert "NUMBA_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("locked", [".", "__pycache__", "__pycache__/compiled"])
def test_it_goes_beside_the_data_when_a_folder_on_its_way_is_locked(
    locked: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / locked).mkdir(parents=True, exist_ok=True)
    lock(package / locked, monkeypatch)
    environment.load_settings(home=tmp_path / "home")
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "home" / "cache" / "compiled")


def test_a_folder_that_was_given_stays(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(package, monkeypatch)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")
    environment.load_settings(home=tmp_path / "home")
    assert os.environ["NUMBA_CACHE_DIR"] == "elsewhere"
