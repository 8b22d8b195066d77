"""``telemed restore``: a backup put into an empty data folder or database, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from telemed.cli.environment import load_settings, log_as_lines, say
from telemed.cli.progress import shown


def restore(
    source: Annotated[Path, typer.Argument(help="The folder of a backup.")],
    keys: Annotated[
        Path | None, typer.Option(help="The folder that holds the installation's key; else it is in its place already.")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Put the backup of SOURCE into an empty data folder, or into the empty database of DATABASE_OWNER_URL."""
    import asyncio

    log_as_lines()
    asyncio.run(_restore(source.absolute(), None if keys is None else keys.absolute(), home))


async def _restore(source: Path, keys: Path | None, home: Path | None) -> None:
    from telemed.audit import SYSTEM, record
    from telemed.store import restore as store
    from telemed.store.backup import KEY_NAME, copy_key, load_key, open_connection, role_of
    from telemed.store.backup_files import read_manifest
    from telemed.store.embedded import running_database
    from telemed.store.folders import make_home

    settings = load_settings(home=home)
    key_file = settings.installation_key_file.absolute()
    offered = key_file if keys is None else keys / KEY_NAME
    sealer = load_key(offered)
    manifest = read_manifest(source, sealer, offered)
    make_home(settings.home)
    with shown() as progress:
        await store.must_fit(source, manifest, progress)
        async with running_database(settings) as urls:
            await store.must_be_empty(urls.owner)
            if keys is not None:  # before the rows: a server that is started on them must not make a key of its own
                copy_key(offered, key_file.parent, name=key_file.name)
            applied = await store.restore(
                urls.owner, role_of(settings), source, manifest, sealer, key_file, progress,
                embedded=settings.database_url is None,
            )  # fmt: skip
            async with open_connection(urls.server) as connection:
                await record(
                    connection, SYSTEM, "backup.restore", "event",
                    detail={"by": "command line", "made_at": manifest.made_at},
                )  # fmt: skip
    say(f"Restored: the state of {manifest.made_at}, {sum(manifest.tables.values()):,} rows.")
    for name in applied:
        say(f"applied: {name}")
    say("What stations sent and people wrote after that moment is not in it. Now start the server: telemed serve")
    say("Stations connect again by themselves and send what they still hold.")
