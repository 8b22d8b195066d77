"""Nobody reaches what the table below does not grant: every route of the router × every kind of actor.

The table here is written by hand from the roles' duties, not read from ``identity.policy``. Actors marked
with a capital letter are of the same organisation as the objects; the strangers have the same roles elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from telemed.http import keys
from telemed.http.route import Route
from tests.server.short_recording import a_recording

PLACE = {"address": "Demo village 1", "phone": ""}

# C the consultation's clinician, I one invited beside, c another clinician, O operator, A administrator, U auditor,
# S its station. Guests of the visit: P patient, R relative and N interpreter, admitted; w the patient's second browser.
EVERYBODY, PEOPLE, GUESTS, ROOM = "CIcOAUSPRNw-", "CIcOAU", "PRNw", "CIOPRN"
GRANTED: dict[str, str] = {
    "GET /": EVERYBODY, "HEAD /": EVERYBODY, "GET /{file}": EVERYBODY,
    "GET /healthz": EVERYBODY, "GET /metrics": EVERYBODY, "GET /openapi.json": EVERYBODY,
    "POST /api/v1/sign-in": EVERYBODY,
    "GET /api/v1/me": PEOPLE,
    "PATCH /api/v1/me": PEOPLE,
    "GET /api/v1/me/sign-ins": PEOPLE,
    "DELETE /api/v1/me/sign-ins/{id}": PEOPLE,
    "PATCH /api/v1/organisation": "A",
    "GET /api/v1/accounts": "A",
    "POST /api/v1/accounts": "A",
    "POST /api/v1/accounts/{id}/disable": "A",
    "GET /api/v1/colleagues": "CIcO",
    "GET /api/v1/stations": PEOPLE,
    "POST /api/v1/stations": "A",
    "GET /api/v1/stations/{id}/keys": "AU",
    "POST /api/v1/stations/{id}/keys": "A",
    "DELETE /api/v1/stations/{id}/keys/{key_id}": "A",
    "GET /api/v1/stations/{id}/events": "OAU",
    "GET /api/v1/patients": "CIcO",
    "POST /api/v1/patients": "CIcO",
    "GET /api/v1/patients/{id}": "CIcO",
    "POST /api/v1/patients/{id}/merge": "CIcO",
    "POST /api/v1/identifiers/check": "CIcO",
    "DELETE /api/v1/patients/{id}/key": "A",
    "POST /api/v1/patients/{id}/holds": "A",
    "GET /api/v1/patients/{id}/holds": "AU",
    "DELETE /api/v1/patients/{id}/holds/{hold}": "A",
    "POST /api/v1/patients/{id}/erase": "A",
    "POST /api/v1/patients/{id}/consents": "CIcO",
    "GET /api/v1/patients/{id}/consents": "CIcOU",
    "GET /api/v1/consultations": "CIcO",
    "POST /api/v1/consultations": "CIcO",
    "GET /api/v1/consultations/{id}": "CIO",
    "POST /api/v1/consultations/{id}/admit": "C",
    "POST /api/v1/consultations/{id}/end": "C",
    "POST /api/v1/consultations/{id}/cancel": "CO",
    "POST /api/v1/consultations/{id}/move": "CO",
    "POST /api/v1/consultations/{id}/arrive": "CO",
    "POST /api/v1/consultations/{id}/miss": "CO",
    "POST /api/v1/consultations/{id}/handover": "CO",
    "POST /api/v1/consultations/{id}/phone": "CO",
    "POST /api/v1/consultations/{id}/vitals": "C",
    "POST /api/v1/consultations/{id}/recording": "C",
    "GET /api/v1/consultations/{id}/recordings": "CI",
    "GET /api/v1/recordings/{id}": "CI",
    "GET /api/v1/consultations/{id}/calendar": "CO",
    "GET /api/v1/consultations/{id}/place": "CIO",
    "PUT /api/v1/consultations/{id}/place": "CIO",
    "POST /api/v1/consultations/{id}/participants": "C",
    "DELETE /api/v1/consultations/{id}/participants/{account_id}": "C",
    "GET /api/v1/consultations/{id}/tickets": "CO",
    "POST /api/v1/consultations/{id}/tickets": "CO",
    "DELETE /api/v1/consultations/{id}/tickets/{ticket}": "CO",
    "POST /api/v1/consultations/{id}/seats/{seat}/admit": "CI",
    "POST /api/v1/consultations/{id}/seats/{seat}/refuse": "CI",
    "POST /api/v1/consultations/{id}/seats/{seat}/remove": "CI",
    "GET /api/v1/consultations/{id}/chat": ROOM,
    "POST /api/v1/consultations/{id}/files": ROOM,
    "GET /api/v1/consultations/{id}/files/{file}": ROOM,
    "GET /api/v1/consultations/{id}/notes": "CI",
    "PUT /api/v1/consultations/{id}/draft": "C",
    "POST /api/v1/consultations/{id}/sign": "C",
    "POST /api/v1/consultations/{id}/amend": "C",
    "GET /api/v1/consultations/{id}/waves": "CI",
    "GET /api/v1/consultations/{id}/review": "CI",
    "GET /api/v1/consultations/{id}/trend": "CI",
    "GET /api/v1/consultations/{id}/export": "CI",
    "POST /api/v1/visits/look": EVERYBODY,
    "POST /api/v1/visits": EVERYBODY,
    "GET /api/v1/visit": GUESTS,
    "POST /api/v1/visit/leave": GUESTS,
    "POST /api/v1/visit/consent": "PR",
    "PUT /api/v1/visit/place": "PR",
    "POST /api/v1/checks": EVERYBODY,
    "DELETE /api/v1/checks/{check}": EVERYBODY,
    "GET /api/v1/checks/{check}/ice-servers": EVERYBODY,
    "GET /api/v1/ice-servers": "CIcOSPRN",
    "POST /whip/checks/{check}": EVERYBODY,
    "POST /whep/checks/{check}": EVERYBODY,
    "POST /api/v1/attachments": "O",
    "POST /api/v1/attachments/{id}/close": "O",
    "GET /api/v1/attachments": "O",
    "GET /api/v1/attachments/unvisited": "CIcO", "POST /api/v1/attachments/{id}/visit": "CIcO",
    "GET /api/v1/audit": "AU",
    "GET /ws/station": "S",
    "GET /ws/consultations/{id}": "CIO" + GUESTS,
    "GET /ws/notices": "CIcO",
    "OPTIONS /whip/{room}": EVERYBODY, "HEAD /whip/{room}": EVERYBODY,
    "GET /whip/{room}": EVERYBODY,
    "POST /whip/{room}": "S" + ROOM,
    "OPTIONS /whip/resources/{resource}": EVERYBODY, "GET /whip/resources/{resource}": EVERYBODY,
    "PATCH /whip/resources/{resource}": "cwS" + ROOM,
    "DELETE /whip/resources/{resource}": "cwS" + ROOM,
    "OPTIONS /whep/{publication}": EVERYBODY, "HEAD /whep/{publication}": EVERYBODY,
    "GET /whep/{publication}": EVERYBODY,
    "POST /whep/{publication}": "cwS" + ROOM,
    "OPTIONS /whep/{room}/slots/{slot}": EVERYBODY, "HEAD /whep/{room}/slots/{slot}": EVERYBODY,
    "GET /whep/{room}/slots/{slot}": EVERYBODY,
    "POST /whep/{room}/slots/{slot}": "S" + ROOM,
    "OPTIONS /whep/resources/{resource}": EVERYBODY, "GET /whep/resources/{resource}": EVERYBODY,
    "PATCH /whep/resources/{resource}": "cwS" + ROOM,
    "DELETE /whep/resources/{resource}": "cwS" + ROOM,
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
# What ends something runs after the rest, in this order.
LAST = ("{account_id}", "/erase", "/key", "/disable", "/close", "keys/{key_id}", "/end", "/sign-in")
NOBODY = ("-", "invented key", "invented seat", "signed out", "sent away")
OF_THE_VISIT = (*GUESTS, "sent away")


def name_of(row: Route) -> str:
    return f"{row.method} {row.path.replace('{file:(?!api/|ws/|whip|whep|fhir/).+}', '{file}')}"


class World:
    """The server, every actor's client and the objects that the routes are tried on."""

    def __init__(self, server: Any, stranger: Any) -> None:
        self.server, self.stranger, self.seed = server, stranger, server.seed
        self.clients: dict[str, Any] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.ids: dict[str, str] = {}
        self.tickets: dict[str, str] = {}
        self.over = False

    async def prepare(self) -> None:
        server, seed = self.server, self.seed
        for letter, role in zip("COAU", ("clinician", "operator", "administrator", "auditor"), strict=True):
            self.clients[letter] = await server.client(role)
            self.clients[f"stranger {role}"] = await server.client(role, self.stranger)
        body = {"login": "demo-clinician-2", "name": "Demo clinician 2", "password": "another one"}
        for login, role in (
            ("demo-clinician-2", "clinician"), ("demo-clinician-3", "clinician"), ("demo-victim", "operator")
        ):
            status, made = await self.clients["A"].post("/api/v1/accounts", body | {"login": login, "roles": [role]})
            assert status == 201
            self.ids[login] = made["id"]
        for letter, login in (("c", "demo-clinician-2"), ("I", "demo-clinician-3")):
            self.clients[letter] = await server.anonymous()
            await self.clients[letter].sign_in(login, "another one")
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
        self.ids |= {"consultation": consultation["id"], "attachment": attachment["id"]}
        await self.prepare_guests(UUID(consultation["id"]))
        invited = {"account_id": self.ids["demo-clinician-3"]}
        path = f"/api/v1/consultations/{consultation['id']}/participants"
        assert (await self.clients["C"].post(path, invited))[0] in (200, 201)
        self.ids["recording"] = await a_recording(server.app, UUID(consultation["id"]))
        _, key = await self.clients["A"].post(f"/api/v1/stations/{seed.station_id}/keys")
        _, hold = await self.clients["A"].post(f"/api/v1/patients/{seed.patients[1]}/holds", {"reason": "x"})
        self.ids |= {"key": key["id"], "hold": hold["id"]}

    async def prepare_guests(self, consultation_id: UUID) -> None:
        """Join the guests, admit the consultation and with it the patient's first browser, then the others."""
        server = self.server
        for letter, role in (("P", "patient"), ("R", "relative"), ("N", "interpreter"), ("sent away", "relative")):
            await self.join(letter, server, consultation_id, role)
        self.clients["w"], self.tickets["w"] = await server.guest(), self.tickets["P"]
        assert (await self.clients["w"].join(self.tickets["w"]))[0] == 201
        path = f"/api/v1/consultations/{consultation_id}"
        assert (await self.clients["C"].post(f"{path}/admit"))[0] == 200
        for letter, decision in (("R", "admit"), ("N", "admit"), ("sent away", "refuse")):
            seat = self.clients[letter].seat
            assert (await self.clients["C"].post(f"{path}/seats/{seat}/{decision}"))[0] == 200
        for name, where in (
            ("guest elsewhere", server), ("stranger guest", replace(server, seed=self.stranger)),
        ):
            visit = await where.visit()
            await self.join(name, where, visit, "patient")
            clinician = await where.client("clinician")
            assert (await clinician.post(f"/api/v1/consultations/{visit}/admit"))[0] == 200
        spare = await server.guest()
        await spare.join(await server.ticket(consultation_id, "relative"))
        _, listed = await self.clients["O"].get(f"{path}/tickets")
        self.ids |= {"seat": spare.seat, "ticket": listed["tickets"][-1]["id"]}
        self.clients["invented seat"] = await server.guest()
        self.clients["invented seat"].seat = str(uuid4())

    async def join(self, name: str, server: Any, consultation_id: UUID, role: str) -> None:
        self.tickets[name] = await server.ticket(consultation_id, role)
        self.clients[name] = await server.guest()
        assert (await self.clients[name].join(self.tickets[name]))[0] == 201

    def path_of(self, name: str) -> str:
        path = name.partition(" ")[2]
        objects = {
            "/accounts/": self.ids["demo-victim"], "/stations/": str(self.seed.station_id),
            "/patients/": str(self.seed.patients[1]), "/consultations/": self.ids["consultation"],
            "/attachments/": self.ids["attachment"], "/sign-ins/": "0" * 24,
            "/recordings/": self.ids["recording"],
        }
        for part, value in objects.items():
            if part in path:
                path = path.replace("{id}", value)
        for part, value in {
            "{key_id}": self.ids["key"], "{hold}": self.ids["hold"], "{room}": self.ids["consultation"],
            "{ticket}": self.ids["ticket"],
            "{seat}": self.ids["seat"], "{account_id}": self.ids["demo-clinician-3"], "{resource}": "nothing",
            "{publication}": str(uuid4()), "{check}": str(uuid4()), "{slot}": "0",
            "/files/{file}": f"/files/{uuid4()}",
            "/{file}": "/no.js",
        }.items():
            path = path.replace(part, value)
        if name == "GET /api/v1/attachments":
            path += f"?station_id={self.seed.station_id}"
        if path.endswith("/waves"):
            path += "?kind=ecg&from_us=0&to_us=1000000&view=raw"
        if path.endswith("/trend"):
            path += "?from_us=0&to_us=1000000&columns=10"
        if path.endswith("/export"):
            path += "?from_us=0&to_us=1000000&format=csv"
        if path.endswith("/files"):
            path += f"?name=x.txt&line={uuid4()}"
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
            "POST /api/v1/attachments/{id}/visit": {"clinician_id": str(self.seed.accounts["clinician"])},
            "PATCH /api/v1/organisation": {"phone": "+359 38 000 000"},
            "POST /api/v1/patients/{id}/merge": {"into": str(self.seed.patients[0]), "reason": "same_person"},
            "POST /api/v1/patients/{id}/holds": {"reason": "x"},
            "POST /api/v1/patients/{id}/erase": {"reason": "other"},
            "POST /api/v1/identifiers/check": {"system": "demo", "value": "1"},
            "POST /api/v1/consultations/{id}/move": {"scheduled_at": "2031-06-10T10:00:00Z", "minutes": 30},
            "POST /api/v1/consultations/{id}/handover": {"clinician_id": str(uuid4())},
            "POST /api/v1/consultations/{id}/phone": {"on": False}, "PUT /api/v1/visit/place": PLACE,
            "POST /api/v1/consultations/{id}/vitals": {"shared": False},
            "POST /api/v1/consultations/{id}/recording": {"on": False},
            "PUT /api/v1/consultations/{id}/place": PLACE,
            "POST /api/v1/consultations/{id}/participants": {"account_id": self.ids["demo-clinician-3"]},
            "POST /api/v1/consultations/{id}/tickets": {"role": "relative", "language": "bg"},
            "PUT /api/v1/consultations/{id}/draft": {"text": "x"},
            "POST /api/v1/consultations/{id}/sign": {"text": "x"},
            "POST /api/v1/consultations/{id}/amend": {"text": "x", "reason": "x"},
            "POST /api/v1/visits/look": {"ticket": self.tickets["P"]},
            "POST /api/v1/visits": {"ticket": "x" * 43, "language": "bg"},
            "POST /api/v1/visit/consent": {"given": True, "version": "1", "language": "bg"},
        }.get(name)

    async def attempt(self, who: str, name: str) -> tuple[int, str]:
        """Status, and the refusal's code where there is one."""
        client, headers = self.clients[who], dict(self.headers.get(who, {}))
        method = name.partition(" ")[0]
        if "/ws/" in name:
            headers |= {"Origin": client.url}
            path = self.path_of(name) + (f"?as={client.seat}" if getattr(client, "seat", "") else "")
            try:
                async with client.http.ws_connect(path, headers=headers):
                    return 101, ""
            except aiohttp.WSServerHandshakeError as error:
                return error.status, {401: "not_signed_in", 403: "forbidden", 404: "not_found"}[error.status]
        raw: dict[str, Any] = {}
        if name.startswith(("POST /whip", "POST /whep")):
            raw, headers["Content-Type"] = {"data": "v=0"}, "application/sdp"
        elif name.endswith("/files"):
            raw, headers["Content-Type"] = {"data": b"x"}, "text/plain"
        elif "/recordings/" in name:
            headers["Range"] = "bytes=999999-"  # whoever may have its bytes is told that there are no such
        status, answer = await client.send(method, self.path_of(name), self.body_of(name), headers=headers, **raw)
        if name == "POST /api/v1/visit/leave" and status == 200:
            assert (await client.join(self.tickets[who]))[0] == 201  # what follows is tried on guests that are here
        return status, answer["error"]["code"] if isinstance(answer, dict) and "error" in answer else ""

    def expected(self, who: str, name: str) -> set[int]:
        """The refusals that are right for this actor; none when it is granted."""
        granted = GRANTED[name]
        if granted == EVERYBODY:
            return set()
        if who == "sent away" and name == "GET /api/v1/visit":
            return set()  # it is told why
        if who in NOBODY or (self.over and who in OF_THE_VISIT):
            return {401}
        if who in GUESTS:
            return set() if who in granted else {403}
        if "guest" in who:
            if "P" not in granted:
                return {403}
            return set() if name in OWN_ORGANISATION or name in RANDOM_NAMES else {404}
        if "station" in who or who == "S":
            if "S" not in granted:
                return {401}  # a station's key opens nothing but the station's own doors
            own = name in OWN_ORGANISATION or name == "GET /ws/station"
            return set() if who == "S" or own or name in RANDOM_NAMES else {404}
        role = who.removeprefix("stranger ")
        letters = {"clinician": "CIc", "operator": "O", "administrator": "A", "auditor": "U"}.get(role, who)
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
    assert set(names) == set(GRANTED), "routes that this table does not know, or rows without a route"
    names.sort(key=lambda name: [name.endswith(end) for end in LAST][::-1])
    wrong: list[str] = []
    tried = 0
    for name in names:
        # Those who are refused come first, so that what ends something is still there for them.
        for who in sorted(world.clients, key=lambda who: (not world.expected(who, name), who)):
            refusals = world.expected(who, name)
            status, code = await world.attempt(who, name)
            refused = status if code in ("not_signed_in", "forbidden", "not_found", "cross_site") else 0
            if name == "POST /api/v1/consultations/{id}/admit" and code == "conflict":
                refused = 403  # a clinician that comes after another is told so
            quiet = status == 404 and (name.startswith("DELETE /api/v1/me") or name.endswith("/{file}"))
            world.over = world.over or (name.endswith("/end") and status == 200)
            tried += 1
            assert status != 500, (who, name)
            if (refused not in refusals) if refusals else (refused and not quiet):
                wrong.append(f"{who}: {name} gave {status} {code}, expected {refusals or 'a grant'}")
            if name == "DELETE /api/v1/sign-in" and not refusals:
                assert status == 204, who
    assert wrong == [], "\n".join(wrong)
    assert tried == len(names) * len(world.clients)


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
