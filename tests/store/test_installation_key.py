"""A lost key file is noticed at the next start, before anything is sealed under a new one."""

from __future__ import annotations

import pytest

from telemed.store.database import Database
from telemed.store.installation import KeyMismatch, check_key
from telemed.store.sealing import Sealer


async def test_the_same_key_is_accepted_and_another_refused(database: Database) -> None:
    ours, other = Sealer(Sealer.new_key()), Sealer(Sealer.new_key())
    for _start in range(2):
        async with database.transaction() as connection:
            await check_key(connection, ours, "installation.key")
    with pytest.raises(KeyMismatch) as refused:
        async with database.transaction() as connection:
            await check_key(connection, other, "installation.key")
    assert refused.value.params == {"path": "installation.key"}
