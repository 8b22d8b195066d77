"""A whole visit over real sockets: admitted with its patient, interrupted and resumed by who is connected, ended."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from telemed.consultation import continuity
from telemed.identity import accounts

DEADLINE_SECONDS = 30.0


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose watch waits for a moment only."""
    monkeypatch.setattr(continuity, "INTERRUPT_SECONDS", 0.05)
    monkeypatch.setattr(continuity, "LOOK_SECONDS", 0.01)


def page(server: Any, client: Any, one: Any) -> AbstractAsyncContextManager[Any]:
    seat = getattr(client, "seat", None)
    path = f"/ws/consultations/{one}" + ("" if seat is None else f"?as={seat}")
    socket: AbstractAsyncContextManager[Any] = client.http.ws_connect(path, headers={"Origin": server.url})
    return socket


async def greet(socket: Any) -> None:
    await socket.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid4())})
    await until(socket, lambda message: message["type"] == "welcome")


async def until(socket: Any, holds: Any) -> Any:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, message
            if holds(found := message.json()):
                return found


def state(wanted: str) -> Any:
    return lambda message: message["type"] in ("consultation", "visit") and (
        message[message["type"]]["state"] == wanted)


async def test_a_visit_is_interrupted_and_resumes_by_itself(brisk: None, server: Any) -> None:
    one = await server.visit()
    clinician, patient, tablet = await server.client("clinician"), await server.guest(), await server.guest()
    token = await server.ticket(one)
    assert (await patient.join(token))[1]["state"] == "waiting"
    assert (await tablet.join(token))[1]["device"] == 2
    _, shown = await clinician.get(f"/api/v1/consultations/{one}")
    assert (shown["guests_waiting"], shown["patient_here"], shown["station"]) == (2, False, None)

    async with page(server, patient, one) as at_home:
        await greet(at_home)
        _, shown = await clinician.get(f"/api/v1/consultations/{one}")
        assert shown["patient_here"] is True
        async with page(server, clinician, one) as practice:
            await greet(practice)
            status, live = await clinician.post(f"/api/v1/consultations/{one}/admit")
            assert (status, live["guests_waiting"]) == (200, 1)  # the first browser came in, the second waits
            admitted = await until(at_home, lambda m: m["type"] == "visit" and m["visit"]["seat_state"] == "admitted")
            assert admitted["visit"]["state"] in ("live", "interrupted")
            assert (await tablet.get("/api/v1/visit"))[1]["seat_state"] == "waiting"
            await at_home.close()
            await until(practice, state("interrupted"))
            async with page(server, patient, one) as again:
                await greet(again)
                await until(practice, state("live"))
                assert (await clinician.post(f"/api/v1/consultations/{one}/end"))[0] == 200
                ended = await until(again, state("ended"))
                assert ended["visit"]["seat_state"] == "admitted"  # the seat stays as it was
    async with server.database.connection() as connection:
        rows = await connection.fetch(
            "select action from audit_event where actor_kind = 'system' and object_id = $1 order by id", str(one))
        seats = await connection.fetch("select state from seat where consultation_id = $1 order by device", one)
    actions = [row["action"].removeprefix("consultation.") for row in rows]
    assert actions[-2:] == ["line_lost", "line_back"]
    assert [row["state"] for row in seats] == ["admitted", "waiting"]


async def test_a_clinician_who_takes_part_no_longer_loses_the_page(server: Any) -> None:
    one = await server.visit()
    clinician = await server.client("clinician")
    async with server.database.connection() as connection:
        made = await accounts.create(
            connection, server.seed.organisation_id, "demo-second", "Demo clinician 2", "-", ["clinician"])
    server.seed.accounts["second"] = made.id
    second = await server.client("second")
    path = f"/api/v1/consultations/{one}"
    assert (await clinician.post(f"{path}/admit"))[0] == 200
    assert (await clinician.post(f"{path}/participants", {"account_id": str(made.id)}))[0] == 201
    async with page(server, second, one) as socket:
        await greet(socket)
        assert (await clinician.delete(f"{path}/participants/{made.id}"))[0] == 200
        error = await until(socket, lambda message: message["type"] == "error")
        assert error["error"]["code"] == "forbidden"
