"""Credentials for the TURN server: whom it lets in and until when, and how clients are told of it.

coturn's ``use-auth-secret`` (draft-uberti-behave-turn-rest-00): the user is ``<expiry>:<id>``, the password
base64(HMAC-SHA1(secret, user)). Nothing is kept and nobody is asked: whoever knows the secret can check it. The expiry
bounds only the *beginning*: an allocation that stands is refreshed for as long as the call lasts.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from telemed.errors import TelemedError
from telemed.settings import TURN_URL, Settings

CREDENTIAL_SECONDS = 600  # in which an allocation may be begun: a lost credential is worth no more
ID_BYTES = 12  # of the id in a user's name: no two of a day are alike, and a Link header stays short
SECRET_BYTES_MAX = 256  # longest secret that is read
# What any shell, coturn's parser and this file read alike; 32 characters of `openssl rand -hex 32` are 128 bits.
SECRET = re.compile(r"[A-Za-z0-9+/=_.-]{32,256}")
PORTS = {"turn": 3478, "turns": 5349}  # RFC 7065 section 3.2: where the URL names none

Transport = Literal["udp", "tcp", "tls"]


class TurnSecretOpen(TelemedError):
    """The TURN server's secret can be read by others than its owner."""

    code = "turn_secret_open"
    status = 500


class TurnSecretDamaged(TelemedError):
    """The file of the TURN server's secret does not hold one line of 32 to 256 letters, digits and ``+/=_.-``."""

    code = "turn_secret_damaged"
    status = 500


class TurnSecretUnusable(TelemedError):
    """The file of the TURN server's secret cannot be read."""

    code = "turn_secret_unusable"
    status = 500


@dataclass(frozen=True, slots=True)
class TurnUrl:
    """One way to the TURN server: ``text`` as configured, and what it says. ``host`` is without brackets."""

    text: str
    host: str
    port: int
    transport: Transport


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password that allocate until ``expires_s`` (seconds since 1970), and no later."""

    username: str
    password: str
    expires_s: int


class IceServers:
    """The TURN servers of these settings, and credentials for them. False where there are none."""

    def __init__(self, settings: Settings) -> None:
        """Read the secret once. Raises ``TurnSecretOpen``, ``TurnSecretDamaged``, ``TurnSecretUnusable``."""
        self.urls = tuple(_url(text) for text in settings.turn_servers)
        self._secret = b""
        if self.urls and settings.turn_secret_file is not None:
            self._secret = _secret(settings.turn_secret_file)

    def __bool__(self) -> bool:
        return bool(self.urls)

    def credential(self, now_s: float, who: str = "", seconds: int = CREDENTIAL_SECONDS) -> Credential:
        """A credential that may be used for ``seconds``.

        The TURN server's quota is by the id: the same ``who`` gets the same one, and none but the holder of the secret
        can tell whose it is. An empty ``who`` gets one of its own each time.
        """
        if who:
            name = hmac.digest(self._secret, f"telemed turn id {who}".encode(), "sha256")[:ID_BYTES].hex()
        else:
            name = secrets.token_hex(ID_BYTES)
        expires_s = int(now_s) + seconds
        username = f"{expires_s}:{name}"
        password = base64.b64encode(hmac.digest(self._secret, username.encode(), "sha1")).decode()
        return Credential(username, password, expires_s)

    def links(self, now_s: float, who: str = "") -> tuple[str, ...]:
        """Values of ``Link`` headers, one a URL (RFC 9725 section 4.6); none without a TURN server."""
        if not self.urls:
            return ()
        credential = self.credential(now_s, who)
        # Nothing in these values needs escaping: digits, hexadecimal, base64, and URLs that the settings have checked.
        return tuple(
            f'<{url.text}>; rel="ice-server"; username="{credential.username}"; '
            f'credential="{credential.password}"; credential-type="password"'
            for url in self.urls
        )


def _url(text: str) -> TurnUrl:
    """``text`` as the settings have let it through."""
    found = TURN_URL.fullmatch(text)
    if found is None:
        raise ValueError("the settings let only TURN URLs through")
    transport: Transport = "tls" if found["scheme"] == "turns" else "tcp" if found["transport"] == "tcp" else "udp"
    return TurnUrl(text, found["host"].strip("[]"), int(found["port"] or PORTS[found["scheme"]]), transport)


def _secret(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not hold us
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(file.fileno())
            if stat.S_ISREG(state.st_mode) and state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise TurnSecretOpen(path=str(path))
            data = file.read(SECRET_BYTES_MAX + 2) if stat.S_ISREG(state.st_mode) else b""
    except OSError as error:
        raise TurnSecretUnusable(path=str(path), reason=error.strerror or str(error)) from error
    text = data.decode("ascii", "replace").strip()
    if SECRET.fullmatch(text) is None:
        raise TurnSecretDamaged(path=str(path))
    return text.encode()
