"""``telemed backup``: a consistent copy of the database, taken beside a running server or without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from telemed.cli.environment import load_settings, log_as_lines, say
from telemed.cli.progress import shown

NICENESS = 10  # ingest goes before the copy of it


def backup(
    dest: Annotated[Path, typer.Argument(help="A folder for this backup alone; made when absent, else empty.")],
    keys: Annotated[
        Path | None, typer.Option(help="Also put the installation's key into this other folder; never into DEST.")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Copy everything in the database to DEST. The installation's key is not in it: keep that somewhere else."""
    import asyncio
    import os

    log_as_lines()
    os.nice(NICENESS)
    asyncio.run(_backup(dest.absolute(), None if keys is None else keys.absolute(), home))


async def _backup(dest: Path, keys: Path | None, home: Path | None) -> None:
    from telemed.audit import SYSTEM, record
    from telemed.cli.database import reachable_database
    from telemed.store.backup import copy_key, keep_apart, load_key, make_backup, must_be_there, open_connection

    settings = load_settings(home=home)
    key_file = settings.installation_key_file.absolute()
    if keys is not None:
        keep_apart(dest, keys)
    must_be_there(settings)
    sealer = load_key(key_file)
    async with reachable_database(settings) as urls:
        if keys is not None:
            key_copy = copy_key(key_file, keys)
        with shown() as progress:
            made = await make_backup(
                urls.owner, dest, sealer, key_file, progress, embedded=settings.database_url is None
            )
        async with open_connection(urls.server) as connection:
            await record(
                connection, SYSTEM, "backup.make", "event", detail={"by": "command line", "bytes": made.size_bytes}
            )
    rows = sum(made.tables.values())
    say(f"Backup of {made.made_at}: {dest}, {made.size_bytes:,} bytes, {rows:,} rows in {len(made.tables)} tables.")
    if keys is None:
        say(f"The installation's key is NOT in it, and without the key nobody can read it: {key_file}")
        say("Keep a copy of the key somewhere else (telemed backup DEST --keys OTHER_FOLDER makes one).")
    else:
        say(f"The installation's key is NOT in it; its copy is {key_copy}. Keep the two apart.")
