"""RFC 9725 (WHIP) and draft-ietf-wish-whep row by row, over HTTP alone, with the key that any client may have."""

# ruff: noqa: F811  (a test takes a fixture by its name)

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from telemed.http.route import BODY_BYTES
from telemed.media import plane as plane_module
from telemed.media.engine import RelayUnavailable
from tests.media.calls import FRAGMENT, SDP, Call, call, code  # noqa: F401  (call is a fixture)
from tests.server.conftest import server  # noqa: F401  (a fixture)

ENDPOINTS = ("/whip/some-room", "/whep/some-publication")
SESSIONS = ("/whip/resources/x", "/whep/resources/x")
ELSEWHERE = "https://elsewhere.invalid"
PREFLIGHT = {
    "Origin": ELSEWHERE, "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
STRONG = re.compile(r'"[\x21\x23-\x7e]+"')  # RFC 9110 section 8.8.3
TURN = ("turn:127.0.0.1:9?transport=udp", "turns:127.0.0.1:9?transport=tcp")  # the discard port: nobody there
NEW_ICE = "a=ice-ufrag:newu\r\na=ice-pwd:" + "n" * 24 + "\r\n"
MUTATIONS = 120


@pytest.fixture
def more_settings(tmp_path: Path) -> dict[str, Any]:
    """A TURN server, which nobody here asks."""
    secret = tmp_path / "turn.secret"
    secret.write_text("s" * 64)
    secret.chmod(0o600)
    return {"turn_urls": ",".join(TURN), "turn_secret_file": secret}


@dataclass(frozen=True)
class Session:
    """A WHIP or WHEP session as its client knows it."""

    call: Call
    kind: str
    answer: str
    headers: Any
    peer: Any

    @property
    def place(self) -> str:
        return str(self.headers["Location"])

    @property
    def etag(self) -> str:
        return str(self.headers["ETag"])

    async def patch(self, body: str, **headers: str) -> Any:
        """Status, headers and text of a PATCH."""
        return await self.call.send("PATCH", self.place, body, **{"Content-Type": FRAGMENT, **headers})

    def candidates(self, number: int = 1) -> str:
        """A fragment of the session that exists, with so many candidates."""
        ufrag = re.findall("a=ice-ufrag:(.+)\r\n", self.peer.pc.localDescription.sdp)[0]
        lines = (f"a=candidate:{n} 1 udp 1 192.0.2.1 {5000 + n} typ host\r\n" for n in range(number))
        return f"a=ice-ufrag:{ufrag}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n{''.join(lines)}a=end-of-candidates\r\n"


@pytest.fixture(params=["whip", "whep"])
async def session(request: Any, call: Call, peer: Any, picture: Any, tone: Any, wait: Any) -> AsyncIterator[Session]:
    """A connected session of each kind."""
    async with AsyncExitStack() as stack:
        sender, viewer = peer(), peer()
        for one in (sender, viewer):
            stack.push_async_callback(one.close)
        for track in (picture(), tone()):
            sender.pc.addTransceiver(track, direction="sendonly")
        made = await call.post(f"/whip/{call.room}", await sender.offer())
        assert made[0] == 201, made[2]
        await sender.accept(made[2])
        await wait(lambda: call.media.publications(call.room), "the publication is live")
        if request.param == "whip":
            yield Session(call, "whip", made[2], made[1], sender)
            return
        for kind in ("audio", "video"):
            viewer.pc.addTransceiver(kind, direction="recvonly")
        publication = call.media.publications(call.room)[0].id
        status, headers, answer = await call.post(f"/whep/{publication}", await viewer.offer())
        assert status == 201, answer
        await viewer.accept(answer)
        await wait(lambda: viewer.connected, "the viewer is connected")
        yield Session(call, "whep", answer, headers, viewer)


async def test_options_says_what_is_taken_and_needs_no_key(server: Any) -> None:
    """RFC 9725 section 4.2; no ICE servers on a preflight (section 4.6)."""
    http = (await server.anonymous()).http
    for path in (*ENDPOINTS, *SESSIONS):
        async with http.options(path, headers=PREFLIGHT) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in answer.headers
            allowed = set(answer.headers["Access-Control-Allow-Methods"].split(", "))
            assert {"Authorization", "Content-Type", "If-Match"} == set(
                answer.headers["Access-Control-Allow-Headers"].split(", ")
            )
            assert "Link" not in answer.headers
            if path in ENDPOINTS:
                assert answer.headers["Accept-Post"] == SDP
                assert "POST" in allowed
            else:
                assert answer.headers["Accept-Patch"] == FRAGMENT
                assert {"PATCH", "DELETE"} <= allowed


async def test_get_is_a_success_without_content(server: Any) -> None:
    """RFC 9725 section 4.1: there is no representation, here or of what does not exist."""
    http = (await server.anonymous()).http
    for path in (*ENDPOINTS, *SESSIONS):
        async with http.get(path) as answer:
            assert (answer.status, await answer.read()) == (204, b"")
    for path in ENDPOINTS:
        async with http.head(path) as answer:
            assert (answer.status, answer.content_type) == (200, SDP)


async def test_other_methods_are_reserved(call: Call) -> None:
    for method, path in (*(("PUT", path) for path in (*ENDPOINTS, *SESSIONS)), *(("POST", path) for path in SESSIONS)):
        status, headers, text = await call.send(method, path)
        assert (status, code(text)) == (405, "method_not_allowed")
        assert "OPTIONS" in headers["Allow"]


async def test_201_tells_everything(session: Session) -> None:
    """RFC 9725 sections 4.2, 4.3.1 and 4.6: Location, a strong ETag, every candidate, the ICE servers."""
    headers, answer = session.headers, session.answer
    assert headers["Content-Type"] == SDP
    assert session.place.startswith(f"/{session.kind}/resources/")
    assert STRONG.fullmatch(session.etag)
    assert headers["Accept-Patch"] == FRAGMENT
    exposed = set(headers["Access-Control-Expose-Headers"].split(", "))
    assert {"Location", "Link", "ETag", "Accept-Patch", "Retry-After"} == exposed
    links = headers.getall("Link")
    assert [link[1 : link.index(">")] for link in links] == list(TURN)
    for link in links:
        assert re.fullmatch(
            r'<.+>; rel="ice-server"; username="[^"]+"; credential="[^"]+"; credential-type="password"', link
        )
    lines = answer.split("\r\n")
    assert lines.count("a=recvonly" if session.kind == "whip" else "a=sendonly") == 2
    assert lines.count("a=setup:passive") == 2
    assert lines.count("a=rtcp-mux") == 2
    assert "a=ice-lite" in lines
    assert any(line.startswith("a=candidate:") for line in lines)
    assert lines.count("a=end-of-candidates") == 2
    assert any(line.startswith("a=group:BUNDLE ") for line in lines)


async def test_what_is_no_offer_is_refused_and_no_part_of_one_is_taken(call: Call, peer: Any) -> None:
    """RFC 9725 sections 4.2 and 4.4.3; 406 is a WHEP counter-offer and never sent."""
    sender = peer()
    for kind in ("audio", "video"):
        sender.pc.addTransceiver(kind, direction="sendonly")
    offer = await sender.offer()
    other = offer.replace("VP8", "VP9").replace("H264", "H265")
    for body, kind, expected in (
        (offer, "text/plain", (415, "media_type_unsupported")),
        (offer, FRAGMENT, (415, "media_type_unsupported")),
        ("hello", SDP, (400, "sdp_invalid")),
        ("", SDP, (400, "sdp_invalid")),
        (b"\xff", SDP, (400, "sdp_invalid")),
        (other, SDP, (422, "sdp_unsupported")),
        (offer.replace("a=rtcp-mux\r\n", ""), SDP, (422, "sdp_unsupported")),
        (offer.replace("a=sendonly", "a=inactive"), SDP, (422, "sdp_unsupported")),
        (offer + "a=" + "x" * 65_536, SDP, (413, "body_too_large")),
    ):
        status, headers, text = await call.post(f"/whip/{call.room}", body, kind=kind)
        assert (status, code(text)) == expected
        assert headers["Access-Control-Allow-Origin"] == "*"
    assert not call.media._sessions
    await sender.close()


async def test_a_viewer_is_told_to_come_again(call: Call, peer: Any) -> None:
    """draft-ietf-wish-whep: 409 and Retry-After while there is no publisher."""
    sender = peer()
    sender.pc.addTransceiver("video", direction="sendonly")
    offer = await sender.offer()
    assert (await call.post(f"/whip/{call.room}", offer))[0] == 201
    connecting = next(iter(call.media._sessions.values())).publication.id
    status, headers, text = await call.post(f"/whep/{connecting}", offer)
    assert (status, code(text), headers["Retry-After"]) == (409, "publication_not_found", "1")
    assert "Retry-After" in headers["Access-Control-Expose-Headers"]
    status, headers, text = await call.post("/whep/nothing", offer)
    assert (status, code(text)) == (404, "publication_not_found")
    assert "Retry-After" not in headers
    await sender.close()


async def test_overload_and_a_relay_that_is_away_say_when_to_come_again(
    call: Call, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = peer()
    sender.pc.addTransceiver("video", direction="sendonly")
    offer = await sender.offer()

    async def away(*_: Any) -> None:
        raise RelayUnavailable()

    with monkeypatch.context() as patched:
        patched.setattr(plane_module, "SESSIONS", 0)
        status, headers, text = await call.post(f"/whip/{call.room}", offer)
        assert (status, code(text), headers["Retry-After"]) == (503, "too_many_sessions", "5")
    with monkeypatch.context() as patched:
        patched.setattr(call.media._engine, "open", away)
        status, headers, text = await call.post(f"/whip/{call.room}", offer)
        assert (status, code(text), headers["Retry-After"]) == (503, "relay_unavailable", "1")
    assert not call.media._sessions
    await sender.close()


async def test_a_bearer_key_is_enough_from_any_origin_and_a_cookie_is_not(call: Call, peer: Any) -> None:
    """RFC 9725 section 4.7; a page elsewhere has no cookie of ours, and ours counts only on our own page."""
    sender = peer()
    sender.pc.addTransceiver("audio", direction="sendonly")
    offer = await sender.offer()
    whip = f"/whip/{call.room}"
    status, headers, _ = await call.post(whip, offer, Origin=ELSEWHERE)
    assert (status, headers["Access-Control-Allow-Origin"]) == (201, "*")
    assert (await call.send("DELETE", headers["Location"], Origin=ELSEWHERE))[0] == 200
    for nobody in ({"Authorization": "Bearer nobody"}, {"Authorization": "Basic x"}, {"Authorization": ""}):
        status, headers, text = await call.post(whip, offer, **nobody)
        assert (status, code(text)) == (401, "not_signed_in")
        assert headers["WWW-Authenticate"] == 'Bearer realm="telemed"'
        assert headers["Access-Control-Allow-Origin"] == "*"
    assert (await call.post(whip, offer, "clinician", Origin=ELSEWHERE))[0] == 403
    await sender.close()


async def test_candidates_are_taken_without_a_word(session: Session) -> None:
    """RFC 9725 section 4.3.2: 204, no body, no ETag; what cannot be used is passed over in silence."""
    odd = (
        "a=candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
        "a=candidate:2 1 udp 2113937151 0b1c8a4e-0000-4000-8000-000000000000.local 5000 typ host\r\n"
        "a=candidate:nonsense\r\n"
    )
    for body in (session.candidates(), session.candidates() + odd, session.candidates(40), "a=end-of-candidates\r\n"):
        status, headers, text = await session.patch(body, **{"If-Match": session.etag})
        assert (status, text) == (204, "")
        assert "ETag" not in headers
        assert "Content-Type" not in headers


async def test_a_patch_must_name_the_ice_session_it_means(session: Session) -> None:
    """RFC 9725 section 4.3.1, RFC 9110 section 13.1.1: a weak tag never matches."""
    good, right = session.candidates(), {"If-Match": session.etag}
    for body, headers, expected in (
        (good, {}, (428, "etag_required")),
        (good, {"If-Match": '"stale"'}, (412, "etag_mismatch")),
        (good, {"If-Match": f"W/{session.etag}"}, (412, "etag_mismatch")),
        (good, {"If-Match": session.etag.strip('"')}, (412, "etag_mismatch")),
        (good, {**right, "Content-Type": SDP}, (415, "media_type_unsupported")),
        (good, {**right, "Content-Type": "application/json"}, (415, "media_type_unsupported")),
        ("hello", right, (400, "sdp_invalid")),
        ("", right, (400, "sdp_invalid")),
    ):
        status, answer, text = await session.patch(body, **headers)
        assert (status, code(text)) == expected
        assert answer["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("anything", ["*", '"*"'])
async def test_a_restart_gives_a_new_ice_session(session: Session, anything: str) -> None:
    """RFC 9725 section 4.3.3; its example writes the star in quotes, RFC 9110 without."""
    status, headers, text = await session.patch(NEW_ICE, **{"If-Match": anything})
    assert (status, headers["Content-Type"]) == (200, FRAGMENT)
    new = headers["ETag"]
    assert STRONG.fullmatch(new)
    assert new != session.etag
    ours = {name: re.findall(f"a={name}:(.+)\r\n", text) for name in ("ice-ufrag", "ice-pwd", "candidate", "mid")}
    before = {name: re.findall(f"a={name}:(.+)\r\n", session.answer) for name in ("ice-ufrag", "ice-pwd", "candidate")}
    assert len(ours["ice-ufrag"]) == len(ours["ice-pwd"]) == 1
    assert ours["ice-ufrag"][0] not in before["ice-ufrag"]
    assert ours["ice-pwd"][0] not in before["ice-pwd"]
    assert ours["candidate"] == before["candidate"][: len(ours["candidate"])]
    assert ours["mid"] == ["0"]
    assert text.endswith("a=end-of-candidates\r\n")
    # What comes late for the session that is over is told so; what is for the new one is taken.
    assert (await session.patch(session.candidates(), **{"If-Match": session.etag}))[0] == 412
    fresh = "a=ice-ufrag:newu\r\na=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n"
    assert (await session.patch(fresh, **{"If-Match": new}))[0] == 204


async def test_a_restart_that_fails_leaves_the_session_as_it_was(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9725 section 4.3.3."""

    async def away(*_: Any) -> None:
        raise RelayUnavailable()

    star = {"If-Match": "*"}
    for body in ("a=ice-ufrag:newu\r\n", "a=ice-ufrag:newu\r\na=ice-pwd:short\r\n", NEW_ICE + "a=ice-ufrag:more\r\n"):
        status, _, text = await session.patch(body, **star)
        assert (status, code(text)) == (400, "sdp_invalid")
    with monkeypatch.context() as patched:
        patched.setattr(session.call.media._engine, "restart", away)
        status, headers, text = await session.patch(NEW_ICE, **star)
        assert (status, code(text), headers["Retry-After"]) == (503, "relay_unavailable", "1")
    assert (await session.patch(session.candidates(), **{"If-Match": session.etag}))[0] == 204
    assert session.peer.connected


async def test_delete_ends_the_session_whatever_if_match_says(session: Session, wait: Any) -> None:
    """RFC 9725 sections 4.2 and 4.3.1."""
    status, _, text = await session.call.send("DELETE", session.place, **{"If-Match": '"stale"'})
    assert (status, text) == (200, "")
    await wait(lambda: session.peer.pc.connectionState == "closed", "the peer is told goodbye")
    for method in ("DELETE", "PATCH"):
        headers = {"Content-Type": FRAGMENT, "If-Match": session.etag}
        status, _, text = await session.call.send(method, session.place, session.candidates(), **headers)
        assert (status, code(text)) == (404, "resource_not_found")


async def test_sixty_four_kilobytes_of_anything_get_a_code(session: Session) -> None:
    """Mutated offers and fragments, padded to the bound: taken, or refused with 4xx and a code; the session stays."""
    chance = random.Random(9725)
    offer = session.peer.pc.localDescription.sdp
    kinds = {
        session.place: (session.candidates() + NEW_ICE, "PATCH", {"Content-Type": FRAGMENT, "If-Match": session.etag}),
        f"/whip/{session.call.room}": (offer, "POST", {"Content-Type": SDP}),
    }
    seen = set()
    for number in range(MUTATIONS):
        path = list(kinds)[number % 2]
        text, method, headers = kinds[path]
        lines = text.split("\r\n")
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(lines))
            line = lines[at]
            lines[at : at + 1] = chance.choice((
                [], [line] * chance.randint(2, 900), [line[: len(line) // 2]], [line + "\x00"], [line + " " + line],
                [line.replace("0", "-1")], [line, "m=video 0 UDP/TLS/RTP/SAVPF 0"], ["a=" + "y" * 60_000, line],
                ["a=fmtp:96 " + ";" * 50_000, line], [chance.randbytes(40).decode("latin-1")],
            ))  # fmt: skip
        body = "\r\n".join(lines).encode()[: length(chance)]
        status, answer, refusal = await session.call.send(method, path, body, **headers)
        seen.add((method, status))
        assert status in (200, 201, 204, 400, 422), refusal
        if status >= 400:
            assert code(refusal) in ("sdp_invalid", "sdp_unsupported")
        elif status == 201:
            await session.call.send("DELETE", answer["Location"])
        elif status == 200:
            kinds[path][2]["If-Match"] = answer["ETag"]
    assert {("POST", 400), ("PATCH", 400)} <= seen
    assert session.place.rpartition("/")[2] in session.call.media._sessions


def length(chance: random.Random) -> int:
    """Where a body is cut: at the bound, or anywhere before it."""
    return chance.choice((BODY_BYTES, BODY_BYTES, chance.randrange(1, BODY_BYTES)))
