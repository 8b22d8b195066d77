"""Every private name of aiortc, aioice and pylibsrtp that the adapter uses is there, or the server says so."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from telemed.media import aiortc_adapter, passthrough
from telemed.media.aiortc_adapter import CONTRACT, AdapterMismatch, check_contract

MEDIA = Path(passthrough.__file__).parent


async def test_the_installed_libraries_are_the_ones_the_adapter_was_written_for() -> None:
    check_contract()


@pytest.mark.parametrize(("owner", "name", "parameters"), CONTRACT, ids=[name for _, name, _ in CONTRACT])
async def test_a_name_that_is_gone_or_changed_is_named(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, parameters: tuple[str, ...]
) -> None:
    def other(one: object, too_many: object, parameters: object, here: object, now: object) -> None:
        pass

    monkeypatch.setattr(owner, name, other)
    with pytest.raises(AdapterMismatch, match=name):
        check_contract()


async def test_an_attribute_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiortc_adapter, "CONTRACT_ATTRIBUTES", {"connection": ("_queue", "_no_such_attribute")})
    with pytest.raises(AdapterMismatch, match=r"connection\._no_such_attribute"):
        check_contract()


def test_every_foreign_private_name_the_adapter_uses_is_in_the_contract() -> None:
    tree = ast.parse(Path(aiortc_adapter.__file__).read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }
    named = {name for _, name, _ in CONTRACT} | {
        name for names in aiortc_adapter.CONTRACT_ATTRIBUTES.values() for name in names
    }
    assert used <= named


def test_nobody_else_in_the_server_touches_them() -> None:
    for path in MEDIA.parent.rglob("*.py"):
        if path.name != "aiortc_adapter.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            modules = {
                module
                for node in ast.walk(tree)
                for module in (
                    [alias.name for alias in node.names] if isinstance(node, ast.Import)
                    else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                )
            }
            assert not {module.split(".")[0] for module in modules} & {"aiortc", "aioice", "pylibsrtp"}, path
