"""Passwords as argon2id hashes, checked off the event loop and a few at a time."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

PARALLEL = 2  # hashes at once: each takes 64 MiB, so a flood of sign-ins takes at most 128 MiB
WAITING = 64  # checks under way or waiting; more are refused (each waits some 50 ms for those before it)
SHORTEST = 8  # characters of a password
LONGEST = 256  # characters; argon2 itself would take 4 GiB

# RFC 9106 section 4, second recommended option (t=3, 64 MiB, 4 lanes): the library's default.
_HASHER = PasswordHasher()


def hash_password(password: str) -> str:
    """The password's argon2id hash with a fresh salt; takes some 50 ms of one core."""
    return _HASHER.hash(password)


class Passwords:
    """Hashing for one server: bounded, in threads, and as slow for an unknown login as for a known one."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(PARALLEL)
        self._decoy: str | None = None
        self._under_way = 0

    @property
    def crowded(self) -> bool:
        """Whether so many checks are under way that another one should be refused."""
        return self._under_way >= WAITING

    async def hash(self, password: str) -> str:
        """The password's hash."""
        async with self._slots:
            return await asyncio.to_thread(hash_password, password)

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Whether the password has this hash; None (no such login) takes as long and is False."""
        if self._decoy is None:
            self._decoy = await self.hash(secrets.token_urlsafe(16))
        against = hashed if hashed is not None else self._decoy
        self._under_way += 1
        try:
            async with self._slots:
                right = await asyncio.to_thread(_verify, against, password)
        finally:
            self._under_way -= 1
        return right and hashed is not None


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
