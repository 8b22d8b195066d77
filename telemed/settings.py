"""The environment becomes one frozen settings object, validated once at start."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    key_file: Path | None = None
    database_url: str | None = Field(default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    database_owner_url: str | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_OWNER_URL", "database_owner_url")
    )

    @cached_property
    def installation_key_file(self) -> Path:
        """The file of the installation's key (32 random bytes, mode 0600)."""
        return self.key_file or self.home / "installation.key"

    @cached_property
    def public_addresses(self) -> tuple[str, ...]:
        """The addresses the media plane announces; empty means every address of this host."""
        named = tuple(part.strip() for part in self.public_address.split(",") if part.strip())
        if named:
            return named
        return ("127.0.0.1",) if self.host in ("127.0.0.1", "localhost", "::1") else ()
