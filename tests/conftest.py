"""One real PostgreSQL a test session; a fresh database, cloned from a migrated template, a test."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import structlog
from hypothesis import settings

from telemed.store.database import Database
from telemed.store.embedded import OWNER_ROLE, SERVER_ROLE, DatabaseUrls, EmbeddedPostgres
from telemed.store.migrate import migrate
from telemed.store.sealing import Sealer

TEMPLATE = "telemed_template"
FUZZ_EXAMPLES = 20_000  # of each property in `make fuzz`; one that fixes its own number keeps it

settings.register_profile("fuzz", max_examples=FUZZ_EXAMPLES, deadline=None)
_numbers = itertools.count(1)
T = TypeVar("T")


@pytest.fixture(autouse=True)
def logs_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that runs in here sets up logging to a stream that ends with its test: nobody keeps it."""
    configure, uncached = structlog.configure, {"cache_logger_on_first_use": False}
    monkeypatch.setattr(structlog, "configure", lambda **chosen: configure(**chosen | uncached))
    yield
    structlog.reset_defaults()


def complete(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, in a thread and a loop of its own: whatever loop runs here is not disturbed."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def owner_execute(url: str, statement: str) -> None:
    """Run one statement as the owner, outside any transaction."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that an unprivileged account can pass through (pytest's own are closed)."""
    folder = Path(tempfile.mkdtemp(prefix="telemed-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The session's embedded PostgreSQL, with the migrated template database ``telemed_template``."""
    server = EmbeddedPostgres(open_folder / "session")
    complete(server.start())
    try:
        complete(owner_execute(server.url(OWNER_ROLE, "postgres"), f"create database {TEMPLATE}"))
        complete(migrate(server.url(OWNER_ROLE, TEMPLATE), SERVER_ROLE))
        yield server
    finally:
        complete(server.stop())


@pytest.fixture
def administer(postgres: EmbeddedPostgres) -> Callable[[str], None]:
    """Runs one statement as the owner, outside any transaction and any test database."""
    return lambda statement: complete(owner_execute(postgres.url(OWNER_ROLE, "postgres"), statement))


@pytest.fixture
def database_urls(postgres: EmbeddedPostgres, administer: Callable[[str], None]) -> Iterator[DatabaseUrls]:
    """A fresh migrated database: ``.server`` and ``.owner`` URLs."""
    name = f"telemed_test_{next(_numbers)}"
    administer(f"create database {name} template {TEMPLATE}")
    yield DatabaseUrls(server=postgres.url(SERVER_ROLE, name), owner=postgres.url(OWNER_ROLE, name))
    administer(f"drop database {name} with (force)")


@pytest.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    """An open ``Database`` as the server's role."""
    opened = Database(database_urls.server)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The file of an installation key."""
    path = tmp_path / "installation.key"
    Sealer.load(path)
    return path
