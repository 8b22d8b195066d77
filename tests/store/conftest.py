"""Homes for embedded databases; what only root can try is collected only as root."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from telemed.store.embedded import EmbeddedPostgres

collect_ignore = [] if os.geteuid() == 0 else ["test_embedded_as_root.py"]

Started = Callable[..., Awaitable[EmbeddedPostgres]]


@pytest.fixture
def home(open_folder: Path) -> Iterator[Path]:
    """A place for a home that an unprivileged account can reach; not made yet."""
    path = open_folder / "home"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def made_home(open_folder: Path) -> Iterator[Path]:
    """A home whose database was made and stopped; every test leaves it able to start."""
    path = open_folder / "made"

    async def once() -> None:
        server = EmbeddedPostgres(path)
        await server.start()
        await server.stop()

    with ThreadPoolExecutor(1) as thread:  # away from whatever loop runs here
        thread.submit(asyncio.run, once()).result()
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def start() -> AsyncIterator[Started]:
    """Starts an embedded PostgreSQL and stops it after the test."""
    async with AsyncExitStack() as stack:

        async def started(home: Path, **options: object) -> EmbeddedPostgres:
            server = EmbeddedPostgres(home, **options)  # type: ignore[arg-type]
            stack.push_async_callback(server.stop)
            await server.start()
            return server

        yield started
