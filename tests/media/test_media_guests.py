"""Guests, second clinicians and operators publish and play as who they are, while they may, and not a moment longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from telemed.http import keys
from tests.server.conftest import server  # noqa: F401  (the fixture)

SDP = "application/sdp"
LAPSES = {
    "revoke": "update ticket set revoked_at = now() where id = (select ticket_id from seat where id = $1)",
    "expire": "update ticket set expires_at = now() where id = (select ticket_id from seat where id = $1)",
}


class Visit:
    """A live consultation with its clinician, its operator and an admitted relative."""

    def __init__(self, running: Any, clinician: Any, operator: Any, room: str, tokens: dict[str, str]) -> None:
        self.server, self.clinician, self.operator, self.room = running, clinician, operator, room
        self.media = running.app[keys.MEDIA]
        self.tokens = tokens

    async def joined(self, role: str, decision: str | None = "admit") -> Any:
        """A guest of this role, with the clinician's decision made."""
        guest = await self.server.guest()
        status, answer = await guest.join(self.tokens[role], f"Demo {role}")
        assert status == 201, answer
        if decision is not None:
            await self.decide(guest, decision)
        return guest

    async def decide(self, guest: Any, decision: str) -> None:
        path = f"/api/v1/consultations/{self.room}/seats/{guest.seat}/{decision}"
        status, answer = await self.clinician.post(path)
        assert status == 200, answer

    async def offer(self, client: Any, path: str, peer: Any) -> tuple[int, Any]:
        """POST the peer's offer; connected when it was taken. Status and headers."""
        seat = getattr(client, "seat", "")
        named = f"{path}{'&' if '?' in path else '?'}as={seat}" if seat else path
        headers = {"Origin": self.server.url, "Content-Type": SDP}
        async with client.http.post(named, data=await peer.offer(), headers=headers) as answer:
            if answer.status == 201:
                await peer.accept(await answer.text())
            return answer.status, answer.headers

    def published(self) -> set[tuple[str, str, str]]:
        """Participant, role and source of what can be played."""
        return {
            (one.publisher.participant, one.publisher.by, one.publisher.source)
            for one in self.media.publications(self.room)
        }


@pytest.fixture
async def visit(server: Any) -> AsyncIterator[Visit]:  # noqa: F811
    clinician, operator = await server.client("clinician"), await server.client("operator")
    room = await server.visit()
    tokens = {role: await server.ticket(room, role) for role in ("patient", "relative", "interpreter")}
    status, answer = await clinician.post(f"/api/v1/consultations/{room}/admit")
    assert status == 200, answer
    yield Visit(server, clinician, operator, str(room), tokens)


async def test_everybody_publishes_as_who_they_are(visit: Visit, wait: Any, peer: Any) -> None:
    relative, interpreter = await visit.joined("relative"), await visit.joined("interpreter")
    accounts = visit.server.seed.accounts
    expected = set()
    peers = []
    for client, who, by, source in (
        (visit.clinician, accounts["clinician"], "clinician", "camera"),
        (visit.clinician, accounts["clinician"], "clinician", "screen"),
        (visit.operator, accounts["operator"], "operator", "camera"),
        (relative, relative.seat, "relative", "camera"),
        (interpreter, interpreter.seat, "interpreter", "camera"),
        (interpreter, interpreter.seat, "interpreter", "exam"),
    ):
        one = peer()
        one.pc.addTransceiver("video", direction="sendonly")
        status, headers = await visit.offer(client, f"/whip/{visit.room}?source={source}", one)
        assert status == 201
        assert headers["Location"].partition("?as=")[2] == getattr(client, "seat", "")
        peers.append((one, client, headers["Location"]))
        expected.add((str(who), by, source))
    await wait(lambda: visit.published() == expected, "all of them are there")
    # A guest's own resource is ended by its Location as it is; another seat's does not exist.
    _, _, place = peers[3]
    headers = {"Origin": visit.server.url}
    swapped = place.replace(relative.seat, interpreter.seat)
    for client, path, wanted in ((interpreter, swapped, 404), (relative, place, 200), (relative, place, 404)):
        async with client.http.delete(path, headers=headers) as answer:
            assert answer.status == wanted
    await wait(lambda: len(visit.published()) == 5, "it is ended")
    for one, _, _ in peers:
        await one.close()


async def test_a_guest_who_waits_neither_publishes_nor_plays(visit: Visit, wait: Any, peer: Any) -> None:
    waiting = await visit.joined("relative", None)
    sends, sees = peer(), peer()
    sends.pc.addTransceiver("video", direction="sendonly")
    sees.pc.addTransceiver("video", direction="recvonly")
    assert (await visit.offer(visit.clinician, f"/whip/{visit.room}", sends))[0] == 201
    publication = (await wait(lambda: visit.media.publications(visit.room), "the clinician publishes"))[0].id
    assert (await visit.offer(waiting, f"/whip/{visit.room}", peer_of(peer, "sendonly")))[0] == 403
    assert (await visit.offer(waiting, f"/whep/{publication}", sees))[0] == 403
    other_room = await visit.server.visit()
    assert (await visit.clinician.post(f"/api/v1/consultations/{other_room}/admit"))[0] == 200
    await visit.decide(waiting, "admit")
    assert (await visit.offer(waiting, f"/whip/{other_room}", peer_of(peer, "sendonly")))[0] == 404
    assert (await visit.offer(waiting, f"/whep/{publication}", sees))[0] == 201
    await wait(lambda: visit.media.stats().viewers == 1, "it is let in")
    await sends.close()
    await sees.close()


def peer_of(peer: Any, direction: str) -> Any:
    made = peer()
    made.pc.addTransceiver("video", direction=direction)
    return made


@pytest.mark.parametrize("way", ["remove", "leave", "expire", "revoke"])
async def test_what_a_guest_sends_and_sees_ends_with_its_seat(visit: Visit, wait: Any, peer: Any, way: str) -> None:
    gone, stays = await visit.joined("relative"), await visit.joined("interpreter")
    sends = peer_of(peer, "sendonly"), peer_of(peer, "sendonly")
    for client, one in zip((gone, stays), sends, strict=True):
        assert (await visit.offer(client, f"/whip/{visit.room}", one))[0] == 201
    await wait(lambda: len(visit.published()) == 2, "both publish")
    sees = peer_of(peer, "recvonly")
    theirs = next(one.id for one in visit.media.publications(visit.room) if one.publisher.by == "interpreter")
    assert (await visit.offer(gone, f"/whep/{theirs}", sees))[0] == 201
    await wait(lambda: visit.media.stats().viewers == 1 and sees.connected, "it sees the other")
    if way == "remove":
        await visit.decide(gone, "remove")
    elif way == "leave":
        assert (await gone.post("/api/v1/visit/leave"))[0] == 200
    else:
        async with visit.server.database.connection() as connection:
            await connection.execute(LAPSES[way], UUID(gone.seat))
    await wait(lambda: len(visit.published()) == 1, "its publication ends")
    await wait(lambda: visit.media.stats().viewers == 0, "and its viewing")
    for one in (sends[0], sees):
        await wait(lambda one=one: one.pc.connectionState == "closed", "it is told goodbye")
    assert sends[1].connected
    if way == "remove":
        assert (await visit.offer(gone, f"/whip/{visit.room}", peer_of(peer, "sendonly")))[0] == 401
    for one in (*sends, sees):
        await one.close()
