"""WHIP and WHEP clients that others wrote, with a station's key: Debian's simple-whip-client, and npm's whip-whep in
Chromium on a page of another origin. `make peers` installs both; without them these tests are skipped."""
# ruff: noqa: F811  (a test takes a fixture by its name)

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioice.ice
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from telemed.media.relay.port import own_addresses
from tests.media.calls import Call, call  # noqa: F401  (call is a fixture)
from tests.media.test_media_chromium import reaches
from tests.media.test_media_http_chromium import LINE, context  # noqa: F401  (context is a fixture)
from tests.server.conftest import server  # noqa: F401  (a fixture)

WHIP_CLIENT = shutil.which("whip-client")
NPM_CLIENT = Path(__file__).parents[2] / "build" / "peers" / "whip-whep"
STOP_SECONDS = 10.0  # for the client to say goodbye by DELETE
VIDEO = (
    "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=10/1 ! vp8enc deadline=1 "
    "! rtpvp8pay pt=96 ssrc=2 ! queue ! application/x-rtp,media=video,encoding-name=VP8,payload=96"
)
AUDIO = (
    "audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=100 ssrc=1 ! queue "
    "! application/x-rtp,media=audio,encoding-name=OPUS,payload=100"
)
# Debian 12's whip-client is linked with libsoup2, and its libnice, by way of UPnP, with libsoup3, which ends a process
# that has both. This stands in for UPnP, which nobody here asks.
NO_UPNP = """
unsigned long gupnp_simple_igd_get_type(void) { return 20 << 2; }
void *gupnp_simple_igd_thread_new(void) { return 0; }
void gupnp_simple_igd_add_port(void) {}
void gupnp_simple_igd_remove_port_local(void) {}
"""
UPNP = "libgupnp-igd-1.0.so.4"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """libnice's own candidates leave loopback out, so the relay is at an address that it can send from and to."""
    own = own_addresses()
    if not own:
        pytest.skip("this machine has no address but loopback")
    return {"public_address": own[0]}


@asynccontextmanager
async def whip_client(folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Debian's client with these arguments; ended with its own goodbye."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (folder / "upnp.c").write_text(NO_UPNP)
    built = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{UPNP}", "-o", str(folder / UPNP), str(folder / "upnp.c")]
    subprocess.run(built, check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "GST_REGISTRY": str(folder / "registry")}
    with (folder / "whip-client.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(
            str(WHIP_CLIENT), *arguments, stdout=log, stderr=log, env=environment
        )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            await running.wait()


@pytest.mark.skipif(WHIP_CLIENT is None, reason="no whip-client; make peers installs it")
@pytest.mark.parametrize("trickle", [(), ("--no-trickle",)], ids=["trickle", "no trickle"])
async def test_debians_client_publishes(
    call: Call, peer: Any, wait: Any, tmp_path: Path, trickle: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GStreamer's webrtcbin: bundle-only with port 0, rtcp-mux-only, no header extensions, no NACK."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: own_addresses()[:1])
    url = f"{call.server.url}/whip/{call.room}"
    watching = peer()
    arguments = ("-u", url, "-t", call.server.seed.station_key, "-V", VIDEO, "-A", AUDIO, *trickle)
    async with whip_client(tmp_path, *arguments):
        publications = await wait(lambda: call.media.publications(call.room), "the publication is live", 40.0)
        assert publications[0].kinds == ("audio", "video")
        for kind in ("audio", "video"):
            watching.pc.addTransceiver(kind, direction="recvonly")
        status, _, answer = await call.post(f"/whep/{publications[0].id}", await watching.offer())
        assert status == 201, answer
        await watching.accept(answer)
        watching.consume()
        await wait(lambda: any(getattr(frame, "width", 0) == 160 for frame in watching.frames), "a picture decodes")
        await wait(lambda: any(hasattr(frame, "sample_rate") for frame in watching.frames), "sound decodes")
    await wait(lambda: not call.media._sessions, "its DELETE ends the publication and its viewing")
    log = (tmp_path / "whip-client.log").read_text()
    assert "[ERR]" not in log and "[FATAL]" not in log, log
    await watching.close()


PAGE = """<!doctype html><script type="module">
import {WHIPClient} from '/client/whip.js';
import {WHEPClient} from '/client/whep.js';
window.publish = async (url, key) => {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 320, height: 240}});
  window.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  for (const track of stream.getTracks()) pc.addTransceiver(track, {direction: 'sendonly', streams: [stream]});
  window.client = new WHIPClient();
  await client.publish(pc, url, key);
};
window.view = async (url, key) => {
  window.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const video = document.createElement('video');
  video.muted = true;
  document.body.append(video);
  pc.ontrack = (event) => { video.srcObject = event.streams[0]; video.play(); };
  for (const kind of ['audio', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'});
  window.client = new WHEPClient();
  await client.view(pc, url, key);
};
window.ready = true;
</script>"""


@pytest.mark.skipif(not NPM_CLIENT.is_dir(), reason="no whip-whep; make peers installs it")
async def test_the_npm_client_publishes_plays_restarts_and_ends(call: Call, context: Any, wait: Any) -> None:
    async def page_of(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    elsewhere = web.Application()
    elsewhere.router.add_get("/", page_of)
    elsewhere.router.add_static("/client", NPM_CLIENT)
    key = call.server.seed.station_key
    publishing, playing = await context.new_page(), await context.new_page()
    async with TestServer(elsewhere) as other:
        for page in (publishing, playing):
            await page.goto(str(other.make_url("/")))
            await page.wait_for_function("() => window.ready")
        await publishing.evaluate("([url, key]) => publish(url, key)", [f"{call.server.url}/whip/{call.room}", key])
        publication = (await wait(lambda: call.media.publications(call.room), "the publication is live"))[0]
        await playing.evaluate("([url, key]) => view(url, key)", [f"{call.server.url}/whep/{publication.id}", key])
        await reaches(playing, "pictures decode", lambda n: n["frames"] > 5, statistics=LINE)
        for page in (publishing, playing):
            before = await page.evaluate(LINE)
            await page.evaluate("() => client.restart()")
            await reaches(
                page, "another ICE session is used",
                lambda n, ufrag=before["ufrag"]: n["ufrag"] not in (ufrag, None), statistics=LINE,
            )  # fmt: skip
        shown = (await playing.evaluate(LINE))["frames"]
        await reaches(playing, "pictures go on", lambda n: n["frames"] > shown + 10, statistics=LINE)
        await playing.evaluate("() => client.stop()")
        await wait(lambda: call.media.stats().viewers == 0, "the viewing ends")
        await publishing.evaluate("() => client.stop()")
        await wait(lambda: not call.media._sessions, "the publication ends")
