"""What the spool holds of a patient is sealed: AES-256-GCM (NIST SP 800-38D), each row for its own place.

The spool's key makes a key for every stream and every person of this one file (HKDF-SHA256, RFC 5869, with the file's
random salt), so nonces are drawn at random: the 2^32 messages that SP 800-38D 8.3 allows one key are far more than an
hour of a stream has, also where a lost file or a clock set back brings a number twice.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from telemed_station.spool_key import KEY_BYTES

NONCE_BYTES = 12  # NIST SP 800-38D 5.2.1.1: the IV length GCM is made for
TAG_BYTES = 16  # the full GCM tag
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES  # a sealed row is this much longer
SALT_BYTES = 16
CIPHERS_KEPT = 64  # a station records seven streams and drains a few more
CHECK = b"telemed spool 1"


class SealBroken(Exception):
    """The sealed bytes were altered, or belong to another place or key."""


class Seal:
    """Seals and opens the rows of one spool file."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._key = key
        self.salt = salt
        self._ciphers: dict[tuple[str, int], AESGCM] = {}

    def seal(self, table: str, number: int, seq: int, plain: bytes) -> bytes:
        """Nonce, ciphertext and tag: ``OVERHEAD_BYTES`` more than ``plain``. The place is authenticated, not stored."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(table, number).encrypt(nonce, plain, _place(table, number, seq))

    def open(self, table: str, number: int, seq: int, sealed: bytes) -> bytes:
        """The plain bytes. Raises ``SealBroken``."""
        if len(sealed) < OVERHEAD_BYTES:
            raise SealBroken
        try:
            return self._cipher(table, number).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _place(table, number, seq)
            )
        except InvalidTag as error:
            raise SealBroken from error

    def check(self) -> bytes:
        """A row that tells a right key from a wrong one (``opens``)."""
        return self.seal("seal", 0, 0, CHECK)

    def opens(self, check: bytes) -> bool:
        """Whether this key made the check."""
        try:
            return self.open("seal", 0, 0, check) == CHECK
        except SealBroken:
            return False

    def _cipher(self, table: str, number: int) -> AESGCM:
        cipher = self._ciphers.get((table, number))
        if cipher is None:
            info = b"telemed spool v1 " + self.salt + f" {table} {number}".encode()
            cipher = AESGCM(HKDFExpand(SHA256(), KEY_BYTES, info).derive(self._key))
            while len(self._ciphers) >= CIPHERS_KEPT:
                del self._ciphers[next(iter(self._ciphers))]
            self._ciphers[table, number] = cipher
        return cipher


def _place(table: str, number: int, seq: int) -> bytes:
    return f"{table}/{number}/{seq}".encode()
