"""What happened in a run, as JSON lines that several programs append to and the checker alone judges.

{"run": seed}                                            first; the seed that the schedule was drawn from
{"stream": i, "station": id, "number": n, "epoch": uuid} a stream of the generator
{"sent": i, "seq": n, "sha256": hex}                     before the chunk goes out for the first time
{"again": n}                                             so many chunks went out once more
{"acked": i, "ranges": [[first, last], …]}               what an acknowledgement told anew
{"forgotten": i, "through": n, "acked": m}               a new connection was told less than was acknowledged before
{"refused": i, "seq": n or null, "code": code}           the server refused a chunk or the whole stream
{"fault": kind, "at_s": t, "after_ack_ms": t, …}         what was broken, and how long after an acknowledgement
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

Range = tuple[int, int]
BUFFER_BYTES = 256 * 1024  # lines held before they are appended; the generator also appends four times a second


class History:
    """Appends lines. Whole blocks of lines go out in one write to a file opened to append: programs do not mix."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lines: list[str] = []
        self._size = 0

    def add(self, **line: Any) -> None:
        """One line; it is in the file after the next ``flush``."""
        self.raw(json.dumps(line))

    def raw(self, text: str) -> None:
        """One line that is JSON already."""
        self._lines.append(text)
        self._size += len(text)
        if self._size >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Append what is held."""
        if self._lines:
            block = ("\n".join(self._lines) + "\n").encode()
            self._lines, self._size = [], 0
            written = os.write(self._file, block)
            if written != len(block):
                raise OSError(f"{written} of {len(block)} bytes of the history were written")

    def close(self) -> None:
        """Append what is held and close."""
        self.flush()
        os.close(self._file)


@dataclass
class Told:
    """One stream by the history: what was sent, by its SHA-256, and what was acknowledged."""

    station: int
    number: int
    epoch: UUID
    sent: dict[int, bytes] = field(default_factory=dict)
    acked: set[int] = field(default_factory=set)


@dataclass
class Read:
    """A whole history."""

    seed: int | None = None
    streams: dict[int, Told] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    again: int = 0
    forgotten: int = 0
    refusals: dict[str, int] = field(default_factory=dict)  # of chunks
    turned_away: dict[str, int] = field(default_factory=dict)  # connections and messages: the station comes again


def read(path: Path) -> Read:
    """The history in a file. Raises ``ValueError`` for a line that is none of the above."""
    found = Read()
    for line in _lines(path):
        match line:
            case {"sent": index, "seq": seq, "sha256": digest}:
                sent = found.streams[index].sent
                if sent.setdefault(seq, bytes.fromhex(digest)) != bytes.fromhex(digest):
                    raise ValueError(f"the generator sent other bytes for {line}")
            case {"acked": index, "ranges": ranges}:
                for first, last in ranges:
                    found.streams[index].acked.update(range(first, last + 1))
            case {"stream": index, "station": station, "number": number, "epoch": epoch}:
                found.streams[index] = Told(station, number, UUID(epoch))
            case {"again": count}:
                found.again += count
            case {"forgotten": _}:
                found.forgotten += 1
            case {"refused": _, "seq": seq, "code": code}:
                said = found.turned_away if seq is None else found.refusals
                said[code] = said.get(code, 0) + 1
            case {"fault": _}:
                found.faults.append(line)
            case {"run": seed}:
                found.seed = seed
            case _:
                raise ValueError(f"no line of a history: {line}")
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            yield json.loads(text)
