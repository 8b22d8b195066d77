"""Signing in and out, one's own account, and the organisation's accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field, StringConstraints

from telemed.errors import BadCredentials, DatabaseUnavailable, HttpsRequired
from telemed.http import keys
from telemed.http.limits import TooManyAttempts
from telemed.http.middleware import address_of, cookie_name, is_https
from telemed.http.organisations import organisation_json
from telemed.http.route import Body, Line, Route, answer, body, uuid_of
from telemed.http.shapes import OrganisationShown
from telemed.identity import accounts, organisations, policy, sign_ins
from telemed.identity.accounts import LastAdministrator, LoginTaken
from telemed.identity.passwords import LONGEST, SHORTEST
from telemed.store.database import Connection

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")

Role = Literal["clinician", "operator", "administrator", "auditor"]
Language = Literal["bg", "en"]
Login = Annotated[Line, StringConstraints(min_length=3, max_length=120)]
Name = Annotated[Line, StringConstraints(min_length=1, max_length=200)]


class SignInNew(Body):
    """What a person types to sign in."""

    login: Login
    password: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]


class AccountShown(Body):
    """An account as pages show it."""

    id: UUID
    login: str
    name: str
    roles: list[Role]
    language: Language
    created_at: datetime
    disabled_at: datetime | None


class Me(AccountShown):
    """Whoever is signed in."""

    organisation: OrganisationShown


class LanguageChoice(Body):
    """The language that one's pages open in."""

    language: Language


class Accounts(Body):
    """The organisation's accounts."""

    accounts: list[AccountShown]


class AccountNew(Body):
    """A new account. The password is given to the person, who signs in with it."""

    login: Login
    name: Name
    password: Annotated[str, StringConstraints(min_length=SHORTEST, max_length=LONGEST)]
    roles: Annotated[list[Role], Field(min_length=1, max_length=4)]
    language: Language = "bg"


class SignInShown(Body):
    """One of one's own live sign-ins; ``current`` is the one that asks."""

    id: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool


class SignIns(Body):
    """One's own live sign-ins."""

    sign_ins: list[SignInShown]


def shown(account: accounts.Account) -> AccountShown:
    """The account as JSON."""
    return AccountShown.model_validate({
        "id": account.id, "login": account.login, "name": account.name, "roles": list(account.roles),
        "language": account.language, "created_at": account.created_at, "disabled_at": account.disabled_at,
    })


async def _me(connection: Connection, account: accounts.Account) -> Me:
    ours = await organisations.get(connection, account.organisation_id)
    return Me(**shown(account).model_dump(), organisation=organisation_json(ours))


async def sign_in(request: web.Request) -> web.Response:
    """Check login and password and set the sign-in cookie."""
    if not is_https(request) and request.remote not in LOOPBACK:
        raise HttpsRequired()
    wanted = await body(request, SignInNew)
    app, database = request.app, request.app[keys.DATABASE]
    address = address_of(request)
    if app[keys.PASSWORDS].crowded:
        raise TooManyAttempts(seconds=1)
    attempt = app[keys.LIMITS].begin(wanted.login, address)
    try:
        account = await sign_ins.check(database, app[keys.PASSWORDS], wanted.login, wanted.password)
    except DatabaseUnavailable:
        app[keys.LIMITS].passed(wanted.login, address, attempt)  # no fault of whoever types
        raise
    app[keys.LIMITS].passed(wanted.login, address, attempt)
    async with database.transaction() as connection:
        token = await sign_ins.begin(connection, account.id)
        await policy.granted(connection, account.actor, "sign_in.create", account.target)
        shown_to = await _me(connection, account)
    response = answer(shown_to, 201)
    response.set_cookie(
        cookie_name(request), token, path="/", httponly=True, secure=is_https(request), samesite="Strict",
        max_age=int(sign_ins.ABSOLUTE_SECONDS),
    )
    return response


async def sign_out(request: web.Request) -> web.Response:
    """End this sign-in; its sockets are told."""
    async with request.app[keys.DATABASE].transaction() as connection:
        await sign_ins.end(connection, request[keys.SIGN_IN])
        await policy.granted(connection, request[keys.ACTOR], "sign_in.end", request[keys.ACCOUNT].target)
    _tell_signed_out(request.app, request[keys.ACCOUNT].id, request[keys.SIGN_IN])
    response = web.Response(status=204)
    response.del_cookie(
        cookie_name(request), path="/", httponly=True, secure=is_https(request), samesite="Strict"
    )
    return response


