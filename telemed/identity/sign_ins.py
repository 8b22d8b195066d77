"""Sign-ins: server-side sessions, of which only the SHA-256 of the token is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from telemed.audit import Actor, record
from telemed.errors import BadCredentials, NotFound
from telemed.identity.accounts import Account, account_of
from telemed.identity.passwords import Passwords
from telemed.store.database import Connection, Database, load_sql

SQL = load_sql("identity")
ABSOLUTE_SECONDS = 12 * 3600.0  # one long shift
IDLE_SECONDS = 3600.0
SEEN_SECONDS = 60.0  # seen_at moves at most this often: one write a minute and session
TOKEN_BYTES = 32  # 256 random bits (at least 128 are wanted)
TOKEN_LENGTH = 43  # base64url of 32 bytes without padding
LISTED = 50


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A live sign-in and whose it is."""

    token_hash: bytes
    account: Account


@dataclass(frozen=True, slots=True)
class SignIn:
    """One sign-in as its owner sees it; ``id`` names it without revealing the token."""

    id: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


def token_hash(token: str) -> bytes:
    """SHA-256 of a token or a station key: the tokens are random, so no salt is needed."""
    return hashlib.sha256(token.encode()).digest()


async def check(database: Database, passwords: Passwords, login: str, password: str) -> Account:
    """The account of this login and password. Raises ``BadCredentials``, alike and as late for every cause.

    A failure is an audit row that names the account, when there is one, never what was typed. No database
    connection is held while the password is hashed.
    """
    async with database.connection() as connection:
        row = await connection.fetchrow(SQL["account_by_login"], login)
    right = await passwords.matches(password, None if row is None else row["password_hash"])
    if row is not None and right and row["disabled_at"] is None:
        return account_of(row)
    async with database.connection() as connection:
        await record(
            connection, Actor("anonymous", None, None), "sign_in.create", "deny", object_kind="account",
            object_id=None if row is None else str(row["id"]),
            organisation_id=None if row is None else row["organisation_id"],
        )
    raise BadCredentials()


async def begin(connection: Connection, account_id: UUID) -> str:
    """Open a sign-in and return its token, which is nowhere kept."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await connection.execute(SQL["sign_in_forget"], account_id)
    await connection.execute(SQL["sign_in_open"], token_hash(token), account_id, ABSOLUTE_SECONDS)
    return token


async def find(connection: Connection, token: str) -> SignedIn | None:
    """The live sign-in of this token, marked as seen; None when ended, expired, idle too long or unknown."""
    if len(token) != TOKEN_LENGTH or not token.isascii():
        return None
    hashed = token_hash(token)
    row = await connection.fetchrow(SQL["sign_in_find"], hashed, IDLE_SECONDS, SEEN_SECONDS)
    if row is None:
        return None
    if row["stale"]:
        await connection.execute(SQL["sign_in_seen"], hashed)
    return SignedIn(hashed, account_of(row))


async def alive(connection: Connection, hashed: bytes) -> bool:
    """Whether the sign-in still holds (a long-lived socket asks)."""
    return await connection.fetchrow(SQL["sign_in_find"], hashed, IDLE_SECONDS, SEEN_SECONDS) is not None


async def proofs_alive(connection: Connection, proofs: Collection[bytes]) -> set[bytes]:
    """Which of these hashes still let their bearer in; one question for all of them.

    A hash is of a sign-in's token, of a station's key, or of a guest's cookie: that one holds while its seat is
    admitted, its ticket neither revoked nor expired, and its consultation not over.
    """
    rows = await connection.fetch(SQL["proofs_alive"], list(proofs), IDLE_SECONDS)
    return {bytes(row["proof"]) for row in rows}


async def end(connection: Connection, hashed: bytes) -> None:
    """End one sign-in; ending it again changes nothing."""
    await connection.execute(SQL["sign_in_end"], hashed)


async def listed(connection: Connection, account_id: UUID) -> list[SignIn]:
    """The account's live sign-ins, newest first."""
    rows = await connection.fetch(SQL["sign_in_list"], account_id, IDLE_SECONDS, LISTED)
    return [
        SignIn(public_id(row["token_hash"]), row["created_at"], row["seen_at"], row["expires_at"]) for row in rows
    ]


async def end_named(connection: Connection, account_id: UUID, sign_in_id: str) -> bytes:
    """End the account's sign-in with this ``SignIn.id`` and return its token's hash. Raises ``NotFound``."""
    for row in await connection.fetch(SQL["sign_in_list"], account_id, IDLE_SECONDS, LISTED):
        hashed: bytes = row["token_hash"]
        if public_id(hashed) == sign_in_id:
            await end(connection, hashed)
            return hashed
    raise NotFound()


def public_id(hashed: bytes) -> str:
    """A name for a sign-in: a hash of the stored hash, so that it cannot stand in for either."""
    return hashlib.sha256(b"sign-in name" + hashed).hexdigest()[:24]
