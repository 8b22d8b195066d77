"""A real server on a free loopback port over a fresh database, and people and things to use it with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from yarl import URL

from telemed.app import build_app
from telemed.consultation import consultations, tickets
from telemed.http import keys
from telemed.identity import accounts, organisations, sign_ins, stations
from telemed.identity.passwords import hash_password
from telemed.patient import patients
from telemed.patient.patients import Identifier, Person
from telemed.settings import Settings
from telemed.store.database import Database

PASSWORD = "demo password 1"
ROLES = ("clinician", "operator", "administrator", "auditor")
CANARY = "Канарче Canary"  # in every patient's name


@cache
def _hashed() -> str:
    return hash_password(PASSWORD)


@dataclass(frozen=True)
class Seed:
    """What a fresh server knows. ``logins``: role to login; all have the password ``password``."""

    organisation_id: UUID
    accounts: dict[str, UUID]
    logins: dict[str, str]
    station_id: int
    station_key: str
    station_key_id: UUID
    patients: tuple[UUID, UUID]
    password: str = PASSWORD


class Client:
    """A signed-in browser's requests: the cookie, and ``Origin`` on what changes something."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def send(self, method: str, path: str, json: Any = None, **kwargs: Any) -> tuple[int, Any]:
        """Status and decoded JSON (None when the answer has no body)."""
        headers = {"Origin": self.url, **kwargs.pop("headers", {})}
        async with self.http.request(method, path, json=json, headers=headers, **kwargs) as response:
            text = await response.text()
            return response.status, await response.json() if text and "json" in response.content_type else text or None

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        return await self.send("GET", path, **kwargs)

    async def post(self, path: str, json: Any = None, **kwargs: Any) -> tuple[int, Any]:
        return await self.send("POST", path, json, **kwargs)

    async def delete(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        return await self.send("DELETE", path, **kwargs)

    async def sign_in(self, login: str, password: str = PASSWORD) -> Any:
        status, answer = await self.post("/api/v1/sign-in", {"login": login, "password": password})
        assert status == 201, answer
        return answer


class Guest(Client):
    """A guest's browser: once it has joined, every request names its seat."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.seat = ""

    async def send(self, method: str, path: str, json: Any = None, **kwargs: Any) -> tuple[int, Any]:
        named = f"{path}{'&' if '?' in path else '?'}as={self.seat}" if self.seat else path
        return await super().send(method, named, json, **kwargs)

    async def join(self, ticket: str, name: str | None = None, language: str = "bg") -> tuple[int, Any]:
        """Joined, or why not; once joined the browser acts by this seat."""
        wanted = {"ticket": ticket, "name": name, "language": language}
        status, answer = await Client.send(self, "POST", "/api/v1/visits", wanted)
        if status == 201:
            self.seat = answer["seat"]
        return status, answer


@dataclass
class Server:
    """The running server. ``client(role)`` is a client signed in with that role of the seed."""

    url: str
    app: web.Application
    seed: Seed
    clients: list[Client]

    @property
    def database(self) -> Database:
        return self.app[keys.DATABASE]

    async def anonymous(self) -> Client:
        client = Client(self.url)
        self.clients.append(client)
        return client

    async def guest(self) -> Guest:
        guest = Guest(self.url)
        self.clients.append(guest)
        return guest

    async def visit(
        self, in_minutes: float | None = None, *, clinician: str | None = "clinician", at_station: bool = False
    ) -> UUID:
        """A consultation of the seed's first patient: an appointment in so many minutes, or a walk-in, which waits."""
        sealer, seed = self.app[keys.SEALER], self.seed
        async with self.database.transaction() as connection:
            station = await stations.get(connection, seed.station_id) if at_station else None
            patient = await patients.get(connection, sealer, seed.patients[0])
            made = await consultations.create(
                connection, sealer, patient, station, None if clinician is None else seed.accounts[clinician],
                None if in_minutes is None else datetime.now(UTC) + timedelta(minutes=in_minutes),
            )
        return made.id

    async def ticket(self, consultation_id: UUID, role: Any = "patient", name: str | None = None) -> str:
        """The token of a ticket for the consultation."""
        sealer = self.app[keys.SEALER]
        async with self.database.transaction() as connection:
            found = await consultations.get(connection, sealer, consultation_id)
            _, token = await tickets.create(
                connection, sealer, found, role, name, "bg", self.seed.accounts["operator"]
            )
        return token

    async def client(self, role: str, seed: Seed | None = None) -> Client:
        """Signed in without typing the password, which takes argon2id its 50 ms (test_accounts types it)."""
        client = await self.anonymous()
        async with self.database.connection() as connection:
            token = await sign_ins.begin(connection, (seed or self.seed).accounts[role])
        client.http.cookie_jar.update_cookies({"telemed": token}, URL(self.url))
        return client


async def make_seed(app: web.Application, prefix: str = "demo") -> Seed:
    """An organisation with one account a role, a station with a key and two patients."""
    sealer = app[keys.SEALER]
    async with app[keys.DATABASE].transaction() as connection:
        organisation_id = await organisations.create(connection, f"{prefix} organisation")
        logins = {role: f"{prefix}-{role}" for role in ROLES}
        made = {
            role: await accounts.create(connection, organisation_id, logins[role], f"Demo {role}", _hashed(), [role])
            for role in ROLES
        }
        station = await stations.create(connection, sealer, organisation_id, f"{prefix} station", "Demo village")
        key, text = await stations.add_key(connection, station.id)
        people = [
            await patients.create(
                connection, sealer, organisation_id,
                Person(f"Demo patient {number} {CANARY}", 1940 + number, (Identifier("demo", f"{CANARY} {number}"),)),
            )
            for number in (1, 2)
        ]
    return Seed(
        organisation_id, {role: account.id for role, account in made.items()}, logins, station.id, text, key.id,
        (people[0].id, people[1].id),
    )


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """Settings of the server beside those that every test needs; a module that wants some has its own."""
    return {}


@pytest.fixture
async def server(
    database_urls: Any, key_file: Path, tmp_path: Path, more_settings: dict[str, Any]
) -> AsyncIterator[Server]:
    """A running server with a seed."""
    port = unused_port()
    settings = Settings(
        home=tmp_path, host="127.0.0.1", port=port, key_file=key_file,
        database_url=database_urls.server, database_owner_url=database_urls.owner, **more_settings,
    )
    app = build_app(settings)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    running = None
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        running = Server(f"http://127.0.0.1:{port}", app, await make_seed(app), [])
        yield running
    finally:
        for client in running.clients if running is not None else ():
            await client.http.close()
        await runner.cleanup()


@pytest.fixture
async def stranger(server: Server) -> Seed:
    """Another organisation on the same server."""
    return await make_seed(server.app, "other")
