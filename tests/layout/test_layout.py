"""The house stands as designed: source roots, names, sizes, locks. Every test says which file breaks its rule."""

from __future__ import annotations

import json
import re
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = {
    "devices": {"telemed_devices", "telemed_station"},
    "signal": {"telemed_signal"},
    "web": {"telemed_web"},
    "migrations": {"telemed_migrations"},
}
PACKAGES = {"telemed", *(package for packages in SOURCE_ROOTS.values() for package in packages)}
PINNED = re.compile(r"^[A-Za-z0-9_.-]+==[^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}[^\n]*\n)+", re.MULTILINE)
VERSION = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-web.lock")

NOT_OURS = {
    ".git", ".venv", ".telemed", "node_modules", "dist", "build", "__pycache__", ".mypy_cache", ".ruff_cache",
    ".pytest_cache", ".hypothesis", ".import_linter_cache",
}  # fmt: skip
LONGEST_FILE = 400  # lines
GENERATED = {"web/src/api/schema.d.ts"}  # written from the OpenAPI document, read by nobody
TEXT = {
    ".py", ".pyi", ".toml", ".sql", ".md", ".ts", ".tsx", ".css", ".html", ".json", ".mjs", ".sh", ".lock", ".txt",
    ".yml", ".yaml", "",
}  # fmt: skip
VAGUE = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)$")
# A path of somebody's machine, or of the place where a program was built.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|opt|Users)/[\w.]|(?<![\w.])/home/[a-z]|/tmp/w/|\.pyenv")
MACHINE_WORDS = re.compile(r"find-links|extra-index-url|index-url|registry=|resolved\":", re.IGNORECASE)


def files() -> Iterator[Path]:
    """Every file of ours, as a path from the root."""
    waiting = [ROOT]
    while waiting:
        for entry in sorted(waiting.pop().iterdir()):
            if entry.name in NOT_OURS or entry.name.endswith(".egg-info"):
                continue
            if entry.is_dir():
                waiting.append(entry)
            elif not entry.is_symlink():
                yield entry.relative_to(ROOT)


def test_no_source_root_is_itself_a_package() -> None:
    """An ``__init__.py`` in signal/ hides the standard library's ``signal`` and breaks asyncio, late and far off."""
    for root in (*SOURCE_ROOTS, "tests"):
        assert not (ROOT / root / "__init__.py").exists(), root
    assert Path(signal.__file__).parent != ROOT / "signal"
    assert hasattr(signal, "SIGTERM")


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_a_source_root_holds_its_packages_and_nothing_else_importable(root: str) -> None:
    importable = {
        entry.name for entry in (ROOT / root).iterdir()
        if entry.suffix in (".py", ".pyi", ".so", ".pth") or (entry / "__init__.py").exists()
    }  # fmt: skip
    assert importable == SOURCE_ROOTS[root]


def test_every_package_is_typed_packed_checked_and_under_the_import_contracts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tool = project["tool"]
    assert set(tool["mypy"]["packages"]) == PACKAGES
    assert set(tool["importlinter"]["root_packages"]) == PACKAGES
    packed = [Path(package) for package in tool["hatch"]["build"]["targets"]["wheel"]["packages"]]
    assert {package.name for package in packed} == PACKAGES
    for package in packed:
        assert (ROOT / package / "py.typed").is_file(), package
        assert (ROOT / package / "__init__.py").is_file(), package
    assert set(tool["pytest"]["ini_options"]["pythonpath"]) == {".", *SOURCE_ROOTS}


def test_tests_have_unique_names_and_no_packages() -> None:
    """Tests are imported by file (importlib mode): two of one name would be one module."""
    named = [path for path in files() if path.parts[0] == "tests" and path.name.startswith("test_")]
    names = [path.name for path in named]
    assert sorted(names) == sorted(set(names))
    assert not [path for path in files() if path.parts[0] == "tests" and path.name == "__init__.py"]


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    long = {
        str(path): lines for path in files()
        if path.suffix in (".py", ".ts", ".tsx", ".css") and str(path) not in GENERATED
        and (lines := len((ROOT / path).read_bytes().splitlines())) > LONGEST_FILE
    }  # fmt: skip
    assert not long


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [path for path in files() if path.suffix in (".py", ".ts", ".tsx") and VAGUE.search(path.stem)]


@pytest.mark.parametrize("lock", [*LOCKS, "requirements-bench.lock"])
def test_a_lock_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert len(PINNED.findall(text)) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)) > 0


def test_the_locks_agree_with_each_other_and_with_the_project() -> None:
    run, development, web = (dict(VERSION.findall((ROOT / lock).read_text())) for lock in LOCKS)
    assert run.items() <= development.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    plain = [line for name in ("build", "dev") for line in groups[name] if isinstance(line, str)]
    for wanted, locked in (
        (project["project"]["dependencies"], run), (groups["build"], run), (plain, development), (groups["web"], web),
    ):  # fmt: skip
        for line in wanted:
            name = re.match(r"[A-Za-z0-9_.-]+", line)
            assert name is not None
            assert name[0].lower().replace("_", "-") in locked, line


def test_the_web_lock_has_no_address() -> None:
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_node_is_as_old_as_the_web_app_says() -> None:
    engines = json.loads((ROOT / "web" / "package.json").read_text())["engines"]["node"]
    setup = (ROOT / "make" / "setup.py").read_text()
    oldest = re.search(r"NODE_OLDEST = \((\d+), (\d+)\)", setup)
    assert oldest is not None
    assert engines == f">={oldest[1]}.{oldest[2]}"


def test_no_path_of_a_machine_and_no_registry_is_told() -> None:
    told = []
    for path in files():
        if path.suffix not in TEXT or path.parent == Path(__file__).parent.relative_to(ROOT):
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        rules = (MACHINE_PATH,) if path.suffix in (".py", ".md", ".mjs") else (MACHINE_PATH, MACHINE_WORDS)
        told += [f"{path}: {found[0]}" for rule in rules if (found := rule.search(text))]
    assert not told
