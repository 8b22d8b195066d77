"""Nobody reaches what the table below does not grant: every route of the router × every kind of actor.

The table here is written by hand from the roles' duties, not read from ``identity.policy``. Actors marked
with a capital letter are of the same organisation as the objects; the strangers have the same roles elsewhere.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import aiohttp
import aiohttp.web
import pytest

from telemed.audit import Actor
from telemed.http import keys
from telemed.http.route import PolicyIncomplete, Route, mount
from telemed.identity import policy
from telemed.identity.policy import POLICY, Target

# C the consultation's clinician, c another clinician, O operator, A administrator, U auditor, S its station.
EVERYBODY, PEOPLE = "CcOAUS-", "CcOAU"
GRANTED: dict[str, str] = {
    "GET /": EVERYBODY,
    "GET /{file}": EVERYBODY,
    "GET /healthz": EVERYBODY,
    "GET /metrics": EVERYBODY,
    "GET /openapi.json": EVERYBODY,
    "POST /api/v1/sign-in": EVERYBODY,
    "GET /api/v1/me": PEOPLE,
    "PATCH /api/v1/me": PEOPLE,
    "GET /api/v1/me/sign-ins": PEOPLE,
    "DELETE /api/v1/me/sign-ins/{id}": PEOPLE,
    "GET /api/v1/accounts": "A",
    "POST /api/v1/accounts": "A",
    "POST /api/v1/accounts/{id}/disable": "A",
    "GET /api/v1/stations": PEOPLE,
    "POST /api/v1/stations": "A",
    "GET /api/v1/stations/{id}/keys": "AU",
    "POST /api/v1/stations/{id}/keys": "A",
    "DELETE /api/v1/stations/{id}/keys/{key_id}": "A",
    "GET /api/v1/stations/{id}/events": "OAU",
    "GET /api/v1/patients": "CcO",
    "POST /api/v1/patients": "CcO",
    "GET /api/v1/patients/{id}": "CcO",
    "DELETE /api/v1/patients/{id}/key": "A",
    "POST /api/v1/patients/{id}/consents": "CcO",
    "GET /api/v1/patients/{id}/consents": "CcOU",
    "GET /api/v1/consultations": "CcO",
    "POST /api/v1/consultations": "CcO",
    "GET /api/v1/consultations/{id}": "CO",
    "POST /api/v1/consultations/{id}/admit": "C",
    "POST /api/v1/consultations/{id}/end": "C",
    "POST /api/v1/consultations/{id}/cancel": "CO",
    "GET /api/v1/consultations/{id}/waves": "C",
    "GET /api/v1/consultations/{id}/review": "C",
    "POST /api/v1/attachments": "O",
    "POST /api/v1/attachments/{id}/close": "O",
    "GET /api/v1/attachments": "O",
    "GET /api/v1/audit": "AU",
    "GET /ws/station": "S",
    "GET /ws/consultations/{id}": "C",
    "OPTIONS /whip/{room}": EVERYBODY,
    "POST /whip/{room}": "CS",
    "OPTIONS /whip/resources/{resource}": EVERYBODY,
    "PATCH /whip/resources/{resource}": "CcS",
    "DELETE /whip/resources/{resource}": "CcS",
    "OPTIONS /whep/{publication}": EVERYBODY,
    "HEAD /whep/{publication}": EVERYBODY,
    "POST /whep/{publication}": "CcS",
    "OPTIONS /whep/resources/{resource}": EVERYBODY,
    "PATCH /whep/resources/{resource}": "CcS",
    "DELETE /whep/resources/{resource}": "CcS",
    "DELETE /api/v1/sign-in": PEOPLE,
}
# Publications and resources are random names: whoever may have one is told that this one does not exist.
RANDOM_NAMES = {
    "PATCH /whip/resources/{resource}", "DELETE /whip/resources/{resource}", "POST /whep/{publication}",
    "PATCH /whep/resources/{resource}", "DELETE /whep/resources/{resource}",
}
# Paths without an object: a stranger acts on their own organisation there.
OWN_ORGANISATION = {
    name for name in GRANTED if "{id}" not in name and "{room}" not in name
} - {"POST /api/v1/consultations", "POST /api/v1/attachments", "GET /api/v1/attachments"}
MESSAGES: dict[str, str] = {
    "station_socket.hello": "S", "station_socket.announce": "S", "station_socket.frame": "S",
    "station_socket.chunk": "S", "station_socket.clock": "S", "station_socket.status": "S",
    "consultation_socket.hello": "C", "consultation_socket.clock": "C", "consultation_socket.watch": "C",
    "consultation_socket.unwatch": "C",
}
LAST = ("end", "key", "disable", "close", "sign-in", "keys/{key_id}")  # what ends something runs after the rest


def name_of(row: Route) -> str:
    return f"{row.method} {row.path.replace('{file:(?!api/|ws/|whip|whep|fhir/).+}', '{file}')}"


class World:
    """The server, every actor's client and the objects that the routes are tried on."""

    def __init__(self, server: Any, stranger: Any) -> None:
        self.server, self.stranger, self.seed = server, stranger, server.seed
        self.clients: dict[str, Any] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.ids: dict[str, str] = {}

    async def prepare(self) -> None:
        server, seed = self.server, self.seed
        for letter, role in zip("COAU", ("clinician", "operator", "administrator", "auditor"), strict=True):
            self.clients[letter] = await server.client(role)
            self.clients[f"stranger {role}"] = await server.client(role, self.stranger)
        body = {"login": "demo-clinician-2", "name": "Demo clinician 2", "password": "another one"}
        for login, role in (("demo-clinician-2", "clinician"), ("demo-victim", "operator")):
            status, made = await self.clients["A"].post("/api/v1/accounts", body | {"login": login, "roles": [role]})
            assert status == 201
        self.ids["account"] = made["id"]
        self.clients["c"] = await server.anonymous()
        await self.clients["c"].sign_in("demo-clinician-2", "another one")
        self.clients["-"] = await server.anonymous()
        gone = await server.client("clinician")
        token = next(iter(gone.http.cookie_jar)).value
        await gone.delete("/api/v1/sign-in")
        for name, headers in {
            "S": {"Authorization": f"Bearer {seed.station_key}"},
            "stranger station": {"Authorization": f"Bearer {self.stranger.station_key}"},
            "invented key": {"Authorization": "Bearer " + "A" * 43},
            "signed out": {"Cookie": f"telemed={token}"},
        }.items():
            self.clients[name] = await server.anonymous()
            self.headers[name] = headers
        where = {"station_id": seed.station_id, "patient_id": str(seed.patients[0])}
        _, consultation = await self.clients["O"].post("/api/v1/consultations", where)
        _, attachment = await self.clients["O"].post(
            "/api/v1/attachments", where | {"consultation_id": consultation["id"]}
        )
        assert (await self.clients["C"].post(f"/api/v1/consultations/{consultation['id']}/admit"))[0] == 200
        _, key = await self.clients["A"].post(f"/api/v1/stations/{seed.station_id}/keys")
        self.ids |= {"consultation": consultation["id"], "attachment": attachment["id"], "key": key["id"]}

    def path_of(self, name: str) -> str:
        path = name.partition(" ")[2]
        objects = {
            "/accounts/": self.ids["account"], "/stations/": str(self.seed.station_id),
            "/patients/": str(self.seed.patients[1]), "/consultations/": self.ids["consultation"],
            "/attachments/": self.ids["attachment"], "/sign-ins/": "0" * 24,
        }
        for part, value in objects.items():
            if part in path:
                path = path.replace("{id}", value)
        path = path.replace("{key_id}", self.ids["key"]).replace("{room}", self.ids["consultation"])
        path = path.replace("{resource}", "nothing").replace("{publication}", str(uuid4())).replace("{file}", "no.js")
        if name == "GET /api/v1/attachments":
            path += f"?station_id={self.seed.station_id}"
        if path.endswith("/waves"):
            path += "?kind=ecg&from_us=0&to_us=1000000&view=raw"
        return path

    def body_of(self, name: str) -> Any:
        where = {"station_id": self.seed.station_id, "patient_id": str(self.seed.patients[0])}
        return {
            "POST /api/v1/sign-in": {"login": self.seed.logins["auditor"], "password": self.seed.password},
            "PATCH /api/v1/me": {"language": "en"},
            "POST /api/v1/accounts": {"login": f"x{uuid4()}", "name": "x", "password": "x" * 8, "roles": ["auditor"]},
            "POST /api/v1/stations": {"name": "x"},
            "POST /api/v1/patients": {"name": "Demo patient", "birth_year": 1950},
            "POST /api/v1/patients/{id}/consents": {
                "purpose": "care", "given": True, "version": "1", "language": "bg", "given_by": "patient",
            },
            "POST /api/v1/consultations": where,
            "POST /api/v1/attachments": where,
        }.get(name)

    async def attempt(self, who: str, name: str) -> tuple[int, str]:
        """Status, and the refusal's code where there is one."""
        client, headers = self.clients[who], dict(self.headers.get(who, {}))
        method = name.partition(" ")[0]
        if "/ws/" in name:
            headers |= {"Origin": client.url}
            try:
                async with client.http.ws_connect(self.path_of(name), headers=headers):
                    return 101, ""
            except aiohttp.WSServerHandshakeError as error:
                return error.status, {401: "not_signed_in", 403: "forbidden", 404: "not_found"}[error.status]
        sdp: dict[str, Any] = {}
        if name in ("POST /whip/{room}", "POST /whep/{publication}"):
            sdp, headers["Content-Type"] = {"data": "v=0"}, "application/sdp"
        status, answer = await client.send(method, self.path_of(name), self.body_of(name), headers=headers, **sdp)
        return status, answer["error"]["code"] if isinstance(answer, dict) and "error" in answer else ""

    def expected(self, who: str, name: str) -> set[int]:
        """The refusals that are right for this actor; none when it is granted."""
        granted = GRANTED[name]
        if granted == EVERYBODY:
            return set()
        if who in ("-", "invented key", "signed out"):
            return {401}
        if "station" in who or who == "S":
            if "S" not in granted:
                return {401}  # a station's key opens nothing but the station's own doors
            return set() if who == "S" or name == "GET /ws/station" or name in RANDOM_NAMES else {404}
        role = who.removeprefix("stranger ")
        letters = {"clinician": "Cc", "operator": "O", "administrator": "A", "auditor": "U"}.get(role, who)
        may = any(letter in granted for letter in letters)
        if not who.startswith("stranger"):
            return set() if may else {403}
        if not may:
            return {403}
        return set() if name in OWN_ORGANISATION else {404}


