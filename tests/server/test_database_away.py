"""The database goes away: 503 with Retry-After, then everything works again without a new process."""

from __future__ import annotations

import asyncio
from typing import Any

from telemed.http.limits import PER_ACCOUNT

DEADLINE_SECONDS = 30.0


async def test_while_the_database_is_away_everything_says_so_and_then_recovers(server: Any, postgres: Any) -> None:
    client = await server.client("operator")
    assert (await client.get("/api/v1/patients"))[0] == 200
    await postgres.stop()
    try:
        for _ in range(3):
            for path in ("/api/v1/patients", "/api/v1/me"):
                async with client.http.get(path) as response:
                    answer = await response.json()
                assert (response.status, answer["error"]["code"]) == (503, "database_unavailable"), path
                assert int(response.headers["Retry-After"]) >= 1
            status, health = await client.get("/healthz")
            assert (status, health["status"]) == (503, "database_unavailable")
            assert (await client.get("/"))[0] == 200
        for _ in range(PER_ACCOUNT + 1):  # an outage locks nobody out
            status, answer = await client.post(
                "/api/v1/sign-in", {"login": server.seed.logins["clinician"], "password": server.seed.password}
            )
            assert (status, answer["error"]["code"]) == (503, "database_unavailable")
    finally:
        await postgres.start()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await client.get("/healthz"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # between looks at the condition
    assert (await client.get("/api/v1/patients"))[0] == 200
    await client.sign_in(server.seed.logins["clinician"])


async def test_health_names_this_start_of_the_server(server: Any) -> None:
    client = await server.anonymous()
    first, second = await client.get("/healthz"), await client.get("/healthz")
    assert first == second
    assert (first[0], first[1]["status"]) == (200, "ok")
