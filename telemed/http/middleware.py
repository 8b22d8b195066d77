"""What surrounds every handler: request id, errors as JSON, browser rules, who asks, and may they at all.

Order: headers (on every prepared answer) → errors → guard (route row, encoding, actor, same origin, role).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from aiohttp import web
from aiohttp.typedefs import Handler

from telemed.audit import Actor
from telemed.consultation import seats
from telemed.errors import CrossSite, InvalidRequest, TelemedError
from telemed.http import keys
from telemed.http.errors import log_unexpected, refusal_of, response_of
from telemed.http.limits import DENIALS_PER_ADDRESS, TooManyAttempts
from telemed.http.route import Route
from telemed.identity import policy, sign_ins, stations
from telemed.metrics import DENIALS_UNRECORDED, REQUEST_SECONDS, REQUESTS

ANONYMOUS: Final = Actor("anonymous", None, None)
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PRIVATE_PATHS: Final = ("/api/", "/whip", "/whep", "/ws/", "/metrics", "/healthz")
HSTS: Final = "max-age=31536000"
AS: Final = "as"  # the query parameter by which a guest's request names its seat
COOKIES_TRIED: Final = 64  # seats of one browser that joining looks at; browsers keep some 180 cookies a site
TOLD_WHY: Final = frozenset({"visit.read"})  # what a seat that no longer stands may still ask: how that came
_HOST = re.compile(r"[A-Za-z0-9.\-\[\]:]{1,255}")


def cookie_name(request: web.Request) -> str:
    """``__Host-telemed`` over https; browsers refuse that prefix on loopback http, so ``telemed`` there."""
    return "__Host-telemed" if is_https(request) else "telemed"


def seat_cookie_name(request: web.Request, seat_id: UUID) -> str:
    """A guest's cookie: one a seat, so that one browser can hold several visits and a sign-in."""
    return f"{cookie_name(request)}-seat-{seat_id}"


def seat_tokens(request: web.Request) -> Mapping[bytes, str]:
    """Hash to token of the seats that this browser has, at most ``COOKIES_TRIED``."""
    prefix = f"{cookie_name(request)}-seat-"
    held = [token for name, token in request.cookies.items() if name.startswith(prefix)]
    return {sign_ins.token_hash(token): token for token in held[:COOKIES_TRIED] if token.isascii()}


def is_https(request: web.Request) -> bool:
    """Whether the browser speaks https to us or to the TLS proxy in front (``TELEMED_BEHIND_TLS``)."""
    return request.secure or request.app[keys.SETTINGS].behind_tls


def address_of(request: web.Request) -> str:
    """The client's address: the socket's, or behind the TLS proxy the last that the proxy wrote."""
    if request.app[keys.SETTINGS].behind_tls:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        if forwarded:
            return forwarded[-1].rsplit(",", 1)[-1].strip()[:64]
    return request.remote or ""


def same_origin(request: web.Request) -> bool:
    """Whether the browser says that our own page asks; a request that says nothing is not ours."""
    origin = request.headers.get("Origin")
    if origin is not None:
        scheme = "https" if is_https(request) else "http"
        return origin.lower() == f"{scheme}://{request.host}".lower()
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


async def browser_rules(request: web.Request, response: web.StreamResponse) -> None:
    """Put the browser's rules on every answer, whatever made it."""
    host = request.host if _HOST.fullmatch(request.host) else ""
    sockets = f" ws://{host} wss://{host}" if host else ""
    headers = response.headers
    headers.setdefault(  # a shared file's own is stricter
        "Content-Security-Policy",
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
        f"connect-src 'self'{sockets}; media-src 'self' blob:; worker-src 'self' blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    )
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Permissions-Policy"] = (
        "camera=(self), microphone=(self), fullscreen=(self), display-capture=(self), geolocation=(), payment=(), "
        "usb=()"
    )
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["X-Request-Id"] = request.get(keys.REQUEST_ID, "")
    if is_https(request):
        headers["Strict-Transport-Security"] = HSTS
    if request.path.startswith(PRIVATE_PATHS) or "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal into JSON, record what the policy denied, and count the answer."""
    request[keys.REQUEST_ID] = secrets.token_hex(8)
    began = time.monotonic()
    row = request.app[keys.ROUTES].of(request)
    try:
        response = await _answered(request, handler, row)
    except TelemedError as error:
        response = await _refused(request, error)
    path = row.path if row is not None else "none"
    method = request.method if row is not None else "OTHER"
    REQUESTS.labels(method, path, str(response.status)).inc()
    if not isinstance(response, web.WebSocketResponse):
        REQUEST_SECONDS.observe(time.monotonic() - began)
    return response