async def test_every_route_and_every_actor(server: Any, stranger: Any) -> None:
    world = World(server, stranger)
    await world.prepare()
    rows = server.app[keys.ROUTES].rows
    assert set(server.app.router.routes()) == set(rows), "a route without a row"
    names = sorted({name_of(row) for row in rows.values()})
    assert [name for name in names if name not in GRANTED] == [], "routes that this table does not know"
    names.sort(key=lambda name: any(name.endswith(end) for end in LAST))
    names.sort(key=lambda name: name.endswith("/sign-in"))  # the very last: end every session, then sign in
    wrong: list[str] = []
    tried = 0
    for name in names:
        # Those who are refused come first, so that what ends something is still there for them.
        for who in sorted(world.clients, key=lambda who: (not world.expected(who, name), who)):
            refusals = world.expected(who, name)
            status, code = await world.attempt(who, name)
            refused = status if code in ("not_signed_in", "forbidden", "not_found", "cross_site") else 0
            quiet = name.startswith("GET /{file}") or (name.startswith("DELETE /api/v1/me") and status == 404)
            tried += 1
            if (refused not in refusals) if refusals else (refused and not quiet):
                wrong.append(f"{who}: {name} gave {status} {code}, expected {refusals or 'a grant'}")
            if name == "DELETE /api/v1/sign-in" and not refusals:
                assert status == 204, who
    assert wrong == [], "\n".join(wrong)
    assert tried == len(names) * len(world.clients)


