"""Judges a run by its history and the database alone.

    python -m tests.faults.checker HISTORY DATABASE_URL KEY_FILE

Prints one JSON object and ends with status 0 when every acknowledged chunk is stored once and as it was sent, and
every other one not at all or once and as it was sent; else with status 1. Chunks are read as evidence: once all of
them in order, and once more by number, so that a hot row and a segment that both hold a chunk are both looked at.
What the evidence cannot show, because it gives each chunk once, is read in the clear columns.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from telemed.store.sealing import DataKey, SealBroken, Sealer
from telemed.vitals.storage import evidence
from tests.faults.history import Read, Told, read

NAMED = 20  # of each fault; the counts are whole
BY_NUMBER = 512  # chunks asked for by number at once
JUDGED = ("missing", "doubled", "altered", "never_sent", "claimed", "forgotten")

STREAM = """
select t.id, t.born, t.key_wrapped, t.attachment_id, s.key_wrapped as station_key, p.key_wrapped as patient_key
  from stream t join station s on s.id = t.station_id
  left join attachment a on a.id = t.attachment_id left join patient p on p.id = a.patient_id
 where t.station_id = $1 and t.number = $2 and t.epoch = $3"""
TWICE_HOT = "select seq from chunk where stream_id = $1 group by seq having count(*) > 1"
TWICE_FRAME = "select seq from frame where stream_id = $1 group by seq having count(*) > 1"
TWICE_PACKED = """
select greatest(first_seq, after) as first, least(last_seq, after_last) as last from (
  select first_seq, last_seq, lead(first_seq) over w as after, lead(last_seq) over w as after_last
    from segment where stream_id = $1 window w as (order by first_seq, born)) s where after <= last_seq"""
CLAIMED = "select lower(r) as first, upper(r) - 1 as last from stream_mark, unnest(compacted) r where stream_id = $1"


@dataclass
class Report:
    """What was found."""

    streams: int = 0
    sent: int = 0
    acknowledged: int = 0
    stored: int = 0
    unacknowledged_stored: int = 0
    again: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    turned_away: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(JUDGED, 0))
    named: dict[str, list[str]] = field(default_factory=dict)

    def judge(self, what: str, told: Told, seqs: Iterable[int | str]) -> None:
        """These chunks are ``what``."""
        for seq in seqs:
            self.counts[what] += 1
            names = self.named.setdefault(what, [])
            if len(names) < NAMED:
                names.append(f"station {told.station} stream {told.number} chunk {seq}")

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.counts.values())


async def check(history: Read, connection: Any, sealer: Sealer) -> Report:
    """Look at every stream of the history."""
    report = Report(again=history.again, refusals=history.refusals, turned_away=history.turned_away)
    report.counts["forgotten"] = history.forgotten
    for fault in history.faults:
        report.faults[fault["fault"]] = report.faults.get(fault["fault"], 0) + 1
    for told in history.streams.values():
        report.streams += 1
        report.sent += len(told.sent)
        report.acknowledged += len(told.acked)
        rows = await connection.fetch(STREAM, told.station, told.number, told.epoch)
        if not rows:
            report.judge("missing", told, sorted(told.acked))
            continue
        if len(rows) > 1:
            report.judge("doubled", told, ["of a stream with two rows"])
        await _stream(report, told, connection, sealer, rows[0])
    return report


async def _stream(report: Report, told: Told, connection: Any, sealer: Sealer, row: Any) -> None:
    owner = row["station_key"] if row["attachment_id"] is None else row["patient_key"]
    key = DataKey(sealer.unwrap(bytes(row["key_wrapped"]), sealer.unwrap(bytes(owner))))
    found: set[int] = set()
    altered: set[int] = set()
    try:
        async for seq, data in evidence.chunks(connection, row["id"], row["born"], key):
            if seq in found:
                report.judge("doubled", told, [seq])
            _compare(told, seq, data, found, altered)
    except (SealBroken, ValueError):  # somewhere; the next reading says where
        report.judge("altered", told, ["of a stream that cannot be read whole"])
    known = sorted(told.sent)
    for at in range(0, len(known), BY_NUMBER):
        await _by_number(told, connection, row, key, known[at : at + BY_NUMBER], found, altered)
    report.stored += len(found)
    report.unacknowledged_stored += len(found - told.acked)
    report.judge("altered", told, sorted(altered))
    report.judge("missing", told, sorted(told.acked - found))
    report.judge("never_sent", told, sorted((found | told.acked) - told.sent.keys()))
    for statement in (TWICE_HOT, TWICE_FRAME):
        report.judge("doubled", told, [one["seq"] for one in await connection.fetch(statement, row["id"])])
    for one in await connection.fetch(TWICE_PACKED, row["id"]):
        report.judge("doubled", told, range(one["first"], one["last"] + 1))
    for one in await connection.fetch(CLAIMED, row["id"]):
        report.judge("claimed", told, sorted(set(range(one["first"], one["last"] + 1)) - found))


async def _by_number(
    told: Told, connection: Any, row: Any, key: DataKey, seqs: list[int], found: set[int], altered: set[int]
) -> None:
    try:
        for seq, data in (await evidence.chunk_bytes(connection, row["id"], row["born"], key, seqs)).items():
            _compare(told, seq, data, found, altered)
    except (SealBroken, ValueError):
        if len(seqs) == 1:
            found.update(seqs)
            altered.update(seqs)
            return
        for half in (seqs[: len(seqs) // 2], seqs[len(seqs) // 2 :]):
            await _by_number(told, connection, row, key, half, found, altered)


def _compare(told: Told, seq: int, data: bytes, found: set[int], altered: set[int]) -> None:
    found.add(seq)
    if seq in told.sent and hashlib.sha256(data).digest() != told.sent[seq]:
        altered.add(seq)


async def main(history: Path, url: str, key_file: Path) -> int:
    """Print the report; 0 when all is well."""
    connection = await asyncpg.connect(url)
    try:
        report = await check(read(history), connection, Sealer.load(key_file))
    finally:
        await connection.close()
    print(json.dumps({**vars(report), "good": report.good}))
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))))
