"""The call check: one's own picture through our relay and back, for anybody, bounded in every way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from telemed.http import checks as http_checks
from telemed.http import keys
from telemed.media import checks
from telemed.metrics import REGISTRY
from tests.server.conftest import server  # noqa: F401  (the fixture)

SDP = "application/sdp"


async def begin(client: Any) -> str:
    status, answer = await client.post("/api/v1/checks")
    assert status == 201
    assert answer["seconds"] == http_checks.CHECK_SECONDS
    return str(answer["check"])


async def post(client: Any, path: str, body: Any, kind: str = SDP) -> tuple[int, Any, str]:
    headers = {"Origin": client.url, "Content-Type": kind}
    async with client.http.post(path, data=body, headers=headers) as answer:
        return answer.status, answer.headers, await answer.text()


def code(text: str) -> str:
    return str(json.loads(text)["error"]["code"])


def ended(outcome: str) -> float:
    return REGISTRY.get_sample_value("telemed_checks_total", {"outcome": outcome}) or 0.0


class Mirror:
    """A visitor's browser in a check: publishes a picture and a tone, and plays them back."""

    def __init__(self, client: Any, peer: Any, picture: Any, tone: Any) -> None:
        self.client, self.sends, self.sees = client, peer(), peer()
        for track in (picture(), tone()):
            self.sends.pc.addTransceiver(track, direction="sendonly")
        for kind in ("audio", "video"):
            self.sees.pc.addTransceiver(kind, direction="recvonly")
        self.check = ""

    async def publish(self) -> None:
        self.check = await begin(self.client)
        status, headers, answer = await post(self.client, f"/whip/checks/{self.check}", await self.sends.offer())
        assert (status, headers["Location"]) == (201, f"/api/v1/checks/{self.check}")
        await self.sends.accept(answer)

    async def play(self, wait: Any) -> None:
        await wait(lambda: self.sends.connected, "it is connected")
        status, headers, answer = await post(self.client, f"/whep/checks/{self.check}", await self.sees.offer())
        assert (status, headers["Location"]) == (201, f"/api/v1/checks/{self.check}")
        await self.sees.accept(answer)
        self.sees.consume()
        await wait(lambda: any(hasattr(frame, "width") for frame in self.sees.frames), "its own picture comes back")

    async def close(self) -> None:
        await self.sends.close()
        await self.sees.close()


@pytest.fixture
async def mirror(server: Any, peer: Any, picture: Any, tone: Any) -> Any:  # noqa: F811
    made = Mirror(await server.anonymous(), peer, picture, tone)
    yield made
    await made.close()


async def test_one_sees_and_hears_oneself_and_nobody_else_can(server: Any, mirror: Mirror, wait: Any) -> None:  # noqa: F811
    media = server.app[keys.MEDIA]
    before = ended("ended")
    await mirror.publish()
    await mirror.play(wait)
    await wait(lambda: len(mirror.sees.of("audio")) > 20, "and its own voice")
    publication = media.publications(f"check-{mirror.check}")[0]
    clinician = await server.client("clinician")
    offer = mirror.sees.pc.localDescription.sdp
    assert (await post(clinician, f"/whep/{publication.id}", offer))[0] == 404
    assert (await post(clinician, f"/whip/check-{mirror.check}", offer))[0] == 404
    assert REGISTRY.get_sample_value("telemed_checks_now") == 1
    assert (await mirror.client.delete(f"/api/v1/checks/{mirror.check}"))[0] == 204
    await wait(lambda: not media._sessions, "its media end with it")
    for one in (mirror.sends, mirror.sees):
        await wait(lambda one=one: one.pc.connectionState == "closed", "it is told goodbye")
    status, refusal = await mirror.client.delete(f"/api/v1/checks/{mirror.check}")
    assert (status, refusal["error"]["code"]) == (404, "check_not_found")
    for path in (f"/whip/checks/{mirror.check}", f"/whep/checks/{mirror.check}", "/whip/checks/nobody's"):
        status, _, text = await post(mirror.client, path, offer)
        assert (status, code(text)) == (404, "check_not_found")
    assert ended("ended") == before + 1
    assert not media._watchers


