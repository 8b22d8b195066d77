"""Everybody's slots in the group room: the viewers of the media benchmark, on this machine's loopback.

Argument: the SRTP profile; lines as ``_media_viewers`` takes them. Sockets are emptied ten times a second: each
datagram has the kernel's time, and a slot gets 75 a second.
"""

from __future__ import annotations

import asyncio
import sys

import _media_viewers
import aioice.ice

SWEEP_SECONDS = 0.1


if __name__ == "__main__":
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    _media_viewers.SWEEP_SECONDS = SWEEP_SECONDS
    asyncio.run(_media_viewers.main(sys.argv[1]))
