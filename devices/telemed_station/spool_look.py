"""What lies in a spool, read without changing it, also while the station program has it open.

For whoever looks from outside: the command line when the program does not run, and tests.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telemed_station.errors import SpoolDamaged, SpoolKeyMissing
from telemed_station.people_file import Person, read_people
from telemed_station.spool_key import NAME as KEY_NAME
from telemed_station.spool_key import load_key
from telemed_station.spool_open import tables
from telemed_station.spool_seal import Seal, SealBroken
from telemed_station.spooled import Chunk, SpooledStream
from telemed_station.trouble import at_start


@dataclass(frozen=True)
class Look:
    """An open file. Everything it gives is of one moment."""

    file: sqlite3.Connection
    seal: Seal

    def streams(self) -> list[SpooledStream]:
        """Every stream in it, oldest first."""
        rows = self.file.execute("select number, generation, descriptor, next_seq from stream order by number")
        return [
            SpooledStream(number, generation, self._descriptor(number, sealed), next_seq)
            for number, generation, sealed, next_seq in rows
        ]

    def chunks(self, number: int) -> Iterator[Chunk]:
        """The chunks of a stream in order, refused ones too. Raises ``SealBroken``."""
        for seq, sealed in self.file.execute("select seq, bytes from chunk where number = ? order by seq", (number,)):
            yield Chunk(number, seq, self.seal.open("chunk", number, seq, sealed))

    def people(self) -> list[Person]:
        """Everybody entered here whom the server does not know from begin to end."""
        return read_people(self.file, self.seal)

    def _descriptor(self, number: int, sealed: bytes) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.seal.open("stream", number, 0, sealed))
        return found


@contextmanager
def look(path: Path, key_file: Path | None = None) -> Iterator[Look]:
    """Look into the spool at ``path``, which is there and sealed.

    Raises ``SpoolKeyMissing`` when its key is not there or another, ``SpoolDamaged``, ``SpoolUnwritable``.
    """
    key_path = key_file or path.with_name(KEY_NAME)
    with at_start(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
        file.execute("begin")
        if "seal" not in tables(file):
            raise SpoolDamaged(file=str(path))
        salt, check = file.execute("select salt, checked from seal").fetchone()
        key = load_key(key_path)
        seal = None if key is None else Seal(key, salt)
        if seal is None or not seal.opens(check):
            raise SpoolKeyMissing(file=str(key_path), spool=str(path))
        yield Look(file, seal)


__all__ = ["Look", "SealBroken", "look"]
