"""Who is given TURN credentials, what they are, and what /healthz says of the TURN server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from telemed.media import checks
from tests.server.conftest import server  # noqa: F401  (the fixture)

SECRET = "0123456789abcdef0123456789abcdef"
ICE = "/api/v1/ice-servers"


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Something that takes datagrams and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.setblocking(False)
        yield taken


@pytest.fixture
def urls(silent: socket.socket) -> list[str]:
    return [f"turn:127.0.0.1:{silent.getsockname()[1]}", f"turns:127.0.0.1:{unused_port()}"]


@pytest.fixture
def more_settings(tmp_path: Path, urls: list[str]) -> dict[str, Any]:
    secret = tmp_path / "turn.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return {"turn_urls": ",".join(urls), "turn_secret_file": secret}


def opened(answer: Any, urls: list[str]) -> tuple[float, str]:
    """Seconds that the credential is still good for and the user's id, once its password has been checked."""
    (one,) = answer["ice_servers"]
    assert one["urls"] == urls
    digest = hmac.new(SECRET.encode(), one["username"].encode(), hashlib.sha1).digest()
    assert one["credential"] == base64.b64encode(digest).decode()
    expires, _, name = one["username"].partition(":")
    left = int(expires) - time.time()
    assert 0 < left <= answer["seconds"]
    return left, name


async def test_a_sign_in_is_given_a_credential_of_its_own(server: Any, urls: list[str]) -> None:  # noqa: F811
    names = []
    for role in ("clinician", "clinician", "operator"):
        client = await server.client(role)
        both = [await client.get(ICE) for _ in range(2)]
        assert [status for status, _ in both] == [200, 200]
        first, again = (opened(answer, urls) for _, answer in both)
        assert 590 < first[0] <= 600
        assert first[1] == again[1]  # counted together
        names.append(first[1])
    assert len(set(names)) == 3
    shown = {str(server.seed.accounts[role]).replace("-", "")[:8] for role in ("clinician", "operator")}
    assert not any(part in name for part in shown for name in names)


async def test_a_station_and_a_guest_who_was_let_in_are_given_one(server: Any, urls: list[str]) -> None:  # noqa: F811
    station = await server.anonymous()
    bearer = {"Authorization": f"Bearer {server.seed.station_key}"}
    status, answer = await station.get(ICE, headers=bearer)
    assert status == 200
    opened(answer, urls)

    clinician = await server.client("clinician")
    visit = await server.visit()
    guest = await server.guest()
    assert (await guest.join(await server.ticket(visit, "relative"), "Demo relative"))[0] == 201
    assert (await clinician.post(f"/api/v1/consultations/{visit}/admit"))[0] == 200
    waiting = await guest.get(ICE)
    assert (waiting[0], waiting[1]["error"]["code"]) == (403, "forbidden")
    assert (await clinician.post(f"/api/v1/consultations/{visit}/seats/{guest.seat}/admit"))[0] == 200
    status, answer = await guest.get(ICE)
    assert status == 200
    opened(answer, urls)
    assert (await clinician.post(f"/api/v1/consultations/{visit}/seats/{guest.seat}/remove"))[0] == 200
    assert (await guest.get(ICE))[0] == 401


async def test_nobody_else_is(server: Any) -> None:  # noqa: F811
    assert (await (await server.anonymous()).get(ICE))[0] == 401
    for role in ("administrator", "auditor"):
        assert (await (await server.client(role)).get(ICE))[0] == 403


async def test_a_call_check_is_given_one_for_as_long_as_it_lasts(server: Any, urls: list[str]) -> None:  # noqa: F811
    visitor, other = await server.anonymous(), await server.anonymous()
    found = []
    for client in (visitor, other):
        _, begun = await client.post("/api/v1/checks")
        path = f"/api/v1/checks/{begun['check']}"
        status, answer = await client.get(f"{path}/ice-servers")
        assert (status, answer["seconds"]) == (200, checks.CHECK_SECONDS)
        found.append(opened(answer, urls))
        assert (await client.delete(path))[0] == 204
        status, answer = await client.get(f"{path}/ice-servers")
        assert (status, answer["error"]["code"]) == (404, "check_not_found")
    # One address is one user, however many checks it begins.
    assert found[0][1] == found[1][1]


async def test_a_dead_turn_server_leaves_the_server_well(server: Any, silent: socket.socket) -> None:  # noqa: F811
    client = await server.anonymous()
    status, answer = await client.get("/healthz")
    assert (status, answer["status"], answer["turn"]) == (200, "ok", "unreachable")
    assert taken(silent) > 0
    # However often it is asked, the TURN server is left in peace until the next look.
    assert {(await client.get("/healthz"))[1]["turn"] for _ in range(20)} == {"unreachable"}
    assert taken(silent) == 0
    async with client.http.get("/metrics") as metrics:
        lines = (await metrics.text()).splitlines()
    url = f"turn:127.0.0.1:{silent.getsockname()[1]}"
    assert f'telemed_turn_up{{url="{url}"}} 0.0' in lines


def taken(silent: socket.socket) -> int:
    """How many datagrams came since it was last asked."""
    count = 0
    while True:
        try:
            silent.recv(2048)
        except BlockingIOError:
            return count
        count += 1


class TestWithoutTurn:
    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {}

    async def test_nothing_is_given_and_nothing_is_missing(self, server: Any) -> None:  # noqa: F811
        client = await server.client("clinician")
        assert await client.get(ICE) == (200, {"ice_servers": [], "seconds": 600})
        assert (await client.get("/healthz"))[1]["turn"] == "absent"
