"""Writes chunks to a spool and acknowledges some until it is killed; says on standard output what it had done.

``asked NUMBER SEQ`` is printed before an acknowledgement is given to the spool; the others after the call returned, so
they must be true after ``kill -9``: ``begun NUMBER``, ``kept NUMBER SEQ``, ``gone NUMBER SEQ``.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from telemed_station.spool import Ack, Chunk, Spool


def body(number: int, seq: int) -> bytes:
    """The bytes of a chunk, known from its identity."""
    return hashlib.sha256(f"{number}/{seq}".encode()).digest() * 20


def main(path: str) -> None:
    spool = Spool(Path(path))
    say = sys.stdout
    while True:
        streams = spool.begin([{"kind": "ecg"}, {"kind": "pleth"}])
        for stream in streams:
            print(f"begun {stream.number}", file=say, flush=True)
        for seq in range(40):
            chunks = [Chunk(stream.number, seq, body(stream.number, seq)) for stream in streams]
            acks = [Ack(stream.number, seq - 6, ((seq - 3, seq - 3),)) for stream in streams if seq >= 6]
            covered = [(stream.number, seq - back) for stream in streams if seq >= 6 for back in (6, 3)]
            for number, old in covered:
                print(f"asked {number} {old}", file=say, flush=True)
            spool.write(chunks, acks)
            for chunk in chunks:
                print(f"kept {chunk.number} {seq}", file=say, flush=True)
            for number, old in covered:
                print(f"gone {number} {old}", file=say, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
