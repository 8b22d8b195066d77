"""Keeps one thing going while it is wanted: begins it again when it ends, drops it when something else is wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import aiohttp
import structlog

from telemed_station.backoff import Backoff
from telemed_station.camera.resource import OfferRefused

W = TypeVar("W", bound=Hashable)

log = structlog.get_logger("telemed.station.media")


class Over(Exception):
    """It worked and came to an end; ``reason`` is for the log."""


class Keeper(Generic[W]):
    """``hold`` runs for what ``want`` named last, and is cancelled when that changes.

    ``hold`` may end, or raise ``OfferRefused``, ``Over`` or a network error: it is begun again after a delay that grows
    until ``Over`` says that it had worked.
    """

    def __init__(self, name: str, hold: Callable[[W], Awaitable[None]]) -> None:
        self._name = name
        self._hold = hold
        self._wanted: W | None = None
        self._changed = asyncio.Event()

    @property
    def wanted(self) -> W | None:
        """What ``want`` named last."""
        return self._wanted

    def want(self, wanted: W | None) -> None:
        """Have this and nothing else; None for nothing."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def run(self) -> None:
        """Keep going for ever."""
        backoff = Backoff()
        while True:
            self._changed.clear()
            wanted = self._wanted
            if wanted is None:
                await self._changed.wait()
                backoff.reset()
                continue
            delay = await self._once(wanted, backoff)
            if delay is None:  # something else is wanted now
                backoff.reset()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._changed.wait()

    async def _once(self, wanted: W, backoff: Backoff) -> float | None:
        """Hold it until it ends, and how long to wait then; None when something else is wanted."""
        hold = asyncio.ensure_future(self._hold(wanted))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((hold, change), return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
            if not hold.done():
                hold.cancel()
            await asyncio.gather(hold, change, return_exceptions=True)
        if self._changed.is_set():
            return None
        try:
            hold.result()
            reason = "ended"
        except Over as over:
            backoff.reset()
            reason = str(over)
        except OfferRefused as refused:
            log.info("media_refused", what=self._name, status=refused.status)
            return backoff.next_s() if refused.retry_after_s is None else max(0.1, refused.retry_after_s)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            reason = type(error).__name__
        delay = backoff.next_s()
        log.info("media_interrupted", what=self._name, reason=reason, again_in_s=round(delay, 2))
        return delay
