"""In which state the stored samples of a window are: a name that changes whenever an answer made of them may."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import telemed
from telemed.store.database import Connection, load_sql
from telemed.vitals.storage.reading import born_between
from telemed.vitals.stored import StoredStream

SQL = load_sql("reading")
DIGITS: Final = 32  # of the name, hexadecimal: 128 bits, of which nobody finds two alike


async def state_of(connection: Connection, streams: Sequence[StoredStream], *wanted: Any) -> str:
    """The state of these streams as ``wanted`` (reprs of which say what is asked) is answered from them.

    It holds what is durable and what of it is compacted, the clock by which stamps become times, what is given out, and
    the program's version, whose answer it is.
    """
    rows = [] if not streams else await connection.fetch(
        SQL["state"], [one.card.id for one in streams], [one.born for one in streams], *born_between(streams))
    kept = {row["id"]: (row["compacted"], row["hot"]) for row in rows}
    parts = [telemed.__version__, repr(wanted)]
    clocks = {id(one.clock): one.clock for one in streams}
    parts += [repr(clock.fixes) for clock in clocks.values()]
    parts += [repr((one.card, one.opened_us, one.closed_us, kept[one.card.id])) for one in streams]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]
