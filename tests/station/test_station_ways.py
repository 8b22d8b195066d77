"""The station goes straight to the server, and by TURN only when that has failed; nothing dead holds it for long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from telemed_station.camera import ways
from telemed_station.camera.ways import Way, Ways

KEY = "station-key"


def answer(*urls: str) -> Any:
    return {"ice_servers": [{"urls": list(urls), "username": "user", "credential": "password"}], "seconds": 600}


@asynccontextmanager
async def ways_of(reply: Callable[[], Any]) -> AsyncIterator[tuple[Ways, list[str]]]:
    """Ways of a server that answers so, and what it was asked."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        asked.append(request.path)
        given = reply()
        return given if isinstance(given, web.Response) else web.json_response(given)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Ways(http, f"http://127.0.0.1:{runner.addresses[0][1]}", KEY), asked
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_port() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def url_of(way: Way) -> str:
    (server,) = way.servers
    assert (server.username, server.credential) == ("user", "password")
    return str(server.urls)


async def test_the_straight_way_asks_for_nothing() -> None:
    async with ways_of(lambda: answer("turn:127.0.0.1:9")) as (found, asked):
        for _ in range(3):
            assert await found.next() == Way(0, [])
        assert asked == []


async def test_each_way_is_tried_in_turn_best_first_and_then_the_straight_one_again() -> None:
    async with open_port() as port:
        udp, tcp, tls = "turn:127.0.0.1:9", f"turn:127.0.0.1:{port}?transport=tcp", f"turns:127.0.0.1:{port}"
        async with ways_of(lambda: answer(udp, "turn:[::1]:9", tcp, tls, "stun:x", "nonsense")) as (found, asked):
            tried = []
            way = await found.next()
            for _ in range(3):
                found.failed(way)
                way = await found.next()
                tried.append(url_of(way))
            assert tried == [tls, tcp, udp]
            assert url_of(await found.next()) == udp  # what has not failed is kept
            found.failed(way)
            assert await found.next() == Way(0, [])
            assert set(asked) == {"/api/v1/ice-servers"}


async def test_connections_that_fail_together_move_one_way_on() -> None:
    async with open_port() as port:
        tcp, tls = f"turn:127.0.0.1:{port}?transport=tcp", f"turns:127.0.0.1:{port}"
        async with ways_of(lambda: answer(tls, tcp)) as (found, _):
            camera, player = await found.next(), await found.next()
            found.failed(camera)
            found.failed(player)
            assert url_of(await found.next()) == tls


async def test_a_turn_server_that_takes_no_connection_is_passed_over() -> None:
    async with open_port() as port:
        dead, alive = f"turns:127.0.0.1:{unused_port()}", f"turn:127.0.0.1:{port}?transport=tcp"
        async with ways_of(lambda: answer(dead, alive)) as (found, _):
            found.failed(await found.next())
            assert url_of(await found.next()) == alive
        async with ways_of(lambda: answer(dead)) as (found, _):
            found.failed(await found.next())
            assert await found.next() == Way(0, [])


@pytest.mark.parametrize("reply", [
    {"ice_servers": [], "seconds": 600}, {}, [], None, {"ice_servers": [{"urls": ["turn:x"]}]}, {"ice_servers": 5},
    {"ice_servers": [{"urls": 5, "username": "u", "credential": "c"}]},
    {"ice_servers": [{"urls": [5], "username": "u", "credential": "c"}]},
], ids=json.dumps)
async def test_without_a_usable_answer_it_goes_straight_on(reply: Any) -> None:
    async with ways_of(lambda: reply) as (found, asked):
        found.failed(await found.next())
        assert await found.next() == Way(0, [])
        assert len(asked) == 1


async def test_a_server_that_does_not_know_the_question_or_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ways_of(lambda: web.Response(status=404)) as (found, _):
        found.failed(await found.next())
        assert await found.next() == Way(0, [])
    async with ways_of(lambda: web.Response(text="<html>")) as (found, _):
        found.failed(await found.next())
        assert await found.next() == Way(0, [])
    monkeypatch.setattr(ways, "ASK_S", 0.2)
    held = asyncio.Event()

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as http:
        found = Ways(http, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", KEY)
        found.failed(await found.next())
        async with asyncio.timeout(10):
            assert await found.next() == Way(0, [])
    held.set()
    server.close()