def actors(organisation: UUID) -> dict[str, tuple[Actor, Target]]:
    """Letter to actor, and the live consultation that they are tried on."""
    clinician, station = uuid4(), 7
    target = Target(
        "consultation", str(uuid4()), organisation, patient_id=uuid4(), station_id=station, clinician_id=clinician
    )
    people = {"C": (clinician, "clinician"), "c": (uuid4(), "clinician"), "O": (uuid4(), "operator"),
              "A": (uuid4(), "administrator"), "U": (uuid4(), "auditor")}
    made = {
        letter: Actor("account", str(one), organisation, frozenset({role})) for letter, (one, role) in people.items()
    }
    made |= {
        "S": Actor("station", str(station), organisation), "s": Actor("station", "8", organisation),
        "-": Actor("anonymous", None, None),
        "stranger": Actor("account", str(clinician), uuid4(), frozenset(policy.ROLES)),
        "stranger station": Actor("station", str(station), uuid4()),
        "nobody": Actor("account", str(uuid4()), organisation, frozenset()),
    }
    return {letter: (actor, target) for letter, actor in made.items()}


async def test_every_socket_message_and_every_actor(server: Any) -> None:
    messages = set(server.app[keys.ROUTES].messages)
    assert messages == set(MESSAGES), "socket messages that this table does not know"
    for message, granted in MESSAGES.items():
        for letter, (actor, target) in actors(uuid4()).items():
            assert (policy.decide(actor, message, target) is None) == (letter in granted), (message, letter)


