"""The database for a command that may run beside a server of the same data folder, or alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from telemed.settings import Settings
from telemed.store.embedded import DatabaseUrls, EmbeddedPostgres, running_database
from telemed.store.folders import HomeInUse


@asynccontextmanager
async def reachable_database(settings: Settings) -> AsyncIterator[DatabaseUrls]:
    """A database for the body: the operator's own, the one a running server keeps, or the embedded one until then."""
    async with AsyncExitStack() as stack:
        try:
            urls = await stack.enter_async_context(running_database(settings))
        except HomeInUse:  # a server owns it: its PostgreSQL lets this account in
            urls = EmbeddedPostgres(settings.home).urls
        yield urls
