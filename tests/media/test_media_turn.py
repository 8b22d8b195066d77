"""Credentials for the TURN server and where they come from: the settings, the secret's file, the Link headers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from telemed.media.turn import (
    CREDENTIAL_SECONDS,
    IceServers,
    TurnSecretDamaged,
    TurnSecretOpen,
    TurnSecretUnusable,
    TurnUrl,
)
from telemed.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"
URLS = ("turn:turn.example.org", "turn:turn.example.org:80?transport=tcp", "turns:[2001:db8::1]:443")


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "turn.secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def settings(secret_file: Path | None, *urls: str) -> Settings:
    return Settings(turn_urls=",".join(urls), turn_secret_file=secret_file)


def test_a_password_is_what_the_draft_says(secret_file: Path) -> None:
    # printf %s USERNAME | openssl dgst -sha1 -hmac SECRET -binary | base64
    credential = IceServers(settings(secret_file, *URLS)).credential(1_700_000_000.9, "somebody")
    assert credential.username == "1700000600:d9285bf7b22c183d78534bfe"
    assert credential.password == "bOoEQ4+47IweL9GfIqp3ZImNkkA="
    assert credential.expires_s == 1_700_000_000 + CREDENTIAL_SECONDS


def test_an_id_says_nothing_and_is_the_same_for_the_same_one(secret_file: Path, tmp_path: Path) -> None:
    servers = IceServers(settings(secret_file, *URLS))

    def name(who: str, now_s: float = 0.0, ice: IceServers = servers) -> str:
        username = ice.credential(now_s, who).username
        assert re.fullmatch(r"\d+:[0-9a-f]{24}", username), username
        return username.partition(":")[2]

    assert name("account:x") == name("account:x", 5000.0) != name("account:y")
    assert name("") != name("")
    other = tmp_path / "other.secret"
    other.write_text(SECRET.replace("0", "9"))
    other.chmod(0o600)
    assert name("account:x", 0.0, IceServers(settings(other, *URLS))) != name("account:x")


def test_an_urls_parts(secret_file: Path) -> None:
    assert IceServers(settings(secret_file, *URLS)).urls == (
        TurnUrl(URLS[0], "turn.example.org", 3478, "udp"),
        TurnUrl(URLS[1], "turn.example.org", 80, "tcp"),
        TurnUrl(URLS[2], "2001:db8::1", 443, "tls"),
    )
    assert IceServers(settings(secret_file, "turns:t.example")).urls[0].port == 5349


def test_links_are_one_an_url(secret_file: Path) -> None:
    servers = IceServers(settings(secret_file, *URLS))
    links = servers.links(1_700_000_000.0, "somebody")
    credential = servers.credential(1_700_000_000.0, "somebody")
    assert links == tuple(
        f'<{url}>; rel="ice-server"; username="{credential.username}"; credential="{credential.password}"; '
        'credential-type="password"'
        for url in URLS
    )
    assert all(re.fullmatch(r'[\x21\x23-\x7e "]+', link) for link in links)  # a header's value and nothing else


def test_without_a_server_nothing_is_given_out(secret_file: Path) -> None:
    for configured in (settings(None), settings(secret_file)):
        servers = IceServers(configured)
        assert not servers
        assert servers.links(0.0) == ()


@pytest.mark.parametrize("url", [
    "stun:turn.example.org", "turn://turn.example.org", "turn:", "turn:a b", "turn:turn.example.org:0",
    "turn:turn.example.org:65536", "turn:turn.example.org?transport=tls", "turn:turn.example.org?x=1",
    "turns:turn.example.org?transport=udp", "turn:user@turn.example.org", 'turn:x>; rel="y', "turn:x\r\nSet-Cookie: y",
    "https://turn.example.org", "turn:-x", "turn:[::1", "turn:x/y",
])
def test_what_is_no_turn_url_is_refused_at_the_start(secret_file: Path, url: str) -> None:
    with pytest.raises(ValidationError):
        settings(secret_file, url)


def test_urls_need_a_secret_and_are_few(secret_file: Path) -> None:
    with pytest.raises(ValidationError, match="TELEMED_TURN_SECRET_FILE"):
        settings(None, URLS[0])
    assert len(settings(secret_file, *[f"turn:t{n}.example" for n in range(4)]).turn_servers) == 4
    with pytest.raises(ValidationError, match="at most 4"):
        settings(secret_file, *[f"turn:t{n}.example" for n in range(5)])


def test_the_environment_sets_them(secret_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEMED_TURN_URLS", f" {URLS[0]} , {URLS[2]},")
    monkeypatch.setenv("TELEMED_TURN_SECRET_FILE", str(secret_file))
    assert [url.text for url in IceServers(Settings()).urls] == [URLS[0], URLS[2]]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_can_read_is_refused(secret_file: Path, mode: int) -> None:
    secret_file.chmod(mode)
    with pytest.raises(TurnSecretOpen) as refused:
        IceServers(settings(secret_file, *URLS))
    assert refused.value.params == {"path": str(secret_file)}


@pytest.mark.parametrize("content", [
    b"", b"\n", b"f" * 31, b"f" * 257, b"f" * 32 + b"\n" + b"f" * 32, b"f" * 32 + b"#", b"f" * 32 + b"\x00",
    "тайна".encode() * 8, b"f f" * 20,
])
def test_a_file_that_holds_no_secret_is_refused(secret_file: Path, content: bytes) -> None:
    secret_file.write_bytes(content)
    with pytest.raises(TurnSecretDamaged):
        IceServers(settings(secret_file, *URLS))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TurnSecretUnusable):
        IceServers(settings(tmp_path / "nowhere", *URLS))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(TurnSecretDamaged):
        IceServers(settings(pipe, *URLS))
    with pytest.raises((TurnSecretDamaged, TurnSecretUnusable)):
        IceServers(settings(tmp_path, *URLS))


def test_the_secret_is_in_nothing_that_is_shown(secret_file: Path) -> None:
    servers = IceServers(settings(secret_file, *URLS))
    shown: list[Any] = [servers, servers.urls, servers.credential(0.0, "x"), settings(secret_file, *URLS)]
    assert SECRET not in repr(shown)