def test_a_free_consultation_can_be_read_and_taken_by_any_clinician_but_not_watched() -> None:
    organisation = uuid4()
    free = Target("consultation", str(uuid4()), organisation, station_id=7)
    clinician = Actor("account", str(uuid4()), organisation, frozenset({"clinician"}))
    for action in ("consultation.read", "consultation.admit", "consultation_socket.open"):
        assert policy.decide(clinician, action, free) is None
    for action in ("consultation.end", "consultation_socket.watch", "review.read", "media.play", "media.publish"):
        assert policy.decide(clinician, action, free) is not None


@pytest.mark.parametrize("action", sorted(POLICY))
def test_no_row_grants_an_object_of_another_organisation(action: str) -> None:
    rule = POLICY[action]
    target = Target("anything", "1", uuid4(), station_id=7, clinician_id=uuid4())
    for actor in (
        Actor("account", str(target.clinician_id), uuid4(), frozenset(policy.ROLES)), Actor("station", "7", uuid4())
    ):
        assert rule.anonymous or policy.decide(actor, action, target) is not None


def test_a_route_or_message_without_a_row_does_not_start() -> None:
    async def handler(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response()

    row = Route("GET", "/x", "unheard.of", handler, "")
    with pytest.raises(PolicyIncomplete, match=r"unheard\.of"):
        mount(aiohttp.web.Application(), [row], [])
    with pytest.raises(PolicyIncomplete, match="unheard"):
        mount(aiohttp.web.Application(), [], ["unheard_socket.message"])
    beside = aiohttp.web.Application()
    beside.router.add_get("/beside", handler)
    with pytest.raises(PolicyIncomplete, match="beside"):
        mount(beside, [], [])


async def test_a_denial_is_recorded(server: Any, stranger: Any) -> None:
    administrator, elsewhere = await server.client("administrator"), await server.client("operator", stranger)
    patient = server.seed.patients[0]
    assert (await administrator.get(f"/api/v1/patients/{patient}"))[0] == 403
    assert (await elsewhere.get(f"/api/v1/patients/{patient}"))[0] == 404
    async with server.database.connection() as connection:
        rows = await connection.fetch(
            "select action, actor_id, object_id, patient_id, organisation_id from audit_event where outcome = 'deny'"
            " order by id"
        )
    assert [row["action"] for row in rows] == ["patient.read"] * 2
    # The role alone was refused, before the object was looked at; the stranger's own organisation has the other.
    assert (rows[0]["object_id"], rows[1]["object_id"], rows[1]["patient_id"]) == (None, str(patient), None)
    assert rows[1]["organisation_id"] == stranger.organisation_id
