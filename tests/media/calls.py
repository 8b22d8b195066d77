"""A live consultation on a real server, and its people's WHIP and WHEP requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from telemed.http import keys
from tests.server.conftest import server  # noqa: F401  (a fixture)

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"


class Call:
    """A live consultation on the server, its clinician's browser and its station."""

    def __init__(self, running: Any, clinician: Any, operator: Any, consultation: str) -> None:
        self.server, self.clinician, self.operator, self.room = running, clinician, operator, consultation
        self.media = running.app[keys.MEDIA]
        self.key = {"Authorization": f"Bearer {running.seed.station_key}"}

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Status, headers and text of a request with the station's key alone: no cookie, no Origin."""
        client = await self.server.anonymous()
        async with client.http.request(method, path, data=body, headers={**self.key, **headers}) as answer:
            return answer.status, answer.headers, await answer.text()

    async def post(self, path: str, body: Any, who: str = "station", kind: str = SDP, **headers: str) -> Any:
        """Status, headers and text of a POST; the station has no cookie and sends no Origin."""
        own = self.key if who == "station" else {"Origin": self.server.url}
        client = {"operator": self.operator, "clinician": self.clinician}.get(who) or await self.server.anonymous()
        headers = {**own, "Content-Type": kind, **headers}
        async with client.http.post(path, data=body, headers=headers) as answer:
            return answer.status, answer.headers, await answer.text()


@pytest.fixture
async def call(server: Any) -> AsyncIterator[Call]:  # noqa: F811
    """A live consultation."""
    clinician, operator = await server.client("clinician"), await server.client("operator")
    where = {"station_id": server.seed.station_id, "patient_id": str(server.seed.patients[0])}
    status, consultation = await operator.post("/api/v1/consultations", where)
    assert status == 201
    status, _ = await clinician.post(f"/api/v1/consultations/{consultation['id']}/admit")
    assert status == 200
    yield Call(server, clinician, operator, consultation["id"])


def code(text: str) -> str:
    """The code of a refusal."""
    return str(json.loads(text)["error"]["code"])