async def me(request: web.Request) -> web.Response:
    """Who is signed in."""
    async with request.app[keys.DATABASE].connection() as connection:
        return answer(await _me(connection, request[keys.ACCOUNT]))


async def change_me(request: web.Request) -> web.Response:
    """Choose one's language."""
    choice = await body(request, LanguageChoice)
    async with request.app[keys.DATABASE].transaction() as connection:
        account = await accounts.set_language(connection, request[keys.ACCOUNT].id, choice.language)
        changed = await _me(connection, account)
    return answer(changed)


async def my_sign_ins(request: web.Request) -> web.Response:
    """Where one is signed in."""
    current = sign_ins.public_id(request[keys.SIGN_IN])
    async with request.app[keys.DATABASE].connection() as connection:
        found = await sign_ins.listed(connection, request[keys.ACCOUNT].id)
    return answer(SignIns(sign_ins=[
        SignInShown(id=one.id, created_at=one.created_at, seen_at=one.seen_at, expires_at=one.expires_at,
                    current=one.id == current)
        for one in found
    ]))


async def end_my_sign_in(request: web.Request) -> web.Response:
    """End one of one's own sign-ins, a forgotten one on another machine for example."""
    account = request[keys.ACCOUNT]
    async with request.app[keys.DATABASE].transaction() as connection:
        ended = await sign_ins.end_named(connection, account.id, request.match_info["id"])
        await policy.granted(connection, request[keys.ACTOR], "me.sign_in_end", account.target)
    _tell_signed_out(request.app, account.id, ended)
    return web.Response(status=204)


async def list_accounts(request: web.Request) -> web.Response:
    """The organisation's accounts."""
    actor = request[keys.ACTOR]
    async with request.app[keys.DATABASE].connection() as connection:
        await policy.require(connection, actor, "account.list")
        found = await accounts.listed(connection, request[keys.ACCOUNT].organisation_id)
    return answer(Accounts(accounts=[shown(account) for account in found]))


async def create_account(request: web.Request) -> web.Response:
    """Make an account in one's own organisation."""
    wanted = await body(request, AccountNew)
    actor = request[keys.ACTOR]
    hashed = await request.app[keys.PASSWORDS].hash(wanted.password)
    async with request.app[keys.DATABASE].transaction() as connection:
        account = await accounts.create(
            connection, request[keys.ACCOUNT].organisation_id, wanted.login, wanted.name, hashed, wanted.roles,
            wanted.language,
        )
        await policy.require(connection, actor, "account.create", account.target)
    return answer(shown(account), 201)


async def disable_account(request: web.Request) -> web.Response:
    """Disable an account and end its sign-ins; its sockets are told."""
    account_id = uuid_of(request)
    async with request.app[keys.DATABASE].transaction() as connection:
        account = await accounts.get(connection, account_id)
        await policy.require(connection, request[keys.ACTOR], "account.disable", account.target)
        account = await accounts.disable(connection, account)
    _tell_signed_out(request.app, account.id, None)
    return answer(shown(account))


def _tell_signed_out(app: web.Application, account_id: UUID, token_hash: bytes | None) -> None:
    """Tell the account's sockets; ``sign_in`` null ends them all."""
    named = None if token_hash is None else sign_ins.public_id(token_hash)
    app[keys.ROOMS].publish(f"account:{account_id}", {"type": "signed_out", "sign_in": named})


ROUTES = (
    Route("POST", "/api/v1/sign-in", "sign_in.create", sign_in, "Sign in", SignInNew, Me, 201,
          (BadCredentials, TooManyAttempts, HttpsRequired)),
    Route("DELETE", "/api/v1/sign-in", "sign_in.end", sign_out, "Sign out", status=204),
    Route("GET", "/api/v1/me", "me.read", me, "Who is signed in", response=Me),
    Route("PATCH", "/api/v1/me", "me.change", change_me, "Choose one's language", LanguageChoice, Me),
    Route("GET", "/api/v1/me/sign-ins", "me.sign_ins", my_sign_ins, "Where one is signed in", response=SignIns),
    Route("DELETE", "/api/v1/me/sign-ins/{id}", "me.sign_in_end", end_my_sign_in, "End one of one's sign-ins",
          status=204),
    Route("GET", "/api/v1/accounts", "account.list", list_accounts, "The organisation's accounts", response=Accounts),
    Route("POST", "/api/v1/accounts", "account.create", create_account, "Make an account", AccountNew, AccountShown,
          201, (LoginTaken,)),
    Route("POST", "/api/v1/accounts/{id}/disable", "account.disable", disable_account, "Disable an account",
          response=AccountShown, errors=(LastAdministrator,)),
)