async def test_a_check_ends_by_itself(
    server: Any, mirror: Mirror, wait: Any, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    before = ended("expired")
    monkeypatch.setattr(checks, "CHECK_SECONDS", 3.0)
    await mirror.publish()
    await wait(lambda: not server.app[keys.MEDIA]._sessions, "its time is over")
    await wait(lambda: ended("expired") == before + 1, "and it is counted")
    assert (await mirror.client.delete(f"/api/v1/checks/{mirror.check}"))[0] == 404


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_check_whose_visitor_is_lost_is_over(
    server: Any, mirror: Mirror, wait: Any, goodbye: bool  # noqa: F811
) -> None:
    before = ended("lost")
    await mirror.publish()
    await mirror.play(wait)
    if goodbye:
        await mirror.sends.close()
    else:
        for protocol in mirror.sends.dtls.transport._connection._protocols:
            protocol.transport.abort()
    await wait(lambda: not server.app[keys.MEDIA]._sessions, "nothing is left of it")
    await wait(lambda: ended("lost") == before + 1, "and it is counted")
    assert (await mirror.client.delete(f"/api/v1/checks/{mirror.check}"))[0] == 404


async def test_checks_are_bounded(
    server: Any, peer: Any, wait: Any, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    client = await server.anonymous()

    async def full() -> bool:
        async with client.http.post("/api/v1/checks", headers={"Origin": client.url}) as answer:
            code = (await answer.json())["error"]["code"]
            return (answer.status, answer.headers["Retry-After"], code) == (503, "20", "checks_full")

    names = [await begin(client) for _ in range(checks.CHECKS_AN_ADDRESS)]
    assert await full(), "one address does not hold them all"
    monkeypatch.setattr(checks, "CHECKS_AN_ADDRESS", checks.CHECKS_AT_ONCE)  # as if others asked
    names += [await begin(client) for _ in range(checks.CHECKS_AT_ONCE - len(names))]
    assert await full()
    sender = peer()
    sender.pc.addTransceiver("video", direction="sendonly")
    offer = await sender.offer()
    status, _, text = await post(client, f"/whep/checks/{names[0]}", offer)
    assert (status, code(text)) == (404, "publication_not_found")
    for body, kind, expected in (
        (offer, "text/plain", (415, "media_type_unsupported")),
        (b"\xff", SDP, (400, "sdp_invalid")),
        (offer + "a=" + "x" * 70_000, SDP, (413, "body_too_large")),
    ):
        status, _, text = await post(client, f"/whip/checks/{names[1]}", body, kind)
        assert (status, code(text)) == expected
    for _ in range(checks.OFFERS_A_CHECK):
        assert (await post(client, f"/whip/checks/{names[0]}", offer))[0] == 201
    status, _, text = await post(client, f"/whip/checks/{names[0]}", offer)
    assert (status, code(text)) == (503, "too_many_sessions")
    status, _, text = await post(client, f"/whep/checks/{names[0]}", offer)
    assert (status, code(text)) == (409, "publication_not_found")
    assert len(server.app[keys.MEDIA]._sessions) <= 3
    for name in names:
        assert (await client.delete(f"/api/v1/checks/{name}"))[0] == 204
    await wait(lambda: not server.app[keys.MEDIA]._sessions, "nothing is left")
    monkeypatch.setattr(http_checks, "CHECKS_PER_ADDRESS", 1)
    status, answer = await client.post("/api/v1/checks")
    assert (status, answer["error"]["code"]) == (429, "too_many_attempts")
    elsewhere = {"Origin": "https://elsewhere.invalid"}
    assert (await client.post("/api/v1/checks", headers=elsewhere))[0] == 403
    await sender.close()
