"""``telemed serve``: the server with its database, until a signal ends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telemed.cli.environment import load_settings, log_as_lines, say
from telemed.cli.errors import AddressUnavailable, MigrationsPending, PortInUse

if TYPE_CHECKING:
    import socket

    from aiohttp import web

    from telemed.settings import Settings
    from telemed.store.embedded import DatabaseUrls
    from telemed.supervise import Death, Program

STOP_SECONDS = 10  # from the signal to the end of the process, whatever happens
CLOSE_SECONDS = 4.0  # of those: open requests and sockets may end by themselves
COLLECT = (50_000, 20, 10)  # new objects before a look at them; looks before one at older, and at the oldest
BACKLOG = 256  # connections that wait while the server starts: pages that come back at once after a restart


def serve(
    port: Annotated[int | None, typer.Option(help="TCP port (TELEMED_PORT, else 8080).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (TELEMED_HOST, else 127.0.0.1).")] = None,
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Serve until SIGINT, SIGTERM or the terminal closes; an embedded PostgreSQL runs unless DATABASE_URL is set."""
    import asyncio

    log_as_lines()
    asyncio.run(run(load_settings(port=port, host=host, home=home)))


async def run(settings: Settings) -> None:
    """Serve until a signal; then stop accepting, close the sockets, write what is left, stop the database."""
    import asyncio
    import contextlib

    from telemed.supervise import end_within, stop_signals

    with stop_signals() as stop, contextlib.closing(listen(settings.host, settings.port)) as listener:
        serving = asyncio.create_task(_serve(settings, listener))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not serving.done():
            end_within(STOP_SECONDS)
            serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    if stop.is_set():
        say("Telemed has stopped.")


async def _serve(settings: Settings, listener: socket.socket) -> None:
    import asyncio
    from importlib import import_module

    from aiohttp import web

    from telemed.store.embedded import running_database
    from telemed.store.folders import make_home
    from telemed.supervise import Supervisor

    make_home(settings.home)
    # The signal libraries take a second to import: the time in which the database starts.
    importing = asyncio.create_task(asyncio.to_thread(import_module, "telemed.app"))
    async with running_database(settings) as urls:
        await prepare_schema(settings, urls)
        build_app = (await importing).build_app
        await _make_partitions(urls)
        app = build_app(settings.model_copy(update={"database_url": urls.server, "database_owner_url": None}))
        runner = web.AppRunner(
            app, handle_signals=False, access_log=None, shutdown_timeout=CLOSE_SECONDS,
        )
        compactor = Supervisor(_compactor_died)
        try:
            await runner.setup()
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            say(f"Telemed serves at {address(settings)}")
            await compactor.start(_compactor(settings, urls))
            await _start_relay(app)
            _collect_seldom()
            await asyncio.Event().wait()
        finally:
            await asyncio.gather(compactor.stop(), runner.cleanup())


async def _make_partitions(urls: DatabaseUrls) -> None:
    """Have the partitions of the next hours before the first stream is announced; the compactor makes those after."""
    from telemed.store.database import Database
    from telemed.vitals.storage.partitions import make_ahead

    database = Database(urls.server, 1)
    await database.open()
    try:
        await make_ahead(database)
    finally:
        await database.close()


def _compactor(settings: Settings, urls: DatabaseUrls) -> Program:
    """The process that packs what is hot. Without it everything works, and the disk fills sooner."""
    import sys

    from telemed.supervise import Program

    environment = {
        "DATABASE_URL": urls.server, "DATABASE_OWNER_URL": "", "TELEMED_HOME": str(settings.home),
        "TELEMED_KEY_FILE": str(settings.installation_key_file),
    }
    if settings.keep_days is not None:
        environment["TELEMED_KEEP_DAYS"] = str(settings.keep_days)
    return Program("compactor", (sys.executable, "-m", "telemed.vitals.storage"), environment)


def _compactor_died(death: Death) -> None:
    say(f"Telemed's compactor has ended with status {death.status}; it is started again.")


def _collect_seldom() -> None:
    """Look for cycles of objects seldom, and never among what the start made.

    With Python's own thresholds a thousand stations have it walk through every connection several times a second.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


async def _start_relay(app: web.Application) -> None:
    """Have the relay ready before the first call; without it everything but pictures and sound works."""
    from telemed.http import keys
    from telemed.media.engine import RelayUnavailable

    try:
        await app[keys.RELAY].start()
    except RelayUnavailable:
        say("Telemed's relay does not start: no pictures and no sound until it does. Its own line above says why.")


async def prepare_schema(settings: Settings, urls: DatabaseUrls) -> None:
    """Migrate where the owner's address is ours to use; raises ``MigrationsPending`` where it is not."""
    from telemed.store.embedded import SERVER_ROLE
    from telemed.store.migrate import check, migrate

    if settings.database_url is None:
        await migrate(urls.owner, SERVER_ROLE)
    elif not (await check(urls.server)).current:
        raise MigrationsPending()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ``PortInUse``, ``AddressUnavailable``."""
    import errno
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(port=port) from None
        raise AddressUnavailable(host=host, port=port) from None


def address(settings: Settings) -> str:
    """Where a browser on this machine finds the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.port}"
