"""``telemed migrate``: brings the database's schema forward, or says what that would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from telemed.cli.environment import load_settings, log_as_lines, say

PENDING = 1  # exit status of --check when something is to be done


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit status 1 when not current.")] = False,
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Migrate DATABASE_OWNER_URL (or the embedded database) and give the role of DATABASE_URL its rights."""
    import asyncio

    log_as_lines()
    if not asyncio.run(_migrate(check, home)):
        raise typer.Exit(PENDING)


async def _migrate(only_check: bool, home: Path | None) -> bool:
    """Whether the schema is current now."""
    from urllib.parse import unquote, urlsplit

    from telemed.cli.database import reachable_database
    from telemed.store import migrate as schema
    from telemed.store.embedded import SERVER_ROLE

    settings = load_settings(home=home)
    async with reachable_database(settings) as urls:
        if only_check:
            state = await schema.check(urls.server)
            for title, names in (("pending", state.pending), ("altered", state.altered), ("newer", state.newer)):
                for name in names:
                    say(f"{title}: {name}")
            if state.current:
                say(f"current: {state.applied[-1] if state.applied else '-'}")
            return state.current
        role = SERVER_ROLE
        if settings.database_url is not None:
            role = unquote(urlsplit(settings.database_url).username or "")
        applied = await schema.migrate(urls.owner, role or None)
        for name in applied:
            say(f"applied: {name}")
        if not applied:
            say("Nothing to do: the schema is current.")
        return True
