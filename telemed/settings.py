"""The environment becomes one frozen settings object, validated once at start."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# One address as mail systems everywhere take it: RFC 5321 4.1.2 Dot-string @ Domain, and nothing quoted, commented
# or beyond ASCII, so that nothing of it can be read as a second address or header.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAIL = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+")
MAIL_LENGTH = 254  # RFC 5321 4.5.3.1.3: a path of 256 octets less its angle brackets
PORTS = {"starttls": 587, "tls": 465, "none": 25}  # RFC 6409, RFC 8314, RFC 5321
# RFC 7065 section 3.1; with turns: only TLS over TCP, because nothing that comes here speaks DTLS to a TURN server.
TURN_URL = re.compile(
    r"(?P<scheme>turns?):(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9][A-Za-z0-9.-]{0,252})(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?"
)
TURN_URLS = 4  # at most: every connection of every browser asks each of them for an allocation


def is_mail_address(text: str) -> bool:
    """Whether the text is one plain e-mail address."""
    return len(text) <= MAIL_LENGTH and _MAIL.fullmatch(text) is not None


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class Settings(BaseSettings):
    """What the environment decides. Every field is named in ``docs/operations.md``."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="TELEMED_", populate_by_name=True)

    home: Path = Field(default_factory=lambda: Path.home() / ".local" / "share" / "telemed")
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    # A TLS proxy on this host is the only way in: cookies are Secure, and the client's address is the last
    # of X-Forwarded-For.
    behind_tls: bool = False
    # Addresses the media plane announces, comma separated; empty: loopback alone when the server listens
    # on loopback, else every address of this host.
    public_address: str = ""
    # The UDP port of all pictures and sound; absent: the same number as the server's own port.
    media_port: int | None = Field(default=None, ge=1, le=65535)
    # Where people outside find the server; what invitations link to. Absent: where the inviting browser found it.
    public_url: str | None = None
    # The hospital's mail server; without one invitations are copied or printed. The order below is that of checking.
    smtp_host: str | None = Field(default=None, min_length=1)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    smtp_from: str | None = Field(default=None, validate_default=True)
    smtp_user: str | None = None
    smtp_password_file: Path | None = Field(default=None, validate_default=True)
    smtp_ca_file: Path | None = None
    # The way round for networks that let no UDP through: turn: and turns: URLs, comma separated, best first, and the
    # file of the secret that is shared with the TURN server.
    turn_secret_file: Path | None = None
    turn_urls: str = ""
    key_file: Path | None = None
    # Vital signs are deleted so many days after the day on which they were measured; absent: never. Patients on legal
    # hold are left out.
    keep_days: int | None = Field(default=None, ge=1, le=36_500)
    database_url: str | None = Field(default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    database_owner_url: str | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_OWNER_URL", "database_owner_url")
    )

    @field_validator("public_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        """An https address without anything after its path; http on this machine alone."""
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ValueError("https is needed: browsers give camera and microphone to nothing else")
        odd = parts.username is not None or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\x7f<>\"\\]", url)
        if not parts.hostname or odd or "?" in url or "#" in url:
            raise ValueError("not an address to put a path behind")
        return url.rstrip("/")

    @field_validator("turn_urls")
    @classmethod
    def _turn(cls, urls: str, info: ValidationInfo) -> str:
        named = _parts(urls)
        if len(named) > TURN_URLS:
            raise ValueError(f"at most {TURN_URLS} addresses")
        for url in named:
            found = TURN_URL.fullmatch(url)
            if found is None or not 1 <= int(found["port"] or 1) <= 65535:
                raise ValueError("not turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]")
            if found["scheme"] == "turns" and found["transport"] == "udp":
                raise ValueError("turns: goes over TCP")
        if named and info.data.get("turn_secret_file") is None:
            raise ValueError("a TURN server needs TELEMED_TURN_SECRET_FILE")
        return urls

    @field_validator("smtp_from")
    @classmethod
    def _sender(cls, address: str | None, info: ValidationInfo) -> str | None:
        if address is None and info.data.get("smtp_host") is not None:
            raise ValueError("a mail server needs an address to send from")
        if address is not None and not is_mail_address(address):
            raise ValueError("not an e-mail address")
        return address

    @field_validator("smtp_user")
    @classmethod
    def _login(cls, user: str | None, info: ValidationInfo) -> str | None:
        """A password goes over an encrypted line, or stays on this machine."""
        plain = info.data.get("smtp_security") == "none"
        if user is not None and plain and info.data.get("smtp_host") not in LOOPBACK:
            raise ValueError("a login needs starttls or tls")
        return user

    @field_validator("smtp_password_file")
    @classmethod
    def _password(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is None and info.data.get("smtp_user") is not None:
            raise ValueError("a login needs a password")
        return file

    @cached_property
    def smtp_port_number(self) -> int:
        """The mail server's port: as set, else the usual one for its security."""
        return self.smtp_port or PORTS[self.smtp_security]

    @cached_property
    def installation_key_file(self) -> Path:
        """The file of the installation's key (32 random bytes, mode 0600)."""
        return self.key_file or self.home / "installation.key"

    @cached_property
    def turn_servers(self) -> tuple[str, ...]:
        """The TURN servers' URLs, best first; empty without one."""
        return _parts(self.turn_urls)

    @cached_property
    def media_port_number(self) -> int:
        """The relay's UDP port."""
        return self.media_port or self.port

    @cached_property
    def local_only(self) -> bool:
        """Whether nobody outside this machine is served."""
        return self.host in LOOPBACK and not self.public_address.strip()

    @cached_property
    def public_addresses(self) -> tuple[str, ...]:
        """The addresses the media plane announces; empty means every address of this host."""
        named = _parts(self.public_address)
        if named:
            return named
        return ("127.0.0.1",) if self.host in LOOPBACK else ()
