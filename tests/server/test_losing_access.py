"""Whoever loses access loses the open socket as well, at once."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

DEADLINE_SECONDS = 20.0  # generous: the machine may be busy


async def until_closed(socket: Any) -> list[str]:
    """The codes of the errors that the socket was told before it closed."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        texts = [message.json() async for message in socket if message.type is aiohttp.WSMsgType.TEXT]
    return [text["error"]["code"] for text in texts if text["type"] == "error"]


async def page(server: Any, client: Any) -> AbstractAsyncContextManager[Any]:
    operator = await server.client("operator")
    where = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    _, consultation = await operator.post("/api/v1/consultations", where)
    assert (await client.post(f"/api/v1/consultations/{consultation['id']}/admit"))[0] == 200
    path = f"/ws/consultations/{consultation['id']}"
    socket: AbstractAsyncContextManager[Any] = client.http.ws_connect(path, headers={"Origin": server.url})
    return socket


async def greet(socket: Any) -> None:
    await socket.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid4()), "program": "test 1"})
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert (await socket.receive_json())["type"] == "welcome"


@pytest.mark.parametrize("how", ["sign out", "end the sign-in elsewhere", "disable"])
async def test_a_page_closes_with_its_sign_in(server: Any, how: str) -> None:
    client = await server.client("clinician")
    async with await page(server, client) as socket:
        await greet(socket)
        if how == "sign out":
            assert (await client.delete("/api/v1/sign-in"))[0] == 204
        elif how == "disable":
            account = server.seed.accounts["clinician"]
            administrator = await server.client("administrator")
            assert (await administrator.post(f"/api/v1/accounts/{account}/disable"))[0] == 200
        else:
            elsewhere = await server.client("clinician")
            _, listed = await elsewhere.get("/api/v1/me/sign-ins")
            other = next(one["id"] for one in listed["sign_ins"] if not one["current"])
            assert (await elsewhere.delete(f"/api/v1/me/sign-ins/{other}"))[0] == 204
        assert await until_closed(socket) == ["not_signed_in"]


async def test_signing_out_elsewhere_leaves_this_page_open(server: Any) -> None:
    client, elsewhere = await server.client("clinician"), await server.client("clinician")
    async with await page(server, client) as socket:
        await greet(socket)
        assert (await elsewhere.delete("/api/v1/sign-in"))[0] == 204
        await socket.send_json({"type": "watch", "stream": 4_000_000, "view": "raw"})
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (message := await socket.receive_json())["type"] != "error":
                pass
        assert message["error"]["code"] != "not_signed_in"
        assert not socket.closed


async def test_a_stations_socket_closes_with_its_key(server: Any) -> None:
    administrator, station = await server.client("administrator"), await server.anonymous()
    headers = {"Authorization": f"Bearer {server.seed.station_key}"}
    async with station.http.ws_connect("/ws/station", headers=headers) as socket:
        await greet(socket)
        path = f"/api/v1/stations/{server.seed.station_id}/keys/{server.seed.station_key_id}"
        assert (await administrator.delete(path))[0] == 200
        assert await until_closed(socket) == ["key_revoked"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await station.http.ws_connect("/ws/station", headers=headers)
    assert refused.value.status == 401
