"""The browser's rules are on every answer, whatever made it."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest

from telemed.http import keys
from telemed.http.pages import IMMUTABLE, Page


def check(headers: Any, path: str) -> None:
    rules = {
        name.strip(): value for name, _, value in (
            rule.strip().partition(" ") for rule in headers["Content-Security-Policy"].split(";")
        )
    }
    assert rules["default-src"] == rules["script-src"] == rules["style-src"] == "'self'", path
    assert rules["frame-ancestors"] == rules["object-src"] == rules["base-uri"] == "'none'", path
    assert rules["media-src"] == "'self' blob:", path
    assert rules["connect-src"].startswith("'self' ws://127.0.0.1:"), path
    assert "unsafe" not in headers["Content-Security-Policy"], path
    assert headers["X-Content-Type-Options"] == "nosniff", path
    assert headers["Referrer-Policy"] == "no-referrer", path
    assert "camera=(self), microphone=(self)" in headers["Permissions-Policy"], path
    assert len(headers["X-Request-Id"]) == 16, path
    assert "Strict-Transport-Security" not in headers, path  # http here: it would be ignored, and wrong
    if path.startswith(("/api/", "/whip", "/whep", "/ws/", "/metrics", "/healthz")):
        assert headers["Cache-Control"] == "no-store", path


@pytest.mark.parametrize("role", ["clinician", None])
async def test_every_route_carries_the_rules(server: Any, role: str | None) -> None:
    client = await server.client(role) if role else await server.anonymous()
    tried = set()
    rows = sorted(server.app[keys.ROUTES].rows.values(), key=lambda row: row.path.endswith("sign-in"))
    for row in rows:
        path = re.sub(r"\{\w+\}", str(uuid4()), row.path).split("{")[0]
        async with client.http.request(row.method, path, headers={"Origin": server.url}) as response:
            check(response.headers, path)
            tried.add((row.method, row.path))
    assert len(tried) == len(server.app[keys.ROUTES].rows)


NOT_THERE = (
    ("GET", "/api/v1/nothing", 404, "not_found"),
    ("GET", "/no-such-file.js", 404, "not_found"),
    ("GET", "/assets/../../etc/passwd", 404, "not_found"),
    ("GET", "/assets/%2e%2e/%2e%2e/etc/passwd", 404, "not_found"),
    ("PUT", "/api/v1/patients", 405, "method_not_allowed"),
    ("TRACE", "/", 405, "method_not_allowed"),
)


async def test_what_is_not_there_answers_with_a_code_and_the_rules(server: Any) -> None:
    client = await server.client("clinician")
    for method, path, status, code in NOT_THERE:
        async with client.http.request(method, path) as response:
            answer = await response.json()
            check(response.headers, path)
        assert (response.status, answer["error"]["code"]) == (status, code), path


async def test_the_page_is_checked_again_and_its_files_are_kept(server: Any) -> None:
    files = server.app[keys.PAGES].files
    files["assets/app-1a2b3c.js"] = Page(b"export {}", "text/javascript", IMMUTABLE)
    client = await server.anonymous()
    async with client.http.get("/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert response.headers["Cache-Control"] == "no-cache"
        assert b"<script>" not in await response.read()
    async with client.http.get("/assets/app-1a2b3c.js") as response:
        assert response.headers["Cache-Control"] == IMMUTABLE
        assert response.content_type == "text/javascript"


async def test_a_hostile_host_adds_no_rule(server: Any) -> None:
    client = await server.anonymous()
    async with client.http.get("/healthz", headers={"Host": "x; script-src *"}) as response:
        assert response.status in (200, 400)
        assert "script-src *" not in response.headers.get("Content-Security-Policy", "")
