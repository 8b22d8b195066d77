"""Who may stay: one question a second for all open pages together, and a closer look where an answer changed.

A page looks closer too after ``LOOK_SECONDS`` without a change, for what nobody told and this question leaves out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

import structlog

from telemed.errors import DatabaseUnavailable
from telemed.identity.sign_ins import IDLE_SECONDS
from telemed.store.database import Database, DatabaseRefused, load_sql
from telemed.vitals.trouble import trouble

SQL = load_sql("watch")
log = structlog.get_logger(__name__)

CHECK_SECONDS: Final = 1.0  # between two questions; sockets end within two seconds
LOOK_SECONDS: Final = 30.0  # between two looks of a page of which nothing changed


class Page(Protocol):
    """An open page: the hash of what its person came with, and its consultation."""

    proof: bytes
    consultation_id: UUID

    def look(self) -> None:
        """Look closer, soon. Returns at once."""


class Standing:
    """The open pages and the last answer about each. ``clock`` is the loop's, in seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] | None = None) -> None:
        self._database = database
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._pages: dict[Page, tuple[object, float]] = {}

    def enter(self, page: Page) -> None:
        """Ask about this page too, from the next question on."""
        self._pages[page] = (None, 0.0)

    def leave(self, page: Page) -> None:
        """Ask about it no longer."""
        self._pages.pop(page, None)

    async def ask(self) -> None:
        """Ask once. Raises ``DatabaseUnavailable``: then nothing is known to have changed."""
        pages = tuple(self._pages)
        if not pages:
            return
        async with self._database.connection() as connection:
            people = await connection.fetch(SQL["proofs_now"], list({one.proof for one in pages}), IDLE_SECONDS)
            rooms = await connection.fetch(SQL["rooms_now"], list({one.consultation_id for one in pages}))
        standing = {bytes(row["proof"]): row["now"] for row in people}
        states = {row["id"]: row["now"] for row in rooms}
        now = self._clock()
        for page in pages:
            before = self._pages.get(page)
            answer = standing.get(page.proof), states.get(page.consultation_id)
            if before is not None and (before[0] != answer or now - before[1] >= LOOK_SECONDS):
                self._pages[page] = answer, now
                page.look()

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.ask()
            except (DatabaseUnavailable, DatabaseRefused):
                continue
            except Exception as error:  # the pages stay; what ended them before still ends them by their own looks
                log.error("standing_not_asked", **trouble(error))
