"""Signing in and out, sessions, their ends, other sites, and too many attempts."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession, CookieJar, TCPConnector, WSServerHandshakeError

from telemed.http import keys, middleware
from telemed.http.limits import PER_ACCOUNT, PER_ADDRESS, WINDOW_SECONDS, Limits, TooManyAttempts
from telemed.identity import sign_ins
from telemed.metrics import REGISTRY

ME = "/api/v1/me"
SIGN_IN = "/api/v1/sign-in"


def cookie_of(client: Any) -> Any:
    jar: CookieJar = client.http.cookie_jar
    return next(iter(jar))


async def test_signing_in_gives_a_cookie_that_scripts_cannot_read(server: Any) -> None:
    client = await server.anonymous()
    answer = await client.sign_in("Demo-Clinician")  # logins do not mind case
    assert answer["roles"] == ["clinician"]
    assert answer["organisation"] == {
        "id": str(server.seed.organisation_id), "name": "demo organisation", "zone": "Europe/Sofia", "phone": "",
    }
    cookie = cookie_of(client)
    assert (cookie.key, cookie["httponly"], cookie["samesite"], cookie["path"]) == ("telemed", True, "Strict", "/")
    assert await client.get(ME) == (200, answer)


async def test_only_the_hash_of_a_token_is_kept(server: Any) -> None:
    client = await server.client("clinician")
    token = cookie_of(client).value
    async with server.database.connection() as connection:
        kept = await connection.fetchval("select string_agg(sign_in::text, ' ') from sign_in")
        key_rows = await connection.fetchval("select string_agg(station_key::text, ' ') from station_key")
    assert token not in kept
    assert sign_ins.token_hash(token).hex() in kept
    assert server.seed.station_key not in key_rows


async def test_unknown_login_wrong_password_and_disabled_account_answer_alike(server: Any) -> None:
    administrator = await server.client("administrator")
    await administrator.post(f"/api/v1/accounts/{server.seed.accounts['operator']}/disable")
    client = await server.anonymous()
    answers = [
        await client.post(SIGN_IN, {"login": login, "password": password})
        for login, password in (
            ("nobody-here", server.seed.password), (server.seed.logins["clinician"], "not the password"),
            (server.seed.logins["operator"], server.seed.password),
        )
    ]
    assert answers == [(401, {"error": {"code": "bad_credentials", "params": {}}})] * 3
    async with server.database.connection() as connection:
        recorded = await connection.fetch(
            "select outcome, object_id, organisation_id from audit_event where action = 'sign_in.create' order by id"
        )
    ours = server.seed.organisation_id
    assert [tuple(row) for row in recorded] == [
        ("deny", None, None), ("deny", str(server.seed.accounts["clinician"]), ours),
        ("deny", str(server.seed.accounts["operator"]), ours),
    ]


async def test_an_unknown_login_is_hashed_as_well(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    passwords = type(server.app[keys.PASSWORDS])
    verify = __import__(passwords.__module__, fromlist=["_verify"])._verify
    monkeypatch.setattr(f"{passwords.__module__}._verify", lambda *args: checked.append(args[0]) or verify(*args))
    client = await server.anonymous()
    for login in ("nobody-here", server.seed.logins["clinician"]):
        await client.post(SIGN_IN, {"login": login, "password": "not the password"})
    assert len(checked) == 2
    assert all(hashed.startswith("$argon2id$") for hashed in checked)


async def test_signing_out_ends_the_session_on_the_server(server: Any) -> None:
    client = await server.client("clinician")
    token = cookie_of(client).value
    with server.app[keys.ROOMS].listen(f"account:{server.seed.accounts['clinician']}") as sockets:
        assert (await client.delete(SIGN_IN))[0] == 204
        event = sockets.queue.get_nowait()
    assert event == {"type": "signed_out", "sign_in": sign_ins.public_id(sign_ins.token_hash(token))}
    thief = await server.anonymous()
    status, answer = await thief.get(ME, headers={"Cookie": f"telemed={token}"})
    assert (status, answer["error"]["code"]) == (401, "not_signed_in")


@pytest.mark.parametrize("change", [
    "update sign_in set expires_at = now() - interval '1 second'",
    "update sign_in set seen_at = now() - interval '61 minutes'",
    "update sign_in set ended_at = now()",
])
async def test_a_session_ends_by_itself(server: Any, change: str) -> None:
    client = await server.client("clinician")
    assert (await client.get(ME))[0] == 200
    async with server.database.connection() as connection:
        await connection.execute(change)
    assert (await client.get(ME))[0] == 401


async def test_use_keeps_a_session_alive_with_one_write_a_minute(server: Any) -> None:
    client = await server.client("clinician")
    async with server.database.connection() as connection:
        first = await connection.fetchval("select seen_at from sign_in")
        await client.get(ME)
        assert await connection.fetchval("select seen_at from sign_in") == first
        await connection.execute("update sign_in set seen_at = now() - interval '2 minutes'")
        await client.get(ME)
        assert await connection.fetchval("select now() - seen_at < interval '1 minute' from sign_in")


async def test_one_sees_and_ends_ones_own_sessions(server: Any) -> None:
    here, elsewhere = await server.client("clinician"), await server.client("clinician")
    other = await server.client("operator")
    _, listed = await here.get("/api/v1/me/sign-ins")
    assert sorted(one["current"] for one in listed["sign_ins"]) == [False, True]
    theirs = next(one["id"] for one in listed["sign_ins"] if not one["current"])
    assert (await other.delete(f"/api/v1/me/sign-ins/{theirs}"))[0] == 404
    assert (await here.delete(f"/api/v1/me/sign-ins/{theirs}"))[0] == 204
    assert (await elsewhere.get(ME))[0] == 401
    assert (await here.get(ME))[0] == 200


async def test_a_disabled_account_is_out_at_once(server: Any) -> None:
    client, administrator = await server.client("clinician"), await server.client("administrator")
    with server.app[keys.ROOMS].listen(f"account:{server.seed.accounts['clinician']}") as sockets:
        status, answer = await administrator.post(f"/api/v1/accounts/{server.seed.accounts['clinician']}/disable")
        assert (status, answer["disabled_at"] is not None) == (200, True)
        assert sockets.queue.get_nowait() == {"type": "signed_out", "sign_in": None}
    assert (await client.get(ME))[0] == 401


async def test_the_last_administrator_stays(server: Any) -> None:
    administrator = await server.client("administrator")
    own = f"/api/v1/accounts/{server.seed.accounts['administrator']}/disable"
    status, answer = await administrator.post(own)
    assert (status, answer["error"]["code"]) == (409, "last_administrator")
    status, second = await administrator.post("/api/v1/accounts", {
        "login": "demo-second", "name": "Demo administrator 2", "password": "another one", "roles": ["administrator"],
    })
    assert status == 201
    assert (await administrator.post(own))[0] == 200
    client = await server.anonymous()
    await client.sign_in("demo-second", "another one")
    assert second["login"] in {one["login"] for one in (await client.get("/api/v1/accounts"))[1]["accounts"]}


async def test_a_login_belongs_to_one_account(server: Any) -> None:
    administrator = await server.client("administrator")
    status, answer = await administrator.post("/api/v1/accounts", {
        "login": "DEMO-CLINICIAN", "name": "Demo clinician 2", "password": "another one", "roles": ["clinician"],
    })
    assert (status, answer["error"]["code"]) == (409, "login_taken")


async def test_language_is_kept(server: Any) -> None:
    client = await server.client("clinician")
    assert (await client.send("PATCH", ME, {"language": "en"}))[1]["language"] == "en"
    assert (await client.get(ME))[1]["language"] == "en"
    assert (await client.send("PATCH", ME, {"language": "xx"}))[0] == 400


ORIGINS: tuple[tuple[dict[str, str], int], ...] = (
    ({"Origin": "https://elsewhere.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "none"}, 403),
    ({}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"Origin": "SELF"}, 200),
    ({"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "same-origin"}, 403),
)


async def test_another_sites_page_cannot_act_with_the_cookie(server: Any) -> None:
    client = await server.client("clinician")
    for headers, status in ORIGINS:
        sent = {name: server.url if value == "SELF" else value for name, value in headers.items()}
        async with client.http.patch(ME, json={"language": "en"}, headers=sent) as response:
            answer = await response.json()
        assert response.status == status, headers
        assert status == 200 or answer["error"]["code"] == "cross_site"


async def test_another_sites_page_cannot_sign_anyone_in(server: Any) -> None:
    client = await server.anonymous()
    body = {"login": server.seed.logins["clinician"], "password": server.seed.password}
    status, answer = await client.post(SIGN_IN, body, headers={"Origin": "https://elsewhere.example"})
    assert (status, answer["error"]["code"]) == (403, "cross_site")
    async with client.http.post(SIGN_IN, data="login=x&password=y") as form:
        assert form.status == 400  # a form of another site cannot send application/json


async def test_another_sites_page_cannot_open_a_socket(server: Any) -> None:
    client = await server.client("clinician")
    for headers in ({"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {}):
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.http.ws_connect(f"/ws/consultations/{uuid4()}", headers=headers)
        assert refused.value.status == 403


async def test_a_password_is_not_taken_over_plain_http_from_another_machine(server: Any) -> None:
    # An address that is not 127.0.0.1 stands for another machine.
    async with ClientSession(server.url, connector=TCPConnector(local_addr=("127.0.0.2", 0))) as elsewhere:
        body = {"login": server.seed.logins["clinician"], "password": server.seed.password}
        async with elsewhere.post(SIGN_IN, json=body) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (403, "https_required")


async def test_behind_tls_the_cookie_is_bound_to_the_host(server: Any) -> None:
    settings = server.app[keys.SETTINGS]
    settings.__dict__["behind_tls"] = True
    client = await server.anonymous()
    https = server.url.replace("http:", "https:")
    body = {"login": server.seed.logins["clinician"], "password": server.seed.password}
    async with client.http.post(SIGN_IN, json=body, headers={"Origin": https}) as response:
        cookie = response.headers["Set-Cookie"]
        assert response.status == 201
        assert response.headers["Strict-Transport-Security"].startswith("max-age=")
    assert cookie.startswith("__Host-telemed=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie


async def test_five_failures_a_minute_lock_a_login_not_its_neighbours(server: Any) -> None:
    client = await server.anonymous()
    wrong = {"login": server.seed.logins["clinician"], "password": "not the password"}
    answers = await asyncio.gather(*(client.post(SIGN_IN, wrong) for _ in range(PER_ACCOUNT + 3)))
    assert sorted(status for status, _ in answers) == [401] * PER_ACCOUNT + [429] * 3
    async with client.http.post(SIGN_IN, json=wrong | {"password": server.seed.password}) as locked:
        assert locked.status == 429
        assert 1 <= int(locked.headers["Retry-After"]) <= WINDOW_SECONDS
    await client.sign_in(server.seed.logins["operator"])


def test_the_window_slides_and_success_does_not_count() -> None:
    now = [0.0]
    limits = Limits(lambda: now[0])
    for number in range(PER_ACCOUNT * 3):
        limits.passed("a", "address", limits.begin("a", "address"))
        now[0] = number / 100
    for _ in range(PER_ACCOUNT):
        limits.begin("A", "address")
    with pytest.raises(TooManyAttempts):
        limits.begin("a", "another address")
    now[0] += WINDOW_SECONDS + 1
    limits.begin("a", "address")


def test_an_address_that_tries_many_logins_is_limited() -> None:
    limits = Limits(lambda: 0.0)
    for number in range(PER_ADDRESS):
        limits.begin(f"login {number}", "address")
    with pytest.raises(TooManyAttempts):
        limits.begin("another", "address")
    limits.begin("another", "another address")


def test_what_needs_no_sign_in_is_counted_by_address_and_by_kind() -> None:
    now = [0.0]
    limits = Limits(lambda: now[0])
    for _ in range(3):
        limits.count("visit", "address", 3)
    with pytest.raises(TooManyAttempts) as refused:
        limits.count("visit", "address", 3)
    assert refused.value.params == {"seconds": 60}
    limits.count("visit", "another address", 3)
    limits.count("check", "address", 3)
    limits.begin("login", "address")
    now[0] = WINDOW_SECONDS
    limits.count("visit", "address", 3)


async def test_strangers_cannot_fill_the_audit(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "DENIALS_PER_ADDRESS", 3)
    counted = REGISTRY.get_sample_value("telemed_denials_unrecorded_total") or 0.0
    stranger = await server.anonymous()
    for _ in range(5):
        assert (await stranger.get("/api/v1/patients"))[0] == 401
    operator = await server.client("operator")
    assert (await operator.get("/api/v1/audit"))[0] == 403
    async with server.app[keys.DATABASE].connection() as connection:
        denied = [
            row["actor_kind"]
            for row in await connection.fetch("select actor_kind from audit_event where outcome = 'deny' order by id")
        ]
    assert denied == ["anonymous"] * 3 + ["account"], "who is known is recorded"
    assert REGISTRY.get_sample_value("telemed_denials_unrecorded_total") == counted + 2
