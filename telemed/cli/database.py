"""``telemed db``: how the database is, and a newer PostgreSQL for it; and the database for a command.

A command may run beside a server of the same data folder, or alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telemed.cli.environment import load_settings, log_as_lines, say
from telemed.cli.progress import shown

if TYPE_CHECKING:
    from telemed.settings import Settings
    from telemed.store.embedded import DatabaseUrls

app = typer.Typer(help="The database of the installation.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """The database of the installation."""


@app.command("status")
def status(
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Print version, size, partitions and what waits to be compacted. Works beside a running server and without one."""
    import asyncio

    log_as_lines()
    asyncio.run(_status(home))


@app.command("upgrade")
def upgrade(
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Bring the embedded database to the newest PostgreSQL here; stop the server first. The old data is kept."""
    import asyncio

    log_as_lines()
    asyncio.run(_upgrade(home))


@asynccontextmanager
async def reachable_database(settings: Settings) -> AsyncIterator[DatabaseUrls]:
    """A database for the body: the operator's own, the one a running server keeps, or the embedded one until then."""
    from telemed.store.embedded import EmbeddedPostgres, running_database
    from telemed.store.folders import HomeInUse

    async with AsyncExitStack() as stack:
        try:
            urls = await stack.enter_async_context(running_database(settings))
        except HomeInUse:  # a server owns it: its PostgreSQL lets this account in
            urls = EmbeddedPostgres(settings.home).urls
        yield urls


async def _status(home: Path | None) -> None:
    from telemed.store.backup import must_be_there
    from telemed.store.status import database_status

    settings = load_settings(home=home)
    must_be_there(settings)
    async with reachable_database(settings) as urls:
        found = await database_status(urls.owner)
    say(f"PostgreSQL     {found.version}{_newer(settings, found.major)}")
    say(f"size           {found.size_bytes:,} bytes")
    say(f"migrations     {found.migrations}")
    for name, count in found.partitions.items():
        say(f"partitions     {name} {count}")
    if found.behind is not None:
        say(f"oldest hour    {found.oldest_hour or '-'} (UTC, not yet compacted away)")
        say(f"not compacted  {found.behind.chunks:,} chunks of {found.behind.streams:,} streams")


def _newer(settings: Settings, major: int) -> str:
    from telemed.store.binaries import find_programs

    if settings.database_url is not None:
        return " (your own server)"
    newest = find_programs(None).major
    return f" ({newest} is here: telemed db upgrade)" if newest > major else ""


async def _upgrade(home: Path | None) -> None:
    from telemed.store.upgrade import upgrade_home

    settings = load_settings(home=home)
    with shown() as progress:
        done = await upgrade_home(settings, progress)
    if done is None:
        say("Nothing to do: the database has the newest PostgreSQL that is here.")
        return
    say(f"Upgraded from PostgreSQL {done.before} to {done.after}: {done.rows:,} rows, each table as many as before.")
    say(f"The old data is kept in {done.kept}: remove it when you are sure, and after the next backup.")
