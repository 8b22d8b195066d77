"""Patients' bytes are sealed before they reach the database, so that destroying a key destroys what it sealed.

Three levels: the installation's key (a file) wraps patients' and stations' keys; those wrap a data key for each
stream or file; a data key seals the bytes. AES-256-GCM throughout (NIST SP 800-38D); no key is used for two
purposes: each use has its own subkey by HKDF-SHA256 (RFC 5869).
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from telemed.errors import TelemedError

KEY_BYTES = 32  # AES-256; every key here is this long
NONCE_BYTES = 12  # NIST SP 800-38D 5.2.1.1: the IV length GCM is made for
TAG_BYTES = 16  # the full GCM tag
WRAPPED_BYTES = 1 + NONCE_BYTES + KEY_BYTES + TAG_BYTES  # version, nonce, sealed key, tag
WRAP_VERSION = b"\x01"  # first byte of a wrapped key, and authenticated with it
KEY_FILE_MODE = 0o600
CONTEXT_LENGTH_BYTES = 8  # the context's length goes before it, so (context, plain) has one reading only


class SealBroken(TelemedError):
    """Sealed bytes were altered, or opened with another key or in another place than they were sealed for."""

    code = "seal_broken"
    status = 500


class KeyFileOpen(TelemedError):
    """The installation's key file can be read by others than its owner."""

    code = "key_file_open"
    status = 500


class KeyFileDamaged(TelemedError):
    """The installation's key file is not a regular file of 32 bytes."""

    code = "key_file_damaged"
    status = 500


class KeyFileUnusable(TelemedError):
    """The installation's key file cannot be read or made."""

    code = "key_file_unusable"
    status = 500


def _subkey(key: bytes, purpose: str) -> bytes:
    """The 32-byte subkey of ``key`` for one purpose. Keys are uniformly random, so expansion alone suffices."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    return HKDFExpand(SHA256(), KEY_BYTES, f"telemed v1 {purpose}".encode()).derive(key)


class DataKey:
    """Seals bytes so that the same bytes in the same place give the same ciphertext, and others another nonce.

    The nonce is synthetic: the first 12 bytes of HMAC-SHA256 over context and plain bytes under a subkey. A
    re-sent chunk is therefore recognised by comparing sealed bytes, and a nonce repeats only when everything
    repeats (two different texts meet with probability below 2^-32 up to 2^32 sealed under one key).
    """

    __slots__ = ("_cipher", "_nonce_key")

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_subkey(key, "seal"))
        self._nonce_key = _subkey(key, "nonce")

    def seal(self, plain: bytes, context: bytes) -> tuple[bytes, bytes]:
        """Seal ``plain``: (nonce of 12 bytes, ciphertext with its 16-byte tag).

        ``context`` names the place (table, stream id, seq): it is authenticated, not stored, and ``open`` needs
        the same one.
        """
        nonce = self.nonce(plain, context)
        return nonce, self._cipher.encrypt(nonce, plain, context)

    def nonce(self, plain: bytes, context: bytes) -> bytes:
        """The nonce that ``seal`` gives for the same: it tells whether sealed bytes are of this text."""
        place = len(context).to_bytes(CONTEXT_LENGTH_BYTES, "big") + context
        return hmac.digest(self._nonce_key, place + plain, "sha256")[:NONCE_BYTES]

    def open(self, nonce: bytes, sealed: bytes, context: bytes) -> bytes:
        """The plain bytes. Raises :class:`SealBroken` when key, nonce, bytes or context are not the sealed ones."""
        return _decrypt(self._cipher, nonce, sealed, context)


class Sealer:
    """Wraps keys under the installation's key, or under another key that is given."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = _subkey(key, "wrap")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the installation's key; make it (32 random bytes, mode 0600, durable) when the file is absent.

        Raises :class:`KeyFileOpen` when group or others have any right on it, :class:`KeyFileDamaged` when it is
        not 32 bytes, :class:`KeyFileUnusable` when it cannot be read or made.
        """
        try:
            if not path.exists():
                _make_key_file(path)
            return cls(_read_key_file(path))
        except OSError as error:
            raise KeyFileUnusable(path=str(path), reason=error.strerror or str(error)) from error

    @staticmethod
    def new_key() -> bytes:
        """A fresh key: 32 random bytes."""
        return secrets.token_bytes(KEY_BYTES)

    def wrap(self, key: bytes, under: bytes | None = None) -> bytes:
        """``key`` (32 bytes) wrapped under ``under``, or under the installation's key: 61 bytes."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        nonce = secrets.token_bytes(NONCE_BYTES)  # random is enough: far fewer than 2^32 wraps under one key
        return WRAP_VERSION + nonce + self._wrapping(under).encrypt(nonce, key, WRAP_VERSION)

    def unwrap(self, blob: bytes, under: bytes | None = None) -> bytes:
        """The key that ``wrap`` was given. Raises :class:`SealBroken`."""
        if len(blob) != WRAPPED_BYTES or not blob.startswith(WRAP_VERSION):
            raise SealBroken()
        nonce, sealed = blob[1 : 1 + NONCE_BYTES], blob[1 + NONCE_BYTES :]
        return _decrypt(self._wrapping(under), nonce, sealed, WRAP_VERSION)

    def _wrapping(self, under: bytes | None) -> AESGCM:
        return AESGCM(self._key if under is None else _subkey(under, "wrap"))


def _decrypt(cipher: AESGCM, nonce: bytes, sealed: bytes, context: bytes) -> bytes:
    if len(nonce) != NONCE_BYTES or len(sealed) < TAG_BYTES:
        raise SealBroken()
    try:
        return cipher.decrypt(nonce, sealed, context)
    except InvalidTag as error:
        raise SealBroken() from error


def _make_key_file(path: Path) -> None:
    """Make the file whole and durable, or not at all; whoever else makes it first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, KEY_FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # never replaces a key that is there already
    finally:
        draft.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """The names in ``folder`` are on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_key_file(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not hold us
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise KeyFileDamaged(path=str(path))
        if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileOpen(path=str(path))
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise KeyFileDamaged(path=str(path))
    return key
