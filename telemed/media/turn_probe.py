"""Does the TURN server let anybody in: a real allocation by each of its URLs, begun and given back.

A TURN server that is dead or refuses is noticed by nobody at the hospital: everyone there reaches the relay directly,
and the patient behind a closed network sees only a call that never begins. So it is tried as a browser would, for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from typing import Literal

import structlog
from aioice import stun
from aioice.turn import create_turn_endpoint
from prometheus_client import Gauge

from telemed.media.turn import Credential, IceServers, TurnUrl
from telemed.metrics import REGISTRY

PROBE_SECONDS = 2.0  # for one allocation: a line on which it takes longer carries no call
RELEASE_SECONDS = 1.0  # to give it back; the server forgets it by itself too
PERIOD_SECONDS = 60.0  # between two looks, however often /healthz is asked
LIFETIME_SECONDS = 60  # of an allocation that could not be given back; servers may grant more (RFC 8656 section 7.2)
WHO = "probe"

TurnState = Literal["ok", "unreachable", "refused", "absent"]
_WORST_LAST: tuple[TurnState, ...] = ("ok", "unreachable", "refused")

UP = Gauge("telemed_turn_up", "Whether this TURN URL granted an allocation when last tried", ["url"], registry=REGISTRY)
LOG = structlog.get_logger("telemed.media.turn")


class TurnProbe:
    """What became of the last look. Made inside a running loop. ``tls``: whom to trust; None for the system's list."""

    def __init__(self, servers: IceServers, tls: ssl.SSLContext | None = None) -> None:
        self._servers = servers
        self._tls = tls
        self._looked = asyncio.Event()
        self.states: dict[str, TurnState] = {}

    async def run(self) -> None:
        """Look at once and then every ``PERIOD_SECONDS``, for ever; without a TURN server never."""
        while self._servers:
            await self.look()
            await asyncio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Try every URL now, all at once; takes at most ``PROBE_SECONDS`` and ``RELEASE_SECONDS``. Never raises."""
        credential = self._servers.credential(time.time(), WHO)
        urls = self._servers.urls
        found = await asyncio.gather(*(allocate(url, credential, self._tls) for url in urls))
        for url, state in zip(urls, found, strict=True):
            UP.labels(url.text).set(state == "ok")
            if state != self.states.get(url.text, "ok"):
                (LOG.info if state == "ok" else LOG.warning)(f"turn_{state}", url=url.text)
            self.states[url.text] = state
        self._looked.set()

    async def state(self) -> TurnState:
        """The worst of the last look; waits for the first one, ``PROBE_SECONDS`` and ``RELEASE_SECONDS`` at most."""
        if not self._servers:
            return "absent"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS + RELEASE_SECONDS):
                await self._looked.wait()
        if not self.states:
            return "unreachable"
        return max(self.states.values(), key=_WORST_LAST.index)


async def allocate(url: TurnUrl, credential: Credential, tls: ssl.SSLContext | None = None) -> TurnState:
    """What the server at ``url`` says to an Allocate request (RFC 8656 section 7) with this credential.

    ``refused`` is its own word; ``unreachable`` covers no answer, no connection and a certificate that is not trusted.
    """
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            transport, allocation = await create_turn_endpoint(
                _Allocation, (url.host, url.port), credential.username, credential.password,
                lifetime=LIFETIME_SECONDS,
                ssl=(tls or True) if url.transport == "tls" else None,
                transport="udp" if url.transport == "udp" else "tcp",
            )
    except stun.TransactionFailed:
        return "refused"
    except (stun.TransactionError, OSError, TimeoutError):
        return "unreachable"
    transport.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RELEASE_SECONDS):
            await allocation.lost.wait()
    return "ok"


class _Allocation(asyncio.DatagramProtocol):
    """Nothing is sent through it; ``lost`` is set when the server has taken it back."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
