"""Accounts: the people who sign in, their roles and language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from telemed.audit import Actor
from telemed.errors import Conflict, NotFound, TelemedError
from telemed.identity.policy import Target
from telemed.store.database import Connection, load_sql

SQL = load_sql("identity")
LISTED = 500  # accounts in one answer


class LoginTaken(TelemedError):
    """Another account has this login."""

    code = "login_taken"
    status = 409


class LastAdministrator(TelemedError):
    """The organisation's last administrator cannot be disabled."""

    code = "last_administrator"
    status = 409


@dataclass(frozen=True, slots=True)
class Account:
    """One person's account. The password's hash is not part of it."""

    id: UUID
    organisation_id: UUID
    login: str
    name: str
    roles: tuple[str, ...]
    language: str
    created_at: datetime
    disabled_at: datetime | None

    @property
    def target(self) -> Target:
        """The account as the policy sees it."""
        return Target("account", str(self.id), self.organisation_id)

    @property
    def actor(self) -> Actor:
        """The account as the one who asks."""
        return Actor("account", str(self.id), self.organisation_id, frozenset(self.roles))


def account_of(row: Mapping[str, Any]) -> Account:
    """The account in a database row."""
    return Account(
        row["id"], row["organisation_id"], row["login"], row["name"], tuple(row["roles"]), row["language"],
        row["created_at"], row["disabled_at"],
    )


async def create(
    connection: Connection,
    organisation_id: UUID,
    login: str,
    name: str,
    password_hash: str,
    roles: Iterable[str],
    language: str = "bg",
) -> Account:
    """Make an account with an argon2id hash (``passwords.hash_password``). Raises ``LoginTaken``."""
    row = await connection.fetchrow(
        SQL["account_create"], uuid4(), organisation_id, login, name, password_hash, sorted(set(roles)), language
    )
    if row is None:
        raise LoginTaken()
    return account_of(row)


async def listed(connection: Connection, organisation_id: UUID) -> list[Account]:
    """The organisation's accounts by name, at most ``LISTED``."""
    return [account_of(row) for row in await connection.fetch(SQL["account_list"], organisation_id, LISTED)]


async def get(connection: Connection, account_id: UUID) -> Account:
    """The account. Raises ``NotFound``."""
    row = await connection.fetchrow(SQL["account_get"], account_id)
    if row is None:
        raise NotFound()
    return account_of(row)


async def disable(connection: Connection, account: Account) -> Account:
    """End the account and all its sign-ins, inside a transaction. Raises ``LastAdministrator``."""
    administrators = {row["id"] for row in await connection.fetch(
        SQL["account_administrators"], account.organisation_id
    )}
    if administrators == {account.id}:
        raise LastAdministrator()
    row = await connection.fetchrow(SQL["account_disable"], account.id)
    if row is None:
        raise Conflict()
    await connection.execute(SQL["sign_in_end_all"], account.id)
    return account_of(row)


async def set_language(connection: Connection, account_id: UUID, language: str) -> Account:
    """Choose the language, ``bg`` or ``en``, that the account's pages open in."""
    row = await connection.fetchrow(SQL["account_language"], account_id, language)
    if row is None:
        raise NotFound()
    return account_of(row)
