"""``telemed redecode``: the readings of stored envelopes made again by the decoder of this version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telemed.cli.environment import load_settings, log_as_lines, say
from telemed.cli.progress import shown

if TYPE_CHECKING:
    from telemed.settings import Settings
    from telemed.vitals.storage.redecode import Redecoded


def redecode(
    stream: Annotated[int | None, typer.Option(help="Only the stream of this number in the database.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Read what devices sent again and keep what this version reads in it. Beside a running server or without one."""
    import asyncio

    log_as_lines()
    done = asyncio.run(run(load_settings(home=home), stream, dry_run))
    would = "would read" if dry_run else "read"
    say(f"{done.streams} streams, {done.chunks} chunks; {done.changed} {would} otherwise than before.")


async def run(settings: Settings, stream: int | None, dry_run: bool) -> Redecoded:
    """Do it. Raises ``NotFound`` for a stream that is not there or holds samples, and what the database raises."""
    from telemed_devices.gatt import decode

    from telemed.cli.database import reachable_database
    from telemed.store.database import Database
    from telemed.store.installation import check_key
    from telemed.store.sealing import Sealer
    from telemed.vitals.lanes import DECODER
    from telemed.vitals.numbers import stored_readings
    from telemed.vitals.storage.redecode import redecode as read_again

    async with reachable_database(settings) as urls:
        sealer = Sealer.load(settings.installation_key_file)
        database = Database(urls.server, 1)
        await database.open()
        try:
            async with database.transaction() as connection:
                await check_key(connection, sealer, str(settings.installation_key_file))
            with shown() as tell:
                return await read_again(
                    database, sealer, lambda format_, payload: stored_readings(decode(format_, payload)), DECODER,
                    stream_id=stream, dry_run=dry_run, tell=lambda done, of: tell("redecode", done, of),
                )
        finally:
            await database.close()
