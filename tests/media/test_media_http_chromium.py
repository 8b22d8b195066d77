"""What a browser makes of the HTTP face: ICE restarts that keep the call, and a page of another origin with a key."""
# ruff: noqa: F811  (a test takes a fixture by its name)

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import async_playwright

from tests.media.calls import Call, call  # noqa: F401  (call is a fixture)
from tests.media.test_media_chromium import ARGUMENTS, CHROMIUM, EXCHANGE, PLAY, PUBLISH, SIGN_IN, STATISTICS, reaches
from tests.server.conftest import PASSWORD, server  # noqa: F401  (a fixture)

# RFC 9725 section 4.3.3: new credentials go out, the server's come back, and nothing else of the answer changes.
RESTART = """async () => {
  const pc = window.pc;
  await pc.setLocalDescription(await pc.createOffer({iceRestart: true}));
  const of = (text, name) => text.match(new RegExp(`a=${name}:(.*)\\r\\n`))[1];
  const mine = ['ice-ufrag', 'ice-pwd'].map((name) => `a=${name}:${of(pc.localDescription.sdp, name)}\\r\\n`).join('');
  const answer = await fetch(window.resource, {
    method: 'PATCH', headers: {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'}, body: mine});
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
  const theirs = await answer.text();
  let sdp = pc.remoteDescription.sdp;
  for (const name of ['ice-ufrag', 'ice-pwd'])
    sdp = sdp.replaceAll(new RegExp(`a=${name}:.*\\r\\n`, 'g'), `a=${name}:${of(theirs, name)}\\r\\n`);
  await pc.setRemoteDescription({type: 'answer', sdp});
  return of(pc.localDescription.sdp, 'ice-ufrag');
}"""
LINE = """async () => {
  const rows = [...(await window.pc.getStats()).values()];
  const transport = rows.find((row) => row.type === 'transport');
  const pair = rows.find((row) => row.id === transport.selectedCandidatePairId) || {};
  const local = rows.find((row) => row.id === pair.localCandidateId) || {};
  return {
    dtls: transport.dtlsState, ice: window.pc.iceConnectionState, ufrag: local.usernameFragment,
    certificate: transport.remoteCertificateId, handshakes: window.handshakes,
    sent: (rows.find((row) => row.type === 'outbound-rtp' && row.kind === 'video') || {}).packetsSent || 0,
    frames: (rows.find((row) => row.type === 'inbound-rtp' && row.kind === 'video') || {}).framesDecoded || 0,
  };
}"""
COUNT = """() => {
  window.handshakes = 0;
  const [one] = window.pc.getTransceivers();
  (one.sender.transport || one.receiver.transport).addEventListener('statechange', () => { window.handshakes += 1; });
}"""

ELSEWHERE = """async ([server, room, key]) => {
  const pc = new RTCPeerConnection();
  const canvas = document.createElement('canvas');
  canvas.getContext('2d').fillRect(0, 0, 9, 9);
  pc.addTransceiver(canvas.captureStream(5).getVideoTracks()[0], {direction: 'sendonly'});
  await pc.setLocalDescription(await pc.createOffer());
  const headers = {'Content-Type': 'application/sdp', Authorization: `Bearer ${key}`};
  const ask = (path, more) => fetch(server + path, {...more, headers: {...headers, ...(more.headers || {})}});
  const made = await ask(`/whip/${room}`, {method: 'POST', body: pc.localDescription.sdp});
  const place = made.headers.get('Location');
  const seen = {
    made: made.status, answer: (await made.text()).startsWith('v=0'), place, etag: made.headers.get('ETag'),
    patchable: made.headers.get('Accept-Patch')};
  const wrong = await ask(`/whip/${room}`, {method: 'POST', body: 'x', headers: {Authorization: 'Bearer nobody'}});
  seen.wrong = [wrong.status, (await wrong.json()).error.code];
  const patched = await ask(place, {method: 'PATCH', body: 'a=end-of-candidates\\r\\n', headers: {
    'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': seen.etag}});
  seen.patched = patched.status;
  seen.gone = (await ask(place, {method: 'DELETE'})).status;
  return seen;
}"""


@pytest.fixture
async def context() -> AsyncIterator[Any]:
    """A Chromium with made-up camera and microphone."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, chromium_sandbox=False, headless=True
        )
        made = await browser.new_context()
        await made.add_init_script(EXCHANGE)
        yield made
        await browser.close()


async def test_an_ice_restart_keeps_the_call_and_its_keys(call: Call, context: Any, wait: Any) -> None:
    """Both ends, one after the other: another ICE session, the same DTLS, and pictures go on."""
    publishing, playing = await context.new_page(), await context.new_page()
    for page in (publishing, playing):
        await page.goto(f"{call.server.url}/healthz")
    assert await publishing.evaluate(SIGN_IN, [call.server.seed.logins["clinician"], PASSWORD]) == 201
    await publishing.evaluate(PUBLISH, call.room)
    publication = (await wait(lambda: call.media.publications(call.room), "the publication is live"))[0]
    await playing.evaluate(PLAY, publication.id)
    await reaches(playing, "pictures decode", lambda n: n["frames"] > 5, statistics=STATISTICS)
    for page, moves in ((publishing, "sent"), (playing, "frames")):
        await page.evaluate(COUNT)
        before = await reaches(page, "who answers is known", lambda n: n["certificate"] is not None, statistics=LINE)
        ufrag = await page.evaluate(RESTART)
        assert ufrag != before["ufrag"]
        after = await reaches(page, "the new ICE session is used", lambda n, u=ufrag: n["ufrag"] == u, statistics=LINE)
        moved = await reaches(
            page, "media go on", lambda n, m=moves, least=after[moves]: n[m] > least + 10, statistics=LINE
        )
        assert (moved["dtls"], moved["handshakes"]) == ("connected", 0)
        assert moved["ice"] in ("connected", "completed")
        assert moved["certificate"] == before["certificate"]
    shown = await playing.evaluate(LINE)
    await reaches(playing, "the viewer still sees", lambda n: n["frames"] > shown["frames"] + 10, statistics=LINE)
    assert [one.id for one in call.media.publications(call.room)] == [publication.id]


async def test_a_page_elsewhere_publishes_with_a_key_and_reads_every_answer(call: Call, context: Any) -> None:
    """Chromium's own preflights and its own rules about what another origin's page may read, refusals too."""

    async def nothing(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html>", content_type="text/html")

    elsewhere = web.Application()
    elsewhere.router.add_get("/", nothing)
    page = await context.new_page()
    async with TestServer(elsewhere) as other:
        await page.goto(str(other.make_url("/")))
        seen = await page.evaluate(ELSEWHERE, [call.server.url, call.room, call.server.seed.station_key])
    assert (seen["made"], seen["answer"], seen["patchable"]) == (201, True, "application/trickle-ice-sdpfrag")
    assert seen["place"].startswith("/whip/resources/")
    assert seen["etag"].startswith('"')
    assert seen["wrong"] == [401, "not_signed_in"]
    assert (seen["patched"], seen["gone"]) == (204, 200)