async def _answered(request: web.Request, handler: Handler, row: Route | None) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        raise refusal_of(error) from None
    except TelemedError:
        raise
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise TelemedError() from None  # who asked is gone, and that is no fault of ours
        log_unexpected(error, request[keys.REQUEST_ID], row.action if row is not None else "none")
        raise TelemedError() from None


async def _refused(request: web.Request, error: TelemedError) -> web.StreamResponse:
    if isinstance(error.denial, policy.Denial) and error.denial.actor.kind == ANONYMOUS.kind:
        try:
            request.app[keys.LIMITS].count("denied", address_of(request), DENIALS_PER_ADDRESS)
        except TooManyAttempts:
            # Strangers must not be able to fill the audit, which nobody may ever shorten.
            error.denial = None
            DENIALS_UNRECORDED.inc()
    try:
        await policy.record_denial(request.app[keys.DATABASE], error)
    except TelemedError as instead:
        # What cannot be recorded is refused all the same, with the reason that it could not be.
        error = instead
    return response_of(error)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the route's row and the actor, refuse other sites and roles that never may, then call the handler."""
    row = request.app[keys.ROUTES].of(request)
    if row is None:
        return await handler(request)  # aiohttp's own 404 or 405
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise InvalidRequest(field="content-encoding")
    rule = policy.POLICY[row.action]
    request[keys.ACTOR] = ANONYMOUS
    if not rule.anonymous:
        if AS in request.query:
            await _find_guest(request, row.action)
        else:
            await _find_actor(request, rule)
        try:
            policy.admits(request[keys.ACTOR], row.action)
        except TelemedError as error:
            error.denial = policy.Denial(request[keys.ACTOR], row.action, None)
            raise
    elif request.method not in SAFE_METHODS and "Origin" in request.headers and not same_origin(request):
        raise CrossSite()
    return await handler(request)


async def _find_actor(request: web.Request, rule: policy.Rule) -> None:
    """Put the actor at ``request[keys.ACTOR]``, and a cookie's sign-in at ``request[keys.SIGN_IN]``."""
    database = request.app[keys.DATABASE]
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if rule.station is not None and scheme.lower() == "bearer":
        async with database.connection() as connection:
            station = await stations.find(connection, key.strip())
        if station is not None:
            request[keys.ACTOR] = station.actor
        return
    token = request.cookies.get(cookie_name(request))
    if token is None:
        return
    async with database.connection() as connection:
        found = await sign_ins.find(connection, token)
    if found is None:
        return
    _check_origin(request)
    request[keys.ACTOR] = found.account.actor
    request[keys.ACCOUNT] = found.account
    request[keys.SIGN_IN] = found.token_hash


async def _find_guest(request: web.Request, action: str) -> None:
    """Put the guest's actor at ``request[keys.ACTOR]`` and the guest at ``request[keys.SEAT]``.

    With ``as`` only that seat's cookie counts: neither a sign-in nor a station's key does.
    """
    named = request.query.getall(AS)
    try:
        seat_id = UUID(named[0])
    except ValueError:
        return
    token = request.cookies.get(seat_cookie_name(request, seat_id))
    if token is None or len(named) != 1:
        return
    async with request.app[keys.DATABASE].connection() as connection:
        guest = await seats.find(connection, seat_id, token)
    if guest is None or not (guest.stands or action in TOLD_WHY):
        return
    _check_origin(request)
    request[keys.ACTOR] = guest.actor
    request[keys.SEAT] = guest


def _check_origin(request: web.Request) -> None:
    """A cookie counts only where our own page asks, or for a plain look. Raises ``CrossSite``."""
    upgrade = "upgrade" in request.headers.get("Connection", "").lower()
    if (request.method not in SAFE_METHODS or upgrade) and not same_origin(request):
        raise CrossSite()
