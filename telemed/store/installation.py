"""The database remembers which installation key seals it; another key file is refused before it seals anything."""

from __future__ import annotations

from telemed.errors import TelemedError
from telemed.store.database import Connection, load_sql
from telemed.store.sealing import SealBroken, Sealer

SQL = load_sql("installation")


class KeyMismatch(TelemedError):
    """The installation's key file is not the one that sealed this database."""

    code = "key_mismatch"
    status = 500


async def check_key(connection: Connection, sealer: Sealer, key_file: str) -> None:
    """Remember the key at the first start; at later ones raise ``KeyMismatch`` when it is another."""
    await connection.execute(SQL["keep_witness"], sealer.wrap(sealer.new_key()))
    try:
        sealer.unwrap(await connection.fetchval(SQL["witness"]))
    except SealBroken:
        raise KeyMismatch(path=key_file) from None
