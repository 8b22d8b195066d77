"""Every private name of aiortc, aioice and pylibsrtp that the adapter uses is there, or the relay says so."""

from __future__ import annotations

import ast
import functools
import inspect
from pathlib import Path
from typing import Any

import pylibsrtp
import pytest
from aiortc.rtcdtlstransport import RTCDtlsTransport

from telemed.media.relay import adapter
from telemed.media.relay.adapter import ATTRIBUTES, CONTRACT, USES, AdapterMismatch, check_contract
from telemed.media.relay.relay import Relay

MEDIA = Path(adapter.__file__).parent.parent
PUBLIC = {"aioice": {"stun", "turn"}}  # modules that others may use, by their public names


async def test_the_installed_libraries_are_the_ones_the_adapter_was_written_for() -> None:
    check_contract()


@pytest.mark.parametrize(("owner", "name", "parameters"), CONTRACT, ids=[name for _, name, _ in CONTRACT])
async def test_a_name_that_has_other_parameters_is_named(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, parameters: tuple[str, ...]
) -> None:
    real = getattr(owner, name)

    def other(*now: Any, **named: Any) -> Any:
        return real(*now, **named)

    monkeypatch.setattr(owner, name, other)
    with pytest.raises(AdapterMismatch, match=name):
        check_contract()


@pytest.mark.parametrize("name", ["_set_role", "_recv_next", "_write_ssl", "_set_state", "_validate_peer_identity"])
async def test_a_renamed_method_of_aiortc_keeps_the_relay_from_starting(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(RTCDtlsTransport, f"{name}_of_tomorrow", getattr(RTCDtlsTransport, name), raising=False)
    monkeypatch.delattr(RTCDtlsTransport, name)
    with pytest.raises(AdapterMismatch, match=name):
        Relay(("127.0.0.1",))


@pytest.mark.parametrize("name", [name for name in ATTRIBUTES if name != "state"])
async def test_a_renamed_attribute_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = RTCDtlsTransport.__init__

    @functools.wraps(real)
    def renaming(self: Any, *given: Any, **named: Any) -> None:
        real(self, *given, **named)
        setattr(self, f"{name}_of_tomorrow", self.__dict__.pop(name))

    monkeypatch.setattr(RTCDtlsTransport, "__init__", renaming)
    with pytest.raises(AdapterMismatch, match=rf"RTCDtlsTransport\.{name}"):
        check_contract()


@pytest.mark.parametrize("use", USES)
async def test_another_way_to_read_datagrams_is_named(monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    real = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda what: real(what).replace(use, "something else"))
    with pytest.raises(AdapterMismatch, match="not as expected"):
        check_contract()


async def test_a_session_of_libsrtp_without_its_context_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pylibsrtp, "Session", type("Session", (), {}))
    with pytest.raises(AdapterMismatch, match=r"Session\._srtp"):
        check_contract()


def test_every_foreign_private_name_the_adapter_uses_is_in_the_contract() -> None:
    tree = ast.parse(Path(adapter.__file__).read_text(encoding="utf-8"))
    ours = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }
    named = {name for _, name, _ in CONTRACT} | set(ATTRIBUTES) | {"_srtp"}
    assert used - ours <= named


def test_nobody_else_in_the_server_touches_them() -> None:
    for path in MEDIA.parent.rglob("*.py"):
        if path == Path(adapter.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {one.name.split(".")[0] for one in node.names} & {"aiortc", "aioice", "pylibsrtp"}, path
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
                "aiortc", "aioice", "pylibsrtp"
            ):
                owner, _, inner = (node.module or "").partition(".")
                names = {inner} if inner else {one.name for one in node.names}
                assert names <= PUBLIC.get(owner, set()), path
                assert not any(one.name.startswith("_") for one in node.names), path
