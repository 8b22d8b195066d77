"""Which way the media go: straight to the server, and by its TURN servers in turn once that has failed.

A hospital whose firewall lets no UDP out is served by TURN over TLS or TCP. Everybody else never asks for it: aioice
knows one TURN server at a time and waits five seconds for a dead one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiortc import RTCIceServer

from telemed_station.camera.body import whole

ASK_S = 3.0  # for the list and its credential: an attempt waits no longer before it goes on without
REACH_S = 2.0  # for a TCP connection to a TURN server, before aioice is let wait for it
ANSWER_BYTES_MAX = 16_384
URLS_MAX = 8  # of an answer; the server gives at most four
# RFC 7065 section 3.1, but for addresses in brackets, which aiortc does not read.
TURN_URL = re.compile(r"(turns?):([A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?(?:\?transport=(udp|tcp))?")
PORTS = {"turn": 3478, "turns": 5349}  # RFC 7065 section 3.2


@dataclass(frozen=True, slots=True)
class Way:
    """One way to try. ``number`` 0 is straight on; ``servers`` is what aiortc is to be made with."""

    number: int
    servers: list[RTCIceServer]


@dataclass(frozen=True, slots=True)
class _Place:
    """A TURN server by one of its URLs. ``order``: 0 TLS, 1 TCP, 2 UDP."""

    server: RTCIceServer
    host: str
    port: int
    order: int


class Ways:
    """The way that is tried next; one object for all connections of the station, because they share the network."""

    def __init__(self, http: aiohttp.ClientSession, server: str, key: str) -> None:
        self._http = http
        self._url = server.rstrip("/") + "/api/v1/ice-servers"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._number = 0

    async def next(self) -> Way:
        """The way to try now. Never raises; takes at most ``ASK_S`` and ``REACH_S`` a TURN server."""
        if self._number == 0:
            return Way(0, [])
        listed = await self._listed()
        for number, place in enumerate(listed[self._number - 1 :], self._number):
            if await _answers(place):
                self._number = number
                return Way(number, [place.server])
        self._number = 0  # all of them tried, or none there: straight on once more
        return Way(0, [])

    def failed(self, way: Way) -> None:
        """Nothing came through: try the next one. Of several that failed by the same way the first counts."""
        if way.number == self._number:
            self._number += 1

    async def _listed(self) -> list[_Place]:
        """One a URL, those first that pass where UDP does not; empty when the server has none or does not say."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError):
            async with (
                asyncio.timeout(ASK_S),
                self._http.get(self._url, headers=self._headers, allow_redirects=False) as reply,
            ):
                if reply.status == 200:
                    return _places(json.loads(await whole(reply, ANSWER_BYTES_MAX)))
        return []


def _places(answer: dict[str, Any]) -> list[_Place]:
    found = []
    for one in answer["ice_servers"]:
        for url in one["urls"][:URLS_MAX]:
            if parts := TURN_URL.fullmatch(url):
                scheme, host, port, transport = parts.groups()
                server = RTCIceServer(urls=url, username=str(one["username"]), credential=str(one["credential"]))
                order = 0 if scheme == "turns" else 1 if transport == "tcp" else 2
                found.append(_Place(server, host, int(port or PORTS[scheme]), order))
    return sorted(found[:URLS_MAX], key=lambda place: place.order)


async def _answers(place: _Place) -> bool:
    """Whether something takes connections there; of a datagram service nobody can say."""
    if place.order == 2:
        return True
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(place.host, place.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
